"""A loop of its own with the optimizer, scheduler, accumulation and clipping of accelerate."""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

set_seed(0)
accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
digits = load_digits()
images, labels = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
train = DataLoader(TensorDataset(images[:1200], labels[:1200]), batch_size=25, shuffle=True)
model = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
model, optimizer, train, scheduler = accelerator.prepare(model, optimizer, train, scheduler)
for _ in range(3):
    for inputs, targets in train:
        with accelerator.accumulate(model):
            accelerator.backward(F.cross_entropy(model(inputs), targets))
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
plain = accelerator.unwrap_model(model)
with torch.no_grad():
    loss = F.cross_entropy(plain(images[1200:]), labels[1200:])
accelerator.print(f"test_loss: {loss.item()!r}")
if accelerator.is_main_process:
    torch.save(plain.state_dict(), "model.pt")
accelerator.end_training()
