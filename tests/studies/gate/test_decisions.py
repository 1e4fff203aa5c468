"""Keep, discard, undecided: what each candidate of a session comes to, and what the session remembers of it."""

import json
import math
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from scipy import stats

import lastbit as lb
from lastbit.core.errors import LastbitError

SCHEMA = Path(__file__).parents[3] / "docs" / "schema" / "gate-1.json"
EXIT = {"worse": 5, "same": 5, "better": 0, "crashing": 4}
WHY = {"worse": "not_ahead", "same": "same_bits", "better": "better", "crashing": "crashed"}


def test_every_candidate_gets_its_decision_and_exit_code(night):
    assert {name: int(answer.exit_code) for name, answer in night.items()} == EXIT
    assert {name: answer.why for name, answer in night.items()} == WHY
    for answer in night.values():
        assert answer.verdict.startswith(f"{answer.verdict_kind}: candidate {answer.candidate} (")


def test_what_is_kept_is_the_baseline_from_fresh_runs(night):
    session = night["crashing"].session
    first, second = session.baselines
    assert (first.candidate, second.candidate) == (None, 3)
    kept = session.of(3)
    assert (len(kept.values), len(second.values)) == (8, 5)
    assert not {*kept.values} & {*second.values}
    assert second.mean - first.mean == pytest.approx(9, abs=2)
    assert (kept.epoch, session.of(4).epoch) == (0, 1)


def test_the_numbers_are_those_of_the_runs(night):
    session, seen = night["better"].session, night["better"].comparison
    ours, theirs = session.of(3).values, session.baselines[0].values[:16]
    assert seen.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    own, pooled = np.var(ours, ddof=1), np.var(theirs, ddof=1)
    error = math.sqrt(max(own, pooled) / 8 + pooled / 16)
    assert seen.z == pytest.approx(seen.difference / error)
    assert seen.p < seen.level == pytest.approx(0.05 / 20 * 0.1)
    assert seen.p == pytest.approx(stats.t.sf(seen.z, seen.df))


def test_the_same_bits_cost_one_run_and_take_no_place(night):
    before, after = night["worse"].session, night["same"].session
    assert after.runs_spent == before.runs_spent + 1
    assert after.counted == before.counted == 1
    assert after.alpha_left == pytest.approx(0.05 * 19 / 20)


def test_more_candidates_than_declared_say_what_they_cost(desk):
    spent = desk("worse", candidates=1).session.runs_spent
    decided = desk("worse", candidates=1)
    assert (decided.candidate, decided.before, decided.session.runs_spent) == (1, True, spent)
    assert "It was decided before" in decided.said.advice
    with pytest.raises(LastbitError, match=r"all 1 candidate .* give --declare 2: then 7\.5% of keeps .* of 5%"):
        desk("infinite", candidates=1)
    with pytest.raises(LastbitError, match=r"declared 1; to go on with 4, give --declare 4: then 8\.8%"):
        desk("infinite", candidates=4)
    answer = desk("infinite", candidates=1, declare=2)
    assert (answer.why, answer.session.declared) == ("diverged", 2)
    assert answer.session.promised == pytest.approx(0.075)
    assert desk("infinite", declare=2).before
    assert desk("infinite", declare=3, again=True).candidate == 3


def test_a_budget_leaves_a_candidate_undecided(desk):
    answer = desk("better", budget=7)
    assert (answer.verdict_kind, answer.why, answer.session.counted) == ("undecided", "budget", 1)
    assert answer.session.runs_spent <= 7
    assert "budget of 7 runs" in answer.verdict
    assert desk("worse", budget=7).session.runs_spent == 7
    unseen = desk("infinite", budget=7)
    assert (unseen.why, unseen.session.of(3).runs, unseen.session.counted) == ("budget", 0, 2)


def test_a_crash_is_tried_again_by_the_same_call(desk):
    first, second = desk("crashing"), desk("crashing")
    assert (first.candidate, second.candidate) == (1, 1)
    assert second.session.counted == 1
    assert "no <b>data</b> here" in second.verdict


def test_a_baseline_that_was_audited_is_not_trained_again(desk):
    programs = desk.folder / "programs.py"
    study = lb.audit(f"{programs}:base", seeds=2, perturbations=1, workers=1, out=desk.folder / "audited", quiet=True)
    answer = lb.gate(study.path, f"{programs}:worse", better="higher", quiet=True)
    values = answer.session.baselines[0].values
    assert values[:2] == tuple(run.metrics["score"] for run in study.result.runs if run.role == "base")
    assert len(values) == 5
    assert answer.session.folder == str(desk.folder / "audited-gate")
    assert answer.verdict_kind == "discard"
    assert lb.gate(study.path, f"{programs}:same", better="higher", quiet=True).why == "same_bits"


def test_answers_are_of_their_schema(night):
    schema = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))
    for answer in [*night.values(), lb.gate_status(night["worse"].session.folder)]:
        content = json.loads(json.dumps(answer.to_json(), allow_nan=False))
        schema.validate(content)
        assert set(content) == set(schema.schema["properties"])


def test_the_session_is_read_alone(night):
    answer = lb.gate_status(night["worse"].session.folder)
    assert answer.to_json()["schema"] == 1
    assert answer.session == night["crashing"].session
    assert answer.verdict == "3 of 20 candidates compared, 1 kept; α left: 4.25% of 5%; 32 runs spent."
    assert int(answer.exit_code) == 0
