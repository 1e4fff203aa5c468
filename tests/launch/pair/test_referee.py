"""The referee holds the n-th line of a process against the n-th of its twin, and lets nobody wait for nobody."""

import json
import socket
import threading
from contextlib import closing

import pytest

from lastbit.launch.pair import referee as module
from lastbit.launch.pair.referee import Referee


class Process:
    """A process of one of the runs, which says what the test has it say."""

    def __init__(self, referee, side, key="train.py", token=None):
        told = referee.told(side)
        self.socket = socket.socket(socket.AF_UNIX if isinstance(told["address"], str) else socket.AF_INET)
        self.socket.connect(told["address"] if isinstance(told["address"], str) else tuple(told["address"]))
        self.socket.settimeout(0.05)
        self.heard = b""
        self.count = 0
        hello = {"token": token or told["token"], "side": side, "key": key, "rank": None, "program": key, "pid": side}
        self._send(hello)

    def _send(self, line):
        self.socket.sendall(json.dumps(line).encode() + b"\n")

    def step(self, checksum, ops="0", optimizer=0, step=None):
        line = {"count": self.count, "optimizer": optimizer, "step": step or self.count + 1, "checksum": checksum}
        self._send(line | {"ops": ops, "tensors": 2, "bytes": 100})
        self.count += 1

    def end(self, checksum="e"):
        self._send({"count": self.count, "optimizer": -1, "step": 0, "checksum": checksum, "ops": "0"} | NOTHING)

    def written(self, path):
        self._send({"written": path})

    def hear(self):
        """Return a line, nothing where none has come, and `closed` at the end."""
        while b"\n" not in self.heard:
            try:
                got = self.socket.recv(4096)
            except TimeoutError:
                return None
            if not got:
                return "closed"
            self.heard += got
        line, self.heard = self.heard.split(b"\n", 1)
        return json.loads(line)["say"]

    def close(self):
        self.socket.close()


NOTHING = {"tensors": 0, "bytes": 0}


@pytest.fixture
def pair(tmp_path):
    with Referee(tmp_path) as referee:
        first, second = Process(referee, 0), Process(referee, 1)
        with closing(first), closing(second):
            listen(referee)
            yield referee, first, second


def listen(referee, times=6):
    for _ in range(times):
        referee.listen(0.01)


def answer(referee, process):
    listen(referee)
    return process.hear()


def record(referee):
    [only] = referee.records
    return only


def test_equal_twins_go_on_to_their_end(pair):
    referee, first, second = pair
    for _ in range(3):
        first.step("a")
        assert answer(referee, first) is None
        second.step("a")
        assert [answer(referee, one) for one in (first, second)] == ["on", "on"]
    first.end()
    second.end()
    assert [answer(referee, one) for one in (first, second)] == ["on", "on"]
    found = record(referee)
    assert (found.steps, found.tensors, found.size, found.ended, found.found) == (3, 2, 300, [True, True], None)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("values", lambda one, two: (one.step("a"), two.step("b"))),
        ("path", lambda one, two: (one.step("a"), two.step("a", optimizer=1))),
        ("path", lambda one, two: (one.step("a"), two.step("a", step=7))),
        ("length", lambda one, two: (one.step("a"), two.end())),
        ("length", lambda one, two: (one.step("a"), two.close())),
        ("end", lambda one, two: (one.end("x"), two.end("y"))),
    ],
)
def test_a_difference_stops_who_is_there_and_takes_the_tapes(kind, says, pair, tmp_path):
    referee, first, second = pair
    says(first, second)
    assert answer(referee, first) == "stop"
    found = record(referee).found
    assert (found.kind, found.count) == (kind, 0)
    assert not referee.settled
    there = [first] if second.socket.fileno() < 0 else [first, second]
    for place, one in enumerate(there):
        one.written(str(tmp_path / str(place)))
        one.close()
    listen(referee)
    assert referee.settled
    assert found.tapes == [tmp_path / "0", None if len(there) == 1 else tmp_path / "1"]


def test_a_process_that_the_other_run_never_had_is_stopped_when_that_run_is_over(tmp_path):
    with Referee(tmp_path) as referee, closing(Process(referee, 0)) as first:
        first.step("a")
        assert answer(referee, first) is None
        referee.end(1)
        assert answer(referee, first) == "stop"
        assert record(referee).found.kind == "alone"


def test_nobody_waits_longer_than_patience_for_a_twin_that_was_never_heard_of(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    with Referee(tmp_path) as referee, closing(Process(referee, 0)) as first:
        first.step("a")
        assert answer(referee, first) == "stop"


def test_processes_of_one_key_are_twins_in_the_order_in_which_they_come(tmp_path):
    with Referee(tmp_path) as referee:
        every = [Process(referee, side) for side in (0, 0, 1, 1)]
        listen(referee)
        assert [(one.place, one.pids) for one in referee.records] == [(0, [0, 1]), (1, [0, 1])]
        for one in every:
            one.close()


def test_ranks_are_held_against_their_own(tmp_path):
    with Referee(tmp_path) as referee:
        keys = ["t.py, rank 0", "t.py, rank 1"]
        every = {(key, side): Process(referee, side, key) for side in (0, 1) for key in keys[:: 1 - 2 * side]}
        for (key, _), one in every.items():
            one.step(key)
        assert {answer(referee, one) for one in every.values()} == {"on"}
        for one in every.values():
            one.close()


def test_a_step_whose_operations_differ_is_kept_three_times_at_most(pair):
    referee, first, second = pair
    said = []
    for place in range(5):
        first.step("a", ops="1")
        second.step("a", ops="2")
        said.append(answer(referee, first))
        answer(referee, second)
        if said[-1] == "keep":
            for one in (first, second):
                one.written(None)
        assert record(referee).steps == place + 1
    assert said == ["keep", "keep", "keep", "on", "on"]
    assert [kept.kind for kept in record(referee).suspects] == ["operations"] * 3


def test_a_stranger_is_not_heard(tmp_path):
    with Referee(tmp_path) as referee, closing(Process(referee, 0, token="guessed")) as stranger:
        stranger.step("a")
        assert answer(referee, stranger) == "closed"
        assert referee.records == []


def test_a_folder_too_deep_for_a_socket_takes_a_port_of_this_machine(tmp_path):
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    with Referee(deep) as referee:
        assert referee.address[0] == "127.0.0.1"
        with closing(Process(referee, 0)) as first, closing(Process(referee, 1)) as second:
            first.step("a")
            second.step("a")
            assert answer(referee, first) == "on"


def test_its_socket_goes_with_it(tmp_path):
    with Referee(tmp_path):
        assert (tmp_path / "pair.sock").exists()
    assert not (tmp_path / "pair.sock").exists()


def test_it_hears_while_a_process_waits(pair):
    """A process that blocks in its answer is answered as soon as its twin comes."""
    referee, first, second = pair
    first.socket.settimeout(5)
    heard = []
    waits = threading.Thread(target=lambda: heard.append(first.hear()))
    first.step("a")
    waits.start()
    listen(referee)
    assert heard == []
    second.step("a")
    listen(referee)
    waits.join(5)
    assert heard == ["on"]
