"""Predictions to compare with."""

import dataclasses

import numpy as np

from psbench.evaluation.baselines import with_random_embeddings
from tests.judging import worlds


def test_random_embeddings_have_length_one_and_know_nothing_but_the_seed() -> None:
    rng = np.random.default_rng(0)
    test = worlds.scenes(rng)
    given = worlds.predictions(rng, test, worlds.protocol(rng, test), worlds.continuous, 8, context=True)
    found, again, other = (
        with_random_embeddings(given),
        with_random_embeddings(given, 0),
        with_random_embeddings(given, 1),
    )
    for name in ("embeddings", "query_embeddings"):
        vectors = getattr(found, name)
        assert vectors.shape == getattr(given, name).shape
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(vectors, getattr(again, name))
        assert not np.isclose(vectors, getattr(other, name)).any()
    assert not np.isclose(found.embeddings[: len(found.query_embeddings)], found.query_embeddings).any()
    assert (found.method, found.context) == ("random embeddings", None)
    for field in dataclasses.fields(given):
        if field.name not in ("embeddings", "query_embeddings", "context", "method"):
            assert getattr(found, field.name) is getattr(given, field.name)
