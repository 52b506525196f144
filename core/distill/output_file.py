"""A teacher's outputs in a file: written once, read by every student in random batches.

    | form    | at each token                                                      | bytes: V = 512 | 128,256 |
    |---------|--------------------------------------------------------------------|----------------|---------|
    | full    | V log-probabilities in float16 (or float32)                        | 1,024          | 256,512 |
    | top-k   | k ids of 16 bits (32 from V = 65,537 on) and k float16             | 120            | 169     |
    | sampled | the tokens drawn, id and 7 bits of count together (arXiv:2503.16870) | 27             | 77      |

Sizes are for k = 50 and n = 50 and synthetic teachers, logits of standard deviation 3 over a Zipf law; those of
sparse forms depend on the teacher's entropy. `Outputs.bytes_per_token` gives that of a file.

float16 stores a log-probability to 1 part in 2,048: an error of 0.004 at −10, less for likely tokens. Full outputs
are log-probabilities and therefore logits: any loss takes them, at any temperature, and normalises them again.

A file consists of blocks of tokens, a table of their offsets and checksums, a header, and the offset of the table. It
is written under another name and renamed, so that it is complete or absent, and mapped into memory, so that several
processes share one copy. Sparse blocks are compressed where that saves a tenth. Full blocks are not: that would save
a quarter, but each batch would decompress whole blocks.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..atomic import replacing
from .losses.sparse import Sampled, TopK
from .output_encoding import Arrays, Kind, Output, decoded, encoded, rows_of

BLOCK = 256
"""Tokens in a block, the unit of checksums and of decompression."""
_MAGIC = b"lab-kd 1"
_SIZES = struct.Struct("<QQ")  # where the table begins, and its bytes
_END = struct.Struct("<I8s")  # checksum of table, header and sizes, magic
_TABLE = np.dtype([("at", "<u8"), ("stored", "<u4"), ("raw", "<u4"), ("checksum", "<u4")])


class Unusable(Exception):
    """A file that is damaged, or holds another teacher's outputs; the message says which."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}; make it again (rebuild=True)")


@dataclass(frozen=True)
class Outputs:
    """A teacher's outputs in a file. Tokens are numbered in the order in which they were written.

    Attributes:
        path: the file.
        kind: form, vocabulary and temperature; the temperature of full ones is 1.
        tokens: their number.
        made_by: the writer's label of teacher and text.
        bytes_per_token: the size of the file by its tokens.
    """

    path: Path
    kind: Kind
    tokens: int
    made_by: str
    bytes_per_token: float
    _bytes: NDArray[np.uint8]
    _table: NDArray[Any]
    _checked: NDArray[np.bool_]

    def read(self, tokens: Tensor) -> Output:
        """The outputs of some tokens, in any order; a block's checksum is verified when it is first read.

        `tokens` are their numbers, integers of shape (batch, tokens) or (examples,).
        Returns: log-probabilities (batch, tokens, V) in the dtype of the file, or a `TopK` or `Sampled` of
        these positions.

        Raises:
            ValueError: a number that is not below `tokens`.
            Unusable: a block is damaged.
        """
        at = tokens.detach().cpu().numpy()
        if at.size and not (at.min() >= 0 and at.max() < self.tokens):
            raise ValueError(f"tokens {at.min()} to {at.max()} are asked for, but there are {self.tokens}")
        at, shape = at.reshape(-1).astype(np.int64), tuple(tokens.shape)
        if self.kind.form == "full":
            self._check(np.unique(at // BLOCK))
            rows = self._bytes[len(_MAGIC) :][: self.tokens * self._row_bytes].view(self.kind.dtype)
            return torch.from_numpy(rows.reshape(self.tokens, -1)[at]).view(*shape, self.kind.vocabulary)
        ids, values = (torch.from_numpy(x).view(*shape, x.shape[1]) for x in self._sparse(at))
        if self.kind.form == "top-k":
            return TopK(ids, values, self.kind.vocabulary, self.kind.temperature)
        return Sampled(ids, values, self.kind.vocabulary, self.kind.temperature)

    def verify(self) -> None:
        """Verify the checksums of all blocks. Raises Unusable: one of them is damaged."""
        self._check(np.arange(len(self._table)))

    @property
    def _row_bytes(self) -> int:
        return self.kind.width * np.dtype(self.kind.dtype).itemsize

    def _check(self, blocks: NDArray[np.int64]) -> None:
        for block in blocks[~self._checked[blocks]]:
            if zlib.crc32(self._stored(block).data) != self._table["checksum"][block]:
                last = min((int(block) + 1) * BLOCK, self.tokens) - 1
                raise Unusable(self.path, f"is altered in block {block}, tokens {block * BLOCK} to {last}")
            self._checked[block] = True

    def _stored(self, block: int) -> NDArray[np.uint8]:
        entry = self._table[block]
        start = int(entry["at"])
        return self._bytes[start : start + int(entry["stored"])]

    def _sparse(self, at: NDArray[np.int64]) -> Arrays:
        """Ids and values (tokens, width), block by block."""
        blocks = at // BLOCK
        needed = np.unique(blocks)
        self._check(needed)
        found = [(np.flatnonzero(blocks == block), self._decoded(int(block))) for block in needed]
        width = max((arrays[0].shape[1] for _, arrays in found), default=0)
        ids = np.zeros((len(at), width), np.int64)
        values = np.zeros((len(at), width), np.float16 if self.kind.form == "top-k" else np.int64)
        for where, arrays in found:
            rows = at[where] % BLOCK
            for to, part in zip((ids, values), arrays, strict=True):
                to[where, : part.shape[1]] = part[rows]
        return ids, values

    def _decoded(self, block: int) -> Arrays:
        entry, data = self._table[block], self._stored(block).tobytes()
        tokens = min(BLOCK, self.tokens - block * BLOCK)
        if entry["stored"] < entry["raw"]:
            data = zlib.decompress(data)
        return decoded(self.kind, data, tokens)


def write(
    path: Path, outputs: Iterable[Output], *, made_by: str = "", dtype: torch.dtype = torch.float16
) -> None:
    """Write a teacher's outputs, batch by batch, to a temporary file, and rename it when it is complete.

    Two processes may write the same file at once; the later one replaces the other.

    Args:
        outputs: logits (batch, tokens, V) or (examples, V), whose log-softmax at T = 1 is kept; or `TopK`; or
            `Sampled`. All of one kind; at least one token.
        made_by: a label of this teacher and text, which `load_or_make` compares.
        dtype: of the stored log-probabilities of full outputs, torch.float16 or torch.float32.
    Raises ValueError: batches of different kinds or sizes, no tokens, another dtype, logits that are no
    distribution (the message says where), or a token that was drawn more than 128 times.
    """
    if dtype not in (torch.float16, torch.float32):
        raise ValueError(f"dtype is {dtype}; log-probabilities are kept in torch.float16 or torch.float32")
    with replacing(path) as file:
        _write(file, outputs, made_by, dtype)


def open_outputs(path: Path) -> Outputs:
    """The outputs in a file, mapped into memory; blocks are verified as they are read.

    Raises:
        FileNotFoundError: there is no such file.
        Unusable: it is cut off, altered in its table or header, or no file of outputs.
    """
    size, ends = path.stat().st_size, _SIZES.size + _END.size
    if size < len(_MAGIC) + ends:
        raise Unusable(path, f"has only {size} bytes: it is cut off, or no teacher's outputs")
    data = np.asarray(np.memmap(path, np.uint8, "r"))
    if data[: len(_MAGIC)].tobytes() != _MAGIC:
        raise Unusable(path, "holds no teacher's outputs that this version can read")
    checksum, magic = _END.unpack(data[-_END.size :].tobytes())
    begins, table_bytes = _SIZES.unpack(data[-ends : -_END.size].tobytes())
    if magic != _MAGIC or begins + table_bytes + ends > size:
        raise Unusable(path, "does not end as it was written: it is cut off, or something was added")
    about = data[begins : -_END.size].tobytes()
    if zlib.crc32(about) != checksum:
        raise Unusable(path, "is altered in its table of blocks")
    header = json.loads(about[table_bytes : -_SIZES.size])
    table = np.frombuffer(about[:table_bytes], _TABLE)
    return Outputs(
        path=path,
        kind=Kind(**header["kind"]),
        tokens=header["tokens"],
        made_by=header["made_by"],
        bytes_per_token=size / header["tokens"],
        _bytes=data,
        _table=table,
        _checked=np.zeros(len(table), np.bool_),
    )


def load_or_make(
    path: Path,
    make: Callable[[], Iterable[Output]],
    *,
    made_by: str = "",
    dtype: torch.dtype = torch.float16,
    rebuild: bool = False,
) -> Outputs:
    """The outputs in a file, all blocks verified; made and written first where there is no file.

    Args:
        make: computes them, as `write` takes them.
        made_by: the label that the file must have.
        rebuild: make a file again that is damaged or has another label; otherwise that raises.
    Raises:
        Unusable: the file is damaged or has another label, and rebuild is false.
        ValueError: as `write`.
    """
    if path.exists():
        try:
            found = open_outputs(path)
            found.verify()
            if found.made_by != made_by:
                raise Unusable(path, f"was made by {found.made_by!r}, not by {made_by!r}")
            return found
        except Unusable:
            if not rebuild:
                raise
    write(path, make(), made_by=made_by, dtype=dtype)
    return open_outputs(path)


def _write(file: BinaryIO, outputs: Iterable[Output], made_by: str, dtype: torch.dtype) -> None:
    file.write(_MAGIC)
    table: list[tuple[int, int, int, int]] = []
    tokens, kind = 0, None
    for kind, arrays in _blocks(outputs, dtype):
        raw = encoded(kind, arrays)
        stored = raw if kind.form == "full" else _smaller(raw)
        table.append((file.tell(), len(stored), len(raw), zlib.crc32(stored)))
        file.write(stored)
        tokens += len(arrays[0])
    if kind is None:
        raise ValueError("there are no outputs to write: not a single token")
    header = {"kind": asdict(kind), "tokens": tokens, "made_by": made_by}
    index = np.array(table, _TABLE).tobytes()
    about = index + json.dumps(header).encode() + _SIZES.pack(file.tell(), len(index))
    file.write(about + _END.pack(zlib.crc32(about), _MAGIC))


def _blocks(outputs: Iterable[Output], dtype: torch.dtype) -> Iterator[tuple[Kind, Arrays]]:
    """Rows of all batches in blocks of `BLOCK`, the last one shorter."""
    kind, waiting = None, list[Arrays]()
    for output in outputs:
        found, arrays = rows_of(output, dtype)
        if kind is not None and found != kind:
            raise ValueError(f"outputs of one file must be of one kind: {found} after {kind}")
        kind = found
        waiting.append(arrays)
        if sum(len(arrays[0]) for arrays in waiting) >= BLOCK:
            whole = _joined(waiting)
            full = len(whole[0]) // BLOCK * BLOCK
            for start in range(0, full, BLOCK):
                yield kind, tuple(x[start : start + BLOCK] for x in whole)
            waiting = [tuple(x[full:] for x in whole)]
    if kind is not None and (last := _joined(waiting)) and len(last[0]):
        yield kind, last


def _joined(parts: list[Arrays]) -> Arrays:
    """Arrays concatenated, padded with zeros to one width."""
    joined = []
    for arrays in zip(*parts, strict=True):
        width = max(x.shape[1] for x in arrays)
        joined.append(np.concatenate([np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in arrays]))
    return tuple(joined)


def _smaller(raw: bytes) -> bytes:
    compressed = zlib.compress(raw)
    return compressed if len(compressed) < 0.9 * len(raw) else raw
