"""What differs at every step of clean runs is known as such, and what feeds on it is not."""

from dataclasses import replace

from lastbit.launch.pair.noise import differing, harmless
from lastbit.launch.pair.tapes import Line, Op, Origin, ProcessFacts, Tape, Value

LINE = Line("train.py", 3, "step", "")


def value(storage, said, maker=None):
    origin = None if maker is None else Origin(0, maker, "", None)
    return Value(storage, said, (2,), "float32", "out.0", origin)


def op(index, name, inputs, output):
    return Op(index, name, LINE, False, 0, 1, False, None, tuple(inputs), (output,), ())


def tape(*ops):
    facts = ProcessFacts("train.py", 1, "train.py", None, {}, {})
    return Tape(facts, 0, 0, 1, (), {}, {}, (), ops, 0)


def workspace(said):
    return tape(
        op(0, "aten.lstm", [], value(1, said)),
        op(1, "aten.lstm_backward", [value(1, said, 0)], value(2, "same")),
    )


def clock(said):
    return tape(op(0, "aten.lift", [], value(1, said)), op(1, "aten.sub", [value(1, said, 0)], value(2, f"{said}!")))


def test_a_workspace_feeds_nothing_that_differs():
    first, second = workspace("a"), workspace("b")
    found = differing(first, second)
    assert found == {("aten.lstm", "out.0", ("train.py", 3, "step"))}
    assert harmless(first, found)


def test_what_feeds_on_what_differs_is_kept():
    first, second = clock("a"), clock("b")
    found = differing(first, second)
    assert {name for name, _, _ in found} == {"aten.lift", "aten.sub"}
    assert not harmless(first, found)


def test_what_another_thread_prepares_is_kept_though_nothing_has_read_it_yet():
    first, second = workspace("a"), workspace("b")
    ahead = replace(first, ops=(replace(first.ops[0], thread=2), *first.ops[1:]))
    assert not harmless(ahead, differing(ahead, second))


def test_equal_tapes_in_another_order_do_not_differ():
    ops = [op(0, "aten.exp", [], value(1, "a")), op(1, "aten.log", [], value(2, "b"))]
    assert differing(tape(*ops), tape(*ops[::-1])) == set()


def test_what_other_processes_send_may_come_in_another_step():
    sent = op(0, "aten.set_.source_Storage_storage_offset", [], value(1, "a"))
    assert differing(tape(sent), tape()) == set()
