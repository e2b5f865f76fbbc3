"""What users, and their next commands, find in a folder: what is taken for a result, in a form that can be compared.

Left out is what two runs never have alike: times, dates, memory, and how often a training was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from psbench.folders import load_predictions
from psbench.leaderboard import Entry
from psbench.leaderboard.folder import entry_files
from psbench.own_gallery import read_gallery
from psbench.shards import sha256_of
from psbench.training.card import CARD_FILE, CURVES_FILE
from psbench.training.history import read_steps
from psbench.training.run import BEST_FILE, RUN_FILE, VALIDATION_FILE, Run
from psbench.zoo.weights import load_weights, weights_path
from psbench_data import InputError

Found = dict[str, Any]
"""By name, what is there; what is refused, with a fault that says why, is not there."""


class MistakenError(Exception):
    """Something is neither a result nor refused as users' mistakes are."""


def files(folder: Path, pattern: str = "**/*") -> Found:
    """The bytes of files that can be seen, by their path."""
    paths = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: sha256_of(path) for name, path in names.items() if not _hidden(name)}


def predictions(folder: Path) -> Found:
    """Of a predictions folder all files, but what a search took."""
    if _refused(lambda: load_predictions(folder)):
        return {}
    return {name: digest for name, digest in files(folder).items() if name != "cost.json"}


def gallery(folder: Path) -> Found:
    """A gallery of one's own."""
    return {} if _refused(lambda: read_gallery(folder)) else files(folder)


def entries(folder: Path) -> Found:
    """The entries of a leaderboard, but for their dates, which their digests depend on."""
    return {path.name: Entry.load(path).model_dump(exclude={"date", "digest"}) for path in entry_files(folder)}


def weights(folder: Path) -> Found:
    """What `predict` takes of a run's folder."""
    if _refused(lambda: load_weights(weights_path(folder))):
        return {}
    return {"weights": sha256_of(weights_path(folder))}


def run(folder: Path) -> Found:
    """What is there of a training: weights as soon as there are any, all else once it is finished."""
    if _refused(lambda: Run.load(folder)):
        return weights(folder)
    record = Run.load(folder).record.model_dump(mode="json", exclude={"seconds", "resumed", "peak_memory", "finished"})
    steps = read_steps(folder).drop(columns=["seconds", "images_per_second"])
    found = weights(folder) | {RUN_FILE: record, "steps": steps.to_json(orient="split", double_precision=15)}
    for name in (VALIDATION_FILE, BEST_FILE):
        if (folder / name).is_file():
            found[name] = sha256_of(folder / name)
    # They tell times.
    return found | {name: "there" for name in (CARD_FILE, CURVES_FILE) if (folder / name).is_file()}


def script(folder: Path) -> Found:
    """What a script of reproduce/ makes: its table, results, predictions and runs."""
    found = files(folder, "table.json")
    for path in sorted((folder / "evaluations").glob("*.json")):
        measured = json.loads(path.read_bytes())
        found[path.name] = {name: value for name, value in measured.items() if name != "seconds"}
    for kind, read in (("predictions", predictions), ("runs", run)):
        for path in sorted((folder / kind).glob("[!.]*")):
            found |= {f"{kind}/{path.name}/{name}": value for name, value in read(path).items()}
    return found


def unreadable(folder: Path) -> list[str]:
    """Files that can be seen and are not whole, by what their kind says; logs are written line by line."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image
    from safetensors import safe_open

    def arrow(path: Path) -> None:
        with pa.memory_map(str(path)) as source:
            pa.ipc.open_file(source).read_all()

    def picture(path: Path) -> None:
        with Image.open(path) as image:
            image.load()

    def tensors(path: Path) -> None:
        with safe_open(path, "np") as file:
            for name in file.keys():  # noqa: SIM118
                file.get_tensor(name)

    readers: dict[str, Callable[[Path], Any]] = {
        ".arrow": arrow,
        ".jpg": picture,
        ".json": lambda path: json.loads(path.read_bytes()),
        ".parquet": pq.read_table,
        ".png": picture,
        ".safetensors": tensors,
    }
    broken = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix in readers and path.is_file() and not _hidden(name):
            try:
                readers[path.suffix](path)
            except Exception as error:
                broken.append(f"{name}: {type(error).__name__}: {error}")
    return broken


def leftovers(folder: Path) -> list[str]:
    """What killed processes leave: hidden files and folders that were not finished, the outermost of each."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob(".*.*"))
    return [name for name in names if not _hidden(name.rpartition("/")[0])]


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _refused(load: Callable[[], object]) -> bool:
    """Whether something is refused, by one fault that says why."""
    try:
        load()
    except InputError as error:
        if len(error.faults) != 1:
            raise MistakenError(f"refused by {len(error.faults)} faults: {error}") from error
        return True
    return False
