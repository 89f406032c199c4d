"""Bounds on how far a Markov chain is from its target, by pairs of chains of which one starts at an exact state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, as_kind, is_array, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Ends, Law, Meetings
from .invariance import KernelInvariance
from .joint import JointLaw
from .moves import Kind, Startable, handed, known_kind, moved, seeds_of, whole

# Pairs are looked at when their distance is below a random one, from the first to the second of these in typical distances, or to
# the distance at the start if this is larger. A share of them is looked at right at the start, since many pairs meet from afar.
_SPANS, _AT_START = (0.05, 4.0), 0.25


class Coupled(Law):
    """The claim that a Markov chain, ``steps`` after it started at ``start``, is within the plan's tolerance of its target.

    Two chains run together. One starts at ``start``, and its partner at an exact draw of the target, so the partner keeps following
    the target. The total variation distance of the chain from the target is then at most the probability that the two differ,
    which has a bound from binomial counts (Clopper and Pearson). For a :class:`JointLaw`, the partner starts at the parameters that
    made the data, which are an exact draw from their posterior, and the bound is an average over data drawn from the model: it does
    not hold for a given data set.

    The bound needs pairs whose margins are both steps of the kernel. This is tested: the partner must keep the target, and each
    chain must move as ``kernel`` does, or else as the pair moves two chains that stand at one state. A chain that does not meet its
    partner is not refuted; the certificate is inconclusive, and says how many pairs had not met.

    Args:
        law: the invariance of the kernel, a :class:`KernelInvariance` or :class:`JointLaw`. Its number of steps is not used.
        start: where the chain starts: a state (d,), or ``start(n, seed)`` -> (n, d).
        steps: the number of steps after which the distance is bounded.
        kernel: the kernel itself, as in ``law.moved_by``. If it is given, both chains are compared with it, and not with the pair.
        name: the name of the law in certificates.

    Raises:
        BadInput: if an argument makes no sense.

    Sources: Johnson 1998 and Jacob, O'Leary and Atchade, Unbiased Markov chain Monte Carlo methods with couplings, 2020, for
    couplings that meet; Biswas, Jacob and Vanetti 2019, whose L-lag estimates need no exact draw but have no finite-sample bound.

    >>> import numpy as np
    >>> import exactness as ex
    >>> target = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> def pair(x, y, seed, rho=0.5):
    ...     rng = np.random.default_rng(seed)
    ...     noise, coin = rng.standard_normal(x.shape), rng.random(x.shape)
    ...     s = np.sqrt(1 - rho**2)
    ...     gap = rho * (x - y) / s
    ...     meets = coin < np.exp(-0.5 * (noise + gap) ** 2 + 0.5 * noise**2)
    ...     other = np.where(meets, noise + gap, -noise)
    ...     after = rho * x + s * noise
    ...     return after, np.where(meets, after, rho * y + s * other)
    >>> law = ex.Coupled(ex.KernelInvariance(target), start=[5.0], steps=15)
    >>> judged = ex.certify(law.moved_by(pair), law, plan=ex.Plan(tolerance=0.1))
    >>> judged.verdict.value
    'certified'
    """

    dtypes = ("float64",)

    def __init__(
        self,
        law: KernelInvariance | JointLaw,
        *,
        start: Any,
        steps: int,
        kernel: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(law, Startable):
            raise BadInput(f"law must be a KernelInvariance or a JointLaw, not {type(law).__name__}: its draws start the partner")
        self.law, self.steps, self.name = law, whole("steps", steps), name or law.name
        if kernel is not None and not callable(kernel):
            raise BadInput(f"a kernel must be a function; got {type(kernel).__name__}")
        self.kernel, self.start = kernel, start
        if not callable(start):
            try:
                self.start = np.asarray(to_numpy(start) if is_array(start) else start, dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise BadInput(f"start must be a state of {law.dim} numbers, or start(n, seed); got {start!r:.60}") from error
            if self.start.shape != (law.dim,) or not np.all(np.isfinite(self.start)):
                raise BadInput(
                    f"start must be a state of {law.dim} finite numbers, or start(n, seed); got shape {self.start.shape}"
                )

    @property
    def reversible(self) -> bool:
        return self.law.reversible

    @property
    def coordinates(self) -> list[str]:
        return self.law.coordinates

    @property
    def quantity_names(self) -> list[str]:
        return self.law.quantity_names

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (1 + 6 * self.law.dim + math.prod(self.law.event_shape),)

    @property
    def output_law(self) -> Law | None:
        return self.law.output_law

    def output(self, sample: Array) -> Array:
        return self.law.output(self._partner(sample))

    @property
    def bounds(self) -> str:
        """See :class:`.base.Meeting`."""
        return "averaged over data drawn from the model" if self.law.of_data else "for this target"

    def describe(self) -> dict[str, object]:
        start = getattr(self.start, "__qualname__", None) or [float(v) for v in np.asarray(self.start).reshape(-1)[:16]]
        return {
            "kind": "Coupled", "name": self.name, "law": self.law.describe(), "start": start, "steps": self.steps,
            "bound": self.bounds,
        }  # fmt: skip

    def moved_by(self, pair: Callable[..., Any], *, arrays: Kind = "numpy") -> PairBy:
        """The sampler of a coupling: pairs of chains, one of which starts at an exact state.

        Args:
            pair: ``pair(x, y, seed)`` -> (x', y') takes two arrays of states (n, d) and moves both; for a joint law
                ``pair(x, y, data, seed)``. Each must move as the kernel does. Rows are independent pairs.
            arrays: the kind of array that the pair is given.
        """
        if not callable(pair):
            raise BadInput(f"a coupling must be a function pair(x, y, seed); got {type(pair).__name__}")
        return PairBy(self, pair, arrays)

    def ends(self, sample: Array) -> Ends:
        """See :class:`.base.Moving`: the moves of the partner."""
        return self.law.ends(self._partner(sample))

    def fresh(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`.base.Moving`."""
        return self.law.fresh(n, seed)

    def meetings(self, sample: Array) -> Meetings:
        """See :class:`.base.Meeting`."""
        rows, d = to_numpy(sample), self.law.dim
        states = rows[:, 1 : 1 + 6 * d].reshape(len(rows), 3, 2, d)
        return Meetings(rows[:, 0].astype(np.int64), states[:, 0], states[:, 1], states[:, 2])

    def _partner(self, sample: Array) -> Array:
        return sample[:, 1 + 6 * self.law.dim :].reshape(-1, *self.law.event_shape)


@dataclass(frozen=True)
class PairBy:
    """The sampler of a coupling: ``sample(n, seed)`` returns n pairs of chains."""

    law: Coupled
    pair: Callable[..., Any]
    arrays: Kind = "numpy"

    def __post_init__(self) -> None:
        known_kind(self.arrays)

    def __call__(self, n: int, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        law, base = self.law, self.law.law
        seeds = seeds_of(seed, law.steps + 4)
        first, given = base.starts(n, seeds[0])
        first = np.asarray(first, dtype=np.float64)
        x, y = _started(law.start, n, seeds[1], first.shape), first.copy()
        unmet = np.zeros(n)
        near = _near(np.linalg.norm(x - y, axis=1), _spread(first), seeds[2])
        looked_at, parts = np.zeros(n, dtype=bool), np.zeros((4, *first.shape))
        for step in range(law.steps):
            after, other = self._move(x, y, given, seeds[4 + step])
            apart = np.linalg.norm(x - y, axis=1)
            now = ~looked_at & (((apart > 0.0) & (apart <= near)) | (step == law.steps - 1))
            parts[:, now] = np.stack([x, y, after, other])[:, now]
            looked_at |= now
            x, y = after, other
            unmet[np.any(x != y, axis=1)] = step + 1
        again = self._again(parts[0], parts[1], given, seeds[3])
        rows = [unmet[:, None], *parts, *again, base.pack(first, y, given).reshape(n, -1).astype(np.float64)]
        return np.concatenate(rows, axis=1), {"kernel_steps": float(2 * n * law.steps)}

    def _again(self, x: np.ndarray, y: np.ndarray, given: tuple[Any, ...], seed: int) -> list[np.ndarray]:
        """The same step of both chains: by the kernel, or by the pair with both chains at one state, each in the other's place."""
        seeds = seeds_of(seed, 2)
        if self.law.kernel is None:
            # What a chain does must depend neither on where the other one is, nor on its place in the pair.
            return [self._move(x, x, given, seeds[0])[1], self._move(y, y, given, seeds[1])[0]]
        return [
            np.asarray(
                to_numpy(moved(self.law.kernel, as_kind(v.copy(), self.arrays), handed(given, self.arrays), s)[0]), dtype=np.float64
            )
            for v, s in zip((x, y), seeds, strict=True)
        ]

    def _move(self, x: np.ndarray, y: np.ndarray, given: tuple[Any, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
        both = (as_kind(x.copy(), self.arrays), as_kind(y.copy(), self.arrays))
        output = self.pair(*both, *handed(given, self.arrays), seed)
        if not isinstance(output, tuple) or len(output) != 2 or any(not is_array(v) or tuple(v.shape) != x.shape for v in output):
            raise InvalidSample(f"pair(x, y, seed) must return two arrays of shape {x.shape}, the next states of both chains")
        after, other = (np.asarray(to_numpy(v), dtype=np.float64) for v in output)
        if not (np.all(np.isfinite(after)) and np.all(np.isfinite(other))):
            raise InvalidSample("pair(x, y, seed) returned NaN or infinity")
        return after, other


def _near(apart: np.ndarray, spread: float, seed: int) -> np.ndarray:
    """One step of each pair is looked at more closely: the first at which the two are as near as this, or the last one, (n,).

    That is known before the step. Near pairs are where couplings go wrong, and pairs that meet from afar are never near.
    """
    rng = np.random.default_rng(seed)
    widest = np.maximum(_SPANS[1] * spread, apart)
    share, least = rng.random(len(apart)), _SPANS[0] * spread
    return np.where(rng.random(len(apart)) < _AT_START, np.inf, least * (widest / least) ** share)


def _spread(states: np.ndarray) -> float:
    """The typical distance of a state from the mean of all."""
    return float(np.sqrt(np.square(states - states.mean(axis=0)).sum(axis=1).mean())) or 1.0


def _started(start: Any, n: int, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    if not callable(start):
        return np.broadcast_to(start, shape).astype(np.float64)
    found = start(n, seed)
    if not is_array(found) or tuple(found.shape) != shape:
        raise InvalidSample(f"start(n={n}, seed) must return states of shape {shape}")
    states = np.array(to_numpy(found), dtype=np.float64)
    if not np.all(np.isfinite(states)):
        raise InvalidSample(f"start(n={n}, seed) returned NaN or infinity")
    return states
