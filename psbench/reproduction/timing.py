"""How fast a job would go: a few steps of its training and a few of its predictions, timed on the device at hand."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from psbench.reproduction.jobs import Job, digest_of, model_options, present_device, with_fresh_weights
from psbench.reproduction.workspace import Workspace
from psbench.training.recipe import Recipe
from psbench_data import PersonSearchDataset, Scene
from psbench_data.atomic import new_file

_STEPS = 4
"""Of training; the first one is not counted, as everything is fetched and compiled then."""
_SECONDS = 120.0
"""How long steps are waited for."""
_IMAGES = 4
"""Of prediction, after one that is not counted."""
_QUERIES = 8
"""That are searched for at once."""


class Timing(BaseModel):
    """How fast a network is, on some device.

    Attributes:
        samples: that it is trained on in each epoch; 0 where its weights are given.
        training_rate: of these, how many a second; None where no step was finished in the time that was given.
        prediction_rate: scenes a second, of a pairwise model encoded, otherwise from the file to the detections; None
            where the network finds nothing in scenes by itself.
        pair_rate: of a pairwise model, pairs of a query and a scene a second.
        weights: bytes.
        embedding: numbers of a person's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: int = 0
    training_rate: float | None = None
    prediction_rate: float | None = None
    pair_rate: float | None = None
    weights: int
    embedding: int = 0


def timing_of(workspace: Workspace, job: Job) -> Timing | None:
    """What was found out before, about this network with this data on this hardware."""
    try:
        return Timing.model_validate_json(timing_path(workspace, job).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def time_job(workspace: Workspace, job: Job) -> None:
    """Find out how fast a job's network is trained and predicts, and keep that; may end the process.

    Raises:
        InputError: it cannot be trained, or does not predict.
    """
    from psbench.processes import this_process
    from psbench.training.data import training_data
    from psbench.zoo import create
    from psbench.zoo.weights import load_weights

    dataset, network, path = job.data.load(), job.network, timing_path(workspace, job)
    recipe = with_fresh_weights(Recipe.from_dict(network.recipe, source=network.name))
    scenes = dataset.split("train")
    if network.given:
        model = load_weights(network.given)
    else:
        model = create(recipe.model, num_identities=scenes.num_identities, **recipe.model_options)
    values: dict[str, Any] = {"weights": sum(t.numel() * t.element_size() for t in model.state_dict().values())}
    values |= _prediction(model.to(this_process().device), dataset)
    if network.given:
        _keep(Timing(**values), path)
        return
    values["samples"] = len(training_data(recipe, model, scenes))
    _train_a_little(recipe, dataset, lambda rate: _keep(Timing(**values, training_rate=rate), path))


def _prediction(model: Any, dataset: PersonSearchDataset) -> dict[str, Any]:
    from psbench.processes import this_process
    from psbench.zoo.images import image_tensor, to_float

    device, test = this_process().device, dataset.split("test")
    first, *others = [test[round(i * (len(test) - 1) / _IMAGES)] for i in range(_IMAGES + 1)]

    def image(scene: Scene) -> Any:
        return to_float(image_tensor(scene).to(device))

    if hasattr(model, "detect"):
        [found] = model.detect([image(first)])
        rate = _rate(len(others), lambda: [model.detect([image(scene)]) for scene in others])
        return {"prediction_rate": rate, "embedding": found.embeddings.shape[1]}
    if not hasattr(model, "search_encoded"):
        return {}
    whole = image(first).new_tensor([[0, 0, first.image().width, first.image().height]])
    queries = model.encode_queries([image(first)] * _QUERIES, [whole] * _QUERIES)
    [scene] = model.encode_scenes([image(first)])
    model.search_encoded(queries, scene)
    return {
        "prediction_rate": _rate(len(others), lambda: [model.encode_scenes([image(scene)]) for scene in others]),
        "pair_rate": _rate(_QUERIES, lambda: model.search_encoded(queries, scene)),
    }


def _rate(count: int, do: Callable[[], object]) -> float:
    import torch

    start = time.perf_counter()
    do()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return count / (time.perf_counter() - start)


def _train_a_little(recipe: Recipe, dataset: PersonSearchDataset, keep: Callable[[float | None], None]) -> None:
    """Begin the training itself, in a folder for the time being, and end the process when its speed is known."""
    from psbench.training import train

    folder = Path(tempfile.mkdtemp(prefix="psbench-"))
    begun = time.monotonic()

    def stop_when_known() -> None:
        while (rate := _training_rate(folder)) is None and time.monotonic() < begun + _SECONDS:
            time.sleep(0.1)
        keep(rate)
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.flush()
        os._exit(0)

    # What it would start from, and learn from besides, is not there yet, and takes no time.
    alone = recipe.override({"starts_from": None, "detections_from": None})
    threading.Thread(target=stop_when_known, daemon=True).start()
    train(alone, dataset, folder, progress=False)
    stop_when_known()


def _training_rate(folder: Path) -> float | None:
    from psbench.training.history import read_steps

    steps = read_steps(folder)
    finished = (folder / "run.json").is_file()
    if len(steps) < _STEPS and not (finished and len(steps)):
        return None
    return float(steps["images_per_second"][1:].median() if len(steps) > 1 else steps["images_per_second"][0])


def _keep(timing: Timing, path: Path) -> None:
    with new_file(path) as partial:
        partial.write_text(timing.model_dump_json(indent=1) + "\n", encoding="utf-8")


def timing_path(workspace: Workspace, job: Job) -> Path:
    """Where it is kept how fast a job goes; the same for jobs that go equally fast."""
    network = job.network
    options = model_options(Recipe.from_dict(network.recipe, source=network.name))
    # How long it is trained makes it no slower.
    values = {k: v for k, v in network.recipe.items() if k not in ("name", "schedule", "seed", "expected")}
    data = job.data.model_dump(mode="json")
    key = digest_of(given=str(network.given), recipe=values, options=options, data=data, device=present_device())
    return workspace.folder / "timings" / f"{key}.json"
