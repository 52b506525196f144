"""A heat map: what is refused, what a record keeps, and how the report shows it."""

from __future__ import annotations

import base64
import io
import math
import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from lab.core.report.heat_maps import SIDE, STOPS, ends, heat_maps
from lab.core.report.page import write_report
from lab.core.run.context import TrialContext
from lab.core.run.plan import key_of
from lab.core.run.process import _first_line
from lab.core.run.trial_rows import samples_of
from lab.core.trial import HeatMap

from .test_page import Reader, page


def heat_map(values: Any, **more: Any) -> HeatMap:
    return HeatMap(
        **({"title": "Encodings", "rows": "position", "columns": "dimension", "values": values} | more)
    )


def wave(size: int) -> list[list[float]]:
    return [[math.sin(at / 10 ** (4 * i / size)) for i in range(size)] for at in range(size)]


def pixels(svg: object) -> list[np.ndarray]:
    """The map and its scale, each as rows x columns x (red, green, blue) from 0 to 255."""
    found = re.findall(r"data:image/png;base64,([^\"]+)", str(svg))
    return [np.rint(255 * imread(io.BytesIO(base64.b64decode(each)))[..., :3]).astype(int) for each in found]


def colour(number: int) -> list[int]:
    return list(bytes.fromhex(STOPS[number][1:]))


@pytest.mark.parametrize(
    ("values", "more", "says"),
    [
        ([], {}, "1 to 256 rows and as many columns, not 0 x 0"),
        ([[]], {}, "not 1 x 0"),
        ([[0.0]] * 257, {}, "not 257 x 1"),
        ([[1, 2], [3]], {}, "row 1 has 1 values, and row 0 has 2"),
        ([[0, 1], [2, math.nan]], {}, "row 1, column 1 is nan, which has no colour"),
        ([[-math.inf]], {}, "row 0, column 0 is -inf"),
        ([[1e300]], {}, "row 0, column 0 is 1e"),
        ([[2]], {"range": (0, 1)}, "column 0 is 2, outside of the range"),
        ([[2]], {"range": (1, 1)}, "range: nothing lies between 1 and 1"),
        ([[2]], {"range": (0, math.nan)}, "range: nothing lies between 0 and nan"),
        ([[2]], {"row_ticks": ((1, "BOS"),)}, "a tick at 1, BOS, and there is only 0 to 0"),
    ],
)
def test_what_has_no_picture_is_refused(values: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        heat_map(values, **more)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([[0, math.nan]], "HeatMap: the value in row 0, column 1 is nan, which has no colour"),
        (
            [[0, "x"]],
            "HeatMap: values.0.1: should be a number, not 'x'",
        ),
    ],
)
def test_a_trial_that_ends_with_it_says_why_in_one_line(values: Any, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        heat_map(values)
    assert _first_line(caught.value) == says


def test_a_value_at_the_end_of_the_range_stays_inside_when_digits_are_dropped() -> None:
    kept = heat_map([[0.12349, 0.99951]], range=(0.12349, 0.99951))
    assert kept.values == ((0.123, 1.0),) and kept.range == (0.123, 1.0)


@pytest.mark.parametrize(
    ("values", "middle"),
    [
        ([[-1, 0, 0.5, 1]], 2),  # 0 between both signs
        ([[-0.25, 0, 0.5, 1]], 2),  # and there even where they reach unequally far
        ([[0, 0.5, 1, 0.25]], 3),
        ([[-1, -0.5, 0, -0.25]], 1),
    ],
)
def test_colours_are_straight_between_their_stops_and_0_is_white(values: Any, middle: int) -> None:
    kept = heat_map(values)
    low, high = ends(kept)
    [picture, scale] = pixels(heat_maps({kept: ""})[0].maps[0].svg)
    assert picture.shape == (1, 4, 3) and scale.shape[1] == 1
    first, last = {1: (0, 2), 2: (0, 4), 3: (2, 4)}[middle]
    for value, seen in zip(kept.values[0], picture[0], strict=True):
        places = np.linspace(low, high, last - first + 1)
        expected = [
            np.interp(value, places, [colour(i)[c] for i in range(first, last + 1)]) for c in range(3)
        ]
        assert np.abs(seen - expected).max() <= 2  # steps of 1/254
    assert list(picture[0][kept.values[0].index(0)]) == colour(2)
    assert list(scale[0, 0]) == colour(last) and list(scale[-1, 0]) == colour(first)


@pytest.mark.parametrize(
    ("values", "said", "expected"),
    [
        ([[0]], "1 × 1, all 0", (0, 1)),
        ([[3, 3], [3, 3]], "2 × 2, all 3", (0, 3)),
        ([[-3]], "1 × 1, all -3", (-3, 0)),
        ([[1e-300, 0]], "1 × 2, from 0 to 1e-300", (0, 1e-300)),
        ([[5e-324, 0]], "1 × 2, from 0 to 4.94e-324", (0, 5e-324)),
        ([[-9e99, 9e99]], "1 × 2, from -9e99 to 9e99", (-9e99, 9e99)),
    ],
)
def test_a_map_without_differences_or_of_a_single_value_is_drawn(
    values: Any, said: str, expected: tuple[float, float]
) -> None:
    kept = heat_map(values)
    drawn = heat_maps({kept: ""})[0].maps[0]
    assert drawn.said == said and ends(kept) == expected
    assert pixels(drawn.svg)[0].shape[:2] == np.shape(values)


def test_rows_go_down_and_columns_across_on_whole_pixels() -> None:
    values = [[0.0] * 64 for _ in range(64)]
    values[5][40] = 1
    svg = heat_maps({heat_map(values): ""})[0].maps[0].svg
    assert [list(map(int, at)) for at in np.argwhere(pixels(svg)[0][..., 0] == colour(4)[0])] == [[5, 40]]
    assert f'width="{SIDE}" height="{SIDE}"' in str(svg)
    assert re.findall(r">([^<>]*)</text>", str(svg)) == [
        "0", "16", "32", "48", "0", "16", "32", "48", "1", "0", "dimension", "position",
    ]  # fmt: skip


def test_ticks_may_be_words_and_never_touch() -> None:
    words = tuple((at, f"token {at}") for at in range(64))
    svg = str(heat_maps({heat_map(wave(64), row_ticks=words, column_ticks=words): ""})[0].maps[0].svg)
    down = sorted(float(y) for y in re.findall(r'y="([\d.]+)" text-anchor="end"', svg))
    across = sorted(
        float(x) for x in re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="middle"[^>]*>token', svg)
    )
    assert len(down) > 10 and min(np.diff(down)) >= 11
    assert len(across) > 2 and min(np.diff(across)) >= 6 * len("token 9")


def test_maps_of_one_kind_stand_side_by_side() -> None:
    one, other, apart = heat_map([[0]]), heat_map([[1]], caption="head 2"), heat_map([[1]], title="Attention")
    kinds = heat_maps({one: "none", apart: "", other: "rope"})
    assert [(kind.title, [each.name for each in kind.maps]) for kind in kinds] == [
        ("Encodings", ["none", "rope, head 2"]),
        ("Attention", [""]),
    ]
    assert not kinds[0].own_scales
    assert heat_maps({one: "", heat_map([[2]]): "rope"})[0].own_scales


def test_a_map_of_noise_adds_less_than_ten_kilobytes() -> None:
    draws = random.Random(0)
    noise = heat_map([[draws.gauss(0, 1) for _ in range(64)] for _ in range(64)])
    assert len(heat_maps({noise: ""})[0].maps[0].svg) < 10_000


def test_the_page_shows_what_trials_keep(trained: Any, tmp_path: Path) -> None:
    trials = [
        {"kind": "train", "variant": name, "point": {}, "replicate": 0} for name in ("random", "reward")
    ]
    shared, own = (
        heat_map([[-1, 0], [0, 1]]),
        heat_map([[1, 2]], caption="</script><b>/home/alice/x", columns="<u>"),
    )
    for trial in trials:
        folder = tmp_path / key_of("train", str(trial["variant"]), {}, 0)
        folder.mkdir()
        context = TrialContext(str(trial["variant"]), 0, "cpu", 1, folder, folder)
        context.sample(0, shared)
        if trial["variant"] == "reward":
            context.sample(0, own)
    run: Any = SimpleNamespace(of=lambda key: tmp_path / key)
    samples, drawn = samples_of(trained.experiment, run, trials)
    assert not samples and drawn == {shared: ["reward", "random"], own: ["reward"]}
    html, markdown = (
        path.read_text() for path in write_report([page(trained, tmp_path, drawn=drawn)], tmp_path)
    )
    reader = Reader(html)
    assert not reader.open and not {"b", "u"} & {tag for tag, _ in reader.elements}
    labels = [
        a["aria-label"] or "" for tag, a in reader.elements if tag == "svg" and a.get("font-size") == "11"
    ]
    assert labels == ["Encodings: 2 × 2, from -1 to 1", "reward, </script><b>~/x: 1 × 2, from 1 to 2"]
    lines = [line for line in markdown.splitlines() if "in the HTML report" in line]
    assert lines[0] == "In colours, position by dimension, in the HTML report: (2 × 2, from -1 to 1)."
    assert len(lines) == 2
    assert "alice" not in html + markdown and "base64" not in markdown
