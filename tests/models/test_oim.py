"""The OIM loss, against its equations written one person at a time, alone and in several processes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from psbench import InputError, zoo
from psbench.zoo.layers.oim import OIMLoss, OIMLossOptions, gather_rows
from tests.models.small import SMALL

K, D, Q = 4, 6, 5
OPTIONS = st.fixed_dictionaries(
    {
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "scale": st.sampled_from([10.0, 30.0]),
        "normalise_rows": st.booleans(),
        "queue_dims": st.sampled_from([None, 2]),
        "ids_beyond_table": st.sampled_from(["refuse", "queue"]),
    }
)


def _embeddings(rng: np.random.Generator, n: int) -> Tensor:
    return F.normalize(torch.from_numpy(rng.standard_normal((n, D))).float())


def _one_by_one(
    oim: OIMLoss, x: Tensor, ids: list[int], *, momentum: float, normalise_rows: bool, queue_dims: int | None
) -> tuple[float, Tensor, Tensor, int]:
    """The loss and the tables after it, as equations 2 and 3 and the update rule say."""
    table, queue, position = oim.table.clone(), oim.queue.clone(), int(oim.queue_position)
    costs = []
    for person, t in zip(x, ids, strict=True):
        if t >= 0:
            similarity = oim.scale * torch.cat([oim.table @ person, oim.queue @ person])
            costs.append(-(similarity[t] - similarity.logsumexp(0)).item())
    for person, t in zip(x, ids, strict=True):
        if 0 <= t < K:
            table[t] = momentum * table[t] + (1 - momentum) * person
            if normalise_rows:
                table[t] /= table[t].norm()
        else:
            written = D if queue_dims is None else queue_dims
            for d in range(written):
                queue[position, d] = person[d]
            position = (position + 1) % len(queue)
    return float(np.mean(costs)) if costs else 0.0, table, queue, position


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    options=OPTIONS,
    batches=st.lists(st.lists(st.integers(-1, K + Q - 1), max_size=14), min_size=1, max_size=4),
)
def test_loss_and_tables_follow_the_equations(seed: int, options: dict[str, Any], batches: list[list[int]]) -> None:
    rng = np.random.default_rng(seed)
    oim = OIMLoss(K, D, queue_size=Q, **options)
    rule = {name: options[name] for name in ("momentum", "normalise_rows", "queue_dims")}
    for drawn in batches:
        ids = drawn if options["ids_beyond_table"] == "queue" else [t if t < K else -1 for t in drawn]
        x = _embeddings(rng, len(ids))
        loss, table, queue, position = _one_by_one(oim, x, ids, **rule)
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
    oim, other = OIMLoss(K, D, queue_size=Q), OIMLoss(K, D, queue_size=Q)
    for step in range(3):
        x, ids = _embeddings(np.random.default_rng(step), 3).bfloat16(), torch.tensor([0, 1, -1])
        expected = other(x.float(), ids)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = oim(x, ids)
        assert loss.dtype == oim.table.dtype == torch.float32
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_half_precision_models_keep_full_precision_tables() -> None:
    oim = OIMLoss(K, D, queue_size=Q)
    oim(_embeddings(np.random.default_rng(2), 3), torch.tensor([0, 1, -1]))
    before = oim.table.clone(), oim.queue.clone()
    for dtype in (torch.float16, torch.bfloat16):
        nn.Sequential(oim).to(dtype)
        assert torch.equal(oim.table, before[0])
        assert torch.equal(oim.queue, before[1])
    oim.to("meta", torch.float16)
    assert {(name, tensor.device.type, tensor.dtype) for name, tensor in oim.named_buffers()} == {
        ("table", "meta", torch.float32), ("queue", "meta", torch.float32), ("queue_position", "meta", torch.int64)
    }  # fmt: skip


SETTINGS = ("momentum", "scale", "normalise_rows", "queue_dims", "ids_beyond_table", "tables", "round_tables")


def _said(oim: OIMLoss) -> tuple[Any, ...]:
    return tuple(oim.table.shape), tuple(oim.queue.shape), *(getattr(oim, name) for name in SETTINGS)


def test_options_reach_the_loss_and_have_its_defaults() -> None:
    options = OIMLossOptions(
        embedding_dim=7,
        oim_queue_size=11,
        oim_momentum=0.25,
        oim_scale=12.0,
        oim_normalise_rows=False,
        oim_queue_dims=3,
        oim_ids_beyond_table="queue",
        oim_tables="per_rank",
        oim_round_tables="bfloat16",
    )
    oim = OIMLoss.of(5, options)
    assert _said(oim) == ((5, 7), (11, 7), 0.25, 12.0, False, 3, "queue", "per_rank", "bfloat16")
    assert oim.num_identities is None
    for plain in (OIMLoss(5, 256), OIMLoss.of(5, OIMLossOptions())):
        assert _said(plain) == ((5, 256), (5000, 256), 0.5, 30.0, True, None, "refuse", "shared", "none")
        assert plain.num_identities == 5


def test_double_precision_is_kept() -> None:
    oim = OIMLoss(K, D, queue_size=Q).double()
    x = _embeddings(np.random.default_rng(2), 2).double()
    assert oim(x, torch.tensor([1, -1])).dtype == torch.float64
    assert torch.equal(oim.queue[0], x[1])


def test_double_precision_is_kept_beside_tables_of_less() -> None:
    oim, other = OIMLoss(K, D, queue_size=Q), OIMLoss(K, D, queue_size=Q)
    for step in range(3):
        x, ids = _embeddings(np.random.default_rng(step), 3), torch.tensor([0, 1, -1])
        loss, expected = oim(x.double(), ids), other(x, ids)
        assert (loss.dtype, oim.table.dtype) == (torch.float64, torch.float32)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
        torch.testing.assert_close(oim.queue, other.queue)


def test_what_is_made_on_the_way_lies_where_the_rows_are() -> None:
    """Wherever tensors are made that nobody says a device of."""
    oim, x, ids = OIMLoss(K, D, queue_size=Q), _embeddings(np.random.default_rng(0), 3), torch.tensor([0, 1, -1])
    with torch.device("meta"):
        oim(x, ids)
    torch.testing.assert_close(oim.table[:2], x[:2])
    torch.testing.assert_close(oim.queue[0], x[2])


def test_first_step_costs_the_logarithm_of_all_rows() -> None:
    """As the tables are still zero: ln(5532 + 5000) = 9.262 on CUHK-SYSU."""
    oim = OIMLoss(5532, D, queue_size=5000)
    loss = oim(_embeddings(np.random.default_rng(4), 3), torch.tensor([17, 5531, -1]))
    assert loss.item() == pytest.approx(9.262, abs=5e-4)


@pytest.mark.parametrize(
    ("options", "ids", "words"),
    [({}, [1, K + 1, -1, K, K], r"\[4, 5\] with num_identities=4.*0\.\.3"),
     ({"ids_beyond_table": "queue"}, [K + Q - 1, K + Q], r"\[9\] with num_identities=4.*0\.\.8")],
)  # fmt: skip
def test_identities_beyond_the_table_are_refused(options: dict[str, Any], ids: list[int], words: str) -> None:
    oim = OIMLoss(K, D, queue_size=Q, **options)
    with pytest.raises(InputError, match=words):
        oim(_embeddings(np.random.default_rng(5), len(ids)), torch.tensor(ids))
    assert not oim.table.any()
    assert not oim.queue.any()


def test_tables_are_saved_with_the_queue_position() -> None:
    oim = OIMLoss(K, D, queue_size=Q)
    oim(_embeddings(np.random.default_rng(3), 3), torch.tensor([-1, -1, 2]))
    again = OIMLoss(K, D, queue_size=Q)
    again.load_state_dict(oim.state_dict())
    assert int(again.queue_position) == 2


@pytest.mark.parametrize("name", ["seqnet", "oim_caffe"])
def test_systems_pass_the_choice_on(name: str) -> None:
    """PRW's raw numbers, beyond a table of two, in the originals' way; refused otherwise."""
    images = [torch.rand(3, 96, 128)]
    targets = [{"boxes": torch.tensor([[10.0, 10, 50, 90]]), "person_ids": torch.tensor([3])}]
    losses = zoo.create(name, num_identities=2, **SMALL[name], oim_ids_beyond_table="queue")(images, targets)
    [reid] = [loss for key, loss in losses.items() if key in ("loss_box_reid", "loss_oim")]
    # Two rows and a queue of ten, all empty as yet.
    assert reid.item() == pytest.approx(np.log(12), rel=1e-5)
    with pytest.raises(InputError):
        zoo.create(name, num_identities=2, **SMALL[name])(images, targets)


STEPS: list[list[list[int]]] = [
    [[0, -1, 0, 2], [0, -1, -1]],
    [[], [3, 0]],
    [[], []],
    [[-1] * 7, [1, -1, 3]],
    [[2, -1], []],
    [[1, 1, 1], [1, -1, 1, -1]],
]
"""Identities at each step, on each of two processes."""


def _rows(step: int, rank: int) -> tuple[Tensor, Tensor]:
    ids = STEPS[step][rank]
    return _embeddings(np.random.default_rng([step, rank]), len(ids)), torch.tensor(ids, dtype=torch.int64)


def _process(rank: int, folder: str) -> None:
    """One of two processes: trains both kinds of tables, and meets an identity that only the other one cannot place."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    shared, alone = OIMLoss(K, D, queue_size=Q), OIMLoss(K, D, queue_size=Q, tables="per_rank")
    losses = [shared(*_rows(step, rank)).item() for step in range(len(STEPS))]
    for step in range(len(STEPS)):
        alone(*_rows(step, rank))
    with pytest.raises(InputError, match=r"\[4\]"):
        OIMLoss(K, D, queue_size=Q)(torch.ones(1, D), torch.tensor([K if rank == 1 else 0]))
    state = {"shared": shared.state_dict(), "per_rank": alone.state_dict(), "losses": losses}
    torch.save(state, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_keep_the_tables_of_one_that_sees_all_rows(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, args=(str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    one = OIMLoss(K, D, queue_size=Q)
    for step in range(len(STEPS)):
        rows = [_rows(step, rank) for rank in (0, 1)]
        loss = one(*(torch.cat(parts) for parts in zip(*rows, strict=True))).item()
        assert np.mean([process["losses"][step] for process in found]) == pytest.approx(loss, rel=1e-5)
    expected = one.state_dict()
    assert expected["queue_position"] > 0
    for process in found:
        torch.testing.assert_close(process["shared"], expected, rtol=0, atol=1e-6)
    for rank, process in enumerate(found):
        single = OIMLoss(K, D, queue_size=Q)
        for step in range(len(STEPS)):
            single(*_rows(step, rank))
        torch.testing.assert_close(process["per_rank"], dict(single.state_dict()), rtol=0, atol=1e-6)


def _in_place_of_processes(monkeypatch: pytest.MonkeyPatch, rank: int, sent: list[Tensor]) -> None:
    """torch.distributed as one of two processes sees it, when the other one sends these tensors."""

    def all_gather(parts: list[Tensor], tensor: Tensor) -> None:
        theirs = sent.pop(0)
        assert len(parts) == 2
        assert (tensor.shape, tensor.dtype) == (theirs.shape, theirs.dtype)
        parts[rank].copy_(tensor)
        parts[1 - rank].copy_(theirs)

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather", all_gather)


def _sent(x: Tensor, ids: Tensor, rows: int) -> list[Tensor]:
    """Their number, and they, filled up with nonsense."""
    fill = (0, rows - len(x))
    return [torch.tensor([len(x)]), F.pad(x, (0, 0, *fill), value=7), F.pad(ids, fill, value=99)]


def test_rows_of_other_processes_count_as_if_all_were_here(monkeypatch: pytest.MonkeyPatch) -> None:
    one, shared = OIMLoss(K, D, queue_size=Q), [OIMLoss(K, D, queue_size=Q) for _ in range(2)]
    steps = [(_rows(step, 0), _rows(step, 1)) for step in range(len(STEPS))]
    joined = [(torch.cat([first[0], other[0]]), torch.cat([first[1], other[1]])) for first, other in steps]
    losses = [one(*rows).item() for rows in joined]
    for rows, expected, loss in zip(steps, joined, losses, strict=True):
        costs = []
        for rank, oim in enumerate(shared):
            sent = _sent(*rows[1 - rank], max(len(ids) for _, ids in rows))
            _in_place_of_processes(monkeypatch, rank, list(sent))
            for found, all_rows in zip(gather_rows(*rows[rank]), expected, strict=True):
                torch.testing.assert_close(found, all_rows, rtol=0, atol=0)
            _in_place_of_processes(monkeypatch, rank, sent)
            costs.append(oim(*rows[rank]).item())
        assert np.mean(costs) == pytest.approx(loss, rel=1e-5)
    for oim in shared:
        torch.testing.assert_close(oim.state_dict(), one.state_dict(), rtol=0, atol=1e-6)


def test_tables_of_each_process_see_no_rows_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    one, alone = OIMLoss(K, D, queue_size=Q), OIMLoss(K, D, queue_size=Q, tables="per_rank")
    rows = _embeddings(np.random.default_rng(0), 3), torch.tensor([0, 1, -1])
    loss = one(*rows)
    _in_place_of_processes(monkeypatch, 0, [])
    assert torch.equal(alone(*rows), loss)
    assert torch.equal(alone.table, one.table)


def test_numbers_of_rows_are_sent_from_where_the_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.ones(2, D), torch.tensor([0, 1])
    _in_place_of_processes(monkeypatch, 0, [])
    devices = []

    def all_gather(parts: list[Tensor], tensor: Tensor) -> None:
        devices.extend([tensor.device.type, *(part.device.type for part in parts)])
        raise InterruptedError

    monkeypatch.setattr(dist, "all_gather", all_gather)
    with torch.device("meta"), pytest.raises(InterruptedError):
        gather_rows(*rows)
    assert devices == ["cpu"] * 3


@pytest.mark.parametrize("kept", ["float16", "bfloat16"])
def test_tables_can_lose_digits_as_in_the_original(kept: str) -> None:
    rng = np.random.default_rng(4)
    whole, rounded = OIMLoss(K, D, queue_size=Q), OIMLoss(K, D, queue_size=Q, round_tables=kept)  # type: ignore[arg-type]
    x, ids = _embeddings(rng, 3), torch.tensor([0, 1, -1])
    whole(x, ids)
    rounded(x, ids)
    for exact, coarse in ((whole.table, rounded.table), (whole.queue, rounded.queue)):
        assert coarse.dtype == torch.float32
        torch.testing.assert_close(coarse, exact.to(getattr(torch, kept)).float(), rtol=0, atol=0)
        assert not torch.equal(coarse, exact)
