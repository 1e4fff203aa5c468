"""What cannot be compared is one line that says what to write, exit code 2, and no folder."""

import re
import shlex
import shutil

import pytest

import lastbit as lb
from lastbit.cli.app import main
from lastbit.core.errors import LastbitError

MEASURED = [
    ("a.csv b.csv", "give --better higher or --better lower"),
    ("a.csv b.csv --better up", "choose one of higher, lower"),
    ("a.csv", "two arms or more, got 1"),
    ("a.csv ./a.csv --better higher", "a.csv is named twice"),
    ("a.csv none.csv --better higher", "there is no none.csv"),
    ("a.csv copy.csv --better higher", "a and copy hold the same runs, which say nothing of each other"),
    ("a.csv unseeded.csv --better higher", "line 3 of unseeded.csv names no seed"),
    ("a.csv table.csv --better higher", "one column beside seed, and has acc, loss: say which by --metric"),
    ("table.csv loss.csv --better higher --metric acc", "column of loss.csv"),
    ("acc.csv loss.csv --better higher", "arm A is measured by acc and B by loss"),
    ("a.csv flat.csv --better higher", "all 3 values of flat are 97.1"),
    ("one.csv other.csv --better higher", "one run an arm says nothing"),
    ("a.csv b.csv one.csv --better higher", "one run an arm says nothing"),
    ("a.csv b.csv --better higher --worth -1", "--worth must be above 0, got -1"),
    ("a.csv row.csv --better higher --paired", "--paired matches runs by their seed, and row names none"),
    ("a.csv apart.csv --better higher --paired", "two seeds or more that both arms have"),
    ("a.csv b.csv row.csv --better higher --paired", "--paired compares two arms, and there are 3"),
    ("a.csv b.csv --better higher --sequential", "--sequential is for programs"),
    ("a.csv b.csv --better higher --epochs 3", "--epochs is for programs"),
    ("a.csv b.csv --better higher --metric one --metric two", "one and two: arms that were measured before"),
    ("a.csv --b digits --better higher", "arm A was measured before and another is a program"),
]
PROGRAMS = [
    ("--a digits --b digits", "arms A and B are the same program"),
    ("--a digits --b ''", "a program is a task with its options, or a command"),
    ("--a digits --b 'digits --lrr 1'", "did you mean 'lr'"),
    ("--a digits --b 'digits 3'", "'3' in 'digits 3' belongs to no option"),
    ("--a digits --b 'python \"x.py'", "quote it as a shell would have it"),
    ("--a digits --b 'digits --lr 1' --seeds 1", "--seeds must be at least 2, got 1"),
    ("--a digits --b 'digits --lr 1' --open", "give --sequential too"),
    ("--a digits --b 'digits --lr 1' --most 9", "give --sequential too"),
    ("--a digits --b 'digits --lr 1' --sequential --most 4", "5 to 30 seeds an arm"),
    ("--a digits --b 'digits --lr 1' --sequential --seeds 4", "give --most in place of it"),
    ("--a digits --b 'digits --lr 1' --sequential --paired", "leave --paired or --sequential out"),
    ("--a 'python x.py' --b 'python y.py'", "Give --metric NAME"),
    ("--a 'python x.py' --b 'python y.py' --metric loss", "give --better higher or lower"),
    ("--a 'python x.py' --b 'python y.py' --metric a --metric b --better lower", "compared in one metric"),
    ("--a 'python x.py' --b 'python y.py' --metric a --better lower --perturb reorder", "reorder needs a task"),
    (f"--a 'sh {'a' * 300} a.csv' --b 'python -u x.py' --metric loss --better lower", "there is no x.py in"),
    ("-- python x.py", "write each in quotes"),
]


@pytest.mark.parametrize(("words", "said"), MEASURED + PROGRAMS)
def test_one_line_says_what_to_write(words, said, desk, capsys):
    tables = {"flat": "97.1,97.1,97.1", "one": "97", "other": "98", "row": "97,98,97.5", "apart": "seed,v\n8,97\n9,98"}
    tables |= {
        "copy": (desk / "a.csv").read_text(),
        "unseeded": "seed,v\n1,97\n,98",
        "table": "seed,acc,loss\n1,97,0.1",
        "acc": "seed,acc\n1,97\n2,98",
        "loss": "seed,loss\n1,.2\n2,.3",
    }
    for name, text in tables.items():
        (desk / f"{name}.csv").write_text(text)
    before = sorted(path.name for path in desk.iterdir())
    assert main(["compare", *shlex.split(words)]) == 2
    told = capsys.readouterr().err
    assert re.search(said, told), told
    assert told.startswith("error: ")
    assert len(told.splitlines()) == 1
    assert sorted(path.name for path in desk.iterdir()) == before


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ("--a FILE:calm --b FILE:regression", "arm A is measured by accuracy and B by"),
        ("--a FILE:calm --b FILE:elsewhere", "the test sets of arm A and B ask for other targets"),
        ("--a FILE:calm --b FILE:lively", "has a test set of 40 examples and B one of 96"),
        ("--a FILE:calm --b FILE:still --metric nothing", "unknown metric 'nothing'"),
        ("--a FILE:calm --b FILE:still --arm FILE:deadly --sequential", "--sequential compares two arms"),
    ],
)
def test_tasks_that_are_not_measured_alike(arms, said, task_file, desk, capsys):
    assert main(["compare", *arms.replace("FILE", str(task_file)).split()]) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (desk / "lastbit-studies").exists()


def test_studies_of_another_kind_are_no_arms(trained, desk, capsys):
    assert main(["compare", str(trained.path), "a.csv", "--better", "higher"]) == 2
    assert "is a study of kind 'compare': a comparison reads audits and CSV files" in capsys.readouterr().err


def test_a_copy_of_a_study_says_nothing_of_it(audited, desk, capsys):
    shutil.copytree(audited.path, desk / "copy")
    assert main(["compare", str(audited.path), "copy"]) == 2
    assert "copy holds the very runs of " in capsys.readouterr().err


def test_audits_of_other_test_sets_of_one_size_are_not_compared(audited, task_file, desk, capsys):
    lb.audit(f"{task_file}:elsewhere", seeds=2, perturbations=1, workers=1, out=desk / "other", quiet=True)
    assert main(["compare", str(audited.path), "other"]) == 2
    assert "the test sets of arm A and B ask for other targets" in capsys.readouterr().err


def test_numbers_are_not_held_against_themselves(desk):
    runs = [97.1, 97.4, 96.9]
    with pytest.raises(LastbitError, match="hold the same runs"):
        lb.compare(runs, list(runs), better="higher", worth=1.0, quiet=True)


def test_rows_of_one_seed_are_named(desk):
    (desk / "twice.csv").write_text("seed,acc\n1,97.2\n1,97.3\n2,97.4\n3,97.9\n")
    (desk / "once.csv").write_text("seed,acc\n1,98.2\n2,98.4\n3,98.1\n")
    study = lb.compare("twice.csv", "once.csv", better="higher", quiet=True)
    assert "rows of one seed, as 1, are taken for runs that differ by the last bit" in study.summary().replace(
        "\n", " "
    )
