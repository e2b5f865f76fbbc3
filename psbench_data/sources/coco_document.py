"""The form of a COCO-style JSON file: which keys there are, and what may stand under them."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from itertools import count
from typing import Annotated, Any

from pydantic import AliasPath, BaseModel, ConfigDict, Field, PrivateAttr, create_model

from psbench_data.pixels import LIMIT

PERSON_ID = "person_id"
"""The key of an annotation that says who it is, if no other is named."""
Id = int | str
_Pixel = Annotated[float, Field(allow_inf_nan=False, gt=-LIMIT, lt=LIMIT)]
Box = tuple[_Pixel, _Pixel, _Pixel, _Pixel]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Image(_Model):
    """`file_name` is relative to the image folder; `name` is what the scene is called, `file_name` if not given."""

    id: Id
    file_name: str
    name: str | None = None
    width: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    height: Annotated[int, Field(gt=0, lt=2**31)] | None = None
    camera_id: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class Annotation(_Model):
    """`bbox` is x y w h, pixels; without a `person_id` (null, or negative) the person is unlabelled."""

    id: Id
    image_id: Id
    bbox: Box
    person_id: Id | None = None
    category_id: Id | None = None
    iscrowd: int = 0


class Category(_Model):
    """A kind of object; where one is called `person` or `pedestrian`, others are left out."""

    id: Id
    name: str


class Query(_Model):
    """Either the `annotation_id` of a person, or `image_id`, `bbox` and `person_id`."""

    annotation_id: Id | None = None
    image_id: Id | None = None
    bbox: Box | None = None
    person_id: Id | None = None


class Info(_Model):
    """`dataset` is what the data was exported from, and `restricted` whether its terms forbid passing it on."""

    dataset: str | None = None
    restricted: bool = False


class Document(_Model):
    """The file. `people` numbers the identities; without it they are numbered in the order of their ids."""

    images: list[Image]
    annotations: list[Annotation]
    categories: list[Category] = []
    people: list[Id] = []
    queries: list[Query] = []
    info: Info = Info()
    _left_out: dict[str, Collection[int]] = PrivateAttr(default_factory=dict)

    def rows(self, table: str) -> Iterator[tuple[int, Any]]:
        """The rows of a list with their numbers in the file, from 0."""
        left_out = self._left_out.get(table, ())
        return zip((i for i in count() if i not in left_out), getattr(self, table), strict=False)

    def leave_out(self, rows: dict[str, Collection[int]]) -> None:
        """Say which rows of the file's lists are not here, as they have faults."""
        self._left_out = rows


@functools.cache
def document_type(person_id: str) -> type[Document]:
    """The file, with a person's identity under some key; `attributes.id` is the key `id` within `attributes`."""
    if person_id == PERSON_ID:
        return Document
    key = Field(default=None, validation_alias=AliasPath(*person_id.split(".")))
    annotation = create_model("Annotation", __base__=Annotation, person_id=(Id | None, key))
    return create_model("Document", __base__=Document, annotations=(list[annotation], ...))  # type: ignore[valid-type]
