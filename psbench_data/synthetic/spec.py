"""WorldSpec: what to synthesize, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass

from psbench_data.errors import InputError

SPLITS = ("train", "test")
_LEAST_SIDE = 48
_LEAST_HEIGHT = 10


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """What to synthesize.

    Every total is exact: `boxes("train")` boxes are planned in `train_scenes` scenes, `labelled("train")` of them with
    one of `identities("train")` identities.

    Attributes:
        seed: equal specs with equal seeds give equal bytes.
        train_scenes, test_scenes: numbers of scenes.
        train_identities, test_identities: numbers of labelled people of each split; each of the test is queried.
        walking: how many training identities are also seen in test scenes, where nobody queries them (PRW has 94).
        appearances: fewest and most scenes of a split that an identity is in.
        people: fewest and most people of a scene; strangers without identity fill up.
        train_boxes, test_boxes: numbers of boxes; None for the middle of `people` a scene.
        train_labelled, test_labelled: numbers of boxes with an identity; None for the middle of `appearances` each.
        image_size: height and width, pixels.
        heights: least and greatest height of a person, as a share of the image's height.
        places: number of places, each a camera with its own background, light and sharpness.
        last_place_size: height and width of the last place's images where they differ (PRW's sixth camera).
        pseudo_views: how many of the places, the last ones, are second views of the first ones and only in the test
            split (LSPS has two).
        wander: whether a person goes from place to place, as past street cameras, or stays, as in a film.
        gallery_entries: how many entries the files TestG50, TestG100, ... (MovieNet-CS: TestG2000, ...) really
            hold, the smallest first, so that a small world has them: (10, 20) writes a TestG50 of 10 entries and a
            TestG100 of 20. None for as many as their names say, and only the files that the test scenes suffice for.
    """

    seed: int = 0
    train_scenes: int = 400
    test_scenes: int = 520
    train_identities: int = 140
    test_identities: int = 100
    walking: int = 0
    appearances: tuple[int, int] = (3, 8)
    people: tuple[int, int] = (1, 4)
    train_boxes: int | None = None
    test_boxes: int | None = None
    train_labelled: int | None = None
    test_labelled: int | None = None
    image_size: tuple[int, int] = (120, 176)
    heights: tuple[float, float] = (0.4, 0.8)
    places: int = 24
    last_place_size: tuple[int, int] | None = None
    pseudo_views: int = 0
    wander: bool = True
    gallery_entries: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        faults = [*self._range_faults(), *self._total_faults()]
        if faults:
            raise InputError(f"synthesize: {fault}" for fault in faults)

    def scenes(self, split: str) -> int:
        """How many scenes a split has."""
        return self.train_scenes if split == "train" else self.test_scenes

    def identities(self, split: str) -> int:
        """How many different labelled people are in a split."""
        return self.train_identities if split == "train" else self.test_identities + self.walking

    def labelled(self, split: str) -> int:
        """How many boxes of a split have an identity."""
        exact = self.train_labelled if split == "train" else self.test_labelled
        middle = self.identities(split) * sum(self.appearances) // 2
        return min(middle, self.scenes(split) * self.people[1]) if exact is None else exact

    def boxes(self, split: str) -> int:
        """How many boxes a split has."""
        exact = self.train_boxes if split == "train" else self.test_boxes
        return max(self.labelled(split), self.scenes(split) * sum(self.people) // 2) if exact is None else exact

    def _range_faults(self) -> list[str]:
        least = {
            "train_scenes": 1, "test_scenes": 2, "train_identities": 1, "test_identities": 1, "places": 1,
            "seed": 0, "walking": 0, "pseudo_views": 0,
        }  # fmt: skip
        faults = [
            f"{name}={getattr(self, name)}: expected at least {value}"
            for name, value in least.items()
            if getattr(self, name) < value
        ]
        low, high = self.appearances
        if not 2 <= low <= high:
            faults.append(f"appearances={low}..{high}: expected 2 <= fewest <= most (a query needs a second scene)")
        if high > min(self.train_scenes, self.test_scenes):
            faults.append(f"appearances={low}..{high}: a person cannot be in more scenes than there are")
        if not 1 <= self.people[0] <= self.people[1]:
            faults.append(f"people={self.people[0]}..{self.people[1]}: expected 1 <= fewest <= most")
        for size in (self.image_size, self.last_place_size):
            if size is None:
                continue
            if min(size) < _LEAST_SIDE:
                faults.append(f"image size {size[0]}x{size[1]}: expected at least {_LEAST_SIDE} pixels a side")
            elif size[0] * self.heights[0] < _LEAST_HEIGHT:
                faults.append(
                    f"heights={self.heights[0]}..{self.heights[1]}: people of less than {_LEAST_HEIGHT} pixels "
                    f"in images of {size[0]}x{size[1]}"
                )
        if not 0 < self.heights[0] <= self.heights[1] <= 1:
            faults.append(f"heights={self.heights[0]}..{self.heights[1]}: expected 0 < least <= greatest <= 1")
        if self.walking and self.walking >= self.train_identities:
            faults.append(f"walking={self.walking}: expected fewer than the {self.train_identities} train identities")
        if 2 * self.pseudo_views > self.places:
            faults.append(f"pseudo_views={self.pseudo_views}: each needs a place besides itself, of {self.places}")
        entries = self.gallery_entries
        if entries is not None and (not entries or entries[0] < 1 or list(entries) != sorted(set(entries))):
            faults.append(f"gallery_entries={entries}: expected increasing numbers, at least one")
        return faults

    def _total_faults(self) -> list[str]:
        faults = []
        for split in SPLITS:
            scenes, people = self.scenes(split), self.identities(split)
            labelled, boxes = self.labelled(split), self.boxes(split)
            if not people * self.appearances[0] <= labelled <= people * self.appearances[1]:
                faults.append(
                    f"{split}: {labelled} labelled boxes of {people} identities with {self.appearances[0]} to "
                    f"{self.appearances[1]} each. Ask for more scenes, fewer identities or other appearances"
                )
            if not scenes * self.people[0] <= boxes <= scenes * self.people[1]:
                faults.append(
                    f"{split}: {boxes} boxes do not fit {scenes} scenes with {self.people[0]} to {self.people[1]} "
                    "people each. Ask for other numbers"
                )
            if labelled > boxes:
                faults.append(f"{split}: {labelled} labelled boxes are more than the {boxes} boxes")
        return faults
