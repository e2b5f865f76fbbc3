"""The cache: a second open parses nothing, and nothing that happens to it changes a result."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import psbench_data
from psbench_data import PersonSearchDataset
from psbench_data.cache import cache_folder
from tests.conftest import EVALUATION

PRW = EVALUATION / "prw"


def test_changed_annotations_are_noticed(world_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(world_root, tmp_path / "copy")
    before = psbench_data.load("cuhk_sysu", root=root).protocol("gallery-50").digest
    path = root / "annotation/test/train_test/TestG50.mat"
    from scipy.io import loadmat, savemat

    rows = loadmat(path)["TestG50"]
    savemat(path, {"TestG50": rows[:, 1:]})
    changed = psbench_data.load("cuhk_sysu", root=root).protocol("gallery-50")
    assert len(changed.queries) == rows.shape[1] - 1
    assert changed.digest != before


def test_second_open_parses_nothing(world_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = psbench_data.load("cuhk_sysu", root=world_root)
    first.protocol("gallery-50")
    monkeypatch.setattr("scipy.io.loadmat", lambda *_: pytest.fail("parsed again"))
    again = psbench_data.load("cuhk_sysu", root=world_root)
    assert again.fingerprint == first.fingerprint
    assert again.protocol("gallery-50").digest == first.protocol("gallery-50").digest


def test_damaged_cache_is_rebuilt(world_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path))
    first = psbench_data.load("cuhk_sysu", root=world_root).fingerprint
    for file in tmp_path.rglob("*.arrow"):
        file.write_bytes(file.read_bytes()[:100])
    assert psbench_data.load("cuhk_sysu", root=world_root).fingerprint == first


def _flipped(tables: Sequence[bytes]) -> list[bytes]:
    """A bit in every kilobyte: of offsets, which pyarrow follows, and of what is evaluated."""
    return [bytes(byte ^ (i % 1024 == 700) for i, byte in enumerate(table)) for table in tables]


def _exchanged(tables: Sequence[bytes]) -> list[bytes]:
    """Each whole, and in the place of another."""
    return [*tables[1:], tables[0]]


@pytest.mark.parametrize("altered", [_flipped, _exchanged])
def test_altered_cache_is_rebuilt(
    world_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, altered: Callable[[Sequence[bytes]], list[bytes]]
) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path))

    def opened() -> tuple[str, str]:
        dataset = psbench_data.load("cuhk_sysu", root=world_root)
        return dataset.fingerprint, dataset.protocol("gallery-50").digest

    first, files = opened(), sorted(tmp_path.rglob("*.arrow"))
    tables = [file.read_bytes() for file in files]
    for file, table, sound in zip(files, altered(tables), tables, strict=True):
        assert table != sound
        file.write_bytes(table)
    assert opened() == first
    assert [file.read_bytes() for file in files] == tables


def test_unwritable_cache_is_only_slower(world_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    obstacle = tmp_path / "file"
    obstacle.touch()
    monkeypatch.setenv("PSBENCH_CACHE", str(obstacle))
    assert cache_folder() == obstacle
    with pytest.warns(UserWarning, match="PSBENCH_CACHE"):
        assert len(psbench_data.load("cuhk_sysu", root=world_root).split("test")) == 54


def test_no_partial_files_stay_in_the_cache(world: PersonSearchDataset) -> None:
    world.protocol("gallery-50")
    # Digests of files, which have no suffix, are kept once the files are old enough.
    assert {path.suffix for path in cache_folder().rglob("*") if path.is_file()} - {""} == {".arrow"}
    assert not [path for path in cache_folder().rglob(".*") if path.is_file()]


def _settled(root: Path) -> None:
    """Wait until the files are old enough for their digest to be remembered."""
    newest = max(path.stat().st_ctime for path in root.rglob("*") if path.is_file())
    time.sleep(max(0.0, newest + 2.1 - time.time()))


def test_warm_open_reads_no_annotation_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    root = shutil.copytree(PRW, tmp_path / "prw")
    _settled(root)
    first = psbench_data.load("prw", root=root)
    first.protocol("regular")
    opened: list[str] = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    again = psbench_data.load("prw", root=root)
    assert again.protocol("regular").digest == first.protocol("regular").digest
    assert not [path for path in opened if path.startswith(str(root))]


@pytest.mark.parametrize("keep_times", [False, True])
def test_change_after_a_warm_open_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_times: bool) -> None:
    """Also when size and time of modification stay as they were."""
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    root = shutil.copytree(PRW, tmp_path / "prw")
    _settled(root)
    before = [psbench_data.load("prw", root=root).protocol("regular").digest for _ in range(2)]
    path = root / "query_info.txt"
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(content.replace(b"128.7557", b"120.7557"))
    if keep_times:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert psbench_data.load("prw", root=root).protocol("regular").digest not in before


def _open_prw(root: Path) -> str:
    return psbench_data.load("prw", root=root).protocol("regular").digest


def test_processes_opening_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        digests = pool.map(_open_prw, [PRW] * 6)
    assert len({*digests, _open_prw(PRW)}) == 1
    assert not [path for path in (tmp_path / "cache").rglob(".*") if path.is_file()]


_OPEN = "import psbench_data; print(psbench_data.load('prw', root={root!r}).protocol('regular').digest)"


def test_killed_first_open_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-c", _OPEN.format(root=str(PRW))]
    for delay in (0.05, 0.15, 0.2, 0.25, 0.3, 0.35):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    digest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "other"))
    assert digest == _open_prw(PRW)


def test_full_disk_is_only_slower(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing beyond it fails as on a full one."""
    command = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); " + _OPEN.format(root=str(PRW))
    )
    environment = {**os.environ, "PSBENCH_CACHE": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == _open_prw(PRW)
    assert "the cache cannot be written" in done.stderr
    assert not list((tmp_path / "cache").rglob("*.arrow"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_cache_is_only_slower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    monkeypatch.setenv("PSBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match="PSBENCH_CACHE"):
        assert psbench_data.load("prw", root=PRW).protocol("regular")


def test_other_options_are_other_tables() -> None:
    few, many = (psbench_data.load("movienet_cs", root=EVALUATION / "movienet_cs", train_subset=n) for n in (10, 100))
    assert len(few.split("train")) < len(many.split("train"))
    assert few.fingerprint != many.fingerprint
    # What is judged is the same, whatever was trained on.
    assert few.split("test").fingerprint == many.split("test").fingerprint


def test_account_without_a_home_has_no_cache_and_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("PSBENCH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    with pytest.warns(UserWarning, match=r"no home folder.*PSBENCH_CACHE"):
        dataset = psbench_data.load("prw", root=PRW)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for name in dataset.protocols:
            assert len(dataset.protocol(name).queries)
    assert len(shown) <= 1
