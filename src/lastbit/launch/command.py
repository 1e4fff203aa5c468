"""One run of a command that was not written for lastbit, with every optimizer that steps in it perturbed.

The command runs in a session of its own, with the files, the working directory and the environment that it would have
had, but for `PYTHONPATH`, `LASTBIT_LAUNCH` and what makes it repeatable; see `docs/inside-your-process.md`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lastbit.core.errors import LastbitError
from lastbit.core.words import command_text
from lastbit.launch.process import Launched, launched
from lastbit.launch.records import OptimizerRecord, ProcessRecord, checksums_of, read_processes
from lastbit.launch.settings import Launch

__all__ = ["CommandRun", "ended_run", "run_command", "what_became_of"]

_LAST_LINES = 10


@dataclass(frozen=True)
class CommandRun:
    """What one run of a command left behind."""

    words: tuple[str, ...]
    """The command, with its seed put in."""
    exit_code: int
    """Negative: the signal that ended it."""
    seconds: float
    timed_out: bool
    stdout: Path
    stderr: Path
    last_lines: str
    """The last of stderr; of stdout where stderr is empty."""
    processes: tuple[ProcessRecord, ...]
    """Those that made an optimizer step."""
    reached: str
    """How far lastbit got: `nothing`, `python` or `torch`, in whichever process it got farthest."""
    troubles: tuple[str, ...]
    """What went wrong in lastbit's own part, which the program never saw."""
    output: Path
    """Where the last lines are from."""

    @property
    def ended_with(self) -> str:
        """`exit code 1`, or `signal 9`."""
        return f"exit code {self.exit_code}" if self.exit_code >= 0 else f"signal {-self.exit_code}"

    @property
    def last_line(self) -> str:
        """The last that it said, for an error."""
        said = self.last_lines.strip().splitlines()
        return said[-1].strip() if said else "it printed nothing"

    @property
    def steps(self) -> int:
        """Steps of all optimizers of all processes."""
        return sum(process.steps for process in self.processes)

    @property
    def optimizers(self) -> tuple[OptimizerRecord, ...]:
        """Of all processes."""
        return tuple(optimizer for process in self.processes for optimizer in process.optimizers)

    @property
    def perturbed(self) -> dict[str, str]:
        """How each class of optimizer was perturbed, or why not."""
        found: dict[str, list[str]] = {}
        for optimizer in self.optimizers:
            said = found.setdefault(optimizer.name, [])
            if (how := optimizer.refused or optimizer.perturbed) not in said:
                said.append(how)
        return {name: "; ".join(said) for name, said in found.items()}

    @property
    def checksums(self) -> dict[tuple[int, int, int], str]:
        """The checksums of the weights by process, optimizer and step."""
        return checksums_of(self.processes)

    def same_as(self, other: CommandRun) -> bool:
        """Tell whether both took the same steps and had the same weights wherever both were recorded."""
        mine, yours = self.checksums, other.checksums
        shape, others = ([(o.name, o.steps) for o in run.optimizers] for run in (self, other))
        return shape == others and all(mine[key] == yours[key] for key in mine.keys() & yours.keys())

    def check(self) -> None:
        """Check that an optimizer was perturbed.

        Raises:
            LastbitError: none took a step, which says how far lastbit got, or none could be perturbed.
        """
        self.check_steps(self.steps)
        if all(optimizer.refused for optimizer in self.optimizers):
            name = command_text(self.words)
            raise LastbitError(f"no optimizer of {name} can be perturbed: {self.optimizers[0].refused}")

    def check_steps(self, steps: int, name: str = "") -> None:
        """Check that there were steps at all.

        Args:
            steps: that were made.
            name: of what was run; the command without.

        Raises:
            LastbitError: there were none, which says how far lastbit got.
        """
        name = name or command_text(self.words)
        if not steps and self.troubles:
            lacks = "No module named" in self.troubles[0]
            cure = "; install lastbit into the environment of the Python that trains" if lacks else ""
            raise LastbitError(f"lastbit cannot work inside {name}: {self.troubles[0]}{cure}")
        if not steps:
            raise LastbitError(f"{name} made no optimizer step: {_NO_STEP[self.reached]}")


_NO_STEP = {
    "nothing": "no Python was reached; run the Python program itself, and let it keep PYTHONPATH and the environment "
    "(no env -i, no python -E, -I or -S in it)",
    "python": "no Python that imports torch was reached; lastbit reaches the optimizers of PyTorch, in a Python that "
    "keeps PYTHONPATH (no python -E, -I or -S)",
    "torch": "torch was imported and no torch.optim.Optimizer stepped; what is updated by hand, by Keras or by a "
    "framework of its own is not reached: give the command that trains, in which an optimizer of torch.optim steps",
}


def run_command(words: Sequence[str], launch: Launch) -> CommandRun:
    """Run a command once and return what became of it, whatever that is.

    Whatever it started has ended when this returns or raises; it ends too where this process is killed.

    Args:
        words: the command, word by word.
        launch: how it is run.

    Raises:
        LastbitError: there is no such program, or lastbit would not be reached in it.
    """
    with launched(words, launch) as one:
        one.wait(launch.timeout)
    return what_became_of(one)


def what_became_of(one: Launched) -> CommandRun:
    """Return what a command that has ended left behind.

    Raises:
        LastbitError: it could not be run.
    """
    code = one.program.exit_code
    return ended_run(one.words, one.folder, exit_code=code, seconds=one.seconds, timed_out=one.timed_out, own=one.own)


def ended_run(
    words: Sequence[str],
    folder: Path,
    *,
    seconds: float,
    exit_code: int = 0,
    timed_out: bool = False,
    own: tuple[int, int] | None = None,
) -> CommandRun:
    """Return what a run left in its folder.

    Args:
        words: the command, with its seed put in.
        folder: of `run_command`.
        seconds: that it took.
        exit_code: with which it ended.
        timed_out: whether it was ended for taking too long.
        own: bytes of its stdout and stderr before it was told to end; all by default.
    """
    stdout, stderr, records = folder / "stdout.txt", folder / "stderr.txt", folder / "records"
    printed, complained = own or (None, None)
    last, output = _tail(stderr, complained), stderr
    if not last:
        last, output = _tail(stdout, printed), stdout
    return CommandRun(
        tuple(words),
        exit_code,
        seconds,
        timed_out,
        stdout,
        stderr,
        last,
        read_processes(records),
        next((name for name in ("torch", "python") if (records / name).exists()), "nothing"),
        tuple(line for path in sorted(records.glob("trouble-*.txt")) for line in path.read_text("utf-8").splitlines()),
        output,
    )


def _tail(path: Path, size: int | None) -> str:
    """Return the last lines of the first bytes of a file."""
    with path.open("rb") as file:
        end = path.stat().st_size if size is None else size
        file.seek(max(0, end - 8192))
        lines = file.read(min(end, 8192)).decode("utf-8", "replace").splitlines()
    return "\n".join(lines[-_LAST_LINES:]).strip()
