"""A run that reports to memory, and ends where a test wants it to."""

import numpy as np
from small_trainings import CPU, bits, make_task

from lastbit.core.recorder import Recorder
from lastbit.perturb.rescale import Rescale
from lastbit.train.random_streams import streams
from lastbit.train.run import run_training


class Memory(Recorder):
    """Keeps what a run reports; ends the run at the checkpoint numbered `die_at`, before or after it is written."""

    def __init__(self, files=None, die_at=None, after=True, error=KeyboardInterrupt):
        self.files, self.die_at, self.after, self.error = files, die_at, after, error
        self.arrays_, self.count = {}, 0

    def arrays(self, arrays):
        self.arrays_ = dict(arrays)

    def save_checkpoint(self, tensors, facts):
        self.count += 1
        if self.count == self.die_at and not self.after:
            raise self.error
        if self.files:
            self.files.save_checkpoint(tensors, facts)
        if self.count == self.die_at:
            raise self.error

    def load_checkpoint(self):
        return self.files.load_checkpoint() if self.files else None


def train(task=None, perturbation=None, **options):
    recorder = options.pop("recorder", None) or Memory()
    chosen = options.pop("seed", 0)
    return run_training(
        task or make_task(), streams(chosen), perturbation or Rescale(k=3), device=CPU, recorder=recorder, **options
    ), recorder


def result(outcome, recorder):
    """Everything a run says except its time, bit for bit."""
    arrays = {name: (array.dtype.str, array.shape, bits(array)) for name, array in recorder.arrays_.items()}
    metrics = {name: bits(np.array(values)) for name, values in outcome.metrics.items()}
    return outcome.status, outcome.message, outcome.steps, metrics, arrays
