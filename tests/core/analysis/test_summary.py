"""The closing sentence: its grammar, and its figures."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.analysis.summary import fill
from lab.core.experiment.schema import Experiment
from lab.core.experiment.summary import End, Figure, Text, parse


def test_pieces() -> None:
    assert parse("At {columns.max} it takes {time: online-numba / safe-numba} of it.") == [
        Text("At "), End("columns", "max"), Text(" it takes "),
        Figure("ratio", "time", "online-numba", "safe-numba", {}), Text(" of it."),
    ]  # fmt: skip
    assert parse("{right: a-b - c}") == [Figure("difference", "right", "a-b", "c", {})]
    assert parse("{right:format-only}") == [Figure("value", "right", "format-only", None, {})]
    assert parse("{time: a/b @ columns=4000, dtype=float32, causal=true, n=max}") == [
        Figure("ratio", "time", "a", "b", {"columns": 4000, "dtype": "float32", "causal": True, "n": "max"})
    ]
    assert parse("{{x}} {n.min}") == [Text("{x} "), End("n", "min")]
    assert parse("") == []


def test_pieces_tell_what_they_mention() -> None:
    (piece,) = parse("{time: a / b @ columns=4}")
    assert list(piece.names()) == [
        ("metric", "time"),
        ("variant", "a"),
        ("variant", "b"),
        ("axis", "columns"),
    ]


@pytest.mark.parametrize(
    "template, says",
    [
        ("a {time: }", "position 3: {time:} is none of"),
        ("a {", "position 3: a { without its partner"),
        ("a } b", "position 3: a }"),
        ("{columns.mean}", "position 1"),
        ("{time: a * b}", "position 1"),
        ("{time: a @ columns}", "behind @ stands axis=value, not 'columns'"),
        ("{time: a @ }", "behind @"),
    ],
)
def test_bad_templates_name_the_place(template: str, says: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(template)
    assert says in str(error.value)


@given(st.text())
def test_text_without_braces_stands_as_it_is(text: str) -> None:
    text = text.replace("{", "").replace("}", "")
    assert "".join(piece.text for piece in parse(text) if isinstance(piece, Text)) == text


def experiment(summary: str) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "softmax", "title": "t", "question": "q", "trial": "softmax", "summary": summary,
            "axes": {"columns": [4000, 1000]}, "baseline": "safe", "repeats": 6,
            "variants": {"safe": {}, "online": {}, "gone": {}},
            "metrics": {
                "time": {"unit": "ms", "kind": "timed", "better": "lower"}, "accesses": {"kind": "counted"},
            },
        }
    )  # fmt: skip


def values() -> pd.DataFrame:
    shared = [0.97, 1.0, 1.03, 0.98, 1.02, 1.0]
    own = {"safe": [1.0] * 6, "online": [2.0, 2.02, 2.04, 2.06, 2.08, 2.1]}
    rows = [
        (variant, columns, "time", replicate, columns / 1000 * shared[replicate] * own[variant][replicate])
        for variant in own for columns in (1000, 4000) for replicate in range(6)
    ] + [("safe", 4000, "accesses", 0, 4.0), ("online", 4000, "accesses", 0, 3.0)]  # fmt: skip
    return pd.DataFrame(rows, columns=["variant", "columns", "metric", "replicate", "value"])


@pytest.mark.parametrize(
    "template, sentence",
    [
        ("At {columns.max}, not {columns.min}.", "At 4,000, not 1,000."),
        ("{time: safe}", "4.00 ms"),
        ("{time: safe @ columns=1000}", "1.00 ms"),
        ("{time: safe @ columns=min}", "1.00 ms"),
        ("{time: online / safe}", "2.05x [2.01, 2.09]"),
        ("{accesses: safe / online}", "1.33x"),
        ("{accesses: safe - online}", "+1"),
        ("{time: gone}", "(left out: gone is not in this run)"),
        ("{time: safe @ columns=7}", "(left out: columns=7 is not in this run)"),
        ("{accesses: safe @ columns=1000}", "(left out: accesses of safe was not measured at columns=1000)"),
    ],
)
def test_fill(template: str, sentence: str) -> None:
    assert fill(experiment(template), values()) == sentence


def test_fill_says_what_was_wrong() -> None:
    status = pd.DataFrame(
        [("online", 4000, "wrong", "row 3")], columns=["variant", "columns", "status", "reason"]
    )
    assert fill(experiment("{time: online}"), values(), status) == (
        "(left out: online is wrong at columns=4000: row 3)"
    )


def test_the_same_reason_is_said_once() -> None:
    assert fill(experiment("{time: gone}, {time: gone / safe}!"), values()) == (
        "(left out: gone is not in this run)"
    )


def test_a_sentence_that_lacks_nothing_stays() -> None:
    said = "Safe takes {time: safe}. Gone takes {time: gone} at N={columns.max}. Its {accesses: safe} accesses. {time: other} {time: another}"
    assert fill(experiment(said), values()) == (
        "Safe takes 4.00 ms. Its 4 accesses. (left out: gone is not in this run; other is not in this run; and 1 more)"
    )


def test_figures_are_those_of_the_headline() -> None:
    at_1000 = experiment("{time: safe}, {time: safe @ columns=max}").model_copy(
        update={"headline": {"columns": 1000}}
    )
    assert fill(at_1000, values()) == "1.00 ms, 4.00 ms"
    not_there = at_1000.model_copy(update={"headline": {"columns": 7}})
    assert fill(not_there, values()) == "4.00 ms, 4.00 ms"
