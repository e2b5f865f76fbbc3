"""Scenes' pictures, from the file to what a network takes; `make bench`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from psbench.zoo.images import image_tensor, to_float
from psbench.zoo.layers.faster_rcnn import make_transform
from psbench.zoo.seqnet import SeqNetOptions
from psbench_data.scenes import Scenes, scenes_table
from tests.benchmarks.calibrated import bare_decode, picture

pytestmark = pytest.mark.bench


@pytest.fixture
def scenes(tmp_path: Path) -> Scenes:
    """Four of 1920x1080 pixels."""
    names = [f"s{i}.jpg" for i in range(4)]
    for name in names:
        (tmp_path / name).write_bytes(picture())
    boxes = [np.array([[10, 10, 50, 110]], np.float32)] * 4
    return Scenes(scenes_table(names, names, boxes, [np.array([-1])] * 4), tmp_path, [])


def test_decode(scenes: Scenes, calibrated: Callable[..., float]) -> None:
    """To uint8 tensors, as workers do."""
    calibrated(lambda: [image_tensor(scene) for scene in scenes], bare_decode(), rounds=15)


def test_decode_and_resize(scenes: Scenes, calibrated: Callable[..., float]) -> None:
    """To what SeqNet takes: at most 900x1500, normalised, padded."""
    transform = make_transform(SeqNetOptions()).eval()
    calibrated(lambda: [transform([to_float(image_tensor(scene))]) for scene in scenes], bare_decode(), rounds=9)
