"""What is handed to a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from psbench.reproduction.jobs import CostJob, Job
from psbench.reproduction.workspace import Workspace

_FROZEN = ConfigDict(extra="forbid", frozen=True)


class Make(BaseModel):
    """Do a job."""

    model_config = _FROZEN

    kind: Literal["make"] = "make"
    job: Job
    alone: Literal[False] = False

    @property
    def name(self) -> str:
        """Of the network."""
        return self.job.network.name

    @property
    def needs(self) -> set[str]:
        """The networks that have to be there before."""
        return {network.name for network in self.job.needs}

    @property
    def searches(self) -> int:
        """In how many galleries it searches query by query, which takes longest."""
        return len({protocol for prediction in self.job.predictions for protocol in prediction.kept})

    def anew(self) -> Make:
        """The same, but for what is there."""
        return Make(job=self.job.model_copy(update={"anew": True}))

    def carry_out(self, workspace: Workspace) -> None:
        """See `Task.carry_out`."""
        workspace.carry_out(self.job)


class Time(BaseModel):
    """Find out how fast a job goes."""

    model_config = _FROZEN

    kind: Literal["time"] = "time"
    job: Job
    alone: Literal[False] = False
    searches: Literal[0] = 0

    @property
    def name(self) -> str:
        """Of the network, and what is done with it."""
        return f"{self.job.network.name}-timing"

    @property
    def needs(self) -> set[str]:
        """Nothing."""
        return set()

    def carry_out(self, workspace: Workspace) -> None:
        """See `Task.carry_out`."""
        from psbench.reproduction.timing import time_job

        time_job(workspace, self.job)


class Measure(BaseModel):
    """Measure what a model costs, while nothing else goes on."""

    model_config = _FROZEN

    kind: Literal["measure"] = "measure"
    job: CostJob
    alone: Literal[True] = True
    searches: Literal[0] = 0

    @property
    def name(self) -> str:
        """Of the job."""
        return self.job.name

    @property
    def needs(self) -> set[str]:
        """Nothing."""
        return set()

    def carry_out(self, workspace: Workspace) -> None:
        """See `Task.carry_out`."""
        workspace.measure_cost(self.job)

    def anew(self) -> Measure:
        """The same, but for what is there."""
        return Measure(job=self.job.model_copy(update={"anew": True}))


class Task(BaseModel):
    """Some work in a workspace."""

    model_config = _FROZEN

    folder: Path
    work: Make | Time | Measure = Field(discriminator="kind")

    @property
    def name(self) -> str:
        """Of its log."""
        return self.work.name

    @property
    def log(self) -> Path:
        """The file for what it has to say."""
        return self.folder / "logs" / f"{self.name}.log"

    def carry_out(self) -> None:
        """Do it, in this process.

        Raises:
            InputError: it cannot be done.
        """
        self.work.carry_out(Workspace(self.folder))
