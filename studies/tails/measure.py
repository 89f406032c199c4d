"""How far out is the chi-square limit right? The one asymptotic null, down to where simulation reaches.

    python -m studies.tails

The Mahalanobis test of characteristic functions, on exact draws of mixtures in 2, 3 and 8 dimensions and of one with a rare and
far component, each at the fewest draws at which it speaks: how often its chi-square p-value, before it is cut at the reach, is at
most 0.05, 0.01 and 0.001.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import stats

import exactness as ex
from exactness.batteries.kernels import _FACTORS, moments_of_waves
from exactness.evidence.nulls import ChiSquareLimit
from exactness.evidence.summaries import Embedding

from .page import REPORTS, table, versions, write

LEVELS = (0.05, 0.01, 0.001)


def mixtures() -> dict[str, ex.GaussianMixture]:
    generator = np.random.default_rng(0)
    three = [[1.5, 0.0, 0.0], [-1.0, 1.0, 0.5], [0.0, -1.5, 1.0]]
    return {
        "two components, d = 2": ex.GaussianMixture([0.6, 0.4], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2]),
        "three components, d = 3": ex.GaussianMixture([0.5, 0.3, 0.2], three, [0.4, 0.2, 0.3]),
        "a rare far component, d = 1": ex.GaussianMixture([0.99, 0.01], [[0.0], [1e3]], [1.0, 1.0]),
        "four components, d = 8": ex.GaussianMixture([0.4, 0.3, 0.2, 0.1], 2.0 * generator.standard_normal((4, 8)), np.ones(4)),
    }


def statistics(mixture: ex.GaussianMixture, factor: float, certificates: int, seed: int) -> tuple[np.ndarray, int, int]:
    """n |white mean|^2 of so many samples, its degrees of freedom, and n."""
    generator = np.random.default_rng(seed)
    omega = generator.standard_normal((32, mixture.dim)) / (factor * mixture.typical_distance())
    mean, covariance = moments_of_waves(mixture, omega)
    embedding = Embedding(mean, covariance, 1.0 + float(np.linalg.norm(mean)), 2.0)
    n = embedding._fewest
    found = np.empty(certificates)
    for i in range(certificates):
        angle = mixture.sample(n, int(generator.integers(1 << 31))) @ omega.T
        waves = np.concatenate([np.cos(angle).mean(0), np.sin(angle).mean(0)]) / 32**0.5
        white = (waves - mean) @ embedding._whiten
        found[i] = n * white @ white
    return found, embedding._whiten.shape[1], n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, default=1_500, help="of each law and bandwidth")
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    rows: list[tuple[object, ...]] = []
    for name, mixture in mixtures().items():
        for factor in _FACTORS:
            found, freedom, n = statistics(mixture, factor, options.certificates, len(rows))
            counts = [int((found >= stats.chi2.isf(level, freedom)).sum()) for level in LEVELS]
            cells = []
            for count in counts:
                interval = stats.binomtest(count, options.certificates).proportion_ci(0.999)
                cells.append(f"{count / options.certificates:.4f} ({interval.low:.4f} to {interval.high:.4f})")
            rows.append((name, f"{factor:g}", f"{n:,}", freedom, *cells))
    text = "# The tail of the one asymptotic test\n\n"
    text += f"Command: `python -m studies.tails`. {versions('numpy', 'scipy', 'exactness')}.\n\n"
    text += __doc__.split("\n\n")[2].strip() + f" {options.certificates:,} samples each, intervals at 99.9%.\n\n"
    null = ChiSquareLimit(1)
    text += f"The test claims no p-value below {null.smallest:g}, and none of fewer draws than n.\n\n"
    text += table(("law", "bandwidth", "n", "freedom", *(f"{level:g}" for level in LEVELS)), rows)
    print(write("tails.md", text, options.out))


if __name__ == "__main__":
    main()
