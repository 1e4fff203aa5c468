"""A gradient scaler under autocast; its first scale overflows, so that a step is skipped."""

import torch
from torch import nn

torch.manual_seed(5)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
inputs = torch.randn(32, 8)
taken = 0
for _ in range(8):
    optimizer.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = 100 * model(inputs).square().mean()
    before = model[0].weight.detach().clone()
    scaler.scale(loss.float()).backward()
    scaler.step(optimizer)
    scaler.update()
    taken += not torch.equal(before, model[0].weight)
print(f"taken: {taken}")
print(f"loss: {loss.item()!r}")
