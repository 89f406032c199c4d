"""Certificates inside ``@given`` whose error rate survives the search for a failing example."""

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

# The number of draws that tell one example from another.
_FEW = 16


class Family:
    """Certificates inside ``@given``. Each example is judged once, and all of them are one family with one alpha.

    By itself, Hypothesis breaks an error rate in two ways. First, the plan does not know the number of examples, and a profile may
    change this number. Second, Hypothesis shrinks a failing example: it judges variants, sometimes hundreds, until a simpler one
    fails too. A sampler that is wrong for some example may then be refuted for an example for which it is exact. Among many
    verdicts some are false, and the search finds exactly these, keeps them, shows them, and tries them first in the next run.

    A family makes at most ``examples`` times ``tests`` certificates, and all of them share alpha (``plan.claims``). By the union
    bound, the probability that any example is refuted for which the sampler is exact is at most alpha. This holds for whichever
    examples Hypothesis picks, in any order, and needs no independence. It needs three rules, which the family keeps:

    * No example is judged twice on different draws. All randomness follows from ``seed`` and from the law of the example, so an
      example has the same verdict in every run. Do not draw seeds with a strategy: a search over seeds is a search for a false
      alarm.
    * If an example was seen before (the same law and the same small first sample), its certificate is taken from memory. The replay
      of a failure is therefore that failure, and a second run of the test costs nothing.
    * There are never more certificates than announced. One more raises an error. After a failure, Hypothesis is told to reject the
      example instead, so that shrinking, where it is switched on, ends with the simplest failure within the budget.

    ``settings`` configures Hypothesis accordingly: it generates ``examples`` examples, the same ones in every run. It leaves out
    explicit ``@example`` cases; judge them in tests of their own. The bound on alpha does not depend on these settings.

    In a pytest session with the fixture ``certify``, the alpha of a family adds to the alpha of the session.

    Args:
        examples: the largest number of examples per test.
        plan: the plan, whose ``claims`` are multiplied by examples and tests; ``Plan()`` by default.
        tests: the number of tests (functions, parametrisations) that use this family.
        seed: the root of all randomness.

    Raises:
        BadInput: if a number is not a positive integer.

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
        """The certificates of all examples judged so far, in order."""
        return list(self._judged.values())

    def certify(
        self, sample: Sample, law: Law, *, name: str = "example", may_be_inconclusive: bool = False, **others: Any
    ) -> Certificate:
        """Certify one example, as :func:`exactness.certify` does. ``others`` may be batteries, controls and about.

        Raises:
            AssertionError: with the reasons, unless the certificate is CERTIFIED (or INCONCLUSIVE, where that is allowed).
            BadInput: if there are more examples than the family was made for.
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
        """A fingerprint of a small sample under the law. Examples with the same fingerprint count as one example."""
        small = msgspec.structs.replace(self.plan, first_paths=_FEW, max_paths=_FEW)
        seen = certify(sample, law, plan=small, seed=seed, name=name, batteries=batteries)
        statistics = [(f.name, f.where, f.statistic) for f in seen.findings]
        invalid = seen.reasons if seen.verdict is Verdict.INVALID else []
        return msgspec.json.encode((name, seen.law, seen.probe, statistics, invalid))
