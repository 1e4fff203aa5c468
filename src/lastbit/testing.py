"""Assertions about a training, for a project's tests: that it repeats bit for bit, that it does not amplify rounding.

Both take a training function `train(seed)`, a `Task`, the name of a built-in task (or `"FILE.py:FUNCTION"`), or a
command as a list of words. `pytest` hands both out as the fixture `lastbit`.

Example:
    >>> from lastbit.testing import assert_reproducible
    >>> found = assert_reproducible("digits", epochs=1, train_size=256)  # doctest: +SKIP
"""

from __future__ import annotations

import math
import os
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from numbers import Real
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from lastbit.core.errors import LastbitError

if TYPE_CHECKING:
    from lastbit.studies.trace.final_growth import TwinGrowth
    from lastbit.studies.trace.study import TraceStudy
    from lastbit.tasks import Task

__all__ = ["InThisProcess", "Reproduced", "Trained", "assert_last_bit_stable", "assert_reproducible"]

Trained: TypeAlias = "Callable[[int], Any] | Task | str | Sequence[str]"
"""What both assertions are about."""


class InThisProcess(UserWarning):
    """A training cannot travel to another process, so both of its runs were made in this one."""


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """Two runs of one training that were equal, bit for bit."""

    steps: int
    """Optimizer steps after which both were equal, of all processes."""
    tensors: int
    """Parameters compared at each step."""
    bytes: int
    """Of parameters and gradients, all steps of all comparisons together."""
    settings: Mapping[str, str]
    """Under which it holds: versions, threads, hash seed, deterministic mode, device."""
    in_this_process: bool
    """Whether both runs were made in this process, one after the other, rather than in two of their own."""


def assert_reproducible(
    fn: Trained,
    *,
    seed: int = 0,
    in_process: bool | None = None,
    runs: int = 0,
    timeout: float | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> Reproduced:
    """Assert that two runs with the same seed are equal: every weight and gradient, after every step, bit for bit.

    It is what `lastbit doctor` finds: two runs at once in processes of their own, compared at each optimizer step;
    where they are equal two more, one after the other. What differs in the printed output alone does not fail. The
    global generators of PyTorch, NumPy and Python are seeded by `seed` before a function begins; a command is run as
    it is.

    Args:
        fn: the training.
        seed: of both runs; of a command, what `{seed}` in it becomes.
        in_process: whether both runs are made in this process instead, one after the other, which takes a fraction of
            the time and sees less: nothing that differs between processes alone, such as hash seeds. By default only
            where the function or Task cannot travel to another process (a lambda, a function within another), which
            the warning `InThisProcess` says.
        runs: pairs with and without the change that the evidence suggests, which confirm the cure; none by default.
        timeout: seconds after which a pair of runs is ended.
        out: folder of the study, new or empty; by default a temporary one, which stays where the assertion fails. Of
            runs in this process there is none.
        **settings: of the study and of a built-in task, as `lastbit.doctor` takes them: `epochs=1`.

    Returns:
        What was compared.

    Raises:
        AssertionError: the runs differ, or did not end in time. The message is what the doctor says: the step, the
            tensor, the operation, the line, the likely cause, its cure.
        LastbitError: `fn` is nothing that trains, makes no optimizer step, or fails by itself; or a setting is invalid.

    Example:
        >>> import torch
        >>> def train(seed):
        ...     weight = torch.nn.Parameter(torch.randn(3))
        ...     optimizer = torch.optim.SGD([weight], lr=0.1)
        ...     (weight**2).sum().backward()
        ...     optimizer.step()
        >>> assert_reproducible(train, in_process=True).steps
        1
    """
    __tracebackhide__ = True
    name = _checked(fn, "assert_reproducible")
    if in_process and _is_command(fn):
        raise LastbitError("in_process=True: a command runs in processes of its own; leave it out")
    why = "" if in_process is not None or _is_command(fn) else _stays(fn)
    if why:
        warnings.warn(
            f"{name} cannot travel to another process ({why}): both runs are made in this one, which does not see what "
            "differs between processes; write it at the top of a module, or say in_process=True",
            InThisProcess,
            stacklevel=2,
        )
    if in_process or why:
        if runs or timeout is not None:
            what = "runs" if runs else "timeout"
            raise LastbitError(f"leave {what} out: {name} is run in this process, and it is for runs in others")
        return _twice_here(fn, {"seed": seed, **settings})
    with _folder(out) as folder:
        from lastbit.studies.doctor.kind import DOCTOR
        from lastbit.studies.frame.make import make

        given = {"seed": seed, "runs": runs, "timeout": timeout, **settings}
        result = make(DOCTOR, fn, out=folder, quiet=True, **given).result
        if result.exit_code:
            rows = _rows(result.lines)
            said = _differing(name, result.outcomes[-1].how) if rows else result.verdict
            raise AssertionError(_told(said, rows, result.advice, folder))
        return Reproduced(
            steps=result.steps,
            tensors=result.tensors,
            bytes=result.bytes,
            settings=result.settings,
            in_this_process=False,
        )


def assert_last_bit_stable(
    fn: Trained,
    growth_at_most: float = 1e3,
    *,
    seed: int = 0,
    twins: int = 3,
    out: str | Path | None = None,
    **settings: Any,
) -> TwinGrowth:
    r"""Assert that training does not amplify a difference in the last bit by more than a factor.

    A twin is the training once more with a perturbation of the size of the last bit in every update. With
    $d_k(t)$ the L2 distance of all weights of twin $k$ from those of the unperturbed run after step $t$, what is
    bounded is

    $$
    g = \max_k \frac{d_k(T)}{d_k(1)},
    $$

    the final distance over that after the first step (the first recorded step at which the twin differs), the largest
    over the twins and optimizers. It has no unit. It is what `lastbit trace` finds.

    The distances of a `Task`, whose twins are trained in lock step, are exact. Those of a function or command are
    estimated from sketches, each within a 95% interval from $a\,d$ to $b\,d$ (about 0.85 and 1.21). $g$ then lies
    above $g\,a/b$ with a probability of at least 95%, and the assertion fails only where that lower end is above the
    bound: the error of the sketches alone fails no test. The sketches are the same in every run, so that a training
    that repeats always gets the same answer.

    Before any growth an exact repeat of the run must match it, and the perturbation must have landed.

    Args:
        fn: the training.
        growth_at_most: the bound on $g$, a positive number.
        seed: of all runs; of a command, what `{seed}` in it becomes.
        twins: perturbed runs beside the base run and its exact repeat.
        out: folder of the study, new or empty; by default a temporary one, which stays where the assertion fails.
        **settings: of the study and of a built-in task, as `lastbit.trace` takes them: `perturb="ulp"`, `epochs=1`.

    Returns:
        The largest growth, with its interval.

    Raises:
        AssertionError: the growth is above the bound, which says by how much, in which tensor most of the difference
            lies, and at which step the bound was passed; or a control failed: the training is not reproducible, or no
            perturbation landed, and no growth is named.
        LastbitError: `fn` is nothing that trains, makes no optimizer step, or fails by itself; or a setting is invalid.

    Example:
        >>> from lastbit.testing import assert_last_bit_stable
        >>> assert_last_bit_stable("digits", epochs=1, twins=1, train_size=256).factor < 1e3  # doctest: +SKIP
        True
    """
    __tracebackhide__ = True
    name = _checked(fn, "assert_last_bit_stable")
    bound = growth_at_most
    if isinstance(bound, bool) or not isinstance(bound, Real) or not math.isfinite(bound) or bound <= 0:
        raise LastbitError(f"growth_at_most = {bound!r}: write a factor above 0, such as 1e3")
    with _folder(out) as folder:
        from lastbit.studies.frame.make import make
        from lastbit.studies.trace.final_growth import largest_growth
        from lastbit.studies.trace.kind import TRACE

        # In this process, what a test defines needs not travel; measuring what more would bring takes longer.
        given = {"seed": seed, "twins": twins, "workers": 1, **settings}
        study = cast("TraceStudy", make(TRACE, fn, out=folder, quiet=True, **given))
        kind = study.result.verdict_kind
        if kind == "no_runs":
            raise LastbitError(f"{name}: {study.verdict}")
        if not study.result.passed:
            failed = next(member for member in study.result.members if member.silent)
            repeats = failed.verdict_kind != "not_reproducible"
            advice = study.result.advice if repeats else "assert_reproducible says why."
            raise AssertionError(_told(f"{name}: {failed.verdict}", [], advice, folder))
        growth = largest_growth(study, float(bound))
        if growth is None:
            raise AssertionError(_told(f"{name}: no twin differs from the base at any recorded step.", [], "", folder))
        if growth.low > bound:
            raise AssertionError(_told(*_grown(name, growth, float(bound), study), folder))
        return growth


def _checked(fn: Trained, asked: str) -> str:
    """Return what a training is called.

    Raises:
        LastbitError: it is none.
    """
    from lastbit.launch.program import CommandProgram
    from lastbit.tasks import Task
    from lastbit.tasks.function import TrainingFunction

    command = "a command is a list of words, such as ['python', 'train.py']"
    if isinstance(fn, str):
        if len(fn.split()) > 1:
            raise LastbitError(f"{asked} got {fn!r}: {command}; write {shlex.split(fn)!r}")
        return fn
    if isinstance(fn, list | tuple):
        if not fn or not all(isinstance(word, str) for word in fn):
            raise LastbitError(f"{asked} got {fn!r}: {command}")
        return CommandProgram.of(fn, {}).name
    if isinstance(fn, Task):
        return fn.name
    if not callable(fn):
        raise LastbitError(
            f"{asked} takes a function train(seed), a Task, the name of a task or a command as a list of words, "
            f"got {fn!r}"
        )
    return TrainingFunction(fn).name


def _is_command(fn: Trained) -> bool:
    return isinstance(fn, list | tuple)


def _stays(fn: Trained) -> str:
    """Return why a function or Task cannot travel to another process; nothing where it can."""
    if isinstance(fn, str):
        return ""
    try:
        ForkingPickler.dumps(fn)
    except Exception as error:
        return next(iter(str(error).splitlines()), type(error).__name__)
    module = getattr(getattr(fn, "func", fn), "__module__", None) or ""
    if not _importable(module):
        return f"its module {module} cannot be imported by that name"
    return ""


def _importable(module: str) -> bool:
    """Tell whether another process that searches the same path finds a module."""
    if module == "__main__":
        return hasattr(sys.modules[module], "__file__")
    place: Sequence[str] | None = None
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        # Not importlib.util.find_spec, which takes what this process has already imported, from wherever that was.
        name = ".".join(parts[:end])
        spec = next(filter(None, (finder.find_spec(name, place) for finder in sys.meta_path)), None)
        if spec is None:
            return False
        place = spec.submodule_search_locations
    return True


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """Give the folder of a study: a temporary one goes again, unless an error speaks of what is in it."""
    if out is not None:
        yield Path(out)
        return
    made = Path(tempfile.mkdtemp(prefix="lastbit-"))
    folder = made / "study"
    try:
        yield folder
    except BaseException:
        if not folder.exists():
            rmtree(made)
        raise
    rmtree(made)


def _twice_here(fn: Any, settings: Mapping[str, Any]) -> Reproduced:
    """Compare two runs in this process."""
    __tracebackhide__ = True
    from lastbit.studies.doctor.in_process import examined_here
    from lastbit.studies.doctor.verdict import answer_lines, doctor_verdict

    with tempfile.TemporaryDirectory(prefix="lastbit-") as folder:
        name, found = examined_here(fn, Path(folder), settings)
    said = doctor_verdict(name, [found])
    if said.kind != "identical":
        rows = _rows(answer_lines(found.finding))
        raise AssertionError(_told(_differing(name, found.how) if rows else said.sentence, rows, said.advice, None))
    return Reproduced(
        steps=found.steps, tensors=found.tensors, bytes=found.bytes, settings=found.settings, in_this_process=True
    )


def _differing(name: str, how: str) -> str:
    """Return what comes before the rows that say where: short, for what shows the tests of a job shortens messages."""
    how = {"lock step": "run at once", "one after the other": "run one after the other"}.get(how, how)
    return f"{name} is not reproducible: two runs with the same seed differ ({how})."


def _rows(lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the doctor's answer without what was not asked for, files here by their short names."""
    here = f"{Path.cwd()}{os.sep}"
    return [(what, said.removeprefix(here)) for what, said in lines if said != "not tried"]


def _grown(name: str, growth: TwinGrowth, bound: float, study: TraceStudy) -> tuple[str, list[tuple[str, str]], str]:
    """Return what is said of too large a growth: a sentence, rows, and what to do."""
    from lastbit.report.formatting import count, number, percent

    most = f"more than growth_at_most = {number(bound)}"
    interval = f"; at least {number(growth.low, 3)} with 95% certainty" if growth.low < growth.factor else ""
    by = f"by a factor of {number(growth.factor, 3)} ({growth.twin}{interval}), {most}"
    if math.isinf(growth.factor):
        by = f"without bound ({growth.twin}), {most}: the weights are not finite"
    rows = [
        ("Where", f"{growth.tensor} holds {percent(growth.tensor_share, 'most')} of the final difference"),
        ("When", f"above {number(bound)} from step {count(growth.passed_step)} of {count(growth.last_step)} on"),
    ]
    member = next(one for one in study.result.members if one.name == growth.member)
    for jump in member.jumps:
        if jump.twin == growth.twin:
            ends = f"between steps {count(jump.start)} and {count(jump.end)}"
            up_to = f", in the tensors up to {jump.last}" if jump.last else ""
            rows.append(("Largest jump", f"a factor of {number(jump.factor, 3)} {ends}{up_to}"))
    rows.append(("Trace", member.verdict))
    return f"{name}: a difference in the last bit grew {by}.", rows, ""


def _told(verdict: str, rows: Sequence[tuple[str, str]], advice: str, folder: Path | None) -> str:
    """Return the message of an assertion: a sentence, what is known line by line, and where all of it is."""
    lines = [verdict, *(f"{what}: {said}" for what, said in rows)]
    if advice and not rows:
        lines.append(advice)
    if folder is not None:
        lines.append(f"All of it: lastbit report {shlex.quote(str(folder))}")
    return "\n".join(lines)
