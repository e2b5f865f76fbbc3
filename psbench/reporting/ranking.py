"""Queries with their most similar detections, as one self-contained page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.judging import prepared
from psbench.evaluation.listing import Hits, hits
from psbench.evaluation.rules import rules_of
from psbench.predictions import Predictions
from psbench_data import Protocol
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    from PIL.Image import Image

_RIGHT, _WRONG, _QUERY = "#0a7d3c", "#c62f2f", "#1d4fa3"
_PICTURE_HEIGHT = 240


@dataclass(frozen=True)
class _Picture:
    """A scene with one box, ready for the page."""

    source: str
    scene: str
    caption: str
    kind: str


@dataclass(frozen=True)
class _Row:
    """A query and its ranking, ready for the page."""

    choice: str
    query: _Picture
    ap: str
    matches: int
    found: int
    pictures: list[_Picture]


def write_ranking(
    predictions: Predictions,
    protocol: Protocol,
    evaluation: Evaluation,
    path: Path,
    *,
    method: str,
    data: str,
    top: int = 5,
    queries: int = 12,
) -> Path:
    """Write a page of queries with their `top` most similar detections, right and wrong ones marked.

    A third of the queries each are the best and the worst by average precision and random ones, and say so: a page of
    good results only would mislead.

    Args:
        predictions, protocol: what is shown.
        evaluation: of these predictions under this protocol.
        path: the HTML file to write; it needs nothing beside it.
        method: as printed.
        data: what the numbers were measured on, as printed.
        top: detections a query.
        queries: rows at most.
    """
    from jinja2 import Environment, PackageLoader

    rules, threshold, cbgm = rules_of(evaluation.preset), evaluation.det_threshold, evaluation.cbgm
    assert threshold is not None, "pairwise predictions have a listing of their own"
    (search,), similarities = prepared(predictions, [protocol], rules, threshold, cbgm=cbgm)
    rows = [
        _row(protocol, hits(search, similarities, q, top), evaluation, q, choice)
        for q, choice in _choose(evaluation, queries)
    ]
    environment = Environment(loader=PackageLoader("psbench.reporting", "templates"), autoescape=True)
    page = environment.get_template("ranking.html").render(
        rows=rows,
        method=method,
        data=data,
        protocol=protocol.name,
        map=f"{100 * evaluation.map:.1f}",
        top1=f"{100 * evaluation.top(1):.1f}",
        top=top,
        synthetic=evaluation.synthetic,
    )
    with new_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _choose(evaluation: Evaluation, queries: int) -> list[tuple[int, str]]:
    ap = evaluation.per_query["ap"].to_numpy()
    order = np.argsort(-ap, kind="stable")
    order = order[~np.isnan(ap[order])].tolist()
    queries = min(queries, len(order))
    each = queries // 3
    best, worst = order[:each], order[len(order) - each :][::-1]
    others = order[each : len(order) - each]
    drawn = np.random.default_rng(0).permutation(others)[: queries - 2 * each].tolist()
    groups = [("random", drawn), ("best", best), ("worst", worst)]
    return [(q, choice) for choice, group in groups for q in group]


def _row(protocol: Protocol, found: Hits, evaluation: Evaluation, query: int, choice: str) -> _Row:
    pictures = [
        _picture(protocol, int(scene), box, f"{similarity:.2f}", "right" if right else "wrong")
        for scene, box, similarity, right in zip(
            found.scenes, found.boxes, found.similarities, found.right, strict=True
        )
    ]
    result = evaluation.per_query.iloc[query]
    asked = protocol.queries[query]
    return _Row(
        choice=choice,
        query=_picture(protocol, int(protocol.queries.scenes[query]), asked.box, f"query {query}", "query"),
        ap=f"{100 * result['ap']:.0f}",
        matches=int(result["matches"]),
        found=int(result["found"]),
        pictures=pictures,
    )


def _picture(protocol: Protocol, scene: int, box: np.ndarray, caption: str, kind: str) -> _Picture:
    from PIL import ImageDraw

    colour = {"right": _RIGHT, "wrong": _WRONG, "query": _QUERY}[kind]
    entry = protocol.scenes[scene]
    image = entry.image()
    scale = _PICTURE_HEIGHT / image.height
    image = image.resize((max(1, round(image.width * scale)), _PICTURE_HEIGHT))
    x1, y1, x2, y2 = (box * scale).tolist()
    draw = ImageDraw.Draw(image)
    # A light frame around the coloured one keeps it visible on any picture.
    draw.rectangle((x1 - 2, y1 - 2, x2 + 2, y2 + 2), outline="white", width=2)
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=3)
    return _Picture(source=_data_url(image), scene=entry.name, caption=caption, kind=kind)


def _data_url(image: Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
