"""The demo's IGPN on people that it was not trained on: it tells whom it looks for, and where that person is not."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import psbench
from psbench.inference import search
from psbench.pairwise import PairwisePredictions
from psbench.reproduction.demo import draw_demo
from psbench.training import recipe_for, train
from psbench.zoo.igpn import IGPN
from psbench.zoo.images import image_tensor, to_float
from psbench_data import PersonSearchDataset, Protocol, load


def _global_branch(model: IGPN, protocol: Protocol, queries: int) -> np.ndarray:
    """(queries, 2): what it says of a scene with the query's person, and of one without."""
    scenes, said = protocol.scenes, []
    for query in range(queries):
        own = int(protocol.queries.scenes[query])
        holds = np.array([protocol.queries.person_ids[query] in scenes[n].person_ids for n in range(len(scenes))])
        image, box = to_float(image_tensor(scenes[own])), torch.tensor(protocol.queries.boxes[query])
        encoded = model.encode_queries([image], [box[None]])
        holds[own] = False
        there = int(np.flatnonzero(holds)[0])
        elsewhere = next(n for n in range(query, len(scenes)) if not holds[n] and n != own)
        asked = model.encode_scenes([to_float(image_tensor(scenes[n])) for n in (there, elsewhere)])
        said.append([float(model.search_encoded(encoded, scene)[0].target) for scene in asked])
    return np.array(said)


def _in_random_order(found: PairwisePredictions) -> PairwisePredictions:
    order = np.random.default_rng(0).permutation(len(found.similarities))
    return dataclasses.replace(found, similarities=found.similarities[order])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    root = tmp_path_factory.mktemp("demo") / "cuhk_sysu"
    draw_demo("cuhk_sysu", root, progress=False)
    return load("cuhk_sysu", root=root)


@pytest.mark.slow
def test_it_tells_whom_it_looks_for(dataset: PersonSearchDataset, tmp_path: Path) -> None:
    """Three times the AP of a random order is what was asked for; a pair of scenes is told apart by chance in half."""
    backbone = train(recipe_for("reid_resnet50-demo"), dataset, tmp_path / "reid").folder
    # Of all proposals: those that it is sure are somebody else are what it tells apart most easily.
    recipe = recipe_for("igpn-demo").override({"model_options.score_thresh_test": 0.0})
    model = train(recipe, dataset, tmp_path / "igpn", start_from=backbone).model()
    assert isinstance(model, IGPN)
    protocol = dataset.protocol("gallery-50")
    found = search(model, dataset, protocol="gallery-50")
    reached = psbench.evaluate(found, protocol).map
    at_random = psbench.evaluate(_in_random_order(found), protocol).map
    with_person, without = _global_branch(model, protocol, 100).T
    told = float((with_person[:, None] > without).mean())
    print({"map": reached, "in random order": at_random, "scenes told apart": told}, file=sys.stderr)
    assert reached >= max(0.3, 5 * at_random)
    assert told >= 0.6
