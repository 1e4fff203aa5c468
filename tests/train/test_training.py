import math
import random
import warnings

import numpy as np
import pytest
import torch
from small_trainings import (
    CPU,
    IMAGES,
    LABELS,
    OPTIMIZERS,
    Net,
    bits,
    finish,
    make_task,
    make_training,
    outside,
    snapshot,
)
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.perturb.base import Identity
from lastbit.perturb.registry import PERTURBATIONS, make_perturbation
from lastbit.perturb.rescale import Rescale
from lastbit.perturb.stochastic_rounding import StochasticRounding
from lastbit.store import RunFiles, StudyFolder
from lastbit.tasks.metric import MSE
from lastbit.train.random_streams import streams
from lastbit.train.run import step_seconds
from lastbit.train.training import Training


@pytest.fixture(scope="module")
def reference():
    """The end of the default training."""
    return finish(make_training())


def test_the_same_arguments_give_the_same_bits(reference):
    assert finish(make_training()) == reference
    assert finish(make_training(seed=1)) != reference


def test_what_ran_before_makes_no_difference(reference, odd_settings):
    finish(make_training(seed=3), 4)
    torch.rand(17)
    np.random.rand(5)  # noqa: NPY002
    random.random()
    nn.Linear(3, 3)
    assert finish(make_training()) == reference


def test_the_callers_settings_are_left_untouched(odd_settings):
    before = outside()
    training = make_training()
    assert outside() == before
    finish(training, 6)
    assert outside() == before
    with training.active():
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert torch.get_float32_matmul_precision() == "highest"
    assert outside() == before
    training.close()
    step_seconds(make_task(), device=CPU, dtype=torch.float32, budget=0.01)
    assert outside() == before


def test_the_callers_settings_come_back_after_an_error(odd_settings):
    before = outside()

    def failing():
        torch.rand(3)
        raise RuntimeError("no network today")

    with pytest.raises(RuntimeError, match="no network today"):
        make_training(make_task(model=failing))
    assert outside() == before
    training = make_training()

    def step_and_fail():
        with training.active():
            training.step()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step_and_fail()
    assert outside() == before


def test_two_trainings_stepped_in_turns_equal_two_stepped_alone(reference):
    one, two = make_training(), make_training(seed=1, perturbation=StochasticRounding(seed=4))
    alone = finish(make_training(seed=1, perturbation=StochasticRounding(seed=4)))
    for _ in range(one.total_steps):
        for training in (one, two):
            with training.active():
                training.step()
    for training, expected in ((one, reference), (two, alone)):
        with training.active():
            assert snapshot(training) == expected


def test_a_training_inside_another_leaves_both_as_they_are(reference):
    outer, inner = make_training(), make_training()
    with outer.active():
        for _ in range(3):
            outer.step()
            with inner.active():
                inner.step()
    assert finish(outer) == reference
    assert finish(inner) == reference


class Fickle(Net):
    """Draws and counts in evaluation too, and keeps one child in a mode of its own."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("hidden", torch.zeros(1), persistent=False)
        self.frozen = nn.BatchNorm2d(1)

    def forward(self, images):
        self.frozen.eval()
        self.calls += 1
        self.hidden += 1
        noise = float(np.random.rand()) + random.random()  # noqa: NPY002
        return super().forward(self.frozen(images)) * (1 + 0.01 * noise * torch.rand(1) + 0.01 * self.hidden)


@pytest.mark.parametrize("model", [Net, Fickle])
def test_evaluation_leaves_everything_bit_for_bit(model):
    plain, measured = make_training(make_task(model=model)), make_training(make_task(model=model))
    with measured.active():
        for _ in range(measured.total_steps):
            modes = [module.training for module in measured.model.modules()]
            before = snapshot(measured), bits(measured.buffers())
            first, second = measured.evaluate(), measured.evaluate()
            assert (first.loss, first.metric) == (second.loss, second.metric)
            assert (snapshot(measured), bits(measured.buffers())) == before
            assert [module.training for module in measured.model.modules()] == modes
            measured.step()
        end = snapshot(measured)
    assert end == finish(plain)


def test_evaluation_comes_back_from_an_error():
    training = make_training()
    with training.active():
        training.step()
        before = snapshot(training)
        handle = training.model.head.register_forward_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            training.evaluate()
        handle.remove()
        assert training.model.training
        assert snapshot(training) == before


def test_evaluation_measures_what_it_says():
    training = make_training()
    finish(training, 3)
    found = training.evaluate()
    training.model.eval()
    with torch.no_grad():
        outputs = training.model(IMAGES[:20])
    loss = float(nn.functional.cross_entropy(outputs.double(), LABELS[:20]))
    assert found.loss == pytest.approx(loss, rel=1e-6)  # float32 sums of 20 terms
    right = (outputs.argmax(1) == LABELS[:20]).numpy()
    assert found.tallies[0].scores.dtype == bool
    assert np.array_equal(found.tallies[0].scores, right)
    assert found.metric == pytest.approx(100 * right.mean(), rel=1e-12)
    assert np.array_equal(found.predictions_N, outputs.argmax(1).numpy())


def test_evaluation_in_several_batches_weighs_them_by_their_size(monkeypatch):
    training = make_training()
    whole = training.evaluate()
    monkeypatch.setattr("lastbit.train.training._EVALUATION_BATCH", 8)  # 8 + 8 + 4
    parts = training.evaluate()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.metric == whole.metric


def test_twins_share_their_dropout_masks():
    """A perturbed run sees the masks, the batches and the crops of its base, though its weights differ."""
    masks = {}

    def watched(k):
        training = make_training(perturbation=Rescale(k=k))
        masks[k] = []
        training.model.drop.register_forward_hook(lambda module, args, out: masks[k].append(bits(out == 0)))
        training.model.drop.register_forward_pre_hook(lambda module, args: (args[0] + 1,))  # no zeros of its own
        return finish(training)

    assert watched(1) != watched(3)
    assert masks[1] == masks[3]
    assert len(set(masks[1])) == len(masks[1]) == 10


def test_no_step_draws_from_the_clock_or_the_weights():
    """Twin of the control: the exact repeat, in the hardest setting, with every perturbation."""
    for kind in PERTURBATIONS:
        task = make_task(model=lambda: Net(dropout=0.0))
        ends = [finish(make_training(task, perturbation=make_perturbation(kind, 1))) for _ in range(2)]
        assert ends[0] == ends[1], kind


def check_continues_everywhere(make, path):
    """Continue from a checkpoint at every step index, in a new training, through a file; compare with the end."""
    whole = make()
    folder = StudyFolder.create(path, {})
    with folder, whole.active():
        for position in range(whole.total_steps + 1):
            folder.files(f"at{position}").save_checkpoint(*whole.state())
            if position < whole.total_steps:
                whole.step()
        end = snapshot(whole)
    for position in range(whole.total_steps + 1):
        again = make()
        checkpoint = RunFiles(path, f"at{position}").load_checkpoint()
        with again.active():
            again.restore(checkpoint)
            assert again.position == position
            while again.position < again.total_steps:
                again.step()
            assert snapshot(again) == end, position
            assert [bits(loss) for loss in again.losses] == [bits(loss) for loss in whole.losses]


@pytest.mark.parametrize("schedule", ["linear", "cosine", "step"])
def test_a_checkpoint_at_any_step_continues_bit_for_bit(tmp_path, schedule):
    check_continues_everywhere(lambda: make_training(make_task(schedule=schedule)), tmp_path)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_continues_bit_for_bit(tmp_path, optimizer):
    task = make_task(optimizer=OPTIMIZERS[optimizer], schedule="linear")
    check_continues_everywhere(lambda: make_training(task, perturbation=Rescale(k=3)), tmp_path)


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_every_perturbation_continues_bit_for_bit(tmp_path, kind):
    task = make_task(model=lambda: Net(dropout=0.0))  # reordering refuses dropout
    check_continues_everywhere(lambda: make_training(task, perturbation=make_perturbation(kind, 1)), tmp_path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_formats_continue_bit_for_bit(tmp_path, dtype):
    check_continues_everywhere(lambda: make_training(perturbation=Rescale(k=3), dtype=dtype), tmp_path)


def one_cycle(optimizer, total):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=total + 1)


def chained(optimizer, total):
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3),
        torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[3])


@pytest.mark.parametrize("schedule", [one_cycle, chained])
def test_schedules_of_torch_continue_bit_for_bit(tmp_path, schedule):
    check_continues_everywhere(lambda: make_training(make_task(schedule=schedule)), tmp_path)


def test_draws_and_buffers_outside_the_state_dict_continue(tmp_path):
    check_continues_everywhere(lambda: make_training(make_task(model=Fickle)), tmp_path)


def test_a_state_stays_what_it_was_and_restores_twice(reference):
    training = make_training()
    with training.active():
        for _ in range(4):
            training.step()
        state = training.state()
    assert finish(training) == reference
    for _ in range(2):
        with training.active():
            training.restore(state)
        assert training.position == 4
        assert len(training.losses) == 4
        assert finish(training) == reference


@pytest.mark.parametrize("taken", [0, 3, 4, 5, 10])
@pytest.mark.parametrize("there", [0, 4, 6])
def test_a_state_is_restored_into_a_training_at_any_step_of_any_epoch(reference, taken, there):
    training = make_training()
    with training.active():
        for _ in range(there):
            training.step()
        state = training.state()
    other = make_training()
    with other.active():
        for _ in range(taken):
            other.step()
        other.restore(state)
    assert other.position == there
    assert finish(other) == reference


def test_a_state_that_cannot_be_written_is_said_in_one_line():
    class Odd:
        def __call__(self, step):
            return 1.0

        def __init__(self):
            self.what = object()

    training = make_training(make_task(schedule=lambda o, total: torch.optim.lr_scheduler.LambdaLR(o, Odd())))
    with (
        training.active(),
        pytest.raises(LastbitError, match=r"cannot write state/schedules/optimizer/lr_lambdas/0/what to a che"),
    ):
        training.state()


def test_incomplete_last_batches_are_left_out():
    sizes = []
    training = make_training(make_task(batch_size=10, epochs=3))
    training.model.conv.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    assert (training.steps_per_epoch, training.total_steps) == (4, 12)
    finish(training)
    assert sizes == [10] * 12


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(LastbitError, match=r"batch size 45 exceeds the 44 training examples"):
        make_training(make_task(batch_size=45))


def test_a_step_is_the_step_of_a_plain_loop():
    """The slow twin: the same steps written out, from the same initial weights and in the same order."""
    task = make_task(model=lambda: Net(dropout=0.0), augment=None, augment_draws=0, schedule="linear")
    training = make_training(task)
    twin = Net(dropout=0.0)
    twin.load_state_dict(training.model.state_dict())
    finish(training)
    optimizer = task.optimizer(twin.parameters())
    for step in range(training.total_steps):
        epoch, within = divmod(step, 5)
        generator = torch.Generator().manual_seed(0)
        from lastbit.core.seeds import stream_seed

        generator.manual_seed(stream_seed(streams(0).order, epoch))
        batch = torch.randperm(44, generator=generator)[8 * within : 8 * within + 8]
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 10)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(twin(IMAGES[batch]), LABELS[batch])
        assert bits(loss) == bits(training.losses[step])
        loss.backward()
        optimizer.step()
    assert bits(training.weights()) == bits(torch.cat([p.reshape(-1) for p in twin.parameters()]))
    buffers = torch.cat([b.double().reshape(-1) for b in twin.buffers()])
    assert bits(training.buffers()) == bits(buffers)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_formats(dtype):
    training = make_training(dtype=dtype)
    finish(training, 6)
    assert {p.dtype for p in training.model.parameters()} == {dtype}
    assert training.weights().dtype == (np.float64 if dtype == torch.float64 else np.float32)
    assert all(loss.dtype in (torch.float32, torch.float64) and math.isfinite(loss) for loss in training.losses)
    assert math.isfinite(training.evaluate().loss)
    assert training.buffers().dtype == np.float64


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_regression_has_scores_and_no_predictions(dtype):
    targets = IMAGES.flatten(1)[:, :3]
    task = make_task(train=(IMAGES, targets), test=(IMAGES[:20], targets[:20]), loss=nn.functional.mse_loss, metric=MSE)
    training = make_training(task, dtype=dtype)
    first = training.evaluate()
    finish(training)
    last = training.evaluate()
    assert last.predictions_N is None
    assert last.tallies[0].scores.dtype == np.float32
    assert last.metric == pytest.approx(last.loss, rel=1e-3)  # bfloat16 targets, float32 sums
    assert last.loss < first.loss


class Noisy(torch.utils.data.Dataset):
    """Draws from every global generator when an item is read, as user data sets do."""

    def __len__(self):
        return 20

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.rand(1)  # noqa: NPY002
        return IMAGES[index] + noise, LABELS[index]


def test_a_dataset_that_draws_is_repeated_and_continued(tmp_path, odd_settings):
    task = make_task(train=Noisy(), test=Noisy(), batch_size=10)
    assert finish(make_training(task)) == finish(make_training(task))
    check_continues_everywhere(lambda: make_training(task), tmp_path)


def test_closing_detaches_the_perturbation():
    training = make_training(perturbation=Rescale(k=3))
    plain = make_training()
    training.close()
    assert finish(training)[0]["state/losses"] == finish(plain)[0]["state/losses"]


def test_step_seconds_is_the_time_of_a_step():
    import time

    class Slow(Net):
        def forward(self, images):
            time.sleep(0.02)
            return super().forward(images)

    found = step_seconds(make_task(model=Slow, epochs=1), device=CPU, dtype=torch.float32, budget=0.01)
    assert 0.02 <= found < 1


def test_identity_changes_nothing(reference):
    assert finish(Training(make_task(), streams(0), Identity(), device=CPU, dtype=torch.float32)) == reference
