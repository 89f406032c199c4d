"""Laws of mass functions: labels, dice, counts. Each value has a probability."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array, at_hand, is_array, namespace, to_numpy
from ..errors import BadInput
from .base import Law, checked_weights
from .tables import tabulate

# Probabilities in single precision sum to 1 up to this.
_ROUNDING = 1e-5
# Beyond this, doubles do not tell whole numbers apart.
_LARGEST = 2.0**53
# If the values that are not tabulated have less than this together, no sample of a realistic size holds any of them.
_NEGLIGIBLE = 1e-12
# Values that are no whole numbers may differ by this many roundings from what a sampler computes.
_SLACK = 8.0
_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_SHOWN = 5
_LONGEST = 12


class DiscreteLaw(Law):
    """The law of a random value that has a known probability: a label, a die, a token, a count.

    A sample has shape (n,) or (n, 1), with integers of any width, booleans, or floats that equal the values; (n, d) if the values
    are vectors. Only numbers that are not whole may differ by rounding. A draw that is not a value of the law, or has probability
    0, refutes the sampler at once: it is no accident but evidence.

    Args:
        probabilities: one per value, (V,). They sum to 1 together with ``elsewhere``.
        values: the values, (V,) or vectors (V, d), all different. The default is 0, 1, ..., V - 1.
        name: the name of the law in certificates.
        elsewhere: the probability, all together, of further values that are not listed.
        support: the least and the largest further value. They are whole numbers away from the listed ones.

    Raises:
        BadInput: if the probabilities are negative or do not sum to 1, or if values coincide.

    >>> import numpy as np
    >>> import exactness as ex
    >>> die = ex.DiscreteLaw(np.full(6, 1 / 6), values=[1, 2, 3, 4, 5, 6], name="die")
    >>> def thrown(n, seed):
    ...     return np.random.default_rng(seed).integers(1, 7, size=n)
    >>> plan = ex.Plan(tolerance=0.05)
    >>> ex.certify(thrown, die, plan=plan).verdict.value
    'certified'
    >>> loaded = ex.certify(lambda n, seed: thrown(n, seed) - 1, die, plan=plan)
    >>> loaded.verdict.value, loaded.leading.where
    ('refuted', 'value 0')
    """

    portable = True
    dtypes = (
        "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool",
        "float64", "float32", "float16", "bfloat16",
    )  # fmt: skip

    def __init__(
        self,
        probabilities: object,
        *,
        values: object = None,
        name: str = "discrete",
        elsewhere: float = 0.0,
        support: tuple[float, float] | None = None,
    ) -> None:
        listed = _probabilities(probabilities, float(elsewhere))
        places = _values(values, len(listed))
        order = np.lexsort(places.reshape(len(places), -1).T[::-1])
        self.values, self.probabilities = places[order], listed[order]
        self.name, self.elsewhere = name, float(elsewhere)
        self._whole = bool(np.all(self.values % 1.0 == 0.0))
        # Values that are vectors are looked up by their bytes.
        self._cell_of = {row.tobytes(): cell for cell, row in enumerate(self.values)} if self.values.ndim == 2 else {}
        if self._cell_of and (elsewhere or support is not None):
            raise BadInput("values that are vectors must all be listed: elsewhere and support are for numbers")
        self.support = (math.nan, math.nan) if self._cell_of else (float(self.values[0]), float(self.values[-1]))
        if support is not None:
            self.support = float(support[0]), float(support[1])
            if not self.support[0] <= self.values[0] <= self.values[-1] <= self.support[1]:
                raise BadInput(f"support must be the least and the largest value; {support} leaves out some of the values")

    @classmethod
    def from_log_mass(
        cls, log_mass: Callable[[np.ndarray], object], *, support: tuple[float, float] = (0, math.inf), name: str = "counts"
    ) -> DiscreteLaw:
        """The law of a number whose mass function is known, such as a count.

        Args:
            log_mass: ``log_mass(k)`` -> log P(X = k), a function of numpy arrays, (n,) -> (n,). It is called with values inside
                the support only, and may return -inf there.
            support: the least and the largest value, or infinity. The values are one apart.
            name: the name of the law in certificates.

        Up to a quarter of a million values around the modes are tabulated. The others, if there are any, share the rest of the
        probability.

        Raises:
            BadInput: if ``log_mass`` raises or does not return one log-probability per value, or if these do not sum to 1.

        >>> import exactness as ex
        >>> from scipy import stats
        >>> law = ex.DiscreteLaw.from_log_mass(stats.poisson(3.0).logpmf, name="Poisson")
        >>> len(law.values), law.elsewhere < 1e-30
        (195, True)
        """
        table = tabulate(log_mass, support, name)
        return cls(table.probabilities, values=table.values, name=name, elsewhere=table.elsewhere, support=support)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (1,) if self.values.ndim == 1 else (int(self.values.shape[1]),)

    def describe(self) -> dict[str, object]:
        likely = np.argsort(-self.probabilities, kind="stable")[:_SHOWN]
        digest = hashlib.sha256(self.values.tobytes() + self.probabilities.tobytes()).hexdigest()
        return {
            "kind": "DiscreteLaw",
            "name": self.name,
            "support": [end if math.isfinite(end) else str(end) for end in self.support],
            "values": len(self.values),
            "most probable": {written(self.values[i]): float(f"{self.probabilities[i]:.6g}") for i in likely},
            "elsewhere": self.elsewhere,
            "digest": digest[:16],
        }

    def accept(self, sample: object, n: int) -> Array:
        if is_array(sample) and tuple(sample.shape) == (n,) and self.event_shape == (1,):  # type: ignore[attr-defined]
            sample = sample[:, None]  # type: ignore[index]
        return super().accept(sample, n)

    def readable(self, sample: Array) -> Array:
        sample = at_hand(sample)
        xp = namespace(sample)
        return super().readable(sample) if xp.isdtype(sample.dtype, "real floating") else xp.ones_like(sample, dtype=xp.bool)

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell; see :class:`.base.Discrete`."""
        return np.append(self.probabilities, self.elsewhere) if self.elsewhere else self.probabilities

    def cells(self, draws: Array) -> np.ndarray:
        """The cell of each draw, or -1 if it has probability 0: (n, d) -> (n,)."""
        x = doubles(draws)
        if self._cell_of:
            # The sum turns -0 into 0.
            found = np.array([self._cell_of.get(row.tobytes(), -1) for row in x + 0.0], dtype=np.int64)
            found[self.probabilities[found] == 0.0] = -1
            return found
        x, slack = x.reshape(-1), 0.0 if self._whole else _SLACK * _EPSILON.get(str(draws.dtype).removeprefix("torch."), 0.0)
        above = np.minimum(np.searchsorted(self.values, x), len(self.values) - 1)
        below = np.maximum(above - 1, 0)
        found = np.where(np.abs(self.values[below] - x) < np.abs(self.values[above] - x), below, above)
        listed = np.abs(self.values[found] - x) <= slack * np.abs(x)
        found[~listed | (self.probabilities[found] == 0.0)] = -1
        if self.elsewhere:
            steps = x - self.values[0]
            inside = (x >= self.support[0]) & (x <= self.support[1]) & (np.abs(steps - np.round(steps)) <= slack * np.abs(x))
            found[~listed & inside] = len(self.values)
        return found

    def cell_name(self, cell: int) -> str:
        """The values that a cell holds, in words."""
        if cell < len(self.values):
            return f"value {written(self.values[cell])}"
        return f"values other than {written(self.values[0])} to {written(self.values[-1])}"

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n exact draws, (n, d), as integers if all values are whole numbers.

        Raises ``BadInput`` if the values that are not listed have a probability that counts.
        """
        if self.elsewhere > _NEGLIGIBLE:
            raise BadInput(
                f"{self.name} cannot be drawn: {self.elsewhere:.3g} of its probability lies on values that are not tabulated"
            )
        sums = np.cumsum(self.probabilities)
        u = sums[-1] * np.random.default_rng(seed).random(n)
        # A value of probability 0 has an empty interval, and the last value that has an interval ends at the total.
        last = np.flatnonzero(self.probabilities)[-1]
        drawn = self.values.reshape(len(self.values), -1)[np.minimum(np.searchsorted(sums, u, side="right"), last)]
        return drawn.astype(np.int64) if self._whole else drawn


def _probabilities(probabilities: object, elsewhere: float) -> np.ndarray:
    """A vector of probabilities with a given complement, in double precision."""
    if not 0.0 <= elsewhere < 1.0:
        raise BadInput(f"elsewhere must be a probability below 1, not {elsewhere}")
    given = to_numpy(probabilities) if is_array(probabilities) else probabilities
    p = _numbers(given, "probabilities")
    if p.ndim == 1 and len(p) and getattr(given, "dtype", None) == np.float32 and abs(p.sum() + elsewhere - 1.0) < _ROUNDING:
        p = p * ((1.0 - elsewhere) / p.sum())
    try:
        return checked_weights(np.append(p, elsewhere) if p.ndim == 1 and elsewhere else p)[: p.size]
    except BadInput as error:
        raise BadInput(str(error).replace("weights", "probabilities").replace("component", "value")) from None


def _numbers(given: object, name: str) -> np.ndarray:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(
            f"{name} must be numbers, in a list or an array: give labels that are words the numbers 0, 1, 2, ..."
        ) from None


def _values(values: object, count: int) -> np.ndarray:
    if values is None:
        return np.arange(count, dtype=np.float64)
    v = doubles(values if is_array(values) else _numbers(values, "values"))
    if v.ndim not in (1, 2) or len(v) != count or not v.size:
        raise BadInput(f"values must be a vector with one entry per probability, ({count},), or rows ({count}, d); got {v.shape}")
    if not np.all(np.abs(v) <= _LARGEST):
        raise BadInput("values must be finite numbers, and whole numbers at most 2^53, which doubles tell apart")
    if len(np.unique(v, axis=0)) < count:
        raise BadInput("values must all be different: add up the probabilities of values that coincide")
    return v + 0.0


def doubles(x: Array) -> np.ndarray:
    """The numbers of any array in double precision, on the host."""
    xp = namespace(x)
    # numpy does not know torch's bfloat16; JAX without x64 knows no doubles.
    narrow = str(x.dtype).removeprefix("torch.") == "bfloat16"
    return np.asarray(to_numpy(xp.astype(x, xp.float32) if narrow else x), dtype=np.float64)


def written(value: np.ndarray | float) -> str:
    """A value in words: a number, or a vector, shortened if it is long."""
    numbers = [str(int(x)) if float(x).is_integer() else f"{x:.6g}" for x in np.atleast_1d(value)[: _LONGEST + 1].tolist()]
    if len(numbers) == 1:
        return numbers[0]
    return f"({', '.join(numbers[:_LONGEST])}{', ...' if len(numbers) > _LONGEST else ''})"
