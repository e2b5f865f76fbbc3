"""Work that is cut into pieces: done by one process or several, and continued where it was interrupted.

Its folder begins as work.json, which says what the pieces belong to, and fills with their files, each of which appears
whole or not at all. When all are there, they are made into what the folder is meant to hold, the manifest last, and
removed. work.json stays: the same work, started again, knows by it that nothing is left to do.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from tqdm import tqdm

from psbench import locking
from psbench.processes import from_main, main_process_first, this_process, wait_for_others
from psbench.shards import MANIFEST, WORK
from psbench.tables import read_schema, read_table
from psbench.zoo import ZooModel
from psbench.zoo.two_step import TwoStep
from psbench_data import InputError, Scenes
from psbench_data.atomic import new_file
from psbench_data.names import given_path
from psbench_data.validation import file_error

P = TypeVar("P")
_REMEDY = "Give another folder, or remove this one first."
_MAKE = "Start the same prediction again, in a folder that all its processes see: it makes what is missing."
Form = Callable[[int], pa.Schema]
"""A piece's columns, by the length of its embeddings."""
SEARCHED = "proposals"
"""Below the folder of a ranking, the search that is ranked in it, if it was made for that."""


class Record(BaseModel):
    """What work.json holds: what decides on the results, and on how they are cut. Each kind of work adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    psbench: str = Field(default_factory=lambda: version("psbench"))
    model: str

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


class Job(ABC, Generic[P]):
    """Work that is cut into pieces; what a piece is must not depend on who does it.

    Attributes:
        unit: what the progress bar counts.
    """

    unit: ClassVar[str]

    @property
    @abstractmethod
    def scenes(self) -> Scenes:
        """Whose images are looked at."""

    @abstractmethod
    def record(self) -> Record:
        """By which the work is known again."""

    def try_out(self) -> None:
        """Ask the model a little, and refuse one that answers in another form, before a folder is begun."""

    @abstractmethod
    def pieces(self) -> list[P]:
        """All there is to do; any stretch of the list takes about its share of the time."""

    @abstractmethod
    def size(self, piece: P) -> int:
        """How much of the progress bar a piece is."""

    @abstractmethod
    def faults(self, piece: P, folder: Path) -> list[str]:
        """Why a piece is not there: a sentence for each of its files that does not hold what it should."""

    @abstractmethod
    def make(self, pieces: Sequence[P], folder: Path, bar: tqdm) -> None:
        """Make some of the pieces on this process's device."""

    @abstractmethod
    def finish(self, folder: Path) -> None:
        """Make of the pieces, which are all there, what the folder is meant to hold; the manifest last."""


def carry_out(plan: Callable[[], Job[P]], folder: str | Path, *, progress: bool) -> Path:
    """Do what is still to be done of some work, together with the processes that were started with this one.

    Args:
        plan: makes the job; the main process plans first.
        folder: to make, or to continue.
        progress: whether to show a progress bar, over what the main process does.

    Returns:
        The folder.

    Raises:
        InputError: images are missing or do not decode, there is something else at `folder`, or pieces are missing in
            the end.
        ConnectionAbortedError: another process has ended.
    """
    with ExitStack() as held:
        return _carry_out(plan, given_path(folder), held, progress=progress)


def _carry_out(plan: Callable[[], Job[P]], folder: Path, held: ExitStack, *, progress: bool) -> Path:
    """The same; `held` keeps other predictions out of the folder."""
    state = this_process()
    todo: list[P] = []
    with main_process_first():
        job = plan()
        if state.is_main_process:
            job.scenes.require_images()
            if not (folder / WORK).is_file():
                job.try_out()
            held.enter_context(at_work(folder))
            begin(folder, job.record())
            if not (folder / MANIFEST).is_file():
                todo = [piece for piece in job.pieces() if job.faults(piece, folder)]
        elif not (folder / WORK).is_file():
            raise InputError(f"{folder}: this machine does not see the folder. Give one that all machines share.")
    todo = from_main(todo)
    shown, count = progress and state.is_main_process, len(job.pieces())
    if shown and len(todo) < count:
        tqdm.write(f"{folder}: {count - len(todo)} of {count} pieces are there, {len(todo)} to do", file=sys.stderr)
    with (
        state.split_between_processes(todo) as own,
        tqdm(total=sum(map(job.size, own)), unit=job.unit, disable=not shown) as bar,
    ):
        job.make(own, folder, bar)
    wait_for_others()
    if state.is_main_process:
        if not (folder / MANIFEST).is_file():
            if faults := [fault for piece in job.pieces() for fault in job.faults(piece, folder)]:
                raise InputError(faults)
            job.finish(folder)
        clear(folder)
    wait_for_others()
    return folder


def at_work(folder: Path) -> AbstractContextManager[None]:
    """Make a folder, if it is not there, and keep other predictions out of it, see `psbench.locking.at_work`."""
    return locking.at_work(folder, what="another prediction")


def begin(folder: Path, record: Record) -> None:
    """Begin a folder that one is `at_work` in, or make sure that this work has begun, or made, it.

    Raises:
        InputError: there is something else at `folder`.
    """
    path = folder / WORK
    if not path.is_file():
        # Its own beginnings, which a killed process leaves, are nothing else.
        if any(not other.name.startswith(f".{path.stem}.") for other in folder.iterdir()):
            raise InputError(f"{folder}: there is something here already. {_REMEDY}")
        with new_file(path) as partial:
            partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return
    try:
        begun = type(record).model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise file_error(path, error, _REMEDY) from None
    if others := [name for name, value in begun if value != getattr(record, name)]:
        there = "other predictions" if (folder / MANIFEST).is_file() else "the beginning of other predictions"
        raise InputError(f"{folder}: holds {there} ({', '.join(others)} differ). {_REMEDY}")


def missing(path: Path, keys: pa.Table, form: Form) -> list[str]:
    """Why a piece's file does not count: sentences, unless it has a piece's columns, and these are among them."""
    if not path.is_file():
        return [f"{path}: not there. {_MAKE}"]
    try:
        there, schema = read_schema(path), form(embedding_length(path))
        table = read_table(path, schema, keys.num_rows)
    except InputError as error:
        return [f"{fault} {_MAKE}" for fault in error.faults]
    same = table.select(keys.schema.names).equals(keys) and all(there.field(f.name).type == f.type for f in schema)
    return [] if same else [f"{path}: holds other rows than those {keys.num_rows} that belong there. {_MAKE}"]


def embedding_length(path: Path) -> int:
    """How many numbers the embeddings of a piece have; 1 where it has none.

    Raises:
        InputError: it cannot be read.
    """
    for field in read_schema(path):
        kind = field.type
        while field.name in ("embedding", "embeddings") and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            kind = kind.value_type
        if field.name in ("embedding", "embeddings") and pa.types.is_fixed_size_list(kind):
            return kind.list_size
    return 1


def clear(folder: Path) -> None:
    """Remove from a finished folder what was only needed to make it, or what of that is still there.

    These are pieces that the manifest does not name, a search that was ranked, and what killed processes left.
    """
    manifest = (folder / MANIFEST).read_text("utf-8", "replace")
    pieces = [path for path in folder.glob(f"*-{'[0-9]' * 5}.parquet") if f'"{path.name}"' not in manifest]
    for path in [*pieces, *folder.glob(".*.parquet"), *folder.glob(".*.json")]:
        path.unlink()
    if (folder / SEARCHED).is_dir():
        shutil.rmtree(folder / SEARCHED)


def require_methods(model: Any, names: Sequence[str], remedy: str) -> None:
    """Refuse a model that is for something else."""
    if not isinstance(model, nn.Module):
        raise InputError(f"{type(model).__name__} is no torch.nn.Module. Derive its class from that.")
    if lacking := [name for name in names if not hasattr(model, name)]:
        raise InputError(f"{type(model).__name__} has no method {' and no '.join(lacking)}. {remedy}")


def require_context(model: Any) -> None:
    """Refuse a model that cannot detect around known boxes."""
    if isinstance(model, TwoStep):
        require_context(model.detector)
        return
    parameters = inspect.signature(model.detect).parameters
    if "include" not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputError(
            f"context: {type(model).__name__}.detect takes no known boxes. Give it the argument include, as "
            "psbench.zoo.PersonSearcher describes it, or predict without context."
        )


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that all processes share, which must see it; it goes when all are through with it."""
    main = this_process().is_main_process
    folder = Path(from_main(tempfile.mkdtemp(prefix="psbench-") if main else ""))
    try:
        yield folder
        wait_for_others()
    finally:
        if main:
            shutil.rmtree(folder, ignore_errors=True)


def model_digest(model: nn.Module) -> str:
    """SHA-256 of class, options and state of a model, and of the zoo's models that it is made of.

    One that is not of the zoo has no options that are known here.
    """
    sha, left_out = hashlib.sha256(), list[str]()
    for path, part in model.named_modules():
        if part is model or isinstance(part, ZooModel):
            options, unused = (part.options, part.training_only) if isinstance(part, ZooModel) else (None, ())
            sha.update(f"{path}{type(part).__module__}.{type(part).__qualname__} {options}".encode())
            left_out += [f"{path}.{prefix}" if path else prefix for prefix in unused]
    for name, value in model.state_dict().items():
        if not name.startswith(tuple(left_out)):
            sha.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            sha.update(value.detach().cpu().flatten().view(torch.uint8).numpy())
    return sha.hexdigest()
