"""What `position-algebra` counts, against loops, closed forms and enumeration."""

from __future__ import annotations

import cmath
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from one_trial import context_in
from pydantic import ValidationError
from torch import Tensor

from lab.core.experiment.load import load
from lab.core.position import Encoding, Sizes, encoding
from lab.core.position.algebra import geometry, scores
from lab.core.position.algebra.trial import Params, trial
from lab.core.position.user_encoding import EncodingError
from lab.core.trial import Refused

SIZES = Sizes(d_model=16, heads=2, context=300)
LINE = torch.arange(300, dtype=torch.float64)
PAIRS = 4


def rotation(name: str = "rope", sizes: Sizes = SIZES) -> Any:
    return encoding(name, sizes).rotation


def frequency(j: int, theta: float = 10_000.0) -> float:
    return theta ** (-j / PAIRS)


# Scores


@pytest.mark.parametrize("name", ["none", "sinusoidal", "alibi", "t5", "rope", "rope-yarn"])
def test_a_score_is_the_product_of_query_and_key_and_what_is_added(name: str) -> None:
    made = encoding(name, Sizes(16, 2, 300, trained=75))
    if name == "t5":
        torch.nn.init.normal_(made.bias.weight.requires_grad_(False))  # type: ignore[union-attr]
    text = scores.text(SIZES, 6, seed=1)
    at = [3, 4, 5, 6, 7, 8]
    found = scores.scores(text, made, torch.tensor(at, dtype=torch.float64))
    for head in range(2):
        columns = slice(8 * head, 8 * head + 8)
        for i, m in enumerate(at):
            for j, n in enumerate(at):
                x, y = text.embeddings[i].clone(), text.embeddings[j].clone()
                if name == "sinusoidal":
                    for c in range(16):
                        wave, speed = (math.sin, math.cos)[c % 2], 10_000 ** (-2 * (c // 2) / 16)
                        x[c] += wave(m * speed)
                        y[c] += wave(n * speed)
                q, k = (x @ text.query)[columns].tolist(), (y @ text.key)[columns].tolist()
                expected = 0.0
                for pair in range(PAIRS):
                    turn = 1.0 + 0j
                    if name == "rope":
                        turn = cmath.exp(1j * (m - n) * frequency(pair))
                    if name == "rope-yarn":
                        kept = min(1, max(0, (75 * frequency(pair) / (2 * math.pi) - 1) / 31))
                        turn = cmath.exp(1j * (m - n) * frequency(pair) * (kept + (1 - kept) / 4))
                        turn *= (0.1 * math.log(4) + 1) ** 2
                    a = complex(q[2 * pair], q[2 * pair + 1])
                    b = complex(k[2 * pair], k[2 * pair + 1])
                    expected += (a * b.conjugate() * turn).real
                expected /= math.sqrt(8)
                if name == "alibi":
                    expected -= 2.0 ** (-4 * (head + 1)) * abs(m - n)
                if name == "t5":  # below 16 each distance has its own
                    expected += float(made.bias.weight[abs(m - n), head])  # type: ignore[union-attr]
                assert float(found[head, i, j]) == pytest.approx(expected, abs=1e-6)


def test_a_shift_changes_the_scores_of_integers_as_the_formula_says() -> None:
    """Integers add p to each component: S′ − S = Δ·(u_q·k + q·u_k + Δ·u_q·u_k)/√d, u the sums of the weights' rows."""
    text, made = scores.text(SIZES, 5, seed=2), encoding("integer", SIZES)
    at, by = torch.arange(5, dtype=torch.float64), 10
    x = text.embeddings + at[:, None]
    change = 0.0
    size = 0.0
    for head in range(2):
        columns = slice(8 * head, 8 * head + 8)
        q, k = (x @ text.query)[:, columns], (x @ text.key)[:, columns]
        u, v = text.query.sum(0)[columns], text.key.sum(0)[columns]
        change += float((by * ((k @ u)[None, :] + (q @ v)[:, None] + by * (u @ v))).square().sum())
        size += float((q @ k.T).square().sum())
    assert scores.moved(text, made, at, by) == pytest.approx(math.sqrt(change / size))


def test_two_equal_tokens_are_told_apart_by_order_or_position_alone() -> None:
    text, at = scores.text(SIZES, scores.TOKENS, seed=0), LINE[: scores.TOKENS]
    assert scores.twins(text, encoding("none", SIZES), at, causal=False) < 1e-12
    assert scores.twins(text, encoding("none", SIZES), at, causal=True) > 0.1
    assert scores.twins(text, encoding("rope", SIZES), at, causal=False) > 0.01
    flat = Encoding(added=lambda positions: torch.ones(len(positions), 16))
    assert scores.twins(text, flat, at, causal=False) < 1e-12


def test_causal_order_leaves_out_what_follows() -> None:
    """The first of two tokens that see nothing but each other's equals is as the second."""
    text = scores.text(SIZES, scores.TOKENS, seed=0)
    same = text.embeddings[:1].expand(scores.TOKENS, -1).clone()
    text = scores.Text(same, text.query, text.key, text.value, text.heads)
    assert scores.twins(text, encoding("none", SIZES), LINE[: scores.TOKENS], causal=True) < 1e-12


# bfloat16


def test_bfloat16_rounds_positions_frequencies_and_angles() -> None:
    made = scores.in_bfloat16(encoding("rope", SIZES), LINE)
    at = torch.tensor([1, 256, 257, 15_962], dtype=torch.float64)
    found = made.rotation(at)  # type: ignore[misc]
    for row, p in enumerate(at.tolist()):
        for j in range(PAIRS):
            product = torch.tensor(p).bfloat16() * torch.tensor(frequency(j)).bfloat16()
            expected = cmath.exp(1j * float(product))
            assert complex(found[row, j]) == pytest.approx(expected, abs=1e-9)
    # Numbers between 8,192 and 16,384 are 64 apart: 15,962 becomes 15,936, whose cosine is −0.27 in place of −0.91.
    assert float(found[3, 0].real) == pytest.approx(math.cos(15_936))
    assert torch.equal(found[1], found[2])
    assert geometry.first_same(made, LINE) == 256
    assert geometry.first_same(encoding("rope", SIZES), LINE) is None


def test_bfloat16_keeps_a_magnitude_and_both_axes() -> None:
    stretched = encoding("rope-yarn", Sizes(16, 2, 300, trained=75))
    found = scores.in_bfloat16(stretched, LINE).rotation(LINE[:9])  # type: ignore[misc]
    torch.testing.assert_close(found.abs(), torch.full((9, 4), 0.1 * math.log(4) + 1, dtype=torch.float64))
    for name in ("axial", "mixed"):
        made = encoding(name, SIZES)
        at = torch.cartesian_prod(LINE[:8], LINE[:8])
        narrow = scores.in_bfloat16(made, at).rotation(at)  # type: ignore[misc]
        assert float((narrow - made.rotation(at)).abs().max().detach()) < 0.1  # type: ignore[misc]


def test_bfloat16_needs_what_turns_evenly() -> None:
    with pytest.raises(ValueError, match="turns nothing"):
        scores.in_bfloat16(encoding("alibi", SIZES), LINE)

    def uneven(positions: Tensor) -> Tensor:
        return torch.polar(
            torch.ones(*positions.shape, 4), (positions[..., None] ** 0.5).expand(-1, -1, 4).float()
        )

    with pytest.raises(ValueError, match="does not turn evenly"):
        scores.in_bfloat16(Encoding(rotation=uneven), LINE)


# Geometry


def test_distances_are_those_of_the_vectors() -> None:
    for name in ("sinusoidal", "rope"):
        width = 16 if name == "sinusoidal" else 8
        found = geometry.apart(encoding(name, SIZES), LINE)
        assert found is not None
        for p in (0, 1, 17, 299):
            chords = [2 - 2 * math.cos(p * 10_000 ** (-2 * j / width)) for j in range(width // 2)]
            assert float(found[p]) == pytest.approx(math.sqrt(sum(chords) / width), abs=1e-9)


@pytest.mark.parametrize("part", [7, 20_000])
def test_the_nearest_position_is_that_of_a_search(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "PART", part)
    repeating = Encoding(
        rotation=lambda p: torch.polar(torch.ones(len(p), 1), 2 * math.pi * p[:, None].float() / 41)
    )
    assert geometry.nearest(repeating, LINE[1:]) in (41, 82, 123, 164, 205, 246, 287)
    for name in ("binary", "sinusoidal", "integer", "rope"):
        made = encoding(name, SIZES)
        distances = geometry.apart(made, LINE[1:])
        assert distances is not None
        assert geometry.nearest(made, LINE[1:]) == 1 + min(range(299), key=lambda i: float(distances[i]))
    assert geometry.nearest(encoding("alibi", SIZES), LINE) is None


def test_pairs_that_hardly_turn_are_counted() -> None:
    found = geometry.idle(encoding("rope", SIZES), LINE, little=0.1)
    assert found is not None
    for length in (1, 2, 16, 100):
        # The longest chord so far, 2·sin(angle/2), is reached at the last position while angles are below π.
        still = [2 * math.sin(min(math.pi, (length - 1) * frequency(j)) / 2) < 0.1 for j in range(PAIRS)]
        assert float(found[length - 1]) == sum(still) / PAIRS


def test_the_form_in_the_file_says_how_many_pairs_hardly_turn(tmp_path: Path) -> None:
    from lab.core.experiment.formula import parse

    (form,) = load("position-algebra").experiment.predictions
    for theta in (100.0, 1e4, 5e5):
        for short in (8, 16, 64):
            params = Params(
                implementation="rope", d_model=256, heads=1, theta=theta, context=2000, short=short
            )
            expected = parse(str(form.value)).value({"theta": theta, "short": short, "little": 0.1})
            assert trial(params, context_in(tmp_path))["idle"] == pytest.approx(expected, abs=1 / 128)


def test_the_score_of_equals_is_the_mean_cosine() -> None:
    found = geometry.by_distance(encoding("rope", SIZES), LINE)
    expected = [sum(math.cos(d * frequency(j)) for j in range(PAIRS)) / PAIRS for d in range(300)]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    falling = geometry.by_distance(encoding("alibi", SIZES), LINE)
    assert falling is not None and geometry.rises(falling) == 0 and float(falling[8]) == -0.5
    for name in ("integer", "learned", "t5", "none"):
        assert geometry.by_distance(encoding(name, SIZES), LINE) is None


def test_rises_are_counted_by_steps() -> None:
    assert geometry.rises(torch.tensor([0.0, 1.0, 1.0, 0.5, 2.0])) == 0.5


def test_the_bound_is_a_bound() -> None:
    """RoFormer, eqs. 36 and 37: |Σ h_i·e^(i·d·θ_i)| ≤ max|h_(i+1) − h_i| · Σ|S_(i+1)|."""
    found = geometry.bound(rotation(), LINE)
    assert float(found[0]) == 1
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(50, PAIRS, generator=generator, dtype=torch.complex128)
    steps = torch.cat([h, torch.zeros(50, 1, dtype=torch.complex128)], 1).diff(dim=1).abs().amax(1)
    for d in (1, 5, 100):
        turns = torch.tensor([cmath.exp(1j * d * frequency(j)) for j in range(PAIRS)])
        sums = [abs(sum(complex(turn) for turn in turns[: j + 1])) for j in range(PAIRS)]
        assert float(found[d]) == pytest.approx(sum(sums) / (1 + 2 + 3 + 4), abs=1e-6)
        products = (h * turns).sum(1)
        assert bool((products.real.abs() <= steps * sum(sums) + 1e-6).all())


def test_a_query_has_its_highest_score_where_it_is_made_for() -> None:
    for wanted in (0, 1, 57, 299):
        assert geometry.peak(rotation(), LINE, wanted) == wanted


@pytest.mark.parametrize("name", ["axial", "mixed"])
def test_diagonals_are_told_apart_as_far_as_any_query_and_key_can(name: str) -> None:
    torch.manual_seed(0)
    turn = rotation(name)
    with torch.no_grad():
        single, both = geometry.diagonals(turn, LINE)
        offsets = [torch.tensor([[d, d], [-d, -d], [d, -d], [-d, d]]).double() for d in range(1, 9)]
        r = torch.stack([turn(offset) for offset in offsets])  # (d, offset, pairs)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2000, PAIRS, generator=generator, dtype=torch.complex128)
    product = q * k.conj() / (q.norm(dim=1) * k.norm(dim=1))[:, None]
    s = torch.einsum("nj,doj->ndo", product, r).real
    assert float((s[..., 0] - s[..., 2]).max()) <= single + 1e-9
    assert float((s[..., 0] + s[..., 1] - s[..., 2] - s[..., 3]).max()) <= both + 1e-9
    # The best: all of the query and of the key in one pair, turned to the difference.
    gaps = (r[:, 0] + r[:, 1] - r[:, 2] - r[:, 3]).abs().max(), (r[:, 0] - r[:, 2]).abs().max()
    assert (both, single) == pytest.approx(tuple(map(float, gaps)))
    assert (both < 1e-12) == (name == "axial")


# The trial


def variants() -> dict[str, dict[str, Any]]:
    experiment = load("position-algebra").experiment
    return {name: variant.params for name, variant in experiment.variants.items()}


@pytest.mark.parametrize("name", variants())
def test_every_variant_of_the_file_gives_figures_of_the_file(name: str, tmp_path: Path) -> None:
    experiment = load("position-algebra").experiment
    changed = (
        variants()[name] | {"context": 4000} | ({"trained": 1000} if "trained" in variants()[name] else {})
    )
    context = context_in(tmp_path)
    context.variant = name
    found = trial(Params(**changed), context)
    assert all(math.isfinite(value) for value in found.values())
    known = set(found) | {key for _, figures in context.records for key in figures}
    assert {"moved_1", "moved_1000", "twins", "moved", "shift"} <= known
    left = known - set(experiment.metrics)
    assert all(key.startswith("moved_") for key in left)
    relative = name not in ("integer", "binary", "sinusoidal", "sinusoidal-100", "learned", "rope-bf16")
    assert (found["moved_1000"] < 1e-12) == relative


def test_of_learned_only_its_rows_are_known(tmp_path: Path) -> None:
    context = context_in(tmp_path)
    found = trial(Params(implementation="learned", context=4000, trained=500), context)
    assert "moved_100" in found and "moved_1000" not in found
    assert max(figures["position"] for _, figures in context.records if "position" in figures) == 499


def test_a_wrong_name_and_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for params, message in (
        (Params(implementation="alibbi"), "Did you mean alibi?"),
        (Params(implementation="coupled", context=2000), "separators"),
        (Params(implementation="rope", d_model=6, heads=2), "head_dim is 3"),
        (Params(implementation="alibi", angles="bfloat16"), "turns nothing"),
    ):
        with pytest.raises(Refused, match=message):
            trial(params, context_in(tmp_path))
    with pytest.raises(ValidationError, match="must be a multiple of heads, 3"):
        Params(heads=3)
    with pytest.raises(ValidationError, match="trained is 3000; it must be at most context, 2000"):
        Params(context=2000, trained=3000)


MINE = """
import torch
from lab.core.position import Encoding

def rope(sizes):
    frequency = sizes.theta ** (-torch.arange(0, sizes.head_dim, 2) / sizes.head_dim)
    return Encoding(rotation=lambda p: torch.polar(torch.ones(*p.shape, len(frequency)), p[..., None] * frequency))

def wrong(sizes):
    return Encoding(added=lambda p: torch.zeros(len(p), 3))
"""


def test_a_users_encoding_has_the_figures_of_ours_to_single_precision(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    sizes = {"context": 2000, "d_model": 16}
    mine = trial(Params(implementation=f"{tmp_path}/mine.py:rope", **sizes), context_in(tmp_path))  # type: ignore[arg-type]
    ours = trial(Params(implementation="rope", **sizes), context_in(tmp_path))  # type: ignore[arg-type]
    assert mine == pytest.approx(ours, abs=1e-3)
    assert mine["moved_1000"] < 1e-3
    with pytest.raises(EncodingError, match="wrong.added gave the shape 2000×3, not 2000×16"):
        trial(Params(implementation=f"{tmp_path}/mine.py:wrong", **sizes), context_in(tmp_path))  # type: ignore[arg-type]
    json.dumps(mine)


@pytest.mark.parametrize(
    ("name", "columns", "width"),
    [("sinusoidal", "component", 32), ("rope", "component", 8), ("t5", "head", 4), ("alibi", "head", 4)],
)
def test_a_picture_has_a_row_for_each_position(name, columns, width):
    found = geometry.picture(encoding(name, Sizes(32, 4, 40)), torch.arange(10, dtype=torch.float64))
    assert found is not None and found[0] == columns and found[1].shape == (10, width)
    if name == "alibi":
        assert found[1][3, 0] == -3 / 4
    assert geometry.picture(encoding("none", Sizes(32, 4, 40)), torch.arange(10)) is None
