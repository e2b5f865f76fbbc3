"""What results say of themselves, and what is said of evaluators, in full."""

import dataclasses
import json
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import pytest

import psbench
from psbench import CBGM, PRESETS, Evaluation, InputError, Predictions, audit, compare
from psbench.evaluation.losses import CAUSES, error_analysis
from psbench_data import PersonSearchDataset, Protocol
from psbench_data.galleries import by_rule
from tests.judging import worlds
from tests.judging.listings import pairs_of
from tests.judging.stages import one_query


@pytest.fixture(scope="module")
def judged(golden: PersonSearchDataset, golden_predictions: Predictions) -> Evaluation:
    return psbench.evaluate(golden_predictions, golden.protocol("gallery-50"), cbgm=CBGM(7, 2), det_threshold=0.25)


def _what(evaluation: Evaluation, protocol: Protocol) -> dict[str, Any]:
    return {
        "dataset": "cuhk_sysu",
        "synthetic": protocol.synthetic,
        "protocol": "gallery-50",
        "protocol_version": protocol.version,
        "protocol_digest": protocol.digest,
    }


def test_an_evaluation_is_written_in_full(judged: Evaluation, golden: PersonSearchDataset) -> None:
    protocol = golden.protocol("gallery-50")
    text = judged.to_json()
    written = json.loads(text)
    assert written == {
        **_what(judged, protocol),
        "gallery_size": int(protocol.gallery_sizes.max()),
        "psbench_version": version("psbench"),
        "preset": "default",
        "det_threshold": 0.25,
        "cbgm": {"k1": 7, "k2": 2},
        "keep": None,
        "queries": len(protocol.queries),
        "queries_skipped": int(judged.per_query["ap"].isna().sum()),
        "map": judged.map,
        "top1": judged.top(1),
        "top5": judged.top(5),
        "top10": judged.top(10),
        "map_interval": list(judged.confidence_interval("map")),
        "top1_interval": list(judged.confidence_interval("top1")),
        "detection": dataclasses.asdict(judged.detection),
    }
    assert text.splitlines()[:2] == ["{", ' "dataset": "cuhk_sysu",']


def test_an_error_analysis_is_written_in_full(golden: PersonSearchDataset, golden_predictions: Predictions) -> None:
    protocol = golden.protocol("gallery-50")
    result = error_analysis(golden_predictions, protocol, cbgm=CBGM(7, 2), det_threshold=0.25, preset="nae")
    evaluation = psbench.evaluate(golden_predictions, protocol, cbgm=CBGM(7, 2), det_threshold=0.25, preset="nae")
    text = result.to_json()
    assert json.loads(text) == {
        **_what(evaluation, protocol),
        "psbench_version": version("psbench"),
        "preset": "nae",
        "det_threshold": 0.25,
        "cbgm": {"k1": 7, "k2": 2},
        "map": evaluation.map,
        "lost": 1 - evaluation.map,
        **{cause: getattr(result, cause) for cause in CAUSES},
    }
    assert text.splitlines()[:2] == ["{", ' "dataset": "cuhk_sysu",']
    assert json.loads(dataclasses.replace(result, cbgm=None).to_json())["cbgm"] is None


def test_a_comparison_is_written_in_full(
    judged: Evaluation, golden: PersonSearchDataset, golden_predictions: Predictions
) -> None:
    protocol = golden.protocol("gallery-50")
    other = psbench.evaluate(golden_predictions, protocol)
    result = compare(other, judged, metric="top1", level=0.9, samples=200, seed=3)
    text = result.to_json()
    tables = [e.per_query[e.per_query["ap"].notna()] for e in (other, judged)]
    gains = tables[1]["top1"].astype(float) - tables[0]["top1"].astype(float)
    assert json.loads(text) == {
        **_what(judged, protocol),
        "metric": "top1",
        "a": other.top(1),
        "b": judged.top(1),
        "difference": judged.top(1) - other.top(1),
        "low": result.low,
        "high": result.high,
        "p_value": result.p_value,
        "level": 0.9,
        "samples": 200,
        "seed": 3,
        "queries": len(gains),
        "identities": tables[0]["person_id"].nunique(),
        "unanswered": 0,
        "better": (gains > 0).sum(),
        "worse": (gains < 0).sum(),
        "equal": (gains == 0).sum(),
    }
    assert text.splitlines()[:2] == ["{", ' "dataset": "cuhk_sysu",']


REPEATS, OWN = "a scene listed twice is scored twice", "the query's own scene is never searched"
ANNOTATION = "true boxes from the annotation, neither rounded nor clipped"
AGAIN = "the listed scenes are scored a second time, all wrong (a defect)"
DETECTION, SCALED = "the query is the detection that overlaps its box most", "embeddings scaled to length one"
MEAN = "CBGM takes the mean"
DIFFERENCES: dict[str, dict[str, list[str]]] = {
    "lists": {
        "nae": [REPEATS],
        "oim": [REPEATS],
        "pcnet": [REPEATS, OWN, ANNOTATION],
        "alignps": ["detections from a score of 0.2", REPEATS, DETECTION, SCALED],
        "pstr": ["detections from a score of 0.25", REPEATS, DETECTION, SCALED],
    },
    "rule": {
        "pcnet": [ANNOTATION],
        "alignps": ["detections from a score of 0.15", DETECTION, SCALED],
        "pstr": ["detections from a score of 0.3", DETECTION, SCALED],
    },
    "lists and all others": {"seqnet": [AGAIN], "glcnet": [AGAIN]},
    "cbgm": {
        "pcnet": [OWN, ANNOTATION],
        "alignps": ["detections from a score of 0.2", DETECTION, SCALED],
        "pstr": ["detections from a score of 0.25", DETECTION, SCALED, MEAN],
    },
    "threshold": {
        "nae": [REPEATS],
        "oim": [REPEATS],
        "pcnet": [REPEATS, OWN, ANNOTATION],
        "alignps": [REPEATS, DETECTION, SCALED],
        "pstr": [REPEATS, DETECTION, SCALED],
    },
    "pairs": {
        "nae": [REPEATS],
        "oim": [REPEATS],
        "pcnet": [REPEATS, OWN, ANNOTATION],
        "alignps": [REPEATS],
        "pstr": [REPEATS],
    },
}
DIFFERENCES["lists and all others"] = DIFFERENCES["lists"] | DIFFERENCES["lists and all others"]


@pytest.mark.parametrize("case", DIFFERENCES)
def test_differences_of_evaluators_are_told_where_they_matter(case: str, golden: PersonSearchDataset) -> None:
    protocol = golden.protocol("gallery-all" if case == "lists and all others" else "gallery-50")
    if case == "rule":
        test = golden.split("test")
        table = by_rule(test, worlds.queries(np.random.default_rng(0), test))
        protocol = Protocol("rule", table, test, dataset="prw", synthetic=True, version=1)
    options: dict[str, Any] = {
        "cbgm": {"cbgm": True}, "threshold": {"det_threshold": 0.5}, "pairs": {"pairwise": True}
    }.get(case, {})  # fmt: skip
    found = {name: rules.differences(protocol, **options) for name, rules in PRESETS.items()}
    assert found == {name: DIFFERENCES[case].get(name, []) for name in PRESETS}


@pytest.mark.parametrize("options", [{}, {"det_threshold": 0.3, "cbgm": CBGM(3, 2)}, {"keep": 3}])
def test_an_audit_is_every_presets_evaluation(options: dict[str, Any]) -> None:
    pairwise = "keep" in options
    rng = np.random.default_rng(1)
    test = worlds.scenes(rng)
    asked = worlds.queries(rng, test)
    tables = [worlds.protocol(rng, test, asked).table for _ in range(2)]
    protocols = [
        Protocol(f"drawn {i}", table, test, dataset=dataset, synthetic=True, version=1)
        for i, (table, dataset) in enumerate(zip(tables, ["prw", "movienet_cs"], strict=True))
    ][: 1 if pairwise else 2]
    predictions: Any = worlds.predictions(rng, test, protocols[0], worlds.continuous, 4, context=True)
    if pairwise:
        predictions = pairs_of(predictions, protocols[0])
    asks = {"det_threshold": options.get("det_threshold"), "cbgm": "cbgm" in options, "pairwise": pairwise}
    table = audit(predictions, protocols, **options)
    rows = []
    for protocol in protocols:
        default = psbench.evaluate(predictions, protocol, **options)
        for name, rules in PRESETS.items():
            row = {"protocol": protocol.name, "preset": name, "source": rules.source}
            row["published"] = not rules.datasets or protocol.dataset in rules.datasets
            try:
                found = psbench.evaluate(predictions, protocol, preset=name, **options)
            except InputError as error:
                nothing = {"det_threshold": None, "map": np.nan, "difference": np.nan, "top1": np.nan}
                words = f"not possible: {error.faults[0]}"
                rows.append({**row, **nothing, "skipped": len(protocol.queries), "rules": words})
                continue
            difference = found.map - default.map
            numbers = {"det_threshold": found.det_threshold, "map": found.map, "difference": difference}
            words = "; ".join(rules.differences(protocol, **asks))
            rows.append({**row, **numbers, "top1": found.top(1), "skipped": found.skipped, "rules": words})
    pd.testing.assert_frame_equal(table, pd.DataFrame(rows), check_dtype=False)


def test_an_audit_says_which_evaluators_ask_for_more() -> None:
    predictions, protocol = one_query([0.5, 0.25], right=0, own=False)
    table = audit(predictions, [protocol])
    assert table.columns.tolist() == (
        ["protocol", "preset", "source", "published", "det_threshold", "map", "difference", "top1", "skipped", "rules"]
    )
    fails = table["preset"].isin(["alignps", "pstr"])
    assert (
        table["rules"].str.startswith("not possible: predictions: scene '0.jpg' is missing").tolist() == fails.tolist()
    )
    assert table.loc[fails, ["det_threshold", "map", "difference", "top1"]].isna().all(axis=None)
    assert table.loc[~fails, "map"].tolist() == [1] * (len(PRESETS) - 2)
    assert table["skipped"].tolist() == fails.astype(int).tolist()
