"""The trees that are written for a synthetic world, parsed here without psbench's readers."""

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.io import loadmat

import psbench_data
from psbench_data.synthetic.cuhk_sysu import GALLERY_SIZES
from psbench_data.synthetic.formats import FORMATS, default_spec, official_spec, write
from psbench_data.synthetic.prw import QUERIES, _pids
from psbench_data.synthetic.spec import SPLITS, WorldSpec
from tests.data.test_synthetic import small_spec, specs

examples = settings(max_examples=10, deadline=None)
Places = dict[str, list[tuple[str, tuple[int, ...]]]]
"""Per person: the scenes it is in, and its boxes there."""


@contextmanager
def _written(name: str, spec: WorldSpec) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        write(name, spec, Path(folder) / "tree", images=False)
        yield Path(folder) / "tree"


def _images(root: Path) -> dict[str, list[tuple[int, ...]]]:
    images = {}
    for image in loadmat(root / "annotation/Images.mat")["Img"][0]:
        assert image["nAppear"].item() == image["box"].shape[1]
        boxes = [box["idlocate"] for box in image["box"][0]]
        assert all(box.shape == (1, 4) and box.dtype in (np.uint8, np.uint16) for box in boxes)
        assert all(box.dtype == np.uint8 for box in boxes if box.max() <= 255)
        images[image["imname"].item()] = [tuple(box[0].tolist()) for box in boxes]
        assert (np.array([box[0, 2:] for box in boxes]) > 0).all()
    return images


def _pool(path: Path) -> list[str]:
    cells = loadmat(path)["pool"]
    assert cells.shape[1] == 1
    return [cell.item() for cell in cells[:, 0]]


def _searches(path: Path, variable: str, entries: int, empty: tuple[int, int]) -> Places:
    """Per person: the query first, then the gallery scenes with the person."""
    people: Places = {}
    for row in loadmat(path)[variable][0]:
        query = row["Query"][0, 0]
        assert query.dtype.names == ("imname", "idlocate", "ishard", "idname")
        gallery = row["Gallery"][0]
        assert len(gallery) == entries
        names = [entry["imname"].item() for entry in gallery]
        assert len(set(names)) == entries
        assert query["imname"].item() not in names
        there = [entry["idlocate"].size > 0 for entry in gallery]
        assert there == sorted(there, reverse=True)
        assert any(there)
        assert all(entry["idlocate"].shape == empty for entry in gallery[sum(there) :])
        found = [(entry["imname"].item(), tuple(entry["idlocate"][0].tolist())) for entry in gallery[: sum(there)]]
        people[query["idname"].item()] = [(query["imname"].item(), tuple(query["idlocate"][0].tolist())), *found]
    return people


def _require_labelled(people: Places, images: dict[str, list[tuple[int, ...]]], count: int) -> None:
    """Every place is a box of its image, of one person only, and there are so many."""
    places = [place for person in people.values() for place in person]
    assert len(set(places)) == len(places) == count
    assert all(images[name].count(box) == 1 for name, box in places)
    assert all(re.fullmatch(r"p\d+", label) for label in people)


@examples
@given(specs())
def test_cuhk_sysu(spec: WorldSpec) -> None:
    with _written("cuhk_sysu", spec) as root:
        images = _images(root)
        pool = _pool(root / "annotation/pool.mat")
        train_rows = loadmat(root / "annotation/test/train_test/Train.mat")["Train"]
        tested = _searches(root / "annotation/test/train_test/TestG50.mat", "TestG50", spec.test_scenes - 1, (1, 0))
        shapes = (root / "test_shape.txt").read_text().split()
    assert sorted(images) == sorted(f"s{i + 1}.jpg" for i in range(spec.train_scenes + spec.test_scenes))
    assert len(set(pool)) == spec.test_scenes
    assert sum(len(images[name]) for name in pool) == spec.boxes("test")
    assert sum(map(len, images.values())) == spec.boxes("train") + spec.boxes("test")
    assert train_rows.shape == (spec.train_identities, 1)
    trained: Places = {}
    for person in (cell[0, 0] for cell in train_rows[:, 0]):
        assert person["nAppear"].item() == person["scene"].shape[1]
        scenes = person["scene"][0]
        trained[person["idname"].item()] = [(s["imname"].item(), tuple(s["idlocate"][0].tolist())) for s in scenes]
        assert not set(pool) & {s["imname"].item() for s in scenes}
    _require_labelled(trained, images, spec.labelled("train"))
    _require_labelled(tested, images, sum(map(len, tested.values())))
    assert len(tested) == spec.test_identities
    if not spec.walking:
        assert sum(map(len, tested.values())) == spec.labelled("test")
    assert not trained.keys() & tested.keys()
    height, width = map(str, spec.image_size)
    assert shapes[0::3] == pool
    assert set(shapes[1::3]) == {height}
    assert set(shapes[2::3]) == {width}


def test_cuhk_sysu_galleries_grow_and_subsets_are_the_hardest_queries(tmp_path: Path) -> None:
    spec = default_spec(
        "cuhk_sysu", train_scenes=20, test_scenes=120, train_identities=5, test_identities=40, people=(3, 6)
    )
    write("cuhk_sysu", spec, tmp_path / "tree", images=False)
    lists = tmp_path / "tree/annotation/test"
    assert {path.stem for path in (lists / "train_test").glob("TestG*")} == {"TestG50", "TestG100"}
    smaller, larger = (loadmat(lists / f"train_test/TestG{n}.mat")[f"TestG{n}"][0] for n in GALLERY_SIZES[:2])
    for a, b in zip(smaller, larger, strict=True):
        names = [[entry["imname"].item() for entry in row["Gallery"][0]] for row in (a, b)]
        assert names[1][:50] == names[0]
    images = _images(tmp_path / "tree")
    everybody = _searches(lists / "train_test/TestG100.mat", "TestG100", 100, (1, 0))
    small = _searches(lists / "subset/Resolution.mat", "Test_Size", 100, (1, 0))
    occluded = _searches(lists / "subset/Occlusion.mat", "Occlusion1", 100, (1, 0))
    assert len(small) == 4
    assert len(occluded) == round(187 / 2900 * 40)
    assert everybody == {**everybody, **small, **occluded}
    pixels = {label: places[0][1][2] * places[0][1][3] for label, places in everybody.items()}
    hidden = {label: _hidden(images[places[0][0]], places[0][1]) for label, places in everybody.items()}
    assert min(hidden[label] for label in occluded) >= max(
        hidden[label] for label in everybody.keys() - occluded.keys()
    )
    assert max(pixels[label] for label in small) <= min(pixels[label] for label in everybody.keys() - small.keys())


def _hidden(boxes: list[tuple[int, ...]], box: tuple[int, ...]) -> float:
    """The share of a box (x y w h) that one listed after it, so nearer, covers."""
    x, y, w, h = box
    shares = [0.0]
    for u, v, a, b in boxes[boxes.index(box) + 1 :]:
        across, down = min(x + w, u + a) - max(x, u), min(y + h, v + b) - max(y, v)
        shares.append(max(across, 0) * max(down, 0) / (w * h))
    return max(shares)


@examples
@given(specs())
def test_movienet_cs(spec: WorldSpec) -> None:
    with _written("movienet_cs", spec) as root:
        images = _images(root)
        pool = _pool(root / "annotation/pool_2000.mat")
        lists = root / "annotation/test/train_test"
        tables = {n: loadmat(lists / f"Train_app{n}.mat")["Train"] for n in (10, 30, 50, 70, 100)}
        tested = _searches(lists / "TestG2000.mat", "TestG2000", spec.test_scenes - 1, (0, 0))
    assert all(re.fullmatch(r"tt\d{7}_shot_\d{4}_img_\d\.jpg", name) for name in images)
    assert len(images) == spec.train_scenes + spec.test_scenes
    assert len(set(pool)) == spec.test_scenes
    assert sum(map(len, images.values())) == spec.boxes("train") + spec.boxes("test")
    assert len(tested) == spec.test_identities
    _require_labelled(tested, images, sum(map(len, tested.values())))
    whole: Places = {}
    for most, table in sorted(tables.items()):
        assert table.shape == (spec.train_identities, 3)
        for label, count, scenes in table:
            assert scenes.shape == (count.item(), 3)
            places = [(name.item(), tuple(box[0].tolist())) for name, box, _ in scenes]
            assert len(places) <= most
            assert set(whole.get(label.item(), [])) <= set(places)
            whole[label.item()] = places
    _require_labelled(whole, images, spec.labelled("train"))
    assert not {name for places in whole.values() for name, _ in places} & set(pool)


def test_movienet_cs_pools_are_nested_and_hold_every_query(tmp_path: Path) -> None:
    spec = small_spec("movienet_cs", test_scenes=60, gallery_entries=(15, 20, 40))
    write("movienet_cs", spec, tmp_path / "tree", images=False)
    pools = {n: _pool(tmp_path / f"tree/annotation/pool_{n}.mat") for n in (2000, 4000, 10000)}
    assert [len(pool) for pool in pools.values()] == [16, 21, 41]
    assert set(pools[2000]) < set(pools[4000]) < set(pools[10000])
    queries = []
    for (n, pool), entries in zip(pools.items(), (15, 20, 40), strict=True):
        path = tmp_path / f"tree/annotation/test/train_test/TestG{n}.mat"
        people = _searches(path, f"TestG{n}", entries, (0, 0))
        assert {name for places in people.values() for name, _ in places} <= set(pool)
        queries.append({label: places[0] for label, places in people.items()})
    assert queries[0] == queries[1] == queries[2]


def _prw_frames(root: Path, split: str) -> dict[str, np.ndarray]:
    names = [cell.item() for cell in loadmat(root / f"frame_{split}.mat")[f"img_index_{split}"][:, 0]]
    assert names == sorted(names)
    frames = {}
    for name in names:
        assert re.fullmatch(r"c[1-6]s\d_\d{6}", name)
        content = loadmat(root / f"annotations/{name}.jpg.mat")
        (key,) = (key for key in content if not key.startswith("__"))
        assert key in ("box_new", "anno_file", "anno_previous")
        frames[name] = content[key]
        assert frames[name].dtype == np.float64
        assert frames[name].shape[1] == 5
    return frames


@examples
@given(specs().filter(lambda spec: spec.places <= 6))
def test_prw(spec: WorldSpec) -> None:
    with _written("prw", spec) as root:
        frames = {split: _prw_frames(root, split) for split in SPLITS}
        queries = (root / "query_info.txt").read_bytes()
        assert len(list((root / "annotations").iterdir())) == spec.train_scenes + spec.test_scenes
        points = (root / "pred.txt").read_text().splitlines()
        scores = (root / "scores.txt").read_text().splitlines()
    pids = {}
    for split, of_split in frames.items():
        rows = np.concatenate(list(of_split.values()))
        assert len(of_split) == spec.scenes(split)
        assert len(rows) == spec.boxes(split)
        assert (rows[:, 0] != -2).sum() == spec.labelled(split)
        assert set(rows[rows[:, 0] < 0, 0]) <= {-2}
        pids[split] = set(rows[rows[:, 0] > 0, 0].astype(int))
        assert len(pids[split]) == spec.identities(split)
        # Boxes end at most 2 pixels beyond the border, and have four decimals.
        height, width = spec.image_size
        assert (rows[:, 1:3] >= -2).all()
        assert (rows[:, 1] + rows[:, 3] <= width + 2.0001).all()
        assert (rows[:, 2] + rows[:, 4] <= height + 2.0001).all()
        assert (rows[:, 3:] > 0).all()
        np.testing.assert_array_equal(rows.round(4), rows)
    assert len(pids["train"] & pids["test"]) == spec.walking
    assert not frames["train"].keys() & frames["test"].keys()

    assert queries.endswith(b"\r\n")
    lines = queries.decode().split("\r\n")[:-1]
    seen = Counter()
    for line in lines:
        assert re.fullmatch(r"\d+( -?\d+\.\d{4}){4} c[1-6]s\d_\d{6}", line)
        pid, *box, frame = line.split(" ")
        rows = frames["test"][frame]
        (row,) = rows[rows[:, 0] == int(pid)]
        np.testing.assert_array_equal(row[1:], np.array(box, float))
        seen[pid, frame[:2]] += 1
        assert any(int(pid) in other[:, 0] for name, other in frames["test"].items() if name != frame)
    assert set(seen.values()) == {1}
    assert {int(pid) for pid, _ in seen} == pids["test"] - pids["train"]
    assert len(points) == len(scores) == spec.boxes("train")
    assert {len(line.split("\t")) for line in points} == {33}
    assert {len(line.split("\t")) for line in scores} == {17}


def test_prw_numbers_people_as_the_genuine_data_does() -> None:
    official = _pids(official_spec("prw")).tolist()
    assert official[:483] == [*range(1, 479), *range(480, 484), 932]
    assert official[483:] == [479, *range(484, 932), 933, -2]
    small = _pids(small_spec("prw", train_identities=10, test_identities=4)).tolist()
    assert small == [*range(1, 9), 10, 932, 479, 484, 485, 933, -2]
    assert sum(number * people for number, people in QUERIES.items()) == 2057


def test_prw_has_a_smaller_camera_boxes_over_the_border_and_all_keys(tmp_path: Path) -> None:
    write("prw", default_spec("prw"), tmp_path / "tree", images=False)
    root = tmp_path / "tree"
    frames = _prw_frames(root, "train") | _prw_frames(root, "test")
    boxes = np.concatenate(list(frames.values()))[:, 1:]
    assert (boxes[:, :2] < 0).any()
    sizes = {}
    for line in (root / "test_shape.txt").read_text().splitlines():
        name, height, width = line.split("\t")
        sizes.setdefault(name[:2], set()).add((int(height), int(width)))
    assert sizes == {**{f"c{i}": {(120, 176)} for i in range(1, 6)}, "c6": {(96, 128)}}
    keys = {key for name in frames for key in loadmat(root / f"annotations/{name}.jpg.mat") if key[0] != "_"}
    assert keys == {"box_new", "anno_file", "anno_previous"}


@examples
@given(specs())
def test_lsps(spec: WorldSpec) -> None:
    with _written("lsps", spec) as root:
        text = {path.stem: path.read_text() for path in root.glob("*.txt")}
    ids: dict[str, set[int]] = {}
    places: dict[int, set[str]] = {}
    boxes: dict[tuple[str, int], str] = {}
    for split in SPLITS:
        assert all(line.endswith("\t") for line in text[f"{split}_frame_coord"].splitlines())
        coordinates = [line.rstrip("\t").split("\t") for line in text[f"{split}_frame_coord"].splitlines()]
        people = [line.split("\t") for line in text[f"{split}_frame_id"].splitlines()]
        sizes = [line.split("\t") for line in text[f"{split}_shape"].splitlines()]
        assert [row[0] for row in coordinates] == [row[0] for row in people] == [row[0] for row in sizes]
        assert len({row[0] for row in people}) == spec.scenes(split)
        flat = np.array([int(value) for row in coordinates for value in row[1:]]).reshape(-1, 4)
        everybody = np.array([int(value) for row in people for value in row[1:]])
        assert len(flat) == len(everybody) == spec.boxes(split)
        assert (flat[:, 2:] > flat[:, :2]).all()
        assert (flat >= 0).all()
        assert (flat[:, 2:] <= spec.image_size[::-1]).all()
        assert (everybody >= 0).sum() == spec.labelled(split)
        assert all(tuple(map(int, row[1:])) == spec.image_size for row in sizes)
        ids[split] = set(everybody[everybody >= 0].tolist())
        assert len(ids[split]) == spec.identities(split)
        for (name, *values), (_, *persons) in zip(coordinates, people, strict=True):
            assert 1 <= int(name.split("_")[2]) <= spec.places
            for k, person in enumerate(persons):
                boxes[name, int(person)] = "\t".join(f"{value}.0" for value in values[4 * k : 4 * k + 4])
                if split == "test":
                    places.setdefault(int(person), set()).add(name)
    assert 0 in ids["train"]
    assert len(ids["train"] & ids["test"]) == spec.walking
    queried = Counter()
    for line in text["query_info"].splitlines():
        person, frame, box = line.split("\t", 2)
        assert boxes[frame, int(person)] == box
        assert places[int(person)] - {frame}
        queried[int(person), frame.split("_")[2]] += 1
    assert set(queried.values()) == {1}
    assert {person for person, _ in queried} == ids["test"] - ids["train"]
    records = [line.split("\t") for line in text["pred_test"].splitlines()]
    assert len(records) == len(text["scores_test"].splitlines()) == spec.boxes("test")
    assert all(re.fullmatch(r"f_\d{6}_\d+_\dp_\d+\.jpg", record[0]) for record in records)


def test_lsps_pseudo_views_are_only_in_the_test_split(tmp_path: Path) -> None:
    write("lsps", default_spec("lsps"), tmp_path / "tree", images=False)
    cameras = {
        split: {int(line.split("_")[2]) for line in (tmp_path / f"tree/{split}_shape.txt").read_text().splitlines()}
        for split in SPLITS
    }
    assert cameras["train"] == set(range(1, 16))
    assert cameras["test"] == set(range(1, 18))


PATHS: dict[str, Callable[[str], str]] = {
    "cuhk_sysu": lambda _: r"Image/SSM/s\d+\.jpg",
    "prw": lambda _: r"frames/c[1-6]s\d_\d{6}\.jpg",
    "lsps": lambda split: rf"{split}/f_\d{{6}}_\d+_\d\.jpg",
    "movienet_cs": lambda _: r"Image/tt\d{7}_shot_\d{4}_img_\d\.jpg",
}


@pytest.mark.parametrize("name", FORMATS)
def test_psbench_opens_what_was_written(name: str, tmp_path: Path) -> None:
    """The readers and the writers were made apart; here they meet."""
    spec = small_spec(name, gallery_entries=None) if name in ("prw", "lsps") else small_spec(name)
    write(name, spec, tmp_path / "tree")
    dataset = psbench_data.load(name, root=tmp_path / "tree")
    for split in SPLITS:
        scenes = dataset.split(split)
        for scene in scenes:
            assert re.fullmatch(PATHS[name](split), scene.path.relative_to(tmp_path / "tree").as_posix())
            image = scene.image()
            assert (scene.boxes[:, :2] >= 0).all()
            assert (scene.boxes[:, 2:] <= [image.width + 4, image.height + 4]).all()
    for protocol in map(dataset.protocol, dataset.protocols):
        # People of PRW and LSPS may be seen by one camera only, and these rules leave out whole cameras.
        if protocol.name not in ("multi-view", "same-camera"):
            assert set(protocol.truth_queries.tolist()) == set(range(len(protocol.queries)))


def test_training_lists_of_movienet_cs_differ(tmp_path: Path) -> None:
    """Leads appear so often that each list cuts some of them off."""
    root, labelled = tmp_path / "tree", []
    write("movienet_cs", default_spec("movienet_cs"), root, images=False)
    for most in (10, 30, 50, 70, 100):
        train = psbench_data.load("movienet_cs", root=root, train_subset=most).split("train")
        appearances = np.bincount(train.person_ids[train.person_ids >= 0])
        assert appearances.max() == most
        labelled.append(int(appearances.sum()))
    assert labelled == sorted(set(labelled))
