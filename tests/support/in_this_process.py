"""A command that trains in this process: what it prints, writes and records is real, but no Python starts."""

import time
from collections.abc import Callable

import torch

from lastbit.launch.command import ended_run
from lastbit.launch.everywhere import Everywhere
from lastbit.launch.record import Recorder


def trained(seed: int, steps: int = 20, width: int = 8) -> float:
    """Train a small network and return its last loss."""
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.nn.Parameter(torch.randn(6, width, generator=generator)), torch.nn.Parameter(torch.ones(width))]
    inputs = torch.randn(32, 6, generator=generator)
    optimizer = torch.optim.Adam(weights, lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = ((inputs @ weights[0]).tanh() @ weights[1] - inputs.sin().sum(1)).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


class InThisProcess:
    """Stands in for `run_command`, and counts what it was asked to run.

    Args:
        said: what the program prints, of its last loss; it may write files in its working directory too.
    """

    def __init__(self, said: Callable[[float], str]) -> None:
        self.said = said
        self.ran: list[list[str]] = []

    def __call__(self, words, launch):
        """Run it."""
        settings, folder = launch.settings, launch.folder
        command = settings.words(list(words))
        self.ran.append(command)
        records = folder / "records"
        records.mkdir(parents=True, exist_ok=True)
        for old in records.iterdir():
            old.unlink()
        (records / "torch").touch()
        began, recorder = time.perf_counter(), Recorder(records, 1)
        with Everywhere(settings.perturbation, on_step=recorder.step):
            loss = trained((settings.seed or 0) + (settings.reseed or 0))
        recorder.finish()
        (folder / "stdout.txt").write_text(self.said(loss))
        (folder / "stderr.txt").write_text("a warning\n")
        return ended_run(command, folder, seconds=time.perf_counter() - began)
