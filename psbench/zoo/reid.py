"""The re-ID networks that a detector, or IGPN (CVPR 2020), hands its boxes to; trained on crops by cross-entropy.

crop (384x128) -> ResNet-50
  `reid_resnet50`: -> mean -> linear, batch norm: embedding (256) -> who
  `reid_pcb` (Sun et al., ECCV 2018): last stride 1 -> means of 6 stripes: embedding (6 x 2048)
                                          -> linear, batch norm, ReLU of each (256) -> who, six times

IGPN trains both by one recipe. What it leaves open is said in docs/models/reid.md.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import normalize

from psbench.zoo.inputs import check_boxes, check_inputs
from psbench.zoo.interface import Unit, ZooModel, inference
from psbench.zoo.layers.backbone import split_backbone
from psbench.zoo.layers.patches import crop
from psbench.zoo.layers.pixels import IMAGENET_MEAN, IMAGENET_STD
from psbench.zoo.layers.precision import full
from psbench.zoo.reid_options import ReIDOptions, ReIDPCBOptions, ReIDResNet50Options
from psbench_data import InputError

AT_ONCE = 64
"""Crops that are embedded together, whatever the number of boxes: a bound on memory."""

_ALONE = (nn.BatchNorm1d, nn.BatchNorm2d)
"""Batch norms that see one process's crops."""


class Trunk(nn.Module):
    """A backbone up to the map of its last stage, (B, 3, h, w) to (B, channels, h / 32, w / 32); or at stride 16."""

    def __init__(self, options: ReIDOptions) -> None:
        super().__init__()
        self.c4, self.res5 = split_backbone(
            options.backbone, pretrained=options.pretrained, last_stride=options.last_stride
        )
        self.channels = self.res5.channels["res5"]

    def forward(self, crops: Tensor) -> Tensor:
        """Crops, normalised."""
        return self.res5.maps(self.c4(crops))["res5"]


class ReIDNetwork(ZooModel):
    """A network over crops; the two differ by what follows its map.

    Attributes:
        num_identities: K, of the training split.
        classifiers: of training alone.
    """

    trains_on = "crops"
    training_only = ("classifiers.",)
    options: ReIDOptions
    classifiers: nn.ModuleList

    def __init__(self, num_identities: int, options: ReIDOptions) -> None:
        """Build the trunk.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see the network's.
        """
        super().__init__()
        self.options, self.num_identities = options, num_identities
        self.backbone = Trunk(options)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The training loss: the sum of the classifiers' cross-entropies.

        Args:
            images: B crops (3, h, w) of the options' size, floating point in [0, 1], RGB.
            targets: `person_ids` (1,) int64 each, 0..K-1.

        Raises:
            InputError: a crop has another size or other values, an identity is not one of these, or batch norm is to
                take its statistics from a single crop.
        """
        crops, ids = self._batch(images), self._identities(images, targets)
        losses = [F.cross_entropy(full(logits), ids) for logits in self.logits(self.encode(crops))]
        return {"loss_reid": torch.stack(losses).sum()}

    @inference
    def embed(self, images: list[Tensor], boxes: list[Tensor]) -> list[Tensor]:
        """Embed the people in given boxes.

        Args:
            images: (3, H, W) floating point in [0, 1], RGB: whole scenes.
            boxes: (n, 4) an image, xyxy, pixels; where one leaves its image there are zeros.

        Returns:
            (n, D) an image, of unit length.

        Raises:
            InputError: see `check_inputs` and `check_boxes`.
        """
        check_inputs(images)
        check_boxes(boxes, images)
        dtype = next(self.parameters()).dtype
        images = [image.to(dtype) for image in images]
        every = [(i, box) for i, of_image in enumerate(boxes) for box in of_image.cpu()]
        rows = [images[0].new_zeros(0, self.dim)]
        for start in range(0, len(every), AT_ONCE):
            cut = [crop(images[i], box, self.options.size) for i, box in every[start : start + AT_ONCE]]
            rows.append(self.describe(self.encode(torch.stack(cut))))
        return list(torch.cat(rows).split([len(of_image) for of_image in boxes]))

    def encode(self, crops: Tensor) -> Tensor:
        """Crops (B, 3, h, w) in [0, 1] to the map (B, C, ...)."""
        return self.backbone(normalize(crops, list(IMAGENET_MEAN), list(IMAGENET_STD)))

    @property
    @abstractmethod
    def dim(self) -> int:
        """D."""

    @abstractmethod
    def describe(self, x: Tensor) -> Tensor:
        """The map of B crops to their embeddings (B, D), of unit length."""

    @abstractmethod
    def logits(self, x: Tensor) -> list[Tensor]:
        """The map of B crops to what each classifier says, (B, K)."""

    def walk(self, image: Tensor) -> Iterator[Unit]:
        """See `ZooModel`; the image plays no part."""
        self.describe(self.encode(image.new_zeros(1, 3, *self.options.size)))
        yield "person"

    def preprocessing(self) -> dict[str, Any]:
        """See `ZooModel`."""
        return {
            "channels": "RGB",
            "range": 1,
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "crop": list(self.options.size),
        }

    def _batch(self, images: Sequence[Tensor]) -> Tensor:
        check_inputs(images)
        wanted = (3, *self.options.size)
        faults = [
            f"crop {i} has shape {tuple(image.shape)}, expected {wanted}: cut boxes out with "
            "psbench.zoo.layers.patches.crop."
            for i, image in enumerate(images)
            if tuple(image.shape) != wanted
        ]
        norms = [m for name, m in self.named_modules() if isinstance(m, _ALONE) and not name.startswith("backbone.")]
        if len(images) == 1 and any(norm.training for norm in norms):
            faults.append("one crop alone has no statistics for batch norm. Give several, or set batch_norm=frozen.")
        if faults:
            raise InputError(faults)
        return torch.stack(list(images)).to(next(self.parameters()).dtype)

    def _identities(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> Tensor:
        given = [target.get("person_ids") for target in targets]
        if len(given) != len(images) or not all(isinstance(ids, Tensor) and ids.shape == (1,) for ids in given):
            raise InputError("targets: expected one a crop, with person_ids (1,) int64.")
        ids = torch.cat([ids for ids in given if ids is not None])
        # What cannot be looked into has no values, only a cost.
        if not ids.is_meta and ((ids < 0) | (ids >= self.num_identities)).any():
            raise InputError(
                f"person_ids are {sorted(set(ids.tolist()))}, expected identities from 0 to {self.num_identities - 1}: "
                "leave people without one out."
            )
        return ids


class ReIDResNet50(ReIDNetwork):
    """One vector a person: the mean over the map, brought to 256 numbers."""

    options_type = ReIDResNet50Options
    options: ReIDResNet50Options

    def __init__(self, num_identities: int, options: ReIDResNet50Options | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `ReIDResNet50Options`.
        """
        super().__init__(num_identities, options or ReIDResNet50Options())
        if self.options.embedding_dim is not None:
            linear = nn.Linear(self.backbone.channels, self.dim)
            self.bottleneck = nn.Sequential(_drawn(linear), nn.BatchNorm1d(self.dim))
        self.classifiers = nn.ModuleList([_classifier(self.dim, num_identities)])

    @property
    def dim(self) -> int:
        """D."""
        return self.options.embedding_dim or self.backbone.channels

    def describe(self, x: Tensor) -> Tensor:
        """See `ReIDNetwork`."""
        return F.normalize(full(self._vectors(x)))

    def logits(self, x: Tensor) -> list[Tensor]:
        """See `ReIDNetwork`."""
        return [self.classifiers[0](self._vectors(x))]

    def _vectors(self, x: Tensor) -> Tensor:
        vectors = x.mean(dim=(2, 3))
        return vectors if self.options.embedding_dim is None else self.bottleneck(vectors)


class ReIDPCB(ReIDNetwork):
    """A vector for each of six stripes of a person, each with a classifier of its own."""

    options_type = ReIDPCBOptions
    options: ReIDPCBOptions

    def __init__(self, num_identities: int, options: ReIDPCBOptions | None = None) -> None:
        """Build the network.

        Args:
            num_identities: K, labelled identities of the training split.
            options: see `ReIDPCBOptions`.
        """
        super().__init__(num_identities, options or ReIDPCBOptions())
        o, channels = self.options, self.backbone.channels
        self.dropout = nn.Dropout(o.dropout)
        self.reductions = nn.ModuleList(
            nn.Sequential(
                _drawn(nn.Conv2d(channels, o.reduced_dim, 1, bias=False)),
                nn.BatchNorm2d(o.reduced_dim),
                nn.ReLU(),
            )
            for _ in range(1 if o.reduction == "shared" else o.stripes)
        )
        self.classifiers = nn.ModuleList(_classifier(o.reduced_dim, num_identities) for _ in range(o.stripes))

    @property
    def dim(self) -> int:
        """D, of all stripes."""
        o = self.options
        return o.stripes * (self.backbone.channels if o.embedding == "pooled" else o.reduced_dim)

    def describe(self, x: Tensor) -> Tensor:
        """See `ReIDNetwork`; all stripes have the same length."""
        stripes = self._stripes(x)
        vectors = stripes if self.options.embedding == "pooled" else self._reduced(stripes)
        return F.normalize(full(vectors), dim=1).transpose(1, 2).flatten(1) / math.sqrt(self.options.stripes)

    def logits(self, x: Tensor) -> list[Tensor]:
        """See `ReIDNetwork`."""
        reduced = self._reduced(self.dropout(self._stripes(x)))
        return [say(stripe) for say, stripe in zip(self.classifiers, reduced.unbind(dim=2), strict=True)]

    def _stripes(self, x: Tensor) -> Tensor:
        """A map (B, C, h, w) to the means of its stripes, (B, C, P), from head to foot."""
        return F.adaptive_avg_pool2d(x, (self.options.stripes, 1))[..., 0]

    def _reduced(self, stripes: Tensor) -> Tensor:
        """(B, C, P) to (B, 256, P)."""
        # A layer of its own for each stripe, or one for all.
        parts = stripes[..., None].chunk(len(self.reductions), dim=2)
        return torch.cat([reduce(part) for reduce, part in zip(self.reductions, parts, strict=True)], dim=2)[..., 0]


def _drawn(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """A new layer before a batch norm (He et al., ICCV 2015)."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _classifier(dim: int, identities: int) -> nn.Linear:
    """A new classifier, at first of one mind about everybody."""
    layer = nn.Linear(dim, identities)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(layer.bias)
    return layer
