"""Sinks of the monitor: every record at its step, and a logger that fails ends no training."""

import sys
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import ModuleType, SimpleNamespace

import pytest
import torch

import lastbit as lb
from lastbit.integrations import mlflow, tensorboard, wandb
from lastbit.integrations.library import check_answers, first_sentence, forgiving
from lastbit.integrations.logged import numbers_of_record


def trained(sink, steps=12):
    """The records of a training of a few steps, measured at every fourth."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(8, n, generator=generator) for n in (2, 1))
    loss_fn = torch.nn.functional.mse_loss
    with lb.StabilityMonitor(model, optimizer, loss_fn, (x, y), every=4, budget=None, sinks=[sink]) as monitor:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    return monitor.records


class Writer:
    def __init__(self):
        self.written = []

    def add_scalar(self, name, value, step):
        self.written.append((step, name, value))


def test_tensorboard_gets_each_number_at_its_step():
    writer = Writer()
    records = trained(tensorboard.sink(writer))
    assert [record.step for record in records] == [4, 8, 12]
    expected = [(one.step, name, value) for one in records for name, value in numbers_of_record(one).items()]
    assert writer.written == expected


def test_a_logger_that_fails_is_told_once_and_training_goes_on():
    def full(numbers, step):
        raise OSError(28, "No space left on device")

    with pytest.warns(UserWarning, match=r"TensorBoard does not take .*No space left") as told:
        records = trained(forgiving("TensorBoard", full))
    assert len(records) == 3
    assert len(told) == 1


def test_a_logger_that_recovers_gets_what_comes_then():
    taken = []

    def first_fails(numbers, step):
        if step == 4:
            raise RuntimeError("away")
        taken.append(step)

    with pytest.warns(UserWarning, match="away"):
        trained(forgiving("MLflow", first_fails))
    assert taken == [8, 12]


class Row:
    """A run of W&B as far as a sink sees it: rows that are filled until somebody commits one."""

    def __init__(self):
        self.step, self.rows, self.filling, self.axes = 0, [], {}, {}

    def define_metric(self, name, step_metric):
        self.axes[name] = step_metric

    def log(self, numbers, commit):
        self.filling |= numbers
        if commit:
            self.rows.append(self.filling)
            self.step, self.filling = self.step + 1, {}


@pytest.mark.parametrize("callers_own", [False, True])
def test_wandb_loses_no_record_and_takes_no_row_of_the_callers(callers_own):
    run = Row()
    send = wandb.sink(run)

    def sink(record):
        send(record)
        if callers_own:
            run.log({"loss": record.loss}, commit=True)

    records = trained(sink)
    run.log({}, commit=True)
    assert run.axes == {"lastbit/*": "lastbit/step"}
    found = [row for row in run.rows if "lastbit/step" in row]
    assert [row["lastbit/step"] for row in found] == [4, 8, 12]
    assert [row["lastbit/sharpness"] for row in found] == [record.sharpness for record in records]
    assert [row.get("loss") for row in found] == [record.loss if callers_own else None for record in records]
    assert len(found) == 3


@pytest.mark.parametrize("writer", [None, "runs", 3])
def test_what_is_no_writer_is_refused(writer):
    with pytest.raises(lb.LastbitError, match=r"give a torch.utils.tensorboard.Summary"):
        tensorboard.sink(writer)


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(401)

    def log_message(self, *said):
        pass


def test_a_server_that_refuses_is_one_that_answers():
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.handle_request, daemon=True).start()
        check_answers(f"http://127.0.0.1:{server.server_port}")
        address = f"http://127.0.0.1:{server.server_port}"
    with pytest.raises(lb.LastbitError, match=r"cannot be reached \(.*refused\): start it, or name another with --at"):
        check_answers(address)


@pytest.mark.parametrize(
    ("sqlalchemy", "place", "said"),
    [
        (None, "sqlite:///mlflow.db", "needs the whole of MLflow: pip install"),
        (None, "postgresql+psycopg2://db/x", "needs the whole of MLflow: pip install"),
        (ModuleType("sqlalchemy"), "sqlite:////nowhere/at/all.db", "make the folder /nowhere/at"),
    ],
)
def test_a_database_that_mlflow_would_try_for_long_is_refused(sqlalchemy, place, said, monkeypatch):
    monkeypatch.setattr(mlflow, "find_spec", {"sqlalchemy": sqlalchemy}.get)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(get_tracking_uri=lambda: place))
    with pytest.raises(lb.LastbitError, match=said):
        mlflow.send(None, project=None, at=None, progress=print)


def test_what_a_library_says_is_cut_to_its_first_sentence():
    assert first_sentence("The store\n is full. Please see mlflow.org. Or not.") == "The store is full"
    assert len(first_sentence("long " * 100)) == 200


def test_nothing_is_warned_of_where_nothing_fails():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained(tensorboard.sink(Writer()))
