"""A reference of the corpus, recorded once with its units of rounding, and candidates held against it one by one."""

import shutil
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Self

from same_corpus import CORPUS, Network, Pair

from lastbit.launch.forced.run import ForcedRun, Side, run_against, run_forced, run_moved
from lastbit.launch.forced.table import ForcedTable
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.studies.same.evidence import Evidence
from lastbit.studies.same.judge import Judgement, judge, staircase_needed

SAME = ("bit_for_bit", "same_up_to_rounding")


class Reference:
    """The reference of a network and seed.

    Args:
        network: of the corpus.
        seed: of the training.
        folder: takes the record and what the runs leave.
    """

    def __init__(self, network: Network, seed: int, folder: Path) -> None:
        self._words = (sys.executable, str(CORPUS / f"{network.name}.py"), "--seed", str(seed))
        self._folder = folder
        self._once = Lock()

    def __enter__(self) -> Self:
        """Record it, for candidates that are held against it at once."""
        assert self.record
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._folder)

    @cached_property
    def record(self) -> tuple[Path, ForcedTable]:
        """The file in which it is kept, and its control; made by seven runs when it is first asked for."""
        record = self._folder / "reference.zip"
        side = Side(self._words)
        return record, run_forced(side, side, self._launch("record"), control=False, record=record).candidate

    @cached_property
    def _moved(self):
        return run_moved(Side(self._words), self._launch("moved"))

    def against(self, pair: Pair) -> ForcedRun:
        """Hold a candidate against the record, with the staircase where it is needed."""
        side = Side((sys.executable, *pair.command[1:]), dict(pair.environment))
        record, control = self.record
        own = "-".join(("candidate", *pair.words, *map("=".join, pair.environment)))
        run = replace(run_against(record, side, self._launch(own)), control=control)
        if staircase_needed(thorough_evidence(run)):
            with self._once:
                moved = self._moved
            run = replace(run, staircase=(moved, run_moved(side, self._launch(f"{own}-moved"))))
        return run

    def _launch(self, name: str) -> Launch:
        return Launch(settings=LaunchSettings(threads=1), folder=self._folder / name, timeout=600)


def thorough_evidence(run: ForcedRun) -> Evidence:
    """Return what is judged without --quick."""
    return Evidence.of(
        run.candidate, control=run.control, jitters=run.jitters, double=run.double, staircase=run.staircase
    )


def quick_evidence(run: ForcedRun) -> Evidence:
    """Return what of it --quick would have had: one run that measures rounding, no control, no staircase."""
    return Evidence.of(run.candidate, jitters=run.jitters[:1])


def is_right(pair: Pair, judgement: Judgement) -> bool:
    """Tell whether the answer is that of the pair, and names first what is other, the tensor and step where known."""
    if pair.kind == "harmless":
        return judgement.answer in SAME
    if pair.kind == "arithmetic":
        return judgement.answer == "other_arithmetic"
    if judgement.answer != "different":
        return False
    first = judgement.findings[0]
    there = not pair.tensors or first.tensor.startswith(pair.tensors)
    return first.what in pair.what and there and pair.step in (None, first.step)


def both(run: ForcedRun) -> tuple[Judgement, Judgement]:
    """Return the judgements without and with --quick."""
    return judge(thorough_evidence(run)), judge(quick_evidence(run))
