"""Whose rules: the published evaluators, as the settings in which they differ."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from types import MappingProxyType
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
        datasets: those that it reads; empty for all.
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
    datasets: tuple[str, ...] = ()
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

    def with_cbgm(self) -> Rules:
        """The same where CBGM revises similarities: all code that has it searches a scene once."""
        return dataclasses.replace(self, repeats="once")

    def differences(
        self, protocol: Protocol, *, det_threshold: float | None = None, cbgm: bool = False, pairwise: bool = False
    ) -> list[str]:
        """In words, what differs from psbench's own rules and can matter.

        Args:
            protocol: what is evaluated.
            det_threshold: the one that all evaluators are given, if they are.
            cbgm: whether similarities are revised.
            pairwise: whether predictions are pairwise: without scores, embeddings and a scene of the query.
        """
        rules, usual = self.with_cbgm() if cbgm else self, Rules()
        full_of_lists = protocol.rest != "none" and not protocol.by_rule
        threshold = rules.det_threshold(protocol)
        own_threshold = det_threshold is None and not pairwise and threshold != usual.det_threshold(protocol)
        said = [
            (own_threshold, f"detections from a score of {threshold}"),
            (rules.repeats == "each" and not protocol.by_rule, "a scene listed twice is scored twice"),
            (rules.own_scene == "never" and not protocol.by_rule, "the query's own scene is never searched"),
            (rules.true_boxes == "annotation", "true boxes from the annotation, neither rounded nor clipped"),
            (rules.lists_again and full_of_lists, "the listed scenes are scored a second time, all wrong (a defect)"),
            (rules.query == "detection" and not pairwise, "the query is the detection that overlaps its box most"),
            (rules.normalise and not pairwise, "embeddings scaled to length one"),
            (rules.cbgm == "mean" and cbgm, "CBGM takes the mean"),
        ]
        return [words for differs, words in said if differs]


_BOTH = ("cuhk_sysu", "prw")

PRESETS = MappingProxyType(
    {
        rules.name: rules
        for rules in (
            Rules(),
            Rules(name="seqnet", source="serend1p1ty/SeqNet, and COAT", datasets=_BOTH, lists_again=True),
            Rules(name="glcnet", source="ZhengPeng7/GLCNet", datasets=(*_BOTH, "movienet_cs"), lists_again=True),
            Rules(name="nae", source="dichen-cd/NAE4PS", datasets=_BOTH, repeats="each", first_person_unlabelled=True),
            Rules(
                name="oim",
                source="ShuangLI59/person_search, and serend1p1ty/person_search",
                datasets=("cuhk_sysu",),
                repeats="each",
                detection_threshold=0.5,
                first_person_unlabelled=True,
            ),
            Rules(
                name="pcnet",
                source="zhongyingji/PCNetPS",
                datasets=_BOTH,
                repeats="each",
                own_scene="never",
                true_boxes="annotation",
            ),
            Rules(
                name="alignps",
                source="daodaofr/AlignPS",
                datasets=_BOTH,
                det_thresholds=(0.2, 0.15),
                repeats="each",
                query="detection",
                normalise=True,
            ),
            Rules(
                name="pstr",
                source="JialeCao001/PSTR",
                datasets=_BOTH,
                det_thresholds=(0.25, 0.3),
                repeats="each",
                query="detection",
                normalise=True,
                cbgm="mean",
            ),
        )
    }
)
"""The published evaluators by name, the default first."""


def rules_of(preset: str) -> Rules:
    """The rules of a preset.

    Raises:
        InputError: there is none of that name.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise InputError(f"no evaluator is called {preset!r}. {near_names(str(preset), PRESETS)}")
    return PRESETS[preset]
