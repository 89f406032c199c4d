"""Filters that serving engines apply to next-token probabilities, in the order in which they apply them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Literal

import numpy as np

from ..arrays import Array, like, namespace
from ..errors import BadInput

Order = Literal["transformers", "vllm"]

ORDERS: dict[str, tuple[str, ...]] = {
    "transformers": ("top_k", "top_p", "min_p"),
    "vllm": ("min_p", "top_k", "top_p"),
}
"""The filters after the temperature, in the order of each library."""


@dataclass(frozen=True)
class TokenFilters:
    """The temperature, and which tokens are kept.

    Args:
        temperature: logits are divided by it. 0 means greedy decoding.
        top_k: only tokens with the k largest logits are kept, and those that tie with the last of them.
        top_p: only the most probable tokens are kept, as few as reach this probability together. Of tokens that tie, those that
            come first in the vocabulary are dropped first.
        min_p: only tokens with at least this multiple of the largest probability are kept.
        order: the library whose order applies. Each filter sees the probabilities that the filters before it have left, scaled to
            the sum 1.

    Raises:
        BadInput: if a value makes no sense.

    >>> import numpy as np
    >>> filters = TokenFilters(top_k=2)
    >>> np.exp(filters(np.log([[0.6, 0.25, 0.15]]) + 7.0)).round(3)
    array([[0.706, 0.294, 0.   ]])
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    order: Order = "transformers"

    def __post_init__(self) -> None:
        if (
            isinstance(self.temperature, bool)
            or not isinstance(self.temperature, Real)
            or not 0.0 <= self.temperature < float("inf")
        ):
            raise BadInput(f"temperature must be a finite number of at least 0, not {self.temperature!r}")
        if self.top_k is not None and (isinstance(self.top_k, bool) or not isinstance(self.top_k, Integral) or self.top_k < 1):
            raise BadInput(f"top_k must be a positive integer or None, not {self.top_k!r}")
        for name in ("top_p", "min_p"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < value <= 1.0):
                raise BadInput(f"{name} must lie above 0 and be at most 1, or be None; got {value!r}")
        if self.order not in ORDERS:
            raise BadInput(f"order must be one of {', '.join(ORDERS)}, not {self.order!r}")

    @property
    def greedy(self) -> bool:
        """Whether only the most probable token may be drawn."""
        return self.temperature == 0.0

    def describe(self) -> dict[str, object]:
        """The filters that do something, and their order if there are several."""
        found = {k: v for k, v in asdict(self).items() if v is not None and k != "order" and (k, v) != ("temperature", 1.0)}
        return {**found, "order": self.order} if len(found.keys() & set(ORDERS[self.order])) > 1 else found

    def __call__(self, logits: Array) -> Array:
        """Log-probabilities (n, V) after all filters; -inf for tokens that are dropped. For greedy decoding, ties share evenly."""
        xp = namespace(logits)
        if self.greedy:
            best = logits == xp.max(logits, axis=1, keepdims=True)
            return log_softmax(_kept(xp.zeros_like(logits), best))
        found = log_softmax(logits / self.temperature if self.temperature != 1.0 else logits)
        for name in ORDERS[self.order]:
            if (value := getattr(self, name)) is not None:
                found = log_softmax(_kept(found, _KEEP[name](found, value)))
        return found


def log_softmax(logits: Array) -> Array:
    """Log-probabilities of logits (n, V). A row may hold -inf, but not only -inf."""
    xp = namespace(logits)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))


def _kept(logits: Array, keep: Array) -> Array:
    return namespace(logits).where(keep, logits, like(np.array(-np.inf), logits))


def _top_k(logs: Array, k: int) -> Array:
    xp, size = namespace(logs), int(logs.shape[1])
    return logs >= xp.sort(logs, axis=1)[:, max(0, size - k)][:, None]


def _top_p(logs: Array, share: float) -> Array:
    xp = namespace(logs)
    order = xp.argsort(logs, axis=1, stable=True)
    sums = xp.cumulative_sum(xp.exp(xp.take_along_axis(logs, order, axis=1)), axis=1)
    dropped = sums <= 1.0 - share
    # The place of each token in the order: the inverse permutation.
    place = xp.argsort(order, axis=1)
    keep = ~xp.take_along_axis(dropped, place, axis=1)
    return keep | (place == int(logs.shape[1]) - 1)


def _min_p(logs: Array, share: float) -> Array:
    xp = namespace(logs)
    return logs >= xp.max(logs, axis=1, keepdims=True) + float(np.log(share))


_KEEP = {"top_k": _top_k, "top_p": _top_p, "min_p": _min_p}
