"""Damage to JSON that leaves most of it valid: other types, impossible numbers, keys too many or too few."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from random import Random
from typing import Any

from tests.reliability.fuzz.words import NUMBERS, odd_text

Place = tuple[Any, Any]
"""A dict or list, and the key or position in it."""
_DEEP = 100_000


def restructured(random: Random, value: Any) -> bytes:
    """A JSON document with something else at one or a few places, encoded; `value` is changed."""
    document = {"": value}
    raw: dict[str, str] = {}
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        random.choice(_WAYS)(random, _some_place(random, document), raw)
    text = json.dumps(document[""] if document else None, ensure_ascii=random.random() < 0.5)
    for mark, instead in raw.items():
        text = text.replace(f'"{mark}"', instead)
    # Lone surrogates have no encoding; as escapes they are valid JSON.
    return text.encode("utf-8", "surrogatepass")


def _some_place(random: Random, document: dict[str, Any]) -> Place:
    """Any depth is about as likely, although most values are deep."""
    place: Place = (document, next(iter(document))) if document else (document, "")
    while document and isinstance(value := place[0][place[1]], dict | list) and value and random.random() < 0.75:
        place = (value, random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value)))
    return place


def _mark(raw: dict[str, str], instead: str) -> str:
    """A text that is replaced by something that Python would not write."""
    mark = uuid.UUID(int=len(raw)).hex
    raw[mark] = instead
    return mark


def _other_value(random: Random, raw: dict[str, str]) -> Any:
    return random.choice(
        (
            None, True, False, "", [], {}, [[]], [None], {"": None}, -1, 0, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5,
            _mark(raw, random.choice(NUMBERS)), odd_text(random), odd_text(random), odd_text(random),
            _mark(raw, "[" * _DEEP + "]" * _DEEP), _mark(raw, '{"":' * _DEEP + "0" + "}" * _DEEP),
            _mark(raw, "[" * _DEEP),
        )
    )  # fmt: skip


def _replace(random: Random, place: Place, raw: dict[str, str]) -> None:
    place[0][place[1]] = _other_value(random, raw)


def _adjust(random: Random, place: Place, raw: dict[str, str]) -> None:
    """A value that is nearly what it was."""
    value = place[0][place[1]]
    if isinstance(value, bool) or value is None:
        place[0][place[1]] = not value
    elif isinstance(value, int | float):
        small = value if abs(value) < 1e100 else 1
        near = (small + 1, small - 1, -value, small * 1e6, small + 0.5, str(value), [value], float(small))
        place[0][place[1]] = random.choice(near)
    elif isinstance(value, str):
        near = (value + odd_text(random), value.upper(), value + " ", value[:-1], f"../{value}", f"/{value}", [value])
        place[0][place[1]] = random.choice(near)
    elif isinstance(value, list):
        random.choice((value.reverse, value.clear, lambda: value.extend(value[:]), lambda: value.append(None)))()
    else:
        place[0][place[1]] = list(value.values())


def _remove(random: Random, place: Place, raw: dict[str, str]) -> None:
    if place[1] != "":
        del place[0][place[1]]


def _add(random: Random, place: Place, raw: dict[str, str]) -> None:
    value = place[0][place[1]]
    if isinstance(value, dict):
        value[odd_text(random)] = _other_value(random, raw)
    elif isinstance(value, list):
        value.insert(random.randint(0, len(value)), _other_value(random, raw))
    else:
        _replace(random, place, raw)


def _twice(random: Random, place: Place, raw: dict[str, str]) -> None:
    """A key a second time with another value, or a row a second time."""
    value = place[0][place[1]]
    if isinstance(place[0], list):
        place[0].insert(random.randint(0, len(place[0])), value)
    else:
        again = json.dumps(place[1]), json.dumps(random.choice((None, 0, "", [], value)))
        place[0][place[1]] = _mark(raw, f"{json.dumps(value)}, {again[0]}: {again[1]}" if place[1] else "1 2")


def _swap(random: Random, place: Place, raw: dict[str, str]) -> None:
    """The values of two keys or rows exchanged."""
    keys = list(place[0]) if isinstance(place[0], dict) else range(len(place[0]))
    other = random.choice(list(keys))
    place[0][place[1]], place[0][other] = place[0][other], place[0][place[1]]


_WAYS: tuple[Callable[[Random, Place, dict[str, str]], None], ...] = (
    _replace, _replace, _replace, _adjust, _adjust, _remove, _add, _twice, _swap,
)  # fmt: skip
