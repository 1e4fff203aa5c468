"""Estimates: what they print, what they refuse, and when an SD rests on few samples."""

import json
import math

import numpy as np
import pytest

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.stats import FEW_SAMPLES, Estimate, few_samples_note, not_measured


@pytest.mark.parametrize(
    ("estimate", "digits", "unit", "text"),
    [
        (Estimate(0.29, 0.22, 0.41, 36), 2, "", "0.29 [0.22, 0.41] (n = 36)"),
        (Estimate(0.2915, 0.2234, 0.4101, 36), 3, "%", "0.291% [0.223, 0.410] (n = 36)"),
        (Estimate(0.0042, 0.0031, 0.0067, 12), 2, "points", "0.0042 points [0.0031, 0.0067] (n = 12)"),
        (Estimate(97.1512, 96.82, 97.48, 4), 4, "%", "97.15% [96.82, 97.48] (n = 4)"),
        (Estimate(1234.0, 900.0, 2000.0, 4), 2, "", "1234 [900, 2000] (n = 4)"),
        (Estimate(3.1e-12, 0.0, 5e-12, 9), 2, "", "3.1e-12 [0, 5.0e-12] (n = 9)"),
        (Estimate(0.0, 0.0, None, 6), 2, "", "0.0 [0.0, not measured] (n = 6)"),
        (Estimate(0.0, 0.0, 0.031, 6), 2, "", "0.000 [0.000, 0.031] (n = 6)"),
        (Estimate(0.5, None, None, 2), 2, "", "0.50 [interval not measured] (n = 2)"),
        (not_measured("one seed", n=1), 2, "", "not measured: one seed"),
    ],
)
def test_format_shows_estimate_interval_and_samples(estimate, digits, unit, text):
    assert estimate.format(digits=digits, unit=unit) == text


def test_str_is_the_format_with_two_digits():
    assert str(Estimate(0.29, 0.22, 0.41, 36)) == "0.29 [0.22, 0.41] (n = 36)"


def test_json_round_trip_keeps_none():
    missing = json.loads(json.dumps(plain(not_measured("one seed", n=1))))
    assert missing == {
        "estimate": None,
        "low": None,
        "high": None,
        "n": 1,
        "df": None,
        "note": "not measured: one seed",
    }
    assert Estimate(**json.loads(json.dumps(plain(Estimate(0.2, 0.1, 0.4, 7, "few", 6.0))))) == Estimate(
        0.2, 0.1, 0.4, 7, "few", 6.0
    )


def test_numbers_that_are_none_of_json_are_refused():
    with pytest.raises(LastbitError, match="high must be finite, got inf: use None"):
        Estimate(1.0, 0.5, math.inf, 3)
    with pytest.raises(LastbitError, match="does not hold its estimate"):
        Estimate(1.0, 1.5, 2.0, 3)
    with pytest.raises(LastbitError, match="digits = 0"):
        Estimate(1.0, 0.5, 2.0, 3).format(digits=0)
    with pytest.raises(LastbitError, match="positive finite factor"):
        Estimate(1.0, 0.5, 2.0, 3).scaled(0.0)


def test_scaled_moves_every_number_and_keeps_the_rest():
    assert Estimate(0.5, 0.25, None, 6, "few", 5.0).scaled(100) == Estimate(50.0, 25.0, None, 6, "few", 5.0)


def test_relative_error_of_an_sd_is_that_of_simulated_normal_samples():
    rng = np.random.default_rng(0)
    for n in (7, 9):
        simulated = rng.normal(size=(20_000, n)).std(axis=1, ddof=1).std()
        said = few_samples_note(n - 1).partition("±")[2].removesuffix("%")
        # The delta method is 2 % off at six degrees of freedom, and the note is rounded.
        assert int(said) == pytest.approx(100 * simulated, rel=0.05)


def test_few_samples_are_called_few():
    assert few_samples_note(1) == "few samples: 1 degree of freedom, which gives an SD to about ±71%"
    assert few_samples_note(5) == "few samples: 5 degrees of freedom, which give an SD to about ±32%"
    assert few_samples_note(FEW_SAMPLES - 1) == ""


def test_an_estimate_of_any_size_is_short():
    assert Estimate(1.23e300, 1e300, 2e300, 4).format(2) == "1.2e+300 [1.0e+300, 2.0e+300] (n = 4)"
    assert Estimate(123456.0, 1e5, 2e5, 4).format(2) == "123456 [100000, 200000] (n = 4)"


def test_what_is_scaled_beyond_the_largest_float_is_not_measured():
    assert Estimate(1e200, 1e10, 1e300, 4, "few").scaled(1e20) == Estimate(
        1e220, 1e30, None, 4, "few; an end is beyond the largest number of float64"
    )
    assert not Estimate(1e300, 1e300, 1e300, 4).scaled(1e20).measured
