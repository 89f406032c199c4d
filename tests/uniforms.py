"""What exact draws of a law must turn into: independent uniforms."""

from __future__ import annotations

import numpy as np
from scipy import stats

from exactness.laws.rosenblatt import uniforms_of

ALPHA = 1e-7


def smallest_p(law, draws):
    """The smallest p-value over the uniforms (Kolmogorov) and their pairs (correlation of normal scores), times their number.

    Zero if a draw is impossible.
    """
    draws = np.asarray(draws, dtype=np.float64).reshape(len(draws), *law.event_shape)
    if getattr(law, "limited", False) and not law.inside(draws).all():
        return 0.0
    u = uniforms_of(law)(draws)
    found = [stats.kstest(column, "uniform").pvalue for column in u.T]
    if u.shape[1] > 1:
        scores = stats.norm.ppf(np.clip(u, 1e-12, 1.0 - 1e-12))
        i, j = np.triu_indices(u.shape[1], 1)
        found += list(2.0 * stats.norm.sf(np.abs(np.corrcoef(scores.T)[i, j]) * np.sqrt(len(u))))
    return min(found) * len(found)
