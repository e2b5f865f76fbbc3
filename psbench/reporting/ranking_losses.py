"""What the average precision is lost to, as a report of rankings tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.losses import ErrorAnalysis

if TYPE_CHECKING:
    import pandas as pd

_OF_DETECTIONS = {
    "missed": "A true box is not found, and no detection comes near it.",
    "localisation": "A detection lies on a true box, and overlaps it too little: the box counts as not found, or the "
    "detection stands before a right one.",
    "duplicates": "A second detection of the right person stands before a right one.",
    "other_person": "Somebody else stands before a right one.",
    "background": "A detection that fits nobody's box (IoU < 0.5) stands before a right one.",
}
_OF_PAIRS = {
    "not_found": "A true box is not found: none of the query's boxes overlaps it enough.",
    "outranked": "A wrong box stands before a right one.",
}


@dataclass(frozen=True, eq=False)
class Losses:
    """The parts of the average precision that is lost.

    Attributes:
        causes: each part's name, and what it is lost to, in words.
        per_query: (Q rows) a column each, in [0, 1], missing for queries that do not count.
        loose: for each row of `Evaluation.per_box`, whether a detection lies on it and overlaps it too little; None
            where that is not known.
    """

    causes: Mapping[str, str]
    per_query: pd.DataFrame
    loose: list[bool] | None = None

    @property
    def means(self) -> dict[str, float]:
        """By cause, over the queries that count; together they are 1 - mAP."""
        return {cause: float(self.per_query[cause].mean()) for cause in self.causes}

    @classmethod
    def of_detections(cls, analysis: ErrorAnalysis) -> Losses:
        """What the error analysis says."""
        loose = (analysis.per_box["outcome"] == "localisation").tolist()
        return cls(_OF_DETECTIONS, analysis.per_query[list(_OF_DETECTIONS)], loose)

    @classmethod
    def of_pairs(cls, evaluation: Evaluation) -> Losses:
        """Of pairwise predictions, whose queries share no detections: boxes that are not found, and all the rest."""
        import pandas as pd

        table = evaluation.per_query
        found = (table["found"] / table["matches"]).where(table["ap"].notna())
        return cls(_OF_PAIRS, pd.DataFrame({"not_found": 1 - found, "outranked": found - table["ap"]}))
