"""A causal transformer with dropout: AdamW, warmed up, averaged weights."""

import torch
from torch import nn
from training import Network, Session, options, warm


class Block(nn.Module):
    def __init__(self, forms, width):
        super().__init__()
        self.forms = forms
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.joined = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropped = nn.Dropout(0.1)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.forms.projected(self.queries, self.forms.norm(self.before, x))
        heads = [part.reshape(batch, length, 4, width // 4).transpose(1, 2) for part in parts]
        attended = self.forms.attention(*heads).transpose(1, 2).reshape(batch, length, width)
        x = x + self.forms.linear(self.joined, attended)
        inner = self.forms.activation("gelu", self.forms.linear(self.wide, self.forms.norm(self.between, x)))
        return x + self.forms.dropout(self.dropped, self.forms.linear(self.narrow, inner))


class Transformer(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.table, self.places = nn.Embedding(20, 24), nn.Embedding(12, 24)
        self.one, self.two = Block(forms, 24), Block(forms, 24)
        self.norm, self.last = nn.LayerNorm(24), nn.Linear(24, 20)

    def forward(self, index):
        places = self.places(torch.arange(index.shape[1]))
        x = self.forms.tokens(self.table, index) + places
        x = self.forms.again(self.two, self.forms.again(self.one, x))
        return self.forms.linear(self.last, self.forms.norm(self.norm, x))


def data(generator):
    """Chains of symbols, each drawn by the one before."""
    chance = (2 * torch.randn(20, 20, generator=generator)).softmax(-1)
    symbols = [torch.randint(20, (256,), generator=generator)]
    for _ in range(12):
        symbols.append(torch.multinomial(chance[symbols[-1]], 1, generator=generator)[:, 0])
    return (torch.stack(symbols, 1),)


def loss(model, forms, batch):
    (symbols,) = batch
    logits = model(symbols[:, :-1])
    return forms.cross_entropy(logits.flatten(0, 1), symbols[:, 1:].flatten())


NETWORK = Network(
    build=Transformer,
    data=data,
    loss=loss,
    optimizer=torch.optim.AdamW,
    settings={"lr": 3e-3, "betas": (0.9, 0.95)},
    decay=0.05,
    factor=warm,
    average=0.9,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
