"""Predictions to compare with."""

from __future__ import annotations

import dataclasses

import numpy as np

from psbench.predictions import Predictions


def with_random_embeddings(predictions: Predictions, seed: int = 0) -> Predictions:
    """The same detections with unit embeddings that know nothing: what detecting alone is worth, the floor."""
    rng = np.random.default_rng(seed)

    def directions(like: np.ndarray) -> np.ndarray:
        vectors = rng.standard_normal(like.shape).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return dataclasses.replace(
        predictions,
        embeddings=directions(predictions.embeddings),
        query_embeddings=directions(predictions.query_embeddings),
        context=None,
        method="random embeddings",
    )
