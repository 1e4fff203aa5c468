"""Convolutions with batch norm on small pictures: SGD with Nesterov's momentum, warmed up."""

import torch
import torch.nn.functional as F
from torch import nn
from training import Network, Session, options, warm


class Convolution(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.first, self.first_norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.last = nn.Linear(12 * 9, 6)

    def forward(self, x):
        x = self.forms.activation("relu", self.forms.norm(self.first_norm, self.forms.convolution(self.first, x)))
        x = F.max_pool2d(x, 2)
        x = self.forms.activation("relu", self.forms.norm(self.second_norm, self.forms.convolution(self.second, x)))
        return self.forms.linear(self.last, F.max_pool2d(x, 2).flatten(1))


def data(generator):
    """Noisy copies of one prototype a class."""
    labels = torch.randint(6, (256,), generator=generator)
    prototypes = torch.randn(6, 1, 12, 12, generator=generator)
    return prototypes[labels] + 1.5 * torch.randn(256, 1, 12, 12, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Convolution,
    data=data,
    loss=loss,
    optimizer=torch.optim.SGD,
    settings={"lr": 0.05, "momentum": 0.9, "nesterov": True},
    decay=1e-3,
    factor=warm,
    loader=True,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
