"""Every command that writes, with what it is given, where it writes, and how its results are compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.models.small import SMALL
from tests.reliability.disk.comparing import OLDER
from tests.tiny_script import TINY, changed

BESIDE = "beside.txt"
"""A file in the same folder that is none of the command's."""
Begin = Callable[[Path, Path], None]


def nothing(inputs: Path, place: Path) -> None:
    """Of commands that make what they write anew."""
    del inputs, place


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        name: as users call it.
        words: of its command line, given the inputs and a folder to write in.
        files, folders: that it makes there.
        begin: puts there what was there before, beside what `older` does.
        older: whether it replaces files of these names.
        whole: of folders that fill while it works, the ends of the paths of the files that say that they are whole.
        reads: what of the inputs may vanish, relative to their folder, by words.
        cached: whether it opens a dataset.
        aware: what may stand in its results where an input was not as before any more.
    """

    name: str
    words: Callable[[Path, Path], list[str]]
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    begin: Begin = nothing
    older: bool = True
    whole: tuple[str, ...] = ()
    reads: dict[str, str] = field(default_factory=dict)
    cached: bool = True
    aware: tuple[bytes, ...] = ()

    def prepare(self, inputs: Path, place: Path) -> None:
        """Put what was there before into an empty place: files that will be replaced, and one that is none of its."""
        place.mkdir()
        (place / BESIDE).write_text("not of this command\n")
        self.begin(inputs, place)
        for name in self.files if self.older else ():
            path = place / name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(OLDER)


_ROOT = ("--root", "ROOT")


def _given(*words: object) -> Callable[[Path, Path], list[str]]:
    """Words, in which inputs stand as `IN/...`, and what is made as `OUT/...`."""

    def of(inputs: Path, place: Path) -> list[str]:
        said = [str(word).replace("ROOT", f"{inputs}/data/cuhk_sysu") for word in words]
        return [word.replace("IN/", f"{inputs}/").replace("OUT/", f"{place}/") for word in said]

    return of


def _fewer_pictures(inputs: Path, place: Path) -> None:
    """An index of a folder that has grown since."""
    shutil.copytree(inputs / "index", place / "index")


def _board(inputs: Path, place: Path) -> None:
    shutil.copytree(inputs / "board", place / "board")


_IMAGES = "data/cuhk_sysu/Image/SSM/s{}.jpg"
_PICTURE: dict[str, str] = {"an image": _IMAGES.format(16)}
_ANNOTATION: dict[str, str] = {"an annotation file": "data/cuhk_sysu/annotation"}
_WEIGHTS: dict[str, str] = {"the weights": "weights/model.safetensors"}
_FOUND: dict[str, str] = {
    "a shard": "predictions/scenes-00000.parquet",
    "the manifest": "predictions/manifest.json",
}
_TINY = TINY | {f"model_options.{name}": value for name, value in SMALL["seqnet"].items()}
_SETS = changed(_TINY)
_DRAWN = ("--train-scenes", 12, "--train-identities", 4, "--test-identities", 4, "--height", 96, "--width", 128)
COMMANDS = (
    Command(
        "psbench train",
        _given(
            *("psbench", "train", "seqnet", "--recipe", "seqnet-demo", *_ROOT, "-o", "OUT/run", "--resume", *_SETS),
            *("--checkpoint-every", 3, "--validate-on", "gallery-50", "--validate-every", 1),
        ),
        folders=("run",),
        whole=("run.json",),
        reads={"an image": _IMAGES.format(1)} | _ANNOTATION,
    ),
    Command(
        "psbench predict",
        _given("psbench", "predict", "IN/weights", *_ROOT, "-o", "OUT/found", "--other-data", "--context"),
        folders=("found",),
        whole=("manifest.json",),
        reads=_PICTURE | _ANNOTATION | _WEIGHTS,
    ),
    Command(
        "psbench predict (a search)",
        _given(
            *("psbench", "predict", "IN/pairs", *_ROOT, "-o", "OUT/found", "--other-data", "--protocol", "gallery-50"),
            *("--keep", 3),
        ),
        folders=("found",),
        whole=("manifest.json",),
        reads=_PICTURE | {"the weights": "pairs/model.safetensors"},
    ),
    Command(
        "psbench evaluate",
        _given(
            *("psbench", "evaluate", "IN/predictions", *_ROOT, "--json", "OUT/all.json"),
            *("--per-query", "OUT/queries.parquet"),
        ),
        files=("all.json", "queries.parquet"),
        reads=_FOUND | _ANNOTATION,
    ),
    Command(
        "psbench compare",
        _given(
            *("psbench", "compare", "IN/predictions", "IN/others", *_ROOT, "--json", "OUT/all.json"),
            *("--per-query", "OUT/queries.parquet"),
        ),
        files=("all.json", "queries.parquet"),
        reads=_FOUND,
    ),
    Command(
        "psbench rank",
        _given(
            *("psbench", "rank", "IN/predictions", *_ROOT, "-o", "OUT/ranking.html", "--figures", "OUT/figures"),
            *("--queries", 3),
        ),
        files=("ranking.html", *(f"figures/{name}" for name in ("rankings.png", "rankings.svg"))),
        reads=_FOUND | {"an image": _IMAGES.format(1)},
    ),
    Command(
        "psbench import-detections",
        _given("psbench", "import-detections", "npz", "IN/dump.npz", *_ROOT, "-o", "OUT/found"),
        folders=("found",),
        reads={"the dump": "dump.npz"},
    ),
    Command(
        "psbench import-weights",
        _given("psbench", "import-weights", "seqnet", "IN/released.pth", "--data", "cuhk_sysu", "-o", "OUT/weights"),
        folders=("weights",),
        reads={"the checkpoint": "released.pth"},
        cached=False,
    ),
    Command(
        "psbench index",
        _given("psbench", "index", "--weights", "IN/weights", "--gallery", "IN/pictures", "-o", "OUT/index"),
        folders=("index",),
        whole=("index/manifest.json",),
        begin=_fewer_pictures,
        reads=_WEIGHTS | {"a picture": "pictures/01.jpg"},
        cached=False,
    ),
    Command(
        "psbench search",
        _given(
            *("psbench", "search", "--weights", "IN/weights", "--gallery", "IN/pictures", "--largest", "--threshold"),
            *(0, "--query", "IN/pictures/02.jpg", "-o", "OUT/found.html", "--json", "OUT/found.json"),
        ),
        files=("found.html", "found.json"),
        aware=(b'"changed": true', b"This picture can no longer be read."),
        reads=_WEIGHTS | {"a picture": "pictures/01.jpg"},
        cached=False,
    ),
    Command(
        "psbench view",
        _given("psbench", "view", *_ROOT, "-o", "OUT/view.html", "--scenes", 4, "--protocol", "gallery-50"),
        files=("view.html",),
        reads={"an image": _IMAGES.format(1)} | _ANNOTATION,
    ),
    Command(
        "psbench view --format png",
        _given("psbench", "view", *_ROOT, "-o", "OUT/view", "--scenes", 8, "--format", "png"),
        folders=("view",),
        reads={"an image": _IMAGES.format(1)},
    ),
    Command(
        "psbench view-points",
        _given(
            *("psbench", "view-points", "IN/points", *_ROOT, "--other-data", "--threshold", 0, "--people", 1),
            *("-o", "OUT/points"),
        ),
        folders=("points",),
        reads={"an image": _IMAGES.format(1), "the weights": "points/model.safetensors"},
    ),
    Command(
        "psbench submit",
        _given(
            *("psbench", "submit", "IN/predictions", *_ROOT, "--card", "IN/card.toml", "--board", "OUT/board"),
            "--replace",
        ),
        begin=_board,
        files=("board/entries/cuhk_sysu-synthetic/made-up.json",),
        older=False,
        reads=_FOUND | {"the card": "card.toml"},
    ),
    Command(
        "psbench card new",
        _given("psbench", "card", "new", "OUT/card.toml"),
        files=("card.toml",),
        older=False,
        cached=False,
    ),
    Command(
        "psbench leaderboard render",
        _given("psbench", "leaderboard", "render", "--board", "OUT/board"),
        begin=_board,
        files=("board/README.md", "board/index.html"),
        cached=False,
    ),
    Command(
        "psbench efficiency",
        _given(
            *("psbench", "efficiency", "oim", "--device", "cpu", "--weights", "IN/weights", "--size", "96x128"),
            *("--json", "OUT/efficiency.json"),
        ),
        files=("efficiency.json",),
        reads=_WEIGHTS,
        cached=False,
    ),
    Command(
        "a script of reproduce/",
        _given("script", "--data-root", "IN/data", "--output", "OUT/results", "--jobs", 1),
        folders=("results",),
        # Its table says what is missing.
        whole=("run.json", "manifest.json"),
        reads={"an image": _IMAGES.format(1)} | _ANNOTATION,
    ),
    *(
        Command(
            f"psbench-data synthesize {name}",
            _given("psbench-data", "synthesize", name, "OUT/drawn", *_DRAWN, *more),
            folders=("drawn",),
            files=("sheet.png",) if "--sheet" in more else (),
            cached=False,
        )
        for name, more in (
            ("cuhk_sysu", ("--test-scenes", 52, "--sheet", "OUT/sheet.png")),
            ("prw", ("--test-scenes", 20)),
            ("lsps", ("--test-scenes", 20)),
            ("movienet_cs", ("--test-scenes", 401, "--no-images")),
        )
    ),
    *(
        Command(
            f"psbench-data export {form}",
            _given("psbench-data", "export", "cuhk_sysu", "ROOT", form, f"OUT/{form}", "--with-images"),
            folders=(form,),
            reads={"an image": _IMAGES.format(1)} | _ANNOTATION,
        )
        for form in ("coco", "hf", "parquet")
    ),
    Command(
        "psbench-data export croissant",
        _given("psbench-data", "export", "cuhk_sysu", "ROOT", "croissant", "OUT/croissant.json"),
        files=("croissant.json",),
        reads=_ANNOTATION,
    ),
)
