"""Whether identities, queries and galleries fit together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from psbench_data.integrity.annotations import query_file
from psbench_data.integrity.findings import Finding, Severity, relative
from psbench_data.protocol import Protocol
from psbench_data.scenes import UNLABELED, Scenes
from psbench_data.sources.source import Source
from psbench_data.sources.text_files import lines

_QUERY_TOLERANCE = {"prw": 2.0, "lsps": 2.0}
"""Pixels by which the query's box may differ from the annotated one. PRW's reader clips the one before and the other
after forming the far corner; LSPS gives queries as fractions and frames as integers."""
# Rows of the authors' TestG100.mat of CUHK-SYSU (counted); all its lists hold the same queries in the same order.
_KNOWN_REPEATS = (1250, 1633, 1997, 2561)
_KNOWN_OWN_SCENES = (493, 2132)
_KNOWN_TWICE = (493, 1633, 1997, 2561)
_GENUINE_QUERIES = 2900
_SKIPPED = "Nothing to do: the query is left out of mAP and top-k."


def check_identities(source: Source, splits: Mapping[str, Scenes], root: Path) -> list[Finding]:
    """Identities without a box or with a single one, and scenes that have one person twice."""
    findings: list[Finding] = []
    for split, scenes in splits.items():
        people_file = relative(_people_file(source, split), root)
        labelled = scenes.person_ids != UNLABELED
        boxes = np.bincount(scenes.person_ids[labelled], minlength=scenes.num_identities)
        for person in np.flatnonzero(boxes == 0):
            what = f"{split}: person {scenes.identities[person]} has no box in any scene"
            remedy = "Use annotations of one release: the list of people and the boxes do not fit."
            findings.append(Finding("warning", "identity-without-box", people_file, "", what, remedy))
        for person in np.flatnonzero(boxes == 1):
            what = f"{split}: person {scenes.identities[person]} has one box"
            remedy = "Nothing to do: the person can be learned as an identity, and found by no query."
            findings.append(Finding("info", "identity-with-one-box", people_file, "", what, remedy))
        scene_of = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))
        key = scene_of[labelled] * (scenes.num_identities + 1) + scenes.person_ids[labelled]
        keys, times = np.unique(key, return_counts=True)
        for value in keys[times > 1].tolist():
            scene, person = divmod(value, scenes.num_identities + 1)
            file = relative(scenes.root / scenes.paths[scene], root)
            what = f"person {scenes.identities[person]} is annotated twice in this {split} scene"
            remedy = "In an evaluation by rule the first box counts. If they are two people, give them two ids."
            known = _known_twice(source.name, scenes, person)
            findings.append(Finding("info" if known else "warning", "person-twice", file, "", what, remedy))
    return findings


def _known_twice(name: str, scenes: Scenes, person: int) -> bool:
    """Whether the authors' files have this person twice in a scene."""
    # PRW has 13 such pairs (counted). In CUHK-SYSU the rows of the search lists number the people.
    genuine = name == "cuhk_sysu" and scenes.num_identities == _GENUINE_QUERIES
    return name == "prw" or (genuine and person in _KNOWN_TWICE)


def check_protocols(source: Source, protocols: Mapping[str, Protocol], root: Path, synthetic: bool) -> list[Finding]:
    """Queries against the annotated boxes, and galleries against the queries."""
    findings: list[Finding] = []
    seen: set[Path] = set()
    for name, protocol in protocols.items():
        path = query_file(source, name)
        rows = _Rows(path, root, protocol)
        # The protocols of one file share its queries and lists.
        if path not in seen:
            seen.add(path)
            findings += _check_queries(source.name, protocol, rows)
            findings += _check_lists(source.name, protocol, rows, synthetic)
        # By its rule, many queries of this one have no answer.
        severity: Severity = "info" if name == "same-camera" else "warning"
        findings += [
            rows.finding(q, severity, "unanswerable-query", "is in no scene of the gallery", _SKIPPED)
            for q in protocol.unanswerable.tolist()
        ]
    return findings


def _people_file(source: Source, split: str) -> Path:
    """The file that says who the people of a split are."""
    if source.name == "prw":
        return source.root / "annotations"
    starts = {"train": ("Train", "train"), "test": ("TestG", "test")}[split]
    files = source.scene_files()
    return next((file for file in files if file.name.startswith(starts)), files[0])


class _Rows:
    """Names queries by the file and row that they stand in."""

    def __init__(self, path: Path, root: Path, protocol: Protocol) -> None:
        self._file, self._protocol = relative(path, root), protocol
        # Lines count from 1, rows of a list from 0.
        self._lines = [number for number, _ in lines(path)] if path.suffix == ".txt" else []
        # PRW-mini's queries are some of the file's, in another order; of lines that say the same, one is a query.
        self._by_line = protocol.name != "mini" and len(self._lines) == len(protocol.queries)
        self._word = "row" if path.suffix in (".mat", ".parquet") else "query"

    def finding(self, query: int, severity: Severity, topic: str, what: str, remedy: str) -> Finding:
        where = f"line {self._lines[query]}" if self._by_line else f"{self._word} {query}"
        return Finding(severity, topic, self._file, where, f"{self._person(query)} {what}", remedy)

    def _person(self, query: int) -> str:
        person = int(self._protocol.queries.person_ids[query])
        scene = self._protocol.scenes.names[self._protocol.queries.scenes[query]]
        return f"{self._protocol.name}: person {self._protocol.scenes.identities[person]} of {scene}"


def _check_queries(name: str, protocol: Protocol, rows: _Rows) -> list[Finding]:
    findings = []
    scenes, queries = protocol.scenes, protocol.queries
    for q in range(len(queries)):
        people = slice(scenes.offsets[queries.scenes[q]], scenes.offsets[queries.scenes[q] + 1])
        theirs = scenes.boxes[people][scenes.person_ids[people] == queries.person_ids[q]]
        if not len(theirs):
            what, remedy = "is not annotated in that scene", "Use the query file and annotations of one release."
            findings.append(rows.finding(q, "warning", "query-without-person", what, remedy))
            continue
        away = np.abs(theirs - queries.boxes[q]).max(axis=1)
        if away.min() > _QUERY_TOLERANCE.get(name, 0):
            box, nearest = queries.boxes[q].tolist(), theirs[away.argmin()].tolist()
            what = f"is queried with the box {box} (x1 y1 x2 y2), and annotated there with {nearest}"
            remedy = "Use the query file and annotations of one release."
            findings.append(rows.finding(q, "warning", "query-box", what, remedy))
    return findings


def _check_lists(name: str, protocol: Protocol, rows: _Rows, synthetic: bool) -> list[Finding]:
    findings = []
    genuine = name == "cuhk_sysu" and not synthetic and len(protocol.queries) == _GENUINE_QUERIES

    def severity(known: bool) -> Severity:
        # What the authors' lists of other datasets have is not known.
        return "warning" if name == "cuhk_sysu" and not known else "info"

    for q in range(len(protocol.queries)):
        scenes, times = np.unique(protocol.listed(q), return_counts=True)
        for scene, repeats in zip(scenes[times > 1].tolist(), times[times > 1].tolist(), strict=True):
            known = genuine and q in _KNOWN_REPEATS
            what = f"has {protocol.scenes.names[scene]} in the gallery {repeats} times{_as_authors(known)}"
            remedy = "Nothing to do: every true box counts, and the scene is searched once."
            findings.append(rows.finding(q, severity(known), "repeated-scene", what, remedy))
        if protocol.queries.scenes[q] in scenes:
            known = genuine and q in _KNOWN_OWN_SCENES
            what = f"has that scene in the gallery{_as_authors(known)}"
            remedy = "Nothing to do: it is searched, and makes the query easier."
            findings.append(rows.finding(q, severity(known), "own-scene", what, remedy))
    return findings


def _as_authors(known: bool) -> str:
    return ", as in the authors' file" if known else ""
