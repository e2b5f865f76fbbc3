"""Measured numbers of methods that strangers named."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from psbench.reporting.measured import Measured
from tests.made_up import made_up
from tests.scripts import SCRIPTS


def measured(table: str, words: Iterable[str]) -> list[Measured]:
    """For each word a number on real data beside no published row, everything about it called so; numbers differ."""
    first = next(m for m in made_up(SCRIPTS[table], synthetic=False) if isinstance(m, Measured))
    return [
        dataclasses.replace(
            first, row=None, method=word, procedure=word, data=word, hardware=word, recipe=word, map=50 - i / 10
        )
        for i, word in enumerate(words)
    ]
