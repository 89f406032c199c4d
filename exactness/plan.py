"""How sure, at which price: error rates, tolerance and budget, fixed before anything is sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import msgspec
import numpy as np

from .batteries.standard import chosen_batteries
from .errors import BadInput
from .evidence.base import Battery
from .evidence.nulls import Null
from .laws.base import Law


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The promise of a certificate.

    Args:
        alpha: probability of refuting an exact sampler, over all tests, stages and claims together. 1e-6 to 1e-9 for daily use.
        tolerance: the largest difference of probabilities (a Kolmogorov distance along a monitored direction, the share of an
            event) that the user is willing to live with. ``CERTIFIED`` means that the upper bound of each is below it; bounds
            in other units are reported, and decide nothing.
        confidence: probability that all those bounds hold at once.
        power: what "detectable" means: the probability with which such an effect would have been refuted.
        first_paths, max_paths: draws of the first stage and of the last; each stage doubles the one before.
        suspicion: while the smallest adjusted p-value is below this, sampling goes on although the tolerance is met, and at
            the end of the budget the verdict is ``INCONCLUSIVE``. Looking longer costs no false alarms: alpha is split over
            all the stages that there can be.
        claims: how many claims share alpha. A run of many claims is one family: its alpha is that of any false refutation.
        seed_must_count: same seed, same output. False accepts a sampler that is not reproducible; the certificate says so.
    """

    alpha: float = 1e-6
    tolerance: float = 0.02
    confidence: float = 0.999
    power: float = 0.99
    first_paths: int = 1_000
    max_paths: int = 200_000
    suspicion: float = 0.001
    claims: int = 1
    seed_must_count: bool = True

    def __post_init__(self) -> None:
        for name in ("alpha", "tolerance", "confidence", "power", "suspicion"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not (0.0 < float(value) < 1.0):
                raise BadInput(f"{name} must lie strictly between 0 and 1, not {value!r}")
            # Numpy's numbers are as good, but a certificate is written with Python's.
            msgspec.structs.force_setattr(self, name, float(value))
        if self.alpha < 1e-100:
            raise BadInput(f"alpha must be at least 1e-100, not {self.alpha!r}: p-values are not told apart further out")
        for name in ("first_paths", "max_paths", "claims"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise BadInput(f"{name} must be a positive integer, not {value!r}")
            msgspec.structs.force_setattr(self, name, int(value))
        if not isinstance(self.seed_must_count, bool):
            raise BadInput(f"seed_must_count must be True or False, not {self.seed_must_count!r}")

    @property
    def stages(self) -> tuple[int, ...]:
        """Draws in all, after each stage."""
        sizes = [min(self.first_paths, self.max_paths)]
        while sizes[-1] < self.max_paths:
            sizes.append(min(2 * sizes[-1], self.max_paths))
        return tuple(sizes)

    def level(self, tests: int) -> float:
        """The level at which one of so many tests refutes in one stage of one claim (Holm's first step)."""
        return self.alpha / (len(self.stages) * tests * self.claims)

    def bound_error(self, discrepancies: int) -> float:
        """The error probability of one of so many simultaneous bounds, in one stage."""
        return (1.0 - self.confidence) / (len(self.stages) * discrepancies)

    @classmethod
    def for_tolerance(
        cls,
        tolerance: float,
        law: Law,
        *,
        batteries: Sequence[Battery] | None = None,
        stages: int = 5,
        **others: object,
    ) -> Plan:
        """The plan whose last stage is just large enough for an exact sampler of this law to be certified at this tolerance.

        It then is but for a probability of about 1 - ``confidence``, with one stage of at most e times that, besides ``alpha`` and
        ``suspicion``: a bound is the observed distance and a radius, and as large as that radius the distance of an exact sampler
        is that rarely.

        Args:
            tolerance: as of the plan.
            law, batteries: what is monitored; the standard batteries if left out. Nothing is sampled from a claim; a
                :class:`TrustedSampler` is asked for its pilot.
            stages: how many looks; each doubles the draws of the one before. Fewer where the first would take less than one draw.
            others: ``alpha``, ``confidence``, ``power``, .. of the plan.

        Raises:
            BadInput: if no number of draws is enough, or nothing monitored has a bound.

        >>> import exactness as ex
        >>> law = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
        >>> plan = ex.Plan.for_tolerance(0.02, law, alpha=1e-9)
        >>> len(plan.stages), plan.max_paths < 200_000
        (5, True)
        """
        if isinstance(stages, bool) or not isinstance(stages, int) or stages < 1:
            raise BadInput(f"stages must be a positive integer, not {stages!r}")
        if stages > 40:
            raise BadInput(f"stages must be at most 40, not {stages}: each doubles the draws")
        known = {"alpha", "confidence", "power", "suspicion", "claims", "seed_must_count"}
        if wrong := set(others) - known:
            raise BadInput(f"{', '.join(sorted(wrong))}: only {', '.join(sorted(known))} may be given besides; the draws follow")
        bounded = _monitored(law, batteries)
        draft = cls(tolerance=tolerance, first_paths=1, max_paths=1 << (stages - 1), **others)  # type: ignore[arg-type]
        needed = draft._paths_for(tolerance, bounded)
        if not math.isfinite(needed):
            raise BadInput(f"no number of draws bounds what is monitored of this law within {tolerance:g}: ask for more")
        first = math.ceil(needed / (1 << (stages - 1)))
        # Fewer looks than were asked for take no more draws than these.
        return msgspec.structs.replace(
            draft, first_paths=first, max_paths=min(first << (stages - 1), max(first, math.ceil(needed)))
        )

    def shortened(self, paths: int, law: Law, *, batteries: Sequence[Battery] | None = None) -> Plan:
        """This plan with at most ``paths`` draws, and the tolerance that an exact sampler of this law can show with them.

        Args:
            paths: the most draws. A plan that takes no more is returned as it is.
            law, batteries: what is monitored, as of :meth:`for_tolerance`, whose inverse this is. The tolerance never becomes
                smaller, is rounded up to thousandths, and stays as it is where none would do.

        >>> import exactness as ex
        >>> law = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
        >>> short = ex.Plan(tolerance=0.02).shortened(2_000, law)
        >>> short.max_paths, 0.02 < short.tolerance < 0.15
        (2000, True)
        """
        if isinstance(paths, bool) or not isinstance(paths, Integral) or paths < 1:
            raise BadInput(f"paths must be a positive integer, not {paths!r}")
        if self.max_paths <= paths:
            return self
        short, bounded = msgspec.structs.replace(self, max_paths=paths), _monitored(law, batteries)
        if short._paths_for(self.tolerance, bounded) <= paths:
            return short
        # In thousandths: what is too small, and what will do.
        small, enough = math.floor(1000 * self.tolerance), 1000
        while enough - small > 1:
            middle = (small + enough) // 2
            small, enough = (small, middle) if short._paths_for(middle / 1000, bounded) <= paths else (middle, enough)
        return short if enough == 1000 else msgspec.structs.replace(short, tolerance=enough / 1000)

    def _paths_for(self, tolerance: float, monitored: Sequence[tuple[Null, int]]) -> float:
        """Draws after which all the bounds of an exact sampler are within the tolerance; infinite if no number would do."""
        error = self.bound_error(max(1, sum(rows for _, rows in monitored)))
        return max(
            (null.paths_for_bound(tolerance, error) for null, _ in monitored if null.unit == "probability"), default=math.inf
        )


def _monitored(law: Law, batteries: Sequence[Battery] | None) -> list[tuple[Null, int]]:
    """The tests with bounds, and their numbers of rows, of the batteries (the standard ones if left out) that apply to a law."""
    if not isinstance(law, Law):
        raise BadInput(f"the law must be one of exactness.laws; got {type(law).__name__}")
    chosen = [b for b in chosen_batteries(batteries) if b.applies(law)]
    return [pair for b in chosen for pair in b.start(law, np.random.default_rng(0)).monitored()]
