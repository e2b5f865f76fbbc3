"""A copy of the tree for mutmut, in which decorated functions can be mutated, too."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
PARTS = ("psbench", "psbench_data", "tests", "pyproject.toml")
_AS_THEY_ARE = ("overload", "staticmethod", "classmethod")


def bring(folder: Path, mutated: list[Path]) -> None:
    """Bring a copy up to date; files that are the same keep their time, by which mutmut knows what it has done.

    Args:
        folder: of the copy.
        mutated: the files of which mutants are made, relative to the root of the tree.
    """
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PARTS]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    for name in names:
        source, copy = ROOT / name, folder / name
        if not source.exists():
            copy.unlink(missing_ok=True)
            continue
        content = source.read_bytes()
        if Path(name) in mutated:
            content = undecorated(content.decode()).encode()
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)


def undecorated(source: str) -> str:
    """The same module with `name = decorator(name)` behind functions in the place of `@decorator` before them.

    mutmut leaves out decorated functions, among them all properties.
    """
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    functions = [node for body in bodies for node in body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    for function in sorted(functions, key=lambda node: -node.lineno):
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        if set(decorators) & set(_AS_THEY_ARE):
            continue
        value = function.name
        for decorator in reversed(decorators):
            value = f"{decorator}({value})"
        assert function.end_lineno is not None
        lines.insert(function.end_lineno, f"{' ' * function.col_offset}{function.name} = {value}\n")
        del lines[function.decorator_list[0].lineno - 1 : function.lineno - 1]
    return "".join(lines)
