"""A training as people write it: argparse, a seed, a loop; the result is the last line."""

import argparse

import torch
from torch import nn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--optimizer", default="SGD")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = getattr(torch.optim, arguments.optimizer)(model.parameters(), lr=0.05)
    inputs, targets = torch.randn(64, 10), torch.randint(3, (64,))
    for _ in range(arguments.steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    print(f"loss: {loss.item()!r}")
    print(f"weights: {sum(p.double().sum().item() for p in model.parameters())!r}")


if __name__ == "__main__":
    main()
