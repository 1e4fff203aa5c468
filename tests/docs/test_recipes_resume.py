"""A run of a recipe that is killed goes on with the same bits, whatever its step keeps."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes import recipes
from torch import nn

from lastbit import MSE, Task
from lastbit.core.recorder import Recorder
from lastbit.perturb.registry import make_perturbation
from lastbit.store import StudyFolder
from lastbit.tasks.file_task import load_file_task
from lastbit.train.random_streams import streams
from lastbit.train.run import run_training


class Killed(Recorder):
    """Keeps what a run reports, and ends it at a checkpoint."""

    def __init__(self, files=None, at=None):
        self.files, self.left, self.found = files, at, {}

    def arrays(self, arrays):
        self.found = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}

    def save_checkpoint(self, tensors, facts):
        if self.files is not None:
            self.files.save_checkpoint(tensors, facts)
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def load_checkpoint(self):
        return self.files.load_checkpoint() if self.files is not None else None


def train(task, perturb, recorder):
    """Everything that a run says, and the steps that it took."""
    taken = []
    outcome = run_training(
        task,
        streams(0),
        make_perturbation(perturb, 1),
        device=torch.device("cpu"),
        recorder=recorder,
        checkpoint_seconds=0,
        on_step=taken.append,
    )
    metrics = {name: np.array(values).tobytes() for name, values in outcome.metrics.items()}
    return (outcome.status, outcome.steps, outcome.selected, metrics, recorder.found), taken


@pytest.fixture
def folder(tmp_path):
    with StudyFolder.create(tmp_path / "study", {}) as study:
        yield study


def check_kills(task, perturb, folder, kills):
    whole, taken = train(task, perturb, Killed())
    for at in kills:
        files = folder.files(f"cut{at}")
        with pytest.raises(KeyboardInterrupt):
            train(task, perturb, Killed(files, at))
        again, left = train(task, perturb, Killed(files))
        assert again == whole
        assert len(taken) - at - 2 <= len(left) < len(taken)  # what was kept is not trained again


@pytest.mark.parametrize("number", [*range(1, 10), pytest.param(10, marks=pytest.mark.slow)])
def test_every_recipe_goes_on_with_the_same_bits(recipe_file, folder, number):
    task = load_file_task(recipe_file(number))
    short = replace(task, epochs=5 if task.steps_per_epoch == 1 else 2)
    check_kills(short, recipes()[number].perturb, folder, kills=(2, short.total_steps - 2))


def test_early_stopping_goes_on_with_its_best_network(recipe_file, folder):
    task = replace(load_file_task(recipe_file(9)), epochs=20)
    whole, taken = train(task, "rescale", Killed())
    assert whole[2] is not None
    assert len(taken) < task.total_steps  # it ends early
    after_the_best = whole[2] + 3
    assert after_the_best < len(taken)
    check_kills(task, "rescale", folder, kills=(after_the_best,))


def keeping(state, batch):
    """Steps on every second batch, by gradients that two batches left, with noise and a running mean of the loss."""
    inputs, targets = batch
    loss = nn.functional.mse_loss(state.model(inputs), targets)
    loss.backward()
    mean = state.kept.get("mean", torch.zeros(()))
    state.kept["mean"] = 0.9 * mean + 0.1 * loss.detach()
    state.kept.setdefault("seen", []).append(state.step)
    if state.step % 2:
        for parameter in state.model.parameters():
            parameter.grad += state.kept["mean"] * float(np.random.randn()) * 1e-3  # noqa: NPY002
        state.optimizer.step()
        state.optimizer.zero_grad()
    return loss


@pytest.mark.parametrize("at", [4, 5])
def test_what_a_step_keeps_and_the_gradients_it_leaves_are_remembered(folder, at):
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    y = x.sum(1, keepdim=True)
    task = Task(
        name="keeping",
        model=lambda: nn.Linear(3, 1),
        train=(x, y),
        test=(x, y),
        metric=MSE,
        step=keeping,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        epochs=3,
        batch_size=16,
    )
    check_kills(task, "rescale", folder, kills=(at,))
