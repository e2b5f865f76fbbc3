"""Person search in one's own pictures: the ranking, and the pictures of all kinds that folders hold."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from psbench import InputError, zoo
from psbench.inference.gallery import index_pictures
from psbench.inference.gallery_search import people_in, search_pictures
from psbench.own_pictures import OwnScenes, decoded, find_pictures
from psbench.zoo.two_step import two_step
from psbench.zoo.weights import load_weights
from psbench_data import PersonSearchDataset
from tests.models.looks import Looks
from tests.models.own import assert_ranked, by_hand, pictures, save_run, tensor, tree
from tests.models.small import SMALL

BOX = (4, 24, 40, 80)


@pytest.fixture(scope="module")
def folder(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures(world, tmp_path_factory.mktemp("own") / "photos")


@pytest.fixture(scope="module")
def query(world: PersonSearchDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is not in the folder."""
    path = tmp_path_factory.mktemp("query") / "query.png"
    world.split("test")[20].image().save(path)
    return path


def _model(name: str) -> Any:
    torch.manual_seed(0)
    if name == "looks":
        return Looks()
    if name == "two steps":
        return two_step(_model("seqnet"), _model("reid_resnet50"))
    changes = {"score_thresh_test": 0.0} if name == "seqnet" else {}
    return zoo.create(name, num_identities=6, **SMALL[name] | changes).eval()


@pytest.mark.parametrize(("name", "threshold"), [("looks", 0.75), ("seqnet", 0.1), ("two steps", 0.1)])
def test_the_ranking_is_that_of_the_model_asked_picture_by_picture(
    folder: Path, query: Path, tmp_path: Path, name: str, threshold: float
) -> None:
    model = _model(name)
    expected = by_hand(model, query, BOX, folder, threshold=threshold)
    assert len(expected) > 10
    found = search_pictures(model, query, BOX, folder, top=10**6, threshold=threshold, progress=False)
    assert_ranked(found.matches, expected)
    assert (found.people, found.pictures, found.itself) == (len(expected), 12, False)
    assert found.in_pictures == len({name for name, *_ in expected})
    some = search_pictures(model, query, BOX, folder, top=5, threshold=threshold, progress=False)
    assert [m.similarity for m in some.matches] == [m.similarity for m in found.matches[:5]]
    assert some.people == len(expected)
    index_pictures(model, folder, tmp_path / "index", batch_size=3, progress=False)
    kept = search_pictures(model, query, BOX, tmp_path / "index", top=10**6, threshold=threshold, progress=False)
    assert_ranked(kept.matches, expected)
    assert kept.gallery == folder.resolve()


def test_the_query_itself_is_not_found(folder: Path) -> None:
    model, query = Looks(), folder / "01.jpg"
    found = search_pictures(model, query, BOX, folder, top=10**6, progress=False)
    assert found.itself
    assert found.pictures == 11
    assert "01.jpg" not in {match.picture for match in found.matches}
    assert_ranked(found.matches, by_hand(model, query, BOX, folder))


def test_a_query_guided_model_searches_a_folder(folder: Path, query: Path, tmp_path: Path) -> None:
    model = _model("igpn")
    names = sorted(tree(folder))
    hand = model.search((tensor(query), torch.tensor(BOX).float()), [tensor(folder / n) for n in names], names=names)
    found = search_pictures(model, query, BOX, folder, top=10**6, batch_size=2, progress=False)
    assert len(found.matches) == len(hand.boxes) > 0
    np.testing.assert_allclose([m.similarity for m in found.matches], np.sort(hand.similarities)[::-1], atol=1e-5)
    first = int(hand.similarities.argmax())
    np.testing.assert_allclose(found.matches[0].box, hand.boxes[first], atol=1e-2)
    assert found.matches[0].score is None
    with pytest.raises(InputError, match="IGPN has no method detect and no embed"):
        index_pictures(model, folder, tmp_path / "index", progress=False)
    index_pictures(Looks(), folder, tmp_path / "index", progress=False)
    with pytest.raises(InputError, match="Give the folder of the pictures"):
        search_pictures(model, query, BOX, tmp_path / "index", progress=False)
    with pytest.raises(InputError, match="has no detection scores"):
        search_pictures(model, query, BOX, folder, threshold=0.5, progress=False)


def test_a_box_is_cut_off_at_the_border_and_needs_a_part_in_the_picture(folder: Path, query: Path) -> None:
    model = Looks()
    found = search_pictures(model, query, (-2, -1.5, 30, 40), folder, progress=False)
    assert found.box.tolist() == [0, 0, 30, 40]
    inside = search_pictures(model, query, (0, 0, 30, 40), folder, progress=False)
    assert [m.similarity for m in found.matches] == [m.similarity for m in inside.matches]
    for box in ((500, 10, 600, 90), (-30, -30, -1, -1), (40, 10, 140, 90), (40, 10, 60, 99), (-2, 0, -1, 9)):
        with pytest.raises(InputError, match=r"reaches beyond the picture, which is 128 x 96 pixels as you see it"):
            search_pictures(model, query, box, folder, progress=False)
    with pytest.raises(InputError, match=r"box 40,10,40,90: right \(40\) is not beyond left \(40\)"):
        search_pictures(model, query, (40, 10, 40, 90), folder, progress=False)
    with pytest.raises(InputError, match="2 faults"):
        search_pictures(model, query, (40, 10, 20, 5), folder, progress=False)


def test_people_of_a_picture_to_choose_from(query: Path) -> None:
    class Three(Looks):
        def detect(self, images: list[torch.Tensor], include: Any = None) -> list[zoo.Detections]:
            boxes = torch.tensor([[0.0, 0, 10, 20], [5, 5, 60, 90], [7, 7, 20, 20]])
            return [zoo.Detections(boxes, torch.tensor([0.9, 0.8, 0.4]), torch.zeros(3, 4)) for _ in images]

    people = people_in(Three(), query)
    assert people.scores.tolist() == pytest.approx([0.9, 0.8])
    assert people.largest == 1
    assert len(people_in(Three(), query, threshold=0.3).boxes) == 3

    class Outside(Looks):
        def detect(self, images: list[torch.Tensor], include: Any = None) -> list[zoo.Detections]:
            return [zoo.Detections(torch.tensor([[-9.0, 5, 200, 90]]), torch.ones(1), torch.zeros(1, 4))]

    assert people_in(Outside(), query).boxes.tolist() == [[0, 5, 128, 90]]
    with pytest.raises(InputError, match=r"nobody is found with a score of 0\.95 or more"):
        people_in(Three(), query, threshold=0.95)


# What folders hold.


def _gradient() -> Image.Image:
    x, y = np.meshgrid(np.arange(60), np.arange(40))
    return Image.fromarray(np.stack([x * 4, y * 6, 255 - x * 4], axis=2).astype(np.uint8))


def test_pictures_of_any_kind_are_read_as_they_are_seen(tmp_path: Path) -> None:
    image = _gradient()
    for mode, ending in (("L", "png"), ("LA", "png"), ("P", "gif"), ("RGBA", "png"), ("1", "png"), ("RGB", "webp")):
        image.convert(mode).save(tmp_path / f"{mode}.{ending}")
    image.convert("CMYK").save(tmp_path / "CMYK.JPG", quality=95)
    image.save(tmp_path / "tiff.tiff")
    Image.fromarray(np.array(image.convert("L")).astype(np.uint16) * 257).save(tmp_path / "16 bit.png")
    seen = np.array(image).astype(int)
    paths, links = find_pictures(tmp_path)
    assert (len(paths), links) == (9, 0)
    for path in paths:
        picture = decoded(tmp_path / path)
        assert (picture.mode, picture.size) == ("RGB", (60, 40))
        if path in ("RGBA.png", "CMYK.JPG", "tiff.tiff", "RGB.webp"):
            assert np.abs(np.array(picture).astype(int) - seen).mean() < 6, path
    grey = np.array(decoded(tmp_path / "16 bit.png")).astype(int)
    assert np.abs(grey - np.array(decoded(tmp_path / "L.png"))).max() <= 1
    model = Looks()
    index_pictures(model, tmp_path, tmp_path / "index", batch_size=4, progress=False)
    assert model.asked["detect"] == 9


@pytest.mark.parametrize(("word", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_a_turned_picture_is_searched_upright(tmp_path: Path, word: int, turns: int) -> None:
    upright, lying = tmp_path / "upright", tmp_path / "lying"
    for folder in (upright, lying):
        folder.mkdir()
        # Of one size on disk, and of two when they are seen.
        _gradient().save(folder / "other.png")
    exif = Image.Exif()
    exif[0x0112] = word
    pixels = np.array(_gradient())
    Image.fromarray(pixels).save(lying / "turned.png", exif=exif)
    Image.fromarray(np.rot90(pixels, turns)).save(upright / "turned.png")
    assert np.array_equal(decoded(lying / "turned.png"), decoded(upright / "turned.png"))
    scenes = OwnScenes.of(lying, ["turned.png", "other.png"], ["a", "b"])
    assert [scene.image_size() for scene in scenes] == [scene.image().size for scene in scenes]
    # On disk of the size of the turned one, which is not that of both as they are seen.
    Image.fromarray(np.array(_gradient())[::-1]).save(upright / "third.png")
    Image.fromarray(np.array(_gradient())[::-1]).save(lying / "third.png")

    class OneSize(Looks):
        def detect(self, images: list[torch.Tensor], include: Any = None) -> list[zoo.Detections]:
            assert len({image.shape for image in images}) == 1
            return super().detect(images, include)

    both = [
        search_pictures(OneSize(), lying / "other.png", (2, 2, 30, 30), folder, batch_size=2, progress=False)
        for folder in (upright, lying)
    ]
    assert [m.box.tolist() for m in both[0].matches] == [m.box.tolist() for m in both[1].matches]
    assert [m.similarity for m in both[0].matches] == [m.similarity for m in both[1].matches]
    assert both[0].matches


def test_what_cannot_be_read_is_listed_once_and_all_of_it(folder: Path, query: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    (mixed / "below").mkdir(parents=True)
    _gradient().save(mixed / "good.png")
    (mixed / "text.jpg").write_text("not a picture")
    (mixed / "below/empty.png").touch()
    (mixed / "below/cut.jpg").write_bytes((folder / "01.jpg").read_bytes()[:900])
    # Pillow would hand this to Ghostscript.
    (mixed / "program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(mixed / "pipe.jpg")
    (mixed / "notes.txt").write_text("no picture, and not called one")
    names = {"text.jpg", "below/empty.png", "below/cut.jpg", "program.jpg", "pipe.jpg"}
    with pytest.raises(InputError) as error:
        index_pictures(Looks(), mixed, tmp_path / "index", progress=False)
    assert {fault.split(": ")[0] for fault in error.value.faults} == {str(mixed / name) for name in names}
    (program,) = (fault for fault in error.value.faults if "program.jpg" in fault)
    assert "cannot identify image file" in program
    assert not (tmp_path / "index").exists()
    for _ in range(2):
        done = index_pictures(Looks(), mixed, tmp_path / "index", skip_unreadable=True, progress=False)
        assert [picture.path for picture in done.gallery.pictures] == ["good.png"]
        assert done.unreadable == error.value.faults
    found = search_pictures(Looks(), query, BOX, mixed, skip_unreadable=True, progress=False)
    assert found.in_pictures == 1
    assert len(found.unreadable) == 5
    (mixed / "good.png").unlink()
    with pytest.raises(InputError, match="5 faults"):
        index_pictures(Looks(), mixed, tmp_path / "none", skip_unreadable=True, progress=False)


@pytest.mark.parametrize("limit", [1000, 2000])
def test_huge_pictures_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    _gradient().save(tmp_path / "huge.png")
    decoded(tmp_path / "huge.png")
    # Of 2400 pixels: Pillow refuses twice its limit by itself, and only warns before.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=r"huge\.png: too many pixels .*Give a smaller copy"):
        decoded(tmp_path / "huge.png")


def test_links_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    folder, outside = tmp_path / "photos", tmp_path / "outside"
    (folder / ".trash").mkdir(parents=True)
    outside.mkdir()
    for path in (folder / "mine.png", folder / ".hidden.png", folder / ".trash/old.png", outside / "secret.png"):
        _gradient().save(path)
    (folder / "link.png").symlink_to(outside / "secret.png")
    (folder / "linked").symlink_to(outside)
    (folder / "loop").symlink_to(folder)
    (folder / "broken.png").symlink_to(tmp_path / "nowhere.png")
    assert find_pictures(folder) == (["mine.png"], 4)
    (folder / "mine.png").unlink()
    with pytest.raises(InputError, match="holds no pictures"):
        find_pictures(folder)
    with pytest.raises(InputError, match="there is no such folder"):
        find_pictures(folder / "nowhere")


def test_names_of_any_kind_are_kept_as_they_are(query: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = [
        "<b onclick=alert(1)>.png",
        "a\nb.png",
        "..png.png",
        "javascript:alert(1).png",
        "日本.png",
        " #?%.png",
    ]
    for i, name in enumerate(names):
        Image.new("RGB", (64, 64), (40 * i, 90, 200)).save(folder / name)
    index_pictures(Looks(), folder, tmp_path / "index", progress=False)
    found = search_pictures(Looks(), query, BOX, tmp_path / "index", top=1000, progress=False)
    assert {match.picture for match in found.matches} == {name for name in names if not name.startswith(".")}
    assert "a\\nb.png" in found.table()
    assert len(found.table().splitlines()) == 1 + len(found.matches)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes((folder / names[1]).read_bytes())
    with pytest.raises(InputError, match="is not UTF-8 text"):
        find_pictures(folder)


def test_weights_that_were_saved_search_as_before(folder: Path, query: Path, tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", "seqnet", score_thresh_test=0.0)
    model = load_weights(run / "model.safetensors")
    index_pictures(model, folder, tmp_path / "index", progress=False)
    again = load_weights(run / "model.safetensors")
    assert search_pictures(again, query, BOX, tmp_path / "index", threshold=0, progress=False).matches
    other = load_weights(save_run(tmp_path / "other", "seqnet", seed=1, score_thresh_test=0.0) / "model.safetensors")
    with pytest.raises(InputError, match="made by other weights"):
        search_pictures(other, query, BOX, tmp_path / "index", progress=False)
