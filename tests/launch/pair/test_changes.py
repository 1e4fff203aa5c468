"""What a change gives the program's own lines: the same in every run, also where it is noted, and nobody else."""

import json
import os
import subprocess
import sys

import pytest

from lastbit.launch.process import SITE

PROGRAM = """
import importlib.util, json, sys
for name in ("lines", "addresses", "rearranged", "digests", "changes", "taps"):
    full = f"lastbit.launch.site.{name}"
    spec = importlib.util.spec_from_file_location(full, f"{sys.argv[1]}/{name}.py")
    sys.modules[full] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[full])
later = sys.modules["lastbit.launch.site.changes"].calls(json.loads(sys.argv[2]))
sys.modules[full].taps.install()
import concurrent.futures, datetime, logging, multiprocessing.pool, os, tempfile, time, types, uuid
sys.modules["numpy"] = types.SimpleNamespace(empty=lambda size: [7] * size, zeros=lambda size: [0] * size)
sys.modules["numpy"].empty_like = sys.modules["numpy"].zeros_like = None
class Plain: pass
class Valued:
    def __eq__(self, other): return True
    def __hash__(self): return 7
class Unhashed:
    __hash__ = None
things = [Plain() for _ in range(200)]
for calls in later:
    for name in ("uuid", "tempfile", "concurrent.futures", "multiprocessing.pool", "numpy"):
        calls.get(name, lambda: None)()

def completed():
    later = concurrent.futures.Future()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(later.result)
        later.set_result("first")
        second = pool.submit(str, "second")
        concurrent.futures.wait([first, second])
        # What is done already is given in the order of a set otherwise.
        futures = [pool.submit(str, number) for number in range(40)]
        return [one.result() for one in concurrent.futures.as_completed({second, *futures, first})]

def unordered():
    with multiprocessing.pool.ThreadPool(2) as pool:
        return list(pool.imap_unordered(lambda wait: time.sleep(wait) or wait, (0.2, 0.0)))

def temporary():
    made = [tempfile.mkstemp(dir=".", suffix=".x") for _ in range(20)]
    return [os.path.basename(path) for _, path in made]
asked = {
    "clock": lambda: [getattr(time, name)() for name in ("time", "time_ns", "monotonic", "perf_counter_ns")],
    "date": lambda: [str(datetime.datetime.now()), time.strftime("%c"), time.localtime(), time.localtime(0)[:2]],
    "process": lambda: os.getpid(),
    "folder": lambda: [os.listdir("sub"), [one.name for one in os.scandir(path="sub")], next(os.walk("sub"))[2]],
    "order": lambda: [things.index(one) for one in {*things}],
    "address": lambda: sorted(range(9), key=lambda place: id(things[place])),
    "own": lambda: [hash(Valued()), Unhashed.__hash__],
    "turns": lambda: [completed(), unordered()],
    "names": lambda: [temporary(), [str(uuid.uuid4()) for _ in range(20)]],
    "memory": lambda: sys.modules["numpy"].empty(3),
    "entropy": lambda: [os.urandom(4).hex(), str(uuid.uuid4()), str(uuid.uuid1()), os.urandom(0).hex()],
}
library = logging.LogRecord("", 0, "", 0, "", None, None)
print(json.dumps({name: ask() for name, ask in asked.items()} | {"library": [library.created, library.process]}))
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "sub").mkdir()
    for name in ("c", "a", "b"):
        (tmp_path / "sub" / name).touch()

    def once(rank="", **changes):
        words = [sys.executable, "program.py", str(SITE), json.dumps(changes)]
        env = os.environ | {"RANK": rank}
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
        assert done.stderr == ""
        return json.loads(done.stdout)

    return once


def test_each_change_makes_equal_what_it_is_for_and_leaves_the_rest(run):
    changes = {"clock": "fixed", "process": "fixed", "folders": "sorted", "entropy": "fixed"}
    first, second = run(**changes), run(**changes)
    for name in ("clock", "date", "process", "folder", "entropy"):
        assert first[name] == second[name], name
    assert first["folder"] == [["a", "b", "c"]] * 3
    # Each question is a thousandth of a second after the one before.
    assert first["clock"] == [1.7e9, 1_700_000_000_001_000_000, 1_700_000_000.002, 1_700_000_000_003_000_000]
    assert first["date"][3] == [1970, 1]
    # What a library asks is as ever.
    assert first["library"][0] > 1.7e9 + 10**6
    assert first["library"][1] != second["library"][1]
    assert first["library"][1] < 1 << 22 < first["process"]


def test_order_names_and_memory_are_those_of_the_task_of_the_making_and_of_nobody(run):
    changed, plain = run(order="kept", names="counted", memory="zeros"), run()
    assert changed["turns"] == [["first", "second", *map(str, range(40))], [0.2, 0.0]]
    assert plain["turns"][1] == [0.0, 0.2]
    assert all(names == sorted(set(names)) for names in changed["names"])
    assert not any(names == sorted(names) for names in plain["names"])
    assert (changed["memory"], plain["memory"]) == ([0, 0, 0], [7, 7, 7])


def test_without_a_change_all_is_as_ever_and_ranks_have_numbers_of_their_own(run):
    first, second = run(), run()
    assert all(first[name] != second[name] for name in ("clock", "process", "entropy"))
    numbers = [run(rank, process="fixed")["process"] for rank in ("0", "1")]
    assert numbers[0] != numbers[1]


def test_numbers_in_place_of_addresses_order_a_set_as_it_was_filled_and_leave_an_own_hash(run):
    numbered = run(addresses="numbered")
    assert numbered["order"] == list(range(200))
    assert numbered["address"] == list(range(9))
    assert numbered["own"] == [7, None]
    assert run()["order"] != list(range(200))
