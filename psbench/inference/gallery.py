"""`index_pictures`: everybody in one's own pictures, detected and embedded once, and kept for searches."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from psbench import locking
from psbench.inference.ahead import made_ahead
from psbench.inference.prediction import detect_into
from psbench.inference.sharing import embedding_length, model_digest, require_methods
from psbench.matches import counted, counted_pictures
from psbench.own_gallery import NEW, OwnGallery, is_gallery, is_part, read_gallery, select_people, write_gallery
from psbench.own_pictures import OwnScenes, PictureFile, by_contents, examine, find_pictures, unchanged
from psbench.predictions import Predictions
from psbench.predictions_folder import detection_schema
from psbench.processes import decoding_workers, from_main, main_process_first, this_process, wait_for_others
from psbench.shards import floats, list_lengths
from psbench.tables import read_table
from psbench_data import InputError
from psbench_data.names import given_path

_WAITING = 64
"""Pictures of which is known whether they can be read, before somebody asks."""
REMEDY = (
    "Give one that does, such as seqnet: a re-ID network needs a detector before it (psbench.zoo.two_step), and a "
    "query-guided model finds nobody until it knows for whom to look."
)


@dataclass(frozen=True, eq=False)
class Indexed:
    """What `index_pictures` did.

    Attributes:
        gallery: as it is kept now.
        added: pictures that the model looked at; copies of others are not.
        copied: files that are new or changed and hold a picture that is known: copies, and what was renamed.
        gone: pictures that were kept before and of which no file is there any more.
        links: in the folder, not followed.
        unreadable: why some pictures were left out.
    """

    gallery: OwnGallery
    added: int
    copied: int
    gone: int
    links: int
    unreadable: list[str]

    def summary(self) -> str:
        """What is kept, and what was done, in a line; not what could not be read."""
        people, files = len(self.gallery.people.boxes), len(self.gallery.pictures)
        different = len(by_contents(self.gallery.pictures))
        told = [
            f"{self.added:,} looked at now",
            *([f"{counted(self.copied, 'file')} copied or renamed"] if self.copied else []),
            f"{self.gone:,} gone",
            *([f"{counted(self.links, 'link')} not followed"] if self.links else []),
        ]
        somebody = "1 person" if people == 1 else f"{people:,} people"
        return f"{somebody} in {counted_pictures(different, files - different)} ({', '.join(told)})"


class Listed(NamedTuple):
    """The pictures of a folder.

    Attributes:
        pictures: by path.
        links: that were not followed.
        unreadable: why others are not among the pictures.
    """

    pictures: list[PictureFile]
    links: int
    unreadable: list[str]


def index_pictures(
    model: Any,
    folder: str | Path,
    output: str | Path,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
    skip_unreadable: bool = False,
    method: str = "",
    progress: bool = True,
) -> Indexed:
    """Detect and embed everybody in the pictures below a folder, and keep that; or bring what is kept up to date.

    Called again, new and changed pictures are looked at, those that are gone are removed, and all others are kept as
    they are; after an interruption likewise, and at most 256 pictures are looked at once more. The result is the same
    as of one first call. Processes that were started together share the work, see `predict_into`.

    Args:
        model: a `PersonSearcher` that is a torch module; moved to the process's device.
        folder: of the pictures; links are not followed.
        output: the folder to make, or to bring up to date.
        batch_size, workers: as in `predict_into`.
        skip_unreadable: leave pictures out that cannot be read, instead of refusing them, all at once, before the work.
        method: a name to keep.
        progress: whether to show progress bars.

    Raises:
        InputError: there are no pictures, some cannot be read, `output` holds something else, or a gallery of another
            model or another folder; the model does not detect and embed.
        ConnectionAbortedError: another process has ended.
    """
    require_methods(model, ["detect", "embed"], REMEDY)
    folder, output, digest = given_path(folder).resolve(), given_path(output), model_digest(model)
    new, main = output / f"{NEW}{digest[:16]}", this_process().is_main_process
    known: list[Predictions] = []
    plan: _Plan | None = None

    def write(pictures: Sequence[PictureFile]) -> None:
        contents = {name for people in known for name in people.scene_names}
        there = [picture for picture in pictures if picture.sha256 in contents]
        people = select_people(known, [picture.sha256 for picture in there])
        write_gallery(OwnGallery(folder, method, digest, there, people), output)

    with ExitStack() as held:
        with main_process_first():
            if main:
                held.enter_context(locking.at_work(output, what="another index"))
                old = _old(output, folder, digest, new)
                begun = _begun(new, method, old)
                listed = list_pictures(
                    folder,
                    old.pictures if old else (),
                    workers=workers,
                    skip_unreadable=skip_unreadable,
                    progress=progress,
                )
                known += [part for part in (old.people if old else None, begun) if part is not None]
                if begun is not None:
                    write(listed.pictures)
                elif new.exists():
                    shutil.rmtree(new)
                plan = _plan(listed, known, old)
        plan = from_main(plan)
        assert plan is not None
        if plan.todo:
            scenes = OwnScenes.of(folder, [one.path for one in plan.todo], [one.sha256 for one in plan.todo])
            detect_into(model, scenes, new, batch_size=batch_size, workers=workers, method=method, progress=progress)
        if main:
            known += [Predictions.load(new)] if plan.todo else []
            write(plan.listed.pictures)
        wait_for_others()
        listed = plan.listed
        return Indexed(
            gallery=read_gallery(output),
            added=len(plan.todo),
            copied=plan.copied,
            gone=plan.gone,
            links=listed.links,
            unreadable=listed.unreadable,
        )


def list_pictures(
    folder: Path, known: Sequence[PictureFile] = (), *, workers: int | None, skip_unreadable: bool, progress: bool
) -> Listed:
    """The pictures below a folder, every one of which can be read.

    Args:
        folder: of the pictures.
        known: some of them as they were; those that are unchanged are not read again.
        workers, skip_unreadable, progress: as in `index_pictures`.

    Raises:
        InputError: there are none, or none that can be read; some cannot be read, and are not to be skipped.
    """
    paths, links = find_pictures(folder)
    before = {picture.path: picture for picture in known}
    pictures = {path: before[path] for path in paths if path in before and unchanged(folder, before[path])}
    unread = [path for path in paths if path not in pictures]

    def examined(path: str) -> PictureFile | str:
        try:
            return examine(folder, path)
        except InputError as error:
            return str(error)

    workers = decoding_workers(this_process().device) if workers is None else workers
    read = made_ahead(examined, unread, workers=workers, waiting=_WAITING)
    faults = []
    for one in tqdm(read, total=len(unread), desc="reading", unit="picture", disable=not progress or not unread):
        if isinstance(one, PictureFile):
            pictures[one.path] = one
        else:
            faults.append(one)
    if faults and not (skip_unreadable and pictures):
        raise InputError(faults)
    return Listed([pictures[path] for path in paths if path in pictures], links, faults)


def require_same_model(gallery: OwnGallery, folder: Path, digest: str) -> None:
    """Refuse a kept gallery whose people other weights embedded: their embeddings say nothing to these.

    Raises:
        InputError: it is one.
    """
    if gallery.model != digest:
        raise InputError(
            f"{folder}: made by other weights ({gallery.method or 'without a name'}), whose embeddings these cannot be "
            "compared with. Give the weights that made it, or make another index with these."
        )


class _Plan(NamedTuple):
    listed: Listed
    todo: list[PictureFile]
    copied: int
    gone: int


def _plan(listed: Listed, known: Sequence[Predictions], old: OwnGallery | None) -> _Plan:
    """What the model has to look at: of each content that is not known, the first picture."""
    looked_at = {name for people in known for name in people.scene_names}
    todo = [first for first, *_ in by_contents(listed.pictures) if first.sha256 not in looked_at]
    before = {picture.path: picture.sha256 for picture in (old.pictures if old else ())}
    now = {picture.path: picture.sha256 for picture in listed.pictures}
    files, contents = now.items() - before.items(), set(now.values()) - set(before.values())
    gone = {before[path] for path in before.keys() - now.keys()} - set(now.values())
    # Each picture that is new comes with one file that is no copy.
    return _Plan(listed, todo, copied=len(files) - len(contents), gone=len(gone))


def _old(output: Path, folder: Path, digest: str, new: Path) -> OwnGallery | None:
    """What is kept already; None if nothing is."""
    if is_gallery(output):
        old = read_gallery(output)
        require_same_model(old, output, digest)
        if old.folder != folder and old.folder.is_dir():
            raise InputError(
                f"{output}: keeps the people of {old.folder}, which is still there. Give another folder for the index "
                f"of {folder}."
            )
        return old
    there = list(output.iterdir()) if output.is_dir() else [output] if output.exists() else []
    if others := [path for path in there if path.name.startswith(NEW) and path.name != new.name]:
        raise InputError(f"{others[0]}: the beginning of an index by other weights. Give those again, or remove it.")
    if not all(map(is_part, there)):
        raise InputError(f"{output}: there is something else here already. Give another folder.")
    return None


def _begun(folder: Path, method: str, old: OwnGallery | None) -> Predictions | None:
    """The scenes that an interrupted call has come to, embedded as the old ones are; None where there are none."""
    parts = [part for path in sorted(folder.glob("scenes-*.parquet")) if (part := _of_piece(path, method)) is not None]
    first = [old.people] if old else parts[:1]
    parts = [part for part in parts if part.embeddings.shape[1] == first[0].embeddings.shape[1]]
    return select_people(parts, [name for part in parts for name in part.scene_names]) if parts else None


def _of_piece(path: Path, method: str) -> Predictions | None:
    """The scenes of a piece; None where it is damaged, and they have to be looked at again."""
    try:
        dim = embedding_length(path)
        table = read_table(path, detection_schema(dim, named=True))
        return Predictions.from_arrays(
            table.column("scene").to_pylist(),
            counts=list_lengths(table, "scores"),
            boxes=floats([table], "boxes").reshape(-1, 4),
            scores=floats([table], "scores"),
            embeddings=floats([table], "embeddings").reshape(-1, dim),
            query_embeddings=np.zeros((0, dim), np.float32),
            method=method,
        )
    except InputError:
        return None
