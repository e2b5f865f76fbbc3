"""Any dataset as COCO-style JSON with its protocols, as `psbench_data.load("coco", ...)` reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from psbench_data.atomic import new_folder
from psbench_data.dataset import PersonSearchDataset
from psbench_data.exporting.notices import write_notices
from psbench_data.protocol_files import write_protocol
from psbench_data.scenes import UNLABELED, Scenes


def export_coco(
    dataset: PersonSearchDataset, folder: Path, *, copy_images: bool = False, progress: bool = False
) -> None:
    """Write `train.json`, `test.json` and `protocols/<name>.parquet`.

    Loaded again, scenes, identities and protocols are the same. Without copies of the images, load with
    `images=dataset.root`.

    Args:
        dataset: what to write.
        folder: the folder to make; it must not exist, or be empty.
        copy_images: whether to put a copy of every image beside the annotation.
        progress: whether to show a progress bar.

    Raises:
        InputError: the folder has content, or images that were to be copied are missing or do not decode.
    """
    splits = {split: dataset.split(split) for split in ("train", "test")}
    if copy_images:
        from psbench_data.exporting.layout import require_readable_images

        # Pictures alone: a link may lead to any file.
        require_readable_images(splits, progress=progress)
    with new_folder(folder) as partial:
        for split, scenes in splits.items():
            document = _document(dataset, scenes)
            (partial / f"{split}.json").write_text(json.dumps(document, allow_nan=False), encoding="utf-8")
            if copy_images:
                _copy_images(scenes, partial, split, progress)
        for name in dataset.protocols:
            write_protocol(partial / "protocols" / f"{name}.parquet", dataset.protocol(name))
        write_notices(dataset, partial)


def _document(dataset: PersonSearchDataset, scenes: Scenes) -> dict[str, Any]:
    images, annotations = [], []
    # In double precision, x1 + (x2 - x1) is x2 again.
    boxes, people = scenes.boxes.astype(float), scenes.person_ids.tolist()
    boxes[:, 2:] -= boxes[:, :2]
    bboxes, offsets, sizes = boxes.tolist(), scenes.offsets.tolist(), scenes.sizes.tolist()
    for i, (name, path, camera) in enumerate(zip(scenes.names, scenes.paths, scenes.camera_ids.tolist(), strict=True)):
        image = {"id": i, "file_name": path, "name": name}
        if sizes[i][0]:
            image |= {"height": sizes[i][0], "width": sizes[i][1]}
        if camera >= 0:
            image["camera_id"] = camera
        images.append(image)
        for row in range(offsets[i], offsets[i + 1]):
            bbox = bboxes[row]
            annotation = {"id": row, "image_id": i, "category_id": 1, "bbox": bbox, "area": bbox[2] * bbox[3]}
            if people[row] != UNLABELED:
                annotation["person_id"] = scenes.identities[people[row]]
            annotations.append({**annotation, "iscrowd": 0})
    return {
        "info": {"description": dataset.title, "dataset": dataset.terms_name, "restricted": dataset.restricted},
        "categories": [{"id": 1, "name": "person"}],
        "people": list(scenes.identities),
        "images": images,
        "annotations": annotations,
    }


def _copy_images(scenes: Scenes, folder: Path, split: str, progress: bool) -> None:
    from tqdm import tqdm

    for path in tqdm(scenes.paths, desc=f"copying {split} images", unit="image", disable=not progress):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(scenes.root / path, folder / path)
