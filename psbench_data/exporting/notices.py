"""What lies beside every export: the terms of the data, and the mark of drawn people."""

from __future__ import annotations

import shutil
from pathlib import Path

from psbench_data.dataset import SYNTHETIC_MARKER, PersonSearchDataset
from psbench_data.terms import Terms, print_terms, terms


def terms_of(dataset: PersonSearchDataset) -> Terms:
    """The terms of a dataset, which are those of the one that it was exported from."""
    return terms(dataset.terms_name)


def write_notices(dataset: PersonSearchDataset, folder: Path) -> None:
    """Write `TERMS.txt`, and the marker that keeps drawn people known as such."""
    (folder / "TERMS.txt").write_text(print_terms(terms_of(dataset).name) + "\n", encoding="utf-8")
    if dataset.synthetic:
        shutil.copyfile(dataset.root / SYNTHETIC_MARKER, folder / SYNTHETIC_MARKER)
