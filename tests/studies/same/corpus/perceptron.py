"""A perceptron of two hidden layers on vectors: SGD with momentum, a rate that is halved, averaged weights."""

import torch
from torch import nn
from training import Network, Session, halving, options


class Perceptron(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.first, self.second, self.last = nn.Linear(24, 48), nn.Linear(48, 32), nn.Linear(32, 8)

    def forward(self, x):
        x = self.forms.activation("tanh", self.forms.linear(self.first, x))
        x = self.forms.activation("relu", self.forms.linear(self.second, x))
        return self.forms.linear(self.last, x)


def data(generator):
    """Noisy copies of one prototype a class."""
    labels = torch.randint(8, (256,), generator=generator)
    prototypes = torch.randn(8, 24, generator=generator)
    return prototypes[labels] + 1.5 * torch.randn(256, 24, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Perceptron,
    data=data,
    loss=loss,
    optimizer=torch.optim.SGD,
    settings={"lr": 0.05, "momentum": 0.9},
    decay=5e-4,
    factor=halving,
    average=0.95,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
