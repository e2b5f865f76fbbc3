"""The evaluator: search and detection, exact against the evaluators that the field has used."""

from psbench.evaluation.cbgm import CBGM
from psbench.evaluation.detection import DetectionEvaluation, evaluate_detection
from psbench.evaluation.evaluation import Evaluation, evaluate

__all__ = ["CBGM", "DetectionEvaluation", "Evaluation", "evaluate", "evaluate_detection"]
