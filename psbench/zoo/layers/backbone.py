"""ResNets cut in two: stem to layer3 over the whole image (C4), layer4 over each RoI (res5)."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import timm
import torch
from timm.models import ResNet
from torch import Tensor, nn

from psbench_data import InputError


class C4Backbone(nn.Module):
    """Stem, layer1, layer2 and layer3 of a ResNet: an image batch to its stride-16 map.

    Attributes:
        channels: of the map.
    """

    def __init__(self, resnet: ResNet, channels: int) -> None:
        super().__init__()
        self.conv1, self.bn1, self.maxpool = resnet.conv1, resnet.bn1, resnet.maxpool
        self.act1 = resnet.get_submodule("act1")
        self.layer1, self.layer2, self.layer3 = (resnet.get_submodule(f"layer{i}") for i in (1, 2, 3))
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 16, W / 16)."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(images))))
        return self.layer3(self.layer2(self.layer1(x)))

    def freeze_stem(self) -> None:
        """Keep the stem's weights as they are; its batch norm goes on following the data's statistics."""
        for parameter in (*self.conv1.parameters(), *self.bn1.parameters()):
            parameter.requires_grad_(False)


class Res5Head(nn.Module):
    """layer4 of a ResNet over RoI maps.

    Attributes:
        channels: of the RoI maps and of what layer4 makes of them, as `res4` and `res5`.
    """

    def __init__(self, layer4: nn.Module, channels: dict[str, int]) -> None:
        super().__init__()
        self.layer4 = layer4
        self.channels = channels

    def forward(self, rois: Tensor) -> dict[str, Tensor]:
        """(R, C4, s, s) to `res4` (R, C4), the map's maximum, and `res5` (R, C5), that of layer4's output."""
        return {name: x.amax(dim=(2, 3)) for name, x in self.maps(rois).items()}

    def maps(self, rois: Tensor) -> dict[str, Tensor]:
        """(R, C4, s, s) to `res4`, the same, and `res5` (R, C5, s / 2, s / 2)."""
        return {"res4": rois, "res5": self.layer4(rois)}

    def copy(self) -> Res5Head:
        """A second head with equal, separate weights."""
        return copy.deepcopy(self)


def split_resnet(name: str, *, pretrained: bool | str = False) -> tuple[C4Backbone, Res5Head]:
    """Build a timm ResNet and cut it after layer3.

    Args:
        name: a timm name such as `resnet50`, `resnet50.tv_in1k` (the weights that the papers start from), `resnet10t`.
        pretrained: fetch timm's weights for that name, or the path of a file that holds them (.safetensors, .pth).

    Raises:
        InputError: timm has no such model, it is not a ResNet, or the weights cannot be had.
    """
    if not timm.is_model(name):
        close = ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:5]) or "see timm.list_models('*resnet*')"
        raise InputError(f"timm has no backbone called {name!r}. Near names: {close}.")
    try:
        resnet = timm.create_model(name, pretrained=pretrained is True, num_classes=0)
    # What a failed download raises depends on the transport beneath the hub's client.
    except Exception as error:
        if pretrained is not True:
            raise
        raise InputError(
            f"the pretrained weights of {name} could not be fetched ({type(error).__name__}). Connect, or give a file "
            "that holds them (option pretrained: its path), or train from scratch (pretrained and freeze_stem: false)."
        ) from error
    if not isinstance(resnet, ResNet):
        raise InputError(
            f"backbone {name!r} is not a ResNet; a C4 backbone needs one, for example resnet50 or resnet18."
        )
    if isinstance(pretrained, str):
        _load(resnet, Path(pretrained))
    c4, c5 = (int(str(stage["num_chs"])) for stage in resnet.feature_info[-2:])
    return C4Backbone(resnet, c4), Res5Head(resnet.get_submodule("layer4"), {"res4": c4, "res5": c5})


def _load(resnet: ResNet, path: Path) -> None:
    """Read weights in timm's or torchvision's names; the classifier's are left out."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        resnet.load_state_dict({name: value for name, value in weights.items() if not name.startswith("fc.")})
    except (OSError, SafetensorError, pickle.UnpicklingError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{path}: not the weights of this backbone ({error}). Give timm's or torchvision's file."
        ) from error
