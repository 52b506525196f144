"""Lines between a trial and its runner: what was said comes through, anything else is passed over."""

from __future__ import annotations

import math

import pytest

from lab.core.run.messages import Message, line_of, message_of


@pytest.mark.parametrize(
    "message",
    [
        ("begun",),
        ("progress", 3, 10, "base model"),
        ("metrics", None, {"time": 0.5, "infinite": math.inf}),
        ("metrics", 7, {}),
        ("sample", 0, "two\nlines, Zürich"),
        ("note", "anew"),
        ("compiling", ["attention forward", "attention backward"]),
    ],
)
def test_what_was_said_comes_through(message: Message) -> None:
    line = line_of(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert message_of(line[:-1]) == message


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\xff\x00", b"null", b"{}", b'["done"]', b'["begun", 1]', b'["progress", "3", "10"]', b'["progress", 1, 2]',
        b'["metrics", null, [1]]', b'["metrics", null, {"a": "b"}]', b'["metrics", "x", {}]', b'["sample", 1, {}]',
        b'["sample", "a"]', b"[" * 100_000, b'["progress", 1, ' + b"9" * 5000 + b"]", b'["note", "half',
        b'["compiling", "x"]', b'["compiling", [1]]',
    ],
)  # fmt: skip
def test_rubbish_is_no_message(line: bytes) -> None:
    assert message_of(line) is None


def test_a_text_does_nothing_to_a_terminal() -> None:
    assert message_of(line_of(("sample", 1, "a\x1b[2J\ud800b"))) == ("sample", 1, "a␛[2J\ufffdb")
