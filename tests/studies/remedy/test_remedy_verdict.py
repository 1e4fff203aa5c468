"""What is said of planted effects: which word, which change, and what stands right behind the answer."""

import pytest

from lastbit.stats import Estimate, not_measured
from lastbit.studies.frame.control import Control, Difference, Landing
from lastbit.studies.remedy.found import BaseSpread, ChangeEffect, Found, Spread
from lastbit.studies.remedy.judge import contender_of, harm_of
from lastbit.studies.remedy.names import split_variant
from lastbit.studies.remedy.verdict import remedy_verdict

SAME = Control(bitwise_identical=True, pairs=3, pairs_identical=3, first_difference=None)
LANDED = Landing(
    kind="rescale",
    twins=6,
    landed_fraction=1.0,
    not_landed=(),
    first_step_share=None,
    last_step_share=None,
    runs=(),
)
ONE = Estimate(1.0, 0.8, 1.25, 10)


def effect(name, low, ratio, high, **given):
    bit = Estimate(ratio, low, high, 10)
    own = {
        "name": name,
        "says": name,
        "seeds": 10,
        "loss_last_bit": bit,
        "metric_last_bit": bit,
        "loss_fresh": ONE,
        "metric_fresh": ONE,
        "difference": Estimate(0.06, -0.14, 0.26, 10),
        "churn": not_measured("none", 10),
        "weight_distance": ONE,
        "cost": ONE,
        "lost": (),
        "calms": high is not None and high < 1,
        "raises": low is not None and low > 1,
        "harm": "open",
    }
    return ChangeEffect(**{**own, **given})


def found(*changes, **given):
    spread = Spread(mean=ONE, sigma_last_bit=ONE, sigma_total=ONE, last_bit_variance_share=Estimate(0.5, 0.4, 0.6, 10))
    own = {
        "metric": "accuracy",
        "unit": "%",
        "higher_is_better": True,
        "judged_by": "test_loss",
        "worth": None,
        "confirms": True,
        "level": 0.95,
        "base": BaseSpread(metric=spread, loss=spread),
        "nothing_to_calm": False,
        "changes": changes,
        "contender": contender_of(changes),
        "confirmation": None,
        "remedy": "",
    }
    return Found(**{**own, **given})


def said(one, control=SAME, landing=LANDED, **given):
    return remedy_verdict(one, control, landing, **given)


GELU = effect("gelu", 0.0, 0.001, 0.01)
DECAY = effect("decay/10", 0.29, 0.39, 0.51)
NOTHING = effect("clip=1", 0.8, 1.0, 1.25)


def test_the_answer_comes_first_and_what_is_left_right_behind_it():
    told = said(found(GELU, DECAY, NOTHING, confirmation=GELU, remedy="gelu"))
    assert told.kind == "remedy"
    assert told.sentence == (
        "gelu removes the last-bit spread: under 0.01 (95% interval 0 to 0.01) of the base's SD of the test loss, "
        "confirmed on 10 fresh seeds; accuracy +0.060 points (95% interval -0.140 to 0.260)."
    )
    assert told.advice.startswith("The spread over fresh seeds is not seen to fall: 1.00 (95% interval 0.80 to 1.25)")
    assert "Without --worth nothing is called harmless" in told.advice


def test_a_smaller_spread_is_lowered_and_not_removed():
    told = said(found(DECAY, confirmation=DECAY, remedy="decay/10", worth=0.5))
    assert told.sentence.startswith("decay/10 lowers the last-bit spread: 0.39 (95% interval 0.29 to 0.51)")
    assert "--worth" not in told.advice


@pytest.mark.parametrize(
    ("fresh", "words"), [((0.5, 0.6, 0.7), "falls too, to 0.60"), ((1.2, 1.5, 2.0), "grows, to 1.50")]
)
def test_a_spread_over_fresh_seeds_that_moves_is_said(fresh, words):
    low, ratio, high = fresh
    one = effect("ema=0.995", 0.67, 0.79, 0.9, loss_fresh=Estimate(ratio, low, high, 10))
    assert words in said(found(one, confirmation=one, remedy=one.name)).advice


def test_what_fresh_seeds_do_not_confirm_is_undecided():
    again = effect("gelu", 0.5, 0.9, 1.6)
    told = said(found(GELU, confirmation=again))
    assert told.kind == "undecided"
    assert "gelu looked best in the exploration" in told.sentence
    assert "fresh seeds do not confirm it" in told.sentence
    assert said(found(GELU)).kind == "undecided"


def test_with_worth_a_loss_that_may_matter_is_undecided():
    told = said(found(GELU, confirmation=GELU, worth=0.1))
    assert told.kind == "undecided"
    assert "but may cost 0.1 points" in told.sentence


def test_where_nothing_can_halve_the_spread_none_calms():
    told = said(found(NOTHING, effect("lr/2", 0.6, 0.9, 1.4)))
    assert (told.kind, told.sentence) == ("none", "none of 2 changes halves the last-bit spread of the test loss.")


def test_where_one_may_halve_it_it_is_undecided_and_named():
    told = said(found(NOTHING, effect("lr/2", 0.2, 0.7, 2.4)))
    assert told.kind == "undecided"
    assert "Open is lr/2" in told.advice


def test_a_change_that_calms_at_a_loss_is_no_remedy():
    costly = effect("lr/100", 0.0, 0.1, 0.2, harm="worse", difference=Estimate(-9.0, -10.0, -8.0, 10))
    told = said(found(costly, NOTHING))
    assert told.kind == "none"
    assert "lr/100, the calmest, costs accuracy: -9.0 points" in told.sentence
    lossy = effect("lr*9", 0.0, 0.1, 0.2, lost=("b-seed000-p000",))
    assert "lost 1 run" in said(found(lossy)).sentence


def test_the_controls_come_before_any_effect():
    first = Difference(cell=1, step=7, what="training loss")
    other = Control(bitwise_identical=False, pairs=2, pairs_identical=1, first_difference=first)
    told = said(found(GELU), other, names=["base", "gelu"])
    assert told.kind == "not_reproducible"
    assert "an exact repeat with gelu first differs at step 7 (training loss)" in told.sentence


def test_nothing_to_calm_and_nothing_yet():
    assert said(found(nothing_to_calm=True)).kind == "nothing_to_calm"
    assert said(found(base=None)).kind == "no_runs"
    assert said(found(base=None), lost=["a-seed000-p000"]).kind == "all_diverged"


def test_of_changes_that_calm_alike_the_cheaper_one_looks_best():
    dear = effect("float64", 0.0, 1e-9, 1e-8, cost=Estimate(1.4, 1.3, 1.5, 10))
    cheap = effect("gelu", 0.0, 1e-4, 1e-3)
    assert contender_of([dear, cheap, DECAY]) == "gelu"
    assert contender_of([NOTHING]) == ""


@pytest.mark.parametrize(
    ("low", "high", "worth", "higher", "harm"),
    [
        (-0.1, 0.2, None, True, "open"),
        (-0.3, -0.1, None, True, "worse"),
        (0.1, 0.3, None, False, "worse"),
        (0.1, 0.3, None, True, "open"),
        (-0.1, 0.2, 0.2, True, "harmless"),
        (-0.3, -0.1, 0.2, True, "open"),
        (-0.5, -0.3, 0.2, True, "worse"),
        (-0.2, 0.1, 0.2, False, "harmless"),
        (None, None, 0.2, True, "open"),
    ],
)
def test_harm_is_what_the_interval_shows(low, high, worth, higher, harm):
    middle = 0.0 if low is None else (low + high) / 2
    assert harm_of(Estimate(middle, low, high, 10), worth, higher_is_better=higher) == harm


@pytest.mark.parametrize("text", ["gelu", "=python x.py", "gelu=", "base=python x.py", "x" * 70 + "=python x.py"])
def test_a_variant_has_a_name_and_a_program(text):
    with pytest.raises(Exception, match="write NAME=PROGRAM"):
        split_variant(text)
