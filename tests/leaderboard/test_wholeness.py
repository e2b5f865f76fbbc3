"""A part of a dataset, or people drawn in its format, have no place on its board."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import psbench_data
from psbench import InputError
from psbench.cli import app
from psbench.leaderboard import check, submit, validate, verify
from psbench.leaderboard.measuring import measure
from psbench.leaderboard.submitting import made_entry
from psbench.leaderboard.wholeness import part_faults, part_signs
from psbench_data import PersonSearchDataset
from tests.leaderboard.making import card, card_file, honest, tree

NEEDED = "An entry on the board prw needs the whole dataset; `psbench-data doctor` says what is missing."


def passed_off(root: Path, name: str, **options: object) -> PersonSearchDataset:
    """Drawn people without the file that says so."""
    (tree(root, name, **options) / "synthetic.json").unlink()
    return psbench_data.load(name, root=root)


@pytest.fixture(scope="module")
def prw(tmp_path_factory: pytest.TempPathFactory) -> PersonSearchDataset:
    return passed_off(tmp_path_factory.mktemp("part") / "prw", "prw", places=6, walking=0)


def test_a_part_is_told_by_validate_and_refused_by_submit_verify_and_check(
    prw: PersonSearchDataset, tmp_path: Path
) -> None:
    queries = len(prw.protocol("regular").queries)
    words = (
        f"prw: 52 test scenes, {queries} queries of regular and galleries of 51 scenes in regular, published are "
        f"6,112, 2,057 and 6,111. {NEEDED}"
    )
    folder = honest(prw).save(tmp_path / "p")
    assert validate(folder, prw, protocols=["regular"]) == [words]
    command = ["validate", str(folder), "--data", "prw", "--root", str(prw.root), "--protocol", "regular"]
    assert f"note: {words}" in CliRunner().invoke(app, command).output

    with pytest.raises(InputError) as error:
        submit(folder, dataset=prw, card=card(), board=tmp_path / "boards")
    [fault] = error.value.faults
    assert fault.startswith(f"prw: 52 test scenes, {queries} queries of ")
    assert "published are 6,112, 2,057" in fault
    assert "galleries of 51 scenes in " in fault
    assert not (tmp_path / "boards").exists()

    entry = made_entry([measure(folder, prw, card().rules, seed=1)], prw, card(), "2026-01-31")
    assert verify(entry, [folder], prw) == [fault]
    path = tmp_path / "boards/entries/prw/made-up.json"
    entry.write(path)
    faults = [fault for fault in check([path], tmp_path / "boards") if "published are" in fault]
    assert len(faults) == 1
    assert f"{queries} queries of" in faults[0]
    assert faults[0].startswith(f"{path}: prw: ")


def test_drawn_people_that_say_so_may_be_few(tmp_path: Path) -> None:
    drawn = psbench_data.load("prw", root=tree(tmp_path / "prw", "prw", places=6, walking=0))
    path = submit(honest(drawn).save(tmp_path / "p"), dataset=drawn, card=card(), board=tmp_path / "boards")
    assert path.parent.name == "prw-synthetic"


@pytest.mark.parametrize(
    ("dataset", "counts"),
    [
        # A copy that lacks all lists but one is whole enough, and so is one of which nothing is published.
        ("cuhk_sysu", {("test", "scenes"): 6_978, ("gallery-50", "queries"): 2_900, ("gallery-50", "gallery"): 50}),
        ("prw", {("test", "scenes"): 6_112, ("mini", "queries"): 30, ("mini", "gallery"): 6_111}),
        ("lsps", {("test", "scenes"): 33_673, ("regular", "queries"): 7, ("regular", "gallery"): 33_672}),
        (
            "movienet_cs",
            {("test", "scenes"): 9_999, ("gallery-2000", "gallery"): 2_000, ("gallery-2000", "queries"): 5},
        ),
        ("coco", {("test", "scenes"): 3, ("gallery-50", "gallery"): 40}),
    ],
)
def test_whole_copies_are_not_refused(dataset: str, counts: dict[tuple[str, str], int]) -> None:
    assert part_faults(dataset, dataset, counts, synthetic=False) == []
    assert part_signs(dataset, counts, synthetic=False) == []


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({("test", "scenes"): 6_977}, "cuhk_sysu: 6,977 test scenes, published are 6,978. "),
        ({("gallery-4000", "queries"): 2_899}, "cuhk_sysu: 2,899 queries of gallery-4000, published are 2,900. "),
        (
            {("test", "scenes"): 60, ("gallery-50", "queries"): 8, ("gallery-100", "queries"): 8},
            "cuhk_sysu: 60 test scenes and 8 queries of gallery-50, published are 6,978 and 2,900. ",
        ),
    ],
)
def test_what_every_copy_has_is_asked_for(counts: dict[tuple[str, str], int], words: str) -> None:
    [fault] = part_faults("cuhk_sysu", "cuhk_sysu", counts, synthetic=False)
    assert fault.startswith(words)
    assert part_faults("cuhk_sysu", "cuhk_sysu-synthetic", counts, synthetic=True) == []


@pytest.mark.parametrize(
    ("name", "options", "sign"),
    [
        ("lsps", {}, "52 test scenes, while 33,673 are printed (Zhong et al., CVPR 2020"),
        (
            "movienet_cs",
            {"wander": False, "gallery_entries": (20, 30, 40), "places": 4, "train_scenes": 30, "train_identities": 6,
             "appearances": (2, 12)},
            "gallery-2000 searches at most ",
        ),
    ],
)  # fmt: skip
def test_what_nobody_counted_is_reviewed(tmp_path: Path, name: str, options: dict, sign: str) -> None:
    data = passed_off(tmp_path / name, name, **options)
    folder, board = honest(data).save(tmp_path / "p"), tmp_path / "boards"
    made = card_file(tmp_path / "card.toml")
    command = ["submit", str(folder), "--data", name, "--root", str(data.root), "--card", str(made)]
    result = CliRunner().invoke(app, [*command, "--board", str(board)])
    assert result.exit_code == 0, result.output
    assert f"to be reviewed, run 0: {sign}" in result.output
