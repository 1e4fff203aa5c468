"""A variational autoencoder: noise is drawn in the network."""

import torch
from torch import nn
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.mean, self.log_variance = nn.Linear(20, 16), nn.Linear(16, 3), nn.Linear(16, 3)
        self.decoder = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 20), nn.Sigmoid())

    def forward(self, x):
        hidden = self.encoder(x).relu()
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(code), mean, log_variance


torch.manual_seed(12)
data = torch.rand(64, 20)
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(60):
    for batch in data.split(16):
        optimizer.zero_grad()
        shown, mean, log_variance = model(batch)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
        loss = F.binary_cross_entropy(shown, batch, reduction="sum") + divergence
        loss.backward()
        optimizer.step()
print(f"loss: {loss.item()!r}")
