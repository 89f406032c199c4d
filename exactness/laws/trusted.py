"""A trusted sampler, whose draws define a law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import Array, is_array
from ..errors import BadInput
from .base import Law


class TrustedSampler(Law):
    """The law of the draws of ``sample(n, seed)``, if nothing else is known about it. Two-sample tests compare with its draws.

    Args:
        sample: ``sample(n, seed)`` -> array (n, ...), or a tuple of this and a dict of costs. It may be slow, but it must be
            right. The judge calls it with its own seeds.
        name: the name of the sampler in certificates.

    Raises:
        BadInput: if it cannot be called, if it raises, or if it does not return an array of finite numbers.

    >>> import numpy as np
    >>> law = TrustedSampler(lambda n, seed: np.random.default_rng(seed).standard_normal((n, 3)), name="slow but right")
    >>> law.event_shape
    (3,)
    """

    # Nothing is known of this law, so whatever its draws are, both samplers may return it.
    dtypes = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8")
    why_dtypes = "sums of numbers with fewer bits are too coarse"
    portable = True

    def __init__(self, sample: Callable[[int, int], Any], *, name: str = "trusted sampler") -> None:
        if not callable(sample):
            raise BadInput(f"a trusted sampler must be a function sample(n, seed); got {type(sample).__name__}")
        self._sample, self.name = sample, name
        self._shape: tuple[int, ...] | None = None

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
            f"{getattr(self._sample, '__module__', '')}.{getattr(self._sample, '__qualname__', type(self._sample).__qualname__)}"
        )
        return {"kind": "TrustedSampler", "name": self.name, "shape": list(self.event_shape), "function": function}

    def sample(self, n: int, seed: int) -> Array:
        """Draw n draws and check them like those of a judged sampler. Raises ``BadInput`` if they fail the check."""
        from ..errors import InvalidSample

        try:
            return self.accept(self._call(n, seed), n)
        except InvalidSample as error:
            raise BadInput(f"the trusted sampler itself: {error}") from None

    def _call(self, n: int, seed: int) -> Any:
        try:
            output = self._sample(n, seed)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(f"the trusted sampler raised {type(error).__name__}: {error}") from error
        return output[0] if isinstance(output, tuple) and output else output
