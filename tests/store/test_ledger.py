"""The ledger of a session: what is fixed when, who may do what, and what is refused."""

import json
import math
import os
import sqlite3
import tempfile
from contextlib import ExitStack
from pathlib import Path

import gate_driver as driver
import pytest
from gate_driver import EFFECTS, TERMS, ended, in_child, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from lastbit.core.errors import LastbitError
from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.store import StorageError
from lastbit.store.ledger import Ledger, SessionFullError
from lastbit.store.ledger_records import RunState
from lastbit.store.ledger_session import Terms


@pytest.fixture
def ledger(tmp_path):
    with opened(tmp_path) as made:
        yield made


def refused(action, *args, **kwargs):
    with pytest.raises(LastbitError) as caught:
        action(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def topped_up(ledger, size=3):
    epoch = ledger.status().epoch.epoch
    while run := ledger.baseline_run(epoch, size):
        driver.finish(ledger, run, 0.0)


def decided(ledger, key, choice, **given):
    claim = ledger.claim(key)
    assert ledger.decide(claim.candidate, choice, {}, epoch=ledger.status().epoch.epoch, **given)
    return claim


def test_a_session_in_which_no_run_ended_can_be_withdrawn(tmp_path):
    with opened(tmp_path) as ledger, opened(tmp_path) as other:
        ledger.claim("good")
        assert not ledger.withdraw(), "another process works on it"
        other.close()
        assert ledger.withdraw()
    anew = Terms(fingerprint="f11", label="other.py", error_rate=0.1)
    with opened(tmp_path, anew, 3) as ledger:
        assert (ledger.status().label, ledger.status().declared, ledger.status().candidates) == ("other.py", 3, ())
        topped_up(ledger, 1)
        assert not ledger.withdraw(), "a run has ended"
        assert ledger.status().runs_spent == 1


def test_a_whole_session_reads_as_it_was_decided(tmp_path):
    with opened(tmp_path) as ledger:
        said = [driver.decide(ledger, key) for key in EFFECTS]
    status = Ledger.read(tmp_path)
    assert [one.decision.choice for one in status.candidates] == said
    assert said.count("keep") == status.keeps == len(status.epochs) - 1 > 1
    assert [one.key for one in status.candidates] == list(EFFECTS)
    assert status.candidates[0].decision.reasons["why"] == "same_bits"
    assert [one.counted for one in status.candidates] == [False] + [True] * 5
    assert (status.left, status.alpha_left) == (1, pytest.approx(0.05 / 6))
    assert status.runs_spent == sum(len(one.runs) for one in (*status.epochs, *status.candidates))
    keeps = [one.keeps for one in status.candidates]
    assert keeps == sorted(keeps)
    for before, after in zip(status.epochs, status.epochs[1:], strict=False):
        kept = status.of(after.candidate)
        seeds = {run.seed for run in after.runs}
        assert seeds.isdisjoint(run.seed for run in (*kept.runs, *before.runs)), "the new baseline is fresh runs"
    assert not list((tmp_path / "gate.owners").iterdir())
    assert json.loads(json.dumps(plain(status), allow_nan=False))["candidates"][0]["key"] == "same"


def test_only_the_first_run_shares_a_seed_with_the_baseline(ledger):
    topped_up(ledger)
    for key in ("a", "b"):
        claim = ledger.claim(key)
        for _ in range(3):
            driver.finish(ledger, ledger.candidate_run(claim.candidate, 3), 1.0)
        assert ledger.candidate_run(claim.candidate, 3) is None
    status = ledger.status()
    assert [run.seed for run in status.epoch.runs] == [0, 1, 2]
    assert [[run.seed for run in one.runs] for one in status.candidates] == [[0, 3, 4], [0, 5, 6]]


def test_the_level_of_a_candidate_is_fixed_when_it_is_claimed(ledger):
    early = ledger.claim("early")
    decided(ledger, "kept", "keep")
    ledger.declare(50)
    late = ledger.claim("late")
    assert (early.keeps, early.declared) == (0, 6)
    assert (late.keeps, late.declared) == (1, 50)
    again = ledger.claim("early")
    assert (again.candidate, again.keeps, again.declared, again.resumed) == (early.candidate, 0, 6, True)


def test_a_decision_stands_only_against_the_present_baseline(ledger):
    slow, epoch = ledger.claim("slow"), ledger.status().epoch.epoch
    decided(ledger, "fast", "keep")
    for choice in ("keep", "discard", "undecided"):
        assert not ledger.decide(slow.candidate, choice, {}, epoch=epoch)
    assert ledger.status().of(slow.candidate).decision is None
    assert ledger.baseline_run(epoch, 9) is None, "nor is the old baseline topped up"
    assert ledger.decide(slow.candidate, "keep", {}, epoch=epoch + 1)
    assert [one.candidate for one in ledger.status().epochs] == [None, 2, 1]


def test_what_was_decided_is_told_again_and_not_compared_again(ledger):
    first = decided(ledger, "a", "discard")
    told = ledger.claim("a")
    assert (told.candidate, told.decision.choice) == (first.candidate, "discard")
    assert "is not held by this process" in refused(ledger.candidate_run, told.candidate, 1)
    new = ledger.claim("a", again=True)
    assert (new.candidate, new.decision, new.resumed) == (2, None, False)


def test_an_undecided_candidate_is_taken_up_again_and_its_crash_retried(ledger):
    topped_up(ledger)
    claim = ledger.claim("a")
    run = ledger.candidate_run(claim.candidate, 2)
    ledger.finish(run.run, RunStatus.CRASHED, message="out of memory")
    other = ledger.candidate_run(claim.candidate, 2)
    driver.finish(ledger, other, 1.0)
    assert ledger.decide(claim.candidate, "undecided", {"why": "crashed"}, epoch=0)
    assert ledger.status().of(1).count(RunState.CRASHED) == 1
    again = ledger.claim("a")
    assert (again.candidate, again.decision, again.resumed) == (1, None, True)
    retried = ledger.candidate_run(1, 2)
    assert (retried.run, retried.seed, retried.attempts) == (run.run, run.seed, 2)
    assert ledger.decide(1, "discard", {}, epoch=0)
    assert [made.choice for made in ledger.status().of(1).decisions] == ["undecided", "discard"]


def test_a_failed_run_of_the_baseline_is_made_up_for_and_one_of_a_candidate_is_not(ledger):
    ledger.finish(ledger.baseline_run(0, 1).run, RunStatus.DIVERGED)
    driver.finish(ledger, ledger.baseline_run(0, 1), 0.0)
    assert ledger.baseline_run(0, 1) is None
    claim = ledger.claim("a")
    ledger.finish(ledger.candidate_run(claim.candidate, 1).run, RunStatus.DIVERGED, value=math.nan)
    assert ledger.candidate_run(claim.candidate, 1) is None
    assert ledger.status().of(1).values == ()
    assert len(ledger.status().epoch.values) == 1


def test_a_run_given_back_is_the_next_to_be_taken(ledger):
    run = ledger.baseline_run(0, 3)
    ledger.give_back(run.run)
    assert ledger.status().runs_spent == 0
    assert ledger.baseline_run(0, 3).seed == run.seed


def test_more_candidates_than_declared_are_refused_until_more_are_declared(ledger):
    for number in range(6):
        decided(ledger, f"c{number}", "discard")
    assert "all 6 candidates that this session declared" in refused(ledger.claim, "one more")
    with pytest.raises(SessionFullError) as caught:
        ledger.claim("one more")
    assert caught.value.declared == 6
    assert ledger.claim("c0").decision is not None, "old ones are still told"
    assert "declared already: give more" in refused(ledger.declare, 6)
    ledger.declare(7)
    assert ledger.claim("one more").declared == 7
    assert [one.declared for one in ledger.status().candidates] == [6] * 6 + [7]


def test_what_is_the_baseline_itself_uses_up_no_place(ledger):
    for number in range(9):
        decided(ledger, f"c{number}", "discard", counted=False)
    assert (ledger.status().left, ledger.status().counted) == (6, 0)


def test_two_who_work_at_once_share_the_baseline_and_not_the_candidate(ledger, tmp_path):
    with opened(tmp_path) as other:
        taken = [one.baseline_run(0, 3).seed for one in (ledger, other, ledger)]
        assert taken == [0, 1, 2]
        assert other.baseline_run(0, 3) is None
        ledger.claim("a")
        message = refused(other.claim, "a")
        assert message == f"process {os.getpid()} is comparing this candidate already: wait for it"
        assert "not held by this process" in refused(other.decide, 1, "keep", {}, epoch=0)
        assert "not held by this process" in refused(other.finish, 1, RunStatus.OK, value=1.0)
    # What the other held is free when it has left.
    assert ledger.baseline_run(0, 3).seed == 1


def test_a_value_goes_with_how_a_run_ended(ledger):
    run = ledger.baseline_run(0, 1).run
    for status, value in ((RunStatus.OK, None), (RunStatus.OK, math.inf), (RunStatus.CRASHED, 1.0)):
        assert "cannot have the value" in refused(ledger.finish, run, status, value=value)
    ledger.finish(run, RunStatus.OK, value=-0.0)
    assert math.copysign(1, ledger.status().epoch.values[0]) == -1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fingerprint": "other", "label": "b.py"}, r"began with another baseline ('train.py', not 'b.py')"),
        ({"error_rate": 0.1}, "promises an error rate of 0.05, not 0.1"),
        ({"facts": {"metric": "loss"}}, "began with other settings: metric = 'accuracy', not 'loss'"),
        ({"facts": {"metric": "accuracy", "x": 1}}, "x = None, not 1"),
    ],
)
def test_who_comes_with_other_terms_is_refused(ledger, tmp_path, change, said):
    assert said in refused(opened, tmp_path, Terms(**{**vars(TERMS), **change}))
    assert len(list((tmp_path / "gate.owners").iterdir())) == 1
    with opened(tmp_path, candidates=99) as joined:
        assert joined.status().declared == 6


def test_bad_numbers_are_refused(tmp_path):
    assert "candidates = 0" in refused(opened, tmp_path, candidates=0)
    assert "error_rate = 5" in refused(Terms, fingerprint="a", label="b", error_rate=5)
    with opened(tmp_path) as ledger:
        claim = ledger.claim("a")
        assert "not as 'maybe'" in refused(ledger.decide, claim.candidate, "maybe", {}, epoch=0)
        with pytest.raises(ValueError, match="Out of range float"):
            ledger.decide(claim.candidate, "keep", {"z": math.inf}, epoch=0)


def test_reading_needs_a_ledger_and_writes_nothing(tmp_path):
    assert "no candidate was compared there yet" in refused(Ledger.read, tmp_path)
    assert not list(tmp_path.iterdir())
    sqlite3.connect(tmp_path / "gate.sqlite").executescript("CREATE TABLE mine (x)").connection.close()
    assert "is no ledger of lastbit" in refused(opened, tmp_path)


def test_another_format_is_refused(tmp_path):
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / "gate.sqlite") as database:
        database.execute("UPDATE session SET schema = 7")
    database.close()
    for action in (opened, Ledger.read):
        assert "has format 7, this lastbit reads format 1" in refused(action, tmp_path)


@pytest.mark.parametrize(
    "column",
    ["state = 'perhaps'", "value = 'much', state = 'ok'", "value = 1e999, state = 'ok'", "finished_at = 'soon'"],
)
def test_a_row_that_cannot_be_is_damage(tmp_path, column):
    with opened(tmp_path) as ledger:
        topped_up(ledger)
    with sqlite3.connect(tmp_path / "gate.sqlite") as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute(f"UPDATE runs SET {column} WHERE number = 0")
    database.close()
    assert "gate.sqlite is damaged" in refused(Ledger.read, tmp_path)


def test_any_page_that_is_lost_is_seen_or_tells_the_same(tmp_path):
    with opened(tmp_path) as ledger:
        for key in EFFECTS:
            driver.decide(ledger, key)
    path, whole = tmp_path / "gate.sqlite", driver.story(Ledger.read(tmp_path))
    content, seen = path.read_bytes(), 0
    for page in range(0, len(content), 4096):
        path.write_bytes(content[:page] + os.urandom(4096) + content[page + 4096 :])
        for action in (Ledger.read, opened):
            try:
                found = action(tmp_path)
                if action is opened:
                    found.close()
                else:
                    assert driver.story(found) == whole
            except LastbitError:
                seen += 1
        path.write_bytes(content)
    assert seen > len(content) / 4096


@pytest.mark.parametrize("name", ["gate.sqlite", "gate.sqlite-wal", "gate.owners"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    opened(tmp_path).close()
    elsewhere = tmp_path / "elsewhere"
    if (tmp_path / name).exists():
        (tmp_path / name).rename(elsewhere)
    (tmp_path / name).symlink_to(elsewhere)
    assert f"{name} is a link to another place" in refused(opened, tmp_path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "gate.sqlite")
    for action in (opened, Ledger.read):
        assert "is no file" in refused(action, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to read as a user who may not write")
def test_in_a_folder_that_nobody_may_write_it_is_read():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "session"
        folder.mkdir()
        with opened(folder) as ledger:
            topped_up(ledger)
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        before = sorted(folder.rglob("*"))

        def look():
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            assert len(Ledger.read(folder).epoch.values) == 3
            assert "make the folder writable, then run the same command again" in refused(opened, folder)

        assert ended(in_child(look)) == 0
        assert sorted(folder.rglob("*")) == before


class _FullDisk:
    """A connection whose disk is full from some statement on."""

    def __init__(self, database, statement):
        self._database, self._statement = database, statement

    def execute(self, sql, *args):
        if sql.startswith(self._statement):
            raise sqlite3.OperationalError("database or disk is full")
        return self._database.execute(sql, *args)

    def __getattr__(self, name):
        return getattr(self._database, name)

    def __enter__(self):
        return self._database.__enter__()

    def __exit__(self, *error):
        return self._database.__exit__(*error)


@pytest.mark.parametrize("statement", ["INSERT INTO decisions", "UPDATE candidates", "INSERT INTO epochs"])
def test_a_full_disk_leaves_no_half_of_a_decision(ledger, statement):
    claim, whole = ledger.claim("a"), ledger._database
    ledger._database = _FullDisk(whole, statement)
    with pytest.raises(StorageError, match="is full: free some space, then run the same command again"):
        ledger.decide(claim.candidate, "keep", {}, epoch=0)
    ledger._database = whole
    assert (ledger.status().keeps, ledger.status().of(1).decision) == (0, None)
    assert ledger.decide(claim.candidate, "keep", {}, epoch=0)


def test_a_full_disk_while_it_is_opened_leaves_nobody_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lastbit.store.lock.os.write", full)
        with pytest.raises(StorageError, match="is full"):
            opened(tmp_path)
    assert not list((tmp_path / "gate.owners").iterdir())
    opened(tmp_path).close()


steps = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["claim", "baseline", "candidate", "finish", "crash", "decide", "undecided", "leave"]),
        st.integers(0, 3),
    ),
    max_size=40,
)


@settings(max_examples=12, deadline=None)
@given(steps)
def test_whatever_three_do_in_whatever_order_the_ledger_holds(tmp_path_factory, steps):
    """Places, levels and seeds are fixed when they are given; nobody gets what another holds."""
    folder = tmp_path_factory.mktemp("session")
    with ExitStack() as stack:
        ledgers = [stack.enter_context(opened(folder, candidates=4)) for _ in range(3)]
        mine, running, claimed, seeds = [{}, {}, {}], [{}, {}, {}], {}, {}
        for who, step, which in steps:
            ledger, key = ledgers[who], f"k{which}"
            epoch = ledger.status().epoch.epoch
            if step == "claim":
                try:
                    claim = ledger.claim(key)
                except LastbitError:
                    assert any(key in mine[other] for other in range(3) if other != who)
                    continue
                fixed = (claim.candidate, claim.keeps, claim.declared)
                assert claimed.setdefault(key, fixed) == fixed
                if claim.decision is None:
                    mine[who][key] = claim.candidate
            elif step in ("baseline", "candidate"):
                if step == "candidate" and key not in mine[who]:
                    continue
                run = ledger.baseline_run(epoch, 3) if step == "baseline" else ledger.candidate_run(mine[who][key], 2)
                if run is not None:
                    assert all(run.run not in held for held in running)
                    assert seeds.setdefault(run.run, run.seed) == run.seed
                    running[who][run.run] = None
            elif step in ("finish", "crash") and running[who]:
                run, _ = running[who].popitem()
                status, value = (RunStatus.OK, 1.0) if step == "finish" else (RunStatus.CRASHED, None)
                ledger.finish(run, status, value=value)
            elif step in ("decide", "undecided") and key in mine[who]:
                choice = step if step == "undecided" else ("keep", "discard")[which % 2]
                assert ledger.decide(mine[who].pop(key), choice, {"who": who}, epoch=epoch)
            elif step == "leave":
                ledger.close()
                ledgers[who] = stack.enter_context(opened(folder, candidates=4))
                mine[who], running[who] = {}, {}
        status = ledgers[0].status()
        assert [one.candidate for one in status.candidates] == list(range(1, len(claimed) + 1))
        assert [one.epoch for one in status.epochs] == list(range(status.keeps + 1))
        kept = [one.candidate for one in status.candidates if one.decision and one.decision.choice == "keep"]
        assert sorted(kept) == sorted(one.candidate for one in status.epochs[1:])
        held = {run.run for one in (*status.epochs, *status.candidates) for run in one.runs if run.state == "running"}
        assert held == {run for one in running for run in one}
        json.dumps([made.reasons for one in status.candidates for made in one.decisions])
