"""A throw-away kind of study: all that a new kind has to say, and nothing that the frame does for it."""

from dataclasses import dataclass

from lastbit.core.keywords import setting
from lastbit.core.seeds import numpy_stream
from lastbit.core.status import RunStatus
from lastbit.report.blocks import Column, Row, Section, Table
from lastbit.report.formatting import number
from lastbit.store import RunRecord
from lastbit.studies.frame.kind import Cell, Kind, Trained
from lastbit.studies.frame.page import study_page
from lastbit.studies.frame.result import Result, Verdict, head
from lastbit.studies.frame.settings import StudySettings
from lastbit.studies.frame.study import Study


class PingSettings(StudySettings):
    echoes: int = setting("how often to answer", 3, ge=1)


@dataclass(frozen=True, kw_only=True)
class PingResult(Result):
    answers: tuple[float, ...]


def cells(settings, program):
    return [Cell(number=n, name=f"echo{n}", label=f"echo {n}", seed=n) for n in range(settings.echoes)]


def rehearse(plan, cell, task):
    pass


def train(work):
    answer = numpy_stream(work.job.cell.seed, "ping").random()
    for step in range(work.task.total_steps):
        work.progress(step)
    work.files(work.job.run).arrays({"answer": answer})
    record = RunRecord(
        run=work.job.run,
        cell=work.job.cell.number,
        role=work.job.role,
        label=work.job.label,
        status=RunStatus.OK,
        steps=(1,),
        metrics={"answer": [answer]},
    )
    return Trained(records=(record,), said=number(answer))


def conclude(folder):
    answers = tuple(float(folder.arrays(run.run)["answer"]) for run in folder.runs() if run.status == "ok")
    said = Verdict(f"{len(answers)} echoes came back.", "answered", "Ask again for more.")
    return PingResult(answers=answers, **head(folder, said, len(answers), len(folder.facts["cells"]), "run"))


def page(folder, result):
    rows = [Row((str(n), number(answer))) for n, answer in enumerate(result.answers)]
    sections = [Section("Answers", [Table((Column("echo"), Column("answer", True)), rows)], brief=True)]
    kinds = {"answered": ("pass", "Answered")}
    return study_page(folder, result, title="Ping", subtitle="", kinds=kinds, sections=sections)


PING = Kind(
    name="ping",
    called="a ping",
    counted="run",
    settings=PingSettings,
    result=PingResult,
    study=Study,
    cells=cells,
    rehearse=rehearse,
    train=train,
    conclude=conclude,
    page=page,
)
