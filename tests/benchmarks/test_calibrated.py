"""A ratio does not depend on how slow the machine is, and comes out of pytest as it went in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as program
from tests.benchmarks import calibrated
from tests.benchmarks.calibrated import Kernel, calibrate
from tests.benchmarks.comparison import machine


class Machine:
    """A clock, and a fixture like pytest-benchmark's as far as `calibrate` needs it, that reads this clock."""

    def __init__(self) -> None:
        self.now, self.slowness, self.extra_info, self.disabled = 0.0, 1.0, {}, False
        self.data: list[float] = []
        self.stats = type("Metadata", (), {"stats": self})()
        self.done: list[str] = []

    def taking(self, name: str, seconds: float) -> Callable[[], None]:
        """Work that takes so long on a machine that nobody else uses."""

        def work() -> None:
            self.now += seconds * self.slowness
            self.done.append(name)

        return work

    def pedantic(self, work: Callable[[], None], *, setup: Callable, teardown: Callable, rounds: int) -> None:
        for _ in range(rounds):
            setup()
            start = self.now
            work()
            self.data.append(self.now - start)
            teardown()


@pytest.fixture
def machine_of(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(calibrated, "cpu_seconds", lambda: made.now)
    return made


def test_a_slow_machine_does_not_change_the_ratio(machine_of: Machine) -> None:
    slowness = iter([9, 1, 3, 0.5, 7, 2])

    def next_round() -> None:
        machine_of.slowness = next(slowness)

    work, kernel = machine_of.taking("work", 0.5), Kernel("kernel", machine_of.taking("kernel", 0.2))
    ratio = calibrate(machine_of, work, kernel, setup=next_round)
    assert ratio == pytest.approx(2.5)
    assert machine_of.extra_info == {"kernel": "kernel", "ratio": ratio, "kernel_seconds": pytest.approx(0.2 * 2)}
    assert next(slowness, None) is None


def test_a_machine_that_becomes_slow_meanwhile_counts_by_half(machine_of: Machine) -> None:
    plain = machine_of.taking("work", 1.0)

    def work() -> None:
        machine_of.slowness = 1.0
        plain()
        machine_of.slowness = 3.0

    kernel = Kernel("kernel", machine_of.taking("kernel", 1.0))
    ratio = calibrate(machine_of, work, kernel, setup=lambda: setattr(machine_of, "slowness", 1.0), rounds=1)
    assert ratio == pytest.approx(1 / 2)


@pytest.mark.parametrize(("seconds", "times"), [(0.3, 1), (1.0, 1), (20.0, 20)])
def test_kernel_runs_before_and_after_for_a_tenth_of_the_time(machine_of: Machine, seconds: float, times: int) -> None:
    kernel = Kernel("kernel", machine_of.taking("kernel", 0.1))
    assert calibrate(machine_of, machine_of.taking("work", seconds), kernel, rounds=2) == pytest.approx(10 * seconds)
    one_round = ["kernel"] * times + ["work"] + ["kernel"] * times
    assert machine_of.done[-2 * len(one_round) :] == 2 * one_round


def test_a_benchmark_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where tests are shared by processes, pytest-benchmark measures nothing.
    for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(program, "OUTPUT", tmp_path)
    (found,), failed = program.measured([program._node("rendering/leaderboards")])
    assert (failed, found.name, found.kernel) == (0, "rendering/leaderboards", "4 decodes")
    assert found.seconds > 0
    assert found.machine == machine()
    assert {"python", "numpy", "pillow"} <= found.versions.keys()
