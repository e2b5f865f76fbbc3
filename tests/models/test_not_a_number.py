"""A network that has diverged says so by its losses: what is not a number ends no process."""

import pytest
import torch

from psbench import zoo
from tests.models.small import JOINT, SMALL

IMAGES = [torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
BOXES = [torch.tensor([[10.0, 8, 48, 92], [60, 5, 99, 89]]), torch.tensor([[30.0, 20, 70, 95]])]
TARGETS = [
    {"boxes": boxes, "person_ids": ids}
    for boxes, ids in zip(BOXES, [torch.tensor([0, -1]), torch.tensor([1])], strict=True)
]


def _diverged(model: torch.nn.Module, value: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.view(-1)[::7] = value


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", JOINT)
def test_joint_model(name: str, value: float) -> None:
    # On a CPU, torchvision's RoIAlign and deformable convolution read memory wherever a coordinate points.
    model = zoo.create(name, num_identities=2, **SMALL[name])
    _diverged(model, value)
    losses = model(IMAGES, TARGETS)
    assert not torch.stack(list(losses.values())).sum().isfinite()
    model.eval()
    assert [len(found.boxes) for found in model.detect(IMAGES)] == [0, 0]
    assert not torch.cat(model.embed(IMAGES, BOXES)).isfinite().any()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_query_guided_model(value: float) -> None:
    model = zoo.create("igpn", num_identities=2, **SMALL["igpn"])
    _diverged(model, value)
    patches = {"query_patch": torch.zeros(3, 96, 32, dtype=torch.uint8), "query_id": torch.tensor(0)}
    losses = model(IMAGES, [target | patches for target in TARGETS])
    assert not torch.stack(list(losses.values())).sum().isfinite()
    model.eval()
    assert len(model.search((IMAGES[0], BOXES[0][0]), IMAGES[1:]).boxes) == 0
