"""The commands `psbench search` and `psbench index`."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from psbench.cli import app
from psbench.inference.gallery_search import people_in
from psbench.zoo.two_step import two_step
from psbench.zoo.weights import load_weights
from psbench_data import PersonSearchDataset
from tests.models.own import by_hand, pictures, save_run, tree

BOX = "4,24,40,80"


@pytest.fixture(scope="module")
def here(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a query, and a run of each kind of model."""
    folder = tmp_path_factory.mktemp("searching")
    pictures(world, folder / "photos", 6)
    world.split("test")[20].image().save(folder / "query.png")
    save_run(folder / "seqnet", "seqnet", score_thresh_test=0.0)
    for name in ("igpn", "reid_resnet50"):
        save_run(folder / name, name)
    return folder


def _run(here: Path, command: str, *arguments: object, fails: bool = False, asked: str | None = None) -> str:
    paths = {"seqnet", "igpn", "reid_resnet50", "photos", "query.png"}
    given = [str(here / str(a) if str(a) in paths else a) for a in arguments]
    result = CliRunner().invoke(app, [command, *given], input=asked)
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    assert (result.exit_code != 0) == fails, result.output
    return result.output


def _search(
    here: Path, *arguments: object, weights: str = "seqnet", fails: bool = False, asked: str | None = None
) -> str:
    given = ("--weights", weights, "--query", "query.png", "--gallery", "photos", *arguments)
    return _run(here, "search", *given, fails=fails, asked=asked)


def test_search_prints_writes_a_page_and_json(here: Path, tmp_path: Path) -> None:
    page, written = tmp_path / "found.html", tmp_path / "found.json"
    said = _search(here, "--box", BOX, "--threshold", 0.1, "--top", 7, "-o", page, "--json", written)
    model = load_weights(here / "seqnet/model.safetensors")
    expected = by_hand(model, here / "query.png", (4, 24, 40, 80), here / "photos", threshold=0.1)
    found = json.loads(written.read_text())
    assert [match["rank"] for match in found["matches"]] == list(range(1, 8))
    np.testing.assert_allclose([m["similarity"] for m in found["matches"]], [one[2] for one in expected[:7]], atol=1e-5)
    assert (found["people"], found["pictures"], found["method"]) == (len(expected), 6, "tiny seqnet")
    assert found["query"]["box"] == [4, 24, 40, 80]
    rows = re.findall(r"^ +(\d+) +(-?\d\.\d{3}) +(\d\.\d\d) +([\d,]+) +(.+)$", said, re.MULTILINE)
    assert [row[4] for row in rows] == [match["picture"] for match in found["matches"]]
    assert "A similarity is not a probability" in said
    assert f"{len(expected)} detections with a score of 0.1 or more in 6 pictures; the 7 most similar are in" in said
    assert page.read_text().count("data:image/jpeg;base64,") == 2 * 8


def test_an_index_gives_the_same_and_is_made_once(here: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    given = ("--weights", "seqnet", "--gallery", "photos", "-o", index)
    assert "6 pictures (6 looked at now, 0 gone)" in _run(here, "index", *given)
    before = tree(index)
    assert "6 pictures (0 looked at now, 0 gone)" in _run(here, "index", *given)
    assert tree(index) == before
    options = ("--box", BOX, "--threshold", 0.1, "-o", tmp_path / "found.html")
    _search(here, *options, "--json", tmp_path / "folder.json")
    given = ("--weights", "seqnet", "--query", "query.png", "--gallery", index, *options)
    _run(here, "search", *given, "--json", tmp_path / "index.json")
    assert (tmp_path / "index.json").read_bytes() == (tmp_path / "folder.json").read_bytes()


def test_where_nobody_can_be_asked_the_largest_is_taken(here: Path, tmp_path: Path) -> None:
    model = load_weights(here / "seqnet/model.safetensors")
    people = people_in(model, here / "query.png", threshold=0.1)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in people.boxes.tolist()]
    # Not the most certain one.
    assert areas.index(max(areas)) > 0
    for options in ((), ("--largest",)):
        said = _search(here, *options, "--threshold", 0.1, "-o", tmp_path / "found.html")
        (box,) = re.findall(r"^query: the largest of \d+ people, --box ([\d,]+), score", said, re.MULTILINE)
        assert box == ",".join(f"{side:.0f}" for side in people.boxes[areas.index(max(areas))].tolist())
    again = _search(here, "--box", box, "--threshold", 0.1, "-o", tmp_path / "found.html")
    assert f"query: --box {box}\n" in again
    assert "nobody is found with a score of 1 or more" in _search(here, "--threshold", 1, fails=True)


def test_somebody_at_a_terminal_is_asked_who(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Path, tuple[int, int]]] = []
    monkeypatch.setattr("psbench.cli_searching._somebody_can_be_asked", lambda: True)

    def prompt(text: str, **options: object) -> int:
        # While the question is asked, the picture is there.
        (picture,) = tmp_path.glob("*.jpg")
        with Image.open(picture) as image:
            shown.append((picture, image.size))
        return 2

    monkeypatch.setattr("psbench.cli_searching.typer.prompt", prompt)
    said = _search(here, "--threshold", 0.1, "-o", tmp_path / "found.html")
    listed = re.findall(r"^ +(\d+)  box ([\d,]+) +score (\d\.\d\d)$", said, re.MULTILINE)
    assert [int(number) for number, *_ in listed] == list(range(1, len(listed) + 1))
    assert f"query: chosen, --box {listed[1][1]}, score {listed[1][2]}" in said
    (picture, size), *_ = shown
    assert f"numbered in {picture}" in said
    assert size == (400, 300)
    assert not picture.exists()


def test_a_refused_answer_is_asked_for_again(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psbench.cli_searching._somebody_can_be_asked", lambda: True)
    said = _search(here, "--threshold", 0.1, "-o", tmp_path / "found.html", asked="0\nanna\n1\n")
    assert said.count("Which one") == 3
    assert "query: chosen" in said


def test_a_detector_with_a_reid_network(here: Path, tmp_path: Path) -> None:
    options = ("--box", BOX, "--threshold", 0.1, "--json", tmp_path / "found.json", "-o", tmp_path / "found.html")
    _search(here, "--reid", "reid_resnet50", *options)
    model = two_step(*(load_weights(here / name / "model.safetensors") for name in ("seqnet", "reid_resnet50")))
    expected = by_hand(model, here / "query.png", (4, 24, 40, 80), here / "photos", threshold=0.1)
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["method"] == "tiny seqnet + tiny reid_resnet50"
    np.testing.assert_allclose(
        [m["similarity"] for m in found["matches"]], [one[2] for one in expected[:20]], atol=1e-5
    )


def test_igpn_searches_a_folder_and_keeps_nothing(here: Path, tmp_path: Path) -> None:
    said = _search(here, "--box", BOX, "-o", tmp_path / "found.html", weights="igpn")
    assert re.search(r"^ +1 +\d\.\d{3} +- +[\d,]+ +\S", said, re.MULTILINE)
    given = ("--weights", "igpn", "--gallery", "photos", "-o", tmp_path / "index")
    assert "IGPN has no method detect" in " ".join(_run(here, "index", *given, fails=True).split())


@pytest.mark.parametrize(
    ("weights", "arguments", "said"),
    [
        ("seqnet", ["--box", "1,2,3"], "--box 1,2,3: expected x1,y1,x2,y2 in pixels"),
        ("seqnet", ["--box", "1,2,3,4,5"], "--box 1,2,3,4,5: expected x1,y1,x2,y2"),
        ("seqnet", ["--box", "10,20,5,60"], "--box 10,20,5,60: right (5) is not beyond left (10)."),
        ("seqnet", ["--box", "10,20,15,6"], "--box 10,20,15,6: bottom (6) is not beyond top (20)."),
        ("seqnet", ["--box", "10,20,5,6"], "right (5) is not beyond left (10). - --box 10,20,5,6: bottom (6) is not"),
        (
            "seqnet",
            ["--box", "100,20,500,600"],
            "--box 100,20,500,600: reaches beyond the picture, which is 128 x 96 pixels as you see it.",
        ),
        ("seqnet", ["--box", "nan,1,5,9"], "expected x1,y1,x2,y2"),
        ("seqnet", ["--box", BOX, "--largest"], "Give one or the other"),
        ("seqnet", ["--box", "1,2", "--largest", "-o", "/"], "3 faults"),
        ("seqnet", ["--box", "900,1,950,90"], "--box 900,1,950,90: reaches beyond the picture"),
        ("seqnet", ["--box", "-2,1,-1,90"], "--box -2,1,-1,90: reaches beyond the picture"),
        ("/no/run", ["--box", "5,5,1,9", "--query", "/none.jpg", "--gallery", "/none", "-o", "/"], "5 faults"),
        ("seqnet", ["--box", BOX, "--query", __file__], "not a picture that can be read"),
        ("seqnet", ["--box", BOX, "--query", "/none.jpg"], "/none.jpg: there is no such file"),
        ("seqnet", ["--box", BOX, "--gallery", "/none"], "/none: there is no such folder"),
        ("seqnet", ["--box", BOX, "--reid", "igpn"], "igpn searches for one query at a time. Give a re-ID network"),
        ("reid_resnet50", ["--box", BOX], "embeds boxes that others find. Give a model that detects"),
        ("igpn", [], "cannot detect people by itself. Say where the person is: --box"),
        ("igpn", ["--box", BOX, "--reid", "reid_resnet50"], "ranks by itself. Leave it out"),
        ("igpn", ["--box", BOX, "--threshold", "0.5"], "has no detection scores. Leave it out"),
    ],
)
def test_wrong_input_gets_one_message(here: Path, weights: str, arguments: list[str], said: str) -> None:
    output = _search(here, *arguments, weights=weights, fails=True)
    assert said in " ".join(output.split())
    assert output.count("error:") == 1


def test_paths_are_looked_for_before_weights_are_loaded(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("psbench.zoo.weights.load_weights", loaded)
    none = tmp_path / "none"
    said = _search(here, "--query", tmp_path / "none.jpg", "--gallery", none, "--reid", tmp_path / "run", fails=True)
    assert "3 faults" in said
    said = _run(here, "index", "--weights", "seqnet", "--gallery", none, "-o", tmp_path / "index", fails=True)
    assert f"error: 1 fault:\n  - {none}: there is no such folder." in said


def test_copies_are_counted_as_such_by_both_commands(here: Path, tmp_path: Path) -> None:
    folder, index = tmp_path / "photos", tmp_path / "index"
    shutil.copytree(here / "photos", folder)
    pictures = sorted(path for path in folder.rglob("*") if path.is_file())
    given = ("--weights", "seqnet", "--gallery", folder, "-o", index)
    first = _run(here, "index", *given)
    people = int(re.findall(r"(\d+) people in 6 pictures \(6 looked at now, 0 gone\)", first)[0])
    shutil.copy(pictures[0], folder / "again.jpg")
    assert f"{people} people in 6 pictures, and 1 copy (0 looked at now, 1 file copied or renamed, 0 gone)" in _run(
        here, "index", *given
    )
    shutil.copy(pictures[1], folder / "once more.jpg")
    pictures[2].rename(folder / "renamed.jpg")
    pictures[3].unlink()
    third = _run(here, "index", *given)
    left, counted = re.findall(r"(\d+) people in 5 (pictures, and 2 copies) \(0 looked at now, 2 files", third)[0]
    assert "2 files copied or renamed, 1 gone)" in third
    anew = _run(here, "index", *given[:-1], tmp_path / "anew")
    assert f"{left} people in 5 {counted} (5 looked at now, 2 files copied or renamed, 0 gone)" in anew
    written = tmp_path / "found.json"
    options = ("--box", BOX, "--threshold", 0, "--top", 1000, "--json", written, "-o", tmp_path / "found.html")
    for gallery in (folder, index):
        said = _search(here, *options, "--gallery", gallery)
        assert f"{left} detections with a score of 0 or more in 5 {counted}; the {left} most similar are in" in said
        found = json.loads(written.read_text())
        assert (found["pictures"], found["copies"], len(found["matches"])) == (5, 2, int(left))
        places = {(m["picture"], *m["copies"]) for m in found["matches"]}
        assert {frozenset(place) for place in places if len(place) > 1} == {
            frozenset({"again.jpg", pictures[0].relative_to(folder).as_posix()}),
            frozenset({"once more.jpg", pictures[1].relative_to(folder).as_posix()}),
        }
        assert re.search(r"  \S+, also (again|once more|at the sea/\d+)\.\w+$", said, re.MULTILINE)
        said = _search(here, *options, "--gallery", gallery, "--query", folder / "again.jpg")
        assert "in 4 pictures, and 1 copy; the" in said
        assert "The query's own picture and 1 copy of it are in the folder and were left out." in said
        assert "again.jpg" not in {m["picture"] for m in json.loads(written.read_text())["matches"]}


def test_unreadable_pictures_are_listed_once(here: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    Image.new("RGB", (64, 64), "teal").save(folder / "good.png")
    for i in range(30):
        (folder / f"text {i:02d}.jpg").write_text("not a picture")
    given = ("--weights", "seqnet", "--gallery", folder, "-o", tmp_path / "index")
    said = _run(here, "index", *given, fails=True)
    assert "30 faults" in said
    assert said.count("not a picture that can be read") == 30
    said = _run(here, "index", *given, "--skip-unreadable")
    assert "warning: 30 pictures could not be read" in said
    assert said.count("not a picture that can be read") == 30
    assert "in 1 picture (" in said
    for path in sorted(folder.glob("*.jpg"))[1:]:
        path.unlink()
    given = ("--box", BOX, "--gallery", folder, "--skip-unreadable", "-o", tmp_path / "found.html")
    said = _search(here, *given)
    assert said.count("could not be read") == said.count("warning: 1 picture could not be read and was left out:") == 1
    page = (tmp_path / "found.html").read_text()
    assert page.count("1 picture could not be read and was left out") == page.count("could not be read") == 1
