"""The posterior drafter: a reused clean sample, corrected by Bayes' rule along the drafted states.

Between the base state x_j, where the target predicted the clean sample D_j, and a drafted state x_k, the chain is Gaussian given
x_0 = c: x_k ~ N(A x_j + B c, S I), see :meth:`samplers.schedules.Schedule.ahead`. With x_0 ~ N(D_j, V_j) the forecast is

    E[x_0 | x_j, x_k] = D_j + V_j B (B^2 V_j + S)^{-1} (x_k - A x_j - B D_j).

V_j is the uncertainty that the target leaves about its clean sample at step j: a number, or one number along each of a few
directions and one for the rest. V = 0 is plain reuse. Before anything was evaluated x_0 ~ N(prior mean, prior V): a fitted
drafter drafts from the first window on. Exactness does not depend on any of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .drafters import Base, Drafter, Memory, Seen, check_base
from .processes import Process, Tables


@dataclass(frozen=True)
class Uncertainty:
    """V_j of every step: along the columns of ``axes`` (d, r) it is ``along`` (K + 2, r), elsewhere ``rest`` (K + 2,).

    Row j belongs to step j; row K + 1 to the prior, whose mean is ``centre`` (d,). Rows are variances, >= 0.
    """

    centre: np.ndarray
    rest: np.ndarray
    axes: np.ndarray
    along: np.ndarray

    def save(self, path: str | Path) -> None:
        np.savez(path, centre=self.centre, rest=self.rest, axes=self.axes, along=self.along)

    @classmethod
    def load(cls, path: str | Path) -> Uncertainty:
        try:
            with np.load(path) as kept:
                return cls(kept["centre"], kept["rest"], kept["axes"], kept["along"])
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{path} holds no fitted uncertainty (centre, rest, axes, along): fit and save one") from error

    @classmethod
    def within(cls, process: Process, variance: float, centre: np.ndarray | None = None) -> Uncertainty:
        """That of a Gaussian of this ``variance`` about wherever the mode is: its posterior variance at step j (Bayes)."""
        signal, noise = process.schedule.signal, process.schedule.noise
        known = noise**2 * variance / (signal**2 * variance + noise**2)
        rest = np.concatenate([known, [variance]])
        return cls(np.zeros(process.dim) if centre is None else centre, rest, np.zeros((process.dim, 0)), np.zeros((len(rest), 0)))


@dataclass(frozen=True)
class Posterior(Drafter):
    """``base``: where D_j comes from, as for :class:`samplers.torch.drafters.Reuse`. ``lags``: at least the window."""

    process: Process
    uncertainty: Uncertainty
    lags: int
    base: Base = "free"
    _placed: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_base(self.base)
        steps, dim, u = self.process.steps, self.process.dim, self.uncertainty
        if u.rest.shape != (steps + 2,) or u.centre.shape != (dim,) or u.along.shape != (steps + 2, u.axes.shape[1]):
            raise ValueError(
                f"the uncertainty is of another process: it has {len(u.rest) - 2} steps in {len(u.centre)} dimensions, "
                f"the process {steps} in {dim}; fit one for it"
            )
        if "sample" not in self.process.schedule.kinds:
            raise ValueError("a posterior drafter needs a clean sample behind the process; reuse its prediction instead")

    def check(self, process: Process, window: int) -> None:
        if process.schedule is not self.process.schedule or self.lags < window:
            raise ValueError(f"this posterior drafter was made for another schedule or for windows of at most {self.lags} steps")

    @property
    def name(self) -> str:  # type: ignore[override]
        rank = self.uncertainty.axes.shape[1]
        return f"{self.base}-posterior" + (f"-{rank}" if rank else "")

    @property
    def frozen(self) -> bool:  # type: ignore[override]
        return self.base == "frozen"

    def start(self, tables: Tables, x: Tensor) -> Memory:
        centre = self._beside(x)["centre"]
        return torch.full((len(x),), self.process.steps + 1, device=x.device), x, centre.expand_as(x)

    def remember(self, tables: Tables, memory: Memory, seen: Seen) -> Memory:
        return seen.steps, seen.x, tables.convert("to", "sample", seen.steps, seen.x, seen.prediction)

    def prediction(self, tables: Tables, steps: Tensor, x: Tensor, memory: Memory, condition: Tensor | None) -> Tensor:
        base, base_x, base_sample = memory
        c = self._beside(x)
        # The prior has seen nothing, x_K included: it forecasts as if from step K with the prior's V.
        j = torch.clamp(base, max=self.process.steps)
        lag = torch.clamp(j - steps, 0, self.lags)
        gap = x - c["A"][j, lag][:, None] * base_x - c["B"][j, lag][:, None] * base_sample
        sample = base_sample + c["rest"][base, lag][:, None] * gap
        if "axes" in c:
            sample = sample + (c["along"][base, lag] * (gap @ c["axes"])) @ c["axes"].T
        return tables.convert("from", "sample", steps, x, sample)

    def _beside(self, x: Tensor) -> dict[str, Tensor]:
        """The gains of every base step and lag, on the states' device and in their dtype."""
        key = (x.device, x.dtype)
        if key not in self._placed:
            a, b, s = self.process.schedule.ahead(self.lags)
            u = self.uncertainty
            at = np.minimum(np.arange(len(u.rest)), self.process.steps)
            b_at, s_at = b[at], s[at]
            gain = lambda v: v * b_at / np.maximum(b_at**2 * v + s_at, 1e-300)  # noqa: E731
            rest = gain(u.rest[:, None])
            found = {"centre": u.centre, "A": a, "B": b, "rest": rest}
            if u.axes.shape[1]:
                along = np.stack([gain(v[:, None]) for v in u.along.T], axis=-1) - rest[..., None]
                found |= {"axes": u.axes, "along": along}
            self._placed[key] = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device) for k, v in found.items()}
        return self._placed[key]


def fit(process: Process, chains: int = 300, *, rank: int = 0, seed: int = 0) -> Uncertainty:
    """V_j and the prior from pilot chains of the plain sampler: how far x_0 ended from what was predicted at step j.

    Args:
        chains: a few hundred; K evaluations each.
        rank: of the directions that get a variance of their own: the leading ones of the pilots' x_0 about their mean.
    """
    from .sequential import Sequential

    paths = Sequential(process).run(chains, torch.Generator().manual_seed(seed)).paths
    tables, end = process.tables(paths), paths[:, -1]
    centre = end.mean(0)
    gaps = [torch.zeros_like(end)]
    with torch.no_grad():
        for k in range(1, process.steps + 1):
            steps, x = torch.full((chains,), k), paths[:, process.steps - k]
            gaps.append(tables.convert("to", "sample", steps, x, process.predict(steps, x, None)) - end)
    gaps.append(end - centre)
    axes = torch.linalg.svd(end - centre, full_matrices=False).Vh[:rank].T
    seen = torch.stack(gaps)
    along = (seen @ axes).square().mean(1)
    others = seen.shape[-1] - axes.shape[1]
    rest = (seen.square().sum(-1).mean(1) - along.sum(1)) / max(others, 1)
    return Uncertainty(centre.numpy(), rest.clamp(min=0.0).numpy(), axes.numpy(), along.numpy())
