"""The tape holds every operation with what went in and came out, and changes none of it."""

import inspect
import threading
import zlib

import pytest
import torch
from torch import nn

from lastbit.launch.pair import tape
from lastbit.launch.pair.tape import OpRecorder
from lastbit.launch.pair.told import op_of


def fail(error):
    raise error


@pytest.fixture
def recorder():
    recorder = OpRecorder(fail)
    recorder.on = True
    with recorder.mode():
        yield recorder
    recorder.on = False


def ops(recorder):
    return [op_of(recorder.lost + place, raw) for place, raw in enumerate(recorder.ops)]


def named(recorder, name):
    return [op for op in ops(recorder) if op.name.startswith(name)]


def hashed(tensor):
    return f"{zlib.crc32(tensor.detach().contiguous().numpy().tobytes()):08x}"


def here():
    return inspect.currentframe().f_back.f_lineno


def test_an_operation_has_its_line_its_values_and_where_they_came_from(recorder):
    x = torch.ones(2, 3)
    line, y = here(), x.add(0.5)
    z = y.mul(x)
    first, second = named(recorder, "aten.add"), named(recorder, "aten.mul")
    [add], [mul] = first, second
    assert (add.name, add.scalars) == ("aten.add.Tensor", ("args.1=0.5",))
    assert (add.line.number, add.line.path, add.line.text) == (line, __file__, "line, y = here(), x.add(0.5)")
    assert [value.hash for value in add.inputs] == [hashed(x)]
    assert [(value.hash, value.shape, value.dtype, value.place) for value in add.outputs] == [
        (hashed(y), (2, 3), "float32", "out.0")
    ]
    assert (mul.inputs[0].origin.op, mul.inputs[0].origin.name) == (add.index, "aten.add.Tensor")
    assert mul.inputs[0].storage == add.outputs[0].storage
    assert mul.outputs[0].hash == hashed(z)
    assert not add.backward


def test_a_backward_operation_has_the_line_of_its_forward_operation(recorder):
    w = torch.ones(4, 3, requires_grad=True)
    line, y = here(), torch.mm(torch.ones(2, 4), w)
    y.sum().backward()
    forward, backward = named(recorder, "aten.mm")
    assert (forward.line.number, forward.backward) == (line, False)
    assert (backward.line.number, backward.backward) == (line, True)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


def test_a_backward_function_of_the_users_has_its_own_line(recorder):
    Doubled.apply(torch.ones(2, requires_grad=True)).sum().backward()
    forward, backward = named(recorder, "aten.mul")
    assert (forward.line.function, backward.line.function) == ("forward", "backward")


def test_what_is_written_in_place_is_an_output_and_read_before_and_after(recorder):
    x = torch.zeros(3)
    before = hashed(x)
    x.add_(1)
    torch._foreach_mul_([x], 3.0)
    add, mul = named(recorder, "aten.add_")[0], named(recorder, "aten._foreach_mul_")[0]
    assert (add.inputs[0].hash, add.outputs[0].hash) == (before, hashed(torch.ones(3)))
    assert [(value.place, value.hash) for value in mul.outputs] == [("args.0.0", hashed(3 * torch.ones(3)))]
    assert mul.inputs[0].origin.op == add.index


def test_a_fused_step_writes_its_parameters(recorder):
    param = nn.Parameter(torch.ones(3))
    param.grad = torch.ones(3)
    torch.optim.SGD([param], lr=0.5, fused=True).step()
    [step] = named(recorder, "aten._fused_sgd_")
    assert hashed(param) in {value.hash for value in step.outputs if value.place == "args.0.0"}


def test_views_compute_nothing_and_are_not_hashed(recorder):
    x = torch.arange(6.0)
    y = x.view(2, 3)[1]
    y.exp()
    view, select, exp = ops(recorder)[-3:]
    assert {value.hash for op in (view, select) for value in (*op.inputs, *op.outputs)} == {None}
    assert "args.2=1" in select.scalars
    assert (exp.inputs[0].hash, exp.inputs[0].origin.name) == (hashed(x[3:]), "aten.arange.default")


def test_memory_that_nobody_has_filled_has_no_hash_until_it_is_read(recorder):
    x = torch.empty(3)
    x.fill_(2.0)
    x.neg()
    assert named(recorder, "aten.empty")[0].outputs[0].hash is None
    assert named(recorder, "aten.neg")[0].inputs[0].hash == hashed(torch.full((3,), 2.0))


def test_a_draw_has_the_state_of_its_generator_before_it(recorder):
    mine = torch.Generator().manual_seed(3)
    states = [f"{zlib.crc32(one.get_state().numpy().tobytes()):08x}" for one in (torch.default_generator, mine)]
    nn.functional.dropout(torch.ones(8))
    torch.rand(2, generator=mine)
    [dropout], [rand] = named(recorder, "aten.bernoulli_"), named(recorder, "aten.rand.generator")
    assert (dropout.seeded, rand.seeded) == (True, True)
    assert [dropout.generator, rand.generator] == states


def test_a_number_that_leaves_is_hashed_by_its_text(recorder):
    torch.tensor(0.1).item()
    [item] = named(recorder, "aten._local_scalar_dense")
    value = item.outputs[0]
    assert (value.dtype, value.storage) == ("float", -1)
    assert value.hash == f"{zlib.crc32(repr(torch.tensor(0.1).item()).encode()):08x}"


def test_a_new_step_begins_empty_and_knows_who_wrote_what_before(recorder):
    x = torch.ones(3).mul(2)
    recorder.cut()
    assert (recorder.ops, recorder.count, recorder.digest) == ([], 1, 0)
    x.neg()
    [neg] = ops(recorder)
    origin = neg.inputs[0].origin
    assert (origin.step, origin.name, origin.line.path) == (0, "aten.mul.Tensor", __file__)


def test_memory_is_bounded_by_one_step(recorder):
    model = nn.Linear(4, 4)
    for _ in range(30):
        model(torch.randn(2, 4)).sum().backward()
        model.zero_grad()
        recorder.cut()
    assert len(recorder.memories._known) < 20


def test_the_oldest_operations_go_first_where_there_are_too_many(recorder, monkeypatch):
    monkeypatch.setattr(tape, "MOST", 10)
    x = torch.ones(1)
    for _ in range(24):
        x = x + 1
    assert len(recorder.ops) + recorder.lost == 25
    assert 5 <= len(recorder.ops) <= 10
    assert ops(recorder)[-1].inputs[0].origin.op == 23


def test_other_threads_are_on_the_tape_in_any_order_of_the_digest():
    recorder = OpRecorder(fail)
    recorder.on = True
    digests = []
    for order in ((1.0, 2.0), (2.0, 1.0)):
        modes = {value: recorder.mode() for value in (1.0, 2.0)}
        for value in order:

            def work(value=value, modes=modes):
                with modes[value]:
                    torch.full((3,), value).exp()

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert len({op.thread for op in ops(recorder)}) == 2
        recorder._threads = 0
        digests.append(recorder.digest)
        recorder.cut()
    assert digests[0] == digests[1]


def test_the_digest_follows_the_bits_of_the_results(recorder):
    digests = []
    for value in (1.0, 1.0, 1.0 + 2**-23):
        (torch.tensor(value) * 3).exp()
        digests.append(recorder.digest)
        recorder.cut()
    assert digests[0] == digests[1] != digests[2]


def test_an_output_that_is_ignored_leaves_the_digest(recorder):
    x = torch.ones(3)
    before, line = recorder.digest, here() + 2
    recorder.ignored.add(("aten.neg.default", "out.0", (__file__, line, inspect.currentframe().f_code.co_name)))
    x.neg()
    assert recorder.digest == before
    x.neg()
    assert recorder.digest != before


def test_while_it_is_off_nothing_is_noted_and_nothing_changes():
    recorder = OpRecorder(fail)
    torch.manual_seed(1)
    plain = nn.functional.dropout(torch.ones(8))
    torch.manual_seed(1)
    with recorder.mode():
        assert torch.equal(nn.functional.dropout(torch.ones(8)), plain)
    assert recorder.ops == []


def test_its_own_errors_stop_it_and_not_the_program(monkeypatch):
    said = []
    recorder = OpRecorder(said.append)
    recorder.on = True
    monkeypatch.setattr(recorder, "_after", lambda *_: 1 / 0)
    with recorder.mode():
        assert torch.equal(torch.ones(2) + 1, torch.full((2,), 2.0))
    assert [type(error) for error in said] == [ZeroDivisionError]
    assert not recorder.on


def train(steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(9, 6)), torch.randint(4, (9,))).backward()
        optimizer.step()
    return torch.cat([param.detach().reshape(-1) for param in model.parameters()])


def test_a_training_has_the_same_bits_on_the_tape():
    plain = train(5)
    recorder = OpRecorder(fail)
    recorder.on = True
    with recorder.mode():
        taped = train(5)
    assert torch.equal(taped, plain)
