"""Changes that calm a training, one call each, for a loop of one's own: `lb.remedies`."""

from lastbit.studies.remedy.averaging import Average, ema
from lastbit.studies.remedy.smoothing import functional_relus, smooth
from lastbit.studies.remedy.step_limits import StepLimit, step_limit

__all__ = ["Average", "StepLimit", "ema", "functional_relus", "smooth", "step_limit"]
