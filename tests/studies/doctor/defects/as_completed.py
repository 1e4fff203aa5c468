"""Gradients of parts are summed as their futures complete.

step: any
cause: completion-order
"""

from concurrent.futures import ThreadPoolExecutor, as_completed

import torch
from torch import nn

torch.manual_seed(5)
torch.set_num_threads(1)
model = nn.Linear(50, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
parts = torch.randn(20, 300, 50)


def gradient(part):
    loss = (model(part).sin() - part[:, :1]).square().mean()
    return torch.autograd.grad(loss, [model.weight])[0]


with ThreadPoolExecutor(6) as pool:
    for _ in range(5):
        futures = [pool.submit(gradient, part) for part in parts]
        model.weight.grad = torch.zeros_like(model.weight)
        for future in as_completed(futures):  # <- cause
            model.weight.grad += future.result()
        optimizer.step()
