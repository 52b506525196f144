"""The sources of Python's standard library as text: no download, but another Python has others."""

from __future__ import annotations

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...trial import Refused

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
SYMBOLS = len(ALPHABET) + 1
"""The alphabet, and one for every other character."""


@dataclass(frozen=True)
class Sources:
    """Attributes:
    names: of the files, sorted. texts: their symbols, uint8.
    digest: twelve hexadecimal digits of names and contents.
    """

    names: tuple[str, ...]
    texts: tuple[np.ndarray, ...]
    digest: str


@dataclass(frozen=True)
class Split:
    """Attributes:
    train: symbols (characters,). tests: symbols of each test file.
    """

    train: np.ndarray
    tests: tuple[np.ndarray, ...]


def sources(folder: Path | None = None) -> Sources:
    """The files *.py directly in the standard library's folder.

    Raises Refused: this Python has none.
    """
    folder = folder or Path(sysconfig.get_paths()["stdlib"])
    files = sorted(folder.glob("*.py"))
    if not files:
        raise Refused(f"this Python has no sources of its standard library in {folder}")
    whole, texts = hashlib.sha256(), []
    for file in files:
        content = file.read_bytes()
        whole.update(f"{file.name}\0{len(content)}\0".encode() + content)
        texts.append(symbols(content.decode("utf-8", errors="replace")))
    return Sources(tuple(file.name for file in files), tuple(texts), whole.hexdigest()[:12])


def symbols(text: str) -> np.ndarray:
    """The place of each character in the alphabet, (characters,) uint8; that of any other one is the last."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    table = np.full(128, len(ALPHABET), dtype=np.uint8)
    table[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET))
    found: np.ndarray = np.where(codes < 128, table[np.minimum(codes, 127)], np.uint8(len(ALPHABET)))
    return found


def split(found: Sources, characters: int, test_files: int, test_characters: int, seed: int) -> Split:
    """Test files, drawn by the seed, and the first characters of the others in an order drawn by the seed.

    Raises Refused: there are not as many.
    """
    order = np.random.default_rng(seed).permutation(len(found.texts))
    tests = tuple(found.texts[i][:test_characters] for i in order[:test_files])
    rest = [found.texts[i] for i in order[test_files:]]
    train = np.concatenate(rest) if rest else np.empty(0, np.uint8)
    if len(train) < characters:
        raise Refused(f"beside {test_files} test files there are {len(train)} characters; not {characters}")
    return Split(train[:characters], tests)
