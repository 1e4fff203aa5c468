"""Depthwise convolutions with batch norm and hard swish: Adam, a rate that is halved."""

import torch
from torch import nn
from training import Network, Session, halving, options


class Depthwise(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.stem, self.stem_norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, momentum=0.2)
        self.depth, self.depth_norm = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8)
        self.point, self.point_norm = nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16)
        self.last = nn.Linear(16, 6)

    def forward(self, x):
        x = self.forms.pooled(self._layer(self.stem, self.stem_norm, x))
        x = self._layer(self.point, self.point_norm, self._layer(self.depth, self.depth_norm, x))
        return self.forms.linear(self.last, x.mean((2, 3)))

    def _layer(self, convolution, norm, x):
        return self.forms.activation("hardswish", self.forms.norm(norm, self.forms.convolution(convolution, x)))


def data(generator):
    """Noisy copies of one prototype a class."""
    labels = torch.randint(6, (256,), generator=generator)
    prototypes = torch.randn(6, 1, 12, 12, generator=generator)
    return prototypes[labels] + 1.2 * torch.randn(256, 1, 12, 12, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Depthwise,
    data=data,
    loss=loss,
    optimizer=torch.optim.Adam,
    settings={"lr": 5e-3, "eps": 1e-6},
    decay=0.0,
    factor=halving,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
