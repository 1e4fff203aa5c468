"""What travels to another machine, and what a slot there makes of it; no Ray is needed for either."""

import hashlib
import os
import pickle
import sys
from pathlib import Path

import executor_workers
import pytest
import torch

from lastbit.core.errors import LastbitError
from lastbit.train.environment import environment
from lastbit.train.executors.away import Luggage, own_digest, unpack
from lastbit.train.executors.ray_cluster import Node, check_address, check_room, joined
from lastbit.train.executors.ray_slot import CHUNK, Slot
from lastbit.train.probe_step import step_digest

HELPERS = str(Path(executor_workers.__file__).parent)


def luggage(factory=None, **given):
    return Luggage(factory=pickle.dumps(factory), threads=1, modules=(HELPERS,), **given)


def test_files_that_a_machine_sees_are_used_where_they_lie(tmp_path):
    file = tmp_path / "task.py"
    file.write_text("VALUE = 1\n")
    given = luggage(texts={str(file): b"VALUE = 1\n"}, cwd=str(tmp_path))
    assert unpack(given, tmp_path / "room") == (None, tmp_path, (HELPERS,))


def test_other_files_are_laid_out_by_their_full_paths(tmp_path):
    file, room = tmp_path / "mine" / "task.py", tmp_path / "room"
    file.parent.mkdir()
    file.write_text("VALUE = 2\n")  # was changed since, or is another machine's
    given = Luggage(
        factory=b"", threads=1, modules=(str(file.parent),), texts={str(file): b"VALUE = 1\n"}, cwd=str(tmp_path)
    )
    root, cwd, modules = unpack(given, room)
    assert root == room / "sources"
    assert cwd == root / tmp_path.relative_to("/")
    assert cwd.is_dir()
    assert modules == (str(cwd / "mine"),)
    assert (cwd / "mine" / "task.py").read_text() == "VALUE = 1\n"
    assert file.read_text() == "VALUE = 2\n"


def test_what_a_machine_must_have_is_named(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("print(1)\n")
    digest = hashlib.blake2b(b"print(1)\n", digest_size=16).hexdigest()
    assert luggage(needed={str(script): digest}, folders=(str(tmp_path),)).missing() == ""
    assert luggage(needed={str(script): "0"}).missing() == f"has another {script}"
    assert luggage(needed={str(tmp_path / "no.py"): digest}).missing() == f"has no {tmp_path / 'no.py'}"
    assert luggage(folders=(str(tmp_path / "no"),)).missing() == f"has no folder {tmp_path / 'no'}"


def test_the_steps_of_a_machine_repeat_and_depend_on_nothing_before():
    torch.manual_seed(5)
    first = step_digest(torch.device("cpu"))
    torch.randn(3)
    assert step_digest(torch.device("cpu")) == first


def test_this_lastbit_is_known_by_its_text():
    assert own_digest() == own_digest()
    assert len(own_digest()) == 32


@pytest.fixture
def slot():
    one = Slot.__new__(Slot)
    with pytest.MonkeyPatch.context() as patch:
        # An actor ends with what started it; a test must not.
        patch.setattr("lastbit.train.executors.ray_slot._end_with_parent", lambda: None)
        one.__init__()
    yield one
    one.end()
    assert not one._room.exists()


@pytest.mark.slow
def test_a_slot_says_what_it_computes_with_and_does_jobs_whose_files_come_back(slot, tmp_path):
    (kind, packed), *more = slot.greet(luggage(executor_workers.CounterFactory(), home=str(tmp_path)))
    assert (kind, more) == ("done", [])
    facts = pickle.loads(packed)  # noqa: S301
    here = environment(torch.device("cpu"))
    assert {name: facts[name] for name in here} == here
    assert (facts["threads"], facts["lastbit's text"]) == (1, own_digest())
    said = list(slot.do(pickle.dumps(("a", 14)), {"checkpoints/a": b"4"}, ("checkpoints/a",)))
    assert [name for kind, name, *_ in said if kind == "file"][-1] == "arrays/a"
    assert ("file", "arrays/a", b"counted to 14", True) in said
    assert ("gone", "checkpoints/a") in said
    numbers = [
        int(chunk) for kind, name, chunk, _ in (one for one in said if one[0] == "file") if "checkpoints" in name
    ]
    assert 1 <= len(numbers) <= 4  # at most two a second, though it wrote ten
    assert numbers == sorted(numbers)
    assert said[-1][0] == "done"
    begun, process = pickle.loads(said[-1][1])  # noqa: S301
    assert begun == 4
    assert process != os.getpid()
    # The next job finds nothing of this one.
    *_, (kind, packed) = slot.do(pickle.dumps(("a", 1)), {}, ())
    assert (kind, pickle.loads(packed)) == ("done", (0, process))  # noqa: S301


def test_a_large_file_comes_in_pieces(slot):
    slot._luggage, content = luggage(), os.urandom(2 * CHUNK + 5)
    slot._study.mkdir()
    (slot._study / "large").write_bytes(content)
    (slot._study / "empty").write_bytes(b"")
    said = list(slot._left())
    assert [(name, len(chunk), last) for _, name, chunk, last in said] == [
        ("empty", 0, True),
        ("large", CHUNK, False),
        ("large", CHUNK, False),
        ("large", 5, True),
    ]
    assert b"".join(chunk for _, name, chunk, _ in said if name == "large") == content
    assert list(slot._left()) == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", r"runs on a node of the cluster, not through a Ray client.*--ray-address auto"),
        ("nonsense", r"write local, auto, or HOST:PORT"),
        ("head:99999", r"write local, auto, or HOST:PORT"),
        (":6379", r"write local, auto, or HOST:PORT"),
    ],
)
def test_what_is_no_address_is_refused(address, said):
    with pytest.raises(LastbitError, match=said):
        check_address(address)


@pytest.mark.parametrize("address", [None, "local", "auto", "10.0.0.1:6379", "[::1]:6379"])
def test_addresses(address):
    check_address(address)


def test_a_head_that_is_not_there_is_said_at_once():
    pytest.importorskip("ray")
    with pytest.raises(LastbitError, match=r"127\.0\.0\.1:1: nobody answers there"), joined("127.0.0.1:1", 1):
        pass


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr("lastbit.train.executors.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(LastbitError, match=r"pip install 'lastbit\[ray\]'"), joined("local", 1):
        pass


NODES = [Node("a", "one", 4.0, 1.0), Node("b", "two", 16.0, 0.0)]


@pytest.mark.parametrize(
    ("cpus", "gpus", "rooms"),
    [(1, 0, [4, 16]), (4, 0, [1, 4]), (5, 0, [0, 3]), (0.5, 0, [8, 32]), (1, 0.25, [4, 0]), (0.1, 0.1, [10, 0])],
)
def test_the_runs_that_fit_on_a_node(cpus, gpus, rooms):
    assert [node.room(cpus, gpus) for node in NODES] == rooms
    check_room(NODES, cpus, gpus)


@pytest.mark.parametrize(
    ("cpus", "gpus", "said"),
    [
        (17, 0, r"--per-run-cpus 17: no node of the cluster has more than 16 CPUs"),
        (1, 2, r"--per-run-gpus 2: no node of the cluster has more than 1 GPU"),
        (8, 1, r"no node of the cluster has 8 CPUs and 1 GPUs for a run"),
    ],
)
def test_a_run_that_fits_on_no_node_is_refused(cpus, gpus, said):
    with pytest.raises(LastbitError, match=said):
        check_room(NODES, cpus, gpus)
