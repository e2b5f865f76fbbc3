"""Speed of judging; `make bench`. Compare within one run: these figures depend on the machine."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import psbench
import psbench_data
from psbench import Predictions
from psbench_data import PersonSearchDataset
from psbench_data.synthetic.cuhk_sysu import write_cuhk_sysu
from psbench_data.synthetic.spec import WorldSpec
from tests.judging import oracle

pytestmark = pytest.mark.bench
SPEC = WorldSpec(train_scenes=50, test_scenes=1100, train_identities=10, test_identities=200)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    root = tmp_path_factory.mktemp("bench") / "cuhk_sysu"
    write_cuhk_sysu(SPEC, root, images=False)
    return psbench_data.load("cuhk_sysu", root=root)


@pytest.fixture(scope="module")
def predictions(dataset: PersonSearchDataset) -> Predictions:
    test, rng = dataset.split("test"), np.random.default_rng(0)
    return Predictions.from_arrays(
        test.names,
        counts=np.diff(test.offsets),
        boxes=test.boxes,
        scores=np.ones(len(test.boxes)),
        embeddings=rng.standard_normal((len(test.boxes), 256)),
        query_embeddings=rng.standard_normal((SPEC.test_identities, 256)),
    )


@pytest.mark.parametrize("name", ["gallery-100", "gallery-1000"])
def test_evaluate(
    benchmark: BenchmarkFixture, dataset: PersonSearchDataset, predictions: Predictions, name: str
) -> None:
    protocol = dataset.protocol(name)
    benchmark(lambda: psbench.evaluate(predictions, protocol))


@pytest.mark.parametrize("name", ["gallery-100", "gallery-1000"])
def test_evaluate_with_a_plain_loop(
    benchmark: BenchmarkFixture, dataset: PersonSearchDataset, predictions: Predictions, name: str
) -> None:
    protocol = dataset.protocol(name)
    benchmark.pedantic(lambda: oracle.search(predictions, protocol, 0.5), rounds=1)
