"""The evaluator: search and detection, exact against the evaluators that the field has used."""

from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.comparison import Comparison, compare
from psbench.evaluation.detection import DetectionEvaluation, evaluate_detection
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.judging import evaluate, evaluate_all
from psbench.evaluation.rules import PRESETS, Rules

__all__ = [
    "CBGM",
    "PRESETS",
    "Comparison",
    "DetectionEvaluation",
    "Evaluation",
    "Rules",
    "compare",
    "evaluate",
    "evaluate_all",
    "evaluate_detection",
]
