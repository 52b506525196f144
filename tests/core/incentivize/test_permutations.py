"""Permutations by rank, what is held out, and what Bayes would guess, by enumeration."""

import itertools
import math

import numpy as np
import pytest

from lab.core.incentivize.diversity.params import Params
from lab.core.incentivize.diversity.permutations import (
    Sequences,
    by_elimination,
    by_memory,
    of_rank,
    sequences,
    split,
)


def test_ranks_are_in_lexicographic_order():
    assert of_rank(np.arange(24), 4).tolist() == [list(p) for p in itertools.permutations(range(4))]
    assert of_rank(np.array([0, math.factorial(10) - 1]), 10).tolist() == [
        list(range(10)),
        list(range(9, -1, -1)),
    ]


@pytest.mark.parametrize("tasks", [1, 7, 20, 24])
def test_known_permutations_are_distinct_and_none_is_held_out(tasks):
    random = np.random.default_rng(tasks)
    found = split(tasks, 4, 4, random)
    new = {tuple(p) for p in found.new(500, random)}
    known = {tuple(p) for p in found.known(2000, random)}
    assert len(new) == 4 and len(known) == min(tasks, 20) and not new & known
    if tasks < 20:
        assert len({tuple(p) for p in found.tasks}) == tasks


def test_more_tasks_have_the_fewer_among_them_and_the_same_held_out():
    few, many = (split(tasks, 256, 10, np.random.default_rng(3)) for tasks in (16, 1024))
    assert few.ranks.tolist() == many.ranks[:16].tolist()
    assert few.held_out.tolist() == many.held_out.tolist()
    assert not set(many.ranks.tolist()) & set(many.held_out.tolist())


def test_sequences_follow_their_permutation_and_say_what_has_been_shown():
    permutations = of_rank(np.array([5, 11]), 4)
    found = sequences(permutations, 9, np.random.default_rng(0))
    for row in range(2):
        seen = set()
        for key, value, shown in zip(found.keys[row], found.values[row], found.shown[row], strict=True):
            assert value == permutations[row][key] and shown == (key in seen)
            seen.add(key)
    plain, joint = found.ids(4, False), found.ids(4, True)
    assert plain.shape == joint.shape == (2, 17)
    assert (plain[:, ::2] == found.keys).all() and (joint[:, ::2] == found.keys).all()
    assert (plain[:, 1::2] == 4 + found.values[:, :-1]).all()
    assert ((joint[:, 1::2] - 4) // 4 == found.keys[:, :-1]).all()
    assert ((joint[:, 1::2] - 4) % 4 == found.values[:, :-1]).all()


def posterior(tasks, keys, values, place):
    """The largest probability of a value at a place, by going through all permutations."""
    fits = [p for p in tasks if all(p[k] == v for k, v in zip(keys[:place], values[:place], strict=True))]
    return max(sum(p[keys[place]] == s for p in fits) for s in range(len(tasks[0]))) / len(fits)


def test_what_bayes_guesses_is_what_enumeration_says():
    random = np.random.default_rng(1)
    every = [list(p) for p in itertools.permutations(range(4))]
    some = [every[i] for i in (0, 3, 8, 9, 20)]
    for tasks, by in ((every, by_elimination), (some, by_memory)):
        of = sequences(np.array(tasks)[random.integers(len(tasks), size=30)], 7, random)
        found = by(of, 4) if by is by_elimination else by(of, np.array(tasks))
        for row in range(30):
            for place in range(7):
                expected = posterior(tasks, of.keys[row], of.values[row], place)
                assert found[row, place] == pytest.approx(expected)


def test_elimination_by_hand():
    of = Sequences(np.array([[0, 1, 0, 2]]), np.array([[2, 0, 2, 1]]))
    assert by_elimination(of, 3).tolist() == [[pytest.approx(1 / 3), 0.5, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tasks": 0}, "1 or more, or all"),
        ({"tasks": -3}, "1 or more, or all"),
        ({"symbols": 3, "held_out": 6}, "none is left to train on"),
    ],
)
def test_impossible_numbers_of_permutations_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Params(**given)


def test_all_is_a_number_of_tasks():
    assert split(Params(tasks="all").tasks, 256, 10, np.random.default_rng(0)).ranks is None
