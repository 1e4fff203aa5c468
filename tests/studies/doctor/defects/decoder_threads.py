"""Three threads decode clips ahead of the training, which takes whichever is ready.

step: any
cause: thread-order
"""

import queue
import threading

import torch
from torch import nn

torch.manual_seed(2)
torch.set_num_threads(1)
model = nn.Sequential(nn.Linear(12, 6), nn.Tanh(), nn.Linear(6, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
names, clips = queue.SimpleQueue(), queue.Queue(4)
for number in range(30):
    names.put(number)


def decode():
    while not names.empty():
        number = names.get()
        frames = torch.randn(400 + 300 * (number % 3), 12, generator=torch.Generator().manual_seed(number))
        clips.put(frames.cumsum(0).std(0))


for _ in range(3):
    threading.Thread(target=decode, daemon=True).start()
for _ in range(24):
    clip = clips.get()  # <- cause
    optimizer.zero_grad()
    (model(clip) - clip.mean()).square().sum().backward()
    optimizer.step()
