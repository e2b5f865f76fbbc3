"""Measured numbers that nobody measured, for every row and cell that a script asks for."""

import zlib
from collections.abc import Iterator, Sequence

from psbench.reporting.measured import Measured, MeasuredCost
from psbench.reproduction.rows import Cell, CostRow, MeasuredRow, Script
from psbench_data.terms import terms


def made_up(script: Script, *, synthetic: bool) -> list[Measured | MeasuredCost]:
    """A number for each row and cell, and for each row of costs, the same every time."""
    rows = [made_up_row(row, cell, synthetic=synthetic) for row, cell in asked(script.rows, script.cells)]
    return [*rows, *(made_up_cost(row, synthetic=synthetic) for row in script.costs)]


def asked(rows: Sequence[MeasuredRow], cells: Sequence[Cell]) -> Iterator[tuple[MeasuredRow, Cell]]:
    """What the engine would measure: a recipe of one dataset has cells of that alone."""
    for row in rows:
        yield from ((row, c) for c in cells if "{dataset}" in row.recipe or row.recipe.endswith(f"-{c.dataset}"))


def made_up_row(row: MeasuredRow, cell: Cell, *, synthetic: bool) -> Measured:
    """A number for one cell."""
    name = f"{row} {cell}"
    keep = row.keep if row.keep is None or isinstance(row.keep, int) else row.keep.get(cell.protocol)
    size = int(cell.protocol.rpartition("-")[2]) if cell.protocol.startswith("gallery-") else 6112
    score = 90 - 6 * len(str(size)) - _number(name, 20)
    return Measured(
        row=row.row,
        method=row.method,
        dataset=terms(cell.dataset).title,
        protocol=cell.protocol,
        gallery_size=size,
        map=score,
        top1=score + 4,
        map_low=score - 1.3,
        map_high=score + 1.4,
        top1_low=score + 2,
        top1_high=score + 5.5,
        keep=keep,
        ground_truth_boxes=row.ground_truth_boxes,
        procedure="on annotated boxes" if row.ground_truth_boxes else "",
        data="synthetic people, 400 train and 500 test scenes" if synthetic else "11,206 train and 6,978 test scenes",
        data_options=dict(cell.data_options),
        synthetic=synthetic,
        fingerprint="f" * 64,
        recipe=row.demo_recipe if synthetic else row.recipe.format(dataset=cell.dataset),
        recipe_digest=f"{zlib.crc32(name.encode()):08x}" * 8,
        weights_digest="e" * 64,
        psbench="0.1.0",
        hardware="a CPU of 2 cores",
        seconds=61.0,
    )


def made_up_cost(row: CostRow, *, synthetic: bool) -> MeasuredCost:
    """The cost of one model."""
    size = f"{row.size[1]}x{row.size[0]}" if row.size else ""
    return MeasuredCost(
        row=row.row,
        method=row.method,
        input_max=size,
        params_m=20 + _number(row.method, 20),
        gmac=100 + _number(f"{row}", 300) if size else None,
        mem_gb=1 + _number(f"{row}", 3),
        speed_fps=5 + _number(f"{row}", 25) if size else None,
        whole_fps=4 + _number(f"{row}", 20) if size else None,
        best_fps=8 + _number(f"{row}", 30) if size else None,
        seconds=3 + _number(f"{row}", 20),
        synthetic=synthetic,
        device="a CPU of 2 cores",
        source=f"{row.method}: measured by psbench on a CPU of 2 cores at {size}.",
    )


def _number(name: str, below: float) -> float:
    """Of a name, spread evenly over [0, below)."""
    return zlib.crc32(name.encode()) / 2**32 * below
