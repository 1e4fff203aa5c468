"""Where names and patterns meet numbers in the lines of an output.

A line that a carriage return or backspaces rewrite (a progress bar) is several *segments*; only the last one that
carries the name counts. Every hit has a *form*: the words before the name on its line (numbers, with units that hang on
them, left out), the sign between name and number, and the unit. `train Loss: 0.5 Acc: 0.7` and `val Loss: 0.2 Acc: 0.9`
carry `Acc` in two forms, and are two metrics; `epoch 1 acc 0.7` and `epoch 2 acc 0.9` are one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from lastbit.launch.metrics.documents import at_path, leaves, number_at_leaf, parsed
from lastbit.launch.metrics.pattern import pattern_matches
from lastbit.launch.metrics.printed import QUANTITY, PrintedNumber, number_of, printed_number

__all__ = ["Form", "Hit", "Printed", "all_hits", "end_of", "named_hits", "pattern_hits", "segments"]

Printed: TypeAlias = str | Path
"""What was printed: the text, or the file that holds it, of which no more than a part is in memory at a time."""

LINE_LIMIT = 100_000
"""Characters of a segment that are looked at."""

_PART = 1 << 20
"""Characters of a line that are read at a time."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b\n]*+(?:\x07|\x1b\\)|[@-Z\\^_])")
_REWRITES = re.compile(r"\r|\x08++")
_WORDS = re.compile(r"[^\W\d_]++")
# Figures with what hangs on them, rates of progress bars, and what a figure may turn into.
_FIGURES = re.compile(r"[0-9][\w.:/%+-]*+|\b(?i:nan|inf)\b")
_RATES = re.compile(r"[^\s,|\[]{0,20}(?:it/s|s/it)")

_START = r"(?<![\w./@+-])"
_CLOSING = r"(?![\w])['\"`\])}*]{0,3}"
_SIGN = (
    r"(?:[^\S\n]{0,80}+(?P<sign>:=|==?|:|->|=>|→|\||│|┃)[^\S\n]{0,80}+"
    r"|[^\S\n]{1,80}+(?P<verb>(?:is|was|of)[^\S\n]{1,80}+)?)"
    r"['\"]?(?:torch\.|np\.|numpy\.)?(?:(?:tensor|array|float[0-9]+|int[0-9]+)\()?"
)
_NUMBER = _CLOSING + _SIGN + QUANTITY
_ANY_NAME = re.compile(_START + r"(?P<name>[^\W\d](?:\w|[./@-](?=\w))*+)" + _NUMBER)


@dataclass(frozen=True, slots=True)
class Form:
    """What lines of one kind have in common.

    Attributes:
        before: the words before the name, each once.
        sign: what stands between name and number.
        unit: the unit of the number; "/" for every denominator.
    """

    before: tuple[str, ...]
    sign: str
    unit: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A number in a line.

    Attributes:
        name: the name that it stands behind.
        number: the number.
        form: what lines of its kind have in common.
        line: the segment that it stands in.
        start: where the name begins in it.
    """

    name: str
    number: PrintedNumber
    form: Form
    line: str
    start: int


def segments(printed: Printed) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the segments of every line, escape sequences of terminals left out.

    A line of many segments comes in several parts, in their order and with the same number. Bytes that are no text are
    replaced.
    """
    number, begun = 0, ""
    with (
        io.StringIO(printed)
        if isinstance(printed, str)
        else printed.open(encoding="utf-8", errors="replace", newline="\n")
    ) as file:
        while part := file.readline(_PART):
            ended = part.endswith("\n")
            text = begun + part.removesuffix("\n")
            if "\x1b" in text:
                text = _ANSI.sub("", text)
            cut = _REWRITES.split(text) if "\r" in text or "\x08" in text else [text]
            # What is cut off in the middle goes on in the next part.
            begun = "" if ended else cut.pop()[:LINE_LIMIT]
            if cut:
                yield number, [segment[:LINE_LIMIT] for segment in cut]
            number += ended
    if begun:
        yield number, [begun]


def end_of(printed: Printed, size: int) -> str:
    """Return the last `size` characters (of a file, bytes), from the beginning of a line or of a segment."""
    if isinstance(printed, str):
        whole, text = len(printed) <= size, printed[-size:]
    else:
        with printed.open("rb") as file:
            length = file.seek(0, io.SEEK_END)
            file.seek(max(0, length - size))
            whole, text = length <= size, file.read().decode(errors="replace")
    if whole:
        return text
    begins = re.search(r"[\n\r]", text)
    return text[begins.end() :] if begins else text


def _last_of_each_line(printed: Printed, look: Callable[[str], list[Hit]]) -> list[Hit]:
    """Return what is found in the last segment of each line in which anything is."""
    found: dict[int, list[Hit]] = {}
    for number, part in segments(printed):
        for segment in reversed(part):
            if hits := look(segment):
                found[number] = hits
                break
    return [hit for hits in found.values() for hit in hits]


def named_hits(printed: Printed, name: str) -> list[Hit]:
    """Return every number that stands behind a name in what was printed.

    The name is matched as a whole word: `acc` is found neither in `val_acc` nor in `loss/acc`. In a line that is a JSON
    object a name with dots is a path.
    """
    words = name.split()
    spelled = r"[^\S\n]++".join(map(re.escape, words))
    pattern = re.compile(f"{_START}(?P<name>{spelled}){_NUMBER}")
    # Every line that can match holds these; most lines do not.
    signs = words if "." not in name else name.split(".")[-1:]

    def look(segment: str) -> list[Hit]:
        return _in_segment(segment, name, pattern) if any(sign in segment for sign in signs) else []

    return _last_of_each_line(printed, look)


def _in_segment(segment: str, name: str, pattern: re.Pattern[str]) -> list[Hit]:
    if segment.lstrip().startswith("{"):
        try:
            values = list(at_path(parsed(segment), name))
        except ValueError:
            values = []
        numbers = [number for number in map(number_at_leaf, values) if number is not None]
        if numbers:
            return [_json_hit(name, number, segment) for number in numbers]
    return [_hit(match, segment) for match in pattern.finditer(segment)]


def all_hits(printed: Printed) -> list[Hit]:
    """Return every number that stands behind any name in what was printed."""

    def look(segment: str) -> list[Hit]:
        document = None
        if segment.lstrip().startswith("{"):
            with suppress(ValueError):
                document = parsed(segment)
        hits = [_json_hit(name, number, segment) for name, number in leaves(document)]
        return hits or [_hit(match, segment) for match in _ANY_NAME.finditer(segment)]

    return _last_of_each_line(printed, look)


def pattern_hits(printed: Printed, pattern: str) -> list[Hit]:
    """Return every number that a pattern takes from what was printed.

    Raises:
        LastbitError: the pattern is none, or takes too long.
        ValueError: its group holds something else than a number; the message is what it holds.
    """
    found = []
    for match in pattern_matches(segments(printed), pattern):
        number = printed_number(match.text)
        if number is None:
            raise ValueError(match.text)
        form = _form(_words_before(match.line, match.start), "", _unit(number))
        found.append(Hit(pattern, number, form, match.line, match.start))
    return found


def _hit(match: re.Match[str], segment: str) -> Hit:
    number, start = number_of(match), match.start("name")
    sign = match["sign"] or (match["verb"] or "").strip()
    form = _form(_words_before(segment, start, match["name"]), sign, _unit(number))
    return Hit(match["name"], number, form, segment, start)


def _json_hit(name: str, number: PrintedNumber, segment: str) -> Hit:
    return Hit(name, number, _form((), "{}", _unit(number)), segment, 0)


@lru_cache(maxsize=256)
def _form(before: tuple[str, ...], sign: str, unit: str) -> Form:
    # One object for the many lines of a form.
    return Form(before, sign, unit)


def _unit(number: PrintedNumber) -> str:
    return "/" if number.unit.startswith("/") else number.unit


def _words_before(line: str, start: int, name: str = "") -> tuple[str, ...]:
    # Of a long line its beginning and what stands next to the name say what it is.
    before = line[:start] if start <= 400 else line[:200] + " " + line[start - 200 : start]
    if "it/s" in before or "s/it" in before:
        before = _RATES.sub(" ", before)
    # Once each and without the name: on one line "loss 0.3 loss 0.2" is one series.
    words = dict.fromkeys(_WORDS.findall(_FIGURES.sub(" ", before)))
    own = _WORDS.findall(name)
    return tuple(word for word in words if word not in own)
