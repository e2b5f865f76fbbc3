"""A dataset described in Croissant 1.1 (mlcommons.org/croissant/1.1), with the Responsible AI fields.

The description is of the files that `export_parquet` writes, and belongs beside them. It names no address to download
from: these datasets are not ours to hand out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from psbench_data.atomic import new_file
from psbench_data.dataset import PersonSearchDataset
from psbench_data.errors import InputError
from psbench_data.exporting.notices import terms_of
from psbench_data.names import given_path
from psbench_data.terms import ETHICS, TAKEDOWN, Terms

_CROISSANT_TERMS = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet format "
    "includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
    "samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _CROISSANT_TERMS.split()},
}
"""The names that the specification's appendix defines."""
_BOX = ["sc:Float", "cr:BoundingBox"]
_BOXES = {"isArray": True, "arrayShape": "-1,4"}
_LIST = {"isArray": True, "arrayShape": "-1"}


def croissant(dataset: PersonSearchDataset) -> dict[str, Any]:
    """The description of a dataset, as JSON-LD.

    Args:
        dataset: what `psbench_data.load` gives.

    Returns:
        Its name, terms, citation and origin, what was done to the people in it, and the columns of its Parquet export.
    """
    its, protocols = terms_of(dataset), ", ".join(dataset.protocols)
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": its.title,
        "description": f"{dataset.title}, for person search: {dataset.origin}. Protocols: {protocols or 'none'}.",
        "version": "1.0.0",
        "identifier": dataset.fingerprint,
        "keywords": ["person search", "re-identification", "pedestrian detection"],
        "license": {"@type": "sc:CreativeWork", "name": f"Terms of {its.title}", "description": its.conditions},
        "conditionsOfAccess": its.obtained,
        **_origin(its),
        **_responsibility(dataset, its),
        "distribution": [
            _files("scene-files", "The scenes of both splits.", ["train-*.parquet", "test-*.parquet"]),
            _files("query-files", "The queries and galleries, a file for each protocol.", ["protocols/*.parquet"]),
        ],
        "recordSet": [_splits(), _scenes(), _queries()],
    }
    return {key: value for key, value in document.items() if value not in ("", None)}


def export_croissant(dataset: PersonSearchDataset, path: Path) -> None:
    """Write the description as a JSON file, which replaces one that is there.

    Args:
        dataset: what to describe.
        path: the file, for example `croissant.json` in the folder of a Parquet export.

    Raises:
        InputError: it cannot be written.
    """
    text = json.dumps(croissant(dataset), indent=2, ensure_ascii=False) + "\n"
    try:
        with new_file(given_path(path)) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: this file cannot be written ({error}). Give one in a writable place.") from error


def _origin(its: Terms) -> dict[str, Any]:
    return {
        "url": its.url,
        "citeAs": its.paper,
        "creator": [{"@type": "sc:Person", "name": author} for author in its.authors] or None,
        "datePublished": None if its.year is None else str(its.year),
    }


def _responsibility(dataset: PersonSearchDataset, its: Terms) -> dict[str, Any]:
    told = {
        "rai:dataCollection": its.collection,
        "rai:dataUseCases": ["To develop and compare methods of person search."],
    }
    if dataset.synthetic:
        return told | {
            "rai:personalSensitiveInformation": ["None: the people are drawn."],
            "rai:dataLimitations": ["Numbers measured on drawn people say nothing about real ones."],
        }
    consent, prohibited, passing_on, weights, precedent = ETHICS
    return told | {
        "rai:personalSensitiveInformation": [
            "Pictures of real people, with labels that say where the same person is seen again.",
            consent,
        ],
        "rai:dataLimitations": [prohibited, passing_on, weights],
        "rai:dataSocialImpact": precedent,
        "rai:dataReleaseMaintenancePlan": " ".join(TAKEDOWN),
        "usageInfo": {
            "@type": "sc:CreativeWork",
            "name": "Prohibited uses",
            "description": f"{prohibited} {passing_on} {weights}",
        },
    }


def _files(identifier: str, description: str, includes: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": identifier,
        "name": identifier,
        "description": description,
        "encodingFormat": "application/x-parquet",
        "includes": includes,
    }


def _splits() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": "train"}, {"splits/name": "test"}],
    }


def _scenes() -> dict[str, Any]:
    def field(column: str, data_type: str | list[str], description: str) -> dict[str, Any]:
        return _field("scenes", column, data_type, description, {"column": column})

    def of_people(key: str, data_type: str | list[str], description: str, shape: dict[str, Any]) -> dict[str, Any]:
        part = _field("scenes", f"objects/{key}", data_type, description, {"column": "objects"}, **shape)
        part["source"]["transform"] = {"jsonPath": key}
        return part

    split = _field("scenes", "split", "sc:Text", "train or test.", {"fileProperty": "filename"})
    split["source"]["transform"] = {"regex": "^(train|test)"}
    split["references"] = {"field": {"@id": "splits/name"}}
    image = field("image", "sc:ImageObject", "The picture, where the export has the images' bytes.")
    image["source"]["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:RecordSet",
        "@id": "scenes",
        "name": "scenes",
        "description": "One record an image.",
        "key": [{"@id": "scenes/split"}, {"@id": "scenes/image_id"}],
        "field": [
            split,
            image,
            field("image_id", "sc:Text", "The scene's name, unique within its split."),
            field("width", "sc:Integer", "Pixels; empty where it is not known."),
            field("height", "sc:Integer", "Pixels; empty where it is not known."),
            field("camera_id", "sc:Integer", "The camera; empty where the dataset does not say."),
            of_people("bbox", _BOX, "The people: x, y, width, height, pixels.", _BOXES),
            of_people("person_id", "sc:Integer", "Who each is, counted in each split anew; -1 if not known.", _LIST),
            of_people("identity", "sc:Text", "The dataset's own label of each person; empty if none.", _LIST),
        ],
    }


def _queries() -> dict[str, Any]:
    def field(column: str, data_type: str | list[str], description: str, **shape: Any) -> dict[str, Any]:
        return _field("queries", column, data_type, description, {"column": column}, **shape)

    protocol = _field("queries", "protocol", "sc:Text", "The protocol's name.", {"fileProperty": "filename"})
    protocol["source"]["transform"] = {"regex": "^([^.]+)"}
    return {
        "@type": "cr:RecordSet",
        "@id": "queries",
        "name": "queries",
        "description": "One record a person to search for. Scenes are positions in the test split, from 0.",
        "field": [
            protocol,
            field("scene", "sc:Integer", "The scene that the person is cut from."),
            field("box", _BOX, "x1, y1, x2, y2, pixels.", isArray=True, arrayShape="4"),
            field("person_id", "sc:Integer", "Who it is."),
            field("listed", "sc:Integer", "The scenes listed for the query, in official order.", **_LIST),
            field("truth_entries", "sc:Integer", "Which entries of listed have the person.", **_LIST),
            field("truth_boxes", _BOX, "The person there: x1, y1, x2, y2, pixels.", **_BOXES),
        ],
    }


def _field(
    record_set: str, name: str, data_type: str | list[str], description: str, extract: dict[str, str], **shape: Any
) -> dict[str, Any]:
    files = {"scenes": "scene-files", "queries": "query-files"}[record_set]
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        "source": {"fileSet": {"@id": files}, "extract": extract},
        **shape,
    }
