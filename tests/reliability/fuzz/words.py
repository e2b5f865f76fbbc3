"""Damage to text: other numbers and words, lines too many or too few, other encodings and line ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

NUMBERS = (
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-1", "0", "-0.0", "9223372036854775808", "1e15",
    "16777216", "0.5", "1_000", "007", "+1", "0x10", "١٢", "9" * 5_000, "9" * 400 + ".5", "1e", "--1",
)  # fmt: skip
"""Spellings of what may not be a number, or not a possible one."""
_ODD = (
    "\0", "\ud800", "\x1b[31m", "\x1b]0;title\x07", "\r", "\n", "\t", "\x85", "\u2028", "\u202e", "\ufeff", "\x7f",
    "\x9b31m", "..", "../../etc/passwd", "/etc/passwd", "C:\\", "~", "%s%n{0}", "<script>alert(1)</script>",
    "'\"`$(id)", "\u0435", "人", "👍🏽", "a\u0301", "x" * 200_000, "\x1b" * 30_000, " ", "",
)  # fmt: skip
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_WORD = re.compile(r"\w+")
_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp037", "shift_jis", "utf-7")


def odd_text(random: Random) -> str:
    """A text that few expect: control characters, other scripts, paths that lead out, very long."""
    return "".join(random.choice(("", "a")) + random.choice(_ODD) for _ in range(random.choice((1, 1, 1, 3))))


def respelt(random: Random, text: str) -> bytes:
    """A text damaged once, encoded."""
    found = random.choice(_WAYS)(random, text)
    return found if isinstance(found, bytes) else found.encode("utf-8", "surrogatepass")


def _other_number(random: Random, text: str) -> str:
    return _instead(random, text, _NUMBER, random.choice(NUMBERS))


def _other_word(random: Random, text: str) -> str:
    words = _WORD.findall(text)
    return _instead(random, text, _WORD, random.choice([odd_text(random), *random.choices(words, k=1 if words else 0)]))


def _instead(random: Random, text: str, pattern: re.Pattern[str], instead: str) -> str:
    found = [match.span() for match in pattern.finditer(text)]
    if not found:
        return text + instead
    start, end = random.choice(found)
    return text[:start] + instead + text[end:]


def _inserted(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return text[:at] + odd_text(random) + text[at:]


def _lines_changed(random: Random, text: str) -> str:
    """A line gone, there twice or many times, or elsewhere."""
    lines = text.splitlines(keepends=True) or [""]
    at = random.randrange(len(lines))
    line = lines.pop(at)
    for _ in range(random.choice((0, 1, 2, 2, 500 if len(line) < 1_000 else 2))):
        lines.insert(random.choice((at, random.randint(0, len(lines)))), line)
    return "".join(lines)


def _fields_changed(random: Random, text: str) -> str:
    """A field of a line gone, there twice, or exchanged with its neighbour."""
    lines = text.split("\n")
    at = random.randrange(len(lines))
    parts = re.split(r"([\s,=:]+)", lines[at])
    field = random.randrange(len(parts))
    parts[field : field + 1] = random.choice(([], [parts[field]] * 2, [parts[field], "\t", parts[field]], [""]))
    lines[at] = "".join(parts)
    return "\n".join(lines)


def _nested(random: Random, text: str) -> str:
    """Brackets in brackets, where the text has a word or at its start."""
    deep = random.choice("[{(") * random.choice((100, 5_000, 100_000))
    return deep + text if random.random() < 0.3 else _instead(random, text, _WORD, deep)


def _line_ends(random: Random, text: str) -> str:
    return text.replace("\n", random.choice(("\r\n", "\r", "\n\n", "\n\r", "\x0b", "\x00", "\u2028", " \t\n")))


def _encoded(random: Random, text: str) -> bytes:
    return text.encode(random.choice(_ENCODINGS), "replace")


_WAYS: tuple[Callable[[Random, str], str | bytes], ...] = (
    _other_number, _other_number, _other_word, _other_word, _inserted, _lines_changed, _lines_changed, _fields_changed,
    _nested, _line_ends, _encoded,
)  # fmt: skip
