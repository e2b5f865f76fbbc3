"""What the commands are given: a drawn dataset, small weights, predictions, pictures, a board; made once."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import torch

from psbench.inference.gallery import index_pictures
from psbench.leaderboard import submit
from psbench.zoo.weights import load_weights
from psbench_data import load
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from tests.leaderboard.making import SPEC, card, card_file, honest
from tests.models.golden import Golden
from tests.models.own import pictures, save_run

WORLD = dataclasses.replace(SPEC, test_scenes=10, test_identities=4, gallery_entries=(8,))


def make(folder: Path) -> None:
    """Make them in an empty folder."""
    root = folder / "data/cuhk_sysu"
    write_cuhk_sysu(WORLD, root)
    dataset = load("cuhk_sysu", root=root)
    for seed, name in enumerate(("predictions", "others")):
        honest(dataset, seed).save(folder / name)
    found = honest(dataset)
    np.savez(
        folder / "dump.npz",
        counts=np.diff(found.offsets),
        boxes=found.boxes,
        scores=found.scores,
        embeddings=found.embeddings,
        query_embeddings=found.query_embeddings,
        scene_names=np.array(found.scene_names),
    )
    save_run(folder / "weights", "oim", score_thresh_test=0.0)
    save_run(folder / "points", "pcnet", score_thresh_test=0.0)
    save_run(folder / "pairs", "igpn")
    state = {name: torch.as_tensor(value) for name, value in Golden("seqnet").state_dict.items()}
    torch.save({"model": state}, folder / "released.pth")
    # A picture has come since the index was made.
    paths = pictures(dataset, folder / "pictures", 8)
    later = folder / "later.jpg"
    (paths / "01.jpg").rename(later)
    index_pictures(
        load_weights(folder / "weights/model.safetensors"), paths, folder / "index", method="tiny oim", progress=False
    )
    shutil.move(later, paths / "01.jpg")
    card_file(folder / "card.toml")
    submit(folder / "others", dataset=dataset, card=card(), board=folder / "board", date="2026-01-01")
