"""A dataset as Hugging Face `datasets`: in memory, and saved to disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
import pyarrow as pa

from psbench_data.atomic import new_folder
from psbench_data.dataset import PersonSearchDataset
from psbench_data.errors import InputError
from psbench_data.exporting.layout import (
    VERSION,
    features,
    image_column,
    image_files,
    require_readable_images,
    scene_table,
)
from psbench_data.exporting.notices import terms_of, write_notices
from psbench_data.exporting.restricted import restrict
from psbench_data.scenes import Scenes

_CHUNK_BYTES = 256 << 20
"""Arrow counts the bytes of one chunk in 31 bits."""


def to_hf(
    dataset: PersonSearchDataset, split: str, *, images: bool = True, embed_images: bool = False
) -> datasets.Dataset:
    """A split in the object-detection layout of Hugging Face, see `psbench_data.exporting.layout`.

    The images stay files, which are opened when a row is read. Where they are not there, `data["objects"]` can be
    read and `data[0]` cannot (FileNotFoundError): leave them out with `images=False`.

    The fingerprint, by which `datasets` caches what is computed from the data, follows from the scenes, the paths and
    the version of this code.

    Args:
        dataset: what `psbench_data.load` gives.
        split: `train` or `test`.
        images: whether to have the column `image`.
        embed_images: whether to hold the image files' bytes, in memory, in place of their paths.

    Returns:
        One row a scene, in the scenes' order. Its `push_to_hub` refuses where the data's terms forbid passing it on.

    Raises:
        InputError: the split is unknown, or images that were to be embedded are missing or do not decode.
    """
    if embed_images and not images:
        raise InputError("to_hf: embed_images=True and images=False contradict each other. Give one of them.")
    scenes = dataset.split(split)
    table = scene_table(scenes, images=images)
    digest = hashlib.sha256(f"{VERSION}/{dataset.name}/{split}/{images}/{scenes.fingerprint}".encode())
    digest.update("\0".join([*scenes.identities, *map(str, image_files(scenes))]).encode())
    for side in ("height", "width"):
        digest.update(table.column(side).combine_chunks().fill_null(0).to_numpy().tobytes())
    if embed_images:
        require_readable_images({split: scenes})
        contents = _contents(scenes, digest)
        table = table.set_column(table.schema.names.index("image"), table.schema.field("image"), contents)
    its = terms_of(dataset)
    data = datasets.Dataset(
        table,
        info=datasets.DatasetInfo(
            description=f"{dataset.title}: {dataset.origin}",
            citation=its.paper,
            homepage=its.url,
            license=its.conditions,
            features=features(images=images),
        ),
        split=datasets.NamedSplit(split),
        fingerprint=digest.hexdigest()[:16],
    )
    return restrict(data) if dataset.restricted else data


def export_hf(
    dataset: PersonSearchDataset, folder: Path, *, embed_images: bool = False, progress: bool = False
) -> None:
    """Save both splits as `datasets.load_from_disk(folder)` reads them: a DatasetDict of `train` and `test`.

    A split without scenes is left out: `datasets` saves such a one and cannot load it.
    Without `embed_images` the rows hold absolute paths, and the images must stay where they are.

    Args:
        dataset: what to write.
        folder: the folder to make; it must not exist, or be empty.
        embed_images: whether to store the image files' bytes.
        progress: whether to show progress bars.

    Raises:
        InputError: the folder has content, or images that were to be embedded are missing or do not decode.
    """
    splits = {split: to_hf(dataset, split) for split in ("train", "test") if len(dataset.split(split))}
    if embed_images:
        require_readable_images({split: dataset.split(split) for split in splits}, progress=progress)
    else:
        splits = {split: _with_bare_paths(data) for split, data in splits.items()}
    with new_folder(folder) as partial, _bars(progress):
        datasets.DatasetDict(splits).save_to_disk(partial)
        for split in splits:
            info = datasets.DatasetInfo.from_directory(str(partial / split))
            info.features = features()
            info.write_to_directory(str(partial / split))
        write_notices(dataset, partial)


def _with_bare_paths(data: datasets.Dataset) -> datasets.Dataset:
    """The same columns, with images as plain structures: `save_to_disk` stores the bytes of everything it sees as one.

    What is saved becomes images again by its `dataset_info.json`, see `export_hf`.
    """
    value = datasets.Value
    bare = datasets.Features({**data.features, "image": {"bytes": value("binary"), "path": value("string")}})
    info = data.info.copy()
    info.features = bare
    return datasets.Dataset(
        data.data.table.replace_schema_metadata(bare.arrow_schema.metadata),
        info=info,
        split=data.split,
        fingerprint=data._fingerprint,
    )


def _contents(scenes: Scenes, digest: hashlib._Hash) -> pa.ChunkedArray:
    chunks, contents, paths, size = [], [], [], 0
    for file, path in zip(image_files(scenes), scenes.paths, strict=True):
        contents.append(file.read_bytes())
        digest.update(contents[-1])
        paths.append(path)
        size += len(contents[-1])
        if size >= _CHUNK_BYTES:
            chunks.append(image_column(contents, paths))
            contents, paths, size = [], [], 0
    return pa.chunked_array([*chunks, image_column(contents, paths)])


@contextmanager
def _bars(shown: bool) -> Iterator[None]:
    """Show or hide the bars of `datasets`, which are one setting for the whole process."""
    hidden = datasets.are_progress_bars_disabled()
    (datasets.enable_progress_bars if shown else datasets.disable_progress_bars)()
    try:
        yield
    finally:
        (datasets.disable_progress_bars if hidden else datasets.enable_progress_bars)()
