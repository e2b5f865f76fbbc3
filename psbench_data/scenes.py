"""Scenes: whole images with their annotated people, held as columns."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, overload

import numpy as np

from psbench_data.columns import flat_values, list_offsets, lists, vectors
from psbench_data.errors import InputError
from psbench_data.images import opened_image

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

UNLABELED = -1
"""The person_id of a real person without an identity."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One image and the people annotated in it.

    Attributes:
        name: the image's name in the official annotations, unique within the dataset.
        path: where the image file is expected.
        boxes: (N, 4) float32, xyxy, pixels of the original image.
        person_ids: (N,) int64, >= 0, or UNLABELED.
        camera_id: the camera that took it, or None where the dataset does not say.
        size: height and width of the image, pixels, or None where the annotation does not say.
    """

    name: str
    path: Path
    boxes: np.ndarray
    person_ids: np.ndarray
    camera_id: int | None
    size: tuple[int, int] | None = None

    def image(self) -> Image:
        """Decode the image.

        Returns:
            A PIL image in RGB.

        Raises:
            InputError: the file is missing or does not decode.
        """
        try:
            with opened_image(self.path) as image:
                return image.convert("RGB")
        except FileNotFoundError:
            raise InputError(
                f"{self.path}: the image of scene {self.name!r} is not there. "
                "Extract the dataset's image archive again, or correct the root."
            ) from None
        # Pillow meets damaged files with OSError, SyntaxError, TypeError, struct.error, ...
        except Exception as error:
            raise InputError(
                f"{self.path}: the image of scene {self.name!r} does not decode ({error}). "
                "Replace it with a fresh copy from the dataset's archive."
            ) from error

    def image_size(self) -> tuple[int, int] | None:
        """Width and height that `image` will have, of the file itself: what an annotation says of it may be wrong.

        None where it cannot be told: decoding will say what is wrong with the file.
        """
        try:
            with opened_image(self.path, headers_only=True) as image:
                return image.size
        except Exception:
            return None


class Scenes(Sequence[Scene]):
    """The scenes of one split, columnar: an Arrow table (memory-mapped when it comes from the cache).

    `scenes[i]` and `scenes["s1.jpg"]` give a `Scene`; the columns give numpy views of everything at once.
    Person n of scene i is row `offsets[i] + n` of `boxes` and `person_ids`.

    Attributes:
        scene_type: of `scenes[i]`; it says how images are read.
    """

    scene_type: ClassVar[type[Scene]] = Scene

    def __init__(self, table: pa.Table, root: Path, identities: Sequence[str] = ()) -> None:
        """Wrap a table made by `scenes_table`.

        Args:
            table: the columns name, path (relative to root), camera_id, height, width, boxes, person_ids and, where
                boxes were rounded or clipped, annotated_boxes.
            root: the folder that the paths are relative to.
            identities: the dataset's own identity labels: `identities[person_id]` is the raw id.
        """
        self._table = table.combine_chunks()
        self.root = root
        self.identities = tuple(identities)

    def __len__(self) -> int:
        return self._table.num_rows

    @overload
    def __getitem__(self, key: int | str) -> Scene: ...
    @overload
    def __getitem__(self, key: slice) -> list[Scene]: ...
    def __getitem__(self, key: int | str | slice) -> Scene | list[Scene]:
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        if isinstance(key, str):
            if key not in self.positions:
                raise KeyError(f"no scene is named {key!r}")
            key = self.positions[key]
        i = range(len(self))[key]
        people = slice(self.offsets[i], self.offsets[i + 1])
        camera = int(self.camera_ids[i])
        height, width = self.sizes[i].tolist()
        return self.scene_type(
            name=self.names[i],
            path=self.root / self.paths[i],
            boxes=self.boxes[people],
            person_ids=self.person_ids[people],
            camera_id=None if camera < 0 else camera,
            size=(height, width) if height else None,
        )

    def __iter__(self) -> Iterator[Scene]:
        return (self[i] for i in range(len(self)))

    def select(self, indices: Sequence[int] | np.ndarray) -> Scenes:
        """Some of the scenes, as scenes of their own: `test.select(protocol.pool)`."""
        table = self._table.replace_schema_metadata(None).take(np.asarray(indices, np.int64))
        return type(self)(table, self.root, self.identities)

    @cached_property
    def names(self) -> list[str]:
        """The scenes' names, in order."""
        return self._table.column("name").to_pylist()

    @cached_property
    def positions(self) -> dict[str, int]:
        """Each name's position."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def paths(self) -> list[str]:
        """Where each scene's image is, relative to `root`."""
        return self._table.column("path").to_pylist()

    @cached_property
    def camera_ids(self) -> np.ndarray:
        """(S,) int64, -1 where unknown."""
        return flat_values(self._table, "camera_id")

    @cached_property
    def sizes(self) -> np.ndarray:
        """(S, 2) int32: height and width, pixels, 0 where the annotation does not say."""
        return np.stack([flat_values(self._table, "height"), flat_values(self._table, "width")], axis=1)

    @cached_property
    def offsets(self) -> np.ndarray:
        """(S + 1,) int64: where each scene's people begin and end."""
        return list_offsets(self._table, "person_ids")

    @cached_property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32, xyxy, pixels of the original images, scene after scene."""
        return flat_values(self._table, "boxes").reshape(-1, 4)

    @cached_property
    def annotated_boxes(self) -> np.ndarray:
        """(N, 4) float32, xyxy: as the annotation files say them, before a reader's rounding and clipping.

        For evaluators that take them so (PCNet's, on PRW); everything else uses `boxes`.
        """
        if "annotated_boxes" not in self._table.column_names:
            return self.boxes
        return flat_values(self._table, "annotated_boxes").reshape(-1, 4)

    @cached_property
    def person_ids(self) -> np.ndarray:
        """(N,) int64, scene after scene."""
        return flat_values(self._table, "person_ids")

    @property
    def num_identities(self) -> int:
        """K: the labelled identities of the split are 0..K-1."""
        return len(self.identities)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of names, cameras, boxes and identities.

        Two copies of a dataset have the same one wherever they lie and however their files were saved.
        """
        if known := (self._table.schema.metadata or {}).get(b"fingerprint"):
            return known.decode()
        sha = hashlib.sha256("\0".join(self.names).encode())
        for column in (self.camera_ids, self.offsets, self.boxes, self.person_ids):
            sha.update(np.ascontiguousarray(column).tobytes())
        return sha.hexdigest()

    def require_images(self) -> None:
        """Check that every image file exists, before long work starts.

        Raises:
            InputError: naming every file that is not there.
        """
        present = {
            folder: {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
            for folder in {(self.root / path).parent for path in self.paths}
        }
        files = ((self.root / path) for path in self.paths)
        missing = [file for file in files if file.name not in present[file.parent]]
        if missing:
            raise InputError(
                f"{file}: this image is not there. Extract the dataset's image archive again, or correct the root."
                for file in missing
            )


def scenes_table(
    names: Sequence[str],
    paths: Sequence[str],
    boxes: Sequence[np.ndarray],
    person_ids: Sequence[np.ndarray],
    camera_ids: Sequence[int | None] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    annotated_boxes: Sequence[np.ndarray] | None = None,
) -> pa.Table:
    """Put the scenes that a reader parsed into columns.

    Args:
        names: S scene names.
        paths: S paths relative to the dataset's root.
        boxes: S arrays (n, 4), xyxy, pixels.
        person_ids: S arrays (n,).
        camera_ids: S camera ids, or None where there are none.
        sizes: height and width, pixels, by name, as far as the annotation says.
        annotated_boxes: as `boxes`, before the reader rounded and clipped them; None where it did neither.

    Returns:
        A table with one row a scene.
    """
    import pyarrow as pa

    offsets = np.cumsum([0, *(len(b) for b in boxes)])
    ids = np.concatenate([np.zeros(0, np.int64), *(np.asarray(p, np.int64) for p in person_ids)])
    cameras = [-1 if c is None else c for c in (camera_ids or [None] * len(names))]
    known = sizes or {}
    extents = np.array([known.get(name, (0, 0)) for name in names], np.int32).reshape(-1, 2)

    def boxes_column(arrays: Sequence[np.ndarray]) -> pa.Array:
        return lists(offsets, vectors(np.concatenate([np.zeros((0, 4), np.float32), *arrays]).astype(np.float32)))

    annotated = {} if annotated_boxes is None else {"annotated_boxes": boxes_column(annotated_boxes)}
    return pa.table(
        {
            "name": pa.array(list(names), pa.string()),
            "path": pa.array(list(paths), pa.string()),
            "camera_id": pa.array(cameras, pa.int64()),
            "height": pa.array(extents[:, 0]),
            "width": pa.array(extents[:, 1]),
            "boxes": boxes_column(boxes),
            "person_ids": lists(offsets, ids),
            **annotated,
        }
    )


def numbered(raw_ids: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[str]]:
    """Number identities from 0 without gaps, in the order of the official ids.

    Args:
        raw_ids: S arrays (n,) of official ids; negative for a person without an identity.

    Returns:
        S arrays (n,) of person ids, UNLABELED where there is none, and the official id of each number.
    """
    every = np.unique(np.concatenate([np.zeros(0, np.int64), *raw_ids]))
    labelled = every[every >= 0]
    ids = [np.where(of >= 0, np.searchsorted(labelled, of), UNLABELED) for of in raw_ids]
    return ids, [str(label) for label in labelled.tolist()]
