"""A backbone's maps of stride 8, 16 and 32, and the feature pyramid on them (Lin et al., CVPR 2017; RetinaNet's)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from timm.models.resnet import Bottleneck
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelP6P7

from psbench.zoo.layers.backbone import IN_SEQUENCE, feature_network, layers_in_order
from psbench.zoo.layers.stages import Staged
from psbench_data import InputError

STRIDES = (8, 16, 32, 64, 128)
"""Of the pyramid's levels 3 to 7."""


class PyramidBackbone(Staged):
    """A network up to its last map of stride 32: an image batch to the maps that the pyramid stands on.

    Attributes:
        channels: of these maps.
        freeze_norms: its batch norms keep their statistics in training; their weights are trained nonetheless.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], taken: Mapping[str, int], *, stem: int, channels_last: bool
    ) -> None:
        """Put it together.

        Args:
            layers: by name, in the order in which they run.
            taken: the names of the layers whose maps are taken, with their channels.
            stem: how many layers come before the first stage.
            channels_last: the layers' maps are (B, H, W, C).
        """
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.channels = list(taken.values())
        self.freeze_norms = False
        self._taken = set(taken)
        self._stem = stem
        self._channels_last = channels_last

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to maps (B, C, H / 8, W / 8), and so on."""
        x = images
        for layer in list(self.children())[: self._stem]:
            x = layer(x)
        names = list(self._modules)[self._stem :]
        maps = [x for name, x in zip(names, self.each_map(x), strict=True) if name in self._taken]
        return [x.permute(0, 3, 1, 2) for x in maps] if self._channels_last else maps

    def stages(self) -> list[nn.Module]:
        """See `Staged`."""
        return list(self.children())[self._stem :]

    def freeze_stem(self, *, caffe: bool = False) -> None:
        """Keep the weights of the first stage and all that comes before it, batch norms' statistics included.

        Caffe's fixed batch norms add nothing to the variance (epsilon is 0).
        """
        for name, layer in list(self.named_children())[: self._stem]:
            fixed = freeze_batch_norm_2d(layer.requires_grad_(False))
            if caffe and isinstance(fixed, FrozenBatchNorm2d):
                fixed.eps = 0.0
            self.add_module(name, fixed)
        self.stages()[0].requires_grad_(False)

    def train(self, mode: bool = True) -> PyramidBackbone:
        """Frozen batch norms stay in evaluation."""
        super().train(mode)
        if self.freeze_norms:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def pyramid_backbone(name: str, levels: int, *, pretrained: bool | str = False, caffe: bool = False) -> PyramidBackbone:
    """Build a timm network for a pyramid.

    Args:
        name: a timm name such as `resnet50`.
        levels: of the pyramid; up to three each take a map of the network.
        pretrained: see `split_backbone`.
        caffe: a stage of bottlenecks halves the map in its first 1x1 convolution, as in Caffe's ResNet, not in its 3x3.

    Raises:
        InputError: timm has no such model, it has no maps of these strides, or the weights cannot be had.
    """
    network = feature_network(name, pretrained)
    info = network.feature_info
    strides, widths = info.reduction(), info.channels()
    wanted = STRIDES[: min(levels, 3)]
    if not isinstance(network, IN_SEQUENCE) or not set(wanted) <= set(strides):
        raise InputError(
            f"backbone {name!r} gives no pyramid: it is no sequence of stages that takes images of any size and has "
            "maps of stride 8, 16 and 32. Take another one, for example resnet50 or convnext_tiny."
        )
    layers = list(layers_in_order(network, info.module_name()))
    stages = [stage.replace(".", "_") for stage in info.module_name()]
    last = {stride: i for i, stride in enumerate(strides)}
    order = [layer for layer, _ in layers]
    stem = order.index(stages[strides.index(4)]) if 4 in strides else 0
    end = order.index(stages[last[wanted[-1]]]) + 1
    if caffe:
        for module in network.modules():
            if isinstance(module, Bottleneck):
                module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    backbone = PyramidBackbone(
        dict(layers[:end]),
        {stages[last[stride]]: widths[last[stride]] for stride in wanted},
        stem=stem,
        channels_last=str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC"),
    )
    _require_strides(name, backbone, wanted)
    return backbone


@torch.no_grad()
def _require_strides(name: str, backbone: PyramidBackbone, strides: tuple[int, ...]) -> None:
    """Networks without padding, or with windows that have to divide the image, are found out by trying."""
    try:
        sizes = [x.shape[2:] for x in backbone.eval()(torch.zeros(1, 3, 64, 96))]
    except (RuntimeError, AssertionError):
        sizes = []
    backbone.train()
    if sizes != [(64 // stride, 96 // stride) for stride in strides]:
        raise InputError(
            f"backbone {name!r} gives no pyramid: its maps do not have the sizes of their strides for every image. "
            "Take another one, for example resnet50 or convnext_tiny."
        )


def feature_pyramid(in_channels: list[int], channels: int, levels: int) -> FeaturePyramidNetwork:
    """The pyramid over maps of `in_channels`; levels 6 and 7, where there are five, are made of level 5's output."""
    extra = LastLevelP6P7(channels, channels) if levels > 3 else None
    return FeaturePyramidNetwork(in_channels, channels, extra_blocks=extra)
