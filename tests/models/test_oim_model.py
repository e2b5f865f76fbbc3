"""The model `oim`: its losses, written out one RoI at a time."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_iou, roi_align

from psbench import zoo
from psbench.zoo.oim import OIM
from tests.models.test_seqnet import SMALL

SIZE = (96, 128)
PEOPLE = [([10.0, 10, 50, 90], 3), ([60.0, 10, 90, 90], -1), ([95.0, 20, 120, 80], 1)]


def _small(**options: object) -> OIM:
    """Small, and with samplers that take every candidate, so that nothing is random."""
    torch.manual_seed(0)
    everything = {"roi_batch_size_per_image": 4000, "rpn_batch_size_per_image": 200000}
    model = zoo.create("oim", num_identities=5, **SMALL | everything | options)
    assert isinstance(model, OIM)
    torch.nn.init.normal_(model.oim.table)
    torch.nn.init.normal_(model.oim.queue)
    return model.double()


def _normalised(x: torch.Tensor, layers: torch.nn.Sequential) -> torch.Tensor:
    """A linear layer, and batch norm over the RoIs."""
    linear, norm = layers
    y = x @ linear.weight.T + linear.bias
    return (y - y.mean(0)) / (y.var(0, correction=0) + 1e-5).sqrt() * norm.weight + norm.bias


def _smooth_l1(x: float) -> float:
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def _deltas(roi: list[float], person: list[float]) -> list[float]:
    """Ren et al., equation 2, times 10, 10, 5, 5."""
    (x, y, w, h), (px, py, pw, ph) = (
        ((b[0] + b[2]) / 2, (b[1] + b[3]) / 2, b[2] - b[0], b[3] - b[1]) for b in (roi, person)
    )
    return [10 * (px - x) / w, 10 * (py - y) / h, 5 * math.log(pw / w), 5 * math.log(ph / h)]


def test_losses_follow_the_equations() -> None:
    model = _small(box_weight=3.0, oim_scale=7.0)
    table = torch.cat([model.oim.table, model.oim.queue]).clone()
    image = torch.rand(3, *SIZE, dtype=torch.float64)
    people = torch.tensor([box for box, _ in PEOPLE], dtype=torch.float64)
    target = {"boxes": people, "person_ids": torch.tensor([person_id for _, person_id in PEOPLE])}
    losses = {name: loss.item() for name, loss in model([image], [target]).items()}
    assert set(losses) == {"loss_rpn_cls", "loss_rpn_reg", "loss_cls", "loss_box_reg", "loss_reid"}

    # SIZE fits min_size, so that the image is not resized.
    mean, std = (torch.tensor(v).double()[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    features = model.backbone(((image - mean) / std)[None])
    [proposals], rpn_losses = model.propose(model.encode([image], [target]))
    assert losses["loss_rpn_cls"] == pytest.approx(rpn_losses["loss_objectness"].item())
    assert losses["loss_rpn_reg"] == pytest.approx(rpn_losses["loss_rpn_box_reg"].item())

    candidates = torch.cat([proposals, people])
    best, person = box_iou(people, candidates).max(dim=0)
    taken = (best >= 0.5) | (best < 0.1)
    assert 0 < (best >= 0.5).sum() < taken.sum() < len(candidates)
    rois, person, is_person = candidates[taken], person[taken], best[taken] >= 0.5
    maps = roi_align(features, [rois], output_size=7, spatial_scale=1 / 16, sampling_ratio=2)
    x = model.box_head.layer4(maps).amax(dim=(2, 3))
    scores = x @ model.score.weight.T + model.score.bias
    deltas, embeddings = _normalised(x, model.box), _normalised(x, model.embedding)

    cls, reg, reid = [], [], []
    for i in range(len(rois)):
        of_class = scores[i].exp() / scores[i].exp().sum()
        cls.append(-of_class[int(is_person[i])].log().item())
        if not is_person[i]:
            continue
        box, person_id = PEOPLE[int(person[i])]
        wanted = _deltas(rois[i].tolist(), box)
        reg.append(sum(_smooth_l1(d - w) for d, w in zip(deltas[i, 4:].tolist(), wanted, strict=True)))
        if person_id >= 0:
            p = (7 * table @ (embeddings[i] / embeddings[i].norm())).softmax(0)
            reid.append(-p[person_id].log().item())
    assert losses["loss_cls"] == pytest.approx(sum(cls) / len(cls))
    assert losses["loss_box_reg"] == pytest.approx(3 * sum(reg) / len(rois))
    assert losses["loss_reid"] == pytest.approx(sum(reid) / len(reid))


def test_first_loss_on_cuhk_sysu_is_that_of_empty_tables() -> None:
    """ln(5532 + 5000): all identities are as likely."""
    options = SMALL | {"oim_queue_size": 5000}
    model = zoo.create("oim", num_identities=5532, **options)
    target = {"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([5531])}
    assert model([torch.rand(3, *SIZE)], [target])["loss_reid"].item() == pytest.approx(math.log(10532), rel=1e-5)


@torch.no_grad()
def test_scores_are_the_softmax_of_two_classes() -> None:
    model = _small(score_thresh_test=0.0, nms_thresh_test=1.0).eval()
    image = torch.rand(3, *SIZE, dtype=torch.float64)
    encoded = model.encode([image])
    proposals, _ = model.propose(encoded)
    x = model.box_head(model.pool(encoded, proposals))["res5"]
    background, person = F.linear(x, model.score.weight, model.score.bias).unbind(1)
    expected = 1 / (1 + (background - person).exp())
    torch.testing.assert_close(model.detect([image])[0].scores, expected.sort(descending=True).values)


def test_parameters() -> None:
    """Trunk and res5 of NAE, then 2048 x 2, 2048 x 8 and 2048 x 256 weights and their biases, two of them with BN."""
    model = zoo.create("oim", num_identities=5532)
    heads = (model.score, model.box, model.embedding)
    assert [sum(p.numel() for p in head.parameters()) for head in heads] == [4098, 16408, 525056]
    assert sum(p.numel() for p in model.parameters()) == 8543296 + 9515083 + 14964736 + 4098 + 16408 + 525056
