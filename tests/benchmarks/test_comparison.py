"""What `make bench` makes of its figures: bands, the baseline, the history and the report. Nothing is timed."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psbench_data import InputError
from tests.benchmarks import __main__ as program
from tests.benchmarks import history
from tests.benchmarks.comparison import (
    FLOOR,
    Baseline,
    Line,
    alike,
    baseline_of,
    better_of,
    compare,
    machine,
    read_baseline,
    read_run,
    write_baseline,
)
from tests.benchmarks.report import curve, last_run, text_table, verdict_words, write_report

RATIOS = st.floats(1e-3, 1e3)


def line(ratio: float, name: str = "judging/cbgm[prw]", **changes: Any) -> Line:
    values = {"seconds": ratio / 4, "kernel": "product", "kernel_seconds": 0.25, "date": "2026-11-22T10:00:00+00:00"}
    about = {"commit": "0123456789ab", "machine": "CPU, 2 cores", "versions": {"numpy": "2.4"}}
    return Line(**{"name": name, "ratio": ratio, **values, **about, **changes})


@given(known=RATIOS, band=st.floats(0.01, 3), times=st.floats(0.05, 20))
def test_only_what_leaves_the_band_is_a_change(known: float, band: float, times: float) -> None:
    baseline = baseline_of([line(known)], 1, "")
    of = baseline.benchmarks["judging/cbgm[prw]"].model_copy(update={"band": band})
    baseline = baseline.model_copy(update={"benchmarks": {"judging/cbgm[prw]": of}})
    (compared,) = compare([line(known * times)], baseline)
    assert compared.change == pytest.approx(times - 1)
    if math.isclose(times, 1 + band, rel_tol=1e-9) or math.isclose(times, 1 / (1 + band), rel_tol=1e-9):
        return
    expected = "WORSE" if times > 1 + band else "better" if times * (1 + band) < 1 else "steady"
    assert compared.verdict == expected


@given(st.lists(RATIOS, min_size=1, max_size=7))
def test_the_runs_of_the_baseline_lie_in_its_band(ratios: list[float]) -> None:
    lines = [line(ratio) for ratio in ratios]
    baseline = baseline_of(lines, len(lines), "")
    (known,) = baseline.benchmarks.values()
    if len(ratios) % 2:
        assert known.ratio == sorted(ratios)[len(ratios) // 2]
    assert known.band >= FLOOR
    assert {of.verdict for of in compare(lines, baseline)} == {"steady"}


def test_band_is_twice_as_wide_as_the_runs_differed() -> None:
    (known,) = baseline_of([line(2), line(2.2), line(3)], 3, "").benchmarks.values()
    assert (known.ratio, known.band) == (2.2, pytest.approx(2 * (3 / 2.2 - 1), abs=1e-3))
    (quiet,) = baseline_of([line(2), line(2.02), line(2.04)], 3, "").benchmarks.values()
    assert quiet.band == FLOOR


def test_baseline_has_the_last_runs_of_this_machine_and_kernel() -> None:
    before = [line(50), line(40, machine="another"), line(30, kernel="other")]
    baseline = baseline_of([*before, line(2), line(4), line(1, "oim/update"), line(3)], 3, "busy")
    assert baseline.benchmarks["judging/cbgm[prw]"].ratio == 3
    assert baseline.benchmarks["oim/update"].ratio == 1
    assert (baseline.machine, baseline.runs, baseline.note) == ("CPU, 2 cores", 3, "busy")
    with pytest.raises(InputError, match="make bench"):
        baseline_of([], 3, "")


@pytest.mark.parametrize(
    "changes", [{"name": "oim/update"}, {"kernel": "other"}, {"machine": "another"}], ids=lambda c: next(iter(c))
)
def test_what_the_baseline_does_not_have_is_new_and_fails_nothing(changes: dict[str, str]) -> None:
    (compared,) = compare([line(100, **changes)], baseline_of([line(1)], 1, ""))
    assert (compared.verdict, compared.change) == ("new", None)
    assert not verdict_words([compared])
    assert "new" in text_table([compared])
    assert compare([line(100)], None)[0].verdict == "new"


def test_measured_again_the_better_counts() -> None:
    first, again = [line(3), line(5, "a/b")], [line(2), line(9, "c/d")]
    assert [of.ratio for of in better_of(first, again)] == [2, 5]
    assert [of.ratio for of in better_of(first, [line(4)])] == [3, 5]


def _pytest_json(path: Path, *, ratios: dict[str, float], **commit: Any) -> Path:
    """As pytest-benchmark writes it, as far as it is read."""
    of = [
        {
            "fullname": f"tests/benchmarks/{name}",
            "stats": {"median": 2 * ratio},
            "extra_info": {"ratio": ratio, "kernel": "product", "kernel_seconds": 2.0, "peak": 1},
        }
        for name, ratio in ratios.items()
    ]
    plain = {"fullname": "tests/other.py::test_plain", "stats": {"median": 1.0}, "extra_info": {}}
    about = {"commit_info": {"id": "a" * 40, "dirty": False} | commit, "datetime": "2026-11-22T10:00:00+00:00"}
    path.write_text(json.dumps({"benchmarks": [*of, plain], **about}))
    return path


def test_what_pytest_benchmark_wrote_is_read(tmp_path: Path) -> None:
    path = _pytest_json(tmp_path / "m.json", ratios={"test_judging.py::test_cbgm[prw]": 1.5})
    (found,) = read_run(path, {"numpy": "2"})
    assert (found.name, found.ratio, found.seconds, found.kernel_seconds) == ("judging/cbgm[prw]", 1.5, 3, 2)
    assert (found.commit, found.machine, found.versions) == ("a" * 12, machine(), {"numpy": "2"})
    assert read_run(_pytest_json(path, ratios={"t.py::test_a": 1}, dirty=True), {})[0].commit == "a" * 12 + "+"
    assert read_run(_pytest_json(path, ratios={"t.py::test_a": 1}, id="unversioned"), {})[0].commit is None
    for damaged in ("", "{", "[]", '{"benchmarks": []}', '{"commit_info": 3}'):
        path.write_text(damaged)
        with pytest.raises(InputError, match="pytest --benchmark-json"):
            read_run(path, {})


def test_baseline_is_kept_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    path, baseline = tmp_path / "baseline.json", baseline_of([line(2), line(3)], 2, "busy")
    assert read_baseline(path) is None
    write_baseline(path, baseline)
    assert read_baseline(path) == baseline
    text = path.read_text()
    damages = {text[:-9]: "the file", text.replace('"band":', '"bond":'): "band", text.replace("2.5", "-2.5"): "ratio"}
    for damaged, place in damages.items():
        path.write_text(damaged)
        with pytest.raises(InputError, match=rf"baseline\.json: .*{place}.*make bench-baseline"):
            read_baseline(path)


def test_history_only_grows_and_every_damaged_line_is_told(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert history.read(path) == []
    history.append(path, [line(1), line(2, commit=None)])
    history.append(path, [line(3)])
    assert history.read(path) == [line(1), line(2, commit=None), line(3)]
    whole = path.read_text().splitlines(keepends=True)
    path.write_text(whole[0] + whole[1][:50] + "\n" + whole[2].replace('"ratio":3.0', '"ratio":"x"') + whole[0])
    with pytest.raises(InputError) as error:
        history.read(path)
    assert len(error.value.faults) == 2
    assert "line 2" in error.value.faults[0]
    assert "line 3: ratio" in error.value.faults[1]
    path.write_text(whole[0] + whole[1][:50])
    with pytest.raises(InputError, match="cut off"):
        history.append(path, [line(4)])


class _Names(HTMLParser):
    """The rows' names, and what stands between tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.circles, self.words = 0, list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.circles += tag == "circle"

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


def test_report_shows_the_newest_run_and_what_came_before(tmp_path: Path) -> None:
    later = "2026-11-23T10:00:00+00:00"
    past = [line(2), line(4, machine="another"), line(7, "gone/since")]
    now = [line(3, date=later), line(1, "oim/<update>", date=later)]
    paths = write_report(tmp_path, [*past, *now], baseline_of(past[:1], 1, "busy"))
    assert last_run([*past, *now]) == now
    page = _Names(paths[0].read_text("utf-8"))
    assert page.circles == 2 + 1
    assert {"cbgm", "prw", "<update>", "+50 %", "new"} <= set(page.words)
    assert "since" not in page.words
    assert "http" not in paths[0].read_text("utf-8")
    rows = [[cell.strip() for cell in row.split("|")] for row in paths[1].read_text("utf-8").splitlines()]
    assert ["", "judging/cbgm[prw]", "0.75", "3", "product", "2", "+50 %", "±25 %", "WORSE", ""] in rows


@given(ratios=st.lists(RATIOS, min_size=1, max_size=60), banded=st.booleans())
def test_curves_stay_in_their_picture_and_larger_is_higher(ratios: list[float], banded: bool) -> None:
    lines = [line(ratio) for ratio in ratios]
    (compared,) = compare(lines[-1:], baseline_of(lines, 3, "") if banded else None)
    drawn = curve(compared, lines)
    shown = alike(lines, lines[-1])[-40:]
    assert len(drawn.points) == len(shown)
    assert all(0 <= x <= 180 and 0 <= y <= 30 for x, y, _ in drawn.points)
    assert [x for x, *_ in drawn.points] == sorted(x for x, *_ in drawn.points)
    at = sorted(zip((of.ratio for of in shown), (y for _, y, _ in drawn.points), strict=True))
    assert all(y >= above for (_, y), (_, above) in pairwise(at))
    assert (drawn.band is not None) == banded


@pytest.fixture
def made_up_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Line], int]]:
    """What `measured` gives in turn; files in a folder of their own."""
    runs: list[tuple[list[Line], int]] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "BASELINE", tmp_path / "baseline.json")
    monkeypatch.setattr(program, "HISTORY", tmp_path / "history.jsonl")
    monkeypatch.setattr(program, "measured", lambda selection: runs.pop(0))
    return runs


def test_a_worsening_fails_with_one_line_if_it_is_there_twice(
    made_up_runs: list[tuple[list[Line], int]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made_up_runs[:] = [([line(2)], 0)]
    assert program.main(["run"]) == 0
    assert program.main(["baseline", "--note", "busy"]) == 0
    assert Baseline.model_validate_json((tmp_path / "baseline.json").read_bytes()).note == "busy"
    capsys.readouterr()
    made_up_runs[:] = [([line(3)], 0), ([line(2.1)], 0)]
    assert program.main(["run"]) == 0
    assert not capsys.readouterr().err
    made_up_runs[:] = [([line(3)], 0), ([line(2.8)], 0)]
    assert program.main(["run"]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "judging/cbgm[prw] +40 % (noise ±25 %)" in told
    assert [of.ratio for of in history.read(tmp_path / "history.jsonl")] == [2, 2.1, 2.8]
    assert (tmp_path / ".benchmarks/report.html").exists()


def test_a_failed_benchmark_and_damaged_files_fail(
    made_up_runs: list[tuple[list[Line], int]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made_up_runs[:] = [([line(2)], 1), ([], 2)]
    assert program.main(["run"]) == 1
    assert program.main(["run"]) == 2
    assert len(history.read(tmp_path / "history.jsonl")) == 1
    (tmp_path / "baseline.json").write_text("{")
    assert program.main(["run"]) == 1
    assert "baseline.json" in capsys.readouterr().err


def test_names_lead_back_to_the_benchmarks() -> None:
    node = f"{program.FOLDER}/test_judging.py::test_cbgm[prw]"
    assert program._node("judging/cbgm[prw]") == node
