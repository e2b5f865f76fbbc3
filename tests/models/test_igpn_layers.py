"""IGPN's layers: against the golden's numbers, and against the paper's formulas written out."""

import json
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from psbench.zoo.layers.correlation import (
    ICCL,
    VCCL,
    CrossCorrelation,
    correlate,
    correlate_outer,
    outer_product,
)
from psbench.zoo.layers.relations import LocalRelations, RelationFeatures, RelationHeads, mean_of
from psbench.zoo.layers.siamese_rpn import ResponseHead
from tests.conftest import GOLDENS
from tests.goldens.models.fill import fill

FOLDER = GOLDENS / "models" / "igpn_blocks"
CASE = json.loads((FOLDER / "case.json").read_text())
exact = {"rtol": 0, "atol": 1e-10}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(FOLDER / "case.npz") as stored:
        return {name: torch.from_numpy(value) for name, value in stored.items()}


def _filled(layer: nn.Module, name: str) -> nn.Module:
    """A layer in float64 with the golden's weights."""
    weights = fill(json.loads((FOLDER / "manifest.json").read_text()), salt=CASE["salt"], gain=CASE["gain"])
    own = {key: torch.from_numpy(weights[f"{name}.{key}"]) for key in layer.state_dict()}
    layer.double().load_state_dict(own)
    return layer


# Golden.


@pytest.mark.parametrize(("name", "per_anchor"), [("sim", 2), ("reg", 4)])
def test_correlation_layers_of_the_golden(golden: dict[str, Tensor], name: str, per_anchor: int) -> None:
    dims = CASE["dims"]
    sizes = dims["c"], dims["c_prime"], per_anchor * dims["k"]
    improved, vanilla = _filled(ICCL(*sizes, (7, 3)), name), _filled(VCCL(*sizes), name)
    x, z = golden["x"], golden["z"]
    for layer, expected in ((improved, golden[f"{name}_iccl"]), (vanilla, golden[f"{name}_vccl"])):
        assert isinstance(layer, CrossCorrelation)
        torch.testing.assert_close(layer(x, z), expected, **exact)
        torch.testing.assert_close(layer.respond(layer.of_scene(x), layer.of_query(z)), expected, **exact)
    assert isinstance(improved, ICCL)
    torch.testing.assert_close(improved.of_scene(x).shared, golden[f"{name}_iccl_shared_part"], **exact)
    alone = correlate_outer(improved.features(x), *improved.of_query(z))
    torch.testing.assert_close(alone, golden[f"{name}_iccl_query_part"], **exact)


def test_relations_of_the_golden(golden: dict[str, Tensor]) -> None:
    dims = CASE["dims"]
    relation = _filled(RelationFeatures(dims["d"], dims["hidden"]), "relation")
    local = _filled(LocalRelations(dims["d"], dims["hidden"]), "local")
    head = _filled(RelationHeads(dims["d"]), "head")
    assert isinstance(local, LocalRelations)
    proposals = golden["f_p"]
    first = relation(proposals, golden["f_q"][None])
    second = local(proposals, first)
    judged = head(second)
    for found, name in [
        (first, "r1"),
        (local.affinity(proposals), "affinity"),
        (second, "r2"),
        (judged.similarity, "similarity_logits"),
        (judged.deltas, "box_deltas"),
        (judged.search[None], "search_logits"),
    ]:
        torch.testing.assert_close(found, golden[name], **exact)
    loss = F.cross_entropy(judged.search[None], torch.tensor([1]))
    assert loss.item() == pytest.approx(CASE["search_loss_label_1"], abs=1e-10)


# Cross-correlation.


def test_kernels_are_outer_products_at_each_place_and_a_shared_part() -> None:
    """Equation 2, one number at a time."""
    layer = ICCL(4, 3, 2, (7, 3)).double()
    z = torch.rand(2, 4, 7, 3, dtype=torch.float64)
    first, second = layer.kernel_channels(z), layer.kernel_outputs(z)
    kernels = layer.kernels(layer.of_query(z))
    assert layer.shared_kernel is not None
    assert kernels.shape == (2, 2, 3, 7, 3)
    for n, o, c, i, j in product(*map(range, kernels.shape)):
        expected = first[n, c, i, j] * second[n, o, i, j] + layer.shared_kernel[o, c, i, j]
        assert kernels[n, o, c, i, j].item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize("kernel", [(7, 3), (5, 1), (14, 6), (2, 4)])
def test_correlation_is_a_convolution_of_each_map_with_its_own_kernels(kernel: tuple[int, int]) -> None:
    features, kernels = torch.rand(3, 4, 9, 8).double(), torch.rand(3, 5, 4, *kernel).double()
    h, w = kernel
    margins = ((w - 1) // 2, w // 2, (h - 1) // 2, h // 2)
    expected = torch.stack([F.conv2d(F.pad(x, margins)[None], k)[0] for x, k in zip(features, kernels, strict=True)])
    found = correlate(features, kernels)
    assert found.shape == (3, 5, 9, 8)
    torch.testing.assert_close(found, expected)


def test_correlation_at_one_location() -> None:
    """Equation 1: what is under the kernel, centred there and zero outside the map, times the kernel."""
    features, kernels = torch.rand(1, 2, 6, 5).double(), torch.rand(1, 3, 2, 3, 3).double()
    found = correlate(features, kernels)
    for o, y, x in product(range(3), range(6), range(5)):
        total = sum(
            (features[0, c, y + i, x + j] * kernels[0, o, c, i + 1, j + 1]).item()
            for c, i, j in product(range(2), (-1, 0, 1), (-1, 0, 1))
            if 0 <= y + i < 6 and 0 <= x + j < 5
        )
        assert found[0, o, y, x].item() == pytest.approx(total, abs=1e-12)


class _Calls(TorchDispatchMode):
    """Counts convolutions, and how many groups they have."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.overloadpacket is torch.ops.aten.convolution:
            self.groups.append(args[8])
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("layer", [ICCL(4, 3, 2, (7, 3)), VCCL(4, 3, 2)])
def test_a_batch_is_correlated_in_one_grouped_convolution(layer: CrossCorrelation) -> None:
    with _Calls() as calls:
        layer(torch.rand(5, 4, 9, 8), torch.rand(5, 4, 7, 3))
    # phi, and what kernels are made with, are plain ones.
    assert sorted(calls.groups)[-2:] == [1, 5]
    assert calls.groups.count(5) == 1


@pytest.mark.parametrize("kernel", [(7, 3), (5, 1), (14, 6), (1, 2)])
def test_outer_products_need_not_be_made(kernel: tuple[int, int]) -> None:
    features = torch.rand(1, 6, 9, 8).double()
    channels, outputs = torch.randn(4, 6, *kernel).double(), torch.randn(4, 5, *kernel).double()
    expected = correlate(features.expand(4, -1, -1, -1), outer_product(channels, outputs))
    torch.testing.assert_close(correlate_outer(features, channels, outputs), expected)


@pytest.mark.parametrize("kind", ["iccl", "iccl without B", "vccl"])
@pytest.mark.parametrize("how", [{}, {"phi_relu": True, "response_scale": 0.3, "phi_size": 1}])
def test_searching_one_scene_for_many_is_the_same_as_each_pair(kind: str, how: dict) -> None:
    layer: CrossCorrelation
    layer = VCCL(4, 3, 6, **how) if kind == "vccl" else ICCL(4, 3, 6, (7, 3), shared=kind == "iccl", **how)
    x, z = torch.rand(1, 4, 9, 8), torch.rand(5, 4, 7, 3)
    expected = layer(x.expand(5, -1, -1, -1), z)
    torch.testing.assert_close(layer.respond(layer.of_scene(x), layer.of_query(z)), expected)
    assert ((layer.features(x) >= 0).all()) == bool(how)


def test_gradients_of_correlation() -> None:
    with torch.enable_grad():
        features = torch.rand(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
        channels = torch.rand(2, 2, 3, 1, dtype=torch.float64, requires_grad=True)
        outputs = torch.rand(2, 3, 3, 1, dtype=torch.float64, requires_grad=True)
        given = (features, channels, outputs)
        assert torch.autograd.gradcheck(lambda x, c, o: correlate(x, outer_product(c, o)), given)
        assert torch.autograd.gradcheck(correlate_outer, (features[:1].detach().requires_grad_(), channels, outputs))
        layer = ICCL(2, 2, 3, (3, 1)).double()
        z = torch.rand(2, 2, 3, 1, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(layer, (features, z))


@pytest.mark.parametrize("z_scale", [1.0, 3.0])
def test_both_parts_of_a_fresh_response_are_of_one_size(z_scale: float) -> None:
    """Where phi(x) and phi1(z) have unit variance; otherwise the query's part would drown the other."""
    layer = ICCL(64, 32, 18, (7, 3))
    x, z = torch.randn(1, 64, 20, 20), z_scale * torch.randn(8, 64, 7, 3)
    unit = 0.01 * (9 * 64) ** 0.5
    scene, query = layer.of_scene(x / unit), layer.of_query(z / unit)
    own = correlate_outer(scene.features, *query)
    assert scene.shared is not None
    assert 0.5 < scene.shared.std() < 2
    assert 0.3 * z_scale**2 < own.std() < 2 * z_scale**2


def _parameters(layer: nn.Module, *without: str) -> int:
    return sum(p.numel() for name, p in layer.named_parameters() if not name.startswith(without))


def test_published_numbers_of_parameters() -> None:
    """Table 1, 10 M and 254 M, is of what makes kernels, without biases."""
    improved = [ICCL(1024, 512, 9 * each, (7, 3)) for each in (2, 4)]
    with torch.device("meta"):
        vanilla = [VCCL(1024, 512, 9 * each) for each in (2, 4)]
    biases = ("phi.bias", "kernel_channels.bias", "kernel_outputs.bias", "vccl.bias")
    assert sum(_parameters(layer, "phi", *biases) for layer in improved) == 10_515_456
    assert sum(_parameters(layer, "phi", *biases) for layer in vanilla) == 254_803_968
    assert sum(_parameters(layer, *biases) for layer in improved) == 19_952_640
    assert sum(_parameters(layer, "phi") for layer in improved) - 10_515_456 == 1_078
    assert sum(_parameters(layer, "phi") for layer in vanilla) - 254_803_968 == 27_648
    small = [ICCL(1024, 512, 9 * each, (7, 3), padding=0) for each in (2, 4)]
    assert sum(_parameters(layer, "phi", *biases) for layer in small) == 10_073_088


# Relations.


def test_local_relations_are_equations_3_to_5() -> None:
    local = LocalRelations(6, 4).double()
    nn.init.normal_(local.out.weight)
    nn.init.normal_(local.out.bias)
    f, r = torch.randn(5, 6).double(), torch.randn(5, 6).double()
    found = local(f, r)
    for i in range(5):
        relation = [torch.exp(local.mu(f[i]) @ local.nu(f[j])) for j in range(5)]
        total = sum(relation, start=torch.zeros(()))
        gathered = sum((relation[j] * local.g(r[j]) / total for j in range(5)), start=torch.zeros(()))
        torch.testing.assert_close(found[i], local.out(gathered) + r[i])


def test_relation_features_are_of_the_squared_difference() -> None:
    relation = RelationFeatures(6, 3)
    proposals, query = torch.randn(5, 6), torch.randn(6)
    found = relation(proposals, query[None])
    for i in range(5):
        hidden = relation.fc1((proposals[i] - query) ** 2)
        torch.testing.assert_close(found[i], relation.fc2(torch.where(hidden > 0, hidden, 0)))


def test_fresh_local_relations_change_nothing() -> None:
    f, r = torch.randn(5, 6), torch.randn(5, 6)
    for norm in (False, True):
        local = LocalRelations(6, 4, norm=norm)
        torch.testing.assert_close(local(f, r), r, rtol=0, atol=0)
        nn.init.normal_(local.out.weight)
        if local.norm is not None:
            nn.init.normal_(local.norm.weight)
        assert not torch.allclose(local(f, r), r)


def test_affinities_of_long_vectors_are_finite() -> None:
    local = LocalRelations(6, 4)
    affinity = local.affinity(1e4 * torch.randn(5, 6))
    torch.testing.assert_close(affinity.sum(dim=-1), torch.ones(5))


def test_scenes_in_a_batch_do_not_see_each_others_proposals() -> None:
    """Nor what fills them up, whatever that is."""
    local, head = LocalRelations(6, 4), RelationHeads(6)
    nn.init.normal_(local.out.weight)
    counts = [5, 2, 0]
    f, r = torch.randn(3, 5, 6), torch.randn(3, 5, 6)
    valid = torch.arange(5) < torch.tensor(counts)[:, None]
    refined = local(f, r, valid)
    search = head(refined, valid).search
    for i, n in enumerate(counts):
        alone = local(f[i, :n], r[i, :n])
        torch.testing.assert_close(refined[i, :n], alone)
        torch.testing.assert_close(search[i], head(alone).search)
    assert not mean_of(refined, valid)[2].any()


def test_a_scene_without_proposals_has_a_gradient() -> None:
    with torch.enable_grad():
        local, head = LocalRelations(6, 4), RelationHeads(6)
        valid = torch.tensor([[False] * 3, [True] * 3])
        head(local(torch.randn(2, 3, 6), torch.randn(2, 3, 6), valid), valid).search.sum().backward()
    gradients = [p.grad for p in (*local.parameters(), *head.search.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


# The RPN's half.


def test_anchors_are_classified_by_a_softmax_of_two() -> None:
    """Channels 2 a and 2 a + 1 are "other" and "target" of anchor a."""
    sim, reg = torch.randn(2, 6, 4, 5), torch.randn(2, 12, 4, 5)
    [logits], [deltas] = ResponseHead(3)([torch.cat([sim, reg], dim=1)])
    expected = sim.unflatten(1, (3, 2)).softmax(dim=2)[:, :, 1]
    torch.testing.assert_close(logits.sigmoid(), expected)
    torch.testing.assert_close(deltas, reg, rtol=0, atol=0)
    label = torch.randint(2, (2, 3, 4, 5))
    two_way = F.cross_entropy(sim.unflatten(1, (3, 2)).transpose(1, 2), label)
    torch.testing.assert_close(F.binary_cross_entropy_with_logits(logits, label.float()), two_way)
