"""Backbones cut in two: up to stride 16 over the whole image (C4), from there to stride 32 over each RoI (res5)."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from timm.models import EfficientNetFeatures, FeatureDictNet, MobileNetV3Features, load_state_dict
from torch import Tensor, nn

from psbench.hub import announce_fetching, weights_address
from psbench.torch_files import is_plain, require_stored
from psbench.zoo.layers.stages import Staged
from psbench_data import InputError

_EXAMPLES = "resnet50, convnext_tiny or swin_tiny_patch4_window7_224"
IN_SEQUENCE = (FeatureDictNet, EfficientNetFeatures, MobileNetV3Features)
"""timm's feature networks whose layers run one after the other, in the order in which they are registered."""

_FILE = "Give timm's or torchvision's file."


class C4Backbone(Staged):
    """The layers of a network up to its last map of stride 16: an image batch to that map.

    For a ResNet these are stem, layer1, layer2 and layer3, and so the weights are called.

    Attributes:
        channels: of the map.
    """

    def __init__(self, layers: Mapping[str, nn.Module], channels: int, *, stem: int, channels_last: bool) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.channels = channels
        self._stem = stem
        self._channels_last = channels_last

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 16, W / 16)."""
        x = images
        for layer in self._layers()[: self._stem]:
            x = layer(x)
        x = self.through_stages(x)
        return x.permute(0, 3, 1, 2) if self._channels_last else x

    def stages(self) -> list[nn.Module]:
        """See `Staged`; what comes before the first one is the stem."""
        return self._layers()[self._stem :]

    def freeze_stem(self) -> None:
        """Keep the weights before the first stage as they are; a batch norm goes on following the data's statistics."""
        for layer in self._layers()[: self._stem]:
            layer.requires_grad_(False)

    def _layers(self) -> list[nn.Module]:
        return list(self.children())


class Res5Head(Staged):
    """The stages of a network from stride 16 to 32, over RoI maps; for a ResNet layer4.

    Attributes:
        channels: of the RoI maps and of what the stages make of them, as `res4` and `res5`.
    """

    def __init__(self, layers: Mapping[str, nn.Module], channels: dict[str, int], *, channels_last: bool) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.channels = channels
        self._channels_last = channels_last

    def forward(self, rois: Tensor) -> dict[str, Tensor]:
        """(R, C4, s, s) to `res4` (R, C4), the map's maximum, and `res5` (R, C5), that of the last stage's map."""
        return {name: x.amax(dim=(2, 3)) for name, x in self.maps(rois).items()}

    def maps(self, rois: Tensor) -> dict[str, Tensor]:
        """(R, C4, s, s) to `res4`, the same, and `res5` (R, C5, s / 2, s / 2)."""
        x = self.through_stages(rois.permute(0, 2, 3, 1) if self._channels_last else rois)
        return {"res4": rois, "res5": x.permute(0, 3, 1, 2) if self._channels_last else x}

    def stages(self) -> list[nn.Module]:
        """See `Staged`."""
        return list(self.children())

    def copy(self) -> Res5Head:
        """A second head with equal, separate weights."""
        return copy.deepcopy(self)


def split_backbone(
    name: str, *, pretrained: bool | str = False, last_stride: Literal[1, 2] = 2
) -> tuple[C4Backbone, Res5Head]:
    """Build a timm network and cut it after its last map of stride 16.

    Args:
        name: a timm name such as `resnet50`, `resnet50.tv_in1k` (the weights that the papers start from), `resnet10t`,
            `convnext_tiny`, `swin_tiny_patch4_window7_224`.
        pretrained: fetch timm's weights for that name, or the path of a file that holds them (.safetensors, .pth).
        last_stride: with 1 the second part keeps the size of its maps, with the same weights.

    Raises:
        InputError: timm has no such model, it has no maps of stride 16 and 32, or the weights cannot be had; the second
            part cannot run with stride 1.
    """
    network = feature_network(name, pretrained)
    info = network.feature_info
    strides, widths = info.reduction(), info.channels()
    if not isinstance(network, IN_SEQUENCE) or not {16, 32} <= set(strides):
        raise _unfit(name)
    layers = list(layers_in_order(network, info.module_name()))
    place = {layer: i for i, (layer, _) in enumerate(layers)}
    stages = [stage.replace(".", "_") for stage in info.module_name()]
    c4, c5 = (max(i for i, stride in enumerate(strides) if stride == of) for of in (16, 32))
    stem = place[stages[strides.index(4)]] if 4 in strides else 0
    cut, end = place[stages[c4]] + 1, place[stages[c5]] + 1
    channels_last = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")
    backbone = C4Backbone(dict(layers[:cut]), widths[c4], stem=stem, channels_last=channels_last)
    _require_stride_16(name, backbone)
    channels = {"res4": widths[c4], "res5": widths[c5]}
    head = Res5Head(dict(layers[cut:end]), channels, channels_last=channels_last)
    if last_stride == 1:
        _keep_size(name, head)
    return backbone, head


def feature_network(name: str, pretrained: bool | str) -> Any:
    """timm's network without its classifier, with what it knows of its stages in `feature_info`."""
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:5]) or _EXAMPLES
        raise InputError(f"timm has no backbone called {name!r}. Near names: {close}.")
    # Windowed transformers take images of one size only, unless they are told otherwise.
    options: dict[str, Any] = {"strict_img_size": False} if name.startswith("swin") else {}
    if pretrained is True:
        announce_fetching(name)
    try:
        network = timm.create_model(name, pretrained=pretrained is True, features_only=True, **options)
    # What a failed download raises depends on the transport beneath the hub's client.
    except Exception as error:
        if pretrained is not True:
            raise
        raise InputError(
            f"the pretrained weights of {name} could not be fetched ({type(error).__name__}) from "
            f"{weights_address(name)}. Connect (and unset HF_HUB_OFFLINE), or give a file that holds them (option "
            "pretrained: its path), or train from scratch (pretrained and freeze_stem: false)."
        ) from error
    if isinstance(pretrained, str):
        whole = timm.create_model(name, num_classes=0, **options)
        _load(whole, Path(pretrained))
        # Where timm takes a container apart, its parts are called stages_0 instead of stages.0.
        weights = {key.replace(".", "_"): value for key, value in whole.state_dict().items()}
        network.load_state_dict({key: weights[key.replace(".", "_")] for key in network.state_dict()})
    return network


def _unfit(name: str) -> InputError:
    return InputError(
        f"backbone {name!r} cannot be split: it is no sequence of stages that takes images of any size and has maps of "
        f"stride 16 and 32. Take another one, for example {_EXAMPLES}."
    )


@torch.no_grad()
def _require_stride_16(name: str, backbone: C4Backbone) -> None:
    """Networks without padding, or with windows that have to divide the image, are found out by trying."""
    try:
        size = backbone.eval()(torch.zeros(1, 3, 64, 96)).shape[2:]
    except (RuntimeError, AssertionError):
        size = None
    backbone.train()
    if size != (4, 6):
        raise _unfit(name)


@torch.no_grad()
def _keep_size(name: str, head: Res5Head) -> None:
    """Take the stride out of a head, as timm builds blocks without one."""
    for module in list(head.modules()):
        for part, layer in module.named_children():
            if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
                layer.stride = (1, 1)
            elif isinstance(layer, nn.AvgPool2d) and layer.stride == 2:
                setattr(module, part, nn.Identity())
    try:
        size = head.eval().maps(torch.zeros(1, head.channels["res4"], 4, 6))["res5"].shape[2:]
    except RuntimeError:
        size = None
    head.train()
    if size != (4, 6):
        raise InputError(
            f"the last stage of backbone {name!r} cannot run with stride 1. Take a ResNet, for example resnet50."
        )


def layers_in_order(network: nn.Module, stages: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """The layers as they run; a container whose parts are stages of their own counts as these."""
    for name, layer in network.named_children():
        if any(stage.startswith(f"{name}.") for stage in stages):
            yield from ((f"{name}_{part}", module) for part, module in layer.named_children())
        else:
            yield name, layer


def _load(network: Any, path: Path) -> None:
    """Read weights in timm's names, or in those of the files that timm converts; the classifier's are left out."""
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    classifier = network.pretrained_cfg.get("classifier") or ()
    left_out = tuple(f"{n}." for n in ((classifier,) if isinstance(classifier, str) else classifier))
    try:
        if not path.is_file():
            raise FileNotFoundError("there is no such file")
        require_stored(path, "the weights of a backbone", _FILE)
        # Not the default of every timm: a .pth file can run code.
        weights = load_state_dict(str(path), weights_only=True)
        if strange := [name for name, value in weights.items() if not is_plain(value)]:
            raise ValueError(f"{strange[0]} is no tensor of real numbers")
        if convert and not network.state_dict().keys() <= weights.keys():
            weights = convert(weights, network)
        network.load_state_dict({n: value for n, value in weights.items() if not n.startswith(left_out)})
    except InputError:
        raise
    # Of a damaged file, there is no telling what torch and timm raise.
    except Exception as error:
        raise InputError(f"{path}: not the weights of this backbone ({error}). {_FILE}") from error
