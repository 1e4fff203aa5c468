"""One batch through every part of a task, so that what does not fit is reported before a study starts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
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
        parameters = [p for p in model.parameters() if p.requires_grad]
        _check_optimizer(task, model)
        outputs, targets = _forward(task, model, task.train)
        _check_labels(task, outputs, targets)
        _check_loss(task, outputs, targets, parameters)
        model.eval()
        with torch.no_grad():
            outputs, targets = _forward(task, model, task.test)
        _check_labels(task, outputs, targets)
        _check_metric(task, outputs, targets)


def _said(error: Exception) -> str:
    """Return the first line of an error, with its kind."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"


def _shape(x: Tensor) -> str:
    return f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}"


def _build(task: Task) -> nn.Module:
    try:
        model = task.model()
    except LastbitError:
        raise
    except Exception as error:
        raise LastbitError(f"the model factory raised {_said(error)}") from error
    if not isinstance(model, nn.Module):
        raise LastbitError(f"the model factory must return a torch.nn.Module, got {type(model).__name__}")
    parameters = list(model.parameters())
    if not any(p.requires_grad for p in parameters):
        raise LastbitError(f"the model {type(model).__name__} has no trainable parameters")
    for parameter in parameters:
        if not parameter.is_floating_point():
            raise LastbitError(f"the model has a parameter of type {parameter.dtype}: floating-point ones only")
    return model


def _check_optimizer(task: Task, model: nn.Module) -> None:
    try:
        optimizer = task.optimizer(model.parameters())
    except Exception as error:
        raise LastbitError(f"the optimizer factory raised {_said(error)}") from error
    if not isinstance(optimizer, Optimizer):
        raise LastbitError(f"the optimizer factory must return a torch.optim.Optimizer, got {type(optimizer).__name__}")
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not held & {id(p) for p in model.parameters()}:
        raise LastbitError("the optimizer holds none of the model's parameters: build it from those it is given")
    if task.schedule is not None:
        try:
            scheduler = task.schedule(optimizer, task.total_steps)
        except Exception as error:
            raise LastbitError(f"the schedule factory raised {_said(error)}") from error
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
        try:
            augmented = task.augment(inputs, draws.to(some.device))
        except LastbitError:
            raise
        except Exception as error:
            raise LastbitError(f"augment raised {_said(error)} on inputs {_shape(inputs)}") from error
        if not isinstance(augmented, Tensor) or len(augmented) != len(inputs):
            raise LastbitError(f"augment must return {len(inputs)} inputs for {len(inputs)}")
        inputs = augmented
    try:
        outputs: Any = model(inputs)
    except Exception as error:
        raise LastbitError(f"the model raised {_said(error)} on {split.name} inputs {_shape(inputs)}") from error
    if not isinstance(outputs, Tensor):
        raise LastbitError(f"the model must return one tensor, got {type(outputs).__name__}")
    return outputs, targets


def _check_labels(task: Task, outputs: Tensor, targets: Tensor) -> None:
    """Refuse class labels that the outputs do not reach, over all labels where they are held as tensors."""
    cross_entropy = task.loss is F.cross_entropy or isinstance(task.loss, nn.CrossEntropyLoss)
    if not cross_entropy or outputs.ndim != 2 or targets.ndim != 1:
        return
    if targets.is_floating_point():
        raise LastbitError(f"cross entropy needs integer labels, got {_shape(targets)}: write targets.long()")
    for split in (task.train, task.test):
        labels = split.tensors[1] if split.tensors else targets
        low, high = int(labels.min()), int(labels.max())
        if high >= outputs.shape[1]:
            raise LastbitError(f"the model gives {outputs.shape[1]} outputs but the labels go up to {high}")
        ignored = getattr(task.loss, "ignore_index", -100)
        if low < 0 and int(labels[labels != ignored].min()) < 0:
            raise LastbitError(f"the labels go down to {low}: they must count from 0")


def _check_loss(task: Task, outputs: Tensor, targets: Tensor, parameters: list[nn.Parameter]) -> None:
    try:
        with warnings.catch_warnings():
            # (N, 1) against (N,) is broadcast to (N, N) with no more than this warning.
            warnings.filterwarnings("error", message="Using a target size")
            loss: Any = task.loss(outputs, targets)
    except LastbitError:
        raise
    except Exception as error:
        raise LastbitError(
            f"the loss raised {_said(error)} on outputs {_shape(outputs)} and targets {_shape(targets)}"
        ) from error
    if not isinstance(loss, Tensor) or loss.ndim != 0:
        arrived = _shape(loss) if isinstance(loss, Tensor) else type(loss).__name__
        raise LastbitError(f"the loss must be a scalar tensor, the mean over the batch, got {arrived}")
    if not loss.requires_grad:
        raise LastbitError("the loss has no gradient: is it computed under no_grad, or detached?")
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise LastbitError("the loss does not depend on any trainable parameter of the model")
    if not math.isfinite(float(loss.detach())):
        raise LastbitError(f"the loss of the untrained model is {float(loss.detach())}: check the inputs and the loss")


def _check_metric(task: Task, outputs: Tensor, targets: Tensor) -> None:
    functions: dict[str, Callable[[], Any]] = {
        f"metric {task.metric.name!r}": partial(task.metric.per_example, outputs, targets)
    }
    if task.predict is not None:
        functions["predict"] = partial(task.predict, outputs)
    for what, function in functions.items():
        try:
            values = function()
        except LastbitError:
            raise
        except Exception as error:
            raise LastbitError(f"{what} raised {_said(error)} on outputs {_shape(outputs)}") from error
        if not isinstance(values, Tensor) or values.shape != outputs.shape[:1]:
            arrived = _shape(values) if isinstance(values, Tensor) else type(values).__name__
            raise LastbitError(f"{what} must give one number per example, ({len(outputs)},), got {arrived}")
        if what == "predict" and (values.is_floating_point() or values.is_complex()):
            raise LastbitError(f"predict must give integers, got {_shape(values)}")
