"""Rows of a board: a computed entry, or what was published of a method's variant."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import fmean, stdev
from typing import Literal

from psbench.leaderboard.card import Rules
from psbench.leaderboard.entry import Entry, Result, slug
from psbench.leaderboard.folder import link_of
from psbench.leaderboard.reported import Reported, SourceKind

Kind = Literal["computed", "published", "weak"]
KINDS: dict[Kind, str] = {"computed": "computed", "published": "published", "weak": "published, weak evidence"}
FAMILIES = {
    "two_step": "two-step",
    "one_step_two_stage": "one-step, two-stage",
    "one_step_one_stage": "one-step, one-stage",
    "one_step_transformer": "one-step, transformer",
    "query_conditioned": "query-conditioned",
    "other": "other",
    "": "",
}
SUPERVISIONS = {"full": "fully supervised", "weak": "weakly supervised", "domain_adaptation": "domain adaptation"}
EVIDENCE: dict[SourceKind, str] = {
    "paper": "the method's paper",
    "official_repo": "the authors' repository",
    "secondary_table": "quoted by others",
    "reimplementation": "run by others",
    "digitised": "read off a picture",
    "archive": "an archive of papers",
    "third_party": "a third party's page",
    "issue": "said in an issue",
}
_ADDED = {"cbgm": "CBGM", "rescoring": "rescoring", "gfn": "GFN", "acae": "ACAE"}


@dataclass(frozen=True)
class Row:
    """One line of a board; numbers in percent.

    Attributes:
        key: tells it from all others of its board.
        name: of the method, as shown.
        kind: computed, published, or published with weak evidence.
        family, backbone, input_size, venue, year: of the method; empty or None where not told.
        map, top1: None where not known; `map_text` and `top1_text` as shown, of published rows as printed.
        interval: of mAP, of 95 %; None of published rows, and where it is not known.
        seeds: how many runs; 0 of published rows.
        deviation: of mAP between seeds, n - 1; None of fewer than two.
        link: to the entry or the source; empty where the source has no address.
        source, evidence: where the number comes from, and what kind of evidence that is.
        links: further addresses, by what they lead to.
        notes: what readers should know.
    """

    key: str
    name: str
    kind: Kind
    family: str
    backbone: str
    input_size: str
    venue: str
    year: int | None
    map: float | None
    map_text: str
    top1: float | None
    top1_text: str
    interval: tuple[float, float] | None
    seeds: int
    deviation: float | None
    link: str
    source: str
    evidence: str
    links: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def interval_text(self) -> str:
        """As in "[93.10, 94.52]"; empty without."""
        return "[{:.2f}, {:.2f}]".format(*self.interval) if self.interval else ""

    @property
    def public(self) -> bool:
        """Whether the predictions of an entry are said to be where others can fetch them."""
        return "predictions" in dict(self.links)

    @property
    def seeds_text(self) -> str:
        """How many runs, and how far apart; empty of published rows."""
        if self.deviation is not None:
            return f"± {self.deviation:.2f}, {self.seeds} seeds"
        return "one seed" if self.seeds else ""


def entry_row(entry: Entry, protocol: str) -> Row:
    """An entry's row: means over its runs, and the envelope of their intervals.

    Args:
        entry: a method's.
        protocol: one that its runs have results of.
    """
    method, training, results = entry.card.method, entry.card.training, results_of(entry, protocol)
    maps = [100 * r.map for r in results if r.map is not None]
    tops = [100 * r.top1 for r in results if r.top1 is not None]
    years = re.findall(r"\b(?:19|20)\d\d\b", method.venue)
    links = {"paper": method.paper, "code": method.code, "predictions": training.predictions}
    return Row(
        key=f"entry-{slug(method.name)}",
        name=method.name,
        kind="computed",
        family=method.family,
        backbone=method.backbone,
        input_size=method.input_size,
        venue=method.venue,
        year=int(years[-1]) if years else None,
        map=fmean(maps) if maps else None,
        map_text=f"{fmean(maps):.2f}" if maps else "",
        top1=fmean(tops) if tops else None,
        top1_text=f"{fmean(tops):.2f}" if tops else "",
        interval=_envelope(results),
        seeds=len(results),
        deviation=stdev(maps) if len(maps) > 1 else None,
        link=link_of(entry),
        source="entry",
        evidence=f"psbench {entry.psbench}, {entry.date}",
        links=tuple((words, address) for words, address in links.items() if address),
        notes=tuple(_entry_notes(entry, results)),
    )


def results_of(entry: Entry, protocol: str) -> list[Result]:
    """Of its runs, in their order."""
    return [run.results[protocol] for run in entry.runs if protocol in run.results]


def _envelope(results: Sequence[Result]) -> tuple[float, float] | None:
    intervals = [r.map_interval for r in results if r.map_interval]
    if len(intervals) < len(results):
        return None
    return 100 * min(low for low, _ in intervals), 100 * max(high for _, high in intervals)


def _entry_notes(entry: Entry, results: Sequence[Result]) -> list[str]:
    method, submitter = entry.card.method, entry.card.submitter
    flags = dict.fromkeys(words for run in entry.runs for words in run.review)
    skipped = max(r.skipped for r in results)
    notes = [
        *(f"to be reviewed: {words}" for words in flags),
        method.notes,
        _rules(entry.card.rules),
        f"trained on {method.training_data}" + (f"; learnt also from {method.extra_data}" if method.extra_data else ""),
        f"{skipped} of {results[0].queries} queries have nobody to be found" if skipped else "",
        f"submitted by {submitter.name}",
    ]
    return [note for note in notes if note]


def _rules(rules: Rules) -> str:
    said = [
        f"detections from a score of {rules.det_threshold:g}" if rules.det_threshold is not None else "",
        f"CBGM with k1 = {rules.cbgm_k1}, k2 = {rules.cbgm_k2}" if rules.cbgm_k1 is not None else "",
        f"{rules.keep} proposals kept over the gallery" if rules.keep is not None else "",
    ]
    return "; ".join(filter(None, said))


def published_row(variant: Sequence[Reported], name: str) -> Row:
    """What was published of one variant: the preferred numbers, and the strongest evidence for just these.

    Args:
        variant: its rows, one of them preferred.
        name: as shown.
    """
    shown = next(row for row in variant if row.preferred)
    same = [row for row in variant if (row.map, row.top1) == (shown.map, shown.top1)]
    same.sort(key=lambda row: (row.weak, row is not shown))
    source = same[0]
    return Row(
        key=slug("-".join(shown.variant_key)),
        name=name,
        kind="weak" if source.weak else "published",
        family=shown.family,
        backbone=shown.backbone,
        input_size="",
        venue=shown.venue_and_year,
        year=shown.year,
        map=_value(shown.map),
        map_text=_printed(shown.map),
        top1=_value(shown.top1),
        top1_text=_printed(shown.top1),
        interval=None,
        seeds=0,
        deviation=None,
        link=source.address,
        source=source.source,
        evidence=EVIDENCE[source.source_kind],
        links=(("code", shown.code),) if shown.code else (),
        notes=tuple(_published_notes(source, variant)),
    )


def _published_notes(source: Reported, variant: Sequence[Reported]) -> list[str]:
    others = [
        f"{_printed(row.map) or '-'} / {_printed(row.top1) or '-'} ({EVIDENCE[row.source_kind]}: {row.source})"
        for row in variant
        if row is not source
    ]
    notes = dict.fromkeys(row.notes for row in (source, *variant) if row.notes)
    return [*notes, *(f"also printed: {other}" for other in others)]


def _value(number: Decimal | None) -> float | None:
    return None if number is None else float(number)


def _printed(number: Decimal | None) -> str:
    return "" if number is None else str(number)


def names_of(rows: Sequence[Reported]) -> dict[tuple[str, str, str], str]:
    """What variants are called side by side, by `Reported.variant_key`.

    A name says what was added to the method, and which variant this is where several would be called the same.
    """
    plain = {row.variant_key: _plain_name(row) for row in rows}
    times = Counter(plain.values())
    return {key: f"{name} ({key[1]})" if times[name] > 1 else name for key, name in plain.items()}


def _plain_name(row: Reported) -> str:
    added = _ADDED.get(row.post_processing, "")
    return row.method if added.lower() in row.method.lower() else f"{row.method} + {added}"
