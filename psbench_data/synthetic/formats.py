"""The four formats by name, with a world of handy and one of official size for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from psbench_data.errors import InputError, near_names
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.lsps import write_lsps
from psbench_data.synthetic.movienet_cs import write_movienet_cs
from psbench_data.synthetic.prw import write_prw
from psbench_data.synthetic.spec import SPLITS, WorldSpec

_WRITERS: dict[str, Callable[..., None]] = {
    "cuhk_sysu": write_cuhk_sysu,
    "prw": write_prw,
    "lsps": write_lsps,
    "movienet_cs": write_movienet_cs,
}
FORMATS = tuple(_WRITERS)


def write(format: str, spec: WorldSpec, root: Path, *, images: bool = True, progress: bool = False) -> None:  # noqa: A002
    """Plan, draw and write a world in one of the official formats.

    The folder appears whole or not at all: it is written beside `root` and renamed at the end.

    Args:
        format: one of FORMATS.
        spec: the world.
        root: the folder to make; it must not exist, or be empty.
        images: whether to draw the pictures; without them, only annotations are written, the same ones.
        progress: whether to show a progress bar.

    Raises:
        InputError: the format is unknown, `root` has content, or the format cannot hold such a world.
    """
    _known(format)
    _WRITERS[format](spec, root, images=images, progress=progress)


def default_spec(format: str, **changes: object) -> WorldSpec:  # noqa: A002
    """A world of 400 and 520 small scenes that suits a format, with changes to it.

    Raises:
        InputError: the format is unknown, or the changed world is impossible.
    """
    _known(format)
    spec = {**_DEFAULT[format], **changes}
    if format == "movienet_cs" and not {"appearances", "train_labelled", "test_labelled"} & changes.keys():
        spec |= _leads(WorldSpec(**spec))
    if "walking" not in changes:
        # A small world has fewer people who walk from one split into the other.
        spec["walking"] = min(spec.get("walking", 0), int(spec.get("train_identities", 140)) // 7)
    return WorldSpec(**spec)


def _leads(spec: WorldSpec) -> dict[str, object]:
    """Two labelled people a scene, and some who are seen so often that Train_app10 ... Train_app100 differ."""
    smallest_gallery = (spec.gallery_entries or (120,))[0]
    fewest, most = 2, min(120, smallest_gallery, spec.train_scenes, spec.test_scenes)
    totals = {}
    for split in SPLITS:
        people = spec.identities(split)
        totals[f"{split}_labelled"] = min(
            max(2 * spec.scenes(split), fewest * people), most * people, spec.boxes(split)
        )
    return {"appearances": (fewest, most), **totals}


def official_spec(format: str, seed: int = 0) -> WorldSpec:  # noqa: A002
    """A world with the sizes of a dataset as published.

    Where nothing is published, the numbers are ours: the spread of people over scenes and of appearances over
    identities, image sizes but PRW's, and

    - LSPS: boxes are divided as frames are, and 2 % of them have no identity.
    - MovieNet-CS: 100,000 scenes are for training, 2,087 of the identities and three quarters of the boxes labelled.
      Galleries are of 10,000, 4,000 and 2,000 of the test scenes; the other test scenes are in no pool.

    Raises:
        InputError: the format is unknown.
    """
    _known(format)
    return WorldSpec(seed=seed, **_OFFICIAL[format])


def _known(name: str) -> None:
    if name not in _WRITERS:
        raise InputError(f"synthesize cannot write the format {name!r}. {near_names(name, FORMATS)}")


_DEFAULT: dict[str, dict] = {
    "cuhk_sysu": {},
    "prw": {"places": 6, "last_place_size": (96, 128), "walking": 20},
    "lsps": {"places": 17, "pseudo_views": 2, "people": (1, 3)},
    "movienet_cs": {"places": 40, "wander": False, "gallery_entries": (200, 300, 400)},
}
_OFFICIAL: dict[str, dict] = {
    "cuhk_sysu": {
        "train_scenes": 11_206, "train_boxes": 55_272, "train_identities": 5_532, "train_labelled": 15_085,
        "test_scenes": 6_978, "test_boxes": 40_871, "test_identities": 2_900, "test_labelled": 8_345,
        "appearances": (2, 14), "people": (1, 25), "image_size": (600, 800), "heights": (0.12, 0.85), "places": 400,
    },
    "prw": {
        "train_scenes": 5_704, "train_boxes": 18_048, "train_identities": 483, "train_labelled": 14_907,
        "test_scenes": 6_112, "test_boxes": 25_062, "test_identities": 450, "test_labelled": 19_127, "walking": 94,
        "appearances": (4, 199), "people": (1, 19), "image_size": (1080, 1920), "heights": (0.12, 0.7),
        "places": 6, "last_place_size": (576, 720),
    },
    "lsps": {
        "train_scenes": 18_163, "train_boxes": 21_175, "train_identities": 1_041, "train_labelled": 20_751,
        "test_scenes": 33_673, "test_boxes": 39_258, "test_identities": 3_026, "test_labelled": 38_473,
        "appearances": (3, 120), "people": (1, 8), "image_size": (1080, 1920), "heights": (0.15, 0.8),
        "places": 17, "pseudo_views": 2,
    },
    "movienet_cs": {
        "train_scenes": 100_000, "train_boxes": 170_552, "train_identities": 2_087, "train_labelled": 127_914,
        "test_scenes": 60_816, "test_boxes": 103_722, "test_identities": 1_000, "test_labelled": 77_791,
        "appearances": (4, 400), "people": (1, 12), "image_size": (400, 720), "heights": (0.3, 0.95),
        "places": 385, "wander": False,
    },
}  # fmt: skip
