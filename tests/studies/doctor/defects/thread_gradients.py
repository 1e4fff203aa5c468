"""Threads add their gradients to one sum, each when it is ready.

step: any
cause: thread-order
"""

import threading

import torch
from torch import nn

torch.manual_seed(25)
torch.set_num_threads(1)
model = nn.Linear(40, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
parts = torch.randn(16, 200, 40)
lock = threading.Lock()


def work(place, total):
    loss = torch.tanh(model(parts[place])).square().mean()
    (gradient,) = torch.autograd.grad(loss, [model.weight])
    with lock:
        total.add_(gradient)  # <- cause


for _ in range(4):
    total = torch.zeros_like(model.weight)
    threads = [threading.Thread(target=work, args=(place, total)) for place in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.weight.grad = total / 16
    optimizer.step()
