"""The re-ID networks: what they are made of, what they embed, what they learn."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from psbench import InputError, zoo
from psbench.training.execution import arrange, training_mode
from psbench.training.optimization import make_optimizer
from psbench.training.recipe import Execution, Optimizer, Recipe
from psbench.zoo.cost import cost
from psbench.zoo.layers.patches import crop
from psbench.zoo.reid import ReIDNetwork
from psbench.zoo.starting import start_from_weights
from psbench.zoo.weights import describe, load_weights, save_weights
from tests.models.small import SMALL
from tests.models.test_execution import ALONE

NAMES = ("reid_resnet50", "reid_pcb")
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
BOXES = [
    torch.tensor([[10.0, 10, 50, 90], [60.2, 10.7, 90, 90]]),
    torch.zeros(0, 4),
    torch.tensor([[-8.0, 5, 20, 120]]),
]
_WITHOUT_DROPOUT: dict[str, dict[str, Any]] = {"reid_resnet50": {}, "reid_pcb": {"dropout": 0}}
both = pytest.mark.parametrize("name", NAMES)


def make(name: str, identities: int = 4, **options: Any) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = zoo.create(name, num_identities=identities, **SMALL[name] | options)
    for norm in model.modules():
        # Fresh statistics would hide a norm that is left out.
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(1))
            norm.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
    return model


def _images() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=generator) for size in ((96, 128), (60, 80), (100, 70))]


def _crops(count: int = 8, size: tuple[int, int] = (64, 48)) -> list[Tensor]:
    """Two of each person: alike but for noise."""
    generator = torch.Generator().manual_seed(3)
    people = torch.rand(count // 2, 3, *size, generator=generator).repeat_interleave(2, dim=0)
    return list(0.8 * people + 0.2 * torch.rand(people.shape, generator=generator))


def _targets(count: int = 8) -> list[dict[str, Tensor]]:
    return [{"person_ids": torch.tensor([i // 2])} for i in range(count)]


@pytest.mark.parametrize(
    ("name", "options", "parameters", "gflop", "dim"),
    [
        ("reid_resnet50", {}, 25_454_812, 8.01, 256),
        ("reid_resnet50", {"embedding_dim": None}, 34_843_100, 8.01, 2048),
        ("reid_pcb", {}, 35_187_176, 12.16, 12_288),
        ("reid_pcb", {"reduction": "shared"}, 32_563_176, 12.16, 12_288),
        ("reid_pcb", {"embedding": "reduced"}, 35_187_176, 12.17, 1536),
    ],
)
def test_size_and_cost(name: str, options: dict[str, Any], parameters: int, gflop: float, dim: int) -> None:
    with torch.device("meta"):
        model = zoo.create(name, num_identities=5532, **options)
    assert isinstance(model, ReIDNetwork)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert all(p.requires_grad for p in model.parameters())
    counted = cost(model, 900, 1500, people=3)
    assert round(2 * counted.per("person"), 2) == gflop
    assert counted.gmac == pytest.approx(3 * counted.per("person"))
    assert model.dim == dim


@pytest.mark.parametrize(("name", "stride", "map_size"), [("reid_resnet50", 2, (12, 4)), ("reid_pcb", 1, (24, 8))])
def test_last_stride(name: str, stride: int, map_size: tuple[int, int]) -> None:
    model = make(name, size=(384, 128)).eval()
    x = model.encode(torch.rand(2, 3, 384, 128))
    assert x.shape[2:] == map_size
    other = make(name, size=(384, 128), last_stride=3 - stride).eval()
    other.load_state_dict(model.state_dict())
    assert other.encode(torch.rand(2, 3, 384, 128)).shape[2] == 24 // (3 - stride)


def _embedding(model: Any, image: Tensor, box: Tensor) -> list[float]:
    """Of one box, step by step."""
    o, size = model.options, model.options.size
    x = model.backbone(((crop(image, box, size) - MEAN) / STD)[None])[0]
    if model.options_type.__name__ == "ReIDResNet50Options":
        vector = x.flatten(1).mean(dim=1)
        if o.embedding_dim is not None:
            linear, norm = model.bottleneck
            vector = linear.weight @ vector + linear.bias
            vector = (vector - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        return (vector / vector.norm()).tolist()
    rows, parts = x.shape[1] // o.stripes, []
    for p in range(o.stripes):
        part = x[:, p * rows : (p + 1) * rows].flatten(1).mean(dim=1)
        if o.embedding == "reduced":
            linear, norm, _ = model.reductions[0 if o.reduction == "shared" else p]
            part = linear.weight[:, :, 0, 0] @ part
            part = (part - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
            part = part.clamp(min=0)
        parts.append(part / part.norm() / math.sqrt(o.stripes))
    return torch.cat(parts).tolist()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("reid_resnet50", {}),
        ("reid_resnet50", {"embedding_dim": None, "last_stride": 1}),
        ("reid_pcb", {"size": (96, 32)}),
        ("reid_pcb", {"size": (96, 32), "embedding": "reduced"}),
        ("reid_pcb", {"size": (96, 32), "embedding": "reduced", "reduction": "shared", "stripes": 2}),
    ],
)
@torch.no_grad()
def test_embeddings(name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every box by itself, whatever it is embedded with; also of one that leaves its image, and of none."""
    monkeypatch.setattr("psbench.zoo.reid.AT_ONCE", 2)
    model = make(name, **options).eval()
    found = model.embed(_images(), BOXES)
    assert [len(rows) for rows in found] == [2, 0, 1]
    assert all(rows.shape[1] == model.dim for rows in found)
    for image, boxes, rows in zip(_images(), BOXES, found, strict=True):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(boxes)))
        for box, row in zip(boxes, rows.tolist(), strict=True):
            assert row == pytest.approx(_embedding(model, image, box), abs=1e-5)


@both
def test_only_what_is_in_the_box_counts(name: str) -> None:
    """And nothing where it leaves the image."""
    model = make(name)
    image, box = _images()[0], torch.tensor([[10.0, 10, 50, 90], [100.0, 40, 150, 110]])
    expected = model.embed([image], [box])[0]
    other = torch.rand(3, 96, 128)
    other[:, 10:90, 10:50], other[:, 40:, 100:] = image[:, 10:90, 10:50], image[:, 40:, 100:]
    torch.testing.assert_close(model.embed([other], [box])[0], expected)
    torch.testing.assert_close(model.embed([F.pad(image, (0, 40, 0, 40))], [box])[0], expected)
    other[:, 11, 11] += 0.5 * (other[:, 11, 11] < 0.5) - 0.25
    assert not torch.allclose(model.embed([other.clamp(0, 1)], [box])[0][0], expected[0], atol=1e-4)


@both
def test_embedding_is_the_same_in_training_mode_and_in_double_precision(name: str) -> None:
    model = make(name)
    expected = model.eval().embed(_images(), BOXES)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.testing.assert_close(model.train().embed(_images(), BOXES), expected)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    precise = [image.double() for image in _images()], [boxes.double() for boxes in BOXES]
    torch.testing.assert_close(model.embed(*precise), expected)
    torch.testing.assert_close([x.float() for x in model.double().embed(*precise)], expected, rtol=1e-3, atol=1e-5)


def _losses(model: Any, crops: list[Tensor], ids: list[int]) -> list[Tensor]:
    """Every classifier's, in training mode, from the definition."""
    x = model.backbone(torch.stack([(image - MEAN) / STD for image in crops]))

    def normed(rows: Tensor, norm: Any) -> Tensor:
        centred = rows - rows.mean(dim=0)
        return centred / (centred.square().mean(dim=0) + norm.eps).sqrt() * norm.weight + norm.bias

    if model.options_type.__name__ == "ReIDResNet50Options":
        vectors = x.mean(dim=(2, 3))
        if model.options.embedding_dim is not None:
            vectors = normed(vectors @ model.bottleneck[0].weight.T + model.bottleneck[0].bias, model.bottleneck[1])
        of_parts = [vectors]
    else:
        rows = x.shape[2] // model.options.stripes
        means = [x[:, :, p * rows : (p + 1) * rows].mean(dim=(2, 3)) for p in range(model.options.stripes)]
        if model.options.reduction == "shared":
            linear, norm, _ = model.reductions[0]
            of_parts = list(normed(torch.cat(means) @ linear.weight[:, :, 0, 0].T, norm).relu().chunk(len(means)))
        else:
            of_parts = [
                normed(part @ linear.weight[:, :, 0, 0].T, norm).relu()
                for part, (linear, norm, _) in zip(means, model.reductions, strict=True)
            ]
    losses = []
    for rows, classifier in zip(of_parts, model.classifiers, strict=True):
        says = rows @ classifier.weight.T + classifier.bias
        of_crops = [says[i].exp().sum().log() - says[i, person] for i, person in enumerate(ids)]
        losses.append(torch.stack(of_crops).mean())
    return losses


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("reid_resnet50", {}),
        ("reid_resnet50", {"embedding_dim": None}),
        ("reid_pcb", {"size": (96, 32), "dropout": 0}),
        ("reid_pcb", {"size": (96, 32), "dropout": 0, "reduction": "shared"}),
    ],
)
def test_loss_is_the_sum_of_cross_entropies(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    for classifier in model.classifiers:
        nn.init.normal_(classifier.weight, generator=torch.Generator().manual_seed(5))
    crops, ids = _crops(size=model.options.size), [0, 0, 1, 1, 2, 2, 3, 3]
    found = model(crops, _targets())
    assert list(found) == ["loss_reid"]
    expected = _losses(copy.deepcopy(model), crops, ids)
    torch.testing.assert_close(found["loss_reid"], torch.stack(expected).sum())
    assert len(expected) == (1 if name == "reid_resnet50" else 3)


def test_dropout_is_of_training_alone() -> None:
    model = make("reid_pcb", dropout=0.9)
    for classifier in model.classifiers:
        nn.init.normal_(classifier.weight, generator=torch.Generator().manual_seed(5))
    crops, targets = _crops(), _targets()
    assert model(crops, targets)["loss_reid"] != model(crops, targets)["loss_reid"]
    assert model.eval()(crops, targets)["loss_reid"] == model(crops, targets)["loss_reid"]


@both
def test_a_fresh_network_knows_nobody(name: str) -> None:
    """Cross-entropy is ln K for each classifier: a quick check of a set-up."""
    model = make(name, 50)
    loss = model(_crops(), _targets())["loss_reid"].item()
    assert loss == pytest.approx(len(model.classifiers) * math.log(50), abs=0.1)


@both
def test_a_handful_of_crops_is_learnt_by_heart(name: str) -> None:
    torch.manual_seed(0)
    model = zoo.create(name, num_identities=4, **SMALL[name] | _WITHOUT_DROPOUT[name])
    optimizer = make_optimizer(model, Optimizer(), 0.1)
    crops, targets = _crops(), _targets()
    first = model(crops, targets)["loss_reid"].item()
    for _ in range(20):
        optimizer.zero_grad()
        loss = model(crops, targets)["loss_reid"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first
    rows = torch.cat(model.embed(crops, [torch.tensor([[0.0, 0, 48, 64]])] * 8))
    nearest = (rows @ rows.T).fill_diagonal_(-2).argmax(dim=1)
    assert (nearest // 2 == torch.arange(8) // 2).all()


@both
def test_backbone_learns_more_slowly(name: str) -> None:
    model = make(name)
    settings = Optimizer(backbone_lr_factor=0.1, bias_lr_factor=2.0, weight_decay=0.0)
    rates = {id(p): group["lr"] for group in make_optimizer(model, settings, 0.1).param_groups for p in group["params"]}
    for parameter, value in model.named_parameters():
        slow, bias = parameter.startswith("backbone."), parameter.startswith("classifiers.") and "bias" in parameter
        if slow or bias or "weight" in parameter:
            assert rates[id(value)] == pytest.approx(0.01 if slow else 0.2 if bias else 0.1), parameter
    assert len(rates) == len(list(model.parameters()))
    assert {group["lr"] for group in make_optimizer(model, Optimizer(), 0.1).param_groups} == {0.1}


def test_weights_come_from_a_file_of_the_backbone(tmp_path: Path) -> None:
    import timm

    source = timm.create_model("test_resnet", pretrained=False)
    save_file({n: v for n, v in source.state_dict().items() if "fc." not in n}, tmp_path / "backbone.safetensors")
    model = zoo.create(
        "reid_pcb", num_identities=2, **SMALL["reid_pcb"], pretrained=str(tmp_path / "backbone.safetensors")
    )
    torch.testing.assert_close(model.backbone.c4.conv1.state_dict(), source.conv1.state_dict())
    torch.testing.assert_close(model.backbone.res5.layer4.state_dict(), source.layer4.state_dict())


@both
def test_weights_on_disk_leave_the_classifiers_out(name: str, tmp_path: Path) -> None:
    model, path = make(name).eval(), tmp_path / "model.safetensors"
    info = describe(model, name, num_identities=4, dataset="cuhk_sysu", method="mine", fingerprint="abc")
    save_weights(model, path, info)
    assert not any(key.startswith("classifiers.") for key in load_file(path))
    again = load_weights(path)
    torch.testing.assert_close(again.embed(_images(), BOXES), model.embed(_images(), BOXES))
    # Of other people, so with other classifiers.
    other = make(name, 9)
    save_weights(model, path, info, keep_tables=True)
    before = other.classifiers[0].weight.clone()
    start_from_weights(other, path, dataset="prw", fingerprint="def")
    torch.testing.assert_close(other.embed(_images(), BOXES), model.embed(_images(), BOXES))
    torch.testing.assert_close(other.classifiers[0].weight, before)


def _in_training(name: str, batch_norm: Any = "batch", **how: Any) -> Any:
    recipe = Recipe(name="a", model=name, dataset="prw", batch_norm=batch_norm, execution=Execution(**how))
    model = arrange(make(name, **_WITHOUT_DROPOUT[name]), recipe, ALONE)
    training_mode(model, batch_norm)
    return model


@both
def test_ways_of_training_it(name: str) -> None:
    """Recomputed: the same; in half precision: finite, close, and the loss in float32; with frozen norms: one crop."""
    plain, again = _in_training(name), _in_training(name, activation_checkpointing=True)
    losses = [model(_crops(), _targets())["loss_reid"] for model in (plain, again)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=0)
    gradients = [{n: p.grad for n, p in model.named_parameters()} for model in (plain, again)]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients[0].values())
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        half = _in_training(name)(_crops(), _targets())["loss_reid"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, losses[0], rtol=0.02, atol=0)
    assert _in_training(name, "frozen")(_crops()[:1], _targets()[:1])["loss_reid"].isfinite()


@both
def test_what_cannot_be_right_is_refused(name: str) -> None:
    model, crops, targets = make(name), _crops(), _targets()
    with pytest.raises(InputError) as error:
        model([*crops[:6], torch.rand(3, 48, 64), torch.rand(3, 64, 47)], targets)
    assert [fault[:35] for fault in error.value.faults] == [
        "crop 6 has shape (3, 48, 64), expec",
        "crop 7 has shape (3, 64, 47), expec",
    ]
    for ids in (-1, 4):
        with pytest.raises(InputError, match=r"expected identities from 0 to 3: leave people without one out"):
            model(crops, [*targets[:-1], {"person_ids": torch.tensor([ids])}])
    for wrong in (targets[:-1], [{}] * 8, [{"person_ids": torch.tensor([0, 1])}] * 8):
        with pytest.raises(InputError, match=r"expected one a crop, with person_ids \(1,\)"):
            model(crops, wrong)
    with pytest.raises(InputError, match=r"one crop alone has no statistics.*batch_norm=frozen"):
        model(crops[:1], targets[:1])
    with pytest.raises(InputError, match=r"expected \[0, 1\]"):
        model.embed([255 * _images()[0]], BOXES[:1])
    with pytest.raises(InputError, match="ends before it begins"):
        model.embed(_images()[:1], [torch.tensor([[50.0, 10, 40, 90]])])


def test_stripes_that_the_map_does_not_have_are_refused() -> None:
    with pytest.raises(InputError, match=r"stripes is 6, and the map of a crop of 64 pixels' height has 4 rows"):
        zoo.create("reid_pcb", num_identities=2, size=(64, 32))
    with pytest.raises(InputError, match="backbone"):
        zoo.create("reid_pcb", num_identities=2, backbone="vit_tiny_patch16_224")
