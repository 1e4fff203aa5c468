"""Complex weights, sparse gradients, and an optimizer beside them that is like any other."""

import torch
from torch import nn

torch.manual_seed(11)
waves = nn.Parameter(torch.randn(3, dtype=torch.complex64))
words, model = nn.Embedding(20, 4, sparse=True), nn.Linear(4, 2)
optimizers = [
    torch.optim.SGD([waves], lr=0.1),
    torch.optim.SGD(words.parameters(), lr=0.1),
    torch.optim.Adam(model.parameters()),
]
for _ in range(4):
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss = model(words(torch.randint(20, (8,)))).square().mean() + waves.abs().square().mean()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
print(f"loss: {loss.item()!r}")
