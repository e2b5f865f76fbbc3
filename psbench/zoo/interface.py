"""What every person searcher offers, whatever it is made of."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from psbench_data import InputError

Unit = Literal["image", "query", "pair", "RoI", "person"]
"""What a layer runs once for: the image, a query, a query in an image (pairwise models), a proposal, or a proposal that
was found to be a person (two-stage heads)."""
TrainsOn = Literal["scenes", "pairs", "crops"]
"""What training gives a model: whole scenes, pairs of a query and a scene, or crops of one person each."""


@dataclass(eq=False)
class Detections:
    """The people found in one image, the most certain first.

    Attributes:
        boxes: (n, 4) of the model's type (float32), xyxy, pixels of the image as it was given.
        scores: (n,) in [0, 1].
        embeddings: (n, D), as the evaluator takes them (scaled by the score where the method says so).
    """

    boxes: Tensor
    scores: Tensor
    embeddings: Tensor


@dataclass(eq=False)
class Found:
    """What a pairwise model finds of one query in one scene, the most similar first.

    Attributes:
        boxes: (n, 4) of the model's type (float32), xyxy, pixels of the scene as it was given.
        similarities: (n,) in [0, 1].
        target: () in [0, 1], how probable it is that the query is in the scene at all; None if the model does not say.
    """

    boxes: Tensor
    similarities: Tensor
    target: Tensor | None = None


@runtime_checkable
class PersonSearcher(Protocol):
    """A joint model: detects people and embeds them. Satisfy it; there is nothing to inherit from.

    Images are lists of (3, H, W) float32 in [0, 1], RGB, of any sizes.
    """

    def __call__(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training losses: scalars, their weights applied.

        `targets[i]` has `boxes` (n, 4) in pixels and `person_ids` (n,) int64: 0..K-1, or -1 without identity.
        """

    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """Find and embed the people of each image: a list with one `Detections` an image.

        With `include`, (n, 4) known boxes an image, these come out first, unchanged and with score 1, and no embedding
        is weighted by its score: the context of a query for CBGM. Who does without CBGM may leave the argument out.
        """

    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Embed given boxes, (n, 4) pixels an image, as queries: a list with one (n, D) an image, D as of `detect`."""


def inference(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a model that runs in evaluation mode and without gradients, whatever mode the model is in.

    Batch norm over the RoIs of a few images would give other results, and keep their statistics.
    """

    @functools.wraps(method)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        training = [module for module in self.modules() if module.training]
        try:
            self.eval()
            with torch.no_grad():
                return method(self, *args, **kwargs)
        finally:
            for module in training:
                module.training = True

    return run


class ZooModel(nn.Module):
    """A torch module of the zoo: what training takes, and weights are kept of.

    What has a value here is the default for a model of another package (`psbench.zoo.plugins`), which need not say it.

    Attributes:
        options_type: the dataclass of its options.
        options: with which it was made.
        training_only: prefixes of the state that only training needs; it is left out of a run's weights.
        trains_on: what `forward` takes.
        size_bucket: in training mode, batches are padded to multiples of so many pixels, for fewer different sizes.
            Detecting and embedding leave it aside, and so does `preprocessing`; models that never pad ignore it.
        recipe: for a model of another package: where its recipe differs from `Recipe`'s own values, by dotted name.
    """

    options_type: ClassVar[type]
    options: Any
    training_only: ClassVar[tuple[str, ...]] = ()
    trains_on: ClassVar[TrainsOn] = "scenes"
    size_bucket: int = 1
    recipe: ClassVar[Mapping[str, Any]] = {}

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """Run the layers that inference takes, each once, on an image (3, H, W) and one RoI, for counting their cost.

        Yields after some of them what they run once for. Values play no part: the tensors have none.

        Raises:
            InputError: the model does not say.
        """
        raise InputError(
            f"{type(self).__name__} does not say which of its layers run how often, so its cost cannot be counted. "
            "Give it a method walk, as psbench.zoo.interface.ZooModel describes it."
        )

    def preprocessing(self) -> dict[str, Any]:
        """What is done to images before the network sees them, as plain values that are kept with its weights."""
        return {}


class JointModel(ZooModel):
    """A `PersonSearcher` of the zoo: one network that detects people and embeds them."""

    @abstractmethod
    def detect(self, images: list[Tensor], include: list[Tensor] | None = None) -> list[Detections]:
        """See `PersonSearcher`."""

    @abstractmethod
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """See `PersonSearcher`."""
