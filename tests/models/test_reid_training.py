"""Training on crops: with detected boxes and without, interrupted, and what is told of it."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from safetensors.torch import load_file
from typer.testing import CliRunner

import psbench
from psbench import InputError, Predictions
from psbench.cli_training import train as train_command
from psbench.inference import predict, predict_into
from psbench.training import Recipe, Run, recipe_for, train
from psbench.training.crops import TrainingCrops, detections_digest
from psbench.training.trainer import Trainer
from psbench_data import PersonSearchDataset
from tests.models.looks import Looks, assert_equal, files
from tests.models.small import SMALL
from tests.models.test_card import command_of, section
from tests.models.test_crops import detections_in
from tests.models.test_training import TINY, losses_of
from tests.tiny_script import changed

CROPS: dict[str, Recipe] = {
    name: recipe_for(f"{name}-demo").override(
        {f"model_options.{key}": value for key, value in SMALL[name].items()}
        | {"schedule.epochs": 2, "schedule.milestones": [1], "batch_size": 5}
    )
    for name in ("reid_resnet50", "reid_pcb")
}
PCB = CROPS["reid_pcb"]


@pytest.fixture(scope="module")
def detections(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detections_in(world.split("train")).save(tmp_path_factory.mktemp("detections") / "train")


@pytest.fixture(scope="module")
def run(world: PersonSearchDataset, detections: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(PCB, world, tmp_path_factory.mktemp("runs") / "pcb", detections=detections, progress=False)


def _crops(world: PersonSearchDataset, found: Predictions | None) -> int:
    return len(TrainingCrops(world.split("train"), detections=found, size=(64, 48)))


def test_a_run_with_detected_boxes_says_so(run: Run, world: PersonSearchDataset, detections: Path) -> None:
    found = Predictions.load(detections)
    record = Run.load(run.folder).record
    assert record.detections == detections_digest(found, world.split("train"))
    assert record.steps == 2 * (_crops(world, found) // 5) > 2 * (_crops(world, None) // 5)
    assert {line["step"] for line in losses_of(run)} == set(range(record.steps))
    assert {name for name in losses_of(run)[0] if name.startswith("loss_")} == {"loss_reid"}
    assert not [name for name in load_file(run.folder / "model.safetensors") if name.startswith("classifiers")]
    embedded = predict(run.model(), world, protocols=["gallery-50"], ground_truth_boxes=True, progress=False)
    assert 0 < psbench.evaluate(embedded, world.protocol("gallery-50")).map <= 1


def test_detections_may_be_given_in_memory(run: Run, world: PersonSearchDataset, tmp_path: Path) -> None:
    found = detections_in(world.split("train"), backwards=True)
    again = train(PCB, world, tmp_path / "run", detections=found, progress=False)
    assert losses_of(again) == losses_of(run)
    assert again.record.detections == run.record.detections


@pytest.mark.parametrize(
    "changes", [{}, {"workers": 1, "ema": 0.9, "execution.accumulation": 2}], ids=["plain", "varied"]
)
def test_resumed_training_equals_an_uninterrupted_one(
    run: Run, world: PersonSearchDataset, detections: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe, stops = PCB.override(changes), [2, 5]
    whole = train(recipe, world, tmp_path / "whole", detections=detections, progress=False) if changes else run
    move = Trainer._move

    def stopping(self: Trainer, step: int, *rest: Any) -> None:
        if stops and step == stops[0]:
            stops.pop(0)
            raise KeyboardInterrupt
        move(self, step, *rest)

    def going_on() -> Run:
        # What others draw in between must not matter.
        torch.manual_seed(len(stops))
        return train(
            recipe, world, tmp_path / "run", detections=detections, resume=True, checkpoint_every=3, progress=False
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_move", stopping)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                going_on()
    resumed = going_on()
    assert resumed.record.resumed == 1
    assert losses_of(resumed) == losses_of(whole)
    expected = load_file(whole.folder / "model.safetensors")
    for name, value in load_file(resumed.folder / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name


def test_resuming_requires_the_same_detections(world: PersonSearchDataset, detections: Path, tmp_path: Path) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_move", stop)
        with pytest.raises(KeyboardInterrupt):
            train(PCB, world, tmp_path / "run", detections=detections, progress=False)
    others = detections_in(world.split("train"), seed=1)
    for given in (None, others):
        with pytest.raises(InputError, match=r"training.json: detections is '.*', now .*Go on with the same"):
            train(PCB, world, tmp_path / "run", detections=given, resume=True, progress=False)


def test_without_detections_it_is_said_once_that_there_are_none(
    world: PersonSearchDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, words in (("oim-demo", "made for those that oim-demo detects in the training scenes, too"), (None, "")):
        caplog.clear()
        recipe = dataclasses.replace(CROPS["reid_resnet50"], detections_from=name)
        with caplog.at_level(logging.WARNING, "psbench"):
            alone = train(recipe, world, tmp_path / str(name), progress=False)
        assert alone.record.detections is None
        assert alone.record.steps == 2 * (_crops(world, None) // 5)
        said = [record.getMessage() for record in caplog.records if "annotated boxes alone" in record.getMessage()]
        assert len(said) == (1 if words else 0)
        assert words in "".join(said)


def test_slips_are_told_before_the_first_step(
    world: PersonSearchDataset, golden: PersonSearchDataset, detections: Path, tmp_path: Path
) -> None:
    slips: list[tuple[Recipe, dict[str, Any], str]] = [
        (PCB, {"detections": detections_in(world.split("test"))}, r"detections of the test scenes"),
        (PCB, {"detections": detections_in(golden.split("train"))}, r"on another cuhk_sysu"),
        (PCB, {"detections": tmp_path}, r"not a predictions folder"),
        (TINY, {"detections": detections}, r"seqnet learns from training scenes with.*one of reid_resnet50, reid_pcb"),
        (PCB, {"validate_on": "gallery-50"}, r"validate_on=gallery-50: reid_pcb does not detect"),
        (PCB.override({"batch_size": 500}), {}, r"a step takes 500 images.* boxes of labelled people"),
    ]
    for recipe, options, words in slips:
        with pytest.raises(InputError, match=words):
            train(recipe, world, tmp_path / "run", progress=False, **options)
    assert not (tmp_path / "run").exists()


def test_backbone_moves_more_slowly(world: PersonSearchDataset, tmp_path: Path) -> None:
    """Each number of the gradient at most 1e-3, one step at rate 1."""
    recipe = CROPS["reid_resnet50"].override(
        {"schedule.epochs": 1, "schedule.warmup_epochs": 0, "batch_size": _crops(world, None), "optimizer.lr": 1}
        | {"optimizer.weight_decay": 0, "optimizer.clip_value": 1e-3, "optimizer.backbone_lr_factor": 0.1}
    )
    made: list[Trainer] = []
    with pytest.MonkeyPatch.context() as patch:
        prepare = Trainer.prepare
        patch.setattr(Trainer, "prepare", lambda self: made.append(self) or prepare(self))
        run = train(recipe, world, tmp_path / "run", progress=False)
    assert run.record.steps == 1
    set_seed(recipe.seed)
    before = dict(psbench.zoo.create("reid_resnet50", num_identities=6, **recipe.model_options).named_parameters())
    moved = {name: (p - before[name]).abs().max().item() for name, p in made[0].module.named_parameters()}
    assert max(value for name, value in moved.items() if name.startswith("backbone.")) == pytest.approx(1e-4, rel=0.01)
    assert moved["classifiers.0.weight"] == pytest.approx(1e-3, rel=0.01)


def test_card_says_what_it_is_and_what_it_saw(run: Run) -> None:
    text = (run.folder / "card.md").read_text()
    assert "A re-ID network for persons whose boxes are given: `reid_pcb`" in text
    assert "psbench predict DETECTOR --reid RUN --data cuhk_sysu" in section(text, "Results")
    assert "It was trained on detected boxes beside the annotated ones, the recipe is not." in text
    assert f"used, digest `{run.record.detections}`" in section(text, "Facts")
    command = command_of(text)
    assert command[:3] == ["psbench", "train", "reid_pcb"]
    assert command[-2:] == ["--detections", "DETECTIONS"]
    assert "DETECTIONS is what a detector finds in the training scenes" in section(text, "The same again")


def test_command_takes_detections(run: Run, world: PersonSearchDataset, detections: Path, tmp_path: Path) -> None:

    import typer

    app = typer.Typer()
    app.command()(train_command)
    values = {f"model_options.{key}": value for key, value in SMALL["reid_pcb"].items()}
    values |= {"schedule.epochs": 2, "schedule.milestones": [1], "batch_size": 5}
    sets = changed(values)
    words = ["reid_pcb", "--recipe", "reid_pcb-demo", "--root", str(world.root), "--output", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*words, *sets, "--detections", str(detections)])
    assert result.exit_code == 0, result.output
    assert losses_of(Run.load(tmp_path / "run")) == losses_of(run)
    result = CliRunner().invoke(app, [*words[:-1], str(tmp_path / "no"), "--detections", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "not a predictions folder" in result.output


def test_predictions_of_the_training_scenes_can_be_trained_on(world: PersonSearchDataset, tmp_path: Path) -> None:
    """Written, continued, loaded, and taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psbench.inference.work.PIECE_ROWS", 5)
        with pytest.raises(RuntimeError, match="out of memory"):
            predict_into(Looks(dies_after=8), world, tmp_path / "train", split="train", progress=False)
        assert files(tmp_path / "train") == {"work.json", "scenes-00000.parquet"}
        rest = Looks()
        predict_into(rest, world, tmp_path / "train", split="train", progress=False)
    assert rest.asked == {"detect": 7, "embed": 0}
    found = Predictions.load(tmp_path / "train")
    scenes = world.split("train")
    assert found.scene_names == scenes.names
    assert found.fingerprint == scenes.fingerprint
    assert found.query_embeddings.shape == (0, 4)
    whole = predict(Looks(), world, split="train", progress=False)
    np.testing.assert_array_equal(found.boxes, whole.boxes)
    np.testing.assert_array_equal(found.embeddings, whole.embeddings)
    run = train(CROPS["reid_resnet50"], world, tmp_path / "run", detections=tmp_path / "train", progress=False)
    assert run.record.detections == detections_digest(whole, scenes)


def test_training_scenes_have_no_queries(world: PersonSearchDataset, tmp_path: Path) -> None:
    for options in ({"context": True}, {"protocols": ["gallery-50"]}):
        with pytest.raises(InputError, match=r"the split train has none\. Leave them out"):
            predict_into(Looks(), world, tmp_path / "train", split="train", **options)
    with pytest.raises(InputError, match="no split 'trian'"):
        predict_into(Looks(), world, tmp_path / "train", split="trian")
    found = predict(Looks(), world, split="train", progress=False)
    with pytest.raises(InputError, match="another"):
        psbench.evaluate(found, world.protocol("gallery-50"))
    assert_equal(predict(Looks(), world, split="test", progress=False), predict(Looks(), world, progress=False))
