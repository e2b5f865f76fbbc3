"""Runs mutants, in the folder where mutmut has made them: tests are collected once, and forked for each mutant.

mutmut would start pytest for each, which takes longer than most tests that kill one. What it writes is written here,
too, so that its other commands show these results.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import math
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from tests.reliability.mutate.results import ALIVE, CODES, Meta

_EXAMPLES = 5
"""Of a property, in a first look."""
_TELLING = 8
"""How many times as long an example of a property may take as another test, and still come before it."""
_IN_TURN = 4
_ROOM, _TIMES = 5, 20
"""CPU seconds, and a multiple of what it took without a mutant, after which a test goes on for ever."""
_LOOK, _LOOKS = 0.02, 45_000
"""Seconds between looks at the processes, and after how many of these one waits for ever: no clock, which goes on while
all are stopped."""
_MEMORY = 6 * 2**30
_WITHOUT = ("cacheprovider", "unraisableexception")
"""Parts of pytest that would do much for each mutant; of other packages' it gets none."""


class Forks:
    """A plugin of pytest: in the place of all tests, for each mutant those that reach it, until the first one fails."""

    def __init__(self, wanted: Callable[[str, int | None], bool], seconds: float, processes: int) -> None:
        stats = json.loads(Path("mutmut-stats.json").read_text("utf-8"))
        self._took: dict[str, float] = stats["duration_by_test"]
        self._tests: dict[str, list[str]] = stats["tests_by_mangled_function_name"]
        self._metas = [Meta(path) for path in sorted(Path().rglob("*.meta"))]
        self._wanted, self._seconds, self._processes = wanted, seconds, processes

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Keep so many processes busy, and write down how each ended."""
        items = {item.nodeid: item for item in session.items}
        todo = [(meta, name) for meta in self._metas for name, code in meta.codes.items() if self._wanted(name, code)]
        # In an order of chance: what was run at any moment is a fair sample of all.
        todo.sort(key=lambda one: hashlib.sha256(one[1].encode()).digest())
        running: dict[int, tuple[Meta, str, Path]] = {}
        looks: Counter[int] = Counter()
        ended: Counter[str] = Counter()
        gc.collect()
        gc.freeze()
        while todo or running:
            if todo and len(running) < self._processes:
                meta, name = todo.pop(0)
                mine = [items[test] for test in self._tests.get(name.partition("__mutmut_")[0], []) if test in items]
                scratch = Path(tempfile.mkdtemp(prefix="psbench-mutant-"))
                running[self._fork(name, mine, scratch)] = meta, name, scratch
                continue
            for pid, (meta, name, scratch) in list(running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                looks[pid] += 1
                if not done and looks[pid] > _LOOKS:
                    os.kill(pid, signal.SIGKILL)
                    done, status = os.waitpid(pid, 0)[0], CODES["timeout"] << 8
                if done:
                    meta.keep(name, os.waitstatus_to_exitcode(status))
                    ended[meta.status(name)] += 1
                    shutil.rmtree(scratch, ignore_errors=True)
                    del running[pid], looks[pid]
                    if ended.total() % 100 == 0 or not (todo or running):
                        print(f"{ended.total():,} run, {len(todo):,} to go: {dict(ended)}", file=sys.stderr, flush=True)
            time.sleep(_LOOK)
        return True

    def _fork(self, name: str, items: list[pytest.Item], scratch: Path) -> int:
        if pid := os.fork():
            return pid
        from mutmut.mutation.trampoline import set_mutant_under_test

        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(scratch)
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        signal.signal(signal.SIGPROF, lambda *_: os._exit(CODES["timeout"]))
        set_mutant_under_test(name)
        chosen = list(self._chosen(self._ordered(items)))
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            signal.setitimer(signal.ITIMER_PROF, _ROOM + _TIMES * self._took.get(item.nodeid, 0))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        os._exit(CODES["survived"] if chosen else CODES["no tests"])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In a forked process: the mutant is dead."""
        if report.failed:
            os._exit(CODES["killed"])

    def _ordered(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """A few tests of each file in turn, as those of one file see much the same; the fastest first."""
        by_time = sorted(items, key=self._begins)
        seen: Counter[Path] = Counter()
        turn = {}
        for item in by_time:
            turn[item.nodeid] = seen[item.path] // _IN_TURN
            seen[item.path] += 1
        return sorted(by_time, key=lambda item: turn[item.nodeid])

    def _begins(self, item: pytest.Item) -> tuple[int, Path]:
        """When a test has told the most of what it has to tell, in steps, so that tests of a file stay together."""
        took, asked = self._took.get(item.nodeid, 0.0), _asked(item)
        if asked is not None:
            took /= asked.max_examples * _TELLING
        return math.ceil(math.log2(max(took, 0.01))), item.path

    def _chosen(self, items: list[pytest.Item]) -> Iterator[pytest.Item]:
        """In a first look, those that together take less than the time for it."""
        left = self._seconds
        for item in items:
            asked, took = _asked(item), self._took.get(item.nodeid, 0.0)
            if math.isfinite(self._seconds) and asked is not None and asked.max_examples > _EXAMPLES:
                took *= _EXAMPLES / asked.max_examples
                item.obj._hypothesis_internal_use_settings = settings(asked, max_examples=_EXAMPLES)  # type: ignore[attr-defined]
            if took < left:
                left -= took
                yield item


def _asked(item: pytest.Item) -> settings | None:
    """Of a property."""
    test = getattr(item, "obj", None)
    if not hasattr(test, "hypothesis"):
        return None
    return getattr(test, "_hypothesis_internal_use_settings", None) or settings()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mutants that were not run, or those that are alive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=math.inf, help="of tests for each mutant (no limit)")
    parser.add_argument("--again", action="store_true", help="those that are alive, in the place of those not run yet")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("mutants", nargs="*", default=["*"], help="patterns of mutmut's names")
    asked = parser.parse_args(arguments)
    alive = {CODES[status] for status in ALIVE}

    def wanted(name: str, code: int | None) -> bool:
        return (code in alive if asked.again else code is None) and any(fnmatch(name, p) for p in asked.mutants)

    # The first example that fails is enough, and the same examples every time.
    settings.register_profile("mutants", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate])
    settings.load_profile("mutants")
    for late in ("pandas", "pyarrow.parquet", "scipy.optimize", "scipy.stats", "sklearn.metrics", "torch", "tqdm"):
        __import__(late)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    selection = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    options = [option for plugin in _WITHOUT for option in ("-p", f"no:{plugin}")]
    tests = selection["pytest_add_cli_args_test_selection"]
    forks = Forks(wanted, asked.seconds, asked.processes)
    return int(pytest.main(["--rootdir=.", "-q", "-s", *options, *tests], plugins=[forks]))


if __name__ == "__main__":
    sys.exit(main())
