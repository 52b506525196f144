"""How a text names functions of the user's, and digests of what is in their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.core.own_files import digest, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accuracy", [("", "accuracy")]),
        ("accuracy+0.2*format", [("", "accuracy"), ("0.2", "format")]),
        (" accuracy + 0.2 * format ", [("", "accuracy"), ("0.2", "format")]),
        ("-.5*length+1e+3*format+1e-3*random", [("-.5", "length"), ("1e+3", "format"), ("1e-3", "random")]),
        ("./mine.py:f", [("", "./mine.py:f")]),
        ("accuracy+0.5*./mine.py:f", [("", "accuracy"), ("0.5", "./mine.py:f")]),
        ("./mine.py:f+2*./other.py:g+format", [("", "./mine.py:f"), ("2", "./other.py:g"), ("", "format")]),
        ("./c++/a*b.py:f + 2*~/d+e.py:g", [("", "./c++/a*b.py:f"), ("2", "~/d+e.py:g")]),
        ("/my files/a+b.py:f+../x.py:g", [("", "/my files/a+b.py:f"), ("", "../x.py:g")]),
        ("a+b.py:f", [("", "a"), ("", "b.py:f")]),  # a path with a + begins with ./
        ("accuracy+", [("", "accuracy"), ("", "")]),
        ("much*accuracy", [("much", "accuracy")]),
        ("./mine.py:f.g", [("", "./mine.py:f.g")]),
        ("", [("", "")]),
    ],
)
def test_terms_and_their_weights(text: str, expected: list[tuple[str, str]]) -> None:
    found = terms(text)
    assert [(term.weight, term.name) for term in found] == expected
    assert terms("+".join(map(str, found))) == found


def test_a_folder_changes_with_any_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "a").write_text("1")
    (tmp_path / "inside" / "b").write_text("2")
    digests = [digest(tmp_path)]
    assert digest(tmp_path) == digests[0] and len(digests[0]) == 12
    (tmp_path / "inside" / "b").write_text("3")
    digests.append(digest(tmp_path))
    (tmp_path / "inside" / "b").rename(tmp_path / "inside" / "c")
    digests.append(digest(tmp_path))
    (tmp_path / "d").write_text("")
    digests.append(digest(tmp_path))
    (tmp_path / "d").unlink()
    assert len(set(digests)) == 4 and digest(tmp_path) == digests[2]


def test_a_folder_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("1")
    assert digest(tmp_path / "one") == digest(tmp_path / "other") != digest(tmp_path / "one" / "a")
