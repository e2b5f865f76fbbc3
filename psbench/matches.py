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
        picture: where, relative to the folder that was searched, with `/`; of several copies, the first.
        box: (4,) float32, xyxy, pixels of the picture as it is seen, turned as the camera says.
        similarity: to the query.
        score: of the detection, in [0, 1]; None where the method has none.
        changed: whether the file seems to be another one than when it was looked at, or is gone.
        copies: the others, like `picture`.
    """

    picture: str
    box: np.ndarray
    similarity: float
    score: float | None
    changed: bool = False
    copies: Sequence[str] = ()

    @property
    def places(self) -> str:
        """The picture and its copies, as printed."""
        return printable(", also ".join([self.picture, *self.copies]))


@dataclass(frozen=True, eq=False)
class Matches:
    """A query and the people who are most similar to it, the most similar first.

    Attributes:
        query: the picture that the person is in.
        box: (4,) float32, the person in it, like `Match.box`.
        gallery: the folder whose pictures were searched.
        method: as printed.
        pictures: how many were searched, copies counted once.
        copies: how many more of these there are; they are not searched again.
        people: how many were found in them, and compared.
        threshold: detection score from which they were; None where the method has no such scores.
        matches: the first of the ranking.
        itself: how often the query's own picture was in the folder, copies counted; it is not searched.
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
    copies: int = 0
    itself: int = 0
    unreadable: Sequence[str] = ()

    @property
    def in_pictures(self) -> int:
        """How many pictures the matches are in."""
        return len({match.picture for match in self.matches})

    def summary(self) -> str:
        """What was searched, in a sentence or two; not what could not be read."""
        certain = "" if self.threshold is None else f" with a score of {self.threshold:g} or more"
        told = [
            f"{counted(self.people, 'detection')}{certain} in {counted_pictures(self.pictures, self.copies)}",
            f"the {len(self.matches):,} most similar are in {counted(self.in_pictures, 'picture')}",
        ]
        also = []
        if self.itself == 1:
            also.append("The query's own picture is in the folder and was left out.")
        elif self.itself:
            copies = _copies(self.itself - 1)
            also.append(f"The query's own picture and {copies} of it are in the folder and were left out.")
        if changed := len({match.picture for match in self.matches if match.changed}):
            also.append(
                f"{counted(changed, 'picture')} of these changed or went after the index was made: run `psbench index` "
                "again."
            )
        return " ".join([f"{told[0]}; {told[1]}." if self.matches else f"{told[0]}.", *also])

    def table(self) -> str:
        """The matches for a terminal, one line each."""
        lines = [f"{'rank':>4}{'similarity':>12}{'score':>8}  {'box (x1,y1,x2,y2)':<22}picture"]
        for rank, match in enumerate(self.matches, start=1):
            score = "-" if match.score is None else f"{match.score:.2f}"
            box = shown_box(match.box)
            lines.append(f"{rank:>4}{match.similarity:>12.3f}{score:>8}  {box:<22}{match.places}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """All of it."""
        written: dict[str, Any] = {
            "query": {"picture": str(self.query), "box": self.box.tolist()},
            "gallery": str(self.gallery),
            "method": self.method,
            "pictures": self.pictures,
            "copies": self.copies,
            "people": self.people,
            "threshold": self.threshold,
            "query_picture_left_out": bool(self.itself),
            "unreadable": list(self.unreadable),
            "matches": [
                {
                    "rank": rank,
                    "picture": match.picture,
                    "copies": list(match.copies),
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


def counted(number: int, what: str) -> str:
    """A number of things, of one in the singular."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def counted_pictures(pictures: int, copies: int) -> str:
    """How many different pictures there are, and how many more are copies of them."""
    return counted(pictures, "picture") + (f", and {_copies(copies)}" if copies else "")


def left_out(unreadable: Sequence[str]) -> str:
    """That some pictures could not be read."""
    were = "was" if len(unreadable) == 1 else "were"
    return f"{counted(len(unreadable), 'picture')} could not be read and {were} left out"


def _copies(number: int) -> str:
    return f"{number:,} cop{'y' if number == 1 else 'ies'}"
