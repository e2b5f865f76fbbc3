"""Detections that other code dumped, brought into the form that psbench judges.

from psbench.importing import import_detections

predictions = import_detections("seqnet", "eval_cache.pth", dataset)
predictions.save("predictions/seqnet")
"""

from psbench.importing.importing import FORMS, import_detections
from psbench.importing.naming import read_names

__all__ = ["FORMS", "import_detections", "read_names"]
