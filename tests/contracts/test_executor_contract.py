"""What every executor owes: each job's result once, siblings that go on, and nothing left behind."""

import importlib
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ray_clusters import started_cluster

from lastbit.core.errors import LastbitError
from lastbit.train.executors.away import Luggage
from lastbit.train.executors.choose import EXECUTORS, ExecutorChoice, choose_executor, default_workers
from lastbit.train.executors.on_ray import RayExecutor, RayRoom
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.executors.ray_cluster import joined
from lastbit.train.executors.replicas import ReplicasExecutor
from lastbit.train.executors.serial import SerialExecutor
from lastbit.train.jobs import Crashed, Finished, Job, Progressed, Started, Together

HELPERS = str(Path(__file__).parents[1] / "support")


def on_ray(factory, workers, threads):
    luggage = Luggage(factory=pickle.dumps(factory), threads=threads, modules=(HELPERS,))
    return RayExecutor(luggage, RayRoom(address="auto", most=workers))


MADE = {
    "serial": lambda factory, workers, threads: SerialExecutor(factory, threads=threads),
    "processes": lambda factory, workers, threads: ProcessExecutor(factory, workers=workers, threads=threads),
    "replicas": lambda factory, workers, threads: ReplicasExecutor(
        factory, together=Together("stack", 3), threads=threads
    ),
    "ray": on_ray,
}
SLOWLY = {"ray": [pytest.mark.evidence]}
every_executor = pytest.mark.parametrize(
    "executor", [pytest.param(name, marks=SLOWLY.get(name, ())) for name in MADE], indirect=True
)


@pytest.fixture
def executor(request):
    if request.param == "ray":
        request.getfixturevalue("on_a_cluster")
    return MADE[request.param]


@pytest.fixture(scope="module")
def on_a_cluster():
    """A cluster of two nodes of one CPU each, which this process is in."""
    with started_cluster(nodes=2) as cluster, joined(cluster.address, 1):
        yield cluster


def test_every_executor_of_the_register_keeps_the_contract():
    assert MADE.keys() == {*EXECUTORS, "ray"}


@pytest.fixture
def helpers(monkeypatch):
    monkeypatch.syspath_prepend(HELPERS)
    return importlib.import_module("executor_workers")


@pytest.fixture
def factory(helpers, tmp_path):
    (tmp_path / "notes").mkdir()
    return helpers.Factory(str(tmp_path / "notes"))


def jobs(*payloads):
    return [Job(name=f"job{index}", payload=payload) for index, payload in enumerate(payloads)]


def children():
    """The live child processes of this one, by the kernel's account."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z" and "lastbit.train.executors.child" in _command(path.parent):
            found.append(int(path.parent.name))
    return found


def _command(folder):
    try:
        return (folder / "cmdline").read_text()
    except OSError:
        return ""


def run(executor, work):
    events = []
    executor.run(work, events.append)
    return events


def results(events):
    return {event.job.name: event.result for event in events if isinstance(event, Finished)}


@every_executor
def test_every_job_once_with_its_result(executor, factory, helpers):
    threads = torch.get_num_threads()
    events = run(executor(factory, 2, 1), jobs(*(("square", n) for n in range(6))))
    assert {name: value for name, (value, _) in results(events).items()} == {f"job{n}": n * n for n in range(6)}
    for n in range(6):
        mine = [event for event in events if event.job.name == f"job{n}"]
        assert [type(event) for event in mine] == [Started, Progressed, Finished]
        assert (mine[0].attempt, mine[1].state, mine[2].attempt) == (1, n, 1)
    said = helpers.notes(factory.folder)
    workers = {pid for _, pid in results(events).values()}
    # A process makes its worker once, whatever it runs after that.
    made = [line for line in said if line.startswith("made")]
    assert {int(line.split()[1]) for line in made} >= workers
    assert len(made) == len(set(made)) <= 2
    assert sorted(line for line in said if line.startswith("ran")) == [f"ran square {n}" for n in range(6)]
    assert children() == []
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("how", ["fails", "refuses", "ends"])
@pytest.mark.parametrize("name", ["serial", "replicas"])
def test_a_ctrl_c_that_a_job_swallows_stops_the_jobs_of_this_process(name, how, factory, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    events = []
    try:
        with pytest.raises(KeyboardInterrupt):
            MADE[name](factory, 1, 1).run(jobs(("stopped", how), ("square", 2)), events.append)
    finally:
        signal.signal(signal.SIGINT, before)
    # What had ended is kept, and nothing is taken for a crash.
    own = [type(event) for event in events if event.job.name == "job0"]
    assert own == [Started, *[Finished] * (how == "ends")]
    assert not any(isinstance(event, Crashed) for event in events)


@every_executor
def test_no_jobs_is_no_work(executor, factory):
    assert run(executor(factory, 2, 1), []) == []
    assert children() == []


@every_executor
def test_a_job_that_raises_is_tried_twice_and_the_others_go_on(executor, factory):
    work = jobs(("raises", 1), ("square", 2), ("raises_once", 3), ("square", 4), ("leaves", 0))
    events = run(executor(factory, 1, 1), work)
    crashed = {(e.job.name, e.attempt, e.message, e.final) for e in events if isinstance(e, Crashed)}
    assert crashed == {
        ("job0", 1, "ValueError: no 1 and more", False),
        ("job0", 2, "ValueError: no 1 and more", True),
        ("job2", 1, "RuntimeError: the first time", False),
        ("job4", 1, "SystemExit: 0", False),
        ("job4", 2, "SystemExit: 0", True),
    }
    found = results(events)
    assert found.keys() == {"job1", "job2", "job3"}
    assert found["job2"] == 3
    assert [event.attempt for event in events if isinstance(event, Finished) and event.job.name == "job2"] == [2]


DEATHS = {
    "exits": "its process died (exit code 7)",
    "kills_itself": "its process died (killed by signal 9, often because memory ran out)",
    "dies_speaking": "its process died (exit code 1)",
    "unsendable": "TypeError: cannot pickle '_thread.lock' object",
}


@pytest.mark.parametrize(
    ("workers", "actions"),
    [
        (1, ["kills_itself"]),
        pytest.param(2, ["kills_itself"], marks=pytest.mark.slow),
        pytest.param(2, ["exits", "unsendable", "dies_speaking"], marks=pytest.mark.slow),
    ],
    ids=["alone", "one", "many"],
)
def test_a_process_that_dies_is_replaced_and_its_job_tried_once_more(factory, workers, actions):
    work = jobs(*[(action, 7) for action in actions], ("square", 2), ("square", 3))
    events = run(ProcessExecutor(factory, workers=workers), work)
    for job, action in zip(work, actions, strict=False):
        mine = [(e.attempt, e.message, e.final) for e in events if isinstance(e, Crashed) and e.job is job]
        assert mine == [(1, DEATHS[action], False), (2, DEATHS[action], True)]
    assert sorted(value for value, _ in results(events).values()) == [4, 9]
    assert children() == []


@pytest.mark.slow
def test_processes_that_last_do_further_jobs_until_they_are_closed(factory):
    executor = ProcessExecutor(factory, workers=1, lasting=True)
    first, second = (results(run(executor, jobs(("square", n))))["job0"] for n in (2, 3))
    assert (first[0], second[0]) == (4, 9)
    assert first[1] == second[1]
    with pytest.raises(LastbitError, match="the disk is full"):
        run(executor, jobs(("stops", 1)))
    assert not children()
    assert results(run(executor, jobs(("square", 4))))["job0"][1] != first[1]
    executor.close()
    assert not children()


def test_a_process_that_dies_with_nothing_to_do_is_no_crash(factory):
    executor, events = ProcessExecutor(factory, workers=2), []

    def on_event(event):
        events.append(event)
        if isinstance(event, Progressed):
            (idle,) = set(children()) - {event.state}
            os.kill(idle, signal.SIGKILL)

    try:
        executor.steps_per_second()
        executor.run(jobs(("sleeps", 0.3)), on_event)
    finally:
        executor.close()
    assert [type(event) for event in events] == [Started, Progressed, Finished]
    assert children() == []


def test_no_process_is_started_with_what_windows_does_not_have(factory, monkeypatch):
    class Asked(Exception):
        pass

    def on_windows(*args, **options):
        refused = {"pass_fds", "preexec_fn", "start_new_session", "process_group", "user", "group", "umask"}
        assert not refused & options.keys()
        raise Asked

    monkeypatch.setattr(subprocess, "Popen", on_windows)
    with pytest.raises(Asked):
        run(ProcessExecutor(factory, workers=1), jobs(("square", 1)))


@every_executor
def test_what_the_user_can_fix_stops_the_grid(executor, factory, helpers):
    work = jobs(("square", 1), ("stops", 0), *[("sleeps", 1.0)] * 30)
    with pytest.raises(LastbitError, match=r"^the disk is full: free some space$"):
        run(executor(factory, 2, 1), work)
    assert len(helpers.notes(factory.folder)) < len(work)
    assert children() == []


class Stop(Exception):
    pass


SLOW = [(Finished, Stop), (Finished, KeyboardInterrupt), (Progressed, KeyboardInterrupt)]
CALLERS = [
    pytest.param(name, kind, error, id=f"{name}-{kind.__name__}-{error.__name__}", marks=marks)
    for name in MADE
    for kind in (Started, Progressed, Finished)
    for error in (Stop, KeyboardInterrupt)
    for marks in ([pytest.mark.slow] if name == "processes" and (kind, error) in SLOW else SLOWLY.get(name, ()),)
]


@pytest.mark.parametrize(("executor", "kind", "error"), CALLERS, indirect=["executor"])
def test_a_caller_that_raises_leaves_no_process_alive(executor, factory, kind, error):
    """What `on_event` raises is the caller's: no job is blamed for it or tried again."""
    seen, threads = [], torch.get_num_threads()

    def on_event(event):
        seen.append(event)
        if isinstance(event, kind):
            raise error

    with pytest.raises(error):
        executor(factory, 1, 1).run(jobs(("square", 1), ("square", 2)), on_event)
    assert not [event for event in seen if isinstance(event, Crashed)]
    assert children() == []
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_processes_that_are_busy_are_ended_too(factory):
    begun = time.monotonic()

    def on_event(event):
        if isinstance(event, Progressed):
            assert event.state in children()
            raise Stop

    with pytest.raises(Stop):
        ProcessExecutor(factory, workers=2).run(jobs(("sleeps", 60), ("sleeps", 60)), on_event)
    assert children() == []
    assert time.monotonic() - begun < 40


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("lastbit", r"^the task has no examples$"),
        pytest.param(
            "exit",
            r"a worker process died before its first run \(exit code 3\): try --workers 1",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_worker_that_cannot_be_made_is_said(helpers, tmp_path, fails, message):
    executor = ProcessExecutor(helpers.Factory(str(tmp_path), fails), workers=1)
    try:
        with pytest.raises(LastbitError, match=message):
            executor.steps_per_second()
    finally:
        executor.close()
    assert children() == []


def test_what_cannot_be_loaded_in_a_process_is_said_once(helpers):
    with pytest.raises(LastbitError, match=r"cannot load what it should run \(ImportError: no module named 'mine'\)"):
        run(ProcessExecutor(helpers.Unloadable(), workers=1), jobs(("square", 1)))
    assert children() == []


def test_what_cannot_be_sent_leaves_no_process(helpers):
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        run(ProcessExecutor(lambda: None, workers=1), jobs(("square", 1)))
    assert children() == []


def test_threads_are_those_asked_for(factory):
    before = torch.get_num_threads()
    assert results(run(SerialExecutor(factory, threads=2), jobs(("threads", 0)))) == {"job0": 2}
    assert torch.get_num_threads() == before


def test_measured_processes_go_on_to_run_on_the_threads_asked_for(factory, helpers):
    before = torch.get_num_threads()
    executor = ProcessExecutor(factory, workers=2, threads=2)
    assert executor.steps_per_second() == 8
    assert results(run(executor, jobs(("threads", 0)))) == {"job0": 2}
    assert torch.get_num_threads() == before
    said = helpers.notes(factory.folder)
    assert len([line for line in said if line.startswith("made")]) == 2
    assert children() == []


def test_a_measured_worker_goes_on_to_run_in_this_process(factory, helpers):
    executor = SerialExecutor(factory, threads=1)
    assert executor.steps_per_second() == 4
    run(executor, jobs(("square", 1)))
    assert len([line for line in helpers.notes(factory.folder) if line.startswith("made")]) == 1


@pytest.mark.parametrize(
    ("one", "shared", "several", "expected"),
    [
        ([100, 100], [110, 110], [182, 182], (2, 1)),
        ([100, 100], [90, 90], [67, 67], (1, 1)),
        ([100, 100], [150, 150], [140, 140], (2, 1)),  # three threads are not clearly faster than two processes
        ([100, 100], [190, 190], [140, 140], (1, 3)),
        ([100, 100], [60, 150], [90, 110], (1, 3)),  # of each way the best moment counts
    ],
)
def test_the_choice_follows_the_measurement(monkeypatch, factory, one, shared, several, expected):
    closed, left = [], {1: list(one), 3: list(shared)}
    monkeypatch.setattr("lastbit.train.executors.choose.default_workers", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(SerialExecutor, "steps_per_second", lambda self: left[self._threads].pop(0))
    monkeypatch.setattr(ProcessExecutor, "steps_per_second", lambda self, left=list(several): left.pop(0))
    monkeypatch.setattr(ProcessExecutor, "close", lambda self: closed.append(self))
    choice, executor = choose_executor(factory, None, 6)
    assert (choice.workers, choice.threads) == expected
    assert type(executor) is (ProcessExecutor if expected[0] == 2 else SerialExecutor)
    assert len(closed) == (expected[0] == 1)
    assert choice.reason == (
        f"measured: 100 steps/s with 1 thread, {max(shared)} steps/s with 3 threads, {max(several)} steps/s with "
        "2 processes"
    )


def test_the_threads_of_one_process_are_measured_where_a_step_is_large(monkeypatch, factory):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(SerialExecutor, "steps_per_second", lambda self: 100.0 * self._threads**0.5)
    assert choose_executor(factory, 1, 6)[0].threads == 3
    monkeypatch.setattr(SerialExecutor, "steps_per_second", lambda self: 100.0 / self._threads)
    assert choose_executor(factory, 1, 6)[0].threads == 1


def test_what_the_users_code_raises_in_a_measured_step_is_said(helpers, factory, monkeypatch):
    def fails(self):
        raise SystemExit(0)

    monkeypatch.setattr(helpers.Worker, "step_seconds", fails)
    with pytest.raises(LastbitError, match=r"^the first steps of the training raised SystemExit: 0$"):
        SerialExecutor(factory, threads=1).steps_per_second()


def test_a_measurement_that_fails_closes_the_processes(monkeypatch, factory):
    closed = []

    def fail(self):
        raise LastbitError("no step")

    monkeypatch.setattr("lastbit.train.executors.choose.default_workers", lambda: 2)
    monkeypatch.setattr(SerialExecutor, "steps_per_second", lambda self: 10.0)
    monkeypatch.setattr(ProcessExecutor, "steps_per_second", fail)
    monkeypatch.setattr(ProcessExecutor, "close", lambda self: closed.append(self))
    with pytest.raises(LastbitError, match="no step"):
        choose_executor(factory, None, 6)
    assert len(closed) == 1


@pytest.mark.parametrize(
    ("asked", "cores", "count", "expected"),
    [
        ({"workers": 3}, 4, 9, (3, 1)),
        ({"workers": 8}, 4, 3, (3, 1)),
        ({"workers": 1}, 4, 9, (1, 1)),
        ({}, 1, 9, (1, 1)),
        ({}, 4, 1, (1, 1)),
        ({"workers": 3, "threads": 2}, 4, 9, (3, 2)),
        ({"workers": 1, "threads": 7, "small": False}, 4, 9, (1, 7)),
        ({"threads": 4, "small": False}, 4, 9, (1, 4)),
    ],
)
def test_what_is_asked_for_is_not_measured(monkeypatch, factory, asked, cores, count, expected):
    monkeypatch.setattr("lastbit.train.executors.choose.default_workers", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    monkeypatch.setattr(SerialExecutor, "steps_per_second", pytest.fail)
    monkeypatch.setattr(ProcessExecutor, "steps_per_second", pytest.fail)
    settings = {"small": True, "workers": None, **asked}
    choice, executor = choose_executor(factory, settings.pop("workers"), count, **settings)
    assert (choice.workers, choice.threads) == expected
    assert type(executor) is type(ExecutorChoice(*expected, "").build(factory))
    assert isinstance(executor, SerialExecutor) == (expected[0] == 1)


def test_the_number_of_workers_is_that_of_the_cores_this_process_may_use():
    assert default_workers() == len(os.sched_getaffinity(0))


def test_where_a_process_cannot_be_bound_to_cores_it_may_use_all(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert default_workers() == 6


def test_processes_import_nothing_from_the_working_folder_in_place_of_pythons(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("random", "secrets", "torch", "numpy", "json"):
        (mine / f"{name}.py").write_text(f"raise RuntimeError('this {name} is the user's')\n")
    (mine / "only_mine.py").write_text("VALUE = 3\n")
    monkeypatch.chdir(mine)
    monkeypatch.setattr(sys, "path", ["", str(mine), *sys.path, HELPERS])
    (tmp_path / "notes").mkdir()
    factory = importlib.import_module("executor_workers").Factory(str(tmp_path / "notes"))
    # What only that folder has is found there, as a pickled task of the user's may need it.
    events = run(ProcessExecutor(factory, workers=1), jobs(("imports", "random"), ("imports", "only_mine")))
    found = results(events)
    assert found["job0"] == __import__("random").__file__
    assert found["job1"] == str(mine / "only_mine.py")


SCRIPT = """
import os, sys
with open(os.path.join(os.environ["NOTES"], "script"), "a") as file:
    file.write("run ")
sys.path.insert(0, os.environ["HELPERS"])
from executor_workers import Factory
from lastbit.train.executors.processes import ProcessExecutor
from lastbit.train.jobs import Finished, Job, Progressed

def on_event(event):
    if isinstance(event, Finished):
        print("finished", event.result[0], flush=True)
    if isinstance(event, Progressed):
        print("busy", event.state, flush=True)

payloads = [(sys.argv[1], int(sys.argv[2]))]
jobs = [Job(name=str(i), payload=payload) for i, payload in enumerate(payloads)]
ProcessExecutor(Factory(os.environ["NOTES"]), workers=1).run(jobs, on_event)
"""


def started(tmp_path, *arguments):
    script = tmp_path / "unguarded.py"
    script.write_text(SCRIPT)
    (tmp_path / "notes").mkdir()
    environment = {**os.environ, "NOTES": str(tmp_path / "notes"), "HELPERS": HELPERS}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_script_without_a_main_guard_runs_once(tmp_path):
    with started(tmp_path, "square", "3") as script:
        assert script.stdout.read() == "busy 3\nfinished 9\n"
    assert script.returncode == 0
    assert (tmp_path / "notes" / "script").read_text() == "run "


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_parent_that_is_killed_takes_its_processes_with_it(tmp_path, number):
    with started(tmp_path, "sleeps", "60") as script:
        child = int(script.stdout.readline().split()[1])
        assert alive(child)
        # It has no main guard, and its process did not run it again.
        assert (tmp_path / "notes" / "script").read_text() == "run "
        script.send_signal(number)
        script.wait()
        deadline = time.monotonic() + 2
        while alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not alive(child)


@pytest.mark.slow
def test_ctrl_c_ends_the_grid_and_its_processes_say_nothing(tmp_path):
    script = started(tmp_path, "sleeps", "60")
    with script:
        child = int(script.stdout.readline().split()[1])
        os.kill(child, signal.SIGINT)  # as a terminal sends it to the whole group
        time.sleep(0.2)
        assert alive(child)
        script.send_signal(signal.SIGINT)
        script.wait()
    assert script.returncode != 0
    assert not alive(child)


def test_what_raises_in_a_step_of_all_takes_none_of_the_others_with_it(factory):
    work = jobs(("square", 2), ("spoils", 0), ("square", 3), ("square", 4))
    events = run(ReplicasExecutor(factory, together=Together("stack", 3), threads=1), work)
    crashed = [(e.job.name, e.attempt, e.final) for e in events if isinstance(e, Crashed)]
    assert crashed == [("job0", 1, False), ("job1", 1, False), ("job2", 1, False), ("job1", 2, True)]
    assert {name: value for name, (value, _) in results(events).items()} == {"job0": 4, "job2": 9, "job3": 16}
