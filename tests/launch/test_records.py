"""What is written of a process is read back, however it ended and whatever its optimizers did."""

import torch
from torch import nn

from lastbit.dynamics.sketch import CountSketch
from lastbit.launch import record
from lastbit.launch.everywhere import Everywhere
from lastbit.launch.record import Recorder, checksum_of
from lastbit.launch.records import read_processes
from lastbit.perturb.base import Identity


def train(optimizer, steps):
    for _ in range(steps):
        for group in optimizer.param_groups:
            for param in group["params"]:
                param.grad = torch.ones_like(param)
        optimizer.step()


def recorded(folder, body, every=4):
    recorder = Recorder(folder, every)
    with Everywhere(Identity(), on_step=recorder.step) as everywhere:
        body(everywhere)
    return recorder


def test_steps_are_powers_of_two_multiples_of_the_cadence_and_the_last(tmp_path):
    weight = nn.Parameter(torch.arange(5.0))
    recorded(tmp_path, lambda _: train(torch.optim.SGD([weight], lr=0.1), 19)).finish()
    [process] = read_processes(tmp_path)
    [optimizer] = process.optimizers
    assert [each.step for each in optimizer.records] == [1, 2, 4, 8, 12, 16, 19]
    assert (process.ended, process.every, optimizer.steps, optimizer.tensors) == (True, 4, 19, (("opt0.0.0", 5),))
    sketch = CountSketch({"opt0.0.0": weight})({"opt0.0.0": weight})
    assert torch.equal(optimizer.sketches.values[-1], sketch.values)
    assert optimizer.records[-1].checksum == checksum_of(sketch.fingerprints.numpy())


def test_weights_that_change_their_format_are_recorded_on(tmp_path):
    weight = nn.Parameter(torch.arange(5.0))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    def body(_):
        train(optimizer, 1)
        weight.data = weight.data.double()
        train(optimizer, 1)

    recorded(tmp_path, body)
    [process] = read_processes(tmp_path)
    sketch = CountSketch({"opt0.0.0": weight})({"opt0.0.0": weight})
    assert process.optimizers[0].records[-1].checksum == checksum_of(sketch.fingerprints.numpy())


def test_what_a_killed_process_left_is_read(tmp_path):
    recorded(tmp_path, lambda _: train(torch.optim.SGD([nn.Parameter(torch.arange(5.0))], lr=0.1), 8))
    [lines], [sketches] = tmp_path.glob("*.jsonl"), tmp_path.glob("*.sketches")
    lines.write_text(lines.read_text() + '{"event": "st')
    sketches.write_bytes(sketches.read_bytes()[:-8])
    [process] = read_processes(tmp_path)
    assert not process.ended
    assert [each.step for each in process.optimizers[0].records] == [1, 2, 4]
    assert len(process.optimizers[0].sketches.values) == 3


def test_parameters_that_are_added_begin_new_sketches(tmp_path):
    optimizer = torch.optim.SGD([nn.Parameter(torch.arange(5.0))], lr=0.1)

    def body(_):
        train(optimizer, 2)
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(3))]})
        train(optimizer, 2)

    recorded(tmp_path, body)
    [process] = read_processes(tmp_path)
    assert process.optimizers[0].tensors == (("opt0.0.0", 5), ("opt0.1.0", 3))
    assert [each.step for each in process.optimizers[0].records] == [1, 2, 4]
    assert process.optimizers[0].sketches.values.shape == (1, 2, 64)


def test_an_optimizer_that_is_gone_is_recorded_where_it_stood_and_let_go(tmp_path):
    def body(everywhere):
        train(torch.optim.SGD([nn.Parameter(torch.arange(5.0))], lr=0.1), 3)
        assert everywhere.met[0].tensors()
        train(torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1), 1)
        assert not everywhere.met[0].tensors()

    recorded(tmp_path, body).finish()
    [process] = read_processes(tmp_path)
    assert [[each.step for each in optimizer.records] for optimizer in process.optimizers] == [[1, 2, 3], [1]]
    assert process.steps == 4


def test_slow_records_become_rare_and_the_file_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "SPARED", 0.0)
    recorded(tmp_path, lambda _: train(torch.optim.SGD([nn.Parameter(torch.ones(3))], lr=0.1), 300), None).finish()
    [process] = read_processes(tmp_path)
    assert process.every > 1  # these steps take less than a record
    assert process.every & (process.every - 1) == 0
    assert '"event": "cadence"' in next(tmp_path.glob("*.jsonl")).read_text()
