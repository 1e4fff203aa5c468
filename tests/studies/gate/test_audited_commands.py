"""An audit of a command as baseline: by which of its metrics, what a candidate must print, and what changed since."""

import pytest
from in_this_process import InThisProcess

import lastbit as lb
from lastbit.core.errors import LastbitError

AUDIT = {"seeds": 3, "perturbations": 1, "workers": 1, "threads": 1, "quiet": True}
CANDIDATE = ["python", "new.py", "{seed}"]


@pytest.fixture
def audited(tmp_path, monkeypatch):
    """An audit of a program by two metrics, in a folder of its own with a candidate."""
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "new.py", "mute.py"):
        (tmp_path / name).write_text(f"print('{name}')\n")

    def said(loss):
        mute, shift = "mute.py" in ran.ran[-1], 9.0 * ("new.py" in ran.ran[-1])
        return f"score: {loss}\n" if mute else f"loss: {loss + shift:.9f}\nminus: {-loss - shift:.9f}\n"

    ran = InThisProcess(said)
    monkeypatch.setattr("lastbit.studies.frame.launched.run_command", ran)
    command = ["python", "train.py", "{seed}"]
    study = lb.audit(command, metric=("loss", "minus"), better=("lower", "higher"), out="audited", **AUDIT)
    ran.ran.clear()
    return study, ran


def decided(study, candidate=CANDIDATE, **more):
    return lb.gate(study.path, candidate, threads=1, quiet=True, **more)


def test_one_of_its_metrics_is_named_and_its_runs_are_read(audited):
    study, ran = audited
    with pytest.raises(LastbitError, match=r"by --metric loss and --metric minus, and .* one metric: give one of them"):
        decided(study)
    answer = decided(study, metric="minus")
    assert (answer.verdict_kind, answer.session.metric, answer.session.higher_is_better) == ("discard", "minus", True)
    known = [run.metrics["minus"] for run in study.result.runs if run.role == "base"]
    assert answer.session.baselines[0].values[:3] == tuple(known)
    assert [words[-1] for words in ran.ran if "train.py" in words] == ["3", "4"]


def test_another_metric_than_its_own_is_refused(audited):
    study, ran = audited
    with pytest.raises(LastbitError, match="not by --metric score: name one of those, or give its command as the base"):
        decided(study, metric="score")
    with pytest.raises(LastbitError, match="measured by --metric-of last, not by best: leave it out"):
        decided(study, metric="loss", metric_of="best")
    assert not ran.ran


def test_a_candidate_that_prints_another_metric_is_told_which_it_must(audited):
    answer = decided(audited[0], ["python", "mute.py", "{seed}"], metric="loss")
    assert (answer.verdict_kind, answer.why) == ("undecided", "crashed")
    assert "no number behind the name 'loss'; the session is about loss." in answer.verdict


def test_runs_that_were_made_otherwise_are_made_again(audited):
    study, ran = audited
    decided(study, metric="loss", deterministic=False)
    assert [words[-1] for words in ran.ran if "train.py" in words] == ["0", "1", "2", "3", "4"]


def test_a_program_that_has_changed_since_is_not_the_one_that_was_audited(audited, tmp_path):
    study, ran = audited
    (tmp_path / "train.py").write_text("print('another')\n")
    with pytest.raises(LastbitError, match=r"train.py is not what it was when .*audited was made: put it back as it w"):
        decided(study, metric="loss")
    assert not ran.ran
    assert not (tmp_path / "audited-gate").exists()
