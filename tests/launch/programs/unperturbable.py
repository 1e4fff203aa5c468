"""Complex weights by themselves and beside others, and an embedding whose gradients are sparse."""

import torch
from torch import nn

torch.manual_seed(11)
waves, more = (nn.Parameter(torch.randn(3, dtype=torch.complex64)) for _ in range(2))
words, model = nn.Embedding(20, 4, sparse=True), nn.Linear(4, 20)
optimizers = [
    torch.optim.SGD([waves], lr=0.1),
    torch.optim.SGD(words.parameters(), lr=0.1),
    torch.optim.Adam([*model.parameters(), more]),
]
for _ in range(12):
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss = model(words(torch.randint(20, (8,)))).square().mean() + (waves * more).abs().square().mean()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
print(f"loss: {loss.item()!r}")
