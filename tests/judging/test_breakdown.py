"""Means of groups of queries, against grouping by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psbench.evaluation.breakdown import breakdown
from psbench.evaluation.uncertainty import cluster_bootstrap
from psbench_data import InputError


def _per_query(seed: int = 0, queries: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    matches = rng.integers(0, 4, queries)
    rank = rng.integers(1, 5, queries).astype(float)
    return pd.DataFrame(
        {
            "scene": [f"s{i}.jpg" for i in range(queries)],
            "person_id": rng.integers(0, 40, queries),
            "camera_id": np.where(rng.uniform(size=queries) < 0.1, np.nan, rng.integers(1, 4, queries)),
            "box_height": rng.uniform(20, 600, queries),
            "matches": matches,
            "ap": np.where(matches == 0, np.nan, rng.uniform(size=queries)),
            "top1": rank == 1,
            "rank": rank,
        }
    )


def _row(frame: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Check one row of a breakdown against its queries."""
    rows = rows[rows["matches"] > 0]
    assert frame["queries"].item() == len(rows)
    assert frame["map"].item() == pytest.approx(rows["ap"].mean())
    assert frame["top1"].item() == pytest.approx(rows["top1"].mean())
    interval = cluster_bootstrap(rows["ap"], rows["person_id"], samples=2000)
    assert (frame["map_low"].item(), frame["map_high"].item()) == pytest.approx(interval, nan_ok=True)


def test_each_value_is_a_group_and_missing_ones_are_the_last() -> None:
    per_query = _per_query()
    result = breakdown(per_query, "camera_id")
    assert list(result.columns) == ["group", "queries", "map", "map_low", "map_high", "top1"]
    assert result["group"].tolist() == [1, 2, 3, "unknown"]
    assert [str(group) for group in result["group"][:3]] == ["1", "2", "3"]
    for group in (1, 2, 3):
        _row(result[result["group"] == group], per_query[per_query["camera_id"] == group])
    _row(result[result["group"] == "unknown"], per_query[per_query["camera_id"].isna()])


def test_bins_include_their_lower_edge_only_and_are_open_at_the_ends() -> None:
    per_query = _per_query(queries=6).assign(matches=1, ap=0.5, box_height=[20, 119.9, 120, 179.9, 180, 600])
    result = breakdown(per_query, "box_height", bins=[120, 180])
    assert result["group"].tolist() == ["<120", "120-180", ">=180"]
    for label, rows in zip(result["group"], ([0, 1], [2, 3], [4, 5]), strict=True):
        _row(result[result["group"] == label], per_query.iloc[rows])
    without = breakdown(per_query.iloc[2:], "box_height", bins=np.array([120, 180, 1000]))
    assert without["group"].tolist() == ["120-180", "180-1000"]


def test_many_numbers_make_four_bins_of_about_equally_many_queries() -> None:
    heights = np.random.default_rng(0).permutation(np.linspace(20, 420, 1000))
    per_query = _per_query(queries=1000).assign(matches=1, ap=0.5, box_height=heights)
    result = breakdown(per_query, "box_height")
    assert result["group"].tolist() == ["<120", "120-220", "220-320", ">=320"]
    assert result["queries"].tolist() == [250] * 4
    _row(result[1:2], per_query[(heights >= 120) & (heights < 220)])
    assert len(breakdown(per_query, "box_height", bins=7)) == 7
    assert len(breakdown(per_query, "box_height", bins=np.int64(7))) == 7


def test_edges_between_whole_numbers_are_whole_numbers() -> None:
    per_query = _per_query(queries=6).assign(matches=1, ap=0.5)
    result = breakdown(per_query, [1, 1, 1, 2, 2, 3], bins=2)
    assert result["group"].tolist() == ["<2", ">=2"]
    assert result["queries"].tolist() == [3, 3]


def test_missing_numbers_are_in_no_bin() -> None:
    per_query = _per_query(queries=6).assign(matches=1, ap=0.5, box_height=[20, np.nan, 150, 160, np.nan, 200])
    result = breakdown(per_query, "box_height", bins=[100, 180])
    assert result["group"].tolist() == ["<100", "100-180", ">=180", "unknown"]
    assert result["queries"].tolist() == [1, 2, 1, 2]


def test_intervals_are_drawn_as_they_are_asked_for() -> None:
    per_query = _per_query()
    result = breakdown(per_query, "camera_id", level=0.5, samples=200, seed=3)
    first = per_query[(per_query["camera_id"] == 1) & (per_query["matches"] > 0)]
    expected = cluster_bootstrap(first["ap"], first["person_id"], level=0.5, samples=200, seed=3)
    assert (result["map_low"][0], result["map_high"][0]) == expected


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([1e-6, 1, 1e3, 1e9]),
    start=st.sampled_from([0, 1000]),
    tail=st.sampled_from([1, 6]),
    bins=st.integers(2, 6),
)
def test_numbers_of_any_size_are_divided_evenly(seed: int, scale: float, start: float, tail: int, bins: int) -> None:
    per_query = _per_query(queries=300).assign(matches=1, ap=0.5)
    values = (start + np.random.default_rng(seed).uniform(size=300) ** tail) * scale
    result = breakdown(per_query, values, bins=bins, samples=100)
    assert len(result) == bins
    assert result["queries"].sum() == 300
    assert result["queries"].min() > 300 / bins / 2


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.integers(0, 3), st.just(float("inf"))), min_size=1, max_size=12))
def test_every_counted_query_is_in_one_group(values: list) -> None:
    per_query = _per_query(queries=len(values))
    for bins in (None, 2, [1, 2]):
        result = breakdown(per_query, values, bins=bins, samples=100)
        assert result["queries"].sum() == (per_query["matches"] > 0).sum()
        assert result["group"].is_unique
        assert (result["queries"] > 0).all()


def test_few_numbers_and_names_that_are_numbers_are_not_binned() -> None:
    per_query = _per_query(queries=400)
    assert breakdown(per_query, "matches", samples=100)["group"].tolist() == [1, 2, 3]
    for values, groups in ((20, 20), (21, 4)):
        assert len(breakdown(per_query.assign(ap=0.5), np.arange(400) % values, samples=100)) == groups
    people = breakdown(per_query, "person_id", samples=100)
    assert people["group"].tolist() == sorted(per_query["person_id"][per_query["matches"] > 0].unique())
    assert people["map_low"].isna().all()
    assert len(breakdown(per_query, "person_id", bins=3, samples=100)) == 3


@pytest.mark.parametrize(
    "of",
    [
        list,
        np.array,
        pd.Series,
        lambda light: pd.Categorical(light, ["night", "dusk", "day"], ordered=True),
        lambda light: np.array(light, dtype=object),
    ],
)
def test_values_of_ones_own_make_groups(of: type) -> None:
    per_query = _per_query()
    light = np.random.default_rng(1).choice(["day", "dusk", "night"], len(per_query))
    result = breakdown(per_query, of(light.tolist()))
    assert sorted(result["group"]) == ["day", "dusk", "night"]
    assert result["group"][0] == ("night" if isinstance(of(["day"]), pd.Categorical) else "day")
    for group in ("day", "dusk", "night"):
        _row(result[result["group"] == group], per_query[light == group])
    pd.testing.assert_frame_equal(result, breakdown(per_query.assign(light=of(light.tolist())), "light"))


def test_a_part_of_the_queries_can_be_broken_down() -> None:
    per_query = _per_query()
    far = per_query[per_query["box_height"] < 200]
    result = breakdown(far, far["camera_id"])
    pd.testing.assert_frame_equal(result, breakdown(far.reset_index(drop=True), "camera_id"))
    pd.testing.assert_frame_equal(result, breakdown(far, far["camera_id"].tolist()))
    _row(result[:1], far[far["camera_id"] == 1])


def test_groups_without_a_counted_query_are_left_out() -> None:
    per_query = _per_query()
    assert 0 not in breakdown(per_query, "matches", samples=100)["group"].tolist()
    nothing = breakdown(per_query[per_query["matches"] == 0], "camera_id")
    assert nothing.empty
    assert "map_low" in nothing
    assert breakdown(per_query.assign(camera_id=np.nan), "camera_id")["group"].tolist() == ["unknown"]


def test_a_breakdown_reads_as_a_table() -> None:
    text = breakdown(_per_query(), "box_height").to_string(index=False, float_format="{:.3f}".format)
    assert text.splitlines()[0].split() == ["group", "queries", "map", "map_low", "map_high", "top1"]
    assert len(text.splitlines()) == 5


def test_what_cannot_be_grouped_is_refused() -> None:
    per_query = _per_query()
    with pytest.raises(InputError, match=r"no column 'box_hight'\. Did you mean 'box_height'"):
        breakdown(per_query, "box_hight")
    with pytest.raises(InputError, match=r"by has the shape \(3,\), expected \(120,\)"):
        breakdown(per_query, [1, 2, 3])
    with pytest.raises(InputError, match="another index"):
        breakdown(per_query, per_query["box_height"].sort_values())
    with pytest.raises(InputError, match=r"bins are for numbers; by has values such as 's7\.jpg'"):
        breakdown(per_query[7:].assign(ap=0.5), "scene", bins=3)
    with pytest.raises(InputError, match="at least 2"):
        breakdown(per_query, "box_height", bins=1)
    for bins in ([], [2, 1], [1, 1], [1, float("nan")], [[1, 2]]):
        with pytest.raises(InputError, match="ascending edges"):
            breakdown(per_query, "box_height", bins=bins)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="samples is 5"):
        breakdown(per_query, "camera_id", samples=5)
