"""The command `psbench view-points`."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from psbench.cli_judging import Data
from psbench.doctor import require_zoo
from psbench.own_pictures import decoded
from psbench_data import InputError, PersonSearchDataset, Scenes
from psbench_data.console import DatasetOptions, complain_on_input_error, parsed_options, tell

if TYPE_CHECKING:
    from PIL.Image import Image

_CHOSEN = 3
"""Scenes, where none are named."""
Pictures = dict[str, Callable[[], "Image"]]
"""By name, what decodes them."""


@complain_on_input_error
def view_points(
    weights: Annotated[
        Path,
        typer.Argument(
            help="A folder that `train` or `import-weights` made, or its model.safetensors.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.", show_default=False)],
    root: Annotated[Path | None, typer.Option("--root", help="The dataset's top folder.", show_default=False)] = None,
    data: Data = "cuhk_sysu",
    option: DatasetOptions = None,
    scene: Annotated[
        list[str], typer.Option("--scene", help="A scene's name, repeatable; test scenes with many people by default.")
    ] = [],  # noqa: B006
    image: Annotated[
        list[Path], typer.Option("--image", help="A picture of your own instead of a dataset. Repeatable.")
    ] = [],  # noqa: B006
    people: Annotated[int, typer.Option(min=1, help="Of a scene, how many to draw, the most certain.")] = 4,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Leave out detections below this score.")] = 0.5,
    picture_format: Annotated[Literal["png", "svg", "pdf"], typer.Option("--format", help="Of the pictures.")] = "png",
    other_data: Annotated[
        bool, typer.Option("--other-data", help="Allow data that the model was not trained on.")
    ] = False,
) -> None:
    """Draw what a PCNet looks at: the points it pools, the activation of its maps, and what features gather.

    Example: psbench view-points runs/pcnet --data prw --root /data/PRW --scene c1s1_000151.jpg -o points
    """
    require_zoo()
    import torch
    from tqdm import tqdm

    from psbench.processes import this_process
    from psbench.reporting.pages import file_stem
    from psbench.reporting.points_page import draw_scene, write_page
    from psbench.zoo.images import to_float
    from psbench.zoo.looking import look, require_points
    from psbench.zoo.weights import load_weights, read_info, weights_path
    from psbench_data import load
    from psbench_data.atomic import new_folder

    if faults := _place_faults(root, scene, image):
        raise InputError(faults)
    path, device = weights_path(weights), this_process().device
    loaded = load_weights(path, dataset=None if image or other_data else data)
    model, method = require_points(loaded, str(path)).to(device), read_info(path).method
    dataset = load(data, root=root, **parsed_options(option)) if root else None
    pictures = _own(image) if dataset is None else _of_dataset(dataset, scene)
    synthetic, drawn = dataset is not None and dataset.synthetic, {}
    with new_folder(output) as folder:
        for number, (name, decode) in enumerate(tqdm(pictures.items(), unit="scene", disable=None), start=1):
            picture = np.array(decode())
            pixels = torch.from_numpy(picture).permute(2, 0, 1).to(device)
            sight = look(model, to_float(pixels), threshold=threshold)
            drawn[name] = draw_scene(
                picture,
                sight,
                folder,
                f"{number:02d}-{file_stem(name)}",
                title=f"{Path(name).name[:40]}{' (synthetic data)' if synthetic else ''}",
                people=people,
                ending=f".{picture_format}",
            )
        if picture_format != "pdf":
            origin = f"{dataset.title}: {dataset.origin}" if dataset else None
            write_page(
                drawn, folder / "index.html", method=method, data=origin, threshold=threshold, synthetic=synthetic
            )
    for name, files in drawn.items():
        if "points" not in files:
            tell(f"{name}: nobody is found with a score of {threshold} or more. Lower --threshold.")
    if "cross_scale" not in model.embedding:
        tell("no attention is drawn: this model gathers nothing over the pyramid (cross_scale=none).")
    tell(f"{output}: {sum(len(files) for files in drawn.values())} pictures of {len(drawn)} scenes")


def _place_faults(root: Path | None, scenes: list[str], images: list[Path]) -> list[str]:
    faults = [f"{path}: there is no such file. Correct --image." for path in images if not path.is_file()]
    if images and (root or scenes):
        faults.append("--image is of no dataset: give pictures of your own, or --root and scenes, not both.")
    if not images and root is None:
        faults.append("there is nothing to look at: give --root, the dataset's top folder, or --image, a picture.")
    return faults


def _of_dataset(dataset: PersonSearchDataset, names: list[str]) -> Pictures:
    test, train = dataset.split("test"), dataset.split("train")
    if not names:
        names = _crowded(test)
        tell(f"the {len(names)} test scenes with most people (of equals some at random): {', '.join(names)}")
    if unknown := [name for name in names if name not in test.positions and name not in train.positions]:
        known = [*test.names, *train.names]
        near = {name: get_close_matches(name, known, n=1, cutoff=0) for name in unknown}
        raise InputError(
            f"--scene {name}: {dataset.title} has no such scene; expected a name such as {', '.join(near[name])}."
            for name in unknown
        )
    return {name: (test if name in test.positions else train)[name].image for name in names}


def _crowded(scenes: Scenes) -> list[str]:
    chance = np.random.default_rng(0).random(len(scenes))
    order = np.lexsort((chance, -np.diff(scenes.offsets)))
    return [scenes.names[i] for i in order[:_CHOSEN]]


def _own(paths: list[Path]) -> Pictures:
    return {str(path): partial(decoded, path) for path in paths}
