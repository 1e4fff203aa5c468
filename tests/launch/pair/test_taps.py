"""What a program meets is noted with its line, and comes to the program as it came."""

import json
import logging
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lastbit.launch.process import SITE
from lastbit.launch.site.lines import place_of
from lastbit.launch.site.taps import Tapped, Taps

PROGRAM = """
import importlib.util, json, sys
for name in ("lines", "addresses", "rearranged", "digests", "changes", "taps", "handed"):
    full = f"lastbit.launch.site.{name}"
    spec = importlib.util.spec_from_file_location(full, f"{sys.argv[1]}/{name}.py")
    sys.modules[full] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[full])
taps = sys.modules["lastbit.launch.site.taps"].taps
taps.install()
later = taps.calls() | sys.modules[full].calls(taps)
import random
import uuid
for name in ("random", "uuid", "queue", "concurrent.futures", "multiprocessing.pool"):
    importlib.import_module(name)
    later[name]()
"""

MET = {
    "seed": ("random.seed(3)", "random.seed: 3"),
    "generator": ("random.Random()", "random.Random: None"),
    "draw": ("random.shuffle([1, 2])", "random.shuffle: crc32 "),
    "number": ("random.random()", "random.random: 0."),
    "clock": ("import time; time.time()", "time.time: 1"),
    "monotonic": ("import time; time.monotonic()", "time.monotonic: "),
    "calendar": ("import time; time.strftime('%Y')", "time.strftime: '2"),
    "entropy": ("import os; os.urandom(4)", "os.urandom: "),
    "kernel": ("import os; os.getrandom(4)", "os.getrandom: "),
    "system": ("random.SystemRandom().random()", "os.urandom: "),
    "secrets": ("import secrets; secrets.token_bytes(4)", "os.urandom: "),
    "uuid": ("import uuid; uuid.uuid4()", "os.urandom: "),
    "machine": ("import uuid; uuid.uuid1()", "uuid.uuid1: UUID("),
    "process": ("import os; os.getpid()", "os.getpid: "),
    "memory": ("open('/proc/meminfo').read()", "/proc/meminfo: read"),
    "processors": ("import os; os.cpu_count()", f"os.cpu_count: {os.cpu_count()}"),
    "file": ("open('data.txt').read()", "data.txt: 5 bytes, crc32 3610a686"),
    "path": ("from pathlib import Path; Path('data.txt').read_bytes()", "data.txt: 5 bytes, crc32 3610a686"),
    "written": ("open('new.txt', 'w').close()", "new.txt: written"),
    "listing": ("import os; os.listdir('sub')", "sub: 2 entries, order crc32 "),
    "glob": ("import glob; glob.glob('sub/*')", "sub: 2 entries, order crc32 "),
    "program": ("import subprocess; subprocess.run(['true'])", "start: ['true']"),
    "queue": ("import queue; q = queue.Queue(); q.put(3); q.get_nowait()", "queue.Queue.get:  crc32 "),
    "completed": (
        "import concurrent.futures as c; p = c.ThreadPoolExecutor(1); "
        "list(c.as_completed(iter([p.submit(int), p.submit(int)])))",
        "concurrent.futures.as_completed: number ",
    ),
    "unordered": (
        "from multiprocessing.pool import ThreadPool; list(ThreadPool(1).imap_unordered(str, range(3)))",
        "multiprocessing.Pool.imap_unordered:  crc32 ",
    ),
    "network": (
        "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect_ex('gone')",
        "connect: 'gone'",
    ),
}


UNHEARD = {
    "wait": "import threading; threading.Event().wait(0.001)",
    "timeout": "import queue; queue.Queue(1).put(1, timeout=1)",
    "welcome": (
        "import multiprocessing.connection as c; import os; a, b = c.Pipe(); "
        "os.fork() or (c.answer_challenge(b, b'key'), os._exit(0)); c.deliver_challenge(a, b'key'); os.wait()"
    ),
    "handing": "import multiprocessing.connection as c; met = c.Listener('met'); c.Client('met')",
    "task": "import queue, threading; q = queue.Queue(); q.put(3); threading.Thread(target=q.get).start()",
    "given": "import time; time.localtime(0); time.strftime('%Y', time.gmtime(0))",
}
"""A library asks the clock, a time that is given is written in another way, a process shows that it belongs to the
program, or a thread takes what is to do."""


TEMPORARY = "import tempfile; next(tempfile._RandomNameSequence())"
"""What a name of a temporary file is made of; queues and locks between processes have one."""


@pytest.fixture(scope="module")
def met(tmp_path_factory):
    """All of it met by one program, each in a function of its own."""
    folder = tmp_path_factory.mktemp("met")
    (folder / "data.txt").write_text("hello")
    (folder / "sub").mkdir()
    for name in "ab":
        (folder / "sub" / name).touch()
    does = {name: does for name, (does, _) in MET.items()} | UNHEARD | {"temporary": TEMPORARY}
    lines = [PROGRAM, *(f"def {name}():\n    {does}\n{name}()" for name, does in does.items())]
    found = "print(json.dumps([[tap.line[2], f'{tap.what}: {tap.said}', tap.count] for tap in taps.kept.values()]))"
    (folder / "program.py").write_text("\n".join([*lines, found]))
    done = subprocess.run(
        [sys.executable, "program.py", str(SITE)], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MET)
def test_it_is_noted_with_the_line_that_met_it(name, met):
    assert [said for function, said, _ in met if function == name and said.startswith(MET[name][1])]


@pytest.mark.parametrize("name", UNHEARD)
def test_what_decides_nothing_is_not_noted(name, met):
    assert not [said for function, said, _ in met if function == name]


def test_what_names_temporary_files_is_not_noted(met):
    assert not [said for function, said, _ in met if function == "temporary"]


def test_a_thread_is_named_by_the_line_that_started_it_for_as_long_as_it_runs(tmp_path):
    body = """
stop = threading.Event()
def wait(): stop.wait()
thread = threading.Thread(target=wait)
thread.start()
running = sys.modules[full].running
print([(tap.line[1:], tap.said) for tap in running()])
stop.set(); thread.join()
print(running())
"""
    (tmp_path / "program.py").write_text(PROGRAM + "import threading" + body)
    number = len(PROGRAM.splitlines()) + 5
    done = subprocess.run(
        [sys.executable, "program.py", str(SITE)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == f"[(({number}, '<module>'), 'wait')]\n[]\n"


def test_of_a_line_the_last_is_kept_with_a_digest_of_all():
    taps = Taps()
    for said in ("a", "b"):
        taps.note("time", "clock", lambda said=said: said, sys._getframe())
    taps.note("time", "clock", lambda: "c", sys._getframe())
    assert [(tap.said, tap.count) for tap in taps.kept.values()] == [("b", 2), ("c", 1)]


def test_equal_sayings_have_equal_digests_and_others_do_not():
    digests = []
    for sayings in (("1", "2"), ("1", "2"), ("2", "1")):
        taps = Taps()
        for said in sayings:
            taps.note("seed", "s", lambda said=said: said, sys._getframe())
        digests.append([tap.all for tap in taps.kept.values()])
    assert digests[0] == digests[1] != digests[2]


def test_nothing_is_noted_while_it_is_muted_or_goes_wrong():
    taps = Taps()
    with taps.muted():
        taps.note("time", "clock", lambda: "1", sys._getframe())
    taps.note("time", "clock", lambda: 1 / 0, sys._getframe())
    assert taps.kept == {}


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr("lastbit.launch.site.taps._MOST", 3)
    taps = Taps()
    for number in range(9):
        taps.note("file", f"{number}", lambda: "x" * 10**6, sys._getframe())
    assert len(taps.kept) == 3
    assert max(len(tap.said) for tap in taps.kept.values()) <= 200


@pytest.mark.parametrize(
    ("path", "noted"), [("_dynamo/eval_frame", True), ("_dynamo/convert_frame", False), ("_inductor/codecache", False)]
)
def test_what_a_compiler_asks_is_not_noted_and_what_is_called_through_one_is(path, noted):
    taps, found = Taps(), {}
    source = "def through(note):\n    note()\n"
    exec(compile(source, f"/lib/site-packages/torch/{path}.py", "exec"), found)
    found["through"](lambda: taps.note("seed", "torch.manual_seed", lambda: "5", sys._getframe(1)))
    assert bool(taps.kept) is noted


class Holder:
    now = Tapped(time, "time", lambda *_: None)


def test_a_tapped_function_stays_what_it_was():
    heard = []
    tapped = Tapped(time, "localtime", lambda frame, args, result: heard.append(result))
    assert Holder().now() > 1e9  # a plain built-in does not bind to the instance either
    record = logging.makeLogRecord({})
    formatter = logging.Formatter("%(asctime)s")
    formatter.converter = tapped
    assert formatter.format(record)
    assert len(heard) == 1
    assert (tapped.__name__, tapped.__module__, repr(tapped)) == ("localtime", "time", repr(time.localtime))


def test_a_tapped_function_is_pickled_by_its_name(monkeypatch):
    monkeypatch.setattr(os, "getppid", Tapped(os, "getppid", lambda *_: None))
    assert pickle.loads(pickle.dumps(os.getppid)) is os.getppid  # noqa: S301


def test_the_line_is_the_innermost_that_is_no_librarys():
    def called(*_):
        places.append(place_of(sys._getframe())[0])
        return 0

    places = []
    sorted([2, 1], key=called)
    assert places[0] == (__file__, called.__code__.co_firstlineno + 1, "called")
    from functools import reduce

    import torch

    reduce(lambda a, b: torch.utils._pytree.tree_map(called, [b]), [1, 2])
    assert places[-1][2] == "called"
    assert Path(places[-1][0]) == Path(__file__)
