"""An autoencoder with a squared error: NAdam, a rate that falls to a fifth."""

import torch
from torch import nn
from training import Network, Session, exponential, options


class Autoencoder(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.enter, self.code = nn.Linear(32, 24), nn.Linear(24, 6)
        self.back, self.leave = nn.Linear(6, 24), nn.Linear(24, 32)

    def forward(self, x):
        x = self.forms.linear(self.code, self.forms.activation("elu", self.forms.linear(self.enter, x)))
        return self.forms.linear(self.leave, self.forms.activation("softplus", self.forms.linear(self.back, x)))


def data(generator):
    """Points near a curved sheet of five dimensions."""
    hidden = torch.randn(256, 5, generator=generator) @ torch.randn(5, 32, generator=generator)
    return (hidden.sin() + 0.1 * torch.randn(256, 32, generator=generator),)


def loss(model, forms, batch):
    return forms.squared_error(model(batch[0]), batch[0])


NETWORK = Network(
    build=Autoencoder,
    data=data,
    loss=loss,
    optimizer=torch.optim.NAdam,
    settings={"lr": 4e-3},
    decay=1e-4,
    factor=exponential,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
