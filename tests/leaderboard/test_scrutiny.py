"""Signs of answers in predictions: said of copies, not of honest work."""

import dataclasses

import numpy as np
import pytest

import psbench
from psbench import PairwisePredictions, Predictions
from psbench.leaderboard.scrutiny import scrutinise
from psbench_data import PersonSearchDataset
from tests.leaderboard.making import honest, pairwise


def signs(predictions: Predictions | PairwisePredictions, dataset: PersonSearchDataset) -> str:
    """Of predictions, under all protocols."""
    protocols = [dataset.protocol(name) for name in dataset.protocols]
    found = scrutinise(predictions, protocols, psbench.evaluate_all(predictions, protocols))
    assert all(len(sign) <= 200 for sign in found)
    return "\n".join(found)


def copied(dataset: PersonSearchDataset, share: float = 1.0, moved: float = 0.0) -> Predictions:
    """Honest embeddings of a share of the annotated boxes, moved by so many pixels."""
    rng, test = np.random.default_rng(0), dataset.split("test")
    kept = rng.random(len(test.boxes)) < share
    scene = np.repeat(np.arange(len(test)), np.diff(test.offsets))[kept]
    embeddings = rng.standard_normal((kept.sum(), 12))
    return honest(
        dataset,
        counts=np.bincount(scene, minlength=len(test)),
        boxes=test.boxes[kept] + moved,
        scores=rng.uniform(0.5, 1, kept.sum()),
        embeddings=embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True),
    )


@pytest.mark.parametrize("noise", [0.3, 1.0, 3.0])
def test_honest_predictions_raise_no_doubt(dataset: PersonSearchDataset, noise: float) -> None:
    for seed in range(5):
        assert not signs(honest(dataset, seed, noise=noise), dataset) or noise == 0.3
    assert not signs(pairwise(dataset, dataset.protocols), dataset)


def test_very_good_honest_predictions_are_suspected_of_nothing_but_being_perfect(dataset: PersonSearchDataset) -> None:
    said = signs(honest(dataset, noise=0.01), dataset)
    assert not said or said.startswith("mAP is 100 % under")


def test_copied_boxes_are_told_and_boxes_nearby_are_not(dataset: PersonSearchDataset) -> None:
    total = len(dataset.split("test").boxes)
    assert f"{total} of {total} annotated boxes were predicted to within 0.001 pixels" in signs(
        copied(dataset), dataset
    )
    assert "annotated boxes" in signs(copied(dataset, share=0.7), dataset)
    assert "annotated boxes" in signs(copied(dataset, moved=5e-4), dataset)
    assert "annotated boxes" not in signs(copied(dataset, share=0.3), dataset)
    assert "annotated boxes" not in signs(copied(dataset, moved=0.02), dataset)


def test_rounded_boxes_of_a_good_detector_are_not_copies(dataset: PersonSearchDataset) -> None:
    made = honest(dataset)
    made.boxes[:] = np.round(made.boxes)
    assert "annotated boxes" not in signs(made, dataset)


def test_embeddings_made_of_identities_are_told(dataset: PersonSearchDataset) -> None:
    made = honest(dataset, noise=0.0 + 1e-12)
    said = signs(made, dataset)
    assert "people found in gallery" in said
    assert "have a similarity of 1 with their query" in said
    same = dataclasses.replace(
        made, embeddings=np.round(made.embeddings, 3), query_embeddings=np.round(made.query_embeddings, 3)
    )
    assert "have, to the bit, the embedding of their query" in signs(same, dataset)
    # Lengths that score-weighted embeddings have do not hide it, and make no similarity of 1 by themselves.
    scaled = dataclasses.replace(made, embeddings=made.embeddings * np.float32(0.3))
    assert "similarity of 1" in signs(scaled, dataset)
    long = honest(dataset)
    assert not signs(dataclasses.replace(long, embeddings=long.embeddings * 50), dataset)


def test_equal_scores_and_perfect_results_are_told(dataset: PersonSearchDataset) -> None:
    made = honest(dataset)
    made.scores[:] = 0.75
    assert f"All {len(made.scores)} detections have the same score, 0.75." in signs(made, dataset)
    test = dataset.split("test")
    everybody = honest(
        dataset,
        counts=np.diff(test.offsets),
        boxes=test.boxes,
        scores=np.ones(len(test.boxes)),
        embeddings=np.eye(12)[np.where(test.person_ids < 0, 11, test.person_ids)],
        query_embeddings=np.eye(12)[[dataset.protocol("gallery-50").queries.person_ids[i] for i in range(8)]],
        query_scenes=dataset.protocol("gallery-50").queries.scene_names,
        query_boxes=dataset.protocol("gallery-50").queries.boxes,
    )
    said = signs(everybody, dataset)
    assert "mAP is 100 % under gallery-50, gallery-all." in said
    assert len(said.splitlines()) == 5


def test_pairs_made_of_the_answers_are_told(dataset: PersonSearchDataset) -> None:
    protocol, test = dataset.protocol("gallery-all"), dataset.split("test")
    pairs = [(q, int(s)) for q in range(len(protocol.queries)) for s in protocol.gallery(q)]
    made = PairwisePredictions.from_arrays(
        test.names,
        queries=[q for q, _ in pairs],
        scenes=[s for _, s in pairs],
        counts=[len(test[s].boxes) for _, s in pairs],
        boxes=np.concatenate([test[s].boxes for _, s in pairs]),
        similarities=np.concatenate([test[s].person_ids == protocol.queries[q].person_id for q, s in pairs]),
    )
    found = "\n".join(scrutinise(made, [protocol], [psbench.evaluate(made, protocol)]))
    total = len(protocol.truth_boxes)
    assert f"{total} of {total} annotated boxes" in found
    assert f"All {total} people found in gallery-all have the same similarity, 1." in found
    assert "mAP is 100 %" in found
    equal = dataclasses.replace(made, similarities=np.zeros_like(made.similarities))
    assert "similarities are the same, 0" in "\n".join(
        scrutinise(equal, [protocol], [psbench.evaluate(equal, protocol)])
    )
