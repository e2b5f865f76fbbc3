"""What is in a folder, but for how long things took, and when files were changed."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from psbench.shards import WORK

OLDER = b"older\n"
"""In files that are to be replaced."""
_PICTURES = re.compile(r"pictures-[0-9a-f]{16}\.parquet")


def contents(place: Path) -> dict[str, str]:
    """Every file below a folder, by its name, and a digest of what lasts in it; not what only says how to go on."""
    return {
        _PICTURES.sub("pictures.parquet", path.relative_to(place).as_posix()): hashlib.sha256(
            _lasting(path)
        ).hexdigest()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name != WORK
    }


def _lasting(path: Path) -> bytes:
    raw = path.read_bytes()
    if raw == OLDER:
        return raw
    try:
        return _without_times(path, raw)
    except ValueError:
        # Half a file, which is only like itself.
        return raw


def _without_times(path: Path, raw: bytes) -> bytes:
    if path.name == "run.json":
        return _without(json.loads(raw), "seconds", "resumed", "peak_memory")
    if path.name == "metrics.jsonl":
        return b"\n".join(_without(json.loads(line), "seconds", "images_per_second") for line in raw.splitlines())
    if path.name in ("card.md", "cost.json", "efficiency.json") or path.suffix == ".log":
        return b"says how long it took"
    if path.name == "table.json" or path.parent.name == "evaluations":
        return _without(json.loads(raw), "seconds")
    # Of an index: when a picture's file was changed.
    if _PICTURES.fullmatch(path.name):
        return pd.read_parquet(io.BytesIO(raw))[["path", "sha256"]].to_json().encode()
    if path.name == "manifest.json" and b'"pictures-' in raw:
        return _without(json.loads(raw), "pictures")
    return raw


def _without(values: Any, *names: str) -> bytes:
    kept = {k: v for k, v in values.items() if k not in names} if isinstance(values, dict) else values
    return json.dumps(kept, sort_keys=True).encode()
