"""Figures of answers beside generation token by token, and attention beside its formula."""

import math

import numpy as np
import pytest
import torch

from lab.core.length_generalisation.arms import config_of, encoding_of
from lab.core.length_generalisation.evaluation import answered, best_factor, right_key, score, with_factor
from lab.core.length_generalisation.params import Params
from lab.core.length_generalisation.tasks import FIRST, Texts, task
from lab.core.lm.attention_maps import attention_maps
from lab.core.lm.generation import generate
from lab.core.lm.model import Transformer


def made(name, of="copy", symbols=3, **changes):
    params = Params(
        implementation=name, task=of, trained=4, lengths=[4, 8], length=4, symbols=symbols, d_model=16, heads=2, d_ff=16, **changes
    )  # fmt: skip
    its = task(of, symbols, 8)
    torch.manual_seed(1)
    model = Transformer(config_of(params, its), encoding_of(name, params, its, None))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model, its


def test_right_answers_are_those_that_greedy_generation_gives():
    """Texts whose answers the model itself has generated token by token; in every third of them one token is another."""
    model, its = made("rope", "count", symbols=2)
    drawn = its.draw(np.random.default_rng(0), 4, 60)
    prompts = drawn.ids[:, : drawn.start].tolist()
    out = generate(model, prompts, num_generations=1, max_new_tokens=5, eos=-1, pad=0, temperature=0.0)
    answers = out.ids.numpy().copy()
    answers[::3, 2] = (answers[::3, 2] + 1) % its.vocabulary
    texts = Texts(np.concatenate([drawn.ids[:, : drawn.start], answers], 1), 5, drawn.source, drawn.counts)
    assert score(model, texts).right == pytest.approx(2 / 3)
    whole = (answered(model, texts) == torch.from_numpy(answers)).all(1)
    assert whole.tolist() == [row % 3 != 0 for row in range(60)]


def test_token_and_loss_are_those_of_the_tokens_that_count():
    model, its = made("alibi", "retrieval")
    texts = its.draw(np.random.default_rng(0), 6, 40)
    with torch.no_grad():
        logp = model(torch.from_numpy(texts.ids)).double().log_softmax(-1)
    hit, losses = [], []
    for row, ids in enumerate(texts.ids):
        columns = [texts.start + j for j, counts in enumerate(texts.counts) if counts]
        hit.append([int(logp[row, c - 1].argmax()) == ids[c] for c in columns])
        losses += [-float(logp[row, c - 1, ids[c]]) for c in columns]
    found = score(model, texts)
    assert found.right == np.mean([all(row) for row in hit]) and found.token == pytest.approx(np.mean(hit))
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize("name", ["none", "rope", "rope-yarn", "sinusoidal", "alibi", "t5"])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_a_factor_raises_attention_of_the_first_layer_to_a_power(name, factor):
    """softmax(f·s) is softmax(s)^f, normalised. The model itself stays as it is, and a factor of 1 changes nothing."""
    model, its = made(name)
    ids = torch.from_numpy(its.draw(np.random.default_rng(0), 8, 3).ids)
    with torch.no_grad():
        before, logits = attention_maps(model, ids)[0].double(), model(ids)
        after, scaled = (
            attention_maps(with_factor(model, factor), ids)[0].double(),
            with_factor(model, factor)(ids),
        )
        powers = before**factor
        torch.testing.assert_close(after, powers / powers.sum(-1, keepdim=True), rtol=1e-4, atol=1e-6)
        assert torch.equal(logits, model(ids))
    assert torch.allclose(scaled, logits, atol=1e-5) == (factor == 1.0)


def test_the_best_factor_has_the_lowest_loss():
    model, its = made("rope", symbols=2)
    texts = its.draw(np.random.default_rng(0), 8, 100)
    best = best_factor(model, texts)
    losses = {
        f: score(with_factor(model, f), texts).loss
        for f in (0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5)
    }
    assert losses[best] == min(losses.values()) and len(set(losses.values())) == len(losses)


def test_attention_on_the_right_key_by_its_formula():
    """One layer, no positions: softmax over the keys up to the query's, in float64; the head that gives most counts."""
    model, its = made("none", layers=1)
    texts = its.draw(np.random.default_rng(0), 5, 4)
    block, x = model.blocks[0], model.embedding(torch.from_numpy(texts.ids)).double()
    normed = (
        x
        / (x.pow(2).mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
        * block.before_attention.weight
    )
    q, k, _ = (normed @ block.qkv.weight.double().T).chunk(3, -1)
    found = []
    for row in range(4):
        for j, column in enumerate(texts.source[row]):
            if column < 0:
                continue
            at, mass = texts.start - 1 + j, []
            for head in (slice(0, 8), slice(8, 16)):
                scores = k[row, : at + 1, head] @ q[row, at, head] / math.sqrt(8)
                mass.append(scores.softmax(0)[column].item())
            found.append(max(mass))
    assert right_key(model, texts) == pytest.approx(np.mean(found), rel=1e-4)
    addition = made("none", "addition")
    assert right_key(addition[0], addition[1].draw(np.random.default_rng(0), 3, 2)) is None


def test_many_texts_are_read_in_parts_and_are_judged_alike(monkeypatch):
    model, its = made("rope")
    texts = its.draw(np.random.default_rng(0), 8, 50)
    whole = score(model, texts), right_key(model, texts)
    monkeypatch.setattr("lab.core.length_generalisation.evaluation.AT_ONCE", 60)
    parts = score(model, texts), right_key(model, texts)
    assert parts[0].token == whole[0].token and parts[0].right == whole[0].right
    assert parts[0].loss == pytest.approx(whole[0].loss, rel=1e-5) and parts[1] == pytest.approx(
        whole[1], rel=1e-5
    )


def test_a_model_that_knows_the_answer_is_right(monkeypatch):
    """Logits that name the next token of each text: all of it is right; one wrong token and that answer is not."""
    _, its = made("none")
    texts = its.draw(np.random.default_rng(0), 4, 10)
    wrong = texts.ids.copy()
    wrong[3, -2] = FIRST + (wrong[3, -2] - FIRST + 1) % 3

    class Knowing:
        embedding = torch.nn.Embedding(1, 1)

        def hidden(self, ids):
            rows = [int(np.flatnonzero((texts.ids[:, :-1] == row.numpy()).all(1))[0]) for row in ids]
            return torch.nn.functional.one_hot(torch.from_numpy(wrong[rows][:, 1:]), 7).float()

        def logits(self, hidden):
            return hidden

    found = score(Knowing(), Texts(texts.ids, texts.start, texts.source, texts.counts))
    assert found.right == pytest.approx(0.9) and found.token == pytest.approx(49 / 50)
