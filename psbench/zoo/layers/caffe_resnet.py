"""The ResNet-50 of Caffe's person search release, cut in two: over the whole image, and over each RoI."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from psbench.zoo.layers.stages import Staged

EXPANSION = 4
"""Output channels of a block, a channel of its 3x3 convolution."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, with biases; unlike in later ResNets the last batch norm follows the addition."""

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1) -> None:
        """Make a block of (B, in_channels, H, W) to (B, 4 channels, H / stride, W / stride)."""
        super().__init__()
        out_channels = EXPANSION * channels
        self.conv1, self.bn1 = nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, stride, padding=1), nn.BatchNorm2d(channels)
        self.conv3, self.bn3 = nn.Conv2d(channels, out_channels, 1), nn.BatchNorm2d(out_channels)
        same = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """See `__init__`."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y) + self.shortcut(x)))


class CaffeBackbone(Staged):
    """Stem, res2, res3 and the first half of res4: an image to its stride-16 map.

    Its batch norms keep their statistics and weights also in training, as one image is too small a batch.

    Attributes:
        channels: of the map.
    """

    def __init__(self, width: int) -> None:
        """Make it with `width` channels in the stem; 64 for a ResNet-50."""
        super().__init__()
        self.channels = 4 * width * EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, stride=2, padding=3), nn.BatchNorm2d(width)
        self.res2 = _stage(width, width, blocks=3, stride=1)
        self.res3 = _stage(width * EXPANSION, 2 * width, blocks=4)
        self.res4 = _stage(2 * width * EXPANSION, 4 * width, blocks=3)
        for norm in self._norms():
            norm.requires_grad_(False)
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 16, W / 16)."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        return self.through_stages(x)

    def stages(self) -> list[nn.Module]:
        """See `Staged`."""
        return [self.res2, self.res3, self.res4]

    def train(self, mode: bool = True) -> CaffeBackbone:
        """Batch norm stays in evaluation."""
        super().train(mode)
        for norm in self._norms():
            norm.eval()
        return self

    def _norms(self) -> list[_BatchNorm]:
        return [module for module in self.modules() if isinstance(module, _BatchNorm)]


class CaffeHead(Staged):
    """The second half of res4 and res5, over RoI maps.

    Attributes:
        channels: of its output.
    """

    def __init__(self, width: int) -> None:
        """Make the head that belongs to `CaffeBackbone(width)`."""
        super().__init__()
        in_channels = 4 * width * EXPANSION
        self.channels = 8 * width * EXPANSION
        self.res4 = _stage(in_channels, 4 * width, blocks=3, stride=1)
        self.res5 = _stage(in_channels, 8 * width, blocks=3)

    def forward(self, rois: Tensor) -> Tensor:
        """(R, C, s, s) to (R, channels), the mean over res5's map."""
        return self.through_stages(rois).mean(dim=(2, 3))

    def stages(self) -> list[nn.Module]:
        """See `Staged`."""
        return [self.res4, self.res5]


def _stage(in_channels: int, channels: int, *, blocks: int, stride: int = 2) -> nn.Sequential:
    out_channels = EXPANSION * channels
    first = Bottleneck(in_channels, channels, stride=stride)
    return nn.Sequential(first, *(Bottleneck(out_channels, channels) for _ in range(blocks - 1)))
