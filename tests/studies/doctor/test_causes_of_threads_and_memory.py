"""From tapes that are written by hand: what came in another order, what another thread wrote, what nobody filled."""

import pytest
from hand_written_tapes import Written, pair_of

from lastbit.launch.pair.tapes import Line
from lastbit.studies.doctor.diagnose import diagnose
from lastbit.studies.doctor.unfilled import unfilled


def of(first, second, **how):
    return diagnose(pair_of(first.tape(9, **how), second.tape(9, **how)))


def ended(written, side):
    """Read memory 1 in a way that carries it on to the gradient, memory 9."""
    return written.op("mul.Tensor", [1, 0], [(2, f"x{side}")], 5).op("mm.default", [2], [(9, f"g{side}")], 6)


def prefetched(side, *items):
    """Return a run in which each of two threads makes one item, of which the first is taken."""
    one = Written().tap("taken", "queue.Queue.get: ", 7, side)
    for thread, item in enumerate(items, 1):
        # Each item has a generator of its own, seeded by its number.
        one.op("randn.generator", [], [(thread, f"r{item}")], 3, ("args.0=[2]", "args.1=generator"), item, thread)
        one.op("mean.dim", [thread], [(thread + 10, f"item {item}")], 4, thread=thread)
    return one.op("mm.default", [11], [(9, f"g{side}")], 6)


@pytest.mark.parametrize(("first", "second"), [("12", "21"), ("12", "31")])
def test_what_another_thread_made_is_told_by_what_it_holds(first, second):
    found = of(prefetched("a", *first), prefetched("b", *second))
    assert (found.root.kind, found.cause.id, found.line.number) == ("arrival", "thread-order", 7)


def test_a_thread_whose_draws_differ_gave_no_other_item():
    runs = [prefetched(side, f"1{side}", f"2{side}") for side in "ab"]
    assert of(*runs).root.kind == "draw"


def test_results_that_are_taken_as_they_are_ready(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("for row in pool.imap_unordered(work, rows):\n    table.append(row)\nmake(table)\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda number: Line(str(path), number, "<module>", ""))
    runs = []
    for side in "ab":
        one = Written().tap("taken", f"multiprocessing.Pool.imap_unordered: crc32 {side}", 1)
        runs.append(ended(one.op("lift_fresh.default", [1], [(1, f"table {side}")], 3), side))
    found = of(*runs)
    assert (found.root.kind, found.cause.id, found.line.number) == ("made", "completion-order", 1)
    assert found.cause.intervention.changes == {"order": "kept"}


def operated(side, name, *, kind="thread", at=0):
    one = Written().op("zeros.default", [], [(1, "zeros")], 2)
    one.tap(kind, "threading.Thread.start: fill", 3, op=at)
    return ended(one.op(name, [1], [(1, f"s{side}")], 4), side)


@pytest.mark.parametrize(
    ("name", "how", "device", "cause"),
    [
        ("addmm.default", {}, "x86_64", "written-meanwhile"),
        ("addmm.default", {"kind": "file"}, "x86_64", None),
        ("addmm.default", {"at": 7}, "x86_64", None),
        ("addmm.default", {"kind": "file"}, "NVIDIA H100", "operation"),
        ("cumsum.default", {"kind": "file"}, "NVIDIA H100", "operation"),
        ("relu.default", {"kind": "file"}, "NVIDIA H100", None),
        ("scatter_add_.default", {}, "x86_64", "operation"),
    ],
)
def test_only_what_pytorch_lists_is_called_not_deterministic(name, how, device, cause):
    found = of(*(operated(side, name, **how) for side in "ab"), settings={"device": device})
    assert found.root.kind == "operation"
    assert (found.cause and found.cause.id) == cause
    assert any("PyTorch does not list" in said for said in found.unseen) == (cause is None)
    if cause == "written-meanwhile":
        assert found.line.number == 3


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        ("rows = np.empty((3, 4))", "unfilled-array"),
        ("rows = np.empty_like(others)", "unfilled-array"),
        ("rows = np.zeros((3, 4))", None),
        ("rows = torch.empty((3, 4)).numpy()", None),
    ],
)
def test_an_array_that_nobody_filled(made, cause, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(f"import numpy as np\nimport torch\n{made}\nuse(torch.from_numpy(rows))\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda _: Line(str(path), 4, "<module>", ""))
    found = of(*(ended(Written().op("lift_fresh.default", [1], [(1, f"rows {side}")], 4), side) for side in "ab"))
    assert (found.cause and found.cause.id) == cause
    assert cause is None or found.line.number == 3


def test_numpy_is_found_by_whatever_name_it_has(tmp_path):
    path = tmp_path / "names.py"
    path.write_text(
        "import numpy\nfrom numpy import empty as room, zeros\nnumpy.empty(3)\nroom(3)\nzeros(3)\ntorch.empty(3)"
    )
    assert unfilled(str(path)) == {3, 4}
    assert unfilled(str(path) + "x") == frozenset()


def test_an_array_that_is_handed_on_as_an_argument(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("import numpy as np\ndef pad(x):\n    return np.empty(3)\n\ndef given(rows):\n    use(rows)\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda _: Line(str(path), 6, "given", ""))
    found = of(*(ended(Written().op("lift_fresh.default", [1], [(1, f"rows {side}")], 6), side) for side in "ab"))
    assert (found.cause.id, found.line.number) == ("unfilled-array", 3)
    nearer = [Written().op("lift_fresh.default", [1], [(1, f"rows {side}")], 6) for side in "ab"]
    for side, one in zip("ab", nearer, strict=True):
        one.tap("seed", f"random.Random: {ord(side)}", 6, side)
    assert of(*(ended(one, side) for one, side in zip(nearer, "ab", strict=True))).cause.id == "seed-varies"


def sharded(side, *, made="file", names="ab", entries=4, held="other"):
    """Return a run that writes files on line 1 or names them by entropy on line 2, lists them and reads one."""
    name, one = names["ab".index(side)], Written()
    if made in ("file", "part"):
        one.tap("file", f"tmp/{name}.{'pt' if made == 'file' else 'pt.part'}: written", 1)
    elif made == "entropy":
        one.tap("entropy", f"os.urandom: {name}", 2)
    one.tap("folder", f"tmp: {entries} entries, order crc32 {name}, names crc32 {name}", 3)
    one.tap("file", f"tmp/{name}.pt: 5 bytes, crc32 {side if held == 'other' else held}", 4)
    return ended(one.op("set_.source_Storage", [1], [(1, f"rows {side}")], 4), side)


@pytest.mark.parametrize(
    ("how", "cause", "line"),
    [
        ({}, "random-names", 1),
        ({"made": "part"}, "random-names", 1),
        ({"made": "entropy"}, "random-names", 2),
        ({"made": "nobody"}, "file-left", 4),
        ({"entries": 1}, "file-left", 4),
        ({"names": "aa"}, "file-left", 4),
    ],
)
def test_files_whose_names_are_drawn(how, cause, line, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("write(x)\nname = uuid4()\nfor path in sorted(os.listdir(tmp)):\n    use(torch.load(path))\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda number: Line(str(path), number, "<module>", ""))
    found = of(sharded("a", **how), sharded("b", **how))
    assert (found.cause.id, found.line.number) == (cause, line)


def test_the_same_files_in_a_folder_of_each_runs_own_are_left_by_nobody(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("write(x)\nname = uuid4()\nfor path in sorted(os.listdir(tmp)):\n    use(torch.load(path))\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda number: Line(str(path), number, "<module>", ""))
    how = {"made": "nobody", "entries": 1}
    found = of(*(sharded(side, **how, held="both") for side in "ab"))
    assert "file-left" not in [cause.id for cause in (found.cause, *found.others)]
    assert of(*(sharded(side, **how) for side in "ab")).cause.id == "file-left"
