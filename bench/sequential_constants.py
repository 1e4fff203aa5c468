"""The constants of the linear boundary in `lastbit.stats.sequential`, by simulation.

    python bench/sequential_constants.py [--replications 1000000] [--seed 20261]

Under no difference, "real" is said when at any look p <= c f, so c is a quantile over replications of the smallest p/f:
the 4.7% one, which leaves skewed noise some room; for c10, of "no difference", the 9.4% one. One series of looks gives
the constants of every N_max, which only scales f. Normal runs, one arm with twice the standard deviation of the other:
calibrated there, the level of arms that spread alike is lower. After every run it matters which arm is ahead; the
smaller of both constants counts.

It prints the table as it stands in the module. Minutes.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import special

from lastbit.stats.welch import welch_df

LEAST, MOST, CHUNK = 5, 30, 50_000

LEVELS = 0.047, 0.094


def moments(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (looks, replications) means and variances of the first n runs, n from 1."""
    n = np.arange(1, len(runs) + 1)[:, None]
    mean = np.cumsum(runs, axis=0) / n
    return mean, (np.cumsum(runs**2, axis=0) - n * mean**2) / np.maximum(n - 1, 1)


def smallest(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each N the smallest p (1/n_A + 1/n_B) up to there, of looks after pairs and after runs."""
    (mean_a, var_a), (mean_b, var_b) = moments(a), moments(b)
    low = {"pairs": np.full(a.shape[1], np.inf), "runs": np.full(a.shape[1], np.inf)}
    found: dict[str, list[np.ndarray]] = {"pairs": [], "runs": []}
    for n_a, n_b in [look for n in range(2, MOST + 1) for look in ([(n, n - 1)] if n > 2 else []) + [(n, n)]]:
        squares = var_a[n_a - 1] / n_a, var_b[n_b - 1] / n_b
        t = np.abs(mean_a[n_a - 1] - mean_b[n_b - 1]) / np.sqrt(squares[0] + squares[1])
        ratio = 2 * special.stdtr(welch_df(*squares, n_a, n_b), -t) * (1 / n_a + 1 / n_b)
        for looks in ("runs", "pairs") if n_a == n_b else ("runs",):
            low[looks] = np.minimum(low[looks], ratio)
        if n_a == n_b >= LEAST:
            for looks in found:
                found[looks].append(low[looks] * n_a / 2)
    return {looks: np.asarray(each) for looks, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replications", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20261)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    constants = []
    for scale in ((1.0, 2.0), (2.0, 1.0)):
        chunks = [
            smallest(*(each * rng.standard_normal((MOST, CHUNK)) for each in scale))
            for _ in range(max(options.replications // CHUNK, 1))
        ]
        constants.append(
            {
                looks: np.quantile(np.concatenate([chunk[looks] for chunk in chunks], axis=1), LEVELS, axis=1)
                for looks in ("pairs", "runs")
            }
        )
    for looks in ("pairs", "runs"):
        for name, row in zip(("c", "c10"), np.minimum(constants[0][looks], constants[1][looks]), strict=True):
            print(looks, name, ", ".join(f"{value:.4f}" for value in row))


if __name__ == "__main__":
    main()
