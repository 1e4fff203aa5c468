"""A bag of embeddings with dropout on short texts: Adagrad, clipped gradients, a falling rate."""

import torch
from torch import nn
from training import Network, Session, exponential, options


class Bag(nn.Module):
    def __init__(self, forms):
        super().__init__()
        self.forms = forms
        self.table = nn.EmbeddingBag(60, 16, mode="mean")
        self.hidden, self.last, self.dropped = nn.Linear(16, 24), nn.Linear(24, 5), nn.Dropout(0.2)

    def forward(self, index):
        x = self.forms.activation("relu", self.forms.linear(self.hidden, self.forms.bag(self.table, index)))
        return self.forms.linear(self.last, self.forms.dropout(self.dropped, x))


def data(generator):
    """Words drawn by the class of their text."""
    labels = torch.randint(5, (256,), generator=generator)
    chance = (1.5 * torch.randn(5, 60, generator=generator)).softmax(-1)
    return torch.multinomial(chance[labels], 9, replacement=True, generator=generator), labels


def loss(model, forms, batch):
    inputs, labels = batch
    return forms.cross_entropy(model(inputs), labels)


NETWORK = Network(
    build=Bag,
    data=data,
    loss=loss,
    optimizer=torch.optim.Adagrad,
    settings={"lr": 0.05},
    decay=1e-4,
    factor=exponential,
    clip=0.3,
)


if __name__ == "__main__":
    session = Session(NETWORK, options())
    model, average = session.model, session.average
    session.train()
