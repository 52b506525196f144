"""The plane of two axes: its cells are what a claim would measure, its line is where the difference turns."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lab.core.analysis.comparison import compare
from lab.core.analysis.statistics import difference_interval
from lab.core.experiment.load import validate
from lab.core.experiment.mistakes import Mistakes
from lab.core.experiment.schema import Experiment
from lab.core.report import plane
from lab.core.report.plot import draw, draw_all

from .test_plot import words

LEARNING = Path(__file__).parents[2] / "known" / "learning.yaml"
SHARES, WIDTHS = [1, 2, 4, 8], [16, 64]
NOISE = [-0.02, -0.01, 0.0, 0.0, 0.01, 0.02]


def experiment(up: list[Any] = WIDTHS, **changes: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "x", "title": "t", "question": "q", "trial": "x", "axes": {"share": SHARES, "width": up, "depth": [3, 5]},
            "variants": {"base": {}, "kd": {}, "rl": {}}, "baseline": "base", "seeds": 6,
            "metrics": {"right": {"kind": "trained", "better": "higher"}},
            "plots": [{"x": "share", "y": "width", "difference": "right", "of": "kd", "over": "rl", "where": {"depth": 5}}],
        } | changes
    )  # fmt: skip


def values(of: Experiment, kd: Callable[[float, Any], float]) -> pd.DataFrame:
    """`rl` is 0 on average, `kd` as given at depth 5 and far off at depth 3."""
    return pd.DataFrame(
        {"variant": name, "share": share, "width": width, "depth": depth, "metric": "right", "replicate": seed, "value": y}
        for share in of.axes["share"] for width in of.axes["width"] for depth in (3, 5)
        for name, mean in (("kd", kd(float(share), width) if depth == 5 else 9.0), ("rl", 0.0))
        for seed, y in enumerate(mean + n if name == "rl" else mean - n / 2 for n in NOISE)
    )  # fmt: skip


def drawn(of: Experiment, seen: pd.DataFrame) -> Figure:
    return draw(of.plots[0], of, compare(of, seen), [], None, seen)


def marked(figure: Figure, gid: str) -> list[list[tuple[float, float]]]:
    return [
        list(map(tuple, line.get_xydata())) for line in figure.axes[0].get_lines() if line.get_gid() == gid
    ]


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ([3, 1, -1, -2], [(1.5, False)]),
        ([-1, 3, 3, -1], [(0.25, True), (2.75, False)]),
        ([1, 0, -1], [(1.0, False)]),
        ([1, 0, 0, -2], [(1.5, False)]),
        ([1, 0, 2], []),
        ([0, -1, -2], []),
        ([1, math.nan, -1], []),
        ([], []),
    ],
)
def test_a_row_turns_where_its_sign_changes_between_measured_points(
    row: list[float], turns: list[Any]
) -> None:
    assert plane.crossings(row) == turns


def test_a_line_goes_through_rows_that_turn_alike_and_half_a_row_beyond() -> None:
    rows = [[(0.5, False)], [(1.5, False)], [], [(0.2, True)], [(0.4, False)]]
    through = [[(0.5, -0.5), (0.5, 0), (1.5, 1), (1.5, 1.5)], [(0.2, 2.5), (0.2, 3), (0.2, 3.5)], [(0.4, 3.5), (0.4, 4), (0.4, 4.5)]]  # fmt: skip
    assert plane.lines_through(rows, has_order=True) == through
    assert len(plane.lines_through(rows, has_order=False)) == 4, "nothing lies between words"


def test_cells_are_paired_differences_and_the_line_is_at_the_known_crossing() -> None:
    of = experiment()
    seen = values(of, lambda share, width: (3 if width == 16 else 5) - share)
    picture = plane.rows(of.plots[0], of, compare(of, seen), seen)
    assert [series.label for series in picture.series] == ["width 16", "width 64"]
    assert picture.series[0].y == pytest.approx([2, 1, -1, -5]) and picture.fixed == {"depth": 5}
    by_hand = difference_interval([2 - n / 2 for n in NOISE], NOISE)
    assert (picture.series[0].low[0], picture.series[0].high[0]) == pytest.approx((by_hand.low, by_hand.high))
    figure = drawn(of, seen)
    # 3 lies halfway from 2 to 4, the places 1 and 2; 5 a quarter of the way from 4 to 8.
    (line,) = marked(figure, "equal")
    assert np.allclose(line, [(1.5, -0.5), (1.5, 0), (2.25, 1), (2.25, 1.5)])
    said = " ".join(words(figure).split())
    assert "line: both equal, at share 3 (width 16), 5 (width 64)" in said
    assert "higher is better · 6 seeds, 95% intervals" in said and "depth = 5" in said
    assert {text.get_text() for text in figure.axes[0].get_legend().get_texts()} == {
        "kd higher (+)",
        "rl higher (-)",
    }


def test_in_logarithms_the_line_is_straight_in_them() -> None:
    of = experiment()
    of = of.model_copy(update={"plots": [of.plots[0].model_copy(update={"scale": "log-x"})]})
    said = words(drawn(of, values(of, lambda share, width: 2.5 - share)))
    # From 0.5 to -1.5: a quarter of the way from 2 to 4, which is 2 * 2^(1/4).
    assert f"at share {2 * 2**0.25:.3g} (width 16)" in " ".join(said.split())


def test_bold_excludes_0_a_tilde_does_not_and_a_preview_has_neither() -> None:
    of = experiment(metrics={"right": {"kind": "trained", "unit": "%"}})
    seen = values(of, lambda share, width: 0.001 if share == 2 else 0.4)
    cells = {text.get_text(): text.get_fontweight() for text in drawn(of, seen).axes[0].texts}
    assert cells == {"+0.40": "bold", "~ +0.00": "normal"}
    assert "in %; bold: the 95% interval excludes 0; ~: it does not" in words(drawn(of, seen))
    preview = drawn(of, seen[seen["replicate"] < 2])
    assert not any(
        "~" in text.get_text() or text.get_fontweight() == "bold" for text in preview.axes[0].texts
    )


def test_what_was_not_run_is_empty_and_no_line_leads_over_it() -> None:
    of = experiment(["short", "long"])
    seen = values(of, lambda share, width: 3 - share)
    seen = seen[~((seen["share"] == 4) & (seen["variant"] == "rl") & (seen["width"] == "short"))]
    figure = drawn(of, seen)
    assert len(figure.axes[0].texts) == 7 and [line[1] for line in marked(figure, "equal")] == [(1.5, 1)]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["short", "long"]
    assert "empty: right of rl was not measured at share=4, width=short, depth=5" in " ".join(
        words(figure).split()
    )
    assert "nothing to draw" in words(drawn(of, seen[seen["variant"] == "kd"]))


def test_where_both_are_predicted_the_line_is_dashed_before_what_was_seen() -> None:
    says = [{"id": "rl", "says": "0", "metric": "right", "of": "rl", "value": 0.0},
            {"id": "kd", "says": "width/16 - (share-1)", "metric": "right", "of": "kd", "value": "width/16 + 1 - share"}]  # fmt: skip
    of = experiment(predictions=says)
    seen = values(of, lambda share, width: width / 16 + 1.2 - share)
    figure = drawn(of, seen)
    ((*_, (first, _), (second, _), _),) = marked(figure, "predicted")
    assert (first, second) == pytest.approx((1.0, 2.25), abs=1e-6), "at shares 2 and 5"
    assert "predicted before the run: width/16 - (share-1); 0" in " ".join(words(figure).split())
    alone = experiment(predictions=says[:1])
    assert marked(drawn(alone, seen), "predicted") == [] and "predicted" not in words(drawn(alone, seen))


def test_files_hold_the_text_and_the_words_of_each_cell(tmp_path: Path) -> None:
    of = experiment()
    seen = values(of, lambda share, width: 0.1 - share)
    (svg,) = draw_all(of, compare(of, seen), [], None, tmp_path, values=seen)
    assert svg.name == "right-by-share-and-width.svg"
    drawn_text = svg.read_text()
    assert "-0.90</text>" in drawn_text and "kd higher (+)" in drawn_text and "share 8: -7.90 [" in drawn_text
    box = drawn(of, seen).get_tightbbox()
    assert box.x0 >= -0.02 and box.y0 >= -0.02


PLANE = "x: rate, y: steps, difference: loss, of: plain, over: control"


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        ("x: start, y: loss, over: steps", "over is `step`, or with `difference` a variant; not steps"),
        ("x: strat, y: loss, over: step", "no axis strat. Did you mean start?"),
        ("x: rate, y: loss, over: step", "`over: step` needs a metric as x, that trials record; not rate."),
        ("x: step, y: loss / baseline", "over steps there is no ratio to the baseline: say `y: loss`"),
        ("x: step, y: loss, limit: final", "a curve over steps has no use for `limit`"),
        ("x: step, y: loss, of: plain", "`of` belongs to `difference`"),
        ("x: rate, y: steps, difference: loss, of: plain", "difference needs `of` and `over`"),
        (f"{PLANE}, hue: rate", "a plane of two axes has no use for `hue`"),
        (PLANE.replace("loss", "los"), "no metric los. Did you mean loss?"),
        (PLANE.replace("steps", "stepps"), "no axis stepps. Did you mean steps?"),
        (PLANE.replace("steps", "rate"), "x is rate too: a plane has two axes"),
        (PLANE.replace("x: rate, y: steps", "x: diverges, y: rate"), "x of a plane is an axis of numbers; False belongs on y"),
        (PLANE.replace("x: rate", "x: rows"), "9 values of rows do not fit: at most 8, or put it on y"),
        (PLANE.replace("of: plain", "of: plian"), "no variant plian. Did you mean plain?"),
        (PLANE.replace("control", "plain"), "plain minus itself is 0 everywhere"),
        (PLANE, "where on diverges? It has 2 values: add where: {diverges: True}"),
    ],
)  # fmt: skip
def test_wrong_input_gets_a_line(plot: str, message: str, tmp_path: Path) -> None:
    shutil.copy(LEARNING.with_name("learning_trial.py"), tmp_path)
    text = LEARNING.read_text().replace("name: learning", "name: planes")
    axes = "axes: {rate: [0.1, 0.2], steps: [5, 10], diverges: [false, true], rows: [1, 2, 3, 4, 5, 6, 7, 8, 9]}\n"
    text = re.sub(r"claims:.*", "", text, flags=re.DOTALL).replace("variants:", axes + "variants:")
    text = re.sub(r"\{(rate: 0.0|diverges: true)\}", "{}", text)
    path = tmp_path / "planes.yaml"
    path.write_text(re.sub(r"  - \{x: step.*\}", f"  - {{{plot}}}", text))
    with pytest.raises(Mistakes) as wrong:
        validate(path)
    assert message in str(wrong.value)
    (line,) = (number for number, each in enumerate(path.read_text().splitlines(), 1) if plot in each)
    assert {mistake.position.line for mistake in wrong.value.mistakes} == {line}


def test_a_preset_may_leave_one_point_of_it() -> None:
    of = experiment([16], axes={"share": [2], "width": [16], "depth": [3, 5]})
    figure = drawn(of, values(of, lambda share, width: share))
    assert [text.get_text() for text in figure.axes[0].texts] == ["+2.00"] and marked(figure, "equal") == []
    assert "no change of sign along x" in words(figure)
