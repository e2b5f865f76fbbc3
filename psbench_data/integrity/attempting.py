"""Steps of the examination: what goes wrong in one becomes a finding, and the next one follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from psbench_data.errors import InputError
from psbench_data.integrity.findings import Finding, finding_of_fault, relative

T = TypeVar("T")


class MisuseError(Exception):
    """Around an InputError: the caller's fault and not the data's."""


def attempt(step: Callable[[], T], root: Path, findings: list[Finding]) -> T | None:
    """The step's result; None, and findings, where it fails.

    Raises:
        InputError: the step was asked for something that does not exist.
    """
    try:
        return step()
    except InputError as error:
        findings += [finding_of_fault(fault, root) for fault in error.faults]
    except MisuseError as error:
        raise error.args[0] from None
    except OSError as error:
        findings.append(unreadable(error.filename or root, error, root))
    # Whoever runs doctor has data that does not load, so it must not end in a traceback itself.
    except Exception as error:
        what = f"a reader stopped with {type(error).__name__}: {error}"
        findings.append(Finding("error", "reader", ".", "", what, "Report this as a bug of psbench, with the file."))
    return None


def unreadable(path: Path | str, error: OSError, root: Path) -> Finding:
    """For a file or folder that the file system does not hand out."""
    what = f"cannot be read ({error.strerror or error})"
    return Finding("error", "unreadable", relative(path, root), "", what, "Make it readable for your account.")


def is_file(path: Path) -> bool:
    """Whether there is a file, as far as can be seen: `Path.is_file` raises in a folder that may not be entered."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_dir(path: Path) -> bool:
    """Whether there is a folder, as far as can be seen."""
    try:
        return path.is_dir()
    except OSError:
        return False
