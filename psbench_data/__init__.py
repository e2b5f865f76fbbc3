"""Person search datasets under one form: scenes, queries, galleries and where the right answers are.

    import psbench_data

    dataset = psbench_data.load("cuhk_sysu", root="/data/CUHK-SYSU")
    scene = dataset.split("train")[0]
    protocol = dataset.protocol("gallery-100")

Needs neither torch nor psbench.
"""

from psbench_data.dataset import PersonSearchDataset
from psbench_data.errors import InputError
from psbench_data.integrity import IntegrityReport, doctor
from psbench_data.protocol import Protocol, Queries, Query
from psbench_data.registry import available, load
from psbench_data.scenes import UNLABELED, Scene, Scenes

__all__ = [
    "UNLABELED",
    "InputError",
    "IntegrityReport",
    "PersonSearchDataset",
    "Protocol",
    "Queries",
    "Query",
    "Scene",
    "Scenes",
    "available",
    "doctor",
    "load",
]
