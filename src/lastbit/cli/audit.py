"""`lastbit audit`: is my result noise?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lastbit.cli.output import announce_paths, check_writable, write_json
from lastbit.studies import LastbitError

__all__ = ["audit"]

_GRID, _TASK, _OUTPUT = "The grid", "The training", "Output"


def _option(help: str, panel: str) -> Any:
    return typer.Option(help=help, rich_help_panel=panel, show_default=False)


def audit(
    study: Annotated[
        Path | None, typer.Argument(help="TOML study file with the same names as the flags; flags win over it.")
    ] = None,
    task: Annotated[str | None, _option("digits (default), fashion-mnist, cifar10, FILE.py:FUNCTION.", _TASK)] = None,
    model: Annotated[str | None, _option("cnn, mlp, resnet8, resnet20, resnet56, vgg11.", _TASK)] = None,
    optimizer: Annotated[str | None, _option("sgd, adam, adamw, rmsprop.", _TASK)] = None,
    lr: Annotated[float | None, _option("Learning rate at the start.", _TASK)] = None,
    momentum: Annotated[float | None, _option("Momentum of sgd and rmsprop.", _TASK)] = None,
    nesterov: Annotated[bool | None, _option("Nesterov's form of momentum.", _TASK)] = None,
    weight_decay: Annotated[float | None, _option("Weight decay.", _TASK)] = None,
    schedule: Annotated[str | None, _option("constant, linear, cosine, step.", _TASK)] = None,
    epochs: Annotated[int | None, _option("Passes over the training data.", _TASK)] = None,
    batch_size: Annotated[int | None, _option("Samples per step.", _TASK)] = None,
    train_size: Annotated[int | None, _option("Training samples to keep.", _TASK)] = None,
    norm: Annotated[str | None, _option("batch, group, none.", _TASK)] = None,
    activation: Annotated[str | None, _option("relu, swish, tanh.", _TASK)] = None,
    width: Annotated[int | None, _option("Channels of the first layer.", _TASK)] = None,
    augment: Annotated[str | None, _option("none, crop, flip, crop-flip.", _TASK)] = None,
    data_root: Annotated[str | None, _option("Folder with the data set's files.", _TASK)] = None,
    seeds: Annotated[int | None, _option("Seeds (6).", _GRID)] = None,
    perturbations: Annotated[int | None, _option("Runs per seed, the unperturbed one included (6).", _GRID)] = None,
    perturb: Annotated[str | None, _option("rescale (default), ulp, rounding, reorder.", _GRID)] = None,
    vary: Annotated[str | None, _option("What a seed changes: all (default), order, init, augment.", _GRID)] = None,
    dtype: Annotated[str | None, _option("float32 (default), float64, bfloat16.", _GRID)] = None,
    device: Annotated[str | None, _option("auto (default), cpu, cuda, cuda:N.", _GRID)] = None,
    workers: Annotated[int | None, _option("Processes; 1 stays in this one; measured by default.", _GRID)] = None,
    out: Annotated[Path | None, _option("New folder of the study (lastbit-studies/audit-TASK-NNN).", _OUTPUT)] = None,
    resume: Annotated[Path | None, _option("Go on with the study in this folder.", _OUTPUT)] = None,
    json: Annotated[Path | None, _option("Write the whole result to this file too.", _OUTPUT)] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.", rich_help_panel=_OUTPUT)] = False,
) -> int:  # fmt: skip
    """Is my result noise? Last-bit spread against seed spread, with intervals and a verdict.

    Trains a grid of seeds by last-bit perturbations, with one exact repeat per seed as control.

    With no options: a small network on handwritten digits, in about two minutes.
    """
    settings = dict(locals())
    own = {name: settings.pop(name) for name in ("study", "out", "resume", "json", "quiet", "workers")}
    if own["json"] is not None:
        check_writable(own["json"])

    from lastbit import studies

    chosen = {name: value for name, value in settings.items() if value is not None}
    if own["study"] is not None:
        from_file = studies.read_study_file(own["study"])
        for name in ("workers", "out"):
            given = from_file.pop(name, None)
            own[name] = own[name] if own[name] is not None else given
        chosen = {**from_file, **chosen}
    if own["workers"] is not None and not isinstance(own["workers"], int):
        raise LastbitError(f"workers = {own['workers']!r}: give a whole number of processes")
    audited = studies.audit(
        chosen.pop("task", None), out=own["out"], resume=own["resume"], workers=own["workers"], quiet=quiet, **chosen
    )

    from lastbit.report import render_report

    if quiet:
        print(audited.verdict)
    else:
        audited.print_summary()
    paths = {"report": render_report(audited.path)}
    if own["json"] is not None:
        paths["JSON"] = write_json(own["json"], audited.result)
    if not quiet:
        announce_paths(paths)
    return 0 if audited.passed else 3
