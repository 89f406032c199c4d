"""What a test is: one number against its distribution under the law, with all its faces."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar, Literal

# Between two logarithms of n.
_STEP = 1e-12

Validity = Literal["exact", "bound", "asymptotic"]


class Null(ABC):
    """A test of one number against its distribution under the law.

    ``n`` counts the values that are independent if the law is right; ``paths`` counts the draws that are independent in any
    case. ``alpha`` and ``miss`` are the two error probabilities: of refuting the truth, and of not refuting the effect.

    To add one: a frozen dataclass whose fields are all that its formulas need (JSON types: a certificate records them, so that
    it can be recomputed), listed in ``nulls.ALL``. ``validity`` says whether p-values are exact, a finite-sample bound, or
    asymptotic; ``reach`` is the smallest p-value that it may claim, beyond which nothing is known of it.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    validity: ClassVar[Validity]

    @property
    def reach(self) -> float:
        return 0.0

    @abstractmethod
    def p_value(self, statistic: float, n: int) -> float: ...

    def p_over_rows(self, statistic: float, n: int, rows: int) -> float:
        """The p-value of the most extreme of ``rows`` statistics (Bonferroni)."""
        return min(1.0, rows * self.p_value(statistic, n))

    def effect(self, statistic: float) -> float:
        """The statistic in ``unit``: 0 if it is what the law says."""
        return statistic

    @abstractmethod
    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The smallest effect that a level-``alpha`` test refutes with probability 1 - ``miss``, if values stay independent.

        Infinite if no effect would do: alpha is beyond the test's reach.
        """

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        """The n at which ``detectable`` is ``effect``. Not rounded, so that the two invert each other.

        1 if that is enough, infinite if e^60 are not; where ``detectable`` leaps over the effect, the n just after.
        """
        from scipy.optimize import brentq  # slow to import, and only planning needs it

        # The arc tangent of infinity is a number, and that of nearly nothing is nearly the same.
        gap = lambda log_n: math.atan(self.detectable(math.exp(log_n), alpha, miss) - effect)  # noqa: E731
        if gap(60.0) > 0.0:
            return math.inf
        if gap(0.0) <= 0.0:
            return 1.0
        found = brentq(gap, 0.0, 60.0, xtol=_STEP, rtol=1e-14, maxiter=1_000)
        leaps = not math.isfinite(self.detectable(math.exp(found), alpha, miss))
        return math.exp(found + 2.0 * _STEP if leaps else found)

    def bound(self, statistic: float, paths: int, error: float) -> float | None:
        """An upper confidence bound on the effect at level 1 - ``error``, whatever the sampler does; None if there is none."""
        return None

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        """Draws after which the bound of an exact sampler is within the tolerance; infinite if no number would do."""
        return math.inf

    def parameters(self) -> dict[str, Any]:
        """What makes this test again, with its name: JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}  # type: ignore[call-overload]
