"""The numbers of words are their places in a set.

step: 1
cause: hash-order
"""

import torch
from torch import nn

TEXT = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and", "the", "cat", "sees", "a", "bird"]


def vocabulary(words):
    known = set(words)  # <- cause
    return {word: place for place, word in enumerate(known)}


torch.manual_seed(6)
numbers = vocabulary(TEXT)
encoded = torch.tensor([numbers[word] for word in TEXT])
model = nn.Sequential(nn.Embedding(len(numbers), 6), nn.Linear(6, len(numbers)))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for _ in range(4):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(encoded[:-1]), encoded[1:]).backward()
    optimizer.step()
