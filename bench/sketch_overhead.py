"""What a sketch costs, in shares of one training step of the small CNN it is taken from.

Run with one thread (OMP_NUM_THREADS=1) for the figure the documentation quotes.
"""

import json
import statistics
import time

import torch
from torch import nn

from lastbit.dynamics.sketch import CountSketch


def small_cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for narrow, wide in ((1, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def measure(rounds: int = 60) -> dict[str, float]:
    torch.manual_seed(0)
    model = small_cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    images, labels = torch.randn(128, 1, 28, 28), torch.randint(10, (128,))
    weights = dict(model.named_parameters())
    sketch = CountSketch(weights, seed=0)
    step_s, sketch_s = [], []
    # Alternating in pairs keeps both under the same load of the machine.
    for turn in range(rounds + 5):
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        middle = time.perf_counter()
        sketch(weights)
        end = time.perf_counter()
        if turn >= 5:
            step_s.append(middle - start)
            sketch_s.append(end - middle)
    step, cost = statistics.median(step_s), statistics.median(sketch_s)
    return {
        "weights": sum(p.numel() for p in weights.values()),
        "step_ms": 1e3 * step,
        "sketch_ms": 1e3 * cost,
        "sketch_share_of_step": cost / step,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"bench": "sketch_overhead", **measure()}))
