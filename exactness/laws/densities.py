"""A distribution on the line of which only the density is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import BadInput
from .quadrature import LogDensity, Quadrature
from .univariate import UnivariateLaw


class DensityLaw(UnivariateLaw):
    """The law of a continuous random number with a known log-density, which is integrated numerically.

    Args:
        log_density: ``log_density(t)``, a function of numpy arrays, (n,) -> (n,), up to an additive constant. It is minus infinity
            where the density is zero. It is called with points inside the support only.
        support: the ends of the support.
        points: places near which the density is high. The highest peaks are found without help if the log-density rises towards
            them from afar. Name the narrow ones if it is minus infinity or level between them, because the integration might miss
            one.
        normalised: whether the density integrates to 1 as it stands. If so, this is checked.
        accuracy: the largest error of the distribution function that is accepted.
        name: the name of the law in certificates.

    The error of the distribution function is estimated by comparing two resolutions, and recorded in certificates
    (:class:`exactness.laws.quadrature.Quadrature`). Usually it is below 1e-10.

    Raises:
        BadInput: if ``log_density`` raises or returns NaN, if the density cannot be integrated to this accuracy, or if it should be
            normalised and is not.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.DensityLaw(lambda t: -np.abs(t) ** 3, name="exp(-|t|^3)")
    >>> law.cdf(np.array([0.0, 10.0]))
    array([0.5, 1. ])
    >>> law.error < 1e-9
    True
    """

    def __init__(
        self,
        log_density: LogDensity,
        *,
        support: tuple[float, float] = (-math.inf, math.inf),
        points: Sequence[float] = (),
        normalised: bool = False,
        accuracy: float = 1e-9,
        name: str = "density",
    ) -> None:
        if not callable(log_density):
            raise BadInput(f"log_density must be a function, (n,) -> (n,); got {type(log_density).__name__}")
        low, high = (float(end) for end in support)
        if not low < high:
            raise BadInput(f"support must be two ends, the lower one first; got {support}")
        found = Quadrature(log_density, (low, high), points, name)
        if not found.error <= accuracy:
            raise BadInput(
                f"the distribution function of {name} is known only to {found.error:.2g} after integrating its density, and "
                f"accuracy={accuracy:g} was asked for: look for noise in the density or poles inside the support, name its peaks "
                "with points=[...], or give a distribution function, exactness.UnivariateLaw(cdf)"
            )
        if normalised and abs(math.expm1(min(found.log_total, 700.0))) > max(_NORMALISED, found.error):
            raise BadInput(
                f"the density of {name} integrates to {math.exp(min(found.log_total, 700.0)):.6g} over its support {(low, high)}, "
                "not to 1: the density or its support is wrong, or a narrow peak was missed (name it with points=[...])"
            )
        self.error, self.log_total = found.error, found.log_total
        super().__init__(found.cdf, support=support, name=name)

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "kind": "DensityLaw", "error": float(f"{self.error:.1e}")}


# Normalisers of libraries are often computed in single precision.
_NORMALISED = 1e-4
