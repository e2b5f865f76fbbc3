"""What can be chosen of the re-ID networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from psbench.zoo.layers.faster_rcnn import Positive, Several

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
_STRIDE = 16
"""Of the map before the last stage."""
Side = Annotated[int, Field(ge=32)]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ReIDOptions:
    """Options of every re-ID network.

    Attributes:
        backbone: a timm network with maps of stride 16 and 32, see `split_backbone`.
        pretrained: start from timm's weights of that name, or from the file at this path.
        size: height and width that every box is stretched to, pixels.
        last_stride: of the last stage; 1 keeps the map at stride 16, with the same weights.
    """

    backbone: str = "resnet50.tv_in1k"
    pretrained: bool | str = False
    size: tuple[Side, Side] = (384, 128)
    last_stride: Literal[1, 2] = 2


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ReIDResNet50Options(ReIDOptions):
    """Options of the network with one vector a person.

    Attributes:
        embedding_dim: D, of a linear layer and batch norm behind the pooled map; none takes the pooled map itself.
    """

    embedding_dim: Positive | None = 256


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class ReIDPCBOptions(ReIDOptions):
    """Options of the part-based network.

    Attributes:
        stripes: P, from head to foot.
        dropout: share of a pooled stripe's numbers that training leaves out.
        reduced_dim: of a stripe's vector that its classifier sees.
        reduction: whether each stripe has its own layer that makes this vector, or all share one.
        embedding: what a person is embedded by: the stripes as they are "pooled" (2048 numbers each), or as "reduced".
    """

    last_stride: Literal[1, 2] = 1
    stripes: Several = 6
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    reduced_dim: Positive = 256
    reduction: Literal["own", "shared"] = "own"
    embedding: Literal["pooled", "reduced"] = "pooled"

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if (rows := self.size[0] // (_STRIDE * self.last_stride)) < self.stripes:
            raise ValueError(
                f"stripes is {self.stripes}, and the map of a crop of {self.size[0]} pixels' height has {rows} rows"
            )
