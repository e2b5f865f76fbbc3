"""Recipes: everything that a training depends on besides the data, typed and documented."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from psbench_data.errors import InputError, near_names
from psbench_data.validation import value_error

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)

Precision = Literal["fp32", "bf16", "fp16"]
BatchNorm = Literal["batch", "frozen", "synchronised"]
"""Where batch norm takes its statistics from in training."""


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Optimizer:
    """Stochastic gradient descent with momentum.

    Attributes:
        lr: learning rate after the warm-up.
        momentum: of the gradient.
        nesterov: look ahead along it.
        weight_decay: on every trainable parameter.
        decay_biases, decay_norms: on biases and on batch norms too.
        bias_lr_factor: the rate of biases is so many times lr.
        backbone_lr_factor: the rate of the module called backbone is so many times that of the others.
        clip_norm: the gradient's total norm is scaled down to this; none does not.
        clip_value: each of its numbers is brought into [-clip_value, clip_value]; none does not.
    """

    lr: Annotated[float, Field(gt=0)] = 0.003
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    decay_biases: bool = True
    decay_norms: bool = True
    bias_lr_factor: Annotated[float, Field(gt=0)] = 1.0
    backbone_lr_factor: Annotated[float, Field(gt=0)] = 1.0
    clip_norm: Annotated[float, Field(gt=0)] | None = 10.0
    clip_value: Annotated[float, Field(gt=0)] | None = None


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Schedule:
    """How long, and how the learning rate moves.

    Attributes:
        epochs: passes over the training data.
        milestones: epochs (from 0) before which the learning rate is multiplied by gamma.
        gamma: at each milestone.
        warmup_epochs: over so many epochs the rate grows linearly, an iteration at a time.
        warmup_start: the share of lr that the warm-up starts from.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    milestones: tuple[Annotated[int, Field(ge=0)], ...] = (16,)
    gamma: Annotated[float, Field(gt=0)] = 0.1
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    warmup_start: Annotated[float, Field(gt=0, le=1)] = 0.001


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Execution:
    """How a recipe is carried out on the machines at hand.

    Attributes:
        precision: of convolutions and matrix products in the network. Losses, tables, norms and box arithmetic stay in
            float32. fp16 needs a GPU.
        images_per_process: at once, whose batch norm statistics are common; none takes the recipe's batch_size.
        accumulation: so many batches of every process are added up to one step. That is not the same as a larger
            batch: batch norm sees each alone, and OIM's tables move after each.
        scale_lr: multiply the learning rate by global batch / batch_size (the linear rule), where these differ.
        channels_last: keep maps with their channels innermost, which is faster on GPUs; ignored on CPUs.
        activation_checkpointing: recompute the backbone's maps in the backward pass instead of keeping them: less
            memory, more time, the same results.
        compile: the backbone and the heads over RoIs with torch.compile; images are padded to multiples of
            `size_bucket`, so that there are few sizes to compile for.
        size_bucket: pixels, a multiple of 32.
    """

    precision: Precision = "bf16"
    images_per_process: Annotated[int, Field(ge=1)] | None = None
    accumulation: Annotated[int, Field(ge=1)] = 1
    scale_lr: bool = False
    channels_last: bool = True
    activation_checkpointing: bool = False
    compile: bool = False
    size_bucket: Annotated[int, Field(ge=32, multiple_of=32)] = 128


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Published:
    """What the recipe's paper reports, in percent."""

    protocol: str
    map: float
    top1: float
    source: str


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class Recipe:
    """Model, dataset and schedule.

    Attributes:
        name: how the recipe is called; `seqnet-cuhk_sysu` is the paper's.
        model: a name of `psbench.zoo.available()`.
        dataset: a name of `psbench_data.available()`.
        model_options: the model's options that differ from its defaults, see the model's page.
        optimizer, schedule, execution: see there.
        batch_size: images (scenes, or crops) a step, of all processes together, that the other values were chosen for.
        flip: probability of mirroring an image.
        group_by_aspect: put landscape and portrait images into separate batches, which wastes less on padding.
        batch_norm: "batch" normalises by the statistics of each process's batch, "synchronised" by those of all
            processes (GPUs only), "frozen" by the running statistics, which then stay as they are: for pretrained
            networks and few images a process.
        ema: the weights that are kept are a moving average with this decay over the steps; none keeps the last.
        starts_from: the recipe whose trained weights this one starts from, to be given as `start_from`.
        detections_from: for a model that trains on crops, the recipe whose model finds further ones in the training
            scenes, to be given as `detections`.
        workers: processes that decode images, or as many as there are cores, if these are fewer; 0 decodes in the
            training process.
        seed: of weights, order and mirroring.
        expected: the published result, if the recipe is a paper's.
    """

    name: str
    model: str
    dataset: str
    model_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    execution: Execution = dataclasses.field(default_factory=Execution)
    batch_size: Annotated[int, Field(ge=1)] = 5
    flip: Annotated[float, Field(ge=0, le=1)] = 0.5
    group_by_aspect: bool = False
    batch_norm: BatchNorm = "batch"
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    starts_from: str | None = None
    detections_from: str | None = None
    workers: Annotated[int, Field(ge=0)] = 4
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    expected: Published | None = None

    def override(self, changes: Mapping[str, Any]) -> Recipe:
        """A recipe with some values changed; it is no longer the paper's, and its name and `expected` say so.

        Args:
            changes: values by dotted name, for example {"optimizer.lr": 0.01, "model_options.backbone": "resnet18"};
                strings are converted to the field's type.

        Raises:
            InputError: listing every unknown name and impossible value.
        """
        values = self.to_dict()
        faults = []
        for dotted, value in changes.items():
            *parents, last = dotted.split(".")
            place: Any = values
            for parent in parents:
                place = place.get(parent) if isinstance(place, dict) else None
            if not isinstance(place, dict) or (last not in place and parents != ["model_options"]):
                faults.append(f"recipe {self.name} has no value {dotted!r}. {near_names(dotted, _dotted(values))}")
            else:
                place[last] = value
        if faults:
            raise InputError(faults)
        changed = Recipe.from_dict(values, source=f"recipe {self.name}")
        if changed.digest == self.digest:
            return changed
        name = changed.name if changed.name != self.name else self.name.removesuffix("-changed") + "-changed"
        return dataclasses.replace(changed, name=name, expected=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON would hold them."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @staticmethod
    def from_dict(values: Mapping[str, Any], *, source: str) -> Recipe:
        """The recipe of plain values.

        Raises:
            InputError: listing every impossible value; `source` says where they came from.
        """
        try:
            return TypeAdapter(Recipe).validate_python(dict(values))
        except ValidationError as error:
            raise value_error(f"{source}:", error) from None

    @property
    def digest(self) -> str:
        """SHA-256 of the values that a result can depend on, but for the rounding of its numbers."""
        values = self.to_dict()
        for irrelevant in ("name", "workers", "expected"):
            del values[irrelevant]
        unused = () if self.execution.compile else ("size_bucket",)
        for irrelevant in ("channels_last", "activation_checkpointing", *unused):
            del values["execution"][irrelevant]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _dotted(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    names = []
    for key, value in values.items():
        names += _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names
