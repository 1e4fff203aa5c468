"""Trainings on one GPU whose forward and backward passes are replayed as CUDA graphs, each on a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lastbit.core.batches import apply_model, mapped, tensors_of
from lastbit.core.determinism import deterministic
from lastbit.train.replicas.refused import Refused
from lastbit.train.training import Training

__all__ = ["Capture", "Graphs", "on_cuda"]

Body = Callable[[], Tensor]
Capture = Callable[[Body, torch.device, Any], Body]
"""Takes a pass, a device and a stream, and returns what repeats the pass on the memory that it saw."""

_WARM_UPS = 3
"""Passes before a capture, in which libraries choose algorithms and make their work spaces."""


class Graphs:
    """Trainings of one task, whose passes over a batch are captured once and replayed at every step.

    A replay launches the kernels that the same pass would launch one by one, in the same order on the same numbers, so
    a run has the bits that it has alone, and asks the processor for next to nothing. The optimizer's step, the
    perturbation and the schedule follow as they do alone: they take numbers that change from step to step, which a
    graph would hold fast. Streams run ahead of each other within an epoch, and are waited for where somebody looks.

    Args:
        trainings: of one task, at their start, on one device; closed by whoever made them.
        capture: makes what repeats a pass.

    Raises:
        Refused: the task cannot be captured; says why.
    """

    filled: ClassVar[bool] = False
    """Whether it must be full: here nothing depends on how many there are."""

    def __init__(self, trainings: Sequence[Training], capture: Capture | None = None) -> None:
        self.trainings = tuple(trainings)
        first = self.trainings[0]
        if first.task.step is not None:
            raise Refused("it has a training step of its own")
        self._device = first.device
        self._members = [_Member(training, capture or on_cuda) for training in self.trainings]
        self._apart = False

    @property
    def position(self) -> int:
        """Steps taken."""
        return self.trainings[0].position

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self.trainings[0].total_steps

    def step(self) -> None:
        """Take every training one step on."""
        each = self.trainings[0].steps_per_epoch
        ends = (self.position + 1) % each == 0
        for member in self._members:
            if not self._apart:
                member.fork()
            member.step(ends=ends)
        self._apart = not (ends or self.position == 1)
        if not self._apart:
            for member in self._members:
                member.join()


class _Member:
    """One training: its stream, the pass that repeats, and the memory that this reads and writes."""

    def __init__(self, training: Training, capture: Capture) -> None:
        self._training, self._capture = training, capture
        self._weights = [weight for weight in training.model.parameters() if weight.requires_grad]
        self._stream = torch.cuda.Stream(training.device) if training.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._repeat: Body | None = None
        self._batch: tuple[Any, Any] | None = None
        self._gradients: list[Tensor | None] = []

    def fork(self) -> None:
        """Let the stream begin after what the caller's stream was told."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._training.device))

    def join(self) -> None:
        """Let the caller's stream go on after what this stream was told."""
        if self._stream is not None:
            torch.cuda.current_stream(self._training.device).wait_stream(self._stream)

    def step(self, *, ends: bool) -> None:
        """Take a step; a batch of another form than that of the first step is taken as it is alone."""
        training = self._training
        with torch.cuda.stream(self._stream), deterministic():
            batch = training.pair(training.next_batch())
            if self._repeat is None:
                self._begin(batch)
            if not self._fits(batch):
                loss = self._pass(batch)
            else:
                assert self._repeat is not None
                for static, fresh in zip(tensors_of(self._batch), tensors_of(batch), strict=True):
                    static.copy_(fresh)
                for weight, gradient in zip(self._weights, self._gradients, strict=True):
                    weight.grad = gradient  # the memory that a replay writes to
                loss = self._repeat()
            if ends:  # a schedule may look at validation examples, and the network draw as it does
                with training.active():
                    training.step_along(loss.clone())
            else:
                training.step_along(loss.clone())

    def _begin(self, batch: tuple[Any, Any]) -> None:
        self._batch = mapped(batch, Tensor.clone)
        buffers = [(buffer, buffer.detach().clone()) for buffer in self._training.model.buffers()]
        try:
            self._repeat = self._capture(lambda: self._pass(self._batch), self._training.device, self._stream)
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        self._gradients = [weight.grad for weight in self._weights]

    def _pass(self, batch: Any) -> Tensor:
        """Take loss and gradients of a batch."""
        for weight in self._weights:
            weight.grad = None
        inputs, targets = batch
        loss = self._training.loss(apply_model(self._training.model, inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _fits(self, batch: tuple[Any, Any]) -> bool:
        form = [(tensor.shape, tensor.dtype) for tensor in tensors_of(batch)]
        return form == [(tensor.shape, tensor.dtype) for tensor in tensors_of(self._batch)]


def on_cuda(body: Body, device: torch.device, stream: Any) -> Body:
    """Capture a pass as a CUDA graph.

    Raises:
        Refused: an operation cannot be captured, which is named; or the pass draws at random.
    """
    if device.type != "cuda":
        raise Refused("CUDA graphs need a GPU")
    drawn = torch.cuda.get_rng_state(device)
    for _ in range(_WARM_UPS):
        body()
    if not torch.equal(drawn, torch.cuda.get_rng_state(device)):
        torch.cuda.set_rng_state(drawn, device)
        raise Refused("its network draws at random (dropout)")
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    seen = LastOperation()
    try:
        with torch.cuda.graph(graph, stream=stream), seen:
            loss = body()
    except Exception as error:
        raise Refused(f"no CUDA graph can hold {seen.name} ({' '.join(str(error).split())[:160]})") from error

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


class LastOperation(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows the last operation that was called."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = "its first operation"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the operation, and do it."""
        self.name = str(func)
        return func(*args, **(kwargs or {}))
