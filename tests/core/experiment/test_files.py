"""Wrong files: each mistake is told with its line, its column, the key and the nearest right one, all at once."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lab.core.experiment.discovery import BUILT_IN
from lab.core.experiment.document import read, read_value
from lab.core.experiment.load import load, validate
from lab.core.experiment.mistakes import Mistakes
from lab.core.experiment.summary import Figure, parse
from lab.core.experiment.warnings import warnings

KNOWN = (Path(__file__).parents[2] / "known" / "known.yaml").read_text()
KNOWN_LEARNING = Path(__file__).parents[2] / "known"
KNOWN_TRIAL = (Path(__file__).parents[2] / "known" / "known_trial.py").read_text()


def mistakes_of(text: str | bytes, tmp_path: Path, change: tuple[str, str] | None = None) -> list[str]:
    """The mistakes of a file, one line each, without the folder."""
    if change is not None:
        assert isinstance(text, str) and change[0] in text
        text = text.replace(*change, 1)
    path = tmp_path / "it.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "known_trial.py").write_text(KNOWN_TRIAL)
    with pytest.raises(Mistakes) as caught:
        validate(path)
    return [line.replace(str(path), "it.yaml") for line in str(caught.value).splitlines()]


def line_of(needle: str) -> int:
    return next(n for n, line in enumerate(KNOWN.splitlines(), 1) if needle in line)


def predicting(value: str, message: str, metric: str = "steps", of: str = "base") -> tuple[str, ...]:
    """A file with a prediction that is wrong."""
    text = f"predictions:\n  - {{id: p, says: s, metric: {metric}, of: {of}, value: '{value}'}}\nclaims:"
    return "claims:", text, "claims:", message


def needing(
    needs: str, message: str, measure: str = "{ratio: time, of: same, over: base, where: {size: 2}}"
) -> tuple[str, ...]:
    """A file with a claim that needs what is wrong."""
    text = f"{measure}\n    needs: {needs}"
    return f"measure: {measure}", f"measure: {text}", measure, message


def shading(x: str, between: str, message: str) -> tuple[str, ...]:
    """A file with a plot whose shade is wrong."""
    plot = f"{{{x}, y: time, shade: {{between: {between}}},"
    return "{x: size, y: time, limit: time_at_peak,", plot, "y: time,", message


# (what to replace, by what, the line in which it stands, what the message must say)
WRONG = {
    "unknown key": ("repeats: 6", "repeat: 6", "repeats: 6", "unknown key repeat. Did you mean repeats?"),
    "unknown key in a claim": ("paper: 1.1", "papr: 1.1", "paper: 1.1", "unknown key papr. Did you mean paper?"),
    "unknown key in a metric": ("unit: ms", "units: ms", "time: {unit", "unknown key units. Did you mean unit?"),
    "unknown key in a measure": (
        "{value: steps, of: base", "{value: steps, off: base", "{value: steps", "unknown key off. Did you mean of?",
    ),
    "duplicate key": ("title: Var", "name: x\ntitle: Var", "title: Var", "duplicate key name, first at line 1"),
    "unknown parameter": ("{factor: 1.10}", "{facto: 1.10}", "factor: 1.10", "unknown parameter facto. Did you mean factor?"),
    "wrong type": ("{factor: 1.10}", "{factor: fast}", "factor: 1.10", "factor: "),
    "wrong type on an axis": ("size: [1, 2]", "size: [1, two]", "size: [1, 2]", "size: "),
    "axis is no parameter": ("axes: {size:", "axes: {sise:", "axes: {", "sise is no parameter of ./known_trial.py. Did you mean size?"),
    "axis twice the same": ("size: [1, 2]", "size: [1, 1]", "axes: {", "size names a value twice"),
    "axis twice the same number": ("size: [1, 2]", "size: [1, 1.0]", "axes: {", "size names a value twice"),
    "axis twice the same in a table": (
        "axes: {size: [1, 2]}", "axes: {size: [1, 2]}\nchecks: {factor: [1e16, 10000000000000001]}", "variants:", "factor names a value twice",
    ),
    "axis with a number that is none": ("size: [1, 2]", "size: [1, .nan]", "axes: {", "size: nan is no value of an axis"),
    "axis with two lines": ("size: [1, 2]", 'size: [1, "a\\nb"]', "axes: {", "size: a value of an axis is one line"),
    "more trials than memory": ("repeats: 6", "repeats: 1000000000", "repeats: 6", "trials are more than a run can hold"),
    "axis named like a column": ("axes: {size:", "axes: {ratio:", "axes: {", "an axis cannot be called ratio"),
    "claim with unknown metric": ("{ratio: time, of: same", "{ratio: tim, of: same", "of: same", "no metric tim. Did you mean time?"),
    "claim with unknown variant": ("of: same,", "of: sam,", "of: same,", "no variant sam. Did you mean same?"),
    "claim without where": (
        "over: base, where: {size: 2}}", "over: base}", "of: same,", "where on size? It has 2 values: add where: {size: 2}",
    ),
    "where that never is": ("where: {size: 1}}", "where: {size: 3}}", "{value: steps", "size is never 3"),
    "unknown source": ("source: made, by", "source: mad, by", "source: made, by", "no source mad. Did you mean made?"),
    "against an unknown variant": (
        "measure: {ratio: time, of: same", "against: bas\n    measure: {ratio: time, of: same", "of: same", "no variant bas. Did you mean base?",
    ),
    "impossible between": ("[0.95, 1.05]", "[1.05, 0.95]", "[0.95, 1.05]", "expect cannot be met: nothing lies between"),
    "impossible ratio": ("{at_most: 0.99}", "{at_most: -1}", "at_most: 0.99", "expect cannot be met: a ratio is above 0"),
    "impossible interval": ("[0.95, 1.05]", "[1, 1]", "[0.95, 1.05]", "an interval never fits into the single value"),
    "impossible share": (
        "steps: {better: lower,", "steps: {range: [0, 1], better: lower,", "{between: [7, 7]}", "this value lies between 0 and 1",
    ),
    "range upside down": ("steps: {better: lower,", "steps: {range: [1, 0], better: lower,", "steps: {", "range: nothing lies between 1 and 0"),
    "empty expect": ("{at_most: 0.99}", "{}", "at_most: 0.99", "expect says nothing"),
    "prompts counted by an unknown metric": (
        "  error: {better", "  right: {kind: trained, out_of: step}\n  error: {better", "  error: {better",
        "no metric step. Did you mean steps?",
    ),
    "two measures": ("{value: steps, of", "{value: steps, ratio: time, of", "{value: steps", "here: value and ratio"),
    "unknown baseline": ("baseline: base", "baseline: basis", "baseline: base", "no variant basis. Did you mean base?"),
    "seeds for a timed subject": ("repeats: 6", "seeds: 6", "repeats: 6", "is timed: say `repeats`"),
    "missing key": ("question: Does", "# question: Does", "name: known", "question is missing"),
    "missing trial file": ("./known_trial.py", "./no.py", "trial: ", "no such file: no.py"),
    "tag": ("sample_seconds: 0.1", "sample_seconds: !!python/object/apply:os.system [ls]", "sample_seconds", "tags such as"),
    "summary with unknown metric": ("{time: tenth-slower / base}", "{tim: tenth-slower / base}", "summary:", "no metric tim"),
    "summary that does not close": ("{size.max}", "{size.max", "summary:", "position 9: a { without its partner"),
    "preset with unknown variant parameter": ("{hanging: null}", "{base: {facto: 2}}", "quick:", "unknown parameter facto"),
    "plot of unknown metric": ("y: time,", "y: tine,", "y: time,", "no metric tine. Did you mean time?"),
    "plot with unknown limit": ("limit: time_at_peak", "limit: time_at_pek", "y: time,", "no metric time_at_pek. Did you mean time_at_peak?"),
    "shade along words": shading("x: variant", "[1, 2]", "a shade lies between two numbers, and variant has none along x"),
    "shade upside down": shading("x: size", "[2, 1 + 1]", "nothing lies between 2 and 2"),
    "shade of an unknown parameter": shading("x: size", "[0, factr]", "factr does not stand in `params`. Did you mean factor?"),
    "shade that is no formula": shading("x: size", "[0, 2 *]", "it ends where a number or a name should stand"),
    "shade of one end": shading("x: size", "[2]", "between has two ends, `[1, 16]`; not [2]"),
    "shade on a plane": shading(
        "x: size, difference: time, of: same, over: base", "[1, 2]", "a plane of two axes has no use for `shade`"
    ),
    "headline that never is": ("baseline: base", "headline: {size: 7}\nbaseline: base", "baseline: base", "size is never 7"),
    "checks of an unknown parameter": (
        "axes: {size: [1, 2]}", "axes: {size: [1, 2]}\nchecks: [{size: [1]}, {facto: [2]}]", "variants:",
        "facto is no parameter of ./known_trial.py. Did you mean factor?",
    ),
    "checks of the wrong type": (
        "axes: {size: [1, 2]}", "axes: {size: [1, 2]}\nchecks: {factor: [fast]}", "variants:", "factor: ",
    ),
    "prediction that is no formula": predicting("7 * size *", "it ends where a number or a name should stand"),
    "prediction of an unknown name": predicting("7 * sise", "sise stands neither in `params` nor in `axes`. Did you mean size?"),
    "prediction that divides by zero": predicting("7 / (size - 2)", "divides by zero (base, size=2)"),
    "prediction of an unknown metric": predicting("7", "no metric stepz. Did you mean steps?", metric="stepz"),
    "prediction of an unknown variant": predicting("7", "no variant bass. Did you mean base?", of="bass"),
    "deviation from no prediction": (
        "{value: steps, of: base, where: {size: 1}}", "{deviation: steps, of: base, over: sevn, where: {size: 1}}",
        "{value: steps, of: base", "no prediction sevn.",
    ),
    "needs an unknown metric": needing("{metric: erorr, at_most: 1}", "no metric erorr. Did you mean error?"),
    "needs at an unknown axis": needing("{metric: error, at_most: 1, where: {sise: 1}}", "no axis sise. Did you mean size?"),
    "needs at no value of the axis": needing("{metric: error, at_most: 1, where: {size: 12}}", "size is never 12. Did you mean 2?"),
    "needs without a bound": needing("{metric: error}", "needs takes one of at_least, at_most; here: none"),
    "needs with two bounds": needing("{metric: error, at_least: 0, at_most: 1}", "needs takes one of at_least, at_most; here: both"),
    "needs of another variant": needing("{metric: error, at_most: 1, of: sam}", "the measure is not of sam. Did you mean same?"),
    "needs of a variant beside the measure": needing(
        "{metric: error, at_most: 1, of: [same, wrong]}", "the measure is not of wrong. There is: base, same",
    ),
    "needs what is never reached": needing("{metric: time, at_most: -1}", "never reached: time lies between 0 and inf"),
    "needs with an unknown key": needing("{metric: error, at_mots: 1}", "unknown key at_mots. Did you mean at_most?"),
    "needs no number": needing("{metric: error, at_most: low}", "at_most: should be a number"),
    "needs along an axis": needing(
        "{metric: error, at_most: 1}", "where on size? It has 2 values: add where: {size: 2}", "{exponent: steps, of: base, over: size}",
    ),
    "two claims of one id": ("id: slower", "id: same", "id: slower", "a claim same stands above already"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_has_its_place_and_the_nearest_right(name: str, tmp_path: Path) -> None:
    old, new, marker, message = WRONG[name]
    mistakes = mistakes_of(KNOWN, tmp_path, (old, new))
    assert any(message in mistake for mistake in mistakes), mistakes
    position = re.match(r"it\.yaml:(\d+):(\d+): ", next(m for m in mistakes if message in m))
    assert position, mistakes
    shift = new.count("\n")
    assert abs(int(position[1]) - line_of(marker)) <= shift, mistakes


MEASURES = {
    "value": "{value: error, of: base, where: {size: 1}}",
    "ratio": "{ratio: time, of: same, over: base, where: {size: 1}}",
    "difference": "{difference: error, of: same, over: base, where: {size: 1}}",
    "exponent": "{exponent: steps, of: base, over: size}",
    "trend": "{trend: time, of: base, over: size}",
    "order": "{order: time, of: [base, same], where: {size: 1}}",
}
FIELDS = [
    (kind, field)
    for kind, measure in MEASURES.items()
    for field in ("metric", "of", "over", "where", "point", "second")
    if field != "over" or "over" in measure
    if field not in ("where", "point") or "where" in measure
    if field != "second" or kind == "order"
]


@pytest.mark.parametrize(("kind", "field"), FIELDS)
def test_a_wrong_name_in_any_field_of_any_measure_is_told(kind: str, field: str, tmp_path: Path) -> None:
    measure = MEASURES[kind]
    expect = "{order: increasing}" if kind == "order" else "{between: [0.1, 0.2]}"
    metric = re.search(r": (\w+)", measure)
    over = re.search(r"over: (\w+)", measure)
    assert metric is not None
    wrong, message = {
        "metric": (measure.replace(metric[1], "nothing", 1), "no metric nothing"),
        "of": (measure.replace("of: [base", "of: [bas").replace("of: same", "of: sam").replace("of: base", "of: bas"), "no variant"),
        "over": (measure.replace("over: base", "over: basis").replace("over: size", "over: sise"), "no variant basis" if over and over[1] == "base" else "no axis sise"),
        "where": (measure.replace("{size: 1}", "{sise: 1}"), "no axis sise. Did you mean size?"),
        "point": (measure.replace("{size: 1}", "{size: 3}"), "size is never 3"),
        "second": (measure.replace("same]", "sam]"), "no variant sam. Did you mean same?"),
    }[field]  # fmt: skip
    assert wrong != measure

    def claiming(measure: str) -> str:
        claim = (
            f"  - {{id: another, says: So., source: ours, measure: {measure}, expect: {expect}}}\nsummary:"
        )
        return KNOWN.replace("summary:", claim, 1)

    (tmp_path / "fine.yaml").write_text(
        claiming(measure).replace("./known_trial.py", str(tmp_path / "known_trial.py"))
    )
    mistakes = mistakes_of(claiming(wrong), tmp_path)
    assert any(message in mistake for mistake in mistakes), mistakes
    validate(tmp_path / "fine.yaml")  # and with the right name nothing is wrong


def test_all_mistakes_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = (
        KNOWN.replace("baseline: base", "baseline: basis")
        .replace("of: same,", "of: sam,")
        .replace("size: [1, 2]", "size: [1, two]")
    )
    mistakes = mistakes_of(text, tmp_path)
    assert len(mistakes) >= 3
    lines = [int(m.split(":")[1]) for m in mistakes]
    assert lines == sorted(lines)


def test_mistakes_of_shape_do_not_hide_the_others(tmp_path: Path) -> None:
    text = (
        KNOWN.replace("unit: ms", "units: ms")  # shape
        .replace("baseline: base", "baseline: basis")
        .replace("{factor: 1.10}", "{facto: 1.10}")
        .replace("expect: {at_most: 0.99}", "expect: {}")  # shape, of a claim in the middle
        .replace("{value: steps, of: base", "{value: step, of: base")  # of a claim after it
        .replace("y: time,", "y: tine,")
    )
    mistakes = mistakes_of(text, tmp_path)
    for message in (
        "unknown key units",
        "no variant basis",
        "facto",
        "expect says nothing",
        "no metric step",
        "no metric tine",
    ):
        assert any(message in mistake for mistake in mistakes), (message, mistakes)
    mistake = next(m for m in mistakes if "no metric step" in m)
    assert int(mistake.split(":")[1]) == line_of("{value: steps, of: base")


def test_several_unknown_keys_come_at_once(tmp_path: Path) -> None:
    text = (
        KNOWN.replace("title: Variants", "titel: Variants")
        .replace("unit: ms, better", "units: ms, better")
        .replace("paper: 1.1", "papr: 1.1")
    )
    assert sum("unknown key" in mistake for mistake in mistakes_of(text, tmp_path)) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it.yaml:1:1: is empty"),
        (b"# only a comment\n", "is empty"),
        (b"- a\n- b\n", "must be a mapping of keys, not a list"),
        (b"just words", "must be a mapping of keys, not a single value"),
        (b"name: a\ntitle: \xff\xfe", "it.yaml:2:8: is not UTF-8"),
        (b"name: [1, 2", "is not YAML"),
        (b"name: a\n\tb: c", "is not YAML"),
        (b"a: &a {b: *a}", "an alias contains itself"),
        (b"a: " + b"[" * 100 + b"]" * 100, "is nested too deeply"),
        (
            b"a: " + b"[" * 40_000,
            "it.yaml:1:43: is nested too deeply",
        ),  # before it is parsed: that would end the process
        (b"- " * 40_000, "is nested too deeply"),
        (b"a: &a {b: 1}\nc: {<<: *a}", "it.yaml:2:5: merge keys (<<) are not read"),
        (b'name: "a\\e[31m"', "it.yaml:1:7: holds a control character"),
        (b'"a\\0": 1', "a key holds a control character"),
        (b"a: " + b"1" * 5000, "…"),
        (b"a" * 1_000_001, "is 1,000,001 bytes long"),
        (b"a: !!int abc", "is not what its tag says"),
        (b"? [1, 2]\n: 3", "a key must be a word"),
        (b"\x00", "is not YAML"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_no_experiment_at_all(content: bytes, message: str, tmp_path: Path) -> None:
    mistakes = mistakes_of(content, tmp_path)
    assert len(mistakes) == 1 and message in mistakes[0], mistakes


def test_what_is_no_ordinary_file_is_told_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with (tmp_path / "large.yaml").open("w") as large:
        large.truncate(6 << 30)  # looked at before it is read
    for name, message in {
        "pipe": "it is no ordinary file",
        "loop": "Too many levels of symbolic links",
        "folder": "it is no ordinary file",
        "large": "is 6,442,450,944 bytes long",
        "none": "no such file",
    }.items():
        with pytest.raises(Mistakes, match=message):
            load(str(tmp_path / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["~nosuchuser/x.yaml", "a/\0.yaml", f"a/{'x' * 5000}.yaml"])
def test_what_is_no_path_is_no_file(name: str) -> None:
    with pytest.raises(Mistakes, match="no such file"):
        load(name)


@pytest.mark.parametrize("trial", ["~nosuchuser/x.py", f"./{'x' * 5000}.py", "./loop.py"])
def test_a_trial_that_is_no_path_is_told(trial: str, tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert "no such file" in mistakes_of(KNOWN, tmp_path, ("./known_trial.py", trial))[0]


def test_a_trial_may_stand_in_ones_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "known_trial.py").write_text(KNOWN_TRIAL)
    (tmp_path / "it.yaml").write_text(KNOWN.replace("./known_trial.py", "~/known_trial.py"))
    assert validate(tmp_path / "it.yaml").subject.file == tmp_path / "known_trial.py"


def test_aliases_that_blow_up_end_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases expand to more than" in mistakes_of("\n".join(lines), tmp_path)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1_000", 1000), ("yes", "yes"), ("on", "on"), ("1:30", "1:30"), ("2026-01-01", "2026-01-01"),
     ("null", None), (".5", 0.5), ("[1, a]", [1, "a"]), ("{a: true}", {"a": True})],
)  # fmt: skip
def test_plain_scalars_mean_what_people_mean(text: str, value: object) -> None:
    assert read_value(text, "-s") == value


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_experiments_are_valid_with_all_presets_and_give_no_warning(path: Path) -> None:
    loaded = validate(path)
    assert loaded.experiment.name == path.stem
    assert loaded.experiment.claims and loaded.experiment.summary
    assert [str(warning) for warning in warnings(loaded.experiment, loaded.document)] == []


def test_a_name_that_is_not_there_gets_the_nearest() -> None:
    with pytest.raises(Mistakes, match='no experiment "sotfmax". Did you mean softmax?'):
        load("sotfmax")


def test_marks_survive_reading() -> None:
    document = read(BUILT_IN / "softmax.yaml")
    assert document.position(("name",)).line is not None
    assert document.position(("name", "nowhere")) == document.position(("name",))


@pytest.mark.parametrize(
    ("written", "value"),
    [("4000", 4000), ("1e3", 1e3), ("true", True), ("yes", "yes"), ("null", "null"), ("[" * 4000, "[" * 4000), ("a: b", "a: b")],
    ids=lambda value: ascii(value)[:20],
)  # fmt: skip
def test_a_value_in_the_summary_is_what_it_is_in_the_file(written: str, value: object) -> None:
    (figure,) = parse(f"{{time: a / b @ size={written}}}")
    assert isinstance(figure, Figure) and repr(figure.where) == repr({"size": value})


def test_needs_are_checked_where_a_variant_is_trained_and_a_preset_may_drop_their_point(
    tmp_path: Path,
) -> None:
    from lab.core.experiment.request import Request

    learning = (KNOWN_LEARNING / "learning.yaml").read_text().replace("./", f"{KNOWN_LEARNING}/")
    claim = "{difference: final, of: plain, over: control, where: {steps: 20}}\n    needs: {metric: loss, at_most: 1, where: {steps: 40}}"
    text = (
        learning.replace("variants:", "axes: {steps: [20, 40]}\nvariants:", 1)
        .replace("seeds: 1, params: {steps: 5}", "seeds: 1, axes: {steps: [20]}, variants: {plain: null}")
        .replace("{difference: final, of: plain, over: control}", claim)
        .replace("over: step}", "over: step, where: {steps: 20}}")
        .replace("of: diverging}", "of: diverging, where: {steps: 20}}")
    )
    path = tmp_path / "it.yaml"
    path.write_text(text)
    validate(path)
    quick = load(str(path), Request(preset="quick")).experiment
    assert quick.claims[0].needs is not None and quick.axes["steps"] == [20]
    path.write_text(text.replace("plain: {}", "plain: {only: {steps: 20}}"))
    with pytest.raises(Mistakes, match="plain is trained at steps 20 only"):
        validate(path)
