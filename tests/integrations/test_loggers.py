"""A small study in each logger, through the real library, read back by its own reader where there is one."""

import json
import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import lastbit as lb
from lastbit.cli import main
from lastbit.integrations import mlflow as to_mlflow
from lastbit.integrations import tensorboard as to_tensorboard
from lastbit.integrations import wandb as to_wandb
from lastbit.integrations.logged import logged, numbers_of_record
from lastbit.launch.metrics.tensorboard import scalars

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.evidence,
    # The libraries' own.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An audit of a toy: two seeds, two twins each."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=generator)
    y = (x[:, 0] > 0).long()
    task = lb.Task(
        name="toy",
        model=lambda: nn.Linear(4, 2),
        train=(x, y),
        test=(x, y),
        loss=nn.functional.cross_entropy,
        metric=lb.ACCURACY,
        optimizer=lambda params: torch.optim.SGD(params, lr=0.5, momentum=0.9),
        batch_size=16,
        epochs=4,
    )
    folder = tmp_path_factory.mktemp("study") / "toy-audit"
    return lb.audit(task, seeds=2, perturbations=2, workers=1, out=folder, quiet=True)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(sink):
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.ones(8, 2), torch.ones(8, 1)
    loss_fn = nn.functional.mse_loss
    with lb.StabilityMonitor(model, optimizer, loss_fn, (x, y), every=2, budget=None, sinks=[sink]) as monitor:
        for _ in range(6):
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    assert len(monitor.records) == 3
    return monitor.records


def of_run(run):
    """What is logged of a run: (name, step, value), however often."""
    found = Counter((name, *point) for name, points in run.series.items() for point in points)
    return found + Counter((name, run.selected, value) for name, value in run.numbers.items())


def expected(study):
    """By run, "" for the study itself."""
    told = logged(study)
    assert len(told.runs) == 6
    return {"": Counter((name, 0, value) for name, value in told.numbers.items())} | {
        run.name: of_run(run) for run in told.runs
    }


def as_float32(counted):
    return Counter({(name, step, float(np.float32(value))): n for (name, step, value), n in counted.items()})


# --- TensorBoard


def event_files(folder):
    return [path for path in folder.iterdir() if "tfevents" in path.name]


def written(folder):
    return Counter(
        (one.tag, one.step, one.value) for path in event_files(folder) for one in scalars(path) if one.value is not None
    )


def test_tensorboard_has_the_study_and_has_it_once(study, here):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    mine = here / "runs" / "toy-audit" / "events.out.tfevents.1.mine"
    mine.parent.mkdir(parents=True)
    mine.touch()
    assert main(["log", str(study.path), "--to", "tensorboard"]) == 0
    folder = here / "runs" / "toy-audit"
    told = event_accumulator.EventAccumulator(str(folder / "seed000-p001"))
    told.Reload()
    for again in (False, True):
        for name, counted in expected(study).items():
            assert written(folder / name) == as_float32(counted), (name, again)
        assert json.loads((folder / "result.json").read_text("utf-8")) == study.to_json()
        assert b"plotly" in (folder / "report.html").read_bytes()
        # One who has read the files of before is told that they are void.
        told.Reload()
        assert [one.step for one in told.Scalars("accuracy")] == [4, 8, 12, 16]
        assert lb.log(study, to="tensorboard") == "runs/toy-audit: tensorboard --logdir runs shows it"
    assert mine.exists()
    read = event_accumulator.EventAccumulator(str(folder))
    read.Reload()
    (text,) = read.Tensors("verdict/text_summary")
    assert study.verdict in text.tensor_proto.string_val[0].decode()


def test_tensorboards_folder_is_no_study_and_can_be_written(study, here, capsys):
    pytest.importorskip("tensorboard")
    (here / "file").touch()
    for at, said in (
        ("file", "cannot write to file"),
        (str(study.path.parent), "is a study, which would be overwritten"),
    ):
        assert main(["log", str(study.path), "--to", "tensorboard", "--at", at]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
    assert lb.open_study(study.path).to_json() == study.to_json()


def test_tensorboard_shows_the_monitor(here):
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(here / "live")) as writer:
        records = trained(to_tensorboard.sink(writer))
    found = Counter((name, one.step, value) for one in records for name, value in numbers_of_record(one).items())
    assert written(here / "live") == as_float32(found)


# --- MLflow


@pytest.fixture(params=["sqlite", "files"])
def mlflow(request, here, monkeypatch):
    """MLflow with a store of its own, and where that is; a database needs the whole of MLflow."""
    library = pytest.importorskip("mlflow")
    place = f"sqlite:///{here / 'mlflow.db'}" if request.param == "sqlite" else (here / "mlruns").as_uri()
    if request.param == "sqlite":
        pytest.importorskip("sqlalchemy")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    library.set_tracking_uri(place)
    yield library, place
    while library.active_run():
        library.end_run()
    library.set_tracking_uri(None)


def history(client, run):
    found = Counter()
    for key in client.get_run(run.info.run_id).data.metrics:
        found += Counter((key, one.step, one.value) for one in client.get_metric_history(run.info.run_id, key))
    return found


def test_mlflow_has_the_study(study, mlflow, here, capsys):
    library, place = mlflow
    client = library.MlflowClient(tracking_uri=place)
    assert main(["log", str(study.path), "--to", "mlflow", "--project", "mine", "--at", place]) == 0
    experiment = client.get_experiment_by_name("mine")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    parent = runs.pop("toy-audit")
    assert parent.info.run_id in capsys.readouterr().out
    wanted = expected(study)
    assert history(client, parent) == wanted.pop("")
    assert {name: history(client, run) for name, run in runs.items()} == wanted
    assert {run.data.tags["mlflow.parentRunId"] for run in runs.values()} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *runs.values())} == {"FINISHED"}
    assert parent.data.tags["lastbit.verdict"] == study.verdict
    assert parent.data.tags["mlflow.note.content"].startswith(study.verdict)
    assert runs["seed001-p001"].data.params["seed"] == "1"
    files = {one.path for one in client.list_artifacts(parent.info.run_id)}
    assert files == {"report.html", "result.json"}
    got = client.download_artifacts(parent.info.run_id, "result.json", str(here))
    with open(got, encoding="utf-8") as file:
        assert json.load(file) == study.to_json()


def test_mlflow_shows_the_monitor(mlflow):
    library, _ = mlflow
    with pytest.raises(lb.LastbitError, match=r"call mlflow.start_run\(\) first"):
        to_mlflow.sink()
    with library.start_run() as run:
        records = trained(to_mlflow.sink())
    found = Counter((name, one.step, value) for one in records for name, value in numbers_of_record(one).items())
    assert history(library.MlflowClient(), run) == found


@pytest.mark.parametrize("at", ["http://127.0.0.1:9", "nonsense://x", "sqlite:////nowhere/at/all.db"])
def test_a_place_that_mlflow_does_not_reach_is_one_line(at, study, capsys):
    pytest.importorskip("mlflow")
    assert main(["log", str(study.path), "--to", "mlflow", "--at", at]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert at in line
    assert "--at" in line


# --- W&B


@pytest.fixture
def wandb(here, monkeypatch):
    library = pytest.importorskip("wandb")
    for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(here / name.lower()))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(here / "netrc"))
    library.teardown()
    yield library
    library.teardown()


def records_of(path):
    """The records of W&B's file: a log of LevelDB (doc/log_format.md there) of protocol buffers behind seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        if kind == 0:
            break
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def key_of(item):
    return item.key or ".".join(item.nested_key)


def offline_runs(library, folder):
    """Each run by its name: what it says of itself, its rows, its summary, its artifacts."""
    library.teardown()  # its service writes on after a run is finished
    found = {}
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        run, rows, summary, artifacts = None, [], {}, []
        for record in records_of(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
            elif kind == "history":
                items = {key_of(item): json.loads(item.value_json) for item in record.history.item}
                rows.append({"_step": record.history.step.num, **items})
            elif kind == "summary":
                summary |= {key_of(item): json.loads(item.value_json) for item in record.summary.update}
            elif kind == "artifact":
                artifacts.append(record.artifact)
        found[run.display_name] = (run, rows, summary, artifacts)
    return found


def test_wandb_has_the_study_offline(study, wandb, here, capsys):
    assert main(["log", str(study.path), "--to", "wandb", "--project", "mine", "--at", "logs"]) == 0
    assert "wandb sync" in capsys.readouterr().out
    runs, told = offline_runs(wandb, here / "logs"), logged(study)
    run, rows, summary, artifacts = runs.pop("toy-audit")
    assert (run.project, run.run_group, run.job_type, run.notes) == ("mine", "toy-audit", "study", study.verdict)
    assert summary["verdict"] == study.verdict
    assert {name: summary[name] for name in told.numbers} == told.numbers
    assert [row["report._type"] for row in rows if "report._type" in row] == ["html-file"]
    (panel,) = (here / "logs").glob("wandb/*/files/media/html/*.html")
    assert b"plotly" in panel.read_bytes()
    (artifact,) = artifacts
    assert {one.path for one in artifact.manifest.contents} == {"report.html", "result.json"}
    assert runs.keys() == {one.name for one in told.runs}
    for one in told.runs:
        run, rows, summary, _ = runs[one.name]
        assert (run.project, run.run_group, run.job_type) == ("mine", "toy-audit", "run")
        found = {(name, row["_step"], row[name]) for row in rows for name in row if not name.startswith("_")}
        assert found == {(name, *point) for name, points in one.series.items() for point in points}
        assert {name: summary[name] for name in one.numbers} == one.numbers


@pytest.mark.parametrize("callers_own", [False, True])
def test_wandb_shows_the_monitor(wandb, here, callers_own):
    with pytest.raises(lb.LastbitError, match=r"call wandb.init\(\) first"):
        to_wandb.sink()
    with wandb.init(project="mine", name="live", dir=str(here)) as run:
        send = to_wandb.sink()

        def sink(record):
            send(record)
            if callers_own:
                run.log({"loss": record.loss})

        records = trained(sink)
    _, rows, _, _ = offline_runs(wandb, here)["live"]
    found = [row for row in rows if "lastbit/step" in row]
    assert [row["lastbit/step"] for row in found] == [2, 4, 6]
    for row, record in zip(found, records, strict=True):
        assert {name: row[name] for name in numbers_of_record(record)} == numbers_of_record(record)
        assert row.get("loss") == (record.loss if callers_own else None)


@pytest.mark.parametrize(
    ("mode", "at", "said"),
    [
        ("online", "http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached"),
        ("disabled", "logs", "WANDB_MODE=disabled"),
        ("offline", "file", "cannot write to file"),
    ],
)
def test_what_wandb_cannot_log_is_one_line(mode, at, said, study, wandb, here, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", mode)
    (here / "file").touch()
    assert main(["log", str(study.path), "--to", "wandb", "--at", at]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert said in line


# --- The page


def test_the_snippets_of_the_page_run(here, monkeypatch, capsys):
    pytest.importorskip("tensorboard")
    monkeypatch.setattr("lastbit.train.executors.choose.default_workers", lambda: 1)
    page = (ROOT / "docs" / "loggers.md").read_text("utf-8")
    codes = re.findall(r"^```python excerpt: .*?\n(.*?)^```$", page, re.M | re.S)
    assert len(codes) == 3
    for code in codes:
        exec(compile(code, "docs/loggers.md", "exec"), {"__name__": "docs"})
    assert {path.name for path in (here / "runs").iterdir()} == {"audit-digits-001", "mine"}
    assert "result/sigma_last_bit.low" in capsys.readouterr().out
    assert {one.step for path in event_files(here / "runs" / "mine") for one in scalars(path)} == {5, 10, 15, 20}
