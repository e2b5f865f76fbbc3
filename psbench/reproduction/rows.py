"""What the scripts of reproduce/ declare: rows that are measured, and the cells that are asked of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psbench.reporting.measured import Measured, MeasuredCost

Write = Callable[[list[Measured | MeasuredCost], Path], list[Path]]
"""Makes files, in a folder, of what was measured."""


@dataclass(frozen=True)
class Cell:
    """What a table asks of each of its rows.

    Attributes:
        dataset: a name of `psbench_data.available()`.
        protocol: one of its protocols, for example gallery-100.
        data_options: that the dataset is opened with, for example {"train_subset": 10}.
    """

    dataset: str
    protocol: str
    data_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """A row of a table, or a curve, that psbench measures.

    Attributes:
        row: the `row` number of the published table that it stands beside; None for a row of its own below them.
        method: as printed.
        recipe: for the real dataset, whose name goes where it says {dataset}: "seqnet-{dataset}". There is no cell for
            the row where psbench has no such recipe, or it is for another dataset.
        demo_recipe: for synthetic data in the format of whichever dataset is asked for.
        changes: of both, as `Recipe.override` takes them: what makes a variant.
        real_changes: the same, of the recipe for real data alone: sizes of images, which a demo's network is too small
            for.
        cbgm: whether similarities are revised by the people around each query.
        ground_truth_boxes: whether the annotated boxes are embedded instead of detecting.
        reid: the recipe of a re-ID network that ranks what a pairwise model proposes, as `recipe`.
        reid_demo: the same for synthetic data.
        keep: of a pairwise model's proposals, how many a query are kept over its whole gallery; by protocol, where that
            differs.
    """

    row: int | None = None
    method: str
    recipe: str
    demo_recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    real_changes: Mapping[str, Any] = field(default_factory=dict)
    cbgm: bool = False
    ground_truth_boxes: bool = False
    reid: str | None = None
    reid_demo: str | None = None
    keep: int | Mapping[str, int] | None = None


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """A row of a table whose parameters, memory and speed psbench measures, on whatever device there is.

    Attributes:
        row, method, recipe, demo_recipe, changes: as in `MeasuredRow`; of the recipes the models count.
        size: images are resized into this height and width, pixels; None for a pairwise model's own, and for drawn
            people always the recipe's.
    """

    row: int | None = None
    method: str
    recipe: str
    demo_recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = (800, 1333)


@dataclass(frozen=True, kw_only=True)
class Script:
    """What one script measures and writes.

    Attributes:
        rows, cells: every cell is measured for every row.
        write: makes files, in a folder, of what was measured: a number for each row and cell that there is one for,
            row by row, and one for each row of costs.
        costs: rows of what models cost.
    """

    rows: Sequence[MeasuredRow]
    cells: Sequence[Cell]
    write: Write
    costs: Sequence[CostRow] = ()
