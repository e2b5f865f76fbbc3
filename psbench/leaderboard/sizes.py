"""How mAP falls as galleries grow: a table of methods by gallery size, which the page draws as curves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from psbench.leaderboard.entry import Entry
from psbench.leaderboard.folder import link_of
from psbench.leaderboard.reported import Reported
from psbench.leaderboard.rows import SUPERVISIONS, Kind, entry_row, names_of, results_of


@dataclass(frozen=True)
class Point:
    """mAP in percent at one gallery size, as shown, and where it comes from."""

    map: float
    text: str
    link: str
    source: str


@dataclass(frozen=True)
class Curve:
    """A method over gallery sizes; at least two points.

    Attributes:
        name: of the method, as shown.
        kind: computed, published, or published with some weak evidence.
        venue: and year; it tells curves apart that would have the same name.
        points: by gallery size.
    """

    name: str
    kind: Kind
    venue: str
    points: dict[int, Point]


@dataclass(frozen=True)
class Sizes:
    """The curves of a board under one supervision, the highest at the largest gallery first."""

    supervision: str
    sizes: tuple[int, ...]
    curves: tuple[Curve, ...]


def gallery_sizes(reported: Sequence[Reported], entries: Iterable[Entry]) -> list[Sizes]:
    """The curves of a board, by supervision; those of one point are left out.

    Args:
        reported: what was published on it. A method's curve is of one publication throughout: numbers that were
            revised later do not join it.
        entries: its own.
    """
    found: dict[str, list[Curve]] = defaultdict(list)
    for supervision, curve in [*_published(reported), *_computed(entries)]:
        if len(curve.points) > 1:
            found[supervision].append(curve)
    return [_sizes(supervision, found[supervision]) for supervision in SUPERVISIONS if found[supervision]]


def _sizes(supervision: str, curves: Sequence[Curve]) -> Sizes:
    sizes = sorted({size for curve in curves for size in curve.points})
    names = Counter(curve.name for curve in curves)
    told = [
        replace(c, name=f"{c.name}, {c.venue or 'published'}") if names[c.name] > 1 and c.kind != "computed" else c
        for c in curves
    ]

    def height(curve: Curve) -> tuple[tuple[float, ...], str]:
        return tuple(-curve.points[size].map if size in curve.points else 1 for size in reversed(sizes)), curve.name

    return Sizes(supervision, tuple(sizes), tuple(sorted(told, key=height)))


def _published(reported: Sequence[Reported]) -> Iterable[tuple[str, Curve]]:
    groups: dict[tuple[str, tuple[str, str, str], str], list[Reported]] = defaultdict(list)
    names = {s: names_of([row for row in reported if row.supervision == s]) for s in SUPERVISIONS}
    for row in reported:
        if row.place and row.place[1].startswith("gallery-") and row.map is not None:
            groups[row.supervision, row.variant_key, row.venue_and_year].append(row)
    for (supervision, variant, venue), rows in groups.items():
        # Of several at one size the preferred, or else the strongest.
        best = {int(row.gallery_size): row for row in sorted(rows, key=lambda row: (row.preferred, not row.weak))}
        kind: Kind = "weak" if any(row.weak for row in best.values()) else "published"
        points = {size: _point(best[size]) for size in sorted(best)}
        yield supervision, Curve(names[supervision][variant], kind, venue, points)


def _point(row: Reported) -> Point:
    return Point(float(row.map or 0), str(row.map), row.address, row.source)


def _computed(entries: Iterable[Entry]) -> Iterable[tuple[str, Curve]]:
    for entry in entries:
        points: dict[int, Point] = {}
        for protocol in sorted({p for run in entry.runs for p in run.results if p.startswith("gallery-")}):
            row, size = entry_row(entry, protocol), results_of(entry, protocol)[0].gallery_size
            if row.map is not None:
                points.setdefault(size, Point(row.map, row.map_text, link_of(entry), "entry"))
        method = entry.card.method
        yield method.supervision, Curve(method.name, "computed", method.venue, dict(sorted(points.items())))
