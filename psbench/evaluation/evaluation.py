"""Evaluation: mean average precision, top-k and detection of predictions under a protocol."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.detection import DetectionEvaluation, detection_of
from psbench.evaluation.gallery import arrange
from psbench.evaluation.search import Search, score
from psbench.predictions import Predictions
from psbench_data import InputError, Protocol
from psbench_data.errors import near_names

if TYPE_CHECKING:
    import pandas as pd

PRESETS = ("default",)
"""The rules that `evaluate` can follow."""
_DETECTION_THRESHOLD = 0.01
"""At which the field's evaluators report detection, whatever the threshold of the search."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        protocol, protocol_version, protocol_digest, dataset: what was evaluated.
        gallery_size: the most scenes that are searched for a query.
        det_threshold: detections below this score were left out of the search.
        cbgm: whether, and with which k1 and k2, similarities were revised.
        per_query: one row a query: scene, person_id, matches (true boxes in its gallery), found (of them, detected),
            ap, top1, top5, top10, rank (of the first right detection, from 1; missing if there is none).
        detection: recall and AP of the detections with score >= 0.01, over the predicted test scenes.
        skipped: queries without any true box in their gallery; they are in no mean, and their ap is missing.
        synthetic: whether the protocol's dataset was written by `psbench-data synthesize`.
    """

    protocol: str
    protocol_version: int
    protocol_digest: str
    gallery_size: int
    dataset: str
    det_threshold: float
    cbgm: CBGM | None
    per_query: pd.DataFrame
    detection: DetectionEvaluation
    skipped: int
    synthetic: bool

    @property
    def map(self) -> float:
        """Mean average precision, in [0, 1]."""
        return float(self.per_query["ap"].mean())

    def top(self, k: int) -> float:
        """The share of queries whose k most similar detections contain a right one, in [0, 1]."""
        counted = self.per_query["ap"].notna()
        return float((self.per_query["rank"][counted] <= k).mean())

    def to_json(self) -> str:
        """Every number at full precision, with what is needed to tell what it is; a mean over nothing is null."""
        means = {"map": self.map, **{f"top{k}": self.top(k) for k in (1, 5, 10)}}
        return json.dumps(
            {
                "dataset": self.dataset,
                "synthetic": self.synthetic,
                "protocol": self.protocol,
                "protocol_version": self.protocol_version,
                "protocol_digest": self.protocol_digest,
                "psbench_version": version("psbench"),
                "det_threshold": self.det_threshold,
                "cbgm": self.cbgm and asdict(self.cbgm),
                "queries": len(self.per_query),
                "queries_skipped": self.skipped,
                **{name: None if value != value else value for name, value in means.items()},
                "detection": asdict(self.detection),
            },
            indent=1,
        )


def evaluate(
    predictions: Predictions,
    protocol: Protocol,
    *,
    det_threshold: float = 0.5,
    cbgm: CBGM | None = None,
    preset: str = "default",
    device: str | None = None,
) -> Evaluation:
    """Search for every query of a protocol in its gallery.

    All detections of a query's gallery with score >= det_threshold are ranked by similarity, the dot product of the
    embeddings as they are. In a scene with the person, the most similar detection that overlaps the true box
    (`psbench_data.protocol.match_iou_threshold`) is right and all others are wrong. Average precision is scaled by the
    share of true boxes that were found, so a missed person costs. The rule of SeqNet's evaluator, which most later work
    copies.

    Equal similarities form one step of the average precision; for top-k, wrong detections come before right ones:
    constant embeddings earn nothing, and no result depends on the order of the input.

    Args:
        predictions: of every scene in the protocol's galleries.
        protocol: for example `dataset.protocol("gallery-100")`.
        det_threshold: in [0, 1].
        cbgm: revise the similarities by the people around each query; the predictions need their context for it.
        preset: the evaluator whose rules to follow; there is one, `default`.
        device: where torch computes the similarities, for example "cuda"; numpy computes them without one.

    Returns:
        The evaluation: `.map`, `.top(k)`, `.per_query`, `.detection`.

    Raises:
        InputError: listing everything in the predictions that does not fit the protocol.
    """
    if not isinstance(predictions, Predictions) or not isinstance(protocol, Protocol):
        raise InputError(
            f"evaluate was given {type(predictions).__name__} and {type(protocol).__name__}, expected Predictions "
            '(Predictions.load(folder)) and a Protocol (dataset.protocol("gallery-100")).'
        )
    if not 0 <= det_threshold <= 1:
        raise InputError(f"det_threshold is {det_threshold}, expected 0 to 1.")
    if preset not in PRESETS:
        raise InputError(f"no evaluator is called {preset!r}. {near_names(preset, PRESETS)}")
    if predictions.fingerprint and predictions.fingerprint != protocol.fingerprint:
        raise InputError(
            f"predictions: made on another {predictions.dataset or 'dataset'} (fingerprint "
            f"{predictions.fingerprint[:12]}) than this {protocol.dataset} (fingerprint {protocol.fingerprint[:12]}). "
            "Evaluate with the data that was predicted on."
        )
    search = Search(predictions, protocol, det_threshold, cbgm=cbgm, device=device)
    ap, rank, found = score(search)
    everything = arrange(predictions, protocol.scenes, _DETECTION_THRESHOLD, search.needed)
    matches = np.diff(protocol.truth_offsets)
    return Evaluation(
        protocol=protocol.name,
        protocol_version=protocol.version,
        protocol_digest=protocol.digest,
        gallery_size=int(protocol.gallery_sizes.max(initial=0)),
        dataset=protocol.dataset,
        det_threshold=det_threshold,
        cbgm=cbgm,
        per_query=_per_query(protocol, matches, found, ap, rank),
        detection=detection_of(everything, protocol.scenes, _DETECTION_THRESHOLD, labeled_only=False),
        skipped=int((matches == 0).sum()),
        synthetic=protocol.synthetic,
    )


def _per_query(
    protocol: Protocol, matches: np.ndarray, found: np.ndarray, ap: np.ndarray, rank: np.ndarray
) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "scene": protocol.queries.scene_names,
            "person_id": protocol.queries.person_ids,
            "matches": matches,
            "found": found,
            "ap": ap,
            **{f"top{k}": rank <= k for k in (1, 5, 10)},
            "rank": np.where(np.isinf(rank), np.nan, rank),
        }
    )
