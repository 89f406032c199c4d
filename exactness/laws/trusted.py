"""A trusted sampler, whose draws define a law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, is_array, to_numpy
from ..errors import BadInput
from .base import Law

# Copies are looked for in this many draws, if there are more than a few.
_LOOKED_AT, _FEW = 4096, 256
# A law with a few atoms and a law on a grid are nobody's array: fewer values repeat, or all have few decimals.
_ATOMS, _DECIMALS = 16, 4
# Rounding makes two draws of one number equal, in single precision too. As many are expected, with a wide margin.
_BY_ROUNDING = 2.0**-21


class TrustedSampler(Law):
    """The law of the draws of ``sample(n, seed)``, if nothing else is known about it. Two-sample tests compare with its draws.

    Args:
        sample: ``sample(n, seed)`` -> array (n, ...), or a tuple of this and a dict of costs. It may be slow, but it must be
            right: an error that it shares with the judged sampler is not seen, and certificates say so. The judge calls it with its
            own seeds, and never certifies a sampler by itself.
        name: the name of the sampler in certificates.
        atoms: whether its draws may repeat. If this is left out, a sampler of a law without atoms is expected, and one whose draws
            are copies of each other is refused: it may draw rows of a finite array with replacement, and then all it says is about
            this array.

    Raises:
        BadInput: if it cannot be called, if it raises, if it does not return an array of finite numbers, or if its draws are
            copies of each other and nothing was said of ``atoms``.

    >>> import numpy as np
    >>> law = TrustedSampler(lambda n, seed: np.random.default_rng(seed).standard_normal((n, 3)), name="slow but right")
    >>> law.event_shape
    (3,)
    """

    # Nothing is known of this law, so whatever its draws are, both samplers may return it.
    dtypes = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8")
    why_dtypes = "sums of numbers with fewer bits are too coarse"
    portable = True

    def __init__(self, sample: Callable[[int, int], Any], *, name: str = "trusted sampler", atoms: bool = False) -> None:
        if not callable(sample):
            raise BadInput(f"a trusted sampler must be a function sample(n, seed); got {type(sample).__name__}")
        self.trusted, self.name = sample, name
        self._shape: tuple[int, ...] | None = None
        self._may_repeat = atoms

    @property
    def event_shape(self) -> tuple[int, ...]:
        if self._shape is None:
            output = self._call(2, 0)
            if not is_array(output) or len(output.shape) < 2 or int(output.shape[0]) != 2:
                shape = tuple(output.shape) if is_array(output) else type(output).__name__
                raise BadInput(
                    f"the trusted sampler must return an array of shape (n, d) or (n, K + 1, d); for n = 2 it gave {shape}"
                )
            if 0 in tuple(output.shape):
                raise BadInput(f"draws of shape {tuple(output.shape)[1:]} hold no numbers, so there is nothing to judge")
            self._shape = tuple(int(s) for s in output.shape[1:])
        return self._shape

    def describe(self) -> dict[str, object]:
        function = (
            f"{getattr(self.trusted, '__module__', '')}.{getattr(self.trusted, '__qualname__', type(self.trusted).__qualname__)}"
        )
        return {"kind": "TrustedSampler", "name": self.name, "shape": list(self.event_shape), "function": function}

    def sample(self, n: int, seed: int) -> Array:
        """Draw n draws and check them like those of a judged sampler. Raises ``BadInput`` if they fail the check."""
        from ..errors import InvalidSample

        try:
            draws = self.accept(self._call(n, seed), n)
        except InvalidSample as error:
            raise BadInput(f"the trusted sampler itself: {error}") from None
        if not self._may_repeat and n > _FEW:
            rows = to_numpy(draws[:_LOOKED_AT])
            if copies := _copies(rows.reshape(len(rows), -1)):
                raise BadInput(
                    f"{copies:,} of {len(rows):,} draws of the trusted sampler are copies of others, bit by bit. If it draws rows "
                    "of a finite array with replacement, judge each row once, with SavedPaths; if its law has atoms, say so with "
                    "atoms=True"
                )
            self._may_repeat = len(rows) == _LOOKED_AT  # One look is enough.
        return draws

    def _call(self, n: int, seed: int) -> Any:
        try:
            output = self.trusted(n, seed)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the trusted sampler raised {type(error).__name__}: {error}") from error
        return output[0] if isinstance(output, tuple) and output else output


def _copies(rows: np.ndarray) -> int:
    """How many of the rows (n, d) are copies of others and look like rows of an array that are drawn again; 0 if they do not.

    Rounded numbers repeat in each coordinate by themselves, and therefore more often there than in whole rows.
    """
    if not np.issubdtype(rows.dtype, np.floating) or np.array_equal(rows, rows.round(_DECIMALS)):
        return 0
    values, counts = np.unique(rows, axis=0, return_counts=True)
    chance = 0.0
    if rows.shape[1] == 1:
        low, middle, high = np.abs(np.quantile(rows, [0.25, 0.5, 0.75]))
        spread = float(np.subtract(*np.quantile(rows, [0.75, 0.25])))
        chance = 0.5 * len(rows) ** 2 * _BY_ROUNDING * max(1.0, float(max(low, middle, high)) / spread if spread > 0 else np.inf)
    elif min(len(np.unique(column)) for column in values.T) < 0.9 * len(values):
        return 0
    copies = len(rows) - len(values)
    return copies if (counts > 1).sum() >= _ATOMS and copies > 2.0 * chance else 0
