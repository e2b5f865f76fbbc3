"""Reports of rankings: what a page says is what the evaluator counts, for detections and for pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import psbench
from psbench import InputError, Predictions, error_analysis
from psbench.cli import app
from psbench.evaluation.listing import listing_of
from psbench.evaluation.losses import CAUSES
from psbench.reporting.ranking import write_ranking
from psbench.reporting.ranking_rows import rows_of
from psbench_data import PersonSearchDataset, Protocol, Scenes
from psbench_data.galleries import protocol_table
from psbench_data.scenes import scenes_table
from tests.judging.listings import answered, noisy_predictions, pairs_of, truth_of
from tests.judging.oracle import iou

HOSTILE = "<script>document.title = 'run'</script> & \"co\""


@pytest.fixture(scope="module")
def noisy(world: PersonSearchDataset) -> Predictions:
    return noisy_predictions(world, world.protocol("gallery-50"))


@pytest.fixture(scope="module")
def page(world: PersonSearchDataset, noisy: Predictions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    protocol, folder = world.protocol("gallery-50"), tmp_path_factory.mktemp("page")
    return write_ranking(
        noisy,
        protocol,
        psbench.evaluate(noisy, protocol),
        folder / "page.html",
        method=HOSTILE,
        data=world.origin,
        queries=8,
        figures=folder / "figures",
    )


def _entries(html: str) -> Iterator[tuple[int, str]]:
    for part in html.split('<section class="entry" id="query-')[1:]:
        yield int(part[: part.index('"')]), part[: part.index("</section>")]


def test_page_says_what_the_evaluator_does(world: PersonSearchDataset, noisy: Predictions, page: Path) -> None:
    protocol, html = world.protocol("gallery-50"), page.read_text(encoding="utf-8")
    evaluation = psbench.evaluate(noisy, protocol)
    assert 0.1 < evaluation.map < 0.9
    head = html[: html.index("<section")]
    for value in (evaluation.map, evaluation.top(1), evaluation.top(10), evaluation.detection.ap):
        assert f"<dd>{100 * value:.1f} %</dd>" in head
    assert "95 % intervals over the choice of people searched for (bootstrap over identities)" in head
    shown = dict(_entries(html))
    assert sorted(shown) == answered(evaluation) == list(range(8))
    for query, text in shown.items():
        result, truth = evaluation.per_query.iloc[query], truth_of(noisy, protocol, query)
        assert f"AP {100 * result['ap']:.1f} %" in text
        kinds = re.findall(r"<b>(✓ right|✗ wrong)</b> (-?[\d.]+)", text)
        assert kinds == [("✓ right" if right else "✗ wrong", f"{s:.3f}") for s, right, _ in truth.ranking[:5]]
        assert f"{truth.matches} true match" in text
        shown = sum(right for _, right, _ in truth.ranking[:5])
        lower = sorted(rank for rank in truth.ranks if rank is not None)[shown:]
        others = [f"lower: rank {rank}" for rank in lower] + ["not found"] * truth.ranks.count(None)
        assert re.findall(r"<b>○ (.*?)</b>", text) == others[:3]
        for words in ("lower", "not found"):
            assert _number(rf"(\d+) {words}[,.]", text) == sum(other.startswith(words) for other in others)
            assert _number(rf"(\d+) more {words}\b", text) == sum(other.startswith(words) for other in others[3:])
        for rank, similarity in re.findall(r"lower: rank (\d+)</b> <span>similarity (-?[\d.]+)", text):
            assert f"{truth.ranking[int(rank) - 1][0]:.3f}" == similarity
            assert truth.ranking[int(rank) - 1][1]


def _number(pattern: str, text: str) -> int:
    """What stands in a text before some words; 0 where they do not."""
    return sum(map(int, re.findall(pattern, text)))


def test_missed_is_only_said_of_people_who_are_not_detected(page: Path) -> None:
    """Those who are detected and ranked below the others are called otherwise."""
    text = re.sub(r"<style>.*?</style>|<[^>]+>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert text.count("missed") == 1 + text.count("Lost to missed")
    assert text.count("Lost to missed") > 0


def test_first_match_is_told_as_the_evaluator_counts_it(
    world: PersonSearchDataset, noisy: Predictions, page: Path
) -> None:
    evaluation = psbench.evaluate(noisy, world.protocol("gallery-50"))
    told = re.findall(r'id="query-(\d+)"[^>]*data-first="(\w+)"', page.read_text(encoding="utf-8"))
    expected = {str(q): "right" if first else "wrong" for q, first in evaluation.per_query["top1"].items()}
    assert dict(told) == expected
    assert set(expected.values()) == {"right", "wrong"}


def test_losses_of_the_page_are_those_of_the_error_analysis(
    world: PersonSearchDataset, noisy: Predictions, page: Path
) -> None:
    analysis = error_analysis(noisy, world.protocol("gallery-50"))
    html = page.read_text(encoding="utf-8")
    table = html[html.index('id="losses"') : html.index('id="curves"')]
    for cause in CAUSES:
        part = getattr(analysis, cause)
        row = re.search(rf'<th scope="row">{cause.replace("_", " ")}</th>.*?</tr>', table, re.DOTALL)
        assert row
        assert f'<td class="number">{100 * part:.2f}</td>' in row[0]
        assert f"width: {100 * part / analysis.lost:.2f}%" in row[0]
    assert f'<td class="number">{100 * analysis.lost:.2f}</td>' in table
    assert sum(getattr(analysis, cause) > 0 for cause in CAUSES) >= 4
    assert "A detection that fits nobody&#39;s box (IoU &lt; 0.5) stands before a right one." in table
    for query, text in _entries(html):
        parts = analysis.per_query.iloc[query]
        told = re.search(r"Lost to (.*?)\.</p>", text)
        expected = [f"{c.replace('_', ' ')} {100 * parts[c]:.1f}" for c in CAUSES if parts[c] >= 0.0005]
        assert (told[1] if told else "") == ", ".join(expected)


def test_page_needs_nothing_else_and_takes_no_name_for_html(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    assert "<script>document" not in html
    assert "&lt;script&gt;document" in html
    assert "Synthetic data" in html
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64|#)', html)
    assert html.count("<img ") == html.count('loading="lazy"') == html.count(' alt="')
    assert len(html) < 2_000_000


def test_figures_are_written_for_papers(page: Path) -> None:
    names = {path.name for path in (page.parent / "figures").iterdir()}
    figures = ("detection", "retrieval", "similarities", "rankings")
    assert names == {f"{name}.{ending}" for name in figures for ending in ("png", "svg")}
    for name in figures:
        with Image.open(page.parent / f"figures/{name}.png") as image:
            assert image.width > 500
        assert "synthetic data" in (page.parent / f"figures/{name}.svg").read_text(encoding="utf-8")


def test_pairwise_predictions_have_the_same_page_without_detection(
    world: PersonSearchDataset, noisy: Predictions, page: Path, tmp_path: Path
) -> None:
    protocol, pairs = world.protocol("gallery-50"), pairs_of(noisy, world.protocol("gallery-50"))
    evaluation = psbench.evaluate(pairs, protocol)
    other = write_ranking(
        pairs, protocol, evaluation, tmp_path / "pairs.html", method="pairs", data=world.origin, queries=8
    )
    html = other.read_text(encoding="utf-8")

    def shots(text: str) -> dict[int, list[str]]:
        return {q: re.findall(r"<figcaption>.*?</figcaption>", part, re.DOTALL)[:6] for q, part in _entries(text)}

    assert shots(html) == shots(page.read_text(encoding="utf-8"))
    assert "Detection: precision over recall" not in html
    found = 1 - (evaluation.per_query["found"] / evaluation.per_query["matches"]).mean()
    for cause, part in (("not found", found), ("outranked", 1 - evaluation.map - found)):
        assert re.search(rf'<th scope="row">{cause}</th><td class="number">{100 * part:.2f}</td>', html)


def test_page_shows_boxes_of_any_shape(world: PersonSearchDataset, tmp_path: Path) -> None:
    test, protocol = world.split("test"), world.protocol("gallery-50")
    odd = [[0.0, 0, 0.4, 90], [-500, -500, -400, -300], [0, 0, 128, 96], [-1e6, 10, 1e6, 12]]
    thin = Predictions.from_arrays(
        test.names,
        counts=np.full(len(test), len(odd)),
        boxes=np.tile(odd, (len(test), 1)),
        scores=np.ones(len(test) * len(odd)),
        embeddings=np.ones((len(test) * len(odd), 2)),
        query_embeddings=np.ones((len(protocol.queries), 2)),
    )
    evaluation = psbench.evaluate(thin, protocol)
    for whole in (False, True):
        page = write_ranking(
            thin, protocol, evaluation, tmp_path / "page.html", method="thin", data=world.origin, whole=whole, top=8
        )
        assert "✗ wrong" in page.read_text(encoding="utf-8")


def test_predictions_without_any_detection_have_a_page(world: PersonSearchDataset, tmp_path: Path) -> None:
    test, protocol = world.split("test"), world.protocol("gallery-50")
    nothing = Predictions.from_arrays(
        test.names,
        counts=np.zeros(len(test)),
        boxes=np.zeros((0, 4)),
        scores=[],
        embeddings=np.zeros((0, 2)),
        query_embeddings=np.ones((len(protocol.queries), 2)),
    )
    evaluation = psbench.evaluate(nothing, protocol)
    page = write_ranking(nothing, protocol, evaluation, tmp_path / "p.html", method="none", data="", figures=tmp_path)
    html = page.read_text(encoding="utf-8")
    assert html.count("<b>○ not found</b>") > 8
    assert "○ lower:" not in html
    assert "✓ right</b> 0" not in html


def _small(folder: Path, names: list[str], box: tuple[float, ...] = (10, 5, 30, 45)) -> tuple[Scenes, Protocol]:
    """One person in every scene, searched for from the first."""
    for i in range(len(names)):
        Image.new("RGB", (64, 48), (90, 120, 150)).save(folder / f"{i}.png")
    boxes = [np.array([box], float)] * len(names)
    table = scenes_table(
        names, [f"{i}.png" for i in range(len(names))], boxes, [np.array([0])] * len(names), list(range(len(names)))
    )
    test = Scenes(table, folder, [HOSTILE])
    listed = np.arange(1, len(names))
    true = np.concatenate(boxes)[1:]
    columns = protocol_table([0], boxes[0], [0], [listed], [listed - 1], [true])
    return test, Protocol("<i>p</i>", columns, test, dataset="d", synthetic=False, version=1)


def _all_found(test: Scenes, moved: float = 0) -> Predictions:
    ones = np.ones((len(test), 2))
    return Predictions.from_arrays(
        test.names,
        counts=np.ones(len(test)),
        boxes=test.boxes + np.float32([moved, 0, moved, 0]),
        scores=np.ones(len(test)),
        embeddings=ones,
        query_embeddings=ones[:1],
    )


def test_a_small_person_is_found_and_named_with_less_overlap(tmp_path: Path) -> None:
    test, protocol = _small(tmp_path, [f"s{i}" for i in range(9)], box=(10, 5, 20, 25))
    predictions = _all_found(test, moved=4)
    assert iou(predictions.boxes[0].astype(float), test.boxes[0].astype(float)) == pytest.approx(3 / 7)
    evaluation = psbench.evaluate(predictions, protocol)
    [row] = rows_of(listing_of(predictions, protocol, evaluation), protocol, evaluation, [(0, "best")], 5)
    assert [(hit.right, hit.who) for hit in row.hits] == [(True, f"person {HOSTILE}")] * 5


def test_names_of_scenes_people_and_protocols_are_no_html(tmp_path: Path) -> None:
    test, protocol = _small(tmp_path, [f"{HOSTILE} {i}" for i in range(8)])
    predictions = _all_found(test)
    evaluation = psbench.evaluate(predictions, protocol)
    page = write_ranking(predictions, protocol, evaluation, tmp_path / "p.html", method="m", data="<i>data</i>")
    html = page.read_text(encoding="utf-8")
    assert "<script>document" not in html
    assert "<i>p" not in html
    assert "<i>data" not in html
    assert "Synthetic" not in html
    for i in range(6):
        assert f"co&#34; {i}" in html


def test_every_missing_picture_is_named_before_anything_is_drawn(tmp_path: Path) -> None:
    test, protocol = _small(tmp_path, [f"s{i}" for i in range(9)])
    predictions = _all_found(test)
    evaluation = psbench.evaluate(predictions, protocol)
    gone = [1, 3, 8]
    for i in gone:
        (tmp_path / f"{i}.png").unlink()
    with pytest.raises(InputError) as told:
        write_ranking(predictions, protocol, evaluation, tmp_path / "page.html", method="m", data="")
    assert [Path(fault.split(": ")[0]).name for fault in told.value.faults] == [f"{i}.png" for i in gone]
    assert not (tmp_path / "page.html").exists()


def _rank(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rank", *(str(a) for a in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_command_takes_both_kinds_of_predictions_and_writes_figures(
    world_root: Path, world: PersonSearchDataset, noisy: Predictions, tmp_path: Path
) -> None:
    noisy.save(tmp_path / "noisy")
    pairs_of(noisy, world.protocol("gallery-50")).save(tmp_path / "pairs")
    given_ = ("--root", world_root, "--protocol", "gallery-50", "--queries", 3, "--top", 2)
    figures = ("--figures", tmp_path / "figures", "--seed", 5, "--whole")
    code, said = _rank(tmp_path / "noisy", *given_, "-o", tmp_path / "a.html", *figures)
    assert (code, said.splitlines()[0]) == (0, str(tmp_path / "a.html"))
    assert (tmp_path / "figures/rankings.png").is_file()
    assert len(list(_entries((tmp_path / "a.html").read_text(encoding="utf-8")))) == 3
    code, _ = _rank(tmp_path / "pairs", *given_, "-o", tmp_path / "b.html", "--keep", 4)
    assert code == 0
    assert "4 proposals kept a query" in (tmp_path / "b.html").read_text(encoding="utf-8")


def test_command_says_which_other_makes_predictions_of_a_run(world_root: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    (tmp_path / "file").write_text("")
    code, said = _rank(tmp_path / "run", "--root", world_root, "-o", tmp_path, "--figures", tmp_path / "file")
    assert code == 1
    assert "3 faults" in said
    assert f"psbench predict {tmp_path / 'run'} --root ROOT" in said
