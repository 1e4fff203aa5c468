"""A command runs as it would have run, perturbed and recorded; whatever it started has ended afterwards."""

import os
import signal
import subprocess
import sys
import threading
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stand_ins import PROGRAMS, plain, program, shown

from lastbit.core.errors import LastbitError
from lastbit.launch.command import CommandRun, run_command
from lastbit.launch.guarded import alone_in
from lastbit.launch.settings import Launch, LaunchSettings
from lastbit.perturb.auto import Auto
from lastbit.perturb.flip_ulp import FlipUlp
from lastbit.perturb.reorder_batch import ReorderBatch
from lastbit.perturb.rescale import Rescale


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pid, seconds=10.0):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def compare(words, tmp_path, perturbation=None):
    """Check a program's four runs against each other, and return the unperturbed and the perturbed one."""
    bare = plain(words)
    kinds = {"base": LaunchSettings(), "four": LaunchSettings(perturbation=Rescale(k=4))}
    kinds["three"] = LaunchSettings(perturbation=perturbation or Auto(k=3, seed=1))
    runs = {name: run_command(words, Launch(settings=kinds[name], folder=tmp_path / name)) for name in kinds}
    base, four, three = runs.values()
    for run in (base, four):
        assert (run.exit_code, run.stdout.read_bytes()) == (bare.returncode, bare.stdout)
        assert shown(run.stderr.read_bytes()) == shown(bare.stderr)
        assert not run.troubles
    assert base.same_as(four)
    assert three.exit_code == bare.returncode
    assert not three.troubles
    base.check()
    assert not base.same_as(three)
    return base, three


@pytest.mark.slow
def test_the_unperturbed_run_is_the_plain_one_and_the_perturbed_one_lands(tmp_path):
    words = program("plain.py", "--seed", "{seed}")
    bare = plain(program("plain.py", "--seed", "2"))
    base = run_command(words, Launch(settings=LaunchSettings(seed=2), folder=tmp_path / "base"))
    three = run_command(
        words, Launch(settings=LaunchSettings(seed=2, perturbation=Rescale(k=3)), folder=tmp_path / "three")
    )
    assert (base.stdout.read_bytes(), base.stderr.read_bytes(), base.exit_code) == (bare.stdout, b"", 0)
    assert (base.steps, base.perturbed, three.perturbed) == (20, {"SGD": "identity"}, {"SGD": "rescale"})
    [process] = three.processes
    [optimizer] = process.optimizers
    assert (process.ended, process.forked, process.rank, process.program) == (True, False, None, words[1])
    assert (optimizer.steps, optimizer.weights, optimizer.left_alone) == (20, 227, 0)
    steps = [record.step for record in optimizer.records]
    assert {1, 2, 4, 8, 16, 20} <= set(steps)
    assert steps == sorted(steps)
    assert optimizer.sketches.values.shape == (len(steps), 4, 64)
    assert base.same_as(base)
    assert not base.same_as(three)


@pytest.mark.slow
def test_a_skipped_step_of_the_scaler_is_none(tmp_path):
    base, _ = compare(program("scaled.py"), tmp_path)
    assert base.stdout.read_text().startswith(f"taken: {base.steps}\n")
    assert 0 < base.steps < 8


@pytest.mark.slow
def test_other_folders_bytes_and_exit_codes_pass(tmp_path):
    base, _ = compare(program("leaves.py"), tmp_path)
    assert base.exit_code == 7
    assert base.stdout.read_bytes().startswith(b"\xff\x00\xfe\n")
    assert base.processes[0].ended  # what os._exit would have lost
    assert base.optimizers[0].records[-1].step == 7


@pytest.mark.slow
def test_what_cannot_be_perturbed_is_left_alone_and_does_not_fail(tmp_path):
    base, three = compare(program("unperturbable.py"), tmp_path, FlipUlp(seed=1))
    waves = three.optimizers[0]
    assert (waves.left_alone, waves.weights, base.steps) == (3, 0, 3 * 12)
    assert "complex" in waves.refused
    rescaled = run_command(
        program("unperturbable.py"),
        Launch(settings=LaunchSettings(perturbation=Rescale(k=3)), folder=tmp_path / "rescaled"),
    )
    assert rescaled.exit_code == 0
    assert [optimizer.perturbed for optimizer in rescaled.optimizers] == ["none", "none", "rescale"]
    assert [optimizer.left_alone for optimizer in rescaled.optimizers] == [3, 80, 3]
    assert "sparse" in rescaled.optimizers[1].refused
    assert not base.same_as(rescaled)


@pytest.mark.slow
def test_shards_of_two_ranks_are_perturbed_as_the_whole_would_be(tmp_path):
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    program = [str(PROGRAMS / "sharded.py"), "AdamW"]
    made = {"four": Rescale(k=4), "seven": Rescale(k=7), "drawn": FlipUlp()}
    runs = {
        name: run_command(
            [*words, "2", *program], Launch(settings=LaunchSettings(perturbation=one), folder=tmp_path / name)
        )
        for name, one in made.items()
    }
    for run in runs.values():
        assert (run.exit_code, [process.rank for process in run.processes]) == (0, [0, 1])
        assert not run.troubles
        assert [one.steps for one in run.optimizers] == [6, 6]
    # Of seven and one rows of two layers the first rank holds four and one.
    assert [one.weights for one in runs["seven"].optimizers] == [5 * 4 + 4 + 7 + 1, 5 * 3 + 3]
    alone = run_command(
        [*words, "1", *program], Launch(settings=LaunchSettings(perturbation=Rescale(k=7)), folder=tmp_path / "alone")
    )
    assert all("spread over processes" in one.refused for one in runs["drawn"].optimizers)
    # What is refused leaves the run as it is, which a power of two has to come to as well.
    assert runs["drawn"].same_as(runs["four"])
    assert not runs["drawn"].same_as(runs["seven"])
    assert runs["drawn"].stdout.read_bytes() == runs["four"].stdout.read_bytes()
    assert alone.stdout.read_bytes() == runs["seven"].stdout.read_bytes() != runs["drawn"].stdout.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["shell", "module", "console"])
def test_however_python_is_started(form, tmp_path):
    script = tmp_path / "run"
    starts = {
        "shell": f'#!/bin/sh\necho begin\n"{sys.executable}" "{PROGRAMS}/plain.py" "$@"\n',
        "module": "",
        "console": f"#!{sys.executable}\nimport runpy, sys\nsys.argv[0] = 'plain'\n"
        f"runpy.run_path({str(PROGRAMS / 'plain.py')!r}, run_name='__main__')\n",
    }
    script.write_text(starts[form])
    script.chmod(0o755)
    words = [str(script)] if form != "module" else [sys.executable, "-P", "-m", "plain"]
    environment = os.environ | {"PYTHONPATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    settings = LaunchSettings(perturbation=Rescale(k=3))
    run = run_command(words, Launch(settings=settings, folder=tmp_path / "out", environment=environment))
    assert (run.exit_code, run.steps, run.perturbed) == (0, 20, {"SGD": "rescale"})


def test_a_program_without_steps_is_an_error_that_says_how_far_lastbit_got(tmp_path):
    said = {}
    for name, words in {"nothing": ["true"], "python": [sys.executable, "-c", "pass"]}.items():
        run = run_command(words, Launch(settings=LaunchSettings(), folder=tmp_path / name))
        assert (run.exit_code, run.reached, run.steps) == (0, name, 0)
        with pytest.raises(LastbitError, match="made no optimizer step") as caught:
            run.check()
        said[name] = str(caught.value)
        assert "\n" not in said[name]
    assert "no Python was reached" in said["nothing"]
    assert "imports torch" in said["python"]


def test_a_python_that_lacks_what_lastbit_needs_is_told_what_to_install(tmp_path):
    venv.create(tmp_path / "bare", symlinks=True)
    # All of torch is there, whatever is asked of it, and nothing else.
    (tmp_path / "torch.py").write_text(
        "import sys\nfrom importlib.machinery import ModuleSpec\nfrom unittest.mock import MagicMock\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        return ModuleSpec(name, self) if name.startswith('torch.') else None\n"
        "    def create_module(self, spec): return MagicMock(__path__=[], __spec__=spec)\n"
        "    def exec_module(self, module): pass\n"
        "sys.meta_path.insert(0, Finder())\n__path__, Tensor = [], object\n"
        "def __getattr__(name):\n"
        "    if name.startswith('__'): raise AttributeError(name)\n"
        "    return MagicMock()\n"
    )
    run = run_command(
        [str(tmp_path / "bare" / "bin" / "python"), "-c", "import torch"],
        Launch(settings=LaunchSettings(), folder=tmp_path / "run", environment={"PYTHONPATH": str(tmp_path)}),
    )
    assert run.exit_code == 0
    with pytest.raises(LastbitError, match=r"No module named 'numpy'; install lastbit into the environment"):
        run.check()


@pytest.mark.slow
def test_updates_by_hand_are_no_steps(tmp_path):
    run = run_command(program("by_hand.py"), Launch(settings=LaunchSettings(), folder=tmp_path))
    assert run.reached == "torch"
    with pytest.raises(LastbitError, match=r"torch was imported and no torch.optim.Optimizer stepped"):
        run.check()


def test_a_failing_program_is_a_result_with_its_last_lines(tmp_path):
    script = "import sys; print(*range(30), sep='\\n'); sys.exit('no such file')"
    run = run_command([sys.executable, "-c", script], Launch(settings=LaunchSettings(), folder=tmp_path))
    assert (run.exit_code, run.last_lines, run.timed_out) == (1, "no such file", False)
    ended = run_command(["sh", "-c", "echo last; kill -9 $$"], Launch(settings=LaunchSettings(), folder=tmp_path))
    assert (ended.exit_code, ended.last_lines) == (-9, "last")


@pytest.mark.parametrize("name", ["orphan.py", "daemon.py"])
@pytest.mark.parametrize("ends", ["timeout", "by itself"])
def test_no_orphan_is_left_even_one_that_ignores_sigterm_in_a_session_of_its_own(ends, name, tmp_path, monkeypatch):
    monkeypatch.setattr("lastbit.launch.warden.GRACE", 0.3)
    monkeypatch.setattr("lastbit.launch.warden.SETTLE", 0.1)
    words = program(name, *(["leave"] if ends == "by itself" else []))
    run = run_command(
        words, Launch(settings=LaunchSettings(), folder=tmp_path, timeout=1 if ends == "timeout" else None)
    )
    assert run.timed_out == (ends == "timeout")
    assert run.exit_code == (0 if ends == "by itself" else -signal.SIGTERM)
    assert not alive(int(run.stdout.read_text()))


def test_the_last_line_is_the_programs_own_not_what_follows_when_it_is_ended(tmp_path):
    script = "trap 'echo Terminated >&2; exit 1' TERM; echo epoch 3; while true; do sleep 0.05; done"
    run = run_command(["sh", "-c", script], Launch(settings=LaunchSettings(), folder=tmp_path, timeout=1))
    assert (run.last_line, run.output) == ("epoch 3", run.stdout)
    assert run.stderr.read_text().startswith("Terminated\n")


# Whoever started the tests may ignore Ctrl-C, as a shell does for what it runs in the background.
LAUNCHER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from lastbit.launch.command import run_command
from lastbit.launch.settings import Launch, LaunchSettings
run_command(sys.argv[2:], Launch(settings=LaunchSettings(), folder=Path(sys.argv[1])))
"""


def test_a_folder_is_free_again_when_what_wrote_there_has_ended(tmp_path):
    """A study that is resumed at once waits for what the lastbit before, which was killed, is still ending."""
    (tmp_path / "records").mkdir()
    held, ends = threading.Event(), threading.Event()

    def hold():
        with alone_in(tmp_path / "records"):
            held.set()
            ends.wait(60)

    with ThreadPoolExecutor() as pool:
        pool.submit(hold)
        assert held.wait(60)
        run = pool.submit(run_command, ["true"], Launch(settings=LaunchSettings(), folder=tmp_path))
        with pytest.raises(TimeoutError):
            run.result(0.3)
        ends.set()
        assert run.result(30).exit_code == 0


def test_one_that_dies_with_its_warden_is_an_error_and_leaves_nothing(tmp_path):
    script = "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)"
    with pytest.raises(LastbitError, match="was killed: run it again"):
        run_command([sys.executable, "-c", script], Launch(settings=LaunchSettings(), folder=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["orphan.py", "daemon.py"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_orphan_is_left_however_the_launcher_ends(how, name, tmp_path):
    words = [sys.executable, "-c", LAUNCHER, str(tmp_path), *program(name)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True) as launcher:
        out = tmp_path / "stdout.txt"
        deadline = time.monotonic() + 60
        while not (out.exists() and out.read_text().endswith("\n")) and time.monotonic() < deadline:
            time.sleep(0.05)
        stubborn = int(out.read_text())
        launcher.send_signal(how)
        launcher.wait(60)
    assert gone(stubborn)


def test_the_environment_is_the_users_but_for_what_is_said(tmp_path):
    def run(settings, name, **held):
        base = {"PATH": os.environ["PATH"], "MINE": "1"} | held
        done = run_command(["env"], Launch(settings=settings, folder=tmp_path / name, environment=base))
        found = dict(line.split("=", 1) for line in done.stdout.read_text().splitlines() if "=" in line)
        ours = {"_", "PWD", "SHLVL"}
        return {key: value for key, value in found.items() if base.get(key) != value and key not in ours}

    threads = LaunchSettings(threads=2)
    assert set(run(threads, "a")) == {
        "PYTHONPATH",
        "LASTBIT_LAUNCH",
        "CUBLAS_WORKSPACE_CONFIG",
        "PYTHONHASHSEED",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
    }
    as_is = LaunchSettings(deterministic=False)
    changed = run(as_is, "b", PYTHONPATH="/mine:/too", PYTHONHASHSEED="random")
    assert set(changed) == {"PYTHONPATH", "LASTBIT_LAUNCH"}
    assert changed["PYTHONPATH"].endswith("/launch/site:/mine:/too")
    assert os.pathsep + os.pathsep not in changed["PYTHONPATH"]
    assert "PYTHONHASHSEED" not in run(LaunchSettings(), "c", PYTHONHASHSEED="5")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: LaunchSettings(seed=1, reseed=1), "leave one of them out"),
        (lambda: LaunchSettings(perturbation=ReorderBatch(seed=1)), "reorder needs the model"),
        (lambda: LaunchSettings(threads=0), "threads = 0: write a whole number of at least 1"),
        (lambda: LaunchSettings(every=6), "write a power of two"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(made, said):
    with pytest.raises(LastbitError, match=said) as caught:
        made()
    assert "\n" not in str(caught.value)


def test_a_run_is_frozen(tmp_path):
    run = run_command(["true"], Launch(settings=LaunchSettings(), folder=tmp_path))
    assert isinstance(run, CommandRun)
    with pytest.raises(AttributeError):
        run.exit_code = 1
