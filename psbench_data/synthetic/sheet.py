"""A contact sheet of a synthetic tree: scenes of several cameras with their boxes, and people across scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from psbench_data.atomic import new_file, write_image
from psbench_data.dataset import SYNTHETIC_MARKER, PersonSearchDataset
from psbench_data.errors import InputError
from psbench_data.registry import load
from psbench_data.scenes import UNLABELED, Scene, Scenes

_WIDTH, _MARGIN, _GAP = 1400, 40, 16
_SCENES, _PEOPLE, _COLUMNS = 6, 8, (3, 2)
_CAPTION, _ROW, _CROP_HEIGHT, _LABEL = 34, 142, 124, 56
_PAPER, _INK, _GREY = (255, 255, 255), (34, 36, 40), (110, 114, 120)
_LABELLED, _STRANGER = (255, 214, 64), (245, 245, 245)


def contact_sheet(root: Path, path: Path, split: str = "test") -> None:
    """Draw the sheet, 1400 pixels wide.

    Args:
        root: a tree written by `psbench-data synthesize`, with pictures.
        path: the PNG file to write.
        split: the scenes to show.

    Raises:
        InputError: `root` is no such tree, or its pictures are not there.
    """
    dataset = _open(root)
    scenes = dataset.split(split)
    chosen, people = _scenes(scenes), _people(scenes)
    cell = _cell_width(_COLUMNS[0])
    # Most images have one size; one of another shape is fitted into the same cell.
    height = int(np.median([scene.image().height * cell / scene.image().width for scene in chosen]))
    top = 108
    people_top = top + -(-len(chosen) // _COLUMNS[0]) * (height + _CAPTION) + 70
    sheet = Image.new("RGB", (_WIDTH, people_top + -(-len(people) // _COLUMNS[1]) * _ROW + 20), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 28), f"Drawn people in the format of {dataset.title}", _INK, _font(28))
    cameras = len(np.unique(scenes.camera_ids))
    about = f"{len(scenes):,} {split} scenes{f' of {cameras} cameras' if cameras > 1 else ''}. "
    about += "Yellow: a person with an identity. White: a passer-by without one."
    draw.text((_MARGIN, 68), about, _GREY, _font(17))
    for i, scene in enumerate(chosen):
        x, y = _corner(i, _COLUMNS[0], top, height + _CAPTION)
        sheet.paste(_framed(scene, cell, height), (x, y))
        draw.text((x, y + height + 6), _caption(scene), _GREY, _font(14))
    draw.text((_MARGIN, people_top - 44), "The same person in several scenes", _INK, _font(22))
    for i, (person, sightings) in enumerate(people):
        x, y = _corner(i, _COLUMNS[1], people_top, _ROW)
        end = x + _cell_width(_COLUMNS[1])
        draw.text((x, y + _CROP_HEIGHT / 2 - 22), "person", _GREY, _font(14))
        draw.text((x, y + _CROP_HEIGHT / 2 - 4), str(person), _INK, _font(20))
        x += _LABEL
        for crop in (_crop(scene, box) for scene, box in sightings):
            if x + crop.width > end:
                break
            sheet.paste(crop, (x, y))
            x += crop.width + _GAP // 2
    # In steps of 10 grey levels, most of the noise, and so of the file, is gone.
    with new_file(path) as partial:
        write_image(sheet.point(lambda value: min((value + 5) // 10 * 10, 255)), partial, "PNG")


def _cell_width(columns: int) -> int:
    return (_WIDTH - 2 * _MARGIN - (columns - 1) * _GAP) // columns


def _corner(i: int, columns: int, top: int, row_height: int) -> tuple[int, int]:
    return _MARGIN + i % columns * (_cell_width(columns) + _GAP), top + i // columns * row_height


def _open(root: Path) -> PersonSearchDataset:
    marker = root / SYNTHETIC_MARKER
    if not marker.is_file():
        raise InputError(f"{marker}: not there. Give a tree written by `psbench-data synthesize`.")
    return load(json.loads(marker.read_text(encoding="utf-8"))["format"], root=root)


def _scenes(scenes: Scenes) -> list[Scene]:
    """Scenes with people of both kinds, of different cameras where the format tells them."""
    labelled = np.array([(scene.person_ids != UNLABELED).sum() for scene in scenes])
    strangers = np.array([(scene.person_ids == UNLABELED).sum() for scene in scenes])
    # The first of each camera, then the second of each; among one camera's, the more telling first.
    telling = np.minimum(labelled, 3) + np.minimum(strangers, 2)
    by_camera = np.lexsort((-telling, scenes.camera_ids))
    cameras = scenes.camera_ids[by_camera]
    first = np.searchsorted(cameras, cameras, side="left")
    order = by_camera[np.lexsort((cameras, np.arange(len(cameras)) - first))]
    chosen = order[:_SCENES] if len(np.unique(cameras)) > 1 else _spaced(order[: len(order) // 4 + _SCENES])
    return [scenes[int(i)] for i in chosen]


def _spaced(order: np.ndarray) -> np.ndarray:
    return order[np.linspace(0, len(order) - 1, min(_SCENES, len(order))).astype(int)]


def _people(scenes: Scenes) -> list[tuple[int, list[tuple[Scene, np.ndarray]]]]:
    """The people seen most often, each in its scenes, those of different cameras first."""
    owner = np.repeat(np.arange(len(scenes)), np.diff(scenes.offsets))
    ids, counts = np.unique(scenes.person_ids[scenes.person_ids != UNLABELED], return_counts=True)
    rows = []
    for person in ids[np.argsort(-counts, kind="stable")][:_PEOPLE].tolist():
        where = np.flatnonzero(scenes.person_ids == person)
        _, first = np.unique(scenes.camera_ids[owner[where]], return_index=True)
        where = np.concatenate([where[first], np.delete(where, first)])
        rows.append((person, [(scenes[int(owner[row])], scenes.boxes[row]) for row in where]))
    return rows


def _framed(scene: Scene, width: int, height: int) -> Image.Image:
    """The picture, as large as fits into width x height, with its boxes."""
    image = scene.image()
    scale = min(width / image.width, height / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(image)
    for box, person in zip((scene.boxes * scale).tolist(), scene.person_ids.tolist(), strict=True):
        colour = _STRANGER if person == UNLABELED else _LABELLED
        draw.rectangle(box, outline=colour, width=2)
        if person != UNLABELED:
            label = f" {person} "
            left, _, right, bottom = draw.textbbox((box[0], box[1]), label, _font(13))
            draw.rectangle((left, box[1], right, bottom + 2), fill=colour)
            draw.text((box[0], box[1]), label, _INK, _font(13))
    return image


def _caption(scene: Scene) -> str:
    people = f"{len(scene.boxes)} people" if len(scene.boxes) != 1 else "1 person"
    camera = "" if scene.camera_id is None else f"camera {scene.camera_id}, "
    return f"{camera}{people}  ({scene.name})"


def _crop(scene: Scene, box: np.ndarray) -> Image.Image:
    image = scene.image()
    x1, y1, x2, y2 = box.tolist()
    crop = image.crop((max(int(x1), 0), max(int(y1), 0), min(round(x2), image.width), min(round(y2), image.height)))
    width = max(round(crop.width * _CROP_HEIGHT / crop.height), 1)
    return crop.resize((width, _CROP_HEIGHT), Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
