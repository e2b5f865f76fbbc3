"""From a file that other code dumped to predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from psbench.importing.dump import Dump
from psbench.importing.eval_cache import read_eval_cache
from psbench.importing.naming import query_keys, scene_names
from psbench.importing.npz import read_npz
from psbench.predictions import Predictions
from psbench_data import InputError, PersonSearchDataset
from psbench_data.errors import near_names
from psbench_data.faults import Collected, told_of

FORMS: dict[str, Callable[[Path], Dump]] = {"seqnet": read_eval_cache, "glcnet": read_eval_cache, "npz": read_npz}
"""What can be read, see the modules of the readers."""


def import_detections(
    form: str,
    path: str | Path,
    dataset: PersonSearchDataset,
    *,
    protocol: str | None = None,
    names: Sequence[str] | None = None,
    method: str = "",
) -> Predictions:
    """Bring a dump into the form of predictions. Nothing in the file is executed.

    Args:
        form: one of `FORMS`.
        path: the dump.
        dataset: that they were made on.
        protocol: whose queries they are, and in whose pool the scenes; the first one by default. All protocols with
            the same queries and pool are served.
        names: of the scenes, where the dump has none and they are not all test scenes in the dataset's own order.
        method: what the predictions are called.

    Raises:
        InputError: listing everything that is wrong with the file, and in which it does not fit the dataset.
    """
    if form not in FORMS:
        raise InputError(f"there is no form {form!r}. {near_names(form, FORMS)}")
    path, asked = Path(path), dataset.protocol(protocol or dataset.require_protocols()[0])
    dump = FORMS[form](path)
    with told_of(path, instead_of="Predictions.from_arrays: "):
        with Collected() as faults:
            with faults.step():
                scenes = scene_names(dump, dataset, asked, None if names is None else list(names))
            with faults.step():
                query_scenes, query_boxes = query_keys(dump, asked)
        return Predictions.from_arrays(
            scenes,
            counts=dump.counts,
            boxes=dump.boxes,
            scores=dump.scores,
            embeddings=dump.embeddings,
            query_embeddings=dump.query_embeddings,
            query_scenes=query_scenes,
            query_boxes=query_boxes,
            context=dump.context,
            method=method,
            dataset=dataset.name,
            fingerprint=asked.fingerprint,
            synthetic=dataset.synthetic,
        )
