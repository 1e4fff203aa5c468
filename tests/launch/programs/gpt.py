"""A small GPT: weight decay in groups, gradients accumulated and clipped, a learning rate that warms up and decays."""

import math

import torch
from torch import nn
from torch.nn import functional as F

TOKENS, LENGTH, WIDTH, HEADS = 17, 12, 16, 2


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attend, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH), nn.Dropout(0.1))

    def forward(self, x):
        parts = self.attend(self.first(x)).view(*x.shape[:2], 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + self.project(mixed)
        return x + self.mlp(self.second(x))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(TOKENS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens):
        return self.head(self.blocks(self.words(tokens) + self.places.weight))


torch.manual_seed(13)
text = torch.randint(TOKENS, (400,)).cumsum(0) % TOKENS
model = GPT()
decayed = [p for p in model.parameters() if p.dim() >= 2]
others = [p for p in model.parameters() if p.dim() < 2]
groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95))
for step in range(30):
    rate = 3e-3 * min((step + 1) / 5, 0.5 + 0.5 * math.cos(math.pi * step / 30))
    for group in optimizer.param_groups:
        group["lr"] = rate
    for _ in range(4):
        starts = torch.randint(len(text) - LENGTH - 1, (8,))
        chunks = torch.stack([text[start : start + LENGTH + 1] for start in starts])
        loss = F.cross_entropy(model(chunks[:, :-1]).flatten(0, 1), chunks[:, 1:].flatten()) / 4
        loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
print(f"step {step}: loss {4 * loss.item()!r}")
