"""What PCNet looks at, as pictures, and the command `psbench view-points`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import label
from typer.testing import CliRunner

from psbench import zoo
from psbench.cli import app
from psbench.reporting.points import draw_activation, draw_attention, draw_points
from psbench.sight import Level, Sight
from psbench.zoo.weights import describe, save_weights
from tests.models.small import SMALL


def _sight(hot: tuple[int, int] = (0, 0)) -> Sight:
    """Two people in 160 x 240 pixels, of each level one location more active than the others."""
    levels = []
    for i, stride in enumerate((8, 16)):
        rows, columns = 160 // stride, 240 // stride
        y, x = np.mgrid[:rows, :columns] * stride + stride / 2
        active = np.zeros((rows, columns), np.float32)
        active[hot[0] * (rows - 3) + 1, hot[1] * (columns - 3) + 1] = 1
        levels.append(Level(f"P{3 + i}", np.stack([x, y], axis=2), (stride, stride), active, 1 - active))
    grid = np.array([[x, y] for y in (-40, 0, 40) for x in (-12, 0, 12)], np.float32)
    locations = np.array([[60, 80], [180, 80]], np.float32)
    attention = [np.zeros((2, *level.reid.shape), np.float32) for level in levels]
    attention[0][:, 8:12, 6:9] = 1 / 12
    attention[0][1] = 0
    attention[1][1, 4:6, 11] = 0.5
    return Sight(
        boxes=np.array([[40, 20, 80, 140], [160, 20, 200, 140]], np.float32),
        scores=np.array([0.9, 0.8], np.float32),
        levels=np.array([0, 1]),
        locations=locations,
        points=locations[:, None] + grid,
        sets=np.repeat(np.arange(3), 3),
        pyramid=levels,
        attention=attention,
    )


PICTURE = np.full((160, 240, 3), 120, np.uint8)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB")).astype(int)


def _blobs(path: Path, colour: str) -> np.ndarray:
    """Centres of the areas of exactly one colour, (n, 2) x and y, from the top."""
    mask = (_pixels(path) == tuple(bytes.fromhex(colour))).all(axis=2)
    areas, count = label(mask)
    return np.array([np.argwhere(areas == n + 1).mean(axis=0)[::-1] for n in range(count)])


def test_each_point_of_each_person_is_drawn_in_the_colour_of_its_set(tmp_path: Path) -> None:
    path = draw_points(PICTURE, _sight(), tmp_path / "points.png", title="t", people=4)
    heights = []
    for colour in ("0072b2", "e69f00", "009e73"):
        blobs = _blobs(path, colour)
        # Two people's three, and the key below.
        assert len(blobs) == 7
        rows = np.sort(blobs[:, 1])
        assert np.ptp(rows[:6]) < 2
        heights.append(rows[0])
        assert rows[6] > rows[5] + 100
    assert heights[0] < heights[1] < heights[2]
    # A triangle's middle is not that of its height.
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=5)
    assert len(_blobs(draw_points(PICTURE, _sight(), path, title="t", people=1), "0072b2")) == 4


@pytest.mark.parametrize("hot", [(0, 1), (1, 0)])
def test_the_active_location_is_the_brightest(tmp_path: Path, hot: tuple[int, int]) -> None:
    path = draw_activation(PICTURE, _sight(hot), tmp_path / "activation.png", title="t", people=4)
    pixels = _pixels(path)
    height, width = pixels.shape[:2]
    # Of the picture in the middle, what is nearest to the scale's brightest colour.
    distances = np.abs(pixels[:, width // 3 : width * 2 // 3] - [252, 255, 164]).sum(axis=2)
    y, x = np.unravel_index(distances.argmin(), distances.shape)
    assert (x > width / 6) == (hot[1] == 1)
    assert (y > height / 2) == (hot[0] == 1)


def test_weights_are_drawn_on_their_level(tmp_path: Path) -> None:
    path = draw_attention(PICTURE, _sight(), tmp_path / "attention.png", title="t", people=4)
    pixels = _pixels(path)
    # On the grey of the pale picture.
    orange = (pixels[..., 0] - pixels[..., 2] > 100) & (pixels[..., 0] > 200)
    cells = [
        orange[rows][:, columns].mean() for rows in _parts(len(orange), 2) for columns in _parts(orange.shape[1], 4)
    ]
    person, every, fine, coarse = cells[:4]
    assert person == coarse == 0
    assert every > 0.03
    assert fine > 0.03
    person, every, fine, coarse = cells[4:]
    assert person == fine == 0
    assert every > 0.03
    assert coarse > 0.03


def _parts(length: int, count: int) -> list[slice]:
    return [slice(i * length // count, (i + 1) * length // count) for i in range(count)]


# The command.


def _run(*arguments: object, fails: bool = False) -> str:
    result = CliRunner().invoke(app, ["view-points", *(str(a) for a in arguments)])
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    assert (result.exit_code != 0) == fails, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of weights a model."""
    folder = tmp_path_factory.mktemp("weights")
    for file, name, options in (
        ("pcnet", "pcnet", {"score_thresh_test": 0.0}),
        ("alone", "pcnet", {"score_thresh_test": 0.0, "cross_scale": "none"}),
        ("seqnet", "seqnet", {}),
    ):
        model = zoo.create(name, num_identities=6, **SMALL[name] | options)
        info = describe(model, name, num_identities=6, dataset="cuhk_sysu", method=f"tiny {file}")
        save_weights(model, folder / f"{file}.safetensors", info)
    return folder


def test_scenes_with_most_people_are_drawn_and_put_on_a_page(weights: Path, world_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "points"
    said = _run(weights / "pcnet.safetensors", "--root", world_root, "--threshold", 0, "--people", 1, "-o", out)
    assert "the 3 test scenes with most people" in said
    assert "9 pictures of 3 scenes" in said
    pictures = sorted(path.name for path in out.glob("*.png"))
    kinds = [name.rsplit("-", 1)[1] for name in pictures]
    assert kinds == ["activation.png", "attention.png", "points.png"] * 3
    assert all(name.split("-")[1] in said for name in pictures)
    assert all(_pixels(out / name).shape[1] > 1000 for name in pictures)
    page = (out / "index.html").read_text()
    assert page.count('src="data:image/png;base64,') == 9
    assert "http" not in page.split("data:image")[0]
    assert "Synthetic data" in page
    assert "tiny pcnet" in page
    assert "there is something here already" in _run(
        weights / "pcnet.safetensors", "--root", world_root, "-o", out, fails=True
    )


def test_named_scenes_without_attention_as_vectors(weights: Path, world_root: Path, tmp_path: Path) -> None:
    name = next(path.name for path in (world_root / "Image").rglob("*.jpg"))
    arguments = (weights / "alone.safetensors", "--root", world_root, "--scene", name, "--threshold", 0)
    said = _run(*arguments, "--format", "svg", "-o", tmp_path / "a")
    assert "no attention is drawn" in said
    stem = name.removesuffix(".jpg")
    files = {path.name for path in (tmp_path / "a").iterdir()}
    assert files == {f"01-{stem}-points.svg", f"01-{stem}-activation.svg", "index.html"}
    _run(*arguments, "--format", "svg", "-o", tmp_path / "b")
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_own_pictures(weights: Path, tmp_path: Path) -> None:
    turned = Image.new("RGB", (90, 60), "grey")
    exif = turned.getexif()
    # Taken with the camera on its side.
    exif[0x0112] = 6
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        turned.save(tmp_path / folder / "my photo.jpg", exif=exif)
    paths = [tmp_path / folder / "my photo.jpg" for folder in ("a", "b")]
    images = [part for path in paths for part in ("--image", path)]
    said = _run(weights / "pcnet.safetensors", *images, "--threshold", 1, "--format", "pdf", "-o", tmp_path / "out")
    assert "nobody is found" in said
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"01-my_photo-activation.pdf", "02-my_photo-activation.pdf"}
    _run(weights / "pcnet.safetensors", "--image", paths[0], "--threshold", 1, "-o", tmp_path / "upright")
    height, width, _ = _pixels(tmp_path / "upright" / "01-my_photo-activation.png").shape
    # Three panels of 2 : 3 beside each other; lying, they would be half as high.
    assert height > 0.55 * width


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pcnet"], "nothing to look at: give --root"),
        (["seqnet", "--root", "WORLD"], "has no contextual points to look at"),
        (["pcnet", "--root", "WORLD", "--scene", "s9999.jpg", "--scene", "x.png"], "2 faults"),
        (["pcnet", "--root", "WORLD", "--scene", "s9999.jpg"], "has no such scene; expected a name such as s"),
        (["pcnet", "--root", "WORLD", "--image", "none.jpg"], "none.jpg: there is no such file"),
        (["pcnet", "--root", "WORLD", "--image", "none.jpg"], "--image is of no dataset"),
        (["pcnet", "--image", __file__], "not a picture that can be read"),
        (["pcnet", "--root", "WORLD", "--data", "prw"], "these weights are of the dataset cuhk_sysu, not of prw"),
        (["none", "--root", "WORLD"], "not there"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    weights: Path, world_root: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    file, *rest = arguments
    given = [str(world_root) if part == "WORLD" else part for part in rest]
    assert said in _run(weights / f"{file}.safetensors", *given, "-o", tmp_path / "out", fails=True)
    assert not (tmp_path / "out").exists()
