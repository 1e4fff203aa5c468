"""An LSTM that predicts the next symbol: RMSprop with momentum, clipped gradients, a falling rate."""

import torch
from torch import nn
from training import Network, Session, exponential, options


class Recurrent(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.table, self.layer = nn.Embedding(20, 12), nn.LSTM(12, 24, batch_first=True)
        self.last = nn.Linear(24, 20)

    def forward(self, index):
        return self.forms.linear(self.last, self.forms.lstm(self.layer, self.forms.tokens(self.table, index)))


def data(generator):
    """Chains of symbols, each drawn by the one before."""
    chance = (2 * torch.randn(20, 20, generator=generator)).softmax(-1)
    symbols = [torch.randint(20, (256,), generator=generator)]
    for _ in range(10):
        symbols.append(torch.multinomial(chance[symbols[-1]], 1, generator=generator)[:, 0])
    return (torch.stack(symbols, 1),)


def loss(model, forms, batch):
    (symbols,) = batch
    logits = model(symbols[:, :-1])
    return forms.cross_entropy(logits.flatten(0, 1), symbols[:, 1:].flatten())


NETWORK = Network(
    build=Recurrent,
    data=data,
    loss=loss,
    optimizer=torch.optim.RMSprop,
    settings={"lr": 2e-3, "momentum": 0.5},
    decay=1e-4,
    factor=exponential,
    clip=0.18,
    loader=True,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
