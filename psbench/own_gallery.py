"""A gallery of one's own: everybody who was found in a folder's pictures, kept so that each search needs no model.

manifest.json              schema_version (1), kind ("index"), psbench, method, model (the digest of the weights),
                           gallery (the folder of the pictures), pictures (file, rows, sha256), people and
                           people_sha256 (the folder below, and the SHA-256 of its manifest.json)
pictures-0123abcd.parquet  one row a picture, by path: path, sha256, size, mtime_ns, ctime_ns
people-0123abcd/           a predictions folder without queries; a scene is called by the SHA-256 of its picture
new-0123abcd/              while pictures are added: the beginning of predictions

The manifest is written last and then everything that it does not name is removed, so that there is always one whole
gallery, the old one or the new one. Files are named by what they are made of: the same pictures give the same folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from psbench.blocks import ranges
from psbench.intake import Intake
from psbench.matches import Match
from psbench.own_pictures import PictureFile, by_contents, unchanged
from psbench.predictions import Predictions
from psbench.predictions_folder import write_into
from psbench.shards import MANIFEST, Shard, read_shard, sha256_of, write_shard
from psbench_data import InputError
from psbench_data.atomic import new_file, new_folder
from psbench_data.validation import file_error

if TYPE_CHECKING:
    import pyarrow as pa

NEW = "new-"
"""What the folder's name begins with in which pictures are worked on that are to be added; then comes the model."""
_REMEDY = "Remove the folder and run `psbench index` again."
_SHA256 = r"^[0-9a-f]{64}$"


class Manifest(BaseModel):
    """What manifest.json holds."""

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    kind: Literal["index"] = "index"
    psbench: str = Field(default_factory=lambda: version("psbench"))
    method: str
    model: str = Field(pattern=_SHA256)
    gallery: str
    pictures: Shard
    people: str = Field(pattern=r"^people-[0-9a-f]{16}$")
    people_sha256: str = Field(pattern=_SHA256)


@dataclass(frozen=True, eq=False)
class OwnGallery:
    """Pictures and the people in them; in memory are about 4 D + 30 bytes a person.

    Attributes:
        folder: of the pictures.
        method: what found and embedded the people.
        model: the digest of its weights.
        pictures: by path; some may be copies of each other.
        people: of each different content, scenes called by its SHA-256.
    """

    folder: Path
    method: str
    model: str
    pictures: Sequence[PictureFile]
    people: Predictions

    @cached_property
    def positions(self) -> dict[str, int]:
        """Each content's place among the scenes of `people`."""
        return {name: i for i, name in enumerate(self.people.scene_names)}

    def rank(
        self, embedding: np.ndarray, *, threshold: float, top: int, without: str | None = None
    ) -> tuple[list[Match], int]:
        """The people that are most similar to a query; of equals, the first by path and then by score.

        Somebody in a picture with copies is ranked once, in the first of them by path.

        Args:
            embedding: (D,) float32, of the query. A similarity is a scalar product, as in the benchmark.
            threshold: score from which people count.
            top: matches at most.
            without: the SHA-256 of a picture that is left out, with its copies: the query's own.

        Returns:
            The matches, and how many people were compared.
        """
        pictures = [copies for copies in by_contents(self.pictures) if copies[0].sha256 != without]
        scenes = np.array([self.positions[first.sha256] for first, *_ in pictures], np.int64)
        counts = self.people.counts[scenes]
        rows, owners = ranges(self.people.offsets[scenes], counts), np.repeat(np.arange(len(pictures)), counts)
        certain = self.people.scores[rows] >= threshold
        rows, owners = rows[certain], owners[certain]
        similarities = (self.people.embeddings @ embedding)[rows]
        order = np.argsort(-similarities, kind="stable")[:top]
        matches = [
            Match(
                picture=first.path,
                box=self.people.boxes[rows[i]],
                similarity=float(similarities[i]),
                score=float(self.people.scores[rows[i]]),
                changed=not unchanged(self.folder, first),
                copies=[copy.path for copy in copies],
            )
            for i, (first, *copies) in ((i, pictures[owners[i]]) for i in order.tolist())
        ]
        return matches, len(rows)


def is_gallery(folder: Path) -> bool:
    """Whether a folder is a kept gallery, and not one of pictures."""
    try:
        written = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(written, dict) and written.get("kind") == "index"


def is_part(path: Path) -> bool:
    """Whether something in a folder is of a kept gallery, or of the beginning of one, by its name."""
    # With a dot before it: what a killed process leaves.
    return path.name.lstrip(".").startswith(("people-", "pictures-", "manifest.", NEW))


def write_gallery(gallery: OwnGallery, folder: Path) -> None:
    """Make a folder hold a gallery, in place of the one that it holds."""
    folder.mkdir(parents=True, exist_ok=True)
    people = f"people-{_digest(gallery.model, *gallery.people.scene_names)}"
    if not (folder / people).exists():
        with new_folder(folder / people) as partial:
            write_into(gallery.people, partial)
    table = _pictures_table(gallery.pictures)
    pictures = f"pictures-{_digest(*(str(tuple(row.values())) for row in table.to_pylist()))}.parquet"
    manifest = Manifest(
        method=gallery.method,
        model=gallery.model,
        gallery=str(gallery.folder),
        pictures=write_shard(table, folder / pictures),
        people=people,
        people_sha256=sha256_of(folder / people / MANIFEST),
    )
    with new_file(folder / MANIFEST) as file:
        file.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        if is_part(path) and path.name not in (MANIFEST, people, pictures):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_gallery(folder: Path) -> OwnGallery:
    """Read what `write_gallery` wrote.

    Raises:
        InputError: listing everything that is wrong with it.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}). Give a folder of `psbench index`.") from None
    except ValidationError as error:
        raise file_error(path, error, "Give a folder that `psbench index` of this version made.") from None
    intake = Intake(str(folder))
    pictures = _read_pictures(folder, manifest.pictures, intake)
    people = folder / manifest.people
    if people.is_symlink() or not (people / MANIFEST).is_file():
        intake.add(f"{manifest.people} is not there as a folder. {_REMEDY}")
    elif sha256_of(people / MANIFEST) != manifest.people_sha256:
        intake.add(f"the SHA-256 of {manifest.people}/{MANIFEST} is not the one in {MANIFEST}. {_REMEDY}")
    intake.raise_faults()
    gallery = OwnGallery(Path(manifest.gallery), manifest.method, manifest.model, pictures, Predictions.load(people))
    if lacking := {picture.sha256 for picture in pictures} - gallery.positions.keys():
        raise InputError(f"{folder}: says nothing of {len(lacking)} of its pictures. {_REMEDY}")
    return gallery


def select_people(parts: Sequence[Predictions], contents: Sequence[str]) -> Predictions:
    """Predictions of some contents out of several; of one that is in two, those of the first.

    Args:
        parts: without queries, scenes called by the SHA-256 of their pictures.
        contents: which, each in one of the parts at least.

    Returns:
        The scenes in the order of their names, so that it does not matter in which parts they were.
    """
    places = {name: (p, i) for p in reversed(range(len(parts))) for i, name in enumerate(parts[p].scene_names)}
    names = sorted(set(contents))
    chosen = np.array([places[name] for name in names]).reshape(-1, 2)
    starts = np.cumsum([0, *(len(part.boxes) for part in parts)])
    first = np.array([starts[p] + parts[p].offsets[i] for p, i in chosen.tolist()], np.int64)
    counts = np.array([parts[p].offsets[i + 1] - parts[p].offsets[i] for p, i in chosen.tolist()], np.int64)
    rows = ranges(first, counts)
    columns = {name: np.concatenate([getattr(p, name) for p in parts])[rows] for name in _COLUMNS}
    nobody = np.zeros((0, columns["embeddings"].shape[1]), np.float32)
    return Predictions.from_arrays(names, counts=counts, **columns, query_embeddings=nobody, method=parts[0].method)


_COLUMNS = ("boxes", "scores", "embeddings")


def _pictures_table(pictures: Sequence[PictureFile]) -> pa.Table:
    import pyarrow as pa

    columns = {field.name: [getattr(picture, field.name) for picture in pictures] for field in fields(PictureFile)}
    return pa.table(columns, schema=_pictures_schema())


def _pictures_schema() -> pa.Schema:
    import pyarrow as pa

    types = {"str": pa.string(), "int": pa.int64()}
    return pa.schema({field.name: types[str(field.type)] for field in fields(PictureFile)})


def _read_pictures(folder: Path, shard: Shard, intake: Intake) -> list[PictureFile]:
    table = read_shard(folder, shard, _pictures_schema(), intake)
    pictures = [] if table is None else [PictureFile(**row) for row in table.to_pylist()]
    wrong = [i for i, picture in enumerate(pictures) if None in asdict(picture).values() or not _inside(picture.path)]
    remedy = f"expected a path that stays in the gallery's folder, and all other columns. {_REMEDY}"
    intake.add_all((f"{folder / shard.file}: row {i} is {pictures[i]!r:.200}: {remedy}" for i in wrong), len(wrong))
    intake.distinct(
        [picture.path for picture in pictures],
        lambda again, first: f"{folder / shard.file}: row {again}: the same path as row {first}. {_REMEDY}",
    )
    return pictures


def _inside(path: str) -> bool:
    pure = PurePath(path)
    return bool(path) and not pure.anchor and ".." not in pure.parts and "\0" not in path


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
