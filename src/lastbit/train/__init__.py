"""One deterministic training run, and executors that run many."""

from lastbit.core.device import resolve_device
from lastbit.train.executors.choose import ExecutorChoice, choose_executor, default_workers
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.registry import EXECUTORS
from lastbit.train.executors.serial import SerialExecutor
from lastbit.train.jobs import Crashed, Event, Executor, Finished, Job, Progressed, Started, Worker, WorkerFactory
from lastbit.train.random_streams import VARY, Streams, streams
from lastbit.train.run import RunOutcome, run_training, step_seconds
from lastbit.train.training import Evaluation, Training
from lastbit.train.twins import TwinPlan, Twins, lock_step

__all__ = [
    "EXECUTORS",
    "VARY",
    "Crashed",
    "Evaluation",
    "Event",
    "Executor",
    "ExecutorChoice",
    "Finished",
    "Job",
    "ProcessExecutor",
    "Progressed",
    "RunOutcome",
    "SerialExecutor",
    "Started",
    "Streams",
    "Training",
    "TwinPlan",
    "Twins",
    "Worker",
    "WorkerFactory",
    "choose_executor",
    "default_workers",
    "lock_step",
    "resolve_device",
    "run_training",
    "step_seconds",
    "streams",
]
