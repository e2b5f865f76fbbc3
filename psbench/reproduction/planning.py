"""From rows and cells to jobs: what has to be made, each thing once, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psbench.reproduction.asked import Asked, AskedCost, Opened, jobs_of
from psbench.reproduction.given import Given
from psbench.reproduction.jobs import (
    CostJob,
    Data,
    Job,
    Network,
    cost_job,
    evaluation_of,
    given_network,
    model_options,
    network_of,
    protocol_digests,
)
from psbench.reproduction.rows import Cell, CostRow, MeasuredRow, Script
from psbench.reproduction.tasks import Make, Measure
from psbench.reproduction.workspace import Workspace
from psbench.training.recipe import Recipe
from psbench.training.recipes import recipe_for, recipes
from psbench_data import InputError


@dataclass(frozen=True)
class Plan:
    """What some scripts need.

    Attributes:
        asked: of each script, what can be measured, row by row.
        jobs: that make the networks and their results; each comes after those that it needs.
        cost_jobs: that measure what models cost.
        impossible: the cells that cannot be measured, in words, by the reason.
    """

    asked: list[list[Asked | AskedCost]]
    jobs: list[Job]
    cost_jobs: list[CostJob]
    impossible: dict[str, list[str]]

    def works(self) -> list[Make | Measure]:
        """All that there is to do."""
        return [*(Make(job=job) for job in self.jobs), *(Measure(job=job) for job in self.cost_jobs)]

    def missing(self, workspace: Workspace) -> list[Make | Measure]:
        """What is still to be done: for numbers that are not there, and for what these need."""
        wanted = {
            job.network.name
            for job in self.jobs
            if any(workspace.measured(e) is None for p in job.predictions for e in p.evaluations)
        }
        for job in reversed(self.jobs):
            if job.network.name in wanted:
                wanted |= {network.name for network in job.needs if not workspace.has_weights(network)}
        wanted |= {job.name for job in self.cost_jobs if workspace.cost(job) is None}
        return [work for work in self.works() if work.name in wanted]


class _ImpossibleError(Exception):
    """A cell cannot be measured; the message says why."""


@dataclass(frozen=True)
class Planner:
    """Makes plans.

    Attributes:
        workspace: where everything will be.
        data_root: holds the datasets in folders of their names; None for drawn people.
        given: the weights, where nothing is to be trained.
    """

    workspace: Workspace
    data_root: Path | None
    given: Given | None = None
    _opened: dict[str, Opened] = field(default_factory=dict)

    def plan(self, scripts: Sequence[Script]) -> Plan:
        """Plan what some scripts need, together.

        Raises:
            InputError: listing what is wrong with datasets, recipes and weights; or not one of the datasets is there.
        """
        asked: list[list[Asked | AskedCost]] = []
        impossible: dict[str, list[str]] = {}
        faults: dict[str, None] = {}
        for script in scripts:
            asked.append([])
            for row, cell in ((row, cell) for row in script.rows for cell in script.cells):
                try:
                    asked[-1] += self._asked(row, cell)
                except _ImpossibleError as reason:
                    what = f"{row.method} on {cell.dataset}, {cell.protocol}"
                    impossible.setdefault(str(reason), []).append(what)
                except InputError as error:
                    faults |= dict.fromkeys(error.faults)
            for cost in script.costs:
                try:
                    asked[-1].append(self._asked_cost(cost))
                except InputError as error:
                    faults |= dict.fromkeys(error.faults)
        if faults:
            raise InputError(faults)
        # Then it is another folder than was meant.
        if impossible and not any(asked) and not self._opened:
            raise InputError(impossible)
        every = [one for of_script in asked for one in of_script]
        costs = {one.job.name: one.job for one in every if isinstance(one, AskedCost)}
        return Plan(asked, jobs_of([one for one in every if isinstance(one, Asked)]), list(costs.values()), impossible)

    def _asked(self, row: MeasuredRow, cell: Cell) -> Iterator[Asked]:
        """The cell, unless the row has none there."""
        if (recipe := self._recipe(row.recipe, row.demo_recipe, cell.dataset)) is None:
            return
        opened = self._open(cell)
        if cell.protocol not in opened.digests:
            there = ", ".join(opened.digests)
            raise _ImpossibleError(f"{opened.data.root}: has no protocol {cell.protocol!r}, but {there}")
        changes = row.changes if self.data_root is None else {**row.changes, **row.real_changes}
        network, reid = self._network(recipe.override(changes), opened), None
        if row.reid and row.reid_demo and (ranking := self._recipe(row.reid, row.reid_demo, cell.dataset)):
            reid = self._network(ranking, opened)
        evaluation = evaluation_of(
            network,
            cell.protocol,
            opened.digests,
            ground_truth_boxes=row.ground_truth_boxes,
            reid=reid,
            cbgm=row.cbgm,
            keep=row.keep if row.keep is None or isinstance(row.keep, int) else row.keep.get(cell.protocol),
        )
        yield Asked(row, cell, network, reid, opened, _searches(recipe.model), evaluation)

    def _asked_cost(self, row: CostRow) -> AskedCost:
        demo = self.data_root is None
        recipe = recipe_for(row.demo_recipe if demo else row.recipe).override(row.changes)
        if row.size is None or not demo:
            return AskedCost(row, cost_job(recipe, row.size), demo)
        options = model_options(recipe)
        return AskedCost(row, cost_job(recipe, (options["min_size"], options["max_size"])), demo)

    def _recipe(self, name: str, demo: str, dataset: str) -> Recipe | None:
        """The recipe for a dataset; None where it is for another one."""
        if "{dataset}" not in name and recipe_for(name).dataset != dataset:
            return None
        if self.data_root is None:
            return recipe_for(demo).override({"dataset": dataset})
        if (name := name.format(dataset=dataset)) not in recipes():
            raise _ImpossibleError(f"psbench has no recipe {name}")
        return recipe_for(name)

    def _open(self, cell: Cell) -> Opened:
        key, options = f"{cell.dataset} {sorted(cell.data_options.items())}", dict(cell.data_options)
        if key not in self._opened:
            if self.data_root is None:
                root = self.workspace.demo_data(cell.dataset)
            elif not (root := self.data_root / cell.dataset).exists():
                raise _ImpossibleError(f"{root}: this folder does not exist")
            data = Data(name=cell.dataset, root=root.resolve(), options=options)
            dataset = data.load()
            self._opened[key] = Opened(data, dataset, protocol_digests(dataset))
        return self._opened[key]

    def _network(self, recipe: Recipe, opened: Opened) -> Network:
        if self.given is None:
            return network_of(recipe, opened.dataset)
        if (weights := self.given.weights(recipe)) is None:
            advice = self.given.advice(recipe)
            raise _ImpossibleError(f"{self.given.folder}: has no weights of {recipe.name}. {advice}")
        return given_network(recipe, opened.dataset, weights)


def _searches(model: str) -> bool:
    from psbench.zoo import model_class

    return hasattr(model_class(model), "search")
