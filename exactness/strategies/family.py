"""A certificate inside ``@given``, without selection by shrinking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import hypothesis
import msgspec

from ..certificate import Certificate, Verdict
from ..claim import Sample
from ..errors import BadInput
from ..evidence.base import Battery
from ..judging.certify import certify
from ..laws.base import Law
from ..plan import Plan
from ..seeds import sampler_seed

# Draws that tell one example from another.
_FEW = 16


class Family:
    """Certificates inside ``@given``: each example judged once, all of them one family with one alpha.

    Left alone, Hypothesis breaks an error rate twice. Nothing tells the plan how many examples there are, and a profile may change
    it. And when one fails it is shrunk: variants are judged, hundreds if need be, until a simpler one fails too. A sampler that is
    wrong somewhere is then blamed where it is right, for among so many verdicts on examples where it is right some are false, and
    those are what is searched for, kept, shown, and tried first in the next run.

    Here at most ``examples`` times ``tests`` certificates are made, ever, and alpha is shared by as many (``plan.claims``). The
    probability that any example is refuted for which the sampler is exact is then at most alpha, whichever examples Hypothesis
    picks and in whatever order, by the union bound, which asks for no independence between them. What it does ask for is kept:

    * No example is judged twice on different draws: all randomness follows from ``seed`` and from the law of the example, so an
      example gives the same verdict again, elsewhere, and by itself. Do not draw seeds with a strategy: a search over seeds is a
      search for a false alarm.
    * An example seen before (the same law, and the same small first sample under it) is answered from memory. So the replay of a
      failure is that failure, and a second run of the test costs nothing.
    * No certificate more than was said: one more is an error; after a failure it is an example that Hypothesis is told to forget,
      so that shrinking, where it is switched on, ends with the simplest failure that the budget bought.

    ``settings`` asks Hypothesis for what fits: ``examples`` of them, generated only, the same ones each time. Explicit ``@example``
    are therefore left out: judge such cases in tests of their own. The bound on alpha does not depend on it.

    In a pytest session with the fixture ``certify``, the alpha of a family is one more, beside the session's and not within it.

    Args:
        examples: at most so many of each test.
        plan: its ``claims`` are multiplied by examples and tests; ``Plan()`` if left out.
        tests: how many tests (functions, parametrisations) use this family.
        seed: root of all randomness.

    >>> import exactness as ex
    >>> from hypothesis import given
    >>> from exactness.strategies import mixtures
    >>> family = Family(examples=3, plan=ex.Plan(tolerance=0.2, max_paths=2_000))
    >>> @family.settings
    ... @given(mixture=mixtures(dim=1, components=2))
    ... def test_mixtures_sample_themselves(mixture):
    ...     family.certify(mixture.sample, mixture)
    >>> test_mixtures_sample_themselves()
    >>> [certificate.verdict.value for certificate in family.certificates]
    ['certified', 'certified', 'certified']
    """

    def __init__(self, examples: int, plan: Plan | None = None, *, tests: int = 1, seed: int = 0) -> None:
        for label, value in (("examples", examples), ("tests", tests)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadInput(f"{label} must be a positive integer, not {value!r}")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise BadInput(f"seed must be an integer of at least 0, not {seed!r}")
        plan = plan or Plan()
        self.examples, self.most, self.seed = examples, examples * tests, seed
        self.plan = msgspec.structs.replace(plan, claims=plan.claims * self.most)
        self._judged: dict[bytes, Certificate] = {}

    @property
    def settings(self) -> hypothesis.settings:
        """The decorator of the test, above or below ``@given``."""
        return hypothesis.settings(
            max_examples=self.examples,
            phases=(hypothesis.Phase.generate,),
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=(hypothesis.HealthCheck.too_slow,),
        )

    @property
    def certificates(self) -> list[Certificate]:
        """Of every example judged so far, in order."""
        return list(self._judged.values())

    def certify(
        self, sample: Sample, law: Law, *, name: str = "example", may_be_inconclusive: bool = False, **others: Any
    ) -> Certificate:
        """As :func:`exactness.certify`, for one example; ``others``: batteries, controls, about.

        Raises:
            AssertionError: unless the certificate is CERTIFIED (or INCONCLUSIVE, where that is allowed), with its reasons.
            BadInput: for one example more than the family was made for.
        """
        if fixed := {"plan", "seed"} & others.keys():
            raise BadInput(f"the {fixed.pop()} is that of the family: Family(examples, plan, seed=...)")
        passing = {Verdict.CERTIFIED, Verdict.INCONCLUSIVE} if may_be_inconclusive else {Verdict.CERTIFIED}
        seed = sampler_seed(self.seed, json.dumps(law.describe(), sort_keys=True), 0)
        key = self._fingerprint(sample, law, name, seed, others.get("batteries"))
        if key not in self._judged:
            if len(self._judged) == self.most and any(c.verdict not in passing for c in self._judged.values()):
                hypothesis.reject()
            if len(self._judged) == self.most:
                raise BadInput(
                    f"this family shares its alpha among {self.most} certificates, and this would be one more: "
                    "use @family.settings, and say with Family(tests=...) how many tests there are"
                )
            self._judged[key] = certify(sample, law, plan=self.plan, seed=seed, name=name, **others)
        certificate = self._judged[key]
        if certificate.verdict not in passing:
            lines = [f"{name}: {certificate.verdict.value}", *certificate.reasons, certificate.verdict.remedy]
            raise AssertionError("\n".join([*lines, f"This example alone: certify(..., seed={seed}, plan={self.plan})"]))
        return certificate

    def _fingerprint(self, sample: Sample, law: Law, name: str, seed: int, batteries: Sequence[Battery] | None) -> bytes:
        """What a small sample looks like under the law: two examples that agree in this are one. Nothing is decided by it."""
        small = msgspec.structs.replace(self.plan, first_paths=_FEW, max_paths=_FEW)
        seen = certify(sample, law, plan=small, seed=seed, name=name, batteries=batteries)
        statistics = [(f.name, f.where, f.statistic) for f in seen.findings]
        invalid = seen.reasons if seen.verdict is Verdict.INVALID else []
        return msgspec.json.encode((name, seen.law, seen.probe, statistics, invalid))
