"""GLCNet, released and of 2026: what context is made of, whose it is, and which files belong to which version."""

from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from psbench import InputError, zoo
from psbench.zoo import PersonSearcher
from psbench.zoo.glcnet import GLCNet
from psbench.zoo.layers.context import group_means, inside_images
from psbench.zoo.layers.parts import PARTS
from tests.models.golden import Golden
from tests.models.small import SMALL

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "released": ("glcnet", {}, 512),
    "released, no context": ("glcnet", {"scene": False}, 384),
    "released, with the group": ("glcnet", {"group": True}, 640),
    "released, group only": ("glcnet", {"scene": False, "group": True}, 512),
    "2026": ("glcnet_2026", {}, 832),
    "2026, no parts": ("glcnet_2026", {"parts": False}, 640),
}
"""Model, options, and the embedding's width."""
WITH_GROUP = [case for case in CASES if "group" in case or "2026" in case]
NOBODY = {"boxes": torch.zeros(0, 4), "person_ids": torch.zeros(0, dtype=torch.int64)}
STRANGER = {"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([-1])}


def _create(case: str, **options: Any) -> GLCNet:
    name, own, _ = CASES[case]
    torch.manual_seed(0)
    model = zoo.create(name, num_identities=5, **SMALL[name] | own | {"score_thresh_test": 0.0} | options)
    # A fresh network says much the same of every box.
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight, 1.0, 0.3)
            torch.nn.init.normal_(layer.bias, 0.0, 0.3)
    return cast(GLCNet, model)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return request.param


class _Finds:
    """A first stage that finds given boxes (pixels of the resized image), image after image."""

    def __init__(self, *boxes: Tensor) -> None:
        self.boxes = boxes

    def __call__(self, encoded: object) -> tuple[list[Tensor], list[Tensor]]:
        return list(self.boxes), [torch.full((len(b),), 0.9) for b in self.boxes]


# The originals' vectors.


@pytest.mark.parametrize("name", ["glcnet", "glcnet_2026"])
@torch.no_grad()
def test_contexts_and_parts_are_the_originals(name: str) -> None:
    golden = Golden(name)
    model = cast(GLCNet, golden.model())
    for i in (0, 1):
        encoded = model.encode([golden.image(i)])
        boxes, _ = model.people(encoded)
        own = model.describe(model.pool(encoded, boxes))
        everyone = torch.ones(len(boxes[0]), dtype=torch.bool)
        contexts = model.contexts(encoded, own["res5"], everyone, [len(boxes[0])])
        found = {"scene_context": contexts["scene"][0]}
        if name == "glcnet_2026":
            found |= {
                "group_context_in": group_means(own["res5"], everyone, [len(boxes[0])])[0],
                "group_context": contexts["group"][0],
                "mps_first_box": torch.cat([own[part][0] for part in PARTS]),
            }
        for array, vector in found.items():
            np.testing.assert_allclose(vector, golden.arrays[f"{array}_{i}"], atol=1e-4)


# What every configuration does.


@torch.no_grad()
def test_images_of_any_size_and_number(case: str) -> None:
    model, dim = _create(case).eval(), CASES[case][2]
    assert isinstance(model, PersonSearcher)
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80)]
    boxes = [torch.tensor([[5.0, 5, 40, 90], [50, 10, 90, 80]]), torch.zeros(0, 4)]
    embedded = model.embed(images, boxes)
    assert [tuple(e.shape) for e in embedded] == [(2, dim), (0, dim)]
    torch.testing.assert_close(embedded[0].norm(dim=1), torch.ones(2))
    for found, image in zip(model.detect(images), images, strict=True):
        n = len(found.scores)
        assert n > 0
        assert found.embeddings.shape == (n, dim)
        assert (found.boxes[:, 2] <= image.shape[2] + 1e-3).all()
        torch.testing.assert_close(found.embeddings.norm(dim=1), found.scores)


@torch.no_grad()
def test_a_batch_gives_what_its_images_give(case: str) -> None:
    model = _create(case).eval()
    images = [torch.rand(3, 96, 128), 0.5 * torch.rand(3, 96, 128), torch.zeros(3, 96, 128)]
    boxes = [torch.tensor([[5.0, 5, 40, 90]]), torch.zeros(0, 4), torch.tensor([[9.0, 2, 30, 70], [50, 10, 90, 80]])]
    for image, found in zip(images, model.detect(images), strict=True):
        alone = model.detect([image])[0]
        torch.testing.assert_close(alone.boxes, found.boxes, rtol=0, atol=1e-3)
        torch.testing.assert_close(alone.embeddings, found.embeddings, rtol=0, atol=1e-4)
    for image, asked, embedded in zip(images, boxes, model.embed(images, boxes), strict=True):
        torch.testing.assert_close(model.embed([image], [asked])[0], embedded, rtol=0, atol=1e-4)
        for box, alone in zip(asked, embedded, strict=True):
            torch.testing.assert_close(model.embed([image], [box[None]])[0][0], alone, rtol=0, atol=1e-4)


@torch.no_grad()
def test_known_boxes_come_first_embedded_as_queries(case: str) -> None:
    model = _create(case).eval()
    images = [torch.rand(3, 96, 128), torch.rand(3, 150, 80)]
    known = [torch.tensor([[5.0, 5, 40, 90]]), torch.tensor([[10.0, 20, 60, 140]])]
    for found, query, box in zip(model.detect(images, include=known), model.embed(images, known), known, strict=True):
        torch.testing.assert_close(found.boxes[:1], box)
        assert found.scores[0] == 1
        torch.testing.assert_close(found.embeddings[:1], query)
        torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(found.scores)))


@torch.no_grad()
def test_nothing_found(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images without detections give empty rows; known boxes remain and have a finite embedding."""
    model, dim = _create(case).eval(), CASES[case][2]
    monkeypatch.setattr(model, "people", _Finds(torch.zeros(0, 4), torch.zeros(0, 4)))
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    assert [tuple(found.embeddings.shape) for found in model.detect(images)] == [(0, dim)] * 2
    known = [torch.tensor([[5.0, 5, 40, 90], [60, 5, 90, 90]]), torch.zeros(0, 4)]
    for found, boxes in zip(model.detect(images, include=known), known, strict=True):
        torch.testing.assert_close(found.boxes, boxes)
        torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(len(boxes)))


@pytest.mark.parametrize("targets", [[NOBODY, STRANGER], [NOBODY, NOBODY], [STRANGER, STRANGER]])
def test_scenes_without_people_or_labels_train(case: str, targets: list[dict[str, Tensor]]) -> None:
    model = _create(case)
    losses = model([torch.rand(3, 96, 128), torch.rand(3, 96, 128)], targets)
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["loss_box_reid"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_every_weight_learns(case: str) -> None:
    model = _create(case)
    torch.nn.init.normal_(model.oim.table)
    target = {"boxes": torch.tensor([[10.0, 10, 50, 90], [60, 10, 90, 90]]), "person_ids": torch.tensor([3, -1])}
    losses = model([torch.rand(3, 96, 128), torch.rand(3, 96, 128)], [target, target])
    torch.stack(list(losses.values())).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_one_image_a_batch_cannot_train_the_group(case: str) -> None:
    model = _create(case)
    if case in WITH_GROUP:
        with pytest.raises(InputError, match="batch_size of at least 2"):
            model([torch.rand(3, 96, 128)], [STRANGER])
    else:
        assert all(loss.isfinite() for loss in model([torch.rand(3, 96, 128)], [STRANGER]).values())


def test_width_follows_from_the_parts(case: str) -> None:
    name, own, dim = CASES[case]
    assert _create(case).oim.table.shape == (5, dim)
    with pytest.raises(InputError, match=f"{dim} coordinates"):
        zoo.create(name, num_identities=5, **SMALL[name] | own | {"embedding_dim": 256})


# Whose context it is.


@pytest.mark.parametrize("case", WITH_GROUP)
@torch.no_grad()
def test_group_is_who_was_found_and_else_who_is_given(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _create(case).eval()
    image, box = torch.rand(3, 96, 128), torch.tensor([[5.0, 5, 40, 90]])
    others = torch.tensor([[50.0, 10, 90, 80], [60, 5, 90, 90]])

    def embedding(*found: Tensor) -> Tensor:
        monkeypatch.setattr(model, "people", _Finds(torch.cat(found)))
        return model.embed([image], [box])[0]

    alone = embedding(torch.zeros(0, 4))
    torch.testing.assert_close(alone, embedding(box))
    assert not torch.allclose(alone, embedding(others), atol=1e-3)
    assert not torch.allclose(embedding(others), embedding(others, box), atol=1e-3)


@torch.no_grad()
def test_context_of_the_image_before_is_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [torch.rand(3, 96, 128), torch.rand(3, 96, 128)]
    boxes = [torch.tensor([[5.0, 5, 40, 90]]), torch.tensor([[50.0, 10, 90, 80]])]
    nothing = torch.zeros(0, 4)

    def context_cosine(**options: Any) -> Tensor:
        """Of the second image, where nothing is found, to the first; 256 coordinates of 832 are context."""
        model = _create("2026", **options).eval()
        monkeypatch.setattr(model, "people", _Finds(boxes[0], nothing))
        first, second = (e[0, -256:] for e in model.embed(images, boxes))
        monkeypatch.setattr(model, "people", _Finds(nothing))
        torch.testing.assert_close(model.embed(images[1:], boxes[1:])[0][0, -256:], second)
        return torch.nn.functional.cosine_similarity(first, second, dim=0)

    torch.testing.assert_close(context_cosine(stale_context=True), torch.tensor(1.0))
    assert context_cosine() < 0.999
    model = _create("2026", stale_context=True).eval()
    monkeypatch.setattr(model, "people", _Finds(nothing))
    with pytest.raises(InputError, match="nothing was detected in the first image"):
        model.embed(images[:1], boxes[:1])


@torch.no_grad()
def test_padding_is_masked_on_request() -> None:
    images = [torch.rand(3, 96, 128), torch.rand(3, 64, 40)]
    for case in ("released", "2026"):
        for masked in (False, True):
            model = _create(case, mask_padding=masked).eval()
            encoded = model.encode(images)
            inside = inside_images(encoded)[:, 0]
            assert inside.shape == (2, *encoded.features.shape[2:])
            for cells, (height, width) in zip(inside, encoded.sizes, strict=True):
                starts = torch.cartesian_prod(torch.arange(cells.shape[0]), torch.arange(cells.shape[1])) * 16
                expected = [bool(y < height and x < width) for y, x in starts]
                assert cells.flatten().tolist() == expected
            own = torch.rand(2, model.reid_head.channels["res5"])
            everyone = torch.ones(2, dtype=torch.bool)
            before = model.contexts(encoded, own, everyone, [1, 1])["scene"]
            encoded.features.masked_fill_(~inside[:, None], 30)
            after = model.contexts(encoded, own, everyone, [1, 1])["scene"]
            assert torch.allclose(before[1], after[1]) == masked
