"""Plans: error rates, tolerance and budget, fixed before anything is sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

import msgspec
import numpy as np

from .batteries.standard import chosen_batteries
from .errors import BadInput
from .evidence.base import Battery, Evidence
from .evidence.nulls import Null
from .laws.base import Law


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The error rates, the tolerance and the budget of a certificate.

    Args:
        alpha: the probability of refuting an exact sampler, over all tests, stages and claims together. Values from 1e-6 to 1e-9
            suit daily use.
        tolerance: the largest difference of probabilities that the user accepts: a Kolmogorov distance along a monitored
            direction, or a difference in the share of an event. ``CERTIFIED`` means that the upper bound of each such difference
            is within the tolerance. Bounds in other units are reported, and decide nothing.
        confidence: the probability that all these bounds hold at once.
        power: the probability with which an effect of the size that is called "detectable" would have been refuted.
        first_paths, max_paths: the number of draws after the first stage and after the last. Each stage doubles the number.
        suspicion: while the smallest adjusted p-value is below this, sampling continues even if the tolerance is met. At the end
            of the budget the verdict is then ``INCONCLUSIVE``. Looking longer costs no false alarms, because alpha is split over
            all stages that are possible.
        claims: the number of claims that share alpha. A run of many claims is one family: alpha is the probability of refuting
            any of its exact samplers.
        per_call: the number of draws in a short call. About half of the draws come in calls of this many, each with a seed of
            its own, and the rest in calls that are about half as long as the first stage. Later stages may take twice or four
            times as many draws per call. If this is left out, there are enough calls to show, with this confidence, that the
            share of seeds for which the sampler behaves differently is within the tolerance: at least 342 at a tolerance of
            0.02. If calls are dear, give a larger number. The certificate then says what share of the seeds it leaves open.
        seed_must_count: whether the same seed must give the same output. False accepts a sampler that is not reproducible, and
            the certificate says so.

    >>> from exactness import Plan
    >>> Plan(first_paths=1_000, max_paths=6_000).stages
    (1000, 2000, 4000, 6000)
    """

    alpha: float = 1e-6
    tolerance: float = 0.02
    confidence: float = 0.999
    power: float = 0.99
    first_paths: int = 1_000
    max_paths: int = 200_000
    suspicion: float = 0.001
    claims: int = 1
    per_call: int | None = None
    seed_must_count: bool = True

    def __post_init__(self) -> None:
        for name in ("alpha", "tolerance", "confidence", "power", "suspicion"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not (0.0 < float(value) < 1.0):
                raise BadInput(f"{name} must lie strictly between 0 and 1, not {value!r}")
            # NumPy numbers are accepted, but certificates are written with Python's.
            msgspec.structs.force_setattr(self, name, float(value))
        if self.alpha < 1e-100:
            raise BadInput(f"alpha must be at least 1e-100, not {self.alpha!r}: smaller p-values cannot be told apart")
        for name in ("first_paths", "max_paths", "claims", "per_call"):
            value = getattr(self, name)
            if value is None and name == "per_call":
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise BadInput(f"{name} must be a positive integer, not {value!r}")
            msgspec.structs.force_setattr(self, name, int(value))
        if not isinstance(self.seed_must_count, bool):
            raise BadInput(f"seed_must_count must be True or False, not {self.seed_must_count!r}")

    @property
    def stages(self) -> tuple[int, ...]:
        """The total number of draws after each stage."""
        sizes = [min(self.first_paths, self.max_paths)]
        while sizes[-1] < self.max_paths:
            sizes.append(min(2 * sizes[-1], self.max_paths))
        return tuple(sizes)

    @property
    def enough_calls(self) -> int:
        """The number of calls after which the share of seeds that behave otherwise is bounded by the tolerance.

        If the share is larger, all of as many calls miss these seeds with a probability below 1 - ``confidence``.

        >>> Plan(tolerance=0.02).enough_calls, Plan(tolerance=0.1).enough_calls
        (342, 66)
        """
        return math.ceil(math.log(1.0 - self.confidence) / math.log1p(-self.tolerance))

    def share_of_seeds(self, calls: int) -> float:
        """An upper bound on the share of seeds that behave otherwise, if none of this many calls did. Inverts ``enough_calls``.

        >>> round(Plan().share_of_seeds(342), 4)
        0.02
        """
        return -math.expm1(math.log(1.0 - self.confidence) / calls) if calls else 1.0

    def in_few_calls(self) -> Plan:
        """This plan with as few calls as possible. It suits a control that is wrong in the same way for every seed.

        >>> Plan().in_few_calls().per_call
        1000
        """
        return msgspec.structs.replace(self, per_call=self.stages[0])

    def with_calls(self, monitored: Sequence[tuple[Null, int]]) -> Plan:
        """This plan with the number of draws per call, if it has none yet.

        There are then enough calls (see ``enough_calls``) when an exact sampler can first be certified. ``monitored`` are the
        tests that will have bounds, with their numbers of rows.
        """
        if self.per_call is not None:
            return self
        # A bound is the observed distance plus a radius. These many draws make twice the radius as small as the tolerance, and the
        # radius falls with the root of n at best: no pass comes before a quarter of them.
        earliest = self._paths_for(self.tolerance, monitored) / 4.0
        passes = next((size for size in self.stages if size >= earliest), self.max_paths)
        return msgspec.structs.replace(self, per_call=max(1, passes // (2 * self.enough_calls)))

    def level(self, tests: int) -> float:
        """The level at which one of this many tests refutes, in one stage of one claim (the first step of Holm's procedure)."""
        return self.alpha / (len(self.stages) * tests * self.claims)

    def bound_error(self, discrepancies: int) -> float:
        """The error probability of one of this many simultaneous bounds, in one stage."""
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

        An exact sampler is then certified, except with a probability of about 1 - ``confidence`` (with one stage, at most e times
        that), in addition to ``alpha`` and ``suspicion``. The reason: a bound is the observed distance plus a radius, and the
        distance of an exact sampler exceeds this radius only with that probability.

        Args:
            tolerance: the tolerance of the plan.
            law, batteries: the law, and the batteries that monitor it: the standard batteries if left out. The sampler is not
                called; a :class:`TrustedSampler` is asked for its pilot sample.
            stages: the number of stages. Each doubles the number of draws. There are fewer stages if the first would otherwise
                have less than one draw.
            others: other fields of the plan: ``alpha``, ``confidence``, ``power``, ...

        Raises:
            BadInput: if no number of draws is enough, or no monitored difference has a bound.

        >>> import exactness as ex
        >>> law = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
        >>> plan = ex.Plan.for_tolerance(0.02, law, alpha=1e-9)
        >>> len(plan.stages), plan.max_paths < 200_000
        (5, True)
        """
        if isinstance(stages, bool) or not isinstance(stages, int) or stages < 1:
            raise BadInput(f"stages must be a positive integer, not {stages!r}")
        if stages > 40:
            raise BadInput(f"stages must be at most 40, not {stages}: each stage doubles the number of draws")
        known = {"alpha", "confidence", "power", "suspicion", "claims", "per_call", "seed_must_count"}
        if wrong := set(others) - known:
            raise BadInput(
                f"for_tolerance does not take {', '.join(sorted(wrong))}: it computes the number of draws, and takes only "
                f"{', '.join(sorted(known))} from a plan"
            )
        bounded = _monitored(law, batteries)
        draft = cls(tolerance=tolerance, first_paths=1, max_paths=1 << (stages - 1), **others)  # type: ignore[arg-type]
        needed = draft._paths_for(tolerance, bounded)
        if not math.isfinite(needed):
            raise BadInput(
                f"no number of draws bounds the monitored differences of this law within {tolerance:g}: raise the tolerance, or "
                "choose batteries whose tests have bounds"
            )
        first = math.ceil(needed / (1 << (stages - 1)))
        # If there are fewer stages than were asked for, the last one still takes no more draws than these.
        return msgspec.structs.replace(
            draft, first_paths=first, max_paths=min(first << (stages - 1), max(first, math.ceil(needed)))
        )

    def shortened(self, paths: int, law: Law, *, batteries: Sequence[Battery] | None = None) -> Plan:
        """This plan with at most ``paths`` draws, and the tolerance at which an exact sampler of this law passes with them.

        This is the inverse of :meth:`for_tolerance`. The tolerance never becomes smaller. It is rounded up to thousandths, and it
        stays as it is if no tolerance would do.

        Args:
            paths: the largest number of draws. A plan that takes no more is returned as it is.
            law, batteries: the law, and the batteries that monitor it: the standard batteries if left out.

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
        # In thousandths: a tolerance that is too small, and one that is large enough.
        small, enough = math.floor(1000 * self.tolerance), 1000
        while enough - small > 1:
            middle = (small + enough) // 2
            small, enough = (small, middle) if short._paths_for(middle / 1000, bounded) <= paths else (middle, enough)
        return short if enough == 1000 else msgspec.structs.replace(short, tolerance=enough / 1000)

    def _paths_for(self, tolerance: float, monitored: Sequence[tuple[Null, int]]) -> float:
        """The draws after which all bounds of an exact sampler are within the tolerance; infinite if no number is enough."""
        error = self.bound_error(max(1, sum(rows for _, rows in monitored)))
        return max(
            (null.paths_for_bound(tolerance, error) for null, _ in monitored if null.unit == "probability"), default=math.inf
        )


def _monitored(law: Law, batteries: Sequence[Battery] | None) -> list[tuple[Null, int]]:
    """The tests that will have bounds, with their numbers of rows, of the batteries that apply to a law."""
    if not isinstance(law, Law):
        raise BadInput(f"the law must be one of exactness.laws or your own exactness.Law; got {type(law).__name__}")
    chosen = [b for b in chosen_batteries(batteries) if b.applies(law)]
    return monitored_by([b.start(law, np.random.default_rng(0)) for b in chosen])


def monitored_by(evidence: Sequence[Evidence]) -> list[tuple[Null, int]]:
    """The tests that will have bounds, with their numbers of rows."""
    return [pair for one in evidence for pair in one.monitored()]
