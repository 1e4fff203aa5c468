"""Workers draw from NumPy, whose generator PyTorch seeds in each of them.

cause: none
"""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    def __len__(self):
        return 24

    def __getitem__(self, place):
        rng = np.random.default_rng(place)
        return torch.from_numpy(rng.normal(size=4) + 0.1 * np.random.rand(4)).float()


if __name__ == "__main__":
    torch.manual_seed(1)
    np.random.seed(1)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in DataLoader(Noisy(), batch_size=4, num_workers=2, shuffle=True):
        optimizer.zero_grad()
        model(batch).square().mean().backward()
        optimizer.step()
