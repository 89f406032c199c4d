"""Denoisers in closed form: E[x_0 | x_k], where x_k = signal_k x_0 + noise_k xi and x_0 comes from a Gaussian mixture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..schedules import Schedule

# Rows are processed in slices. On a CPU the (rows, components) table of a slice stays in cache, which made the digits' denoiser
# 1.6 times as fast as one table of 16 MB. Elsewhere the table only has to fit into memory.
_SLICE_ENTRIES = {"cpu": 1 << 18}
_SLICE_ELSEWHERE = 1 << 27


class _Placed:
    """Numpy constants with one copy for each device and dtype of the states that they meet."""

    def __init__(self, **constants: np.ndarray) -> None:
        self._constants = constants
        self._copies: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}

    def __getstate__(self) -> dict[str, object]:
        # The copies are kept for speed, and can be made again.
        return {**vars(self), "_copies": {}}

    def beside(self, x: Tensor) -> dict[str, Tensor]:
        key = (x.device, x.dtype)
        if key not in self._copies:
            self._copies[key] = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device) for k, v in self._constants.items()}
        return self._copies[key]


def _by_slices(denoise: Callable[[Tensor, Tensor], Tensor], steps: Tensor, x: Tensor, entries: int) -> Tensor:
    """Apply ``denoise`` to slices of the rows. Each row needs a table of ``entries`` numbers."""
    rows = max(1, _SLICE_ENTRIES.get(x.device.type, _SLICE_ELSEWHERE) // entries)
    if len(x) <= rows:
        return denoise(steps, x)
    return torch.cat([denoise(s, part) for s, part in zip(steps.split(rows), x.split(rows), strict=True)])


class MixtureDenoiser:
    """The posterior mean of the clean sample of a mixture: weights (C,), means (C, d), covariances (C,) | (C, d) | (C, d, d).

    It is called as ``predict(steps, x, condition)``, of kind ``sample``. The cost is O(n C d), with full covariances O(n C d^2).

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> denoiser = MixtureDenoiser(ddpm(cosine_betas(6)), weights=[0.5, 0.5], means=[[1.0], [-1.0]], covariances=[0.1, 0.1])
    >>> tuple(denoiser(torch.tensor([3, 6]), torch.zeros(2, 1, dtype=torch.float64)).shape)
    (2, 1)
    """

    def __init__(self, schedule: Schedule, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        means, covariances = np.asarray(means, dtype=np.float64), np.asarray(covariances, dtype=np.float64)
        self.dim = means.shape[1]
        self.components = len(means)
        rotation = np.zeros((0,))
        if covariances.ndim == 3:
            eigenvalues, rotation = np.linalg.eigh(covariances)
            covariances, means = eigenvalues, np.einsum("cij,ci->cj", rotation, means)
        self.shape = "full" if rotation.size else "diagonal" if covariances.ndim == 2 else "isotropic"
        self.shared = self.shape == "isotropic" and bool(np.all(covariances == covariances[0]))
        with np.errstate(divide="ignore"):
            log_weights = np.log(np.asarray(weights, dtype=np.float64))
        self._at = _Placed(
            log_weights=log_weights, means=means, variances=covariances, rotation=rotation,
            squares=(means**2).sum(-1), signal=schedule.signal, noise=schedule.noise,
        )  # fmt: skip

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return _by_slices(self._posterior_mean, steps, x, self.components * (1 if self.shape == "isotropic" else self.dim))

    def _posterior_mean(self, steps: Tensor, x: Tensor) -> Tensor:
        c = self._at.beside(x)
        signal, noise2 = c["signal"][steps][:, None], (c["noise"][steps] ** 2)[:, None]
        if self.shared:
            variance = signal**2 * c["variances"][0] + noise2
            logits = torch.addmm(c["log_weights"], x * (signal / variance), c["means"].T)
            logits -= (signal**2 / (2.0 * variance)) * c["squares"]
            centre = torch.softmax(logits, dim=1) @ c["means"]
            return (noise2 / variance) * centre + (signal * c["variances"][0] / variance) * x
        if self.shape == "isotropic":
            variance = signal**2 * c["variances"] + noise2
            square = (x * x).sum(1, keepdim=True) - 2.0 * signal * (x @ c["means"].T) + signal**2 * c["squares"]
            logits = c["log_weights"] - 0.5 * (square / variance + self.dim * torch.log(variance))
            weights = torch.softmax(logits, dim=1)
            return (weights * (noise2 / variance)) @ c["means"] + (weights * (signal * c["variances"] / variance)).sum(
                1, keepdim=True
            ) * x
        seen = torch.einsum("cij,ni->ncj", c["rotation"], x) if self.shape == "full" else x[:, None, :]
        signal, noise2 = signal[..., None], noise2[..., None]
        variance = signal**2 * c["variances"] + noise2
        offset = seen - signal * c["means"]
        logits = c["log_weights"] - 0.5 * (offset**2 / variance + torch.log(variance)).sum(-1)
        weights = torch.softmax(logits, dim=1)
        clean = c["means"] + signal * c["variances"] / variance * offset
        if self.shape == "full":
            return torch.einsum("nc,cij,ncj->ni", weights, c["rotation"], clean)
        return (weights[..., None] * clean).sum(1)


class ProductDenoiser:
    """The denoiser of a product of one-dimensional mixtures along the columns of a rotation. Each coordinate is denoised alone.

    ``weights``, ``means`` and ``variances`` have shape (d, C), one row per coordinate. The columns of ``rotation`` (d, d) are the
    axes.
    """

    def __init__(
        self, schedule: Schedule, weights: np.ndarray, means: np.ndarray, variances: np.ndarray, rotation: np.ndarray
    ) -> None:
        # Components come first, because hardware is good at sums over a long last axis.
        signal, noise = schedule.signal[:, None, None], schedule.noise[:, None, None]
        variance = signal**2 * variances.T[:, None, None] + noise**2
        # One row per step, so logarithms and quotients are computed once, not for every chain: (C, K + 1, 1, d) -> (C, K + 1, d).
        shape = (means.shape[1], len(schedule.signal), means.shape[0])
        self._at = _Placed(
            constant=(np.log(weights).T[:, None, None] - 0.5 * np.log(variance)).reshape(shape),
            precision=(0.5 / variance).reshape(shape),
            gain=(signal * variances.T[:, None, None] / variance).reshape(shape),
            noised=(signal * means.T[:, None, None]).reshape(shape),
            means=means.T[:, None], rotation=rotation,
        )  # fmt: skip

        self._entries = means.size

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return _by_slices(self._posterior_mean, steps, x, self._entries)

    def _posterior_mean(self, steps: Tensor, x: Tensor) -> Tensor:
        c = self._at.beside(x)
        offset = x @ c["rotation"] - c["noised"][:, steps]
        logits = c["constant"][:, steps] - offset**2 * c["precision"][:, steps]
        share = torch.exp(logits - logits.amax(0))
        clean = (share * (c["means"] + c["gain"][:, steps] * offset)).sum(0) / share.sum(0)
        return clean @ c["rotation"].T


@dataclass(frozen=True)
class LabelledDenoiser:
    """The posterior mean given the label. The condition (n,) holds component indices of a mixture with one common variance.

    >>> from exactness_samplers.schedules import cosine_betas, ddpm
    >>> denoiser = LabelledDenoiser(ddpm(cosine_betas(6)), means=np.array([[1.0], [-1.0]]), variance=0.1)
    >>> denoiser(torch.tensor([6]), torch.zeros(1, 1), torch.tensor([1])).round(decimals=2)
    tensor([[-1.]])
    """

    schedule: Schedule
    means: np.ndarray
    variance: float

    @cached_property
    def _at(self) -> _Placed:
        return _Placed(signal=self.schedule.signal, noise=self.schedule.noise, means=self.means)

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("a labelled chain needs its labels: pass condition=labels, shape (n,)")
        c = self._at.beside(x)
        signal, noise2 = c["signal"][steps][:, None], (c["noise"][steps] ** 2)[:, None]
        centre = c["means"][condition]
        return centre + signal * self.variance / (signal**2 * self.variance + noise2) * (x - signal * centre)
