"""An optimizer of the script's own (signs of a momentum, as Lion has), and a mean of the weights that is tested."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["mean"] = torch.zeros_like(param)
                param.add_((0.9 * state["mean"] + 0.1 * param.grad).sign(), alpha=-group["lr"])
                state["mean"].lerp_(param.grad, 0.01)


torch.manual_seed(16)
model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 1))
mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
optimizer = Signs(model.parameters(), lr=3e-3)
inputs = torch.randn(64, 6)
targets = inputs.sin().sum(1, keepdim=True)
for _ in range(60):
    optimizer.zero_grad()
    nn.functional.mse_loss(model(inputs), targets).backward()
    optimizer.step()
    mean.update_parameters(model)
print(f"loss: {nn.functional.mse_loss(mean(inputs), targets).item()!r}")
