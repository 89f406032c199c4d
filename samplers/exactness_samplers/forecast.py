"""The forecast of later predictions that a drafter uses, and its fit. It is written in numpy and serves every backend.

At the base state x_j the target predicted the clean sample D_j. From there to a drafted state x_k, the chain is Gaussian given
x_0 = c: x_k ~ N(A x_j + B c, S I), see :meth:`exactness_samplers.schedules.Schedule.ahead`. With x_0 ~ N(D_j, V_j),

    E[x_0 | x_j, x_k] = D_j + V_j B (B^2 V_j + S)^{-1} (x_k - A x_j - B D_j)     (Bayes),

and D_j itself may move by m_j (D_j - D_{j+1}) per step. A martingale does not move (m = 0: E[x_0 | x_k] along the exact reverse
chain), but the predictions of a flow with little churn do. The forecast never affects exactness.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy.special import erfc

from .schedules import Schedule

# V_j is searched among these multiples of the pilots' mean square error. A few ambiguous pilots make up most of that error, and
# the majority is forecast better with a smaller V_j.
_SHARES = np.concatenate([[0.0], np.geomspace(1e-4, 3.0, 32)])
_MOMENTA = np.linspace(-0.5, 2.0, 11)


@dataclass(frozen=True)
class Forecast:
    """The numbers of a forecast. Row j belongs to the base step j = 0..K, and row K + 1 to the prior, before any evaluation.

    ``centre`` (d,) is the prior mean of x_0. V_j is ``along`` (K + 2, r) along the columns of ``axes`` (d, r), and ``rest``
    (K + 2,) in all other directions; both are variances, >= 0. ``momentum`` (K + 2,) is m_j.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> Forecast.within(ddpm(cosine_betas(4)), variance=0.1, centre=np.zeros(2)).rest.shape
    (6,)
    """

    centre: np.ndarray
    rest: np.ndarray
    axes: np.ndarray
    along: np.ndarray
    momentum: np.ndarray

    def save(self, path: str | Path) -> None:
        """Write the forecast to an ``.npz`` file."""
        np.savez(_named(path), centre=self.centre, rest=self.rest, axes=self.axes, along=self.along, momentum=self.momentum)

    @classmethod
    def load(cls, path: str | Path) -> Forecast:
        """Read what ``save`` wrote. Raises ``ValueError`` if the file holds no forecast."""
        try:
            with np.load(_named(path)) as kept:
                return cls(*(kept[name] for name in ("centre", "rest", "axes", "along", "momentum")))
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} holds no forecast (centre, rest, axes, along, momentum): fit and save one") from error

    @classmethod
    def within(cls, schedule: Schedule, variance: float, centre: np.ndarray) -> Forecast:
        """The forecast, by Bayes' rule, if x_0 is a Gaussian of this ``variance`` about one of several points that is known."""
        known = schedule.noise**2 * variance / (schedule.signal**2 * variance + schedule.noise**2)
        rows = len(known) + 1
        rest = np.concatenate([known, [variance]])
        return cls(np.asarray(centre, dtype=np.float64), rest, np.zeros((len(centre), 0)), np.zeros((rows, 0)), np.zeros(rows))

    def check(self, schedule: Schedule, dim: int) -> None:
        """Raise ``ValueError`` if the forecast was fitted for another process."""
        rows, rank = schedule.steps + 2, self.axes.shape[-1]
        shapes = {"centre": (dim,), "rest": (rows,), "axes": (dim, rank), "along": (rows, rank), "momentum": (rows,)}
        values = {name: getattr(self, name) for name in shapes}
        if not all(np.all(np.isfinite(v)) for v in values.values()) or np.any(self.rest < 0.0) or np.any(self.along < 0.0):
            raise ValueError("the forecast holds numbers that are not finite, or variances below 0: fit it again")
        if any(values[name].shape != shape for name, shape in shapes.items()):
            raise ValueError(
                f"the forecast is of another process: it has {len(self.rest) - 2} steps in {len(self.centre)} dimensions, "
                f"this one {schedule.steps} in {dim}; fit one for it"
            )

    def tables(self, schedule: Schedule, lags: int) -> dict[str, np.ndarray]:
        """The tables that a drafter looks up.

        They are ``A``, ``B``, ``S`` and ``gain`` (K + 2, lags + 1), ``gain_along`` (K + 2, lags + 1, r) in addition to ``gain``,
        and ``turn`` (K + 2,) and ``turn_along`` (K + 2, r), which say how much D moves with x at the base step itself.
        """
        at = np.minimum(np.arange(schedule.steps + 2), schedule.steps)
        a, b, s = (part[at] for part in schedule.ahead(lags))
        gain = bayes_gain(self.rest[:, None], b, s)
        gain_along = bayes_gain(self.along[:, None, :], b[..., None], s[..., None]) - gain[..., None]
        # Tweedie's formula: the derivative of E[x_0 | x_j] is Cov(x_0 | x_j) signal / noise^2. The prior has seen no state.
        slope = np.zeros(schedule.steps + 2)
        slope[1:-1] = schedule.signal[1:] / schedule.noise[1:] ** 2
        turn = slope * self.rest
        return {
            "A": a, "B": b, "S": s, "V": self.rest, "slope": slope, "momentum": self.momentum, "centre": self.centre,
            "axes": self.axes, "gain": gain, "gain_along": gain_along, "turn": turn,
            "turn_along": slope[:, None] * self.along - turn[:, None],
        }  # fmt: skip


def check_fit(schedule: Schedule, dim: int, *, window: int, chains: int, rank: int) -> None:
    """Raise ``ValueError`` if no forecast can be fitted, before any pilot chain runs."""
    if "sample" not in schedule.kinds:
        raise ValueError("a forecast is about clean samples, but this process has none behind it")
    if window < 1 or chains < 2 or not 0 <= rank <= dim:
        raise ValueError(f"window must be at least 1, chains at least 2 and rank in 0..{dim}, not {window}, {chains} and {rank}")


def _named(path: str | Path) -> Path:
    """The path with the suffix that numpy would add."""
    return Path(path) if Path(path).suffix == ".npz" else Path(f"{path}.npz")


def bayes_gain(v: np.ndarray, b: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The gain V B / (B^2 V + S), which is 0 where nothing is uncertain."""
    return v * b / np.maximum(b * b * v + s, 1e-300)


def fit_forecast(schedule: Schedule, paths: np.ndarray, samples: np.ndarray, *, lags: int, rank: int = 0) -> Forecast:
    """Fit a forecast to pilot chains: at each base step, choose the multiple of V_j and the momentum with the highest acceptance.

    The score is the acceptance 2 Phi(-delta/2) that a draft from x_j would have had at the states of the pilots. It is summed over
    the lags 1..lags, over the pilots and over neighbouring base steps.

    Args:
        schedule: the schedule of the process.
        paths: a few hundred paths (n, K + 1, d) of the plain sampler, x_K first.
        samples: the predictions D_k(x_k) of the clean sample, (K + 1, n, d). Entry 0 is not used.
        lags: the largest lag, at least the window.
        rank: the number of directions that get a variance of their own: the leading ones of the pilots' x_0 about their mean.

    Raises:
        ValueError: if the paths or the predictions are not finite.
    """
    steps, end = schedule.steps, paths[:, -1]
    if not (np.all(np.isfinite(paths)) and np.all(np.isfinite(samples))):
        raise ValueError("pilot chains or their predictions are NaN or infinite: the plain sampler diverges, so correct that first")
    centre = end.mean(0)
    axes = np.linalg.svd(end - centre, full_matrices=False)[2][:rank].T
    base = np.concatenate([samples, np.broadcast_to(centre, (1, *end.shape))])
    a, b, s = schedule.ahead(lags)
    reach = np.abs(schedule.coefficients("sample")[1]) / np.where(schedule.sigma > 0, schedule.sigma, np.inf)
    rest, along = np.zeros(steps + 2), np.zeros((steps + 2, axes.shape[1]))
    scores = np.zeros((steps + 2, len(_SHARES), len(_MOMENTA)))
    for j in range(1, steps + 2):
        at = min(j, steps)
        error = end - base[j]
        along[j] = ((error @ axes) ** 2).mean(0)
        rest[j] = max(0.0, (error**2).sum(1).mean() - along[j].sum()) / max(1, len(centre) - axes.shape[1])
        # The first evaluated step and the prior have no predecessor.
        moved = base[j] - base[j + 1] if j < steps else np.zeros_like(end)
        for lag in range(1, min(lags, at - 1) + 1):
            k = at - lag
            gap = paths[:, steps - k] - a[at, lag] * paths[:, steps - at] - b[at, lag] * base[j]
            miss = base[k] - base[j]
            gain = bayes_gain(_SHARES * rest[j], b[at, lag], s[at, lag])
            square = _squares(miss, gap, lag * moved, gain)
            if axes.shape[1]:
                along_miss, along_gap, along_moved = miss @ axes, gap @ axes, lag * (moved @ axes)
                square -= _squares(along_miss, along_gap, along_moved, gain)
                for i in range(axes.shape[1]):
                    own = bayes_gain(_SHARES * along[j, i], b[at, lag], s[at, lag])
                    one = slice(i, i + 1)
                    square += _squares(along_miss[:, one], along_gap[:, one], along_moved[:, one], own)
            delta = reach[k - 1] * np.sqrt(np.maximum(square, 0.0))
            scores[j] += erfc(delta / np.sqrt(8.0)).mean(-1)
    scores[1:-2] = scores[:-3] + scores[1:-2] + scores[2:-1]
    best = scores.reshape(steps + 2, -1).argmax(1)
    share, momentum = _SHARES[best // len(_MOMENTA)], _MOMENTA[best % len(_MOMENTA)]
    momentum = np.where(scores.reshape(steps + 2, -1).max(1) > 0, momentum, 0.0)
    momentum[[0, steps, steps + 1]] = 0.0
    return Forecast(centre, share * rest, axes, share[:, None] * along, momentum)


def _squares(miss: np.ndarray, gap: np.ndarray, moved: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """|miss - g gap - m moved|^2 for every gain g and momentum m: (n, d) three times, (G,) -> (G, M, n)."""
    g, m = gain[:, None, None], _MOMENTA[None, :, None]
    dot = lambda u, v: np.einsum("ni,ni->n", u, v)  # noqa: E731
    linear = 2.0 * (g * dot(miss, gap) + m * dot(miss, moved))
    return dot(miss, miss) - linear + g * g * dot(gap, gap) + m * m * dot(moved, moved) + 2.0 * g * m * dot(gap, moved)
