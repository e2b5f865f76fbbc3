"""What is said of predictions, protocols and arguments that do not fit, word by word, and what just fits."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import psbench
from psbench import CBGM, InputError, PairwisePredictions, Predictions
from psbench.evaluation.fitting import length_faults, origin_faults
from psbench_data import Protocol, Scenes
from psbench_data.scenes import scenes_table
from tests.judging.listings import pairs_of
from tests.judging.stages import one_query

PREDICTIONS, PROTOCOL = one_query([0.5, 0.25], right=0)
PAIRS = pairs_of(PREDICTIONS, PROTOCOL)
PAIRWISE = [
    "det_threshold: pairwise predictions have no scores. Leave it out, or choose proposals with keep.",
    "cbgm: it revises similarities of embeddings, and pairwise predictions have none. Leave it out.",
]


def _faults(predictions: Any, protocols: Any, **options: Any) -> list[str]:
    with pytest.raises(InputError) as error:
        psbench.evaluate_all(predictions, protocols, **options)
    return error.value.faults


@pytest.mark.parametrize(
    ("predictions", "protocols", "faults"),
    [
        ("folder", PROTOCOL, [
            "evaluate was given str, expected Predictions (Predictions.load(folder)) or PairwisePredictions.",
        ]),
        (PREDICTIONS, [PROTOCOL, "gallery-50", None, "gallery-100"], [
            "evaluate was given NoneType, str, expected a Protocol (dataset.protocol(\"gallery-100\")); evaluate_all "
            "takes a list of them.",
        ]),
        (PREDICTIONS, PROTOCOL, ["evaluate_all was given one protocol. Give a list of them, or use evaluate."]),
        (PREDICTIONS, (), ["no protocol was given. Name at least one."]),
    ],
)  # fmt: skip
def test_things_of_another_kind_are_refused(predictions: Any, protocols: Any, faults: list[str]) -> None:
    assert _faults(predictions, protocols) == faults


@pytest.mark.parametrize(
    ("predictions", "options", "faults"),
    [
        *((PREDICTIONS, {"det_threshold": given}, [f"det_threshold is {given!r}, expected 0 to 1."])
          for given in (-0.01, 1.01, True, "0.5", float("nan"))),
        (PREDICTIONS, {"cbgm": 10}, ["cbgm is 10, expected CBGM(k1, k2), for example CBGM(10, 3)."]),
        (PREDICTIONS, {"keep": 1}, [
            "keep: it chooses among the proposals of pairwise predictions. Leave it out for these.",
        ]),
        *((PAIRS, {"keep": given}, [f"keep is {given!r}, expected a whole number, at least 1."])
          for given in (0, 1.0, True)),
        *((PREDICTIONS, {"memory": given}, [f"memory is {given!r} bytes, expected a whole number, at least 1048576."])
          for given in (2**20 - 1, 2.0**30, True, None)),
        (PAIRS, {"det_threshold": 0.5, "cbgm": CBGM()}, PAIRWISE),
    ],
)  # fmt: skip
def test_options_that_cannot_be_right_are_refused(predictions: Any, options: dict, faults: list[str]) -> None:
    assert _faults(predictions, [PROTOCOL], **options) == faults


def test_options_that_just_fit_are_taken() -> None:
    for threshold in (0, 1, np.float32(0.5)):
        assert psbench.evaluate(PREDICTIONS, PROTOCOL, det_threshold=threshold).map == 1
    assert psbench.evaluate(PREDICTIONS, PROTOCOL, memory=2**20).map == 1
    assert psbench.evaluate(PAIRS, PROTOCOL, keep=1).map == psbench.evaluate(PAIRS, PROTOCOL, keep=np.int64(1)).map == 1
    assert len(psbench.evaluate_all(PREDICTIONS, (PROTOCOL, PROTOCOL))) == 2


def _elsewhere(name: str, dataset: str) -> Protocol:
    """The same queries, in scenes of other names."""
    names = ["2.jpg", "3.jpg"]
    box = np.array([[0, 0, 20, 40]])
    scenes = Scenes(scenes_table(names, names, [box] * 2, [np.array([0])] * 2), Path(), ["somebody"])
    return Protocol(name, PROTOCOL.table, scenes, dataset=dataset, synthetic=False, version=1)


def test_protocols_of_other_scenes_are_named() -> None:
    others = [_elsewhere("first", "theatre"), PROTOCOL, _elsewhere("second", "circus")]
    assert _faults(PREDICTIONS, [PROTOCOL, *others]) == [
        f"protocols: {name} is of other test scenes ({dataset}) than stage (stage). Evaluate one dataset at a time."
        for name, dataset in [("first", "theatre"), ("second", "circus")]
    ]


def test_origins_that_predictions_state_have_to_be_right() -> None:
    here = {"dataset": "stage", "fingerprint": PROTOCOL.fingerprint}
    for told in (here, here | {"dataset": ""}, here | {"fingerprint": ""}, {"dataset": "", "fingerprint": ""}):
        assert psbench.evaluate(dataclasses.replace(PREDICTIONS, **told), PROTOCOL).map == 1
    dataset = "dataset is 'circus', expected 'stage'. Give the dataset that was predicted on."
    fingerprint = (
        f"made on another stage (fingerprint 0123456789ab) than this one (fingerprint {PROTOCOL.fingerprint[:12]}). "
        "Evaluate with the data that was predicted on."
    )
    drawn = "says that its people are drawn, and those of this stage are not. Give the dataset that was predicted on."
    for told, faults in [
        ({"dataset": "circus"}, [dataset]),
        ({"dataset": "circus", "fingerprint": "0123456789abcdef"}, [dataset]),
        ({"fingerprint": "0123456789abcdef"}, [fingerprint]),
        ({"dataset": "stage", "synthetic": True, "fingerprint": "0123456789abcdef"}, [fingerprint, drawn]),
        ({"synthetic": True}, [drawn]),
    ]:
        changed = dataclasses.replace(PREDICTIONS, **told)
        assert _faults(changed, [PROTOCOL]) == [f"predictions: {fault}" for fault in faults]
        of = changed, "stage", PROTOCOL.fingerprint
        assert origin_faults(*of, "folder", synthetic=False) == [f"folder: {fault}" for fault in faults]
        # Where nothing else is said, people may be drawn.
        assert origin_faults(*of) == [f"predictions: {fault}" for fault in faults if fault != drawn]
    drawn_too = Protocol("drawn", PROTOCOL.table, PROTOCOL.scenes, dataset="stage", synthetic=True, version=1)
    for synthetic in (False, True):
        assert psbench.evaluate(dataclasses.replace(PREDICTIONS, synthetic=synthetic), drawn_too).map == 1


def test_names_of_another_dataset_are_one_fault() -> None:
    theirs = dataclasses.replace(PREDICTIONS, scene_names=["a", "b"])
    [fault] = _faults(theirs, [PROTOCOL], cbgm=CBGM())
    assert fault.startswith(
        "predictions: none of its 2 scenes is a test scene of stage: expected names such as '0.jpg'"
    )


def test_what_embeddings_and_context_lack_is_told_together() -> None:
    odd = dataclasses.replace(PREDICTIONS, query_embeddings=np.full((1, 2), 1e30, np.float32))
    odd = dataclasses.replace(odd, embeddings=odd.embeddings * np.float32(1e30))
    told = [
        "predictions: embeddings are so long that similarities of query and detection exceed float32. Scale them.",
        "predictions: query embeddings have 2 dimensions, those of detections 1. Take both from the same model.",
    ]
    assert _faults(odd, [PROTOCOL]) == told
    assert _faults(odd, [PROTOCOL], cbgm=CBGM()) == [
        *told,
        "predictions: CBGM needs the detections of the queries' scenes, and there are none. "
        "Predict with context (psbench predict --context), or give from_arrays its context.",
    ]
    missing = dataclasses.replace(odd, scene_names=["0.jpg", "nowhere.jpg"])
    scenes = [
        "predictions: scene 'nowhere.jpg' is not a test scene of this dataset. "
        "Predict on the dataset that is evaluated.",
        "predictions: scene '1.jpg' is missing. Predict every test scene; one without detections has count 0.",
    ]
    assert _faults(missing, [PROTOCOL]) == _faults(missing, [PROTOCOL], preset="pstr") == [*told, *scenes]


def test_the_scenes_of_all_queries_are_needed_where_these_are_detections() -> None:
    alone, protocol = one_query([0.5], right=0, own=False)
    assert psbench.evaluate(alone, protocol).map == 1
    missing = "predictions: scene '0.jpg' is missing. Predict every test scene; one without detections has count 0."
    assert _faults(alone, [protocol], preset="alignps") == [missing]


def test_embeddings_may_be_as_long_as_float32_can_bear() -> None:
    """A product of lengths of 2**126 is refused, whatever the lengths."""

    def made(detection: float, query: float) -> Predictions:
        vectors = {"embeddings": np.array([[detection]], np.float32), "query_embeddings": [[query]]}
        return Predictions.from_arrays(["a.jpg"], counts=[1], boxes=[[0, 0, 1, 1]], scores=[1], **vectors)

    just_below = float(np.nextafter(np.float32(2.0**63), np.float32(0)))
    for lengths in [(2.0**63, just_below), (just_below, 2.0**63), (2.0**100, 2.0**25), (1000.0, 1.0)]:
        assert length_faults(made(*lengths)) == []
    fault = "embeddings are so long that similarities of query and detection exceed float32. Scale them."
    for lengths in [(2.0**63, 2.0**63), (2.0, 2.0**125)]:
        assert length_faults(made(*lengths)) == [f"predictions: {fault}"]
        assert length_faults(made(*lengths), "folder") == [f"folder: {fault}"]


def test_faults_of_pairs_are_told_once_for_all_protocols() -> None:
    pairs: dict = {"queries": [0], "scenes": [0], "counts": [0], "boxes": np.zeros((0, 4)), "similarities": []}
    fewer = PairwisePredictions.from_arrays(["0.jpg"], **pairs)
    other = Protocol("other", PROTOCOL.table, PROTOCOL.scenes, dataset="stage", synthetic=False, version=1)
    assert _faults(fewer, [PROTOCOL, other, PROTOCOL]) == [
        f"predictions: query 0 of {name} was not searched in 1 scenes of its gallery, for example '1.jpg'. List every "
        "pair; one without boxes has count 0."
        for name in ("stage", "other")
    ]
