"""Two runs of a program at once, or one after the other: silent where they are equal, and at the step where not."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from lastbit.core.errors import LastbitError
from lastbit.launch.function import call_seeded
from lastbit.launch.pair.call import Call
from lastbit.launch.pair.recorded import load_record, save_record
from lastbit.launch.pair.run import run_pair, run_recorded, run_sequential
from lastbit.launch.settings import Launch, LaunchSettings

PROGRAMS = Path(__file__).parents[1] / "programs"

SETTINGS = LaunchSettings(threads=1)

TRAIN = """
import os, sys, time
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
def step(inputs):
    optimizer.zero_grad()
    model(inputs).square().mean().backward()
    optimizer.step()
"""


def script(tmp_path, body, name="train.py"):
    path = tmp_path / name
    path.write_text(TRAIN + body)
    return [sys.executable, str(path)]


def program(name, *arguments):
    return [sys.executable, str(PROGRAMS / name), *arguments]


def plain(words):
    environment = os.environ | {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(words, capture_output=True, check=False, env=environment, timeout=300)


def alive(mark):
    """The processes whose environment holds a mark."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark in (path / "environ").read_bytes()
            if marked and (path / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append(int(path.name))
        except OSError:
            continue
    return found


def gone(mark, seconds=15.0):
    deadline = time.monotonic() + seconds
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(mark)


STAND_INS = {
    "dropout and AdamW": (["plain.py", "--optimizer", "AdamW"], [20]),
    "two optimizers": (["gan.py"], [20]),
    "closure": (["closure.py"], [6]),
    "gradient scaler": (["scaled.py"], [2]),
    "sparse and complex": (["unperturbable.py"], [36]),
    "other folders and exit codes": (["leaves.py"], [7]),
    "compiled": (["compiled.py"], [5]),
    "forked child": (["forks.py"], [12]),
    "spawned trainers": (["hogwild.py", "spawn"], [5, 5]),
    "forked trainers": (["hogwild.py", "fork"], [5, 5]),
    "trainers of a fork server": (["hogwild.py", "forkserver"], [5, 5]),
}


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize(("words", "steps"), STAND_INS.values(), ids=STAND_INS)
def test_a_clean_program_is_equal_to_itself_and_to_the_plain_one(words, steps, tmp_path):
    bare = plain(program(*words))
    pair = run_pair(program(*words), Launch(settings=SETTINGS, folder=tmp_path, timeout=300))
    assert pair.identical
    assert [process.steps for process in pair.processes] == steps
    assert pair.differences == ()
    assert [process.suspects for process in pair.processes] == [()] * len(steps)
    for run in pair.runs:
        assert (run.exit_code, run.stdout.read_bytes(), run.troubles) == (bare.returncode, bare.stdout, ())


@pytest.mark.slow
def test_ranks_are_compared_each_with_its_own(tmp_path):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    pair = run_pair([*words, str(PROGRAMS / "ranks.py")], Launch(settings=SETTINGS, folder=tmp_path, timeout=300))
    assert pair.identical
    assert sorted((process.rank, process.steps, process.suspects) for process in pair.processes) == [
        (0, 6, ()),
        (1, 6, ()),
    ]


@pytest.mark.slow
def test_the_first_differing_step_is_found_with_the_operation_and_its_line(tmp_path):
    words = script(
        tmp_path,
        "for place in range(9):\n"
        "    inputs = torch.randn(4, 6)\n"
        "    if place == 5:\n"
        "        inputs = inputs + time.perf_counter() % 1\n"
        "    step(inputs)\n",
    )
    pair = run_pair(words, Launch(settings=SETTINGS, folder=tmp_path / "out", timeout=300))
    [found] = pair.differences
    assert not pair.identical
    assert (found.kind, found.count, found.steps) == ("values", 5, ((0, 6), (0, 6)))
    first, second = found.tapes
    assert [op.name for op in first.ops] == [op.name for op in second.ops]
    unequal = [
        one
        for one, other in zip(first.ops, second.ops, strict=True)
        if [value.hash for value in one.outputs] != [value.hash for value in other.outputs]
    ]
    assert unequal[0].line.text == "inputs = inputs + time.perf_counter() % 1"
    assert [leaf.name for leaf in first.parameters] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    [clock] = [tap for tap in first.taps if tap.kind == "time"]
    assert (clock.line.number, clock.step, clock.count) == (unequal[0].line.number, 5, 1)
    assert first.process.key == "train.py"


@pytest.mark.slow
def test_another_path_another_length_and_what_comes_after_the_last_step(tmp_path):
    other = tmp_path / "second"
    bodies = {
        "path": "other = torch.optim.SGD(model.parameters(), lr=0.2)\nstep(torch.ones(2, 6))\n"
        "(other if HERE else optimizer).step()\n",
        "length": "for _ in range(2 + HERE):\n    step(torch.ones(2, 6))\n",
        "end": "step(torch.ones(2, 6))\nmodel[0].weight.data += HERE * 1e-3\n",
    }
    here = f"HERE = {str(other)!r} in os.environ['LASTBIT_LAUNCH']\n"
    for kind, body in bodies.items():
        words = script(tmp_path, here.replace("/second", f"/{kind}/second") + body, f"{kind}.py")
        pair = run_pair(words, Launch(settings=SETTINGS, folder=tmp_path / kind, timeout=300))
        [found] = pair.differences
        assert (found.kind, found.count) == (kind, {"path": 1, "length": 2, "end": 1}[kind])
        assert all(found.tapes)


@pytest.mark.slow
def test_a_hang_of_one_ends_with_what_is_known(tmp_path):
    words = script(
        tmp_path,
        "def stuck():\n"
        "    try:\n"
        f"        os.mkdir({str(tmp_path / 'lock')!r})\n"
        "    except FileExistsError:\n"
        "        time.sleep(1000)\n"
        "step(torch.ones(2, 6))\n"
        "stuck()\n"
        "step(torch.ones(2, 6))\n",
    )
    pair = run_pair(words, Launch(settings=SETTINGS, folder=tmp_path / "out", timeout=40))
    [process] = pair.processes
    assert (pair.timed_out, pair.identical, process.steps, sorted(process.waiting)) == (True, False, 1, [False, True])
    hung = pair.stacks[process.waiting.index(False)]
    assert "in stuck" in hung
    assert str(tmp_path / "train.py") in hung


@pytest.mark.slow
def test_the_end_of_one_by_force_ends_the_other(tmp_path):
    """The one whose file is there first kills itself; the other would wait for it for good."""
    words = script(
        tmp_path,
        "step(torch.ones(2, 6))\n"
        "try:\n"
        f"    os.mkdir({str(tmp_path / 'lock')!r})\n"
        "except FileExistsError:\n"
        "    os.kill(os.getpid(), 9)\n"
        "step(torch.ones(2, 6))\n",
    )
    pair = run_pair(words, Launch(settings=SETTINGS, folder=tmp_path / "out", timeout=200))
    [found] = pair.differences
    assert (found.kind, found.count, pair.timed_out) == ("length", 1, False)
    assert -9 in [run.exit_code for run in pair.runs]


LAUNCHER = """
import sys
from pathlib import Path
from lastbit.launch.pair.run import run_pair
from lastbit.launch.settings import Launch, LaunchSettings
run_pair(sys.argv[2:], Launch(settings=LaunchSettings(), folder=Path(sys.argv[1])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_orphan_is_left_however_lastbit_ends(how, tmp_path):
    mark = f"MARK-{os.urandom(8).hex()}"
    words = script(tmp_path, "print('trains', flush=True)\nwhile True:\n    step(torch.ones(2, 6))\n")
    command = [sys.executable, "-c", "import signal; signal.signal(2, signal.default_int_handler)\n" + LAUNCHER]
    with subprocess.Popen(
        [*command, str(tmp_path / "out"), *words],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"MARK": mark},
    ) as launcher:
        outs = [tmp_path / "out" / name / "stdout.txt" for name in ("first", "second")]
        deadline = time.monotonic() + 90
        while not all(out.exists() and out.read_text() for out in outs) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(alive(mark.encode())) >= 3
        launcher.send_signal(how)
        launcher.wait(60)
    assert gone(mark.encode())


@pytest.mark.slow
def test_what_the_first_run_leaves_behind_is_found_by_a_second_one(tmp_path):
    cache = tmp_path / "cache.pt"
    words = script(
        tmp_path,
        f"cache = {str(cache)!r}\n"
        "step(torch.ones(2, 6))\n"
        "inputs = torch.load(cache) if os.path.exists(cache) else torch.zeros(2, 6)\n"
        "torch.save(torch.ones(2, 6), cache + str(os.getpid()))\n"
        "os.replace(cache + str(os.getpid()), cache)\n"
        "step(inputs)\n",
    )
    pair = run_sequential(words, Launch(settings=SETTINGS, folder=tmp_path / "out", timeout=200))
    [found] = pair.differences
    assert (found.kind, found.count, [run.exit_code for run in pair.runs]) == ("values", 1, [0, 0])
    first, second = found.tapes
    read = [{tap.said for tap in tape.taps if tap.kind == "file" and "cache" in tap.said} for tape in (first, second)]
    assert not any(" bytes, crc32 " in said for said in read[0])
    assert any(said.startswith(f"{cache}: ") and " bytes, crc32 " in said for said in read[1])
    assert "aten.set_.source_Storage_storage_offset" in {op.name for op in second.ops} - {op.name for op in first.ops}


@pytest.mark.slow
def test_a_run_is_held_against_one_recorded_before(tmp_path):
    words = script(tmp_path, "for place in range(4):\n    step(torch.randn(2, 6))\n")
    first = run_recorded(words, Launch(settings=SETTINGS, folder=tmp_path / "a", timeout=200))
    assert (first.run.exit_code, first.run.troubles) == (0, ())
    save_record(first.record.words, first.folder, tmp_path / "run.record")
    [process] = load_record(tmp_path / "run.record").processes
    assert [step["step"] for step in process.steps] == [1, 2, 3, 4, 0]
    assert process.tape(3).ops[0].line.text == "step(torch.randn(2, 6))"
    assert process.begin["versions"]["torch"]


@pytest.mark.slow
def test_a_worker_that_draws_anew_shows_in_the_batch_and_in_its_own_taps(tmp_path):
    words = script(
        tmp_path,
        "import numpy as np\n"
        "from torch.utils.data import DataLoader, Dataset\n"
        "class Noise(Dataset):\n"
        "    def __len__(self):\n"
        "        return 8\n"
        "    def __getitem__(self, place):\n"
        "        return torch.from_numpy(np.random.default_rng().normal(size=6).astype('float32'))\n"
        "for batch in DataLoader(Noise(), 4, num_workers=2):\n"
        "    step(batch)\n",
    )
    pair = run_pair(words, Launch(settings=SETTINGS, folder=tmp_path / "out", timeout=200))
    [found] = pair.differences
    assert (found.kind, found.count) == ("values", 0)
    batches = [[tap for tap in tape.taps if tap.kind == "batch"] for tape in found.tapes]
    assert batches[0][0].said != batches[1][0].said
    drawn = {tap.line.text for _, taps in pair.taps[0] for tap in taps if tap.kind == "entropy"}
    assert any("default_rng()" in text for text in drawn)


def noisy(seed):
    import torch
    from torch import nn

    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for place in range(5):
        optimizer.zero_grad()
        model(torch.randn(8, 4) + (os.getpid() if place == seed else 0)).square().mean().backward()
        optimizer.step()
    return 0.5


@pytest.mark.slow
def test_a_function_runs_in_both(tmp_path):
    calls = {seed: Call(partial(call_seeded, noisy, seed), "noisy") for seed in (9, 3)}
    equal = run_pair(calls[9], Launch(settings=SETTINGS, folder=tmp_path / "equal", timeout=200))
    assert (equal.identical, equal.steps) == (True, 5)
    assert [(run.stdout.parent / "records" / "returned.txt").read_text() for run in equal.runs] == ["0.5", "0.5"]
    [found] = run_pair(calls[3], Launch(settings=SETTINGS, folder=tmp_path / "other", timeout=200)).differences
    assert (found.key, found.count) == ("noisy", 3)


def test_a_closure_is_refused_in_one_line():
    with pytest.raises(LastbitError, match=r"mine cannot be run in two processes .*: write it as a function") as caught:
        Call(lambda: 1, "mine").given()
    assert "\n" not in str(caught.value)


def test_a_program_without_steps_is_an_error_that_says_how_far_lastbit_got(tmp_path):
    pair = run_pair([sys.executable, "-c", "pass"], Launch(settings=SETTINGS, folder=tmp_path))
    assert (pair.identical, pair.processes) == (False, ())
    with pytest.raises(LastbitError, match="made no optimizer step: no Python that imports torch"):
        pair.check()


@pytest.mark.slow
def test_a_forked_child_that_ends_as_programs_do_is_not_held_up(tmp_path):
    """The watch for the time-out has a thread that a child lacks and must not wait for."""
    words = script(
        tmp_path,
        "child = os.fork()\nstep(torch.ones(2, 6))\nif child:\n    os.waitpid(child, 0)\nprint('ended', child > 0)\n",
    )
    pair = run_pair(words, Launch(settings=SETTINGS, folder=tmp_path / "out", timeout=120))
    assert (pair.timed_out, pair.identical, pair.steps) == (False, True, 2)
    assert {process.key for process in pair.processes} == {"train.py", "train.py, fork 1"}
