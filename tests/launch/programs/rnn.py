"""A recurrent network on sequences of several lengths, its gradients clipped."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 10, num_layers=2, batch_first=True, dropout=0.1)
        self.out = nn.Linear(10, 1)

    def forward(self, sequences, lengths):
        packed = pack_padded_sequence(sequences, lengths, batch_first=True, enforce_sorted=False)
        return self.out(self.lstm(packed)[1][0][-1])


torch.manual_seed(14)
model = Counter()
optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=60)
for _ in range(60):
    sequences, lengths = torch.randn(16, 9, 3), torch.randint(3, 10, (16,))
    wanted = torch.stack([one[:n, 0].sum() for one, n in zip(sequences, lengths, strict=True)])[:, None]
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(sequences, lengths), wanted)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    scheduler.step()
print(f"loss: {loss.item()!r}")
