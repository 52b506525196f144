"""The next character: exact, by adding up all texts of a language."""

import math

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import (
    align_batch,
    exact_marginal,
    marginal,
    soft_targets,
    tokens,
    trie,
)


def teacher_of(view):
    return lambda beginnings: torch.stack([view.logp(each) for each in beginnings])


def exact(both, texts):
    student, teacher = both
    tree = trie(student.pieces, teacher.pieces)
    return exact_marginal(teacher_of(teacher), teacher.encode, [student.tokens(text) for text in texts], tree)


def on_path(both, texts):
    student, teacher = both
    alignment = align_batch([(student.tokens(text), teacher.tokens(text)) for text in texts])
    logits = torch.full((*alignment.teacher.ids.shape, len(teacher.pieces)), math.nan, dtype=torch.float64)
    for row, text in enumerate(texts):
        of = teacher.logits(text)
        logits[row, : of.shape[1]] = of[0]
    return marginal(logits, alignment, trie(student.pieces, teacher.pieces))


def truth(student, text):
    """log P(c | the bytes before), by adding up the texts that begin with them; (characters, V_s)."""
    rows = torch.zeros(len(text), len(student.pieces), dtype=torch.float64)
    for at in range(len(text)):
        for other, p in student.texts.items():
            if other.startswith(text[:at]) and len(other) > at:
                rows[at, student.pieces.index(other[at : at + 1])] += p
    return (rows / rows.sum(1, keepdim=True)).log()


def check(found, wanted):
    alive = wanted > -math.inf
    torch.testing.assert_close(found[alive], wanted[alive], rtol=1e-9, atol=1e-9)
    assert (found[~alive] < math.log(1e-12)).all()


def apart(found, wanted):
    """Total variation at each character."""
    return 0.5 * (found.exp() - wanted.exp()).abs().sum(-1)


@pytest.mark.parametrize("name", ["ending", "beginning"])
def test_the_exact_marginal_is_that_of_the_texts(name, request):
    both = request.getfixturevalue(name)
    texts = list(both[0].texts)[::9]
    found = exact(both, texts)
    for row, text in enumerate(texts):
        check(found[row, : len(text)], truth(both[0], text))
        assert (found[row, len(text) :] == 0).all()


def test_on_the_texts_own_tokens_it_is_exact_where_words_are_tokens(whole):
    texts = list(whole[0].texts)[::5]
    found = on_path(whole, texts)
    for row, text in enumerate(texts):
        check(found[row, : len(text)], truth(whole[0], text))


def test_on_the_texts_own_tokens_it_is_near_where_words_are_cut(ending):
    """ "abd" is ab-d, "abc" one token with its beginnings: inside "abc" the sum does not know of ab-d."""
    texts = list(ending[0].texts)[::9]
    p = torch.tensor([ending[0].texts[text] for text in texts])
    found = on_path(ending, texts)
    gaps = torch.stack(
        [apart(found[i, : len(text)], truth(ending[0], text)).mean() for i, text in enumerate(texts)]
    )
    assert 0.001 < (p * gaps).sum() / p.sum() < 0.2
    assert gaps.min() < 1e-12


def test_by_hand():
    """One word of three characters in tokens a, ab, bc, c; the teacher's probabilities are given."""
    student, teacher = [b"a", b"b", b"c"], [b"a", b"ab", b"bc", b"c", b"<s>"]
    tree = trie(student, [*teacher[:4], b""])
    alignment = align_batch([(tokens([0, 1, 2], student), tokens([4, 0, 2], [*teacher[:4], b""]))])
    p = torch.tensor([[[0.1] * 4 + [0.6], [0.2, 0.3, 0.4, 0.1, 0.0], [0.25, 0.05, 0.6, 0.1, 0.0]]]).double()
    p[0, 0, 4] = 0  # what is said of <s> counts nothing
    found = marginal(p.log(), alignment, tree)[0].exp()
    # At 0: tokens in a, in b, in c. At 1, behind "a": ab goes on with b; the token a, and then any.
    # At 2, behind "ab": a, and bc goes on with c; the token ab ends here, but what it goes on with is not known.
    wanted = torch.tensor([[0.5, 0.4, 0.1], [0.2 * 0.3, 0.3 + 0.2 * 0.6, 0.2 * 0.1], [0, 0, 1]]).double()
    torch.testing.assert_close(found, wanted / wanted.sum(1, keepdim=True))


def test_a_batch_is_its_rows_and_padding_may_hold_anything(ending):
    texts = [b"abcab_cab_b_", b"b_b_b_", b"abc_ab_abd_"]
    for form in (exact, on_path):
        together = form(ending, texts)
        for row, text in enumerate(texts):
            torch.testing.assert_close(together[row, : len(text)], form(ending, [text])[0])
            assert (together[row, len(text) :] == 0).all()


def test_float32_logits_and_constants_that_a_softmax_takes_out(ending):
    student, teacher = ending
    text = b"abcab_cab_b_"
    alignment = align_batch([(student.tokens(text), teacher.tokens(text))])
    tree = trie(student.pieces, teacher.pieces)
    logits = teacher.logits(text)
    moved = (logits + torch.arange(logits.shape[1]).view(1, -1, 1)).float().requires_grad_()
    found = marginal(moved, alignment, tree)
    assert found.dtype == torch.float64 and not found.requires_grad
    torch.testing.assert_close(found.exp(), marginal(logits, alignment, tree).exp(), rtol=1e-4, atol=1e-6)


def test_the_exact_marginal_is_least_at_the_truth(ending):
    """Loss 0 and gradient 0 for a perfect student: what no other loss here has but words in `alm`."""
    student = ending[0]
    text = b"abcab_cab_b_"
    logits = student.logits(text).clamp(min=-60).requires_grad_()
    loss = soft_targets(logits, exact(ending, [text]))
    loss.backward()
    assert loss.abs() < 1e-12 and logits.grad.abs().max() < 1e-12
    assert soft_targets(logits, on_path(ending, [text])) > 1e-3


def test_a_vocabulary_of_words_has_no_tokens_for_half_a_word():
    """encode says None: nothing ends there."""
    student, teacher = [b"a", b"b", b"_"], [b"ab_", b"aa_", b"b_"]
    tree = trie(student, teacher)
    whole = {b"ab_": (0,), b"ab_b_": (0, 2)}
    text = tokens([0, 1, 2, 1, 2], student)
    logp = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64).log()
    found = exact_marginal(lambda beginnings: logp.expand(len(beginnings), 3), whole.get, [text], tree)[
        0
    ].exp()
    wanted = [[0.7, 0.3, 0], [0.2 / 0.7, 0.5 / 0.7, 0], [0, 0, 1], [0.7, 0.3, 0], [0, 0, 1]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_what_does_not_fit_is_refused(ending):
    student, teacher = ending
    with pytest.raises(
        ValueError, match="student's characters do not spell the teacher's token 1, b'ax', from b'x' on"
    ):
        trie([b"a"], [b"a", b"ax"])
    with pytest.raises(
        ValueError, match="the student's token b'ab' begins with b'a': it needs one way to write a text"
    ):
        trie([b"a", b"b", b"ab"], [b"a"])
    with pytest.raises(ValueError, match="the student's token b'a' stands twice, 0 and 1"):
        trie([b"a", b"a"], [b"a"])

    tree = trie([*student.pieces, b""], teacher.pieces)
    text = student.tokens(b"b_b_b_")
    with_eos = tokens([*text.ids, len(student.pieces)], [*student.pieces, b""])
    with pytest.raises(
        ValueError, match="text 0: the student's token 6 is special; leave it out, or give it bytes"
    ):
        exact_marginal(teacher_of(teacher), teacher.encode, [with_eos], tree)

    tree = trie(student.pieces, teacher.pieces)
    never = student.tokens(b"b_b_dd_")
    with pytest.raises(
        ValueError, match="text 0: the teacher gives what stands before character 5 no probability"
    ):
        exact_marginal(teacher_of(teacher), teacher.encode, [never], tree)
    looks_ahead = {b"": (), b"b": (0,)}
    with pytest.raises(
        ValueError, match=r"the tokens of b'b_' begin with \[1\], which is not what their bytes alone"
    ):
        exact_marginal(
            teacher_of(teacher),
            lambda text: looks_ahead.get(text, (1, 2)),
            [text],
            trie(student.pieces, [b"b", b"a", b"_"]),
        )
    with pytest.raises(ValueError, match="log-probs of the teacher are NaN in 2 places"):
        exact_marginal(
            lambda beginnings: torch.full((len(beginnings), len(teacher.pieces)), math.nan),
            teacher.encode, [student.tokens(b"b_")], tree,
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"the teacher gave \(2, 3\) log-probs; \(2, 12\) are needed"):
        exact_marginal(lambda beginnings: torch.zeros(2, 3), teacher.encode, [student.tokens(b"b_")], tree)
