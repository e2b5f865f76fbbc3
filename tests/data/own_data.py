"""A small dataset of one's own, to be spoilt by tests."""

import json
from pathlib import Path
from typing import Any

from PIL import Image
from typer.testing import CliRunner

from psbench_data.cli import app

Document = dict[str, Any]
SCENES = 20


def own_document() -> Document:
    """Three people in each scene, each of six people in ten of them."""
    return {
        "images": [
            {"id": 100 + i, "file_name": f"day/{i}.jpg", "width": 64, "height": 48, "camera_id": i % 2}
            for i in range(SCENES)
        ],
        "annotations": [
            {"id": 3 * i + k, "image_id": 100 + i, "bbox": [20 * k, 5, 15, 30], "person_id": f"p{(i + k) % 6}"}
            for i in range(SCENES)
            for k in range(3)
        ],
    }


def write_own_data(root: Path, document: Document | str, name: str = "test.json", pictures: str = "") -> Path:
    (root / pictures / "day").mkdir(parents=True)
    for i in range(SCENES):
        Image.new("RGB", (64, 48)).save(root / pictures / f"day/{i}.jpg")
    (root / name).write_text(document if isinstance(document, str) else json.dumps(document))
    return root


def run_psbench_data(*arguments: object) -> tuple[int, str]:
    """Exit status and output of the command, its lines joined."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, " ".join(result.output.split())
