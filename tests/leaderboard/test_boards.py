"""Boards: who stands on them, in which order, with which ranks, and that published numbers are the facts'."""

from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from psbench.leaderboard.boards import Board, Ranking, make_boards, ranks, standing
from psbench.leaderboard.entry import Entry
from psbench.leaderboard.folder import read_folder
from psbench.leaderboard.reported import read
from psbench.leaderboard.rows import Row
from psbench.leaderboard.sizes import gallery_sizes
from psbench_data import InputError
from tests.leaderboard.made_up import entry_of, over_galleries, result, write
from tests.leaderboard.test_reported import FACTS, PUBLISHED, _rows, _source

REPORTED = read(PUBLISHED)
BOARDS = {
    "cuhk-gallery": ("cuhk_sysu", "gallery-{}"),
    "prw-full": ("prw", "regular"),
    "prw-mini": ("prw", "mini"),
    "prw-multiview": ("prw", "multi-view"),
    "lsps-blurred": ("lsps", "regular"),
    "movienet-n10": ("movienet_cs-train_subset-10", "gallery-{}"),
}


def _one(board: list[Board], protocol: str, supervision: str = "full") -> Ranking:
    [ranking] = [r for b in board for r in b.rankings if (r.protocol, r.supervision) == (protocol, supervision)]
    return ranking


def _row(ranking: Ranking, name: str) -> Row:
    [row] = [row for row in ranking.rows if row.name == name]
    return row


def _rank(ranking: Ranking, name: str) -> int | None:
    return ranking.ranks[[row.name for row in ranking.rows].index(name)]


def _of(name: str, low: float, high: float, map_: float | None = None) -> Entry:
    value = (low + high) / 2 if map_ is None else map_
    return entry_of(name, [{"regular": result(value, interval=(low, high))}])


def test_published_boards_agree_with_the_facts_row_by_row() -> None:
    expected: Counter[tuple[str, ...]] = Counter()
    for fact in _rows(FACTS):
        if fact["preferred"] == "1" and fact["protocol"] in BOARDS:
            board, protocol = BOARDS[fact["protocol"]]
            place = (board, protocol.format(fact["gallery_size"]), fact["supervision"])
            expected[(*place, fact["map"], fact["top1"], fact["backbone"], fact["family"])] += 1
    shown = Counter(
        (board.name, r.protocol, r.supervision, row.map_text, row.top1_text, row.backbone, row.family)
        for board in make_boards(REPORTED, [])
        for r in board.rankings
        for row in r.rows
    )
    assert shown == expected
    # What is left out: annotated boxes instead of detections, two rows.
    assert sum(expected.values()) == sum(fact["preferred"] == "1" for fact in _rows(FACTS)) - 2


def test_a_published_number_is_weak_unless_its_own_authors_print_just_this() -> None:
    facts = defaultdict(list)
    for fact in _rows(FACTS):
        key = ("protocol", "gallery_size", "method_key", "variant", "post_processing", "supervision")
        facts[tuple(fact[k] for k in key)].append(fact)
    strong = Counter(
        (shown["map"], shown["top1"])
        for rows in facts.values()
        for shown in rows
        if shown["preferred"] == "1" and shown["protocol"] in BOARDS
        if any(
            _source(row)[1] in ("paper", "official_repo")
            and all(_number(row[c]) == _number(shown[c]) for c in ("map", "top1"))
            for row in rows
        )
    )
    boards = make_boards(REPORTED, [])
    rows = [row for board in boards for ranking in board.rankings for row in ranking.rows]
    assert Counter((row.map_text, row.top1_text) for row in rows if row.kind == "published") == strong
    assert {row.kind for row in rows} == {"published", "weak"}


def _number(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def test_other_numbers_of_a_variant_are_told_in_notes() -> None:
    oim = _row(_one(make_boards([r for r in REPORTED if r.protocol == "prw-full"], []), "regular"), "OIM (base)")
    assert (oim.map_text, oim.top1_text) == ("21.3", "49.9")
    assert any("21.3 / 49.4" in note and "GLCNet README" in note for note in oim.notes)


def test_names_on_a_board_tell_variants_apart() -> None:
    for board in make_boards(REPORTED, []):
        for ranking in board.rankings:
            names = [row.name for row in ranking.rows]
            assert len(names) == len(set(names))
            assert len({row.key for row in ranking.rows}) == len(names)


def test_rows_stand_in_order_of_map_and_published_ones_have_no_rank() -> None:
    ranking = _one(make_boards([r for r in REPORTED if r.dataset == "PRW"], [_of("Mine", 0.46, 0.48)]), "regular")
    maps = [row.map for row in ranking.rows if row.map is not None]
    assert maps == sorted(maps, reverse=True)
    assert len(maps) > 50
    kinds = Counter(row.kind for row, rank in zip(ranking.rows, ranking.ranks, strict=True) if rank is None)
    assert "computed" not in kinds
    assert sum(kinds.values()) == len(ranking.rows) - 1
    assert _rank(ranking, "Mine") == 1


def test_entries_share_a_rank_where_their_intervals_overlap() -> None:
    entries = [_of("best", 0.8, 0.9), _of("near", 0.75, 0.81), _of("next", 0.6, 0.7), _of("last", 0.1, 0.2)]
    ranking = _one(make_boards([], entries), "regular")
    assert [row.name for row in ranking.rows] == ["best", "near", "next", "last"]
    assert ranking.ranks == (1, 1, 3, 4)
    assert ranking.shared == {1}


def test_intervals_that_touch_overlap() -> None:
    assert ranks([(0.5, 0.6), (0.4, 0.5)]) == [1, 1]
    assert ranks([(0.5, 0.6), (0.4, np.nextafter(0.5, 0))]) == [1, 2]


_BOUND = st.integers(0, 12).map(lambda i: i / 12)


@given(st.lists(st.tuples(_BOUND, _BOUND).map(lambda ends: (min(ends), max(ends))), max_size=12))
def test_ranks_equal_counting_one_by_one(intervals: list[tuple[float, float]]) -> None:
    assert ranks(intervals) == [1 + sum(low > high for low, _ in intervals) for _, high in intervals]


def test_several_seeds_are_averaged_and_one_is_marked() -> None:
    maps = [0.5, 0.53, 0.56]
    runs = [{"regular": result(m, interval=(m - 0.02, m + 0.01))} for m in maps]
    ranking = _one(make_boards([], [entry_of("three", runs), entry_of("one", runs[:1])]), "regular")
    three, one = _row(ranking, "three"), _row(ranking, "one")
    assert three.map == pytest.approx(53)
    assert three.deviation == pytest.approx(100 * np.std(maps, ddof=1))
    assert three.interval == pytest.approx((48, 57))
    assert three.top1 == pytest.approx(54)
    assert (three.seeds_text, one.seeds_text) == ("± 3.00, 3 seeds", "one seed")
    assert one.deviation is None


def test_without_an_interval_there_is_no_rank_and_nobody_is_placed_by_it() -> None:
    unknown = entry_of("unknown", [{"regular": result(0.9)}])
    nothing = entry_of("nothing", [{"regular": result(None)}])
    half = entry_of("half", [{"regular": result(0.8, interval=(0.7, 0.9))}, {"regular": result(0.8)}])
    ranking = _one(make_boards([], [nothing, unknown, half, _of("known", 0.1, 0.2)]), "regular")
    assert [row.name for row in ranking.rows] == ["unknown", "half", "known", "nothing"]
    assert ranking.ranks == (None, None, 1, None)


def test_supervision_and_protocol_have_rankings_of_their_own() -> None:
    runs = [{"regular": result(0.5, interval=(0.4, 0.6)), "multi-view": result(0.4, interval=(0.3, 0.5))}]
    entries = [entry_of("a", runs), entry_of("b", runs, supervision="weak")]
    [board] = make_boards([], entries)
    places = [(r.protocol, r.supervision) for r in board.rankings]
    assert places == [("regular", "full"), ("regular", "weak"), ("multi-view", "full"), ("multi-view", "weak")]
    assert all(r.ranks == (1,) for r in board.rankings)


def test_galleries_stand_in_order_of_their_size() -> None:
    boards = make_boards(REPORTED, [])
    assert list(boards[0].protocols) == [f"gallery-{size}" for size in (50, 100, 500, 1000, 2000, 4000)]
    assert [board.title for board in boards] == ["CUHK-SYSU", "PRW", "LSPS", "MovieNet-CS, train subset 10"]


def test_synthetic_boards_are_apart_and_hold_nothing_published() -> None:
    drawn = entry_of("seqnet", [over_galleries(0.6)], dataset="cuhk_sysu", synthetic=True)
    boards = make_boards(REPORTED, [drawn])
    assert [board.name for board in boards if board.synthetic] == ["cuhk_sysu-synthetic"]
    assert boards[-1].title == "CUHK-SYSU, synthetic"
    assert {row.kind for ranking in boards[-1].rankings for row in ranking.rows} == {"computed"}
    real = [board for board in boards if not board.synthetic]
    assert {row.kind for board in real for r in board.rankings for row in r.rows} == {"published", "weak"}


def test_entries_of_different_data_are_not_compared() -> None:
    one = entry_of("one", [{"regular": result(0.9, interval=(0.8, 1), data="one")}], synthetic=True)
    other = entry_of("other", [{"regular": result(0.1, interval=(0, 0.2), data="other")}], synthetic=True)
    [board] = make_boards([], [one, other])
    assert [ranking.ranks for ranking in board.rankings] == [(1,), (1,)]
    assert len({ranking.data for ranking in board.rankings}) == 2


def test_what_has_to_be_reviewed_is_said_first() -> None:
    entry = entry_of("a", [{"regular": result(0.5)}], review=("identical boxes",), notes="of the authors")
    assert _row(_one(make_boards([], [entry]), "regular"), "a").notes[0] == "to be reviewed: identical boxes"


def test_curves_join_only_numbers_of_one_publication() -> None:
    published = [row for row in REPORTED if row.place and row.place[0] == "cuhk_sysu"]
    [sizes] = gallery_sizes(published, [])
    assert sizes.sizes == (50, 100, 500, 1000, 2000, 4000)
    curves = {curve.name: curve for curve in sizes.curves}
    # 95.5 at gallery-100 was revised later, when the other sizes were not printed again.
    assert [p.text for p in curves["GLCNet"].points.values()] == ["96.0", "95.7", "93.5", "92.3", "90.7", "88.3"]
    assert len(curves) == 15
    ends = [curve.points[4000].map for curve in sizes.curves]
    assert ends == sorted(ends, reverse=True)


def test_curves_of_entries_stand_at_the_scenes_that_were_searched() -> None:
    entry = entry_of("Mine", [over_galleries(0.9), over_galleries(0.92)], dataset="cuhk_sysu")
    [sizes] = gallery_sizes([], [entry])
    assert {size: round(point.map, 6) for size, point in sizes.curves[0].points.items()} == {
        50: 93.0,
        100: 91.0,
        500: 86.0,
        4000: 71.0,
    }


def test_standing_says_rank_neighbours_and_published_numbers(tmp_path: Path) -> None:
    for name, low in (("above", 0.9), ("beside", 0.5), ("below", 0.1)):
        write(tmp_path, _of(name, low, low + 0.05))
    mine = _of("Mine", 0.48, 0.53, 0.51)
    (tmp_path / "published.csv").write_bytes(PUBLISHED.read_bytes())
    text = standing(tmp_path, mine)
    published = [fact for fact in _rows(FACTS) if fact["protocol"] == "prw-full" and fact["preferred"] == "1"]
    full = [float(fact["map"]) for fact in published if fact["supervision"] == "full"]
    assert "PRW, fully supervised:" in text
    assert "rank 2 of 4 computed, shared with beside: mAP 51.00 [48.00, 53.00] one seed" in text
    assert f"above {sum(value < 51 for value in full)} of {len(full)} published numbers" in text
    # Where it has been written already, it is not counted twice.
    write(tmp_path, mine)
    assert standing(tmp_path, mine) == text


def test_standing_says_which_entries_are_of_other_data(tmp_path: Path) -> None:
    def of(name: str, data: str) -> Entry:
        return entry_of(name, [{"regular": result(0.5, interval=(0.4, 0.6), data=data)}], synthetic=True)

    for name in ("a", "b"):
        write(tmp_path, of(name, "theirs"))
    assert "ranked apart" not in standing(tmp_path, of("c", "theirs"))
    text = standing(tmp_path, of("Mine", "mine"))
    assert (
        "rank 1 of 1 computed: mAP 50.00 [40.00, 60.00] one seed; other data than the 2 entries there: ranked" in text
    )
    write(tmp_path, of("Mine", "mine"))
    write(tmp_path, of("Weak", "mine").model_copy())
    assert "rank 1 of 2 computed, shared with Weak" in standing(tmp_path, of("Mine", "mine"))


def test_a_first_entry_stands_alone(tmp_path: Path) -> None:
    mine = entry_of("Mine", [{"regular": result(0.5, interval=(0.4, 0.6)), "mini": result(None)}])
    text = standing(tmp_path, mine)
    assert "regular       rank 1 of 1 computed: mAP 50.00 [40.00, 60.00] one seed" in text
    assert "mini          no rank: no query has anybody to be found" in text


def test_entries_elsewhere_than_they_belong_are_faults(tmp_path: Path) -> None:
    mine = _of("Mine", 0.4, 0.6)
    mine.write(tmp_path / "entries/lsps/mine.json")
    (tmp_path / "entries/prw").mkdir()
    (tmp_path / "entries/prw/broken.json").write_text("{}")
    with pytest.raises(InputError) as error:
        read_folder(tmp_path)
    faults = error.value.faults
    assert any("lsps/mine.json: belongs at" in fault and "entries/prw/mine.json" in fault for fault in faults)
    assert any("prw/broken.json" in fault for fault in faults)
    with pytest.raises(InputError, match=r"broken\.json"):
        standing(tmp_path, mine)
