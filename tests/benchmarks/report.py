"""The last run beside the baseline and what was measured before: for a terminal, in Markdown, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from psbench.reporting.markdown import markdown_row
from psbench_data.atomic import new_file
from tests.benchmarks.comparison import Baseline, Compared, Line, alike, compare

HEADINGS = ("benchmark", "CPU s", "ratio", "to", "baseline", "change", "noise", "")
_WIDTH, _HEIGHT, _MARGIN = 180, 30, 4
"""Of a small curve, in CSS pixels; points keep off its edge."""
_SHOWN = 40
"""Runs in a small curve."""


@dataclass(frozen=True)
class Curve:
    """A benchmark's ratios, run after run, in CSS pixels.

    Attributes:
        points: x, y and the words of each run.
        band: y and height of what is noise; None without baseline.
        words: for those who do not see it.
    """

    points: list[tuple[float, float, str]]
    band: tuple[float, float] | None
    words: str


def last_run(history: Sequence[Line]) -> list[Line]:
    """The lines of the newest run, by name."""
    newest = max((line.date for line in history), default="")
    return sorted((line for line in history if line.date == newest), key=lambda line: line.name)


def cells(compared: Compared) -> list[str]:
    """Words for each of `HEADINGS`."""
    line, known, change = compared.line, compared.known, compared.change
    return [
        line.name,
        f"{line.seconds:.3g}",
        _number(line.ratio),
        line.kernel,
        "" if known is None else _number(known.ratio),
        "" if change is None else f"{100 * change:+.0f} %",
        "" if known is None else f"±{100 * known.band:.0f} %",
        "" if compared.verdict == "steady" else compared.verdict,
    ]


def _number(ratio: float) -> str:
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}"


def text_table(compared: Sequence[Compared]) -> str:
    """Aligned, names to the left and numbers to the right."""
    rows = [HEADINGS, *map(cells, compared)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = {HEADINGS.index(name) for name in ("benchmark", "to", "")}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def verdict_words(compared: Sequence[Compared]) -> str:
    """A line that says which benchmarks became worse by more than noise; empty where none did."""
    worse = [of for of in compared if of.verdict == "WORSE"]
    told = "; ".join(f"{name} {change} (noise {noise})" for name, *_, change, noise, _ in map(cells, worse))
    return f"Slower than the baseline by more than noise, twice: {told}" if worse else ""


def surroundings(run: Sequence[Line], baseline: Baseline | None) -> list[str]:
    """What was measured when and on what, and what it is compared with."""
    line = run[0]
    versions = ", ".join(f"{name} {version}" for name, version in line.versions.items())
    commit = f", commit {line.commit}" if line.commit else ""
    words = [f"{line.date[:16].replace('T', ' ')} UTC{commit}. {line.machine}. {versions}."]
    if baseline is None:
        return [*words, "There is no baseline yet: `make bench-baseline` takes the last runs."]
    told = f"Baseline: {baseline.date}, medians of up to {baseline.runs} runs. {baseline.note}".rstrip()
    if baseline.machine != line.machine:
        told += f" It was taken on another machine ({baseline.machine}), with which nothing is compared."
    return [*words, told]


def write_report(folder: Path, history: Sequence[Line], baseline: Baseline | None) -> list[Path]:
    """Write report.html, which needs nothing beside it, and report.md.

    Args:
        folder: where to.
        history: at least one line; the newest run is shown, and what came before as curves.
        baseline: that the run is compared with.

    Returns:
        The two files.
    """
    compared, about = compare(last_run(history), baseline), surroundings(last_run(history), baseline)
    table = [markdown_row(HEADINGS), markdown_row([":--", "--:", "--:", ":--", "--:", "--:", "--:", ":--"])]
    table += [markdown_row(cells(of)) for of in compared]
    texts = {
        "report.html": _page(compared, about, history),
        "report.md": "\n\n".join(["# Speed", *about, "\n".join(table)]) + "\n",
    }
    for name, text in texts.items():
        with new_file(folder / name) as partial:
            partial.write_text(text, "utf-8")
    return [folder / name for name in texts]


def _page(compared: Sequence[Compared], about: Sequence[str], history: Sequence[Line]) -> str:
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader

    own, shared = FileSystemLoader(Path(__file__).parent), PackageLoader("psbench.reporting", "templates")
    environment = Environment(loader=ChoiceLoader([own, shared]), autoescape=True)
    groups = {
        heading: [(of, cells(of), curve(of, history)) for of in group]
        for heading, group in groupby(compared, key=lambda of: of.line.name.partition("/")[0])
    }
    return environment.get_template("report.html").render(
        groups=groups, about=about, compared=compared, width=_WIDTH, height=_HEIGHT, shown=_SHOWN
    )


def curve(compared: Compared, history: Sequence[Line]) -> Curve:
    """The last runs of a benchmark that compare with its newest line."""
    runs, known = alike(history, compared.line)[-_SHOWN:], compared.known
    edges = [] if known is None else [known.ratio / (1 + known.band), known.ratio * (1 + known.band)]
    ratios = [line.ratio for line in runs]
    low, high = min([*ratios, *edges]), max([*ratios, *edges])
    step = (_WIDTH - 2 * _MARGIN) / max(len(runs) - 1, 1)

    def height(ratio: float) -> float:
        share = (ratio - low) / (high - low) if high > low else 0.5
        return round(_HEIGHT - _MARGIN - share * (_HEIGHT - 2 * _MARGIN), 1)

    # The newest stands to the right, however few there are.
    first = _WIDTH - _MARGIN - step * (len(runs) - 1) if len(runs) > 1 else _WIDTH - _MARGIN
    points = [
        (round(first + i * step, 1), height(line.ratio), f"{line.date[:10]} {line.commit or ''}: {_number(line.ratio)}")
        for i, line in enumerate(runs)
    ]
    band = (height(edges[1]), round(height(edges[0]) - height(edges[1]), 1)) if edges else None
    words = f"{len(runs)} runs, from {_number(min(ratios))} to {_number(max(ratios))}"
    return Curve(points, band, words)
