"""The same commands given again, in other surroundings: what they write must be the same bytes.

From drawn people to a rendered leaderboard, each time a process of its own with another hash seed, time zone, language,
working folder and umask.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.reliability.record import Row

PARTS = {
    "data": "drawn data",
    "run": "a training's run folder",
    "predictions": "predictions",
    "evaluation.json": "an evaluation as JSON",
    "board": "an entry and a leaderboard's pages",
}
"""What `tests.reliability.repeat.chain` writes into its folder."""
_SURROUNDINGS = (("UTC", "C.UTF-8"), ("Asia/Kathmandu", "C"), ("America/St_Johns", "POSIX"))
_MEASURED = frozenset({"seconds", "images_per_second", "peak_memory"})
_CARD_LINE = "| training |"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this campaign asks for."""
    parser.add_argument("--times", type=int, default=10, help="that everything is done again (10)")


def rows(asked: argparse.Namespace) -> Iterator[Row]:
    """One for each part: in how many repetitions its files had the bytes of the first run."""
    differing: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        first = digests(made(Path(folder, "0"), asked.seed))
        for number in range(1, asked.times + 1):
            again = digests(made(Path(folder, str(number)), asked.seed + number))
            unlike = {name for name in first.keys() | again.keys() if first.get(name) != again.get(name)}
            differing.update({name.split("/")[0] for name in unlike})
            print(f"{number} of {asked.times}: {', '.join(sorted(unlike)) or 'the same'}", file=sys.stderr)
    for part, called in PARTS.items():
        outcomes = {"same bytes": asked.times - differing[part], "other bytes": differing[part]}
        if not asked.only or part in asked.only:
            note = "but for what is measured: seconds, memory" if part == "run" else ""
            yield Row("repeat", f"{called}, made again", asked.times, outcomes, differing[part], note)


def made(folder: Path, number: int) -> Path:
    """Everything done once, in the surroundings of that number, in that folder, which it gives back."""
    elsewhere = folder.with_name(f"{folder.name}-elsewhere")
    elsewhere.mkdir(parents=True)
    zone, language = _SURROUNDINGS[number % len(_SURROUNDINGS)]
    changed = {"PYTHONHASHSEED": str(number), "TZ": zone, "LC_ALL": language, "PSBENCH_CACHE": str(elsewhere / "cache")}
    here = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.repeat.chain", str(folder)],
        env=os.environ | changed | {"PYTHONPATH": os.pathsep.join(here), "OMP_NUM_THREADS": "1"},
        cwd=elsewhere,
        umask=(0o022, 0o077)[number % 2],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file, by its path in the folder, without what it says of time and memory that something took."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(_content(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _content(path: Path) -> bytes:
    if path.name in ("run.json", "metrics.jsonl"):
        lines = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
        return json.dumps([_unmeasured(json.loads(line)) for line in lines]).encode()
    if path.name == "card.md":
        return "\n".join(of for of in path.read_text("utf-8").splitlines() if not of.startswith(_CARD_LINE)).encode()
    return path.read_bytes()


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmeasured(of) for key, of in value.items() if key not in _MEASURED}
    return [_unmeasured(of) for of in value] if isinstance(value, list) else value
