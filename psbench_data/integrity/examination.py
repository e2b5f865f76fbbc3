"""The examination of a folder, from outside to inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from psbench_data.dataset import SYNTHETIC_MARKER
from psbench_data.errors import InputError, near_names
from psbench_data.integrity.annotations import read_annotations
from psbench_data.integrity.attempting import attempt
from psbench_data.integrity.boxes import check_boxes
from psbench_data.integrity.counting import count
from psbench_data.integrity.expected_files import IMAGES, expected_files
from psbench_data.integrity.findings import Finding, without_repeats
from psbench_data.integrity.images import Depth, Images, look_at_images
from psbench_data.integrity.joins import check_identities, check_protocols
from psbench_data.integrity.locating import about_folder, nearness
from psbench_data.integrity.report import IntegrityReport
from psbench_data.integrity.survey import missing_files, survey, unreadable_files
from psbench_data.integrity.variants import variants
from psbench_data.names import given_path
from psbench_data.registry import available
from psbench_data.sources.layouts import TITLES, Located, locate

_ORDER = {"error": 0, "warning": 1, "info": 2}


def doctor(
    root: str | Path,
    name: str | None = None,
    *,
    images: Depth = "decode",
    protocols: Sequence[str] | None = None,
    progress: bool = False,
    options: Mapping[str, Any] | None = None,
) -> IntegrityReport:
    """Say whether a folder is a usable dataset, and what to do if not.

    Looks for the dataset in the folder, above and below it; then at every file that it should have, at what the
    annotations say, at every image, and at whether all of that fits together and agrees with the published counts.
    Whatever the folder holds, this returns a report.

    Args:
        root: the folder.
        name: the dataset that it should be, a name of `available()`; recognised if not given.
        images: how closely to look at images: `decode` every pixel, read their `headers`, or `skip` them.
        protocols: those that must be usable; if not given, those that have their files, of which there must be one.
        progress: whether to show progress bars.
        options: of the dataset's reader, as `load` takes them: {"train_subset": 30}.

    Returns:
        The report: `.ok`, `.findings`, `.text()`, `.to_json()`.

    Raises:
        InputError: the name, a protocol or an option is unknown.
    """
    if name is not None and name not in available():
        raise InputError(f"no dataset is called {name!r}. {near_names(name, available())}")
    if images not in get_args(Depth):
        raise InputError(f"images is {images!r}. {near_names(str(images), get_args(Depth))}")
    given, options = given_path(root), dict(options or {})
    findings: list[Finding] = []
    place = attempt(partial(locate, given, None if name == "synthetic" else name, options.get("test")), given, findings)
    place = place or Located(given, None)
    findings += about_folder(given, place)
    report = IntegrityReport(given, place.root, place.name, images=images, findings=findings)
    if not place.recognised:
        report.looked_for = nearness(given, place.name)
    if place.name is None:
        return report
    report.title = TITLES[place.name]
    report.synthetic = (place.root / SYNTHETIC_MARKER).is_file()
    if name == "synthetic" and not report.synthetic:
        what = f"there is no {SYNTHETIC_MARKER}, so this is no tree of psbench-data synthesize"
        report.findings.append(Finding("error", "folder", str(given), "", what, f"Give the name {place.name}."))
    _examine(report, protocols, progress, options)
    report.findings = sorted(without_repeats(report.findings), key=lambda finding: _ORDER[finding.severity])
    return report


def _examine(report: IntegrityReport, wanted: Sequence[str] | None, progress: bool, options: dict[str, Any]) -> None:
    """Examine a tree whose dataset and root are known."""
    name, root, findings = report.name or "", report.root, report.findings
    expected = attempt(partial(expected_files, name, root, options), root, findings) or []
    report.files = attempt(partial(survey, expected, root), root, findings) or []
    report.variants = attempt(partial(variants, name, root, report.files), root, findings) or []
    missing = missing_files(expected, report.files, root, wanted or ()) if report.files else []
    missing += unreadable_files(report.files, root)
    read = read_annotations(
        name, root, expected, wanted=wanted, synthetic=report.synthetic, progress=progress, options=options
    )
    findings += [*missing, *(finding for finding in read.findings if not _told(finding, missing))]
    report.protocols = list(read.protocols)
    report.fingerprints = {split: scenes.fingerprint for split, scenes in read.splits.items()}
    report.counts, differing = count(name, read.splits, read.protocols, synthetic=report.synthetic)
    findings += differing
    image_root = read.source.image_root if read.source else root
    folders = [root / file.path for file in expected if IMAGES in file.needed_by]
    looked_at = read.splits or read.usable
    look = partial(look_at_images, name, root, image_root, folders, looked_at, report.images, progress)
    images = attempt(look, root, findings) or Images()
    # Whether an image is in a scene is not known where rows are left out.
    findings += [found for found in images.findings if read.splits or found.topic != "unlisted-image"]
    findings += check_boxes(name, looked_at, images.sizes, root)
    if read.source is not None:
        findings += check_identities(read.source, read.splits, root)
        findings += check_protocols(read.source, read.protocols, root, report.synthetic)


def _told(finding: Finding, missing: Sequence[Finding]) -> bool:
    """Whether a reader complains of a file, or of a folder of files, that is already an error as not there to read."""
    errors = [known for known in missing if known.severity == "error"]
    # The root itself is no tree to the reader because of those files.
    if finding.file == "." and finding.topic == "annotation":
        return bool(errors)
    return any(f"{known.file}/".startswith(f"{finding.file}/") for known in errors)
