"""Measured numbers, each with what is needed to tell what it is."""

from __future__ import annotations

from dataclasses import dataclass

from psbench.evaluation import Evaluation


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One method under one protocol.

    Attributes:
        method: as printed.
        dataset: as printed, for example CUHK-SYSU.
        protocol: its name, for example gallery-100.
        gallery_size: scenes searched a query.
        map, top1: in percent.
        data: what it was measured on, in words.
        synthetic: whether that is synthetic data.
        fingerprint: of the data.
        recipe, recipe_digest: what was trained.
    """

    method: str
    dataset: str
    protocol: str
    gallery_size: int
    map: float
    top1: float
    data: str
    synthetic: bool
    fingerprint: str
    recipe: str
    recipe_digest: str

    @staticmethod
    def of(
        evaluation: Evaluation,
        *,
        method: str,
        dataset: str,
        data: str,
        fingerprint: str,
        recipe: str,
        recipe_digest: str,
    ) -> Measured:
        """An evaluation as a measured number."""
        return Measured(
            method=method,
            dataset=dataset,
            protocol=evaluation.protocol,
            gallery_size=evaluation.gallery_size,
            map=100 * evaluation.map,
            top1=100 * evaluation.top(1),
            data=data,
            synthetic=evaluation.synthetic,
            fingerprint=fingerprint,
            recipe=recipe,
            recipe_digest=recipe_digest,
        )

    @property
    def kind(self) -> str:
        """How the number is marked: `synthetic` or `measured`."""
        return "synthetic" if self.synthetic else "measured"

    @property
    def provenance(self) -> str:
        """One sentence for a footnote."""
        sentence = (
            f"{self.method} on {self.dataset}: measured by psbench under {self.protocol} on {self.data} "
            f"(fingerprint {self.fingerprint[:12]}), recipe {self.recipe} ({self.recipe_digest[:12]})."
        )
        return f"{sentence} Not comparable with the published rows." if self.synthetic else sentence
