"""The OIM loss, against its equations written one person at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from psbench.zoo.layers.oim import OIMLoss

K, D, Q = 4, 6, 5


def _embeddings(rng: np.random.Generator, n: int) -> Tensor:
    return F.normalize(torch.from_numpy(rng.standard_normal((n, D))).float())


def _one_by_one(oim: OIMLoss, x: Tensor, ids: list[int]) -> tuple[float, Tensor, Tensor, int]:
    """The loss and the tables after it, as equations 2 and 3 and the update rule say."""
    table, queue, position = oim.table.clone(), oim.queue.clone(), int(oim.queue_position)
    costs = []
    for person, t in zip(x, ids, strict=True):
        if t >= 0:
            similarity = oim.scale * torch.cat([oim.table @ person, oim.queue @ person])
            costs.append(-(similarity[t] - similarity.logsumexp(0)).item())
    for person, t in zip(x, ids, strict=True):
        if t >= 0:
            table[t] = F.normalize(oim.momentum * table[t] + (1 - oim.momentum) * person, dim=0)
        else:
            queue[position] = person
            position = (position + 1) % len(queue)
    return float(np.mean(costs)) if costs else 0.0, table, queue, position


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), batches=st.lists(st.lists(st.integers(-1, K - 1), max_size=14), min_size=1, max_size=4)
)
def test_loss_and_tables_follow_the_equations(seed: int, batches: list[list[int]]) -> None:
    rng = np.random.default_rng(seed)
    oim = OIMLoss(K, D, queue_size=Q)
    for ids in batches:
        x = _embeddings(rng, len(ids))
        loss, table, queue, position = _one_by_one(oim, x, ids)
        result = oim(x, torch.tensor(ids, dtype=torch.int64))
        assert result.item() == pytest.approx(loss, rel=1e-4, abs=1e-5)
        torch.testing.assert_close(oim.table, table)
        torch.testing.assert_close(oim.queue, queue)
        assert int(oim.queue_position) == position


@pytest.mark.parametrize("ids", [[], [-1, -1, -1]])
def test_nobody_labelled_gives_a_zero_in_the_graph(ids: list[int]) -> None:
    oim = OIMLoss(K, D, queue_size=Q)
    x = _embeddings(np.random.default_rng(0), len(ids)).requires_grad_()
    loss = oim(x, torch.tensor(ids, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert (x.grad == 0).all()


def test_gradient_uses_the_tables_before_the_update() -> None:
    oim = OIMLoss(K, D, queue_size=Q)
    rng = np.random.default_rng(1)
    oim.table.copy_(_embeddings(rng, K))
    before = oim.table.clone()
    x = _embeddings(rng, 2).requires_grad_()
    oim(x, torch.tensor([0, 3])).backward()
    probabilities = (oim.scale * x.detach() @ torch.cat([before, torch.zeros(Q, D)]).T).softmax(1)
    expected = oim.scale * (probabilities[:, :K] @ before - before[[0, 3]]) / 2
    torch.testing.assert_close(x.grad, expected, rtol=1e-4, atol=1e-5)


def test_half_precision_features_keep_full_precision_tables() -> None:
    oim = OIMLoss(K, D, queue_size=Q)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = oim(_embeddings(np.random.default_rng(2), 3).bfloat16(), torch.tensor([0, 1, -1]))
    assert loss.dtype == oim.table.dtype == torch.float32


def test_tables_are_saved_with_the_queue_position() -> None:
    oim = OIMLoss(K, D, queue_size=Q)
    oim(_embeddings(np.random.default_rng(3), 3), torch.tensor([-1, -1, 2]))
    again = OIMLoss(K, D, queue_size=Q)
    again.load_state_dict(oim.state_dict())
    assert int(again.queue_position) == 2
