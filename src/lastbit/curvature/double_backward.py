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
)


def is_missing_double_backward(error: RuntimeError) -> bool:
    """Say whether autograd complains that an operation has no second derivative."""
    return any(sign in str(error) for sign in _SIGNS)


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
    """Return one line that names the deepest module whose double backward fails, and the cure.

    Args:
        model: the network.
        forward: runs it once on the batch, under the settings of the measurement.
        error: what autograd said.
    """
    calls: list[tuple[str, nn.Module, tuple[Any, ...], dict[str, Any]]] = []
    handles = []
    for name, module in model.named_modules():

        def record(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, name: str = name
        ) -> None:
            calls.append((name, module, args, kwargs))

        handles.append(module.register_forward_hook(record, with_kwargs=True))
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    # Hooks fire innermost first, so the first module that fails is the deepest.
    culprit = next(((name, module) for name, module, args, kwargs in calls if _fails(module, args, kwargs)), None)
    reason = str(error).strip().splitlines()[0]
    if culprit is None:
        return f"the loss cannot be differentiated twice ({reason}): {_cure(reason, '')}"
    name, module = culprit
    kind = type(module).__name__
    return f"module {name or '(root)'!r} ({kind}) cannot be differentiated twice ({reason}): {_cure(reason, kind)}"


def _fails(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    def leaf(tensor: Tensor) -> Tensor:
        return tensor.detach().requires_grad_(tensor.is_floating_point())

    args, kwargs = tree_map_only(Tensor, leaf, (args, kwargs))
    outputs = [t for t in tree_leaves(module(*args, **kwargs)) if isinstance(t, Tensor) and t.requires_grad]
    inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t.requires_grad]
    inputs += [p for p in module.parameters() if p.requires_grad]
    if not outputs or not inputs:
        return False
    value = sum((output.square().sum() for output in outputs), start=torch.zeros((), device=outputs[0].device))
    try:
        first = torch.autograd.grad(value, inputs, create_graph=True, allow_unused=True)
        curved = [g for g in first if g is not None and g.requires_grad]
        if missing_second_derivative(curved):
            return True
        if curved:
            torch.autograd.grad([g.sum() for g in curved], inputs, allow_unused=True)
    except RuntimeError as failure:
        return is_missing_double_backward(failure)
    return False


def _cure(reason: str, kind: str) -> str:
    text = f"{reason} {kind}".lower()
    if "attention" in text or "flash" in text:
        return (
            "use the math kernel (torch.nn.attention.sdpa_kernel(SDPBackend.MATH)) instead of a fused attention kernel"
        )
    if "cudnn" in text or "rnn" in text:
        return "turn the fused kernel off while measuring (torch.backends.cudnn.flags(enabled=False))"
    if "compile" in text or "aot" in text:
        return "give the model as it was before torch.compile"
    return "write its backward with differentiable torch operations, without once_differentiable"
