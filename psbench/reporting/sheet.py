"""A table filled in: published numbers and what is measured beside them, the best of each block told, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psbench.reporting.table import Measurement, Source, Table


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as published and as measured; either may be missing.

    Attributes:
        published: as printed; "" is not published.
        published_best: whether none of its block and column is better; of one alone it is not said.
        measured: the same number measured; None is not measured.
        low, high: the ends of its 95 % interval.
        measured_best: as `published_best`, among what was measured on real, or on synthetic data.
        difference: measured less published; None where either is missing, or where that would say nothing: of synthetic
            data, or of another device.
    """

    published: str = ""
    published_best: bool = False
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    measured_best: bool = False
    difference: float | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a line has under the columns that one measurement fills.

    Attributes:
        published: the published row; None without one.
        measurement: None without one.
        note: number of the footnote, from 1, that says what the measurement is.
        numbers: one a metric.
    """

    published: Mapping[str, str] | None
    measurement: Measurement | None
    note: int | None
    numbers: tuple[Number, ...]

    @property
    def synthetic(self) -> bool:
        """Whether what is measured is of the demo."""
        return self.measurement is not None and self.measurement.synthetic


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a table.

    Attributes:
        number: as `MeasuredRow.row` counts; None where nothing is published.
        name: of the method.
        values: of the label columns, as in the published file.
        labels: the same, as they are shown.
        reported_only: whether psbench has no such method, so that the line can only be quoted.
        entries: one for each of the table's columns.
    """

    number: int | None
    name: str
    values: tuple[str, ...]
    labels: tuple[str, ...]
    reported_only: bool
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Lines that are compared with each other.

    Attributes:
        heading: above them; "" for none.
        source: where they are printed; None where nothing is published.
        lines: see there.
    """

    heading: str
    source: Source | None
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A table filled in.

    Attributes:
        table: its declaration.
        blocks: see there.
        notes: the footnotes: what each measurement is.
        bold: where the sources print bold otherwise than it is here, in words.
    """

    table: Table
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    bold: tuple[str, ...]

    @property
    def lines(self) -> list[Line]:
        """Of all blocks."""
        return [line for block in self.blocks for line in block.lines]

    @property
    def synthetic(self) -> bool:
        """Whether anything measured is of the demo."""
        return any(entry.synthetic for line in self.lines for entry in line.entries)

    @property
    def measured(self) -> bool:
        """Whether anything is measured."""
        return bool(self.notes)

    @property
    def reported_only(self) -> bool:
        """Whether there are lines that can only be quoted."""
        return any(line.reported_only for line in self.lines)
