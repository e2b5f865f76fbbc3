"""What tests of the scripts of reproduce/ share: the tiny script's plan, and data for it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from psbench.reproduction import MeasuredRow, Script, Workspace
from psbench.reproduction.planning import Plan, Planner
from psbench_data import PersonSearchDataset, load
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.spec import WorldSpec
from tests.tiny_script import CELLS, ROWS, WORLD, write

FEW = dataclasses.replace(WORLD, test_scenes=6, test_identities=3, gallery_entries=(3,))
"""As much as a whole network can look at in a test."""


def plan_of(workspace: Workspace, world: PersonSearchDataset, rows: Sequence[MeasuredRow] = ROWS, **more: Any) -> Plan:
    """What the script, or one of other rows, plans in a folder."""
    script = Script(rows=rows, cells=CELLS, write=write)
    return Planner(workspace, world.root.parent, **more).plan([script])


def numbers_of(plan: Plan, workspace: Workspace) -> list[Any]:
    """What was measured, row by row; None where nothing was."""
    return [one.measured(workspace) for one in plan.asked[0]]


def drawn(folder: Path, world: WorldSpec = WORLD) -> PersonSearchDataset:
    """Drawn people, fewer than elsewhere."""
    write_cuhk_sysu(world, folder / "cuhk_sysu")
    return load("cuhk_sysu", root=folder / "cuhk_sysu")


def forbid(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let a test fail where one of these functions is called."""
    for name in names:
        monkeypatch.setattr(name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))
