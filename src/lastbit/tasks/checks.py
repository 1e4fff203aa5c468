"""One batch through every part of a task, so that what does not fit is reported before a study starts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lastbit.core.batches import apply_model, arrived, call_names, pair_of, placed, size_of, tensors_of
from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.core.words import plural
from lastbit.tasks.metric import Tally
from lastbit.tasks.reading import UnreadableExample
from lastbit.tasks.sampling import batches_in_order, batches_of
from lastbit.tasks.split import Split
from lastbit.tasks.stepping import State, make_optimizers, make_schedules, needs_closure

if TYPE_CHECKING:
    from lastbit.tasks.task import Task

__all__ = ["check_schedules", "check_task", "forward", "too_few"]


def check_task(task: Task) -> None:
    """Run one batch of `task` through all its parts (see `Task.check`)."""
    with LentGenerators(0).active():
        with _in_one_line("the sampler", but=LastbitError):
            steps = task.steps_per_epoch
        if steps == 0:
            raise LastbitError(too_few(task))
        for split in (task.train, task.test, task.validation):
            if split is not None:
                split.check()
        model = _build(task)
        state = _begin(task, model)
        if task.step is None:
            outputs, targets = forward(task, model, task.train)
            _check_labels(task, outputs, targets)
            _check_loss(task, outputs, targets, model)
        else:
            _check_step(task, state)
        model.eval()
        for split in (task.test, task.validation):
            if split is not None:
                with torch.no_grad():
                    outputs, targets = forward(task, model, split)
                _check_labels(task, outputs, targets)
                _check_metrics(task, outputs, targets)
                _check_whole(task, model, split)
        if task.loss is not None and task.step is not None:
            _scalar("the loss", task.loss(outputs, targets))


@contextmanager
def _in_one_line(what: str, on: str = "", *, but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """Report what a part of the task raises as one line that names the part; errors of the kind `but` pass as are.

    A part that ends the program is one that raises.
    """
    try:
        yield
    except but:
        raise
    except (Exception, SystemExit) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise LastbitError(f"{what} raised {type(error).__name__}: {first_line}{on}") from error


@contextmanager
def _readable() -> Iterator[None]:
    """Report an example that cannot be read as what is wrong with the task."""
    try:
        yield
    except UnreadableExample as error:
        raise LastbitError(str(error)) from error


def _build(task: Task) -> nn.Module:
    with _in_one_line("the model factory", but=LastbitError):
        model = task.model()
    if not isinstance(model, nn.Module):
        raise LastbitError(f"the model factory must return a torch.nn.Module, got {type(model).__name__}")
    parameters = list(model.parameters())
    if not any(p.requires_grad or is_lazy(p) for p in parameters):
        raise LastbitError(f"the model {type(model).__name__} has no trainable parameters")
    for what, tensor in [*(("parameter", p) for p in parameters), *(("buffer", b) for b in model.buffers())]:
        if is_lazy(tensor):
            raise LastbitError(f"the model has a lazy {what}: run a batch through it in the factory, or give its size")
        if tensor.is_meta or tensor.layout is not torch.strided:
            kind = "on the meta device" if tensor.is_meta else f"of layout {tensor.layout}"
            raise LastbitError(f"the model has a {what} {kind}: dense ones that hold values only")
        if what == "parameter" and not tensor.is_floating_point():
            raise LastbitError(f"the model has a parameter of type {tensor.dtype}: floating-point ones only")
    return model


def _begin(task: Task, model: nn.Module) -> State:
    with _in_one_line("the optimizer factory", but=LastbitError):
        optimizers, _ = make_optimizers(task.optimizer, model)
    held = {id(p) for one in optimizers.values() for group in one.param_groups for p in group["params"]}
    if not held & {id(p) for p in model.parameters()}:
        raise LastbitError("the optimizer holds none of the model's parameters: build it from those it is given")
    if len(optimizers) > 1 and task.step is None and any(map(needs_closure, optimizers.values())):
        raise LastbitError("an optimizer that evaluates the loss again beside another needs a step of the task's own")
    with _in_one_line("the schedule factory", but=LastbitError):
        schedules = make_schedules(task.schedule, optimizers, task.total_steps)
    check_schedules(task, schedules)
    return State(model, optimizers, schedules, next(model.parameters()).device)


def too_few(task: Task) -> str:
    """Return the error of an epoch without a batch."""
    if task.sampler is not None:
        return f"the sampler draws fewer examples than a batch of {task.batch_size}: draw more, or drop_last=False"
    return (
        f"batch size {task.batch_size} exceeds the {plural(len(task.train), 'training example')}: "
        "write at most that, or drop_last=False"
    )


def check_schedules(task: Task, schedules: Mapping[str, Any]) -> None:
    """Refuse a schedule that waits for a number which is not measured."""
    for mode in {schedule.mode for schedule in schedules.values() if isinstance(schedule, ReduceLROnPlateau)}:
        if mode == "max" and task.validation is None:
            raise LastbitError("ReduceLROnPlateau(mode='max') follows the metric: give the task validation=...")
        if mode == "min" and task.validation is not None and task.loss is None:
            raise LastbitError("ReduceLROnPlateau(mode='min') follows the validation loss: give the task loss=")


def _batch(task: Task, model: nn.Module, split: Split) -> Any:
    """Return a first batch of a split; of the training examples, augmented."""
    some = next(model.parameters())
    indices = torch.arange(min(task.batch_size, len(split)))
    if split is task.train and task.sampler is not None:
        indices = batches_of(len(split), task.batch_size, torch.Generator().manual_seed(0), sampler=task.sampler)[0]
    with _readable():
        batch = placed(split.batch(indices), some.device, some.dtype)
    if split is not task.train or task.augment is None:
        return batch
    inputs, targets = pair_of(batch, call_names(model), f"a batch of {split.name}")
    if not isinstance(inputs, Tensor):
        raise LastbitError(f"augment takes batches of one input tensor, got {arrived(inputs)}: use a step of its own")
    draws = torch.rand(len(inputs), task.augment_draws)
    with _in_one_line("augment", f" on inputs {arrived(inputs)}", but=LastbitError):
        augmented = task.augment(inputs, draws.to(some.device))
    if not isinstance(augmented, Tensor) or len(augmented) != len(inputs):
        raise LastbitError(f"augment must return {len(inputs)} inputs for {len(inputs)}")
    return augmented, targets


def forward(task: Task, model: nn.Module, split: Split) -> tuple[Any, Any]:
    """Return what `model` makes of a first batch of a split, and what that is compared with."""
    inputs, targets = pair_of(_batch(task, model, split), call_names(model), f"a batch of {split.name}")
    with _in_one_line("the model", f" on {split.name} inputs {arrived(inputs)}"):
        outputs: Any = apply_model(model, inputs)
    if not tensors_of(outputs):
        raise LastbitError(f"the model must return tensors, got {arrived(outputs)}")
    return outputs, targets


def _check_step(task: Task, state: State) -> None:
    """Take a step of the task's own on a network that is thrown away."""
    assert task.step is not None
    batch = _batch(task, state.model, task.train)
    state.model.train()
    with _in_one_line("the step", f" on a batch that is {arrived(batch)}", but=LastbitError):
        loss = task.step(state, batch)
    _scalar("the step must return the loss, which", loss)
    if not math.isfinite(float(loss.detach())):
        raise LastbitError(f"the loss of the first step is {float(loss.detach())}: check the inputs and the loss")


def _scalar(what: str, loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        raise LastbitError(f"{what} must be a scalar tensor, the mean over the batch, got {arrived(loss)}")


def _check_labels(task: Task, outputs: Any, targets: Any) -> None:
    """Refuse class labels that the outputs do not reach, over all labels where they are held as tensors."""
    cross_entropy = task.loss is F.cross_entropy or isinstance(task.loss, nn.CrossEntropyLoss)
    plain = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
    if not cross_entropy or not plain or outputs.ndim != 2 or targets.ndim != 1:
        return
    if targets.is_floating_point():
        raise LastbitError(f"cross entropy needs integer labels, got {arrived(targets)}: write targets.long()")
    for split in (task.train, task.test):
        labels = targets if split.targets is None else split.targets
        low, high = int(labels.min()), int(labels.max())
        if high >= outputs.shape[1]:
            raise LastbitError(f"the model gives {plural(outputs.shape[1], 'output')} but the labels go up to {high}")
        ignored = getattr(task.loss, "ignore_index", -100)
        if low < 0 and int(labels[labels != ignored].min()) < 0:
            raise LastbitError(f"the labels go down to {low}: they must count from 0")


def _hint(outputs: Any, targets: Any) -> str:
    """Say how to write the default loss of outputs or targets that have several parts."""
    if isinstance(outputs, Tensor) and isinstance(targets, Tensor):
        return ""
    if isinstance(outputs, Mapping) and "loss" in outputs and isinstance(targets, Mapping):
        return ": write loss=lambda outputs, batch: outputs['loss']"
    entry = next(iter(outputs)) if isinstance(outputs, Mapping) else 0
    label = list(targets)[-1] if isinstance(targets, Mapping) else 0
    output = "outputs" if isinstance(outputs, Tensor) else f"outputs[{entry!r}]"
    target = "targets" if isinstance(targets, Tensor) else f"targets[{label!r}]"
    return f": write loss=lambda outputs, targets: cross_entropy({output}, {target}), or as you need it"


def _check_loss(task: Task, outputs: Any, targets: Any, model: nn.Module) -> None:
    on = f" on outputs {arrived(outputs)} and targets {arrived(targets)}"
    if task.loss is F.cross_entropy:
        on += _hint(outputs, targets)
    with _in_one_line("the loss", on, but=LastbitError), warnings.catch_warnings():
        # (N, 1) against (N,) is broadcast to (N, N) with no more than this warning.
        warnings.filterwarnings("error", message="Using a target size")
        assert task.loss is not None
        loss: Any = task.loss(outputs, targets)
    _scalar("the loss", loss)
    if not loss.requires_grad:
        raise LastbitError("the loss has no gradient: is it computed under no_grad, or detached?")
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise LastbitError("the loss does not depend on any trainable parameter of the model")
    if not math.isfinite(float(loss.detach())):
        raise LastbitError(f"the loss of the untrained model is {float(loss.detach())}: check the inputs and the loss")


def _check_metrics(task: Task, outputs: Any, targets: Any) -> None:
    examples = size_of((targets, outputs))
    functions = {
        f"metric {metric.name!r}": partial(metric.per_example, outputs, targets)
        for metric in task.all_metrics
        if metric.per_example is not None
    }
    if task.predict is not None:
        functions["predict"] = partial(task.predict, outputs)
    for what, function in functions.items():
        with _in_one_line(what, f" on outputs {arrived(outputs)}", but=LastbitError):
            values: Any = function()
        if not isinstance(values, Tensor) or values.shape != (examples,):
            raise LastbitError(f"{what} must give one number per example, ({examples},), got {arrived(values)}")
        if what == "predict" and (values.is_floating_point() or values.is_complex()):
            raise LastbitError(f"predict must give integers, got {arrived(values)}")


def _check_whole(task: Task, model: nn.Module, split: Split) -> None:
    """Try the metrics over all examples on all of them: a part may lack what they need, such as a class."""
    tallies = [Tally(metric) for metric in task.all_metrics if metric.over_all is not None]
    if not tallies:
        return
    some, names = next(model.parameters()), call_names(model)
    batches = batches_in_order(len(split), task.batch_size, drop_last=False)
    feed = split.feed(batches)
    with torch.no_grad(), _readable():
        for number in range(len(batches)):
            inputs, targets = pair_of(placed(feed.take(number), some.device, some.dtype), names)
            outputs = apply_model(model, inputs)
            for tally in tallies:
                tally.add(outputs, targets)
    for tally in tallies:
        with _in_one_line(f"metric {tally.metric.name!r}", f" on outputs {arrived(outputs)}", but=LastbitError):
            float(tally.value)
