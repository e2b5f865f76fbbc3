"""What a protocol alone asks for, of predictions of more: against plain loops over pairs."""

import numpy as np
import pytest

import psbench
from psbench import InputError, PairwisePredictions
from psbench_data import PersonSearchDataset


def _made(dataset: PersonSearchDataset, *, named: bool) -> PairwisePredictions:
    """Of every query with all scenes, in no order, the people of most of them; named queries are in another one."""
    rng, task = np.random.default_rng(0), dataset.protocol("gallery-all")
    names = rng.permutation(task.scenes.names).tolist()
    order = rng.permutation(len(task.queries)) if named else np.arange(len(task.queries))
    pairs = rng.permutation([(q, s) for q in range(len(order)) for s in range(len(names))])
    people = [dataset.split("test")[names[s]].boxes if rng.random() < 0.9 else np.zeros((0, 4)) for _, s in pairs]
    more = {
        "query_scenes": [task.queries[int(q)].scene for q in order],
        "query_boxes": task.queries.boxes[order],
    }
    return PairwisePredictions.from_arrays(
        names,
        queries=pairs[:, 0],
        scenes=pairs[:, 1],
        counts=[len(boxes) for boxes in people],
        boxes=np.concatenate(people),
        similarities=rng.integers(0, 6, sum(map(len, people))) / 10,
        **more if named else {},
    )


def _rows(found: PairwisePredictions, pair: int) -> list[tuple[float, ...]]:
    rows = slice(*found.offsets[pair : pair + 2])
    return [(*box, alike) for box, alike in zip(found.boxes[rows].tolist(), found.similarities[rows], strict=True)]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("protocol", ["gallery-50", "gallery-all"])
def test_within_a_protocol_are_its_queries_in_their_galleries(
    world: PersonSearchDataset, protocol: str, named: bool
) -> None:
    every, task = _made(world, named=named), world.protocol(protocol)
    found = every.within(task)
    expected, inside = [], np.zeros(len(every.pair_queries), bool)
    for q, query in enumerate(task.queries):
        number = q
        if named:
            keys = zip(every.query_scenes, every.query_boxes.tolist(), strict=True)
            number = list(keys).index((query.scene, query.box.tolist()))
        gallery = {task.scenes.names[s] for s in task.gallery(q)}
        for pair in np.flatnonzero(every.pair_queries == number):
            if every.scene_names[every.pair_scenes[pair]] in gallery:
                expected.append((q, every.pair_scenes[pair], _rows(every, pair)))
                inside[pair] = True
    listed = zip(found.pair_queries, found.pair_scenes, strict=True)
    assert [(q, s, _rows(found, pair)) for pair, (q, s) in enumerate(listed)] == expected
    np.testing.assert_array_equal(every.in_galleries(task), inside)
    assert 0 < len(expected) < len(every.pair_queries)
    if named:
        assert found.query_scenes == task.queries.scene_names
        np.testing.assert_array_equal(found.query_boxes, task.queries.boxes)
    else:
        assert found.query_scenes is None
    # Nothing that a number depends on is lost.
    for keep in (None, 60):
        assert psbench.evaluate(found, task, keep=keep).map == psbench.evaluate(every, task, keep=keep).map > 0


def test_the_best_among_some_pairs_are_kept_and_others_go(world: PersonSearchDataset) -> None:
    every, task = _made(world, named=True), world.protocol("gallery-50")
    inside = every.in_galleries(task)
    kept = every.keep(3, among=inside)
    np.testing.assert_array_equal(kept.pair_scenes, every.pair_scenes)
    for q in range(every.num_queries):
        pairs = range(*every.query_offsets[q : q + 2])
        of_gallery = [row for pair in pairs if inside[pair] for row in _rows(every, pair)]
        best = sorted(range(len(of_gallery)), key=lambda i: -of_gallery[i][-1])[:3]
        assert [row for pair in pairs for row in _rows(kept, pair)] == [of_gallery[i] for i in sorted(best)]


def test_queries_that_are_not_there_are_told(golden: PersonSearchDataset, world: PersonSearchDataset) -> None:
    with pytest.raises(InputError, match=r"query 0 of gallery-50 .* is not among those predicted"):
        _made(world, named=True).within(golden.protocol("gallery-50"))
