"""Passes that are replayed, on a processor by taking them again, on a GPU as CUDA graphs: with the bits of alone."""

from contextlib import ExitStack
from functools import partial

import pytest
import torch
from small_trainings import CPU, OPTIMIZERS, Net, make_task
from torch import nn

from lastbit.core.recorder import Recorder
from lastbit.perturb.base import Identity
from lastbit.perturb.registry import make_perturbation
from lastbit.train.random_streams import streams
from lastbit.train.replicas.engines import choose_engine
from lastbit.train.replicas.graphs import Graphs, LastOperation
from lastbit.train.replicas.refused import Refused
from lastbit.train.replicas.together import Replica, trainings_of

calm = partial(Net, dropout=0.0)
on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICES = ["cpu", pytest.param("cuda", marks=on_a_gpu)]


def again(body, device, stream):
    """What stands for a capture on a processor: passes before it, and a pass again in place of a replay."""
    body()
    return body


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["rescale", "rounding", "ulp"])
def test_a_replayed_training_has_the_bits_of_the_training_alone(device, optimizer, kind):
    task = make_task(model=calm, optimizer=OPTIMIZERS[optimizer], drop_last=False)
    device, capture = torch.device(device), again if device == "cpu" else None
    replicas = [
        Replica(streams=streams(seed), perturbation=make_perturbation(kind, seed), recorder=Recorder())
        for seed in (0, 1)
    ]
    with ExitStack() as scope:
        alone, together = (
            trainings_of(task, replicas, device=device, dtype=torch.float32, scope=scope) for _ in range(2)
        )
        graphs = Graphs(together, capture)
        while graphs.position < graphs.total:
            graphs.step()
        for one, other in zip(alone, together, strict=True):
            with one.active():
                while one.position < one.total_steps:
                    one.step()
                assert torch.stack(one.losses).tolist() == torch.stack(other.losses).tolist()
                assert one.weights().tobytes() == other.weights().tobytes()
                assert one.buffers().tobytes() == other.buffers().tobytes()
                assert one.evaluate().metrics == other.evaluate().metrics


def test_a_processor_has_no_graphs_and_a_step_of_its_own_is_refused():
    with ExitStack() as scope:
        replica = Replica(streams=streams(0), perturbation=Identity(), recorder=Recorder())
        made = partial(trainings_of, replicas=[replica], device=CPU, dtype=torch.float32, scope=scope)
        with pytest.raises(Refused, match="CUDA graphs need a GPU"):
            Graphs(made(make_task(model=calm))).step()
        with pytest.raises(Refused, match="a training step of its own"):
            Graphs(made(make_task(model=calm, step=lambda state, batch: None)))


def test_the_operation_that_refuses_is_named():
    with LastOperation() as seen:
        torch.ones(3).sin().sum()
    assert seen.name == "aten.sum.default"


class Reads(nn.Linear):
    def forward(self, x):
        return super().forward(x.flatten(1)) * float(x.sum() > -1e9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_graphs_come_first_and_what_cannot_be_captured_is_named():
    chosen = partial(choose_engine, perturbation=Identity(), device=torch.device("cuda"), dtype=torch.float32)
    assert chosen(make_task(model=calm)) == ("graphs", "")
    name, said = chosen(make_task(model=lambda: Reads(36, 3)))
    assert name is None
    assert "no CUDA graph can hold aten." in said
