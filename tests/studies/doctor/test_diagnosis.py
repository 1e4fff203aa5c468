"""From tapes that are written by hand: the step, the root, and the cause."""

from dataclasses import replace
from zlib import crc32

import pytest
from hand_written_tapes import Written, pair_of

from lastbit.launch.pair.outcome import Pair
from lastbit.studies.doctor.align import align
from lastbit.studies.doctor.causes.table import CAUSES
from lastbit.studies.doctor.diagnose import diagnose
from lastbit.studies.doctor.source import distances


def chain(written, *values):
    """Add a forward and a backward operation that carry memory 1 on to the gradient, memory 9."""
    written.op("mul.Tensor", [1, 0], [(2, values[0])], 5).op("mm.default", [2], [(9, values[1])], 6)
    return written


def made(side):
    """Return a side whose memory 1 comes from Python."""
    return Written().op("lift_fresh.default", [1], [(1, f"data {side}")], 4)


def of(first, second, **how):
    return diagnose(pair_of(first.tape(9), second.tape(9), **how))


def test_equal_runs_need_no_diagnosis():
    assert diagnose(Pair((None, None), (), 1.0, False)) is None


def test_the_root_is_what_had_equal_inputs_and_the_path_leads_from_there():
    found = of(
        *(chain(Written().op("index_put.default", [1], [(1, f"s{side}")], 4), f"x{side}", f"g{side}") for side in "ab")
    )
    assert (found.root.kind, found.root.operation, found.root.line.number) == (
        "operation",
        "aten.index_put.default",
        4,
    )
    assert [(link.line.number, link.hashes) for link in found.path] == [
        (4, ("sa", "sb")),
        (5, ("xa", "xb")),
        (6, ("ga", "gb")),
    ]
    assert (found.step, found.tensor, found.cause.id) == (1, "gradient of weight", "operation")


def test_what_differs_and_goes_nowhere_is_not_the_root():
    tapes = []
    for side in "ab":
        one = Written().op("lift_fresh.default", [7], [(7, f"time {side}")], 2)
        one.op("randn.default", [], [(1, f"r{side}")], 4, generator=f"state {side}")
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.kind, found.root.line.number, found.cause.id) == ("draw", 4, "torch-unseeded")


def test_an_operation_whose_outputs_are_equal_is_not_looked_into():
    # A weight is made in memory that held anything, and is filled by equal draws.
    tapes = []
    for side in "ab":
        one = Written().op("empty.memory_format", [], [(1, None)], 2)
        one.holds[1] = f"garbage {side}", one.holds[1][1]
        one.op("uniform_.default", [1], [(1, "weights")], 3, generator="state")
        tapes.append(chain(one.op("sum.default", [1], [(1, f"s{side}")], 4), f"x{side}", f"g{side}"))
    assert of(*tapes).root.line.number == 4


def test_memory_that_nobody_filled():
    tapes = []
    for side in "ab":
        one = Written().op("empty.memory_format", [], [(1, None)], 3)
        one.holds[1] = f"garbage {side}", one.holds[1][1]
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.kind, found.root.line.number, found.cause.id) == ("uninitialised", 3, "uninitialised")


def test_another_part_of_equal_memory_is_a_number():
    tapes = []
    for side, place in (("a", 3), ("b", 5)):
        one = Written().op("randn.default", [], [(1, "rows")], 2, generator="state")
        one.op("select.int", [1], [(1, None)], 4, scalars=("args.1=0", f"args.2={place}"))
        one.holds[1] = f"row {place}", one.holds[1][1]
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.kind, found.root.operation, found.root.line.number) == ("scalar", "aten.select.int", 4)
    assert "3 and 5" in found.root.said
    assert (found.root.argument, found.root.values) == ("index", ("3", "5"))


def test_another_part_that_is_written_over_is_a_number():
    tapes = []
    for side, place, rest in (("a", 3, "first rows"), ("b", 5, "last rows")):
        one = Written().op("randn.default", [], [(1, "rows")], 2, generator="state")
        one.op("slice.Tensor", [1], [(1, None)], 4, scalars=("args.1=0", f"args.2={place}"))
        one.op("fill_.Tensor", [1], [(1, rest)], 4)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.kind, found.root.operation, found.root.values) == ("scalar", "aten.slice.Tensor", ("3", "5"))


def test_an_index_is_followed_to_the_draw_that_gave_it():
    tapes = []
    for side, place in (("a", 3), ("b", 5)):
        one = made(side).op("multinomial.default", [1], [(3, f"drawn {side}")], 5, generator="state")
        one.op("randn.default", [], [(4, "rows")], 6, generator="later")
        one.op("select.int", [4], [(4, None)], 7, scalars=("args.1=0", f"args.2={place}"))
        one.holds[4] = f"row {place}", one.holds[4][1]
        one.op("mul.Tensor", [4, 0], [(2, f"x{side}")], 8).op("mm.default", [2], [(9, f"g{side}")], 9)
        tapes.append(one)
    found = of(*tapes)
    assert (found.root.kind, found.root.line.number) == ("made", 4)


def test_another_number_for_a_seed_counts_wherever_it_is_given(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(
        "def stream(name):\n    return Random(hash(name))\n\n\ndef cut(rows, rng):\n    use(rng.random())\n"
    )
    monkeypatch.setattr("hand_written_tapes.line", lambda number: type(LINE)(str(path), number, "cut", ""))
    tapes = []
    for side in "ab":
        one = Written().op("lift_fresh.default", [1], [(1, f"noise {side}")], 6)
        one.tap("seed", f"random.Random: {ord(side)}", 2, side)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.cause.id, found.line.number) == ("seed-varies", 2)


@pytest.mark.parametrize(("given", "number"), [("self.rng = RandomState(seed)", 3), ("rng = RandomState(None)", 2)])
def test_numpys_generator_that_is_given_a_seed_asks_for_entropy_in_vain(given, number, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(f"import numpy\nrng = {given}\nmix = SeedSequence(None)\nuse(rng, mix)\n")
    texts = {2: given, 3: "mix = SeedSequence(None)", 4: "use(rng, mix)"}
    monkeypatch.setattr(
        "hand_written_tapes.line", lambda number: type(LINE)(str(path), number, "<module>", texts.get(number, ""))
    )
    tapes = []
    for side in "ab":
        one = Written().tap("entropy", "os.urandom: 16 bytes", 2, side).tap("entropy", "os.urandom: 16 bytes", 3, side)
        tapes.append(chain(one.op("lift_fresh.default", [1], [(1, side)], 4), f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.cause.id, found.line.number) == ("entropy", number)


@pytest.mark.parametrize(("name", "kind"), [("cat.default", "unknown"), ("lift_fresh.default", "made")])
def test_of_an_earlier_step_that_was_not_kept_no_more_is_said_than_its_operation_tells(name, kind):
    tapes = []
    for side in "ab":
        before = Written().op(name, [5], [(1, f"rows {side}")], 2)
        tapes.append(chain(Written(1, before), f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.step, found.root.step) == (2, 1)
    assert (found.root.kind, found.root.operation, found.root.line.number) == (kind, f"aten.{name}", 2)
    assert found.cause is None


def test_a_number_that_an_operation_gave_is_followed_to_it():
    tapes = []
    for side, number in (("a", "0.5"), ("b", "0.7")):
        one = made(side).op("_local_scalar_dense.default", [1], [(-1, f"{crc32(number.encode()):08x}")], 4)
        one.op("zeros.default", [], [(3, "zeros")], 4)
        one.op("add.Tensor", [3], [(1, f"s{side}")], 5, scalars=(f"args.1={number}",))
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.kind, found.root.operation) == ("made", "aten.lift_fresh.default")


def test_the_same_values_in_another_order():
    tapes = []
    for side, order in (("a", "12"), ("b", "21")):
        one = Written()
        for memory in order:
            one.op("lift_fresh.default", [int(memory)], [(int(memory), f"file {memory}")], 3)
        one.op("cat.default", [int(order[0]), int(order[1])], [(1, f"all {side}")], 4)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    assert of(*tapes).root.kind == "order"


def test_what_threads_wrote_in_turn():
    tapes = []
    for side, order in (("a", (1, 2)), ("b", (2, 1))):
        one = Written().op("zeros.default", [], [(1, "zeros")], 2)
        for place, thread in enumerate(order):
            one.op("add_.Tensor", [1], [(1, f"{side}{place}")], 3, thread=thread)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.kind, found.root.line.number, found.cause.id) == ("arrival", 3, "thread-order")
    assert any("order arose" in said for said in found.unseen)


def test_another_course_and_the_number_that_decided_it():
    tapes = []
    for side in "ab":
        one = made(side).op("_local_scalar_dense.default", [1], [(-1, f"number {side}")], 4)
        one.op("relu.default" if side == "a" else "tanh.default", [0], [(1, f"h{side}")], 5)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    assert of(*tapes).root.kind == "made"
    without = [chain(Written().op(name, [0], [(1, name)], 5), name, name) for name in ("relu.default", "tanh.default")]
    found = of(*without)
    assert (found.root.kind, found.root.line.number) == ("path", 5)
    assert any("Decisions" in said for said in found.unseen)


def test_what_was_not_recorded_is_said_with_the_last_step_that_was_compared():
    one = pair_of(Written(40).tape(), Written(40).tape())
    process = one.processes[0]
    apart = replace(process.difference, tapes=(None, None), since=33)
    found = diagnose(replace(one, processes=(replace(process, difference=apart),)))
    assert (found.root.kind, found.step, found.cause, found.line) == ("unknown", 41, None, None)
    assert found.unseen[0].startswith("The runs were last compared after step 33, and were equal")


def test_one_run_that_stepped_on():
    longer, ended = (chain(Written(3), "x", "g").tape(9), Written(3).tape(9))
    assert diagnose(pair_of(longer, ended, kind="length")).root.kind == "length"


def test_a_step_before_is_gone_on_in_and_named():
    kept, later = [], []
    for side in "ab":
        one = Written(1).op("lift_fresh.default", [1], [(1, f"noise {side}")], 2)
        kept.append(one.tape())
        later.append(chain(Written(4, before=one), f"x{side}", f"g{side}").tape(9, number=5))
    found = diagnose(pair_of(*later, suspects=[tuple(kept)]))
    assert (found.step, found.root.step, found.root.kind, found.root.line.number) == (5, 2, "made", 2)
    # Without that tape the writer's name and line are what is left.
    found = diagnose(pair_of(*later))
    assert (found.root.step, found.root.kind, found.root.line.number) == (2, "made", 2)


def test_the_setting_of_an_optimizer():
    tapes = [chain(Written(), "x", "g").tape(9, f"p{lr}", {"0.lr": lr}) for lr in ("0.1", "0.2")]
    found = diagnose(pair_of(*tapes))
    assert (found.root.kind, found.tensor) == ("scalar", "lr")


def test_the_rank_in_which_it_arose_is_named():
    processes = []
    for rank in (0, 1):
        tapes = []
        for side in "ab":
            one = Written() if rank == 0 else made(side)
            one.op("c10d.allreduce_.default", [1], [(1, None)], 5)
            one.holds[1] = f"sum {side}", one.holds[1][1]
            tapes.append(chain(one, f"x{side}", f"g{side}").tape(9))
        processes.append(pair_of(*tapes, key=f"train.py, rank {rank}", rank=rank).processes[0])
    found = diagnose(Pair((None, None), tuple(processes), 1.0, False))
    assert (found.process, found.root.kind) == ("train.py, rank 1", "made")


SOURCE = """
import time
import numpy as np
import torch
started = time.time()
noise = np.random.rand(3)
order = {"b", "a"}
data = torch.from_numpy(noise)
for name in order:
    torch.ones(len(name))
print(time.time() - started)
"""


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SOURCE)
    return str(path)


def test_a_line_depends_on_what_writes_its_names(source):
    lines = distances(source, [8])
    assert lines[6] == 1
    assert not {5, 7, 11} & lines.keys()
    assert distances(source, [10])[7] == 2
    assert distances(source + "x", [8]) == {}


def test_a_draw_on_the_way_is_the_cause_and_a_clock_beside_it_is_none(source, monkeypatch):
    monkeypatch.setattr("hand_written_tapes.line", lambda number: type(LINE)(source, number, "<module>", ""))
    tapes = []
    for side in "ab":
        one = Written().op("lift_fresh.default", [1], [(1, f"noise {side}")], 8)
        one.tap("time", "time.time: 1", 5, side).tap("time", "time.time: 1", 11, side)
        one.tap("draw", "numpy.random.rand: 1", 6, side)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.cause.id, found.line.number) == ("numpy-unseeded", 6)
    assert found.cause.intervention.changes == {"seed": ("numpy",)}
    seeded = [tape.tap("seed", "numpy.random.seed: 3", 4) for tape in tapes]
    assert of(*seeded).cause.id == "draws-differ"


@pytest.mark.parametrize(("used", "cause"), [("free", "machine-state"), ("other", None)])
def test_a_number_made_of_the_machines_state_in_another_file(used, cause, tmp_path, monkeypatch):
    """Memory that is read where the number does not come from decides nothing."""
    path = tmp_path / "train.py"
    path.write_text(f"from memory import free\nfrom sizes import other\nfree()\nsize = {used}()\nuse(size)\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda number: type(LINE)(str(path), number, "<module>", ""))
    tapes = []
    for side, size in zip("ab", "78", strict=True):
        one = Written().op("randn.default", [], [(1, "rows")], 2, generator="state")
        one.op("split.Tensor", [1], [(1, f"part {side}")], 5, scalars=(f"args.1={size}",))
        one.tap("machine", "/proc/meminfo: read", 2)
        there = type(LINE)(str(tmp_path / "memory.py"), 2, "free", "")
        one.taps[-1] = replace(one.taps[-1], line=there)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.root.argument, found.root.values) == ("split_size", ("7", "8"))
    assert (found.cause and found.cause.id) == cause
    if cause is not None:
        assert found.line == there


@pytest.mark.parametrize(
    ("picked", "cause", "number", "said"),
    [
        ("seed or time.time_ns()", "seed-fallback", 5, "in place of a seed"),
        ("datetime.now().microsecond", "seed-clock", 9, "with the time, for which train.py:5 asks."),
        ("seed or 3", "seed-varies", 9, "another number"),
    ],
)
def test_a_seed_is_followed_to_the_line_that_asks_the_clock(picked, cause, number, said, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(
        "import time\nimport torch\nfrom datetime import datetime\ndef pick(seed):\n"
        f"    return {picked}\n\n\nseed = pick(0)\ntorch.manual_seed(seed)\ntorch.randn(2)\n"
    )
    monkeypatch.setattr("hand_written_tapes.line", lambda number: type(LINE)(str(path), number, "<module>", ""))
    tapes = []
    for side in "ab":
        one = Written().tap("seed", f"torch.manual_seed: {ord(side)}", 9, side)
        tapes.append(chain(one.op("randn.default", [], [(1, side)], 10, generator=side), f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.cause.id, found.line.number) == (cause, number)
    assert said in found.cause.said


def test_the_optimizer_is_set_otherwise():
    first, second = (Written().tape(param=side, hyper={"0.lr": value}) for side, value in (("a", "0.1"), ("b", "0.05")))
    root = diagnose(pair_of(first, second)).root
    assert (root.kind, root.operation, root.argument, root.values) == ("scalar", None, "lr", ("0.1", "0.05"))


def test_the_line_that_drew_in_one_run_only_is_named():
    tapes = []
    for side in "ab":
        one = Written().tap("seed", "torch.manual_seed: 0", 1)
        one.op("rand.default", [], [(3, "equal")], 2, generator="seeded")
        if side == "b":
            one.op("randperm.default", [], [(3, "sample")], 3, generator="later")
        tapes.append(chain(one.op("randn.default", [], [(1, side)], 4, generator=side), f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert (found.cause.id, found.root.line.number, found.line.number) == ("draw-extra", 4, 3)
    assert "randperm at train.py:3, 0 times in the first run and 1 time in the second." in found.cause.said


def test_taps_that_tell_nothing_are_no_cause(source, monkeypatch):
    monkeypatch.setattr("hand_written_tapes.line", lambda number: type(LINE)(source, number, "<module>", ""))
    tapes = []
    for side in "ab":
        one = Written().op("lift_fresh.default", [1], [(1, f"noise {side}")], 8).tap("time", "time.time: 1", 11, side)
        tapes.append(chain(one, f"x{side}", f"g{side}"))
    found = of(*tapes)
    assert found.cause is None
    assert any("not seen" in said for said in found.unseen)


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        ("rate = datetime.now().microsecond", "clock"),
        ("rate = 3\nlog(datetime.now())", None),
        ("rate = datetime(2026, 1, 1).day", None),
        ("rate = id(log) % 7", "address-order"),
    ],
)
def test_what_cannot_be_heard_is_read_in_the_source_of_what_the_root_depends_on(made, cause, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text(f"from datetime import datetime\n{made}\nuse(rate)\n")
    number = len(made.splitlines()) + 2
    monkeypatch.setattr("hand_written_tapes.line", lambda _: type(LINE)(str(path), number, "<module>", "use(rate)"))
    ops = [Written().op("lift_fresh.default", [1], [(1, f"noise {side}")], number) for side in "ab"]
    found = of(*(chain(one, f"x{side}", f"g{side}") for one, side in zip(ops, "ab", strict=True)))
    assert (found.cause and found.cause.id) == cause
    if cause is not None:
        assert (found.line.number, found.line.text) == (2, made)
        assert any("read in its source" in said for said in found.unseen)


@pytest.mark.parametrize(
    ("seed", "causes"), [("random", ["hash-order", "object-order"]), ("0", ["object-order"])], ids=["random", "fixed"]
)
def test_a_set_that_one_hash_seed_leaves_in_another_order_is_one_of_objects(seed, causes, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("rows = list(set(parts))\nuse(rows)\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda _: type(LINE)(str(path), 2, "<module>", "use(rows)"))
    ops = [Written().op("lift_fresh.default", [1], [(1, f"rows {side}")]) for side in "ab"]
    tapes = [chain(one, f"x{side}", f"g{side}") for one, side in zip(ops, "ab", strict=True)]
    found = diagnose(pair_of(*(tape.tape(9, settings={"PYTHONHASHSEED": seed}) for tape in tapes)))
    assert [cause.id for cause in (found.cause, *found.others)] == causes
    cause = (found.cause, *found.others)[-1]
    assert "dict.fromkeys" in cause.cure
    assert cause.intervention.changes == {"addresses": "numbered"}
    assert cause.line.number == 1


def test_of_two_sets_the_one_nearer_to_its_use_is_told(tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("seen = set()\nevery = {name for name in names}\nleft = every - seen\nuse(left)\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda _: type(LINE)(str(path), 4, "<module>", ""))
    ops = [Written().op("lift_fresh.default", [1], [(1, f"rows {side}")]) for side in "ab"]
    tapes = [chain(one, f"x{side}", f"g{side}") for one, side in zip(ops, "ab", strict=True)]
    found = diagnose(pair_of(*(tape.tape(9, settings={"PYTHONHASHSEED": "random"}) for tape in tapes)))
    assert (found.cause.id, found.line.number) == ("hash-order", 2)


@pytest.mark.parametrize(("names", "cause"), [("same", "folder-order"), ("others", "file-left")])
def test_another_file_is_read_as_the_folder_was_listed_in_another_order(names, cause, tmp_path, monkeypatch):
    path = tmp_path / "train.py"
    path.write_text("import os\nnames = os.listdir()\nrows = load(names[0])\n")
    monkeypatch.setattr("hand_written_tapes.line", lambda number: type(LINE)(str(path), number, "<module>", ""))
    tapes = []
    for side in "ab":
        crc = names if names == "same" else f"{names} {side}"
        one = Written().tap("folder", f"data-{side}: 2 entries, order crc32 {side}, names crc32 {crc}", 2)
        one.tap("file", f"data-{side}/{side}: 5 bytes, crc32 {side}", 3)
        tapes.append(chain(one.op("lift_fresh.default", [1], [(1, f"rows {side}")], 3), f"x{side}", f"g{side}"))
    assert of(*tapes).cause.id == cause


def test_a_compiled_kernel_is_followed_to_its_edge_and_no_further():
    def kernel(side, number=3, **how):
        one = Written().op("randn.default", [], [(1, "r")], 2)
        return chain(one.op("inductor.cpp_fused_0", [1], [(1, f"k{side}")], number, **how), f"x{side}", f"g{side}")

    found = of(kernel("a"), kernel("b"))
    assert (found.root.kind, found.root.line.number, found.cause.id) == ("compiled", 3, "compiled")
    assert any("inside a compiled kernel is not seen" in said for said in found.unseen)
    assert of(kernel("a"), kernel("b", threads=2)).cause.id == "threads-differ"
    came = [
        chain(made(side).op("inductor.cpp_fused_0", [1], [(1, f"k{side}")], 5), f"x{side}", f"g{side}") for side in "ab"
    ]
    assert of(*came).root.kind == "made"


WORKERS = (("train.py, process 1", ()),)


@pytest.mark.parametrize(
    ("met", "loaded", "cause"),
    [((), True, "thread-order"), (WORKERS, True, "worker-order"), (WORKERS, False, "thread-order")],
)
def test_what_workers_load_in_any_order_can_be_loaded_without_them(met, loaded, cause):
    """Processes that put what they have into a queue of their own are no workers of a DataLoader."""
    tapes = []
    for side in "ab":
        one = Written()
        if loaded:
            one.tap("batch", f"DataLoader: (2, 4) crc32 {side}", 4)
        tapes.append(chain(one.op("set_.source_Storage", [1], [(1, f"b{side}")], 4), f"x{side}", f"g{side}"))
    found = of(*tapes, met=(met, met))
    assert (found.root.kind, found.cause.id) == ("load", cause)
    assert (found.cause.intervention is not None) == (cause == "worker-order")


def test_aligned_by_line_where_shapes_differ_and_thread_by_thread():
    first, second = Written(), Written()
    first.op("a.default", [0], [(1, "1")], 1).op("b.default", [0], [(2, "2")], 2, thread=1)
    second.op("b.default", [0], [(2, "2")], 2, thread=1).op("x.default", [0], [(3, "3")], 3)
    second.op("a.default", [0], [(1, "1")], 1, shape=(7,))
    found = align(first.tape(), second.tape())
    assert found.forth == {0: 2, 1: 0}
    assert found.back == {2: 0, 0: 1}
    assert found.alone == (None, second.ops[1])


def test_every_cause_has_words_and_a_name_of_its_own():
    assert len({row.id for row in CAUSES}) == len(CAUSES)
    assert all(row.said.endswith(".") and row.cure.endswith(".") for row in CAUSES)


LINE = Written().op("a.default", [], [(1, "1")]).ops[0].line
