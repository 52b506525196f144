"""Each encoding of positions against its formula, known values, limits and invariances."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lab.core.position import ENCODINGS, Encoding, Sizes, Undefined, encoding
from lab.core.position.biases import t5
from lab.core.position.grid import Mixed
from lab.core.position.interface import EMBEDDING_SCALE
from lab.core.position.longer_rotary import interpolated, ntk, yarn
from lab.core.position.own_places import coupled
from lab.core.position.rotary import partial_rope

SIZES = Sizes(d_model=64, heads=2, context=64)
LONGER = Sizes(d_model=64, heads=2, context=64, trained=16)
PAIRS, THETA = 16, 10_000.0
POSITIONS = torch.arange(64)
ROTARY = ("rope", "partial-rope", "rope-pi", "rope-ntk", "rope-yarn", "randomised")


def added(name: str, positions: Tensor, sizes: Sizes = SIZES) -> Tensor:
    found = encoding(name, sizes).added
    assert found is not None
    return found(positions).detach().double()


def turned(made: Encoding, positions: Tensor) -> Tensor:
    assert made.rotation is not None
    return made.rotation(positions).detach()


def angles(made: Encoding) -> list[float]:
    """Of each pair at position 1, by which it turns from one position to the next."""
    return turned(made, torch.tensor([1.0], dtype=torch.float64))[0].angle().tolist()


def frequency(j: int, pairs: int = PAIRS, theta: float = THETA) -> float:
    return theta ** (-j / pairs)


def close(found: Tensor, expected: object, within: float = 1e-6) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=0, atol=within)


# Added to the embeddings


def test_integer_is_the_position_in_each_component() -> None:
    close(added("integer", POSITIONS), [[0.02 * p] * 64 for p in range(64)])


def test_binary_has_the_digits_from_the_lowest_on() -> None:
    found = added("binary", POSITIONS) / EMBEDDING_SCALE
    for p in (0, 1, 5, 63):
        digits = [float(digit) for digit in reversed(f"{p:06b}")]
        close(found[p], (digits * 11)[:64])


def test_sinusoids_alternate() -> None:
    found = added("sinusoidal", POSITIONS)
    wave = (math.sin, math.cos)
    expected = [[0.02 * wave[c % 2](p / THETA ** (2 * (c // 2) / 64)) for c in range(64)] for p in range(64)]
    close(found, expected, 1e-8)


def test_a_shift_of_sinusoids_is_a_linear_map() -> None:
    """E(p + k) = M_k·E(p) with one M_k for all p, as of the post; binary digits have none."""

    def residual(name: str) -> float:
        found = added(name, torch.arange(200, dtype=torch.float64), Sizes(16, 2, 256))
        before, after = found[:-7], found[7:]
        mapped = before @ torch.linalg.lstsq(before, after, driver="gelsd").solution
        return float((mapped - after).norm() / after.norm())

    assert residual("sinusoidal") < 1e-9
    assert residual("binary") > 0.1


def test_learned_has_a_row_for_each_position_of_training_and_no_other() -> None:
    part = encoding("learned", LONGER).added
    assert isinstance(part, torch.nn.Embedding)
    torch.testing.assert_close(part(torch.tensor([[3, 15]])), part.weight[[3, 15]][None])
    assert float(part.weight.detach().std()) == pytest.approx(EMBEDDING_SCALE, rel=0.1)
    with pytest.raises(Undefined, match="learned has vectors of 16 positions: 16 has none"):
        part(torch.tensor([0, 16]))


# Added to the scores


def test_the_slopes_of_alibi_are_those_of_the_paper() -> None:
    """8 heads: 1/2, 1/4, …, 1/256; 4 heads: 1/4, 1/16, 1/64, 1/256 (arXiv:2108.12409, §3)."""
    for heads, slopes in ((8, [2.0**-i for i in range(1, 9)]), (4, [1 / 4, 1 / 16, 1 / 64, 1 / 256])):
        made = encoding("alibi", Sizes(64, heads, 16))
        found = made.scores_by_distance(torch.tensor([0, 1, 10]))
        assert found is not None
        close(found, [[0.0, -slope, -10 * slope] for slope in slopes])


def test_the_buckets_of_t5() -> None:
    bias = t5(SIZES).bias
    distances = torch.arange(1000)
    found = bias.bucket(distances)  # type: ignore[union-attr]
    assert found[:17].tolist() == list(range(17))
    assert [int(found[d]) for d in (33, 65, 127, 128, 999)] == [20 + 1, 26, 31, 31, 31]
    theirs = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention
    expected = theirs._relative_position_bucket(
        -distances, bidirectional=False, num_buckets=32, max_distance=128
    )
    assert found.tolist() == expected.tolist()


def test_the_bias_of_t5_is_its_buckets_row_with_a_gradient() -> None:
    bias = t5(SIZES, buckets=8, farthest=20).bias
    assert isinstance(bias, torch.nn.Module)
    weight = bias.weight
    assert not weight.any()
    with torch.no_grad():
        weight.copy_(torch.arange(16.0).view(8, 2))
    found = bias(torch.tensor([0, 3, 5, 500]))
    # 4 + ⌊4·ln(5/4)/ln(5)⌋ = 4
    assert found.tolist() == [[0, 6, 8, 14], [1, 7, 9, 15]]
    found.sum().backward()
    assert weight.grad is not None
    assert weight.grad[:, 0].tolist() == [1, 0, 0, 1, 1, 0, 0, 1]


def test_buckets_that_reach_too_far_are_refused() -> None:
    with pytest.raises(ValueError, match="40 buckets reach farther than 20"):
        t5(SIZES, buckets=40, farthest=20)


# Turning queries and keys


def test_rope_turns_each_pair_by_its_frequency() -> None:
    expected = [[cmath.exp(1j * p * frequency(j)) for j in range(PAIRS)] for p in range(64)]
    close(turned(encoding("rope", SIZES), POSITIONS), expected)
    close(turned(encoding("rope", SIZES), POSITIONS.double()), expected, 1e-12)


@pytest.mark.parametrize("name", ROTARY)
def test_a_score_depends_on_the_difference_of_positions_alone(name: str) -> None:
    made = encoding(name, LONGER)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, PAIRS, generator=generator, dtype=torch.complex128)

    def score(m: int, n: int) -> float:
        r = turned(made, torch.tensor([m, n], dtype=torch.float64))
        return float(((q * r[0]) * (k * r[1]).conj()).real.sum())

    for distance in (0, 1, 13):
        scores = [score(n + distance, n) for n in (0, 1, 50, 100_000)]
        assert scores == pytest.approx([scores[0]] * 4, rel=1e-9)
    assert abs(score(13, 0) - score(0, 0)) > 0.1


def test_partial_rope_turns_the_highest_frequencies() -> None:
    expected = [frequency(j) if j < 12 else 0.0 for j in range(PAIRS)]
    assert angles(encoding("partial-rope", SIZES)) == pytest.approx(expected)


def test_partial_rope_goes_from_none_to_rope() -> None:
    at = POSITIONS
    assert torch.equal(turned(partial_rope(SIZES, 1.0), at), turned(encoding("rope", SIZES), at))
    assert torch.equal(turned(partial_rope(SIZES, 0.0), at), torch.ones(64, PAIRS, dtype=torch.complex64))
    for share in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="must be between 0 and 1"):
            partial_rope(SIZES, share)


@pytest.mark.parametrize("longer", [interpolated, ntk, yarn], ids=lambda f: f.__name__)
def test_a_factor_of_one_is_rope(longer: Callable[..., Encoding]) -> None:
    expected = turned(encoding("rope", SIZES), POSITIONS)
    torch.testing.assert_close(turned(longer(SIZES, 1.0), POSITIONS), expected)
    torch.testing.assert_close(turned(longer(SIZES), POSITIONS), expected)


@pytest.mark.parametrize("longer", [interpolated, ntk, yarn], ids=lambda f: f.__name__)
@pytest.mark.parametrize("factor", [0.0, -2.0, math.nan, math.inf])
def test_a_factor_must_be_above_zero(longer: Callable[..., Encoding], factor: float) -> None:
    with pytest.raises(ValueError, match="it must be above 0"):
        longer(SIZES, factor)


def test_interpolation_divides_positions() -> None:
    """Position 4p of four times the length is turned as p was."""
    found = turned(encoding("rope-pi", LONGER), 4 * torch.arange(16))
    torch.testing.assert_close(found, turned(encoding("rope", LONGER), torch.arange(16)))


def test_ntk_keeps_the_highest_frequency_and_divides_the_lowest() -> None:
    found = angles(encoding("rope-ntk", LONGER))
    theta = THETA * 4 ** (32 / 30)
    assert found == pytest.approx([theta ** (-2 * j / 32) for j in range(PAIRS)])
    assert found[0] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(frequency(PAIRS - 1) / 4)
    with pytest.raises(ValueError, match="rope-ntk: head_dim is 2"):
        ntk(Sizes(4, 2, 64), 2.0)


def test_yarn_has_a_ramp_between_slow_and_fast_pairs() -> None:
    """With 2,048 positions trained, as of Llama: eqs. 17 to 22 by hand."""
    sizes, s = Sizes(64, 2, 8192, trained=2048), 4.0
    made = encoding("rope-yarn", sizes)
    expected = []
    for j in range(PAIRS):
        turns = 2048 / (2 * math.pi / frequency(j))
        gamma = 0.0 if turns < 1 else 1.0 if turns > 32 else (turns - 1) / 31
        expected.append((1 - gamma) * frequency(j) / s + gamma * frequency(j))
    assert angles(made) == pytest.approx(expected)
    assert 0 < sum(frequency(j) != pytest.approx(w) for j, w in enumerate(expected)) < PAIRS
    magnitude = turned(made, POSITIONS).abs().double()
    close(magnitude**2, [[(0.1 * math.log(4) + 1) ** 2] * PAIRS] * 64)  # 1.296
    assert float(magnitude[0, 0] ** 2) == pytest.approx(1.296, abs=5e-4)


def test_an_odd_head_dim_cannot_turn() -> None:
    for name in (*ROTARY, "mixed"):
        with pytest.raises(ValueError, match="head_dim is 3"):
            encoding(name, Sizes(6, 2, 16))
    with pytest.raises(ValueError, match="axial: head_dim is 6"):
        encoding("axial", Sizes(12, 2, 16))
    with pytest.raises(ValueError, match="sinusoidal: d_model is 7"):
        encoding("sinusoidal", Sizes(7, 1, 16))


# On a grid


def test_axial_turns_half_by_the_row_and_half_by_the_column() -> None:
    found = turned(encoding("axial", SIZES), torch.tensor([[[3, 0], [0, 5]], [[3, 5], [0, 0]]]))
    rows = [cmath.exp(3j * frequency(j, PAIRS // 2)) for j in range(8)]
    columns = [cmath.exp(5j * frequency(j, PAIRS // 2)) for j in range(8)]
    still = [1 + 0j] * 8
    close(found, [[[*rows, *still], [*still, *columns]], [[*rows, *columns], [*still, *still]]])


def test_mixed_turns_by_both() -> None:
    made = encoding("mixed", SIZES)
    part = made.rotation
    assert isinstance(part, Mixed)
    down, along = part.frequency.tolist()
    expected = [cmath.exp(1j * (3 * down[j] + 5 * along[j])) for j in range(PAIRS)]
    close(turned(made, torch.tensor([3, 5])), expected)
    close(part.frequency.detach().norm(dim=0).double(), [frequency(j) for j in range(PAIRS)])


@pytest.mark.parametrize("name", ["axial", "mixed"])
def test_on_a_grid_a_score_depends_on_the_offset_alone(name: str) -> None:
    made = encoding(name, SIZES)
    offset = torch.tensor([2.0, -3.0], dtype=torch.float64)
    at = torch.tensor([[0.0, 0.0], [7.0, 1.0], [900.0, 30.0]], dtype=torch.float64)
    found = turned(made, at + offset) * turned(made, at).conj()
    torch.testing.assert_close(found, found[:1].expand_as(found), rtol=0, atol=1e-9)


# Positions of their own


def test_randomised_positions_increase_within_the_context() -> None:
    places = encoding("randomised", SIZES).places
    assert places is not None
    ids = torch.zeros(200, 10, dtype=torch.int64)
    torch.manual_seed(0)
    found = places(ids, True)
    assert bool((found.diff(dim=1) > 0).all())
    assert int(found.min()) == 0 and int(found.max()) == 63
    # The k-th smallest of n of 0 … L − 1 has the mean (k + 1)·(L + 1)/(n + 1) − 1.
    means = [(k + 1) * 65 / 11 - 1 for k in range(10)]
    close(found.double().mean(0), means, 2.0)
    assert not torch.equal(found, places(ids, True))
    tested = places(ids, False)
    assert torch.equal(tested, places(ids, False)) and bool((tested == tested[0]).all())
    assert torch.equal(places(torch.zeros(1, 64, dtype=torch.int64), True)[0], POSITIONS)
    with pytest.raises(Undefined, match="64 positions: 65 tokens do not fit"):
        places(torch.zeros(1, 65, dtype=torch.int64), True)


def test_a_random_start_keeps_to_the_context() -> None:
    places = encoding("random-start", SIZES).places
    assert places is not None
    ids = torch.zeros(500, 60, dtype=torch.int64)
    torch.manual_seed(0)
    found = places(ids, True)
    assert sorted(found[:, 0].unique().tolist()) == [0, 1, 2, 3, 4]
    assert bool((found.diff(dim=1) == 1).all()) and int(found.max()) == 63
    assert places(ids, False)[0].tolist() == list(range(60))


def test_coupled_gives_digits_of_one_worth_one_position() -> None:
    """21 + 43 = 64, each number from its lowest digit on: 1 2 + 3 4 = 4 6."""
    plus, equals = 10, 11
    places = coupled(SIZES, separators=(plus, equals)).places
    assert places is not None
    ids = torch.tensor([[1, 2, plus, 3, 4, equals, 4, 6]])
    assert places(ids, False).tolist() == [[1, 2, 0, 1, 2, 0, 1, 2]]
    torch.manual_seed(0)
    found = places(ids.expand(300, -1), True)
    assert bool((found[:, [2, 5]] == 0).all())
    units, tens = found[:, [0, 3, 6]], found[:, [1, 4, 7]]
    assert bool((units == units[:, :1]).all()) and bool((tens == units + 1).all())
    assert int(units.min()) == 1 and int(tens.max()) == 63
    assert len(units[:, 0].unique()) > 30


def test_a_text_longer_than_the_context_is_not_wrapped() -> None:
    """Positions beyond the table are asked for, and refused by it, rather than moved to negative ones."""
    made = coupled(Sizes(8, 2, 4), separators=(9,))
    assert made.places is not None and made.added is not None
    found = made.places(torch.zeros(1, 8, dtype=torch.int64), True)
    assert found.tolist() == [list(range(1, 9))]
    with pytest.raises(Undefined, match="8 has none"):
        made.added(found)


def test_coupled_needs_separators() -> None:
    with pytest.raises(ValueError, match="`separators`, their ids"):
        encoding("coupled", SIZES)


# Names, and what all have in common


def test_a_wrong_name_has_the_nearest() -> None:
    with pytest.raises(
        ValueError, match="no position encoding rop. Did you mean rope\\? There are: none, integer"
    ):
        encoding("rop", SIZES)


def test_slopes_and_bias_exclude_each_other_and_places() -> None:
    slopes = torch.ones(2)
    with pytest.raises(ValueError, match="slopes or bias"):
        Encoding(slopes=slopes, bias=lambda d: d)
    with pytest.raises(ValueError, match="places would change nothing"):
        Encoding(slopes=slopes, places=lambda ids, training: ids)


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "coupled"])
def test_models_get_single_precision_and_algebra_double(name: str) -> None:
    made = encoding(name, SIZES)
    at = torch.arange(6).view(2, 3) if made.axes == 1 else torch.arange(12).view(2, 3, 2)
    for part in (made.added, made.rotation):
        if part is None:
            continue
        found = part(at)
        assert found.dtype in (torch.float32, torch.complex64)
        if name not in ("learned", "random-start"):
            double = part(at.double())
            assert double.dtype in (torch.float64, torch.complex128)
            torch.testing.assert_close(double.to(found.dtype), found, rtol=0, atol=1e-6)
