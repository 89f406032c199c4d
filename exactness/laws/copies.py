"""Several independent draws side by side, which is what samplers that move an ensemble of states claim to keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import to_numpy
from .base import Law
from .moves import drawable, whole


class Copies(Law):
    """The law of ``number`` independent draws of ``target``, one after the other in a row of number x d numbers.

    The ensemble samplers of emcee, and numpyro's AIES, ESS and SA, move many states together. Each state alone need not move as a
    Markov chain, but all of them together keep this law.

    Args:
        target: a law that can be drawn, and whose draws are rows (d,).
        number: the number of draws in a row.

    Raises:
        BadInput: if the target cannot be drawn, or its draws are no rows.

    Source: Goodman and Weare, Ensemble samplers with affine invariance, 2010, section 2.

    >>> import exactness as ex
    >>> law = Copies(ex.GaussianMixture([1.0], [[0.0, 5.0]], [1.0]), 4)
    >>> law.sample(2, seed=0).shape
    (2, 8)
    """

    def __init__(self, target: Law, number: int) -> None:
        drawable(target, "the target of an ensemble")
        self.target, self.number = target, whole("number", number)
        self.name = f"{self.number} draws of {getattr(target, 'name', type(target).__name__)}"
        self.dtypes = target.dtypes  # type: ignore[misc]
        self.why_dtypes = target.why_dtypes  # type: ignore[misc]
        if callable(getattr(target, "log_density", None)):
            self.log_density = self._log_density

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.number * self.target.event_shape[0],)

    def describe(self) -> dict[str, object]:
        return {"kind": "Copies", "number": self.number, "target": self.target.describe()}

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n rows, (n, number x d)."""
        draws: Any = self.target.sample(n * self.number, seed)  # type: ignore[attr-defined]
        return to_numpy(draws).reshape(n, -1)

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        rows = np.asarray(x).reshape(len(x) * self.number, -1)
        return np.asarray(self.target.log_density(rows)).reshape(len(x), self.number).sum(axis=1)  # type: ignore[attr-defined]
