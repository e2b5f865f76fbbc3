"""Filling in a table: who stands where, what is best in each block, and what each footnote says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from psbench.reporting.published import published
from psbench.reporting.sheet import Block, Entry, Line, Number, Sheet
from psbench.reporting.table import Measurement, Metric, Source, Table

_ALONE = "not published there"


def fill(table: Table, measured: Sequence[Measurement]) -> Sheet:
    """Fill in a table.

    Args:
        table: its declaration.
        measured: what stands in it; what no column asks for is left out.
    """
    asked = [m for m in measured if any(columns.takes(m) for columns in table.columns)]
    notes: dict[str, int] = {}
    blocks = [
        _block(table, heading, source, drafts, notes)
        for source in table.sources
        for heading, drafts in _published_drafts(table, source, asked)
    ]
    alone = _drafts_alone(table, [m for m in asked if m.row is None])
    if alone:
        blocks.append(_block(table, _ALONE, None, alone, notes))
    # A figure marks nothing bold.
    sources = () if table.axis else table.sources
    bold = [words for source in sources for words in _bold_differences(table, source, blocks)]
    return Sheet(table=table, blocks=tuple(blocks), notes=tuple(notes), bold=tuple(bold))


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A line, before it is compared with the others of its block; rows and measurements are one for each columns."""

    number: int | None
    name: str
    values: tuple[str, ...]
    reported_only: bool
    rows: tuple[Mapping[str, str] | None, ...]
    measurements: tuple[Measurement | None, ...]


def _published_drafts(
    table: Table, source: Source, measured: Sequence[Measurement]
) -> Iterator[tuple[str, list[_Draft]]]:
    """The lines of a source, by blocks, with the blocks' headings."""
    grouped: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in published(source.data):
        if _says(row, source.where):
            grouped.setdefault(tuple(row[key] for key in source.key), []).append(row)
    drafts = []
    for number, rows in enumerate(grouped.values(), start=source.first):
        own = [m for m in measured if m.row == number and source.takes(m)]
        values = tuple(rows[0].get(key, "") for key, _ in table.labels)
        draft = _Draft(
            number=number,
            name=_name(table, number, values),
            values=values,
            reported_only=rows[0].get("measurable") == "no",
            rows=tuple(next((row for row in rows if _says(row, columns.where)), None) for columns in table.columns),
            measurements=_in_columns(table, own),
        )
        drafts.append((rows[0].get(source.block, ""), draft))
    for label, of_block in groupby(drafts, key=lambda item: item[0]):
        of_label = table.word(label).replace("_", " ") if label else ""
        heading = ": ".join(filter(None, (source.heading, of_label)))
        yield heading, [draft for _, draft in of_block]


def _drafts_alone(table: Table, measured: Sequence[Measurement]) -> list[_Draft]:
    """What is measured beside no published row: a line for each method and, of curves, each place on the axis."""
    grouped: dict[tuple[str, tuple[str, ...]], list[Measurement]] = {}
    for m in measured:
        values = tuple(_value_alone(table, key, m) for key, _ in table.labels)
        grouped.setdefault((m.method, values), []).append(m)
    return [
        _Draft(
            number=None,
            name=name,
            values=values,
            reported_only=False,
            rows=tuple(None for _ in table.columns),
            measurements=_in_columns(table, own),
        )
        for (name, values), own in grouped.items()
    ]


def _value_alone(table: Table, key: str, measurement: Measurement) -> str:
    attribute = "method" if key == "method" else table.from_measured.get(key)
    value = getattr(measurement, attribute) if attribute else None
    return "" if value is None else str(value)


def _in_columns(table: Table, measurements: Sequence[Measurement]) -> tuple[Measurement | None, ...]:
    return tuple(next((m for m in measurements if columns.takes(m)), None) for columns in table.columns)


def _name(table: Table, number: int, values: tuple[str, ...]) -> str:
    if table.names:
        return table.names[number - 1]
    keys = [key for key, _ in table.labels]
    return table.word(values[keys.index("method") if "method" in keys else 0])


def _block(table: Table, heading: str, source: Source | None, drafts: Sequence[_Draft], notes: dict[str, int]) -> Block:
    """Lines compared with each other; what their measurements say of themselves is added to the notes."""
    numbers = []
    for c, columns in enumerate(table.columns):
        rows, measurements = [d.rows[c] for d in drafts], [d.measurements[c] for d in drafts]
        by_metric = [_numbers(metric, rows, measurements) for metric in columns.metrics]
        numbers.append(list(zip(*by_metric, strict=True)))
    lines = []
    for i, draft in enumerate(drafts):
        entries = [
            Entry(
                published=row,
                measurement=m,
                note=notes.setdefault(m.provenance, len(notes) + 1) if m else None,
                numbers=of_columns[i],
            )
            for row, m, of_columns in zip(draft.rows, draft.measurements, numbers, strict=True)
        ]
        lines.append(
            Line(
                number=draft.number,
                name=draft.name,
                values=draft.values,
                labels=tuple(table.word(value) for value in draft.values),
                reported_only=draft.reported_only,
                entries=tuple(entries),
            )
        )
    return Block(heading=heading, source=source, lines=tuple(lines))


def _numbers(
    metric: Metric, rows: Sequence[Mapping[str, str] | None], measurements: Sequence[Measurement | None]
) -> list[Number]:
    """A column of a block."""
    printed = [row.get(metric.field, "") if row else "" for row in rows]
    theirs = [float(text) if text else None for text in printed]
    ours = [getattr(m, metric.field, None) for m in measurements]
    synthetic = [m is not None and m.synthetic for m in measurements]
    shown = [None if value is None else round(value, metric.digits) for value in ours]
    best = _best(theirs, metric)
    best_synthetic = _best([value if s else None for value, s in zip(shown, synthetic, strict=True)], metric)
    best_real = _best([None if s else value for value, s in zip(shown, synthetic, strict=True)], metric)
    return [
        Number(
            published=printed[i],
            published_best=best[i],
            measured=ours[i],
            low=getattr(m, f"{metric.field}_low", None),
            high=getattr(m, f"{metric.field}_high", None),
            measured_best=best_synthetic[i] or best_real[i],
            difference=None if synthetic[i] or metric.of_device else _difference(ours[i], theirs[i]),
        )
        for i, m in enumerate(measurements)
    ]


def _difference(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs


def _best(values: Sequence[float | None], metric: Metric) -> list[bool]:
    """Which values none is better than; of one alone that says nothing."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return [False] * len(values)
    best = max(there) if metric.best == "highest" else min(there)
    return [value == best for value in values]


def _bold_differences(table: Table, source: Source, blocks: Sequence[Block]) -> Iterable[str]:
    """Where a source prints bold otherwise than it is here, in words."""
    printed, ours = [], []
    for line in (line for block in blocks if block.source is source for line in block.lines):
        for columns, entry in zip(table.columns, line.entries, strict=True):
            for metric, number in zip(columns.metrics, entry.numbers, strict=True):
                place = f"{number.published} ({line.name}, {columns.heading}, {metric.heading})"
                if entry.published and _printed_bold(entry.published, metric):
                    printed.append(place)
                if number.published_best:
                    ours.append(place)
    if not printed:
        return [f"{source.words} marks nothing."] if ours else []
    missing, more = [p for p in ours if p not in printed], [p for p in printed if p not in ours]
    words = [f"{source.words} does not mark {', '.join(missing)}."] if missing else []
    return words + ([f"{source.words} marks {', '.join(more)}, too."] if more else [])


def _printed_bold(row: Mapping[str, str], metric: Metric) -> bool:
    return row.get(f"{metric.field}_bold") == "1" or metric.field in row.get("bold_columns", "").split(";")


def _says(row: Mapping[str, str], where: Mapping[str, str]) -> bool:
    """Whether a row says this; columns that it does not have do not matter."""
    return all(row.get(key, value) == value for key, value in where.items())
