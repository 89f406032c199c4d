"""The judge's own draws of a law, to compare with the draws that are judged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..arrays import Array, at_hand, double, like, namespace, to_numpy
from ..errors import BadInput, InvalidSample
from ..laws.base import Drawable, Law

# The features of this many draws are computed at a time.
_PIECE = 1 << 14


def exact_draws(law: Law, n: int, seed: int) -> Array:
    """n draws of a drawable law, of shape (n, *event_shape). Raises ``BadInput`` if they cannot be used: the law is at fault."""
    assert isinstance(law, Drawable)
    try:
        return at_hand(law.accept(law.sample(n, seed), n))
    except BadInput:
        raise
    except InvalidSample as error:
        raise BadInput(f"the law's own sample(n={n}, seed={seed}) cannot be used: {error}") from None
    except Exception as error:  # This is the user's own function, so the message says whose it is.
        raise BadInput(
            f"the law's own sample(n={n}, seed={seed}) raised {type(error).__name__}: {error}; it takes (n, seed) and returns an "
            "array"
        ) from error


def side_by_side(law: Law, draws: Array, noise: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """The draws and as many of the judge's own, piece by piece: both as (m, D), in double precision, on the draws' device."""
    n, xp = int(draws.shape[0]), namespace(draws)
    other = exact_draws(law, n, int(noise.integers(1 << 31)))
    for i in range(0, n, _PIECE):
        ours, theirs = draws[i : i + _PIECE], other[i : i + _PIECE]
        if namespace(theirs) is not xp or theirs.dtype != ours.dtype:
            # Both are rounded in the same way, so that constants stay equal.
            theirs = like(to_numpy(theirs), ours)
        yield tuple(xp.reshape(double(v), (min(_PIECE, n - i), -1)) for v in (ours, theirs))
