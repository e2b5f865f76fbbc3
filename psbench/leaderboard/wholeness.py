"""Whether an entry is of the whole dataset: as many test scenes and queries as every copy of it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psbench.leaderboard.entry import Entry
from psbench_data import PersonSearchDataset, Protocol
from psbench_data.published_counts import PublishedCount, published_counts

Counts = Mapping[tuple[str, str], int]
"""How many there are, by part (`test`, or a protocol's name) and what was counted, as in `PublishedCount`."""
_WORDS = {"scenes": "{:,} {} scenes", "queries": "{:,} queries of {}", "gallery": "galleries of {:,} scenes in {}"}


def counts_of(dataset: PersonSearchDataset, protocols: Iterable[Protocol]) -> Counts:
    """Of data that is at hand."""
    counts = {("test", "scenes"): len(dataset.split("test"))}
    for protocol in protocols:
        counts[protocol.name, "queries"] = len(protocol.queries)
        counts[protocol.name, "gallery"] = int(protocol.gallery_sizes.max(initial=0))
    return counts


def counts_in(entry: Entry) -> Counts:
    """Of the data that an entry was measured on, as far as it tells."""
    results = {name: result for run in entry.runs for name, result in run.results.items()}
    queries = {(name, "queries"): result.queries for name, result in results.items()}
    return queries | {(name, "gallery"): result.gallery_size for name, result in results.items()}


def part_faults(dataset: str, board: str, counts: Counts, *, synthetic: bool) -> list[str]:
    """That counts are not those of the whole dataset, in one sentence.

    Only what was counted on the authors' files is asked for, and that all galleries of CUHK-SYSU have the same queries.

    Args:
        dataset: its name.
        board: the name of the board.
        counts: of the data.
        synthetic: whether its people are drawn; then nothing is published.
    """
    wrong: dict[tuple[str, int, int], str] = {}
    for published in [] if synthetic else filter(_demanded, _differing(dataset, counts)):
        # Several protocols have the same queries: the first one is enough.
        key = published.what, counts[published.part, published.what], published.count
        wrong.setdefault(key, published.part)
    if not wrong:
        return []
    found = [_WORDS[what].format(number, part) for (what, number, _), part in wrong.items()]
    numbers = [f"{number:,}" for _, _, number in wrong]
    return [
        f"{dataset}: {_joined(found)}, published are {_joined(numbers)}. An entry on the board {board} needs the whole "
        "dataset; `psbench-data doctor` says what is missing."
    ]


def part_signs(dataset: str, counts: Counts, *, synthetic: bool) -> list[str]:
    """Signs that data is not the whole dataset, where nobody could count the authors' files; a sentence each."""
    if synthetic:
        return []
    signs = [
        f"{_WORDS[p.what].format(counts[p.part, p.what], p.part)}, while {p.count:,} are printed ({p.source})."
        for p in _differing(dataset, counts)
        if not _demanded(p)
    ]
    for (part, what), number in counts.items():
        size = part.removeprefix("gallery-")
        if what == "gallery" and size.isdecimal() and number < int(size) / 2:
            signs.append(f"{part} searches at most {number:,} scenes for a query.")
    return signs


def _differing(dataset: str, counts: Counts) -> list[PublishedCount]:
    """The published numbers that counts differ from, in their order."""
    published = {(entry.part, entry.what): entry for entry in published_counts(dataset) if entry.comparable}
    return [published[key] for key, number in counts.items() if key in published and published[key].count != number]


def _demanded(published: PublishedCount) -> bool:
    queries = published.what == "queries" and published.part.startswith("gallery-")
    return published.evidence == "counted" or queries


def _joined(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
