"""What lies beside every export: the terms of the data, and the mark of drawn people."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from psbench_data.dataset import SYNTHETIC_MARKER, PersonSearchDataset
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.terms import Terms, print_terms, terms


def terms_of(dataset: PersonSearchDataset) -> Terms:
    """The terms of a dataset, which are those of the one that it was exported from."""
    return terms(dataset.terms_name)


def write_notices(dataset: PersonSearchDataset, folder: Path) -> None:
    """Write `TERMS.txt`, and the marker that keeps drawn people known as such."""
    (folder / "TERMS.txt").write_text(print_terms(terms_of(dataset).name) + "\n", encoding="utf-8")
    if dataset.synthetic:
        marker = json.dumps(_marked(dataset.root / SYNTHETIC_MARKER), indent=1)
        (folder / SYNTHETIC_MARKER).write_text(marker + "\n", encoding="utf-8")


def _marked(path: Path) -> dict[str, Any]:
    """What a tree says of how it was drawn, and nothing else that the file holds: a link may lead to any."""
    try:
        written = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    known = {"written_by", "format", *(field.name for field in dataclasses.fields(WorldSpec))}
    return {name: value for name, value in written.items() if name in known} if isinstance(written, dict) else {}
