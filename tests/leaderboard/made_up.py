"""Entries as `psbench submit` would make them, with made-up numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from psbench.leaderboard.card import Card, Method, Submitter, Training
from psbench.leaderboard.entry import Detection, Entry, Result, Run
from psbench.leaderboard.folder import link_of

GALLERIES = {"gallery-50": 0.02, "gallery-100": 0.0, "gallery-500": -0.05, "gallery-4000": -0.2}
"""By protocol, what is added to a method's mAP."""
Interval = tuple[float, float] | None


def sha(words: str) -> str:
    """Some digest."""
    return hashlib.sha256(words.encode()).hexdigest()


def result(map_: float | None, *, interval: Interval = None, size: int = 100, data: str = "the data") -> Result:
    """Of one run; top-1 stands one hundredth above mAP."""
    top = None if map_ is None else min(1, map_ + 0.01)
    return Result(
        version=1,
        digest=sha(data),
        gallery_size=size,
        queries=40,
        skipped=0 if map_ is not None else 40,
        map=map_,
        top1=top,
        top5=top,
        top10=top,
        map_interval=interval,
        top1_interval=None,
    )


def entry_of(
    name: str,
    runs: Sequence[Mapping[str, Result]],
    *,
    dataset: str = "prw",
    options: Mapping[str, int | str] | None = None,
    synthetic: bool = False,
    review: tuple[str, ...] = (),
    notes: str = "",
    **method: str,
) -> Entry:
    """An entry of one run or several, each with results by protocol."""
    told = {
        "family": "one_step_two_stage",
        "supervision": "full",
        "venue": "CVPR 2024",
        "backbone": "ResNet-50",
    } | method
    card = Card(
        method=Method(name=name, training_data="train", input_size="900x1500", notes=notes, **told),  # type: ignore[arg-type]
        training=Training(seeds=tuple(range(len(runs)))),
        submitter=Submitter(name="A group"),
    )
    return Entry(
        dataset=dataset,
        options=dict(options or {}),
        synthetic=synthetic,
        fingerprint=sha("fingerprint"),
        card=card,
        runs=tuple(
            Run(
                seed=i,
                kind="detections",
                manifest=sha(f"{name} {i}"),
                results=dict(results),
                detection=Detection(recall=0.9, ap=0.8),
                review=review,
            )
            for i, results in enumerate(runs)
        ),
        psbench="0.1.0",
        date="2025-01-31",
    ).sealed()


def over_galleries(map_: float, *, half: float = 0.01) -> dict[str, Result]:
    """A run's results: mAP falls as galleries grow."""
    found = {}
    for protocol, more in GALLERIES.items():
        value = map_ + more
        size = int(protocol.removeprefix("gallery-"))
        found[protocol] = result(value, interval=(value - half, value + half), size=size, data=protocol)
    return found


def write(folder: Path, entry: Entry) -> Path:
    """Write an entry to where it belongs in a folder of leaderboards."""
    path = folder / link_of(entry)
    entry.write(path)
    return path
