"""`psbench efficiency`: what it measures is what a model does, and what it keeps can be read again."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from psbench import zoo
from psbench.cli import app
from psbench.efficiency import Efficiency, Timing
from psbench.efficiency.computing import computing_in
from psbench.efficiency.detecting import Detecting, resized, score_threshold
from psbench.efficiency.measuring import measure
from psbench.efficiency.pictures import average_people, drawn_pictures
from psbench.efficiency.settings import Settings
from psbench.efficiency.speeds import speeds
from psbench.efficiency.text import to_markdown
from psbench.efficiency.timing import Stopwatch
from psbench.reporting.measured import MeasuredCost
from psbench.zoo import Detections
from psbench.zoo.cost import cost
from psbench.zoo.images import jpeg_tensor
from psbench.zoo.weights import describe, file_digest, save_weights
from psbench_data import InputError
from tests.models.small import SMALL
from tests.tiny_script import changed

CPU = torch.device("cpu")
SIZE = (96, 128)
HOW: dict[str, Any] = {"device": "cpu", "sizes": [SIZE], "images": 4, "progress": False}


def _options(name: str) -> dict[str, Any]:
    return {key: value for key, value in SMALL[name].items() if key not in ("min_size", "max_size")}


@pytest.fixture(scope="module")
def seqnet() -> Efficiency:
    return measure("seqnet", options=_options("seqnet"), batches=[2], people=4, **HOW)


class Sleeper:
    """Takes its time for each image, and always finds three people."""

    SECONDS = 0.05

    def __init__(self) -> None:
        self.slept: list[float] = []

    def detect(self, images: list[Tensor]) -> list[Detections]:
        start = time.perf_counter()
        time.sleep(self.SECONDS * len(images))
        self.slept.append(time.perf_counter() - start)
        return [Detections(torch.zeros(3, 4), torch.ones(3), torch.zeros(3, 8)) for _ in images]


@cache
def _inputs() -> list[Tensor]:
    return resized(drawn_pictures("cuhk_sysu"), SIZE, CPU)


def _speeds(model: Sleeper, **how: Any) -> tuple[tuple[Timing, ...], int | None]:
    settings = Settings.of(device="cpu", images=8, **how)
    timed = Detecting(model, _inputs())
    return speeds(timed, drawn_pictures("cuhk_sysu"), settings, what="sleeper", progress=False)


def test_a_model_takes_as_long_as_it_does() -> None:
    """Each figure against the sleep: the median within 20 %, no call shorter, and never faster with the decoding."""
    model = Sleeper()
    timings, too_large = _speeds(model, batches=[2])
    assert too_large is None
    assert {(t.way, t.batch) for t in timings} >= {("network", 1), ("network", 2), ("end to end", 1)}
    for timing in timings:
        asleep = timing.batch * Sleeper.SECONDS
        assert timing.median is not None
        assert timing.p95 is not None
        assert asleep <= timing.median <= timing.p95
        assert timing.images_per_second <= 1 / Sleeper.SECONDS
        assert (timing.images, timing.people) == (8, 3)
        if timing.way == "network":
            assert timing.median == pytest.approx(asleep, rel=0.2)
    # After one call to warm up, by the model's own watch.
    own = model.slept[1:9]
    assert timings[0].images_per_second == pytest.approx(8 / sum(own), rel=0.1)
    assert timings[0].median == pytest.approx(np.median(own), rel=0.1)
    assert timings[0].p95 == pytest.approx(np.percentile(own, 95), rel=0.1)
    alone = {t.way: t for t in timings if t.batch == 1}
    assert alone["end to end"].median > alone["network"].median
    assert alone["end to end"].images_per_second < alone["network"].images_per_second


def test_workers_decode_while_the_network_runs() -> None:
    """What is timed is the loop: a call has no time of its own, and none is gained on the network."""
    model = Sleeper()
    timings, _ = _speeds(model, batches=[], workers=1, warm_up=0)
    overlapping = next(t for t in timings if t.workers)
    assert (overlapping.way, overlapping.median, overlapping.p95) == ("end to end", None, None)
    assert overlapping.images_per_second <= 1 / Sleeper.SECONDS
    # Eight calls of the network, eight from end to end, and with workers one more, from whose end is timed.
    assert len(model.slept) == 8 + 8 + 9


def test_results_that_come_in_bursts_are_not_taken_for_speed() -> None:
    """Of two calls one waits for its batch: a median would be that of those which do not."""

    def batches() -> Iterator[int]:
        for number in range(9):
            time.sleep(0.1 * (number % 4 == 0))
            yield number

    timing = Stopwatch(CPU).overlapping(lambda _: [1], batches(), 8, "end to end", 2)
    assert timing.images == 8
    assert timing.images_per_second == pytest.approx(8 / 0.2, rel=0.5)


class Large(Sleeper):
    """Needs more memory than there is for more than some images."""

    SECONDS = 0.0

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def detect(self, images: list[Tensor]) -> list[Detections]:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("too much")
        return super().detect(images)


def test_batches_grow_as_long_as_memory_lasts() -> None:
    timings, too_large = _speeds(Large(2), batches=[1, 2, 4, 8])
    assert too_large == 4
    assert {t.batch for t in timings} == {1, 2}
    with pytest.raises(InputError, match="one image is too much for the memory of cpu"):
        _speeds(Large(0))


@pytest.mark.parametrize("name", ["oim", "seqnet", "glcnet_2026", "oim_caffe", "pcnet"])
def test_as_many_people_are_found_as_asked(name: str) -> None:
    """Of the most certain ones, in all images together; fresh weights would find nobody, or hundreds."""
    inputs = _inputs()[::4]

    def made(threshold: float) -> zoo.ZooModel:
        torch.manual_seed(0)
        return zoo.create(name, num_identities=3, **SMALL[name] | {"score_thresh_test": threshold}).eval()

    threshold = score_threshold(made(0.0), inputs, 2.5)
    found = [made(threshold).detect([image])[0].scores for image in inputs]
    assert sum(map(len, found)) == 10
    everyone = torch.cat([made(0.0).detect([image])[0].scores for image in inputs])
    assert torch.cat(found).min() == everyone.sort(descending=True).values[9]
    assert score_threshold(made(0.0), inputs, 1e6) == 0


def test_a_joint_model_is_measured(seqnet: Efficiency) -> None:
    model = zoo.create("seqnet", num_identities=5532, **SMALL["seqnet"])
    counted = cost(model, *SIZE, rois=20, people=4)
    assert seqnet.parameters == sum(p.numel() for p in model.parameters())
    assert seqnet.trained == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert (seqnet.rois, seqnet.people, seqnet.weights, seqnet.precision) == (20, 4, None, "fp32")
    assert seqnet.device.startswith("CPU ")
    assert seqnet.memory_is == "resident growth"
    assert seqnet.threads == torch.get_num_threads()
    assert {"python", "psbench", "torch"} <= seqnet.versions.keys()

    at = seqnet.at(*SIZE)
    assert at.gmac == counted.gmac
    assert at.rois == 20
    network = [t for t in at.timings if t.way == "network"]
    assert [(t.batch, t.images) for t in network] == [(1, 4), (2, 8)]
    assert at.alone is network[0]
    assert at.best.images_per_second == max(t.images_per_second for t in network)
    # The first is what the threshold was set on; the others have other pictures among theirs.
    assert at.alone.people == 4
    assert all(1 <= t.people <= 10 for t in at.timings)
    with pytest.raises(InputError, match="was not measured at 900x1500, but at: 96x128"):
        seqnet.at(900, 1500)


def test_a_result_is_kept_and_read_again(seqnet: Efficiency, tmp_path: Path) -> None:
    path = tmp_path / "results" / "seqnet.json"
    seqnet.save(path)
    assert Efficiency.load(path) == seqnet
    written = json.loads(path.read_text())
    assert written["sizes"][0]["timings"][0]["images_per_second"] == seqnet.at(*SIZE).alone.images_per_second


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("sizes", 0, "timings", 0, "median"), 9.0, "median is above the 95th percentile"),
        (("sizes", 0, "timings", 0, "median"), None, "where there are no workers"),
        (("sizes", 0, "timings", 0, "images_per_second"), 0, "sizes.0.timings.0.images_per_second: Input should be"),
        (("sizes", 0, "timings"), [], "expected timings at batch 1"),
        (("sizes",), [], "expected sizes"),
        (("trained",), 10**9, "more parameters are trained than there are"),
        (("device",), "NVIDIA GPU", "does not go with the device"),
        (("schema_version",), 2, "schema_version"),
        (("speed",), 1, "speed: unknown field"),
    ],
)
def test_a_result_that_cannot_be_is_refused(
    seqnet: Efficiency, tmp_path: Path, place: tuple[Any, ...], value: Any, says: str
) -> None:
    contents = json.loads(seqnet.model_dump_json())
    inner = contents
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    path = tmp_path / "result.json"
    path.write_text(json.dumps(contents))
    with pytest.raises(InputError, match=says) as caught:
        Efficiency.load(path)
    assert str(caught.value).startswith(str(path))
    with pytest.raises(InputError, match="cannot be read"):
        Efficiency.load(tmp_path / "nothing.json")


def test_a_result_is_shown_with_what_it_was_measured_on(seqnet: Efficiency) -> None:
    shown = to_markdown(seqnet)
    at = seqnet.at(*SIZE)
    assert shown.startswith(f"# seqnet: {seqnet.device}\n")
    assert f"| network | 1 | {at.alone.images_per_second:.4g} | {1000 * at.alone.median:.4g} ms |" in shown
    assert f"| parameters | {seqnet.parameters:,} |" in shown
    for words in (
        "fresh weights",
        "4 to 8 drawn images",
        "4 people kept",
        "weights not included",
        seqnet.versions["torch"],
    ):
        assert words in shown
    line = MeasuredCost.of(seqnet, row=3, method="SeqNet", synthetic=True)
    assert (line.row, line.method, line.synthetic, line.device) == (3, "SeqNet", True, seqnet.device)
    assert (line.input_max, line.speed_fps) == ("128x96", at.alone.images_per_second)
    assert line.params_m == seqnet.parameters / 1e6
    assert line.mem_gb == at.memory / 1e9
    assert "NVIDIA" not in shown + line.provenance


def test_weights_are_those_of_the_file(tmp_path: Path) -> None:
    """One weight decides on the scores, and so on the threshold."""
    model = zoo.create("nae", num_identities=3, **SMALL["nae"])
    with torch.no_grad():
        model.embedding.rescaler.bias.fill_(-3.0)
    info = describe(model, "nae", num_identities=3, dataset="prw", method="mine")
    save_weights(model, tmp_path / "model.safetensors", info)
    result = measure("nae", weights=tmp_path, data="prw", people=2, **HOW)
    assert result.weights == file_digest(tmp_path / "model.safetensors")
    assert "weights " + result.weights[:12] in result.provenance
    assert result.at(*SIZE).score_threshold < 0.1
    assert result.at(*SIZE).alone.images == 6
    with pytest.raises(InputError, match="not of seqnet"):
        measure("seqnet", weights=tmp_path, **HOW)
    with pytest.raises(InputError, match="another network than nae"):
        measure("nae", weights=tmp_path, options={"embedding_dim": 8}, **HOW)


def test_half_precision_is_half_precision(seqnet: Efficiency) -> None:
    with computing_in("bf16", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    result = measure("nae", options=_options("nae"), precision="bf16", people=2, **HOW)
    assert result.precision == "bf16"
    assert result.at(*SIZE).alone.people == pytest.approx(2, abs=1)


def test_a_reid_network_is_measured_in_crops() -> None:
    result = measure("reid_pcb", options=_options("reid_pcb"), device="cpu", images=4, batches=[8], progress=False)
    at = result.at(*SMALL["reid_pcb"]["size"])
    model = zoo.create("reid_pcb", num_identities=5532, **SMALL["reid_pcb"])
    assert at.gmac == cost(model, *SIZE).per("person")
    assert at.alone.people_per_second == at.alone.images_per_second
    boxes = [len(drawn_pictures("cuhk_sysu").boxes[n]) for (n,) in drawn_pictures("cuhk_sysu").batches(1, 4)]
    whole = at.find("end to end", 1)
    assert whole.people == np.mean(boxes)
    assert whole.people_per_second == pytest.approx(whole.people * whole.images_per_second)
    assert result.people is None
    assert "crops/s" in to_markdown(result)


@pytest.fixture(scope="module")
def igpn() -> Efficiency:
    return measure("igpn", options=_options("igpn"), scenes=5, batches=[3], **HOW)


def test_a_pairwise_model_is_measured_part_by_part(igpn: Efficiency, tmp_path: Path) -> None:
    result, (search,) = igpn, igpn.searches
    assert not result.sizes
    assert (search.scenes, search.queries, search.height, search.width) == (5, 1, *SIZE)
    assert search.first == pytest.approx(
        search.encoding + search.query + search.correlation + search.head + search.ranking
    )
    assert search.further == pytest.approx(search.first - search.encoding)
    assert 5 <= search.proposals <= 5 * 32
    assert search.crops == 1 + 5
    assert [p.queries for p in search.pairs] == [1, 3]
    counted = cost(zoo.create("igpn", num_identities=5532, **SMALL["igpn"]), *SIZE, rois=32)
    assert search.scene_gmac + search.query_gmac + search.pair_gmac == pytest.approx(counted.gmac)
    assert "each further query" in to_markdown(result)
    line = MeasuredCost.of(result, method="IGPN", synthetic=False)
    once = search.query + search.ranking
    assert line.seconds == pytest.approx(once + 20 * (search.first - once))
    parts = (line.scene_seconds, line.correlation_seconds, line.head_seconds, line.reid_seconds)
    assert parts[1:] == pytest.approx((20 * search.correlation, 20 * search.head, search.ranking))
    assert sum(part or 0 for part in parts) == pytest.approx(line.seconds)
    result.save(tmp_path / "igpn.json")
    assert Efficiency.load(tmp_path / "igpn.json") == result


def test_parts_of_a_search_are_told_apart(igpn: Efficiency, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleep added to one part is found there, and not in the others."""
    model, before = zoo.model_class("igpn"), igpn.searches[0]
    judge = model.judge

    def slow(*arguments: Any) -> Any:
        time.sleep(0.5)
        return judge(*arguments)

    monkeypatch.setattr(model, "judge", slow)
    after = measure("igpn", options=_options("igpn"), scenes=2, **HOW).searches[0]
    assert after.head / 2 - before.head / 5 == pytest.approx(0.5, rel=0.3)
    assert after.correlation + after.query < 0.5
    assert after.pairs[0].pairs_per_second < 1 / 0.5


def test_pictures_are_of_the_datasets_sizes_and_people() -> None:
    pictures = drawn_pictures("prw")
    for number, size in enumerate(pictures.sizes):
        assert jpeg_tensor(pictures.jpeg[number]).shape == (3, *size)
    batches = pictures.batches(4, 30)
    assert len(batches) == 12
    sizes = [{pictures.sizes[number] for number in batch} for batch in batches]
    assert sizes == [*[{(1080, 1920)}] * 5, {(576, 720)}] * 2
    upright = [height > width for height, width in drawn_pictures("cuhk_sysu").sizes]
    assert sum(upright) == len(upright) / 2
    for data in ("prw", "cuhk_sysu"):
        people = [len(boxes) for boxes in drawn_pictures(data).boxes]
        assert np.mean(people) == pytest.approx(average_people(data), rel=0.05)
    assert average_people("prw") == 25_062 / 6_112


def test_inputs_fit_the_size_so_that_nothing_is_resized() -> None:
    images = resized(drawn_pictures("cuhk_sysu"), (800, 1333), CPU)
    assert {tuple(image.shape[1:]) for image in images} == {(800, 1066), (1066, 800), (750, 1333), (1333, 750)}
    assert all(image.min() >= 0 and image.max() <= 1 for image in images)


def test_memory_is_the_most_that_is_in_use() -> None:
    """In a process of its own: what other tests have left, and what of it is let go meanwhile, would count, too."""
    program = """
import time, torch
from psbench.efficiency.computing import PeakMemory
with PeakMemory(torch.device("cpu")) as memory:
    for _ in range(3):
        block = torch.ones(50_000_000)
        time.sleep(0.05)
        del block
print(memory.bytes)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert 190e6 < int(done.stdout) < 300e6


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"device": "tpu"}, "there is no device tpu to measure on"),
        ({"device": "cuda:99"}, "CUDA devices here"),
        ({"device": "cpu", "precision": "tf32"}, "precision tf32 needs a GPU"),
        ({"device": "cpu", "precision": "int8"}, "there is no precision 'int8'"),
        ({"sizes": [(900, 0)]}, "expected a height and a width"),
        ({"options": {"min_size": 600}}, "min_size cannot be set here, it follows from sizes"),
        ({"data": "lsps"}, "no image sizes of 'lsps'"),
        ({"images": 0, "people": 0, "batches": [0]}, "3 faults"),
    ],
)
def test_what_cannot_be_measured_is_said(how: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        measure("nae", **{"options": _options("nae")} | how)
    with pytest.raises(InputError, match="no model called 'sequent'"):
        measure("sequent")


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    sets = changed(_options("nae"))
    path = tmp_path / "nae.json"
    words = ["efficiency", "nae", "--device", "cpu", "--size", "96x128", "--images", "2", "--people", "3", *sets]
    done = CliRunner().invoke(app, [*words, "--json", str(path)])
    assert done.exit_code == 0, done.output
    result = Efficiency.load(path)
    assert to_markdown(result) in done.output
    assert result.options["backbone"] == "test_resnet"
    for wrong in (["--size", "big"], ["--json", str(tmp_path)], ["--set", "backbones=1"]):
        done = CliRunner().invoke(app, [*words, *wrong])
        assert done.exit_code == 1
        assert done.output.startswith("error: ")
