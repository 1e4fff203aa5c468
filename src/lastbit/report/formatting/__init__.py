"""Numbers in words: the only place where a number that a person reads is rounded and given its unit.

One quantity has one rounding everywhere: on the page, in the terminal, in the sentence. What is missing shows as a dash
or in words, never as a number; an infinity is a value ("∞", "any"), never missing.
"""

from lastbit.core.words import capitalised, plural
from lastbit.report.formatting.estimates import Shown, interval, reason, show, show_chance, show_ratio
from lastbit.report.formatting.numbers import (
    MISSING,
    certified,
    chance,
    change,
    count,
    decades,
    distance,
    factor,
    growth_rate,
    margin,
    number,
    ordinal,
    p_value,
    percent,
    setting,
    size,
    span,
    step,
    within,
)
from lastbit.report.formatting.stability import RATIO, RATIO_DIGITS, amplification, bound, decay_words, wave
from lastbit.report.formatting.times import ago, duration, moment, seconds

__all__ = [
    "MISSING",
    "RATIO",
    "RATIO_DIGITS",
    "Shown",
    "ago",
    "amplification",
    "bound",
    "capitalised",
    "certified",
    "chance",
    "change",
    "count",
    "decades",
    "decay_words",
    "distance",
    "duration",
    "factor",
    "growth_rate",
    "interval",
    "margin",
    "moment",
    "number",
    "ordinal",
    "p_value",
    "percent",
    "plural",
    "reason",
    "seconds",
    "setting",
    "show",
    "show_chance",
    "show_ratio",
    "size",
    "span",
    "step",
    "wave",
    "within",
]
