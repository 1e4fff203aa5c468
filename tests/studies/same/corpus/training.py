"""What the trainings of this folder share: options, the loop in equivalent forms, and the defects planted in it.

`python perceptron.py --seed 1 --variant halves` trains the same network in another way, `--defect gradient --size 1e-5
--place first` a network that is not the same.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hand
import torch
from rewritten import Forms
from rounded import TensorFloat32
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

FORMS_OF_A_STEP = ("scaled", "halves", "reordered", "autograd", "averaged")
OPTIMIZERS = ("foreach", "fused", "hand")
COMPILED = {"inductor": "inductor", "aot_eager": "aot_eager", "decomposed": "aot_eager_decomp_partition"}


@dataclass(frozen=True)
class Options:
    """What one training is told."""

    seed: int
    steps: int
    variant: str
    defect: str
    size: float
    place: str
    precision: str
    save: Path | None

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "float64" else torch.float32

    def at(self, defect: str, step: int) -> bool:
        """Whether a defect of one step is planted in this one."""
        return self.defect == defect and step == int(self.place)


def options(words: list[str] | None = None) -> Options:
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--variant", default="plain")
    parser.add_argument("--defect", default="none")
    parser.add_argument("--size", type=float, default=0.0, help="of the defect: a factor less one, an epsilon, a decay")
    parser.add_argument("--place", default="", help="of the defect: the name of a module, or the number of a step")
    parser.add_argument("--precision", default="float32", help="float32, float64, bfloat16 or tf32")
    parser.add_argument("--save", type=Path, help="takes what the training came to")
    return Options(**vars(parser.parse_args(words)))


@dataclass(frozen=True)
class Network:
    """One training: what its script says of it."""

    build: Callable[[Forms], nn.Module]
    data: Callable[[torch.Generator], tuple[Tensor, ...]]
    loss: Callable[[nn.Module, Forms, tuple[Tensor, ...]], Tensor]
    """The mean over the examples of a batch."""
    optimizer: type[torch.optim.Optimizer]
    settings: dict[str, object]
    decay: float
    """Of weights; biases and the parameters of norms have none."""
    factor: Callable[[int, int], float]
    """Of the learning rate at one step of so many."""
    average: float | None = None
    """Decay of the moving average of the weights."""
    clip: float | None = None
    batch: int = 32
    loader: bool = False
    """Whether batches come from a DataLoader, and not from a permutation."""


class Session:
    """One training, from its first weights to its last."""

    def __init__(self, network: Network, options: Options) -> None:
        self.network, self.options = network, options
        generator = torch.Generator().manual_seed(1000 + options.seed)
        self.data = tuple(self._cast(part) for part in network.data(generator))
        torch.manual_seed(options.seed)
        self.forms = Forms(options.variant)
        self.model = network.build(self.forms).to(options.dtype)
        if options.variant == "layout":
            self.model.to(memory_format=torch.channels_last)
        if options.defect == "dropout":
            self.model.get_submodule(options.place).p += options.size
        if options.defect == "momentum":
            self.model.get_submodule(options.place).momentum += options.size
        self.average = None
        if network.average is not None:
            self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(network.average))
        self.optimizer = self._optimizer()
        later = int(options.defect == "schedule")
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: network.factor(step + later, options.steps)
        )
        self.called = self.model
        if options.variant in COMPILED:
            torch._inductor.config.fallback_random = True
            self.called = torch.compile(self.model, backend=COMPILED[options.variant])
        self.losses: list[float] = []

    def train(self) -> None:
        """Take all steps."""
        with TensorFloat32() if self.options.precision == "tf32" else contextlib.nullcontext():
            for step, batch in zip(range(1, self.options.steps + 1), self._batches(), strict=False):
                self._step(step, batch)
        if self.options.save is not None:
            save_file(self.outcome(), self.options.save)

    def outcome(self) -> dict[str, Tensor]:
        """Return copies of weights, buffers, averages, the optimizer's state and losses."""
        tensors = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor.clone() for name, tensor in self.average.module.state_dict().items()}
        for place, state in enumerate(self.optimizer.state.values()):
            tensors |= {f"{place}.{name}": tensor.clone() for name, tensor in state.items()}
        return {**tensors, "losses": torch.tensor(self.losses, dtype=torch.float64)}

    def _step(self, step: int, batch: tuple[Tensor, ...]) -> None:
        if self.options.at("swapped", step):
            others = torch.tensor([(int(self.options.size) + step) % len(self.data[0])])
            batch = tuple(torch.cat([part[:-1], whole[others]]) for part, whole in zip(batch, self.data, strict=True))
        if self.options.variant == "reordered":
            batch = tuple(part.roll(5, 0).flip(0) for part in batch)
        self.optimizer.zero_grad()
        self._backward(batch)
        if self.options.defect == "gradient":
            for parameter in self.model.get_submodule(self.options.place).parameters(recurse=False):
                parameter.grad.mul_(1 + self.options.size)
        if self.network.clip is not None:
            self._clip(self.network.clip)
        self.optimizer.step()
        self.scheduler.step()
        if self.average is not None and not self.options.at("missed", step):
            self._update_average(step)

    def _loss(self, batch: tuple[Tensor, ...]) -> Tensor:
        lower = self.options.precision == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16) if lower else contextlib.nullcontext():
            loss = self.network.loss(self.called, self.forms, batch)
        if self.options.defect == "count":
            # As if one example had been left out of the count.
            loss = loss * (self.network.batch / (self.network.batch - 1))
        return loss

    def _backward(self, batch: tuple[Tensor, ...]) -> None:
        parameters = list(self.model.parameters())
        if self.options.variant == "halves":
            # Of unequal size, so that their weights matter.
            cut = self.network.batch * 5 // 8
            total = 0.0
            for part in (slice(None, cut), slice(cut, None)):
                share = tuple(whole[part] for whole in batch)
                loss = self._loss(share) * (len(share[0]) / self.network.batch)
                loss.backward()
                total += loss.item()
            self.losses.append(total)
            return
        loss = self._loss(batch)
        self.losses.append(loss.item())
        if self.options.variant == "scaled":
            (loss * 3).backward()
            for parameter in parameters:
                parameter.grad.div_(3)
        elif self.options.variant == "autograd":
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.grad = gradient
        else:
            loss.backward()

    def _clip(self, most: float) -> None:
        parameters = list(self.model.parameters())
        if self.options.variant != "summed":
            nn.utils.clip_grad_norm_(parameters, most)
            return
        norm = sum(parameter.grad.square().sum() for parameter in parameters).sqrt()
        factor = (most / (norm + 1e-6)).clamp(max=1.0)
        for parameter in parameters:
            parameter.grad *= factor

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        if self.options.variant != "averaged" or step == 1:
            self.average.update_parameters(self.model)
            return
        decay = self.network.average
        for mean, now in zip(self.average.module.parameters(), self.model.parameters(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * now)
        for copied, now in zip(self.average.module.buffers(), self.model.buffers(), strict=True):
            copied.copy_(now)
        self.average.n_averaged += 1

    def _batches(self) -> Iterator[tuple[Tensor, ...]]:
        size = self.network.batch
        dataset = torch.utils.data.TensorDataset(*self.data)
        while True:
            if self.network.loader:
                loader = torch.utils.data.DataLoader(dataset, size, shuffle=True, drop_last=True)
                yield from (tuple(batch) for batch in loader)
            else:
                order = torch.randperm(len(dataset))
                for start in range(0, len(dataset) - size + 1, size):
                    yield tuple(part[order[start : start + size]] for part in self.data)

    def _cast(self, part: Tensor) -> Tensor:
        part = part.to(self.options.dtype) if part.is_floating_point() else part
        return (
            part.to(memory_format=torch.channels_last) if self.options.variant == "layout" and part.ndim == 4 else part
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        matrices = [parameter for parameter in self.model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in self.model.parameters() if parameter.ndim <= 1]
        defect, size = self.options.defect, self.options.size
        groups = [
            {"params": matrices, "weight_decay": self.network.decay},
            {"params": others, "weight_decay": size if defect == "decay" else 0.0},
        ]
        settings = dict(self.network.settings)
        if defect == "epsilon":
            settings["eps"] = size
        if self.options.variant in ("foreach", "fused"):
            settings[self.options.variant] = True
        if self.options.variant == "hand" or defect in hand.DEFECTS:
            return hand.WRITTEN[self.network.optimizer](groups, **settings, defect=defect, size=size)
        return self.network.optimizer(groups, **settings)


def flat(step: int, steps: int) -> float:
    """Return a constant factor."""
    return 1.0


def warm(step: int, steps: int) -> float:
    """Return the factor of a warm-up over a tenth of the steps, then a line down to a tenth."""
    ramp = max(steps // 10, 1)
    return (step + 1) / ramp if step < ramp else 1.0 - 0.9 * (step - ramp) / (steps - ramp)


def halving(step: int, steps: int) -> float:
    """Return the factor of a rate that is halved after every quarter."""
    return 0.5 ** (step // max(steps // 4, 1))


def exponential(step: int, steps: int) -> float:
    """Return the factor of a rate that falls to a fifth."""
    return 0.2 ** (step / steps)
