"""Ranks of simulation-based calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import BadInput
from .base import Law
from .discrete import DiscreteLaw
from .moves import whole


class SbcRanks(Law):
    """The law of the ranks of simulation-based calibration, if the posterior sampler is right.

    theta is drawn from the prior, data from the model, and L independent draws from the posterior given these data. The rank of a
    quantity of theta is the number of the L draws in which it is smaller. Each rank is uniform on 0, 1, ..., L. Ranks of several
    quantities in one simulation depend on each other in a way that nobody knows, so each column is judged by itself.

    :class:`exactness.JointLaw` sees more with less: it needs no ranks, no thinning and no burn-in.

    Args:
        draws: L, the number of posterior draws per simulation. Ranks are not binned, so L + 1 need not be divisible by anything.
        quantities: the names of the columns, or their number.
        name: the name of the law in certificates.

    Source: Talts et al., Validating Bayesian inference algorithms with simulation-based calibration, 2018, theorem 1.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law, plan = ex.laws.SbcRanks(draws=19), ex.Plan(tolerance=0.1)
    >>> def ranks(n, seed, width=1.0):  # theta and the draws are N(0, 1), and N(0, width^2)
    ...     rng = np.random.default_rng(seed)
    ...     return (width * rng.standard_normal((n, 19)) < rng.standard_normal((n, 1))).sum(1, keepdims=True)
    >>> ex.certify(ranks, law, plan=plan).verdict.value
    'certified'
    >>> ex.certify(lambda n, seed: ranks(n, seed, 0.7), law, plan=plan).verdict.value
    'refuted'
    """

    portable = True
    dtypes = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
    why_dtypes = "a rank is a count; break ties at random, because a midpoint is no rank and makes right samplers look wrong"

    caveat = (
        "ranks cannot show whether the posterior draws of a simulation were independent: if they were successive states of a "
        "chain, a right sampler is refuted too. Ranks of parameters alone do not see a sampler that ignores the data, so rank the "
        "log-likelihood as well. How several ranks depend on each other is not judged"
    )
    """Certificates say what the ranks do not show."""

    def __init__(self, *, draws: int, quantities: Sequence[str] | int = 1, name: str = "SBC ranks") -> None:
        self.draws, self.name = whole("draws, the number of posterior draws per simulation,", draws), name
        names = [f"quantity {i}" for i in range(whole("quantities", quantities))] if isinstance(quantities, int) else quantities
        if isinstance(names, str) or not names or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
            raise BadInput("quantities must be a list of different names, one per column of the ranks, or their number")
        self.quantities = tuple(names)
        rank = DiscreteLaw(np.full(self.draws + 1, 1.0 / (self.draws + 1)), name="rank")
        self.margins = dict.fromkeys(self.quantities, rank)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (len(self.quantities),)

    @property
    def output_law(self) -> Law | None:
        """None: only the law of each column is known."""
        return None

    def describe(self) -> dict[str, object]:
        return {"kind": "SbcRanks", "name": self.name, "draws": self.draws, "quantities": list(self.quantities)}

    def place(self, index: tuple[int, ...]) -> str:
        return f"simulation {index[0]}, {self.quantities[index[-1]]}"
