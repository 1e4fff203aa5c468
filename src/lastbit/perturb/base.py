"""What a perturbation is, and what it leaves on an optimizer while it is attached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Self, TypeAlias

import torch
from pydantic import BeforeValidator, ValidationInfo
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.optim import Optimizer

from lastbit.core.config import Config
from lastbit.core.errors import LastbitError
from lastbit.core.ulp import FLOAT_DTYPES, has_last_bit
from lastbit.perturb.hooks import is_inner, is_skipped

__all__ = ["Attachment", "Count", "Identity", "Perturbation", "Positive", "Seeded", "check_integer", "check_optimizer"]


def check_integer(name: str, value: object, *, least: int) -> int:
    """Return `value` if it is an integer of at least `least`.

    Raises:
        LastbitError: it is not; numbers such as 3.0 and True are refused, since they are nearly always a slip.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise LastbitError(f"{name} = {value!r}: write a whole number of at least {least}")
    return value


def _checked(value: object, field: ValidationInfo, *, least: int) -> int:
    return check_integer(str(field.field_name), value, least=least)


Count: TypeAlias = Annotated[int, BeforeValidator(partial(_checked, least=0))]
"""A whole number of at least 0."""

Positive: TypeAlias = Annotated[int, BeforeValidator(partial(_checked, least=1))]
"""A whole number of at least 1."""


def pairing(first: int, second: int) -> int:
    """Return Cantor's pairing of two numbers, different for different pairs and small for small ones.

    `(a + b)(a + b + 1) / 2 + b`; small, so that a label that shows it stays readable.

    Example:
        >>> [pairing(0, 1), pairing(0, 2), pairing(1, 1)]
        [2, 5, 4]
    """
    check_integer("seed", first, least=0)
    return (first + second) * (first + second + 1) // 2 + second


class Perturbation(Config, ABC):
    """A change of the size of the last floating-point bit, made to the steps of an optimizer.

    A perturbation is a frozen description; `attach` puts it to work through the hooks of one optimizer, and the
    training loop knows nothing of it.

    Example:
        >>> import torch
        >>> from lastbit.perturb.rescale import Rescale
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = torch.optim.SGD([weight], lr=0.1)
        >>> with Rescale(k=3).attach(optimizer):
        ...     weight.sum().backward()
        ...     optimizer.step()
    """

    kind: ClassVar[str]
    """The name under which the perturbation is registered."""

    @abstractmethod
    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Perturb every step of `optimizer` from now on, until the returned attachment is detached.

        Args:
            optimizer: any optimizer over dense, real floating-point parameters; other parameters beside them are left
                alone.
            model: the model that is trained; only `ReorderBatch` needs it.

        Raises:
            LastbitError: the optimizer or the model cannot be perturbed this way.
        """

    @property
    @abstractmethod
    def label(self) -> str:
        """A few words for tables and legends."""

    @classmethod
    @abstractmethod
    def member(cls, index: int, *, seed: int = 0) -> Self:
        """Return member `index` (1, 2, ...) of the family that a study draws from; `seed` selects the family."""


class Seeded(Perturbation):
    """A perturbation that draws; `seed` selects what."""

    seed: Count = 0

    @classmethod
    def member(cls, index: int, *, seed: int = 0) -> Self:
        """Return a member with a seed of its own for each pair of `seed` and `index`."""
        return cls(seed=pairing(seed, index))


class Identity(Perturbation):
    """The perturbation that is none: the control, and the base of every comparison."""

    kind: ClassVar[str] = "identity"

    @property
    def label(self) -> str:
        """`"unperturbed"`."""
        return "unperturbed"

    @classmethod
    def member(cls, index: int, *, seed: int = 0) -> Self:
        """Return the one identity there is."""
        return cls()

    def attach(self, optimizer: Optimizer, model: nn.Module | None = None) -> Attachment:
        """Count the steps of `optimizer` and do nothing else; see `Perturbation.attach`."""
        return Attachment(optimizer)


class Attachment:
    """A perturbation at work on one optimizer; as a context manager it detaches at the end.

    Subclasses override `_before_step` and `_after_step`. Randomness in them is a function of the seed and of the number
    of steps taken, so the step counter is all there is to save.

    Args:
        optimizer: the optimizer to hook.

    Raises:
        LastbitError: the optimizer has no parameters that have a last bit to speak of.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        check_optimizer(optimizer)
        self.on_error: Callable[[Exception], None] | None = None
        """Told of the first error of the perturbation, which rests from then on; None lets the step raise it."""
        self._rests = False
        self._steps = 0
        self._handles: list[Any] = [
            optimizer.register_step_pre_hook(self._pre_hook),
            optimizer.register_step_post_hook(self._post_hook),
        ]

    # Compiled steps call these as they are.
    @_disable_dynamo
    def _pre_hook(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.before(optimizer)

    @_disable_dynamo
    def _post_hook(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.after(optimizer)

    def before(self, optimizer: Optimizer) -> None:
        """Look at a step that is about to be taken; whoever has a place of its own for this detaches and calls it."""
        if not is_inner(optimizer):
            self._act(self._before_step, optimizer)

    def after(self, optimizer: Optimizer) -> None:
        """Perturb the step that was just taken; see `before`."""
        if not (is_inner(optimizer) or is_skipped(optimizer)):
            self._act(self._after_step, optimizer)
            self._steps += 1

    def _act(self, part: Callable[[Optimizer], None], optimizer: Optimizer) -> None:
        if self._rests:
            return
        try:
            part(optimizer)
        except Exception as error:
            if self.on_error is None:
                raise
            self._rests = True
            self.on_error(error)

    def _before_step(self, optimizer: Optimizer) -> None:
        """Look at the weights before a step; a closure has not run yet."""

    def _after_step(self, optimizer: Optimizer) -> None:
        """Change the weights after a step; `self._steps` counts the steps before it."""

    def detach(self) -> None:
        """Remove every hook. Later steps are those of an optimizer that was never touched; twice does no harm."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what is needed to go on bit for bit from here: `step`, the number of steps taken (int64, 0-d)."""
        return {"step": torch.tensor(self._steps, dtype=torch.int64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            LastbitError: `state` is not such a state.
        """
        if set(state) != {"step"}:
            raise LastbitError(f"a perturbation's state has the one entry 'step', got {sorted(state)}")
        self._steps = int(state["step"])

    def __enter__(self) -> Self:
        """Return the attachment itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Detach."""
        self.detach()


def check_optimizer(optimizer: Optimizer) -> None:
    """Check that some parameters of `optimizer` have a last bit that can be perturbed; the others are left alone.

    Raises:
        LastbitError: there are none, or all are sparse, complex or of a format that `lastbit.core.ulp` does not know;
            or the optimizer is differentiable, so that changing weights in place would break its graph.
    """
    params: list[Tensor] = [param for group in optimizer.param_groups for param in group["params"]]
    if not params:
        raise LastbitError("the optimizer has no parameters to perturb: give it model.parameters()")
    if not any(map(has_last_bit, params)):
        param = params[0]
        if param.layout is not torch.strided:
            raise LastbitError(f"cannot perturb a parameter of layout {param.layout}: use dense parameters")
        names = ", ".join(str(dtype) for dtype in FLOAT_DTYPES)
        kind = "complex" if param.is_complex() else str(param.dtype)
        raise LastbitError(f"cannot perturb {kind} parameters: use one of {names}")
    if any(group.get("differentiable") for group in optimizer.param_groups):
        raise LastbitError("cannot perturb an optimizer made with differentiable=True: leave it False")
