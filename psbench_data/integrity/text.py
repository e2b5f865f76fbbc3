"""The report of an examination as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from psbench_data.integrity.counting import Count
from psbench_data.integrity.expected_files import EVERYTHING, IMAGES, NOTHING
from psbench_data.integrity.findings import TOPICS, Finding, Severity, grouped
from psbench_data.integrity.survey import FileState
from psbench_data.names import harmless

if TYPE_CHECKING:
    from psbench_data.integrity.report import IntegrityReport

_SHOWN = 4
_DIGITS = 16
_HEADINGS: dict[Severity, str] = {"error": "ERRORS", "warning": "WARNINGS", "info": "NOTES"}
_LOOKS = {
    "decode": "every image was decoded",
    "headers": "of the images only type and size were read",
    "skip": "images were not looked at",
}


def report_text(report: IntegrityReport, width: int) -> str:
    """The whole report; the verdict comes last, where a terminal stands."""
    parts = [
        [*_head(report, width)],
        [*_looked_for(report, width)],
        [*_files(report.files, width)],
        [*_counts(report)],
        [*_digests(report)],
        *([*_findings(report.of_severity(severity), severity, width)] for severity in _HEADINGS),
        [*_verdict(report, width)],
    ]
    # File names may hold anything, control sequences of the terminal included.
    return harmless("\n\n".join("\n".join(part) for part in parts if part))


def _head(report: IntegrityReport, width: int) -> Iterator[str]:
    if report.name is None:
        yield f"{report.given}: no dataset"
        return
    drawn = ", synthetic people" if report.synthetic else ""
    yield f"{report.title} ({report.name}{drawn}) at {report.root}"
    for variant in report.variants:
        yield from _wrapped(variant, "  - ", width)


def _looked_for(report: IntegrityReport, width: int) -> Iterator[str]:
    if not report.looked_for:
        return
    yield "LOOKED FOR"
    for near in report.looked_for:
        total = len(near.present) + len(near.absent)
        yield from _wrapped(f"{near.title}: {len(near.present)} of {total} signs", "  ", width)
        if near.present:
            yield from _wrapped(f"there:   {', '.join(near.present)}", "    ", width)
        yield from _wrapped(f"missing: {', '.join(near.absent)}", "    ", width)


def _files(files: Sequence[FileState], width: int) -> Iterator[str]:
    if not files:
        return
    yield "FILES"
    rows = [(file.path + ("/" if file.files is not None else ""), _extent(file), _use(file)) for file in files]
    columns = [max(len(row[i]) for row in rows) for i in range(2)]
    for path, extent, use in rows:
        lead = f"  {path:<{columns[0]}}  {extent:>{columns[1]}}  "
        yield from _wrapped(use, lead, max(width, len(lead) + 30))


def _extent(file: FileState) -> str:
    if not file.present:
        return "absent"
    size = _bytes(file.bytes or 0)
    return size if file.files is None else f"{file.files:,} files, {size}"


def _use(file: FileState) -> str:
    if file.needed_by == (NOTHING,):
        return f"{file.purpose} (not read)"
    if file.present or file.needed_by in ((EVERYTHING,), (IMAGES,)):
        return file.purpose
    if not file.needed_by:
        return f"{file.purpose} (optional)"
    needs = "needs" if len(file.needed_by) == 1 else "need"
    return f"{file.purpose} (only {', '.join(file.needed_by)} {needs} it)"


def _bytes(size: int) -> str:
    number = float(size)
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def _counts(report: IntegrityReport) -> Iterator[str]:
    counts = report.counts
    if not counts:
        return
    yield "COUNTS" + (" (of drawn data: nothing is published)" if report.synthetic else "")
    for of_protocols in (False, True):
        chosen = [entry for entry in counts if (entry.part in report.protocols) == of_protocols]
        if chosen:
            yield from _count_table(chosen)


def _count_table(counts: Sequence[Count]) -> Iterator[str]:
    """One line a split or protocol; the published numbers below it, where there are any that differ."""
    whats = list(dict.fromkeys(entry.what for entry in counts))
    rows: list[tuple[str, list[str], str]] = []
    for part in dict.fromkeys(entry.part for entry in counts):
        of_part = {entry.what: entry for entry in counts if entry.part == part}
        agreement = [entry.agrees for entry in of_part.values() if entry.agrees is not None]
        said = any(entry.published is not None for entry in of_part.values())
        remark = "as published" if agreement and all(agreement) else ""
        rows.append((part, [_span(of_part[what]) if what in of_part else "" for what in whats], remark))
        if said and not remark:
            published = [of_part[what].published if what in of_part else None for what in whats]
            differs = "differs" if False in agreement else "of all that was published, of which this is a part"
            rows.append(("  published", ["-" if number is None else f"{number:,}" for number in published], differs))
    first = max(len(row[0]) for row in rows)
    columns = [max(len(what), *(len(row[1][i]) for row in rows)) for i, what in enumerate(whats)]
    yield f"  {'':<{first}}" + "".join(f"  {what:>{size}}" for what, size in zip(whats, columns, strict=True))
    for part, cells, remark in rows:
        line = f"  {part:<{first}}" + "".join(f"  {cell:>{size}}" for cell, size in zip(cells, columns, strict=True))
        yield f"{line}  {remark}".rstrip()


def _span(entry: Count) -> str:
    return f"{entry.found:,}" if entry.found == entry.found_most else f"{entry.found:,}-{entry.found_most:,}"


def _digests(report: IntegrityReport) -> Iterator[str]:
    prints = {f"fingerprint of {split}": value for split, value in report.fingerprints.items()}
    if not (digests := {**report.digests, **prints}):
        return
    yield f"SHA-256 (the first {_DIGITS} digits; JSON has all)"
    longest = max(map(len, digests))
    for what, digest in digests.items():
        yield f"  {what:<{longest}}  {digest[:_DIGITS]}"


def _findings(findings: Sequence[Finding], severity: Severity, width: int) -> Iterator[str]:
    if not findings:
        return
    yield f"{_HEADINGS[severity]} ({len(findings):,})"
    for topic, group in grouped(findings).items():
        yield f"  {TOPICS[topic]}" + (f" ({len(group):,})" if len(group) > 1 else "")
        # All kinds of what must be corrected by hand; what to do tells them apart.
        kinds = _kinds(group) if topic in ("annotation", "odd-annotation") else [group]
        shown = [found for kind in kinds for found in _first(kind)]
        for i, finding in enumerate(shown):
            place = ": ".join(part for part in (finding.file, finding.where) if part and part != ".")
            yield from _wrapped(f"{place}: {finding.what}" if place else finding.what, "    - ", width)
            # One remedy for all that share it.
            last = i + 1 == len(shown)
            if finding.remedy and not last and shown[i + 1].remedy != finding.remedy:
                yield from _wrapped(finding.remedy, "      > ", width)
        if len(shown) < len(group):
            yield f"    - ... and {len(group) - len(shown):,} more, all of them in JSON"
        if shown[-1].remedy:
            yield from _wrapped(shown[-1].remedy, "      > ", width)


def _first(group: Sequence[Finding]) -> Sequence[Finding]:
    return group if len(group) <= _SHOWN + 1 else group[:_SHOWN]


def _kinds(group: Sequence[Finding]) -> Iterator[list[Finding]]:
    for remedy in dict.fromkeys(finding.remedy for finding in group):
        yield [finding for finding in group if finding.remedy == remedy]


def _verdict(report: IntegrityReport, width: int) -> Iterator[str]:
    numbers = [
        f"{len(found):,} {word}{'' if len(found) == 1 else 's'}"
        for severity, word in (("error", "error"), ("warning", "warning"), ("info", "note"))
        if (found := report.of_severity(severity))  # type: ignore[arg-type]
    ]
    verdict = "OK, it can be used" if report.ok else "NOT OK: something here cannot be used"
    if report.name is None:
        verdict = "NOT OK: there is no dataset to use"
    elif report.fingerprints and not report.protocols:
        verdict = "NOT OK: nobody here can be searched for"
    yield from _wrapped(f"{verdict} ({', '.join(numbers) or 'nothing was found'}).", "", width)
    if report.name is None:
        return
    if report.protocols:
        yield from _wrapped(f"Protocols that can be used: {', '.join(report.protocols)}.", "", width)
    elif report.files:
        yield "No protocol can be used."
    if report.images == "skip" or report.counts or any(file.files for file in report.files):
        yield f"Of this examination: {_LOOKS[report.images]}."


def _wrapped(text: str, lead: str, width: int) -> list[str]:
    return textwrap.wrap(
        text,
        max(width, 40),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
