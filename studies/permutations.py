"""p-values of statistics whose null distribution is that of relabelled data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def p_value(
    observed: float, relabelled: Callable[[int], np.ndarray], permutations: int, piece: int, enough: int | None = None
) -> float:
    """With the +1: (1 + how many of so many relabelled statistics reach the observed one) / (1 + permutations), which is exact.

    Args:
        relabelled: ``relabelled(m)`` gives the statistics of m fresh random relabellings, (m,); at most ``piece`` at a time.
        enough: stop as soon as so many have reached it; p is then their number over the relabellings made until then, which is
            exact as well (Besag and Clifford 1991, "Sequential Monte Carlo p-values") and spares most of the work where p is large.
    """
    exceeding, made = 0, 0
    while made < permutations:
        reached = np.flatnonzero(relabelled(min(piece, permutations - made)) >= observed)
        if enough is not None and exceeding + len(reached) >= enough:
            return enough / (made + int(reached[enough - exceeding - 1]) + 1)
        exceeding += len(reached)
        made += min(piece, permutations - made)
    return (1 + exceeding) / (1 + permutations)
