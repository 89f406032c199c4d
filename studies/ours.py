"""Our own test as the comparisons run it: a certificate of one stage, of draws that may come part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from exactness import Plan
from exactness.batteries import Battery, standard
from exactness.certificate import Finding
from exactness.judging.judgement import adjust, findings_of
from exactness.laws.base import Law

ONE_STAGE = Plan(first_paths=1_000, max_paths=1_000)
"""Its numbers of paths do not matter: they only say that there is one stage to adjust for."""


def applying(law: Law) -> list[Battery]:
    """The standard batteries that apply to a law."""
    return [battery for battery in standard() if battery.applies(law)]


class OneStage:
    """Evidence of some batteries; all their tests are Holm-adjusted together."""

    def __init__(self, law: Law, batteries: Sequence[Battery], seed: int) -> None:
        self.evidence = [battery.start(law, np.random.default_rng(seed)) for battery in batteries]

    def update(self, draws: Any) -> None:
        for one in self.evidence:
            one.update(draws)

    def smallest_p(self) -> float:
        """The adjusted p-value alone, without the bounds that a finding holds: this is what the power study times."""
        return min(adjust([result.p_value for one in self.evidence for result in one.results()], ONE_STAGE))

    def leading(self) -> Finding:
        """The finding with the smallest adjusted p-value; raises `InvalidSample` where a statistic is not finite."""
        return findings_of(self.evidence, ONE_STAGE)[0]
