"""Damage to valid files: to bytes, text, JSON, and to files as such. An input follows from a seed and its number."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from random import Random

from tests.reliability.fuzz.structure import restructured
from tests.reliability.fuzz.target import Target
from tests.reliability.fuzz.words import respelt


class Gone(Enum):
    """A file that is none."""

    MISSING = "missing"
    FOLDER = "a folder"


Tree = dict[str, bytes]
"""Contents of files, by their paths relative to the input's folder."""
Damage = dict[str, bytes | Gone]
"""What is there instead of some files."""

_BYTES = (0, 1, 0x0A, 0x20, 0x22, 0x7F, 0x80, 0xC0, 0xED, 0xFE, 0xFF)
_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 2**15 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_MOST_AT_ONCE = 5
_LONGEST = 4 << 20
"""Bytes of a damaged file: bounds of memory are tried by what small files promise."""


def read_tree(folder: Path, patterns: tuple[str, ...] = ("**/*",)) -> Tree:
    """The files of a folder that are of some patterns, by path."""
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def made_again(target: Target, tree: Tree, seed: int, number: int) -> Damage:
    """The input of a number: what is there instead of some of the target's files.

    Args:
        target: whose files they are.
        tree: the valid contents of those that are damaged.
        seed: of the campaign.
        number: of the input, from 0.
    """
    random = Random(f"{seed} {target.name} {number}")
    while not (damage := _some_damage(random, target, tree)):
        pass
    return damage


def _some_damage(random: Random, target: Target, tree: Tree) -> Damage:
    """What is changed, which may be nothing."""
    if random.random() < 0.05:
        name = random.choice(list(tree))
        other = _other_file(random, list(tree.values()))
        return {} if other == tree[name] else {name: other}
    damage = dict(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3, _MOST_AT_ONCE))):
        if target.special is not None and random.random() < 0.5:
            damage |= target.special(random, damage)
        else:
            # Files of all sizes are damaged equally often.
            name = random.choice(list(damage))
            damage[name] = _damaged(random, damage[name], list(tree.values()))[:_LONGEST]
    return {name: content for name, content in damage.items() if content != tree[name]}


def place(damage: Mapping[str, bytes | Gone], folder: Path) -> None:
    """Put what is damaged in the place of what was there."""
    for name, content in damage.items():
        path = folder / name
        if path.is_dir():
            path.rmdir()
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.unlink(missing_ok=True)
            if content is Gone.FOLDER:
                path.mkdir()


def _other_file(random: Random, contents: list[bytes]) -> bytes | Gone:
    return random.choice([Gone.MISSING, Gone.FOLDER, b"", random.randbytes(random.randint(1, 300)), *contents])


def _damaged(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """A file's content, damaged once: as what it is, or as bytes."""
    if random.random() < 0.75 and 0 not in content[:4096]:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return damaged_bytes(random, content, others)
        try:
            value = json.loads(text) if text.lstrip()[:1] in ("{", "[") and random.random() < 0.7 else None
        # What was damaged before need be JSON no more.
        except (ValueError, RecursionError):
            value = None
        return respelt(random, text) if value is None else restructured(random, value)
    return damaged_bytes(random, content, others)


def damaged_bytes(random: Random, content: bytes, others: list[bytes]) -> bytes:
    """Bytes damaged once, whatever they are; `others` are spliced in."""
    if not content:
        return random.randbytes(random.randint(1, 64))
    return random.choice(_WAYS)(random, content, others)


def _flipped(random: Random, content: bytes, _: list[bytes]) -> bytes:
    found = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 32))):
        found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def _set(random: Random, content: bytes, _: list[bytes]) -> bytes:
    found = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4))):
        found[random.randrange(len(found))] = random.choice((*_BYTES, random.randrange(256)))
    return bytes(found)


def _cut(random: Random, content: bytes, _: list[bytes]) -> bytes:
    return content[: random.choice((random.randrange(len(content)), max(0, len(content) - random.randint(1, 16))))]


def _stretch(random: Random, content: bytes) -> slice:
    start = random.randrange(len(content))
    return slice(start, start + random.choice((1, 4, 8, 64, random.randint(1, len(content)))))


def _removed(random: Random, content: bytes, _: list[bytes]) -> bytes:
    gone = _stretch(random, content)
    return content[: gone.start] + content[gone.stop :]


def _doubled(random: Random, content: bytes, _: list[bytes]) -> bytes:
    again = _stretch(random, content)
    # A hundredfold hundredfold would be the damage's own trouble with memory.
    times = random.choice((1, 1, 2, 100)) if len(content) < 2**18 else 1
    return content[: again.stop] + content[again] * times + content[again.stop :]


def _moved(random: Random, content: bytes, _: list[bytes]) -> bytes:
    moved = _stretch(random, content)
    left = content[: moved.start] + content[moved.stop :]
    at = random.randint(0, len(left))
    return left[:at] + content[moved] + left[at:]


def _spliced(random: Random, content: bytes, others: list[bytes]) -> bytes:
    other = random.choice(others) or content
    taken, at = _stretch(random, other), random.randrange(len(content))
    # Instead of what was there, or between.
    end = at + (len(other[taken]) if random.random() < 0.5 else 0)
    return content[:at] + other[taken] + content[end:]


def _number_set(random: Random, content: bytes, _: list[bytes]) -> bytes:
    """A field of 1, 2, 4 or 8 bytes set to a number that might be a length, or a little more or less than it was."""
    size = random.choice((1, 2, 4, 8))
    if len(content) < size:
        return content * 2
    # Most formats align their fields.
    at = random.randrange(len(content) - size + 1) // size * size + random.choice((0, 0, 0, 1))
    at = min(at, len(content) - size)
    order = random.choice("<>")
    code = order + {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
    was = struct.unpack(code, content[at : at + size])[0]
    number = random.choice((*_NUMBERS, len(content), was + 1, was - 1, was * 2, was + 8, was - 8))
    return content[:at] + struct.pack(code, number % (1 << 8 * size)) + content[at + size :]


_WAYS: tuple[Callable[[Random, bytes, list[bytes]], bytes], ...] = (
    _flipped, _set, _cut, _removed, _doubled, _moved, _spliced, _number_set, _number_set,
)  # fmt: skip
