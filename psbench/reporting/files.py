"""Tables as files: Markdown, CSV, LaTeX, JSON, a page, and pictures; and all of them as one report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from psbench.reporting.filling import fill
from psbench.reporting.latex import to_latex
from psbench.reporting.markdown import to_markdown
from psbench.reporting.page import figure_of, to_page
from psbench.reporting.records import to_csv, to_json
from psbench.reporting.style import write_figure
from psbench.reporting.table import Measurement, Table
from psbench_data.atomic import new_file

_REPORT = "Person search: published numbers and measured ones"


def write_table(table: Table, measured: Sequence[Measurement], folder: Path) -> list[Path]:
    """Write NAME.md, .csv, .tex, .json and .html, and a picture as .png and .svg.

    Args:
        table: its declaration.
        measured: what stands beside the published numbers; what the table does not ask for is left out.
        folder: where to.

    Returns:
        The files.
    """
    sheet = fill(table, measured)
    texts = {
        "md": to_markdown(sheet),
        "csv": to_csv(sheet),
        "tex": to_latex(sheet),
        "json": to_json(sheet),
        "html": to_page([sheet], title=table.title),
    }
    paths = [_write(folder / f"{table.name}.{ending}", text) for ending, text in texts.items()]
    figure = figure_of(sheet, title=table.title)
    return paths + (write_figure(figure, folder, table.name) if figure else [])


def write_report(
    tables: Sequence[Table], measured: Sequence[Sequence[Measurement]], folder: Path, *, name: str = "report"
) -> list[Path]:
    """Write NAME.html, which needs nothing beside it, and NAME.md, which shows the pictures of `write_table`.

    Args:
        tables: in the report's order.
        measured: for each of them.
        folder: where to.
        name: of the files.

    Returns:
        The two files.
    """
    sheets = [fill(table, of_table) for table, of_table in zip(tables, measured, strict=True)]
    parts = [
        f"# {_REPORT}",
        "\n".join(f"{i}. [{s.table.title}](#{s.table.name})" for i, s in enumerate(sheets, start=1)),
    ]
    for sheet in sheets:
        drawn = figure_of(sheet, title="") is not None
        picture = f"\n![{sheet.table.title}]({sheet.table.name}.png)\n" if drawn else ""
        parts.append(f'<a id="{sheet.table.name}"></a>\n\n{to_markdown(sheet, level=2)}{picture}')
    return [
        _write(folder / f"{name}.html", to_page(sheets, title=_REPORT)),
        _write(folder / f"{name}.md", "\n\n".join(parts)),
    ]


def _write(path: Path, text: str) -> Path:
    with new_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path
