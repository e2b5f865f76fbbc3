"""Boards: for each dataset and protocol, entries with their ranks among published numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from psbench.leaderboard.entry import Entry, slug
from psbench.leaderboard.folder import read_folder, twin_texts
from psbench.leaderboard.reported import Reported
from psbench.leaderboard.rows import (
    SUPERVISIONS,
    Row,
    entry_row,
    names_of,
    published_row,
    results_of,
)
from psbench_data.sources.layouts import TITLES

_DATASETS = ("cuhk_sysu", "prw", "lsps", "movienet_cs")
_PROTOCOLS = ("regular", "multi-view", "same-camera", "mini")
Interval = tuple[float, float]


@dataclass(frozen=True)
class Ranking:
    """Methods that can be compared: one protocol, one supervision, the same data.

    Attributes:
        protocol, supervision: of all of them.
        data: the beginning of the protocol's digest, where entries of a board were measured on different data.
        rows: the highest mAP first, those without one last.
        ranks: for each row; None of published ones, and of entries whose interval is not known.
    """

    protocol: str
    supervision: str
    data: str
    rows: tuple[Row, ...]
    ranks: tuple[int | None, ...]

    @cached_property
    def shared(self) -> frozenset[int]:
        """The ranks that several entries have."""
        return frozenset(rank for rank, n in Counter(self.ranks).items() if n > 1 and rank is not None)

    @cached_property
    def computed(self) -> int:
        """How many of its rows are entries."""
        return sum(row.kind == "computed" for row in self.rows)


@dataclass(frozen=True)
class Board:
    """All rankings of one dataset, as it was opened.

    Attributes:
        name: the folder of its entries.
        title: as printed.
        synthetic: whether its people are drawn; then nothing published stands on it.
        rankings: by protocol, then supervision.
    """

    name: str
    title: str
    synthetic: bool
    rankings: tuple[Ranking, ...]

    @property
    def protocols(self) -> dict[str, list[Ranking]]:
        """Its rankings by protocol."""
        found: dict[str, list[Ranking]] = {}
        for ranking in self.rankings:
            found.setdefault(ranking.protocol, []).append(ranking)
        return found


def make_boards(reported: Sequence[Reported], entries: Iterable[Entry]) -> list[Board]:
    """All boards: those of real data as the datasets are listed, then synthetic ones.

    Args:
        reported: the published numbers; of a variant, the preferred row is shown.
        entries: each once.
    """
    published: dict[str, list[Reported]] = defaultdict(list)
    for row in reported:
        if row.place:
            published[row.place[0]].append(row)
    computed: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        computed[entry.board].append(entry)
    boards = [_board(name, published[name], computed[name]) for name in {**published, **computed}]
    return sorted(boards, key=lambda board: (board.synthetic, _natural(board.name, _DATASETS)))


def _board(name: str, published: Sequence[Reported], entries: Sequence[Entry]) -> Board:
    rows: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for protocol, supervision, row in _published_rows(published):
        rows[protocol, supervision, ""].append(row)
    for entry in entries:
        for protocol in sorted({protocol for run in entry.runs for protocol in run.results}):
            data = results_of(entry, protocol)[0].digest
            rows[protocol, entry.card.method.supervision, data].append(entry_row(entry, protocol))
    return Board(name, _title(name), any(entry.synthetic for entry in entries), tuple(_rankings(rows)))


def _published_rows(published: Sequence[Reported]) -> list[tuple[str, str, Row]]:
    variants: dict[tuple[str, ...], list[Reported]] = defaultdict(list)
    for row in published:
        variants[row.identity].append(row)
    variants = {key: rows for key, rows in variants.items() if any(row.preferred for row in rows)}
    names = {s: names_of([r for rows in variants.values() for r in rows if r.supervision == s]) for s in SUPERVISIONS}
    found: list[tuple[str, str, Row]] = []
    for rows in variants.values():
        first = next(row for row in rows if row.preferred)
        name = names[first.supervision][first.variant_key]
        assert first.place is not None
        found.append((first.place[1], first.supervision, published_row(rows, name)))
    return found


def _rankings(rows: Mapping[tuple[str, str, str], list[Row]]) -> list[Ranking]:
    """Published rows join the entries where all of these are of the same data."""
    digests: dict[str, set[str]] = defaultdict(set)
    for protocol, _, digest in rows:
        if digest:
            digests[protocol].add(digest)
    joined: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for (protocol, supervision, digest), some in rows.items():
        joined[protocol, supervision, digest[:8] if len(digests[protocol]) > 1 else ""] += some
    return [
        _ranking(*key, joined[key])
        for key in sorted(
            joined, key=lambda key: (_natural(key[0], _PROTOCOLS), list(SUPERVISIONS).index(key[1]), key[2])
        )
    ]


def _ranking(protocol: str, supervision: str, data: str, rows: Sequence[Row]) -> Ranking:
    ordered = sorted(rows, key=lambda row: (row.map is None, -(row.map or 0), row.name, row.key))
    known = [row.interval for row in ordered if row.interval]
    placed = iter(ranks(known))
    return Ranking(
        protocol, supervision, data, tuple(ordered), tuple(next(placed) if row.interval else None for row in ordered)
    )


def ranks(intervals: Sequence[Interval]) -> list[int]:
    """Of each interval, 1 + how many lie wholly above it; those that overlap are not told apart.

    Args:
        intervals: (low, high).
    """
    lows = sorted(low for low, _ in intervals)
    return [1 + len(lows) - bisect_right(lows, high) for _, high in intervals]


def _title(board: str) -> str:
    name, synthetic, _ = board.partition("-synthetic")
    dataset, _, options = name.partition("-")
    words = [TITLES.get(dataset, dataset)]
    if options:
        words.append(options.replace("-", " ").replace("_", " "))
    return ", ".join([*words, "synthetic"] if synthetic else words)


def _natural(name: str, first: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
    """What is named `first` before all else, and gallery-50 before gallery-100."""
    parts = name.split("-")
    known = next((i for i, start in enumerate(first) if name == start or parts[0] == start), len(first))
    return known, [(int(part), "") if part.isdigit() else (10**9, part) for part in parts]


def standing(folder: Path, entry: Entry) -> str:
    """Where an entry stands among those of a folder of leaderboards, in words, one line a protocol.

    Args:
        folder: the leaderboards; the entry need not be among them yet.
        entry: just made.

    Raises:
        InputError: the published numbers or entries beside it cannot be used; listing why.
    """
    reported, others = read_folder(folder, board=entry.board)
    entries = [other for other in others if other.file_name != entry.file_name]
    [board] = [board for board in make_boards(reported, [*entries, entry]) if board.name == entry.board]
    key = f"entry-{slug(entry.card.method.name)}"
    lines = [f"{board.title}, {SUPERVISIONS[entry.card.method.supervision]}:"]
    width = max([12, *(len(ranking.protocol) for ranking in board.rankings)]) + 2
    for ranking in board.rankings:
        for row, rank in zip(ranking.rows, ranking.ranks, strict=True):
            if row.key == key:
                place = f"{_standing(ranking, row, rank)}{_apart(ranking, board)}"
                lines.append(f"  {ranking.protocol:<{width}}{place}")
    lines += [f"\n{text}" for text in twin_texts(entry, entries)]
    return "\n".join(lines)


def _apart(ranking: Ranking, board: Board) -> str:
    """That there are entries of the same protocol and supervision which were measured on other data."""
    others = sum(
        other.computed
        for other in board.rankings
        if (other.protocol, other.supervision) == (ranking.protocol, ranking.supervision) and other is not ranking
    )
    return f"; other data than the {others} entries there: ranked apart" if others else ""


def _standing(ranking: Ranking, row: Row, rank: int | None) -> str:
    if row.map is None:
        return "no rank: no query has anybody to be found"
    number = " ".join(filter(None, [f"mAP {row.map_text}", row.interval_text, row.seeds_text]))
    sharing = [o.name for o, r in zip(ranking.rows, ranking.ranks, strict=True) if r == rank and o is not row]
    place = f"rank {rank} of {ranking.computed} computed" if rank else "no rank: the interval is not known"
    if rank and sharing:
        place += f", shared with {', '.join(sharing[:3])}" + (f" and {n} more" if (n := len(sharing) - 3) > 0 else "")
    published = [other.map for other in ranking.rows if other.kind != "computed" and other.map is not None]
    beaten = sum(value < row.map for value in published)
    above = f"; above {beaten} of {len(published)} published numbers" if published else ""
    return f"{place}: {number}{above}"
