"""Models of other packages: found by their entry points, and made models of the zoo.

A package names its models in pyproject.toml, under the names by which they are asked for:

    [project.entry-points."psbench.models"]
    mymodel = "my_package:MyModel"

Nothing of a package is imported before one of its models is asked for. docs/own_method.md shows a whole one.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked
from torch import nn

from psbench.zoo.interface import JointModel, TrainsOn, ZooModel
from psbench_data.errors import InputError

GROUP = "psbench.models"
_SAID = ("options", "training_only", "trains_on", "size_bucket", "recipe", "walk", "preprocessing")
"""What the zoo reads of a model, see `ZooModel`."""


def plugins() -> Mapping[str, tuple[EntryPoint, ...]]:
    """The models that installed packages name; each name once, with every package's entry point of it."""
    return _entries(tuple(sys.path))


def package_of(name: str) -> str | None:
    """The package, with its version, that brings a model; None if no other package does."""
    return _package(plugins()[name][0]) if name in plugins() else None


def plugin_class(name: str) -> type[ZooModel]:
    """The class of another package's model, as one of the zoo.

    Raises:
        InputError: its package does not load, what it names cannot be used, or several packages use the name.
    """
    first, *others = plugins()[name]
    if others:
        packages = " and ".join(_package(entry) for entry in (first, *others))
        raise InputError(f"{packages} each bring a model called {name!r}. Uninstall one, or rename its entry point.")
    where = f"{_package(first)}: its model {name!r} ({first.value})"
    try:
        found = first.load()
    # Whatever the package does when it is imported.
    except Exception as error:
        raise InputError(
            f"{where} cannot be loaded ({type(error).__name__}: {error}). Mend the package, or uninstall it."
        ) from error
    if faults := _faults(found):
        raise InputError(f"{where} {fault}" for fault in faults)
    return _adopted(found)


def refuse_clash(name: str) -> None:
    """Refuse a name of the zoo's own that another package uses, too: which of the two is meant is not for us to say.

    Raises:
        InputError: naming the package.
    """
    if package := package_of(name):
        raise InputError(
            f"{package} brings a model called {name!r}, as psbench itself does. Rename its entry point (group "
            f"{GROUP}), or uninstall the package."
        )


@functools.cache
def _entries(path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    """As `plugins`, where packages are looked for on a path."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        # A package that is on the path twice is the same one.
        if entry.value not in [other.value for other in found.get(entry.name, ())]:
            found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _faults(found: Any) -> list[str]:
    """Why something cannot be a model: each the end of a sentence."""
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        return [f"is {found!r}, expected a class that derives from torch.nn.Module."]
    faults = []
    if not (hasattr(found, "detect") or hasattr(found, "embed")):
        faults.append("has neither detect nor embed. Give it the methods of psbench.zoo.PersonSearcher.")
    options_type = getattr(found, "options_type", None)
    if options_type is None and "num_identities" not in inspect.signature(found).parameters:
        faults.append("does not take num_identities. Let its constructor take that, whether it is needed or not.")
    if options_type is not None and not dataclasses.is_dataclass(options_type):
        faults.append("has an options_type that is no dataclass. Make it one, or leave it out.")
    trains_on = getattr(found, "trains_on", ZooModel.trains_on)
    if trains_on not in get_args(TrainsOn):
        faults.append(f"has trains_on = {trains_on!r}, expected one of {', '.join(get_args(TrainsOn))}.")
    return faults


@functools.cache
def _adopted(found: type[nn.Module]) -> type[ZooModel]:
    """A class as one of the zoo: itself, with what it does not say.

    It derives from the class, so that its state, its name and everything else in it are as they were.
    """
    takes_options = hasattr(found, "options_type")
    if takes_options and issubclass(found, ZooModel):
        return found
    said: dict[str, Any] = {} if takes_options else {"options_type": _options_type(found)}
    if not hasattr(found, "trains_on") and not hasattr(found, "detect"):
        said["trains_on"] = "crops"

    def init(self: ZooModel, num_identities: int, options: Any) -> None:
        if takes_options:
            found.__init__(self, num_identities, options)
        else:
            given = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
            found.__init__(self, num_identities=num_identities, **given)
        _require_names(self, found, takes_options)
        self.options = options

    base = JointModel if hasattr(found, "detect") and hasattr(found, "embed") else ZooModel
    bases = (found,) if issubclass(found, base) else (found, base)
    body = {"__init__": init, "__module__": found.__module__, "__qualname__": found.__qualname__, **said}
    return types.new_class(found.__name__, bases, exec_body=lambda names: names.update(body))


def _options_type(found: type[nn.Module]) -> type:
    """The named arguments of a constructor as a dataclass that checks their types, where these are annotated."""
    try:
        parameters = inspect.signature(found, eval_str=True).parameters
    # Annotations that only a type checker can resolve.
    except NameError:
        parameters = inspect.signature(found).parameters
    fields: list[Any] = [
        (parameter.name, _annotation(parameter), *_default(parameter))
        for parameter in parameters.values()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name != "num_identities"
    ]
    plain = dataclasses.make_dataclass(f"{found.__name__}Options", fields, kw_only=True, frozen=True)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    return checked(plain, frozen=True, kw_only=True, config=config)


def _annotation(parameter: inspect.Parameter) -> Any:
    """The type of an argument; of one that has none, that of a default which JSON keeps as another."""
    if parameter.annotation is parameter.empty or isinstance(parameter.annotation, str):
        return tuple if isinstance(parameter.default, tuple) else Any
    return parameter.annotation | None if parameter.default is None else parameter.annotation


def _default(parameter: inspect.Parameter) -> list[Any]:
    if parameter.default is parameter.empty:
        return []
    return [dataclasses.field(default_factory=functools.partial(copy.deepcopy, parameter.default))]


def _require_names(model: nn.Module, found: type[nn.Module], takes_options: bool) -> None:
    """Refuse a model that means something else by a name that the zoo reads."""
    own = vars(model).keys() | model._modules.keys() | model._parameters.keys() | model._buffers.keys()
    taken = [name for name in _SAID if name in own and not hasattr(found, name)]
    if taken := [name for name in taken if name != "options" or not takes_options]:
        raise InputError(
            f"{found.__name__}: its attribute {name!r} has a name that psbench reads (psbench.zoo.interface.ZooModel). "
            "Rename it."
            for name in taken
        )
