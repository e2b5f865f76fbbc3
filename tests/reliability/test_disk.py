"""Full disks, places that cannot be written, two processes in one folder: what the campaign found, in small."""

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from psbench import InputError, locking
from psbench.cli import app
from psbench.reproduction import run_script
from psbench.training.journal import Journal
from psbench_data import PersonSearchDataset, load
from psbench_data.cli import app as data_app
from psbench_data.console import refusal
from psbench_data.exporting.coco import export_coco
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.movienet_cs import write_movienet_cs
from psbench_data.synthetic.world import WorldSpec
from tests.conftest import SMALL_WORLD
from tests.leaderboard.making import tree
from tests.models.own import pictures, save_run
from tests.reliability.disk.commands import COMMANDS
from tests.reliability.disk.comparing import contents
from tests.reliability.disk.judging import Outcome, damage, message_faults, row_of
from tests.reliability.disk.running import Ended
from tests.tiny_script import CELLS, ROWS, TINY, changed, write

pytest.importorskip("resource", reason="systems without it have no such limit")
_LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""
"""A module whose files cannot grow beyond so many bytes; what it says goes to a pipe."""
_WRITERS = {
    "text": "path.write_text('new' * 9999)",
    "parquet": "import pyarrow as pa, pyarrow.parquet as pq; pq.write_table(pa.table({'a': range(9999)}), path)",
    "copy": "import shutil; shutil.copyfile(sys.executable, path)",
    "jpeg": "from PIL import Image; write_image(Image.effect_noise((256, 256), 90), path, 'JPEG')",
}
_WRITE = """
import resource, sys
from pathlib import Path
from psbench_data.atomic import new_file, new_folder, write_image
from psbench_data.console import refusal
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for name, writer in eval(sys.argv[1]).items():
    for kind in (new_file, new_folder):
        target = Path(name if kind is new_file else f"{name}-folder")
        try:
            with kind(target) as path:
                exec(writer, globals() | {"path": path if kind is new_file else path / "part"})
        except OSError as error:
            print(refusal(error))
"""


def _limited(size: int, *words: object) -> Ended:
    """A module of this repository."""
    command = [sys.executable, "-c", _LIMITED, str(size), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(done.returncode, done.stdout, done.stderr, 0)


def test_what_cannot_be_written_is_named_and_leaves_what_was_there(tmp_path: Path) -> None:
    """Whoever writes it, and whether it is a file or in a folder."""
    for name in _WRITERS:
        (tmp_path / name).write_text("older")
    words = [sys.executable, "-c", _WRITE, repr(_WRITERS)]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(":")[0] for line in said] == [n for name in _WRITERS for n in (name, f"{name}-folder")]
    assert all(": File too large. Make room there" in line for line in said)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(_WRITERS, "older")


def test_command_that_cannot_write_says_so_and_loses_nothing(world: PersonSearchDataset, tmp_path: Path) -> None:
    output = tmp_path / "croissant.json"
    output.write_text("older")
    ended = _limited(2000, "psbench_data.cli", "export", "cuhk_sysu", world.root, "croissant", output)
    assert message_faults(ended, [output], "File too large") == []
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("croissant.json", "older")]


def test_sheet_that_could_not_be_written_is_drawn_by_the_same_command(tmp_path: Path) -> None:
    """Of a tree that is whole by then."""
    sheet = tmp_path / "sheets/drawn.png"
    sheet.parent.write_text("a file")
    sizes = ("--train-scenes", 12, "--test-scenes", 20, "--train-identities", 4, "--test-identities", 4)
    words = ("synthesize", "prw", tmp_path / "prw", *sizes, "--height", 96, "--width", 128, "--sheet", sheet)
    refused = CliRunner().invoke(data_app, [str(word) for word in words])
    assert refused.exit_code == 1
    before = contents(tmp_path / "prw")
    sheet.parent.unlink()
    assert CliRunner().invoke(data_app, [str(word) for word in words]).exit_code == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert contents(tmp_path / "prw") == before


@pytest.mark.parametrize("form", ["cuhk_sysu", "coco"])
def test_protocols_that_went_since_the_dataset_was_opened_are_missed(form: str, tmp_path: Path) -> None:
    """And neither left out of what is made of it, nor made anew by another rule."""
    dataset = load("cuhk_sysu", root=tree(tmp_path / "cuhk_sysu"))
    if form == "coco":
        export_coco(dataset, tmp_path / "coco")
        dataset = load("coco", root=tmp_path / "coco", images=tmp_path / "cuhk_sysu")
    folder = "annotation/test" if form == "cuhk_sysu" else "protocols"
    (dataset.root / folder).rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"was there, and is gone|gallery-50.parquet: not the Parquet"):
        export_coco(dataset, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_script_that_cannot_write_says_so(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    words = ["--data-root", str(world.root.parent), "--output", str(tmp_path / "file/results")]
    monkeypatch.setattr("sys.argv", ["tiny", *words, "--policy", "only-cache"])
    with pytest.raises(SystemExit) as ended:
        run_script("A table.", ROWS[:1], CELLS[:1], write)
    assert ended.value.code == 1
    assert message_faults(Ended(1, "", capsys.readouterr().err, 0), [tmp_path], "Not a directory") == []


def test_output_that_nobody_can_take_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        words = [sys.executable, "-m", "psbench_data.cli", "list"]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert message_faults(Ended(done.returncode, "", done.stderr, 0), [Path("standard output")], "No space left") == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folder_of_another_account_is_told(world: PersonSearchDataset, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    words = ["view", "--root", str(world.root), "--scenes", "1", "-o", str(tmp_path / "view.html")]
    done = CliRunner().invoke(app, words)
    tmp_path.chmod(0o755)
    assert done.exit_code == 1
    assert f"error: {tmp_path / 'view.html'}: Permission denied. Give a place" in done.stderr


def test_one_works_in_a_folder_at_a_time(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fills a folder piece by piece keeps others out of it, from before it begins."""
    monkeypatch.setattr(locking, "_PATIENCE", 0)
    weights, photos = save_run(tmp_path / "weights", "oim"), pictures(world, tmp_path / "photos", 1)
    commands = {
        "found": ("predict", weights, "--root", world.root, "--other-data"),
        "index": ("index", "--weights", weights, "--gallery", photos),
        "run": ("train", "seqnet", "--recipe", "seqnet-demo", "--root", world.root, "--resume"),
    }
    for name, words in commands.items():
        with locking.at_work(tmp_path / name, what="this test"):
            done = CliRunner().invoke(app, [*map(str, words), "-o", str(tmp_path / name)])
        assert done.exit_code == 1
        assert "is at work here already. Wait for it, or give another folder." in done.stderr
        assert not contents(tmp_path / name)
    with locking.at_work(tmp_path / "found", what="this test"):
        pass


@pytest.mark.parametrize("again", [False, True])
def test_folder_that_was_removed_is_told(tmp_path: Path, again: bool) -> None:
    folder = tmp_path / "found"

    def remove() -> None:
        with locking.at_work(folder, what="this test"):
            folder.rmdir()
            if again:
                (folder / "later").mkdir(parents=True)

    with pytest.raises(InputError, match="was removed while this test was at work"):
        remove()


@pytest.mark.parametrize("gone", [".", "metrics.jsonl"])
def test_training_ends_when_what_it_wrote_is_removed(
    world: PersonSearchDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    step, steps = Journal.step, []

    def and_remove(journal: Journal, *values: Any) -> None:
        step(journal, *values)
        steps.append(values[0])
        path = tmp_path / "run" / gone
        if len(steps) == 1:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    monkeypatch.setattr(Journal, "step", and_remove)
    words = ("train", "seqnet", "--recipe", "seqnet-demo", *changed(TINY), "--checkpoint-every", "2")
    done = CliRunner().invoke(app, [*words, "--root", str(world.root), "-o", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "metrics.jsonl: was removed while training wrote it. Train again" in done.stderr
    assert len(steps) == 2
    assert not (tmp_path / "run/run.json").exists()


@pytest.mark.parametrize(("name", "write_data"), [("cuhk_sysu", write_cuhk_sysu), ("movienet_cs", write_movienet_cs)])
def test_lists_that_vanish_while_a_dataset_opens_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, write_data: Callable[[WorldSpec, Path], object]
) -> None:
    """Not taken for data in which there is nobody to search for."""
    root, opened = tmp_path / "data", PersonSearchDataset._open_scenes
    write_data(dataclasses.replace(SMALL_WORLD, gallery_entries=(20,)), root)

    def and_remove(dataset: PersonSearchDataset) -> Any:
        scenes = opened(dataset)
        shutil.rmtree(root / "annotation")
        return scenes

    monkeypatch.setattr(PersonSearchDataset, "_open_scenes", and_remove)
    dataset = load(name, root=root)
    for ask in (lambda: dataset.protocols, dataset.require_protocols):
        with pytest.raises(InputError, match=r"no TestG\d+\.mat .* is there, so there are no queries"):
            ask()


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"cannot be made \(Not a directory\)"),
        locking.at_work(tmp_path / "file/folder", what="this test"),
    ):
        pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.jpg"), "a.jpg: No such file or directory. It may have"),
        (PermissionError(13, "Permission denied", "a"), "a: Permission denied. Give a place"),
        (
            FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"),
            "No usable temporary directory found",
        ),
        (OSError("gone"), "a file: gone. Look after"),
    ],
)
def test_every_refusal_says_what_to_do(error: OSError, said: str) -> None:
    assert refusal(error).startswith(said)


@pytest.mark.parametrize(
    ("status", "err", "wrong"),
    [
        (1, "error: /o/a: No space left on device. Make room there.\n", []),
        (0, "error: /o/a: No space left on device. Make room there.\n", ["exit status 0"]),
        (1, "Traceback\nerror: /o/a: No space left on device. Make room there.\n", ["'Traceback' is in what it says"]),
        (1, "error: a file: No space left on device. Make room there.\n", ["the message does not name the file"]),
        (1, "error: /o/a: cannot be written. Make room there.\n", ["the message does not say 'No space left'"]),
        (1, "error: /o/a: No space left on device\n", ["the message does not say what to do"]),
        (1, "error: /o/.a.01234567: No space left. Make room.\n", ["users know nothing of"]),
    ],
)
def test_campaign_notices_a_bad_message(status: int, err: str, wrong: Sequence[str]) -> None:
    found = message_faults(Ended(status, "", err, 0), [Path("/o/a"), Path("/o")], "No space left")
    assert len(found) == len(wrong)
    assert all(word in fault for word, fault in zip(wrong, found, strict=True))


def test_campaign_notices_damage(tmp_path: Path) -> None:
    """What was there is lost, something is left behind, and a part has the name of the whole."""
    command = next(command for command in COMMANDS if command.name == "psbench evaluate")
    (tmp_path / "all.json").write_text("older\n")
    (tmp_path / "beside.txt").write_text("mine")
    before = contents(tmp_path)
    assert damage(command, tmp_path, before, {}) == []
    (tmp_path / "all.json").write_text("half")
    (tmp_path / ".all.01234567.json").write_text("half")
    (tmp_path / "queries.parquet").write_text("half")
    (tmp_path / "beside.txt").unlink()
    wrong = damage(command, tmp_path, before, {})
    assert [fault.split()[0] for fault in wrong] == ["all.json", "beside.txt", ".all.01234567.json", "queries.parquet"]
    row = row_of("a fault", [Outcome("one message"), Outcome("one message", tuple(wrong))])
    assert (row.tried, row.failed, row.outcomes) == (2, 1, {"one message": 2})
