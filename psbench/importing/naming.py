"""Which scene and which query each row of a dump is, where it does not say so itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from psbench.importing.dump import Dump
from psbench_data import InputError, PersonSearchDataset, Protocol

_MOST_BYTES = 2**28


def read_names(path: str | Path) -> list[str]:
    """The names of a text file, one a line.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: longer than {_MOST_BYTES} bytes. Give a text file with a name a line.")
        return [line for line in map(str.strip, path.read_text(encoding="utf-8").splitlines()) if line]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}. Give a text file with a name a line.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file. Give one with a name a line.") from None


def scene_names(dump: Dump, dataset: PersonSearchDataset, protocol: Protocol, given: list[str] | None) -> list[str]:
    """The name of each scene of a dump.

    Args:
        dump: it.
        dataset: whose test scenes they are.
        protocol: in whose pool they are.
        given: the names, where they are known from elsewhere.

    Raises:
        InputError: names are needed, or do not fit.
    """
    test, count = protocol.scenes, len(dump.counts)
    names = dump.scene_names if given is None else given
    if names is not None:
        faults = [f"{len(names)} names for {count} scenes. Give one for each."] if len(names) != count else []
        unknown = [name for name in names if name not in test.positions]
        faults += [f"{name!r} is no test scene of this {dataset.name}." for name in unknown]
        if faults:
            raise InputError(faults)
        return names
    # Where pools differ (MovieNet-CS), the test scenes begin with the first one, in its order; of the others they keep
    # which scenes belong to them, and not in which order.
    first = dataset.protocol(dataset.protocols[0]).pool
    ordered = np.array_equal(protocol.pool, first) and np.array_equal(first, np.arange(len(first)))
    if ordered and count == len(first):
        return list(test.names[:count])
    if count == len(protocol.pool):
        raise InputError(
            f"{count} scenes, as the pool of {protocol.name} has, whose order is that of its own file. Say which they "
            "are: --names FILE, a name a line."
        )
    raise InputError(
        f"{count} scenes, while {protocol.name} of this {dataset.name} has {len(protocol.pool)}. Is it of this "
        "dataset, and of this protocol (--protocol)? If so, say which scenes they are: --names FILE, a name a line."
    )


def query_keys(dump: Dump, protocol: Protocol) -> tuple[list[str], np.ndarray]:
    """The scene names and (Q, 4) boxes of a dump's queries.

    Raises:
        InputError: they are not as many as the protocol's.
    """
    scenes, boxes, count = dump.query_scenes, dump.query_boxes, len(dump.query_embeddings)
    if scenes is None or boxes is None:
        scenes, boxes = protocol.queries.scene_names, protocol.queries.boxes
        if count != len(boxes):
            raise InputError(
                f"{count} query embeddings, while {protocol.name} of this {protocol.dataset} has {len(boxes)} queries. "
                "Name the protocol that they are of, with --protocol."
            )
    return scenes, boxes
