"""Models on pictures: prediction, a step of training, and PCNet's small form beside SeqNet; `make bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from psbench import zoo
from psbench.inference import predict
from psbench.training import recipe_for
from psbench.training.optimization import make_optimizer
from psbench.zoo import ZooModel
from psbench_data import PersonSearchDataset
from tests.benchmarks.calibrated import Kernel, bare_convolution
from tests.models.small import SMALL

pytestmark = pytest.mark.bench
SIZES = {"small": (96, 128), "900x1500": (900, 1500)}
ROUNDS = {"small": 9, "900x1500": 2}


def made(name: str, **options: Any) -> ZooModel:
    torch.manual_seed(0)
    return zoo.create(name, num_identities=8, **options).eval()


@pytest.mark.parametrize("name", ["seqnet", "pcnet_fast"])
def test_predict(name: str, world: PersonSearchDataset, calibrated: Callable[..., float]) -> None:
    """54 scenes and their queries by a small model, from JPEG files to predictions."""
    model = made(name, **SMALL[name])
    calibrated(lambda: predict(model, world, protocols=["gallery-50"], progress=False), bare_convolution())


@pytest.mark.parametrize("size", SIZES)
def test_detect(size: str, calibrated: Callable[..., float]) -> None:
    """One image through SeqNet, network only."""
    model = made("seqnet", **(SMALL["seqnet"] if size == "small" else {}))
    image = torch.rand(3, *SIZES[size])
    calibrated(lambda: model.detect([image]), bare_convolution(), rounds=ROUNDS[size])


@pytest.mark.parametrize("size", SIZES)
def test_training_step(size: str, calibrated: Callable[..., float]) -> None:
    """Losses, gradients and a move of SeqNet on an image of four people."""
    model = made("seqnet", **(SMALL["seqnet"] if size == "small" else {})).train()
    optimizer = make_optimizer(model, recipe_for("seqnet-prw").optimizer, lr=1e-4)
    height, width = SIZES[size]
    left, ends = torch.arange(4) * width / 4, torch.tensor([width / 8, 0.8 * height])
    corner = torch.stack([left, torch.full((4,), 0.1 * height)], dim=1)
    target = {"boxes": torch.cat([corner, corner + ends], dim=1), "person_ids": torch.tensor([0, 1, 2, -1])}

    def step() -> None:
        losses = model([image], [target])
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    image = torch.rand(3, height, width)
    calibrated(step, bare_convolution(), rounds=ROUNDS[size])


def test_small_pcnet_is_half_as_fast_again_as_seqnet(calibrated: Callable[..., float]) -> None:
    """At 800x1333, eager, fresh weights: what the paper is about (22.3 against 14.8 images a second for OIM).

    SeqNet finds people in its 300 proposals or not, as its fresh weights have it; its second stage is the dearer the
    more. PCNet, whose fresh scores are all low, takes every anchor for a person and embeds the 100 that remain.
    """
    seqnet = made("seqnet", min_size=800, max_size=1333)
    pcnet = made("pcnet_fast", min_size=800, max_size=1333, score_thresh_test=0.0)
    image = torch.rand(3, 800, 1333)
    assert len(pcnet.detect([image])[0].scores) == 100
    ratio = calibrated(lambda: pcnet.detect([image]), Kernel("seqnet", lambda: seqnet.detect([image])), rounds=3)
    assert 1 / ratio >= 1.5
