"""Half precision: training stays finite and learns, and geometry keeps its digits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from psbench import zoo
from psbench.training import NonFiniteLossError, train
from psbench.training.accelerator import make_accelerator
from psbench.training.checkpoints import newest
from psbench.zoo.layers.precision import full
from psbench_data import PersonSearchDataset
from tests.models.golden import Golden
from tests.models.small import JOINT, SMALL
from tests.models.test_training import TINY, losses_of

BOXES = [torch.tensor([[10.3, 8.1, 47.7, 91.9], [60.2, 5.5, 99.1, 88.8]]), torch.tensor([[30.9, 20.2, 70.1, 94.6]])]


@pytest.fixture(params=JOINT)
def model(request: pytest.FixtureRequest) -> Iterator[zoo.ZooModel]:
    torch.manual_seed(0)
    with torch.random.fork_rng():
        yield zoo.create(request.param, num_identities=2, **SMALL[request.param])


def _images() -> list[Tensor]:
    """Noise with a dark person at each box."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 96, 128, generator=generator) for _ in BOXES]
    for image, boxes in zip(images, BOXES, strict=True):
        for x1, y1, x2, y2 in boxes.int().tolist():
            image[:, y1:y2, x1:x2] *= 0.3
    return images


def _targets() -> list[dict[str, Tensor]]:
    return [
        {"boxes": boxes, "person_ids": ids}
        for boxes, ids in zip(BOXES, [torch.tensor([0, -1]), torch.tensor([1])], strict=True)
    ]


def _train(model: zoo.ZooModel, steps: int) -> list[float]:
    """The sums of losses of some steps of bfloat16 training."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
    sums = []
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16):
            losses = model(_images(), _targets())
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        total = torch.stack(list(losses.values())).sum()
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        sums.append(total.item())
    return sums


def test_bfloat16_training_is_finite_and_learns(model: zoo.ZooModel) -> None:
    sums = _train(model, 20)
    assert np.isfinite(sums).all()
    assert all(value.isfinite().all() for value in model.state_dict().values())
    assert np.mean(sums[-5:]) < 0.8 * sums[0]


def test_geometry_keeps_its_digits_under_autocast(request: pytest.FixtureRequest, model: zoo.ZooModel) -> None:
    """In an image of 1024 pixels, bfloat16 numbers the pixels in steps of 4: what it has touched is off by as much."""
    name = request.node.callspec.params["model"]
    torch.manual_seed(0)
    sizes = {"min_size": 768, "max_size": 1024, "anchor_sizes": (128, 256, 512), "score_thresh_test": 0.0}
    model = zoo.create(name, num_identities=2, **SMALL[name] | sizes).eval()
    [image] = torch.nn.functional.interpolate(_images()[0][None], scale_factor=8)
    known = BOXES[0] * 8
    exact = model.detect([image], include=[known])[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = model.detect([image], include=[known])[0]
        [embedded] = model.embed([image], [known])
    assert {t.dtype for t in (found.boxes, found.scores, found.embeddings, embedded)} == {torch.float32}
    torch.testing.assert_close(found.boxes[:2].sort(0)[0], exact.boxes[:2].sort(0)[0])
    torch.testing.assert_close(embedded.norm(dim=1), model.embed([image], [known])[0].norm(dim=1), rtol=0.05, atol=0)
    # The same proposals have moved by the same deltas, but for these deltas' own rounding.
    distances = (found.boxes[:, None] - exact.boxes[None]).abs().amax(dim=2).amin(dim=1)
    assert len(distances) > 4
    assert (distances < 1.5).float().mean() > 0.7
    assert (found.boxes[2:].bfloat16().float() != found.boxes[2:]).any(dim=1).all()


def test_only_half_precision_is_raised() -> None:
    for dtype, expected in [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ]:
        assert full(torch.ones(2, dtype=dtype)).dtype == expected


def test_rpn_box_loss_of_the_originals() -> None:
    """Torchvision 0.4, which SeqNet and NAE were written for, took plain L1."""
    golden = Golden("seqnet")
    model = golden.model(rpn_box_loss="l1").double().train()
    images, targets = ([make(i, torch.float64) for i in (0, 1)] for make in (golden.image, golden.target))
    _, losses = model.propose(model.encode(images, targets))
    assert losses["loss_rpn_box_reg"].item() == pytest.approx(golden.case["train_rpn_reg_loss_plain_l1"], rel=1e-5)


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings on this CPU scale their gradients, as those in fp16 on a GPU do."""

    def make(*arguments: Any) -> Accelerator:
        accelerator = make_accelerator(*arguments)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        return accelerator

    monkeypatch.setattr("psbench.training.loop.make_accelerator", make)


@pytest.mark.usefixtures("scaled")
def test_scaled_gradients_are_clipped_and_the_scale_is_kept(world: PersonSearchDataset, tmp_path: Path) -> None:
    recipe = TINY.override({"optimizer.clip_value": 10.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psbench.training.trainer.Trainer._finish", lambda _: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception, match="stopped"):
            train(recipe, world, tmp_path / "run", progress=False)
    _, position = newest(tmp_path / "run") or (None, None)
    assert position is not None
    assert position.scaler is not None
    assert position.scaler["scale"] == 4.0
    scaled_run = train(recipe, world, tmp_path / "run", resume=True, progress=False)
    assert np.isfinite([line["gradient_norm"] for line in losses_of(scaled_run)]).all()


@pytest.mark.usefixtures("scaled")
def test_gradients_that_no_scale_mends_stop_the_training(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are skipped at the scales 4, 2 and 1; below, overflow is no reason any more."""
    monkeypatch.setattr("psbench.zoo.seqnet.box_regression_loss", lambda deltas, _: (deltas * 0).sum().abs().sqrt())
    with pytest.raises(NonFiniteLossError, match="step 3: gradient = nan"):
        train(TINY, world, tmp_path / "run", progress=False)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["gradient_norm"] for line in lines] == [None] * 3
