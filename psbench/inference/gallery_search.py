"""`search_pictures`: the people in one's own pictures who are most similar to one in another picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from psbench.inference.gallery import REMEDY, index_pictures, list_pictures, require_same_model
from psbench.inference.pictures import Pictures, over_pictures
from psbench.inference.sharing import model_digest, require_methods, temporary_folder
from psbench.matches import Match, Matches
from psbench.own_gallery import is_gallery, read_gallery
from psbench.own_pictures import OwnScenes, PictureFile, box_faults, by_contents, decoded, printable
from psbench.processes import placed, this_process
from psbench.shards import sha256_of
from psbench.zoo.answers import detected, embedded
from psbench.zoo.images import picture_tensor, to_float
from psbench.zoo.interface import Detections, Found, inference
from psbench_data import InputError
from psbench_data.names import given_path

THRESHOLD = 0.5
"""Detection score from which people count, if nothing else is said; as in evaluations."""
_PIECE = 256


class People(NamedTuple):
    """The people in a picture, the most certain first.

    Attributes:
        boxes: (n, 4) float32, xyxy, pixels of the picture as it is seen.
        scores: (n,) float32.
    """

    boxes: np.ndarray
    scores: np.ndarray

    @property
    def largest(self) -> int:
        """Whose box has the largest area."""
        return int(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1).argmax())


def people_in(model: Any, picture: str | Path, *, threshold: float | None = None) -> People:
    """Whom a model finds in a picture, to choose a query among them.

    Args:
        model: with the method `detect` of a `PersonSearcher`; moved to the process's device.
        picture: a file.
        threshold: score from which they count, 0.5 by default.

    Raises:
        InputError: the picture cannot be read, or nobody is found; the model does not detect.
    """
    require_methods(model, ["detect"], "Say where the person is: give the box.")
    path, threshold = given_path(picture), THRESHOLD if threshold is None else threshold
    seen = decoded(path)
    found = _detect(placed(model, this_process().device), _on_device(seen))
    sure = found.scores >= threshold
    if not sure.any():
        raise InputError(
            f"{printable(path)}: nobody is found with a score of {threshold:g} or more. Say where the person is "
            "(--box x1,y1,x2,y2), or lower the threshold."
        )
    boxes = found.boxes[sure].numpy().clip(0, np.array(seen.size * 2, np.float32))
    return People(boxes, found.scores[sure].numpy())


def search_pictures(
    model: Any,
    query: str | Path,
    box: Any,
    gallery: str | Path,
    *,
    top: int = 20,
    threshold: float | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    skip_unreadable: bool = False,
    method: str = "",
    progress: bool = True,
) -> Matches:
    """Search pictures for a person: whoever is in them is ranked by the similarity to that person.

    Args:
        model: a `PersonSearcher`, or a query-guided model such as IGPN, which can search a folder only; moved to the
            process's device.
        query: the picture that the person is in. Where it is in the gallery, too, it is not searched, nor its copies.
        box: (4,) xyxy, around the person, pixels of the picture as it is seen, turned as the camera says. It may leave
            the picture by 2 pixels, which are cut off.
        gallery: a folder of pictures, or what `index_pictures` made of one.
        top: matches at most.
        threshold: detection score from which people are compared, 0.5 by default; a query-guided model has none.
        batch_size, workers, skip_unreadable, method, progress: as in `index_pictures`, for a folder of pictures.

    Raises:
        InputError: the query cannot be read, or the box is not in it; the gallery is of other weights, its
            pictures are no longer where they were, or, for a folder, as in `index_pictures`.
    """
    query, gallery = given_path(query), given_path(gallery)
    picture = decoded(query)
    sides = [float(side) for side in box]
    if faults := box_faults(sides, picture.size):
        raise InputError(faults)
    box = np.clip(sides, 0, picture.size * 2).astype(np.float32)
    model, guided = placed(model, this_process().device), hasattr(model, "search_encoded")
    if guided and is_gallery(gallery):
        raise InputError(
            f"{gallery}: keeps embeddings, and {method or type(model).__name__} compares none: it looks at pictures "
            "with the query in mind. Give the folder of the pictures."
        )
    if guided and threshold is not None:
        raise InputError(f"threshold: {method or type(model).__name__} has no detection scores. Leave it out.")
    asked = _Query(sha256_of(query), _on_device(picture), box)
    how: dict[str, Any] = {"workers": workers, "skip_unreadable": skip_unreadable, "progress": progress}
    search = _search_guided if guided else _search_joint
    found = search(model, asked, gallery, top=top, threshold=threshold, batch_size=batch_size, method=method, **how)
    return Matches(query=query, box=box, **found)


class _Query(NamedTuple):
    sha256: str
    image: Tensor
    box: np.ndarray

    @property
    def boxes(self) -> list[Tensor]:
        return [torch.from_numpy(self.box)[None].to(self.image.device)]


def _search_joint(
    model: Any, query: _Query, gallery: Path, *, top: int, threshold: float | None, method: str, **how: Any
) -> dict[str, Any]:
    require_methods(model, ["detect", "embed"], REMEDY)
    unreadable: list[str] = []
    if is_gallery(gallery):
        kept = read_gallery(gallery)
        require_same_model(kept, gallery, model_digest(model))
        if not kept.folder.is_dir():
            raise InputError(
                f"{gallery}: its pictures were in {kept.folder}, which is not there. Run `psbench index` again with "
                "the folder where they are now: it keeps what it knows of them."
            )
    else:
        with temporary_folder() as temporary:
            made = index_pictures(model, gallery, temporary / "index", method=method, **how)
        kept, unreadable = made.gallery, made.unreadable
    threshold = THRESHOLD if threshold is None else threshold
    matches, people = kept.rank(_embed(model, query), threshold=threshold, top=top, without=query.sha256)
    return {
        "gallery": kept.folder,
        "method": kept.method,
        **_counts(kept.pictures, query),
        "people": people,
        "threshold": threshold,
        "matches": matches,
        "unreadable": unreadable,
    }


def _search_guided(
    model: Any,
    query: _Query,
    gallery: Path,
    *,
    top: int,
    threshold: float | None,
    batch_size: int | None,
    method: str,
    workers: int | None,
    skip_unreadable: bool,
    progress: bool,
) -> dict[str, Any]:
    folder = gallery.resolve()
    listed = list_pictures(folder, workers=workers, skip_unreadable=skip_unreadable, progress=progress)
    pictures = [copies for copies in by_contents(listed.pictures) if copies[0].sha256 != query.sha256]
    paths = [first.path for first, *_ in pictures]
    found = _pairs(model, query, OwnScenes.of(folder, paths, paths), batch_size, workers, progress)
    proposals = [
        Match(first.path, box, float(similarity), None, copies=[copy.path for copy in copies])
        for (first, *copies), (boxes, similarities) in zip(pictures, found, strict=True)
        for box, similarity in zip(boxes, similarities, strict=True)
    ]
    return {
        "gallery": folder,
        "method": method,
        **_counts(listed.pictures, query),
        "people": len(proposals),
        "threshold": None,
        "matches": sorted(proposals, key=lambda match: -match.similarity)[:top],
        "unreadable": listed.unreadable,
    }


def _counts(pictures: Sequence[PictureFile], query: _Query) -> dict[str, int]:
    """What `Matches` says of how many pictures there are; the query's own is not searched."""
    contents = [picture.sha256 for picture in pictures]
    itself, different = contents.count(query.sha256), len({*contents} - {query.sha256})
    return {"pictures": different, "copies": len(contents) - itself - different, "itself": itself}


@inference
def _detect(model: Any, image: Tensor) -> Detections:
    return detected(model, [image])[0]


@inference
def _embed(model: Any, query: _Query) -> np.ndarray:
    return embedded(model, [query.image], query.boxes)[0][0].numpy()


@inference
def _pairs(
    model: Any, query: _Query, scenes: OwnScenes, batch_size: int | None, workers: int | None, progress: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (n, 4) and similarities (n,) of a query in each of some scenes."""
    queries = model.encode_queries([query.image], query.boxes)
    everything: list[tuple[np.ndarray, np.ndarray]] = []
    pieces = [range(start, min(start + _PIECE, len(scenes))) for start in range(0, len(scenes), _PIECE)]

    def run(pictures: Pictures) -> list[tuple[np.ndarray, np.ndarray]]:
        found: list[Found] = [model.search_encoded(queries, scene)[0] for scene in model.encode_scenes(pictures.images)]
        bar.update(len(found))
        return [(one.boxes.float().cpu().numpy(), one.similarities.float().cpu().numpy()) for one in found]

    with tqdm(total=len(scenes), desc="searching", unit="picture", disable=not progress) as bar:
        over_pictures(
            scenes, pieces, run, lambda _, found: everything.extend(found), batch_size=batch_size, workers=workers
        )
    return everything


def _on_device(picture: Any) -> Tensor:
    return to_float(picture_tensor(picture).to(this_process().device))
