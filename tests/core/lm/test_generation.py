"""Sampling: its log-probabilities are those of the full forward pass, whatever is padded, shared or dropped."""

import pytest
import torch

from lab.core.lm import generation
from lab.core.lm.generation import draw, generate
from lab.core.lm.scoring import joined, log_probs

PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 3, 4], [5, 5]]
PAD, EOS = 0, 1


def sampled(model, prompts=PROMPTS, seed=0, **options):
    options = {"num_generations": 6, "max_new_tokens": 20, "eos": EOS, "pad": PAD} | options
    return generate(model, prompts, generator=torch.Generator().manual_seed(seed), **options)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("compact_below", [0.0, 0.5, 1.0])
def test_log_probs_are_those_of_the_full_forward(make_model, monkeypatch, temperature, compact_below):
    monkeypatch.setattr(generation, "COMPACT_BELOW", compact_below)
    model = make_model()
    made = sampled(model, temperature=temperature)
    found, entropy = log_probs(model, joined(PROMPTS, made.ids, made.lengths, PAD), temperature)
    torch.testing.assert_close(found.detach(), made.log_probs, rtol=0, atol=1e-4)
    torch.testing.assert_close(entropy, made.entropies, rtol=0, atol=1e-4)
    assert not made.log_probs[~made.mask].any() and not entropy[~made.mask].any()
    assert (entropy[made.mask] > 0).all()


def test_a_group_shares_its_prompt_and_differs_in_its_draws(make_model):
    model = make_model()
    greedy = sampled(model, temperature=0)
    for i, prompt in enumerate(PROMPTS):
        rows = greedy.ids[6 * i : 6 * i + 6]
        assert (rows == rows[0]).all()
        alone = sampled(model, [prompt], temperature=0, num_generations=1)
        length = int(alone.lengths[0])
        assert int(greedy.lengths[6 * i]) == length and torch.equal(rows[0, :length], alone.ids[0, :length])
    assert len({tuple(row.tolist()) for row in sampled(model).ids[:6]}) > 1


def test_a_completion_ends_with_its_first_end_token(make_model):
    made = sampled(make_model())
    for ids, length, finished in zip(
        made.ids.tolist(), made.lengths.tolist(), made.finished.tolist(), strict=True
    ):
        assert (EOS in ids[:length]) == finished and EOS not in ids[: length - 1]
        assert finished or length == 20
        assert set(ids[length:]) <= {PAD}


def test_the_same_seed_gives_the_same_and_another_does_not(make_model):
    model = make_model()
    assert torch.equal(sampled(model).ids, sampled(model).ids)
    assert sampled(model).ids.shape != sampled(model, seed=1).ids.shape or not torch.equal(
        sampled(model).ids, sampled(model, seed=1).ids
    )


def test_on_two_cores(make_model, two_threads):
    """Each has its share of the prompts and draws of its own; the order and the log-probs are as on one."""
    model = make_model()
    made = sampled(model)
    assert torch.equal(made.ids, sampled(model).ids) and len({tuple(row) for row in made.ids.tolist()}) > 12
    found, _ = log_probs(model, joined(PROMPTS, made.ids, made.lengths, PAD))
    torch.testing.assert_close(found.detach(), made.log_probs, rtol=0, atol=1e-4)
    greedy = sampled(model, temperature=0)
    torch.set_num_threads(1)
    assert torch.equal(greedy.ids, sampled(model, temperature=0).ids)


def test_what_is_sampled_may_be_trained_on(make_model):
    made = sampled(make_model(), PROMPTS[:1])
    assert not any(x.is_inference() for x in (made.ids, made.lengths, made.log_probs, made.finished))


def test_draws_follow_the_distribution():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(40_000, 3)
    token, log_p, _ = draw(logits, 1.0, torch.Generator().manual_seed(0))
    shares = torch.bincount(token, minlength=3) / 40_000
    assert (shares - torch.tensor([0.5, 0.3, 0.2])).abs().max() < 0.01  # four standard errors
    torch.testing.assert_close(log_p, logits[0][token])
    sharper, _, _ = draw(logits, 0.5, torch.Generator().manual_seed(0))
    expected = torch.tensor([0.25, 0.09, 0.04]) / 0.38
    assert (torch.bincount(sharper, minlength=3) / 40_000 - expected).abs().max() < 0.01


@pytest.mark.parametrize(
    "prompts, new, message",
    [
        ([], 5, "there are no prompts"),
        ([[1], []], 5, "every prompt needs at least one token"),
        ([[2] * 30], 20, "a prompt of 30 tokens and 20 new ones do not fit into a context of 40"),
    ],
)
def test_prompts_that_cannot_be_continued(make_model, prompts, new, message):
    with pytest.raises(ValueError, match=message):
        sampled(make_model(), prompts, max_new_tokens=new)


def test_temperature_0_takes_the_likeliest_of_each_row():
    logits = torch.tensor([[0.0, 3.0, -1.0], [2.0, 1.0, 1.9], [-5.0, -4.0, -3.0]])
    token, log_p, entropy = draw(logits, 0.0)
    assert token.tolist() == [1, 0, 2]
    p = logits.softmax(-1)
    torch.testing.assert_close(log_p, p.amax(-1).log())
    torch.testing.assert_close(entropy, -(p * p.log()).sum(-1))


def test_greedy_follows_the_largest_logit_of_the_full_forward(make_model):
    model = make_model()
    made = sampled(model, temperature=0, num_generations=1)
    assert made.lengths.max() > 2
    for prompt, ids, length in zip(PROMPTS, made.ids.tolist(), made.lengths.tolist(), strict=True):
        said = [*prompt]
        for token in ids[:length]:
            assert token == int(model(torch.tensor([said]))[0, -1].argmax())
            said.append(token)


def test_halves_are_drawn_from_in_single():
    logits = torch.tensor([[8.0, 7.96875, 0.0]], dtype=torch.bfloat16)
    _, log_p, entropy = draw(logits, 0.7, torch.Generator().manual_seed(0))
    p = (logits.double() / 0.7).softmax(-1)
    assert log_p.dtype == entropy.dtype == torch.float32
    assert float(log_p) == pytest.approx(float(p[0, 0].log()), rel=1e-5) or float(log_p) == pytest.approx(
        float(p[0, 1].log()), rel=1e-5
    )
    assert float(entropy) == pytest.approx(float(-(p * p.log()).sum()), rel=1e-5)


@pytest.mark.parametrize("ends", [[EOS, 4, 7], (7,)])
def test_any_of_several_tokens_ends_a_completion(make_model, ends):
    model = make_model()
    made = sampled(model, eos=ends)
    last = set()
    for ids, length, finished in zip(
        made.ids.tolist(), made.lengths.tolist(), made.finished.tolist(), strict=True
    ):
        assert not set(ends) & set(ids[: length - 1]) and (ids[length - 1] in ends) == finished
        last.add(ids[length - 1])
    assert last & set(ends) == set(ends)
    found, _ = log_probs(model, joined(PROMPTS, made.ids, made.lengths, PAD))
    torch.testing.assert_close(found.detach(), made.log_probs, rtol=0, atol=1e-4)
