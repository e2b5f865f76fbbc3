"""What is given as predictions: taken in without a copy, and checked."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from psbench.blocks import query_names, row_blocks
from psbench_data import InputError
from psbench_data.faults import by_turns

_BLOCK_BYTES = 2**24
_LISTED = 50
_MOST_ROWS = 2**53
_UNIT_TOLERANCE = 1e-3
_REMEDY = "Mend the method that wrote it and predict again."

At = Callable[[int], str]
"""Says where a row, a scene or a query stands, as the beginning of a sentence."""


def is_whole(value: Any) -> bool:
    """Whether an argument is a whole number, Python's or numpy's, and not True or False."""
    return isinstance(value, Integral) and not isinstance(value, bool)


class Check(NamedTuple):
    """Something that must hold for every row of a column.

    Attributes:
        wrong: from (n, ...) rows to (n,) bool: for which of them it does not hold.
        says: what is wrong with a row and what to do, the end of a sentence.
        of_many: what is wrong with all (n, ...) wrong rows, where they are very many, the end of a sentence;
            their number is told without it.
    """

    wrong: Callable[[np.ndarray], np.ndarray]
    says: Callable[[np.ndarray], str]
    of_many: Callable[[np.ndarray], str] | None = None


def _not_finite(rows: np.ndarray) -> np.ndarray:
    finite = np.isfinite(rows)
    return np.zeros(len(rows), bool) if finite.all() else ~finite.reshape(len(rows), -1).all(axis=1)


def _inverted(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])


def _outside(scores: np.ndarray) -> np.ndarray:
    return (scores < 0) | (scores > 1)


def _many_scores(scores: np.ndarray) -> str:
    scores = scores[np.isfinite(scores)]
    least, most = scores.min(initial=np.inf), scores.max(initial=-np.inf)
    guess = ": percent?" if least >= 0 and 1 < most <= 100 else ""
    return f"lie outside 0 to 1 (they go from {least:g} to {most:g}{guess})."


def _many_lengths(vectors: np.ndarray) -> str:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return (
        f"are not of length 1, which unit_length claims (their lengths go from {lengths.min():g} to {lengths.max():g})."
    )


def _not_of_unit_length(vectors: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.abs(np.sqrt(np.einsum("nd,nd->n", vectors, vectors)) - 1) > _UNIT_TOLERANCE
    off[off] = ~_not_finite(vectors[off])
    return off


FINITE = Check(_not_finite, lambda row: f"has NaN or infinity. {_REMEDY}", lambda rows: "have NaN or infinity.")
BOX = Check(
    _inverted,
    lambda row: (
        f"is {row.tolist()}, where x1 <= x2 and y1 <= y2 were expected (x1, y1, x2, y2, not x, y, width, "
        f"height). {_REMEDY}"
    ),
    lambda rows: "have x2 < x1 or y2 < y1: are they x, y, width, height?",
)
SCORE = Check(_outside, lambda row: f"is {row.item():g}, expected 0 to 1. {_REMEDY}", _many_scores)
UNIT_LENGTH = Check(
    _not_of_unit_length,
    lambda row: (
        f"has length {np.linalg.norm(row.astype(np.float64)):.6g}, while unit_length claims 1 (within "
        f"{_UNIT_TOLERANCE}). Divide it by its length, or do not claim unit_length: embeddings weighted by scores "
        "(CWS, norm-aware embedding) are not of unit length."
    ),
    _many_lengths,
)


class Intake:
    """Takes in what a method or a folder gives, and notes every fault instead of stopping at the first.

    What cannot be taken is None and has been noted; whatever depends on it is then left unchecked, and nothing else.

    Args:
        where: the beginning of a fault for which nothing more exact is known.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._kinds: list[list[str]] = []

    def __len__(self) -> int:
        """How many kinds of faults were noted."""
        return len(self._kinds)

    def add(self, fault: str) -> None:
        """Note a fault, a whole sentence without its beginning `where`."""
        self._kinds.append([f"{self.where}: {fault}"])

    def add_all(self, faults: Iterable[str], count: int, summary: str = "") -> None:
        """Note faults of one kind, whole sentences; more than fifty as one, with their number and the first of them.

        Args:
            faults: each of them.
            count: how many they are.
            summary: what to say of very many, without its beginning `where`; their number if it is not given.
        """
        if count > _LISTED:
            said, first = summary or f"{count:,} faults of one kind.", next(iter(faults))
            self._kinds.append([f"{self.where}: {said} The first of them: {first.removeprefix(f'{self.where}: ')}"])
        elif kind := list(faults):
            self._kinds.append(kind)

    def raise_faults(self) -> None:
        """Raise what was noted, if anything was.

        Raises:
            InputError: the first fault of every kind, so that a long list shows them all, and then the others.
        """
        if self._kinds:
            raise InputError(by_turns(self._kinds))

    def floats(self, name: str, values: Any) -> np.ndarray | None:
        """Numbers of any kind as float32 in C order; the same memory if they are that already."""
        array = self._numbers(name, values, np.dtype(np.float32))
        return None if array is None else np.ascontiguousarray(array).reshape(array.shape)

    def whole(self, name: str, values: Any) -> np.ndarray | None:
        """Whole numbers from 0, one-dimensional, as int64."""
        array = self._numbers(name, values, None)
        if array is None:
            return None
        if array.ndim != 1:
            self.add(f"{name} has shape {array.shape}, expected one whole number a row.")
            return None
        exact = array if array.dtype.kind in "biu" else self._numbers(name, array, np.dtype(np.float64))
        if exact is None:
            return None
        where, wrong = f"{self.where}: {name}", exact < 0
        if exact.dtype.kind == "f":
            wrong |= ~((exact == np.floor(exact)) & (exact < 2**53))
        rows = np.flatnonzero(wrong).tolist()
        self.add_all(
            (f"{where}: row {row} is {exact[row]}, expected a whole number from 0." for row in rows), len(rows)
        )
        return None if wrong.any() else exact.astype(np.int64, copy=False)

    def offsets(self, name: str, counts: Any) -> np.ndarray | None:
        """Where the stretch of each row begins and ends: (rows + 1,) int64, from the (rows,) lengths."""
        numbers = self.whole(name, counts)
        if numbers is None:
            return None
        if numbers.sum(dtype=np.float64) >= _MOST_ROWS:
            self.add(f"{name} add up to {numbers.sum(dtype=np.float64):.3g}, more rows than there can be.")
            return None
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers)])

    def names(self, name: str, values: Any) -> list[str] | None:
        """Names, from a list or an array of them."""
        plain = values.tolist() if isinstance(values, np.ndarray) else values
        if not isinstance(plain, Iterable) or isinstance(plain, str | bytes):
            self.add(f"{name} is {plain!r:.60}, expected a list of names.")
            return None
        names = list(plain)
        wrong = [row for row, one in enumerate(names) if not isinstance(one, str)]
        self.add_all((f"{name}: entry {row} is {names[row]!r:.60}, expected a name." for row in wrong), len(wrong))
        return None if wrong else [str(one) for one in names]

    def text(self, name: str, value: Any) -> str:
        """A word about the whole, such as the method's name."""
        if not isinstance(value, str):
            self.add(f"{name} is {value!r:.60}, expected text; leave it out where it is not known.")
            return ""
        return value

    def distinct(self, keys: Sequence[Hashable], fault: Callable[[int, int], str]) -> None:
        """Note every key that is there a second time; `fault` gets its row and that of the first."""
        if len(set(keys)) == len(keys):
            return
        first: dict[Hashable, int] = {}
        again = [(row, first[key]) for row, key in enumerate(keys) if first.setdefault(key, row) != row]
        self.add_all((fault(*rows) for rows in again), len(again))

    def column(
        self,
        name: str,
        array: np.ndarray | None,
        shape: tuple[int | None, ...],
        because: str,
        at: At | None,
        *checks: Check,
    ) -> None:
        """Check the shape and the values of a column, in one pass over it.

        Args:
            name: as its owner calls it.
            array: the column, or None.
            shape: what it must be; None where it may be anything.
            because: what that follows from.
            at: says what a row is; None if that is unknown.
            checks: what must hold beyond being finite; asked only of rows that have the right shape.
        """
        if array is None:
            return
        if array.ndim != len(shape) or not _fits(array.shape, shape):
            sides = ", ".join("any" if side is None else str(side) for side in shape)
            self.add(f"{name} has shape {array.shape}, expected ({sides}{',' * (len(shape) == 1)}): {because}.")
        if array.ndim != len(shape):
            return
        where = at if at and _fits(array.shape[:1], shape[:1]) else (lambda row: f"{self.where}: row {row} of {name}")
        asked = (FINITE, *checks) if _fits(array.shape[1:], shape[1:]) else (FINITE,)
        found: list[list[np.ndarray]] = [[] for _ in asked]
        for start, block in row_blocks(array, max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))):
            for check, parts in zip(asked, found, strict=True):
                parts.append(start + np.flatnonzero(check.wrong(block)))
        for check, parts in zip(asked, found, strict=True):
            rows = np.concatenate([np.zeros(0, np.int64), *parts])
            summary = ""
            if check.of_many and len(rows) > _LISTED:
                summary = f"{len(rows):,} of {len(array):,} {name} {check.of_many(array[rows])}"
            self.add_all((f"{where(row)} {check.says(array[row])}" for row in rows), len(rows), summary)

    def queries(self, scenes: Any, boxes: Any) -> dict[str, Any]:
        """The columns `query_scenes` and `query_boxes`: both or neither."""
        if (scenes is None) != (boxes is None):
            self.add("query_scenes and query_boxes belong together. Give both or neither.")
        return {
            "query_scenes": None if scenes is None else self.names("query_scenes", scenes),
            "query_boxes": None if boxes is None else self.floats("query_boxes", boxes),
        }

    def query_keys(self, scenes: list[str] | None, boxes: np.ndarray | None, count: int | None, at_query: At) -> None:
        """Check the scenes and boxes that say which query each of `count` (None: unknown) is."""
        because = "one for each query"
        if scenes is not None and len(scenes) != (len(scenes) if count is None else count):
            self.add(f"query_scenes has {len(scenes)} names, expected {count}: {because}.")
        self.column("query_boxes", boxes, (count, 4), because, lambda query: f"{at_query(query)}: the box", BOX)
        if scenes is not None and boxes is not None and boxes.ndim == 2 and len(scenes) == len(boxes):
            self.distinct(
                query_names(scenes, boxes),
                lambda again, first: (
                    f"{at_query(again)}: the same scene and box as query {first}. List each query once."
                ),
            )

    def _numbers(self, name: str, values: Any, dtype: np.dtype | None) -> np.ndarray | None:
        # A tensor may carry gradients or lie on a device, which numpy refuses.
        plain = values.detach().cpu() if hasattr(values, "detach") else values
        try:
            array = np.asarray(plain)
            if np.iscomplexobj(array):
                raise TypeError("they are complex")
            with np.errstate(over="ignore"):
                return array if dtype is None else array.astype(dtype, copy=False)
        except (TypeError, ValueError, OverflowError) as error:
            self.add(f"{name} is not an array of numbers ({error}).")
            return None


def _fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return all(side is None or side == there for there, side in zip(found, expected, strict=True))
