"""A record holds what the tapes would have held, and two records differ where the runs do."""

import gzip
import json
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from lastbit.core.errors import LastbitError
from lastbit.launch.pair.against import check_alike, held_against
from lastbit.launch.pair.leaves import hashes_of, names_of, standing
from lastbit.launch.pair.pace import Pace
from lastbit.launch.pair.recorded import RunRecord, load_record, read_steps, save_record
from lastbit.launch.pair.recording import Recording
from lastbit.launch.pair.said import Said
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.pair.tapes import ProcessFacts, read_tape, write_tape


def fail(error):
    raise error


def run(folder, *, steps=4, nudge=None, hidden=3, key="train.py", rank=None, begin=0, extra=None, ends=True):
    """Train, record it in `folder`, and return the plain tapes; `nudge`: a step at which the input is moved."""
    folder.mkdir(parents=True, exist_ok=True)
    recording, tapes = Recording(folder, begin), []
    recorder = OpRecorder(fail)
    facts = ProcessFacts(key, 7, "train.py", rank, {"torch": "2"}, {"threads": "1"})
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, hidden), nn.Dropout(0.2), nn.Linear(hidden, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    names = cache(lambda: names_of(optimizer))  # it looks through every living object, of which pytest has many
    with recorder.mode():
        for step in range(steps):
            recorder.on, takes = recording.whole, recording.takes(step)
            with torch._C._DisableTorchDispatch():
                before = hashes_of(optimizer, recorder.memories) if takes else {}
            optimizer.zero_grad()
            inputs = torch.randn(5, 4)
            if step == nudge:
                inputs = inputs + 2**-20
            if step == extra:
                torch.tensor(0.5 if nudge else 0.25).exp()
            model(inputs).square().mean().backward()
            optimizer.step()
            with torch._C._DisableTorchDispatch():
                if not takes:
                    recorder.cut()
                    continue
                stands = standing(optimizer, recorder.memories, before)
                said = Said(facts, 0, step + 1, stands.checksum, stands, names, recorder)
                tapes.append(said.whole())
                recording.tell(said)
            recorder.cut()
        if ends:
            with torch._C._DisableTorchDispatch():
                recording.tell(Said(facts, -1, 0, "end", replace(stands, leaves=()), dict, recorder))
    return tapes


def record(folder, **how):
    run(folder, **how)
    return RunRecord(("python", "train.py"), read_steps(folder))


def renumbered(tape):
    """A tape with its memory numbered in the order of the step, parameters first, as records number it."""
    numbers = {-1: -1}

    def number(storage):
        return None if storage is None else numbers.setdefault(storage, len(numbers) - 1)

    leaves = []
    for leaf in tape.parameters:
        storage = number(leaf.storage)
        leaves.append(replace(leaf, storage=storage, grad_storage=number(leaf.grad_storage)))
    ops = []
    for op in tape.ops:
        values = [
            tuple(replace(value, storage=number(value.storage)) for value in side) for side in (op.inputs, op.outputs)
        ]
        ops.append(replace(op, inputs=values[0], outputs=values[1]))
    return replace(tape, parameters=tuple(leaves), ops=tuple(ops))


def test_a_tape_is_read_back_as_it_was_written(tmp_path):
    tape = run(tmp_path)[2]
    assert write_tape(tmp_path / "tape.jsonl", tape)
    assert read_tape(tmp_path / "tape.jsonl") == tape
    assert not write_tape(tmp_path / "large.jsonl", tape, most=100)
    assert not list(tmp_path.glob("large*"))


def test_a_record_gives_the_tapes_back(tmp_path):
    tapes = run(tmp_path)
    [process] = read_steps(tmp_path)
    assert len(process.steps) == 5
    for place, tape in enumerate(tapes):
        assert process.tape(place) == renumbered(tape)
    assert [leaf.name for leaf in process.tape(0).parameters] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_equal_steps_are_written_once(tmp_path):
    run(tmp_path / "few", steps=3)
    run(tmp_path / "many", steps=30)
    sizes = [sum(path.stat().st_size for path in (tmp_path / name).glob("*")) for name in ("few", "many")]
    assert (sizes[1] - sizes[0]) / 27 < 0.4 * sizes[0]


def test_equal_runs_are_equal_to_their_end(tmp_path):
    first, second = record(tmp_path / "a"), record(tmp_path / "b")
    [pair] = held_against(first, second)
    assert (pair.steps, pair.tensors, pair.ended, pair.difference, pair.suspects) == (4, 4, True, None, ())
    weights = 4 * 3 + 3 + 3 * 2 + 2
    assert pair.compared == 4 * 2 * 4 * weights  # steps, parameters and gradients, bytes


def test_a_difference_is_found_at_its_step_with_both_tapes(tmp_path):
    first, second = record(tmp_path / "a"), record(tmp_path / "b", nudge=2)
    [pair] = held_against(first, second)
    found = pair.difference
    assert (found.kind, found.count, found.steps, pair.steps, pair.ended) == ("values", 2, ((0, 3), (0, 3)), 2, False)
    before, after = ([leaf.hash_before for leaf in tape.parameters] for tape in found.tapes)
    assert before == after
    assert len(found.tapes[1].ops) == len(found.tapes[0].ops) + 1
    scalar = [op for op in found.tapes[1].ops if f"args.1={2**-20!r}" in op.scalars]
    assert [op.name for op in scalar] == ["aten.add.Tensor"]


def test_runs_of_unequal_length_differ_where_one_ends(tmp_path):
    for name, how in {"ended": {}, "killed": {"ends": False}}.items():
        [pair] = held_against(record(tmp_path / name / "a", steps=4), record(tmp_path / name / "b", steps=2, **how))
        assert (pair.difference.kind, pair.difference.count, pair.steps) == ("length", 2, 2)


def test_operations_that_did_no_harm_are_suspects(tmp_path):
    first = record(tmp_path / "a", extra=1)
    second = record(tmp_path / "b", extra=1, nudge=3)
    [pair] = held_against(first, second)
    assert [(one.kind, one.count) for one in pair.suspects] == [("operations", 1)]
    assert pair.difference.count == 3


def test_a_process_that_one_run_lacks(tmp_path):
    first, second = record(tmp_path / "a"), record(tmp_path / "b")
    run(tmp_path / "b", key="train.py, process 1")
    kinds = [pair.difference and pair.difference.kind for pair in held_against(first, second)]
    assert kinds == [None]
    more = RunRecord((), read_steps(tmp_path / "b"))
    assert {pair.difference and pair.difference.kind for pair in held_against(first, more)} == {None, "alone"}


def test_operations_can_begin_later_and_end_where_there_are_too_many(tmp_path, monkeypatch):
    [process] = record(tmp_path / "late", begin=2).processes
    assert [process.tape(place) is not None for place in range(4)] == [False, False, True, True]
    monkeypatch.setattr("lastbit.launch.pair.pace.MOST", 1)
    [process] = record(tmp_path / "small").processes
    assert [process.tape(place) is not None for place in range(4)] == [True, False, False, False]
    assert len({step["checksum"] for step in process.steps}) == 5


@pytest.fixture
def thin(monkeypatch):
    """Let operations end after the first step, and have four checksums in each doubling of steps."""
    monkeypatch.setattr("lastbit.launch.pair.pace.MOST", 1)
    monkeypatch.setattr("lastbit.launch.pair.pace.EACH", 4)


def test_a_long_run_is_compared_at_ever_fewer_steps_and_at_its_end(tmp_path, thin):
    first, second = record(tmp_path / "a", steps=70), record(tmp_path / "b", steps=70)
    every = [*range(8), *range(8, 16, 2), *range(16, 32, 4), *range(32, 64, 8), 64]
    assert [step["count"] for step in first.processes[0].steps] == [*every, 70]
    [pair] = held_against(first, second)
    assert (pair.steps, pair.taken, pair.ended, pair.difference, pair.suspects) == (len(every), 70, True, None, ())


def test_what_differs_between_two_compared_steps_is_found_at_the_next(tmp_path, thin):
    [pair] = held_against(record(tmp_path / "a", steps=70), record(tmp_path / "b", steps=70, nudge=35))
    found = pair.difference
    assert (found.kind, found.count, found.since, found.tapes) == ("values", 40, 33, (None, None))


def test_records_that_thin_out_at_different_steps_are_compared_where_both_have_one(tmp_path, thin, monkeypatch):
    first = record(tmp_path / "a", steps=70)
    [longer] = held_against(first, record(tmp_path / "more", steps=71))
    [killed] = held_against(first, record(tmp_path / "killed", steps=50, ends=False))
    cut = replace(record(tmp_path / "cut", steps=50, ends=False), cut=True)
    monkeypatch.setattr("lastbit.launch.pair.pace.MOST", 1 << 30)
    [pair] = held_against(first, record(tmp_path / "b", steps=70))
    assert (pair.steps, pair.taken, pair.ended, pair.difference, pair.suspects) == (21, 70, True, None, ())
    assert [(one.difference.kind, one.difference.count) for one in (longer, killed)] == [("length", 70), ("length", 49)]
    [timed_out] = held_against(first, cut)
    assert (timed_out.difference, timed_out.ended) == (None, False)


def test_recording_slows_down_where_it_takes_its_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("lastbit.launch.pair.pace.monotonic", lambda: now[0])
    pace = Pace()
    now[0] += 26.0  # of which recording took 16, and the program 10
    pace.went(1000, 16.0)
    assert pace.whole
    now[0] += 5.0
    pace.went(1000, 21.0)
    assert not pace.whole
    taken = [count for count in range(1 << 20) if pace.takes(count)]
    assert max(sum(low <= count < 2 * low for count in taken) for low in (1 << k for k in range(20))) <= 64


def test_a_record_travels_in_one_file(tmp_path):
    first = record(tmp_path / "a")
    save_record(first.words, tmp_path / "a", tmp_path / "run.record")
    loaded = load_record(tmp_path / "run.record")
    assert loaded.words == ("python", "train.py")
    assert loaded.processes[0].tape(1) == first.processes[0].tape(1)
    assert held_against(loaded, first)[0].ended
    check_alike(loaded, first, tmp_path / "run.record")


def test_a_record_that_was_cut_short_is_read_to_its_last_whole_line(tmp_path):
    run(tmp_path)
    [path] = tmp_path.glob("record-*")
    text = path.read_text().splitlines(keepends=True)
    path.write_text("".join(text[:-1]) + text[-1][:10])
    [process] = read_steps(tmp_path)
    assert len(process.steps) == 5


@pytest.mark.parametrize(
    ("theirs", "mine", "said"),
    [
        ({}, {"key": "other.py"}, "is of another program: it trained in train.py, and this run in other.py"),
        ({}, {"hidden": 4}, r"is of other parameters: 0.weight \(3, 4\) float32 there, 0.weight \(4, 4\) float32 here"),
        ({"rank": 0}, {}, "is of a run with 1 ranks, and this one has no: start as many"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(theirs, mine, said, tmp_path):
    first, second = record(tmp_path / "a", **theirs), record(tmp_path / "b", **mine)
    with pytest.raises(LastbitError, match=said) as caught:
        check_alike(first, second, tmp_path / "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("what", ["missing", "folder", "text", "json", "cut", "format"])
def test_what_is_no_record_is_said_in_one_line(what, tmp_path):
    file = tmp_path / "file"
    whole = gzip.compress(json.dumps({"name": "lastbit record", "format": 1, "words": []}).encode() + b"\n{}\n")
    other = gzip.compress(json.dumps({"name": "lastbit record", "format": 99, "words": []}).encode() + b"\n")
    contents = {"text": b"epoch 1\n", "json": gzip.compress(b"[1]\n"), "cut": whole[:30], "format": other}
    if what == "folder":
        file.mkdir()
    elif what != "missing":
        file.write_bytes(contents[what])
    said = {"missing": "there is no record", "folder": "is a folder", "format": "has format 99 of records"}
    with pytest.raises(LastbitError, match=said.get(what, "is no record of a run")) as caught:
        load_record(file)
    assert "\n" not in str(caught.value)


def test_a_record_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(LastbitError, match="cannot be written"):
        save_record((), tmp_path, tmp_path / "no" / "such" / "folder")
