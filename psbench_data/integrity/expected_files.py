"""Which files a dataset is made of, what each is for and who needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from psbench_data.integrity.attempting import is_file
from psbench_data.sources.image_list_files import IMAGE_FOLDERS, LISTS, image_folder, numbered_lists
from psbench_data.sources.layouts import name_the_test_set

EVERYTHING = "everything"
IMAGES = "training and prediction"
NOTHING = "nothing in psbench"

_EXTRACT = "Extract the archive of annotations in full; where your copy came without it, obtain the authors' archive."
_SEARCH_LISTS = "search lists"
_TRAINING_LISTS = "training lists"


@dataclass(frozen=True)
class ExpectedFile:
    """A file, or a folder of many.

    Attributes:
        path: relative to the root; the official one, or that of a known variant if it is there.
        purpose: what it holds.
        needed_by: EVERYTHING, IMAGES, names of protocols, or NOTHING; empty for what is read where it is there.
        kind: a single annotation file, a folder of them, or a folder of images.
        variables: of a .mat file, those that are read: the first that is there.
        one_of: files of one group stand in for each other: one of them must be there.
        remedy: what to do where it is missing.
    """

    path: str
    purpose: str
    needed_by: tuple[str, ...] = (EVERYTHING,)
    kind: Literal["file", "annotations", "images"] = "file"
    variables: tuple[str, ...] = ()
    one_of: str = ""
    remedy: str = _EXTRACT


def expected_files(name: str, root: Path, options: dict[str, Any]) -> list[ExpectedFile]:
    """The files of a dataset, those present under a variant name under that; options are those of its reader."""
    if name == "cuhk_sysu":
        return _cuhk_sysu(root)
    if name == "movienet_cs":
        return _movienet_cs(root, options.get("train_subset"))
    if name == "coco":
        return _coco(root, options)
    return _prw(root) if name == "prw" else _lsps()


def _cuhk_sysu(root: Path) -> list[ExpectedFile]:
    official = (50, 100, 500, 1000, 2000, 4000)
    subset = "annotation/test/subset"
    sizes = _sizes(root, "TestG", official)
    protocols = _protocols_of(sizes, [size for size in sizes if is_file(root / _list(size))])
    return [
        ExpectedFile("annotation/Images.mat", "boxes of every scene", variables=("Img",)),
        ExpectedFile("annotation/pool.mat", "which scenes are test", variables=("pool",)),
        ExpectedFile(f"{LISTS}/Train.mat", "training identities", variables=("Train",)),
        *(_search_list(size, official, protocols[size]) for size in sizes),
        ExpectedFile(f"{subset}/Occlusion.mat", "queries that are covered", ("occlusion",), variables=("Occlusion1",)),
        ExpectedFile(
            f"{subset}/Resolution.mat", "queries that are small", ("low-resolution",), variables=("Test_Size",)
        ),
        *_shape_lists(),
        ExpectedFile("annotation/Person.mat", "people before the split", (NOTHING,)),
        ExpectedFile(_image_folder("cuhk_sysu", root), "images", (IMAGES,), kind="images"),
    ]


def _movienet_cs(root: Path, train_subset: int | None) -> list[ExpectedFile]:
    official = (2000, 4000, 10000)
    sizes = _sizes(root, "TestG", official)
    protocols = _protocols_of(sizes, [n for n in sizes if all(is_file(root / path) for path in (_list(n), _pool(n)))])
    training = []
    for n in _sizes(root, "Train_app", (10, 30, 50, 70, 100)):
        wanted = n == train_subset
        purpose = f"training identities, at most {n} appearances each"
        group = "" if wanted or train_subset is not None else _TRAINING_LISTS
        needed = (EVERYTHING,) if wanted else ()
        training.append(ExpectedFile(f"{LISTS}/Train_app{n}.mat", purpose, needed, variables=("Train",), one_of=group))
    return [
        ExpectedFile("annotation/Images.mat", "boxes of every scene", variables=("Img",)),
        *training,
        *(
            ExpectedFile(_pool(size), "which scenes are searched", protocols[size], variables=("pool",))
            for size in sizes
        ),
        *(_search_list(size, official, protocols[size]) for size in sizes),
        ExpectedFile(_image_folder("movienet_cs", root), "images", (IMAGES,), kind="images"),
    ]


def _list(size: int) -> str:
    return f"{LISTS}/TestG{size}.mat"


def _pool(size: int) -> str:
    return f"annotation/pool_{size}.mat"


def _protocols_of(sizes: list[int], there: list[int]) -> dict[int, tuple[str, ...]]:
    """The protocols that need the files of each size; those of the smallest one there serve the full gallery, too."""
    smallest = (there or sizes)[0]
    return {size: (f"gallery-{size}", *(["gallery-all"] if size == smallest else [])) for size in sizes}


def _search_list(size: int, official: tuple[int, ...], protocols: tuple[str, ...]) -> ExpectedFile:
    purpose = f"queries and galleries of {size}" + ("" if size in official else " (not an official size)")
    return ExpectedFile(_list(size), purpose, protocols, variables=(f"TestG{size}",), one_of=_SEARCH_LISTS)


def _prw(root: Path) -> list[ExpectedFile]:
    protocols = ("regular", "multi-view", "same-camera", "mini")
    frames = tuple(
        ExpectedFile(f"frame_{split}.mat", f"names of the {split} frames", variables=(f"img_index_{split}",))
        for split in ("train", "test")
    )
    # NAE's copies carry the second name.
    names = ("query_info.txt", "query_info_2057.txt")
    query_file = next((name for name in names if is_file(root / name)), names[0])
    return [
        *frames,
        ExpectedFile(
            "annotations",
            "people of each frame",
            kind="annotations",
            variables=("box_new", "anno_file", "anno_previous"),
        ),
        ExpectedFile(query_file, "the queries", protocols, one_of="queries"),
        *_shape_lists(),
        *(ExpectedFile(f"ID_{split}.mat", f"ids of the {split} people", (NOTHING,)) for split in ("train", "test")),
        *(ExpectedFile(f"{what}.txt", "key points", (NOTHING,)) for what in ("scores", "pred")),
        ExpectedFile("query_box", "crops of the queries", (NOTHING,), kind="images"),
        ExpectedFile("frames", "images", (IMAGES,), kind="images"),
    ]


def _lsps() -> list[ExpectedFile]:
    contents = {"coord": "boxes", "id": "identities"}
    return [
        *(
            ExpectedFile(f"{split}_frame_{key}.txt", f"{content} of the {split} frames")
            for split in ("train", "test")
            for key, content in contents.items()
        ),
        ExpectedFile("query_info.txt", "the queries", ("regular", "multi-view", "same-camera"), one_of="queries"),
        *_shape_lists(),
        *(
            ExpectedFile(f"{what}.txt", "key points", (NOTHING,))
            for what in ("scores", "pred", "scores_test", "pred_test")
        ),
        *(ExpectedFile(split, f"{split} images", (IMAGES,), kind="images") for split in ("train", "test")),
    ]


def _coco(root: Path, options: dict[str, Any]) -> list[ExpectedFile]:
    exported = sorted((root / "protocols").glob("[!.]*.parquet"))
    test = options.get("test", "test.json")
    # Other files are only opened where this one is not there.
    remedy = "" if is_file(root / test) else name_the_test_set(root)
    return [
        ExpectedFile(
            test,
            "test images and people",
            remedy=remedy or "Write your data as COCO-style JSON with person_id, or correct the root.",
        ),
        ExpectedFile(options.get("train", "train.json"), "training images and people", ()),
        *(
            ExpectedFile(f"protocols/{path.name}", "queries and galleries", (path.stem,), one_of="protocols")
            for path in exported
        ),
    ]


def _image_folder(name: str, root: Path) -> str:
    try:
        return image_folder(name, root)
    except OSError:
        return IMAGE_FOLDERS[name][0]


def _shape_lists() -> list[ExpectedFile]:
    return [ExpectedFile(f"{split}_shape.txt", f"sizes of the {split} images", ()) for split in ("train", "test")]


def _sizes(root: Path, stem: str, official: tuple[int, ...]) -> list[int]:
    """The official numbers of a kind of list, and any others that are there."""
    return sorted({*official, *numbered_lists(root, stem)})
