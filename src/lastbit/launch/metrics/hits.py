"""Where names and patterns meet numbers in the lines of an output.

A line that a carriage return or backspaces rewrite (a progress bar) is several *segments*; only the last one that
carries the name counts. Every hit has a *form*: the words before the name on its line (numbers, with units that hang on
them, left out), the sign between name and number, and the unit. `train Loss: 0.5 Acc: 0.7` and `val Loss: 0.2 Acc: 0.9`
carry `Acc` in two forms, and are two metrics; `epoch 1 acc 0.7` and `epoch 2 acc 0.9` are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from lastbit.launch.metrics.documents import at_path, leaves, number_at_leaf, parsed
from lastbit.launch.metrics.pattern import pattern_matches
from lastbit.launch.metrics.printed import QUANTITY, PrintedNumber, number_of, printed_number

__all__ = ["Form", "Hit", "all_hits", "named_hits", "pattern_hits", "segments"]

LINE_LIMIT = 100_000
"""Characters of a line that are looked at."""

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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


def segments(text: str) -> Iterator[list[str]]:
    """Yield the segments of every line, escape sequences of terminals left out."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    for line in text.split("\n"):
        if "\r" in line or "\x08" in line:
            yield [part[:LINE_LIMIT] for part in _REWRITES.split(line)]
        else:
            yield [line[:LINE_LIMIT]]


def named_hits(text: str, name: str) -> list[Hit]:
    """Return every number that stands behind a name in a text.

    The name is matched as a whole word: `acc` is found neither in `val_acc` nor in `loss/acc`. In a line that is a JSON
    object a name with dots is a path.
    """
    words = name.split()
    spelled = r"[^\S\n]++".join(map(re.escape, words))
    pattern = re.compile(f"{_START}(?P<name>{spelled}){_NUMBER}")
    # Every line that can match holds these; most lines do not.
    signs = words if "." not in name else name.split(".")[-1:]
    found = []
    for line in segments(text):
        for segment in reversed(line):
            hits = _in_segment(segment, name, pattern) if any(sign in segment for sign in signs) else []
            if hits:
                found += hits
                break
    return found


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


def all_hits(text: str) -> list[Hit]:
    """Return every number that stands behind any name in a text."""
    found = []
    for line in segments(text):
        hits: list[Hit] = []
        for segment in reversed(line):
            document = None
            if segment.lstrip().startswith("{"):
                with suppress(ValueError):
                    document = parsed(segment)
            hits = [_json_hit(name, number, segment) for name, number in leaves(document)]
            hits = hits or [_hit(match, segment) for match in _ANY_NAME.finditer(segment)]
            if hits:
                break
        found += hits
    return found


def pattern_hits(text: str, pattern: str) -> list[Hit]:
    """Return every number that a pattern takes from a text.

    Raises:
        LastbitError: the pattern is none, or takes too long.
        ValueError: its group holds something else than a number; the message is what it holds.
    """
    found = []
    for match in pattern_matches(list(segments(text)), pattern):
        number = printed_number(match.text)
        if number is None:
            raise ValueError(match.text)
        form = Form(_words_before(match.line, match.start), "", _unit(number))
        found.append(Hit(pattern, number, form, match.line, match.start))
    return found


def _hit(match: re.Match[str], segment: str) -> Hit:
    number, start = number_of(match), match.start("name")
    sign = match["sign"] or (match["verb"] or "").strip()
    return Hit(
        match["name"], number, Form(_words_before(segment, start, match["name"]), sign, _unit(number)), segment, start
    )


def _json_hit(name: str, number: PrintedNumber, segment: str) -> Hit:
    return Hit(name, number, Form((), "{}", _unit(number)), segment, 0)


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
