"""What a plan would take, as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from psbench.reproduction.jobs import Job, Prediction, model_options
from psbench.reproduction.planning import Plan
from psbench.reproduction.pool import Machine, carry_out
from psbench.reproduction.tasks import Make, Measure, Task, Time
from psbench.reproduction.timing import Timing, timing_of, timing_path
from psbench.reproduction.workspace import Workspace
from psbench.training.recipe import Recipe
from psbench_data import PersonSearchDataset

_BOX = 20
"""Bytes of a box and its score."""


class Estimate(NamedTuple):
    """What a job would take.

    Attributes:
        job: its name.
        steps: what is still to be done of it, in words.
        trained: images to train on, each counted as often as it is seen.
        predicted: images to predict, queries' among them.
        seconds: on one device; None where no step of the training was finished in the time that it was timed for.
        disk: bytes that remain.
    """

    job: str
    steps: str
    trained: int
    predicted: int
    seconds: float | None
    disk: int


def plan_text(
    plan: Plan, works: Sequence[Make | Measure], workspace: Workspace, machine: Machine, *, at_once: int
) -> str:
    """What is to be done, how long it takes on this machine, and what cannot be measured.

    How fast a job goes is found out by doing a little of it, unless that is known already.

    Args:
        plan: see there.
        works: of the plan, what is to be done.
        workspace, machine, at_once: as in `carry_out`.
    """
    jobs = [work.job for work in works if isinstance(work, Make)]
    costs = [work.name for work in works if isinstance(work, Measure)]
    untimed = {timing_path(workspace, job): job for job in jobs if timing_of(workspace, job) is None}
    tasks = [Task(folder=workspace.folder, work=Time(job=job)) for job in untimed.values()]
    faults = carry_out(tasks, machine, at_once=at_once, progress=workspace.progress)
    estimates = [_estimate(job, timing, workspace) for job in jobs if (timing := timing_of(workspace, job))]
    lines = _table(estimates, at_once) if estimates else []
    lines += _needed_weights([job for job in jobs if job.anew or not workspace.has_weights(job.network)])
    lines += [f"{name}: speed and memory to be measured" for name in costs]
    lines.append(f"{len(plan.works()) - len(works)} of {len(plan.works())} jobs are done, or not to be done.")
    if plan.impossible or faults:
        lines += ["", "cannot be measured:"]
        lines += [f"  {'; '.join(cells)}\n    {reason}" for reason, cells in plan.impossible.items()]
        lines += [f"  {fault}" for of_task in faults.values() for fault in of_task]
    return "\n".join(lines)


def _needed_weights(trained: Sequence[Job]) -> list[str]:
    """What the trainings of jobs fetch, in a line."""
    options = [model_options(Recipe.from_dict(job.network.recipe, source=job.network.name)) for job in trained]
    wanted = [each["backbone"] for each in options if each.get("pretrained") is True]
    if not wanted:
        return []
    names = ", ".join(sorted(set(wanted)))
    return [
        f"{len(wanted)} of {len(trained)} trainings start from pretrained weights ({names}), which are fetched unless "
        "they are in Hugging Face's cache: without a connection, bring that cache along."
    ]


def _estimate(job: Job, timing: Timing, workspace: Workspace) -> Estimate:
    steps: list[str] = []
    trained, predicted, seconds, disk = 0, 0, 0.0, 0
    slow = False
    if job.anew or not workspace.has_weights(job.network):
        steps.append("train")
        trained = job.network.recipe["schedule"]["epochs"] * timing.samples
        seconds, slow = trained / (timing.training_rate or 1), timing.training_rate is None
        disk = timing.weights
    predictions = [p for p in job.predictions if job.anew or any(workspace.measured(e) is None for e in p.evaluations)]
    dataset = job.data.load()
    # What a re-ID network ranks is found once, and to rank it takes little beside that.
    for prediction in {p.name: p for p in (p.proposals or p for p in predictions)}.values():
        if job.anew or not workspace.has_predictions(prediction):
            steps.append("predict")
            images, taken = _prediction(prediction, dataset, timing)
            predicted, seconds = predicted + images, seconds + taken
            disk += len(dataset.split("test").boxes) * (4 * timing.embedding + _BOX)
    if count := sum(len(p.evaluations) for p in predictions):
        steps.append(f"evaluate {count}")
    words = ", ".join(dict.fromkeys(steps))
    return Estimate(job.network.name, words, trained, predicted, None if slow else seconds, disk)


def _prediction(prediction: Prediction, dataset: PersonSearchDataset, timing: Timing) -> tuple[int, float]:
    """Images, and seconds."""
    scenes, rate = len(dataset.split("test")), timing.prediction_rate or math.inf
    if prediction.kept:
        from psbench.inference.pairing import Pairing

        pairs = Pairing.of(dataset, list(prediction.kept), keep=None, method="").count
        return scenes, scenes / rate + pairs / (timing.pair_rate or math.inf)
    # All protocols ask about the same people, or about some of them.
    queries = max(len(dataset.protocol(name).queries) for name in dataset.protocols)
    images = scenes + queries * (2 if prediction.context else 1)
    return images, images / rate


def _table(estimates: Sequence[Estimate], at_once: int) -> list[str]:
    width = max(len(one.job) for one in estimates) + 2
    steps = max(len(one.steps) for one in estimates) + 2
    lines = [f"{'job':<{width}}{'to do':<{steps}}{'trained on':>12}{'predicted':>12}{'hours':>10}{'disk':>12}"]
    for one in estimates:
        hours = "unknown" if one.seconds is None else _hours(one.seconds)
        size = f"{one.disk / 1e6:,.1f} MB"
        lines.append(
            f"{one.job:<{width}}{one.steps:<{steps}}{one.trained:>12,}{one.predicted:>12,}{hours:>10}{size:>12}"
        )
    known = [one.seconds for one in estimates if one.seconds is not None]
    at_least = "" if len(known) == len(estimates) else "at least "
    together, disk = min(at_once, len(estimates)), sum(one.disk for one in estimates) / 1e9
    lines += [
        "",
        f"{len(estimates)} jobs, {together} at once: {at_least}{_hours(sum(known) / together)} hours on this device,"
        f" {disk:.2f} GB; while a network is trained, four times its weights for checkpoints besides.",
    ]
    return lines


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2g}" if seconds < 36_000 else f"{seconds / 3600:.0f}"
