"""How likely a verifier is to accept a draft, given all that it has shown when it decides.

A round proposes drafts y_1, y_2, ... and accepts tau of them. Let p and q be the laws of target and draft, and P_i the weight of
the first i drafts. Then P(tau >= i + 1 | tau >= i, y_1..y_{i+1}) does not depend on how many more drafts there are:

* token-wise: min(1, p/q) (Leviathan et al. 2023, Chen et al. 2023);
* block: P'/(P' + h (1 - P')), with P' = min(1, P_i p/q), Z = sum_x (P_i p(x) - q(x))_+ and h = Z/(Z + 1 - P_i). It follows from
  P(tau >= i | y_1..y_i) = P_i at every i, and from the independent coin of place i, which falls with probability h (Sun et al.
  2024, arXiv 2403.10444);
* one-hot and sampled-verify: p(y);
* gumbel: 1/sum_x max(p(x) q(y)/p(y), q(x)), for the same exponentials in both races (Daliri et al. 2024, arXiv 2408.07978).

In each of them, a draft that is not accepted is not the token that is emitted in its place.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..arrays import Array, integers_like, like, namespace, to_numpy

Rule = Literal["token-wise", "block", "one-hot", "sampled-verify", "gumbel"]
OF_TARGET: tuple[Rule, ...] = ("one-hot", "sampled-verify")
"""The rules that ask the target alone, so that the draft's law need not be known."""
_LARGEST = 1e300


def acceptance(
    rule: Rule, log_p: Array, log_q: Array | None, drafts: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The probability that each draft is accepted, (m,), and the weight P of the round once it is, (m,).

    Args:
        rule: how drafts are verified.
        log_p, log_q: the log-probabilities of target and draft, (m, V). ``log_q`` may be None if the rule asks the target alone.
        drafts: the token that was proposed, (m,).
        weights: the weight P of the drafts that the round has accepted so far, (m,): 1 at its beginning. Only block changes it.

    >>> p, q = (np.log([row]) for row in ([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]))
    >>> [round(float(acceptance(rule, p, q, np.array([2]), np.ones(1))[0][0]), 4) for rule in ("token-wise", "one-hot", "gumbel")]
    [0.4, 0.2, 0.4]
    """
    p = np.exp(at(log_p, drafts))
    if rule in OF_TARGET or log_q is None:
        return p, weights
    q = np.exp(at(log_q, drafts))
    if rule == "token-wise":
        return block_weight(np.ones_like(p), p, q), weights
    if rule == "gumbel":
        return _by_race(log_p, log_q, p, q), weights
    after = block_weight(weights, p, q)
    reached = after + _alone(log_p, log_q, weights) * (1.0 - after)
    return np.divide(after, reached, out=np.zeros_like(after), where=reached > 0.0), after


def block_weight(weights: np.ndarray, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The weight P of drafts whose weight was ``weights`` before one more with probabilities p and q, (m,): min(1, P p/q).

    A draft that the draft's law never draws counts as likely if the target may draw it. A weight of 0 stays 0.

    >>> block_weight(np.array([1.0, 0.5]), np.array([0.3, 0.3]), np.array([0.6, 0.1])).tolist()
    [0.5, 1.0]
    """
    ratio = np.divide(p, q, out=np.where(p > 0.0, _LARGEST, 0.0), where=q > 0.0)
    return np.asarray(np.minimum(1.0, weights * np.minimum(ratio, _LARGEST)))


def _alone(log_p: Array, log_q: Array, weights: np.ndarray) -> np.ndarray:
    """h: the probability that block verification accepts the drafts so far by their own coin, (m,)."""
    found = np.ones(len(weights))
    mine = np.flatnonzero(weights < 1.0)
    if len(mine):
        xp, rows, w = namespace(log_p), integers_like(mine, log_p), weights[mine]
        excess = like(w[:, None], log_p) * xp.exp(log_p[rows]) - xp.exp(log_q[rows])
        z = to_numpy(xp.sum(xp.clip(excess, 0.0, None), axis=1)).astype(np.float64)
        found[mine] = z / (z + 1.0 - w)
    return found


def _by_race(log_p: Array, log_q: Array, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """P(the target's race is won by y, given that the draft's race is), (m,)."""
    xp = namespace(log_p)
    odds = np.divide(q, p, out=np.zeros_like(p), where=p > 0.0)
    shared = xp.maximum(like(odds[:, None], log_p) * xp.exp(log_p), xp.exp(log_q))
    total = to_numpy(xp.sum(shared, axis=1)).astype(np.float64)
    return np.where(p > 0.0, np.minimum(1.0, 1.0 / total), 0.0)


def at(values: Array, ids: np.ndarray) -> np.ndarray:
    """The value of each row at a token, in double precision: (m, V) -> (m,)."""
    xp = namespace(values)
    return to_numpy(xp.take_along_axis(values, integers_like(ids[:, None], values), axis=1))[:, 0].astype(np.float64)
