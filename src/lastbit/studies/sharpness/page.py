"""The page of one measurement: what each layer can bear, and the spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lastbit.report.blocks import Card, Cards, Facts, Page, Section
from lastbit.report.figures.eos_edge import Spectrum
from lastbit.report.formatting import RATIO, RATIO_DIGITS, capitalised, certified, number, percent, plural, show
from lastbit.store import StudyFolder
from lastbit.studies.eos.figures import spectrum_figure
from lastbit.studies.eos.tables import layer_table, stable_rate
from lastbit.studies.frame.page import Kinds, study_page
from lastbit.studies.sharpness.result import RUN, SharpnessResult

__all__ = ["sharpness_page"]

_KINDS: Kinds = {
    "stable": ("pass", "Within the stable step"),
    "past_limit": ("attention", "Past the stable step"),
    "not_reproducible": ("failure", "Not reproducible here"),
    "not_converged": ("attention", "Not certified"),
}

_BARS = " ▁▂▃▄▅▆▇█"


def sharpness_page(folder: StudyFolder, result: SharpnessResult) -> Page:
    """Return the page of one measurement."""
    whole, drawn = result.whole, []
    if not folder.why_unreadable(RUN):
        arrays = folder.arrays(RUN)
        spectrum = Spectrum(label="now", nodes=arrays["spectrum_nodes"], weights=arrays["spectrum_weights"])
        drawn = [spectrum_figure([spectrum], whole.limit, text=_bars(arrays), brief=True)]
    in_use = "" if whole.lr is None else f"in use: {number(whole.lr)}"
    cards = (
        (
            "Sharpness",
            certified(whole.sharpness, whole.sharpness_within),
            "as the optimizer sees it, without weight decay",
        ),
        ("Limit", number(whole.limit), f"of {result.optimizer} now"),
        (capitalised(RATIO), number(whole.ratio, RATIO_DIGITS), "above 1 the sharpest direction grows"),
        ("Stable learning rate", stable_rate(whole), in_use),
    )
    control = result.control
    repeated = "not tried" if control is None else "every bit" if control.bitwise_identical else "NO"
    measured = Facts(
        [
            ("Exact repeat of training, gradient and curvature agrees in", repeated),
            ("Loss", f"{number(result.loss)} on {plural(result.examples, 'training example')}"),
            ("Gradient norm", number(result.gradient_norm, 3)),
            ("Trace of the Hessian", str(show(result.trace, digits=4))),
            ("Smallest eigenvalue", certified(whole.smallest, whole.smallest_within, 3)),
            ("Eigenvalues below 0", percent(result.share_of_negative_eigenvalues)),
        ]
    )
    return study_page(
        folder,
        result,
        title=f"Sharpness of {result.task['name']}",
        subtitle=f"measured on {plural(result.examples, 'example')} after {plural(result.after, 'step')}, "
        f"{result.dtype}",
        kinds=_KINDS,
        sections=[
            Section(
                "The numbers", [Cards([Card(title=title, value=value, note=note) for title, value, note in cards])]
            ),
            Section("What each layer can bear", [layer_table([*result.per_layer, whole])], brief=True),
            *drawn,
            Section("What else was measured", [measured], brief=True),
        ],
    )


def _bars(arrays: Mapping[str, np.ndarray[Any, Any]], columns: int = 72) -> list[str]:
    """Return the spectral density as a line of bars: the logarithm of the share of eigenvalues in each bin."""
    nodes, weights = arrays["spectrum_nodes"].reshape(-1), arrays["spectrum_weights"].reshape(-1)
    low, high = float(nodes.min()), float(nodes.max())
    if not high > low:
        return []
    shares, _ = np.histogram(nodes, bins=columns, range=(low, high), weights=weights / len(arrays["spectrum_nodes"]))
    # Six decades from the lowest bar to the highest: a single outlying eigenvalue shows beside the bulk.
    height = np.clip((np.log10(np.maximum(shares, 1e-300)) + 6) / 6, 0, 1)
    bars = "".join(_BARS[int(np.ceil(h * (len(_BARS) - 1)))] for h in height)
    ends = number(low, 3).ljust(columns - 8) + number(high, 3).rjust(8)
    return ["eigenvalues (bars: logarithm of their density over six decades)", bars, ends]
