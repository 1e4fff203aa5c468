"""The changes of how a program is run that can confirm a cause."""

from __future__ import annotations

from lastbit.studies.doctor.diagnosis import Intervention

__all__ = [
    "ADDRESSES",
    "CLOCK",
    "DETERMINISTIC",
    "ENTROPY",
    "FILES",
    "FOLDERS",
    "HASH",
    "MEMORY",
    "NAMES",
    "NUMPY",
    "ORDER",
    "PROCESS",
    "RANDOM",
    "THREADS",
    "TORCH",
    "WORKERS",
]

TORCH = Intervention("seed-torch", "seed torch's generator at the start", changes={"seed": ("torch",)})
NUMPY = Intervention("seed-numpy", "seed NumPy's global generator at the start", changes={"seed": ("numpy",)})
RANDOM = Intervention("seed-random", "seed Python's random at the start", changes={"seed": ("random",)})
ENTROPY = Intervention("fix-entropy", "answer every request for entropy with fixed bytes", changes={"entropy": "fixed"})
CLOCK = Intervention("fix-clock", "let every clock tell the same times", changes={"clock": "fixed"})
PROCESS = Intervention("fix-process", "give the process the same number", changes={"process": "fixed"})
FOLDERS = Intervention("sort-folders", "list every folder in sorted order", changes={"folders": "sorted"})
FILES = Intervention(
    "fresh-files", "start each run with the files that the first one found", changes={"files": "fresh"}
)
HASH = Intervention("fix-hash", "set PYTHONHASHSEED=0", environment={"PYTHONHASHSEED": "0"})
ADDRESSES = Intervention(
    "number-addresses", "number objects in place of their addresses", changes={"addresses": "numbered"}
)
THREADS = Intervention("one-thread", "run with one thread", {"OMP_NUM_THREADS": "1"}, {"threads": 1})
DETERMINISTIC = Intervention("deterministic", "ask torch for deterministic operations", changes={"deterministic": True})
WORKERS = Intervention("no-workers", "load data without workers", changes={"workers": 0})
ORDER = Intervention("keep-order", "give results in the order in which they were asked for", changes={"order": "kept"})
NAMES = Intervention("count-names", "number the names that are chosen at random", changes={"names": "counted"})
MEMORY = Intervention("fill-memory", "fill what numpy.empty gives with zeros", changes={"memory": "zeros"})
