"""Evaluations, audits and comparisons as small tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psbench.evaluation.breakdown import TOP
from psbench.evaluation.comparison import Comparison
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.losses import ErrorAnalysis

if TYPE_CHECKING:
    import pandas as pd


def evaluations_text(evaluations: Sequence[Evaluation]) -> str:
    """One line a protocol, in percent, mAP and top-1 with their 95 % intervals."""
    lines = [f"{'protocol':<14}{'queries':>8}{'mAP':>8}{'':17}" + f"{'top-1':>8}{'':17}{'top-5':>8}{'top-10':>8}"]
    for e in evaluations:
        cells = [f"{100 * e.map:>8.2f}", _interval(*e.confidence_interval("map"))]
        cells += [f"{100 * e.top(1):>8.2f}", _interval(*e.confidence_interval("top1"))]
        cells += [f"{100 * e.top(k):>8.2f}" for k in TOP[1:]]
        left_out = f"   {e.skipped} queries left out: nothing to find, or no embedding" if e.skipped else ""
        lines.append(f"{e.protocol:<14}{len(e.per_query):>8,}{''.join(cells)}{left_out}")
    lines.append("[ ]: 95 % intervals over the choice of people searched for (bootstrap over identities).")
    first = evaluations[0]
    if not first.pairwise:
        d = first.detection
        lines += [
            "",
            f"detection (score >= {d.det_threshold}): recall {100 * d.recall:.2f}, AP {100 * d.ap:.2f}, "
            f"{d.num_people:,} people",
        ]
    return "\n".join(lines)


def audit_text(table: pd.DataFrame) -> str:
    """One block a protocol, one line a preset."""
    lines: list[str] = []
    for protocol, rows in table.groupby("protocol", sort=False):
        lines += [
            "",
            f"{protocol}",
            f"  {'evaluator':<10}{'mAP':>8}{'difference':>12}{'top-1':>8}   what differs from the default",
        ]
        for row in rows.itertuples():
            name = row.preset if row.published else f"{row.preset}*"
            if row.map != row.map and row.rules.startswith("not possible"):
                lines.append(f"  {name:<10}{'-':>8}{'-':>12}{'-':>8}   {row.rules}")
                continue
            change = "" if row.preset == "default" else f"{100 * row.difference:+.2f}"
            left_out = f"{row.skipped} queries left out" if row.skipped else ""
            words = "; ".join(filter(None, [row.rules, left_out]))
            lines.append(f"  {name:<10}{100 * row.map:>8.2f}{change:>12}{100 * row.top1:>8.2f}   {words}".rstrip())
    if not table["published"].all():
        lines += ["", "*: this evaluator's code does not read this dataset; its rules, applied to it."]
    return "\n".join(lines[1:])


def comparison_text(comparison: Comparison, a: str, b: str) -> str:
    """The two means, their difference with interval and p-value, and how many queries each wins."""
    c = comparison
    name = "mAP" if c.metric == "map" else c.metric.replace("top", "top-")
    width = max(len(a), len(b)) + 2
    return "\n".join(
        [
            f"{c.protocol}, {name}, {c.queries:,} queries of {c.identities:,} people",
            f"  A {a:<{width}}{100 * c.a:>8.2f}",
            f"  B {b:<{width}}{100 * c.b:>8.2f}",
            f"  {'B - A':<{width + 2}}{100 * c.difference:>+8.2f} {_interval(c.low, c.high, signed=True)}  "
            f"p = {c.p_value:.2g}",
            f"  better in B {c.better:,}, worse {c.worse:,}, equal {c.equal:,}"
            + (f"; {c.unanswered:,} queries that count in one only are left out" if c.unanswered else ""),
            f"[ ]: {100 * c.level:g} % interval (bootstrap over identities); p: sign flips of identities.",
        ]
    )


def breakdown_text(table: pd.DataFrame, by: str) -> str:
    """One line a group."""
    width = max([len(by), *(len(str(group)) for group in table["group"])]) + 2
    lines = [f"{by:<{width}}{'queries':>8}{'mAP':>8}{'':17}{'top-1':>8}"]
    for row in table.itertuples():
        interval = _interval(row.map_low, row.map_high)
        lines.append(f"{row.group!s:<{width}}{row.queries:>8,}{100 * row.map:>8.2f}{interval}{100 * row.top1:>8.2f}")
    return "\n".join(lines)


def differences_text(comparison: Comparison, queries: int) -> str:
    """The queries that lose most and gain most, as many of each as there are, at most `queries`."""
    table = comparison.per_query
    losses = table[table["difference"] < 0].head(queries)
    gains = table[table["difference"] > 0].tail(queries)[::-1]
    lines = []
    for title, rows in (("largest losses", losses), ("largest gains", gains)):
        if len(rows):
            lines.append(f"  {title:<14}{'A':>8}{'B':>8}{'B - A':>9}")
        for row in rows.itertuples():
            numbers = f"{100 * row.a:>8.1f}{100 * row.b:>8.1f}{100 * row.difference:>+9.1f}"
            lines.append(f"  {'':14}{numbers}   query {row.query}, {row.scene}")
    return "\n".join(lines)


def errors_text(analyses: Sequence[ErrorAnalysis]) -> str:
    """One line a protocol: what the average precision that is lacking was lost to, in points of mAP."""
    kinds = ("missed", "localisation", "duplicates", "other_person", "background")
    lines = [f"{'lost to':<14}" + "".join(f"{kind.replace('_', ' '):>14}" for kind in kinds) + f"{'= lost':>10}"]
    for analysis in analyses:
        cells = "".join(f"{100 * getattr(analysis, kind):>14.2f}" for kind in kinds)
        lines.append(f"{analysis.protocol:<14}{cells}{100 * analysis.lost:>10.2f}")
    return "\n".join(lines)


def _interval(low: float, high: float, *, signed: bool = False) -> str:
    if low != low:
        return f"{'':17}"
    sign = "+" if signed else ""
    return f"{f' [{100 * low:{sign}.2f}, {100 * high:{sign}.2f}]':>17}"
