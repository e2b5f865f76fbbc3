"""How person search methods are judged: predictions, evaluation, tables and curves.

    import psbench, psbench_data

    dataset = psbench_data.load("cuhk_sysu", root="/data/CUHK-SYSU")
    predictions = psbench.Predictions.load("predictions/seqnet")
    evaluation = psbench.evaluate(predictions, dataset.protocol("gallery-100"))
    evaluation.map, evaluation.top(1)

Needs no torch; the models and their training live in `psbench.zoo`, `psbench.training` and `psbench.inference`.
"""

from importlib import import_module
from importlib.metadata import version
from types import ModuleType

__version__ = version("psbench")

from psbench.evaluation import (
    CBGM,
    PRESETS,
    Comparison,
    DetectionEvaluation,
    ErrorAnalysis,
    Evaluation,
    audit,
    compare,
    error_analysis,
    evaluate,
    evaluate_all,
    evaluate_detection,
)
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench_data import InputError

__all__ = [
    "CBGM",
    "PRESETS",
    "Comparison",
    "DetectionEvaluation",
    "ErrorAnalysis",
    "Evaluation",
    "InputError",
    "PairwisePredictions",
    "Predictions",
    "__version__",
    "audit",
    "compare",
    "error_analysis",
    "evaluate",
    "evaluate_all",
    "evaluate_detection",
]

_LOADED_WHEN_USED = ("inference", "leaderboard", "training", "zoo")


def __getattr__(name: str) -> ModuleType:
    """`psbench.zoo` and the like without an import of their own: torch is loaded when one of them is used."""
    if name in _LOADED_WHEN_USED:
        return import_module(f"psbench.{name}")
    raise AttributeError(f"module 'psbench' has no attribute {name!r}")
