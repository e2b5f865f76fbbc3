"""Pages of rankings: right and wrong ones marked in words."""

import re
from pathlib import Path

import numpy as np

import psbench
from psbench import Predictions
from psbench.reporting.ranking import write_ranking
from psbench_data import PersonSearchDataset


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
