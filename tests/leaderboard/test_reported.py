"""The published numbers: the same as the facts that were collected, row by row, and faults told all at once."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from psbench.leaderboard.reported import COLUMNS, WEAK, Reported, read
from psbench_data import InputError

ROOT = Path(__file__).parents[2]
FACTS = ROOT / "tests/published/leaderboard_reported.csv"
PUBLISHED = ROOT / "leaderboards/published.csv"
DOCUMENTS = {
    "000_6762cf1542feda39.txt": ("GLCNet README, first version (December 2021)", "glcnet", "official_repo"),
    "001_a9a054fb07762e20.txt": ("GLCNet README, since April 2022", "glcnet", "official_repo"),
    "003_36c3140eaa7b9191.txt": ("PCNet paper: Points in Context for Efficient Person Search", "pcnet", "paper"),
    "004_646f61e8847f8d12.txt": (
        "IGPN paper: Instance Guided Proposal Network for Person Search, CVPR 2020",
        "igpn",
        "paper",
    ),
}
"""What the facts name by a file: in words, whose it is, and what kind of source it is of that method's numbers."""
SAME = (
    *("dataset", "protocol", "gallery_size", "method", "method_key", "variant", "backbone", "family", "supervision"),
    *("post_processing", "map", "top1", "venue", "year", "preferred"),
)
LEFT_OUT: list[dict[str, str]] = []
"""Rows of the facts that are not published, each with its reason: none, as every row's source was read."""


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _source(fact: dict[str, str]) -> tuple[str, str]:
    """What a fact's source is called, and of which kind it is."""
    words, kind = fact["source"], fact["source_kind"]
    if words not in DOCUMENTS:
        return words, kind
    words, own, own_kind = DOCUMENTS[words]
    if kind != "seed":
        return words, kind
    if fact["method_key"] == own:
        return words, own_kind
    # A paper's table quotes others, but for those that its authors ran themselves.
    return words, "reimplementation" if fact["notes"].startswith("run by the PCNet authors") else "secondary_table"


def _expected(fact: dict[str, str]) -> tuple[str, ...]:
    code = fact["code_repository"]
    return (*(fact[c] for c in SAME), f"https://github.com/{code}" if code else "", *_source(fact))


def _published(row: dict[str, str]) -> tuple[str, ...]:
    return (*(row[c] for c in SAME), row["code"], row["source"], row["source_kind"])


def test_every_row_agrees_with_the_facts_in_both_directions() -> None:
    facts = [fact for fact in _rows(FACTS) if fact not in LEFT_OUT]
    assert len(facts) + len(LEFT_OUT) == 347
    assert Counter(map(_published, _rows(PUBLISHED))) == Counter(map(_expected, facts))


def test_notes_are_those_of_the_facts_in_words_for_readers() -> None:
    for fact, row in zip(_rows(FACTS), _rows(PUBLISHED), strict=True):
        if fact["notes"] != row["notes"]:
            assert fact["notes"].startswith("+-0.05 mAP") or "seed text" in fact["notes"]
            assert "0.05 mAP" in row["notes"] or row["notes"].endswith("Printed as RDRL there")
            assert ("README a" in fact["notes"]) == ("the README's first version" in row["notes"])


def test_weak_evidence_is_marked() -> None:
    rows = read(PUBLISHED)
    assert {"digitised", "secondary_table", "third_party", "archive", "issue", "reimplementation"} == WEAK
    assert all(row.weak == (row.source_kind in WEAK) for row in rows)
    assert 0 < sum(row.weak for row in rows) < len(rows)


def test_sources_in_repositories_have_addresses() -> None:
    for row in read(PUBLISHED):
        if repository := re.match(r"[\w.-]+/[\w.-]+(?= )", row.source):
            assert row.address.startswith(f"https://github.com/{repository[0]}")
        else:
            assert row.address in ("", "https://github.com/ZhengPeng7/GLCNet", "https://github.com/zhongyingji/PCNetPS")


def test_of_each_variant_one_row_is_preferred_or_none() -> None:
    counts = Counter(row.identity for row in read(PUBLISHED) if row.preferred)
    assert set(counts.values()) == {1}


def _line(**changes: str) -> str:
    row = _rows(PUBLISHED)[0] | changes
    return ",".join(f'"{row[column]}"' for column in COLUMNS)


def _write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    return path


def test_all_faults_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "published.csv",
        _line(),
        _line(map="many", variant="second"),
        _line(map="101", variant="third", year="21"),
        _line(map="", top1="", variant="fourth"),
        "too,few",
        _line(weak="0", variant="sixth"),
        _line(dataset="PRW", variant="seventh"),
        _line(gallery_size="full", variant="eighth"),
        _line(address="javascript:alert(1)", variant="ninth"),
        _line(),
        _line(map="90.0"),
    )
    with pytest.raises(InputError) as raised:
        read(path)
    told = raised.value.faults
    lines = [int(re.search(r"line (\d+):", fault)[1]) for fault in told]  # type: ignore[index]
    assert lines == [3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 11, 12]
    for fault, words in zip(
        told,
        (
            "map",
            "map",
            "year",
            "neither",
            "found 2",
            "weak = 1",
            "CUHK-SYSU",
            "number of scenes",
            "https://",
            "repeats line 2",
            "line 2",
            "line 2",
        ),
        strict=True,
    ):
        assert words in fault


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "expected the columns"),
        (b"a,b\n1,2\n", "found a, b"),
        (b"\xff\xfe", "UTF-8"),
        (",".join(COLUMNS).encode() + b'\n"open', "comma-separated"),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv: No such file"):
        read(tmp_path / "nothing.csv")


def test_rows_know_their_boards() -> None:
    places = {(row.protocol, row.gallery_size): row.place for row in read(PUBLISHED)}
    assert places["cuhk-gallery", "100"] == ("cuhk_sysu", "gallery-100")
    assert places["prw-full", "6112"] == ("prw", "regular")
    assert places["prw-mini", "6112"] == ("prw", "mini")
    assert places["prw-multiview", "6112"] == ("prw", "multi-view")
    assert places["lsps-blurred", "full"] == ("lsps", "regular")
    assert places["movienet-n10", "2000"] == ("movienet_cs-train_subset-10", "gallery-2000")
    # With annotated boxes nothing is searched for.
    assert places["prw-full-gtboxes", "6112"] is None


def test_numbers_keep_the_digits_that_were_printed() -> None:
    printed = {str(row.map) for row in read(PUBLISHED) if isinstance(row, Reported)}
    assert {"95.90", "94.70", "95.8"} <= printed
