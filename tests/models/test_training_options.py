"""What a training can be asked for: batches, averages, validations, trackers, other weights to start from."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import tracking
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from accelerate.utils import LoggerType
from safetensors.torch import load_file

import psbench
from psbench import InputError
from psbench.inference import predict
from psbench.training import Run, recipe_for, train
from psbench.training.accelerator import batch_warnings, batches_of, schedule_warnings
from psbench.training.journal import Journal, require_trackers
from psbench.zoo.weights import load_weights
from psbench_data import PersonSearchDataset
from tests.models.launched_training import first_ones
from tests.models.test_training import TINY, losses_of

PAPER = recipe_for("seqnet-cuhk_sysu")
STILL = {"schedule.epochs": 1, "optimizer.clip_norm": 1e-9, "optimizer.weight_decay": 0}
"""Nothing is learnt, so that what a training started from can be seen in what it leaves."""


@pytest.mark.parametrize(
    ("changes", "processes", "images", "lr", "words"),
    [
        ({}, 1, 5, 0.003, []),
        ({}, 8, 40, 0.003, ["(8 x 5 x 1: ", "made for 5", "execution.scale_lr=true for 0.024"]),
        ({"execution.scale_lr": True}, 8, 40, 0.024, ["learning rate is 0.024 instead of 0.003"]),
        (
            {"execution.images_per_process": 1, "execution.accumulation": 5},
            1,
            5,
            0.003,
            ["batch norm sees batches of 1,", "batch_norm=frozen"],
        ),
        ({"execution.images_per_process": 1, "batch_norm": "frozen"}, 5, 5, 0.003, []),
        ({"execution.images_per_process": 1, "batch_norm": "synchronised"}, 5, 5, 0.003, []),
    ],
)
def test_batches_that_differ_are_told(
    changes: dict[str, Any], processes: int, images: int, lr: float, words: list[str]
) -> None:
    recipe = PAPER.override(changes)
    batches = batches_of(recipe, processes)
    assert (batches.images_per_step, batches.lr) == (images, pytest.approx(lr))
    said = " ".join(batch_warnings(recipe, batches))
    assert all(word in said for word in words)
    assert bool(said) == bool(words)


def test_schedules_that_do_not_come_about_are_told() -> None:
    assert schedule_warnings(PAPER) == []
    [late] = schedule_warnings(PAPER.override({"schedule.epochs": 10}))
    assert "does not fall at schedule.milestones=[16]: there are 10 epochs" in late
    [long] = schedule_warnings(PAPER.override({"schedule.warmup_epochs": 21}))
    assert "warm-up of 21 epochs is longer" in long


def test_warnings_reach_the_user(world: PersonSearchDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = TINY.override({"schedule.epochs": 1, "execution.accumulation": 2, "execution.scale_lr": True})
    run = train(recipe, world, tmp_path / "run", progress=False)
    assert "a step has 6 images (1 x 3 x 2: processes" in caplog.text
    assert run.record.steps == 2
    assert (run.record.batches.images_per_step, run.record.batches.lr) == (6, pytest.approx(0.024))
    assert losses_of(run)[-1]["lr"] == pytest.approx(0.024)


def test_accumulated_batches_are_a_step_but_for_identities(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without batch statistics, two batches of two have the losses of one of four; OIM's tables move in between."""
    monkeypatch.setattr(torch, "randperm", first_ones)
    # Not the recipe's, and not heard.
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "3")
    common = {"batch_size": 4, "batch_norm": "frozen", "model_options.rpn_batch_size_per_image": 16}
    one, two = (
        losses_of(train(TINY.override(common | {"execution.images_per_process": 4 // n, "execution.accumulation": n}),
                        world, tmp_path / str(n), progress=False))
        for n in (1, 2)
    )  # fmt: skip
    assert len(one) == len(two) == 6
    for name, value in one[0].items():
        if name in ("loss_box_reid", "loss", "gradient_norm"):
            assert two[0][name] != value
        else:
            assert two[0][name] == pytest.approx(value, rel=1e-5)


def test_average_follows_the_weights(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """e_1 = w_1, e_t = d e_(t-1) + (1 - d) w_t; what counts something is taken as it is."""
    seen: list[dict[str, torch.Tensor]] = []
    step = Journal.step

    def watched(self: Journal, *arguments: Any) -> None:
        step(self, *arguments)
        seen.append({name: value.clone() for name, value in trainers[0].module.state_dict().items()})

    from psbench.training.trainer import Trainer

    trainers: list[Trainer] = []
    make = Trainer.__init__

    def made(self: Trainer, *arguments: Any) -> None:
        make(self, *arguments)
        trainers.append(self)

    monkeypatch.setattr(Trainer, "__init__", made)
    monkeypatch.setattr(Journal, "step", watched)
    run = train(TINY.override({"ema": 0.7, "schedule.epochs": 1}), world, tmp_path / "run", progress=False)
    found = load_file(run.folder / "model.safetensors")
    parameters = {name for name, _ in trainers[0].module.named_parameters()}
    for name, value in found.items():
        expected = seen[0][name]
        for state in seen[1:]:
            expected = 0.7 * expected + 0.3 * state[name] if name in parameters else state[name]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)


def test_validations_are_told_and_change_nothing(world: PersonSearchDataset, tmp_path: Path) -> None:
    plain = train(TINY, world, tmp_path / "plain", progress=False)
    run = train(TINY, world, tmp_path / "run", validate_on="gallery-50", validate_every=1, progress=False)
    assert losses_of(run) == losses_of(plain)
    lines = [json.loads(line) for line in (run.folder / "validation.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"], line["protocol"]) for line in lines] == [
        (1, 4, "gallery-50"),
        (2, 8, "gallery-50"),
    ]
    assert run.record.validation is not None
    assert run.record.validation.model_dump() == lines[-1]
    best = max(lines, key=lambda line: line["map"])
    for path, line in (("model.safetensors", lines[-1]), ("best.safetensors", best)):
        predictions = predict(load_weights(run.folder / path), world, progress=False)
        measured = psbench.evaluate(predictions, world.protocol("gallery-50"))
        assert (measured.map, measured.top(1)) == pytest.approx((line["map"], line["top1"]))
        assert (measured.detection.recall, measured.detection.ap) == pytest.approx(
            (line["detection_recall"], line["detection_ap"])
        )


def test_slips_are_told_before_the_first_step(world: PersonSearchDataset, tmp_path: Path) -> None:
    slips: list[tuple[dict[str, Any], str]] = [
        ({"validate_on": "gallery-5"}, "gallery-5"),
        ({"validate_every": 1}, "validate_every=1 needs validate_on"),
        ({"validate_on": "gallery-50", "validate_every": 0}, "expected a number of epochs from 1"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"trackers": ["tensorbord"]}, "there is no tracker 'tensorbord'.*tensorboard"),
        ({"start_from": tmp_path}, "not a finished run"),
    ]
    for options, words in slips:
        with pytest.raises(InputError, match=words):
            train(TINY, world, tmp_path / "run", progress=False, **options)
    with pytest.raises(InputError, match="fp16, which needs a GPU"):
        train(TINY.override({"execution.precision": "fp16"}), world, tmp_path / "run", progress=False)
    for changes, words in (
        ({"batch_size": 13}, r"a step takes 13 images.*has 12 training scenes"),
        ({"model_options.foo": 1}, "no option 'foo'"),
        ({"model_options.num_identities": 5}, "follows from the data"),
        ({"model_options.backbone": "resnet999"}, "no backbone called 'resnet999'"),
    ):
        with pytest.raises(InputError, match=words):
            train(TINY.override(changes), world, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="the tracker wandb is not installed"):
        require_trackers(["wandb"])


class _Kept(GeneralTracker):
    """A tracker that keeps what it gets, under a name that all versions of accelerate know."""

    name = "tensorboard"
    requires_logging_directory = False
    lines: list[tuple[int | None, dict[str, Any]]] = []  # noqa: RUF012
    config: dict[str, Any] = {}  # noqa: RUF012
    finished = 0

    def __init__(self, run_name: str) -> None:
        super().__init__()

    @property
    def tracker(self) -> None:
        return None

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        _Kept.config = values

    def log(self, values: dict[str, Any], step: int | None = None, **options: Any) -> None:
        _Kept.lines.append((step, values))

    def finish(self) -> None:
        _Kept.finished += 1


def test_trackers_get_what_the_log_gets(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, _Kept.name, _Kept)
    monkeypatch.setattr(tracking, "_available_trackers", [LoggerType(_Kept.name)])
    run = train(TINY, world, tmp_path / "run", validate_on="gallery-50", trackers=[_Kept.name], progress=False)
    steps = [line for _, line in _Kept.lines if "loss" in line]
    assert [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()] == steps
    assert [line for _, line in _Kept.lines if "gallery-50/map" in line]
    assert (_Kept.config["optimizer.lr"], _Kept.finished) == (TINY.optimizer.lr, 1)


def test_nae_plus_starts_from_a_trained_nae(world: PersonSearchDataset, tmp_path: Path) -> None:
    options = {f"model_options.{name}": value for name, value in TINY.model_options.items()}
    nae, plus = (
        recipe_for(f"{name}-demo").override(options | {"batch_size": 3} | STILL) for name in ("nae", "nae_plus")
    )
    before = train(nae, world, tmp_path / "nae", progress=False)
    run = train(
        plus.override({"starts_from": "nae-demo"}), world, tmp_path / "plus", start_from=before.folder, progress=False
    )
    assert run.record.started_from is not None
    own = dict(before.model().named_parameters())
    for name, value in run.model().named_parameters():
        torch.testing.assert_close(value.squeeze(), own[name].squeeze(), rtol=0, atol=1e-6)
    with pytest.raises(InputError, match=r"starts from the weights of nae-demo. Give its run with --start-from"):
        train(plus.override({"starts_from": "nae-demo"}), world, tmp_path / "no", progress=False)
    with pytest.raises(InputError, match=r"weights of nae do not hold what SeqNet starts from: .*reid_head"):
        train(TINY, world, tmp_path / "no", start_from=before.folder, progress=False)


def test_identity_tables_are_taken_where_they_fit(world: PersonSearchDataset, tmp_path: Path) -> None:
    from psbench.zoo.starting import start_from_weights
    from psbench.zoo.weights import describe, save_weights

    for known, data, identities, taken in (
        (None, ("cuhk_sysu", "abc"), 6, True),
        (None, ("prw", "abc"), 6, False),
        (None, ("cuhk_sysu", "abc"), 7, False),
        ("abc", ("cuhk_sysu", "abc"), 6, True),
        ("abc", ("cuhk_sysu", "def"), 6, False),
    ):
        models = [psbench.zoo.create("seqnet", num_identities=n, **TINY.model_options) for n in (6, identities)]
        for table in (models[0].oim.table, models[0].oim.queue):
            table.fill_(0.5)
        info = describe(models[0], "seqnet", num_identities=6, dataset="cuhk_sysu", method="tiny", fingerprint=known)
        save_weights(models[0], tmp_path / "tables.safetensors", info, keep_tables=True)
        model = models[1]
        start_from_weights(model, tmp_path / "tables.safetensors", dataset=data[0], fingerprint=data[1])
        assert torch.equal(model.box_head.state_dict()["layer4.0.conv1.weight"],
                           models[0].box_head.state_dict()["layer4.0.conv1.weight"])  # fmt: skip
        assert (model.oim.table == (0.5 if taken else 0)).all()
        assert (model.oim.queue == (0.5 if taken else 0)).all()


def test_run_says_how_it_was_carried_out(world: PersonSearchDataset, tmp_path: Path) -> None:
    recipe = TINY.override({"schedule.epochs": 1, "execution.precision": "bf16"})
    record = Run.load(train(recipe, world, tmp_path / "run", progress=False).folder).record
    assert (record.batches.processes, record.batches.images_per_process, record.batches.accumulation) == (1, 3, 1)
    assert record.resumed == 0
    assert record.peak_memory > 100 * 2**20
    assert 0 < record.seconds < 600
    assert record.recipe["execution"]["precision"] == "bf16"


def test_a_detector_starts_from_the_backbone_of_a_reid_network(world: PersonSearchDataset, tmp_path: Path) -> None:
    reid = recipe_for("reid_resnet50-demo").override(
        {"schedule.epochs": 1, "schedule.milestones": (), "batch_size": 4, "model_options.size": [32, 32]}
    )
    before = train(reid, world, tmp_path / "reid", progress=False)
    given = load_file(before.folder / "model.safetensors")
    fresh = TINY.override(STILL)
    model = train(fresh, world, tmp_path / "run", start_from=before.folder, progress=False).model()
    own = model.state_dict()
    for part, theirs in (
        ("backbone.", "backbone.c4."),
        ("box_head.", "backbone.res5."),
        ("reid_head.", "backbone.res5."),
    ):
        names = [name for name in own if name.startswith(part) and "running" not in name and "num_batches" not in name]
        assert len(names) > 3
        for name in names:
            torch.testing.assert_close(own[name], given[theirs + name.removeprefix(part)], rtol=0, atol=1e-6)
    other = reid.override({"model_options.backbone": "resnet10t"})
    path = train(other, world, tmp_path / "other", progress=False).folder
    with pytest.raises(InputError, match=r"reid_resnet50 do not hold what SeqNet .* or a re-ID network with the same"):
        train(fresh, world, tmp_path / "no", start_from=path, progress=False)
