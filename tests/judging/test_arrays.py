"""The backends: numpy and torch compute the same, and take no more memory than they have to."""

import warnings

import numpy as np
import pytest
import torch

from psbench.evaluation.arrays import PAIRS_AT_ONCE, NumpyArrays, TorchArrays, arrays_on
from psbench_data import InputError
from tests.judging.oracle import dot

DEVICES = [None, "cpu"]


def _vectors(count: int, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(count).standard_normal((count, dim)).astype(np.float32)


def test_a_device_decides_on_the_backend() -> None:
    assert isinstance(arrays_on(None), NumpyArrays)
    here = arrays_on("cpu")
    assert isinstance(here, TorchArrays)
    assert (here.xp, here.put(_vectors(2)).device.type) == (torch, "cpu")
    # A cache is as large for either.
    assert here.batch == NumpyArrays.batch < TorchArrays.batch


def test_tensors_lie_on_the_device_whatever_torchs_default_is() -> None:
    arrays = arrays_on("cpu")
    with torch.device("meta"):
        assert arrays.put(_vectors(2)).device.type == "cpu"


@pytest.mark.parametrize("device", ["nowhere", "cuda:4096", 1.5])
def test_where_torch_cannot_compute_nothing_is_taken(device: str) -> None:
    with pytest.raises(InputError, match=r"torch cannot compute there \(.+\)\. Leave device out") as raised:
        arrays_on(device)
    assert repr(device) in str(raised.value)
    assert "None" not in str(raised.value)
    assert raised.value.__suppress_context__


@pytest.mark.parametrize("device", DEVICES)
def test_arrays_come_back_as_they_went(device: str | None) -> None:
    arrays = arrays_on(device)
    for array in (_vectors(3), np.arange(4), np.zeros((0, 2))):
        fixed = array.copy()
        fixed.flags.writeable = False
        with warnings.catch_warnings(action="error"):
            for given in (array, fixed):
                back = arrays.get(arrays.put(given))
                assert (back.tolist(), back.dtype) == (array.tolist(), array.dtype)
        assert np.shares_memory(arrays.get(arrays.put(array)), array) == bool(array.size)


@pytest.mark.parametrize("device", DEVICES)
def test_products_are_those_of_all_rows(device: str | None) -> None:
    arrays, gallery = arrays_on(device), _vectors(7)
    # Smaller and larger ones in turn, which may share memory.
    for count in (0, 3, 1, 5, 5, 4):
        queries = _vectors(count)
        product = arrays.get(arrays.product(arrays.put(queries), arrays.put(gallery)))
        assert product.dtype == np.float32
        assert product.shape == (count, 7)
        assert product == pytest.approx(queries.astype(float) @ gallery.T.astype(float), abs=1e-5)


def test_numpy_takes_memory_for_the_largest_product_alone() -> None:
    arrays, gallery = NumpyArrays(), _vectors(7)
    large = arrays.product(_vectors(5), gallery)
    for count in (5, 2, 5):
        assert np.shares_memory(arrays.product(_vectors(count), gallery), large)


class _Watched:
    """Notes how precisely torch would multiply it, and fails."""

    used: str

    def __matmul__(self, other: object) -> None:
        self.used = torch.get_float32_matmul_precision()
        raise MemoryError


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_torch_multiplies_as_precisely_as_it_can_and_then_as_before(precision: str) -> None:
    arrays, watched = arrays_on("cpu"), _Watched()
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        with pytest.raises(MemoryError):
            arrays.product(watched, torch.ones(2, 3))
        assert (watched.used, torch.get_float32_matmul_precision()) == ("highest", precision)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [0, 1, PAIRS_AT_ONCE])
def test_dots_are_of_rows_and_in_float64(device: str | None, count: int) -> None:
    arrays, a, b = arrays_on(device), _vectors(count, 50), _vectors(count, 50)[::-1].copy()
    found = arrays.get(arrays.dots(arrays.put(a), arrays.put(b)))
    assert (found.dtype, found.shape) == (np.float64, (count,))
    assert found.tolist() == pytest.approx([dot(one, other) for one, other in zip(a, b, strict=True)], rel=1e-13)
