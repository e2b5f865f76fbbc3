"""The commands that are killed, on small data that is drawn once, with networks that have learnt nothing."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from psbench_data import load
from psbench_data.synthetic.formats import write
from tests.conftest import SMALL_WORLD
from tests.leaderboard.made_up import entry_of, over_galleries
from tests.leaderboard.made_up import write as write_entry
from tests.leaderboard.making import card_file, honest
from tests.models.own import pictures, save_run
from tests.reliability.kill import found
from tests.reliability.kill.found import Found
from tests.tiny_script import TINY, WORLD, changed

_MANY = dataclasses.replace(SMALL_WORLD, test_scenes=300, image_size=(48, 64), gallery_entries=(8,))
"""Test scenes for two pieces of a prediction."""
_TINY_NETWORK = {"min_size": 48, "max_size": 64, "rpn_post_nms_top_n_test": 8, "score_thresh_test": 0.0}
_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Job:
    """A command, and how its outcome is known.

    Attributes:
        name: as the table prints it.
        command: its words; paths are seen from the folder that it runs in.
        found: reads what is there in that folder.
        environment: what it needs beside the campaign's.
        begin: makes what has to be in the folder before.
        says: whether it says the same each time.
        whole_is_refused: what it says where its outcome is there already, if it does not go on from that.
    """

    name: str
    command: Sequence[str]
    found: Callable[[Path], Found]
    environment: Mapping[str, str] = field(default_factory=dict)
    begin: Callable[[Path], object] = lambda folder: None
    says: bool = False
    whole_is_refused: str | None = None


def make_inputs(folder: Path) -> None:
    """Draw people, and make what the commands need."""
    for name, world in (("few", WORLD), ("many", _MANY)):
        write("cuhk_sysu", world, folder / name / "cuhk_sysu", images=True)
    save_run(folder / "seqnet", "seqnet", **_TINY_NETWORK)
    save_run(folder / "igpn", "igpn")
    save_run(folder / "reid", "reid_resnet50")
    dataset = load("cuhk_sysu", root=folder / "many/cuhk_sysu")
    pictures(dataset, folder / "pictures", count=24)
    honest(dataset).save(folder / "predictions")
    card_file(folder / "card.toml")
    # Its pages are rendered already, but for this entry.
    shutil.copytree(_ROOT / "leaderboards", folder / "board")
    write_entry(folder / "board", entry_of("Ours", [over_galleries(0.9)], dataset="cuhk_sysu"))


def jobs(inputs: Path) -> dict[str, Job]:
    """All there are, by a short name.

    Args:
        inputs: what `make_inputs` has made.
    """
    few, many = inputs / "few/cuhk_sysu", inputs / "many/cuhk_sysu"
    changes = changed(TINY)
    predict = ("--root", f"{many}", "--other-data", "-o", "predictions")
    judged = (f"{inputs}/predictions", "--root", f"{many}")
    there = "something here already"
    return {
        "train": Job(
            "`psbench train`",
            (
                *("psbench", "train", "seqnet", "--recipe", "seqnet-demo", "--root", f"{few}", "-o", "run"),
                *("--resume", "--checkpoint-every", "2", "--validate-on", "gallery-50", "--validate-every", "1"),
                *changes,
            ),
            lambda folder: found.run(folder / "run"),
        ),
        "predict": Job(
            "`psbench predict`",
            ("psbench", "predict", f"{inputs}/seqnet", "--context", *predict),
            lambda folder: found.predictions(folder / "predictions"),
        ),
        "search": Job(
            "`psbench predict` with a query-guided model",
            (
                *("psbench", "predict", f"{inputs}/igpn", "--protocol", "gallery-50", "--keep", "5"),
                *("--reid", f"{inputs}/reid", *predict),
            ),
            lambda folder: found.predictions(folder / "predictions"),
        ),
        "evaluate": Job(
            "`psbench evaluate`",
            (
                *("psbench", "evaluate", *judged, "--json", "numbers.json"),
                *("--per-query", "queries.parquet"),
            ),
            found.files,
            says=True,
        ),
        "cache": Job(
            "opening a dataset, nothing cached",
            ("psbench-data", "summary", "cuhk_sysu", f"{many}"),
            found.files,
            environment={"PSBENCH_CACHE": "cache"},
            says=True,
        ),
        "submit": Job(
            "`psbench submit`",
            ("psbench", "submit", *judged, "--card", f"{inputs}/card.toml", "--board", "board"),
            lambda folder: found.entries(folder / "board"),
            says=True,
        ),
        "render": Job(
            "`psbench leaderboard render`",
            ("psbench", "leaderboard", "render", "--board", "board"),
            found.files,
            begin=lambda folder: shutil.copytree(inputs / "board", folder / "board"),
            says=True,
        ),
        "reproduce": Job(
            "a script of reproduce/",
            ("python", "-m", "tests.tiny_script", "--data-root", f"{inputs}/few", "--output", "results"),
            lambda folder: found.script(folder / "results"),
            environment={"PYTHONPATH": str(_ROOT)},
        ),
        "index": Job(
            "`psbench index`",
            ("psbench", "index", "--weights", f"{inputs}/seqnet", "--gallery", f"{inputs}/pictures", "-o", "index"),
            lambda folder: found.gallery(folder / "index"),
        ),
        "synthesize": Job(
            "`psbench-data synthesize`",
            (
                *("psbench-data", "synthesize", "prw", "drawn", "--train-scenes", "8", "--test-scenes", "12"),
                *("--train-identities", "3", "--test-identities", "4", "--height", "48", "--width", "64"),
            ),
            found.files,
            whole_is_refused=there,
        ),
        "export": Job(
            "`psbench-data export`",
            ("psbench-data", "export", "cuhk_sysu", f"{few}", "coco", "out", "--with-images"),
            found.files,
            whole_is_refused=there,
        ),
    }
