"""Released files of GLCNet: which version and which parts they are of."""

from typing import cast

import numpy as np
import pytest

from psbench import InputError, zoo
from psbench.zoo.glcnet import GLCNet
from tests.models.golden import Golden


@pytest.fixture(scope="module")
def released() -> dict[str, np.ndarray]:
    """The released version's weights under their official names."""
    return Golden("glcnet").state_dict


def test_older_files_and_wrappers_load(released: dict[str, np.ndarray]) -> None:
    older = {name.replace("rpn.head.conv.0.0.", "rpn.head.conv."): value for name, value in released.items()}
    model = cast(GLCNet, zoo.load_official("glcnet", {"model": older, "epoch": 17}, min_size=300))
    assert (model.options.scene, model.options.group, model.options.min_size) == (True, False, 300)


@pytest.mark.parametrize("kept", ["cxt_feat_extractor_scenario.", "roi_heads.cxt_feat_extractor_scenario."])
def test_a_file_may_have_either_name_of_a_layer(released: dict[str, np.ndarray], kept: str) -> None:
    """A format that refuses shared memory leaves one of them out."""
    left_out = "roi_heads.cxt_" if kept.startswith("cxt_") else "cxt_"
    once = {name: value for name, value in released.items() if not name.startswith(left_out)}
    assert len(once) == len(released) - 21
    found = zoo.load_official("glcnet", once).state_dict()["scene_context.blocks.0.0.bias"]
    np.testing.assert_array_equal(found, released["cxt_feat_extractor_scenario.0.bias"])


def test_one_layer_under_two_names_must_be_one(released: dict[str, np.ndarray]) -> None:
    name = "cxt_feat_extractor_scenario.4.bias"
    with pytest.raises(InputError, match=f"'{name}' and 'roi_heads.{name}' are one layer in the original, and differ"):
        zoo.load_official("glcnet", released | {name: released[name] + 1})


def test_file_without_context_loads(released: dict[str, np.ndarray]) -> None:
    plain = {name: value for name, value in released.items() if "scenario" not in name}
    plain |= {name: plain[name][:, :384] for name in ("roi_heads.reid_loss.lut", "roi_heads.reid_loss.cq")}
    model = cast(GLCNet, zoo.load_official("glcnet", plain))
    assert (model.options.scene, model.options.embedding_dim) == (False, 384)


def test_file_without_parts_loads() -> None:
    whole = Golden("glcnet_2026").state_dict
    without = {name: value for name, value in whole.items() if "mps." not in name and "granularity" not in name}
    without |= {name: without[name][:, :640] for name in ("roi_heads.reid_loss.lut", "roi_heads.reid_loss.cq")}
    model = cast(GLCNet, zoo.load_official("glcnet_2026", without))
    assert model.options.dims == {"res4": 256, "res5": 128, "scene": 128, "group": 128}


@pytest.mark.parametrize(
    ("name", "projectors", "dim", "words"),
    [
        ("glcnet", ["feat_res3", "feat_res4", "cxt_scene", "cxt_group", "feat_granularity_1"], 832, "'glcnet_2026'"),
        ("glcnet", ["feat_res4", "feat_res5", "cxt_scenario", "cxt_psn"], 640, "cxt_psn, is not read"),
        ("glcnet", ["feat_res4", "feat_res5", "cxt_scene", "cxt_group"], 640, "cxt_group, cxt_scene"),
        ("glcnet_2026", ["feat_res4", "feat_res5", "cxt_scenario"], 512, "as 'glcnet',"),
        ("glcnet", ["feat_res4", "feat_res5"], 256, "384 coordinates"),
    ],
)
def test_files_of_other_versions_are_told_apart(name: str, projectors: list[str], dim: int, words: str) -> None:
    """From the projectors' names and the table's width; the message says what the file is."""
    state = {f"roi_heads.embedding_head.projectors.{p}.0.weight": np.zeros((1, 1), np.float32) for p in projectors}
    state |= {f"roi_heads.reid_loss.{table}": np.zeros((3, dim), np.float32) for table in ("lut", "cq")}
    with pytest.raises(InputError) as error:
        zoo.load_official(name, state)
    assert words in str(error.value)
