"""Counts what is in the annotations and holds it against the published counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from psbench_data.integrity.findings import Finding
from psbench_data.protocol import Protocol
from psbench_data.published_counts import PublishedCount, published_counts
from psbench_data.scenes import UNLABELED, Scenes


@dataclass(frozen=True)
class Count:
    """A number that was counted, and what it should be.

    Attributes:
        part: `train`, `test`, `total`, or the name of a protocol.
        what: what was counted; `gallery` is the entries of a query's gallery.
        found: the number. Where queries differ in their gallery, the smallest; `found_most` is then the largest.
        found_most: as `found` where there is only one number.
        published: the published number, if there is one and it applies.
        evidence: `counted` or `printed`, and the source; "" without a published number.
        agrees: whether both are equal; None where there is nothing to compare.
    """

    part: str
    what: str
    found: int
    found_most: int
    published: int | None
    evidence: str
    agrees: bool | None


def count(
    name: str, splits: Mapping[str, Scenes], protocols: Mapping[str, Protocol], *, synthetic: bool
) -> tuple[list[Count], list[Finding]]:
    """Count scenes, people, queries and galleries.

    Args:
        name: the dataset.
        splits: both of its splits, or none.
        protocols: those that could be read.
        synthetic: whether the data is drawn, in which case nothing is published about it.

    Returns:
        The counts, and a warning for each that differs from the published one.
    """
    published = {} if synthetic else {(entry.part, entry.what): entry for entry in published_counts(name)}
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for part, scenes in splits.items():
        for what, number in _of_scenes(scenes).items():
            found[part, what] = (number, number)
    if splits:
        for what in ("scenes", "boxes", "labelled boxes"):
            found["total", what] = (sum(found[part, what][0] for part in splits),) * 2
        # PRW's training identities walk through test frames, too.
        found["total", "identities"] = (len(set().union(*map(_labels, splits.values()))),) * 2
    for part, protocol in protocols.items():
        found[part, "queries"] = (len(protocol.queries),) * 2
        sizes = protocol.gallery_sizes
        found[part, "gallery"] = (int(sizes.min(initial=sizes.max(initial=0))), int(sizes.max(initial=0)))
        found[part, "true boxes"] = (len(protocol.truth_boxes),) * 2
    counts = [_compared(*key, *numbers, published.get(key)) for key, numbers in found.items()]
    return counts, [_difference(entry) for entry in counts if entry.agrees is False]


def _of_scenes(scenes: Scenes) -> dict[str, int]:
    labelled = scenes.person_ids[scenes.person_ids != UNLABELED]
    return {
        "scenes": len(scenes),
        "boxes": len(scenes.boxes),
        "labelled boxes": len(labelled),
        "identities": len(np.unique(labelled)),
    }


def _labels(scenes: Scenes) -> set[str]:
    """The dataset's own labels of the people who have a box."""
    return {scenes.identities[person] for person in np.unique(scenes.person_ids) if person != UNLABELED}


def _compared(part: str, what: str, least: int, most: int, published: PublishedCount | None) -> Count:
    if published is None:
        return Count(part, what, least, most, None, "", None)
    evidence = f"{published.evidence}: {published.source}"
    agrees = least == most == published.count if published.comparable else None
    return Count(part, what, least, most, published.count, evidence, agrees)


def _difference(entry: Count) -> Finding:
    found = f"{entry.found:,}" if entry.found == entry.found_most else f"{entry.found:,} to {entry.found_most:,}"
    what = f"{entry.part}: {entry.what}: {found}, published {entry.published:,} ({entry.evidence})"
    remedy = "Numbers measured on this copy cannot stand beside published ones: compare the digests with another copy."
    return Finding("warning", "count", ".", "", what, remedy)
