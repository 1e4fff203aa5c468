"""A small convolutional network on random digits, and what may be changed in how it is trained."""

import argparse
import copy
import random

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--scale", type=float, default=1.0)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--decay-biases", type=float, default=0.0)
parser.add_argument("--eps", type=float, default=1e-8)
parser.add_argument("--dropout", type=float, default=0.1)
parser.add_argument("--momentum", type=float, default=0.1)
parser.add_argument("--ema-misses", type=int, default=0)
parser.add_argument("--swap", type=int, default=0)
parser.add_argument("--extra-draw", type=int, default=0)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--late", type=int, default=0)
parser.add_argument("--width", type=int, default=6)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--optimizer", default="Adam")
parser.add_argument("--foreach", action="store_true")
parser.add_argument("--fused", action="store_true")
parser.add_argument("--fail", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
np.random.seed(1)
random.seed(2)


class Digits(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        self.inputs = torch.randn(64, 1, 8, 8, generator=generator)
        self.targets = torch.randint(0, 10, (64,), generator=generator)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, place):
        shift = 0.1 * np.random.standard_normal() + 0.1 * random.random()
        return self.inputs[place] + float(shift), self.targets[place]


model = nn.Sequential(
    nn.Conv2d(1, args.width, 3),
    nn.Conv2d(args.width, 4, 3),
    nn.BatchNorm2d(4, momentum=args.momentum),
    nn.ReLU(),
    nn.Flatten(),
    nn.Dropout(args.dropout),
    nn.Linear(64, 10),
)
average = copy.deepcopy(model)
biases = [param for name, param in model.named_parameters() if name.endswith("bias")]
weights = [param for name, param in model.named_parameters() if not name.endswith("bias")]
groups = [{"params": weights}, {"params": biases, "weight_decay": args.decay_biases}]
options = {"foreach": True} if args.foreach else {"fused": True} if args.fused else {}
if args.optimizer == "Adam":
    options["eps"] = args.eps
optimizer = getattr(torch.optim, args.optimizer)(groups, lr=1e-2, **options)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
loader = torch.utils.data.DataLoader(Digits(), batch_size=16, shuffle=True, num_workers=args.workers)
step = 0
for _ in range(args.epochs):
    for inputs, targets in loader:
        step += 1
        if step == args.swap:
            inputs[0] = inputs[1]
        if step == args.extra_draw:
            torch.rand(())
        if step == args.fail:
            raise SystemExit("no more")
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        model[1].weight.grad.mul_(args.scale)
        optimizer.step()
        if step != args.late:
            schedule.step()
        if step != args.ema_misses:
            with torch.no_grad():
                for kept, param in zip(average.parameters(), model.parameters(), strict=True):
                    kept.lerp_(param, 0.1)
