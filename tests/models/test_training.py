"""Training and prediction: what a run leaves, that it learns, and what stops it."""

import itertools
import json
import math
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed

import psbench
import psbench_data
from psbench import InputError
from psbench.training import NonFiniteLossError, Run, recipe_for, train
from psbench.training.batches import EpochBatches
from psbench.training.optimization import learning_rate_factor
from psbench.zoo.layers.faster_rcnn import box_regression_loss
from psbench_data import PersonSearchDataset

TINY = recipe_for("seqnet-demo").override(
    {
        "schedule.epochs": 2,
        "batch_size": 3,
        "model_options.min_size": 96,
        "model_options.max_size": 128,
        "model_options.roi_batch_size_per_image": 8,
        "model_options.rpn_post_nms_top_n_test": 8,
        # An untrained network is sure of nothing; every box must come out to be looked at.
        "model_options.score_thresh_test": 0.0,
    }
)


TIMES = ("images_per_second", "seconds")
"""What a line of the log says of the clock."""


def losses_of(run: Run) -> list[dict[str, float]]:
    """The lines of the log, without what the clock says."""
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]


@pytest.fixture(scope="module")
def run(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(TINY, world, tmp_path_factory.mktemp("runs") / "tiny", progress=False)


def test_run_says_what_it_is(run: Run, world: PersonSearchDataset) -> None:
    loaded = Run.load(run.folder)
    assert loaded.record == run.record
    assert loaded.recipe == TINY
    assert (loaded.record.fingerprint, loaded.record.synthetic) == (world.fingerprint, True)
    assert loaded.record.steps == 8
    assert loaded.record.versions["torch"] == version("torch")


def test_metrics_have_a_line_a_step(run: Run) -> None:
    lines = losses_of(run)
    assert [line["step"] for line in lines] == list(range(8))
    losses = {name for name in lines[0] if name.startswith("loss_")}
    assert len(losses) == 7
    for line in lines:
        assert line["loss"] == pytest.approx(sum(line[name] for name in losses))
        assert math.isfinite(line["gradient_norm"])


def test_same_seed_same_training(run: Run, world: PersonSearchDataset, tmp_path: Path) -> None:
    again = train(TINY, world, tmp_path / "again", progress=False)
    assert losses_of(again) == losses_of(run)


def test_weights_come_without_identity_tables(run: Run) -> None:
    from safetensors import safe_open

    with safe_open(run.folder / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert names
    assert not [name for name in names if name.startswith("oim")]


def test_schedule_and_clipping_reach_the_optimizer(world: PersonSearchDataset, tmp_path: Path) -> None:
    changes = {
        "schedule.epochs": 3,
        "schedule.milestones": [2],
        "schedule.warmup_epochs": 1,
        "optimizer.weight_decay": 0,
    }
    recipe = TINY.override(changes | {"optimizer.clip_norm": 1e-9})
    finished = train(recipe, world, tmp_path / "run", progress=False)
    lines = losses_of(finished)
    factor = learning_rate_factor(recipe.schedule, len(lines) // 3)
    assert [line["lr"] for line in lines] == pytest.approx(
        [recipe.optimizer.lr * factor(step) for step in range(len(lines))]
    )
    # With the gradient clipped to nothing, no weight moves.
    torch.manual_seed(0)
    set_seed(recipe.seed)
    fresh = dict(psbench.zoo.create("seqnet", num_identities=6, **recipe.model_options).named_parameters())
    for name, trained in finished.model().named_parameters():
        torch.testing.assert_close(trained, fresh[name], rtol=0, atol=1e-6)


def test_weight_decay_spares_what_the_recipe_says(world: PersonSearchDataset, tmp_path: Path) -> None:
    """With gradients clipped to nothing, decay alone moves weights."""
    changes = {
        "schedule.epochs": 1,
        "optimizer.clip_norm": 1e-9,
        "optimizer.weight_decay": 1.0,
        "optimizer.decay_biases": False,
        "optimizer.decay_norms": False,
    }
    recipe = TINY.override(changes)
    trained = train(recipe, world, tmp_path / "run", progress=False).model()
    set_seed(recipe.seed)
    fresh = psbench.zoo.create("seqnet", num_identities=6, **recipe.model_options)
    before = dict(fresh.named_parameters())
    norms = [m for m in trained.modules() if isinstance(m, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d)]
    spared = {id(p) for m in norms for p in m.parameters()}
    for name, parameter in trained.named_parameters():
        if id(parameter) in spared or name.endswith("bias"):
            torch.testing.assert_close(parameter, before[name], rtol=0, atol=1e-6)
        else:
            assert parameter.norm() < 0.999 * before[name].norm(), name


def test_biases_can_learn_faster_and_each_number_be_clipped(world: PersonSearchDataset, tmp_path: Path) -> None:
    """Every number of the gradient at most 1e-3, so that after one step none has moved by more than its rate allows."""
    changes = {
        "schedule.epochs": 1,
        "schedule.warmup_epochs": 0,
        "batch_size": 12,
        "optimizer.weight_decay": 0,
        "optimizer.clip_norm": None,
        "optimizer.clip_value": 1e-3,
        "optimizer.bias_lr_factor": 10,
        "optimizer.lr": 1,
    }
    recipe = TINY.override(changes)
    run = train(recipe, world, tmp_path / "run", progress=False)
    assert run.record.steps == 1
    set_seed(recipe.seed)
    before = dict(psbench.zoo.create("seqnet", num_identities=6, **recipe.model_options).named_parameters())
    moved = {name: (p - before[name]).abs().max().item() for name, p in run.model().named_parameters()}
    linear = {name for name in moved if name.endswith("bias") and "bn" not in name and ".1.bias" not in name}
    assert max(moved[name] for name in linear) == pytest.approx(1e-2, rel=1e-2)
    assert max(value for name, value in moved.items() if name not in linear) == pytest.approx(1e-3, rel=1e-2)


def test_a_few_scenes_are_learnt_by_heart(world: PersonSearchDataset, tmp_path: Path) -> None:
    recipe = TINY.override({"schedule.epochs": 25, "schedule.milestones": [], "flip": 0, "batch_size": 4})
    losses = losses_of(train(recipe, world, tmp_path / "run", progress=False))
    for name in ("loss_proposal_cls", "loss_rpn_cls", "loss_box_reid"):
        first, last = (np.mean([step[name] for step in steps]) for steps in (losses[:6], losses[-6:]))
        assert last < 0.8 * first, name


def test_broken_loss_stops_with_names_and_leaves_the_checkpoint(
    run: Run, world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third box loss of the second stage is not a number: nothing moves any more, and one can go on."""
    count = itertools.count()

    def broken(*arguments: Any) -> torch.Tensor:
        loss = box_regression_loss(*arguments)
        return loss * math.nan if next(count) == 2 * 4 + 1 else loss

    with monkeypatch.context() as patch:
        patch.setattr("psbench.zoo.seqnet.box_regression_loss", broken)
        with pytest.raises(NonFiniteLossError) as error:
            train(TINY, world, tmp_path / "run", checkpoint_every=2, progress=False)
    message = str(error.value)
    assert "step 4: loss_box_reg = nan on the scenes" in message
    assert "checkpoint is of step 4" in message
    order = EpochBatches(12, batch_size=3, flip=0.5, seed=TINY.seed)
    order.begin(1)
    scenes = world.split("train")
    named = [scenes.names[draw.index] for draw in next(iter(order))]
    assert sorted(re.search(r"scenes (.*?)\.( |$)", message)[1].split(", ")) == sorted(named)  # type: ignore[index]
    resumed = train(TINY, world, tmp_path / "run", resume=True, progress=False)
    assert losses_of(resumed) == losses_of(run)


def test_gradients_that_are_no_numbers_stop_it(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The square root of nothing is finite, its slope is not."""
    monkeypatch.setattr("psbench.zoo.seqnet.box_regression_loss", lambda deltas, _: (deltas * 0).sum().abs().sqrt())
    with pytest.raises(NonFiniteLossError, match=r"gradient = (nan|inf)"):
        train(TINY, world, tmp_path / "run", progress=False)


def test_missing_images_stop_before_training(world_root: Path, tmp_path: Path) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, tmp_path / "copy"))
    victim = dataset.split("train")[3].path
    victim.unlink()
    with pytest.raises(InputError, match=victim.name):
        train(TINY, dataset, tmp_path / "run", progress=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_images_stop_with_their_names(world_root: Path, tmp_path: Path, workers: int) -> None:
    dataset = psbench_data.load("cuhk_sysu", root=shutil.copytree(world_root, tmp_path / "copy"))
    for scene in dataset.split("train"):
        scene.path.write_bytes(scene.path.read_bytes()[:300])
    with pytest.raises(InputError) as error:
        train(TINY.override({"workers": workers}), dataset, tmp_path / "run", progress=False)
    assert len(error.value.faults) == TINY.batch_size
    assert all("does not decode" in fault for fault in error.value.faults)
    assert "Traceback" not in str(error.value)


def test_pretrained_backbone_comes_from_a_file_or_is_asked_for(world: PersonSearchDataset, tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_resnet", pretrained=False)
    weights = {name: value for name, value in source.state_dict().items() if "fc." not in name}
    save_file(weights, tmp_path / "backbone.safetensors")
    torch.save(weights, tmp_path / "backbone.pth")
    options = TINY.model_options
    for name in ("backbone.safetensors", "backbone.pth"):
        model = psbench.zoo.create("seqnet", num_identities=2, **options | {"pretrained": str(tmp_path / name)})
        torch.testing.assert_close(model.backbone.conv1.state_dict(), source.conv1.state_dict())
    (tmp_path / "bad.pth").write_bytes(b"not weights")
    for path in ("bad.pth", "missing.pth"):
        with pytest.raises(InputError, match="not the weights of this backbone"):
            psbench.zoo.create("seqnet", num_identities=2, **options | {"pretrained": str(tmp_path / path)})


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr("timm.create_model", refuse)
    with pytest.raises(InputError, match=r"could not be fetched \(ConnectionError\).*from scratch"):
        psbench.zoo.create("seqnet", num_identities=2, pretrained=True)


def test_damaged_runs_are_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a finished run"):
        Run.load(tmp_path)
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model.safetensors: the weights cannot be read"):
        Run.load(copy).model()
    (copy / "run.json").write_text('{"recipe": {}}')
    with pytest.raises(InputError, match=r"run\.json: fingerprint"):
        Run.load(copy)
