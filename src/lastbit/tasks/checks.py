"""One batch through every part of a task, so that what does not fit is reported before a study starts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from lastbit.core.errors import LastbitError
from lastbit.core.generators import LentGenerators
from lastbit.tasks.split import Split, placed

if TYPE_CHECKING:
    from lastbit.tasks.task import Task

__all__ = ["check_task"]


def check_task(task: Task) -> None:
    """Run one batch of `task` through all its parts (see `Task.check`)."""
    if task.batch_size > len(task.train):
        raise LastbitError(
            f"batch size {task.batch_size} exceeds the {len(task.train)} training examples: write at most that"
        )
    with LentGenerators(0).active():
        model = _build(task)
        _check_optimizer(task, model)
        outputs, targets = _forward(task, model, task.train)
        _check_labels(task, outputs, targets)
        _check_loss(task, outputs, targets, model)
        model.eval()
        with torch.no_grad():
            outputs, targets = _forward(task, model, task.test)
        _check_labels(task, outputs, targets)
        _check_metric(task, outputs, targets)


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


def _arrived(value: object) -> str:
    """Return the shape and format of a tensor, or what else it is."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


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


def _check_optimizer(task: Task, model: nn.Module) -> None:
    with _in_one_line("the optimizer factory"):
        optimizer = task.optimizer(model.parameters())
    if not isinstance(optimizer, Optimizer):
        raise LastbitError(f"the optimizer factory must return a torch.optim.Optimizer, got {type(optimizer).__name__}")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not held & {id(p) for p in model.parameters()}:
        raise LastbitError("the optimizer holds none of the model's parameters: build it from those it is given")
    if task.schedule is not None:
        with _in_one_line("the schedule factory"):
            scheduler = task.schedule(optimizer, task.total_steps)
        if not hasattr(scheduler, "step"):
            raise LastbitError(
                f"the schedule factory must return a learning-rate scheduler, got {type(scheduler).__name__}"
            )


def _forward(task: Task, model: nn.Module, split: Split) -> tuple[Tensor, Tensor]:
    some = next(model.parameters())
    indices = torch.arange(min(task.batch_size, len(split)))
    inputs, targets = (placed(part, some.device, some.dtype) for part in split.batch(indices))
    if split is task.train and task.augment is not None:
        draws = torch.rand(len(inputs), task.augment_draws)
        with _in_one_line("augment", f" on inputs {_arrived(inputs)}", but=LastbitError):
            augmented = task.augment(inputs, draws.to(some.device))
        if not isinstance(augmented, Tensor) or len(augmented) != len(inputs):
            raise LastbitError(f"augment must return {len(inputs)} inputs for {len(inputs)}")
        inputs = augmented
    with _in_one_line("the model", f" on {split.name} inputs {_arrived(inputs)}"):
        outputs: Any = model(inputs)
    if not isinstance(outputs, Tensor):
        raise LastbitError(f"the model must return one tensor, got {type(outputs).__name__}")
    return outputs, targets


def _check_labels(task: Task, outputs: Tensor, targets: Tensor) -> None:
    """Refuse class labels that the outputs do not reach, over all labels where they are held as tensors."""
    cross_entropy = task.loss is F.cross_entropy or isinstance(task.loss, nn.CrossEntropyLoss)
    if not cross_entropy or outputs.ndim != 2 or targets.ndim != 1:
        return
    if targets.is_floating_point():
        raise LastbitError(f"cross entropy needs integer labels, got {_arrived(targets)}: write targets.long()")
    for split in (task.train, task.test):
        labels = split.tensors[1] if split.tensors else targets
        low, high = int(labels.min()), int(labels.max())
        if high >= outputs.shape[1]:
            raise LastbitError(f"the model gives {outputs.shape[1]} outputs but the labels go up to {high}")
        ignored = getattr(task.loss, "ignore_index", -100)
        if low < 0 and int(labels[labels != ignored].min()) < 0:
            raise LastbitError(f"the labels go down to {low}: they must count from 0")


def _check_loss(task: Task, outputs: Tensor, targets: Tensor, model: nn.Module) -> None:
    on = f" on outputs {_arrived(outputs)} and targets {_arrived(targets)}"
    with _in_one_line("the loss", on, but=LastbitError), warnings.catch_warnings():
        # (N, 1) against (N,) is broadcast to (N, N) with no more than this warning.
        warnings.filterwarnings("error", message="Using a target size")
        loss: Any = task.loss(outputs, targets)
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        raise LastbitError(f"the loss must be a scalar tensor, the mean over the batch, got {_arrived(loss)}")
    if not loss.requires_grad:
        raise LastbitError("the loss has no gradient: is it computed under no_grad, or detached?")
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise LastbitError("the loss does not depend on any trainable parameter of the model")
    if not math.isfinite(float(loss.detach())):
        raise LastbitError(f"the loss of the untrained model is {float(loss.detach())}: check the inputs and the loss")


def _check_metric(task: Task, outputs: Tensor, targets: Tensor) -> None:
    functions = {f"metric {task.metric.name!r}": partial(task.metric.per_example, outputs, targets)}
    if task.predict is not None:
        functions["predict"] = partial(task.predict, outputs)
    for what, function in functions.items():
        with _in_one_line(what, f" on outputs {_arrived(outputs)}", but=LastbitError):
            values: Any = function()
        if not isinstance(values, Tensor) or values.shape != outputs.shape[:1]:
            raise LastbitError(f"{what} must give one number per example, ({len(outputs)},), got {_arrived(values)}")
        if what == "predict" and (values.is_floating_point() or values.is_complex()):
            raise LastbitError(f"predict must give integers, got {_arrived(values)}")
