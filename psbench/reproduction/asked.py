"""What is asked of networks, and the jobs that make it: all that is asked of one network together, each thing once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from psbench.reporting.measured import Measured, MeasuredCost
from psbench.reproduction.jobs import CostJob, Data, Evaluation, Job, Network, Prediction, prediction_of
from psbench.reproduction.rows import Cell, CostRow, MeasuredRow
from psbench.reproduction.workspace import Workspace
from psbench_data import PersonSearchDataset


class Opened(NamedTuple):
    """A dataset, how it was opened, and the digests of its protocols."""

    data: Data
    dataset: PersonSearchDataset
    digests: dict[str, str]


@dataclass(frozen=True)
class Asked:
    """A cell of a row: what it is measured on, and the evaluation that fills it.

    Attributes:
        row, cell: see there.
        network: that is measured.
        reid: that ranks what it finds.
        opened: the cell's dataset.
        pairwise: whether the network searches for each query by itself.
        evaluation: of its predictions.
    """

    row: MeasuredRow
    cell: Cell
    network: Network
    reid: Network | None
    opened: Opened
    pairwise: bool
    evaluation: Evaluation

    def measured(self, workspace: Workspace) -> Measured | None:
        """The number, if it is there."""
        found, options = workspace.measured(self.evaluation), dict(self.cell.data_options)
        return found and replace(found, row=self.row.row, method=self.row.method, data_options=options)


@dataclass(frozen=True)
class AskedCost:
    """A row of costs, and the job that fills it.

    Attributes:
        row, job: see there.
        synthetic: whether it is the demo's.
    """

    row: CostRow
    job: CostJob
    synthetic: bool

    def measured(self, workspace: Workspace) -> MeasuredCost | None:
        """The numbers, if they are there."""
        if (cost := workspace.cost(self.job)) is None:
            return None
        return MeasuredCost.of(cost, method=self.row.method, row=self.row.row, synthetic=self.synthetic)


def jobs_of(asked: Sequence[Asked]) -> list[Job]:
    """A job a network: what is asked of it put together, after the jobs of the networks that it needs."""
    networks: dict[str, tuple[Network, Opened]] = {}

    def add(network: Network, opened: Opened) -> None:
        for before in network.needs:
            add(before, opened)
        networks.setdefault(network.name, (network, opened))

    for one in asked:
        if one.reid:
            add(one.reid, one.opened)
    for one in asked:
        add(one.network, one.opened)
    return [
        _job(network, opened, [one for one in asked if one.network.name == name])
        for name, (network, opened) in networks.items()
    ]


def _job(network: Network, opened: Opened, asked: Sequence[Asked]) -> Job:
    """All that is asked of a network, of which each sort of prediction is made once."""
    search = _search(network, opened, [one for one in asked if one.pairwise])
    kinds: dict[tuple[bool, str, str], list[Asked]] = {}
    for one in asked:
        # A gallery that is ranked keeps as many proposals as are asked of it.
        ranked = one.cell.protocol if one.pairwise and one.reid else ""
        kinds.setdefault((one.row.ground_truth_boxes, one.reid.name if one.reid else "", ranked), []).append(one)
    predictions = []
    for (ground_truth_boxes, _, ranked), alike in kinds.items():
        evaluations = tuple(dict.fromkeys(one.evaluation for one in alike))
        if search and not ranked:
            predictions.append(search.model_copy(update={"evaluations": evaluations}))
            continue
        predictions.append(
            prediction_of(
                network,
                opened.digests,
                ground_truth_boxes=ground_truth_boxes,
                reid=alike[0].reid,
                kept=_kept(alike) if ranked else None,
                proposals=search,
                evaluations=evaluations,
            )
        )
    return Job(network=network, data=opened.data, predictions=tuple(predictions))


def _search(network: Network, opened: Opened, asked: Sequence[Asked]) -> Prediction | None:
    """The one search of a pairwise network: most pairs of a gallery are in the larger ones, too."""
    return prediction_of(network, opened.digests, kept=_kept(asked)) if asked else None


def _kept(asked: Sequence[Asked]) -> dict[str, int | None]:
    """By protocol, how many proposals a query are enough for all; None where one asks for all."""
    counts: dict[str, list[int | None]] = {}
    for one in asked:
        counts.setdefault(one.cell.protocol, []).append(one.evaluation.keep)
    return {
        name: None if None in of_name else max(count for count in of_name if count is not None)
        for name, of_name in sorted(counts.items())
    }
