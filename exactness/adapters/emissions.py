"""The states and tokens that a verifier emits after the drafts it keeps, as numbers that are uniform under the law.

After tau = i kept drafts of L, the residual is proportional to (w p - q)_+ at step i + 1. The density ratio p/q orders what can be
emitted: errors of a residual (a wrong weight, a draw from the target itself) move mass along this order, and do not average out
over windows with different laws. 2 stands for what the residual never emits, and -1 for what is not judged.
Source: Rosenblatt 1952; for atoms Dunn and Smyth, Randomized quantile residuals, 1996.
"""

from __future__ import annotations

import numpy as np

from ..errors import BadInput, InvalidSample
from ..laws.couplings import excess_cdf

_NEVER, _NOT_JUDGED = 2.0, -1.0
# What is this little beyond the end of a residual, relative to the numbers compared, is rounding in single precision.
_ROUNDING = 1e-4
# The weight of a residual without any mass. Its logarithm would be infinite.
_LEAST_LOG_WEIGHT = -600.0
# Tables of (windows, tokens) are made in pieces of about this many numbers.
_PIECE = 1 << 21


def coordinate_transforms(
    s: np.ndarray, tau: np.ndarray, log_weight: np.ndarray, deltas: np.ndarray, length: int, generator: np.random.Generator
) -> np.ndarray:
    """F_res(s) of the coordinates (n,) emitted after tau (n,) kept drafts, at weights (n,) and distances (n, L).

    Raises ``InvalidSample`` if a coordinate is NaN or infinite.

    >>> one = np.ones(1)
    >>> coordinate_transforms(-0.727 * one, np.zeros(1, int), 0.0 * one, one[:, None], 1, np.random.default_rng(0)).round(3)
    array([0.5])
    """
    found, rows = np.full(len(s), _NOT_JUDGED), np.flatnonzero(tau < length)
    s, log_weight, delta = s[rows], np.maximum(log_weight[rows], _LEAST_LOG_WEIGHT), deltas[rows, tau[rows]]
    if not np.all(np.isfinite(s)):
        raise InvalidSample(f"the coordinate that verify emitted in window {rows[~np.isfinite(s)][0]} is NaN or infinite")
    edge = 0.5 * delta + log_weight / delta
    inside = s <= edge + _ROUNDING * (1.0 + np.abs(edge))
    found[rows] = np.where(inside, excess_cdf(s, log_weight, 0.0, delta), _NEVER)
    return found


def token_transforms(
    tokens: np.ndarray, tau: np.ndarray, log_weight: np.ndarray, laws: np.ndarray, length: int, generator: np.random.Generator
) -> np.ndarray:
    """The same for tokens (n,), with laws (n, L, 2, V) or (n, L + 1, 2, V); those after a full window need L + 1 positions.

    Raises ``BadInput`` if the laws have another shape, and ``InvalidSample`` if a token is no integer in 0..V - 1.

    >>> laws = np.array([[[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]]] * 3)  # the residual is (0.6, 0.4, 0)
    >>> zero = np.zeros(3)
    >>> token_transforms(np.array([0.0, 1.0, 2.0]), zero.astype(int), zero, laws, 1, np.random.default_rng(0)).round(2)
    array([0.38, 0.71, 2.  ])
    """
    if laws.ndim != 4 or len(laws) != len(tokens) or laws.shape[1] not in (length, length + 1) or laws.shape[2] != 2:
        raise BadInput(
            f"with emits='tokens', drafts must return laws of shape (n, {length}, 2, V), or (n, {length + 1}, 2, V) to judge "
            f"the token after a full window; got {laws.shape}"
        )
    size, inside = laws.shape[3], generator.random(len(tokens))
    judged = np.flatnonzero(tau < laws.shape[1])
    wrong = ~np.isin(tokens[judged], np.arange(size))
    if wrong.any():
        first = judged[wrong][0]
        raise InvalidSample(f"verify emitted {tokens[first]:g} in window {first}; a token is an integer in 0..{size - 1}")
    found = np.full(len(tokens), _NOT_JUDGED)
    for rows in np.array_split(judged, max(1, len(judged) * size // _PIECE)):
        target, draft = laws[rows, tau[rows]].swapaxes(0, 1)
        # After a full window, the target itself is emitted.
        full = (tau[rows] == length)[:, None]
        weighted, draft = np.where(full, 1.0, np.exp(log_weight[rows])[:, None]) * target, np.where(full, 0.0, draft)
        found[rows] = _transforms(tokens[rows].astype(int), weighted, draft, inside[rows])
    return found


def _transforms(tokens: np.ndarray, weighted: np.ndarray, draft: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The transforms of tokens (n,) under the law proportional to (weighted - draft)_+, both (n, V), in the order of the ratio."""
    every, own = np.arange(len(tokens)), tokens[:, None]
    residual = np.maximum(weighted - draft, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(weighted > 0.0, weighted / draft, 0.0)
    here = ratio[every, tokens][:, None]
    before = (ratio > here) | ((ratio == here) & (np.arange(residual.shape[1]) < own))
    total = residual.sum(axis=1)
    below, share = np.where(before, residual, 0.0).sum(axis=1), residual[every, tokens]
    never = (
        (weighted[every, tokens] <= draft[every, tokens] * (1.0 - _ROUNDING)) | (weighted[every, tokens] == 0.0) | (total == 0.0)
    )
    return np.where(never, _NEVER, np.clip((below + inside * share) / np.where(total > 0.0, total, 1.0), 0.0, 1.0))
