"""Cross-correlation: what slides over a scene's map is made from a query's (IGPN, equations 1 and 2).

A layer has two sides that do not know each other, so that many queries can search one scene: `of_scene` once a scene,
`of_query` once a query, and what is left for each pair of them is `respond`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from psbench.zoo.layers.precision import full

QuerySide = tuple[Tensor, ...]
"""What a layer keeps of n queries: tensors whose first dimension is n."""
GridSize = tuple[int, int]
"""h and w, cells of a kernel."""


@dataclass(frozen=True, eq=False)
class SceneSide:
    """What a layer keeps of one scene.

    Attributes:
        features: (1, c', H, W), phi(x).
        shared: (1, o, H, W), the part of the response that is the same for every query; None if there is none.
    """

    features: Tensor
    shared: Tensor | None


def correlate(features: Tensor, kernels: Tensor) -> Tensor:
    """Equation 1: maps, each with kernels of its own, in one grouped convolution.

    Args:
        features: (n, c', H, W).
        kernels: (n, o, c', h, w).

    Returns:
        (n, o, H, W); the maps are padded with zeros, of an odd kernel alike on both sides.
    """
    n, _, _, height, width = kernels.shape
    maps = F.pad(features, _margins(height, width)).flatten(0, 1)
    return F.conv2d(maps[None], kernels.flatten(0, 1), groups=n).unflatten(1, kernels.shape[:2])[0]


def correlate_outer(features: Tensor, channels: Tensor, outputs: Tensor) -> Tensor:
    """One map with the outer products of `outer_product`, which are never made.

    At each location there are h w dot products of length c', and a combination of these for each output:
    c' + o multiplications a cell of a kernel instead of c' o.

    Args:
        features: (1, c', H, W).
        channels: (n, c', h, w).
        outputs: (n, o, h, w).

    Returns:
        (n, o, H, W), `correlate` of the map with every kernel.
    """
    n, _, h, w = channels.shape
    height, width = features.shape[2:]
    dots = channels.flatten(2).transpose(1, 2).flatten(0, 1) @ features[0].flatten(1)
    dots = F.pad(dots.view(n, h * w, height, width), _margins(h, w)).unflatten(1, (h, w)).contiguous()
    # Cell (i, j) of the kernel looks i rows down and j columns to the right.
    of_n, of_i, of_j, of_row, of_column = dots.stride()
    strides = (of_n, of_i + of_row, of_j + of_column, of_row, of_column)
    shifted = dots.as_strided((n, h, w, height, width), strides).reshape(n, h * w, height * width)
    return (outputs.flatten(2) @ shifted).unflatten(2, (height, width))


def outer_product(channels: Tensor, outputs: Tensor) -> Tensor:
    """Equation 2's: (n, c', h, w) and (n, o, h, w) to (n, o, c', h, w), for every cell by itself."""
    return outputs[:, :, None] * channels[:, None]


def _margins(h: int, w: int) -> tuple[int, int, int, int]:
    """Left, right, above and below, so that a kernel of h x w fits as often as there are cells."""
    return (w - 1) // 2, w // 2, (h - 1) // 2, h // 2


class _Layer(nn.Module):
    """A function as a layer, so that its cost is counted (psbench.zoo.cost)."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> Tensor:
        return self.function(*args)


class CrossCorrelation(nn.Module):
    """One branch of the Siamese RPN: o maps of how a scene responds to a query.

    Attributes:
        phi: of the scene's map, to c' channels.
        scale: of the response, learned; None if it is left as it is.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        phi_size: Literal[1, 3] = 3,
        phi_relu: bool = False,
        response_scale: float | None = None,
    ) -> None:
        """Build what both kinds have.

        Args:
            channels: c, of the backbone's map.
            width: c', of the kernels.
            phi_size: rows and columns of phi's convolution.
            phi_relu: whether a ReLU follows it.
            response_scale: where a learned factor on the response starts; without one there is none.
        """
        super().__init__()
        self.phi = _convolution(channels, width, phi_size, phi_size // 2)
        self.phi_relu = phi_relu
        self.scale = None if response_scale is None else nn.Parameter(torch.tensor(float(response_scale)))
        self.correlate = _Layer(correlate)

    @abstractmethod
    def of_query(self, z: Tensor) -> QuerySide:
        """(n, c, h, w), the queries' maps, to what is kept of them."""

    @abstractmethod
    def kernels(self, query: QuerySide) -> Tensor:
        """(n, o, c', h, w), what slides over the scenes."""

    @abstractmethod
    def of_scene(self, x: Tensor) -> SceneSide:
        """(1, c, H, W), a scene's map, to what is kept of it."""

    @abstractmethod
    def respond(self, scene: SceneSide, query: QuerySide) -> Tensor:
        """(n, o, H, W), what `forward` makes of n queries and as many copies of a scene, with less work."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Scenes (n, c, H, W), each with its query (n, c, h, w), to (n, o, H, W)."""
        return self.scaled(self.correlate(self.features(x), self.kernels(self.of_query(z))))

    def features(self, x: Tensor) -> Tensor:
        """phi(x): (n, c, H, W) to (n, c', H, W)."""
        features = self.phi(x)
        return F.relu(features) if self.phi_relu else features

    def scaled(self, response: Tensor) -> Tensor:
        """The response in its final size and precision."""
        return full(response) if self.scale is None else full(response) * self.scale


class ICCL(CrossCorrelation):
    """Improved cross-correlation layers (equation 2): an outer product that follows the query, and a shared kernel.

    Attributes:
        kernel_channels, kernel_outputs: phi1 and phi2, the factors of the outer product.
        shared_kernel: B, (o, c', h, w); None without.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        outputs: int,
        grid: GridSize,
        *,
        padding: int = 1,
        shared: bool = True,
        **scene: Any,
    ) -> None:
        """Build the layer.

        Args:
            channels, width, scene: see `CrossCorrelation`.
            outputs: o, maps of the response.
            grid: h and w of the queries' maps.
            padding: of the 3x3 convolutions on these; without any the kernels are smaller by two.
            shared: whether there is B.
        """
        super().__init__(channels, width, **scene)
        h, w = kernel_grid(grid, padding)
        self.kernel_channels = _convolution(channels, width, 3, padding)
        self.kernel_outputs = _convolution(channels, outputs, 3, padding)
        self.shared_kernel = nn.Parameter(torch.empty(outputs, width, h, w)) if shared else None
        # Both parts of a response have unit variance where phi(x) and phi1(z) have.
        fan_in = width * h * w
        nn.init.normal_(self.kernel_outputs.weight, std=_STD / fan_in**0.5)
        if self.shared_kernel is not None:
            nn.init.normal_(self.shared_kernel, std=fan_in**-0.5)
        self.correlate_outer = _Layer(correlate_outer)

    def of_query(self, z: Tensor) -> QuerySide:
        """(n, c, h, w) to the factors (n, c', h, w) and (n, o, h, w)."""
        return full(self.kernel_channels(z)), full(self.kernel_outputs(z))

    def kernels(self, query: QuerySide) -> Tensor:
        """(n, o, c', h, w)."""
        kernels = outer_product(*query)
        return kernels if self.shared_kernel is None else kernels + self.shared_kernel

    def of_scene(self, x: Tensor) -> SceneSide:
        """phi(x), and how it responds to B."""
        features = self.features(x)
        shared = None if self.shared_kernel is None else self.correlate(features, self.shared_kernel[None])
        return SceneSide(features, shared)

    def respond(self, scene: SceneSide, query: QuerySide) -> Tensor:
        """(n, o, H, W)."""
        response = full(self.correlate_outer(scene.features, *query))
        return self.scaled(response if scene.shared is None else response + scene.shared)


class VCCL(CrossCorrelation):
    """Vanilla cross-correlation layers: a convolution makes all numbers of a kernel (Siamese RPN).

    Attributes:
        vccl: channel i + c' o of its output is kernel o's channel i.
    """

    def __init__(self, channels: int, width: int, outputs: int, *, padding: int = 1, **scene: Any) -> None:
        """Build the layer; arguments as of `ICCL`."""
        super().__init__(channels, width, **scene)
        self.vccl = _convolution(channels, outputs * width, 3, padding)
        self._width = width

    def of_query(self, z: Tensor) -> QuerySide:
        """(n, c, h, w) to the kernels (n, o, c', h, w)."""
        return (full(self.vccl(z)).unflatten(1, (-1, self._width)),)

    def kernels(self, query: QuerySide) -> Tensor:
        """(n, o, c', h, w)."""
        return query[0]

    def of_scene(self, x: Tensor) -> SceneSide:
        """phi(x)."""
        return SceneSide(self.features(x), None)

    def respond(self, scene: SceneSide, query: QuerySide) -> Tensor:
        """(n, o, H, W)."""
        # The kernels of all queries as those of one, which has o of each.
        response = self.correlate(scene.features, query[0].flatten(0, 1)[None])
        return self.scaled(response.unflatten(1, query[0].shape[:2])[0])


_STD = 0.01
"""Of a convolution's weights before training, as in Faster R-CNN's RPN."""


def kernel_grid(grid: GridSize, padding: int) -> GridSize:
    """h and w of kernels that a 3x3 convolution with this padding makes of maps of `grid`."""
    return grid[0] - 2 + 2 * padding, grid[1] - 2 + 2 * padding


def _convolution(channels: int, outputs: int, size: int, padding: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, outputs, size, padding=padding)
    nn.init.normal_(layer.weight, std=_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
