"""What is said of published evaluators: in which points that can matter they differ."""

import numpy as np
import pytest

from psbench import InputError
from psbench.evaluation.rules import rules_of
from psbench_data import Protocol
from psbench_data.galleries import protocol_table
from tests.judging import worlds

TWICE = "a scene listed twice is scored twice"
OWN = "the query's own scene is never searched"
ANNOTATED = "true boxes from the annotation, neither rounded nor clipped"
AGAIN = "the listed scenes are scored a second time, all wrong (a defect)"
DETECTION = "the query is the detection that overlaps its box most"
UNIT = "embeddings scaled to length one"
MEAN = "CBGM takes the mean"


def _from(score: float) -> str:
    return f"detections from a score of {score}"


def _protocol(**options: object) -> Protocol:
    test, box = worlds.scenes(np.random.default_rng(0)), np.array([[0, 0, 1, 1]])
    table = protocol_table([0], box, [0], [np.array([1])], [np.array([0])], [box], **options)  # type: ignore[arg-type]
    return Protocol("one", table, test, dataset="toys", synthetic=False, version=1)


LISTED, FULL, RULED = _protocol(), _protocol(rest="all"), _protocol(rest="all", by_rule=True)


@pytest.mark.parametrize(
    ("preset", "listed", "full", "ruled"),
    [
        ("default", [], [], []),
        ("seqnet", [], [AGAIN], []),
        ("glcnet", [], [AGAIN], []),
        ("nae", [TWICE], [TWICE], []),
        ("oim", [TWICE], [TWICE], []),
        ("pcnet", [TWICE, OWN, ANNOTATED], [TWICE, OWN, ANNOTATED], [ANNOTATED]),
        ("alignps", [_from(0.2), TWICE, DETECTION, UNIT], [_from(0.2), TWICE, DETECTION, UNIT],
         [_from(0.15), DETECTION, UNIT]),
        ("pstr", [_from(0.25), TWICE, DETECTION, UNIT], [_from(0.25), TWICE, DETECTION, UNIT],
         [_from(0.3), DETECTION, UNIT]),
    ],
)  # fmt: skip
def test_differences_that_can_matter_are_told(
    preset: str, listed: list[str], full: list[str], ruled: list[str]
) -> None:
    rules = rules_of(preset)
    for protocol, expected in ((LISTED, listed), (FULL, full), (RULED, ruled)):
        assert rules.differences(protocol) == expected
        threshold = {_from(rules.det_threshold(protocol))}
        said = [words for words in expected if words not in threshold]
        assert rules.differences(protocol, det_threshold=0.5) == said
        assert rules.differences(protocol, pairwise=True) == [w for w in said if w not in (DETECTION, UNIT)]
        revised = [words for words in expected if words != TWICE] + [MEAN] * (preset == "pstr")
        assert rules.differences(protocol, cbgm=True) == revised


@pytest.mark.parametrize(
    ("preset", "meant"),
    [("seqnt", "'seqnet'"), (["pstr"], "'pstr'"), ("nea", "'nae' or 'pcnet'"), (3, None), ("", None)],
)
def test_unknown_evaluators_are_refused_with_the_names_of_all(preset: object, meant: str | None) -> None:
    with pytest.raises(InputError) as error:
        rules_of(preset)  # type: ignore[arg-type]
    guess = "" if meant is None else f"Did you mean {meant}? "
    names = "alignps, default, glcnet, nae, oim, pcnet, pstr, seqnet"
    assert error.value.faults == [f"no evaluator is called {preset!r}. {guess}Available: {names}."]
