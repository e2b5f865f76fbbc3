"""What the scripts of reproduce/ stand on: data, runs and predictions in one folder, each made once and reused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psbench.evaluation import evaluate_all
from psbench.predictions import Predictions
from psbench.reporting.measured import Measured
from psbench.training.recipe import Recipe
from psbench.training.recipes import recipe_for
from psbench.training.run import RUN_FILE, Run
from psbench_data import InputError, PersonSearchDataset, load


@dataclass(frozen=True)
class Workspace:
    """A folder in which what is already there is not made again.

    Runs and predictions are named by the digests of their recipe and data, so a changed recipe or dataset makes new
    ones, and two scripts share what they have in common.

    Attributes:
        folder: everything is below it.
        progress: whether to show progress bars.
    """

    folder: Path
    progress: bool = True

    def demo_dataset(self) -> PersonSearchDataset:
        """The synthetic dataset of the demo, in CUHK-SYSU's format."""
        from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
        from psbench_data.synthetic.world import WorldSpec

        root = self.folder / "data" / "cuhk_sysu"
        if not root.exists():
            write_cuhk_sysu(WorldSpec(), root, progress=self.progress)
        return load("cuhk_sysu", root=root)

    def run(self, recipe: Recipe, dataset: PersonSearchDataset) -> Run:
        """The finished training of a recipe; trained now, or to its end, if it is not there.

        What the recipe starts from is trained before.
        """
        from psbench.training import train

        folder = self.folder / "runs" / self._key(recipe, dataset)
        if (folder / RUN_FILE).is_file():
            return Run.load(folder)
        start = self.run(recipe_for(recipe.starts_from), dataset).folder if recipe.starts_from else None
        return train(recipe, dataset, folder, resume=True, start_from=start, progress=self.progress)

    def predictions(
        self, recipe: Recipe, dataset: PersonSearchDataset, *, ground_truth_boxes: bool = False
    ) -> Predictions:
        """A recipe's predictions; its run is made, and predicted with, if they are not there."""
        from psbench.inference import predict_into
        from psbench.shards import MANIFEST

        name = self._key(recipe, dataset) + ("-ground-truth-boxes" if ground_truth_boxes else "")
        folder = self.folder / "predictions" / name
        if not (folder / MANIFEST).exists():
            predict_into(
                self.run(recipe, dataset).model(),
                dataset,
                folder,
                ground_truth_boxes=ground_truth_boxes,
                method=recipe.name,
                progress=self.progress,
            )
        return Predictions.load(folder)

    def measure(
        self, method: str, recipe: Recipe, dataset: PersonSearchDataset, protocols: Sequence[str]
    ) -> list[Measured]:
        """A recipe's results under some protocols of a dataset."""
        predictions = self.predictions(recipe, dataset)
        return [
            Measured.of(
                evaluation,
                method=method,
                dataset=dataset.title,
                data=dataset.origin,
                fingerprint=dataset.fingerprint,
                recipe=recipe.name,
                recipe_digest=recipe.digest,
            )
            for evaluation in evaluate_all(predictions, [dataset.protocol(name) for name in protocols])
        ]

    @staticmethod
    def _key(recipe: Recipe, dataset: PersonSearchDataset) -> str:
        return f"{recipe.name}-{recipe.digest[:8]}-{dataset.fingerprint[:8]}"


@dataclass(frozen=True)
class MeasuredRow:
    """A row of a table, or a curve, that psbench measures.

    Attributes:
        method: as printed.
        recipe: for the real dataset.
        demo_recipe: for the synthetic one.
        changes: of both, as `Recipe.override` takes them: what makes a variant.
    """

    method: str
    recipe: str
    demo_recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def measure(self, workspace: Workspace, data_root: Path | None, protocols: Sequence[str] | None) -> list[Measured]:
        """Measure on the dataset in the folder `data_root`, or without one on the demo's.

        `protocols` None means all that the dataset has.
        """
        recipe = recipe_for(self.recipe if data_root else self.demo_recipe).override(self.changes)
        dataset = load(recipe.dataset, root=data_root / recipe.dataset) if data_root else workspace.demo_dataset()
        return workspace.measure(self.method, recipe, dataset, protocols or dataset.protocols)


def run_script(
    description: str,
    rows: Sequence[MeasuredRow],
    protocols: Sequence[str] | None,
    write: Callable[[list[Measured], Path], list[Path]],
    *,
    demo_protocols: Sequence[str] | None = None,
) -> None:
    """The command line of a script of reproduce/: measure the rows, write the result, print where it is.

    Args:
        description: of the script.
        rows: what it measures.
        protocols: of the real dataset; None means all that it has.
        write: makes files of what was measured.
        demo_protocols: of the demo's, where they are called otherwise.
    """
    import argparse

    needed = sorted({recipe_for(row.recipe).dataset for row in rows})
    parser = argparse.ArgumentParser(description=description)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--demo", action="store_true", help="measure on synthetic data, with small recipes, in minutes")
    where.add_argument(
        "--data-root",
        type=Path,
        help="measure on the datasets in this folder: " + ", ".join(f"DATA_ROOT/{name}" for name in needed),
    )
    parser.add_argument(
        "--output", type=Path, help="folder of runs, predictions and results (default: demo or results)"
    )
    arguments = parser.parse_args()
    folder = arguments.output or Path("demo" if arguments.demo else "results")
    try:
        workspace = Workspace(folder)
        asked = protocols if arguments.data_root else demo_protocols or protocols
        measured = [m for row in rows for m in row.measure(workspace, arguments.data_root, asked)]
        for path in write(measured, folder):
            print(path)
    except InputError as error:
        parser.exit(1, f"error: {error}\n")
