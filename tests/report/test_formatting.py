"""What a number looks like, exactly: a changed rounding fails here."""

import math
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.report import formatting as words
from lastbit.stats import Estimate, not_measured

NAN, INF = math.nan, math.inf
SHARE = "99.99% (95% interval from 0.01% up)"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("number", (0.123456,), "0.1235"),
        ("number", (0.123456, 3), "0.123"),
        ("number", (123456.0, 6), "123456"),
        ("number", (1.5e-7, 3), "1.5e-07"),
        ("number", (97.54321, 4, "%"), "97.54%"),
        ("number", (0.25, 4, "points"), "0.25 points"),
        ("number", (99.97, 4, "%"), "99.97%"),
        ("number", (99.97, 3, "%"), "99.97%"),
        ("number", (99.999, 4, "%"), "99.99%"),
        ("number", (100.0, 4, "%"), "100%"),
        ("number", (0.03, 2, "%"), "0.03%"),
        ("number", (2.431, 4, "nats"), "2.431 nats"),
        ("number", (0.0,), "0"),
        ("number", (INF,), "∞"),
        ("number", (-INF, 4, "s"), "-∞ s"),
        ("number", (NAN,), "–"),
        ("number", (None, 4, "%", "not measured"), "not measured"),
        ("count", (999,), "999"),
        ("count", (1234567,), "1,234,567"),
        ("count", (1499.6,), "1,500"),
        ("count", (INF,), "∞"),
        ("count", (None,), "–"),
        ("count", (None, "never"), "never"),
        ("plural", (0, "seed"), "0 seeds"),
        ("plural", (1, "seed"), "1 seed"),
        ("plural", (1200, "seed"), "1,200 seeds"),
        ("plural", (1, "process", "processes"), "1 process"),
        ("plural", (2, "process", "processes"), "2 processes"),
        ("plural", ("1", "degree"), "1 degree"),
        ("plural", ("1.5", "step"), "1.5 steps"),
        ("step", (1200,), "step 1,200"),
        ("step", (None,), "never"),
        ("step", (None, "–"), "–"),
        ("percent", (0.0,), "0%"),
        ("percent", (1.2345e-5,), "0.0012%"),
        ("percent", (0.01,), "1%"),
        ("percent", (0.09349,), "9.3%"),
        ("percent", (0.1,), "10%"),
        ("percent", (0.0996,), "10%"),
        ("percent", (0.9949,), "99%"),
        ("percent", (0.61349,), "61%"),
        ("percent", (0.995,), "99.50%"),
        ("percent", (0.99999,), "99.99%"),
        ("percent", (1.0,), "100%"),
        ("percent", (2.5,), "250%"),
        ("percent", (INF,), "∞%"),
        ("percent", (None,), "–"),
        ("percent", (NAN, "unknown"), "unknown"),
        ("distance", (0.0,), "0%"),
        ("distance", (9.99e-4,), "0.001"),
        ("distance", (6.312e-8,), "6.3e-08"),
        ("distance", (1e-3,), "0.1%"),
        ("distance", (0.1236,), "12%"),
        ("distance", (None, "an unknown share"), "an unknown share"),
        ("duration", (42.4,), "42 s"),
        ("duration", (119.0,), "119 s"),
        ("duration", (400.0,), "6.7 min"),
        ("duration", (5400.0,), "1.5 h"),
        ("duration", (1.02e7,), "118 days"),
        ("ago", (59,), "now"),
        ("ago", (3_599,), "59 min ago"),
        ("ago", (86_400,), "1 day ago"),
        ("change", (1.01234, 1.0), "+1.23%"),
        ("change", (0.5, 1.0), "-50.00%"),
        ("change", (None, 1.0), "–"),
        ("change", (1.0, None), "–"),
        ("span", (0.123456, 7.0), "0.1235 – 7"),
        ("span", (0.123456, 7.0, 2), "0.12 – 7"),
        ("span", (0.5, INF), "0.5 – ∞"),
        ("span", (55.921, 106.94, 4, "%"), "55.92% – 106.9%"),
        ("span", (None, 7.0), "up to 7"),
        ("span", (None, None), ""),
        ("interval", (0.123456, 7.0, 3), "95% interval 0.123 to 7"),
        ("interval", (-INF, INF), "95% interval -∞ to ∞"),
        ("interval", (None, None), "interval not measured"),
        ("interval", (0.25, None), "95% interval from 0.25 up"),
        ("interval", (None, 7.0), "95% interval up to 7"),
        ("certified", (7.6321, 0.005), "7.63"),
        ("certified", (7.6321, 1e-9), "7.632"),
        ("certified", (-1.2e-7, 2e-6), "not resolved"),
        ("certified", (0.0, 1e-3), "not resolved"),
        ("certified", (0.5, None), "0.5"),
        ("within", (0.3, 0.5), "0.4"),
        ("within", (0.0, 0.02), "≤ 0.02"),
        ("within", (20.0, INF), "≥ 20"),
        ("bound", (0.123456,), "0.1235"),
        ("bound", (0.123456, 6), "0.123456"),
        ("bound", (INF,), "any"),
        ("bound", (0.0,), "none"),
        ("bound", (None,), "not resolved"),
        ("bound", (NAN, 4, "differs"), "differs"),
        ("decay_words", ((0.0, 0.3),), "0 – 0.3"),
        ("decay_words", ((0.123456, 0.3), 3), "0.123 – 0.3"),
        ("decay_words", ((0.08, INF),), "any from 0.08 up"),
        ("decay_words", ((0.0, INF),), "any"),
        ("decay_words", ((0.4, 0.3),), "none"),
        ("decay_words", ((0.4, -INF),), "none"),
        ("decay_words", ((0.4, None),), "not resolved"),
        ("decay_words", ((None, 0.4),), "not resolved"),
        ("decay_words", ((NAN, 0.4),), "not resolved"),
        ("decay_words", (None,), "differs by group"),
        ("ordinal", (1,), "1st"),
        ("ordinal", (22,), "22nd"),
        ("ordinal", (112,), "112th"),
        ("size", (1,), "1 byte"),
        ("size", (999,), "999 bytes"),
        ("size", (1_234_567,), "1.23 MB"),
        ("seconds", (0.04,), "0.0 s"),
        ("seconds", (9.94,), "9.9 s"),
        ("seconds", (10.4,), "10 s"),
        ("seconds", (12345.6,), "12,346 s"),
        ("seconds", (None,), "–"),
        ("decades", (6.06,), "6.1"),
        ("decades", (12.0,), "12.0"),
        ("decades", (None,), "–"),
        ("factor", (0.0,), "1"),
        ("factor", (math.log(2.3456),), "2.35"),
        ("factor", (math.log(9990),), "9.99e+03"),
        ("factor", (math.log(1e4) + 1e-9,), "10^4.0"),
        ("factor", (2000.0,), "10^868.6"),
        ("factor", (INF,), "∞"),
        ("factor", (None,), "–"),
        ("growth_rate", (0.012345,), "0.0123 nats per step"),
        ("growth_rate", (None,), "–"),
        ("setting", (0.1,), "0.1"),
        ("setting", (True,), "yes"),
        ("setting", (False,), "no"),
        ("setting", (None,), "–"),
        ("setting", ([64, [3, 3]],), "64, 3, 3"),
        ("setting", ("relu",), "relu"),
        ("moment", (datetime(2026, 3, 1, 1, 30, 59, tzinfo=timezone(timedelta(hours=2))),), "2026-02-28 23:30 UTC"),
        ("margin", (0.3, 0.5), "40% below"),
        ("margin", (0.55, 0.5), "10% above"),
        ("margin", (0.5, 0.5), "at"),
        ("amplification", (1.2,), "1.2"),
        ("amplification", (1.0,), "1"),
        ("amplification", (1 - 2.5e-6,), "1 - 2.5e-06"),
        ("wave", ((math.pi, math.pi / 2), 1.0), "ω·dx = (π, 0.5π)"),
        ("wave", ((math.pi,), 1.0), "ω·dx = π"),
        ("wave", ((0.0,), 1.0), "ω → 0"),
        ("capitalised", ("training hovers",), "Training hovers"),
        ("capitalised", ("",), ""),
        ("reason", (not_measured("too few", 3),), "too few"),
        ("chance", (0.0099,), "under 1%"),
        ("chance", (0.01,), "1%"),
        ("chance", (0.99,), "99%"),
        ("chance", (0.9901,), "over 99%"),
        ("chance", (0.0,), "under 1%"),
        ("chance", (NAN,), "–"),
        ("p_value", (0.04321,), "0.043"),
        ("p_value", (9e-5,), "under 0.0001"),
        ("p_value", (None,), "–"),
    ],
)
def test_the_exact_text(name, arguments, text):
    assert getattr(words, name)(*arguments) == text


def test_every_function_has_an_exact_text():
    [mark] = [mark for mark in test_the_exact_text.pytestmark if mark.name == "parametrize"]
    of_estimates = {"show", "show_chance", "show_ratio"}
    assert {row[0] for row in mark.args[1]} == set(words.__all__) - {
        "MISSING",
        "RATIO",
        "RATIO_DIGITS",
        "Shown",
        *of_estimates,
    }


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((0.391, 0.287, 0.512, 9), "0.39 (95% interval 0.29 to 0.51)"),
        ((1e-9, 0.0, 64.2, 9), "under 0.01 (95% interval 0 to 64)"),
        ((0.0, 0.0, None, 9), "0 (95% interval from 0 up)"),
        ((168.2, 20.4, 1234.0, 9), "168 (95% interval 20 to 1,234)"),
        ((0.5, 1e-9, 5.4e14, 3), "0.50 (95% interval under 0.01 to 5.4e+14)"),
        ((0.5, None, None, 2), "0.50"),
    ],
)
def test_ratios_are_told_to_hundredths(estimate, text):
    assert str(words.show_ratio(Estimate(*estimate))) == text


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((0.93, 0.6, 0.999999, 5), "93% (95% interval 60% to over 99%)"),
        ((1.0, 0.99999, 1.0, 5), "over 99% (95% interval over 99%)"),
        ((0.0, 0.0, 0.36, 5), "under 1% (95% interval under 1% to 36%)"),
        ((0.5, None, None, 5), "50%"),
        ((None, None, None, 0, "not measured: one run"), "not measured"),
    ],
)
def test_a_chance_is_bounded_at_both_ends(estimate, text):
    assert str(words.show_chance(Estimate(*estimate))) == text


@pytest.mark.parametrize(
    ("estimate", "arguments", "value", "interval", "sentence"),
    [
        (
            (0.29411, 0.2234, 0.4188, 36),
            ("points",),
            "0.29 points",
            "0.22 – 0.42",
            "0.29 points (95% interval 0.22 to 0.42)",
        ),
        ((0.5, 0.25, 0.75, 9), ("%",), "50%", "25% – 75%", "50% (95% interval 25% to 75%)"),
        (
            (0.9999, 1e-4, None, 9),
            ("%",),
            "99.99%",
            "from 0.01% up",
            "99.99% (95% interval from 0.01% up)",
        ),
        ((1.0234, 0.98, 1.06, 9), ("", 3), "1.02", "0.98 – 1.06", "1.02 (95% interval 0.98 to 1.06)"),
        ((0.0, 0.0, None, 3), (), "0.0", "from 0.0 up", "0.0 (95% interval from 0.0 up)"),
        ((2.0, None, None, 1), (), "2.0", "", "2.0"),
    ],
)
def test_an_estimate_in_words(estimate, arguments, value, interval, sentence):
    shown = words.show(Estimate(*estimate), *arguments)
    assert (shown.value, shown.interval, str(shown)) == (value, interval, sentence)
    assert shown.words == (sentence.partition(" (")[2].rstrip(")") or "interval not measured")
    assert shown.n == str(estimate[3])


def test_an_estimate_that_is_none_says_why():
    shown = words.show(not_measured("too few", 3), "points")
    assert (shown.value, shown.interval, shown.note, shown.measured) == ("not measured", "", "too few", False)
    assert str(shown) == "not measured"


@settings(deadline=None, max_examples=100)
@given(st.floats(0, 1))
def test_a_part_never_shows_as_the_whole_or_as_nothing(share):
    shown = words.percent(share)
    assert (shown == "100%") == (share == 1)
    assert (shown == "0%") == (share == 0)
