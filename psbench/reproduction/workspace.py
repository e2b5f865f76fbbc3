"""A folder of data, runs, predictions and results, in which what is there is not made again.

data/NAME            drawn people, in the dataset's own format
weights/NAME         released checkpoints, converted
runs/NAME            see `psbench.training.run`
predictions/NAME     see `psbench.predictions_folder`, `psbench.pairwise_folder`
evaluations/NAME.json  results
costs/NAME.json      what models cost, see `psbench.efficiency`
logs/NAME.log        what a job had to say
.locks/              so that commands that work in the folder at the same time wait for one another
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psbench.efficiency import Efficiency
from psbench.evaluation import CBGM, evaluate_all
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench.reporting.measured import Measured, as_json, from_json
from psbench.reproduction.demo import draw_demo
from psbench.reproduction.jobs import (
    CostJob,
    Evaluation,
    Job,
    Network,
    Prediction,
    evaluation_of,
    network_of,
    prediction_of,
    protocol_digests,
)
from psbench.reproduction.locks import alone
from psbench.reproduction.provenance import facts_of
from psbench.shards import MANIFEST
from psbench.training.recipe import Recipe
from psbench.training.run import RUN_FILE, Run
from psbench_data import InputError, PersonSearchDataset, load
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    from psbench.zoo import ZooModel

_CBGM = {"prw": CBGM(k1=30, k2=4)}
"""Where it is not the usual one (SeqNet's evaluators)."""
_SET_BY_SIZE = ("min_size", "max_size", "score_thresh_test")
"""Options that measuring a model's cost decides on by itself."""


@dataclass(frozen=True)
class Workspace:
    """The folder, and how what is missing in it is made; several processes may do so at the same time.

    Things are named by digests of all that they depend on (`psbench.reproduction.jobs`), so a changed recipe, default
    or dataset makes new ones, and two scripts share what they have in common.

    Attributes:
        folder: everything is below it.
        progress: whether to show progress bars.
    """

    folder: Path
    progress: bool = True

    def demo_data(self, name: str) -> Path:
        """The folder of drawn people in the format of a dataset.

        Raises:
            InputError: there is something else in it.
        """
        root = self.folder / "data" / name
        with self._alone(f"data-{name}"):
            draw_demo(name, root, progress=self.progress)
        return root

    def demo_dataset(self, name: str = "cuhk_sysu", **options: Any) -> PersonSearchDataset:
        """Drawn people in the format of a dataset, opened with its options."""
        return load(name, root=self.demo_data(name), **options)

    def run(self, recipe: Recipe, dataset: PersonSearchDataset) -> Run:
        """The finished training of a recipe, and before it of those that it needs; trained now if it is not there."""
        return self._run(network_of(recipe, dataset), dataset)

    def predictions(
        self, recipe: Recipe, dataset: PersonSearchDataset, *, ground_truth_boxes: bool = False
    ) -> Predictions:
        """A recipe's predictions; its run is made, and predicted with, if they are not there."""
        network = network_of(recipe, dataset)
        prediction = prediction_of(network, protocol_digests(dataset), ground_truth_boxes=ground_truth_boxes)
        return Predictions.load(self._predicted(network, prediction, dataset))

    def measure(
        self, method: str, recipe: Recipe, dataset: PersonSearchDataset, protocols: Sequence[str]
    ) -> list[Measured]:
        """A recipe's results under some protocols of a dataset."""
        network, digests = network_of(recipe, dataset), protocol_digests(dataset)
        evaluations = [evaluation_of(network, name, digests) for name in protocols]
        self._measure(network, prediction_of(network, digests, evaluations=evaluations), dataset)
        found = [self.measured(evaluation) for evaluation in evaluations]
        return [replace(result, method=method) for result in found if result is not None]

    def carry_out(self, job: Job) -> None:
        """Make what of a job is missing, or everything.

        Raises:
            InputError: something is wrong with the data, the recipe, or what is in the folder.
        """
        dataset = job.data.load()
        if job.anew:
            self._remove(job)
        if not job.predictions and job.network.given is None:
            self._run(job.network, dataset)
        for prediction in job.predictions:
            self._measure(job.network, prediction, dataset)

    def measured(self, evaluation: Evaluation) -> Measured | None:
        """A result, if it is there."""
        try:
            return from_json(self._result(evaluation).read_bytes())
        # One that cannot be read is made again.
        except (FileNotFoundError, ValueError):
            return None

    def measure_cost(self, job: CostJob) -> None:
        """Measure what a model costs, unless that has been done.

        Raises:
            InputError: the model, or an option, cannot be.
        """
        from psbench.efficiency.measuring import measure

        with self._alone(job.name):
            if job.anew or self.cost(job) is None:
                options = {k: v for k, v in job.options.items() if k not in _SET_BY_SIZE}
                found = measure(job.model, options=options, sizes=[job.size] if job.size else None)
                found.save(self._cost(job))

    def cost(self, job: CostJob) -> Efficiency | None:
        """What a model costs, if it has been measured."""
        try:
            return Efficiency.load(self._cost(job))
        # What cannot be read is measured again.
        except InputError:
            return None

    def has_weights(self, network: Network) -> bool:
        """Whether a network needs no training any more."""
        return network.given is not None or (self.run_folder(network) / RUN_FILE).is_file()

    def has_predictions(self, prediction: Prediction) -> bool:
        """Whether predictions are there."""
        return any((folder / MANIFEST).is_file() for folder in self._folders(prediction))

    def run_folder(self, network: Network) -> Path:
        """Where a network is trained."""
        return self.folder / "runs" / network.name

    def _run(self, network: Network, dataset: PersonSearchDataset) -> Run:
        from psbench.training import train
        from psbench.training.card import complete

        folder = self.run_folder(network)
        with self._alone(network.name):
            if self.has_weights(network):
                # It may have been stopped just after its weights were there.
                complete(run := Run.load(folder))
                return run
            start = self._run(network.start, dataset).folder if network.start else None
            detections = self._detections(network.detector, dataset) if network.detector else None
            return train(
                Recipe.from_dict(network.recipe, source=network.name),
                dataset,
                folder,
                resume=True,
                start_from=start,
                detections=detections,
                progress=self.progress,
            )

    def _model(self, network: Network, dataset: PersonSearchDataset) -> ZooModel:
        from psbench.zoo.weights import load_weights

        if network.given is None:
            return self._run(network, dataset).model()
        return load_weights(network.given, model=network.recipe["model"], dataset=dataset.name)

    def _detections(self, network: Network, dataset: PersonSearchDataset) -> Path:
        """What a detector finds in the training scenes."""
        from psbench.inference import predict_into

        folder = self.folder / "predictions" / f"{network.name}-train"
        with self._alone(folder.name):
            if not (folder / MANIFEST).is_file():
                model = self._model(network, dataset)
                predict_into(model, dataset, folder, split="train", progress=self.progress)
        return folder

    def _predicted(self, network: Network, prediction: Prediction, dataset: PersonSearchDataset) -> Path:
        """The folder of predictions; made, or finished, if it is not there."""
        folders = self._folders(prediction)
        with self._alone(prediction.name):
            for folder in folders:
                if (folder / MANIFEST).is_file():
                    return folder
            self._predict(network, prediction, dataset, folders[0])
        return folders[0]

    def _predict(self, network: Network, prediction: Prediction, dataset: PersonSearchDataset, folder: Path) -> None:
        from psbench.inference import predict_into, rescore_into, search_into
        from psbench.zoo.two_step import two_step

        # What is ranked has been found before.
        found = self._predicted(network, prediction.proposals, dataset) if prediction.proposals else None
        reid = self._model(prediction.reid, dataset) if prediction.reid else None
        usual: dict[str, Any] = {"method": network.recipe["name"], "progress": self.progress}
        if found:
            [(protocol, keep)] = prediction.kept.items()
            rescore_into(reid, dataset, folder, proposals=found, protocol=protocol, keep=keep, **usual)
            return
        model = self._model(network, dataset)
        if prediction.kept:
            search_into(model, dataset, folder, protocol=list(prediction.kept), keep=prediction.kept, **usual)
            return
        predict_into(
            two_step(model, reid) if reid else model,
            dataset,
            folder,
            ground_truth_boxes=prediction.ground_truth_boxes,
            context=prediction.context,
            **usual,
        )

    def _folders(self, prediction: Prediction | None) -> list[Path]:
        """Where predictions that serve may be: where they would be made, then where there may be more than is asked."""
        if prediction is None:
            return []
        folder = self.folder / "predictions" / prediction.name
        if not prediction.kept:
            around = folder.with_name(f"{folder.name}-context")
            return [around] if prediction.context else [folder, around]
        others = sorted(path for path in folder.parent.glob(f"{folder.name}-*") if prediction.served_by(path.name))
        return [folder.with_name(prediction.pairwise_name), *others]

    def _measure(self, network: Network, prediction: Prediction, dataset: PersonSearchDataset) -> None:
        from psbench.zoo.weights import WEIGHTS_FILE

        missing = [evaluation for evaluation in prediction.evaluations if self.measured(evaluation) is None]
        if not missing:
            return
        folder = self._predicted(network, prediction, dataset)
        found = (PairwisePredictions if prediction.kept else Predictions).load(folder)
        facts = facts_of(network.given or self.run_folder(network) / WEIGHTS_FILE, prediction, dataset)

        def how(evaluation: Evaluation) -> tuple[bool, int]:
            return evaluation.cbgm, evaluation.keep or 0

        for (with_cbgm, keep), group in groupby(sorted(missing, key=how), how):
            together = list(group)
            cbgm = _CBGM.get(dataset.name, CBGM()) if with_cbgm else None
            results = evaluate_all(
                found, [dataset.protocol(e.protocol) for e in together], cbgm=cbgm, keep=keep or None
            )
            for evaluation, result in zip(together, results, strict=True):
                with new_file(self._result(evaluation)) as partial:
                    partial.write_text(as_json(Measured.of(result, **facts)), encoding="utf-8")

    def _remove(self, job: Job) -> None:
        """Everything that a job makes."""
        with self._alone(job.network.name):
            if job.network.given is None:
                shutil.rmtree(self.run_folder(job.network), ignore_errors=True)
            for prediction in job.predictions:
                for folder in [*self._folders(prediction), *self._folders(prediction.proposals)]:
                    shutil.rmtree(folder, ignore_errors=True)
                for evaluation in prediction.evaluations:
                    self._result(evaluation).unlink(missing_ok=True)

    def _cost(self, job: CostJob) -> Path:
        return self.folder / "costs" / f"{job.name}.json"

    def _result(self, evaluation: Evaluation) -> Path:
        return self.folder / "evaluations" / f"{evaluation.name}.json"

    def _alone(self, name: str) -> AbstractContextManager[None]:
        return alone(self.folder / ".locks" / name)
