"""Whose rules: the published evaluators, as the settings in which they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from psbench_data import InputError, Protocol
from psbench_data.errors import near_names


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How an evaluator decides; the defaults are psbench's own.

    Common to all, and therefore no setting: the most similar detection that overlaps a true box enough is right, at
    most one a scene; all others are wrong; average precision is scaled by the share of true boxes found.

    Attributes:
        name: of the preset.
        source: the public code that has these rules.
        det_thresholds: of the search, where none is given: for galleries from lists (CUHK-SYSU), and by rule (PRW).
        detection_threshold: of the detection evaluation.
        repeats: a scene that a gallery lists twice is searched `once`, for the box of its first entry, or once for
            `each` entry. The true boxes of all entries count either way.
        own_scene: the query's own scene is searched where it is `listed`, or `never`.
        true_boxes: those of the `protocol`, or the person's in the `annotation` of the scene, neither rounded nor
            clipped, with overlaps in float32.
        lists_again: in a full gallery of listed scenes and all others, the listed ones are searched a second time, with
            every detection wrong: a defect of the released code, kept to explain its numbers.
        query: the query's embedding is that of its `box`, or of the `detection` of its scene that overlaps the box most
            (areas with the "+1" of old code); a query in whose scene nothing is detected is left out.
        normalise: embeddings are scaled to length one, which undoes a weighting by scores.
        cbgm: the query's match gets the `largest` similarity of the matched pairs, or the `mean` of that and its own.
        first_person_unlabelled: detection of labelled people takes identity 0 for unlabelled (tests `id > 0`).
    """

    name: str = "default"
    source: str = "psbench"
    det_thresholds: tuple[float, float] = (0.5, 0.5)
    detection_threshold: float = 0.01
    repeats: Literal["once", "each"] = "once"
    own_scene: Literal["listed", "never"] = "listed"
    true_boxes: Literal["protocol", "annotation"] = "protocol"
    lists_again: bool = False
    query: Literal["box", "detection"] = "box"
    normalise: bool = False
    cbgm: Literal["largest", "mean"] = "largest"
    first_person_unlabelled: bool = False

    def det_threshold(self, protocol: Protocol) -> float:
        """Of the search under a protocol, where the caller gives none."""
        listed, by_rule = self.det_thresholds
        return by_rule if protocol.by_rule else listed


PRESETS = {
    rules.name: rules
    for rules in (
        Rules(),
        Rules(name="seqnet", source="serend1p1ty/SeqNet, and COAT", lists_again=True),
        Rules(name="glcnet", source="ZhengPeng7/GLCNet", lists_again=True),
        Rules(name="nae", source="dichen-cd/NAE4PS", repeats="each", first_person_unlabelled=True),
        Rules(
            name="oim",
            source="ShuangLI59/person_search, and serend1p1ty/person_search",
            repeats="each",
            detection_threshold=0.5,
            first_person_unlabelled=True,
        ),
        Rules(
            name="pcnet",
            source="zhongyingji/PCNetPS",
            repeats="each",
            own_scene="never",
            true_boxes="annotation",
        ),
        Rules(
            name="alignps",
            source="daodaofr/AlignPS",
            det_thresholds=(0.2, 0.15),
            repeats="each",
            query="detection",
            normalise=True,
        ),
        Rules(
            name="pstr",
            source="JialeCao001/PSTR",
            det_thresholds=(0.25, 0.3),
            repeats="each",
            query="detection",
            normalise=True,
            cbgm="mean",
        ),
    )
}
"""The published evaluators by name, the default first."""


def rules_of(preset: str) -> Rules:
    """The rules of a preset.

    Raises:
        InputError: there is none of that name.
    """
    if preset not in PRESETS:
        raise InputError(f"no evaluator is called {preset!r}. {near_names(preset, PRESETS)}")
    return PRESETS[preset]
