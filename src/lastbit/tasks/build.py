"""From settings to a task: fill in the defaults, load the data once, bind the parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from lastbit.core.errors import LastbitError
from lastbit.core.seeds import numpy_stream
from lastbit.core.words import plural
from lastbit.optimizers.registry import OPTIMIZERS, class_of
from lastbit.tasks.config import TaskConfig
from lastbit.tasks.data.images import standardised_splits, stratified_order
from lastbit.tasks.file_task import load_file_task
from lastbit.tasks.function import TrainingFunction
from lastbit.tasks.losses import LOSSES
from lastbit.tasks.models import MODELS, PLAIN, build_model
from lastbit.tasks.registry import AUGMENTATIONS, TASKS, TaskSpec
from lastbit.tasks.schedules import make_schedule
from lastbit.tasks.split import Split
from lastbit.tasks.task import Task

__all__ = ["build_task", "resolve"]


def resolve(config: TaskConfig, arguments: Mapping[str, Any] = MappingProxyType({})) -> TaskConfig:
    """Return `config` with every default filled in, so that what is stored can be run again on a later version.

    Only `data_root` may stay None: where the files are is not part of the training. For a task in a user's file the
    epochs, batch size and training size are filled in; the file decides the rest, and `Task.settings` describes it.
    Resolving twice changes nothing.

    Raises:
        LastbitError: the file of the task cannot be used.

    Example:
        >>> resolve(TaskConfig(optimizer="adam")).lr
        0.001
        >>> resolve(TaskConfig()).lr
        0.3
    """
    if config.is_file:
        task = _file_task(config, arguments)
        if isinstance(task, TrainingFunction):
            return config
        sizes = {"epochs": task.epochs, "batch_size": task.batch_size, "train_size": len(task.train)}
        return config.model_copy(update=sizes)
    spec = TASKS[config.task]
    defaults: dict[str, Any] = {"train_size": spec.train_images, **spec.defaults}
    model = config.model or defaults["model"]
    if model != defaults["model"]:
        defaults["width"] = MODELS[model].width
    optimizer = config.optimizer or defaults["optimizer"]
    options = OPTIMIZERS[optimizer].options
    defaults |= OPTIMIZERS[optimizer].defaults
    if "momentum" not in options:
        defaults["momentum"] = 0.0
    if "nesterov" not in options or config.momentum == 0:
        defaults["nesterov"] = False
    given = {name: value for name, value in config.model_dump().items() if value is not None}
    return TaskConfig(**{**defaults, **given})


def build_task(config: TaskConfig, arguments: Mapping[str, Any] = MappingProxyType({})) -> Task | TrainingFunction:
    """Return the task that `config` describes, or the training function that its file holds.

    The data are loaded and decoded once in a process, however many tasks are built from them. No random generator is
    touched.

    Args:
        config: what to train.
        arguments: for the function of a task in a user's file, by parameter; they join the task's settings.

    Raises:
        LastbitError: the data are missing or damaged, the training size exceeds them, or the user's file cannot be
            used. Whether the parts fit each other is for `Task.check` to say.

    Example:
        >>> task = build_task(TaskConfig(task="digits", epochs=2))
        >>> len(task.train), len(task.test), task.total_steps
        (1000, 797, 62)
    """
    if config.is_file:
        return _file_task(config, arguments)
    full = resolve(config)
    spec = TASKS[full.task]
    train, test = standardised_splits(
        resolve_name(spec.load)(full.data_root), name=full.task, train_size=full.train_size
    )
    chosen = full.model_dump(exclude={"data_root"})
    model = _network(chosen, spec)
    stepping = {key: chosen[key] for key in ("lr", "weight_decay", *OPTIMIZERS[chosen["optimizer"]].options)}
    augmentation = AUGMENTATIONS[chosen["augment"]]
    return Task(
        name=full.task,
        model=model,
        train=train,
        test=test,
        loss=resolve_name(LOSSES[chosen["loss"] or "cross-entropy"]),
        optimizer=partial(class_of(chosen["optimizer"]), **stepping),
        schedule=None if full.schedule == "constant" else partial(make_schedule, name=chosen["schedule"]),
        augment=augmentation.make(spec.pad),
        augment_draws=augmentation.draws,
        epochs=chosen["epochs"],
        batch_size=chosen["batch_size"],
        settings={name: value for name, value in chosen.items() if value is not None}
        | {"shape": list(spec.shape), "classes": spec.classes, "parameters": _parameters(model)},
    )


def _network(chosen: Mapping[str, Any], spec: TaskSpec) -> partial[torch.nn.Module]:
    """Return the factory of the network: of layers all alike where a depth is given, else the built-in one."""
    if chosen["depth"] is None:
        network = {key: chosen[key] for key in ("width", "norm", "activation")}
        return partial(build_model, chosen["model"], spec.shape, spec.classes, **network)
    alike = {key: chosen[key] for key in ("depth", "width", "activation")}
    alike |= {"kernel": chosen["kernel"] or 3} if chosen["model"] == "cnn" else {}
    return partial(resolve_name(PLAIN[chosen["model"]]), spec.shape, spec.classes, **alike)


def _parameters(model: partial[torch.nn.Module]) -> int:
    """Count the parameters, on the meta device so that no weight is drawn."""
    with torch.device("meta"):
        return sum(p.numel() for p in model().parameters())


def _file_task(config: TaskConfig, arguments: Mapping[str, Any]) -> Task | TrainingFunction:
    task = load_file_task(config.task, arguments)
    if isinstance(task, TrainingFunction):
        for name in ("epochs", "batch_size", "train_size"):
            if getattr(config, name) is not None:
                raise LastbitError(f"--{name.replace('_', '-')} belongs to a task: {config.task} decides it itself")
        return task
    changes = {name: getattr(config, name) for name in ("epochs", "batch_size") if getattr(config, name) is not None}
    if arguments:
        changes["settings"] = {**task.settings, **arguments}
    if config.train_size is not None and config.train_size != len(task.train):
        changes["train"] = _part(task, config.train_size)
    return replace(task, **changes) if changes else task


def _part(task: Task, size: int) -> Split:
    """Keep `size` training examples, balanced over integer labels where these are known, else a fixed random part.

    Of a stream these are its first.
    """
    if size > len(task.train):
        raise LastbitError(
            f"train_size = {size}: {task.name} has {plural(len(task.train), 'training example')}: write at most that"
        )
    labels = task.train.targets
    if task.train.is_stream:
        order = np.arange(size)
    elif labels is not None and labels.ndim == 1 and not labels.is_floating_point():
        order = stratified_order(labels.cpu().numpy(), name=task.name)
    else:
        order = numpy_stream(0, "part", task.name).permutation(len(task.train))
    return task.train.subset(torch.from_numpy(np.sort(order[:size])))
