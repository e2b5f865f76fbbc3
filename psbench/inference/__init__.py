"""Inference: a model over a dataset's test scenes and queries, in one process or several."""

from psbench.inference.prediction import predict, predict_into
from psbench.inference.rescoring import rescore_into
from psbench.inference.search import search, search_into
from psbench.pairwise import PROPOSALS

__all__ = ["PROPOSALS", "predict", "predict_into", "rescore_into", "search", "search_into"]
