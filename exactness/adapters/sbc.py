"""Ranks of simulation-based calibration that another program has computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import is_array, to_numpy
from ..claim import Claim
from ..errors import BadInput
from ..laws import SbcRanks
from ..plan import Plan
from ..saved import SavedPaths


def from_sbc_ranks(ranks: Any, draws: int, *, name: str = "SBC ranks", plan: Plan | None = None) -> Claim:
    """Claim that the ranks of a finished run of simulation-based calibration are uniform.

    ``ex.certify(*from_sbc_ranks(ranks, L))`` judges them.

    Args:
        ranks: integers from 0 to L, (n,) or (n, p) with one row per simulation, or a dict of such arrays (n,) by name.
        draws: L, the number of posterior draws per simulation that a rank counts, after thinning.
        name: the name of the claim.
        plan: the default is a plan of all simulations.

    Draws of a chain must have been thinned to independence: ranks cannot show it, and where they were not, right samplers are
    refuted. Ties must have been broken at random. Nothing is binned. The certificate says what ranks do not see.

    Raises:
        BadInput: if the ranks are no integers (midpoints of ties, or ranks divided by L), or lie outside 0 to L.

    >>> import numpy as np
    >>> import exactness as ex
    >>> right = np.random.default_rng(0).integers(0, 100, (4000, 2))
    >>> ex.certify(*from_sbc_ranks(right, draws=99), plan=ex.Plan(tolerance=0.1, max_paths=4000)).verdict.value
    'certified'
    >>> from_sbc_ranks(right + 0.5, draws=100)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    exactness.errors.BadInput: the ranks hold 85.5: half a rank is the midpoint of a tie, and midpoints are not uniform, ...
    """
    names: list[str] | None = None
    if isinstance(ranks, Mapping):
        names = [str(key) for key in ranks]
        columns = [_numbers(value) for value in ranks.values()]
        if not columns or any(c.ndim != 1 or len(c) != len(columns[0]) for c in columns):
            raise BadInput("ranks in a dict must be arrays of one length, (n,), one rank per simulation")
        values = np.stack(columns, axis=1)
    else:
        values = _numbers(ranks)
        values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or not values.size:
        raise BadInput(f"ranks must have shape (n,) or (n, p), one row per simulation; got {values.shape}")
    law = SbcRanks(draws=draws, quantities=names or values.shape[1], name=name)
    _check(values, law.draws)
    saved = SavedPaths(values.astype(np.int64))
    return Claim(name, saved, law, plan or Plan(max_paths=saved.count))


def _numbers(ranks: Any) -> np.ndarray:
    values = np.asarray(to_numpy(ranks) if is_array(ranks) else ranks)
    if values.dtype.kind not in "iuf":
        raise BadInput(f"ranks must be integers; got {values.dtype}")
    return values


def _check(values: np.ndarray, draws: int) -> None:
    """Raise ``BadInput`` unless the values are integers from 0 to ``draws``."""
    if not np.all(np.isfinite(values)):
        raise BadInput(
            "the ranks hold NaN or infinity: a simulation without a rank must not be left out, because it may be a failure"
        )
    broken = values[values != np.floor(values)]
    if broken.size and np.all(broken * 2 == np.floor(broken * 2)):
        raise BadInput(
            f"the ranks hold {broken[0]:g}: half a rank is the midpoint of a tie, and midpoints are not uniform, so that a right "
            "sampler would be refuted. Break ties at random: add to the number of smaller draws a random "
            "integer from 0 to the number of ties"
        )
    if broken.size:
        raise BadInput(f"the ranks hold {broken[0]:g}, which is no integer: give the numbers of smaller draws, not shares")
    if values.min() == 1 and values.max() == draws + 1:
        raise BadInput(f"the ranks go from 1 to {draws + 1}: ranks count from 0, so subtract 1")
    if values.min() < 0 or values.max() > draws:
        raise BadInput(
            f"the ranks go from {values.min():g} to {values.max():g}, and with {draws} draws per simulation they lie between 0 and "
            f"{draws}: draws= is the number of posterior draws that each rank counts, after thinning"
        )
