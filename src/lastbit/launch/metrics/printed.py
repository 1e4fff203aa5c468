"""Numbers as programs print them: what they are worth, how many digits were shown, and their unit.

Read are `0.91`, `.5`, `5.`, `1.2e-3`, `1,234,567`, `nan` and `inf`, with a sign or without, and what follows at once:
`%`, a unit of letters (`3.2s`, `12ms/step`) or a denominator (`9910/10000`). Not read, because half of them would be
another number: decimal commas (`0,912`), versions (`1.2.3`), dates, times of day, ranges (`0.5-0.6`), `0x1F`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["QUANTITY", "PrintedNumber", "number_of", "printed_number", "significant_digits"]

_DIGITS = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})++(?:\.[0-9]*+)?|[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?"
_WORD = r"(?i:nan|inf(?:inity)?)(?!\w)"

QUANTITY = (
    rf"(?P<number>[-+−]?(?:{_DIGITS}|{_WORD}))"
    r"(?:[^\S\n]?(?P<percent>%)|[^\S\n]?/[^\S\n]?(?P<total>[0-9]++)(?![./]?[0-9])"
    r"|(?P<letters>[^\W\d_]{1,12}(?:/[^\W\d_]{1,12})?))?(?![\w])(?![-.,:/][0-9])"
)
"""A number with its unit, as a regular expression with the groups that `number_of` reads. It takes linear time."""

_QUANTITY = re.compile(QUANTITY)
_WRAPPED = re.compile(r"(?:torch\.|np\.|numpy\.)?(?:tensor|array|float\d+|int\d+)\(")
_AROUND = " \t\r\n\"'`()[]{}<>*|;,:"


@dataclass(frozen=True, slots=True)
class PrintedNumber:
    """A number that was printed.

    Attributes:
        value: what it is worth; a percentage keeps its figure (91% is 91).
        text: the figure as printed, without its unit.
        unit: "%", letters, or "/10000" for a number that was printed as a part of a total; "" for none.
    """

    value: float
    text: str
    unit: str = ""

    @property
    def digits(self) -> int:
        """How many significant digits were printed."""
        return significant_digits(self.text)


def number_of(match: re.Match[str]) -> PrintedNumber:
    """Return the number that a match of `QUANTITY` holds."""
    text = match["number"]
    total = match["total"]
    unit = "%" if match["percent"] else f"/{total}" if total else match["letters"] or ""
    return PrintedNumber(float(text.replace("−", "-").replace(",", "")), text, unit)


def printed_number(text: str) -> PrintedNumber | None:
    """Return the number that a short text is, brackets, quotes and full stops around it aside; None if it is none.

    Example:
        >>> printed_number("91.0%,")
        PrintedNumber(value=91.0, text='91.0', unit='%')
        >>> printed_number("tensor(0.25)").value
        0.25
        >>> printed_number("0,912") is None
        True
    """
    if len(text) > 1000:
        return None
    text = text.strip(_AROUND)
    if wrapped := _WRAPPED.match(text):
        text = text[wrapped.end() :]
    match = _QUANTITY.match(text)
    if match is None or text[match.end() :].strip(_AROUND + "."):
        return None
    return number_of(match)


def significant_digits(text: str) -> int:
    """Count the significant digits of a printed number; of a zero its decimals, of nan and inf none.

    Example:
        >>> [significant_digits(text) for text in ("0.9134", "91.0", "1.2e-3", "57,101", "0.00", "nan")]
        [4, 3, 2, 5, 2, 0]
    """
    mantissa = re.split("[eE]", text)[0] if re.search("[0-9]", text) else ""
    digits = re.sub("[^0-9]", "", mantissa)
    if digits and not digits.strip("0"):
        return max(1, len(mantissa.partition(".")[2]))
    return len(digits.lstrip("0"))
