"""How a tree differs from the official one in ways that psbench can read, or that explain what is missing."""

from __future__ import annotations

from pathlib import Path

from psbench_data.integrity.expected_files import EVERYTHING, IMAGES
from psbench_data.integrity.survey import FileState
from psbench_data.sources.image_list_files import IMAGE_FOLDERS, image_folder, numbered_lists


def variants(name: str, root: Path, files: list[FileState]) -> list[str]:
    """One sentence each."""
    found = []
    present = {file.path for file in files if file.present}
    if name in IMAGE_FOLDERS:
        folder, official = image_folder(name, root), IMAGE_FOLDERS[name][0]
        if folder != official:
            found.append(f"images lie in {folder}, officially in {official}")
    if "query_info_2057.txt" in present:
        found.append("the query file is called query_info_2057.txt, officially query_info.txt")
    if name == "cuhk_sysu" and "annotation/Images.mat" in present and not (root / "annotation/test").is_dir():
        found.append("a copy without annotation/test: it has boxes, and neither identities nor queries")
    if name in ("cuhk_sysu", "prw") and any(path.endswith("_shape.txt") for path in present):
        found.append("with the lists of image sizes that later methods (APNet, PCNet) add")
    if name == "movienet_cs":
        lists = [path.stem for path in numbered_lists(root, "Train_app").values()]
        found.append(f"training lists: {', '.join(lists) or 'none'}")
        if parts := sorted(path.name for path in root.glob("frames_CS-*")):
            found.append(f"partial archives beside the tree, which are to be extracted into Image: {', '.join(parts)}")
    images = any(file.present for file in files if file.needed_by == (IMAGES,))
    annotations = any(file.present for file in files if EVERYTHING in file.needed_by)
    if name != "coco" and annotations and not images:
        found.append("annotations only, no images")
    if images and not annotations:
        found.append("images only, no annotations")
    return found
