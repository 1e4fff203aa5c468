"""Four fits by two processes of Lightning's DDP; each process prints a digest of its weights after each."""

import hashlib
import sys
from pathlib import Path

import torch
from lightning_trainings import Regression, examples, fit, optimizer_of, weights

import lastbit as lb
from lastbit.integrations.lightning import PerturbCallback, StabilityCallback, TwinCallback

FOLDER = Path(sys.argv[1])
DDP = {"devices": 2, "strategy": "ddp"}


def attached(parameters):
    optimizer = optimizer_of(parameters)
    lb.perturb_optimizer(optimizer, "rounding", seed=1)
    return optimizer


watch = StabilityCallback(torch.nn.functional.mse_loss, examples(), every=2, budget=None)
FITS = {
    "plain": ([watch, TwinCallback(FOLDER / "plain.npz")], Regression()),
    "attached": ([], Regression(attached)),
    "perturbed": ([PerturbCallback("rounding", seed=1), TwinCallback(FOLDER / "perturbed.npz")], Regression()),
    "four": ([PerturbCallback(k=4)], Regression()),
}
for name, (callbacks, module) in FITS.items():
    fit(FOLDER, *callbacks, module=module, **DDP)
    digest = hashlib.blake2b(torch.cat([one.reshape(-1) for one in weights(module)]).numpy().tobytes()).hexdigest()[:8]
    told = {name: round(float(value), 3) for name, value in module.trainer.callback_metrics.items()}
    (FOLDER / f"{name}-{module.trainer.global_rank}.txt").write_text(f"{digest} {sorted(told)}")
