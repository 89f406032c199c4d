"""Slice kernels as pure functions of their noise: one coordinate after the other, and along an ellipse.

Both shrink a bracket until a point of it lies in the slice. Here that takes at most ``tries`` points, so the noise has a fixed
size, and a chain that finds none stays where it is. That is exact: two points find each other through the same shrinking brackets
with the same density, so a success at the k-th try is reversible for every k, and what is missing is put on the diagonal.

Sources: Neal 2003, "Slice sampling" (stepping out with a bound, shrinkage); Murray, Adams & MacKay 2010 (elliptical).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .kernels import Kernel, Move, Noise
from .markov import LogDensity


def coordinate_slice(log_density: LogDensity, x: Tensor, noise: Noise, width: float, outwards: int = 6, tries: int = 16) -> Move:
    """Update each coordinate in order, with brackets of ``width`` that step out at most ``outwards`` - 1 times.

    Reads 3 + ``tries`` uniforms per coordinate. ``accepted`` says whether every coordinate found a point. Each update is
    reversible, and their composition is not.
    """
    found, per = torch.ones(len(x), dtype=torch.bool, device=x.device), 3 + tries
    for i in range(x.shape[1]):
        x, hit = _update(log_density, x, noise.uniforms[:, i * per : (i + 1) * per], i, width, outwards)
        found = found & hit
    return Move(x, found, x)


def elliptical_slice(
    log_likelihood: LogDensity, x: Tensor, noise: Noise, mean: float = 0.0, spread: float = 1.0, tries: int = 24
) -> Move:
    """A step for the prior N(mean, spread^2 I) times exp(log_likelihood); it is reversible.

    Reads d normals and 1 + ``tries`` uniforms.
    """
    level = log_likelihood(x) + torch.log(noise.uniforms[:, 0])
    here, other = x - mean, spread * noise.normals
    angle = 2.0 * math.pi * noise.uniforms[:, 1]
    low, high = angle - 2.0 * math.pi, angle
    state, found = x, torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for k in range(tries):
        if k:
            angle = low + (high - low) * noise.uniforms[:, 1 + k]
        turned = angle[:, None].to(x.dtype)
        point = mean + torch.cos(turned) * here + torch.sin(turned) * other
        hit = ~found & (log_likelihood(point) > level)
        state, found = torch.where(hit[:, None], point, state), found | hit
        low, high = torch.where(angle < 0.0, angle, low), torch.where(angle < 0.0, high, angle)
    return Move(state, found, state)


def coordinate_slice_kernel(log_density: LogDensity, width: float, outwards: int = 6, tries: int = 16, steps: int = 1) -> Kernel:
    """``kernel(x, seed)`` of :func:`coordinate_slice`."""
    step = lambda x, noise: coordinate_slice(log_density, x, noise, width, outwards, tries)  # noqa: E731
    return Kernel(step, lambda d: (0, d * (3 + tries)), steps)


def elliptical_slice_kernel(
    log_likelihood: LogDensity, mean: float = 0.0, spread: float = 1.0, tries: int = 24, steps: int = 1
) -> Kernel:
    """``kernel(x, seed)`` of :func:`elliptical_slice`."""
    step = lambda x, noise: elliptical_slice(log_likelihood, x, noise, mean, spread, tries)  # noqa: E731
    return Kernel(step, lambda d: (d, 1 + tries), steps)


def _update(log_density: LogDensity, x: Tensor, uniforms: Tensor, i: int, width: float, outwards: int) -> tuple[Tensor, Tensor]:
    """One coordinate: the states, and whether a point of the slice was found."""

    def at(value: Tensor) -> Tensor:
        return torch.cat([x[:, :i], value[:, None].to(x.dtype), x[:, i + 1 :]], 1)

    level = log_density(x) + torch.log(uniforms[:, 0])
    low = x[:, i] - width * uniforms[:, 1]
    high = low + width
    # The steps are shared at random between both ends, which keeps the bracket as likely from any of its points.
    left = torch.floor(outwards * uniforms[:, 2])
    right = outwards - 1 - left
    for _ in range(outwards - 1):
        grows = (left > 0) & (log_density(at(low)) > level)
        low, left = torch.where(grows, low - width, low), torch.where(grows, left - 1, torch.zeros_like(left))
        grows = (right > 0) & (log_density(at(high)) > level)
        high, right = torch.where(grows, high + width, high), torch.where(grows, right - 1, torch.zeros_like(right))
    value, found = x[:, i].double(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for k in range(uniforms.shape[1] - 3):
        point = low + (high - low) * uniforms[:, 3 + k]
        hit = ~found & (log_density(at(point)) > level)
        value, found = torch.where(hit, point, value), found | hit
        below = point < x[:, i]
        low, high = torch.where(below, point, low), torch.where(below, high, point)
    return at(value), found
