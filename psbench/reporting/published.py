"""Published numbers, as the papers print them; see `published/README.md`."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def published(name: str) -> pd.DataFrame:
    """A table of published numbers: one row a cell, accuracies in percent.

    Args:
        name: of a file in `psbench/reporting/published`, without its suffix.
    """
    import pandas as pd

    with (files("psbench.reporting") / "published" / f"{name}.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(
            stream, dtype={"r50_count": str, "detector": str, "venue": str}, keep_default_na=False, na_values=[""]
        )
