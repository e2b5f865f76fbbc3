"""Prediction: a model over a dataset's test scenes and queries, in one process or several."""

from psbench.inference.prediction import predict, predict_into

__all__ = ["predict", "predict_into"]
