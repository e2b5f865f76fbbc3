"""Search lists of CUHK-SYSU and MovieNet-CS: a query of each person, and galleries that hold the smaller ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from psbench_data.errors import InputError
from psbench_data.synthetic.matlab_writer import xywh
from psbench_data.synthetic.search_list_writer import ListedSearch
from psbench_data.synthetic.spec import WorldSpec
from psbench_data.synthetic.world import World


def gallery_entries(spec: WorldSpec, official: Sequence[int]) -> dict[int, int]:
    """The official gallery sizes to be written, and how many entries each really holds.

    Raises:
        InputError: there are too few test scenes, or entries for more files than there are.
    """
    if spec.gallery_entries is None:
        sizes = {size: size for size in official if size < spec.test_scenes}
        if not sizes:
            raise InputError(
                f"synthesize: test_scenes={spec.test_scenes}: the smallest official gallery has {official[0]} scenes "
                f"besides the query's own. Ask for at least {official[0] + 1}, or give gallery_entries."
            )
        return sizes
    if len(spec.gallery_entries) > len(official) or spec.gallery_entries[-1] >= spec.test_scenes:
        raise InputError(
            f"synthesize: gallery_entries={spec.gallery_entries}: expected at most {len(official)} numbers, all below "
            f"the {spec.test_scenes} test scenes."
        )
    return dict(zip(official, spec.gallery_entries, strict=False))


class Searches:
    """One query of each test identity in a pool of scenes.

    Args:
        world: the world.
        labels: the written name of each queried identity.
        pool: indices of test scenes, in the order of the pool file.
        queries: the row of each query in the test split.
        rng: draws the entries without the person.
    """

    def __init__(
        self,
        world: World,
        labels: Sequence[str],
        pool: np.ndarray,
        queries: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        self._test, self._labels, self._queries = world.test, labels, queries
        self._position = np.full(len(world.test), -1)
        self._position[pool] = np.arange(len(pool))
        self._rows = [rows[self._position[world.test.scenes[rows]] >= 0] for rows in world.queried()]
        # Every gallery size takes the front of these, so a larger gallery contains the smaller ones.
        self._orders = [rng.permutation(len(pool)).astype(np.int32) for _ in labels]

    def listed(self, entries: int, chosen: Sequence[int] | None = None) -> list[ListedSearch]:
        """The searches of all or of the chosen queries, with galleries of this many entries.

        Raises:
            InputError: a person is in more scenes than the gallery has entries.
        """
        return [self._search(i, entries) for i in (range(len(self._labels)) if chosen is None else chosen)]

    def _search(self, i: int, entries: int) -> ListedSearch:
        scenes = self._position[self._test.scenes[self._rows[i]]]
        boxes = [xywh(box)[0].astype(np.int64) for box in self._test.boxes[self._rows[i]]]
        there = list(zip(scenes.tolist(), boxes, strict=True))
        query = int(np.flatnonzero(self._rows[i] == self._queries[i])[0])
        matches = there[:query] + there[query + 1 :]
        if len(matches) > entries:
            raise InputError(
                f"synthesize: a person is in {len(matches)} gallery scenes, more than the {entries} entries of the "
                "smallest gallery. Ask for larger galleries or fewer appearances."
            )
        order = self._orders[i]
        others = order[~np.isin(order, scenes)][: entries - len(matches)]
        return ListedSearch(self._labels[i], there[query], matches, others)
