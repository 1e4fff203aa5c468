"""Negative samples of a word model are chosen by Python's random; NumPy and torch are seeded.

step: 1
cause: random-unseeded
"""

import random

import numpy as np
import torch
from torch import nn


class Negatives:
    def __init__(self, count, weights):
        self.population = range(count)
        self.weights = weights

    def __call__(self, size):
        return random.choices(self.population, weights=self.weights, k=size)  # <- cause


np.random.seed(6)
torch.manual_seed(6)
weights = np.random.rand(30)
negatives = Negatives(30, weights.tolist())
words, contexts = nn.Embedding(30, 5), nn.Embedding(30, 5)
optimizer = torch.optim.Adam([*words.parameters(), *contexts.parameters()], lr=0.05)
centre, context = torch.randint(30, (12,)), torch.randint(30, (12,))
for _ in range(3):
    wrong = torch.tensor(negatives(12))
    good = (words(centre) * contexts(context)).sum(1)
    bad = (words(centre) * contexts(wrong)).sum(1)
    optimizer.zero_grad()
    (-nn.functional.logsigmoid(good) - nn.functional.logsigmoid(-bad)).mean().backward()
    optimizer.step()
