"""Studies of the PDE that gradient descent discretises: what is stable, what a flow does, and where its window ends.

Each returns a result with `sentence` (the answer), `table`, `to_json()` and `plot(path)`.
"""

from lastbit.studies.pde.complexity import ComplexityStudy, pde_complexity
from lastbit.studies.pde.deep import DeepStability, pde_deep
from lastbit.studies.pde.deep_setting import DeepSetting
from lastbit.studies.pde.figures import check_figure_path
from lastbit.studies.pde.phase import PhaseStudy, pde_phase
from lastbit.studies.pde.setting import CnnSetting
from lastbit.studies.pde.simulate import FlowStudy, pde_simulate
from lastbit.studies.pde.stability import CnnStability, LinearStability, pde_stability
from lastbit.studies.pde.window import WindowStudy, pde_window

__all__ = [
    "CnnSetting",
    "CnnStability",
    "ComplexityStudy",
    "DeepSetting",
    "DeepStability",
    "FlowStudy",
    "LinearStability",
    "PhaseStudy",
    "WindowStudy",
    "check_figure_path",
    "pde_complexity",
    "pde_deep",
    "pde_phase",
    "pde_simulate",
    "pde_stability",
    "pde_window",
]
