"""What tables of forced runs say: the answer, and of another training the first step, the tensor and what it is."""

import numpy as np
import pytest
from tests.support.forced_tables import LAYERS, STEPS, TENSORS, column, evidence, planted, table

from lastbit.launch.forced.table import Role
from lastbit.stats.forced_flags import LIMITS
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.judge import judge, staircase_needed
from lastbit.studies.same.nature import by_nature

G, W, S = Role.GRADIENT, Role.WEIGHT, Role.STATE
ALL = slice(None)


def _scaled(found, name, share, rows=ALL, role=G):
    return planted(found, difference=(rows, column(name, role), share), projection=(rows, column(name, role), share))


def _first(found, **others):
    judgement = judge(evidence(found, **others))
    assert judgement.answer == "different"
    return judgement.findings[0]


def test_equal_tables_are_bit_for_bit_and_rounding_is_the_same() -> None:
    assert judge(evidence(table(equal=True))).answer == "bit_for_bit"
    judgement = judge(evidence(table(9)))
    assert (judgement.answer, judgement.findings) == ("same_up_to_rounding", ())
    assert not any(row.flagged or row.noise for row in judgement.tensors)
    assert {row.unequal_steps for row in judgement.tensors} == {STEPS}
    by_hand = np.median(table(9).difference[:, 1] / evidence(table(9)).unit.sigma[:, 1])
    assert judgement.tensors[1].median == pytest.approx(by_hand)


def test_a_reference_that_differs_from_itself_says_nothing_of_the_candidate() -> None:
    control = planted(table(equal=True), unequal=(6, 2, 1))
    found = evidence(table(9), control=control)
    assert judge(found).answer == "not_reproducible"
    assert found.control == (7, "fc1.weight")


def test_few_steps_that_agree_up_to_rounding_are_undecided_and_bit_for_bit_is_not() -> None:
    assert judge(evidence(table(9, steps=5))).answer == "undecided"
    assert judge(evidence(table(equal=True, steps=5))).answer == "bit_for_bit"


@pytest.mark.parametrize("share", [1e-5, 1e-3, 0.5])
def test_a_scaled_gradient_is_named_with_its_factor(share: float) -> None:
    found = _first(_scaled(table(9), "fc1.weight", share))
    assert (found.what, found.tensor, found.step, found.steps) == ("gradient_scale", "fc1.weight", 1, STEPS)
    assert found.factor == pytest.approx(1 + share, rel=1e-9)


def test_a_mean_over_another_count_scales_the_loss_and_every_gradient() -> None:
    found = table(9)
    for place in range(1 + len(LAYERS)):
        found = planted(found, difference=(ALL, place, 2 / 31), projection=(ALL, place, 2 / 31))
    first = _first(found)
    assert (first.what, first.tensor) == ("gradient_scale", "")
    assert first.said.startswith("every gradient is 1.065 times the reference's, and so is the loss")


def test_what_goes_wrong_on_the_way_back_is_told_by_where_gradients_begin_to_agree() -> None:
    found = planted(table(9), difference=(ALL, column("conv1.weight", G), 1e-3))
    found = planted(found, difference=(ALL, column("fc1.weight", G), 1e-4))
    first = _first(found)
    assert (first.what, first.tensor, first.tensors) == ("gradient", "conv1.weight", ("conv1.weight", "fc1.weight"))
    assert "gradients from fc1.bias on agree, so it comes in on the way back from there to fc1.weight" in first.said


def test_one_step_with_another_batch_is_its_data() -> None:
    found = table(9, mismatches=[(17, "batch", "batch 1", "a", "b"), (18, "batch", "batch 1", "c", "d")])
    found = planted(found, difference=(16, slice(0, 1 + len(LAYERS)), 0.1))
    first = _first(found)
    assert (first.what, first.step, first.steps) == ("data", 17, 1)


def test_another_order_inside_batches_that_changes_nothing_is_no_finding() -> None:
    mismatches = [(step, "batch", "batch 1", "a", "b") for step in range(1, STEPS + 1)]
    assert judge(evidence(table(9, mismatches=mismatches))).answer == "same_up_to_rounding"


def test_one_step_in_which_everything_differs_is_its_data_though_no_loader_gave_another_batch() -> None:
    first = _first(planted(table(9), difference=(16, slice(0, 1 + len(LAYERS)), 0.1)))
    assert (first.what, first.step, first.steps, first.tensor) == ("data", 17, 1, "")
    assert first.said.endswith("though no loader gave another batch")


def test_what_clipping_makes_of_one_scaled_gradient_is_no_other_data() -> None:
    rows = slice(3, 13)
    found = table(9)
    for name in LAYERS:
        place = column(name, G)
        found = planted(found, difference=(rows, place, 2e-4), projection=(rows, place, -2e-4))
    clipped = judge(evidence(found)).findings
    assert [(one.what, one.step, one.steps) for one in clipped] == [("gradient_scale", 4, 10)]
    first, second = judge(evidence(_scaled(found, "fc1.weight", 1e-3))).findings
    assert (first.what, first.tensor, first.step) == ("gradient_scale", "fc1.weight", 1)
    assert second.said == "every gradient is longer or shorter in 10 steps, as clipping makes it"
    # Other examples turn the gradients: not all of the difference lies along them.
    found = planted(found, projection=(rows, column("conv1.weight", G), 1e-4))
    assert _first(found).what == "data"


@pytest.mark.parametrize("share", [1e-4, 0.1])
def test_a_part_that_is_scaled_under_a_clipped_norm_is_named_and_not_the_rest(share: float) -> None:
    """Gradients (1 + share) g of one tensor and g of the rest, all divided by their new norm over the old."""
    found, part = table(9), "fc1.weight"
    # The part is the larger share of the norm, so that the rest is what moves most.
    longer = np.sqrt(0.3 + 0.7 * (1 + share) ** 2)
    for name in LAYERS:
        moved = ((1 + share) if name == part else 1) / longer - 1
        place = column(name, G)
        found = planted(found, difference=(ALL, place, abs(moved)), projection=(ALL, place, moved))
    first, second = judge(evidence(found)).findings
    assert (first.what, first.tensors, first.step, first.steps) == ("gradient_scale", (part,), 1, STEPS)
    assert first.factor == pytest.approx(1 + share, rel=1e-9)
    assert second.factor == pytest.approx(1 / longer, rel=1e-9)
    assert abs(second.factor - 1) > abs((1 + share) / longer - 1)


@pytest.mark.parametrize("part", [("conv1.weight",), LAYERS[1:]])
def test_steps_whose_norm_is_not_clipped_tell_which_part_is_scaled(part: tuple[str, ...]) -> None:
    """In three steps of four the norm is at its bound, and what is scaled makes the rest shorter; in the others not."""
    found, free = table(9), np.arange(STEPS) % 4 == 0
    gradients = [column(name, G) for name in LAYERS]
    # Of the norm the part has 0.9, so that in clipped steps it moves less than the rest.
    for name in LAYERS:
        of_norm = np.sqrt((0.9 if name in part else 0.1) / (len(part) if name in part else len(LAYERS) - len(part)))
        found = planted(found, size=(ALL, column(name, G), of_norm))
    found = planted(found, size=(np.ix_(free, gradients)[0], gradients, found.size[free][:, gradients] * 0.5))
    longer = np.sqrt(0.1 + 0.9 * 1.001**2)
    for name in LAYERS:
        place, scaled = column(name, G), 1.001 if name in part else 1.0
        each = np.where(free, scaled, scaled / longer) - 1
        size = found.size[:, place]
        # What does not move is off by rounding.
        difference = np.maximum(np.abs(each) * size, found.difference[:, place] * size)
        found = planted(found, difference=(ALL, place, difference), projection=(ALL, place, each * size**2))
    first = judge(evidence(found)).findings[0]
    assert first.what == "gradient_scale"
    assert (set(first.tensors), first.step, first.steps) == (set(part), 1, STEPS)
    assert first.factor == pytest.approx(1.001, rel=1e-6)


def test_a_loss_that_differs_while_all_gradients_agree_alters_no_training() -> None:
    assert judge(evidence(planted(table(9), difference=(ALL, 0, 0.1)))).answer == "same_up_to_rounding"


@pytest.mark.parametrize(
    ("mismatch", "what", "step"),
    [
        ((9, "hyper-parameter", "group 0, lr", "0.1", "0.05"), "schedule", 9),
        ((1, "hyper-parameter", "group 0, eps", "1e-08", "1e-07"), "optimizer", 1),
        ((3, "counter", "conv1.weight.step", "3", "2"), "counter", 3),
        ((0, "initial weights", "conv1.weight", "a", "b"), "initial_weights", 0),
        ((21, "length", "", "went on", "ended at step 20"), "length", 21),
    ],
)
def test_settings_counters_and_the_length_are_named_from_the_step_on(mismatch: tuple, what: str, step: int) -> None:
    found = table(9, mismatches=[mismatch])
    if what != "length":
        found = planted(found, worst=(slice(max(step, 1) - 1, None), column("fc1.weight", W), 1e4))
    first = _first(found)
    assert (first.what, first.step) == (what, step)
    if what == "length":
        assert first.said == "the reference went on and the candidate ended at step 20"


@pytest.mark.parametrize(
    "mismatch",
    [
        (1, "hyper-parameter", "group 0, foreach", "None", "True"),
        (1, "hyper-parameter", "group 0, lr", "0.1", "0.10000000149011612"),
        (1, "generator", "torch", "a", "b"),
    ],
)
def test_how_an_update_is_computed_and_extra_draws_are_no_finding(mismatch: tuple) -> None:
    assert judge(evidence(table(9, mismatches=[mismatch]))).answer == "same_up_to_rounding"


def test_a_lost_bias_correction_is_known_by_how_it_fades() -> None:
    place, t = column("fc1.weight", W), np.arange(1, STEPS + 1)
    factor = (1 - 0.9**t) / np.sqrt(1 - 0.999**t) - 1
    fading = 2.16 * 0.8**t
    found = planted(table(9), bias=(ALL, place, fading), worst=(ALL, place, 1e5 * fading))
    assert factor[0] > 2
    first = _first(planted(found, difference=(ALL, place, np.abs(fading) * 1e-2)))
    assert (first.what, first.tensor, first.step) == ("optimizer", "fc1.weight", 1)
    assert "as without bias correction" in first.said


def test_weight_decay_lies_along_the_weight() -> None:
    place = column("fc1.bias", W)
    found = planted(table(9), worst=(ALL, place, 500.0), difference=(ALL, place, 1e-4), projection=(ALL, place, -1e-4))
    first = _first(found)
    assert (first.what, first.tensor) == ("optimizer", "fc1.bias")
    assert (
        first.said
        == "the update of biases alone differs by -0.0001 times the weight itself in a step, as by another weight decay"
    )


def test_another_epsilon_is_an_update_that_differs_by_element() -> None:
    first = _first(planted(table(9), worst=(30, column("fc2.weight", W), 300.0)))
    assert (first.what, first.tensor, first.step, first.steps) == ("optimizer", "fc2.weight", 31, 1)
    assert "another epsilon or formula" in first.said


def test_a_state_that_differs_comes_before_the_weights_that_it_moves() -> None:
    found = planted(table(9), worst=(slice(4, None), column("fc1.weight", W), 1e4))
    found = planted(found, worst=(slice(4, None), column("fc1.weight.exp_avg_sq", S), 1e4))
    first = _first(found)
    assert first.tensor == "fc1.weight.exp_avg_sq"
    assert first.said == "the optimizer's exp_avg_sq is another after a step from equal gradients"


def test_a_copy_that_misses_an_update_and_a_buffer_with_another_momentum() -> None:
    place = column("ema.fc1.weight", Role.COPY)
    copy = _first(planted(table(9), worst=(11, place, 1e5), bias=(11, place, -1.0)))
    assert (copy.what, copy.step, copy.steps) == ("copy", 12, 1)
    assert copy.said == "it was not updated, or its update came too late"
    buffer = _first(planted(table(9), difference=(ALL, column("bn.running_var", Role.BUFFER), 1e-4)))
    assert (buffer.what, buffer.tensor) == ("buffer", "bn.running_var")


def _coarser(share: float = 0.0):
    found = table(9)
    draw = np.random.default_rng(3)
    for name in LAYERS:
        found = planted(found, difference=(ALL, column(name, G), draw.uniform(2e-3, 4e-3, STEPS)))
        found = planted(found, projection=(ALL, column(name, G), draw.normal(share, 1e-3, STEPS)))
    return found


def _moved(ratio: float):
    return table(20), planted(table(20), difference=(ALL, ALL, table(20).difference * ratio))


def test_another_arithmetic_is_known_by_its_staircase_and_a_defect_is_found_inside_it() -> None:
    assert staircase_needed(evidence(_coarser()))
    assert not staircase_needed(evidence(_scaled(table(9), "fc1.weight", 0.1)))
    judgement = judge(evidence(_coarser(), staircase=_moved(20.0)))
    assert (judgement.answer, judgement.staircase) == ("other_arithmetic", pytest.approx(20.0))
    assert judge(evidence(_coarser(), staircase=_moved(1.4))).answer == "different"
    hidden = _first(_coarser(0.05), staircase=_moved(20.0))
    assert hidden.what == "gradient_scale"
    assert hidden.factor == pytest.approx(1.05, abs=0.005)


def test_a_gradient_that_is_not_finite_and_one_that_is_missing_are_found() -> None:
    place = column("fc1.bias", G)
    found = planted(table(9), difference=(5, place, np.nan), projection=(5, place, np.nan))
    assert (_first(found).tensor, _first(found).step) == ("fc1.bias", 6)
    fewer = [at for at, one in enumerate(TENSORS) if (one.name, one.role) != ("fc1.bias", G)]
    arrays = {name: getattr(table(9), name)[:, fewer] for name in ("difference", "projection", "size", "change")}
    arrays |= {name: getattr(table(9), name)[:, fewer] for name in ("worst", "bias", "unequal")}
    cut = type(found)(tensors=tuple(TENSORS[at] for at in fewer), steps=table(9).steps, **arrays)
    assert _first(cut).said == "has no gradient where the reference has one"


def test_what_a_study_keeps_gives_the_same_evidence() -> None:
    found = evidence(_coarser(), staircase=_moved(20.0))
    again = Evidence.from_kept(found.arrays(), found.told())
    np.testing.assert_array_equal(again.units, found.units)
    assert judge(again) == judge(found)


def test_a_switch_that_no_update_feels_is_no_defect():
    mismatches = [(step, "hyper-parameter", "group 0, decoupled_weight_decay", "True", "False") for step in (1, 2)]
    alike = evidence(table(3, mismatches=mismatches))
    assert judge(alike).answer == "same_up_to_rounding"
    (nature,) = by_nature(alike, ())
    assert nature.what.startswith("group 0, decoupled_weight_decay is True in the reference and False in the candidate")
    place = column("fc1.weight", Role.WEIGHT)
    felt = evidence(planted(table(3, mismatches=mismatches), worst=(4, place, 1e4)))
    assert judge(felt).answer == "different"
    assert judge(felt).findings[0].said == "True in the reference, False in the candidate"
    assert not by_nature(felt, judge(felt).findings)


@pytest.mark.parametrize(("share", "answer"), [(4e-6, "same_up_to_rounding"), (8e-6, "different")])
def test_an_average_may_round_its_decay(share, answer):
    place = column("ema.fc1.weight", Role.COPY)
    copy = table(3)
    copy = planted(copy, bias=(slice(None), place, share), change=(slice(None), place, 0.01))
    assert judge(evidence(copy)).answer == answer  # 2^-24 |a| / |update| = 6e-6


def test_a_rounded_decay_moves_an_average_by_as_much_as_it_may():
    """Two ways to write one average, of weights that move as an SGD's do."""
    draw = np.random.default_rng(4)
    weights = np.cumsum(draw.normal(0, 1e-3, (400, 500)), axis=0) + draw.normal(0, 1, 500)
    shares = []
    mean = weights[0].astype(np.float32)
    for w in weights[1:].astype(np.float32):
        one = np.float32(0.999) * mean + np.float32(1 - 0.999) * w
        other = mean + (w - mean) * np.float32(1 - 0.999)
        step = (other - mean).astype(np.float64)
        difference = one.astype(np.float64) - other
        allowed = 2.0**-24 * np.linalg.norm(mean) / np.linalg.norm(step)
        shares.append((difference @ step) / (step @ step))
        assert abs(shares[-1]) < allowed
        mean = other
    assert abs(np.median(shares)) > LIMITS.update_bias
