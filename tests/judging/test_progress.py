"""Bars of what can take long: shown on request alone, of the right length, and full at the end."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import psbench
from psbench import CBGM, PRESETS, Predictions
from psbench.evaluation.auditing import audit
from psbench.evaluation.judging import prepared
from psbench.evaluation.listing import listing_of
from psbench.evaluation.losses import error_analysis
from psbench.evaluation.ranks import rank
from psbench.evaluation.spread import spread
from psbench_data import PersonSearchDataset
from tests.judging.stages import one_query


class _Bar:
    """Remembers what it is asked for, and how far it came."""

    made: list["_Bar"]

    def __init__(self, items: Iterable[Any] = (), *, total: int | None = None, **options: Any) -> None:
        self.items = list(items)
        self.total = len(self.items) if total is None else total
        self.options = options
        self.done = 0
        self.made.append(self)

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            yield item
            self.done += 1

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, done: int) -> None:
        self.done += done


@pytest.mark.parametrize("progress", [True, False, None])
def test_bars(
    progress: bool | None,
    golden: PersonSearchDataset,
    golden_predictions: Predictions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    protocol, bars = golden.protocol("gallery-50"), []
    monkeypatch.setattr(_Bar, "made", bars, raising=False)
    monkeypatch.setattr("tqdm.tqdm", _Bar)
    options: dict[str, Any] = {} if progress is None else {"progress": progress}
    evaluation = psbench.evaluate(golden_predictions, protocol, cbgm=CBGM(10, 3), **options)
    sought = bars[0].total
    psbench.evaluate_all(golden_predictions, [protocol], **options)
    error_analysis(golden_predictions, protocol, **options)
    spread(listing_of(golden_predictions, protocol, evaluation), **options)
    audit(golden_predictions, [protocol], **options)
    assert 0 < sought <= len(protocol.queries)
    counted = int(evaluation.per_query["ap"].notna().sum())
    words = [(bar.options["desc"], bar.options["unit"], bar.total) for bar in bars]
    assert words[:5] == [("search", "query", sought)] * 4 + [("similarities", "query", counted)]
    assert words[5] == ("audit", "preset", len(PRESETS))
    # Within the audit every preset searches, without bars of their own.
    assert {word[:2] for word in words[6:]} == {("search", "query")}
    assert [bar.options["disable"] for bar in bars] == [not progress] * 6 + [True] * len(bars[6:])
    assert all(bar.done == bar.total for bar in bars)
    # What is done at once shows none.
    assert {bar.options["delay"] for bar in bars} == {2}


@pytest.mark.parametrize(("right", "sought"), [(None, 0), (0, 1)])
@pytest.mark.parametrize(("options", "shown"), [({}, False), ({"progress": False}, False), ({"progress": True}, True)])
def test_bar_of_a_search_counts_the_queries_that_anything_could_be_right_for(
    right: int | None, sought: int, options: dict[str, bool], shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[_Bar] = []
    monkeypatch.setattr(_Bar, "made", bars, raising=False)
    monkeypatch.setattr("tqdm.tqdm", _Bar)
    predictions, protocol = one_query([0.5, 0.25], right=right)
    rank(*prepared(predictions, [protocol], PRESETS["default"], 0.5), **options)
    [bar] = bars
    assert (bar.total, bar.done, bar.options["disable"]) == (sought, sought, not shown)
