"""ReLU replaced by an activation without a kink, in a network that stands already."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import CodeType

import torch
import torch.nn.functional as F
from torch import nn

from lastbit.core.errors import LastbitError, choose
from lastbit.curvature.snapshot import unwrapped

__all__ = ["functional_relus", "smooth"]

_SMOOTH: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "silu": nn.SiLU}

_REPLACED = (nn.ReLU, nn.ReLU6)
"""These classes themselves: what a subclass computes is not known."""

_FUNCTIONS = {"relu", "relu_", "relu6"}


def smooth(model: nn.Module, *, to: str = "gelu") -> list[str]:
    """Replace every `nn.ReLU` and `nn.ReLU6` of a network, in place, by an activation without a kink.

    A unit of `relu(x) = max(x, 0)` switches where a last bit decides the sign of `x`; `gelu(x) = x Phi(x)`, with the
    standard normal distribution function `Phi`, and `silu(x) = x / (1 + exp(-x))` have derivatives of every order. What
    remains: LeakyReLU, PReLU, Hardtanh and the like, and max-pooling, which switch too.

    The new modules have no parameters, so it does not matter whether the optimizer is built before or after. Weights
    stay as they are: a network that was trained with ReLU has to be trained on. Hooks and training mode pass to the new
    module, with handles that still remove them. A module that is used in several places is replaced in each of them by
    one new module. The cap of ReLU6 at 6 goes with it, and nothing is computed in place: where a ReLU with
    `inplace=True` changed a tensor that is read again later (some residual branches), the smooth one leaves it.

    Args:
        model: the network; `torch.compile` and data-parallel wrappers are looked through.
        to: `"gelu"` or `"silu"` (also called swish).

    Returns:
        The names of what was replaced, as `model.named_modules()` gives them, every name of a shared module among them.

    Raises:
        LastbitError: `to` is none of these, or the network has no such module below it: it is one itself, or has other
            activations, or calls ReLU as a function (`F.relu(x)`), which no replaced module reaches. Of a network that
            has both, the modules are replaced, and a warning names where the function is called.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415; Ramachandran, Zoph and Le, "Searching
    for Activation Functions", arXiv 1710.05941.

    Example:
        >>> import lastbit as lb
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> lb.remedies.smooth(model)
        ['1']
        >>> model[1]
        GELU(approximate='none')
    """
    made = _SMOOTH[choose(str(to), _SMOOTH, "activation")]
    network = unwrapped(model)
    if type(network) in _REPLACED:
        raise LastbitError(
            f"the model is a {type(network).__name__} itself: write {made.__name__}() in its place, or give the whole "
            "network"
        )
    found = [name for name, each in network.named_modules(remove_duplicate=False) if type(each) in _REPLACED]
    called = functional_relus(network)
    if not found:
        raise LastbitError(f"the model has no nn.ReLU or nn.ReLU6 module to replace: {_other_way(called, to)}")
    new: dict[int, nn.Module] = {}
    for name in found:
        place, _, attribute = name.rpartition(".")
        parent = network.get_submodule(place)
        old = getattr(parent, attribute)
        # A parent that is itself used twice comes under two names, and was dealt with under the first.
        if type(old) in _REPLACED:
            setattr(parent, attribute, new.setdefault(id(old), _in_place_of(old, made())))
            if isinstance(parent, nn.TransformerEncoderLayer):
                # Without gradients it computes what this says, in one fused operation, instead of its activation.
                parent.activation_relu_or_gelu = 0
    if called:
        warnings.warn(f"ReLU stays in a part of the model: {_other_way(called, to)}", stacklevel=2)
    return found


def functional_relus(model: nn.Module) -> list[str]:
    """Return the modules that seem to call ReLU as a function, which `smooth` cannot replace.

    Nothing runs: it is read off the names that the code of each module's `forward` uses, and off functions that a
    module holds (as `nn.TransformerEncoderLayer` does by default). Functions that `forward` calls are not followed.

    Returns:
        Their names as `model.named_modules()` gives them; the model itself is `"(root)"`.

    Raises:
        LastbitError: `model` is not a module.

    Example:
        >>> from torch import nn
        >>> functional_relus(nn.TransformerEncoderLayer(8, 2, 16))
        ['(root)']
    """
    return [name or "(root)" for name, module in unwrapped(model).named_modules() if _calls_relu(module)]


def _calls_relu(module: nn.Module) -> bool:
    held = (F.relu, F.relu_, F.relu6, torch.relu, torch.relu_)
    if any(value is function for value in vars(module).values() for function in held):
        return True
    code = getattr(type(module).forward, "__code__", None)
    if type(module).__module__.startswith("torch.nn.") or not isinstance(code, CodeType):
        return False
    # `self.relu(x)` uses the same name, of a module.
    return any(name in _FUNCTIONS and not hasattr(module, name) for name in _names(code))


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that code looks up, that of functions and comprehensions within it too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _other_way(called: list[str], to: str) -> str:
    if not called:
        return "a function such as F.relu is out of reach, write a smooth one in its place"
    where = ", ".join(called[:4]) + (", ..." if len(called) > 4 else "")
    return f"{where} seems to call it as a function, which is out of reach: write F.{to}(x) there"


def _in_place_of(old: nn.Module, new: nn.Module) -> nn.Module:
    """Return `new` with mode and hooks of `old`: the dictionaries themselves, which the handles of hooks refer to."""
    vars(new).update({name: value for name, value in vars(old).items() if "hook" in name or name == "training"})
    return new
