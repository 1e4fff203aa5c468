"""Convolutions with dropout and GELU on small pictures: AdamW, warmed up."""

import torch
from torch import nn
from training import Network, Session, options, warm


class Pictures(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.first, self.second = nn.Conv2d(2, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.hidden, self.last = nn.Linear(16 * 9, 32), nn.Linear(32, 6)
        self.early, self.late = nn.Dropout(0.1), nn.Dropout(0.3)

    def forward(self, x):
        x = self.forms.pooled(self.forms.activation("gelu", self.forms.convolution(self.first, x)))
        x = self.forms.dropout(self.early, x)
        x = self.forms.pooled(self.forms.activation("gelu", self.forms.convolution(self.second, x))).flatten(1)
        x = self.forms.activation("gelu", self.forms.linear(self.hidden, x))
        return self.forms.linear(self.last, self.forms.dropout(self.late, x))


def data(generator):
    """Noisy copies of one prototype a class."""
    labels = torch.randint(6, (256,), generator=generator)
    prototypes = torch.randn(6, 2, 12, 12, generator=generator)
    return prototypes[labels] + 2 * torch.randn(256, 2, 12, 12, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Pictures,
    data=data,
    loss=loss,
    optimizer=torch.optim.AdamW,
    settings={"lr": 3e-3},
    decay=0.02,
    factor=warm,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
