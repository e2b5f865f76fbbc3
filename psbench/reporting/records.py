"""Tables as records: one for each published row and for each measurement, in CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from psbench.reporting.layout import SYNTHETIC, explanations
from psbench.reporting.sheet import Block, Entry, Line, Sheet
from psbench.reporting.table import Columns

_FORMULA = tuple("=+-@＝＋－＠")  # noqa: RUF001
"""What a spreadsheet takes text for that begins so, and computes it; the wide ones as well."""
_OF_PUBLISHED = ("dataset", "protocol", "gallery_size")


def records(sheet: Sheet) -> list[dict[str, Any]]:
    """One record a published row, as `kind` published, and one a measurement, as measured or synthetic.

    Published numbers are text, as printed; measured ones are numbers, not rounded. `NAME_best` tells what is bold; of
    measured ones, `NAME_low` and `NAME_high` are the 95 % interval, and `NAME_difference` is measured less published.
    What a measurement was made of stands in the columns after these.
    """
    found = []
    for block in sheet.blocks:
        for line in block.lines:
            for columns, entry in zip(sheet.table.columns, line.entries, strict=True):
                if any(number.published for number in entry.numbers):
                    found.append(_published(sheet, block, line, columns, entry))
                if entry.measurement is not None:
                    found.append(_measured(sheet, block, line, columns, entry))
    return found


def to_csv(sheet: Sheet) -> str:
    """Its records; a column that a record lacks is empty. Text that a spreadsheet would compute begins with `'`."""
    rows = records(sheet)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def to_json(sheet: Sheet) -> str:
    """Its records, with what has to be known to read them."""
    content = {
        "psbench": version("psbench"),
        "name": sheet.table.name,
        "title": sheet.table.title,
        "synthetic": sheet.synthetic,
        "explanations": [*([SYNTHETIC] if sheet.synthetic else []), *explanations(sheet)],
        "records": records(sheet),
        "notes": list(sheet.notes),
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _line(sheet: Sheet, block: Block, line: Line) -> dict[str, Any]:
    labels = {key: value for (key, _), value in zip(sheet.table.labels, line.values, strict=True)}
    return {"table": sheet.table.name, "row": line.number, "block": block.heading, "method": line.name, **labels}


def _published(sheet: Sheet, block: Block, line: Line, columns: Columns, entry: Entry) -> dict[str, Any]:
    row = entry.published or {}
    record = _line(sheet, block, line) | {key: row[key] for key in _OF_PUBLISHED if key in row}
    record |= {"kind": "published", "source": block.source.words if block.source else "", "synthetic": False}
    record["reported_only"] = line.reported_only
    for metric, number in zip(columns.metrics, entry.numbers, strict=True):
        if number.published:
            record |= {metric.field: number.published, f"{metric.field}_best": number.published_best}
    return record


def _measured(sheet: Sheet, block: Block, line: Line, columns: Columns, entry: Entry) -> dict[str, Any]:
    record = _line(sheet, block, line)
    facts = _provenance(entry)
    record |= {key: facts.pop(key) for key in _OF_PUBLISHED if key in facts}
    record |= {
        "kind": "synthetic" if entry.synthetic else "measured",
        "source": "psbench",
        "synthetic": entry.synthetic,
    }
    record["reported_only"] = False
    for metric, number in zip(columns.metrics, entry.numbers, strict=True):
        if number.measured is None:
            continue
        values = {"": number.measured, "_low": number.low, "_high": number.high, "_difference": number.difference}
        record |= {f"{metric.field}{name}": value for name, value in values.items()}
        record[f"{metric.field}_best"] = number.measured_best
    return record | {name: value for name, value in facts.items() if name not in record}


def _provenance(entry: Entry) -> dict[str, Any]:
    """Everything that a measurement says of itself."""
    if entry.measurement is None or not dataclasses.is_dataclass(entry.measurement):
        return {}
    return dataclasses.asdict(entry.measurement)


def _plain(value: Any) -> Any:
    """A value as CSV takes it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        # Some programs end a row where a line ends, even within a cell.
        words = " ".join(value.split())
        return f"'{words}" if words.startswith(_FORMULA) and not _is_number(words) else words
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", text, re.ASCII | re.IGNORECASE) is not None
