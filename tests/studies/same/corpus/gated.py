"""A GRU that names the source of a sequence, with dropout: Adam, clipped gradients, warmed up."""

import torch
from torch import nn
from training import Network, Session, options, warm


class Gated(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.layer, self.last, self.dropped = nn.GRU(5, 20, batch_first=True), nn.Linear(20, 4), nn.Dropout(0.15)

    def forward(self, x):
        return self.forms.linear(self.last, self.forms.dropout(self.dropped, self.forms.gru(self.layer, x)))


def data(generator):
    """Waves whose frequency is their class."""
    labels = torch.randint(4, (256,), generator=generator)
    phase = 6 * torch.rand(256, 1, 5, generator=generator)
    waves = ((labels[:, None, None] + 1) * 0.5 * torch.arange(9)[None, :, None] + phase).sin()
    return waves + 0.3 * torch.randn(256, 9, 5, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Gated,
    data=data,
    loss=loss,
    optimizer=torch.optim.Adam,
    settings={"lr": 5e-3},
    decay=1e-4,
    factor=warm,
    clip=0.4,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
