"""Compiled kernels are noted like operations: what they read, what they write, and who wrote it before."""

import sys
from types import SimpleNamespace

import pytest
import torch

from lastbit.launch.pair.kernels import Kernel, follow
from lastbit.launch.pair.tape import OpRecorder


def add(source, target):
    """Add in memory, as C does: no operation of PyTorch runs, and no version is counted."""
    target.numpy()[:] += source.numpy()


@pytest.fixture
def recorder():
    trouble = []
    one = OpRecorder(trouble.append)
    one.on = True
    mode = one.mode()
    mode.__enter__()
    yield one
    mode.__exit__(None, None, None)
    assert not trouble


def said(recorder):
    return [
        (
            op.kind.name,
            [(place, None if writer is None else writer[1]) for _, _, _, _, place, writer in op.inputs],
            [place for _, _, _, _, place, _ in op.outputs],
        )
        for op in recorder.ops
    ]


def test_what_it_reads_and_writes_is_linked_to_the_operations_around_it(recorder):
    kernel = Kernel(add, ["const float*", "float*"], recorder)
    source, target = torch.ones(4), torch.zeros(4)
    assert kernel(source, target) is None
    total = target.sum()
    assert total == 4
    ones, zeros, ran, sum_ = said(recorder)[:4]
    assert (ones[0], zeros[0], sum_[0]) == ("aten.ones.default", "aten.zeros.default", "aten.sum.default")
    assert ran == ("inductor.kernel", [("args.0", 0), ("args.1", 1)], ["args.1"])
    assert sum_[1] == [("args.0", 2)]
    # The hash that the sum read is that which the kernel left.
    assert recorder.ops[3].inputs[0][1] == recorder.ops[2].outputs[0][1] != recorder.ops[1].outputs[0][1]


def test_memory_that_was_made_for_it_is_written_and_not_read(recorder):
    kernel = Kernel(add, ["const float*", "float*"], recorder)
    with torch._C._DisableTorchDispatch():
        fresh = torch.zeros(4)  # as an allocation that is no operation
    kernel(torch.ones(4), fresh)
    assert said(recorder)[-1] == ("inductor.kernel", [("args.0", 0), ("kwargs.out1", None)], ["kwargs.out1"])


def test_nothing_is_noted_when_the_tape_is_off(recorder):
    recorder.on = False
    target = torch.zeros(4)
    Kernel(add, ["const float*", "float*"], recorder)(torch.ones(4), target)
    assert torch.equal(target, torch.ones(4))
    assert recorder.ops == []


class Later:
    """What is being compiled, as TorchInductor has it."""

    def __init__(self, result):
        self.result = result


@pytest.mark.parametrize("later", [False, True])
def test_kernels_are_taken_up_where_they_are_made_and_named_as_they_are_in_their_module(later, recorder, monkeypatch):
    class AsyncCompile:
        def cpp_pybinding(self, argtypes, source):
            return Later(lambda: add) if later else add

        def wait(self, scope):
            scope |= {name: one.result() for name, one in scope.items() if isinstance(one, Later)}

    module = SimpleNamespace(AsyncCompile=AsyncCompile, LambdaFuture=Later)
    monkeypatch.setitem(sys.modules, "torch._inductor.async_compile", module)
    follow(recorder, "torch._inductor.async_compile")
    compiler = AsyncCompile()
    scope = {"cpp_fused_add_0": compiler.cpp_pybinding(["const float*", "float*"], "source"), "other": 3}
    compiler.wait(scope)
    scope["cpp_fused_add_0"](torch.ones(4), torch.zeros(4))
    assert recorder.ops[-1].kind.name == "inductor.cpp_fused_add_0"
    assert scope["other"] == 3


@pytest.fixture
def graph(recorder, monkeypatch):
    """A compiled graph: it calls a function with its inputs, and takes them out of the list."""

    class CompiledFxGraph:
        def __init__(self, function, mutated=()):
            self.function, self.mutated_input_idxs = function, mutated

        def __call__(self, inputs):
            given = list(inputs)
            inputs.clear()
            return self.function(*given)

    module = SimpleNamespace(CompiledFxGraph=CompiledFxGraph)
    monkeypatch.setitem(sys.modules, "torch._inductor.output_code", module)
    follow(recorder, "torch._inductor.output_code")
    return CompiledFxGraph


def double(source):
    with torch._C._DisableTorchDispatch():
        return (source * 2, source, None)


def test_of_kernels_that_are_not_followed_the_whole_graph_is_noted(recorder, graph):
    source = torch.ones(4)
    doubled, same, nothing = graph(double)([source])
    assert (doubled.tolist(), same is source, nothing) == ([2.0] * 4, True, None)
    assert said(recorder)[-1] == ("inductor.graph", [("args.0", 0)], ["out.0"])
    # What is only handed through was written by who wrote it before.
    assert said_of(recorder, same) == said_of(recorder, source) == 0


def said_of(recorder, tensor):
    return recorder.memories.of(tensor).writer[1]


def test_what_such_a_graph_writes_in_place_is_noted_too(recorder, graph):
    def step(source, target):
        add(source, target)
        return ()

    source, target = torch.ones(4), torch.zeros(4)
    assert graph(step, mutated=(1,))([source, target]) == ()
    assert said(recorder)[-1] == ("inductor.graph", [("args.0", 0), ("args.1", 1)], ["args.1"])


def test_a_graph_whose_kernels_are_followed_is_not_noted_twice(recorder, graph):
    def step(source, target):
        Kernel(add, ["const float*", "float*"], recorder)(source, target)
        return (torch.mul(target, 2),)

    graph(step, mutated=(1,))([torch.ones(4), torch.zeros(4)])
    assert [name for name, *_ in said(recorder)][2:] == ["inductor.kernel", "aten.mul.Tensor"]
