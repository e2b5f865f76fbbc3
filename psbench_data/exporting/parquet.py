"""A dataset as Parquet files, for Hugging Face `datasets` and for pandas, Arrow or DuckDB alone.

    train-00000-of-00001.parquet   scenes, in order, in the layout of `psbench_data.exporting.layout`
    test-00000-of-00002.parquet
    protocols/<name>.parquet       one row a query, see `psbench_data.protocol_files`
    TERMS.txt                      the terms of the data
    synthetic.json                 where the people are drawn

Protocols name scenes by position: scene 7 is row 7 of the test files, taken in the order of their names. A query's
gallery is the scenes in `listed`, then those that `rest` in the file's metadata stands for:

    scenes = datasets.load_dataset("parquet", data_files={"test": sorted(glob.glob("test-*.parquet"))}, split="test")
    queries = pyarrow.parquet.read_table("protocols/regular.parquet")
    rest = json.loads(queries.schema.metadata[b"settings"])["rest"]   # none, all, other-cameras or same-camera
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from psbench_data.atomic import new_folder
from psbench_data.dataset import PersonSearchDataset
from psbench_data.errors import InputError
from psbench_data.exporting.layout import image_column, image_files, require_readable_images, scene_table
from psbench_data.exporting.notices import write_notices
from psbench_data.protocol_files import write_protocol
from psbench_data.scenes import Scenes

_GROUP_BYTES = 32 << 20
"""Of a row group, before compression: what is held in memory at once, and what a reader of one row must decompress."""


def export_parquet(
    dataset: PersonSearchDataset,
    folder: Path,
    *,
    embed_images: bool = False,
    shard_bytes: int = 500 << 20,
    progress: bool = False,
) -> None:
    """Write both splits and every protocol as Parquet files.

    A split without scenes gets no file: `datasets` does not load such a one.
    Without `embed_images` the rows hold absolute paths, and the images must stay where they are.

    Args:
        dataset: what to write.
        folder: the folder to make; it must not exist, or be empty.
        embed_images: whether to store the image files' bytes.
        shard_bytes: about how large a file may become; one scene is never divided.
        progress: whether to show progress bars.

    Raises:
        InputError: the folder has content, shard_bytes is not positive, a protocol's file has faults, or images that
            were to be embedded are missing or do not decode.
    """
    if shard_bytes < 1:
        raise InputError(f"export_parquet: shard_bytes is {shard_bytes}, expected at least 1.")
    splits = {split: dataset.split(split) for split in ("train", "test")}
    if embed_images:
        require_readable_images(splits, progress=progress)
    with new_folder(folder) as partial:
        # Protocols first: what is wrong with them is then known before the long work.
        for name in dataset.protocols:
            write_protocol(partial / "protocols" / f"{name}.parquet", dataset.protocol(name))
        for split, scenes in splits.items():
            _write_split(scenes, split, partial, embed_images, shard_bytes, progress)
        write_notices(dataset, partial)


def _write_split(scenes: Scenes, split: str, folder: Path, embed: bool, shard_bytes: int, progress: bool) -> None:
    from tqdm import tqdm

    table = scene_table(scenes)
    costs = np.full(len(scenes), table.nbytes // max(len(scenes), 1) + 1)
    if embed:
        costs += np.array([file.stat().st_size for file in image_files(scenes)], np.int64)
    shards = list(_cut(costs, 0, len(scenes), shard_bytes))
    with tqdm(total=len(scenes), desc=f"writing {split}", unit="scene", disable=not progress) as bar:
        for number, (first, last) in enumerate(shards):
            path = folder / f"{split}-{number:05d}-of-{len(shards):05d}.parquet"
            with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
                for start, end in _cut(costs, first, last, _GROUP_BYTES):
                    rows = table.slice(start, end - start)
                    writer.write_table(_embedded(rows, scenes, start, end) if embed else rows)
                    bar.update(end - start)


def _cut(costs: np.ndarray, first: int, last: int, limit: int) -> Iterator[tuple[int, int]]:
    """Successive ranges of first..last, each of at most `limit` in all, or of one."""
    start, total = first, 0
    for i in range(first, last):
        if i > start and total + costs[i] > limit:
            yield start, i
            start, total = i, 0
        total += int(costs[i])
    if start < last:
        yield start, last


def _embedded(rows: pa.Table, scenes: Scenes, start: int, end: int) -> pa.Table:
    paths = scenes.paths[start:end]
    column = image_column([(scenes.root / path).read_bytes() for path in paths], paths)
    return rows.set_column(rows.schema.names.index("image"), rows.schema.field("image"), column)
