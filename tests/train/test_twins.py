"""Twins in lock step are the runs that each would be alone, whatever is looked at between their steps."""

from dataclasses import replace

import pytest
import torch
from small_trainings import CPU, bits, finish, make_task, make_training, outside

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import stream_seed
from lastbit.perturb.registry import make_perturbation
from lastbit.train.twins import TwinPlan, lock_step


def twins_of(task=None, base=None, dtype=torch.float32, **plan):
    return lock_step(task or make_task(), TwinPlan(**plan), device=CPU, dtype=dtype, base=base)


def bits_of(training):
    return [bits(x) for x in (*training.trained().values(), *training.model.buffers(), torch.stack(training.losses))]


@pytest.mark.parametrize("perturb", ["rescale", "ulp", "rounding"])
def test_each_run_is_bit_for_bit_what_it_is_alone(perturb):
    before = outside()
    with twins_of(twins=2, perturb=perturb, seed=4) as twins:
        for to in (1, 2, 5, 10):
            twins.advance(to)
            with twins.base.active():  # a look in between draws nothing from the runs
                twins.base.evaluate()
        together = [bits_of(training) for training in twins.trainings]
        assert twins.position == twins.total == 10
    assert outside() == before
    seed = stream_seed(4, "perturbation")
    kinds = [make_perturbation(perturb, index, seed=seed) for index in (0, 0, 1, 2)]
    alone = [make_training(seed=4, perturbation=kind) for kind in kinds]
    for training in alone:
        finish(training)
    assert together == [bits_of(training) for training in alone]
    assert together[0] == together[1]
    assert len({together[0][0], together[2][0], together[3][0]}) == 3
    assert twins.labels == ("base", "repeat", kinds[2].label, kinds[3].label)


def test_twins_are_equal_at_the_branch_and_part_after_it():
    straight = make_training()
    finish(straight, 6)
    with twins_of(twins=1, from_step=6) as twins:
        assert (twins.start, twins.position) == (6, 6)
        assert len({str(bits_of(training)) for training in (straight, *twins.trainings)}) == 1
        twins.advance(7)
        base, repeat, twin = map(bits_of, twins.trainings)
        assert base == repeat != twin
        finish(straight, 1)
        assert base == bits_of(straight)


def test_a_watched_base_trains_beside_the_others():
    seen = []
    task = make_task()

    def loss(outputs, targets):
        seen.append(len(targets))
        return task.loss(outputs, targets)

    with twins_of(task, base=replace(task, loss=loss), twins=1) as twins:
        twins.advance(3)
        assert len(seen) == 3
        assert bits_of(twins.base) == bits_of(twins.trainings[1])


def test_without_twins_there_is_no_repeat_and_a_plan_may_end_early():
    with twins_of(twins=0, steps=4) as twins:
        assert (twins.labels, len(twins.trainings), twins.total) == (("base",), 1, 4)
    with twins_of(twins=1, steps=400) as twins:
        assert twins.total == 10


def test_perturbations_are_gone_afterwards_even_where_the_caller_raised():
    optimizers = []

    def leave_early():
        with twins_of(twins=1) as twins:
            optimizers.extend(training.optimizer for training in twins.trainings)
            assert hooks(2) == 1
            raise RuntimeError("looked too closely")

    def hooks(run):
        return len(optimizers[run]._optimizer_step_post_hooks)

    with pytest.raises(RuntimeError, match="looked too closely"):
        leave_early()
    assert [hooks(0), hooks(2)] == [0, 0]


def test_a_branch_that_no_twin_could_leave_is_refused():
    with pytest.raises(LastbitError, match="write at most 9"), twins_of(twins=1, from_step=10):
        pass
    explosive = make_task(optimizer=lambda params: torch.optim.SGD(params, lr=1e30), schedule=None)
    with pytest.raises(LastbitError, match="not finite there"), twins_of(explosive, twins=1, from_step=6):
        pass
