"""A training that is a function of its seed; see docs/own-training.md."""

import torch
from sklearn.datasets import load_digits

digits = load_digits()
inputs = torch.tensor(digits.data, dtype=torch.float32) / 16
targets = torch.tensor(digits.target)


def train(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.NAdam(model.parameters(), lr=0.01)
    for index in torch.randperm(1000).split(50) * 3:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs[index]), targets[index]).backward()
        optimizer.step()
    with torch.no_grad():
        predictions = model(inputs[1000:]).argmax(1)
    return {"accuracy": (predictions == targets[1000:]).float().mean(), "predictions": predictions}
