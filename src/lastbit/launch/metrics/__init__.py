"""What one run of a program says of its metrics: printed, in files, in TensorBoard's or MLflow's stores.

`metric_specs` makes `MetricSpec`s of flags, `read_metric` reads one into a `MetricSeries`, `chosen` takes the value
that counts, and `found` lists what an output has, with flags. Nothing here imports
torch or runs anything of the user's.
"""

from lastbit.launch.metrics.read import read_metric
from lastbit.launch.metrics.series import MetricSeries, chosen
from lastbit.launch.metrics.spec import MetricSpec, metric_specs
from lastbit.launch.metrics.stdout import Candidate, found

__all__ = ["Candidate", "MetricSeries", "MetricSpec", "chosen", "found", "metric_specs", "read_metric"]
