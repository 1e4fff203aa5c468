"""`lastbit audit`: is my result noise?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lastbit.cli import options
from lastbit.cli.output import announce_paths, check_writable, write_json
from lastbit.studies import LastbitError

__all__ = ["audit"]


def audit(
    study: Annotated[
        Path | None, typer.Argument(help="TOML study file with the same names as the flags; flags win over it.")
    ] = None,
    task: options.Task = None,
    model: options.Model = None,
    optimizer: options.Optimizer = None,
    lr: options.Lr = None,
    momentum: options.Momentum = None,
    nesterov: options.Nesterov = None,
    weight_decay: options.WeightDecay = None,
    schedule: options.Schedule = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    train_size: options.TrainSize = None,
    norm: options.Norm = None,
    activation: options.Activation = None,
    width: options.Width = None,
    augment: options.Augment = None,
    data_root: options.DataRoot = None,
    seeds: options.Seeds = None,
    perturbations: options.Perturbations = None,
    perturb: options.Perturb = None,
    vary: options.Vary = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    workers: options.Workers = None,
    out: options.Out = None,
    resume: options.Resume = None,
    json: options.Json = None,
    quiet: options.Quiet = False,
) -> int:
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
