"""The test that no draw is impossible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import Support
from ..laws.base import Law, Supported


@dataclass(frozen=True)
class Possible(Battery):
    """Counts draws that lie outside the support, by more than their rounding. A single one refutes, and the finding names it.

    Distances between distribution functions are blind to a few impossible draws. Applies to a law on an interval or a surface,
    such as :class:`exactness.UnivariateLaw` with a finite support.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.UnivariateLaw(lambda t: 1.0 - np.exp(-t), support=(0.0, np.inf), name="exponential")
    >>> def sample(n, seed):  # one draw in a thousand is negative
    ...     rng = np.random.default_rng(seed)
    ...     return (rng.exponential(size=n) * np.where(rng.random(n) < 1e-3, -1.0, 1.0))[:, None]
    >>> ex.certify(sample, law, plan=ex.Plan(tolerance=0.05)).leading.battery
    'support'
    """

    name: ClassVar[str] = "support"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Supported) and law.output_law.limited

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        output, support = law.output_law, Support()
        assert isinstance(output, Supported)

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = law.output(sample)
            outside = np.flatnonzero(~output.inside(draws))
            # The first entries are enough to recognise a draw.
            support.add(np.asarray(to_numpy(draws)).reshape(len(draws), -1)[outside, :_SHOWN], len(draws))

        return Evidence(Origin(self, law, generator), {"support": support}, update)


_SHOWN = 4
