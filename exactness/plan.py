"""How sure, at which price: error rates, tolerance and budget, fixed before anything is sampled."""

from __future__ import annotations

import math

import msgspec

from .batteries.nulls import BINS
from .errors import BadInput


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The promise of a certificate.

    Args:
        alpha: probability of refuting an exact sampler, over all tests and all stages together. 1e-6 to 1e-9 for daily use.
        tolerance: the largest Kolmogorov distance (a difference of probabilities, in [0, 1]) along any monitored direction
            that the user is willing to live with. ``CERTIFIED`` means that every upper bound is below it.
        confidence: probability that all those bounds hold at once.
        power: what "detectable" means: the probability with which such an effect would have been refuted.
        first_paths, max_paths: draws of the first stage and of the last; each stage doubles the one before.
        suspicion: while the smallest adjusted p-value is below this, sampling goes on although the tolerance is met, and at
            the end of the budget the verdict is ``INCONCLUSIVE``. Looking longer costs no false alarms: alpha is split over
            all the stages that there can be.
        seed_must_count: same seed, same output. False accepts a sampler that is not reproducible; the certificate says so.
    """

    alpha: float = 1e-6
    tolerance: float = 0.02
    confidence: float = 0.999
    power: float = 0.99
    first_paths: int = 1_000
    max_paths: int = 200_000
    suspicion: float = 0.001
    seed_must_count: bool = True

    def __post_init__(self) -> None:
        for name in ("alpha", "tolerance", "confidence", "power", "suspicion"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0.0 < value < 1.0):
                raise BadInput(f"{name} must lie strictly between 0 and 1, not {value!r}")
        if self.alpha < 1e-100:
            raise BadInput(f"alpha must be at least 1e-100, not {self.alpha!r}: p-values are not told apart further out")
        for name in ("first_paths", "max_paths"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadInput(f"{name} must be a positive integer, not {value!r}")

    @property
    def stages(self) -> tuple[int, ...]:
        """Draws in all, after each stage."""
        sizes = [min(self.first_paths, self.max_paths)]
        while sizes[-1] < self.max_paths:
            sizes.append(min(2 * sizes[-1], self.max_paths))
        return tuple(sizes)

    def level(self, tests: int) -> float:
        """The level at which one of so many tests refutes in one stage, whatever the others say (Holm's first step)."""
        return self.alpha / (len(self.stages) * tests)

    def bound_error(self, discrepancies: int) -> float:
        """The error probability of one of so many simultaneous bounds, in one stage."""
        return (1.0 - self.confidence) / (len(self.stages) * discrepancies)

    def paths_for_bounds(self, discrepancies: int) -> int | None:
        """Draws after which bounds are within the tolerance if the sampler is exact; None if no number of draws would do."""
        room = self.tolerance - 1.0 / BINS
        if room <= 0.0:
            return None
        # The observed distance of n values rarely exceeds the radius that is added to it.
        log_term = math.log(2.0 / self.bound_error(discrepancies))
        return math.ceil(0.5 * log_term * (2.0 / room) ** 2)
