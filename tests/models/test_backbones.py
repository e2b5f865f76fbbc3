"""Backbones of any family: cut without change, trained through, refused where they cannot be cut."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import register_model

from psbench import InputError, zoo
from psbench.zoo.layers.backbone import split_backbone
from tests.models.small import SMALL


@register_model
def swin_test(pretrained: bool = False, **kwargs: Any) -> torch.nn.Module:
    """A Swin whose weights are drawn in no time; windows, shifts and stages are those of the published ones."""
    small = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4)}
    return timm.create_model("swin_tiny_patch4_window7_224", pretrained=pretrained, **small | kwargs)


SWIN = "swin_test"
NAMES = ["test_resnet", "test_convnext", SWIN, "test_efficientnet", "mobilenetv3_small_050"]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_two_parts_compute_what_the_whole_does(name: str) -> None:
    torch.manual_seed(0)
    backbone, head = split_backbone(name)
    torch.manual_seed(0)
    options = {"strict_img_size": False} if name.startswith("swin") else {}
    whole = timm.create_model(name, features_only=True, **options).eval()
    # Neither side is a multiple of seven windows, and the second is another one than the first.
    images = torch.rand(2, 3, 96, 160)
    maps = whole(images)
    if name == SWIN:
        maps = [x.permute(0, 3, 1, 2) for x in maps]
    c4 = backbone.eval()(images)
    assert c4.shape == (2, backbone.channels, 6, 10)
    torch.testing.assert_close(c4, maps[-2], rtol=0, atol=0)
    torch.testing.assert_close(head.eval().maps(c4)["res5"], maps[-1], rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_roi_maps_of_any_size(name: str) -> None:
    backbone, head = split_backbone(name)
    for side in (14, 7, 5):
        rois = torch.rand(3, backbone.channels, side, side)
        vectors, maps = head.eval()(rois), head.maps(rois)
        # What remains of an odd side is padded by some networks and dropped by others.
        assert maps["res5"].shape[:2] == (3, head.channels["res5"])
        assert set(maps["res5"].shape[2:]) <= {side // 2, (side + 1) // 2}
        torch.testing.assert_close(vectors["res5"], maps["res5"].flatten(2).max(dim=2)[0])
        torch.testing.assert_close(vectors["res4"], rois.flatten(2).max(dim=2)[0])


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", SWIN])
def test_seqnet_learns_through_each_family(name: str) -> None:
    torch.manual_seed(0)
    model = zoo.create("seqnet", num_identities=2, **SMALL["seqnet"] | {"backbone": name, "freeze_stem": True})
    images = [torch.rand(3, 96, 128), torch.rand(3, 120, 80)]
    targets = [{"boxes": torch.tensor([[10.0, 10, 60, 90]]), "person_ids": torch.tensor([i])} for i in (0, 1)]
    losses = model(images, targets)
    torch.stack(list(losses.values())).sum().backward()
    stem, stage = {"test_resnet": ("conv1", "layer1"), "test_convnext": ("stem_0", "stages_0")}.get(
        name, ("patch_embed", "layers_0")
    )
    assert all(p.grad is None for p in model.backbone.get_submodule(stem).parameters())
    for part in (model.backbone.get_submodule(stage), model.box_head, model.reid_head):
        gradients = [p.grad for p in part.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        assert any((g != 0).any() for g in gradients if g is not None)
    found = model.eval().detect(images, include=[t["boxes"] for t in targets])
    assert [len(d.scores) >= 1 for d in found] == [True, True]


def test_frozen_stem_of_a_resnet_is_its_first_convolution_and_norm() -> None:
    backbone, _ = split_backbone("resnet18")
    backbone.freeze_stem()
    frozen = [name for name, p in backbone.named_parameters() if not p.requires_grad]
    assert frozen == ["conv1.weight", "bn1.weight", "bn1.bias"]


def test_weights_of_a_resnet_are_called_as_released_ones_are() -> None:
    backbone, head = split_backbone("resnet18")
    whole = timm.create_model("resnet18", num_classes=0).state_dict()
    assert {**backbone.state_dict(), **head.state_dict()}.keys() == whole.keys()
    assert all(name.startswith("layer4.") for name in head.state_dict())


@pytest.mark.parametrize("name", ["test_convnext", SWIN])
def test_weights_come_from_a_file(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    source = timm.create_model(name)
    save_file(source.state_dict(), tmp_path / "all.safetensors")
    backbone, head = split_backbone(name, pretrained=str(tmp_path / "all.safetensors"))
    given = {key.replace(".", "_"): value for key, value in source.state_dict().items()}
    for key, value in {**backbone.state_dict(), **head.state_dict()}.items():
        torch.testing.assert_close(value, given[key.replace(".", "_")], rtol=0, atol=0)


def test_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet18.pth")
    for name in ("resnet34", "resnet10t", "test_convnext"):
        with pytest.raises(InputError, match="not the weights of this backbone"):
            split_backbone(name, pretrained=str(tmp_path / "resnet18.pth"))


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "hiera_tiny_224", "hrnet_w18_small", "test_maxvit", "inception_v3"]
)
def test_networks_that_cannot_be_cut_are_refused(name: str) -> None:
    if not timm.is_model(name):
        pytest.skip("older versions of timm do not have this one")
    with pytest.raises(InputError, match=r"cannot be split.*resnet50, convnext_tiny"):
        split_backbone(name)


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(InputError, match=r"no backbone called 'resnet5000'"):
        split_backbone("resnet5000")
    with pytest.raises(InputError, match=r"Near names: swin_tiny_patch4"):
        split_backbone("swin_tiny")
