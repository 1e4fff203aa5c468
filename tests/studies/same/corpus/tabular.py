"""A perceptron with batch norm and dropout on a regression: Adam, smooth errors, averaged weights."""

import torch
from torch import nn
from training import Network, Session, options, warm


class Tabular(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.first, self.first_norm = nn.Linear(12, 32, bias=False), nn.BatchNorm1d(32)
        self.second, self.second_norm = nn.Linear(32, 16, bias=False), nn.BatchNorm1d(16)
        self.last, self.dropped = nn.Linear(16, 1), nn.Dropout(0.1)

    def forward(self, x):
        x = self.forms.activation("silu", self.forms.norm(self.first_norm, self.forms.linear(self.first, x)))
        x = self.forms.norm(self.second_norm, self.forms.linear(self.second, self.forms.dropout(self.dropped, x)))
        return self.forms.linear(self.last, self.forms.activation("tanh", x))[:, 0]


def data(generator):
    """A product of features, a sine, and noise."""
    features = torch.randn(256, 12, generator=generator)
    target = features[:, 0] * features[:, 1] + (2 * features[:, 2]).sin()
    return features, target + 0.3 * torch.randn(256, generator=generator)


def loss(model, forms, batch):
    features, target = batch
    return forms.smooth_error(model(features), target)


NETWORK = Network(
    build=Tabular,
    data=data,
    loss=loss,
    optimizer=torch.optim.Adam,
    settings={"lr": 5e-3},
    decay=1e-4,
    factor=warm,
    average=0.98,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
