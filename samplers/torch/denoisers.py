"""Closed-form denoisers: E[x_0 | x_k] where x_k is signal_k x_0 + noise_k xi and x_0 comes from a Gaussian mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .processes import Schedule

# Rows are taken a slice at a time, so that a slice's (rows, components) table stays in cache or at least in memory.
_SLICE_ENTRIES = 1 << 22


class _Placed:
    """Numpy constants, kept beside the states that they meet: one copy for each device and dtype seen."""

    def __init__(self, **constants: np.ndarray) -> None:
        self._constants = constants
        self._copies: dict[tuple[torch.device, torch.dtype], dict[str, Tensor]] = {}

    def beside(self, x: Tensor) -> dict[str, Tensor]:
        key = (x.device, x.dtype)
        if key not in self._copies:
            self._copies[key] = {k: torch.as_tensor(v, dtype=x.dtype, device=x.device) for k, v in self._constants.items()}
        return self._copies[key]


class MixtureDenoiser:
    """Posterior mean of the clean sample, for weights (C,), means (C, d), covariances (C,) | (C, d) | (C, d, d).

    Callable as ``predict(steps, x, condition)`` of kind ``sample``. O(n C d), for full covariances O(n C d^2).
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
        rows = max(1, _SLICE_ENTRIES // (self.components * (1 if self.shape == "isotropic" else self.dim)))
        parts = [self._posterior_mean(s, part) for s, part in zip(steps.split(rows), x.split(rows), strict=True)]
        return torch.cat(parts) if parts else torch.zeros_like(x)

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
    """Product of one-dimensional mixtures along the columns of a rotation: each coordinate is denoised by itself.

    ``weights``, ``means``, ``variances``: (d, C), one row a coordinate; ``rotation``: (d, d), columns the axes.
    """

    def __init__(
        self, schedule: Schedule, weights: np.ndarray, means: np.ndarray, variances: np.ndarray, rotation: np.ndarray
    ) -> None:
        self._at = _Placed(
            log_weights=np.log(weights), means=means, variances=variances, rotation=rotation,
            signal=schedule.signal, noise=schedule.noise,
        )  # fmt: skip

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        c = self._at.beside(x)
        signal, noise2 = c["signal"][:, None, None], (c["noise"] ** 2)[:, None, None]
        variance = signal**2 * c["variances"] + noise2
        # One row a step: the logarithms and quotients are taken once, not for every chain.
        constant = (c["log_weights"] - 0.5 * torch.log(variance))[steps]
        precision, gain = (0.5 / variance)[steps], (signal * c["variances"] / variance)[steps]
        offset = (x @ c["rotation"])[..., None] - c["signal"][steps][:, None, None] * c["means"]
        weights = torch.softmax(constant - offset**2 * precision, dim=-1)
        clean = (weights * (c["means"] + gain * offset)).sum(-1)
        return clean @ c["rotation"].T


@dataclass(frozen=True)
class LabelledDenoiser:
    """Posterior mean given the label: the condition is (n,) component indices of a mixture with one common variance."""

    schedule: Schedule
    means: np.ndarray
    variance: float

    def __call__(self, steps: Tensor, x: Tensor, condition: Tensor | None = None) -> Tensor:
        if condition is None:
            raise ValueError("a labelled chain needs its labels: pass condition=labels, shape (n,)")
        put = lambda a: torch.as_tensor(a, dtype=x.dtype, device=x.device)  # noqa: E731
        signal, noise2 = put(self.schedule.signal)[steps][:, None], (put(self.schedule.noise)[steps] ** 2)[:, None]
        centre = put(self.means)[condition]
        return centre + signal * self.variance / (signal**2 * self.variance + noise2) * (x - signal * centre)
