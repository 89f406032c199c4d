"""Couplings of Markov kernels as pure functions of their noise: two chains that meet, and stay together from then on.

Each function makes one step of n pairs, (x, y, noise) -> (x', y'). Either chain alone moves by the kernel, so the time at which a
chain meets one that starts from pi bounds its total variation from pi. Normal proposals are coupled maximally, which is what makes
the chains equal and not only close; the acceptance coin is shared.

Sources: Jacob, O'Leary & Atchade 2020 (Metropolis, Gibbs); Heng & Jacob 2019 (HMC); Bou-Rabee, Eberle & Zimmer 2020 (reflection).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from . import couplings, gibbs, markov
from .kernels import Noise, Pair, Size
from .markov import LogDensity

Coupling = Literal["reflection", "independent"]
"""What replaces a proposal that the partner cannot share: its mirror image, or an independent draw of the residual."""


def coupled_normals(
    mean_x: Tensor, mean_y: Tensor, spread: float, noise: Noise, coupling: Coupling = "reflection"
) -> tuple[Tensor, Tensor]:
    """Draws of N(mean_x, spread^2 I) and N(mean_y, spread^2 I), each (n, d), that are equal as often as can be.

    Reads 2 d normals and two uniforms. They are equal with probability 2 Phi(-|mean_x - mean_y|/(2 spread)).
    """
    dim = mean_x.shape[1]
    drawn, fresh = noise.normals[:, :dim], noise.normals[:, dim : 2 * dim]
    sigma = torch.full_like(mean_x[:, 0], spread)
    delta, axis = couplings.displacement(mean_y, mean_x, sigma)
    x = mean_x + spread * drawn
    shared = torch.log(noise.uniforms[:, 0]) < couplings.log_ratio(delta, (axis * drawn).sum(-1))
    along, across = ("quantile", "kept") if coupling == "reflection" else ("independent", "fresh")
    other = couplings.emit_rejected(
        mean_y, sigma, axis, delta, torch.zeros_like(delta), drawn, fresh, noise.uniforms[:, 1].to(delta.dtype),
        along, across,  # type: ignore[arg-type]
    )  # fmt: skip
    return x, torch.where(shared[:, None], x, other)


def coupled_random_walk(
    log_density: LogDensity, x: Tensor, y: Tensor, noise: Noise, step: float, coupling: Coupling = "reflection"
) -> tuple[Tensor, Tensor]:
    """Two random walks with coupled proposals. Reads 2 d normals and three uniforms."""
    proposals = coupled_normals(x, y, step, noise, coupling)
    coin = noise.uniforms[:, 2]
    moved = [
        markov.metropolis(a, to, log_density(to) - log_density(a), coin).state for a, to in zip((x, y), proposals, strict=True)
    ]
    return together(x, y, *moved)


def coupled_ula(
    log_density: LogDensity, x: Tensor, y: Tensor, noise: Noise, step: float, coupling: Coupling = "reflection"
) -> tuple[Tensor, Tensor]:
    """Two unadjusted Langevin chains. Reads 2 d normals and two uniforms."""
    mean_x, mean_y = (markov.drifted(log_density, a, step) for a in (x, y))
    return together(x, y, *coupled_normals(mean_x, mean_y, math.sqrt(step), noise, coupling))


def coupled_mala(
    log_density: LogDensity, x: Tensor, y: Tensor, noise: Noise, step: float, coupling: Coupling = "reflection"
) -> tuple[Tensor, Tensor]:
    """Two MALA chains with coupled proposals. Reads 2 d normals and three uniforms."""
    means = [markov.drifted(log_density, a, step) for a in (x, y)]
    proposals = coupled_normals(means[0], means[1], math.sqrt(step), noise, coupling)
    moved = []
    for a, mean, to in zip((x, y), means, proposals, strict=True):
        there, back = (to - mean).square().sum(-1), (a - markov.drifted(log_density, to, step)).square().sum(-1)
        log_ratio = log_density(to) - log_density(a) + 0.5 * (there - back) / step
        moved.append(markov.metropolis(a, to, log_ratio, noise.uniforms[:, 2]).state)
    return together(x, y, *moved)


def coupled_hmc(log_density: LogDensity, x: Tensor, y: Tensor, noise: Noise, step: float, leaps: int) -> tuple[Tensor, Tensor]:
    """Two HMC chains with one momentum and one coin. Reads d normals and one uniform. They come close and never meet."""
    return together(x, y, *(markov.hmc(log_density, a, noise, step, leaps).state for a in (x, y)))


def coupled_hmc_or_walk(
    log_density: LogDensity,
    x: Tensor,
    y: Tensor,
    noise: Noise,
    step: float,
    leaps: int,
    walk: float,
    share: float,
    coupling: Coupling = "reflection",
) -> tuple[Tensor, Tensor]:
    """Two chains of :func:`.markov.hmc_or_walk`: HMC brings them close, and the walks let them meet.

    Reads 2 d normals and four uniforms.
    """
    walks = (noise.uniforms[:, 3] < share)[:, None]
    walked = coupled_random_walk(log_density, x, y, noise, walk, coupling)
    swung = coupled_hmc(log_density, x, y, Noise(noise.normals[:, : x.shape[1]], noise.uniforms[:, 2:]), step, leaps)
    return torch.where(walks, walked[0], swung[0]), torch.where(walks, walked[1], swung[1])


def coupled_bivariate_gibbs(
    x: Tensor, y: Tensor, noise: Noise, rho: float, scan: gibbs.Scan = "systematic", coupling: Coupling = "reflection"
) -> tuple[Tensor, Tensor]:
    """Two scans whose conditionals are coupled maximally. Reads two normals and two uniforms per conditional.

    ``systematic`` draws two conditionals; ``random`` draws one, and reads one uniform more for the coordinate, which is shared.
    """
    spread = math.sqrt(1.0 - rho * rho)

    def conditional(x: Tensor, y: Tensor, i: int, normals: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draw coordinate ``i`` of both given the other one."""
        drawn = coupled_normals(rho * x[:, 1 - i : 2 - i], rho * y[:, 1 - i : 2 - i], spread, Noise(normals, uniforms), coupling)
        parts = [(new, a[:, 1:]) if i == 0 else (a[:, :1], new) for a, new in zip((x, y), drawn, strict=True)]
        return torch.cat(parts[0], 1), torch.cat(parts[1], 1)

    first = conditional(x, y, 0, noise.normals[:, :2], noise.uniforms[:, :2])
    if scan == "systematic":
        return together(x, y, *conditional(*first, 1, noise.normals[:, 2:4], noise.uniforms[:, 2:4]))
    second = conditional(x, y, 1, noise.normals[:, :2], noise.uniforms[:, :2])
    drawn = (noise.uniforms[:, 2] < 0.5)[:, None]
    return together(x, y, *(torch.where(drawn, one, two) for one, two in zip(first, second, strict=True)))


def coupled_ising_heat_bath(x: Tensor, y: Tensor, noise: Noise, beta: float) -> tuple[Tensor, Tensor]:
    """Two heat baths at one site with one uniform, which is maximal and keeps ordered spins ordered. Reads two uniforms."""
    return together(x, y, *(gibbs.ising_heat_bath(a, noise, beta).state for a in (x, y)))


def together(x: Tensor, y: Tensor, new_x: Tensor, new_y: Tensor) -> tuple[Tensor, Tensor]:
    """The new states, where pairs that have met stay equal to the last bit, however their rows were computed."""
    met = (x == y).all(1, keepdim=True)
    return new_x, torch.where(met, new_x, new_y)


def random_walk_pair(log_density: LogDensity, step: float, coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_random_walk`.

    >>> pair = random_walk_pair(lambda x: -0.5 * x.square().sum(-1), 1.0, steps=60)
    >>> x, y = pair(torch.zeros(9, 1), torch.ones(9, 1), seed=0)
    >>> bool((x == y).all())
    True
    """
    return Pair(lambda x, y, noise: coupled_random_walk(log_density, x, y, noise, step, coupling), _three, steps)


def mala_pair(log_density: LogDensity, step: float, coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_mala`."""
    return Pair(lambda x, y, noise: coupled_mala(log_density, x, y, noise, step, coupling), _three, steps)


def ula_pair(log_density: LogDensity, step: float, coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_ula`."""
    return Pair(lambda x, y, noise: coupled_ula(log_density, x, y, noise, step, coupling), _three, steps)


def hmc_or_walk_pair(
    log_density: LogDensity,
    step: float,
    leaps: int,
    walk: float,
    share: float,
    coupling: Coupling = "reflection",
    steps: int = 1,
) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_hmc_or_walk`."""

    def run(x: Tensor, y: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        return coupled_hmc_or_walk(log_density, x, y, noise, step, leaps, walk, share, coupling)

    return Pair(run, lambda d: (2 * d, 4), steps)


def bivariate_gibbs_pair(rho: float, scan: gibbs.Scan = "systematic", coupling: Coupling = "reflection", steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_bivariate_gibbs`."""
    size = (4, 4) if scan == "systematic" else (2, 3)
    return Pair(lambda x, y, noise: coupled_bivariate_gibbs(x, y, noise, rho, scan, coupling), lambda d: size, steps)


def ising_pair(beta: float, steps: int = 1) -> Pair:
    """``pair(x, y, seed)`` of :func:`coupled_ising_heat_bath`."""
    return Pair(lambda x, y, noise: coupled_ising_heat_bath(x, y, noise, beta), lambda d: (0, 2), steps)


_three: Size = lambda d: (2 * d, 3)  # noqa: E731
