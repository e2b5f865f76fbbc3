"""Tasks in processes of their own: in an order that their needs allow, so many at once, none left behind."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from psbench.reproduction.jobs import CostJob, Data, Job, Network
from psbench.reproduction.pool import Machine, carry_out
from psbench.reproduction.tasks import Make, Measure, Task

_PROGRAM = """
import json, os, sys, time
task = json.loads(sys.stdin.readline())
job = task["work"]["job"]
name = job.get("name") or job["network"]["name"]
with open(os.path.join(task["folder"], "events"), "a") as events:
    given = [os.environ.get(variable) for variable in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")]
    events.write(json.dumps(["begin", name, *given]) + "\\n")
    events.flush()
    print("at work\\rat work still", file=sys.stderr)
    time.sleep(0.3)
    if name.startswith("faulty"):
        print("error: the file is wrong. Mend it.\\nerror: and another one.", file=sys.stderr)
        sys.exit(1)
    if name.startswith("broken"):
        raise RuntimeError("out of memory")
    if name.startswith("killed"):
        os.kill(os.getpid(), 9)
    if name.startswith("endless"):
        events.write(json.dumps(["pid", os.getpid(), "", ""]) + "\\n")
        events.flush()
        time.sleep(60)
    events.write(json.dumps(["end", name, "", ""]) + "\\n")
"""
CPU = Machine(gpus=[], cores=4)


@pytest.fixture(autouse=True)
def _pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program.py").write_text(_PROGRAM)
    monkeypatch.setattr("psbench.reproduction.pool.COMMAND", [sys.executable, str(tmp_path / "program.py")])


def _task(folder: Path, name: str, *needs: str) -> Task:
    networks = [Network(name=need, recipe={}) for need in needs]
    network = Network(name=name, recipe={}, **dict(zip(("start", "detector"), networks, strict=False)))
    data = Data(name="cuhk_sysu", root=folder, options={})
    return Task(folder=folder, work=Make(job=Job(network=network, data=data)))


def _alone(folder: Path, name: str) -> Task:
    return Task(folder=folder, work=Measure(job=CostJob(name=name, model="oim", options={}, size=None)))


def _events(folder: Path) -> list[list[str]]:
    return [json.loads(line) for line in (folder / "events").read_text().splitlines()]


def _most_at_once(events: list[list[str]]) -> int:
    running = most = 0
    for what, *_ in events:
        running += {"begin": 1, "end": -1}.get(what, 0)
        most = max(most, running)
    return most


@pytest.mark.parametrize("at_once", [1, 2])
def test_needs_come_first_and_only_so_many_run(tmp_path: Path, at_once: int) -> None:
    tasks = [_task(tmp_path, "c", "b", "a"), _task(tmp_path, "b", "a"), _task(tmp_path, "a"), _task(tmp_path, "d")]
    assert carry_out(tasks, CPU, at_once=at_once, progress=False) == {}
    events = _events(tmp_path)
    assert _most_at_once(events) == at_once
    place = {(what, name): i for i, (what, name, *_) in enumerate(events)}
    assert place["end", "a"] < place["begin", "b"] < place["end", "b"] < place["begin", "c"]
    assert {threads for what, _, threads, _ in events if what == "begin"} == {"1"}


def test_what_measures_is_alone_and_has_all_cores(tmp_path: Path) -> None:
    tasks = [_alone(tmp_path, "x"), _alone(tmp_path, "y"), _task(tmp_path, "a"), _task(tmp_path, "b")]
    assert carry_out(tasks, CPU, at_once=3, progress=False) == {}
    events = _events(tmp_path)
    assert [(what, name) for what, name, *_ in events[4:]] == [
        ("begin", "x"),
        ("end", "x"),
        ("begin", "y"),
        ("end", "y"),
    ]
    assert [threads for what, _, threads, _ in events if what == "begin"] == ["1", "1", "4", "4"]


def test_each_task_has_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    machine = Machine(gpus=["2", "5"], cores=8)
    assert machine.at_once == 2
    assert carry_out([_task(tmp_path, name) for name in "abcd"], machine, at_once=2, progress=False) == {}
    begun = [event for event in _events(tmp_path) if event[0] == "begin"]
    assert sorted(gpu for _, _, _, gpu in begun) == ["2", "2", "5", "5"]
    assert {gpu for _, _, _, gpu in begun[:2]} == {"2", "5"}
    assert {threads for _, _, threads, _ in begun} == {None}


def test_what_fails_stops_what_needs_it_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = [
        _task(tmp_path, "faulty"),
        _task(tmp_path, "later", "faulty"),
        _task(tmp_path, "latest", "later"),
        _task(tmp_path, "broken"),
        _task(tmp_path, "killed"),
        _task(tmp_path, "well"),
    ]
    faults = carry_out(tasks, CPU, at_once=3, progress=True)
    assert ["end", "well", "", ""] in _events(tmp_path)
    log = tmp_path / "logs"
    assert faults["faulty"] == [
        f"faulty: the file is wrong. Mend it. Its log: {log / 'faulty.log'}",
        f"faulty: and another one. Its log: {log / 'faulty.log'}",
    ]
    assert faults["broken"] == [f"broken: RuntimeError: out of memory. Its log: {log / 'broken.log'}"]
    assert "ended by signal 9" in faults["killed"][0]
    assert faults["later"] == ["later: not begun, as it needs faulty."]
    assert faults["latest"] == ["latest: not begun, as it needs later."]
    assert faults.keys() == {"faulty", "broken", "killed", "later", "latest"}
    shown = capsys.readouterr().err
    assert "well: done after" in shown
    assert "broken: failed after" in shown


def test_an_interruption_leaves_no_process_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        if (tmp_path / "events").is_file() and sum(event[0] == "pid" for event in _events(tmp_path)) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("psbench.reproduction.pool.time.sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        carry_out([_task(tmp_path, "endless1"), _task(tmp_path, "endless2")], CPU, at_once=2, progress=False)
    for _, pid, *_ in [event for event in _events(tmp_path) if event[0] == "pid"]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


def test_a_job_ends_with_the_command_that_started_it() -> None:
    """However that ends: its standard input does."""
    program = "import threading, time; from psbench.reproduction import __main__ as m; "
    program += "threading.Thread(target=m._end_with_the_command, daemon=True).start(); print('up', flush=True); "
    program += "time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "up\n"
    assert process.poll() is None
    begun = time.monotonic()
    process.stdin.close()
    assert process.wait(timeout=30) == 1
    assert time.monotonic() - begun < 30
    process.stdout.close()
