import math

import numpy as np
import pytest
import torch
from recording import Memory, result, train
from small_trainings import IMAGES, LABELS, Net, bits, make_task, outside
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.core.status import RunStatus
from lastbit.perturb.base import Identity
from lastbit.store import RunFiles
from lastbit.tasks import Task
from lastbit.tasks.metric import ACCURACY, MSE, Metric
from lastbit.tasks.reading import UnreadableExample
from lastbit.train.tree import pack, unpack
from lastbit.train.weighed import weighed

NAMES = [name for name, _ in Net().named_parameters()]


def test_a_run_reports_what_it_did():
    seen = []
    outcome, recorder = train(on_step=seen.append)
    assert outcome.status == RunStatus.OK
    assert outcome.message == ""
    assert outcome.seconds > 0
    assert outcome.steps == (5, 10)
    assert seen == list(range(1, 11))
    assert {len(values) for values in outcome.metrics.values()} == {2}
    arrays = recorder.arrays_
    of_tensors = {f"{what}_{part}" for what in ("weights", "buffers") for part in ("name", "size", "format")}
    digests = {"weights_first_digest", "weights_final_digest", "buffers_final_digest"}
    assert arrays.keys() == {*of_tensors, *digests, "losses", "per_example", "predictions"}
    assert arrays["losses"].shape == (10,)
    means = arrays["losses"].reshape(2, 5).mean(1)
    assert outcome.metrics["train_loss"] == pytest.approx(means, rel=1e-12)  # float64 sums of five
    right = np.unpackbits(arrays["per_example"])[:20]
    assert np.array_equal(arrays["predictions"] == LABELS[:20].numpy(), right.astype(bool))
    assert arrays["predictions"].dtype == np.uint8
    assert outcome.metrics["accuracy"][-1] == 100 * right.mean()
    assert arrays["weights_first_digest"].shape == arrays["weights_final_digest"].shape == (len(NAMES), 32)
    assert (arrays["weights_first_digest"] != arrays["weights_final_digest"]).any(axis=1).all()
    assert arrays["weights_name"].tolist() == NAMES
    assert set(arrays["weights_format"].tolist()) == {"float32"}


def test_the_first_weights_are_those_after_one_step():
    _, one = train(make_task(schedule="constant"))
    _, other = train(make_task(schedule="constant", train=(IMAGES[:8], LABELS[:8]), epochs=1))
    assert bits(one.arrays_["weights_first_digest"]) != bits(one.arrays_["weights_final_digest"])
    assert bits(other.arrays_["weights_first_digest"]) == bits(other.arrays_["weights_final_digest"])


def test_a_repeat_is_equal_and_a_perturbed_twin_is_not(odd_settings):
    before = outside()
    base, again = train(perturbation=Identity()), train(perturbation=Identity())
    assert result(*base) == result(*again)
    assert result(*train()) != result(*base)
    assert outside() == before


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", [1, 2, 5, 7, 10])
def test_a_run_that_was_stopped_continues_to_the_same_bits(folder, die_at, after):
    whole = result(*train(recorder=Memory(folder.files("whole")), checkpoint_seconds=0))
    assert whole == result(*train())  # writing checkpoints changes nothing
    files = folder.files("cut")
    with pytest.raises(KeyboardInterrupt):
        train(recorder=Memory(files, die_at, after), checkpoint_seconds=0)
    position = die_at - (not after)
    seen = []
    outcome, recorder = train(recorder=Memory(files), checkpoint_seconds=0, on_step=seen.append)
    assert seen == list(range(position + 1, 11))  # what was kept is not trained again
    assert result(outcome, recorder) == whole


def test_a_run_stopped_at_every_checkpoint_ends_all_the_same(folder):
    whole = result(*train())
    files = folder.files("cut")
    for _ in range(10):
        with pytest.raises(KeyboardInterrupt):
            train(recorder=Memory(files, die_at=1), checkpoint_seconds=0)
    tensors, facts = files.load_checkpoint()
    spent = unpack(facts["progress"], tensors)["spent"]
    outcome, recorder = train(recorder=Memory(files))
    assert result(outcome, recorder) == whole
    assert outcome.seconds > spent  # the time of every part counts


def test_an_interrupt_between_checkpoints_costs_the_steps_since(folder):
    whole = result(*train())
    files = folder.files("cut")

    def stop(position):
        if position == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recorder=Memory(files), checkpoint_seconds=0, on_step=stop)
    assert result(*train(recorder=RunFilesMemory(files))) == whole


class RunFilesMemory(Memory):
    """Writes the arrays to disk as well, and reads them back from there."""

    def arrays(self, arrays):
        self.files.arrays(arrays)
        self.arrays_ = self.files.load_arrays()


def test_no_checkpoint_is_written_before_its_time():
    _, recorder = train(checkpoint_seconds=1000)
    assert recorder.count == 0


def test_a_damaged_checkpoint_starts_the_run_anew(folder):
    files = folder.files("cut")
    with pytest.raises(KeyboardInterrupt):
        train(recorder=Memory(files, die_at=4), checkpoint_seconds=0)
    files.checkpoint_path.write_bytes(files.checkpoint_path.read_bytes()[:-9])
    seen = []
    outcome, recorder = train(recorder=Memory(files), on_step=seen.append)
    assert seen[0] == 1
    assert result(outcome, recorder) == result(*train())


def test_an_interrupt_leaves_the_caller_as_it_was(odd_settings):
    before = outside()
    with pytest.raises(KeyboardInterrupt):
        train(recorder=Memory(die_at=2), checkpoint_seconds=0)
    assert outside() == before


class Exploding(Net):
    """Its output is `what` from the forward pass numbered `at` on."""

    def __init__(self, at, what):
        super().__init__()
        self.at, self.what, self.calls = at, what, 0

    def forward(self, images):
        self.calls += self.training
        outputs = super().forward(images)
        return outputs * self.what if self.training and self.calls >= self.at else outputs


@pytest.mark.parametrize("at", [1, 3, 5, 6, 10])
@pytest.mark.parametrize("what", [math.nan, math.inf])
def test_divergence_is_a_result_with_its_first_step(at, what):
    outcome, recorder = train(make_task(model=lambda: Exploding(at, what), epochs=3))
    assert outcome.status == RunStatus.DIVERGED
    assert outcome.message == f"the training loss is not finite from step {at} on"
    assert outcome.steps == tuple(range(5, 5 * -(-at // 5) + 1, 5))  # stopped at the end of that epoch
    losses = recorder.arrays_["losses"]
    assert np.isfinite(losses[: at - 1]).all()
    assert not np.isfinite(losses[at - 1])
    assert not math.isfinite(outcome.metrics["train_loss"][-1])


def test_weights_that_overflow_in_the_last_step_are_a_divergence():
    # The last batch's gradient is finite, and the step that follows from it is not: no loss shows it.
    task = make_task(
        optimizer=lambda params: torch.optim.SGD(params, lr=1e-3),
        schedule=lambda o, total: torch.optim.lr_scheduler.LambdaLR(o, lambda s: math.inf if s == total - 1 else 1.0),
    )
    outcome, _ = train(task, perturbation=Identity())
    assert outcome.status == RunStatus.DIVERGED
    assert outcome.message == "weights are not finite at the end"


def test_what_the_task_raises_comes_out_as_it_is_and_a_dataset_with_the_example():
    class Broken(torch.utils.data.Dataset):
        def __len__(self):
            return 16

        def __getitem__(self, index):
            raise RuntimeError("no data")

    def broken(outputs, targets):
        raise RuntimeError("no loss")

    with pytest.raises(RuntimeError, match="no loss"):
        train(make_task(loss=broken))
    with pytest.raises(UnreadableExample, match=r"^train example \d+: RuntimeError: no data \(test_run_training.py"):
        train(make_task(train=Broken()))
    with pytest.raises(LastbitError, match="batch size 99"):
        train(make_task(batch_size=99))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_formats_run_and_resume(folder, dtype):
    whole = result(*train(dtype=dtype))
    files = folder.files("cut")
    with pytest.raises(KeyboardInterrupt):
        train(recorder=Memory(files, die_at=6), checkpoint_seconds=0, dtype=dtype)
    assert result(*train(recorder=Memory(files), dtype=dtype)) == whole
    assert whole[0] == RunStatus.OK
    _, recorder = train(dtype=dtype)
    assert set(recorder.arrays_["weights_format"].tolist()) == {str(dtype).removeprefix("torch.")}


def test_a_regression_has_float_scores_and_no_predictions():
    targets = IMAGES.flatten(1)[:, :3]
    outcome, recorder = train(
        make_task(train=(IMAGES, targets), test=(IMAGES[:20], targets[:20]), loss=nn.functional.mse_loss, metric=MSE)
    )
    assert "predictions" not in recorder.arrays_
    assert recorder.arrays_["per_example"].dtype == np.float32
    assert outcome.metrics["mse"][-1] == pytest.approx(recorder.arrays_["per_example"].mean(dtype=float), rel=1e-12)
    assert outcome.metrics.keys() == {"train_loss", "test_loss", "mse"}


@pytest.mark.parametrize("shift", [-1, 0, 300])
def test_predictions_of_any_integers_are_kept(shift):
    task = make_task(
        metric=Metric(name="right", per_example=lambda out, y: out.argmax(1) == y),
        predict=lambda out: out.argmax(1) + shift,
    )
    plain = train()[1].arrays_["predictions"].astype(int)
    assert train(task)[1].arrays_["predictions"].astype(int).tolist() == (plain + shift).tolist()


class Pictures(torch.utils.data.Dataset):
    """A user's own data set: items, a Python integer as the label."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return IMAGES[index], int(LABELS[index])


def test_a_users_task_of_data_sets_and_loaders(folder):
    loader = torch.utils.data.DataLoader(Pictures(20), batch_size=3)
    task = Task(
        name="mine",
        model=Net,
        train=Pictures(44),
        test=loader,
        metric=ACCURACY,
        epochs=2,
        batch_size=8,
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3),
    )
    tensors = Task(
        name="mine",
        model=Net,
        train=(IMAGES, LABELS),
        test=(IMAGES[:20], LABELS[:20]),
        epochs=2,
        batch_size=8,
        optimizer=lambda params: torch.optim.Adam(params, lr=1e-3),
    )
    whole = result(*train(task))
    assert whole == result(*train(tensors))
    files: RunFiles = folder.files("cut")
    with pytest.raises(KeyboardInterrupt):
        train(task, recorder=Memory(files, die_at=3), checkpoint_seconds=0)
    assert result(*train(task, recorder=Memory(files))) == whole


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_checkpoint_that_holds_weights_as_before_is_gone_on_from(folder, dtype):
    fields = {"validation": (IMAGES[20:40], LABELS[20:40]), "select": "best", "epochs": 4}
    whole, files, seen = result(*train(make_task(**fields), dtype=dtype)), folder.files("cut"), {}

    def weigh(when, weights, buffers):
        flat = torch.cat([weight.float().reshape(-1) for weight in weights.values()])
        seen[when] = (
            flat.clone(),
            torch.cat([buffer.double().reshape(-1) for buffer in buffers.values()] or [torch.empty(0)]),
        )
        return weighed(when, weights, buffers)

    with pytest.raises(KeyboardInterrupt):
        train(make_task(**fields), recorder=Memory(files, die_at=12), checkpoint_seconds=0, dtype=dtype, weigh=weigh)
    tensors, facts = files.load_checkpoint()
    progress = unpack(facts["progress"], tensors)
    kept = {name: array for name, array in progress["kept"].items() if not name.startswith(("weights_", "buffers_"))}
    final, buffers = (one.numpy() for one in seen["final"])
    kept |= {"weights_final": final, "buffers_final": buffers}
    tensors |= {"weights_first": seen["first"][0]}
    former = {**facts, "form": 2, "progress": pack({**progress, "kept": kept}, "former", tensors)}
    files.save_checkpoint(tensors, {name: fact for name, fact in former.items() if name != "first"})
    taken = []
    found = train(make_task(**fields), recorder=Memory(files), dtype=dtype, on_step=taken.append)
    assert taken[0] == 13
    assert result(*found) == whole
