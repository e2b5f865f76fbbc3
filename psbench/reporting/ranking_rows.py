"""Which queries a report of rankings shows, and what is to be seen of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.listing import Hits, Listing
from psbench.evaluation.segments import pair_iou
from psbench.reporting.pictures import Mark, around, drawn
from psbench_data import UNLABELED, Protocol, Scene, Scenes

if TYPE_CHECKING:
    from PIL.Image import Image

Choice = Literal["random", "best", "median", "worst"]
CHOICES: tuple[Choice, ...] = ("random", "best", "median", "worst")
_MISSED = 3
"""Pictures of missed matches a query, at most."""
_ON_PERSON = 0.5
"""IoU from which a detection is on an annotated person."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A scene and the one box that matters in it."""

    scene: Scene
    mark: Mark

    def draw(self, height: int, *, whole: bool) -> Image:
        """The whole scene or the part around the box, `height` pixels high."""
        image = self.scene.image()
        return drawn(image, [self.mark], height=height, window=None if whole else around(self.mark.box, image))


@dataclass(frozen=True, eq=False)
class Hit:
    """One of the most similar detections of a query; `who` is the person it is on, in words."""

    shot: Shot
    similarity: float
    right: bool
    who: str


@dataclass(frozen=True, eq=False)
class Missed:
    """A true match that is not among the hits: its row in `Evaluation.per_box`, and its rank, None if not found."""

    shot: Shot
    row: int
    rank: int | None


@dataclass(frozen=True, eq=False)
class Row:
    """A query and its ranking.

    Attributes:
        query: its number in the protocol.
        choice: why it is shown.
        person: the dataset's own name of the identity.
        ap: in [0, 1].
        first_right: whether the most similar detection is right.
        shot: the query.
        hits: most similar first.
        missed: a few of the true matches that are not among the hits, those that were found first.
        matches: true boxes in the gallery.
        below, not_found, listed_twice: how many are found further below; are not found; cannot be found, because the
            list names their scene twice and only its first entry is searched.
    """

    query: int
    choice: Choice
    person: str
    ap: float
    first_right: bool
    shot: Shot
    hits: list[Hit]
    missed: list[Missed]
    matches: int
    below: int
    not_found: int
    listed_twice: int

    @property
    def shots(self) -> list[Shot]:
        """All of them."""
        return [self.shot, *(hit.shot for hit in self.hits), *(missed.shot for missed in self.missed)]


def chosen_queries(evaluation: Evaluation, queries: int, seed: int) -> list[tuple[int, Choice]]:
    """About as many of the best, the median, the worst and of random queries by average precision, each query once.

    Args:
        evaluation: whose queries.
        queries: how many, of those that count at most all.
        seed: of the random ones, and of who comes first among equals.
    """
    rng = np.random.default_rng(seed)
    ap = evaluation.per_query["ap"].to_numpy(dtype=float, na_value=np.nan)
    order = rng.permutation(np.flatnonzero(~np.isnan(ap)))
    order = order[np.argsort(-ap[order], kind="stable")].tolist()
    queries = min(queries, len(order))
    best, worst, some, middle = (queries // 4 + (i < queries % 4) for i in range(4))
    rest = order[best : len(order) - worst]
    start = (len(rest) - middle) // 2
    others = rest[:start] + rest[start + middle :]
    groups: dict[Choice, list[int]] = {
        "random": rng.permutation(others)[:some].tolist(),
        "best": order[:best],
        "median": rest[start : start + middle],
        "worst": order[len(order) - worst :][::-1],
    }
    return [(query, choice) for choice in CHOICES for query in groups[choice]]


def rows_of(
    listing: Listing, protocol: Protocol, evaluation: Evaluation, chosen: Sequence[tuple[int, Choice]], top: int
) -> list[Row]:
    """The chosen queries with their `top` most similar detections; see `listing_of` for the others."""
    return [_row(listing, protocol, evaluation, query, choice, top) for query, choice in chosen]


def person_name(scenes: Scenes, person_id: int) -> str:
    """The dataset's own name of an identity."""
    return scenes.identities[person_id] if 0 <= person_id < len(scenes.identities) else str(person_id)


def _row(listing: Listing, protocol: Protocol, evaluation: Evaluation, query: int, choice: Choice, top: int) -> Row:
    scenes, targets, found = protocol.scenes, listing.targets, listing.hits(query, top)
    result, asked = evaluation.per_query.iloc[query], protocol.queries[query]
    own = np.flatnonzero(targets.queries == query)
    # The rows of `per_box` are the targets of the queries that count, in their order.
    boxes = evaluation.per_box[evaluation.per_box["query"] == query]
    ranks = boxes["rank"].to_numpy(dtype=float, na_value=np.nan)
    # By scene and similarity: under some rules one detection is right for two entries of a scene.
    right = set(zip(found.scenes[found.right].tolist(), found.similarities[found.right].tolist(), strict=True))
    places = zip(targets.scenes[own].tolist(), boxes["similarity"].tolist(), strict=True)
    absent = np.flatnonzero([place not in right for place in places])
    # Those that were found come first, by rank: NaN stands last.
    missed = [
        Missed(
            Shot(scenes[int(targets.scenes[own[i]])], Mark(targets.boxes[own[i]], "missed")),
            int(boxes.index[i]),
            None if np.isnan(ranks[i]) else int(ranks[i]),
        )
        for i in absent[np.argsort(ranks[absent], kind="stable")][:_MISSED].tolist()
    ]
    below = int((~np.isnan(ranks[absent])).sum())
    return Row(
        query=query,
        choice=choice,
        person=person_name(scenes, asked.person_id),
        ap=float(result["ap"]),
        first_right=bool(result["top1"]),
        shot=Shot(scenes[asked.scene], Mark(asked.box, "query")),
        hits=_hits(found, protocol, asked.person_id, set(targets.scenes[own].tolist())),
        missed=missed,
        matches=int(result["matches"]),
        below=below,
        not_found=len(absent) - below,
        listed_twice=int(result["matches"]) - len(own),
    )


def _hits(found: Hits, protocol: Protocol, person_id: int, true_scenes: set[int]) -> list[Hit]:
    hits = []
    for index, box, similarity, right in zip(
        found.scenes.tolist(), found.boxes, found.similarities.tolist(), found.right.tolist(), strict=True
    ):
        scene = protocol.scenes[index]
        # A right detection of somebody small may have a smaller IoU.
        people = _people_at(scene, box) or ([person_id] if right else [])
        who = _who(people, protocol.scenes)
        if not right and person_id in people:
            who += ", once more" if index in true_scenes else ", not a true match here"
        hits.append(Hit(Shot(scene, Mark(box, "right" if right else "wrong")), similarity, right, who))
    return hits


def _people_at(scene: Scene, box: np.ndarray) -> list[int]:
    """The person that a box is on, if it is on one."""
    iou = pair_iou(np.repeat(box[None], len(scene.boxes), axis=0), scene.boxes)
    return [int(scene.person_ids[iou.argmax()])] if iou.max(initial=0) >= _ON_PERSON else []


def _who(people: list[int], scenes: Scenes) -> str:
    for person in people:
        return "somebody unlabelled" if person == UNLABELED else f"person {person_name(scenes, person)}"
    return f"on nobody (IoU < {_ON_PERSON})"
