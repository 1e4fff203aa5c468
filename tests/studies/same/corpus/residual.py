"""Residual convolutions with group norm and SiLU: Adam, a rate that falls to a fifth, averaged weights."""

import torch
from torch import nn
from training import Network, Session, exponential, options


class Block(nn.Module):
    def __init__(self, forms, width):
        super().__init__()
        self.forms = forms
        self.norm, self.enter = nn.GroupNorm(4, width), nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, x):
        inner = self.forms.convolution(self.enter, self.forms.activation("silu", self.forms.norm(self.norm, x)))
        return x + self.forms.convolution(self.leave, self.forms.activation("silu", inner))


class Residual(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.one, self.two = Block(forms, 8), Block(forms, 8)
        self.last = nn.Linear(8 * 25, 5)

    def forward(self, x):
        x = self.forms.again(self.one, self.forms.convolution(self.stem, x))
        return self.forms.linear(self.last, self.forms.pooled(self.forms.again(self.two, x)).flatten(1))


def data(generator):
    """Noisy copies of one prototype a class."""
    labels = torch.randint(5, (256,), generator=generator)
    prototypes = torch.randn(5, 1, 10, 10, generator=generator)
    return prototypes[labels] + 1.8 * torch.randn(256, 1, 10, 10, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Residual,
    data=data,
    loss=loss,
    optimizer=torch.optim.Adam,
    settings={"lr": 2e-3},
    decay=1e-4,
    factor=exponential,
    average=0.9,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
