"""Traces that nobody trained: twins that grow exponentially to a level, as a recorder would have left them."""

from pathlib import Path

import numpy as np

from lastbit.core.status import Role, RunStatus
from lastbit.store import RunRecord, StudyFolder
from lastbit.studies.trace.result import conclude


def arrays_of(steps, tensors, twins, names, seed=0, rate=0.06, repeat_matches=True, classes=True):
    """Twins that grow exponentially to a level, as a recorder would have left them."""
    rng = np.random.default_rng(seed)
    count, width = len(steps), len(tensors)
    sizes = rng.integers(10, 1000, width)
    norm = np.full((count, width), 3.0)
    logs = np.minimum(-16 + rate * (steps - steps[0]), -1)[None, :, None] + 0.3 * rng.standard_normal(
        (twins + 1, count, width)
    )
    relative = np.exp(logs) * (steps > steps[0])[None, :, None]
    relative[0] = 0 if repeat_matches else 1e-7 * (steps > 4)[:, None]
    l2 = relative * norm
    whole = np.sqrt((l2**2).sum(-1))
    probe = steps[:: max(1, count // 20)]
    first = np.where(relative.any(axis=1), steps[1], -1)
    first[0] = np.where(first[0] < 0, -1, 5)
    arrays = {
        "step": steps,
        "tensor": np.array(names),
        "size": sizes,
        "l2": l2,
        "relative_l2": relative,
        "mean_relative_l1": relative,
        "max_ulp": (relative > 0).astype(np.int64),
        "cosine": np.zeros_like(l2),
        "share_differing": (relative > 0).astype(float),
        "norm": norm,
        "all_norm": np.full(count, 3 * width**0.5),
        "all_l2": whole,
        "all_relative_l2": whole / (3 * width**0.5),
        "all_mean_relative_l1": relative.mean(-1),
        "all_max_ulp": (relative > 0).any(-1).astype(np.int64),
        "all_cosine": np.zeros_like(whole),
        "all_share_differing": (relative > 0).mean(-1),
        "first_step": first,
        "loss_gap": whole * rng.standard_normal(whole.shape),
        "repeat_loss_step": np.array([] if repeat_matches else [5], dtype=np.int64),
        "probe_step": probe,
        "churn": np.full((twins + 1, len(probe)), 0.1 if classes else np.nan),
        "log_removed": np.zeros_like(whole),
        "filter_l2": relative[1, :, :1] * np.ones(6),
        "filter_norm": np.ones((count, 6)),
        "filter_tensor": np.array([names[0]] * 6),
        "filter_index": np.arange(6),
        "convolution": np.array(names[:1]),
        "element_participation": np.ones((len(probe), width)),
        "element_gini": np.zeros((len(probe), width)),
        "filter_participation": np.full((len(probe), 1), 3.0),
        "filter_gini": np.zeros((len(probe), 1)),
        "rounding_bound": 1e-6 * np.sqrt(steps - steps[0]),
        "single_rounding": np.array([1e-7]),
        "first_step_share": np.array([0.0] + [0.5] * twins),
        "label": np.array(["repeat", *(f"k = {2 * i + 3}" for i in range(twins))]),
    }
    if not classes:
        arrays["convolution"] = arrays["filter_tensor"] = np.array([], dtype=np.str_)
        arrays["filter_index"] = np.array([], dtype=np.int64)
        for name in ("filter_l2", "filter_norm", "filter_participation", "filter_gini"):
            arrays[name] = arrays[name][:, :0]
    return arrays


def write_trace(
    path: Path,
    *,
    steps=None,
    names=("conv.weight", "head.weight", "head.bias"),
    lrs=(0.3,),
    twins=3,
    name="digits",
    edit=lambda arrays: arrays,
    **more,
):
    """Write and conclude a trace without training anything; `edit` may change what its recorder left."""
    steps = np.arange(0, 401) if steps is None else steps
    cells = [
        {
            "number": number,
            "name": f"lr{lr:g}-float32",
            "program": {"lr": lr},
            "settings": {"dtype": ["float32"], "from_step": 0},
            "epochs": 4,
            "steps": int(steps[-1]),
            "cost": {"training": 1.0, "all": 2.0},
        }
        for number, lr in enumerate(lrs)
    ]
    facts = {
        "kind": "trace",
        "spec": {"settings": {"twins": twins, "perturb": "rescale", "layer": None}},
        "command": f"lastbit trace --task {name}",
        "cells": cells,
        "task": {"name": name, "settings": {"model": name}, "metric": {"name": "accuracy", "unit": "%"}},
        "environment": {"processor": name},
    }
    with StudyFolder.create(path, facts) as folder:
        for cell, lr in zip(cells, lrs, strict=True):
            rate = 0.06 * lr / lrs[0]
            arrays = arrays_of(steps, names, twins, names, cell["number"], rate, **more)
            folder.files(cell["name"]).arrays(edit(arrays))
            run = RunRecord(
                run=f"{cell['name']}-base",
                cell=cell["number"],
                role=Role.BASE,
                label=name,
                status=RunStatus.OK,
            )
            folder.add(run)
        folder.save_result(conclude(folder).to_json())
    return path
