"""Weights that are given instead of trained: own runs, and checkpoints that a model's authors released.

FOLDER/ANY/run.json                        a run of the recipe asked for, known by its digest, whatever it is called
FOLDER/seqnet-cuhk_sysu/model.safetensors  or weights by the name of the recipe, as `psbench import-weights` makes them,
FOLDER/seqnet-cuhk_sysu/ANY.pth            or as they were released;
FOLDER/seqnet-cuhk_sysu.pth                the folder may be left out.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from psbench.training.again import train_command
from psbench.training.recipe import Recipe
from psbench.training.recipes import recipes
from psbench.training.run import RUN_FILE, Run
from psbench_data import InputError

_RELEASED = ("pth", "pt")
_SIZES = ("min_size", "max_size")


@dataclass(frozen=True)
class Given:
    """A folder of weights.

    Attributes:
        folder: see above.
        converted: the folder for released checkpoints, converted.
    """

    folder: Path
    converted: Path

    def weights(self, recipe: Recipe) -> Path | None:
        """The file of a recipe's weights, as psbench keeps them; None if there is none.

        Raises:
            InputError: there are several, or they cannot be read.
        """
        from psbench.zoo.weights import WEIGHTS_FILE

        if run := self._runs.get(recipe.digest):
            return run / WEIGHTS_FILE
        # A changed recipe bears no name that says what was changed.
        if recipe.name not in recipes():
            return None
        named = self.folder / recipe.name
        if (named / WEIGHTS_FILE).is_file():
            return named / WEIGHTS_FILE
        released = sorted(path for suffix in _RELEASED for path in named.glob(f"*.{suffix}"))
        released += [path for suffix in _RELEASED if (path := self.folder / f"{recipe.name}.{suffix}").is_file()]
        if len(released) > 1:
            names = ", ".join(str(path.relative_to(self.folder)) for path in released)
            raise InputError(f"{self.folder}: several checkpoints of {recipe.name} ({names}). Leave one.")
        return self._convert(recipe, released[0]) if released else None

    def advice(self, recipe: Recipe) -> str:
        """What would be taken as the weights of a recipe, and the commands that make it."""
        needs = {"--start-from": recipe.starts_from, "--detections": recipe.detections_from}
        options = [word for option, name in needs.items() if name for word in (option, f"OF_{name}")]
        trained = f"under any name, the RUN of `{train_command(recipe, processes=1, options=options)}`"
        if recipe.name not in recipes():
            return f"Put there, {trained}"
        imported = ["psbench", "import-weights", recipe.model, "FILE", "--data", recipe.dataset]
        imported += ["--output", str(self.folder / recipe.name)]
        return (
            f"Put there {recipe.name}.pth, as its authors released it, or import it (`{shlex.join(imported)}`); or, "
            f"{trained}"
        )

    @cached_property
    def _runs(self) -> dict[str, Path]:
        """The finished runs, by the digest of what was trained."""
        folders = [path.parent for path in sorted(self.folder.glob(f"*/{RUN_FILE}"))]
        return {Run.load(folder).record.recipe_digest: folder for folder in folders}

    def _convert(self, recipe: Recipe, source: Path) -> Path:
        from psbench.zoo.weights import WEIGHTS_FILE, file_digest, import_weights

        path = self.converted / f"{recipe.name}-{file_digest(source)[:16]}" / WEIGHTS_FILE
        if not path.is_file():
            # What is seen of weights decides on the other options.
            sizes = {name: value for name, value in recipe.model_options.items() if name in _SIZES}
            import_weights(recipe.model, source, path, dataset=recipe.dataset, overrides=sizes)
        return path


def given_weights(folder: Path, converted: Path) -> Given:
    """The weights in a folder.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: this folder of checkpoints does not exist. Give one that does.")
    return Given(folder, converted)
