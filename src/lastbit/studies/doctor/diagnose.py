"""Where two runs differ, and why: from the first step that differed back to the root."""

from __future__ import annotations

from lastbit.launch.pair.outcome import Difference, Pair
from lastbit.studies.doctor.diagnosis import Diagnosis, Root

__all__ = ["diagnose"]


def diagnose(pair: Pair) -> Diagnosis | None:
    """Say why the runs of a pair differ; None where they do not."""
    differences = pair.differences
    return _first(differences[0]) if differences else None


def _first(difference: Difference) -> Diagnosis:
    steps = next((step for step in difference.steps if step is not None), (-1, 0))
    first, second = difference.tapes
    tensor = None
    root = Root("unknown", None, None, "Nothing was recorded of this step.", difference.count + 1)
    if first is not None and second is not None:
        for mine, other in zip(first.parameters, second.parameters, strict=False):
            if mine.grad_hash != other.grad_hash or mine.hash_after != other.hash_after:
                tensor = f"gradient of {mine.name}" if mine.grad_hash != other.grad_hash else mine.name
                break
        for one, two in zip(first.ops, second.ops, strict=False):
            if [value.hash for value in one.outputs] != [value.hash for value in two.outputs]:
                said = "It is the first operation whose outputs differ."
                root = Root("operation", one.name, one.line, said, difference.count + 1)
                break
    return Diagnosis(difference.key, *steps, tensor, root, None, (), (), ())
