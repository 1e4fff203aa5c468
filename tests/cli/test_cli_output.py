"""The answer before the farewell: results are written first, printed last, and no stream or signal loses them."""

import errno
import io
import json
import signal
from pathlib import Path

import pytest

from lastbit.cli import main
from lastbit.core.errors import LastbitError
from lastbit.studies.pde.settings import (
    CnnStabilitySettings,
    ComplexitySettings,
    DeepStabilitySettings,
    LinearStabilitySettings,
    PhaseSettings,
    SimulateSettings,
    WindowSettings,
)

HEAT = ["pde", "stability", "heat"]
HOSTILE = "[red]x[/red]\x1b[31m\x07\u202ey"
SHOWN = "[red]x[/red]\\x1b[31m\\x07\\u202ey"


class Refusing(io.StringIO):
    """A stream whose every write fails."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    def write(self, text):
        raise OSError(self.code, "no")


@pytest.mark.parametrize(
    ("code", "exit_code", "told"), [(errno.EPIPE, 0, ""), (errno.ENOSPC, 2, "error: cannot print the answer (no)")]
)
def test_a_stream_that_takes_nothing_loses_no_file(here, monkeypatch, capsys, code, exit_code, told):
    monkeypatch.setattr("sys.stdout", Refusing(code))
    assert main([*HEAT, "--json", "out.json"]) == exit_code
    assert json.loads(Path("out.json").read_text())["max_stable_dt"] == 0.5
    assert capsys.readouterr().err.startswith(told)


def test_json_is_not_written_under_the_name_of_a_table(here, capsys):
    assert main([*HEAT, "--json", "out.csv"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(
        "error: --json out.csv would be JSON under the name of something else: write --json out.json;"
    )
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("words", [HEAT, [*HEAT, "--quiet"]])
def test_an_ascii_terminal_gets_escapes(here, monkeypatch, words):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    assert main(words) == 0
    assert b"stable for dt \\u2264 0.5" in out.buffer.getvalue()


def test_a_closed_standard_error_loses_no_answer(here, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr", Refusing(errno.EIO))
    assert main(["pde", "stability", "haet"]) == 2
    monkeypatch.setattr("sys.stderr", None)
    assert main(HEAT) == 0
    assert "stable for dt ≤ 0.5" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_keeps_the_others_and_the_answer(here, monkeypatch, capsys):
    monkeypatch.setattr("lastbit.cli.output.check_writable", lambda *targets, **others: None)
    monkeypatch.setattr("lastbit.cli.pde.check_writable", lambda *targets, **others: None)
    assert main([*HEAT, "--json", "nowhere/out.json", "--plot", "out.svg"]) == 2
    told = capsys.readouterr()
    assert "stable for dt ≤ 0.5" in told.out
    assert "cannot write nowhere/out.json" in told.err
    assert Path("out.svg").exists()


@pytest.fixture
def study(here):
    """A folder that looks like a study of `toy.py`, as far as the check of outputs looks."""
    folder = here / "S"
    (folder / "arrays").mkdir(parents=True)
    (folder / "runs.sqlite").touch()
    spec = {"program": {"task": "toy.py:make", "data_root": None}}
    (folder / "study.json").write_text(json.dumps({"spec": spec}))
    (here / "study.toml").write_text("epochs = 1\n")
    (here / "link").symlink_to(folder / "runs.sqlite")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "report S --out S/runs.sqlite",
        "report S --json S/study.json",
        "report S --json S/result.json",
        "report S --json S/lock",
        "report S --export S/runs.sqlite-wal",
        "report S --json S/arrays/x.json",
        "report S --out link",
        "report S --json toy.py",
        "report elsewhere --out S/study.json",
        "audit --task toy.py:make --json toy.py",
        "trace toy.py:make --json ./toy.py",
        "trace study.toml --json study.toml",
        "sharpness --resume S --json S/study.json",
        "eos --out elsewhere --json elsewhere/study.json",
        "audit --task digits --data-root elsewhere --json elsewhere/images",
        "pde stability heat --json x.png --plot x.png",
        "pde window --weight-decay 1 --image picture.png --plot picture.png",
    ],
)
def test_no_output_overwrites_what_is_read(here, study, capsys, words):
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "images").touch()
    (here / "picture.png").touch()
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    assert main(words.split()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert "name another" in told.err
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_system_without_hangups_stops_on_what_it_has(here, capsys, monkeypatch):
    monkeypatch.delattr(signal, "SIGHUP")
    assert main(HEAT) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_the_parent_ends_like_ctrl_c(here, capsys, monkeypatch, name):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)

    def signalled(*args, **settings):
        signal.raise_signal(number)
        raise LastbitError("it went on")

    monkeypatch.setattr("lastbit.studies.pde.stability.analysed", signalled)
    try:
        assert main(HEAT) == 130
        assert capsys.readouterr().err == "error: stopped\n"
        assert signal.getsignal(number) == signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)  # as under nohup
        assert main(HEAT) == 2
        assert capsys.readouterr().err == "error: it went on\n"
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize(
    "words",
    [
        ["audit", "--task", HOSTILE],
        ["trace", HOSTILE],
        ["eos", "--task", f"{HOSTILE}.py:make"],
        ["sharpness", "--resume", HOSTILE],
        ["report", HOSTILE],
        ["report", "S", "--json", f"{HOSTILE}/x"],
        ["pde", "stability", HOSTILE],
        ["pde", "simulate", "--lr", "1", "--weight-decay", "1", "--image", HOSTILE],
        ["pde", "phase", "--lr-range", HOSTILE],
        ["pde", "complexity", "--depths", HOSTILE],
        ["pde", "window", "--weight-decay", "1", "--plot", f"a.{HOSTILE}"],
        ["audit", f"--{HOSTILE}"],
        [HOSTILE],
    ],
)
def test_names_in_messages_are_shown_and_never_obeyed(here, capsys, words):
    assert main(words) == 2
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert "\u202e" not in told.err
    assert len(told.err.splitlines()) == 1
    assert "[red]x[/red]\\x1b[31m" in told.err or "\\\\x1b[31m" in told.err


def test_names_in_the_progress_are_shown_and_never_obeyed(monkeypatch):
    from lastbit.studies.frame.progress import grid_progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for screen in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", screen)
        with grid_progress(runs=1, done=0, steps=2, quiet=False) as progress:
            progress.event(HOSTILE)
            progress.started(HOSTILE, 2)
            progress.progressed(HOSTILE, 1)
            progress.finished(HOSTILE, HOSTILE, HOSTILE)
        assert SHOWN in screen.getvalue()
        assert "\x1b[31m\x07" not in screen.getvalue()


@pytest.mark.parametrize("words", ["trace --lr", "eos --weight-decay", "trace --dtype", "pde complexity --depths"])
@pytest.mark.parametrize("value", ["", ",", "1,,2"])
def test_a_flag_of_several_values_wants_some(refused, words, value):
    assert "names no value" in refused([*words.split(), value])


COMMANDS = {
    "stability cnn": CnnStabilitySettings,
    "stability deep": DeepStabilitySettings,
    "stability heat": LinearStabilitySettings,
    "simulate": SimulateSettings,
    "window": WindowSettings,
    "phase": PhaseSettings,
    "complexity": ComplexitySettings,
}
NEEDED = {"stability cnn": {"dt": "1"}, "simulate": {"lr": "1", "weight_decay": "1"}, "window": {"weight_decay": "1"}}


def numeric(config):
    """The fields of one number, with their bounds: `{name: {ge, gt, le, lt}}`."""
    found = {}
    for name, field in config.model_fields.items():
        kind = str(field.annotation)
        if any(word in kind for word in ("int", "float")) and not any(word in kind for word in ("tuple", "Literal")):
            bounds = {k: getattr(m, k) for m in field.metadata for k in ("ge", "gt", "le", "lt") if hasattr(m, k)}
            found[name] = bounds
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_number_of_a_pde_command_has_a_range_and_is_refused_outside(command, here, capsys):
    for name, bounds in numeric(COMMANDS[command]).items():
        assert bounds.keys() & {"ge", "gt"}, f"{name} has no lower end"
        assert bounds.keys() & {"le", "lt"}, f"{name} has no upper end"
        low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
        whole = "int" in str(COMMANDS[command].model_fields[name].annotation)
        outside = [low - 1, high + 1, 10**40] if whole else [2 * low - 1, 2 * high + 1, "nan", "inf", "1e999"]
        for value in [*outside, low] if "gt" in bounds else outside:
            given = {**NEEDED.get(command, {}), name: str(value)}
            words = [word for flag, text in given.items() for word in (f"--{flag.replace('_', '-')}", text)]
            assert main(["pde", *command.split(), *words]) == 2, (name, value)
            told = capsys.readouterr()
            assert told.out == ""
            assert len(told.err.splitlines()) == 1
            assert told.err.startswith(f"error: --{name.replace('_', '-')}"), told.err


@pytest.mark.parametrize(
    "words",
    [
        "simulate --lr 1 --weight-decay 1 --twin 2",
        "simulate --lr 1 --weight-decay 1 --twin 1",
        "phase --twin 4",
        "simulate --lr 1 --weight-decay 1 --record-every 0",
        "window --weight-decay 1 --steps 0",
        "complexity --depths 1,99999999999999999999",
    ],
)
def test_a_pde_setting_that_cannot_be_is_refused(refused, words):
    assert refused(["pde", *words.split()])


def test_a_defect_that_speaks_of_something_too_large_is_still_a_defect(here, monkeypatch, capsys):
    def broken(*args, **settings):
        raise ValueError("the index is too large")

    monkeypatch.setattr("lastbit.studies.pde.stability.analysed", broken)
    assert main(HEAT) == 1
    assert "a defect in lastbit" in capsys.readouterr().err


def test_what_no_memory_holds_is_bad_input(here, monkeypatch, capsys):
    def too_much(*args, **settings):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes")

    monkeypatch.setattr("lastbit.studies.pde.stability.analysed", too_much)
    assert main(HEAT) == 2
    assert "use smaller sizes" in capsys.readouterr().err
