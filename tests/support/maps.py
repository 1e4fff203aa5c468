"""Maps in place of networks: which of them is restless is known beforehand, and a run takes milliseconds."""

import torch
from torch import nn

import lastbit as lb

RATE = 0.7


def restless(w):
    """A tent: a difference is 1.9 times as large after each step, from the last bit of float32 to order one in 25."""
    return 1 - 1.9 * w.abs()


def settling(w):
    return 0.9 * w + 0.02


class Maps(nn.Module):
    """Numbers, each of which a step maps to another; with a ReLU in it the map is the first of two."""

    def __init__(self, of_relu, of_others):
        super().__init__()
        self.w = nn.Parameter(1.8 * torch.rand(32) - 0.9)
        self.activation = nn.ReLU()
        self.maps = of_relu, of_others

    def forward(self, x):
        return x * self.w.mean()

    def target(self):
        return self.maps[not isinstance(self.activation, nn.ReLU)](self.w.detach())


def step(state, batch):
    (weight,) = state.model.parameters()
    # A step of plain gradient descent at this rate is to the value of the map, rounded on the way.
    weight.grad = (weight.detach() - state.model.target()) / RATE
    state.optimizer.step()
    return (weight.detach() ** 2).mean()


def map_task(of_relu=restless, of_others=settling, hook=lambda state: None, **given):
    """Return a task whose network maps its weights 40 times; `hook` is called after each step."""

    def hooked(state, batch):
        loss = step(state, batch)
        hook(state)
        return loss

    x = torch.ones(40, 1)
    own = {"train": (x, x), "test": (x[:5], 0.2 * x[:5]), "optimizer": lambda params: torch.optim.SGD(params, lr=RATE)}
    own |= {"loss": nn.functional.mse_loss, "metric": lb.MSE, "epochs": 1, "batch_size": 1}
    return lb.Task(name="maps", model=lambda: Maps(of_relu, of_others), step=hooked, **{**own, **given})
