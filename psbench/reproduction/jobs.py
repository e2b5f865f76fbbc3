"""What there is to make, as plain data: networks, their predictions, and what is measured of these.

Each is named by a digest of all that it depends on: what bears the name is what would be made again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from psbench.training.recipe import Recipe
from psbench.training.recipes import recipe_for
from psbench_data import PersonSearchDataset, load

RESULTS = 1
"""Raised by whoever changes code such that results change: nothing that was made before is reused then."""
_FROZEN = ConfigDict(extra="forbid", frozen=True)


class Data(BaseModel):
    """A dataset, as it is opened."""

    model_config = _FROZEN

    name: str
    root: Path
    options: dict[str, Any]

    def load(self) -> PersonSearchDataset:
        """Open it."""
        return load(self.name, root=self.root, **self.options)


class Network(BaseModel):
    """A network with weights: trained by a recipe on a dataset, or given.

    Attributes:
        name: of its run, a folder.
        recipe: as `Recipe.to_dict` gives it.
        given: the file of the weights, where nothing is trained.
        start: whose weights its training starts from.
        detector: which finds people in the training scenes that it learns from, too.
    """

    model_config = _FROZEN

    name: str
    recipe: dict[str, Any]
    given: Path | None = None
    start: Network | None = None
    detector: Network | None = None

    @property
    def needs(self) -> list[Network]:
        """Whose weights have to be there before it can be trained."""
        return [network for network in (self.start, self.detector) if network is not None]


class Evaluation(BaseModel):
    """A protocol that predictions are evaluated under.

    Attributes:
        name: of the file with the result.
        protocol: its name.
        cbgm: whether similarities are revised by the people around each query.
        keep: proposals a query that are kept over its whole gallery, of a pairwise model.
    """

    model_config = _FROZEN

    name: str
    protocol: str
    cbgm: bool = False
    keep: int | None = None


class Prediction(BaseModel):
    """What a network finds in a dataset's test scenes.

    Attributes:
        name: of the folder with the predictions, or its beginning.
        ground_truth_boxes: whether annotated boxes are embedded instead of detecting.
        reid: the re-ID network that ranks what is found; None leaves it to the network itself.
        kept: the protocols whose galleries a pairwise model searches, or a re-ID network ranks, and how many proposals
            a query are enough there for every evaluation, None for all; empty for models of other kinds.
        proposals: what a pairwise model found that the re-ID network ranks.
        evaluations: of these predictions.
    """

    model_config = _FROZEN

    name: str
    ground_truth_boxes: bool = False
    reid: Network | None = None
    kept: dict[str, int | None] = {}
    proposals: Prediction | None = None
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def context(self) -> bool:
        """Whether what is around each query has to be predicted, too."""
        return any(evaluation.cbgm for evaluation in self.evaluations)

    @property
    def pairwise_name(self) -> str:
        """Of the folder with what a pairwise model found: it tells where that is, and how many are kept."""
        galleries = (f"{protocol}-{kept or 'all'}" for protocol, kept in self.kept.items())
        return f"{self.name}-{'+'.join(galleries)}"

    def served_by(self, pairwise_name: str) -> bool:
        """Whether a folder whose name begins alike is of all these protocols, and keeps enough."""
        parts = [part.rpartition("-") for part in pairwise_name.removeprefix(f"{self.name}-").split("+")]
        there = {protocol: math.inf if kept == "all" else int(kept) for protocol, _, kept in parts}
        return all(there.get(protocol, 0) >= (kept or math.inf) for protocol, kept in self.kept.items())


class Job(BaseModel):
    """What one process makes: a network's training, its predictions, and what is measured of these.

    Attributes:
        network: see there.
        data: see there.
        predictions: see there; none where the network serves others alone.
        anew: make everything again, and replace what is there.
    """

    model_config = _FROZEN

    network: Network
    data: Data
    predictions: tuple[Prediction, ...] = ()
    anew: bool = False

    @property
    def needs(self) -> list[Network]:
        """Whose weights have to be there before it can be done."""
        return [*self.network.needs, *(p.reid for p in self.predictions if p.reid is not None)]


class CostJob(BaseModel):
    """A model whose parameters, multiply-adds, memory and speed are measured, with fresh weights.

    Attributes:
        name: of the file with the result.
        model: a name of the zoo.
        options: that differ from its own.
        size: images are resized into this height and width, pixels; None for a pairwise model's own.
        anew: measure again where it has been.
    """

    model_config = _FROZEN

    name: str
    model: str
    options: dict[str, Any]
    size: tuple[int, int] | None
    anew: bool = False


def cost_job(recipe: Recipe, size: tuple[int, int] | None) -> CostJob:
    """The measuring of a recipe's model on the present device.

    Raises:
        InputError: an option of the model is unknown or impossible.
    """
    key = digest_of(model=recipe.model, options=model_options(recipe), size=size, device=present_device())
    options = with_fresh_weights(recipe).model_options
    return CostJob(name=f"{recipe.name}-{key}", model=recipe.model, options=options, size=size)


def with_fresh_weights(recipe: Recipe) -> Recipe:
    """A recipe whose model starts from no pretrained weights, which have to be fetched and make nothing faster."""
    return recipe.override({"model_options.pretrained": False}) if "pretrained" in recipe.model_options else recipe


def network_of(recipe: Recipe, dataset: PersonSearchDataset) -> Network:
    """The network that a recipe trains on a dataset.

    Raises:
        InputError: an option of the model is unknown or impossible.
    """
    start = _before(recipe.starts_from, dataset)
    detector = _before(recipe.detections_from, dataset)
    key = digest_of(
        recipe=recipe.digest,
        # A recipe holds what differs from the model's defaults, and these may change.
        options=model_options(recipe),
        fingerprint=dataset.fingerprint,
        needs=[network and network.name for network in (start, detector)],
    )
    return Network(name=_called(recipe, dataset, key), recipe=recipe.to_dict(), start=start, detector=detector)


def given_network(recipe: Recipe, dataset: PersonSearchDataset, weights: Path) -> Network:
    """The network of a recipe whose weights are in a file."""
    from psbench.zoo.weights import file_digest

    key = digest_of(model=recipe.model, options=model_options(recipe), weights=file_digest(weights))
    return Network(name=_called(recipe, dataset, key), recipe=recipe.to_dict(), given=weights.resolve())


def protocol_digests(dataset: PersonSearchDataset) -> dict[str, str]:
    """Of all protocols of a dataset, by name: what a result under them depends on."""
    return {name: dataset.protocol(name).digest for name in dataset.protocols}


def evaluation_of(
    network: Network,
    protocol: str,
    digests: Mapping[str, str],
    *,
    ground_truth_boxes: bool = False,
    reid: Network | None = None,
    cbgm: bool = False,
    keep: int | None = None,
) -> Evaluation:
    """A network's evaluation under a protocol, one of those of the digests; the other arguments are explained above."""
    key = digest_of(
        network=network.name,
        protocol=digests[protocol],
        ground_truth_boxes=ground_truth_boxes,
        reid=reid and reid.name,
        cbgm=cbgm,
        keep=keep,
    )
    return Evaluation(name=key, protocol=protocol, cbgm=cbgm, keep=keep)


def prediction_of(
    network: Network,
    digests: Mapping[str, str],
    *,
    ground_truth_boxes: bool = False,
    reid: Network | None = None,
    kept: Mapping[str, int | None] | None = None,
    proposals: Prediction | None = None,
    evaluations: Iterable[Evaluation] = (),
) -> Prediction:
    """A network's predictions; the arguments are as in `Prediction`, the digests those of the dataset's protocols."""
    key = digest_of(
        network=network.name,
        # The queries of all protocols are embedded at once; a search is of whichever its folder's name tells.
        protocols=digests,
        ground_truth_boxes=ground_truth_boxes,
        reid=reid and reid.name,
    )
    return Prediction(
        name=f"{network.name}-{key}",
        ground_truth_boxes=ground_truth_boxes,
        reid=reid,
        kept=dict(kept or {}),
        proposals=proposals,
        evaluations=tuple(dict.fromkeys(evaluations)),
    )


def model_options(recipe: Recipe) -> dict[str, Any]:
    """All options that a recipe's model is made with, the defaults included, as plain values.

    Raises:
        InputError: one is unknown or impossible.
    """
    import dataclasses

    from psbench.zoo import options_for

    return json.loads(json.dumps(dataclasses.asdict(options_for(recipe.model, **recipe.model_options))))


def present_device() -> str:
    """What this process computes on, by name."""
    from psbench.hardware import device_name
    from psbench.processes import this_process

    return device_name(this_process().device)


def on(recipe: Recipe, dataset: PersonSearchDataset) -> Recipe:
    """A recipe for a dataset, whatever it was made for: recipes for drawn people serve every format."""
    return recipe.override({"dataset": dataset.name})


def _before(name: str | None, dataset: PersonSearchDataset) -> Network | None:
    return network_of(on(recipe_for(name), dataset), dataset) if name else None


def _called(recipe: Recipe, dataset: PersonSearchDataset, key: str) -> str:
    of_dataset = "" if dataset.name in recipe.name else f"-{dataset.name}"
    return f"{recipe.name}{of_dataset}-{key}"


def digest_of(**values: Any) -> str:
    """Of plain values, short enough for a file's name and long enough to be unique."""
    return hashlib.sha256(json.dumps({"results": RESULTS, **values}, sort_keys=True).encode()).hexdigest()[:16]
