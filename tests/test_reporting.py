"""Tables, curves and pages: published numbers as printed, measured ones marked for what they are."""

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import psbench
from psbench import Predictions
from psbench.reporting.curves import gallery_curves, write_gallery_curves
from psbench.reporting.measured import Measured
from psbench.reporting.published import published
from psbench.reporting.ranking import write_ranking
from psbench_data import PersonSearchDataset

sys.path.insert(0, str(Path(__file__).parent.parent / "reproduce"))

from table5 import TABLE


def _measured(synthetic: bool, size: int = 100, score: float = 41.26) -> Measured:
    return Measured(
        method="SeqNet",
        dataset="CUHK-SYSU",
        protocol=f"gallery-{size}",
        gallery_size=size,
        map=score,
        top1=score + 1,
        data="synthetic people, 4 train and 5 test scenes" if synthetic else "4 train and 5 test scenes",
        synthetic=synthetic,
        fingerprint="f" * 64,
        recipe="seqnet-demo",
        recipe_digest="d" * 64,
    )


def _cells(markdown: str) -> dict[str, list[str]]:
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def test_every_published_number_is_in_the_table() -> None:
    cells = _cells(TABLE.to_markdown([]))
    rows = published("pcnet_table5_cuhk_prw")
    assert len(rows) == 28
    for _, row in rows.iterrows():
        first = 3 + 2 * TABLE.datasets.index(row["dataset"])
        printed = [cell.strip("*") for cell in cells[row["method"]][first : first + 2]]
        assert printed == [f"{row['map']:.1f}", f"{row['top1']:.1f}"]


def test_bold_is_the_best_of_a_block() -> None:
    """As the paper prints it, except where the paper forgot a tie."""
    cells = _cells(TABLE.to_markdown([]))
    for _, row in published("pcnet_table5_cuhk_prw").iterrows():
        first = 3 + 2 * TABLE.datasets.index(row["dataset"])
        for offset, flag in ((0, "map_bold"), (1, "top1_bold")):
            assert cells[row["method"]][first + offset].startswith("**") == bool(row[flag])


def test_synthetic_numbers_say_so_in_every_format(tmp_path: Path) -> None:
    markdown, table = TABLE.write([_measured(synthetic=True)], tmp_path)
    row = _cells(markdown.read_text())["SeqNet"]
    assert row[3] == "41.3 (synthetic data) [1]"
    assert "on synthetic people, 4 train and 5 test scenes (fingerprint ffffffffffff)" in markdown.read_text()
    assert "Not comparable" in markdown.read_text()
    with table.open() as stream:
        ours = [r for r in csv.DictReader(stream) if r["kind"] != "published"]
    assert [(r["kind"], r["map"], r["data"]) for r in ours] == [
        ("synthetic", "41.26", "synthetic people, 4 train and 5 test scenes")
    ]


def test_measured_numbers_on_real_data_carry_their_origin() -> None:
    text = TABLE.to_markdown([_measured(synthetic=False)])
    assert _cells(text)["SeqNet"][3] == "41.3 [1]"
    assert "synthetic" not in text


def test_curves_hold_published_and_measured_points(tmp_path: Path) -> None:
    measured = [_measured(True, 50, 60.0), _measured(True, 100, 50.0)]
    curves = gallery_curves(measured)
    assert (curves["kind"] == "published").sum() == 66
    seqnet = curves[(curves["method"] == "SeqNet+CBGM") & (curves["gallery_size"] == 100)]
    assert seqnet["map"].tolist() == [94.8]
    assert curves[curves["kind"] == "synthetic"]["map"].tolist() == [60.0, 50.0]
    picture, table = write_gallery_curves(measured, tmp_path)
    with Image.open(picture) as image:
        assert image.width > 800
    assert "synthetic people" in table.read_text()


def test_page_marks_right_and_wrong_in_words(world: PersonSearchDataset, tmp_path: Path) -> None:
    test, protocol = world.split("test"), world.protocol("gallery-50")
    # Every person is found and recognised; strangers, whose id is -1, are all taken for one person.
    embeddings = np.eye(100)[test.person_ids]
    perfect = Predictions.from_arrays(
        test.names,
        counts=np.diff(test.offsets),
        boxes=test.boxes,
        scores=np.ones(len(test.boxes)),
        embeddings=embeddings,
        query_embeddings=np.eye(100)[protocol.queries.person_ids],
        synthetic=True,
    )
    evaluation = psbench.evaluate(perfect, protocol)
    assert evaluation.map == 1
    page = write_ranking(perfect, protocol, evaluation, tmp_path / "page.html", method="<b>mine</b>", data=world.origin)
    html = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;mine&lt;/b&gt;" in html
    assert "<b>mine" not in html
    assert "Synthetic data" in html
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64)', html)
    shown = [int(q) for q in re.findall(r"query (\d+)</b>", html)]
    assert sorted(shown) == list(range(8))
    assert html.count("✓ right") == evaluation.per_query["matches"][shown].clip(upper=5).sum()
    assert html.count("✓ right") + html.count("✗ wrong") == 5 * len(shown)


def test_page_shows_boxes_of_any_shape(world: PersonSearchDataset, tmp_path: Path) -> None:
    test, protocol = world.split("test"), world.protocol("gallery-50")
    thin = Predictions.from_arrays(
        test.names,
        counts=np.ones(len(test)),
        boxes=np.tile([[0.0, 0, 0.4, 90]], (len(test), 1)),
        scores=np.ones(len(test)),
        embeddings=np.ones((len(test), 2)),
        query_embeddings=np.ones((len(protocol.queries), 2)),
    )
    page = write_ranking(
        thin, protocol, psbench.evaluate(thin, protocol), tmp_path / "page.html", method="thin", data=world.origin
    )
    assert "✗ wrong" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["pcnet_table5_cuhk_prw", "glcnet_figure_gallery_curves"])
def test_published_numbers_are_percentages(name: str) -> None:
    assert published(name)["map"].between(10, 100).all()
