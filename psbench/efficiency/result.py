"""What was measured of a model, as it is kept in a JSON file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from psbench_data import InputError
from psbench_data.atomic import new_file
from psbench_data.validation import file_error

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""What the network computes in: float32; float32 with convolutions in TF32, as `psbench predict` does on a GPU; or
half precision by autocast."""
Way = Literal["network", "end to end"]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timing(_Kept):
    """Calls one after the other, each of images of one size; of a re-ID network's own, an image is a crop.

    Attributes:
        way: "network": from images on the device, resized before, to results there. "end to end": from JPEG bytes in
            memory to results on the host, decoding, resizing and copying included.
        batch: images of a call.
        workers: threads that decode ahead; 0: decoding takes its turn with the network.
        images: that were timed.
        images_per_second: these, divided by all the time they took.
        median, p95: seconds of a call; None with workers, as calls overlap then.
        people: found in, or of a re-ID network embedded of, an image on average.
        memory: bytes at most, see `Efficiency.memory_is`. The network's own images wait on the device in "network".
    """

    way: Way
    batch: Count
    workers: Annotated[int, Field(ge=0)]
    images: Count
    images_per_second: Positive
    median: Positive | None
    p95: Positive | None
    people: Amount
    memory: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.median is None) != (self.workers > 0) or (self.p95 is None) != (self.workers > 0):
            raise ValueError("expected median and p95 where there are no workers, and only there")
        if self.median is not None and self.p95 is not None and self.median > self.p95:
            raise ValueError("the median is above the 95th percentile")
        return self

    @property
    def people_per_second(self) -> float:
        """Of a re-ID network: crops."""
        return self.images_per_second * self.people


class AtSize(_Kept):
    """One size of images.

    Attributes:
        height, width: images are resized into this, upright ones into its transpose; of a re-ID network, of the crops.
        gmac: 10^9 multiply-adds of an image of just this size (of a re-ID network: a crop) by `psbench.zoo.cost`,
            at the numbers of RoIs and people in `Efficiency`.
        score_threshold: above which detections were kept; None where none was set.
        rois: that the heads saw of an image on average; None without RoIs.
        timings: the network's at every batch that was tried, and from end to end at batch 1 and the network's best.
        too_large: the batch for which memory did not suffice, if there was one.
    """

    height: Count
    width: Count
    gmac: Positive
    score_threshold: float | None
    rois: Positive | None
    timings: tuple[Timing, ...]
    too_large: Count | None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not all(self.find(way, 1) for way in ("network", "end to end")):
            raise ValueError("expected timings at batch 1, of the network and from end to end")
        return self

    def find(self, way: Way, batch: int, workers: int = 0) -> Timing | None:
        """A timing, if it was taken."""
        wanted = (way, batch, workers)
        return next((t for t in self.timings if (t.way, t.batch, t.workers) == wanted), None)

    @property
    def alone(self) -> Timing:
        """The network at batch 1, as papers time it."""
        return next(t for t in self.timings if (t.way, t.batch) == ("network", 1))

    @property
    def best(self) -> Timing:
        """The network at the batch with the most images a second."""
        return max((t for t in self.timings if t.way == "network"), key=lambda t: t.images_per_second)

    @property
    def served(self) -> Timing:
        """From end to end, in the way with the most images a second."""
        return max((t for t in self.timings if t.way == "end to end"), key=lambda t: t.images_per_second)

    @property
    def memory(self) -> int:
        """Bytes at most when images come one by one from their JPEG bytes, see `Efficiency.memory_is`."""
        return next(t.memory for t in self.timings if (t.way, t.batch, t.workers) == ("end to end", 1, 0))


class Pairs(_Kept):
    """Scenes, encoded before, searched for several queries at once: correlation and head.

    Attributes:
        queries: at once.
        pairs_per_second: of a query and a scene.
    """

    queries: Count
    pairs_per_second: Positive


class Search(_Kept):
    """One query's search through scenes by a pairwise model, in its parts: seconds, the median over queries.

    Attributes:
        height, width: scenes are resized into this, upright ones into its transpose.
        scene_gmac, query_gmac, pair_gmac: 10^9 multiply-adds of encoding a scene of just this size, of encoding a
            query, and of searching the one for the other, by `psbench.zoo.cost` at the number of RoIs in `Efficiency`.
        scenes: that are searched.
        queries: that were timed.
        proposals: of a query in all scenes together, on average.
        reid: the re-ID network, with fresh weights, that ranks the best proposals.
        crops: that it embeds: the query's, and of as many proposals as there are scenes, if there are as many.
        decoding: of the scenes' JPEG bytes, and copying them to the device.
        encoding: the scenes, one by one, which serves all queries.
        query: encoding the query.
        correlation: of the query with the scenes, one by one, and the proposals that follow from it.
        head: the second stage, on the proposals; results are on the host then.
        ranking: by the re-ID network.
        pairs: without re-ID, at several numbers of queries.
        memory: bytes at most, see `Efficiency.memory_is`; the encoded scenes are in it.
    """

    height: Count
    width: Count
    scene_gmac: Positive
    query_gmac: Positive
    pair_gmac: Positive
    scenes: Count
    queries: Count
    proposals: Amount
    reid: str
    crops: Count
    decoding: Positive
    encoding: Positive
    query: Positive
    correlation: Positive
    head: Positive
    ranking: Positive
    pairs: tuple[Pairs, ...]
    memory: Annotated[int, Field(ge=0)]

    @property
    def further(self) -> float:
        """Seconds of a query in scenes that are encoded."""
        return self.query + self.correlation + self.head + self.ranking

    @property
    def first(self) -> float:
        """Seconds of a query for which the scenes are encoded, from images on the device."""
        return self.encoding + self.further


class Efficiency(_Kept):
    """What was measured of one model on one device.

    Attributes:
        schema_version: rises when results of before no longer compare with those of now.
        model: its name in the zoo.
        options: that differ from the model's own, the size and the score threshold left aside.
        weights: SHA-256 of the weights file; None for fresh weights.
        parameters: of the model; of these, `trained` are changed by training.
        sizes: in the order in which they were measured.
        searches: of a pairwise model, which has no `sizes`; one a size.
        device: by its name.
        threads: of torch on the CPU.
        precision: what the network computes in.
        memory_is: "allocated" on the GPU, weights included; or "resident growth" of the process on a CPU while the
            model ran, its weights not included.
        data: whose image sizes the drawn images have, and whose people's number.
        people: that the score threshold was set to find in an image on average; None where there is nothing to set.
        rois: at which multiply-adds were counted; None where nothing runs once a RoI.
        images, warm_up: what was asked for, see `Settings.of`; each timing says how many images it had.
        versions: see `psbench.hardware`.
        measured: the date, UTC.
    """

    schema_version: Literal[1] = 1
    model: str
    options: dict[str, Any]
    weights: str | None
    parameters: Count
    trained: Annotated[int, Field(ge=0)]
    sizes: tuple[AtSize, ...]
    searches: tuple[Search, ...]
    device: str
    threads: Count
    precision: Precision
    memory_is: Literal["allocated", "resident growth"]
    data: str
    people: Positive | None
    rois: Count | None
    images: Count
    warm_up: Annotated[int, Field(ge=0)]
    versions: dict[str, str]
    measured: date

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.trained > self.parameters:
            raise ValueError("more parameters are trained than there are")
        if bool(self.sizes) == bool(self.searches):
            raise ValueError("expected sizes, or of a pairwise model searches")
        if self.device.startswith("CPU") != (self.memory_is == "resident growth"):
            raise ValueError(f"memory is {self.memory_is}, which does not go with the device {self.device}")
        return self

    def at(self, height: int, width: int) -> AtSize:
        """What was measured at a size.

        Raises:
            InputError: nothing was.
        """
        for size in self.sizes:
            if (size.height, size.width) == (height, width):
                return size
        there = ", ".join(f"{size.height}x{size.width}" for size in self.sizes) or "none"
        raise InputError(f"{self.model} was not measured at {height}x{width}, but at: {there}.")

    @property
    def provenance(self) -> str:
        """One sentence for a footnote."""
        weights = f"weights {self.weights[:12]}" if self.weights else "fresh weights"
        timed = [t.images for size in self.sizes for t in size.timings] or [search.scenes for search in self.searches]
        number = " to ".join(str(count) for count in sorted({min(timed), max(timed)}))
        people = f", {self.people:.3g} people kept in each on average" if self.people else ""
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.device.startswith("CPU") else ""
        return (
            f"{self.model}: measured by psbench {self.versions.get('psbench', '')} on {self.measured} on {self.device}"
            f"{threads}, torch {self.versions.get('torch', '')}, {self.precision}, {weights}, {number} drawn images of "
            f"the sizes in {self.data}{people}."
        )

    def save(self, path: str | Path) -> None:
        """Write it as JSON; the file appears whole or not at all."""
        with new_file(Path(path)) as partial:
            partial.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: str | Path) -> Efficiency:
        """Read what `save` wrote.

        Raises:
            InputError: the file cannot be read, or does not hold that.
        """
        try:
            return Efficiency.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}). Give a file of `psbench efficiency`."
            ) from None
        except ValidationError as error:
            raise file_error(path, error, "Measure again with `psbench efficiency`.") from None
