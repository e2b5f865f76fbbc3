"""Tables read back from what was written of them."""

import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser

from psbench.reporting.latex import to_latex
from psbench.reporting.markdown import to_markdown
from psbench.reporting.page import to_page
from psbench.reporting.sheet import Sheet


def in_markdown(sheet: Sheet) -> list[list[str]]:
    """Cells of numbers, line by line, headings of blocks left out."""
    rows = [line.strip("| ").split(" | ") for line in to_markdown(sheet).splitlines() if line.startswith("| ")]
    headings = rows[0]
    assert all(len(row) <= len(headings) for row in rows)
    labels = len(sheet.table.labels)
    lines = [line[2:-2].split(" | ") for line in to_markdown(sheet).splitlines() if line.startswith("| ")][2:]
    return [line[labels:] for line in lines if not re.fullmatch(r"\*[^*]+\*", line[0])]


def in_latex(sheet: Sheet) -> list[list[str]]:
    """The same in LaTeX."""
    body = to_latex(sheet).partition("\\midrule\n")[2].partition("\\bottomrule")[0]
    lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if " & " in line]
    return [line[len(sheet.table.labels) :] for line in lines]


class _Cells(HTMLParser):
    """The cells of each row of a table's body, as (classes, text without notes)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[tuple[str, str]]] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("tbody", "td", "th", "small", "sup"):
            self.inside.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append((dict(attrs).get("class") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data: str) -> None:
        if self.inside and self.inside[-1] in ("td", "th"):
            kind, text = self.rows[-1][-1]
            self.rows[-1][-1] = (kind, text + data.strip())


def in_page(sheet: Sheet, kind: str) -> list[list[str]]:
    """The numbers of one kind on the page, of lines that have columns of that kind."""
    cells = _Cells()
    cells.feed(to_page([sheet], title="page"))
    rows = [[text for classes, text in row if kind in classes.split()] for row in cells.rows]
    return [row for row in rows[2 + sheet.measured :] if row]


def numbers(cells: Sequence[str]) -> Counter[str]:
    """Published numbers among cells: those that no footnote marks, and no sign."""
    plain = (re.sub(r"\*\*|\\textbf\{|\}", "", cell.strip()) for cell in cells)
    return Counter(cell for cell in plain if re.fullmatch(r"[\d.]+", cell))
