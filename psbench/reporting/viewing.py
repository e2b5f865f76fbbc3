"""Scenes with their people, and queries with their true matches: as a self-contained page, or as files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from psbench.reporting.pages import file_stem, write_rendered
from psbench.reporting.pictures import Mark, data_url, drawn, require_images
from psbench.reporting.ranking_rows import Shot, person_name
from psbench.reporting.style import css_colours
from psbench_data import UNLABELED, InputError, Protocol, Scene, Scenes
from psbench_data.atomic import new_folder, write_image
from psbench_data.errors import near_names

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
_SCENE_HEIGHT, _SHOT_HEIGHT = 480, 240
"""Pixels on a page; files have the scenes as large as they are, at least this high."""
_MATCHES = 8
"""Pictures of true matches a query, at most."""
_GAP = 6


@dataclass(frozen=True, eq=False)
class SceneView:
    """A scene and all who are annotated in it.

    Attributes:
        scene: the scene.
        people: the dataset's own names of the identities in it, one a labelled box.
        unlabelled: how many boxes have no identity.
    """

    scene: Scene
    people: list[str]
    unlabelled: int

    def draw(self, height: int | None = None) -> Image:
        """With all boxes, `height` pixels high; as high as it is, and at least as on a page, if None."""
        image, names = self.scene.image(), iter(self.people)
        marks = [
            Mark(box, "unlabelled", "?") if person == UNLABELED else Mark(box, "person", next(names))
            for box, person in zip(self.scene.boxes, self.scene.person_ids.tolist(), strict=True)
        ]
        return drawn(image, marks, height=height or max(image.height, _SCENE_HEIGHT))


@dataclass(frozen=True, eq=False)
class QueryView:
    """A query and its true matches.

    Attributes:
        query: its number in the protocol.
        person: the dataset's own name of the identity.
        shot: the query.
        matches: a few of the true matches in its gallery, in the gallery's order.
        total: how many there are.
        gallery_size: scenes that are searched.
    """

    query: int
    person: str
    shot: Shot
    matches: list[Shot]
    total: int
    gallery_size: int

    @property
    def shots(self) -> list[Shot]:
        """All of them, the query first."""
        return [self.shot, *self.matches]

    def draw(self) -> Image:
        """All in one row, the query first."""
        from PIL import Image as Images

        pictures = [shot.draw(_SHOT_HEIGHT, whole=True) for shot in self.shots]
        width = sum(picture.width for picture in pictures) + _GAP * (len(pictures) - 1)
        row, x = Images.new("RGB", (width, _SHOT_HEIGHT), "white"), 0
        for picture in pictures:
            row.paste(picture, (x, 0))
            x += picture.width + _GAP
        return row


def chosen_scenes(scenes: Scenes, names: Sequence[str], number: int, seed: int) -> list[SceneView]:
    """The scenes of these names, or without any a `number` of scenes drawn at random, in the dataset's order.

    Raises:
        InputError: naming every scene that is unknown.
    """
    if unknown := [name for name in names if name not in scenes.positions]:
        raise InputError(
            f"--scene {name}: there is no such scene in this split. {near_names(name, scenes.names)}"
            for name in unknown
        )
    indices = [scenes.positions[name] for name in names] or _drawn_at_random(len(scenes), number, seed)
    return [_scene_view(scenes[i], scenes) for i in indices]


def chosen_queries(protocol: Protocol, number: int, seed: int) -> list[QueryView]:
    """A number of a protocol's queries, drawn at random, in its order."""
    views = []
    for query in _drawn_at_random(len(protocol.queries), number, seed):
        asked = protocol.queries[query]
        true = range(protocol.truth_offsets[query], protocol.truth_offsets[query + 1])
        shots = [
            Shot(protocol.scenes[int(protocol.truth_scenes[t])], Mark(protocol.truth_boxes[t], "right"))
            for t in true[:_MATCHES]
        ]
        views.append(
            QueryView(
                query=query,
                person=person_name(protocol.scenes, asked.person_id),
                shot=Shot(protocol.scenes[asked.scene], Mark(asked.box, "query")),
                matches=shots,
                total=len(true),
                gallery_size=int(protocol.gallery_sizes[query]),
            )
        )
    return views


def write_view(
    scenes: Sequence[SceneView],
    queries: Sequence[QueryView],
    path: Path,
    *,
    title: str,
    data: str,
    protocol: str | None = None,
    synthetic: bool = False,
    progress: bool = False,
) -> Path:
    """Write a page of scenes and queries.

    Args:
        scenes, queries: what is shown; see `chosen_scenes` and `chosen_queries`.
        path: the HTML file to write; it needs nothing beside it.
        title: of the page, for example the dataset's.
        data: what the data are, as printed.
        protocol: the name of the queries' protocol.
        synthetic: whether the data were written by `psbench-data synthesize`.
        progress: whether to show a bar when it takes long.

    Returns:
        The path.

    Raises:
        InputError: naming every image file that is not there.
    """
    _require_images(scenes, queries)
    return write_rendered(
        path,
        "view.html",
        scenes=[(v, data_url(v.draw(_SCENE_HEIGHT), 80)) for v in _bar(scenes, "scenes", "scene", progress)],
        queries=[(v, _sources(v)) for v in _bar(queries, "queries", "query", progress)],
        title=title,
        data=data,
        protocol=protocol,
        synthetic=synthetic,
        colours=css_colours(),
    )


def write_pictures(
    scenes: Sequence[SceneView], queries: Sequence[QueryView], folder: Path, *, progress: bool = False
) -> Path:
    """Write each scene, and each query with its true matches in a row, as a PNG file.

    Args:
        scenes, queries: what is shown; see `chosen_scenes` and `chosen_queries`.
        folder: to be made.
        progress: whether to show a bar when it takes long.

    Returns:
        The folder.

    Raises:
        InputError: there is something at `folder`, or image files are not there, naming each.
    """
    _require_images(scenes, queries)
    pictures: dict[str, Callable[[], Image]] = {
        f"scene-{i:03d}-{file_stem(view.scene.name)}": view.draw for i, view in enumerate(scenes, start=1)
    } | {f"query-{view.query:05d}": view.draw for view in queries}
    with new_folder(folder) as partial:
        for name in _bar(pictures, "pictures", "picture", progress):
            write_image(pictures[name](), partial / f"{name}.png", "PNG")
    return folder


def _scene_view(scene: Scene, scenes: Scenes) -> SceneView:
    labelled = scene.person_ids[scene.person_ids != UNLABELED]
    names = [person_name(scenes, person) for person in labelled.tolist()]
    return SceneView(scene, names, len(scene.boxes) - len(names))


def _sources(view: QueryView) -> list[tuple[Shot, str]]:
    return [(shot, data_url(shot.draw(_SHOT_HEIGHT, whole=False), 80)) for shot in view.shots]


def _drawn_at_random(length: int, number: int, seed: int) -> list[int]:
    return sorted(np.random.default_rng(seed).permutation(length)[:number].tolist())


def _require_images(scenes: Sequence[SceneView], queries: Sequence[QueryView]) -> None:
    require_images([*(view.scene for view in scenes), *(shot.scene for view in queries for shot in view.shots)])


def _bar(items: Iterable[T], words: str, unit: str, progress: bool) -> Iterable[T]:
    from tqdm import tqdm

    return tqdm(items, desc=words, unit=unit, disable=not progress, delay=2)
