"""MATLAB 5 arrays of any kind, against scipy."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from psbench_data.matlab.arrays import decode
from psbench_data.matlab.stream import find_variable


def _filled(shape: tuple[int, ...], value: Any) -> np.ndarray:
    cells = np.empty(shape, object)
    for place in np.ndindex(shape):
        cells[place] = value
    return cells


SHAPES = st.lists(st.integers(0, 3), min_size=2, max_size=3).map(tuple)
VALUES = st.recursive(
    st.one_of(
        st.builds(np.zeros, SHAPES, st.sampled_from(["u1", "i2", "f4", "f8", "i8"])),
        st.builds(lambda shape: np.arange(math.prod(shape), dtype=np.uint16).reshape(shape), SHAPES),
        st.text(st.sampled_from("ab 人ß."), max_size=5),
    ),
    lambda inner: st.one_of(
        st.builds(_filled, SHAPES, inner),
        st.dictionaries(st.sampled_from(["a", "bc", "imname"]), inner, min_size=1),
    ),
    max_leaves=6,
)


def _lists(value: Any) -> Any:
    """An array with its shape, its fields and what it holds, as lists that can be compared."""
    if isinstance(value, np.void):
        return [_lists(field) for field in value.item()]
    if isinstance(value, np.ndarray):
        return value.shape if value.size else None, value.dtype.names, [_lists(item) for item in value.ravel()]
    return value


@settings(deadline=None, max_examples=150)
@given(value=VALUES)
def test_arrays_of_any_kind_are_decoded_as_by_scipy(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("arrays") / "arrays.mat"
    savemat(path, {"value": value})
    assert _lists(decode(find_variable(path, "value").content())) == _lists(loadmat(path)["value"])
