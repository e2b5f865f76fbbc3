"""What `oim`, `nae` and `nae_plus` have in common: how they detect, embed and train."""

import pytest
import torch

from psbench import zoo
from psbench.zoo import PersonSearcher
from tests.models.test_seqnet import SMALL

MODELS = {
    "oim": ("oim", {}),
    "nae": ("nae", {}),
    "nae_plus": ("nae_plus", {}),
    "nae_plus, one map": ("nae_plus", {"fuse_maps": False}),
}


def _create(case: str, **options: object) -> zoo.ZooModel:
    name, own = MODELS[case]
    torch.manual_seed(0)
    model = zoo.create(name, num_identities=5, **SMALL | own | options)
    # A fresh network says the same of every box.
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight, 1.0, 0.3)
            torch.nn.init.normal_(layer.bias, 0.0, 0.3)
    return model


@pytest.fixture(params=MODELS)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


@torch.no_grad()
def test_images_of_any_size_and_number(case: str) -> None:
    model = _create(case, score_thresh_test=0.0).eval()
    assert isinstance(model, PersonSearcher)
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80)]
    boxes = [torch.tensor([[5.0, 5, 40, 90], [50, 10, 90, 80]]), torch.zeros(0, 4)]
    assert [tuple(e.shape) for e in model.embed(images, boxes)] == [(2, 256), (0, 256)]
    for found, image in zip(model.detect(images), images, strict=True):
        n = len(found.scores)
        assert n > 0
        assert found.boxes.shape == (n, 4)
        assert found.embeddings.shape == (n, 256)
        assert (found.boxes >= 0).all()
        assert (found.boxes[:, 2] <= image.shape[2] + 1e-3).all()
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert (found.scores.diff() <= 0).all()


@torch.no_grad()
def test_a_batch_gives_what_its_images_give(case: str) -> None:
    model = _create(case, score_thresh_test=0.1).eval()
    images = [torch.rand(3, 96, 128), 0.5 * torch.rand(3, 96, 128), torch.zeros(3, 96, 128)]
    boxes = [torch.tensor([[5.0, 5, 40, 90]]), torch.zeros(0, 4), torch.tensor([[9.0, 2, 30, 70], [50, 10, 90, 80]])]
    together = model.detect(images)
    for image, found in zip(images, together, strict=True):
        alone = model.detect([image])[0]
        torch.testing.assert_close(alone.boxes, found.boxes, rtol=0, atol=1e-3)
        torch.testing.assert_close(alone.scores, found.scores, rtol=0, atol=1e-4)
        torch.testing.assert_close(alone.embeddings, found.embeddings, rtol=0, atol=1e-4)
    assert len({float(found.scores.sum()) for found in together}) == 3
    for image, asked, embedded in zip(images, boxes, model.embed(images, boxes), strict=True):
        torch.testing.assert_close(model.embed([image], [asked])[0], embedded, rtol=0, atol=1e-4)


@torch.no_grad()
def test_length_of_a_gallery_embedding_is_its_score_or_one(case: str) -> None:
    images = [torch.rand(3, 96, 128)]
    for options in ({}, {"weight_by_score": True}, {"weight_by_score": False}):
        found = _create(case, score_thresh_test=0.0, **options).eval().detect(images)[0]
        weighted = options.get("weight_by_score", case != "oim")
        expected = found.scores if weighted else torch.ones_like(found.scores)
        torch.testing.assert_close(found.embeddings.norm(dim=1), expected)


@torch.no_grad()
def test_known_boxes_come_first_and_nothing_is_weighted(case: str) -> None:
    model = _create(case, score_thresh_test=0.0).eval()
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80)]
    known = [torch.tensor([[5.0, 5, 40, 90]]), torch.tensor([[10.0, 20, 60, 140]])]
    for found, query, plain, box in zip(
        model.detect(images, include=known), model.embed(images, known), model.detect(images), known, strict=True
    ):
        torch.testing.assert_close(found.boxes[:1], box)
        assert found.scores[0] == 1
        torch.testing.assert_close(found.embeddings[:1], query)
        # What else is there has the scores of a plain detection, and unweighted embeddings.
        same = (found.boxes[:, None] - plain.boxes[None]).abs().amax(dim=2) < 1e-3
        context, gallery = same.nonzero(as_tuple=True)
        assert len(context) > 0
        torch.testing.assert_close(found.scores[context], plain.scores[gallery])
        cosine = torch.nn.functional.cosine_similarity(found.embeddings[context], plain.embeddings[gallery])
        torch.testing.assert_close(cosine, torch.ones(len(context)))
        if case in ("oim", "nae"):
            torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(found.scores)))


@torch.no_grad()
def test_known_boxes_remain_where_nothing_is_found(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _create(case).eval()
    monkeypatch.setattr(model, "final_scores", torch.zeros_like)
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    known = [torch.tensor([[5.0, 5, 40, 90], [60, 5, 90, 90]]), torch.zeros(0, 4)]
    assert [len(found.scores) for found in model.detect(images)] == [0, 0]
    around = model.detect(images, include=known)
    for found, boxes in zip(around, known, strict=True):
        torch.testing.assert_close(found.boxes, boxes)
    assert [tuple(found.embeddings.shape) for found in around] == [(2, 256), (0, 256)]


@torch.no_grad()
def test_known_boxes_stay_whatever_overlaps_them_or_the_threshold_is(case: str) -> None:
    model = _create(case, score_thresh_test=1.0).eval()
    known = torch.tensor([[5.0, 5, 40, 90], [6.0, 5, 41, 90], [50.0, 20, 90, 90]])
    [found] = model.detect([torch.rand(3, 96, 128)], include=[known])
    torch.testing.assert_close(found.boxes, known)
    assert found.scores.tolist() == [1, 1, 1]


def test_scene_without_people_or_labels_trains(case: str) -> None:
    """Every loss must stay finite and connected."""
    model = _create(case)
    nobody = {"boxes": torch.zeros(0, 4), "person_ids": torch.zeros(0, dtype=torch.int64)}
    stranger = {"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([-1])}
    for targets in ([nobody, stranger], [nobody, nobody]):
        losses = model([torch.rand(3, 96, 128), torch.rand(3, 96, 128)], targets)
        assert all(loss.isfinite() for loss in losses.values())
        assert losses["loss_reid"] == 0
        torch.stack(list(losses.values())).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_every_weight_learns(case: str) -> None:
    model = _create(case)
    torch.nn.init.normal_(model.oim.table)
    target = {"boxes": torch.tensor([[10.0, 10, 50, 90], [60, 10, 90, 90]]), "person_ids": torch.tensor([3, -1])}
    losses = model([torch.rand(3, 96, 128)], [target])
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_half_precision_ends_in_full(case: str) -> None:
    """Under autocast, what is compared, summed or kept has float32's digits."""
    model = _create(case, score_thresh_test=0.0)
    images = [torch.rand(3, 96, 128)]
    target = {"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([3])}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model(images, [target])
        found = model.eval().detect(images, include=[target["boxes"]])[0]
        embedded = model.embed(images, [target["boxes"]])[0]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(loss.isfinite() for loss in losses.values())
    assert {x.dtype for x in (found.boxes, found.scores, found.embeddings, embedded)} == {torch.float32}
