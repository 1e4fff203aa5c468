"""A session whose runs are trained several at once, in processes or on a cluster, is the session of one by one."""

import signal

import pytest
from ray_clusters import started_cluster

import lastbit as lb
from lastbit.store import Ledger
from lastbit.studies.frame.execution import Interrupted
from lastbit.studies.gate import session_runs


def runs(folder):
    """What a session came to: every run with its seed, value and bits."""
    status = Ledger.read(folder)
    mine = [run for one in (*status.epochs, *status.candidates) for run in one.runs]
    return [(run.run, run.seed, run.state, run.value, run.digest) for run in sorted(mine, key=lambda run: run.run)]


def session(desk, name, **how):
    """Decide about two candidates, and return the decisions and the runs."""
    folder = desk.folder / name
    answers = [desk(one, ledger=folder, **how) for one in ("worse", "crashing")]
    return [(answer.verdict_kind, answer.candidate) for answer in answers], runs(folder)


@pytest.mark.slow
def test_processes_that_train_several_runs_at_once_decide_the_same(desk):
    assert session(desk, "at-once", workers=2) == session(desk, "one-by-one")


@pytest.mark.evidence
def test_a_cluster_decides_the_same(desk):
    with started_cluster(nodes=2) as cluster:
        given = {"executor": "ray", "ray_address": cluster.address}
        assert session(desk, "on-ray", **given) == session(desk, "one-by-one")


@pytest.mark.slow
def test_a_candidate_that_ends_its_process_ends_no_session(desk):
    answer = desk("ends", executor="processes", workers=1)
    assert (answer.verdict_kind, answer.why) == ("undecided", "crashed")
    assert "its process died (exit code 3)" in answer.verdict


def test_runs_are_taken_as_many_at_once_as_are_asked_for(desk, monkeypatch):
    sizes = []

    class Counted(session_runs.SerialExecutor):
        def run(self, jobs, on_event):
            sizes.append(len(jobs))
            super().run(jobs, on_event)

    monkeypatch.setattr(
        session_runs, "ProcessExecutor", lambda factory, *, threads, **more: Counted(factory, threads=threads)
    )
    desk("better", workers=4)
    # Of the baseline 5, then to 8, 16 and 32; of the candidate 1, 2, 4, 8, and on to what the decision took.
    baseline, candidate = 4 + 1 + 3 + 4 + 4, 1 + 1 + 2 + 4
    assert sum(sizes) == baseline + candidate
    assert max(sizes) == 4


def test_a_stop_that_a_program_swallows_is_no_crash_of_it(desk):
    programs = desk.folder / "programs.py"
    stops = "\n\ndef swallowing(seed):\n    import signal\n    try:\n        signal.raise_signal(signal.SIGINT)\n"
    programs.write_text(programs.read_text() + stops + "    except KeyboardInterrupt:\n        raise ValueError\n")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="finished runs are safe"):
        desk("swallowing")
    assert signal.getsignal(signal.SIGINT) is before
    [row] = lb.gate_status(desk.folder / "session").session.candidates
    assert row.why != "crashed"
