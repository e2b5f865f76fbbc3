"""Queries with their most similar detections, and what becomes of all the others, as one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psbench.evaluation.breakdown import TOP
from psbench.evaluation.evaluation import Evaluation
from psbench.evaluation.listing import Listing, listing_of
from psbench.evaluation.losses import error_analysis
from psbench.evaluation.precision_recall import detection_curve, retrieval_curve
from psbench.evaluation.spread import spread
from psbench.pairwise import PairwisePredictions
from psbench.predictions import Predictions
from psbench.reporting.pages import rendered
from psbench.reporting.pictures import data_url, require_images
from psbench.reporting.ranking_figures import WORDS, draw_detection, draw_rankings, draw_retrieval, draw_spread
from psbench.reporting.ranking_losses import Losses
from psbench.reporting.ranking_rows import CHOICES, Missed, Row, Shot, chosen_queries, rows_of
from psbench.reporting.style import css_colours, inline_svg, write_figure
from psbench_data import InputError, Protocol
from psbench_data.atomic import new_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEIGHT, _MISSED_HEIGHT, _QUALITY = 240, 140, 80
"""Pixels of the pictures, and their quality as JPEG."""
_LOWER, _NOT_FOUND = "lower", "not found"
"""What a true match is that is not among the detections shown."""


def write_ranking(
    predictions: Predictions | PairwisePredictions,
    protocol: Protocol,
    evaluation: Evaluation,
    path: Path,
    *,
    method: str,
    data: str,
    top: int = 5,
    queries: int = 12,
    seed: int = 0,
    whole: bool = False,
    figures: Path | None = None,
    progress: bool = False,
) -> Path:
    """Write a page of what an evaluation is made of.

    It has the numbers, what the lost average precision is lost to, precision over recall of the detections and of the
    rankings, how similar right and wrong detections are, and a few queries with their `top` most similar detections:
    right and wrong ones and the true matches that are missing are marked in words and by their lines. A quarter each of
    these queries are the best, the median and the worst by average precision and random ones, and say so: a page of
    good results only would mislead.

    Args:
        predictions, protocol: what is shown.
        evaluation: of these predictions under this protocol.
        path: the HTML file to write; it needs nothing beside it.
        method: as printed.
        data: what the numbers were measured on, as printed.
        top: detections a query, at least 1.
        queries: rows at most, at least 1.
        seed: of the random queries.
        whole: draw whole scenes, not the part around each box.
        figures: a folder to write the rankings and the curves to, each as PNG and SVG, for papers.
        progress: whether to show a bar when it takes long.

    Returns:
        The path.

    Raises:
        InputError: no query counts, or image files of scenes that are to be drawn are not there, naming each.
    """
    from tqdm import tqdm

    chosen = chosen_queries(evaluation, queries, seed)
    if not chosen:
        raise InputError(f"{protocol.name}: no query has a true match in its gallery, so there is nothing to show.")
    listing = listing_of(predictions, protocol, evaluation)
    rows = rows_of(listing, protocol, evaluation, chosen, top)
    require_images(shot.scene for row in rows for shot in row.shots)
    losses = _losses(predictions, protocol, evaluation, progress)
    drawn = _curves(predictions, protocol, evaluation, listing, progress)
    bar = tqdm(rows, desc="pictures", unit="query", disable=not progress, delay=2)
    page = rendered(
        "ranking.html",
        entries=[_entry(row, losses, evaluation, whole) for row in bar],
        choices=[choice for choice in CHOICES if choice in {row.choice for row in rows}],
        words=WORDS,
        evaluation=evaluation,
        intervals={metric: evaluation.confidence_interval(metric) for metric in ("map", "top1")},
        counted=int(listing.counted.sum()),
        ks=TOP,
        top=top,
        losses=losses,
        curves={name: inline_svg(figure, name) for name, figure in drawn.items()},
        method=method,
        data=data,
        seed=seed,
        colours=css_colours(),
    )
    if figures is not None:
        drawn["rankings"] = draw_rankings(rows, top=top, whole=whole, synthetic=evaluation.synthetic)
        for name, figure in drawn.items():
            write_figure(figure, figures, name)
    with new_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def _losses(
    predictions: Predictions | PairwisePredictions, protocol: Protocol, evaluation: Evaluation, progress: bool
) -> Losses:
    if evaluation.pairwise:
        return Losses.of_pairs(evaluation)
    analysis = error_analysis(
        predictions,
        protocol,
        det_threshold=evaluation.det_threshold,
        cbgm=evaluation.cbgm,
        preset=evaluation.preset,
        progress=progress,
    )
    return Losses.of_detections(analysis)


def _curves(
    predictions: Predictions | PairwisePredictions,
    protocol: Protocol,
    evaluation: Evaluation,
    listing: Listing,
    progress: bool,
) -> dict[str, Figure]:
    """By name; pairwise predictions have no detection."""
    synthetic = evaluation.synthetic
    drawn = {}
    if isinstance(predictions, Predictions):
        assert evaluation.det_threshold is not None
        curve = detection_curve(predictions, protocol.scenes, evaluation.preset)
        drawn["detection"] = draw_detection(curve, det_threshold=evaluation.det_threshold, synthetic=synthetic)
    drawn["retrieval"] = draw_retrieval(retrieval_curve(evaluation), synthetic=synthetic)
    drawn["similarities"] = draw_spread(spread(listing, progress=progress), synthetic=synthetic)
    return drawn


def _entry(row: Row, losses: Losses, evaluation: Evaluation, whole: bool) -> dict[str, Any]:
    """A row, ready for the page."""
    lost = losses.per_query.iloc[row.query]
    return {
        "row": row,
        "source": _source(row.shot, _HEIGHT, whole),
        "hits": [(hit, _source(hit.shot, _HEIGHT, whole)) for hit in row.hits],
        "missed": [
            (missed, *_words(missed, losses, evaluation), _source(missed.shot, _MISSED_HEIGHT, whole))
            for missed in row.missed
        ],
        "counts": _counts(row),
        "more": _more(row),
        "lost": [(cause.replace("_", " "), float(lost[cause])) for cause in losses.causes if lost[cause] >= 0.0005],
    }


def _source(shot: Shot, height: int, whole: bool) -> str:
    return data_url(shot.draw(height, whole=whole), _QUALITY)


def _words(missed: Missed, losses: Losses, evaluation: Evaluation) -> tuple[str, str]:
    """Where a true match is that is not shown, and what else is known of it."""
    if missed.rank is not None:
        return f"{_LOWER}: rank {missed.rank:,}", f"similarity {evaluation.per_box['similarity'][missed.row]:.3f}"
    if losses.loose is None:
        return _NOT_FOUND, "no box overlaps it enough"
    return _NOT_FOUND, "a detection there overlaps it too little" if losses.loose[missed.row] else ""


def _more(row: Row) -> str:
    """How many true matches are neither shown nor drawn beside those that are."""
    below = sum(missed.rank is not None for missed in row.missed)
    parts = ((row.below - below, _LOWER), (row.not_found + below - len(row.missed), _NOT_FOUND))
    return " and ".join(f"{number:,} more {words}" for number, words in parts if number)


def _counts(row: Row) -> str:
    """What became of the true boxes."""
    parts: Sequence[tuple[int, str]] = (
        (row.matches - row.below - row.not_found - row.listed_twice, f"among the {len(row.hits)} shown"),
        (row.below, _LOWER),
        (row.not_found, _NOT_FOUND),
        (row.listed_twice, "in a scene that is listed twice and searched once"),
    )
    counts = ", ".join(f"{number} {words}" for number, words in parts if number)
    return f"{row.matches} true match{'es' * (row.matches > 1)}: {counts}"
