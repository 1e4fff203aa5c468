"""Callbacks for the `Trainer` of transformers: perturb its optimizer, watch its stability, sketch its weights.

The Trainer tells its callbacks right before and right after each step of its optimizer, but not of an error that ends a
training. So nothing is hooked: what is done to a step is done in these two events, and a training that was cut short
leaves an optimizer behind that was never touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from lastbit.core.errors import LastbitError, MissingExtraError
from lastbit.curvature.batches import LossFunction
from lastbit.integrations.trainers import Perturbing, Sketching, Watching

try:
    import accelerate  # noqa: F401
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_callback import ExportableState
except ModuleNotFoundError:
    raise MissingExtraError(__name__, "transformers and accelerate", "transformers") from None

__all__ = ["PerturbCallback", "StabilityCallback", "TwinCallback"]


class PerturbCallback(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Perturbs the last bit of every step of the optimizer.

    A checkpoint's `trainer_state.json` holds how many steps were perturbed, so that a training that is resumed from it
    has the bits of one that was never interrupted. The processes of data-parallel training perturb alike.

    Args:
        perturb: `"auto"`, `"rescale"`, `"rounding"` or `"ulp"`, as of `lastbit.perturb_optimizer`.
        index: 0, 1, 2, ... for the perturbation that a study gives to its twin of that number, 0 being none.
        **parameters: as of `lastbit.perturb_optimizer` (`k`, `seed`); beside an index `seed` alone.

    Raises:
        LastbitError: no such perturbation, or parameters that it does not take; when the training begins, an optimizer
            that it cannot perturb, or one of DeepSpeed.
    """

    def __init__(self, perturb: str = "auto", *, index: int | None = None, **parameters: Any) -> None:
        self._perturbing = Perturbing(perturb, index, parameters)
        self._args = {"perturb": perturb, "index": index, **parameters}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Look at the optimizer, and go on from a checkpoint where there is one."""
        if args.deepspeed:
            raise LastbitError(
                "DeepSpeed steps inside backward, where the Trainer calls nobody: train inside `with "
                "lastbit.perturbed(k=3):` instead"
            )
        self._perturbing.resume(self._kept(state))
        # The Trainer saves no callback that it does not know from the checkpoint: it fails on it.
        state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        self._perturbing.begin([_raw(told["optimizer"])])
        self._perturbing.unhook()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Look at the weights before the step."""
        self._perturbing.before()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Perturb the step, unless a gradient scaler skipped it."""
        if not _skipped(told["optimizer"]):
            self._perturbing.after()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Let go of the optimizer."""
        self._perturbing.end()

    def state(self) -> dict[str, Any]:
        """Return what the Trainer keeps of this in a checkpoint."""
        return {"args": self._args, "attributes": {"steps": self._perturbing.steps}}

    def _kept(self, state: TrainerState) -> list[int]:
        """Return the steps that a checkpoint says, none where the training is new or the checkpoint is another's."""
        if state.global_step == 0:
            return []
        kept = state.stateful_callbacks.get(type(self).__name__, [])
        every = kept if isinstance(kept, list) else [kept]
        # Several of them are told apart by what they were made with; the last is the latest.
        mine = [one["attributes"]["steps"] for one in every if one["args"] == self._args]
        return mine[-1] if mine else []


class StabilityCallback(TrainerCallback):  # type: ignore[misc]
    """Measures how the learning rate stands to the largest stable one, and logs it.

    What is logged, through `trainer.log` and so into `trainer.state.log_history` too: `lastbit/ratio` (above 1 the
    sharpest direction grows), `lastbit/sharpness` and `lastbit/limit`, those of them that are finite. The first process
    measures for all; no bit of the training changes. An error of a measurement ends the measuring with a warning, never
    the training.

    Args:
        trainer: whose training is measured: `trainer.add_callback(StabilityCallback(trainer, ...))`.
        loss_fn: `loss_fn(outputs, targets)`, or a `lastbit.curvature.ModelLoss`, which is called with the model itself.
        probe_batch: the fixed batch that curvature is measured on.
        prefix: of the logged names.
        **options: `every`, `budget`, `tol`, `growing`, `per_layer`, `micro_batch`, `reduction` of
            `lastbit.StabilityMonitor`.

    Raises:
        LastbitError: one of them cannot be used.
    """

    def __init__(
        self, trainer: Trainer, loss_fn: LossFunction, probe_batch: Any, *, prefix: str = "lastbit/", **options: Any
    ) -> None:
        if not isinstance(trainer, Trainer):
            raise LastbitError(
                f"trainer is a {type(trainer).__name__}: once there is a Trainer, write "
                "trainer.add_callback(StabilityCallback(trainer, loss_fn, probe_batch))"
            )
        self._trainer = trainer
        self._watching = Watching(loss_fn, probe_batch, prefix, options)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Look at the model for the first time."""
        self._watching.steps = state.global_step
        if state.is_world_process_zero:
            self._watching.begin(told["model"], _raw(told["optimizer"]), whole=_whole(args), processes=args.world_size)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Measure where that is due, unless a gradient scaler skipped the step."""
        if not _skipped(told["optimizer"]):
            self._watching.step()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Log what was measured in the step."""
        if numbers := self._watching.news():
            # Logging says that it is done, which it is not of what the Trainer is about to log itself.
            due = control.should_log
            self._trainer.log(numbers)
            control.should_log = due

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Measure the end of a training that was too short for a measurement to be due."""
        if not args.load_best_model_at_end:  # else these are the weights of another step
            self._watching.end()
            self.on_step_end(args, state, control)


class TwinCallback(TrainerCallback):  # type: ignore[misc]
    """Keeps sketches of the weights in a file, so that two trainings can be compared by `lastbit.compare_sketches`.

    One before the first step, one after the last, and between them every step below 64, fewer later on (half as many
    for each doubling, on an even grid of at most 512); see `lastbit.dynamics.sketch`. A training that is resumed from a
    checkpoint goes on with its file. The first process writes. An error ends the keeping with a warning, never the
    training. Where an error ends the training itself, the sketches of its last half minute are lost.

    Args:
        path: the file, `.npz`, in a folder that is there.
        every: steps between two sketches.

    Raises:
        LastbitError: one of them cannot be used; when a new training begins, the file is there already.
    """

    def __init__(self, path: str | Path, *, every: int = 1) -> None:
        self._sketching = Sketching(path, every)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any
    ) -> None:
        """Keep the weights that the training begins with."""
        if state.is_world_process_zero:
            at = state.global_step
            self._sketching.begin(told["model"], at, resumed=at > 0, whole=_whole(args))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Keep the weights where a sketch is due."""
        if state.is_world_process_zero:
            self._sketching.take(told["model"], state.global_step, last=state.global_step >= state.max_steps)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Write what there is, for a training that is resumed from here."""
        if state.is_world_process_zero:
            self._sketching.save()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Keep the weights that the training ends with."""
        if state.is_world_process_zero and not args.load_best_model_at_end:  # else they are those of another step
            self._sketching.take(told["model"], state.global_step, last=True)
        elif state.is_world_process_zero:
            self._sketching.save()


def _raw(optimizer: Any) -> Optimizer:
    """Return the optimizer inside accelerate's wrappers."""
    while (inner := getattr(optimizer, "optimizer", None)) is not None:
        optimizer = inner
    return optimizer  # type: ignore[no-any-return]


def _skipped(optimizer: Any) -> bool:
    return bool(getattr(optimizer, "step_was_skipped", False))


def _whole(args: TrainingArguments) -> bool:
    """Tell whether each process holds all weights by itself."""
    return args.world_size == 1 or not (args.fsdp or args.deepspeed)
