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
        """Write NAME.md and NAME.csv.

        Returns:
            The two files.
        """
        markdown, csv = folder / f"{self.name}.md", folder / f"{self.name}.csv"
        with new_file(markdown) as partial:
            partial.write_text(self.to_markdown(measured), encoding="utf-8")
        with new_file(csv) as partial:
            self.to_frame(measured).to_csv(partial, index=False)
        return [markdown, csv]

    def to_frame(self, measured: Sequence[Measured]) -> pd.DataFrame:
        """One row a cell; `kind` is published, measured or synthetic, and measured cells say on what data."""
        import pandas as pd

        keys = [key for key, _ in self.labels]
        rows = published(self.data)[[*keys, "block_label", "dataset", "gallery_size", "map", "top1"]]
        rows = rows.assign(kind="published", source=self.source)
        ours = [
            {
                "method": m.method,
                "block_label": m.kind,
                "dataset": m.dataset,
                "gallery_size": m.gallery_size,
                "map": m.map,
                "top1": m.top1,
                "kind": m.kind,
                "source": "psbench",
                "data": m.data,
                "fingerprint": m.fingerprint,
                "recipe": m.recipe,
                "recipe_digest": m.recipe_digest,
            }
            for m in measured
        ]
        extra = ["data", "fingerprint", "recipe", "recipe_digest"]
        columns = [*rows.columns, *extra]
        return pd.concat([rows.reindex(columns=columns), pd.DataFrame(ours, columns=columns)], ignore_index=True)

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
        notes = [f"[{i}] {m.provenance}" for i, m in enumerate(measured, start=1)]
        text = [f"# {self.title}", "", f"Published rows: {self.source}. Bold: the best of a block. All in percent.", ""]
        return "\n".join([*text, *lines, "", *("\n\n".join(notes).split("\n") if notes else []), ""])

    def _measured_lines(self, measured: Sequence[Measured]) -> list[str]:
        lines = []
        for method in dict.fromkeys(m.method for m in measured):
            cells = [method if key == "method" else "" for key, _ in self.labels]
            for dataset in self.datasets:
                found = [(i, m) for i, m in enumerate(measured, start=1) if (m.method, m.dataset) == (method, dataset)]
                cells += [_measured_cell(*found[0], metric) if found else "" for metric in ("map", "top1")]
            lines.append(markdown_row(cells))
        return lines


def _measured_cell(note: int, measured: Measured, metric: str) -> str:
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
