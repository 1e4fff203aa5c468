"""Which module cannot be differentiated twice, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["explain_missing_double_backward", "is_missing_double_backward", "missing_second_derivative"]

_ERROR_NODE = "torch::autograd::Error"

_SIGNS = (
    "derivative for",
    "is not implemented",
    "once_differentiable",
    "differentiate twice",
    "double backward",
    "double backwards",
    "use_reentrant=true",
)


_CURES = (
    (
        ("attention", "flash"),
        "use the math kernel (torch.nn.attention.sdpa_kernel(SDPBackend.MATH)) instead of a fused attention kernel",
    ),
    (("use_reentrant",), "checkpoint its activations with use_reentrant=False"),
    (("cudnn", "rnn"), "turn the fused kernel off while measuring (torch.backends.cudnn.flags(enabled=False))"),
    (("compile", "aot"), "give the model as it was before torch.compile"),
)
"""What the reason or the class of the module may hold, and what to do then; the first that fits."""


def is_missing_double_backward(error: RuntimeError) -> bool:
    """Say whether autograd complains that an operation cannot be differentiated twice."""
    return any(sign in str(error).lower() for sign in _SIGNS)


def missing_second_derivative(gradient: Sequence[Tensor]) -> str:
    """Return a complaint if the graph of `gradient` holds a function marked `once_differentiable`, else "".

    Such a function replaces its part of the graph by an error node without inputs. Asking for the derivative by
    given parameters never runs that node, so the product would silently lack that path.
    """
    pending = [tensor.grad_fn for tensor in gradient]
    seen = set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == _ERROR_NODE:
            return "trying to differentiate twice a function that was marked with @once_differentiable"
        pending.extend(before for before, _ in node.next_functions)
    return ""


def explain_missing_double_backward(model: nn.Module, forward: Callable[[], Any], error: RuntimeError) -> str:
    """Return one line that names the deepest module whose double backward fails, and the remedy.

    Args:
        model: the network.
        forward: runs it once on the batch, under the settings of the measurement.
        error: what autograd said.
    """
    names = {module: name for name, module in model.named_modules()}
    culprits: list[nn.Module] = []
    busy = False

    # Examined while the forward pass runs, each module works on the copies of weights and buffers of that pass.
    # Hooks fire innermost first, so the first module that fails is the deepest.
    def examine(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        nonlocal busy
        if busy or culprits:
            return
        busy = True
        try:
            if _fails(module, args, kwargs):
                culprits.append(module)
        finally:
            busy = False

    handles = [module.register_forward_hook(examine, with_kwargs=True) for module in names]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    reason = str(error).strip().splitlines()[0]
    if not culprits:
        return f"the loss cannot be differentiated twice ({reason}): {_cure(reason, '')}"
    name, kind = names[culprits[0]], type(culprits[0]).__name__
    return f"module {name or '(root)'!r} ({kind}) cannot be differentiated twice ({reason}): {_cure(reason, kind)}"


def _fails(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    leaves: list[Tensor] = [p for p in module.parameters() if p.requires_grad]

    def passed(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        leaves.append(tensor.detach().clone().requires_grad_())
        # A copy, which the module may overwrite.
        return leaves[-1].clone()

    try:
        args, kwargs = tree_map_only(Tensor, passed, (args, kwargs))
        outputs = [t for t in tree_leaves(module(*args, **kwargs)) if isinstance(t, Tensor) and t.requires_grad]
        if not outputs:
            return False
        value = sum((output.square().sum() for output in outputs), start=torch.zeros((), device=outputs[0].device))
        first = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True)
        curved = [g for g in first if g is not None and g.requires_grad]
        if missing_second_derivative(curved):
            return True
        if curved:
            torch.autograd.grad([g.sum() for g in curved], leaves, allow_unused=True)
    except RuntimeError as failure:
        return is_missing_double_backward(failure)
    return False


def _cure(reason: str, kind: str) -> str:
    text = f"{reason} {kind}".lower()
    cures = [cure for signs, cure in _CURES if any(sign in text for sign in signs)]
    return [*cures, "write its backward with differentiable torch operations, without once_differentiable"][0]
