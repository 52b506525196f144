"""Tokens carried over by their names."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.distill.losses.cross_tokenizer import (
    exact_string,
    mapped_kl,
    min_ed,
    pieces,
    require_same,
    shared,
    soft_targets,
    to_student,
)
from lab.core.distill.losses.cross_tokenizer.mapping import edit_distances

WORDS = st.lists(st.text("abc😀", min_size=1, max_size=5), min_size=1, max_size=8, unique=True)


def naive(a, b):
    """Levenshtein's recursion as it is written."""
    if not a or not b:
        return len(a) + len(b)
    return min(naive(a[1:], b) + 1, naive(a, b[1:]) + 1, naive(a[1:], b[1:]) + (a[0] != b[0]))


def beginning(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@given(st.text("abc", max_size=5), WORDS)
@settings(max_examples=40, deadline=None)
def test_edit_distances_are_those_of_the_recursion(word, words):
    width = max(map(len, words))
    codes = torch.tensor([[*map(ord, each), *[ord("a")] * (width - len(each))] for each in words])
    found = edit_distances(torch.tensor([*map(ord, word)]), codes, torch.tensor([*map(len, words)]))
    assert found.tolist() == [naive(word, each) for each in words]


@given(WORDS, WORDS)
@settings(max_examples=40, deadline=None)
def test_min_ed_is_the_nearest_by_the_stated_rule(student, teacher):
    found = min_ed([word.encode() for word in student], [word.encode() for word in teacher])
    for word, i in zip(teacher, found.tolist(), strict=True):
        best = min(
            range(len(student)), key=lambda s: (naive(word, student[s]), -beginning(word, student[s]), s)
        )
        assert i == (student.index(word) if word in student else best)


def test_min_ed_by_hand():
    student = pieces(["<s>", "▁the", "th", "e", "a", "i"], "sentencepiece", special=["<s>"])
    teacher = pieces(["<s>", "Ġthe", "the", "ie", "x", "ðŁ"], "byte-level", special=["<s>"])
    # Ġthe is ▁the; the is 1 from both ▁the and th, of which th has its beginning; ie is 1 from e and i, i has its
    # beginning; x is 1 from e, a and i, e has the lowest id; half an emoji is two characters, as far from th as from e
    assert min_ed(student, teacher).tolist() == [-1, 1, 2, 5, 3, 2]
    assert min_ed(student, teacher, also=[(0, 0)]).tolist()[0] == 0
    assert exact_string(student, teacher).tolist() == [-1, 1, -1, -1, -1, -1]


def test_byte_tokens_stand_behind_the_ordinary_token_of_the_same_byte():
    student = pieces(["<0x61>", "a"], "sentencepiece")
    assert exact_string(student, [b"a"]).tolist() == [1]
    assert exact_string([b"a"], student).tolist() == [0, 0]
    pairs = shared(student, student)
    assert (pairs.student.tolist(), pairs.teacher.tolist()) == ([1], [1])


def test_carried_over_by_hand():
    p = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    mapping = torch.tensor([1, 1, -1, 2])
    by_max = to_student(p.log(), mapping, 4).exp()
    by_sum = to_student(p.log(), mapping, 4, "sum").exp()
    torch.testing.assert_close(by_max, torch.tensor([0, 0.2, 0.4, 0], dtype=torch.float64) / 0.6)
    torch.testing.assert_close(by_sum, torch.tensor([0, 0.3, 0.4, 0], dtype=torch.float64) / 0.7)
    nothing = torch.tensor([0.0, 0.0, 1.0, 0.0]).log()
    for merge in ("max", "sum"):
        assert (to_student(nothing, mapping, 4, merge) == -math.inf).all()


def test_at_equal_vocabularies_it_is_plain_kl_and_least_at_the_target():
    pieces_ = [b"a", b"b", b"cd"]
    draw = torch.Generator().manual_seed(0)
    teacher, student = (torch.randn(2, 3, 3, dtype=torch.float64, generator=draw) for _ in range(2))
    mapping = exact_string(pieces_, pieces_)
    torch.testing.assert_close(
        mapped_kl(student, teacher, mapping, temperature=2.0), soft_targets(student, teacher, temperature=2.0)
    )
    p, q = (teacher / 2).softmax(-1), (student / 2).softmax(-1)
    by_hand = 4 * (p * (p.log() - q.log())).sum(-1).mean()
    torch.testing.assert_close(soft_targets(student, teacher, temperature=2.0), by_hand)

    mapping = torch.tensor([2, 2, -1])
    target = to_student(teacher, mapping, 4)
    at = target.clamp(min=-40).requires_grad_()
    loss = mapped_kl(at, teacher, mapping)
    loss.backward()
    assert loss < 1e-12 and at.grad.abs().max() < 1e-12


def test_where_the_teacher_has_nothing_to_say_a_unit_counts_nothing():
    teacher = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]]).log()
    student = torch.zeros(1, 2, 2, requires_grad=True)
    loss = mapped_kl(student, teacher, torch.tensor([0, -1]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert student.grad[0, 0].tolist() == [0, 0] and student.grad.isfinite().all()


def test_a_character_is_not_what_the_teacher_says_with_the_same_name(ending):
    """Where words begin, the student's "a" stands for all words in a; no token of the teacher's is just an "a"."""
    student, teacher = ending
    target = to_student(teacher.logp(()), exact_string(student.pieces, teacher.pieces), len(student.pieces))
    truth = student.logp(())
    a = student.pieces.index(b"a")
    assert truth[a].exp() > 0.5 and target[a].exp() < 1e-12


def test_vocabularies_that_do_not_match_are_refused():
    with pytest.raises(
        ValueError, match="no token of the student's 2 is one of the teacher's 1; are spaces and bytes"
    ):
        shared([b"a", b"b", b""], [b"c", b""])
    with pytest.raises(ValueError, match="no token of the student's 1"):
        exact_string([b"a"], [b"c"])
    assert len(shared([b""], [b""], also=[(0, 0)]).student) == 1
    with pytest.raises(ValueError, match="a vocabulary has no token that writes anything"):
        min_ed([b"a"], [b""])
    with pytest.raises(
        ValueError, match="a mapping of 2 tokens to 3 or more does not fit a teacher with 2 and a student"
    ):
        mapped_kl(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="unknown merge 'mean'; known: max, sum"):
        to_student(torch.zeros(2), torch.tensor([0, 1]), 2, "mean")


def test_the_same_size_is_not_the_same_vocabulary():
    require_same([b"a", b"b"], [b"a", b"b"])
    with pytest.raises(
        ValueError,
        match="both vocabularies have 3 tokens, but 2 of them differ, first 1: b'b' for the student, b'c' for the",
    ):
        require_same([b"a", b"b", b"c"], [b"a", b"c", b"b"])
    with pytest.raises(
        ValueError, match="the student has 1 tokens and the teacher 2: this needs one vocabulary"
    ):
        require_same([b"a"], [b"a", b"b"])
