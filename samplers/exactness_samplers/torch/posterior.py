"""The posterior drafter: it reuses a clean sample and corrects it by Bayes' rule along the drafted states.

:mod:`exactness_samplers.forecast` has the formula. Three further ideas cost no extra evaluation:

* The first window is drafted from the prior, so no chain begins with a round that only evaluates the target.
* If a rejected state y was replaced by x at the same step, D(y) is first turned into a guess of D(x), by the derivative of
  E[x_0 | x] (Tweedie's formula with V_j).
* ``secant``: the last two predictions of a window show how D really changed with x. Where it changed more than V_j predicts, this
  direction gets a variance of its own, by the symmetric rank-one update (Broyden 1967) of the gain.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..forecast import Forecast, check_fit, fit_forecast
from .drafters import Base, Drafter, Memory, Seen, check_base
from .processes import Process, Tables
from .sequential import Sequential

# A secant counts if the change of D has at least this cosine with the move of x. Below, it is rounding or curvature.
_ALIGNED = 0.02


@dataclass(frozen=True)
class Posterior(Drafter):
    """The posterior drafter of a process, with a forecast from :func:`fit`.

    ``base`` says where D_j comes from, as for :class:`exactness_samplers.torch.drafters.Reuse`. ``lags`` is at least the window.
    """

    process: Process
    forecast: Forecast
    lags: int
    base: Base = "free"
    secant: bool = True
    primed = True
    _placed: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_base(self.base)
        if "sample" not in self.process.schedule.kinds:
            raise ValueError(
                "a posterior drafter needs a process with a clean sample behind it; for this process, use the drafter Reuse"
            )
        self.forecast.check(self.process.schedule, self.process.dim)

    def check(self, process: Process, window: int) -> None:
        if not process.schedule.same(self.process.schedule) or self.lags < window:
            raise ValueError(f"this posterior drafter was made for another schedule, or for windows of at most {self.lags} steps")

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.base}-posterior"

    def start(self, tables: Tables, x: Tensor) -> Memory:
        """The base step, the base state, D there, its last move, the direction of the secant, and the variance along it."""
        centre, nothing = self._beside(x)["centre"].expand_as(x), torch.zeros_like(x)
        return torch.full((len(x),), self.process.steps + 1, device=x.device), x, centre, nothing, nothing, nothing[:, 0]

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        c, j = self._beside(seen.x), seen.steps
        sample = tables.convert("to", "sample", j, seen.x, seen.prediction)
        before = tables.convert("to", "sample", seen.before_steps, seen.before_x, seen.before_prediction)
        # The evaluation of a frozen drafter has no predecessor, so the last known move is that of the window before.
        paired, move = seen.paired, torch.where(seen.paired[:, None], sample - before, memory[3])
        direction, variance = self._secant(c, seen, sample, before)
        direction = torch.where(paired[:, None], direction, memory[4])
        variance = torch.where(paired, variance, memory[5])
        # The state may have been replaced by another one at the same step; this is the difference.
        moved = torch.where((seen.now_steps == j)[:, None], seen.now_x - seen.x, torch.zeros_like(seen.x))
        turned = c["turn"][j][:, None] * moved + ((moved @ c["axes"]) * c["turn_along"][j]) @ c["axes"].T
        more = torch.where(variance > 0.0, c["slope"][j] * variance - c["turn"][j], 0.0)
        turned = turned + (more * _dot(direction, moved))[:, None] * direction
        return j, seen.x + moved, sample + turned, move, direction, variance

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        base, base_x, base_sample, move, direction, variance = memory
        c = self._beside(x)
        # The prior has seen nothing, so it forecasts from step K.
        lag = torch.clamp(torch.clamp(base, max=self.process.steps) - steps, 0, self.lags)
        b, gain = c["B"][base, lag], c["gain"][base, lag]
        gap = x - c["A"][base, lag][:, None] * base_x - b[:, None] * base_sample
        sample = base_sample + gain[:, None] * gap + (c["momentum"][base] * lag)[:, None] * move
        if c["axes"].shape[1]:
            sample = sample + (c["gain_along"][base, lag] * (gap @ c["axes"])) @ c["axes"].T
        if self.secant:
            own = variance * b / torch.clamp(b * b * variance + c["S"][base, lag], min=_TINY)
            more = torch.where(variance > 0.0, own - gain, 0.0)
            sample = sample + (more * _dot(direction, gap))[:, None] * direction
        return tables.convert("from", "sample", steps, x, sample)

    def _secant(self, c: dict[str, Tensor], seen: Seen, sample: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """A unit vector (m, d), and V along it at the base step (m,). V is 0 where the last two predictions tell nothing."""
        i = seen.before_steps
        a, b, s, v, gain = (c[name][i, 1] if name != "V" else c[name][i] for name in ("A", "B", "S", "V", "gain"))
        gap = seen.x - a[:, None] * seen.before_x - b[:, None] * before
        surplus = sample - before - gain[:, None] * gap
        square, along = _dot(surplus, surplus), _dot(surplus, gap)
        answered = along > _ALIGNED * torch.sqrt(square * _dot(gap, gap))
        usable = answered & seen.paired & (s > 0.0) & (square > _TINY) & self.secant
        # The gain along the secant is turned back into the variance that explains it, and this into the variance a step later.
        own = gain + square / torch.where(usable, along, 1.0)
        own = torch.minimum(own, 0.98 / torch.clamp(b, min=_TINY))
        at_before = own * s / torch.clamp(b * (1.0 - own * b), min=_TINY)
        variance = at_before * s / torch.clamp(b * b * at_before + s, min=_TINY)
        usable = usable & torch.isfinite(variance) & (variance > v)
        direction = surplus / torch.sqrt(torch.clamp(square, min=_TINY))[:, None]
        return torch.where(usable[:, None], direction, 0.0), torch.where(usable, variance, 0.0)

    def _beside(self, x: Tensor) -> dict[str, Tensor]:
        """The tables of the forecast, on the device and in the dtype of the states."""
        key = (x.device, x.dtype)
        if key not in self._placed:
            tables = self.forecast.tables(self.process.schedule, max(self.lags, 1))
            self._placed[key] = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device) for k, v in tables.items()}
        return self._placed[key]


_TINY = 1e-30


def fit(
    process: Process, window: int, *, chains: int = 300, rank: int = 0, seed: int = 0, condition: Tensor | None = None,
    dtype: torch.dtype = torch.float64, device: str = "cpu",
) -> Forecast:  # fmt: skip
    """Fit a forecast for windows of this length, from pilot chains of the plain sampler.

    Args:
        process: the process of the target.
        window: the largest window.
        chains: the number of pilot chains, a few hundred. Each costs 2 K evaluations of the target.
        rank: see :func:`exactness_samplers.forecast.fit_forecast`.
        seed: the seed of the pilot chains.
        condition: (chains, ...), passed to the prediction row by row.
        dtype, device: the dtype and the device of the pilot chains.

    Raises:
        ValueError: if the process has no clean sample behind it, or a number is out of range.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> process = Process(ddpm(cosine_betas(4)), lambda steps, x, condition: 0.5 * x, "sample", dim=2)
    >>> Posterior(process, fit(process, window=2, chains=20), lags=2).name
    'free-posterior'
    """
    check_fit(process.schedule, process.dim, window=window, chains=chains, rank=rank)
    generator = torch.Generator(device).manual_seed(seed)
    paths = Sequential(process).run(chains, generator, condition=condition, dtype=dtype).paths
    tables, samples = process.tables(paths), [torch.zeros_like(paths[:, 0])]
    with torch.no_grad():
        for k in range(1, process.steps + 1):
            steps, x = torch.full((chains,), k, device=paths.device), paths[:, process.steps - k]
            samples.append(tables.convert("to", "sample", steps, x, process.evaluate(steps, x, condition)))
    seen = torch.stack(samples).double().cpu().numpy()
    return fit_forecast(process.schedule, paths.double().cpu().numpy(), seen, lags=window, rank=rank)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)
