"""One measurement on disk, as a Python object and as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from lastbit.core.errors import LastbitError
from lastbit.store import StudyFolder
from lastbit.studies.eos.summary import layer_table
from lastbit.studies.frame.folders import check_kind
from lastbit.studies.frame.stored import StoredStudy

__all__ = ["SharpnessStudy"]

Array = np.ndarray[Any, Any]

_BARS = " ▁▂▃▄▅▆▇█"


class SharpnessStudy(StoredStudy):
    """A measurement of sharpness on disk.

    Example:
        >>> found = SharpnessStudy(Path("lastbit-studies/sharpness-digits-001"))  # doctest: +SKIP
        >>> found.result["whole"]["ratio"]  # doctest: +SKIP
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with StudyFolder.read(path) as folder:
            check_kind(folder, "sharpness", "a measurement")
            result = folder.result()
            if result is None:
                raise LastbitError(f"{path} holds no result: measure again with lastbit sharpness")
            self.result: dict[str, Any] = result
            """What was measured, as in the JSON file."""
            self.arrays = folder.arrays("measurement")

    @property
    def passed(self) -> bool:
        """Whether the eigenvalue of the whole network is certified by its residual."""
        return bool(self.result["whole"]["converged"])

    def export(self, target: str | Path) -> Path:
        """Refuse: a single measurement has no table of runs."""
        raise LastbitError("a single measurement has no runs to export: its numbers are in result.json, see --json")

    def _render(self) -> RenderableType:
        result, whole = self.result, self.result["whole"]
        verdict, estimate = self.verdict, self.result["trace"]
        interval = f"95% interval {estimate['low']:.4g} to {estimate['high']:.4g}"
        rows = [*result["per_layer"], {**whole, "name": "(whole)"}]
        lines = [
            f"loss {result['loss']:.4g} on {result['examples']:,} training examples, gradient norm "
            f"{result['gradient_norm']:.3g}",
            f"trace {estimate['estimate']:.4g} ({interval}); smallest eigenvalue "
            f"{whole['smallest']:.3g}; {result['share_of_negative_eigenvalues']:.0%} of all below 0",
        ]
        return Group(
            Text(verdict[:1].upper() + verdict[1:], style="bold"),
            Text(result["advice"]),
            Text(""),
            layer_table(rows),
            Text(""),
            *(Text(line) for line in (*_spectrum(self.arrays, whole), "", *lines)),
        )


def _spectrum(arrays: Mapping[str, Array], whole: Mapping[str, Any], columns: int = 72) -> list[str]:
    """Return the spectral density as a line of bars: the logarithm of the share of eigenvalues in each bin."""
    nodes, weights = arrays["spectrum_nodes"].reshape(-1), arrays["spectrum_weights"].reshape(-1)
    low, high = float(nodes.min()), float(nodes.max())
    if not high > low:
        return []
    shares, _ = np.histogram(nodes, bins=columns, range=(low, high), weights=weights / len(arrays["spectrum_nodes"]))
    # Six decades from the lowest bar to the highest: a single outlying eigenvalue shows beside the bulk.
    height = np.clip((np.log10(np.maximum(shares, 1e-300)) + 6) / 6, 0, 1)
    bars = "".join(_BARS[int(np.ceil(h * (len(_BARS) - 1)))] for h in height)
    ends = f"{low:<.3g}".ljust(columns - 8) + f"{high:>8.3g}"
    return ["eigenvalues (bars: logarithm of their density over six decades)", bars, ends]
