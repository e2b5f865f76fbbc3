"""What a search of one's own pictures found, as plain values: what shows them needs no model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from psbench.own_pictures import printable

CAUTION = (
    "A similarity is not a probability: it only puts the people who were found in an order. Somebody is always the "
    "most similar, so a person who is in none of the pictures gets matches, too. Look before you conclude anything."
)


@dataclass(frozen=True, eq=False)
class Match:
    """Somebody who was found.

    Attributes:
        picture: where, relative to the folder that was searched, with `/`.
        box: (4,) float32, xyxy, pixels of the picture as it is seen, turned as the camera says.
        similarity: to the query.
        score: of the detection, in [0, 1]; None where the method has none.
        changed: whether the file seems to be another one than when it was looked at, or is gone.
    """

    picture: str
    box: np.ndarray
    similarity: float
    score: float | None
    changed: bool = False


@dataclass(frozen=True, eq=False)
class Matches:
    """A query and the people who are most similar to it, the most similar first.

    Attributes:
        query: the picture that the person is in.
        box: (4,) float32, the person in it, like `Match.box`.
        gallery: the folder whose pictures were searched.
        method: as printed.
        pictures: how many were searched.
        people: how many were found in them, and compared.
        threshold: detection score from which they were; None where the method has no such scores.
        matches: the first of the ranking.
        itself: whether the query's own picture was in the folder; it is not searched.
        unreadable: why some pictures were not searched.
    """

    query: Path
    box: np.ndarray
    gallery: Path
    method: str
    pictures: int
    people: int
    threshold: float | None
    matches: Sequence[Match]
    itself: bool = False
    unreadable: Sequence[str] = ()

    @property
    def in_pictures(self) -> int:
        """How many pictures the matches are in."""
        return len({match.picture for match in self.matches})

    def summary(self) -> str:
        """What was searched, in a sentence or two."""
        certain = "" if self.threshold is None else f" with a score of {self.threshold:g} or more"
        told = [
            f"{_count(self.people, 'detection')}{certain} in {_count(self.pictures, 'picture')}",
            f"the {len(self.matches):,} most similar are in {_count(self.in_pictures, 'picture')}",
        ]
        also = ["The query's own picture is in the folder and was left out."] if self.itself else []
        if self.unreadable:
            also.append(f"{_count(len(self.unreadable), 'picture')} could not be read.")
        if changed := len({match.picture for match in self.matches if match.changed}):
            also.append(
                f"{_count(changed, 'picture')} of these changed or went after the index was made: run `psbench index` "
                "again."
            )
        return " ".join([f"{told[0]}; {told[1]}." if self.matches else f"{told[0]}.", *also])

    def table(self) -> str:
        """The matches for a terminal, one line each."""
        lines = [f"{'rank':>4}{'similarity':>12}{'score':>8}  {'box (x1,y1,x2,y2)':<22}picture"]
        for rank, match in enumerate(self.matches, start=1):
            score = "-" if match.score is None else f"{match.score:.2f}"
            box = shown_box(match.box)
            lines.append(f"{rank:>4}{match.similarity:>12.3f}{score:>8}  {box:<22}{printable(match.picture)}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """All of it."""
        written: dict[str, Any] = {
            "query": {"picture": str(self.query), "box": self.box.tolist()},
            "gallery": str(self.gallery),
            "method": self.method,
            "pictures": self.pictures,
            "people": self.people,
            "threshold": self.threshold,
            "query_picture_left_out": self.itself,
            "unreadable": list(self.unreadable),
            "matches": [
                {
                    "rank": rank,
                    "picture": match.picture,
                    "box": match.box.tolist(),
                    "similarity": match.similarity,
                    "score": match.score,
                    "changed": match.changed,
                }
                for rank, match in enumerate(self.matches, start=1)
            ],
        }
        return json.dumps(written, indent=1) + "\n"


def shown_box(box: np.ndarray) -> str:
    """A box as `--box` takes it, in whole pixels."""
    return ",".join(f"{side:.0f}" for side in box.tolist())


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
