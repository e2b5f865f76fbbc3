"""Columns of predictions, however large: walked in blocks of rows, and arithmetic on their rows."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_ROWS = 2**16


def row_blocks(array: np.ndarray, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Walk an array in blocks of rows, so that whatever is computed from a block stays small.

    Of a memory map that was opened for reading, the pages of a block go back to the system before the next block is
    read, so that an array larger than memory can be walked; they may be read again at any time. Any other array is
    merely sliced.

    Args:
        array: (N, ...), of any type.
        rows: how many rows a block has, at least 1; the last one may have fewer.

    Yields:
        The number of the block's first row, and the block, a view of `array`.
    """
    for start in range(0, len(array), rows):
        block = array[start : start + rows]
        yield start, block
        hand_back(block)


def hand_back(block: np.ndarray) -> None:
    """Let go of the pages under a block, if they can only be those of a file that nobody writes through this map.

    Args:
        block: consecutive rows of an array; nothing happens to any but a memory map that was opened for reading.
    """
    mode: str | None = None
    owner: Any = block
    while isinstance(owner, np.ndarray):
        mode, owner = getattr(owner, "mode", mode), owner.base
    # A copy-on-write map says that it is not read-only, whatever the array says: its pages may hold the only copy.
    if mode != "r" or not isinstance(owner, mmap.mmap) or not memoryview(owner).readonly:
        return
    if not hasattr(mmap, "MADV_DONTNEED") or not block.flags.c_contiguous:
        return
    begin = block.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
    if begin >= 0 and block.nbytes and begin + block.nbytes <= len(owner):
        page = begin - begin % mmap.PAGESIZE
        owner.madvise(mmap.MADV_DONTNEED, page, begin + block.nbytes - page)


def ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The concatenation of `start, start + 1, ..., start + count - 1` over all segments."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum()) + np.repeat(starts - (ends - counts), counts)


def longest(vectors: np.ndarray) -> float:
    """The length of the longest of (N, D) vectors, 0 if there is none."""
    squares = (
        float(np.einsum("nd,nd->n", block, block, dtype=np.float64).max(initial=0))
        for _, block in row_blocks(vectors, _ROWS)
    )
    return max(squares, default=0.0) ** 0.5


def unit(vectors: np.ndarray) -> np.ndarray:
    """(N, D) float32 vectors scaled to length one; those without a length stay as they are."""
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)


def query_names(scenes: Sequence[str], boxes: np.ndarray) -> list[tuple[str, bytes]]:
    """What tells queries apart: scene and box, a zero being one whatever its sign."""
    return list(zip(scenes, map(np.ndarray.tobytes, boxes + np.float32(0)), strict=True))
