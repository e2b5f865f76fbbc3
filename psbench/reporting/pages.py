"""Pages made of the templates beside this file; what is put into them is escaped."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from psbench_data.atomic import new_file


def rendered(template: str, **values: Any) -> str:
    """A template of `psbench/reporting/templates`, filled in."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("psbench.reporting", "templates"), autoescape=True)
    return environment.get_template(template).render(**values)


def write_rendered(path: Path, template: str, **values: Any) -> Path:
    """Write a filled template, whole or not at all, and give its path."""
    page = rendered(template, **values)
    with new_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def file_stem(scene: str) -> str:
    """A scene's name as part of a file's: scenes' names are those of files in folders, and may be long, or alike."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(scene).stem)[:80]
