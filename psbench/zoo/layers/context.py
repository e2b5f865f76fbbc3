"""GLCNet's context: what an image shows around its people, as one vector an image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from psbench.zoo.layers.c4 import Encoded
from psbench.zoo.layers.precision import full, in_full_precision
from psbench_data import InputError


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, *, eps: float = 1e-5) -> nn.Sequential:
    """A convolution with bias that keeps the map's size, batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2),
        nn.BatchNorm2d(out_channels, eps=eps),
        nn.ReLU(inplace=True),
    )


class SceneContext(nn.Module):
    """Scene context of the released weights: three 3x3 convolutions over the whole map, then its maximum.

    Attributes:
        blocks: C -> 256 -> 256 -> C.
    """

    def __init__(self, channels: int, *, hidden: int = 256, eps: float = 1e-5) -> None:
        """Make the layers for a map of C = `channels`; `eps` is the batch norms'."""
        super().__init__()
        self.blocks = _blocks((channels, hidden, hidden, channels), eps)

    def forward(self, c4: Tensor, inside: Tensor | None = None) -> Tensor:
        """One vector an image.

        Args:
            c4: (B, C, h, w), the map of the padded batch.
            inside: (B, 1, h, w) bool: where an image is and not its padding. What lies outside then counts as zero in
                each convolution and never in the maximum. By default the padding is part of the image.

        Returns:
            (B, C).
        """
        return _maximum(_through(self.blocks, c4, inside), inside)


class SceneAttention(nn.Module):
    """Scene context of 2026: the map's maximum after one attention map has raised what matters in it.

    Attributes:
        blocks: C -> 256 -> 256 -> 1.
    """

    def __init__(self, channels: int, *, hidden: int = 256, eps: float = 1e-5) -> None:
        """Make the layers for a map of C = `channels`; `eps` is the batch norms'."""
        super().__init__()
        self.blocks = _blocks((channels, hidden, hidden, 1), eps)

    def forward(self, c4: Tensor, inside: Tensor | None = None) -> Tensor:
        """One vector an image, max(x a + x), a in [0.5, 1); as `SceneContext`."""
        a = full(_through(self.blocks, c4, inside)).sigmoid()
        return _maximum(c4 * a + c4, inside)


class GroupContext(nn.Module):
    """Group context: the mean feature of an image's people, through three kernel sizes and channel attention.

    The original works on a 1x1 map, where a 3x3 or 5x5 kernel is its centre tap and the average and the maximum that
    its attention pools are the map itself. Here both are equally plain: the convolutions are kept, since released files
    hold all their taps and one vector an image costs next to nothing; the attention's two equal terms are written once.

    Attributes:
        branches: kernels of 1, 3 and 5, each C -> 256 -> C.
        attention: C -> C / 16 -> C.
    """

    def __init__(self, channels: int, *, hidden: int = 256, eps: float = 1e-5) -> None:
        """Make the layers for vectors of C = `channels`; `eps` is the batch norms'."""
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(conv_bn_relu(channels, hidden, k, eps=eps), conv_bn_relu(hidden, channels, k, eps=eps))
            for k in (1, 3, 5)
        )
        self.attention = nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 16, channels, 1, bias=False),
        )

    def forward(self, means: Tensor) -> Tensor:
        """(B, C), see `group_means`, to (B, C).

        Raises:
            InputError: in training, for a single image: batch norm has nothing to compare its vector with, unless it is
                frozen or synchronised.
        """
        if len(means) < 2 and any(isinstance(m, nn.BatchNorm2d) and m.training for m in self.modules()):
            raise InputError(
                "group context normalises over the images of a batch and cannot be trained with one image a process. "
                "Take a batch_size of at least 2 (the original: 3), another batch_norm (frozen, or synchronised over "
                "several GPUs), or a model without it (group: false)."
            )
        x = full(means)[:, :, None, None]
        # On some CPUs, a kernel larger than its map gets a gradient out of memory that was never written, in bfloat16.
        with in_full_precision(x):
            y = torch.stack([branch(x) for branch in self.branches]).sum(dim=0)
            weight = (2 * self.attention(x)).sigmoid()
            return (y * weight + x).flatten(1)


def group_means(vectors: Tensor, is_person: Tensor, counts: Sequence[int]) -> Tensor:
    """The mean over each image's people; over all its boxes where none of them is one; 0 where it has no boxes.

    Args:
        vectors: (R, C), image after image.
        is_person: (R,) bool.
        counts: boxes an image, R together.

    Returns:
        (B, C), in float32 where the vectors have half precision.
    """
    means = []
    for x, people in zip(full(vectors).split(counts), is_person.split(counts), strict=True):
        # Without asking how many they are, for which a GPU would have to be waited for.
        group = (people | ~people.any())[:, None]
        means.append(x.masked_fill(~group, 0).sum(dim=0) / group.sum().clamp(min=1))
    return torch.stack(means)


def inside_images(encoded: Encoded) -> Tensor:
    """(B, 1, h, w) bool: the cells of the map that an image reaches, and not its padding alone."""
    sizes = torch.tensor(encoded.sizes, device=encoded.features.device)
    padded, cells = encoded.batch.tensors.shape[-2:], encoded.features.shape[-2:]
    rows, columns = (
        torch.arange(n, device=sizes.device) * (pixels // n) < sizes[:, axis, None]
        for axis, (n, pixels) in enumerate(zip(cells, padded, strict=True))
    )
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _blocks(channels: Sequence[int], eps: float) -> nn.ModuleList:
    return nn.ModuleList(conv_bn_relu(n, m, 3, eps=eps) for n, m in pairwise(channels))


def _through(blocks: nn.ModuleList, x: Tensor, inside: Tensor | None) -> Tensor:
    for block in blocks:
        x = block(x if inside is None else x.masked_fill(~inside, 0))
    return x


def _maximum(x: Tensor, inside: Tensor | None) -> Tensor:
    return (x if inside is None else x.masked_fill(~inside, -torch.inf)).amax(dim=(2, 3))
