"""Tables as declarations: which published numbers are printed where, and what is measured to stand beside them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from psbench_data.terms import terms

if TYPE_CHECKING:
    from psbench.reproduction.rows import Cell

YES_NO = {"1": "✓", "0": "\N{EN DASH}"}
"""How switches read."""
_WORDS = {"ours": "this paper"}
"""What the papers' tables say of themselves, as it must read outside them."""


class Measurement(Protocol):
    """What psbench measured: `Measured` or `MeasuredCost`; its numbers are attributes, by the names of metrics."""

    @property
    def row(self) -> int | None:
        """Of the published table that it stands beside; None for one of its own."""

    @property
    def method(self) -> str:
        """As printed."""

    @property
    def synthetic(self) -> bool:
        """Whether it is of the demo, and so of no paper's data or network."""

    @property
    def provenance(self) -> str:
        """What it is, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a column holds.

    Attributes:
        field: its name in files of published numbers, and the attribute of what is measured.
        heading: as printed.
        digits: after the point, of measured numbers; published ones have those that are printed.
        best: which number of a block is bold.
        of_device: whether it depends on what computes it, so that ours and theirs are not subtracted.
    """

    field: str
    heading: str
    digits: int = 1
    best: Literal["highest", "lowest"] = "highest"
    of_device: bool = False


MAP, TOP1 = Metric(field="map", heading="mAP"), Metric(field="top1", heading="top-1")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that one measurement fills.

    Attributes:
        heading: above them.
        metrics: one a column.
        where: what published rows say that are printed here; rows without such a column are, too.
        fits: what measurements say that stand here.
        cell: what is asked of every row that is measured; None where something else than accuracy is.
        x: where the columns stand on an axis, see `Axis`.
    """

    heading: str
    metrics: tuple[Metric, ...]
    where: Mapping[str, str] = field(default_factory=dict)
    fits: Mapping[str, Any] = field(default_factory=dict)
    cell: Cell | None = None
    x: float | None = None

    def takes(self, measurement: Measurement) -> bool:
        """Whether a measurement stands here."""
        fits = all(getattr(measurement, name, None) == value for name, value in self.fits.items())
        return fits and any(getattr(measurement, metric.field, None) is not None for metric in self.metrics)


def accuracy(cell: Cell, heading: str = "") -> Columns:
    """mAP and top-1 under a protocol; a gallery's size is where they stand on an axis."""
    title = terms(cell.dataset).title
    sized = re.fullmatch(r"gallery-(\d+)", cell.protocol)
    size = sized[1] if sized else ""
    return Columns(
        heading=heading or title,
        metrics=(MAP, TOP1),
        where={"dataset": title} | ({"gallery_size": size} if size else {}),
        fits={"dataset": title, "protocol": cell.protocol},
        cell=cell,
        x=float(size) if size else None,
    )


@dataclass(frozen=True, kw_only=True)
class Source:
    """Published rows of a table.

    Attributes:
        words: where they are printed.
        data: name of a file of published numbers.
        heading: above them, where a table has several sources.
        where: of the file's rows, those that say this.
        key: the columns whose values make a line of the table: rows that agree in them are one line.
        block: the column whose values part the lines into blocks.
        first: number of the first line, which `MeasuredRow.row` counts from.
        data_options: that the dataset is opened with for what stands beside these.
    """

    words: str
    data: str
    heading: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ("row",)
    block: str = ""
    first: int = 1
    data_options: Mapping[str, Any] = field(default_factory=dict)

    def takes(self, measurement: Measurement) -> bool:
        """Whether a measurement can stand beside these."""
        return not self.data_options or dict(getattr(measurement, "data_options", {})) == dict(self.data_options)


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What makes a table a set of curves.

    Attributes:
        heading: below it.
        label: the label column that says where a line stands, so that lines which agree in the others are one curve;
            without one each line is a curve over the columns' `x`.
        logarithmic: whether distances are ratios.
    """

    heading: str
    label: str = ""
    logarithmic: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """The declaration of a table, or of curves.

    Attributes:
        name: of the files.
        title: the heading.
        sources: the published rows.
        labels: the columns of published files that describe a line, with the heading of each.
        columns: what is measured of each line, one after the other.
        names: what the lines are called where no label column is their method, by their numbers from 1.
        words: how values of label columns and of blocks read.
        remarks: what a reader has to know, a sentence or more each.
        axis: for curves.
        from_measured: the attribute of measurements that a label column shows, for lines that nobody published.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    labels: tuple[tuple[str, str], ...]
    columns: tuple[Columns, ...]
    names: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    axis: Axis | None = None
    from_measured: Mapping[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What is asked of each row that is measured."""
        asked = {(c.cell.dataset, c.cell.protocol): c.cell for c in self.columns if c.cell}.values()
        options = {str(dict(source.data_options)): dict(source.data_options) for source in self.sources}.values()
        return tuple(dataclasses.replace(cell, data_options=of) if of else cell for of in options for cell in asked)

    def word(self, value: str) -> str:
        """How a value of a label column, or of a block, reads."""
        return self.words.get(value, _WORDS.get(value, value))

    def write(self, measured: Sequence[Measurement], folder: Path) -> list[Path]:
        """Write the table in every format, see `write_table`."""
        from psbench.reporting.files import write_table

        return write_table(self, measured, folder)
