"""The base class of tests: one number is compared with its null distribution."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar, Literal

# The accuracy of log n.
_STEP = 1e-12

Validity = Literal["exact", "bound", "asymptotic"]


class Null(ABC):
    """A test that compares one number with its null distribution, the distribution that it has under the law.

    ``n`` counts the values that are independent if the law is right. ``paths`` counts the draws, which are independent in any
    case. ``alpha`` and ``miss`` are the two error probabilities: of refuting the truth, and of not refuting the effect.

    To add a test, write a frozen dataclass whose fields are all that its formulas need, and list it in ``nulls.ALL``. The fields
    have JSON types, because a certificate records them so that the test can be computed again. ``validity`` says whether p-values
    are exact, a bound that holds at every n, or asymptotic.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    validity: ClassVar[Validity]
    of_dependence: ClassVar[bool] = False
    """Whether the test looks at how draws depend on each other, rather than at the law of one draw."""

    too_far: ClassVar[str] = ""
    """What to say if the observed effect itself exceeds the tolerance, where that is no refutation. Empty if more draws decide."""

    @property
    def reach(self) -> float:
        """The smallest p-value that the test may claim, because its null distribution is not known further out."""
        return 0.0

    @abstractmethod
    def p_value(self, statistic: float, n: int) -> float:
        """The probability, under the law, of a statistic at least as extreme as this one."""

    def p_over_rows(self, statistic: float, n: int, rows: int) -> float:
        """The p-value of the most extreme of ``rows`` statistics (Bonferroni)."""
        return min(1.0, rows * self.p_value(statistic, n))

    def effect(self, statistic: float) -> float:
        """The statistic as an effect in ``unit``, which is 0 if the law is right."""
        return statistic

    @abstractmethod
    def detectable(self, n: float, alpha: float, miss: float) -> float:
        """The smallest effect that a level-``alpha`` test refutes with probability 1 - ``miss``, if values stay independent.

        It is infinite if no effect can be refuted, because alpha is beyond the test's reach.
        """

    def needed(self, effect: float, alpha: float, miss: float) -> float:
        """The n at which ``detectable`` is ``effect``. It is not rounded, so that the two functions invert each other.

        It is 1 if one value is enough, and infinite if e^60 values are not. If ``detectable`` jumps over the effect, it is the n
        just after the jump.
        """
        from scipy.optimize import brentq  # slow to import, and only planning needs it

        # The arc tangent makes infinity a number, and hardly changes small numbers.
        gap = lambda log_n: math.atan(self.detectable(math.exp(log_n), alpha, miss) - effect)  # noqa: E731
        if gap(60.0) > 0.0:
            return math.inf
        if gap(0.0) <= 0.0:
            return 1.0
        found = brentq(gap, 0.0, 60.0, xtol=_STEP, rtol=1e-14, maxiter=1_000)
        leaps = not math.isfinite(self.detectable(math.exp(found), alpha, miss))
        return math.exp(found + 2.0 * _STEP if leaps else found)

    def bound(self, statistic: float, paths: int, error: float) -> float | None:
        """An upper confidence bound on the effect at level 1 - ``error``, whatever the sampler does. None if no bound is known."""
        return None

    def paths_for_bound(self, tolerance: float, error: float) -> float:
        """The draws after which the bound of an exact sampler is within the tolerance. Infinite if no number is enough."""
        return math.inf

    def parameters(self) -> dict[str, Any]:
        """The parameters that, together with the name, make this test again. They have JSON types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}  # type: ignore[call-overload]
