"""Your own training as a lastbit task. Audit it with `lastbit audit --task examples/my_task.py:task`."""

import torch
from torch import nn

from lastbit import Metric, Task


def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(600, 4, generator=generator)
    y = (x[:, :1] * x[:, 1:2]).sin() + 0.01 * torch.randn(600, 1, generator=generator)
    within = Metric(name="within 0.02", per_example=lambda out, y: ((out - y).abs() < 0.02).flatten(), unit="%")
    return Task(
        name="product",
        model=lambda: nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 1)),
        train=(x[:400], y[:400]),  # or a map-style Dataset, or a DataLoader
        test=(x[400:], y[400:]),
        loss=nn.functional.mse_loss,
        metric=within,
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-2),
        epochs=30,
        batch_size=16,
    )
