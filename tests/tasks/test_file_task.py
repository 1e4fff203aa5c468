"""Tasks in users' files: the example as documented, overrides, and every way a file can be wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.tasks import TaskConfig
from lastbit.tasks.build import build_task, resolve
from lastbit.tasks.file_task import load_file_task

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_task.py"

GOOD = """
import torch
from torch import nn
from lastbit.tasks import Task

def toy():
    x = torch.arange(30.0).view(10, 3)
    y = torch.arange(10) % 2
    return Task(name="toy", model=lambda: nn.Linear(3, 2), train=(x, y), test=(x, y),
                optimizer=lambda p: torch.optim.SGD(p, lr=0.1), epochs=4, batch_size=5)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def test_the_example_trains_and_learns():
    task = build_task(TaskConfig(task=f"{EXAMPLE}:task"))
    task.check()
    torch.manual_seed(0)
    model = task.model()
    optimizer = task.optimizer(model.parameters())
    inputs, targets = task.test.batch(torch.arange(len(task.test)))

    def score():
        with torch.no_grad():
            return float(task.metric.scale * task.metric.per_example(model(inputs), targets).double().mean())

    before = score()
    for _ in range(task.epochs):
        for indices in torch.randperm(len(task.train)).split(task.batch_size):
            x, y = task.train.batch(indices)
            optimizer.zero_grad()
            task.loss(model(x), y).backward()
            optimizer.step()
    assert score() > max(50, before + 20)


def test_the_example_of_a_sweep_takes_its_decay():
    task = load_file_task(f"{EXAMPLE.with_name('weight_decay_edge.py')}:make", {"weight_decay": 0.5})
    task.check()
    assert task.optimizer(task.model().parameters()).param_groups[0]["weight_decay"] == 0.5


def test_the_example_is_short():
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(code) <= 25


def test_what_the_file_says_is_resolved_and_may_be_overridden(file):
    reference = f"{file(GOOD)}:toy"
    full = resolve(TaskConfig(task=reference))
    assert (full.epochs, full.batch_size, full.train_size, full.lr) == (4, 5, 10, None)
    assert resolve(full) == full
    task = build_task(TaskConfig(task=reference, epochs=2, batch_size=3, train_size=6))
    assert (task.epochs, task.batch_size, len(task.train)) == (2, 3, 6)
    assert task.train.tensors[1].bincount().tolist() == [3, 3]
    assert task.settings["train_size"] == 6
    with pytest.raises(LastbitError, match="train_size = 11: toy has 10 training examples"):
        build_task(TaskConfig(task=reference, train_size=11))


def test_part_of_a_dataset_is_the_same_part_every_time(file):
    text = GOOD.replace("train=(x, y)", "train=Items()")
    text += """
class Items(torch.utils.data.Dataset):
    def __len__(self):
        return 10
    def __getitem__(self, index):
        return torch.full((3,), float(index)), index % 2
"""
    config = TaskConfig(task=f"{file(text)}:toy", train_size=4)
    first, second = (build_task(config).train.batch(torch.arange(4))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert len(first[:, 0].unique()) == 4


@pytest.mark.parametrize(
    "setting", [{"lr": 0.1}, {"model": "cnn"}, {"norm": "none"}, {"data_root": "x"}, {"nesterov": False}]
)
def test_what_the_file_decides_cannot_be_set_from_outside(file, setting):
    (name,) = setting
    with pytest.raises(LastbitError, match=f"{name} = .*sets that itself; only epochs, batch_size, train_size"):
        TaskConfig(task=f"{file(GOOD)}:toy", **setting)


def test_a_file_is_run_once_until_it_changes(file):
    path = file(GOOD)
    first = load_file_task(f"{path}:toy")
    assert load_file_task(f"{path}:toy") is first
    file(GOOD.replace("epochs=4", "epochs=17"))
    assert load_file_task(f"{path}:toy").epochs == 17


def test_files_of_one_name_in_two_folders_do_not_mix(file, tmp_path):
    (tmp_path / "other").mkdir()
    first, second = file(GOOD), file(GOOD.replace("epochs=4", "epochs=5"), "other/mine.py")
    assert [load_file_task(f"{path}:toy").epochs for path in (first, second, first)] == [4, 5, 4]


def test_a_change_within_a_second_to_the_same_size_is_seen(file, monkeypatch):
    """Python's bytecode would not notice: it knows a source by its size and the second of its last change."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    epochs = []
    for count in (4, 5):
        path = file(GOOD.replace("epochs=4", f"epochs={count}"))
        os.utime(path, ns=(0, 10**9 + count))
        epochs.append(load_file_task(f"{path}:toy").epochs)
    assert epochs == [4, 5]


def test_a_file_may_import_its_neighbours(file):
    file("EPOCHS = 6", "neighbour_of_mine.py")
    path = file("from neighbour_of_mine import EPOCHS\n" + GOOD.replace("epochs=4", "epochs=EPOCHS"))
    assert load_file_task(f"{path}:toy").epochs == 6


def test_a_spawned_process_builds_the_same_task(file):
    path = file(GOOD)
    program = (
        "import sys; from lastbit.tasks import TaskConfig; from lastbit.tasks.build import build_task; "
        "t = build_task(TaskConfig(task=sys.argv[1])); print(t.settings)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"{path}:toy"], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == str(build_task(TaskConfig(task=f"{path}:toy")).settings)


@pytest.mark.parametrize(
    ("text", "function", "match"),
    [
        (GOOD, "other", "has no function 'other': its functions are toy"),
        ("x = 1", "toy", "has no function 'toy': it has no functions"),
        ("toy = 3", "toy", "mine.py:toy is no function but of type int: write `def toy"),
        ("def toy(data, size=2): ...", "toy", r"must work without arguments, but it takes \(data, size\)"),
        (
            "def toy(): return 5",
            "toy",
            r"must return a lastbit Task, got int \(a function that trains takes the seed: `def toy\(seed",
        ),
        ("\n\nimport nothing_of_this_name", "toy", r"raised on import: ModuleNotFoundError: .* \(line 3\)"),
        ("def toy(:\n", "toy", r"raised on import: SyntaxError: .* \(line 1\)"),
        ("import sys\nsys.exit('bye')", "toy", r"raised on import: SystemExit: bye \(line 2\)"),
        ("def toy():\n    return 1 / 0", "toy", r"mine\.py:toy raised ZeroDivisionError: division by zero \(line 2\)"),
        (GOOD.replace("epochs=4", "epochs=-4"), "toy", "raised .*LastbitError: epochs must be a whole number"),
    ],
)
def test_files_that_give_no_task_are_refused_in_one_line(file, text, function, match):
    with pytest.raises(LastbitError, match=match) as caught:
        load_file_task(f"{file(text)}:{function}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reference", ["mine.py", "mine.py:", "mine.txt:toy", "mine.py:not a name", ":toy"])
def test_references_in_another_form_are_refused(reference):
    with pytest.raises(LastbitError, match=r"written FILE\.py:FUNCTION, got"):
        build_task(TaskConfig(task=reference))


def test_a_script_is_sent_behind_the_dashes():
    with pytest.raises(LastbitError, match=r"got 'train\.py'; a whole script: lastbit audit -- python train\.py$"):
        build_task(TaskConfig(task="train.py"))


def test_a_missing_file_is_named():
    with pytest.raises(LastbitError, match=r"there is no task file '.*nowhere/mine\.py'"):
        build_task(TaskConfig(task="nowhere/mine.py:toy"))


TAKES = GOOD.replace("def toy():", "def toy(lr=0.1, *, epochs=4, **more):").replace("lr=0.1),", "lr=lr),")


def test_arguments_reach_the_function_and_the_settings(file):
    path = file(TAKES)
    task = load_file_task(f"{path}:toy", {"lr": 0.25})
    assert task.optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == 0.25
    assert load_file_task(f"{path}:toy", {"lr": 0.25}) is task
    assert load_file_task(f"{path}:toy").optimizer([torch.nn.Parameter(torch.zeros(1))]).param_groups[0]["lr"] == 0.1
    built = build_task(TaskConfig(task=f"{path}:toy", epochs=2), {"lr": 0.5})
    assert (built.settings["lr"], built.epochs) == (0.5, 2)
    assert "lr" not in build_task(TaskConfig(task=f"{path}:toy")).settings


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (GOOD, r"--weight-decay: .*mine\.py:toy has no parameter weight_decay: write `def toy\(weight_decay=0\.1\)"),
        (TAKES, "has no parameter weight_decay"),
        ("def toy(weight_decay, /): ...", "has no parameter weight_decay"),
        ("def toy(weight_decay, size): ...", r"must work with weight_decay alone, but it takes \(weight_decay, size\)"),
        ("def toy(weight_decay):\n    return 1 / 0", r"toy raised ZeroDivisionError: division by zero \(line 2\)"),
    ],
)
def test_arguments_that_the_function_does_not_take_are_refused_in_one_line(file, text, match):
    with pytest.raises(LastbitError, match=match) as caught:
        load_file_task(f"{file(text)}:toy", {"weight_decay": 0.1})
    assert "\n" not in str(caught.value)
