"""Pictures as threads deliver them to the device that computes, beside decoding and nothing else; `make bench`."""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import psbench_data
from psbench.inference.ahead import made_ahead
from psbench.zoo.images import image_tensor
from psbench_data.synthetic.formats import default_spec, write

pytestmark = pytest.mark.bench
ROUNDS = 7


def test_threads_deliver_four_fifths_of_what_they_could_decode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full HD, from files to uint8 tensors; the resize is the device's. By the clock, as threads share the work."""
    workers = min(2, os.cpu_count() or 1)
    few = {"train_scenes": 25, "test_scenes": 50, "train_identities": 12, "test_identities": 10}
    write("prw", default_spec("prw", image_size=(1080, 1920), **few), tmp_path / "prw")
    scenes = [*psbench_data.load("prw", root=tmp_path / "prw").split("test")] * 2
    contents = [scene.path.read_bytes() for scene in scenes]

    def decoded(content: bytes) -> None:
        with Image.open(BytesIO(content)) as image:
            image.load()

    def bare() -> None:
        with ThreadPoolExecutor(workers) as threads:
            for _ in threads.map(decoded, contents):
                pass

    def delivered() -> None:
        for _ in made_ahead(image_tensor, scenes, workers=workers, waiting=8):
            pass

    rates = [(_per_second(bare, len(scenes)), _per_second(delivered, len(scenes))) for _ in range(ROUNDS)]
    ratio = statistics.median(ours / alone for alone, ours in rates)
    with capsys.disabled():
        alone, ours = (statistics.median(of) for of in zip(*rates, strict=True))
        print(f"\n{workers} threads: {alone:.0f} decoded and {ours:.0f} delivered a second, {ratio:.2f} of them")
    assert ratio >= 0.8


def _per_second(work: Callable[[], None], number: int) -> float:
    start = time.perf_counter()
    work()
    return number / (time.perf_counter() - start)
