"""Tests of how many drafts of a window are kept, against the probability with which each draft must be kept, and of what is
emitted after them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array, namespace, normal_scores, to_numpy
from ..evidence.base import Battery, Evidence, Origin
from ..evidence.dependence import Dependence
from ..evidence.summaries import Promises, Shares, Summary, Tally
from ..laws.base import Law
from ..laws.windows import VerifiedWindow

# The largest variance of a number in [0, 1].
_MOST_VARIANCE = 0.25


@dataclass(frozen=True)
class Acceptance(Battery):
    """Tests that each draft of a window is kept with the right probability.

    Applies to :class:`exactness.VerifiedWindow`. The number tau of kept drafts must satisfy, for every step i of the window: given
    the drafts y_1..y_i, the difference 1{tau >= i} - P_i has mean zero and variance P_i (1 - P_i). There are three groups of
    tests: these differences; the differences times 2 P_i - 1, which is known given y_1..y_i, because a verifier that accepts the
    right share of drafts may accept the wrong ones; and (tau - sum_i P_i)/L, for all steps together.

    Token by token, P_i is a survival function given all drafts, so the variance of tau is known: sum_ij P_max(i,j) - P_i P_j. In
    block verification it is not known, because P_i is the probability given y_1..y_i alone. But exp is convex, so the moment
    generating function of the mean over i is at most the mean of the generating functions. Bernstein's inequality then holds with
    any number that P_i (1 - P_i) cannot exceed, and 1/4 is used.

    If the law says what is emitted after the kept drafts, its probability integral transforms are tested too: given how many
    drafts were kept, and over all windows, where the judge's own noise stands for the windows without one, so that there is a
    bound. What the residual never emits refutes at once.

    >>> import numpy as np
    >>> import exactness as ex
    >>> from exactness import batteries
    >>> law = ex.VerifiedWindow(length=2, mode="token")
    >>> def sample(n, seed, softer=1.0):
    ...     generator = np.random.default_rng(seed)
    ...     log_ratios = generator.standard_normal((n, 2))
    ...     kept = generator.random((n, 2)) < np.exp(softer * log_ratios)
    ...     tau = np.cumprod(kept, axis=1).sum(axis=1)
    ...     return np.column_stack([log_ratios, tau])
    >>> plan, chosen = ex.Plan(tolerance=0.1), [batteries.Acceptance()]
    >>> ex.certify(sample, law, plan=plan, batteries=chosen).verdict.value
    'certified'
    >>> ex.certify(lambda n, seed: sample(n, seed, 0.5), law, plan=plan, batteries=chosen).verdict.value
    'refuted'
    """

    name: ClassVar[str] = "acceptance"

    def applies(self, law: Law) -> bool:
        return isinstance(law, VerifiedWindow)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        assert isinstance(law, VerifiedWindow)
        count = law.length
        names = [f"tau >= {i}" for i in range(1, count + 1)]
        plain, weighted = (Promises(names, [1.0] * count) for _ in range(2))
        length = Promises(["all steps"], [1.0])
        # The drafts may depend on each other as they like. Given them, the lengths are independent and, token by token, known.
        dependence = Dependence(1, generator)
        emitted = _Emitted(count) if law.emits else None

        def update(sample: Array, noise: np.random.Generator) -> None:
            promised = law.promised(sample[:, :count])
            xp = namespace(promised)
            tau = xp.astype(sample[:, count], promised.dtype)
            kept = xp.stack([xp.astype(tau >= i, promised.dtype) for i in range(1, count + 1)], axis=1)
            gaps, variances, weights = kept - promised, promised * (1.0 - promised), 2.0 * promised - 1.0
            plain.add(gaps, variances)
            weighted.add(weights * gaps, weights * weights * variances)
            if emitted is not None:
                emitted.add(to_numpy(sample[:, count]), to_numpy(sample[:, -1]), noise)
            length.add((xp.sum(gaps, axis=1) / count)[:, None], _length_variance(promised, law.mode)[:, None])
            if law.mode == "token":
                dependence.add(_lengths_as_normals(to_numpy(tau), to_numpy(promised), noise), noise)

        summaries: dict[str, Summary] = {"drafts kept": plain, "drafts kept, by their probability": weighted, "length": length}
        summaries |= {} if emitted is None else emitted.summaries
        if law.mode == "token":
            summaries |= dependence.summaries()
        return Evidence(Origin(self, law, generator), summaries, update)


def _lengths_as_normals(tau: np.ndarray, promised: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """The lengths (n,) turned into N(0, 1) by their distribution, P(tau >= i) = P_i, and the judge's noise: (n, 1)."""
    at_least = np.column_stack([np.ones(len(tau)), promised, np.zeros(len(tau))])
    upper, lower = (np.take_along_axis(at_least, tau.astype(np.int64)[:, None] + i, axis=1) for i in (0, 1))
    return normal_scores(lower + noise.random((len(tau), 1)) * (upper - lower))


class _Emitted:
    """The summaries of what is emitted after 0..L kept drafts, as transforms u (n,)."""

    def __init__(self, length: int) -> None:
        self._given = Tally([f"after {i} kept drafts" for i in range(length + 1)], "uniform", relation="disjoint")
        self._all, self._impossible = Tally(["all windows"], "uniform", relation="independent"), Shares(["never emitted"], [0.0])
        self.summaries: dict[str, Summary] = {
            "emitted, given the drafts kept": self._given, "emitted": self._all, "emitted though impossible": self._impossible
        }  # fmt: skip

    def add(self, tau: np.ndarray, u: np.ndarray, noise: np.random.Generator) -> None:
        known = (u >= 0.0) & (u <= 1.0)
        self._all.add(0, np.where(known, u, noise.random(len(u))))
        self._impossible.add(np.array([np.count_nonzero(u > 1.0)]), len(u))
        for i in range(len(self._given.rows)):
            self._given.add(i, u[known & (tau == i)])


def _length_variance(promised: Array, mode: str) -> Array:
    """The variance of (tau - sum_i P_i)/L, or a bound on it: (n, L) -> (n,)."""
    xp = namespace(promised)
    count = int(promised.shape[1])
    if mode == "block":
        return xp.full_like(promised[:, 0], _MOST_VARIANCE)
    # sum_ij P_max(i,j) = sum_j (2 j - 1) P_j.
    second = sum((2 * j + 1) * promised[:, j] for j in range(count))
    return (second - xp.sum(promised, axis=1) ** 2) / count**2
