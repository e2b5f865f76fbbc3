"""Measured numbers, each with what is needed to tell what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from psbench.efficiency import Efficiency
from psbench.evaluation import Evaluation

_SCENES = 100
"""Of a gallery that a query's time is told for."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One method under one protocol.

    Attributes:
        row: of the published table that it stands beside; None for one of its own.
        method: as printed.
        dataset: as printed, for example CUHK-SYSU.
        protocol: its name, for example gallery-100.
        gallery_size: scenes searched a query.
        map, top1: in percent.
        map_low, map_high, top1_low, top1_high: the ends of the 95 % intervals, in percent; None where there is none.
        keep: how many proposals a query were kept over its gallery; None for all.
        ground_truth_boxes: whether annotated boxes were embedded instead of detecting.
        procedure: how it was measured, as far as that is not usual, in words: with CBGM, on annotated boxes, ...
        data: what it was measured on, in words.
        data_options: that the data was opened with, for example {"train_subset": 10}.
        synthetic: whether that is synthetic data.
        fingerprint: of the data.
        recipe, recipe_digest: what was trained; empty where weights were given of which no recipe is known.
        weights_digest: SHA-256 of the weights file.
        psbench: its version, with the commit where that is known.
        hardware: that it was trained on, in words; empty where unknown.
        seconds: of training; None where unknown.
    """

    row: int | None = None
    method: str
    dataset: str
    protocol: str
    gallery_size: int
    map: float
    top1: float
    map_low: float | None = None
    map_high: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    keep: int | None = None
    ground_truth_boxes: bool = False
    procedure: str = ""
    data: str
    data_options: Mapping[str, Any] = field(default_factory=dict)
    synthetic: bool
    fingerprint: str
    recipe: str
    recipe_digest: str
    weights_digest: str = ""
    psbench: str = ""
    hardware: str = ""
    seconds: float | None = None

    @staticmethod
    def of(evaluation: Evaluation, *, method: str = "", procedure: str = "", **facts: Any) -> Measured:
        """An evaluation as a measured number.

        Args:
            evaluation: see there.
            method, procedure: as in the class; what the evaluation says of the procedure is added.
            **facts: the other attributes, but for those that the evaluation gives.
        """
        low, high = _interval(evaluation, "map")
        top1_low, top1_high = _interval(evaluation, "top1")
        steps = [procedure] if procedure else []
        if evaluation.cbgm:
            steps.append(f"with CBGM (k1 {evaluation.cbgm.k1}, k2 {evaluation.cbgm.k2})")
        if evaluation.keep:
            steps.append(f"{evaluation.keep} proposals a query")
        return Measured(
            method=method,
            protocol=evaluation.protocol,
            gallery_size=evaluation.gallery_size,
            map=100 * evaluation.map,
            top1=100 * evaluation.top(1),
            map_low=low,
            map_high=high,
            top1_low=top1_low,
            top1_high=top1_high,
            keep=evaluation.keep,
            procedure=", ".join(steps),
            synthetic=evaluation.synthetic,
            **facts,
        )

    @property
    def kind(self) -> str:
        """How the number is marked: `synthetic` or `measured`."""
        return "synthetic" if self.synthetic else "measured"

    @property
    def provenance(self) -> str:
        """One sentence for a footnote."""
        how = f", {self.procedure}" if self.procedure else ""
        options = "".join(f", {name} {value}" for name, value in self.data_options.items())
        facts = [
            f"recipe {self.recipe} ({self.recipe_digest[:12]})" if self.recipe else "no recipe known",
            f"weights {self.weights_digest[:12]}" if self.weights_digest else "",
            f"trained in {self.seconds:.0f} s on {self.hardware}" if self.seconds is not None else "",
            f"psbench {self.psbench}" if self.psbench else "",
        ]
        sentence = (
            f"{self.method} on {self.dataset}: measured by psbench under {self.protocol}{how} on {self.data}{options} "
            f"(fingerprint {self.fingerprint[:12]}); {', '.join(filter(None, facts))}."
        )
        return f"{sentence} Not comparable with the published rows." if self.synthetic else sentence


@dataclass(frozen=True, kw_only=True)
class MeasuredCost:
    """What one model costs; the names of numbers are those of the published ones.

    Attributes:
        row: of the published table that it stands beside; None for one of its own.
        method: as printed.
        input_max: the size that images are resized into, width x height; empty of a pairwise model.
        params_m: parameters, 10^6.
        gmac: multiply-adds of an image, 10^9; None of a pairwise model.
        mem_gb: of one image from its JPEG bytes, 10^9 bytes.
        speed_fps: images a second of the network alone, one at a time; None of a pairwise model.
        whole_fps: the same from JPEG bytes to results.
        best_fps: of the network alone, at the best of several batches.
        seconds: of one query in 100 scenes: scenes and query embedded, or encoded and searched; on the device.
        scene_seconds, correlation_seconds, head_seconds, reid_seconds: the same of a pairwise model in its parts: query
            and scenes encoded, these searched for proposals, the proposals judged, the best of them ranked.
        synthetic: whether it is the small network of the demo, in small images.
        device: by its name.
        source: a sentence on how it was measured.
    """

    row: int | None = None
    method: str
    input_max: str
    params_m: float
    gmac: float | None
    mem_gb: float
    speed_fps: float | None
    whole_fps: float | None
    best_fps: float | None
    seconds: float
    scene_seconds: float | None = None
    correlation_seconds: float | None = None
    head_seconds: float | None = None
    reid_seconds: float | None = None
    synthetic: bool
    device: str
    source: str

    @staticmethod
    def of(cost: Efficiency, *, method: str, synthetic: bool, row: int | None = None) -> MeasuredCost:
        """What was measured of a model, at the one size that it was measured at."""
        at, search = next(iter(cost.sizes), None), next(iter(cost.searches), None)
        whole = at.find("end to end", 1) if at else None
        seconds, memory, parts = 0.0, 0, dict[str, float]()
        if search:
            more = _SCENES / search.scenes
            parts = {
                "scene_seconds": search.query + more * search.encoding,
                "correlation_seconds": more * search.correlation,
                "head_seconds": more * search.head,
                "reid_seconds": search.ranking,
            }
            seconds, memory = sum(parts.values()), search.memory
        elif at:
            seconds, memory = (_SCENES + 1) / at.alone.images_per_second, at.memory
        return MeasuredCost(
            row=row,
            method=method,
            input_max=f"{at.width}x{at.height}" if at else "",
            params_m=cost.parameters / 1e6,
            gmac=at.gmac if at else None,
            mem_gb=memory / 1e9,
            speed_fps=at.alone.images_per_second if at else None,
            whole_fps=whole.images_per_second if whole else None,
            best_fps=at.best.images_per_second if at else None,
            seconds=seconds,
            **parts,
            synthetic=synthetic,
            device=cost.device,
            source=cost.provenance,
        )

    @property
    def kind(self) -> str:
        """How the numbers are marked: `synthetic` or `measured`."""
        return "synthetic" if self.synthetic else "measured"

    @property
    def provenance(self) -> str:
        """For a footnote."""
        small = " A small network in small images, not comparable with the published rows." if self.synthetic else ""
        return f"{self.source}{small}"


def as_json(measured: Measured) -> str:
    """All of it, to be read by `from_json`."""
    return json.dumps(asdict(measured), indent=1) + "\n"


def from_json(text: str | bytes) -> Measured:
    """What `as_json` wrote.

    Raises:
        ValueError: it is something else.
    """
    return TypeAdapter(Measured).validate_json(text)


def _interval(evaluation: Evaluation, metric: str) -> tuple[float | None, float | None]:
    low, high = evaluation.confidence_interval(metric)
    return (100 * low, 100 * high) if low == low else (None, None)
