"""lastbit: how much of a trained network's result is the last floating-point bit, and why.

Example:
    >>> import lastbit as lb
    >>> study = lb.audit("digits", seeds=6, perturbations=6)  # doctest: +SKIP
    >>> print(study.summary())  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lastbit.core.errors import LastbitError
    from lastbit.integrations.log import log
    from lastbit.launch.contexts import perturb_optimizer, perturbed
    from lastbit.studies.audit.kind import audit
    from lastbit.studies.compare.kind import compare
    from lastbit.studies.doctor.kind import doctor
    from lastbit.studies.eos.kind import eos
    from lastbit.studies.eos.monitor import StabilityMonitor
    from lastbit.studies.gate.gate import gate, gate_status
    from lastbit.studies.kinds import open_study
    from lastbit.studies.paper.run import paper, paper_report
    from lastbit.studies.pde.complexity import pde_complexity
    from lastbit.studies.pde.phase import pde_phase
    from lastbit.studies.pde.simulate import pde_simulate
    from lastbit.studies.pde.stability import pde_stability
    from lastbit.studies.pde.window import pde_window
    from lastbit.studies.remedy import remedies
    from lastbit.studies.remedy.kind import remedy
    from lastbit.studies.same.kind import same
    from lastbit.studies.sharpness.kind import sharpness
    from lastbit.studies.trace.kind import trace
    from lastbit.studies.trace.study import compare_sketches
    from lastbit.tasks import Task
    from lastbit.tasks.metric import ACCURACY, BINARY_ACCURACY, MSE, Metric
    from lastbit.tasks.padding import padded
    from lastbit.tasks.stepping import State

__version__ = "0.1.0"

_KINDS = ("audit", "compare", "doctor", "eos", "remedy", "same", "sharpness", "trace")

_PDE = ("complexity", "phase", "simulate", "stability", "window")

_HOMES = {
    "LastbitError": "lastbit.core.errors",
    "StabilityMonitor": "lastbit.studies.eos.monitor",
    "State": "lastbit.tasks.stepping",
    "Task": "lastbit.tasks",
    "compare_sketches": "lastbit.studies.trace.study",
    "log": "lastbit.integrations.log",
    "open_study": "lastbit.studies.kinds",
    "padded": "lastbit.tasks.padding",
    **dict.fromkeys(("ACCURACY", "BINARY_ACCURACY", "MSE", "Metric"), "lastbit.tasks.metric"),
    **dict.fromkeys(("gate", "gate_status"), "lastbit.studies.gate.gate"),
    **dict.fromkeys(("paper", "paper_report"), "lastbit.studies.paper.run"),
    **dict.fromkeys(("perturb_optimizer", "perturbed"), "lastbit.launch.contexts"),
    **{kind: f"lastbit.studies.{kind}.kind" for kind in _KINDS},
    **{f"pde_{kind}": f"lastbit.studies.pde.{kind}" for kind in _PDE},
}

_MODULES = {"remedies": "lastbit.studies.remedy.remedies"}

__all__ = [
    "ACCURACY",
    "BINARY_ACCURACY",
    "MSE",
    "LastbitError",
    "Metric",
    "StabilityMonitor",
    "State",
    "Task",
    "__version__",
    "audit",
    "compare",
    "compare_sketches",
    "doctor",
    "eos",
    "gate",
    "gate_status",
    "log",
    "open_study",
    "padded",
    "paper",
    "paper_report",
    "pde_complexity",
    "pde_phase",
    "pde_simulate",
    "pde_stability",
    "pde_window",
    "perturb_optimizer",
    "perturbed",
    "remedies",
    "remedy",
    "same",
    "sharpness",
    "trace",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use, so that `import lastbit` costs nothing."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'lastbit' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
