"""Published numbers, as the papers print them; see `published/README.md`."""

from __future__ import annotations

import csv
from importlib.resources import files


def published(name: str) -> list[dict[str, str]]:
    """A table of published numbers: one row a measured cell, every value the text that is printed; "" is not published.

    Args:
        name: of a file in `psbench/reporting/published`, without its suffix.
    """
    with (files("psbench.reporting") / "published" / f"{name}.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
