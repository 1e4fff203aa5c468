"""The settings of an edge-of-stability study: the training, what is varied over its cells, what is measured."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from lastbit.core.config import Config, validated
from lastbit.core.errors import LastbitError, choose
from lastbit.optimizers.registry import OPTIMIZERS
from lastbit.tasks.models import ACTIVATIONS, MODELS
from lastbit.tasks.registry import TASKS
from lastbit.tasks.schedules import SCHEDULES

__all__ = ["AXES", "Cell", "EosConfig", "cells", "eos_command", "eos_config"]

AXES = ("lr", "momentum", "weight_decay", "depth", "width", "kernel")
"""The settings that may hold several values: one training for each combination."""

_FILE_DECIDES = ("model", "activation", "loss", "optimizer", "nesterov", "schedule", "data_root")

DEFAULT_LR = {"sgd": 0.1, "heavy ball": 0.2, "nesterov": 0.05, "adam": 3e-3, "adamw": 3e-3, "rmsprop": 1e-3}
"""Rates at which the digits network sharpens to its edge within the default steps (measured)."""


class EosConfig(Config):
    """Everything that decides an edge-of-stability study.

    `lr`, `momentum`, `weight_decay`, `depth`, `width` and `kernel` hold one value or several; several make a sweep.
    Of a task in a file they are arguments of its function.
    """

    task: str = Field(default="digits", description="digits, fashion-mnist, cifar10, or FILE.py:FUNCTION")
    model: str | None = Field(default=None, description="mlp, cnn, or another built-in network")
    depth: tuple[PositiveInt, ...] = Field(default=(), description="hidden layers of an mlp, convolutions of a cnn")
    width: tuple[PositiveInt, ...] = Field(default=(), description="units or channels of each layer")
    kernel: tuple[PositiveInt, ...] = Field(default=(), description="side of a cnn's kernels, odd")
    activation: str | None = Field(default=None, description="relu, swish, tanh")
    loss: Literal["squared-error", "cross-entropy"] | None = Field(default=None, description="training loss")
    optimizer: str | None = Field(default=None, description="sgd, adam, adamw, rmsprop")
    lr: tuple[PositiveFloat, ...] = Field(default=(), description="learning rates")
    momentum: tuple[float, ...] = Field(default=(), description="momenta of sgd and rmsprop")
    nesterov: bool | None = Field(default=None, description="Nesterov's form of sgd momentum")
    weight_decay: tuple[NonNegativeFloat, ...] = Field(default=(), description="weight decays")
    schedule: str | None = Field(default=None, description="learning rate over the steps")
    steps: PositiveInt | None = Field(default=None, description="optimizer steps")
    train_size: PositiveInt | None = Field(default=None, description="training examples to keep")
    batch_size: PositiveInt | None = Field(default=None, description="examples per step; all of them by default")
    data_root: str | None = Field(default=None, description="folder with the data set's files")
    seed: int = Field(default=0, ge=0, description="seed of the training")
    seeds: PositiveInt = Field(default=1, description="seeds to train every combination with, from `seed` on")
    twins: int = Field(default=2, ge=0, le=100, description="perturbed twins beside the base run and its repeat")
    perturb: Literal["rescale", "ulp", "rounding", "reorder"] = Field(default="rescale", description="kind of twin")
    every: PositiveInt = Field(default=3, description="steps between two measurements of the sharpness")
    probe_size: PositiveInt = Field(default=2000, description="training examples that curvature is measured on")
    flow: bool = Field(default=False, description="follow the gradient flow beside gradient descent")
    dtype: Literal["float32", "float64"] = Field(default="float32", description="format of the weights")
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")

    @property
    def is_file(self) -> bool:
        """Whether the task is a function in a user's file."""
        return ":" in self.task or self.task.endswith(".py")

    @field_validator("momentum")
    @classmethod
    def _momentum_below_one(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for beta in value:
            if not 0 <= beta < 1:
                raise LastbitError(f"--momentum = {beta}: give a number from 0 to below 1")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        for axis in AXES:
            values = getattr(self, axis)
            if len(set(values)) < len(values):
                raise LastbitError(f"--{axis.replace('_', '-')} {' '.join(map(str, values))}: name each value once")
        if self.is_file:
            for name in _FILE_DECIDES:
                if getattr(self, name) not in (None, ()):
                    raise LastbitError(f"--{name.replace('_', '-')}: {self.task} decides that itself; leave it out")
            return self
        choose(self.task, TASKS, "task")
        for name, valid in (
            ("model", MODELS),
            ("activation", ACTIVATIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            if getattr(self, name) is not None:
                choose(getattr(self, name), valid, name)
        self._check_optimizer()
        self._check_network()
        return self

    def _check_optimizer(self) -> None:
        options = OPTIMIZERS[self.optimizer or "sgd"].options
        if any(self.momentum) and "momentum" not in options:
            raise LastbitError(f"--momentum = {max(self.momentum)}: {self.optimizer} has none; sgd and rmsprop do")
        if self.nesterov and ("nesterov" not in options or 0 in self.momentum):
            raise LastbitError("--nesterov needs --optimizer sgd with a momentum above 0: write --momentum 0.9")
        if self.flow and (self.optimizer or "sgd") != "sgd":
            raise LastbitError(f"--flow: {self.optimizer} has no gradient flow of the loss to compare; sgd has")

    def _check_network(self) -> None:
        model = self.model or "mlp"
        if model not in ("mlp", "cnn") and self.depth:
            raise LastbitError(f"--depth: {model} has a fixed depth; --model mlp or cnn can be varied")
        if model != "cnn" and self.kernel:
            raise LastbitError(f"--kernel: {model} has no kernel to vary; write --model cnn")
        for kernel in self.kernel:
            if kernel % 2 == 0:
                raise LastbitError(f"--kernel = {kernel}: give an odd side, such as 3")


class Cell(Config):
    """One training of the study: the value that it takes on each axis."""

    name: str
    """Usable as a file name."""
    label: str
    """What is varied, in words; empty where nothing is."""
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    depth: int | None = None
    width: int | None = None
    kernel: int | None = None
    seed: int = 0

    def axes(self) -> dict[str, float | int]:
        """Return the values that are set, by axis."""
        return {axis: value for axis in AXES if (value := getattr(self, axis)) is not None}


def eos_config(settings: Mapping[str, Any]) -> EosConfig:
    """Check flat settings and fill in every default, so that what is stored can be run again on a later version.

    A value of an axis may be one number, several, or text with commas (`"0,0.1,1"`).

    Raises:
        LastbitError: a name, a value or a combination that does not do.
    """
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        choose(name, EosConfig.model_fields, "setting")
        if value is not None and value != [] and value != ():
            flat[name] = _values(name, value) if name in AXES else value
    config = validated(EosConfig, flat, flag="--")
    return config if config.is_file else _filled(config)


def _values(name: str, value: Any) -> tuple[float | int, ...]:
    words = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    found: list[float | int] = []
    for word in ",".join(str(word) for word in words).split(","):
        if not word.strip():
            raise LastbitError(f"--{name.replace('_', '-')} names no value: write one or several, such as 0 0.1 1")
        try:
            number = float(word)
        except ValueError:
            raise LastbitError(f"--{name.replace('_', '-')}: {word.strip()!r} is not a number") from None
        found.append(int(number) if number.is_integer() and name in ("depth", "width", "kernel") else number)
    return tuple(found)


def _filled(config: EosConfig) -> EosConfig:
    optimizer, model = config.optimizer or "sgd", config.model or "mlp"
    momentum = config.momentum or (0.9 if config.nesterov else 0.0,)
    heavy = "heavy ball" if optimizer == "sgd" and any(momentum) else optimizer
    method = "nesterov" if config.nesterov else heavy
    defaults: dict[str, Any] = {
        "optimizer": optimizer,
        "model": model,
        "momentum": momentum,
        "nesterov": config.nesterov or False,
        "lr": config.lr or (DEFAULT_LR[method],),
        "weight_decay": config.weight_decay or (1e-2 if optimizer == "adamw" else 0.0,),
        "width": config.width or (64 if model == "mlp" else MODELS[model].width,),
        "activation": config.activation or "tanh",
        "loss": config.loss or "squared-error",
        "schedule": config.schedule or "constant",
        "steps": config.steps or 1500,
        "train_size": config.train_size or 600,
    }
    if model in ("mlp", "cnn"):
        defaults["depth"] = config.depth or (2 if model == "mlp" else 3,)
    if model == "cnn":
        defaults["kernel"] = config.kernel or (3,)
    defaults["batch_size"] = config.batch_size or defaults["train_size"]
    return validated(EosConfig, {**config.model_dump(), **defaults}, flag="--")


def cells(config: EosConfig) -> list[Cell]:
    """Return the trainings of the study: every combination of the axes' values with every seed, seeds fastest."""
    axes = {axis: getattr(config, axis) or (None,) for axis in AXES}
    varied = [axis for axis in AXES if len(axes[axis]) > 1]
    found = []
    seeds = range(config.seed, config.seed + config.seeds)
    for number, (*values, seed) in enumerate(product(*axes.values(), seeds)):
        chosen = dict(zip(axes, values, strict=True))
        words = [f"{axis.replace('_', ' ')} {chosen[axis]:g}" for axis in varied]
        words += [f"seed {seed}"] if config.seeds > 1 else []
        found.append(Cell(name=f"cell{number:03d}", label=", ".join(words), seed=seed, **chosen))
    return found


def eos_command(config: EosConfig, command: str = "eos", *, without: Collection[str] = ()) -> str:
    """Return the command that repeats the study exactly: every setting spelled out, but those of `without`."""
    words = ["lastbit", command]
    for name, value in config.model_dump().items():
        flag = f"--{name.replace('_', '-')}"
        if name in without:
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{name.replace('_', '-')}")
        elif isinstance(value, tuple):
            words += [flag, *(f"{number!r}" for number in value)] if value else []
        elif value is not None:
            words += [flag, str(value)]
    return shlex.join(words)
