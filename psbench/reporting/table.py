"""Comparison tables: published rows as printed, measured rows below them, in Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psbench.reporting.measured import Measured
from psbench.reporting.published import published
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    import pandas as pd

_AS_READ = {"ours": "this paper"}
"""What the papers' tables say of themselves, as it must read outside them."""


@dataclass(frozen=True, kw_only=True)
class ComparisonTable:
    """The declaration of a comparison table.

    Attributes:
        name: of the files.
        title: the heading.
        source: where the published rows are printed.
        data: name of the published numbers.
        labels: their columns that describe a method, with the heading of each.
        datasets: the datasets, in order; each gets a column for mAP and one for top-1.
    """

    name: str
    title: str
    source: str
    data: str
    labels: tuple[tuple[str, str], ...]
    datasets: tuple[str, ...]

    def write(self, measured: Sequence[Measured], folder: Path) -> list[Path]:
        """Write NAME.md and NAME.csv; see `write_table`."""
        return write_table(self.name, self.to_markdown(measured), self.to_frame(measured), folder)

    def to_frame(self, measured: Sequence[Measured]) -> pd.DataFrame:
        """One row a cell; `kind` is published, measured or synthetic, and measured cells say on what data."""
        import pandas as pd

        keys = [key for key, _ in self.labels]
        rows = published(self.data)[[*keys, "block_label", "dataset", "gallery_size", "map", "top1"]]
        rows = rows.assign(kind="published", source=self.source)
        ours = pd.DataFrame([measured_row(m) | {"block_label": m.kind} for m in measured])
        columns = list(dict.fromkeys([*rows.columns, *ours.columns]))
        return pd.concat([rows.reindex(columns=columns), ours.reindex(columns=columns)], ignore_index=True)

    def to_markdown(self, measured: Sequence[Measured]) -> str:
        """The table as the paper lays it out, the best of each block bold, and a footnote for each measured cell."""
        rows = published(self.data)
        best = rows.groupby(["block", "dataset"])[["map", "top1"]].max()
        headings = [heading for _, heading in self.labels]
        for dataset in self.datasets:
            headings += [f"{dataset} mAP", f"{dataset} top-1"]
        lines = [
            markdown_row(headings),
            markdown_row([":--" if i < len(self.labels) else "--:" for i in range(len(headings))]),
        ]
        for block, of_block in rows.groupby("block"):
            lines.append(markdown_row([f"*{str(of_block['block_label'].iloc[0]).replace('_', ' ')}*"], len(headings)))
            for _, of_method in of_block.groupby("row"):
                cells = [
                    "" if value != value else _AS_READ.get(value, str(value))
                    for value in of_method[[k for k, _ in self.labels]].iloc[0]
                ]
                for dataset in self.datasets:
                    values = of_method[of_method["dataset"] == dataset]
                    for metric in ("map", "top1"):
                        value = values[metric].iloc[0] if len(values) else float("nan")
                        cells.append(_number(value, bold=value == best.loc[(block, dataset), metric]))
                lines.append(markdown_row(cells))
        if measured:
            lines.append(markdown_row(["*measured by psbench*"], len(headings)))
            lines += self._measured_lines(measured)
        text = [f"# {self.title}", "", f"Published rows: {self.source}. Bold: the best of a block. All in percent.", ""]
        return "\n".join([*text, *lines, "", *provenance_notes(measured), ""])

    def _measured_lines(self, measured: Sequence[Measured]) -> list[str]:
        lines = []
        for method in dict.fromkeys(m.method for m in measured):
            cells = [method if key == "method" else "" for key, _ in self.labels]
            for dataset in self.datasets:
                found = [(i, m) for i, m in enumerate(measured, start=1) if (m.method, m.dataset) == (method, dataset)]
                cells += [measured_cell(*found[0], metric) if found else "" for metric in ("map", "top1")]
            lines.append(markdown_row(cells))
        return lines


def write_table(name: str, markdown: str, frame: pd.DataFrame, folder: Path) -> list[Path]:
    """Write NAME.md and NAME.csv.

    Returns:
        The two files.
    """
    paths = [folder / f"{name}.md", folder / f"{name}.csv"]
    with new_file(paths[0]) as partial:
        partial.write_text(markdown, encoding="utf-8")
    with new_file(paths[1]) as partial:
        frame.to_csv(partial, index=False)
    return paths


def measured_row(measured: Measured) -> dict[str, str | float]:
    """A measured number as a row of a table's CSV."""
    return {
        "method": measured.method,
        "dataset": measured.dataset,
        "gallery_size": measured.gallery_size,
        "map": measured.map,
        "top1": measured.top1,
        "kind": measured.kind,
        "source": "psbench",
        "data": measured.data,
        "fingerprint": measured.fingerprint,
        "recipe": measured.recipe,
        "recipe_digest": measured.recipe_digest,
    }


def provenance_notes(measured: Sequence[Measured]) -> list[str]:
    """The footnotes that the cells of measured numbers point to, an empty line between two."""
    notes = [f"[{i}] {m.provenance}" for i, m in enumerate(measured, start=1)]
    return "\n\n".join(notes).split("\n") if notes else []


def measured_cell(note: int, measured: Measured, metric: str) -> str:
    number = f"{getattr(measured, metric):.1f}"
    return f"{number} (synthetic data) [{note}]" if measured.synthetic else f"{number} [{note}]"


def _number(value: float, *, bold: bool) -> str:
    if value != value:
        return ""
    return f"**{value:.1f}**" if bold else f"{value:.1f}"


def markdown_row(cells: Sequence[str], width: int | None = None) -> str:
    """A row of a Markdown table, empty cells added up to `width`."""
    cells = [*cells, *[""] * ((width or 0) - len(cells))]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
