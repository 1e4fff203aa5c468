"""A deep perceptron with layer norm and dropout: AdamW, a rate that is halved."""

import torch
from torch import nn
from training import Network, Session, halving, options


class Deep(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.enter, self.last = nn.Linear(20, 24), nn.Linear(24, 6)
        self.layers = nn.ModuleList(nn.Linear(24, 24) for _ in range(6))
        self.norms = nn.ModuleList(nn.LayerNorm(24) for _ in range(6))
        self.dropped = nn.Dropout(0.05)

    def forward(self, x):
        x = self.forms.linear(self.enter, x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = self.forms.activation("gelu", self.forms.norm(norm, self.forms.linear(layer, x)))
        return self.forms.linear(self.last, self.forms.dropout(self.dropped, x))


def data(generator):
    """Noisy copies of one prototype a class."""
    labels = torch.randint(6, (256,), generator=generator)
    prototypes = torch.randn(6, 20, generator=generator)
    return prototypes[labels] + 1.2 * torch.randn(256, 20, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Deep,
    data=data,
    loss=loss,
    optimizer=torch.optim.AdamW,
    settings={"lr": 3e-3, "betas": (0.9, 0.98)},
    decay=0.05,
    factor=halving,
    loader=True,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
