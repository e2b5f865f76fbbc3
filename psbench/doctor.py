"""Whether this installation can work: versions, devices, folders that must be writable, and what to do where not."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psbench.hardware import cpu_model
from psbench.hub import weights_are_cached
from psbench_data import InputError
from psbench_data.cache import cache_folder

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_ZOO = ("torch", "torchvision", "timm", "accelerate", "safetensors", "simplejpeg")
_BACKBONE = "resnet50"
"""From whose weights the papers' recipes start."""
_MODULES = {"pillow": "PIL"}
"""Of packages that are imported under another name."""
_LITTLE = 2**29
"""Bytes: less free space than a backbone's weights and a dataset's tables may need."""
_AGAIN = "Install both together, unpinned, into a fresh environment: pip install torch torchvision"
_EXTRA = "Install psbench with the extra zoo: pip install 'psbench[zoo]', or pip install '.[zoo]' in a clone."


def require_zoo() -> None:
    """Check that the packages of the extra `zoo` are installed.

    Raises:
        InputError: naming those that are missing.
    """
    missing = [package for package in _ZOO if _version(package) is None]
    if missing:
        raise InputError(
            f"models need {', '.join(missing)}, which this installation of psbench lacks (judging works without). "
            + _EXTRA
        )


@dataclass(frozen=True)
class Diagnosis:
    """What an installation is like.

    Attributes:
        facts: in words, by section and by what they are about.
        problems: what is broken, each with what to do.
    """

    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return not self.problems

    def text(self) -> str:
        """For a terminal."""
        width = max(len(about) for facts in self.facts.values() for about in facts)
        blocks = [
            "\n".join([section, *(f"  {about:<{width}}  {words}" for about, words in facts.items())])
            for section, facts in self.facts.items()
            if facts
        ]
        found = [f"  - {problem}" for problem in self.problems]
        return "\n\n".join([*blocks, "\n".join(["To mend", *found]) if found else "Nothing is broken."])

    def to_json(self) -> str:
        """The same, for programs."""
        return json.dumps({"ok": self.healthy, "problems": self.problems, **self.facts}, indent=1)


def diagnose() -> Diagnosis:
    """Look at everything; nothing of it is changed.

    An installation without the extra `zoo` is well: it judges predictions.
    """
    found = Diagnosis()
    found.facts["system"] = {
        "python": f"{platform.python_version()}, {sys.executable}",
        "system": platform.platform(),
    }
    _packages(found)
    found.facts["devices"] = {"CPU": f"{cpu_model()}, {os.cpu_count()} cores"}
    found.facts["models"] = {}
    if _version("torch") or _version("torchvision"):
        _torch(found)
    else:
        found.facts["models"]["zoo"] = "not installed. Judging works. For models and training: " + _EXTRA
    _folders(found)
    return found


def _packages(found: Diagnosis) -> None:
    """The versions of what psbench requires, and every bound that is not met."""
    facts = found.facts.setdefault("packages", {"psbench": _version("psbench") or "not installed"})
    # Whoever has one of these means to make models; torch alone serves judging on a GPU.
    wanted = any(_version(package) for package in ("torchvision", "timm", "accelerate"))
    for requirement, extra in _requirements():
        there, bound = _version(requirement.name), str(requirement.specifier)
        if there is None:
            facts[requirement.name] = "not installed"
            if wanted or not extra:
                found.problems.append(
                    f"{requirement.name} is not installed, and psbench needs it"
                    f"{' for models' if extra else ''}: pip install '{requirement.name}{bound}'"
                )
        elif requirement.specifier.contains(there, prereleases=True):
            facts[requirement.name] = there
            if not extra:
                _load(found, requirement.name)
        else:
            facts[requirement.name] = f"{there}, needed: {bound}"
            remedy = _AGAIN if requirement.name.startswith("torch") else f"pip install '{requirement.name}{bound}'"
            found.problems.append(f"{requirement.name} {there} is installed, psbench needs {bound}. {remedy}")


def _load(found: Diagnosis, package: str) -> None:
    """A package whose files are damaged, or whose libraries are missing, is a problem."""
    _, error = _attempted(lambda: import_module(_MODULES.get(package, package)))
    if error:
        found.facts["packages"][package] += ", cannot be loaded"
        found.problems.append(
            f"{package} cannot be loaded ({error}). Install it again: pip install --force-reinstall {package}"
        )


def _requirements() -> list[tuple[Requirement, bool]]:
    """What psbench declares, and of each whether it is of the extra `zoo`."""
    from packaging.requirements import Requirement

    needed = []
    for line in requires("psbench") or ():
        requirement = Requirement(line)
        plain = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if plain or (requirement.marker and requirement.marker.evaluate({"extra": "zoo"})):
            needed.append((requirement, not plain))
    return needed


def _torch(found: Diagnosis) -> None:
    """Whether torch works, torchvision fits it, and each GPU computes."""
    facts = found.facts["models"]
    torch, error = _attempted(lambda: import_module("torch"))
    if error:
        facts["torch"] = f"cannot be loaded ({error})"
        found.problems.append(f"torch cannot be loaded ({error}). {_AGAIN}")
        return
    if _version("torchvision"):
        # torchvision registers its operators in torch; a pair that does not fit fails only here.
        _, error = _attempted(_suppress_one_box)
        facts["torch and torchvision"] = f"do not fit together ({error})" if error else "fit together"
        if error:
            found.problems.append(
                f"torch and torchvision do not fit together ({error}). They are released in pairs, and these two are "
                f"not one. {_AGAIN}"
            )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count, error = _attempted(lambda: torch.cuda.device_count() if torch.cuda.is_available() else 0)
    if error := error or (str(said[0].message) if said and not count else None):
        found.problems.append(
            f"CUDA cannot be used ({error}). Install the driver that torch {torch.__version__} needs, or a torch that "
            "is made for this driver (pytorch.org names the pairs)."
        )
    for number in range(count or 0):
        found.facts["devices"][f"cuda:{number}"] = _gpu(found, torch, number)
    if not count:
        found.facts["devices"]["GPU"] = "none that torch can use; models run on the CPU"
    for package in ("timm", "accelerate", "simplejpeg"):
        if _version(package):
            _load(found, package)
    if _version("timm"):
        facts["pretrained weights"] = _pretrained()


def _suppress_one_box() -> None:
    import torch
    import torchvision

    torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)


def _gpu(found: Diagnosis, torch: Any, number: int) -> str:
    """A GPU in words; that it computes nothing is a problem."""
    its, error = _attempted(lambda: torch.cuda.get_device_properties(number))
    if not error:
        _, error = _attempted(lambda: torch.ones(2, device=f"cuda:{number}").sum().item())
    if error:
        found.problems.append(
            f"cuda:{number} does not compute ({error}). Another process may hold it (nvidia-smi), or this torch is not "
            "made for it: install one that is, or leave this GPU out with CUDA_VISIBLE_DEVICES."
        )
    if its is None:
        return f"cannot be asked ({error})"
    # bf16 came with Ampere; before, it is emulated.
    bf16 = "bf16" if its.major >= 8 else "no bf16"
    return f"{its.name}, {its.total_memory / 2**30:.0f} GiB, capability {its.major}.{its.minor}, {bf16}"


def _pretrained() -> str:
    """Whether the weights that recipes start from are there."""
    there, error = _attempted(lambda: weights_are_cached(_BACKBONE))
    if error:
        return f"cannot be told ({error})"
    where = "are in the cache" if there else "are not in the cache: the first training that needs them fetches them"
    return f"those of {_BACKBONE} {where}"


def _folders(found: Diagnosis) -> None:
    """Where psbench and its libraries keep what is fetched and computed."""
    facts = found.facts.setdefault("folders", {})
    places: list[tuple[str, Callable[[], Any], str]] = [
        ("psbench's cache", cache_folder, "PSBENCH_CACHE"),
        ("Hugging Face's and timm's", lambda: import_module("huggingface_hub.constants").HF_HOME, "HF_HOME"),
        ("matplotlib's", lambda: import_module("matplotlib").get_cachedir(), "MPLCONFIGDIR"),
    ]
    if torch := sys.modules.get("torch"):
        places.append(("torch's", lambda: torch.hub.get_dir(), "TORCH_HOME"))
    for about, find, variable in places:
        place, error = _attempted(find)
        if error:
            facts[about] = f"cannot be told ({error})"
            found.problems.append(f"{about} folder cannot be told ({error}). Set {variable} to a writable folder.")
            continue
        free, error = _attempted(partial(_room, Path(place)))
        facts[about] = str(place) + (f", cannot be written ({error})" if error else f", {free / 2**30:.1f} GiB free")
        if error:
            found.problems.append(f"{place}: cannot be written ({error}). Set {variable} to a writable folder.")
        elif free < _LITTLE:
            found.problems.append(f"{place}: {free / 2**20:.0f} MiB are free. Make room, or set {variable}.")


def _room(folder: Path) -> int:
    """Free bytes where a folder is or would be made.

    Raises:
        OSError: nothing can be written there.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    with tempfile.TemporaryFile(dir=there):
        return shutil.disk_usage(there).free


def _attempted(ask: Callable[[], Any]) -> tuple[Any, str | None]:
    """What is answered, or why nothing is: a broken installation may raise anything."""
    try:
        return ask(), None
    except Exception as error:
        return None, " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
