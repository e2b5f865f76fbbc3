"""The evaluator: search and detection, exact against the evaluators that the field has used."""

from psbench.evaluation.auditing import audit
from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.comparison import Comparison, compare
from psbench.evaluation.detection import DetectionEvaluation, evaluate_detection
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.judging import evaluate, evaluate_all
from psbench.evaluation.losses import ErrorAnalysis, error_analysis
from psbench.evaluation.rules import PRESETS, Rules

__all__ = [
    "CBGM",
    "PRESETS",
    "Comparison",
    "DetectionEvaluation",
    "ErrorAnalysis",
    "Evaluation",
    "Rules",
    "audit",
    "compare",
    "error_analysis",
    "evaluate",
    "evaluate_all",
    "evaluate_detection",
]
