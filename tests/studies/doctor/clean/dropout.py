"""Dropout and shuffling under one seed; times are printed.

cause: none
"""

import random
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

random.seed(0)
np.random.seed(0)
torch.manual_seed(0)
inputs = torch.randn(64, 6)
loader = DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=16, shuffle=True)
model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(2):
    began = time.time()
    for rows, wanted in loader:
        loss = nn.functional.mse_loss(model(rows + 0.1 * np.random.rand() * random.random()), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, loss.item(), time.time() - began)
