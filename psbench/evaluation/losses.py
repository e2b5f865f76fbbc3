"""Error analysis: what the average precision that a method loses is lost to."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench.blocks import ranges
from psbench.evaluation.cbgm import CBGM, Revisions
from psbench.evaluation.gallery import GalleryDetections
from psbench.evaluation.judging import MEMORY, evaluate, prepared
from psbench.evaluation.matching import revisions
from psbench.evaluation.ranks import Ranks, rank
from psbench.evaluation.rules import rules_of
from psbench.evaluation.search import Asked, Search
from psbench.evaluation.segments import pair_iou, weight_from
from psbench.evaluation.similarities import Similarities, Tiles
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol, Scenes
from psbench_data.protocol import match_iou_threshold

if TYPE_CHECKING:
    import pandas as pd

CAUSES = ("missed", "localisation", "duplicates", "other_person", "background")
_SHARED = ("dataset", "synthetic", "protocol", "protocol_version", "protocol_digest", "preset", "cbgm", "map")
_TOUCHED, _ON_PERSON = 0.1, 0.5
"""IoU from which a detection is a poor attempt at a person (TIDE, Bolya et al., ECCV 2020), and that person."""
_DETECTIONS_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False, kw_only=True)
class ErrorAnalysis:
    """The result of `error_analysis`, where the causes are defined.

    Attributes:
        dataset, synthetic, protocol, protocol_version, protocol_digest: what was evaluated.
        preset, det_threshold, cbgm: how, see `Evaluation`.
        map: mean average precision, in [0, 1]; NaN, as all below, where no query counts.
        lost: 1 - map.
        missed, localisation, duplicates, other_person, background: the parts of `lost`, each in [0, 1]; they add up to
            it, but for rounding.
        per_query: one row a query, as in `Evaluation.per_query`: query, ap, lost and its parts; missing where the query
            is skipped.
        per_box: one row for each true box that can be found, as in `Evaluation.per_box`: query, scene, camera_id,
            box_height (pixels), outcome ("found", "localisation" or "missed"), best_iou (the largest with a detection
            of its scene; 0 without one), similarity (of the right detection, missing without one), lost (1 - precision
            at its place in the ranking) and its parts.
    """

    dataset: str
    synthetic: bool
    protocol: str
    protocol_version: int
    protocol_digest: str
    preset: str
    det_threshold: float
    cbgm: CBGM | None
    map: float
    lost: float
    missed: float
    localisation: float
    duplicates: float
    other_person: float
    background: float
    per_query: pd.DataFrame
    per_box: pd.DataFrame

    def to_json(self) -> str:
        """Every number at full precision, with what is needed to tell what it is; a mean over nothing is null."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.name.startswith("per_")}
        values |= {"cbgm": self.cbgm and dataclasses.asdict(self.cbgm), "psbench_version": version("psbench")}
        return json.dumps({name: None if value != value else value for name, value in values.items()}, indent=1)


def error_analysis(
    predictions: Predictions | PairwisePredictions,
    protocol: Protocol,
    *,
    det_threshold: float | None = None,
    cbgm: CBGM | None = None,
    preset: str = "default",
    device: str | None = None,
    memory: int = MEMORY,
    progress: bool = False,
) -> ErrorAnalysis:
    """Split the average precision that is lost by what it is lost to.

    The AP of a query is the mean over its true boxes of the precision at their place in the ranking, which is 0 for
    those that are not found. So a box that is not found loses 1; one that is found loses the share of wrong detections
    among those that are at least as similar as its right one, equals included. A loss is due to

    - `missed`, where a true box is not found and no detection is a poor attempt at it: has IoU >= 0.1 with it, less
      than `psbench_data.protocol.match_iou_threshold` asks for, and less than 0.5 with every annotated person; or where
      it cannot be found, because the list names its scene twice and only the first entry is searched;
    - `localisation`, where a true box is not found although there is such an attempt; and for wrong detections that are
      one at a true box of the query, and overlap none enough;
    - `duplicates`, for wrong detections that overlap a true box of the query enough, but are not the most similar that
      do; the right one counts among them where a preset searches its scene once more;
    - `other_person`, for all other wrong detections that have IoU >= 0.5 with an annotated person, labelled or not;
    - `background`, for the rest.

    Boxes are compared within a scene, and the true boxes of a query are those that can be found. What a preset searches
    several times counts as often.

    Args:
        predictions: as for `evaluate`, but not pairwise.
        protocol, det_threshold, cbgm, preset, device, memory, progress: as for `evaluate`, which takes half as long.

    Raises:
        InputError: as `evaluate` does, and for pairwise predictions.
    """
    import pandas as pd

    if isinstance(predictions, PairwisePredictions):
        raise InputError("error_analysis: the queries of pairwise predictions share no detections. Give Predictions.")
    options: dict[str, Any] = {"cbgm": cbgm, "device": device, "memory": memory}
    evaluation = evaluate(
        predictions, protocol, det_threshold=det_threshold, preset=preset, progress=progress, **options
    )
    assert evaluation.det_threshold is not None
    rules = rules_of(preset)
    [search], similarities = prepared(predictions, [protocol], rules, evaluation.det_threshold, **options)
    on_person = _on_person(search.gallery, protocol.scenes)
    [ranks] = rank([search], similarities, progress=progress, only=on_person)
    at_least = evaluation.per_box["rank"].dropna().to_numpy(np.int64)
    wrong = _wrong(search, similarities, ranks, at_least, on_person)

    targets, counted = search.targets, search.counted
    target, detection, iou = search.near
    best_iou = np.zeros(len(targets.queries))
    np.maximum.at(best_iou, target, iou)
    outcome = np.full(len(targets.queries), "missed", object)
    outcome[target[(iou >= _TOUCHED) & ~on_person[detection]]] = "localisation"
    outcome[ranks.targets] = "found"
    of_box = pd.DataFrame({cause: (outcome == cause).astype(float) for cause in CAUSES})
    for cause, number in wrong.items():
        of_box.loc[ranks.targets, cause] = number / at_least
    per_box = evaluation.per_box.assign(
        outcome=outcome[counted[targets.queries]],
        best_iou=best_iou[counted[targets.queries]],
        lost=1 - evaluation.per_box["precision"],
    )[["query", "scene", "camera_id", "box_height", "outcome", "best_iou", "similarity", "lost"]]

    matches = evaluation.per_query["matches"]
    of_query = of_box.groupby(targets.queries).sum().reindex(matches.index, fill_value=0.0)
    of_query["missed"] += matches - np.bincount(targets.queries, minlength=len(matches))
    per_query = pd.DataFrame({"query": matches.index, "ap": evaluation.per_query["ap"]})
    per_query = per_query.assign(lost=1 - per_query["ap"]).join(of_query[counted].div(matches[counted], axis=0))
    return ErrorAnalysis(
        **{name: getattr(evaluation, name) for name in _SHARED},
        det_threshold=evaluation.det_threshold,
        lost=1 - evaluation.map,
        **per_query[list(CAUSES)].mean().to_dict(),
        per_query=per_query,
        per_box=per_box.join(of_box[counted[targets.queries]].reset_index(drop=True)),
    )


def _wrong(
    search: Search, similarities: Similarities, ranks: Ranks, at_least: np.ndarray, on_person: np.ndarray
) -> dict[str, np.ndarray]:
    """By cause, (F,) int64: the wrong detections that are at least as similar as each right one.

    Args:
        search, similarities, ranks: the search; in its ranks, `at_least` counts only detections on a person.
        at_least: (F,) int64, of all detections.
        on_person: (N,) bool.
    """
    query, detection, enough = _attempts(search, on_person)
    pair, similarity, times = _searched(search, similarities, query, detection)
    probes = search.targets.queries[ranks.targets], ranks.similarities

    def before(chosen: np.ndarray) -> np.ndarray:
        kept = chosen[pair]
        return weight_from((query[pair[kept]], similarity[kept], times[kept]), probes)

    duplicates = before(enough) - ranks.right_at_least
    localisation = before(~enough)
    other_person = ranks.at_least - before(on_person[detection])
    return {
        "localisation": localisation,
        "duplicates": duplicates,
        "other_person": other_person,
        "background": at_least - ranks.right_at_least - duplicates - localisation - other_person,
    }


def _attempts(search: Search, on_person: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The detections on a true box: (n,) queries and detections, ascending, and whether they overlap it enough."""
    target, detection, iou = search.near
    enough = iou >= match_iou_threshold(search.targets.boxes[target])
    # One that is on a person, and not enough on this one, is on somebody else.
    near = enough | ((iou >= _TOUCHED) & ~on_person[detection])
    size = max(len(search.gallery.rows), 1)
    # A scene that is searched for each of its entries can hold two true boxes of a query.
    pairs, place = np.unique(search.targets.queries[target[near]] * size + detection[near], return_inverse=True)
    return *np.divmod(pairs, size), np.bincount(place, enough[near], len(pairs)) > 0


def _searched(
    search: Search, similarities: Similarities, queries: np.ndarray, detections: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How similar pairs are, and how often: (n,) which pair, (n,) float64 similarities, (n,) int64 times.

    A pair that CBGM revised is there thrice: what was counted at its old similarity is taken back, times below 0.
    """
    exact = similarities.arrays.get(similarities.exact(search.embedded[queries], detections))
    times = search.visits.of_pairs(queries, search.gallery.scenes[detections])
    size = len(search.gallery.rows)
    revised = _revised(search, similarities, np.unique(queries))
    keys = queries * size + detections, revised.queries * size + revised.detections
    _, mine, theirs = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    return (
        np.concatenate([np.arange(len(queries)), mine, mine]),
        np.concatenate([exact, revised.before[theirs], revised.after[theirs]]),
        np.concatenate([times, np.full(len(theirs), -1), np.ones(len(theirs), np.int64)]),
    )


def _revised(search: Search, similarities: Similarities, queries: np.ndarray) -> Revisions:
    """What CBGM, where it is asked for, changes for some queries, which keep their numbers in the search."""
    parts = [Revisions.none()]
    for start in range(0, len(queries) if search.cbgm else 0, similarities.block):
        block = queries[start : start + similarities.block]
        asked = Asked(search, block, np.arange(len(block)))
        [part] = revisions([asked], similarities, Tiles(similarities, asked.embedded))
        parts.append(dataclasses.replace(part, queries=block[part.queries]))
    columns = ([getattr(part, f.name) for part in parts] for f in dataclasses.fields(Revisions))
    return Revisions(*map(np.concatenate, columns))


def _on_person(gallery: GalleryDetections, scenes: Scenes) -> np.ndarray:
    """(N,) bool: the detections that have IoU >= 0.5 with an annotated person of their scene."""
    found = np.zeros(len(gallery.rows), bool)
    people = np.diff(scenes.offsets)
    for start in range(0, len(found), _DETECTIONS_AT_ONCE):
        scene = gallery.scenes[start : start + _DETECTIONS_AT_ONCE]
        detection = np.repeat(np.arange(start, start + len(scene)), people[scene])
        person = ranges(scenes.offsets[scene], people[scene])
        found[detection[pair_iou(gallery.boxes[detection], scenes.boxes[person]) >= _ON_PERSON]] = True
    return found
