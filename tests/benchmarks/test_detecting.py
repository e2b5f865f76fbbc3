"""How long a picture takes, network only: PCNet's small form beside SeqNet, in one run."""

import os
import time

import numpy as np
import pytest
import torch

from psbench import zoo
from psbench.zoo import ZooModel

pytestmark = pytest.mark.bench
ROUNDS = 5


def _seconds(model: ZooModel, image: torch.Tensor) -> float:
    started = time.process_time()
    model.detect([image])
    return time.process_time() - started


def test_small_pcnet_is_half_as_fast_again_as_seqnet() -> None:
    """At 800x1333, eager, fresh weights: what the paper is about (22.3 against 14.8 images a second for OIM).

    In CPU seconds, as other programs share the cores. The rounds alternate, so that a slow minute meets both. SeqNet
    finds people in its 300 proposals or not, as its fresh weights have it; its second stage is the dearer the more.
    PCNet, whose fresh scores are all low, takes every anchor for a person and embeds the 100 that remain.
    """
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.manual_seed(0)
    sizes = {"min_size": 800, "max_size": 1333}
    options = {"seqnet": sizes, "pcnet_fast": sizes | {"score_thresh_test": 0.0}}
    models = {name: zoo.create(name, num_identities=1, **of_model).eval() for name, of_model in options.items()}
    image = torch.rand(3, 800, 1333)
    found = {name: len(model.detect([image])[0].scores) for name, model in models.items()}
    taken = {name: [] for name in models}  # type: dict[str, list[float]]
    for _ in range(ROUNDS):
        for name, model in models.items():
            taken[name].append(_seconds(model, image))
    seqnet, pcnet = (float(np.median(taken[name])) for name in models)
    print(f"\nseqnet {seqnet:.2f} CPU s, pcnet_fast {pcnet:.2f} CPU s: {seqnet / pcnet:.2f} times; found {found}")
    assert found["pcnet_fast"] == 100
    assert seqnet / pcnet >= 1.5
