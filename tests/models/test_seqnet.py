"""SeqNet: released files, options, images of any size, scenes without people."""

import numpy as np
import pytest
import torch

from psbench import InputError, zoo
from psbench.zoo import PersonSearcher
from psbench.zoo.seqnet import SeqNet
from tests.models.golden import Golden


@pytest.fixture(scope="module")
def state_dict() -> dict[str, np.ndarray]:
    """The original's weights under their official names."""
    return Golden("seqnet").state_dict


def test_older_files_and_wrappers_load(state_dict: dict[str, np.ndarray]) -> None:
    older = {name.replace("rpn.head.conv.0.0.", "rpn.head.conv."): value for name, value in state_dict.items()}
    model = zoo.load_official("seqnet", {"model": older, "epoch": 17}, min_size=300)
    assert model.options.min_size == 300
    assert len(model.oim.table) == 5532


def test_files_of_prw_train_as_the_original(state_dict: dict[str, np.ndarray]) -> None:
    """482 identities by raw numbers: number 483 enters the queue and is learnt as its slot."""
    tables = {"roi_heads.reid_loss.lut": 482, "roi_heads.reid_loss.cq": 500}
    prw = state_dict | {name: state_dict[name][:rows] for name, rows in tables.items()}
    model = zoo.load_official("seqnet", prw, min_size=96, max_size=128).train()
    target = {"boxes": torch.tensor([[10.0, 10, 50, 90], [60, 10, 100, 90]]), "person_ids": torch.tensor([482, 3])}
    losses = model([torch.rand(3, 96, 128)], [target])
    assert losses["loss_box_reid"].isfinite()
    assert model.state_dict()["oim.queue_position"] > 0
    strict = zoo.load_official("seqnet", prw, min_size=96, max_size=128, oim_ids_beyond_table="refuse").train()
    with pytest.raises(InputError, match="beyond num_identities=482"):
        strict([torch.rand(3, 96, 128)], [target])


def test_options_of_other_models_are_ignored_and_mistyped_ones_refused(state_dict: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="Did you mean 'weight_by_score'"):
        zoo.load_official("seqnet", state_dict, weigth_by_score=False)
    with pytest.raises(InputError, match="is a list"):
        zoo.load_official("seqnet", [1, 2])  # type: ignore[arg-type]


def test_weights_of_something_else_are_refused(state_dict: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="Is it of another model"):
        zoo.load_official("seqnet", {"conv1.weight": np.zeros(3)})
    altered = {k: v for k, v in state_dict.items() if not k.startswith("backbone.bn1")} | {"extra": np.zeros(1)}
    altered["roi_heads.faster_rcnn_predictor.cls_score.bias"] = np.zeros(5, np.float32)
    with pytest.raises(InputError) as error:
        zoo.load_official("seqnet", altered)
    for words in ("no weights for 'backbone.bn1.weight'", "'extra'", "shape (5,), expected (2,)"):
        assert words in str(error.value)


SMALL = {
    "backbone": "test_resnet",
    "freeze_stem": False,
    "min_size": 96,
    "max_size": 128,
    "anchor_sizes": (32, 64),
    "roi_size": 7,
    "rpn_post_nms_top_n_test": 20,
    "roi_batch_size_per_image": 16,
    "oim_queue_size": 10,
}


@pytest.fixture
def small() -> zoo.ZooModel:
    torch.manual_seed(0)
    return zoo.create("seqnet", num_identities=5, **SMALL)


def test_small_model_satisfies_the_interface(small: zoo.ZooModel) -> None:
    assert isinstance(small, PersonSearcher)


def test_images_of_any_size_and_number(small: zoo.ZooModel) -> None:
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80)]
    boxes = [torch.tensor([[5.0, 5, 40, 90], [50, 10, 90, 80]]), torch.zeros(0, 4)]
    embedded = small.eval().embed(images, boxes)
    assert [tuple(e.shape) for e in embedded] == [(2, 256), (0, 256)]
    torch.testing.assert_close(embedded[0].norm(dim=1), torch.ones(2))
    for found, image in zip(small.detect(images), images, strict=True):
        n = len(found.scores)
        assert found.boxes.shape == (n, 4)
        assert found.embeddings.shape == (n, 256)
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= image.shape[2] + 1e-3).all()
        assert (found.scores.diff() <= 0).all()


def test_the_score_can_be_stage_twos(small: zoo.ZooModel) -> None:
    """Without the paper's first classification score: the norm-aware embedding's own probability."""
    other = zoo.create("seqnet", num_identities=5, **SMALL, first_classification_score=False, score_thresh_test=0)
    other.load_state_dict(small.state_dict())
    assert isinstance(other, SeqNet)
    image = torch.rand(3, 96, 128)
    with torch.no_grad():
        found = other.eval().detect([image])[0]
        encoded = other.encode([image])
        boxes, first = other.people(encoded)
        _, logits = other.embedding(other.features(encoded, boxes))
    assert len(found.scores) > 1
    of_box = logits.sigmoid()
    distance = (found.scores[:, None] - of_box[None]).abs()
    assert distance.min(dim=1).values.max() < 1e-6
    assert not torch.allclose(of_box, first[0], atol=1e-3)


def test_scene_without_people_or_labels_trains(small: zoo.ZooModel) -> None:
    """Users' NaN: a batch without a labelled person. Every loss must stay finite and connected."""
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    nobody = {"boxes": torch.zeros(0, 4), "person_ids": torch.zeros(0, dtype=torch.int64)}
    stranger = {"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([-1])}
    losses = small(images, [nobody, stranger])
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_box_reid"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in small.parameters())


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(InputError, match="Did you mean 'seqnet'"):
        zoo.create("SeqNet".lower() + "s", num_identities=1)
    with pytest.raises(InputError, match="Did you mean 'min_size'"):
        zoo.create("seqnet", num_identities=1, minsize=600)
    with pytest.raises(InputError) as error:
        zoo.create("seqnet", num_identities=1, min_size="big", roi_size=0, anchor_sizes=32)
    assert len(error.value.faults) == 3
    with pytest.raises(InputError, match="cannot be split"):
        zoo.create("seqnet", num_identities=1, backbone="vit_tiny_patch16_224")
    with pytest.raises(InputError, match="no backbone called"):
        zoo.create("seqnet", num_identities=1, backbone="resnet5000")
