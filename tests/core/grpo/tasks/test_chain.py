"""`chain`: traces recomputed from the text alone, shares of the mixture, and the arithmetic of each structure."""

import re
from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.core.grpo.rewards import language_consistency
from lab.core.grpo.tasks import Mixture, task
from lab.core.grpo.tasks.chain import GENERATORS, compose, structure_of

PERFECT = Mixture(long=1.0, noise=0.0, slips=0.0, leaps=0.0)
KINDS = [
    {"structure": "z2"},
    {"structure": "z10"},
    {"structure": "z10", "operators": "+-*"},
    {"structure": "s5"},
]
LETTERS = {"structure": "z10", "operators": "+-*", "alphabet": "ABCDEFGHIJ"}
BOTH = {"mixed": 0.4, "second": 0.3}


def value(structure, text):
    """An expression from left to right, without any of the code under test."""
    if structure == "s5":
        start = list(range(5))
        for word in text.split("*"):
            start = ["abcde".index(word[i]) for i in start]
        return "".join("abcde"[i] for i in start)
    first, *rest = re.split(r"([+*-])", text)
    total = int(first)
    for op, y in zip(rest[::2], rest[1::2], strict=True):
        total = {"+": total + int(y), "-": total - int(y), "*": total * int(y)}[op]
    return str(total % int(structure[1:]))


def parsed(completion):
    """(steps, answer) of a long answer with whole tags."""
    trace, answer = re.fullmatch(r"<think>(.*)</think><answer>(.*)</answer><eos>", completion).groups()
    return [step.split("=") for step in trace.split(",")], answer


def made(count, mixture, seed=0, **options):
    return task("chain", **options).demonstrations(np.random.default_rng(seed), count, mixture)


def in_digits(step):
    """A step in either alphabet, in the prompt's; refused if it is in both."""
    assert not (set(step) & set("0123456789") and set(step) & set(LETTERS["alphabet"]))
    return "".join(str("ABCDEFGHIJ".index(sign)) if sign.isalpha() else sign for sign in step)


def agrees(hits, n, p, sigmas=5):
    """Binomial bounds that a right share misses once in a million runs; the seed is fixed."""
    assert abs(hits - n * p) <= sigmas * (n * p * (1 - p)) ** 0.5, (hits / n, p)


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("leaps", [0.0, 1.0])
def test_a_perfect_trace_is_right_in_every_step(options, leaps):
    structure = options["structure"]
    mixture = Mixture(long=1.0, noise=0.0, slips=0.0, leaps=leaps)
    for problem, completion in made(500, mixture, **options):
        steps, answer = parsed(completion)
        assert all(value(structure, left) == right for left, right in steps)
        assert answer == steps[-1][1] == problem.answer == value(structure, problem.prompt.rstrip("="))
        # Nothing of the prompt is left out: the operands of the steps are those of the prompt, in order.
        written = steps[0][0]
        for (left, _), (_, before) in zip(steps[1:], steps, strict=False):
            assert left.startswith(before)
            written += left.removeprefix(before)
        assert written == problem.prompt.rstrip("=")
        assert len(steps) == (-(-problem.difficulty // 2) if leaps else problem.difficulty)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_an_error_is_carried_on_and_the_answer_follows_the_trace(options):
    structure = options["structure"]
    wrong = steps_seen = 0
    for problem, completion in made(3000, Mixture(1.0, 0.2, 0.0, 0.0), **options):
        steps, answer = parsed(completion)
        assert answer == steps[-1][1]
        assert all(left.startswith(before) for (left, _), (_, before) in zip(steps[1:], steps, strict=False))
        wrong += sum(value(structure, left) != right for left, right in steps)
        steps_seen += problem.difficulty
    agrees(wrong, steps_seen, 0.2)


@pytest.mark.parametrize("structure,m", [("z2", 2), ("z10", 10), ("s5", 120)])
@pytest.mark.parametrize("noise", [0.03, 0.2])
@pytest.mark.parametrize("leaps", [0.0, 1.0])
def test_the_share_of_right_answers(structure, m, noise, leaps):
    depth, n = 6, 20_000
    pairs = made(n, Mixture(1.0, noise, 0.0, leaps), structure=structure, base=(depth, depth))
    hits = sum(parsed(completion)[1] == problem.answer for problem, completion in pairs)
    # Over a group errors can cancel; a trace without any error has chance (1-ε)^k.
    agrees(hits, n, 1 / m + (1 - 1 / m) * (1 - noise * m / (m - 1)) ** depth)
    if not leaps:
        clean = sum(
            all(value(structure, x) == y for x, y in parsed(completion)[0]) for _, completion in pairs
        )
        agrees(clean, n, (1 - noise) ** depth)


def test_the_shares_of_the_mixture():
    n = 20_000
    pairs = made(n, Mixture(long=0.3, noise=0.0, slips=0.4, leaps=0.25), base=(2, 6))
    long = [(p, c) for p, c in pairs if not c.startswith("<answer>")]
    agrees(len(long), n, 0.3)
    opened = [c for _, c in long if "<think>" in c]
    closed = [c for _, c in long if "</think>" in c]
    agrees(len(long) - len(opened), len(long), 0.2)
    agrees(len(long) - len(closed), len(long), 0.2)
    assert all("<think>" in c or "</think>" in c for _, c in long)
    agrees(sum(c.count("=") < p.difficulty for p, c in long), len(long), 0.25)
    assert all(c == f"<answer>{p.answer}</answer><eos>" for p, c in pairs if c.startswith("<answer>"))


def test_the_shares_of_the_alphabets():
    n = 20_000
    pairs = made(n, Mixture(long=0.5, noise=0.0, slips=0.0, leaps=0.0, **BOTH), **LETTERS, base=(4, 4))
    traces = [trace for _, c in pairs if (trace := c.partition("</think>")[0]).startswith("<think>")]
    agrees(len(traces), n, 0.5)
    which = [
        "".join("12"[step[0].isalpha()] for step in t.removeprefix("<think>").split(",")) for t in traces
    ]
    # Of four tosses all fall alike in one of eight, and such a mixed trace is in one alphabet.
    agrees(which.count("1111"), len(traces), 0.6 * 0.7 + 0.4 / 16)
    agrees(which.count("2222"), len(traces), 0.6 * 0.3 + 0.4 / 16)
    for pattern in ("1211", "2122", "1122", "1212"):
        agrees(which.count(pattern), len(traces), 0.4 / 16)


@pytest.mark.parametrize("leaps", [0.0, 1.0])
def test_a_trace_says_the_same_in_either_alphabet(leaps):
    for problem, completion in made(1000, Mixture(1.0, 0.0, 0.0, leaps, **BOTH), **LETTERS):
        steps, answer = parsed(completion)
        steps = [tuple(in_digits("=".join(step)).split("=")) for step in steps]
        assert all(value("z10", left) == right for left, right in steps)
        assert all(left.startswith(before) for (left, _), (_, before) in zip(steps[1:], steps, strict=False))
        assert answer == steps[-1][1] == problem.answer
        assert len(steps) == (-(-problem.difficulty // 2) if leaps else problem.difficulty)


def test_each_alphabet_has_errors_of_its_own_and_the_answer_follows_them():
    steps, wrong = {True: 0, False: 0}, {True: 0, False: 0}
    for _, completion in made(5000, Mixture(1.0, 0.05, 0.0, 0.0, **BOTH, second_noise=0.2), **LETTERS):
        trace, answer = parsed(completion)
        assert in_digits(trace[-1][1]) == answer
        for left, right in trace:
            steps[left[0].isalpha()] += 1
            wrong[left[0].isalpha()] += value("z10", in_digits(left)) != in_digits(right)
    agrees(wrong[False], steps[False], 0.05)
    agrees(wrong[True], steps[True], 0.2)


@pytest.mark.parametrize("leaps", [0.0, 0.5])
def test_the_share_of_right_answers_in_two_alphabets(leaps):
    depth, n = 4, 40_000
    mixture = Mixture(1.0, 0.02, 0.0, leaps, **BOTH, second_noise=0.2)
    pairs = made(n, mixture, **LETTERS | {"operators": "+"}, base=(depth, depth))
    hits = sum(parsed(completion)[1] == problem.answer for problem, completion in pairs)

    def right(*noises):
        return np.prod([1 - noise * 10 / 9 for noise in noises])

    # A mixed trace without leaps tosses four times, one of leaps twice.
    steps = (right(0.02) + right(0.2)) ** 4 / 16
    pairs_of_steps = (right(0.02, 0.02) + right(0.2, 0.2)) ** 2 / 4
    whole = 0.7 * right(*[0.02] * 4) + 0.3 * right(*[0.2] * 4)
    agrees(hits, n, 0.1 + 0.9 * (0.6 * whole + 0.4 * ((1 - leaps) * steps + leaps * pairs_of_steps)))
    if not leaps:
        clean = sum(
            all(value("z10", in_digits(x)) == in_digits(y) for x, y in parsed(completion)[0])
            for _, completion in pairs
        )
        # A step of a mixed trace is wrong with the mean of both.
        agrees(clean, n, 0.6 * (0.7 * 0.98**4 + 0.3 * 0.8**4) + 0.4 * 0.89**4)


def test_the_reward_for_one_language_on_demonstrations():
    def earned(**shares):
        pairs = made(300, Mixture(**{"long": 1.0, "slips": 0.0} | shares), **LETTERS, base=(4, 4))
        problems, completions = zip(*pairs, strict=True)
        return language_consistency(*task("chain", **LETTERS).alphabets, target="0123456789")(
            problems, completions
        )

    assert set(earned()) == {1.0}
    assert set(earned(second=1.0)) == {0.0}
    assert set(earned(mixed=1.0, leaps=0.0)) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert set(earned(slips=1.0)) == set(earned(long=0.0)) == {0.0}


def test_slips_leave_the_answer_readable():
    chain = task("chain")
    pairs = made(200, Mixture(long=1.0, noise=0.0, slips=1.0))
    assert all(chain.is_right(problem, completion) for problem, completion in pairs)


def test_untagged_answers_begin_alike():
    pairs = made(4000, Mixture(long=0.5, noise=0.0, slips=0.3, tagged=False), structure="z2", base=(2, 6))
    assert not any("think>" in completion for _, completion in pairs)
    assert all(completion[0] in "01" for _, completion in pairs)
    short = [(p, c) for p, c in pairs if c[1:].startswith("<answer>")]
    agrees(len(short), len(pairs), 0.5)
    assert all(c == f"{p.answer}<answer>{p.answer}</answer><eos>" for p, c in short)
    chain = task("chain", structure="z2")
    assert all(chain.is_right(problem, completion) for problem, completion in pairs)


def test_direct_noise_guesses():
    n = 10_000
    pairs = made(n, Mixture(long=0.0, direct_noise=1.0))
    agrees(sum(task("chain").is_right(p, c) for p, c in pairs), n, 0.1)


def test_composition_is_that_of_permutation_matrices_and_associative():
    kind = structure_of("s5", "*")
    assert kind.elements == tuple(map("".join, permutations("abcde")))
    table = np.array(kind.tables["*"])
    matrices = np.stack([np.eye(5, dtype=int)[["abcde".index(c) for c in e]] for e in kind.elements])
    product = np.einsum("xij,yjk->xyik", matrices, matrices)
    assert (matrices[table] == product).all()
    assert (table[table] == table[:, table]).all()  # (xy)z = x(yz), for all 120³
    assert compose("bacde", "bcdea") == "cbdea"  # a goes to b, and then to c


def test_the_generators_reach_all_of_s5():
    reached = {"abcde"}
    while more := {compose(x, g) for x in reached for g in GENERATORS} - reached:
        reached |= more
    assert len(reached) == 120


@pytest.mark.parametrize("options", [*KINDS, LETTERS, {"structure": "z2", "alphabet": "ox"}], ids=str)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), tagged=st.booleans())
def test_every_demonstration_fits_and_survives_the_vocabulary(options, seed, tagged):
    chain = task("chain", **options)
    words = chain.vocabulary
    mixture = Mixture(long=0.7, noise=0.1, slips=0.3, leaps=0.2, tagged=tagged, direct_noise=0.1,
                      **BOTH if "alphabet" in options else {})  # fmt: skip
    for problem, completion in chain.demonstrations(np.random.default_rng(seed), 30, mixture):
        prompt, ids = words.encode(problem.prompt), words.encode(completion)
        assert words.decode(prompt + [words.pad]) == problem.prompt
        assert words.decode(ids) == completion
        assert ids[-1] == words.eos
        assert words.eos not in ids[:-1] and words.pad not in ids
        assert len(prompt) <= chain.longest_prompt and len(ids) <= chain.longest_completion


def test_the_longest_lengths_are_reached():
    chain = task("chain", base=(4, 4), train=(2, 3), harder=(3, 4))
    words = chain.vocabulary
    pairs = chain.demonstrations(np.random.default_rng(0), 20, PERFECT)
    assert {len(words.encode(p.prompt)) for p, _ in pairs} == {chain.longest_prompt}
    assert {len(words.encode(c)) for _, c in pairs} == {chain.longest_completion}


@pytest.mark.parametrize(
    "options,word",
    [
        ({"structure": "z11"}, "structure is z11"),
        ({"structure": "z2", "operators": "*"}, "operators of z2"),
        ({"operators": "++"}, "operators of z10"),
        ({"structure": "s5", "generators": ["abcdd"]}, "generator abcdd"),
        ({"structure": "s5", "generators": []}, "at least one generator"),
        ({"base": (0, 3)}, "base is"),
        ({"train": (5, 4)}, "train is"),
        ({"harder": (9,)}, "harder is"),
        ({"harder": (9, 9.5)}, "harder is"),
        ({"alphabet": "ABC"}, "z10 needs 10 letters"),
        ({"alphabet": "ABCDEFGHIA"}, "all different"),
        ({"alphabet": "ABCDEFGHI9"}, "'9' cannot stand"),
        ({"alphabet": "ABCDEFGHI="}, "'=' cannot stand"),
        ({"alphabet": "ABCDEFGHI<"}, "'<' cannot stand"),
        ({"alphabet": "ABCDEFGHI "}, "' ' cannot stand"),
        ({"structure": "s5", "alphabet": "ABC"}, "s5 has none"),
    ],
)
def test_an_option_without_meaning_is_refused(options, word):
    with pytest.raises(ValueError, match=word):
        task("chain", **options)


@pytest.mark.parametrize("shares", [{"second": 0.5}, {"mixed": 0.1}])
def test_a_second_alphabet_that_is_not_there(shares):
    with pytest.raises(ValueError, match="second alphabet, and there is none"):
        made(1, Mixture(**shares))


def test_operators_may_be_a_list():
    problems = task("chain", operators=["-", "*"]).problems(np.random.default_rng(0), 50, "train")
    assert {c for p in problems for c in p.prompt if not c.isdigit()} == set("-*=")


@pytest.mark.parametrize(
    "structure, tagged, threshold, shown",
    [("z2", False, 1 / 3, 8000), ("z10", False, 1 / 11, 40_000), ("z2", True, 1 / 2, 8000)],
)
@pytest.mark.parametrize("side", [-1, 1])
def test_greedy_thinks_from_the_threshold_on(structure, tagged, threshold, shown, side):
    """The likeliest next tokens, one after the other, by their frequencies in the demonstrations of each prompt."""
    one = task("chain", structure=structure, base=(1, 1))
    mixture = Mixture(
        long=threshold + 0.05 * side, noise=0.0, slips=0.0, leaps=0.0, tagged=tagged, direct_noise=1.0
    )
    following = defaultdict(Counter)
    prompts = set()
    for problem, text in one.demonstrations(np.random.default_rng(0), shown, mixture):
        written = (problem.prompt,)
        prompts.add(written)
        for token in re.findall(r"<[^>]+>|.", text):
            following[written][token] += 1
            written = (*written, token)
    thinks = 0
    for written in prompts:
        while written[-1] != "<eos>":
            written = (*written, following[written].most_common(1)[0][0])
        thinks += "=" in written[1:]
    assert thinks == len(prompts) * (side > 0)
