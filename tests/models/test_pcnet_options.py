"""PCNet's switches: each makes a model that trains, finds and embeds, and does what it says."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from psbench import InputError, zoo
from psbench.zoo.pcnet import PCNet
from tests.models.small import SMALL

BOXES = [torch.tensor([[10.0, 8, 48, 92], [60, 5, 99, 89]]), torch.tensor([[30.0, 20, 70, 95]])]
SWITCHES: dict[str, dict[str, Any]] = {
    "paper": {},
    "no distance loss": {"distance_loss": "none"},
    "distance loss of the code": {"distance_loss": "code", "point_sets": 2},
    "convolution": {"contextual_points": False},
    "more points": {"kernel": (5, 3), "point_sets": 4},
    "no aggregation": {"cross_scale": "none"},
    "aggregation everywhere": {"cross_scale": "everywhere"},
    "no triplet loss": {"triplet": "none"},
    "triplet loss of the code": {"triplet": "code"},
    "from regression": {"order": "reid_from_regression"},
    "from classification": {"order": "reid_from_classification"},
    "from a shared tower": {"order": "reid_from_classification", "shared_tower": True},
    "parallel": {"order": "parallel", "contextual_points": False},
    "parallel with points": {"order": "parallel"},
    "RoIAlign": {"order": "roi_align"},
    "means of the original": {"averaged": "as_the_original"},
    "no means": {"gallery_aggregation": False},
    "torchvision's pixels": {"caffe": False},
    "five levels": {"anchor_sizes": (16, 32, 64, 128, 256)},
}
switches = pytest.mark.parametrize("switch", SWITCHES.values(), ids=SWITCHES)


def _model(name: str = "pcnet", **options: Any) -> PCNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = zoo.create(name, num_identities=3, **SMALL[name] | {"score_thresh_test": 0.0} | options)
    assert isinstance(model, PCNet)
    return model


def _images() -> list[Tensor]:
    """Noise with a dark person at each box."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 96, 128, generator=generator) for _ in BOXES]
    for image, boxes in zip(images, BOXES, strict=True):
        for x1, y1, x2, y2 in boxes.int().tolist():
            image[:, y1:y2, x1:x2] *= 0.3
    return images


def _targets(ids: tuple[int, ...] = (0, -1, 1)) -> list[dict[str, Tensor]]:
    every = torch.tensor(ids).split([len(boxes) for boxes in BOXES])
    return [{"boxes": boxes, "person_ids": of_image} for boxes, of_image in zip(BOXES, every, strict=True)]


@pytest.mark.parametrize(
    ("name", "switch"),
    [
        *(pytest.param("pcnet", options, id=name) for name, options in SWITCHES.items()),
        *(
            pytest.param("pcnet_multianchor", SWITCHES[name], id=f"{name}, four anchors")
            for name in ("paper", "convolution", "from regression", "parallel", "RoIAlign")
        ),
    ],
)
def test_every_switch_trains(name: str, switch: dict[str, Any]) -> None:
    model = _model(name, **switch)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    found = []
    for _ in range(8):
        losses = model(_images(), _targets())
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        optimizer.step()
        # Re-ID's grows at first, as its tables start empty.
        found.append((losses["loss_retina_cls"] + losses["loss_retina_reg"]).item())
    assert found[-1] < found[0]
    o = model.options
    expected = {"loss_retina_cls", "loss_retina_reg", "loss_retina_reid"}
    expected |= {"loss_triplet"} if o.triplet != "none" and o.order != "roi_align" else set()
    points = o.contextual_points and o.order != "roi_align" and o.distance_loss != "none"
    assert losses.keys() == expected | ({"loss_distance"} if points else set())


@switches
def test_every_switch_finds_and_embeds(switch: dict[str, Any]) -> None:
    model = _model(**switch).eval()
    images = _images()
    found = model.detect(images, include=[BOXES[0], BOXES[1][:0]])
    assert [len(d.boxes) > 5 for d in found] == [True, True]
    torch.testing.assert_close(found[0].boxes[:2], BOXES[0])
    assert found[0].scores[:2].tolist() == [1, 1]
    embedded = model.embed(images, BOXES)
    torch.testing.assert_close(found[0].embeddings[:2], embedded[0])
    for d, image in zip(found, images, strict=True):
        assert (d.scores[:-1] >= d.scores[1:]).all()
        # Zero where all points lie outside the image.
        norms = d.embeddings.norm(dim=1)
        torch.testing.assert_close(norms, (norms > 0.5).float())
        assert norms.mean() > 0.9
        assert (d.boxes[:, 2:] <= torch.tensor([image.shape[2], image.shape[1]])).all()
    # Images of one size are not padded, and do not see each other.
    [alone] = model.embed(images[1:], BOXES[1:])
    torch.testing.assert_close(alone, embedded[1], atol=1e-4, rtol=1e-4)


@switches
@pytest.mark.parametrize("people", ["nobody", "strangers"])
def test_batches_without_identities_train_everything(switch: dict[str, Any], people: str) -> None:
    model = _model(**switch)
    targets = _targets((-1, -1, -1))
    if people == "nobody":
        targets = [{key: value[:0] for key, value in target.items()} for target in targets]
    losses = model(_images(), targets)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_retina_reid"].item() == 0
    torch.stack(list(losses.values())).sum().backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()] == []


def test_double_precision_computes_the_same() -> None:
    single, double = _model(), _model().double()
    losses, precise = single(_images(), _targets()), double(_images(), _targets())
    assert {loss.dtype for loss in precise.values()} == {torch.float64}
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(precise[name].item(), rel=1e-3), name


def test_weights_of_losses_are_applied() -> None:
    plain = _model()(_images(), _targets())
    weights = {"class": 2.0, "box": 3.0, "reid": 4.0, "triplet": 5.0, "distance": 6.0}
    weighted = _model(**{f"{name}_weight": value for name, value in weights.items()})(_images(), _targets())
    for (name, loss), weight in zip(plain.items(), weights.values(), strict=True):
        assert weighted[name].item() == pytest.approx(weight * loss.item(), rel=1e-5), name


def test_without_a_box_features_gather_the_whole_image() -> None:
    images, far = _images(), BOXES[0].clone()
    points, boxes = _model(cross_scale="everywhere").eval(), _model().eval()

    def f(model: PCNet, where: Tensor) -> Tensor:
        with torch.no_grad():
            encoded = model.encode(images[:1])
            return model.aggregate(encoded, 0, torch.ones(2, 16), where)

    far += 20
    torch.testing.assert_close(f(points, BOXES[0]), f(points, far))
    assert (f(boxes, BOXES[0]) - f(boxes, far)).abs().max() > 1e-4


def test_sizes_are_drawn_in_training_alone() -> None:
    model = _model(min_sizes_train=(64, 160), max_size=640)
    heights = {model.encode(_images()[:1], training=True).sizes[0][0] for _ in range(20)}
    assert heights == {64, 160}
    assert {model.encode(_images()[:1]).sizes[0][0] for _ in range(5)} == {96}
    assert model.preprocessing()["min_size"] == 96
    wide = _model(max_size_train=64)
    assert wide.encode(_images()[:1], training=True).sizes == [(48, 64)]
    assert wide.encode(_images()[:1]).sizes == [(96, 128)]


def test_only_training_batches_are_padded_to_buckets() -> None:
    model = _model()
    model.size_bucket = 160
    assert model.encode(_images(), training=True).maps[0].shape[2:] == (20, 20)
    assert model.encode(_images()).maps[0].shape[2:] == (12, 16)


def test_frozen_parts_stay_as_they_are() -> None:
    model = _model(freeze_stem=True, freeze_norms=True).train()
    assert {m.training for n, m in model.named_modules() if isinstance(m, _BatchNorm)} == {True, False}
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    torch.stack(list(model(_images(), _targets()).values())).sum().backward()
    torch.testing.assert_close(model.backbone.state_dict(), before, rtol=0, atol=0)
    trained = {name for name, p in model.backbone.named_parameters() if p.grad is not None}
    assert trained
    assert not [name for name in trained if name.startswith(("conv1", "bn1", "layer1"))]
    assert any("bn" in name for name in trained)


def test_caffes_network_halves_maps_in_its_first_convolutions() -> None:
    strides = {}
    for caffe in (True, False):
        block = _model(backbone="resnet50", caffe=caffe).backbone.get_submodule("layer3.0")
        strides[caffe] = (block.conv1.stride, block.conv2.stride)
    assert strides == {True: ((2, 2), (1, 1)), False: ((1, 1), (2, 2))}


def test_pixels_are_the_networks() -> None:
    image = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1).expand(3, 96, 128)
    seen: list[Tensor] = []
    for caffe in (True, False):
        model = _model(caffe=caffe)
        model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, :, 0, 0]))
        model.detect([image])
    mean = torch.tensor([102.9801, 115.9465, 122.7717])
    torch.testing.assert_close(seen[0], torch.tensor([0.0, 128, 255]) - mean)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(seen[1], (torch.tensor([1.0, 128 / 255, 0.0]) - mean) / std)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"point_sets": 10}, "more than there are points"),
        ({"kernel": (2, 3)}, "odd numbers"),
        ({"anchor_sizes": (16, 32, 64, 128)}, "one size a level"),
        ({"pretrained": True}, "set caffe to false"),
        ({"order": "detection_first"}, "order"),
        ({"backbone": "vit_tiny_patch16_224"}, "gives no pyramid"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        _model(**options)


@pytest.mark.parametrize("backbone", ["resnet18", "convnext_atto", "test_efficientnet"])
def test_other_backbones(backbone: str) -> None:
    model = _model(backbone=backbone, caffe=False, freeze_stem=True, anchor_sizes=(16, 32, 64))
    losses = model(_images(), _targets())
    assert all(loss.isfinite() for loss in losses.values())
