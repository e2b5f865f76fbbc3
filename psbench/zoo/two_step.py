"""Two-step person search: one network detects, another one embeds what it finds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from psbench.zoo.answers import embeddings_of, found_boxes
from psbench.zoo.interface import Detections, JointModel, Unit, ZooModel, inference
from psbench_data import InputError


def two_step(detector: nn.Module, reid: nn.Module) -> TwoStep:
    """Put a detector and a re-ID network together.

    Args:
        detector: any torch module with the method `detect` of `PersonSearcher`; its embeddings, if any, are not used.
        reid: any torch module with the method `embed`: a re-ID network, or a `PersonSearcher`.

    Returns:
        A `PersonSearcher`, for `psbench.inference.predict` and `psbench.zoo.cost`. It is not trained; its parts are.

    Raises:
        InputError: one of them cannot do its part.
    """
    faults = [
        f"{type(model).__name__} does not {what}, so it cannot be the {part} of a two-step search. {remedy}"
        for part, model, what, remedy in (
            ("detector", detector, "detect", "Give a model that does, such as oim."),
            ("re-ID network", reid, "embed", "Give reid_resnet50 or reid_pcb."),
        )
        if not hasattr(model, what)
    ]
    if faults:
        raise InputError(faults)
    return TwoStep(detector, reid)


class TwoStep(JointModel):
    """A detector's boxes and scores with a re-ID network's embeddings.

    Attributes:
        detector, reid: the two networks, each with its options.
    """

    options = None

    def __init__(self, detector: Any, reid: Any) -> None:
        """See `two_step`."""
        super().__init__()
        self.detector, self.reid = detector, reid

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """There are no losses of both together.

        Raises:
            InputError: always.
        """
        raise InputError("a two-step search is not trained as one. Train the detector, and the re-ID network.")

    @inference
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """See `PersonSearcher`; no embedding is weighted by its score."""
        boxes, scores = found_boxes(self.detector, images, include)
        return list(map(Detections, boxes, scores, embeddings_of(self.reid, images, boxes)))

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """See `PersonSearcher`."""
        return embeddings_of(self.reid, images, boxes)

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """See `ZooModel`; the re-ID network runs once for each person."""
        for part in (self.detector, self.reid):
            yield from part.walk(image) if isinstance(part, ZooModel) else ZooModel.walk(part, image)

    def preprocessing(self) -> dict[str, Any]:
        """See `ZooModel`."""
        parts = {"detector": self.detector, "reid": self.reid}
        return {name: part.preprocessing() if isinstance(part, ZooModel) else {} for name, part in parts.items()}
