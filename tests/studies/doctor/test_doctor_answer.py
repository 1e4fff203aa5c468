"""What the doctor says of two runs, given what they came to: no process is started here."""

import json
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from scipy.stats import fisher_exact

from lastbit.core.plain import plain
from lastbit.core.status import RunStatus
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.report.html import render_html
from lastbit.stats import fewer_by_chance, proportion_estimate
from lastbit.studies.doctor import compare as comparing
from lastbit.studies.doctor import confirm as confirming
from lastbit.studies.doctor import interventions
from lastbit.studies.doctor.causes.table import CAUSES
from lastbit.studies.doctor.diagnosis import Cause, Intervention
from lastbit.studies.doctor.findings import (
    Confirmation,
    Evidence,
    Finding,
    Followed,
    Outcome,
    PrintedDifference,
    ProcessOutcome,
    SourceLine,
    Tried,
)
from lastbit.studies.doctor.interventions import CLOCK, FILES, FOLDERS, HASH, THREADS, TORCH
from lastbit.studies.doctor.kind import DOCTOR
from lastbit.studies.doctor.trial import Trial
from lastbit.studies.doctor.verdict import FILE_LEFT
from lastbit.studies.frame.condition import numbers_of
from lastbit.studies.frame.kind import Trained
from lastbit.studies.frame.make import make
from lastbit.studies.kinds import open_study

LINE = SourceLine(
    path="/home/me/train.py",
    number=31,
    function="loss",
    text="    picked = table[rows]  # <script>alert('x')</script>",
    first=30,
    around=("def loss(rows):", "    picked = table[rows]  # <script>alert('x')</script>", "    return picked.sum()"),
)
FINDING = Finding(
    process="train.py",
    optimizer=0,
    step=12,
    tensor="gradient of table",
    root="operation",
    operation="aten.index_put.default",
    root_step=12,
    said="All of its inputs are equal, and its output is not.",
    line=LINE,
    cause="threads",
    cause_said="Several threads add in whatever order they come.",
    cure="Call torch.use_deterministic_algorithms(True).",
    cause_line=None,
    evidence=(Evidence(kind="time", said="time.time 3.5", where="train.py:4", count=2),),
    path=(Followed(operation="aten.add.Tensor", line=LINE, shape=(4, 2), hashes=("0a", "0b"), step=12),),
    unseen=("What a compiled kernel does inside is not seen.",),
)
EQUAL = ProcessOutcome(
    key="train.py", steps=30, ended=True, waiting=(False, False), difference=None, last=(None, None), suspects=(7,)
)
APART = replace(EQUAL, steps=11, ended=False, difference="values", last=(12, 12))
SETTINGS = {"torch": "2.13.0", "threads": "2"}
SAME = Outcome(
    how="lock step",
    steps=30,
    tensors=4,
    bytes=38_600,
    seconds=4.5,
    timed_out=False,
    exit_codes=(0, 0),
    processes=(EQUAL,),
    settings=SETTINGS,
)
IN_TURN = replace(SAME, how="one after the other")
OTHER = replace(SAME, steps=11, exit_codes=(None, None), processes=(APART,), finding=FINDING)
CONFIRMED = Confirmation(
    intervention="one-thread",
    said="run with one thread",
    pairs=4,
    within=83,
    differing_before=4,
    differing_after=0,
    before=proportion_estimate(4, 4),
    after=proportion_estimate(0, 4),
    chance=1 / 70,
    confirmed=True,
)
CURED = Tried(cause=FINDING.cause, cause_said=FINDING.cause_said, confirmation=CONFIRMED)
REFUTED = replace(CURED, confirmation=replace(CONFIRMED, differing_after=4, chance=1.0, confirmed=False))


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """Make the study of an examination that came to these outcomes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()

    def examine(*outcomes, tried=()):
        def train(work):
            work.files(work.job.run).arrays({})
            record = work.job.record(status=RunStatus.OK, seconds=1.0, steps=(1,), metrics={"steps": [1.0]})
            facts = {"outcomes": plain(outcomes), "tried": plain(tried)}
            return Trained(records=(record,), facts=facts, said="")

        return make(replace(DOCTOR, train=train), ["python", "train.py"], quiet=True)

    return examine


def test_the_answer_comes_in_its_order_and_exits_with_3(examined):
    study = examined(OTHER, tried=(CURED,))
    assert study.result.exit_code == 3
    assert study.verdict == (
        "two runs of train.py with the same seed differ from step 12 on, in gradient of table: aten.index_put.default "
        "gave another result from equal inputs at train.py:31."
    )
    assert study.result.advice.startswith(f"{FINDING.cause_said} {FINDING.cure} Repeated with that change,")
    titles = ["Step", "Tensor", "Where it arose", "Line", "Likely cause", "Cure", "Cure confirmed"]
    assert [title for title, _ in study.result.lines] == titles
    told = study.summary()
    places = [told.index(f"\n{title}: ") for title in titles]
    assert places == sorted(places)
    assert "yes: 4 of 4 pairs differ as it is (95% interval 40% to 100%), 0 of 4 with the change" in told.replace(
        "\n", " "
    )
    assert FINDING.unseen[0] in told


def test_a_supposed_cause_whose_cure_does_not_cure_is_not_told_as_the_cause(examined):
    result = examined(OTHER, tried=(REFUTED,)).result
    assert result.advice.startswith(
        "The cause is not known. Tried was: run with one thread; the runs differ all the same."
    )
    lines = dict(result.lines)
    assert lines["Likely cause"].startswith("not known; not this, or not this alone: Several threads")
    assert lines["Cure confirmed"].startswith("no: 4 of 4 pairs")
    assert "Cure" not in lines


def test_the_cause_that_is_told_is_the_one_whose_change_cures_it(examined):
    other = replace(REFUTED, cause="clock", cause_said="It hangs on the clock.")
    study = examined(OTHER, tried=(other, CURED))
    lines = dict(study.result.lines)
    assert lines["Likely cause"] == FINDING.cause_said
    assert lines["Cure confirmed"].startswith("yes: ")
    assert lines["Not the cause"].startswith("It hangs on the clock. (no: 4 of 4 pairs")
    assert [one["cause"] for one in study.to_json()["tried"]] == ["clock", FINDING.cause]
    assert "What was tried" in render_html(study.page)
    neither = examined(OTHER, tried=(REFUTED, replace(other, cause="process-id"))).result
    assert neither.advice.startswith("The cause is not known. Tried was: run with one thread; run with one thread;")
    assert dict(neither.lines)["Not the cause"].startswith("It hangs on the clock.")


def test_a_number_that_is_handed_over_is_told_with_both_values(examined):
    finding = replace(FINDING, root="scalar", operation="aten.split.Tensor", argument="split_size", values=("7", "8"))
    study = examined(replace(OTHER, finding=finding))
    told = "a number handed over differs: split size 7 against 8 (in aten.split.Tensor)"
    assert told in study.verdict
    assert dict(study.result.lines)["Where it arose"] == told
    assert told in render_html(study.page)
    assert study.to_json()["finding"]["values"] == ["7", "8"]


def test_a_setting_that_is_another_than_in_the_record_is_told_with_both_values(examined):
    finding = replace(FINDING, root="scalar", operation=None, tensor="lr", argument="lr", values=("0.1", "0.05"))
    unknown = replace(finding, cause=None, cause_said="", cure="")
    study = examined(replace(OTHER, how="against the record", finding=unknown))
    assert "a setting of the optimizer differs: lr 0.1 against 0.05" in study.verdict
    assert study.result.advice == (
        "The record was made with lr 0.1, this run has lr 0.05: give it the same, or record anew."
    )


def test_what_is_printed_is_cut_around_the_first_character_that_differs(tmp_path):
    long = "." * 500
    pairs = {
        "words": (f"{long}a{long}", f"{long}b{long}"),
        "bytes": (b"\0\xff", b"\0\xff\xff"),
        "short": ("one", "two"),
    }
    told = {}
    for name, texts in pairs.items():
        runs = []
        for side, text in zip("ab", texts, strict=True):
            path = tmp_path / name / side / "stdout.txt"
            path.parent.mkdir(parents=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)
            runs.append(SimpleNamespace(stdout=path))
        (told[name],) = comparing._printed(*runs)
    assert (told["words"].first, told["words"].second) == tuple(f"…{'.' * 30}{one}{'.' * 59}…" for one in "ab")
    assert (told["short"].first, told["short"].second) == ("one", "two")
    assert told["bytes"].first == "2 characters that are no text"


def test_the_page_shows_runs_and_way_and_takes_no_line_of_source_for_markup(examined):
    study = examined(OTHER, tried=(CURED,))
    html = render_html(study.page)
    assert "<script>alert" not in html
    assert "→ 31      picked = table[rows]  # &lt;script&gt;alert(" in html
    assert "What could not be seen" in html
    assert {"timelines-0", "chain"} == {
        block.name for section in study.page.sections for block in section.blocks if hasattr(block, "figure")
    }
    assert "aten.add.Tensor" in html
    assert "\\<script\\>" in study.markdown()


def test_every_number_of_its_result_may_be_asked_for(examined):
    study = examined(OTHER, tried=(CURED,))
    numbers = {n for n, v in study.to_json().items() if isinstance(v, int | float) and not isinstance(v, bool)}
    assert 2 < len(numbers) == len(numbers & set(numbers_of(study.result.json_schema())))


def test_it_is_kept_and_opened_again(examined):
    study = examined(OTHER, tried=(CURED,))
    again = open_study(study.path)
    assert again.result == study.result
    assert again.result.finding == FINDING
    assert json.loads((study.path / "result.json").read_text())["finding"]["line"]["number"] == 31


def test_what_decides_by_a_clock_is_named_beside_the_answer(examined):
    assert "A clock decides" not in examined(SAME, IN_TURN).result.advice
    four = examined(SAME, replace(IN_TURN, clocks=(LINE,) * 4)).result.advice
    assert f"A clock decides at {', '.join(['train.py:31'] * 3)}, …: runs at another pace may differ" in four


@pytest.mark.parametrize(
    ("outcomes", "kind", "code", "said"),
    [
        ((SAME, IN_TURN), "identical", 0, "agrees bit for bit in 30 steps of 4 tensors (38.6 kB) compared each time"),
        ((replace(SAME, how="recorded"),), "recorded", 0, "recorded: one run of train.py"),
        (
            (replace(SAME, steps=20_000), replace(IN_TURN, steps=1203, taken=20_000)),
            "identical",
            0,
            "in 20,000 steps of 4 tensors (38.6 kB) compared at once, and 1,203 of them in turn",
        ),
        (
            (replace(IN_TURN, how="against the record", taken=900),),
            "identical",
            0,
            "agrees bit for bit with the record in 30 of 900 steps of 4 tensors",
        ),
        (
            (replace(SAME, how="against the record", changed={"torch": ("2.12", "2.13")}),),
            "identical",
            0,
            "torch 2.12 there, 2.13 here",
        ),
        (
            (replace(SAME, timed_out=True, processes=(replace(EQUAL, ended=False, waiting=(True, False)),)),),
            "timed_out",
            4,
            "while the first run waited for the second at step 31",
        ),
        ((SAME, replace(IN_TURN, exit_codes=(0, 9))), "exits_differ", 3, "exit code 0 and the second with 9"),
        (
            (replace(SAME, printed=(PrintedDifference(what="printed", line=3, first="a 1", second="a 2", lines=2),)),),
            "outputs_differ",
            0,
            "what they print differs in 2 lines, first in line 3",
        ),
        (
            (replace(SAME, printed=(PrintedDifference(what="returned", line=1, first="1", second="2", lines=1),)),),
            "returned_differs",
            3,
            "return 1 and 2",
        ),
        ((SAME, replace(OTHER, how="one after the other")), "differs", 3, "though two at once are equal"),
        (
            (replace(OTHER, failed=("", "signal 9: it printed nothing")),),
            "exits_differ",
            3,
            "the second ended with signal 9 after 11 equal steps: it printed nothing",
        ),
        ((replace(OTHER, finding=None),), "differs", 3, "differ after 11 equal steps"),
        ((replace(OTHER, finding=replace(FINDING, root="batch", operation=None, line=None)),), "differs", 3, "a batch"),
    ],
)
def test_every_answer_has_its_word_and_exit_code(examined, outcomes, kind, code, said):
    study = examined(*outcomes)
    assert (study.result.verdict_kind, int(study.result.exit_code)) == (kind, code)
    assert said in study.verdict
    assert render_html(study.page)


def test_junit_fails_where_the_exit_code_does(examined):
    [suite] = ElementTree.fromstring(examined(SAME, replace(OTHER, how="one after the other")).junit())
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("lastbit", "1", "1")
    [case] = suite
    assert (case.get("classname"), case.get("name")) == ("lastbit doctor", "train.py")
    assert case.find("failure").get("message").startswith("A second run of train.py differs")
    assert "Likely cause: Several threads" in case.find("failure").text
    [suite] = ElementTree.fromstring(examined(SAME, IN_TURN).junit())
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert "one after the other" in suite[0].find("system-out").text


@pytest.mark.parametrize(("before", "after", "n"), [(4, 0, 4), (3, 1, 4), (2, 2, 5), (0, 0, 3), (7, 3, 9)])
def test_as_few_by_chance_is_fishers_exact_test(before, after, n):
    exact = fisher_exact([[before, n - before], [after, n - after]], alternative="greater").pvalue
    assert fewer_by_chance(before, after, n) == pytest.approx(exact, rel=1e-9)


class Coin:
    """A trial whose pairs differ as it was told, one by one, and come so far."""

    def __init__(self, plain_pairs, changed_pairs, steps=50, exit_code=0):
        self.left = {False: list(plain_pairs), True: list(changed_pairs)}
        self.steps, self.exit_code = steps, exit_code

    def pair(self, name, under, until):
        assert until == 3 * 11 + 50
        return SimpleNamespace(
            differences=(1,) * self.left[under is not None].pop(0),
            processes=(SimpleNamespace(steps=self.steps),),
            identical=True,
            runs=(SimpleNamespace(exit_code=self.exit_code), None),
        )


@pytest.mark.parametrize(
    ("plain_pairs", "changed_pairs", "confirmed"),
    [("1111", "0000", True), ("1101", "0000", False), ("1010", "0101", False), ("1111", "0001", False)],
)
def test_a_cure_is_confirmed_only_where_chance_would_hardly_do_as_well(plain_pairs, changed_pairs, confirmed):
    """A defect that shows in half of the pairs is not cured by the half in which it does not."""
    found = confirming.confirm(Coin(map(int, plain_pairs), map(int, changed_pairs)), THREADS, 4, found=11)
    assert (found.differing_before, found.differing_after) == (plain_pairs.count("1"), changed_pairs.count("1"))
    assert found.confirmed is confirmed


@pytest.mark.parametrize(("steps", "exit_code", "failed"), [(11, 1, True), (12, 1, False), (11, 0, False)])
def test_runs_that_fail_with_the_change_before_they_could_differ_confirm_nothing(steps, exit_code, failed):
    found = confirming.confirm(Coin([1] * 3, [0] * 3, steps, exit_code), THREADS, 3, found=11)
    assert (found.failed, found.confirmed) == (failed, not failed)


def test_every_intervention_reaches_the_program_as_it_is_meant(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "lastbit.studies.doctor.trial.run_pair", lambda program, launch, **how: seen.append((launch, how))
    )
    settings = LaunchSettings(seed=0, deterministic=False)
    trial = Trial(["python"], "train", Launch(settings=settings, folder=tmp_path))
    every = [one for one in vars(interventions).values() if isinstance(one, Intervention)]
    for one in filter(confirming.can_confirm, every):
        trial.pair("changed", one, 50)
        launch, how = seen.pop()
        assert how["changes"].items() <= one.changes.items()
        assert launch.environment.items() >= one.environment.items()
        assert launch.settings.threads == one.changes.get("threads")
        assert how["changes"] or launch.settings != settings or one.environment
    assert len(every) > 8


THREADED, TIMED, LISTED, SEEDED = (
    Cause(change.id, "So.", "Do.", change) for change in (THREADS, CLOCK, FOLDERS, TORCH)
)


UNTRIED = replace(TIMED, intervention=None)


@pytest.mark.parametrize(
    ("changed_pairs", "causes", "tried"),
    [
        ("11110000", (THREADED, TIMED, LISTED), ["one-thread", "fix-clock"]),
        ("0000", (THREADED, TIMED, LISTED), ["one-thread"]),
        ("1111" * 3, (THREADED, TIMED, LISTED, SEEDED), ["one-thread", "fix-clock", "sort-folders"]),
        ("11110000", (THREADED, THREADED, replace(TIMED, intervention=None), LISTED), ["one-thread", "sort-folders"]),
    ],
    ids=["the second", "the first", "none of three", "what can be tried"],
)
def test_causes_are_tried_in_turn_against_one_rate_up_to_the_one_whose_change_cures_it(changed_pairs, causes, tried):
    said = []
    coin = Coin([1] * 4, map(int, changed_pairs))  # the pairs as they are serve for all
    found = confirming.confirmed_of(coin, causes, 4, found=11, say=said.append)
    assert [one.confirmation.intervention for one in found] == tried
    assert [one.fits for one in found] == [*[False] * (len(found) - 1), changed_pairs.endswith("0")]
    assert all(one.confirmation.differing_before == 4 for one in found)
    assert len(said) == len(tried)


def test_files_are_never_put_back_for_a_confirmation():
    assert confirming.can_confirm(THREADS)
    assert confirming.can_confirm(HASH)
    assert not confirming.can_confirm(FILES)
    assert [row.intervention for row in CAUSES if row.id == FILE_LEFT] == [FILES]
