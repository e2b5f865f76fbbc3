"""The forms in which a recipe trains a model: each gives the results that the plain form gives."""

import copy
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.modules.batchnorm import _BatchNorm

from psbench import InputError, zoo
from psbench.training.execution import arrange, training_mode
from psbench.training.recipe import Execution, Recipe
from psbench.zoo.layers.stages import Staged
from tests.models.small import JOINT, SMALL

BOXES = torch.tensor([[10.0, 10, 50, 90], [60.0, 10, 90, 90], [20.0, 5, 60, 80]])
LABELLED, UNLABELLED = torch.tensor([0, 3, -1]), torch.tensor([-1, -1, -1])
ALONE = SimpleNamespace(device=torch.device("cpu"), num_processes=1)
FOUR_GPUS = SimpleNamespace(device=torch.device("cuda"), num_processes=4)
SQUARE = ((96, 128), (96, 128))

all_models = pytest.mark.parametrize("name", JOINT)


def _target(boxes: Tensor, person_ids: Tensor) -> dict[str, Tensor]:
    return {"boxes": boxes, "person_ids": person_ids}


def _images(sizes: tuple[tuple[int, int], ...] = SQUARE) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(3, *size, generator=generator) for size in sizes]


def _model(name: str, state: Any = ALONE, batch_norm: Any = "batch", options: Any = None, **how: Any) -> zoo.ZooModel:
    """A small model in training, in the form that a recipe asks for; its weights are the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = zoo.create(name, num_identities=5, **SMALL[name] | (options or {}))
    recipe = Recipe(name="a", model=name, dataset="prw", batch_norm=batch_norm, execution=Execution(**how))
    model = arrange(model, recipe, state)
    training_mode(model, batch_norm)
    return model


def _backward(
    model: nn.Module, *, targets: list[dict[str, Tensor]] | None = None, sizes: Any = SQUARE, autocast: bool = False
) -> dict[str, Tensor]:
    """The losses of a batch; their gradients are then with the parameters."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            losses = model(_images(sizes), targets or [_target(BOXES, LABELLED) for _ in sizes])
    torch.stack(list(losses.values())).sum().backward()
    return {name: loss.detach() for name, loss in losses.items()}


def _gradients(model: nn.Module) -> dict[str, Any]:
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _norms(model: nn.Module) -> dict[str, _BatchNorm]:
    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}


def _found(model: zoo.ZooModel, sizes: tuple[tuple[int, int], ...] = SQUARE) -> list[Tensor]:
    images = _images(sizes)
    detections = model.detect(images)
    return [d.boxes for d in detections] + model.embed(images, [BOXES for _ in images])


exactly = functools.partial(torch.testing.assert_close, rtol=0, atol=0)


# What several processes that train together need.


@all_models
@pytest.mark.parametrize(
    "targets",
    [
        [_target(BOXES, LABELLED), _target(BOXES, UNLABELLED)],
        [_target(BOXES, UNLABELLED), _target(BOXES[:0], UNLABELLED[:0])],
    ],
    ids=["labelled", "nobody labelled"],
)
def test_all_that_is_trained_gets_a_gradient_from_every_batch(name: str, targets: list[dict[str, Tensor]]) -> None:
    model = _model(name)
    _backward(model, targets=targets)
    assert [n for n, gradient in _gradients(model).items() if gradient is None or not gradient.isfinite().all()] == []


# Batch norm.


@all_models
def test_frozen_batch_norm_keeps_its_statistics_and_is_trained(name: str) -> None:
    model = _model(name, batch_norm="frozen")
    before = _state(model)
    _backward(model)
    model.detect(_images())
    _backward(model)
    statistics = {f"{norm}.{what}" for norm in _norms(model) for what in dict(_norms(model)[norm].named_buffers())}
    exactly({key: model.state_dict()[key] for key in statistics}, {key: before[key] for key in statistics})
    trained = [norm for norm in _norms(model).values() if norm.weight.requires_grad]
    assert trained
    assert all(norm.weight.grad is not None for norm in trained)
    # From its batches it would have learnt other statistics.
    training_mode(model, "batch")
    _backward(model)
    assert any(not torch.equal(model.state_dict()[key], before[key]) for key in statistics)


def test_frozen_batch_norm_lets_group_context_train_on_single_images() -> None:
    one = {"sizes": ((96, 128),)}
    with pytest.raises(InputError, match="batch_norm"):
        _backward(_model("glcnet_2026"), **one)
    losses = _backward(_model("glcnet_2026", batch_norm="frozen"), **one)
    assert all(loss.isfinite() for loss in losses.values())


# The last one's norms end in an activation of their own.
@pytest.mark.parametrize(
    ("name", "options"), [*((name, {}) for name in JOINT), ("oim", {"backbone": "test_efficientnet"})]
)
def test_synchronised_batch_norm_is_everywhere_and_changes_nothing_else(name: str, options: dict) -> None:
    plain = _model(name, options=options)
    model = _model(name, FOUR_GPUS, "synchronised", options, channels_last=False)
    norms = _norms(model)
    assert norms.keys() == _norms(plain).keys()
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms.values())
    assert {n: norm.training for n, norm in norms.items()} == {n: m.training for n, m in _norms(plain).items()}
    exactly(model.state_dict(), plain.state_dict())
    # Alone, its statistics are those of the batch; what follows a norm in its layer, such as a ReLU, is kept.
    exactly(_backward(model), _backward(plain))
    exactly(model.state_dict(), plain.state_dict())


def test_one_process_has_nothing_to_synchronise() -> None:
    assert not any(isinstance(norm, nn.SyncBatchNorm) for norm in _norms(_model("oim", ALONE, "synchronised")).values())


def test_processes_on_cpus_cannot_synchronise() -> None:
    cpus = SimpleNamespace(device=torch.device("cpu"), num_processes=2)
    with pytest.raises(InputError, match=r"needs GPUs.*one process.*frozen"):
        _model("oim", cpus, "synchronised")


# Memory.


def test_channels_are_innermost_on_gpus_alone() -> None:
    plain, model = _model("seqnet"), _model("seqnet", FOUR_GPUS)
    kernels = [p for p in model.parameters() if p.dim() == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    assert not all(p.is_contiguous(memory_format=torch.channels_last) for p in plain.parameters() if p.dim() == 4)
    exactly(model.state_dict(), plain.state_dict())
    torch.testing.assert_close(_backward(model), _backward(plain), rtol=1e-4, atol=1e-5)


def _kept(network: nn.Module, x: Tensor) -> int:
    """Bytes that a network keeps for its backward pass, besides its weights and what it is given."""
    others = {tensor.untyped_storage().data_ptr() for tensor in (x, *network.parameters())}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    return sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in others)


@all_models
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
def test_recomputing_is_exact(name: str, autocast: bool) -> None:
    plain, model = _model(name), _model(name, activation_checkpointing=True)
    exactly(_backward(model, autocast=autocast), _backward(plain, autocast=autocast))
    exactly(_gradients(model), _gradients(plain))
    exactly(_state(model), _state(plain))


@pytest.mark.parametrize("backbone", ["test_convnext", "test_efficientnet"])
def test_recomputing_is_exact_with_other_backbones(backbone: str) -> None:
    options = {"backbone": backbone}
    plain, model = _model("oim", options=options), _model("oim", options=options, activation_checkpointing=True)
    exactly(_backward(model), _backward(plain))
    exactly(_gradients(model), _gradients(plain))
    exactly(_state(model), _state(plain))


@pytest.mark.parametrize("name", ["seqnet", "glcnet_2026", "oim_caffe"])
def test_recomputing_keeps_less_than_half(name: str) -> None:
    options = {"freeze_stem": True}
    plain, model = _model(name, options=options), _model(name, options=options, activation_checkpointing=True)
    seen = 0
    for (path, usual), recomputing in zip(plain.named_modules(), model.modules(), strict=True):
        if isinstance(usual, Staged):
            channels = next(p.shape[1] for p in usual.parameters() if p.dim() == 4)
            x = torch.rand(2, 3, 96, 128) if path == "backbone" else torch.rand(6, channels, 7, 7)
            x.requires_grad_(path != "backbone")
            assert _kept(recomputing, x) < 0.5 * _kept(usual, x), path
            with torch.no_grad():
                assert _kept(recomputing, x) == 0
            seen += 1
    assert seen > 1


# Compiling.


def _backbone_input(model: zoo.ZooModel, sizes: tuple[tuple[int, int], ...], *, training: bool) -> tuple[int, ...]:
    """Height and width of what the backbone sees."""
    seen: list[Tensor] = []
    handle = model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    if training:
        _backward(model, sizes=sizes)
    else:
        model.detect(_images(sizes))
    handle.remove()
    return tuple(seen[0].shape[-2:])


def test_only_training_batches_are_padded_to_buckets() -> None:
    model, plain = _model("seqnet"), _model("seqnet")
    model.size_bucket = 96
    sizes = ((96, 128), (96, 100))
    assert _backbone_input(plain, sizes, training=True) == (96, 128)
    assert _backbone_input(model, sizes, training=True) == (96, 192)
    assert _backbone_input(model, sizes, training=False) == (96, 128)
    assert model.preprocessing() == plain.preprocessing()
    assert model.preprocessing()["padded_to"] == 32


def test_a_network_that_sees_single_images_is_never_padded() -> None:
    model = _model("oim_caffe")
    model.size_bucket = 96
    assert _backbone_input(model, ((96, 128),), training=True) == (96, 128)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """That complains where it would go on uncompiled."""
    torch.compiler.reset()
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=8):
        yield
    torch.compiler.reset()


def _round(model: zoo.ZooModel, sizes: tuple[tuple[int, int], ...]) -> list[Any]:
    """A step of training, and a look at validation."""
    losses = _backward(model, sizes=sizes)
    return [losses, _found(model.eval(), sizes), model.train()]


def _require_equal_training(model: zoo.ZooModel, plain: zoo.ZooModel, counter: CompileCounterWithBackend) -> None:
    """Losses, gradients, statistics and what is found are equal, and new sizes are soon no news to the compiler."""
    plain.size_bucket = model.size_bucket
    close = functools.partial(torch.testing.assert_close, rtol=1e-3, atol=1e-4)
    counts = []
    for sizes in (SQUARE, ((128, 96), (100, 96)), ((120, 100), (128, 96)), ((96, 110), (112, 100)), SQUARE):
        for compiled, expected in zip(_round(model, sizes)[:2], _round(plain, sizes)[:2], strict=True):
            close(compiled, expected)
        counts.append(counter.frame_count)
    close(_state(model), _state(plain))
    # Rounding alone decides some maxima.
    compiled, expected = (torch.cat([g.flatten() for g in _gradients(m).values()]) for m in (model, plain))
    assert (compiled - expected).norm() < 0.01 * expected.norm()
    stages = sum(len(module.stages()) for module in model.modules() if isinstance(module, Staged))
    assert 0 < counts[-1] <= 4 * stages
    assert counts[2] == counts[-1]


# Of torch's own, which hides it where warnings are not errors.
_compiling = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@_compiling
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_stages_train_and_find_as_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=counter))
    model = _model("seqnet", compile=True, activation_checkpointing=True)
    assert model.size_bucket == 128
    _require_equal_training(model, _model("seqnet"), counter)
    assert model.state_dict().keys() == _model("seqnet").state_dict().keys()
    torch.testing.assert_close(_found(copy.deepcopy(model)), _found(model))


@pytest.mark.slow
@_compiling
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize(("name", "backend"), [("glcnet_2026", "inductor"), ("oim_caffe", "aot_eager")])
def test_compiled_code_trains_and_finds_as_plain_code(monkeypatch: pytest.MonkeyPatch, name: str, backend: str) -> None:
    counter = CompileCounterWithBackend(backend)
    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=counter))
    model = _model(name, compile=True)
    _require_equal_training(model, _model(name), counter)


@pytest.mark.parametrize("how", ["activation_checkpointing", "compile"])
def test_a_model_without_stages_is_refused(how: str) -> None:
    recipe = Recipe(name="a", model="mine", dataset="prw", execution=Execution(**{how: True}))
    with pytest.raises(InputError, match=f"mine has no stages for execution.{how}"):
        arrange(nn.Linear(2, 2), recipe, ALONE)  # type: ignore[arg-type]
