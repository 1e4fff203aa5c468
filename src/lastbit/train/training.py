"""One deterministic training, stepped from outside; its whole state can be saved and restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lastbit.core import generators
from lastbit.core.batches import apply_model, arrived, call_names, pair_of, widened
from lastbit.core.determinism import deterministic
from lastbit.core.errors import LastbitError
from lastbit.core.recorder import Checkpoint
from lastbit.core.seeds import stream_seed, torch_stream
from lastbit.perturb.base import Attachment, Perturbation
from lastbit.tasks import Task
from lastbit.tasks.checks import check_schedules, too_few
from lastbit.tasks.metric import Tally
from lastbit.tasks.reading import Draws
from lastbit.tasks.sampling import batches_in_order, batches_of
from lastbit.tasks.split import Feed, Split
from lastbit.tasks.stepping import State, make_optimizers, make_schedules, needs_closure, one_of
from lastbit.train.random_streams import Streams
from lastbit.train.tree import pack, unpack

__all__ = ["Evaluation", "Training"]

_EVALUATION_BATCH = 512
"""Samples per forward pass of an evaluation: large enough to fill two cores, small enough for their caches."""

_EVALUATION_BYTES = 64 << 20
"""Of the samples of a forward pass: fewer are taken where they are large."""


@dataclass(frozen=True)
class Evaluation:
    """How the model does on a set of examples."""

    loss: float | None
    """None where the task has no loss of outputs and targets."""
    tallies: tuple[Tally, ...]
    """Of every metric, first the one that the task is judged by."""
    predictions_N: np.ndarray[Any, Any] | None
    """Predicted class of each example, None where the task has no classes."""
    outputs_N: np.ndarray[Any, Any] | None = None
    """What the model returned for each example, where it was to be kept."""

    @property
    def metric(self) -> float:
        """What the task is judged by, in its unit."""
        return self.tallies[0].value

    @property
    def metrics(self) -> dict[str, float]:
        """Every metric in its unit, by name."""
        return {tally.metric.name: tally.value for tally in self.tallies}


class Training:
    """A task in training: model, optimizer, schedule, perturbation and every random stream.

    The same arguments give the same bits, whatever ran before in the process. Use inside `active()`, which lends the
    process-wide generators and deterministic settings to this training; several trainings can take turns.

    Incomplete last batches are left out unless the task keeps them, so that every step of every epoch averages over
    `task.batch_size` samples.

    Args:
        task: what is trained.
        streams: the seeds of its random decisions.
        perturbation: what happens to the last bit of its updates.
        device: where the tensors live.
        dtype: format of weights and inputs. For bfloat16 and float16 outputs, loss and metric are taken in float32.

    Raises:
        LastbitError: the batch size exceeds the training examples, or the perturbation cannot act on the optimizer.
    """

    def __init__(
        self, task: Task, streams: Streams, perturbation: Perturbation, *, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.task = task
        self.streams = streams
        self.position = 0
        """Optimizer steps taken."""
        self.steps_per_epoch = task.steps_per_epoch
        self.total_steps = task.total_steps
        if self.steps_per_epoch == 0:
            raise LastbitError(too_few(task))
        self.losses: list[Tensor] = []
        """Training loss at each step so far (0-d, on the device)."""
        self.device = device
        self.examples = task.train.to(device, dtype)
        """Those that it trains on, where they lie."""
        self._test = task.test.to(device, dtype)
        self._validation = None if task.validation is None else task.validation.to(device, dtype)
        self._generators = generators.LentGenerators(streams.augment, device)
        self._attachments: list[Attachment] = []
        with generators.LentGenerators(streams.init, device).active(), deterministic():
            self.model = task.model().to(device=device, dtype=dtype)
            self.model.train()
            optimizers, self._trains = make_optimizers(task.optimizer, self.model)
            schedules = make_schedules(task.schedule, optimizers, self.total_steps)
            check_schedules(task, schedules)
            self.handed = State(self.model, optimizers, schedules, device)
            """What a step of the task's own is handed."""
            self._names = call_names(self.model)
            self.perturb(perturbation)
        self._epoch = -1
        self._batches: list[Tensor] = []
        self._feed: Feed | None = None
        self._draws_NK: Tensor | None = None
        self._validated: tuple[int, Evaluation] | None = None

    @property
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by name."""
        return self.handed.optimizers

    @property
    def optimizer(self) -> Optimizer:
        """The only optimizer.

        Raises:
            LastbitError: there are several.
        """
        return one_of(self.handed.optimizers)

    def perturb(self, perturbation: Perturbation) -> None:
        """Perturb every optimizer from here on, in place of how it was perturbed before."""
        self.close()
        self._attachments = [perturbation.attach(self.optimizers[name], part) for name, part in self._trains.items()]

    @contextmanager
    def active(self) -> Iterator[Training]:
        """Lend this training the process-wide generators and settings."""
        with self._generators.active(), deterministic():
            yield self

    def step(self) -> None:
        """Take one optimizer step."""
        batch = self.next_batch()
        if self.task.step is None:
            loss = self._built_in_step(batch)
        else:
            self.handed.step = self.position
            loss = self.task.step(self.handed, batch)
            if not isinstance(loss, Tensor) or loss.ndim != 0:
                raise LastbitError(f"step {self.position + 1} must return a scalar loss, got {arrived(loss)}")
        self._stepped(loss)

    def step_along(self, loss: Tensor) -> None:
        """Take one optimizer step along the gradients that the weights hold, which are those of `loss`."""
        for optimizer in self.optimizers.values():
            optimizer.step()
        self._stepped(loss)

    def _stepped(self, loss: Tensor) -> None:
        self.losses.append(loss.detach())
        self.position += 1
        self._step_schedules()

    def next_batch(self) -> Any:
        """Return the batch of the next step, augmented.

        Raises:
            UnreadableExample: an example could not be read.
            LastbitError: the examples make no batch.
        """
        _, draws_BK = self.next_draw()
        assert self._feed is not None
        batch = self._feed.take(self.position % self.steps_per_epoch)
        if self.task.augment is None or draws_BK is None:
            return batch
        inputs, targets = self.pair(batch)
        return self.task.augment(inputs, draws_BK.to(inputs.device)), targets

    def next_draw(self) -> tuple[Tensor, Tensor | None]:
        """Return which examples the batch of the next step has, and what each of them is augmented by, on the CPU.

        What a dataset draws while it is read is not among that: see `next_batch`.
        """
        epoch, within = divmod(self.position, self.steps_per_epoch)
        if epoch != self._epoch:
            self._start_epoch(epoch)
        index_B = self._batches[within]
        return index_B, None if self._draws_NK is None else self._draws_NK[index_B]

    def _built_in_step(self, batch: Any) -> Tensor:
        inputs, targets = self.pair(batch)

        def closure() -> Tensor:
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)
            loss = self.loss(apply_model(self.model, inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        if len(self.optimizers) == 1 and needs_closure(self.optimizer):
            first: Tensor = self.optimizer.step(closure)  # type: ignore[assignment, arg-type]
            return first
        loss = closure()
        for optimizer in self.optimizers.values():
            optimizer.step()
        return loss

    def _step_schedules(self) -> None:
        ended = self.position % self.steps_per_epoch == 0
        for schedule in self.handed.schedulers.values():
            if not isinstance(schedule, ReduceLROnPlateau):
                schedule.step()
            elif ended:
                schedule.step(self._plateau(schedule.mode))

    def _plateau(self, mode: str) -> float:
        """Return what a schedule that waits for a plateau looks at."""
        if self._validation is None:
            return float(torch.stack(self.losses[-self.steps_per_epoch :]).double().mean())
        found = self.validate()
        value = found.metric if mode == "max" else found.loss
        assert value is not None
        return value

    def pair(self, batch: Any) -> tuple[Any, Any]:
        """Return what the model is called on and what its outputs are compared with; see `pair_of`."""
        return pair_of(batch, self._names)

    def loss(self, outputs: Any, targets: Any) -> Tensor:
        """Return the task's loss as a step computes it: outputs and targets of half precision are converted to float32.

        Raises:
            LastbitError: the task has none of outputs and targets.
        """
        if self.task.loss is None:
            raise LastbitError(f"{self.task.name} has a step, but no loss= of outputs and targets, which this needs")
        return self.task.loss(widened(outputs), widened(targets))

    def _start_epoch(self, epoch: int) -> None:
        task, samples = self.task, len(self.task.train)
        self._epoch = epoch
        order = torch_stream(self.streams.order, epoch)
        if self.examples.is_stream:
            self._batches = batches_in_order(samples, task.batch_size, drop_last=task.drop_last)
        else:
            self._batches = batches_of(samples, task.batch_size, order, sampler=task.sampler, drop_last=task.drop_last)
        if len(self._batches) != self.steps_per_epoch:
            raise LastbitError(
                f"the sampler gives {len(self._batches)} batches in epoch {epoch + 1} and {self.steps_per_epoch} in "
                "another: it must give as many in each"
            )
        if task.augment is not None:
            draws = torch_stream(self.streams.augment, "augmentation", epoch)
            self._draws_NK = torch.rand(samples, task.augment_draws, generator=draws)
        # What a stream draws decides its order.
        seed = self.streams.order if self.examples.is_stream else self.streams.augment
        self._feed = self.examples.feed(self._batches, Draws(seed, epoch))

    def evaluate(self, *, outputs_N: Tensor | None = None, keep: bool = False) -> Evaluation:
        """Measure the model on the test set; leaves every mode, buffer and generator as it was.

        Args:
            outputs_N: measured in place of what the model would return for each example.
            keep: return the outputs too, of a model that returns one tensor.
        """
        return self._evaluate(self._test, outputs_N=outputs_N, keep=keep)

    def validate(self) -> Evaluation:
        """Measure the model on the validation examples, once however often it is asked for at one step."""
        assert self._validation is not None
        if self._validated is None or self._validated[0] != self.position:
            self._validated = self.position, self._evaluate(self._validation)
        return self._validated[1]

    def _evaluate(self, split: Split, *, outputs_N: Tensor | None = None, keep: bool = False) -> Evaluation:
        modes = [(module, module.training) for module in self.model.modules()]
        buffers = [(buffer, buffer.detach().clone()) for buffer in self.model.buffers()]
        drawn = generators.save(self.device)
        self.model.eval()
        losses, predictions, kept = [], [], []
        tallies = tuple(Tally(metric) for metric in self.task.all_metrics)
        try:
            with torch.no_grad(), generators.replayed(drawn, self.device):
                size = min(_EVALUATION_BATCH, max(1, _EVALUATION_BYTES // max(1, split.example_bytes)))
                batches = batches_in_order(len(split), size, drop_last=False)
                feed = split.feed(batches, Draws(stream_seed(self.streams.augment, split.name)))
                for number, index_B in enumerate(batches):
                    inputs, targets = self.pair(feed.take(number))
                    outputs = widened(apply_model(self.model, inputs)) if outputs_N is None else outputs_N[index_B]
                    if keep:
                        kept.append(outputs)
                    if self.task.loss is not None:
                        losses.append(self.loss(outputs, targets).double() * len(index_B))
                    for tally in tallies:
                        tally.add(outputs, targets)
                    if self.task.predict is not None:
                        predictions.append(self.task.predict(outputs))
        finally:
            for module, mode in modes:
                module.training = mode
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        return Evaluation(
            loss=float(torch.stack(losses).sum()) / len(split) if losses else None,
            tallies=tallies,
            predictions_N=torch.cat(predictions).cpu().numpy() if predictions else None,
            outputs_N=torch.cat(kept).cpu().numpy() if kept else None,
        )

    def trained(self) -> dict[str, Tensor]:
        """Return the trainable weights by name, in the network's order: the tensors themselves, each tied one once."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    def weights(self) -> np.ndarray[Any, Any]:
        """Return all trainable weights, flat, in the order of `named_parameters` (bfloat16 and float16 as float32)."""
        flat = [widened(p).reshape(-1) for p in self.trained().values()]
        return torch.cat(flat).cpu().numpy().copy()

    def buffers(self) -> np.ndarray[Any, Any]:
        """Return all buffers (running statistics), flat, as float64."""
        flat = [b.detach().double().reshape(-1) for b in self.model.buffers()]
        return (torch.cat(flat) if flat else torch.empty(0)).cpu().numpy().copy()

    def state(self) -> Checkpoint:
        """Return everything that determines the rest of the training. Call while active."""
        tensors: dict[str, Tensor] = {}
        tree = {
            "position": self.position,
            "model": dict(self.model.state_dict()),
            "unsaved": self._unsaved(),
            "gradients": self._gradients(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "schedules": {name: schedule.state_dict() for name, schedule in self.handed.schedulers.items()},
            "step": self.handed.state_dict(),
            "perturbation": [attachment.state_dict() for attachment in self._attachments],
            "generators": generators.save(self.device),
            "losses": torch.stack(self.losses).cpu() if self.losses else None,
        }
        return tensors, {"state": pack(tree, "state", tensors)}

    def _unsaved(self) -> dict[str, Tensor]:
        """Return the buffers that `state_dict` leaves out (`persistent=False`) but training may change."""
        saved = self.model.state_dict().keys()
        return {name: buffer for name, buffer in self.model.named_buffers() if name not in saved}

    def _gradients(self) -> dict[str, Tensor]:
        """Return the gradients that a step of the task's own may have left for the next one to add to."""
        if self.task.step is None:
            return {}
        return {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore what `state` returned. Call while active."""
        tensors, facts = checkpoint
        tree = unpack(facts["state"], tensors)
        self.position = tree["position"]
        self.model.load_state_dict(tree["model"])
        with torch.no_grad():
            for name, buffer in self._unsaved().items():
                buffer.copy_(tree["unsaved"][name])
        for name, parameter in self.model.named_parameters():
            gradient = tree["gradients"].get(name)
            parameter.grad = None if gradient is None else _laid_as(parameter, gradient.to(parameter.device))
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(tree["optimizers"][name])
            for weight, state in optimizer.state.items():
                state.update({key: _laid_as(weight, v) for key, v in state.items() if isinstance(v, Tensor)})
        for name, schedule in self.handed.schedulers.items():
            schedule.load_state_dict(tree["schedules"][name])
        self.handed.load_state_dict(tree["step"])
        for attachment, state in zip(self._attachments, tree["perturbation"], strict=True):
            attachment.load_state_dict(state)
        generators.restore(tree["generators"], self.device)
        losses = tree["losses"]
        self.losses = [] if losses is None else list(losses.to(self.device).unbind())

    def close(self) -> None:
        """Detach the perturbation."""
        for attachment in self._attachments:
            attachment.detach()


def _laid_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return what goes with a parameter laid out in memory as that is: a checkpoint keeps no layout."""
    if tensor.shape != parameter.shape or tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
