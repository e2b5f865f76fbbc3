"""Training and prediction: what a run leaves, that it learns, and what stops it."""

import dataclasses
import json
import math
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed

import psbench
import psbench_data
from psbench import InputError
from psbench.inference import predict
from psbench.training import Recipe, Run, recipe_for, recipes, train
from psbench.training.loop import NonFiniteLossError, learning_rate_factor
from psbench.training.recipe import Schedule
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
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(8))
    losses = {name for name in lines[0] if name.startswith("loss_")}
    assert len(losses) == 7
    for line in lines:
        assert line["loss"] == pytest.approx(sum(line[name] for name in losses))
        assert math.isfinite(line["gradient_norm"])


def test_same_seed_same_training(run: Run, world: PersonSearchDataset, tmp_path: Path) -> None:
    again = train(TINY, world, tmp_path / "again", progress=False)
    assert (again.folder / "metrics.jsonl").read_text() == (run.folder / "metrics.jsonl").read_text()


def test_weights_come_without_identity_tables(run: Run) -> None:
    from safetensors import safe_open

    with safe_open(run.folder / "model.safetensors", "pt") as weights:
        names = list(weights.keys())
    assert names
    assert not [name for name in names if name.startswith("oim")]


def test_predictions_serve_every_protocol(run: Run, world: PersonSearchDataset, tmp_path: Path) -> None:
    predictions = predict(run.model(), world, context=True, method="tiny", progress=False)
    assert predictions.scene_names == world.split("test").names
    assert len(predictions.scores) > 0
    assert (predictions.method, predictions.synthetic) == ("tiny", True)
    loaded = psbench.Predictions.load(predictions.save(tmp_path / "predictions"))
    result = psbench.evaluate(loaded, world.protocol("gallery-50"), det_threshold=0)
    assert 0 <= result.map <= 1
    assert result.synthetic
    assert loaded.context is not None
    queries = loaded.context.offsets[:-1]
    np.testing.assert_allclose(loaded.context.boxes[queries], loaded.query_boxes, atol=1e-3)
    np.testing.assert_allclose(loaded.context.embeddings[queries], loaded.query_embeddings, atol=1e-4)
    psbench.evaluate(loaded, world.protocol("gallery-50"), det_threshold=0, cbgm=psbench.CBGM())


def test_batches_predict_what_single_images_do(run: Run, world: PersonSearchDataset) -> None:
    """All pictures of this world are of one size, so that a batch brings no padding."""
    model = run.model()
    one, three = (predict(model, world, batch_size=size, progress=False) for size in (1, 3))
    np.testing.assert_allclose(one.boxes, three.boxes, atol=1e-2)
    np.testing.assert_allclose(one.query_embeddings, three.query_embeddings, atol=1e-4)


def test_true_boxes_reach_every_person(run: Run, world: PersonSearchDataset) -> None:
    perfect = predict(run.model(), world, ground_truth_boxes=True, progress=False)
    test = world.split("test")
    np.testing.assert_array_equal(perfect.boxes, test.boxes)
    detection = psbench.evaluate_detection(perfect, test)
    assert (detection.recall, detection.ap) == (1.0, 1.0)


def test_schedule_and_clipping_reach_the_optimizer(world: PersonSearchDataset, tmp_path: Path) -> None:
    changes = {
        "schedule.epochs": 3,
        "schedule.milestones": [2],
        "schedule.warmup_epochs": 1,
        "optimizer.weight_decay": 0,
    }
    recipe = TINY.override(changes | {"optimizer.clip_norm": 1e-9})
    finished = train(recipe, world, tmp_path / "run", progress=False)
    lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
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
    lines = (train(recipe, world, tmp_path / "run", progress=False).folder / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line) for line in lines]
    for name in ("loss_proposal_cls", "loss_rpn_cls", "loss_box_reid"):
        first, last = (np.mean([step[name] for step in steps]) for steps in (losses[:6], losses[-6:]))
        assert last < 0.8 * first, name


def test_broken_loss_stops_with_names_and_leaves_nothing(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psbench.zoo.seqnet.box_regression_loss", lambda *_: torch.tensor(math.nan))
    with pytest.raises(NonFiniteLossError) as error:
        train(TINY, world, tmp_path / "run", progress=False)
    assert "loss_box_reg = nan" in str(error.value)
    assert any(name in str(error.value) for name in world.split("train").names)
    assert list(tmp_path.iterdir()) == []


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


def test_every_recipe_names_a_model_and_survives_json() -> None:
    for name in recipes():
        recipe = recipe_for(name)
        assert recipe.model in psbench.zoo.available()
        assert Recipe.from_dict(recipe.to_dict(), source="test") == recipe


def test_paper_recipe_has_the_papers_values() -> None:
    """SeqNet on CUHK-SYSU: 20 epochs at 0.003, a tenth of it from epoch 16, one epoch of warm-up, batches of 5."""
    recipe = recipe_for("seqnet-cuhk_sysu")
    assert (recipe.optimizer.lr, recipe.optimizer.weight_decay, recipe.optimizer.clip_norm) == (0.003, 5e-4, 10)
    assert (recipe.schedule.epochs, recipe.schedule.milestones, recipe.batch_size) == (20, (16,), 5)


def test_overrides_are_checked_all_at_once() -> None:
    recipe = recipe_for("seqnet-cuhk_sysu")
    changed = recipe.override({"optimizer.lr": "0.01", "model_options.backbone": "resnet18"})
    assert (changed.optimizer.lr, changed.model_options["backbone"]) == (0.01, "resnet18")
    assert changed.digest != recipe.digest
    assert (changed.name, changed.expected) == ("seqnet-cuhk_sysu-changed", None)
    assert recipe.override({"workers": 0}) == dataclasses.replace(recipe, workers=0)
    recipe.model_options["backbone"] = "mine"
    assert "backbone" not in recipe_for("seqnet-cuhk_sysu").model_options
    with pytest.raises(InputError) as error:
        recipe.override({"optimizer.learning_rate": 1, "epoch": 3})
    assert len(error.value.faults) == 2
    with pytest.raises(InputError, match=r"optimizer.lr is 'fast'"):
        recipe.override({"optimizer.lr": "fast"})


def test_learning_rate_rises_then_falls() -> None:
    factor = learning_rate_factor(Schedule(epochs=4, milestones=(2, 3), warmup_epochs=1, warmup_start=0.001), 100)
    assert factor(0) == pytest.approx(0.001)
    assert factor(49) == pytest.approx(0.001 + 0.999 * 49 / 99)
    assert [factor(step) for step in (99, 199, 200, 299, 300)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
