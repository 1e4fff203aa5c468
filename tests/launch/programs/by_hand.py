"""Updates its weights by hand."""

import torch

weight = torch.ones(3)
weight -= 0.1
print(f"sum: {weight.sum().item()!r}")
