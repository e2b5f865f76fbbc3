"""Tables of one method's variants: each published row with what psbench measures beside it, in Markdown and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from psbench.reporting.measured import Measured
from psbench.reporting.published import published
from psbench.reporting.table import markdown_row, measured_cell, measured_row, provenance_notes, write_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class AblationTable:
    """The declaration of a table of variants.

    Attributes:
        name: of the files.
        title: the heading.
        source: where the published rows are printed.
        data: name of the published numbers; its column `row` numbers the variants from 1.
        switches: the columns that tell the variants apart, with the heading of each; 1 is on, 0 off.
        words: how other values of theirs read.
    """

    name: str
    title: str
    source: str
    data: str
    switches: tuple[tuple[str, str], ...]
    words: Mapping[str, str] = field(default_factory=dict)

    def variant(self, row: int) -> str:
        """What the variant of a row is called, as a method: what is measured of it bears that name."""
        return f"{self.name}, row {row}"

    def write(self, measured: Sequence[Measured], folder: Path) -> list[Path]:
        """Write NAME.md and NAME.csv; see `write_table`."""
        return write_table(self.name, self.to_markdown(measured), self.to_frame(measured), folder)

    def to_frame(self, measured: Sequence[Measured]) -> pd.DataFrame:
        """One row a number; `kind` is published, measured or synthetic, and measured ones say on what data."""
        import pandas as pd

        rows = published(self.data)
        switches = ["row", *(key for key, _ in self.switches)]
        theirs = rows[[*switches, "dataset", "gallery_size", "map", "top1"]].assign(
            kind="published", source=self.source, method=[self.variant(row) for row in rows["row"]]
        )
        of_variant = theirs.set_index("method")[switches].to_dict("index")
        ours = pd.DataFrame([measured_row(m) | of_variant[m.method] for m in measured])
        columns = list(dict.fromkeys([*theirs.columns, *ours.columns]))
        # Nothing measured would make numbers of rows fractions.
        frames = [theirs, ours] if len(ours) else [theirs]
        return pd.concat([frame.reindex(columns=columns) for frame in frames], ignore_index=True)

    def to_markdown(self, measured: Sequence[Measured]) -> str:
        """The table as the paper lays it out, measured numbers to the right, each with a footnote."""
        rows = published(self.data)
        headings = ["", *(heading for _, heading in self.switches), "mAP", "top-1", "measured mAP", "measured top-1"]
        alignment = [":--" if 0 < i <= len(self.switches) else "--:" for i in range(len(headings))]
        lines = [markdown_row(headings), markdown_row(alignment)]
        for _, row in rows.iterrows():
            cells = [str(row["row"]), *(self._word(row[key]) for key, _ in self.switches)]
            cells += [f"**{row[m]:.1f}**" if row[f"{m}_bold"] else f"{row[m]:.1f}" for m in ("map", "top1")]
            found = [(i, m) for i, m in enumerate(measured, start=1) if m.method == self.variant(row["row"])]
            cells += [measured_cell(*found[0], metric) if found else "" for metric in ("map", "top1")]
            lines.append(markdown_row(cells))
        dataset = rows["dataset"].iloc[0]
        text = [f"# {self.title}", "", f"Published: {self.source}, on {dataset}, in percent, bold as printed.", ""]
        return "\n".join([*text, *lines, "", *provenance_notes(measured), ""])

    def _word(self, value: object) -> str:
        return {"1": "yes", "0": "no"}.get(str(value), self.words.get(str(value), str(value)))
