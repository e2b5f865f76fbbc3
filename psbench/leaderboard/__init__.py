"""Leaderboards: numbers that anybody can compute again from the predictions they were made of.

from psbench.leaderboard import check, render, submit, validate, verify

validate("predictions/mine", dataset)
submit("predictions/mine", dataset=dataset, card="card.toml", board="leaderboards")
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psbench.leaderboard.card import Card
    from psbench.leaderboard.checking import check
    from psbench.leaderboard.entry import Entry
    from psbench.leaderboard.rendering import render
    from psbench.leaderboard.submitting import submit
    from psbench.leaderboard.validating import validate
    from psbench.leaderboard.verifying import verify

__all__ = ["BOARD", "Card", "Entry", "check", "render", "submit", "validate", "verify"]

BOARD = Path("leaderboards")
"""Their folder if no other is given."""

_HOMES = {
    "Card": "card",
    "Entry": "entry",
    "check": "checking",
    "render": "rendering",
    "submit": "submitting",
    "validate": "validating",
    "verify": "verifying",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are used."""
    if name in _HOMES:
        return getattr(import_module(f"psbench.leaderboard.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
