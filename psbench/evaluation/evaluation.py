"""Evaluation: mean average precision, top-k and detection of predictions under a protocol."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from psbench.evaluation.breakdown import QUERY_COLUMNS, TOP, breakdown
from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.detection import DetectionEvaluation, PendingDetection
from psbench.evaluation.ranks import Ranks
from psbench.evaluation.uncertainty import cluster_bootstrap, metric_values
from psbench.evaluation.visits import Targets
from psbench_data import InputError, Protocol

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        protocol, protocol_version, protocol_digest, dataset: what was evaluated.
        gallery_size: the most scenes that are searched for a query.
        preset: whose rules were followed.
        det_threshold: detections below this score were left out of the search; None for pairwise predictions.
        cbgm: whether, and with which k1 and k2, similarities were revised.
        keep: how many proposals of each query were kept over its gallery; None for all.
        per_query: one row a query: scene, person_id, camera_id, box_height (pixels), gallery_size, matches (true boxes
            in its gallery), found (of them, detected), ap, top1, top5, top10, rank (of the first right detection, from
            1; missing if there is none). A query that is skipped has no ap and no top-k.
        per_box: one row for each true box that can be found: query, scene, camera_id, box_height (pixels), found,
            similarity, rank (how many detections are as similar as its right one or more, itself and other right ones
            among them; `per_query` counts the wrong ones before it), precision (at its place in the ranking; 0 where it
            is not found, so that their mean over a query's matches is its ap).
        skipped: queries without any true box in their gallery, or without an embedding under the preset's rules; they
            are in no mean, and their ap is missing.
        synthetic: whether the protocol's dataset was written by `psbench-data synthesize`.
    """

    protocol: str
    protocol_version: int
    protocol_digest: str
    gallery_size: int
    dataset: str
    preset: str
    det_threshold: float | None
    cbgm: CBGM | None
    keep: int | None
    per_query: pd.DataFrame
    per_box: pd.DataFrame
    skipped: int
    synthetic: bool
    _detection: PendingDetection | None

    def __repr__(self) -> str:
        return (
            f"Evaluation({self.protocol} of {self.dataset}: mAP {self.map:.2%}, top-1 {self.top(1):.2%}, "
            f"{len(self.per_query):,} queries{', synthetic' if self.synthetic else ''})"
        )

    @property
    def map(self) -> float:
        """Mean average precision, in [0, 1]; NaN where no query counts."""
        return float(self.per_query["ap"].mean())

    def top(self, k: int) -> float:
        """The share of queries whose k most similar detections contain a right one, in [0, 1]."""
        counted = self.per_query["ap"].notna()
        return float((self.per_query["rank"][counted] <= k).mean())

    @property
    def detection(self) -> DetectionEvaluation:
        """Recall and AP of the detections, over the predicted test scenes.

        Raises:
            InputError: pairwise predictions have none: what they find in a scene depends on the query.
        """
        if self._detection is None:
            raise InputError("pairwise predictions have no detection: what they find in a scene depends on the query.")
        return self._detection.result

    @property
    def pairwise(self) -> bool:
        """Whether pairwise predictions were evaluated, which no detection is defined for."""
        return self.det_threshold is None

    def confidence_interval(
        self, metric: str = "map", *, level: float = 0.95, samples: int = 2_000, seed: int = 0
    ) -> tuple[float, float]:
        """How far a mean could lie from the one measured, over the choice of people searched for.

        Args:
            metric: `map`, or `top<k>` for any k.
            level: in (0, 1).
            samples: bootstrap samples of the query identities.
            seed: of the samples.

        Returns:
            The ends of the interval; NaN with fewer than two identities.
        """
        values = metric_values(self.per_query, metric)
        return cluster_bootstrap(values, self.per_query["person_id"], level=level, samples=samples, seed=seed)

    def breakdown(self, by: Any, *, bins: Any = None) -> pd.DataFrame:
        """mAP and top-1 by the values of a column of `per_query`, or of any other column; see `breakdown`."""
        return breakdown(self.per_query, by, bins=bins)

    def to_json(self) -> str:
        """Every number at full precision, with what is needed to tell what it is; a mean over nothing is null."""
        means = {"map": self.map, **{f"top{k}": self.top(k) for k in TOP}}
        intervals = {f"{name}_interval": list(self.confidence_interval(name)) for name in ("map", "top1")}
        return json.dumps(
            _without_nan(
                {
                    "dataset": self.dataset,
                    "synthetic": self.synthetic,
                    "protocol": self.protocol,
                    "protocol_version": self.protocol_version,
                    "protocol_digest": self.protocol_digest,
                    "gallery_size": self.gallery_size,
                    "psbench_version": version("psbench"),
                    "preset": self.preset,
                    "det_threshold": self.det_threshold,
                    "cbgm": self.cbgm and asdict(self.cbgm),
                    "keep": self.keep,
                    "queries": len(self.per_query),
                    "queries_skipped": self.skipped,
                    **means,
                    **intervals,
                    "detection": None if self.pairwise else asdict(self.detection),
                }
            ),
            indent=1,
        )


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if value != value else value


def query_table(protocol: Protocol, targets: Targets, counted: np.ndarray, ranks: Ranks) -> pd.DataFrame:
    """`Evaluation.per_query`.

    Args:
        protocol: the queries.
        targets: their true boxes.
        counted: (Q,) bool, the queries that an average precision is defined for.
        ranks: of the right detections.
    """
    import pandas as pd

    queries, scenes = protocol.queries, protocol.scenes
    owner = targets.queries[ranks.targets]
    size = len(queries)
    precision = np.bincount(owner, ranks.right_at_least / ranks.at_least, minlength=size)
    ap = np.where(counted, precision / np.maximum(targets.matches, 1), np.nan)
    # As many wrong detections as are at least as similar as the best right one stand before it.
    first = np.full(size, np.inf)
    np.minimum.at(first, owner, ranks.at_least - ranks.right_at_least - ranks.again_at_least + 1)
    camera = scenes.camera_ids[queries.scenes]
    table = pd.DataFrame(
        {
            "scene": queries.scene_names,
            "person_id": queries.person_ids,
            "camera_id": np.where(camera < 0, np.nan, camera),
            "box_height": queries.boxes[:, 3] - queries.boxes[:, 1],
            "gallery_size": protocol.gallery_sizes,
            "matches": targets.matches,
            "found": np.bincount(owner, minlength=size),
            "ap": ap,
            **{f"top{k}": pd.array(first <= k, "boolean") for k in TOP},
            "rank": np.where(np.isinf(first), np.nan, first),
        }
    )
    table.loc[~counted, [f"top{k}" for k in TOP]] = pd.NA
    return table[list(QUERY_COLUMNS)]


def box_table(protocol: Protocol, targets: Targets, counted: np.ndarray, ranks: Ranks) -> pd.DataFrame:
    """`Evaluation.per_box`; arguments as in `query_table`."""
    import pandas as pd

    scenes = protocol.scenes
    size = len(targets.queries)
    camera = scenes.camera_ids[targets.scenes]

    def of_found(values: np.ndarray, otherwise: float) -> np.ndarray:
        column = np.full(size, otherwise)
        column[ranks.targets] = values
        return column

    found = np.zeros(size, bool)
    found[ranks.targets] = True
    table = pd.DataFrame(
        {
            "query": targets.queries,
            "scene": [scenes.names[s] for s in targets.scenes],
            "camera_id": np.where(camera < 0, np.nan, camera),
            "box_height": targets.boxes[:, 3] - targets.boxes[:, 1],
            "found": found,
            "similarity": of_found(ranks.similarities, np.nan),
            "rank": of_found(ranks.at_least, np.nan),
            "precision": of_found(ranks.right_at_least / ranks.at_least, 0.0),
        }
    )
    return table[counted[targets.queries]].reset_index(drop=True)
