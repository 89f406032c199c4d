"""One verified window of drafts: how many drafts are kept, given how likely the target and the drafter were to make them, and
what is emitted after them.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444 (block verification).
"""

from __future__ import annotations

from typing import Literal, get_args

from ..arrays import Array, at_hand, double, is_array, namespace
from ..errors import BadInput, InvalidSample
from .base import Law

Mode = Literal["token", "block"]


class VerifiedWindow(Law):
    """The claim about tau, the number of drafts that are kept in a window of L drafts.

    A draw has L + 1 numbers: log r_1, ..., log r_L and tau. The ratio r_i is p/q at the i-th drafted state, given the states
    before it, and tau is an integer in 0..L. The ratios are taken as given. Only the decision which drafts are kept is judged;
    the law of the drafts is not part of the claim. A ratio of 0 is allowed (a token that the target never makes), so log r may be
    minus infinity. It may not be plus infinity, because q never drafts a state on which it has no mass.

    Args:
        length: L >= 1, the same for every window.
        mode: ``"token"`` (P_i = P_{i-1} min(1, r_i)) or ``"block"`` (P_i = min(1, P_{i-1} r_i)), with P_0 = 1.
        emits: whether a draw has one number more, u, which says what was emitted after the kept drafts. If tau = i < L, the claim
            is that it follows the residual, which is proportional to (w p - q)_+ at step i + 1, with w = P_i in a block and w = 1
            otherwise. u is its probability integral transform under that law (with a uniform number inside a token's share), so
            that u is uniform given the kept drafts and tau. It is 2 for what the residual never emits, and -1 for a full window
            whose next state is not part of the claim.

    In both modes P(tau >= i | y_1..y_i) = P_i. Token by token, this is also the probability given *all* drafts. In a block it is
    not: P_i may exceed P_{i-1}, so later drafts carry information about whether earlier ones were kept.

    Raises:
        BadInput: if ``length`` is not a positive integer, or ``mode`` is unknown.

    >>> VerifiedWindow(4, "block").event_shape, VerifiedWindow(4, "block", emits=True).event_shape
    ((5,), (6,))
    """

    portable = True

    def __init__(self, length: int, mode: Mode, emits: bool = False) -> None:
        if isinstance(length, bool) or not isinstance(length, int) or length < 1:
            raise BadInput(f"length must be a positive integer, the number of drafts in a window, not {length!r}")
        if mode not in get_args(Mode):
            raise BadInput(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
        self.length, self.mode, self.emits = length, mode, bool(emits)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.length + 1 + self.emits,)

    @property
    def output_law(self) -> Law | None:
        return None

    def describe(self) -> dict[str, object]:
        judged = "the number of kept drafts" + (
            " and what is emitted after them" if self.emits else ", not what is emitted after them"
        )
        return {"kind": "VerifiedWindow", "length": self.length, "mode": self.mode, "judged": judged}

    def place(self, index: tuple[int, ...]) -> str:
        return f"window {index[0]}, " + {self.length: "tau", self.length + 1: "u"}.get(index[1], f"log r_{index[1] + 1}")

    def readable(self, sample: Array) -> Array:
        sample = at_hand(sample)
        xp = namespace(sample)
        return xp.isfinite(sample) | (sample == -xp.inf)

    def accept(self, sample: object, n: int) -> Array:
        """Check a sample as every law does, and check that tau is an integer in 0..L. Raises ``InvalidSample``."""
        accepted = super().accept(sample, n)
        tau = at_hand(accepted)[:, self.length]
        xp = namespace(tau)
        wrong = ~((tau >= 0) & (tau <= self.length) & (xp.floor(tau) == tau))
        if bool(xp.any(wrong)):
            first = int(xp.argmax(xp.astype(wrong, xp.int32)))
            raise InvalidSample(
                f"tau of window {first} is {float(tau[first]):g}; column {self.length} must hold the number of drafts kept, an "
                f"integer in 0..{self.length}"
            )
        if self.emits:
            u = at_hand(accepted)[:, -1]
            wrong = ~(((u >= 0) & (u <= 1)) | (u == 2) | ((u == -1) & (tau == self.length)))
            if bool(xp.any(wrong)):
                first = int(xp.argmax(xp.astype(wrong, xp.int32)))
                raise InvalidSample(
                    f"u of window {first} is {float(u[first]):g}; it must lie in [0, 1], be 2 for what the residual never emits, "
                    "or -1 after a full window"
                )
        return accepted

    def promised(self, log_ratios: Array) -> Array:
        """Compute P_1, ..., P_L from log r_1, ..., log r_L: (n, L) -> (n, L). The cost is O(n L).

        It is done in double precision wherever the backend has it.

        >>> import numpy as np
        >>> VerifiedWindow(2, "block").promised(np.log([[0.5, 4.0]]))
        array([[0.5, 1. ]])
        """
        if not is_array(log_ratios) or tuple(log_ratios.shape)[1:] != (self.length,):
            raise BadInput(f"log_ratios must be an array of shape (n, {self.length})")
        xp, logs = namespace(log_ratios), double(log_ratios)
        columns = [xp.clip(logs[:, 0], None, 0.0)]
        for i in range(1, self.length):
            if self.mode == "token":
                columns.append(columns[-1] + xp.clip(logs[:, i], None, 0.0))
            else:
                columns.append(xp.clip(columns[-1] + logs[:, i], None, 0.0))
        return xp.exp(xp.stack(columns, axis=1))
