"""Views of datasets: everybody who is annotated is drawn and told, and queries have the true matches of a protocol."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import psbench_data
from psbench.cli import app
from psbench.reporting.pictures import COLOURS, Mark, MarkKind, around, drawn
from psbench.reporting.viewing import chosen_queries, chosen_scenes, write_view
from psbench_data import PersonSearchDataset, Scenes
from psbench_data.scenes import scenes_table

HOSTILE = '<b>x</b> & "y"'


def _view(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["view", *(str(a) for a in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_page_tells_everybody_in_the_scenes(world_root: Path, world: PersonSearchDataset, tmp_path: Path) -> None:
    for split in ("train", "test"):
        page, scenes = tmp_path / f"{split}.html", world.split(split)
        code, said = _view("--root", world_root, "--split", split, "-o", page, "--scenes", 1000)
        assert (code, said.splitlines()[-1]) == (0, str(page))
        html = page.read_text(encoding="utf-8")
        told = re.findall(r"<figcaption>(\S+)\s*<span class=\"scene\">(.*?)</span>", html, re.DOTALL)
        assert [name for name, _ in told] == scenes.names
        for name, words in told:
            ids = scenes[name].person_ids
            people = [scenes.identities[i] for i in ids if i >= 0]
            named = re.search(r"persons? ([^;]+?)(?:;|$)", words.strip())
            assert (named[1].strip().split(", ") if named else []) == people
            unlabelled = re.search(r"(\d+) unlabelled", words)
            assert int(unlabelled[1] if unlabelled else 0) == (ids < 0).sum()
        assert "Synthetic data" in html
        assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64)', html)


def test_the_dataset_is_named_as_in_the_other_commands(tmp_path: Path) -> None:
    world = {"train_scenes": 6, "test_scenes": 24, "train_identities": 4, "test_identities": 8, "appearances": (2, 3)}
    psbench_data.load("synthetic", root=tmp_path / "prw", format="prw", image_size=(96, 128), people=(1, 2), **world)
    code, _ = _view("--data", "prw", "--root", tmp_path / "prw", "-o", tmp_path / "v.html")
    assert code == 0
    assert "<title>PRW, test scenes</title>" in (tmp_path / "v.html").read_text(encoding="utf-8")


def test_queries_have_the_true_matches_of_the_protocol(
    world_root: Path, world: PersonSearchDataset, tmp_path: Path
) -> None:
    page, protocol = tmp_path / "view.html", world.protocol("gallery-50")
    given = ("--root", world_root, "--protocol", "gallery-50", "--queries", 5, "--seed", 2, "--scenes", 0)
    assert _view(*given, "-o", page)[0] == 0
    html = page.read_text(encoding="utf-8")
    shown = {int(part[: part.index('"')]): part for part in html.split('id="query-')[1:]}
    assert len(shown) == 5
    for query, text in shown.items():
        true = protocol.truth_queries == query
        names = [protocol.scenes.names[s] for s in protocol.truth_scenes[true]]
        assert f"{true.sum()} true match{'es' if true.sum() != 1 else ''} among 50 scenes" in text
        assert re.findall(r'alt="true match: person \S+ in scene (\S+)"', text) == names[:8]
        assert f"in scene {protocol.queries[query].scene}" in text
    others = [tuple(v.query for v in chosen_queries(protocol, 5, seed)) for seed in range(4)]
    assert others[2] == tuple(shown)
    assert len(set(others)) > 1


def test_named_scenes_are_shown_in_their_order(world_root: Path, world: PersonSearchDataset, tmp_path: Path) -> None:
    names = [world.split("test").names[i] for i in (5, 2)]
    given = [part for name in names for part in ("--scene", name)]
    assert _view("--root", world_root, *given, "-o", tmp_path / "v.html")[0] == 0
    assert re.findall(r'alt="scene (\S+):', (tmp_path / "v.html").read_text(encoding="utf-8")) == names


def test_people_with_and_without_identity_are_drawn_unlike(tmp_path: Path) -> None:
    Image.new("RGB", (400, 300), "black").save(tmp_path / "0.png")
    boxes, ids = [np.array([[20.0, 60, 120, 280], [220, 60, 320, 280]])], [np.array([-1, 0])]
    [view] = chosen_scenes(Scenes(scenes_table(["s"], ["0.png"], boxes, ids), tmp_path, ["anna"]), [], 1, 0)
    pixels = np.asarray(view.draw(300)).astype(int)
    for kind, left in (("unlabelled", 20), ("person", 220)):
        colour = np.array([int(COLOURS[kind][i : i + 2], 16) for i in (1, 3, 5)])  # type: ignore[index]
        here = (pixels == colour).all(axis=-1).any(axis=0)
        assert here[left : left + 100].mean() == (1 if kind == "person" else pytest.approx(0.45, abs=0.1))
        assert not np.delete(here, np.arange(left - 5, left + 110)).any()


def test_folder_of_pictures(world_root: Path, world: PersonSearchDataset, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    given = ("--root", world_root, "--format", "png", "--scenes", 3, "--protocol", "gallery-50", "--queries", 2)
    assert _view(*given, "-o", folder)[0] == 0
    files = sorted(path.name for path in folder.iterdir())
    assert [name.split("-")[0] for name in files] == ["query"] * 2 + ["scene"] * 3
    for name in files:
        with Image.open(folder / name) as image:
            assert image.format == "PNG"
            assert image.height >= 240
    code, said = _view(*given, "-o", folder)
    assert (code, "something here already" in said) == (1, True)


def test_wrong_input_is_told_at_once(world_root: Path, tmp_path: Path) -> None:
    given = ("--root", world_root, "-o", tmp_path / "v.html")
    code, said = _view(*given, "--scene", "nosuch", "--scene", "s1.jp")
    assert (code, "2 faults" in said, "nosuch" in said, "Did you mean 's1.jpg'" in said) == (1, True, True, True)
    code, said = _view(*given, "--scenes", 0)
    assert (code, "nothing to show" in said) == (1, True)
    code, said = _view("--root", world_root, "-o", tmp_path)
    assert (code, "is a folder" in said) == (1, True)
    code, said = _view(*given, "--split", "validation")
    assert (code, "no split" in said) == (1, True)
    assert not list(tmp_path.iterdir())


def test_names_are_no_html_and_missing_pictures_are_named(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (60, 90)).save(tmp_path / f"{i}.png")
    boxes = [np.array([[10.0, 5, 30, 45], [20, 5, 45, 80]]), np.zeros((0, 4)), np.array([[1.0, 1, 9, 20]])]
    ids = [np.array([-1, 0]), np.zeros(0), np.array([-1])]
    names = [f"{HOSTILE}{i}" for i in range(3)]
    scenes = Scenes(scenes_table(names, ["0.png", "1.png", "2.png"], boxes, ids), tmp_path, [HOSTILE])
    views = chosen_scenes(scenes, [], 9, 0)
    html = write_view(views, [], tmp_path / "v.html", title=HOSTILE, data=HOSTILE).read_text(encoding="utf-8")
    assert "<b>x" not in html
    assert html.count("&lt;b&gt;x") >= 8
    assert "nobody" in html
    for i in (0, 2):
        (tmp_path / f"{i}.png").unlink()
    with pytest.raises(ValueError, match="2 faults") as told:
        write_view(views, [], tmp_path / "v.html", title="t", data="d")
    assert "0.png" in str(told.value)
    assert "2.png" in str(told.value)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        ("right", 1, 1),
        ("person", 1, 1),
        ("query", 1, 1),
        ("wrong", 0.5, 0.7),
        ("missed", 0.3, 0.5),
        ("unlabelled", 0.3, 0.5),
    ],
)
def test_lines_tell_kinds_apart_without_colour(kind: MarkKind, least: float, most: float) -> None:
    picture = drawn(Image.new("RGB", (400, 300), "black"), [Mark(np.array([50.0, 40, 350, 260]), kind)], height=300)
    pixels = np.asarray(picture).astype(int)
    colour = np.array([int(COLOURS[kind][i : i + 2], 16) for i in (1, 3, 5)])
    is_line = (pixels == colour).all(axis=-1)
    # Across the upper side, where the line lies: solid, dashed or dotted along it; a query's line is two.
    along = is_line[34:50, 80:320].any(axis=0).mean()
    assert least <= along <= most
    down = is_line[30:60, 200:240].any(axis=1)
    assert np.diff(np.concatenate([[0], down.astype(int)])).clip(0).sum() == (2 if kind == "query" else 1)


def test_part_around_a_box_holds_it_and_stays_inside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        image = Image.new("RGB", tuple(rng.integers(20, 300, 2).tolist()))
        corner = rng.uniform(0, 0.8, 2) * image.size
        box = np.concatenate([corner, corner + (np.array(image.size) - corner) * rng.uniform(0.05, 1, 2)])
        part = around(box, image)
        assert part[2] - part[0] == pytest.approx(part[3] - part[1])
        assert (part[:2] <= box[:2] + 1e-6).all()
        assert (part[2:] >= box[2:] - 1e-6).all()
        for axis in (0, 1):
            if part[2] - part[0] <= image.size[axis]:
                assert part[axis] >= -1e-6
                assert part[axis + 2] <= image.size[axis] + 1e-6
