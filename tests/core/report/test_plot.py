"""What is drawn is what was measured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from lab.core.analysis.comparison import compare
from lab.core.analysis.statistics import mean_interval
from lab.core.experiment.discovery import experiment_files
from lab.core.experiment.load import load
from lab.core.experiment.schema import Plot
from lab.core.report import layout, style, ticks
from lab.core.report import plot as plotting
from lab.core.report.plot import KINDS, draw, draw_all, save

from .conftest import timing


def lines(figure: Figure) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[0].get_lines()}


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in [*figure.texts, *figure.axes[0].texts])


def test_points_and_intervals_are_the_comparison(timed: Any) -> None:
    figure = draw(timed.experiment.plots[0], timed.experiment, timed.comparison, timed.verdicts)
    table = timed.comparison
    strokes = [s for s in figure.axes[0].collections if isinstance(s, LineCollection)]
    drawn = {tuple(map(tuple, segment)) for stroke in strokes for segment in stroke.get_segments()}
    for name in ("loop", "safe", "online"):
        rows = table[(table["variant"] == name) & (table["metric"] == "time")]
        assert list(lines(figure)[name].get_xdata()) == list(rows["columns"])
        assert list(lines(figure)[name].get_ydata()) == list(rows["estimate"])
        for _, row in rows.iterrows():
            assert ((row["columns"], row["low"]), (row["columns"], row["high"])) in drawn
    assert len(drawn) == 9


def test_what_is_wrong_or_refused_is_named_and_not_drawn(timed: Any) -> None:
    figure = draw(timed.experiment.plots[0], timed.experiment, timed.comparison, timed.verdicts)
    assert not {"mine", "gpu only"} & set(lines(figure))
    assert "not drawn: mine (wrong); gpu only (refused)" in words(figure)


def test_words_around_a_plot(timed: Any) -> None:
    said = words(draw(timed.experiment.plots[0], timed.experiment, timed.comparison, timed.verdicts))
    assert "Time by columns" in said
    assert "lower is better · 6 processes, 95% intervals" in said
    assert "online / safe: claimed 0.8x, §3; here 0." in said


@pytest.mark.parametrize(("index", "value", "label"), [(1, 1.25, "online: claimed 1.25x, §3"), (0, None, "")])
def test_a_claimed_ratio_is_a_line_on_a_ratio_plot_only(
    timed: Any, index: int, value: float | None, label: str
) -> None:
    figure = draw(timed.experiment.plots[index], timed.experiment, timed.comparison, timed.verdicts)
    claimed = [line for line in figure.axes[0].get_lines() if line.get_gid() == "claimed"]
    assert [list(line.get_ydata()) for line in claimed] == ([[value, value]] if value else [])
    assert label in words(figure)


def test_a_claimed_value_far_off_the_scale_is_left_to_the_table(make_timed: Callable[..., Any]) -> None:
    claims = [
        {
            "id": id, "says": "…", "source": "someone2018, Fig. 1", "paper": paper, "expect": {"at_least": 0},
            "measure": {"value": "time", "of": "safe", "where": {"columns": "max"}},
        }
        for id, paper in (("near", 200.0), ("far", 1e9))
    ]  # fmt: skip
    analysed = make_timed(claims=claims)
    figure = draw(analysed.experiment.plots[0], analysed.experiment, analysed.comparison, analysed.verdicts)
    claimed = [line.get_ydata()[0] for line in figure.axes[0].get_lines() if line.get_gid() == "claimed"]
    assert claimed == [200.0]


def test_bands_are_the_intervals_over_seeds(trained: Any) -> None:
    figure = draw(
        trained.experiment.plots[0], trained.experiment, trained.comparison, trained.verdicts, trained.curves
    )
    curves = trained.curves
    band = next(c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    corners = {tuple(np.round(corner, 9)) for corner in band.get_paths()[0].vertices}
    for step in (0, 10):
        at = curves[(curves["variant"] == "reward") & (curves["step"] == step)]
        expected = mean_interval(list(at["value"]))
        assert lines(figure)["reward"].get_ydata()[step] == expected.estimate
        assert {(step, round(expected.low or 0, 9)), (step, round(expected.high or 0, 9))} <= corners
    assert "6 seeds, 95% bands" in words(figure)
    assert "claimed 0.7, §2" in words(figure)


def test_categories_are_dots_with_their_values(timed: Any) -> None:
    figure = draw(timed.experiment.plots[2], timed.experiment, timed.comparison, timed.verdicts)
    assert [float(line.get_xdata()[0]) for line in figure.axes[0].get_lines()] == [3.0, 4.0, 3.0]
    assert {"loop", "safe", "online", "3", "4"} <= set(words(figure).splitlines())
    assert "columns = 256,000" in words(figure)


def test_files_are_whole_and_nothing_else_is_left(timed: Any, tmp_path: Path) -> None:
    for _ in range(2):
        paths = draw_all(timed.experiment, timed.comparison, timed.verdicts, timed.curves, tmp_path)
    assert [path.name for path in paths] == [
        "time-by-columns.svg", "time-baseline-by-columns.svg", "accesses-by-variant.svg"
    ]  # fmt: skip
    assert sorted(tmp_path.iterdir()) == sorted(path.with_suffix(kind) for path in paths for kind in KINDS)
    for path in paths:
        assert path.read_text().rstrip().endswith("</svg>") and "<text" in path.read_text()
        assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        pdf = path.with_suffix(".pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and b"/Type3" not in pdf, "publishers refuse Type 3 letters"


def test_two_plots_of_the_same_axes_have_two_names(make_timed: Callable[..., Any]) -> None:
    twice = make_timed(
        plots=[{"x": "columns", "y": "time"}, {"x": "columns", "y": "time", "scale": "log-log"}]
    )
    assert plotting.plot_names(twice.experiment) == ["time-by-columns", "time-by-columns-2"]


def test_a_failed_write_leaves_the_old_file(
    timed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svg, _ = save(Figure(), tmp_path, "plot")
    before = svg.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        save(draw(timed.experiment.plots[0], timed.experiment, timed.comparison, []), tmp_path, "plot")
    assert svg.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plot.pdf", "plot.png", "plot.svg"]


def test_the_same_plot_gives_the_same_file(timed: Any, tmp_path: Path) -> None:
    first, again = (
        save(
            draw(timed.experiment.plots[0], timed.experiment, timed.comparison, timed.verdicts),
            tmp_path / name,
            "p",
        )
        for name in "ab"
    )
    for kind in KINDS:
        assert first[0].with_suffix(kind).read_bytes() == again[0].with_suffix(kind).read_bytes()


def test_a_plot_is_drawn_again_only_when_what_it_shows_has_changed(timed: Any, tmp_path: Path) -> None:
    def drawn(comparison: pd.DataFrame, folder: Path, before: Path | None = None) -> list[float]:
        paths = draw_all(timed.experiment, comparison, timed.verdicts, timed.curves, folder, before)
        return [path.with_suffix(kind).stat().st_mtime_ns for path in paths for kind in KINDS]

    first = drawn(timed.comparison, tmp_path)
    assert drawn(timed.comparison, tmp_path) == first
    (tmp_path / "time-by-columns.pdf").unlink()
    again = drawn(timed.comparison, tmp_path)
    assert again[3:] == first[3:] and all(a > b for a, b in zip(again[:3], first[:3], strict=True))
    other = timed.comparison.assign(low=timed.comparison["low"] * 0.999)
    assert all(a > b for a, b in zip(drawn(other, tmp_path), again, strict=True))
    drawn(other, tmp_path / "copies", tmp_path)
    for path in tmp_path.glob("*.*"):
        assert (tmp_path / "copies" / path.name).read_bytes() == path.read_bytes()


def test_axes_are_named_with_their_units(timed: Any, trained: Any) -> None:
    names = []
    for seen in (timed, trained):
        for plot in seen.experiment.plots:
            axes = draw(plot, seen.experiment, seen.comparison, seen.verdicts, seen.curves).axes[0]
            names.append((axes.get_xlabel(), axes.get_ylabel()))
    assert names == [
        ("columns", "time, ms"),
        ("columns", "times as fast as safe"),
        ("accesses", ""),
        ("step", "accuracy"),
    ]


def test_a_ratio_of_times_is_drawn_as_the_speed_that_tables_show(timed: Any) -> None:
    figure = draw(timed.experiment.plots[1], timed.experiment, timed.comparison, timed.verdicts)
    rows = timed.comparison.query("variant == 'online' and metric == 'time'")
    np.testing.assert_allclose(lines(figure)["online"].get_ydata(), 1 / rows["ratio"])
    strokes = [s for s in figure.axes[0].collections if isinstance(s, LineCollection)]
    ends = {end for stroke in strokes for (_, low), (_, high) in stroke.get_segments() for end in (low, high)}
    assert {round(1 / end, 9) for end in [*rows["ratio_low"], *rows["ratio_high"]]} <= {
        round(end, 9) for end in ends
    }
    assert "higher is better" in words(figure)
    one = [line.get_ydata() for line in figure.axes[0].get_lines() if line.get_gid() == "reference"]
    assert one == [[1, 1]], "where nothing differs"


def test_a_preview_has_no_interval(make_timed: Callable[..., Any]) -> None:
    quick = make_timed(repeats_done=2)
    figure = draw(quick.experiment.plots[0], quick.experiment, quick.comparison, quick.verdicts)
    assert not [s for s in figure.axes[0].collections if isinstance(s, LineCollection)]
    assert "lower is better · 2 processes\n" in words(figure) + "\n"


@pytest.mark.parametrize("spoil", ["empty", "nan", "one", "infinite", "zero"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_poor_data_do_not_crash(timed: Any, spoil: str, index: int, tmp_path: Path) -> None:
    table: pd.DataFrame = timed.comparison.copy()
    match spoil:
        case "empty":
            table = table.iloc[:0]
        case "nan":
            table["estimate"] = table["low"] = table["ratio"] = math.nan
        case "one":
            table = table[(table["variant"] == "safe") & (table["columns"] == 256000)].assign(
                low=math.nan, high=math.nan
            )
        case "infinite":
            table["estimate"] = math.inf
        case "zero":
            table["estimate"] = table["ratio"] = 0.0
    svg, png = save(
        draw(timed.experiment.plots[index], timed.experiment, table, timed.verdicts), tmp_path, "p"
    )
    assert svg.stat().st_size and png.stat().st_size


def test_no_curves_draw_nothing_and_one_step_a_point_for_each_variant(trained: Any) -> None:
    plot = trained.experiment.plots[0]
    one = trained.curves[(trained.curves["step"] == 0) & (trained.curves["replicate"] == 0)]
    for curves in (None, trained.curves.iloc[:0]):
        figure = draw(plot, trained.experiment, trained.comparison, trained.verdicts, curves)
        assert lines(figure) == {} and "nothing to draw" in words(figure)
    figure = draw(plot, trained.experiment, trained.comparison, trained.verdicts, one)
    figure.canvas.draw()
    drawn = {name: [*line.get_xdata(), *line.get_ydata()] for name, line in lines(figure).items()}
    assert drawn == {row["variant"]: [0, row["value"]] for _, row in one.iterrows()} and len(drawn) == 2


@pytest.mark.parametrize(
    ("scale", "x", "y"),
    [("linear", "linear", "linear"), ("log-x", "log", "linear"), ("log-y", "linear", "log"), ("log-log", "log", "log")],
)  # fmt: skip
def test_each_axis_has_the_scale_that_the_plot_says(timed: Any, scale: str, x: str, y: str) -> None:
    plot = Plot(x="columns", y="time", scale=scale)  # type: ignore[arg-type]
    axes = draw(plot, timed.experiment, timed.comparison, []).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == (x, y)
    # By where things stand: 1,000, 32,000 and 256,000 are evenly apart on no linear axis, and nearly so on a log one.
    at = [float(axes.transData.transform((columns, 1.0))[0]) for columns in (1000, 32000, 256000)]
    share = (at[1] - at[0]) / (at[2] - at[0])
    assert share == pytest.approx(math.log(32) / math.log(256) if x == "log" else 31 / 255, abs=0.01)
    ends = [float(axes.transData.transform((1000, time))[1]) for time in (1.0, 10.0, 100.0)]
    assert (ends[1] - ends[0]) / (ends[2] - ends[0]) == pytest.approx(0.5 if y == "log" else 9 / 99, abs=0.01)


@pytest.mark.parametrize("value", [1e308, -1e308, 1e200, math.inf])
@pytest.mark.parametrize("scale", ["linear", "log-log"])
def test_what_is_too_large_to_draw_is_named(timed: Any, value: float, scale: str) -> None:
    comparison = timed.comparison.copy()
    huge = (comparison["variant"] == "online") & (comparison["metric"] == "time")
    comparison.loc[huge, ["estimate", "low", "high"]] = [value, value, value]
    comparison.loc[(comparison["variant"] == "safe") & (comparison["metric"] == "time"), "high"] = value
    figure = draw(Plot(x="columns", y="time", scale=scale), timed.experiment, comparison, [])  # type: ignore[arg-type]
    figure.canvas.draw()
    assert set(lines(figure)) >= {"loop", "safe"} and "online" not in lines(figure)
    assert "online (infinite, or too large to draw)" in " ".join(words(figure).split())


def test_of_a_long_curve_as_many_steps_are_drawn_as_can_be_told_apart(trained: Any) -> None:
    steps = np.arange(0, 12_000, 3)
    long = pd.DataFrame(
        {"variant": "reward", "metric": "accuracy", "replicate": 0, "step": steps, "value": steps / 7}
    )
    figure = draw(trained.experiment.plots[0], trained.experiment, trained.comparison, [], long)
    drawn = lines(figure)["reward"]
    assert len(drawn.get_xdata()) == 1000 and drawn.get_xdata()[0] == 0 and drawn.get_xdata()[-1] == 11_997
    assert list(drawn.get_ydata()) == [step / 7 for step in drawn.get_xdata()]
    assert "1,000 of 4,000 steps are drawn" in words(figure)


def test_names_may_hold_anything(make_timed: Callable[..., Any], tmp_path: Path) -> None:
    name = "$a_{1}$ <b> & a long name that has to be broken"
    analysed = make_timed(variants={"safe": {}, name: {}}, claims=[])
    for x in ("columns", "variant"):
        svg, _ = save(
            draw(Plot(x=x, y="time", where={}), analysed.experiment, analysed.comparison, []), tmp_path, "p"
        )
        assert "<b>" not in svg.read_text()


def test_variants_differ_without_colour(timed: Any) -> None:
    chosen = [style.nth_style(index) for index in range(14)]
    assert len({(look.marker, str(look.dash)) for look in chosen}) == 14
    looks = style.looks(timed.experiment)
    assert looks["loop"].colour == style.GREY and looks["loop"].width < looks["safe"].width


@pytest.mark.parametrize("name", sorted(experiment_files()))
def test_a_variant_keeps_its_look_and_no_two_share_both_colour_and_marker(name: str) -> None:
    experiment = load(str(experiment_files()[name])).experiment
    looks = style.looks(experiment)
    assert looks.keys() == experiment.variants.keys()
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)
    for plot in experiment.plots:
        assert style.styles(plot.variants, experiment) == {name: looks[name] for name in plot.variants}
    alone = experiment.model_copy(update={"variants": dict(reversed(experiment.variants.items()))})
    named = {name for plot in experiment.plots for name in plot.variants}
    assert {name: style.looks(alone)[name] for name in named} == {name: looks[name] for name in named}


def test_colours_stand_out_on_white_and_on_dark() -> None:
    for colour in (*style.PALETTE, style.GREY):
        for ground in ("#ffffff", "#15181c"):
            assert contrast(colour, ground) >= 3, (colour, ground)


def contrast(a: str, b: str) -> float:
    bright, dim = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (0.25, "0.25"), (1, "1"), (1000, "1,000"), (256000, "256,000"), (1e6, "1M"), (1e-6, "1e-6"), (-2.5, "-2.5")],
)  # fmt: skip
def test_ticks_read_like_numbers(value: float, said: str) -> None:
    assert ticks.plain(value) == said


def test_names_at_line_ends_make_room_for_one_another(timed: Any) -> None:
    figure = draw(timed.experiment.plots[0], timed.experiment, timed.comparison, [])
    names = {text.get_text(): text for text in figure.axes[0].texts}
    assert figure.axes[0].get_legend() is None and set(names) >= {"loop", "safe", "online"}
    figure.canvas.draw()
    boxes = sorted(
        (names[name].get_window_extent() for name in ("loop", "safe", "online")), key=lambda box: box.y0
    )
    assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))


def test_names_stand_in_a_legend_where_lines_end_in_different_places(timed: Any) -> None:
    table = timed.comparison[
        (timed.comparison["variant"] != "safe") | (timed.comparison["columns"] < 200_000)
    ]
    legend = draw(timed.experiment.plots[0], timed.experiment, table, []).axes[0].get_legend()
    assert legend is not None and {text.get_text() for text in legend.get_texts()} == {
        "loop",
        "safe",
        "online",
    }


@given(
    ends=st.lists(st.floats(-50, 200), min_size=1, max_size=12),
    sizes=st.lists(st.sampled_from([9.0, 18.0]), min_size=12, max_size=12),
)
def test_labels_never_touch_and_stay_where_they_have_room(ends: list[float], sizes: list[float]) -> None:
    ends, sizes = sorted(ends, reverse=True), sizes[: len(ends)]
    placed = layout.spread(ends, sizes, 0, 142)
    for (a, b), (above, below) in zip(pairwise(placed), pairwise(sizes), strict=True):
        assert a - b >= (above + below) / 2 - 1e-6
    assert placed[0] <= 142 + 1e-6
    if sum(sizes) <= 142:
        assert placed[-1] >= -1e-6
    if all(a - b >= 18 for a, b in pairwise(ends)) and ends[-1] >= 0 and ends[0] <= 142:
        assert placed == pytest.approx(ends)


def test_nothing_is_drawn_outside_the_figure(timed: Any, trained: Any) -> None:
    for analysed in (timed, trained):
        for plot in analysed.experiment.plots:
            figure = draw(plot, analysed.experiment, analysed.comparison, analysed.verdicts, analysed.curves)
            box = figure.get_tightbbox()
            width, height = figure.get_size_inches()
            assert box.x0 >= -0.02 and box.y0 >= -0.02 and box.x1 <= width + 0.02 and box.y1 <= height + 0.02


def test_plotting_leaves_other_peoples_settings_alone(timed: Any) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plotting.draw(timed.experiment.plots[0], timed.experiment, timed.comparison, timed.verdicts)
    assert dict(matplotlib.rcParams) == before


def test_roofs_end_where_they_meet_the_peak_and_it_begins_at_the_highest() -> None:
    metrics = {
        "intensity": {"unit": "FLOP/B", "kind": "counted"},
        "rate": {"unit": "GFLOP/s", "kind": "timed"},
        "peak": {"unit": "GFLOP/s", "kind": "timed"},
        "copied": {"unit": "GFLOP/s", "kind": "timed", "label": "copy"},
        "cached": {"unit": "GFLOP/s", "kind": "timed", "label": "L2"},
        "absent": {"unit": "GFLOP/s", "kind": "timed"},
    }
    plot = {
        "x": "intensity",
        "y": "rate",
        "limit": ["peak", "copied", "cached", "absent"],
        "scale": "log-log",
    }
    experiment = timing(metrics=metrics, plots=[plot], claims=[], variants={"safe": {}, "online": {}})
    readings = [
        {"variant": variant, "columns": columns, "metric": metric, "replicate": 0, "value": value}
        for variant, factor in (("safe", 1.0), ("online", 3.0))
        for columns in (1000, 32000, 256000)
        for metric, value in {
            "intensity": factor * columns / 1000,
            "rate": factor * 2,
            "peak": 80.0,
            "copied": 10 * factor * columns / 1000,
            "cached": 25 * factor * columns / 1000,
        }.items()
    ]
    comparison = compare(experiment, pd.DataFrame(readings))
    figure = draw(experiment.plots[0], experiment, comparison, [])
    drawn = lines(figure)
    assert list(drawn["online"].get_xdata()) == [3.0, 96.0, 768.0]
    roofs = [
        line
        for line in figure.axes[0].get_lines()
        if line.get_linestyle() == "--" and line.get_linewidth() < 1
    ]
    (flat, height), *slopes = (map(np.asarray, roof.get_data()) for roof in roofs)
    assert drawn["peak"] is roofs[0] and flat[-1] == pytest.approx(768)
    np.testing.assert_allclose(height, 80)
    assert flat[0] == pytest.approx(80 / 25, rel=0.1), "where the higher of the two others meets it"
    for rate, (x, y) in zip((10, 25), slopes, strict=True):
        assert x[0] == pytest.approx(1 / 8) and x[-1] == pytest.approx(80 / rate, rel=0.1)
        np.testing.assert_allclose(y, rate * x)
    assert {"copy", "L2"} <= set(words(figure).splitlines())
    assert figure.axes[0].get_xlabel() == "intensity, FLOP/B" or "intensity, FLOP/B" in words(figure)


@pytest.mark.parametrize("scale", ["linear", "log-x"])
@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ((0, 32000), (0, 32000)),
        ((1000, 32000), (1000, 32000)),
        ((32000, 1e9), (32000, 1e9)),
        ((-1e9, 1e9), (-1e9, 1e9)),
        (("2 * length", "32 * length"), (2000, 32000)),
    ],
)
def test_a_shade_covers_its_stretch_of_what_is_seen_and_moves_nothing(
    make_timed: Callable[..., Any], scale: str, between: Any, expected: tuple[float, float]
) -> None:
    plot = {"x": "columns", "y": "time", "scale": scale}
    shaded = plot | {"shade": {"between": between, "label": "in range"}}
    of = make_timed(plots=[plot, shaded], params={"length": 1000})
    bare, figure = (draw(each, of.experiment, of.comparison, []) for each in of.experiment.plots)
    [axes] = figure.axes
    assert axes.get_xlim() == bare.axes[0].get_xlim() and axes.get_ylim() == bare.axes[0].get_ylim()
    [band] = [patch for patch in axes.patches if patch.get_gid() == "shade"]
    box = band.get_path().transformed(band.get_patch_transform()).get_extents()
    left, right = axes.get_xlim()
    assert (box.x0, box.x1) == (max(expected[0], left), min(expected[1], right))
    label = next(text for text in axes.texts if text.get_text() == "in range").get_window_extent()
    assert label.y0 >= axes.bbox.y1 and axes.bbox.x0 - 1 <= label.x0 and label.x1 <= axes.bbox.x1 + 1
    assert not any(label.overlaps(text.get_window_extent()) for text in figure.texts)


def test_a_shade_that_is_nowhere_to_be_seen_is_not_drawn(make_timed: Callable[..., Any]) -> None:
    of = make_timed(
        plots=[
            {"x": "columns", "y": "time", "shade": {"between": [1, "end"]}},
            {"x": "columns", "y": "time", "scale": "log-x", "shade": {"between": [1, 2]}},
        ],
        params={"end": 1},
    )
    none, far = (draw(plot, of.experiment, of.comparison, []) for plot in of.experiment.plots)
    assert not none.axes[0].patches and not far.axes[0].patches
    assert "with these parameters nothing is trained, so nothing is tinted" in words(none)
