"""Faults of couplings: a chain of the pair that no longer moves by the kernel, and pairs that do not stay together.

A coupling that moves one of its chains wrongly can meet sooner than the total variation allows, so its bound would be false.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..base import Array, Backend
from .base import row
from .targets import CORRELATED, MIXTURE, RHO

STEP = 0.8


def _walk(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.random_walk(MIXTURE.log_density(of), x, noise, STEP)


coupled = partial(row, target=MIXTURE, size=(4, 3), margin=_walk, margin_size=(2, 1), seen_by="margin")


def _judged(of: Backend, x: Array, y: Array, to_x: Array, to_y: Array, coin_x: Array, coin_y: Array) -> tuple[Array, Array]:
    density = MIXTURE.log_density(of)
    judge = lambda a, to, coin: of.markov.metropolis(a, to, density(to) - density(a), coin).state  # noqa: E731
    return judge(x, to_x, coin_x), judge(y, to_y, coin_y)


@coupled(
    "partner-redrawn-from-everything",
    "A partner that cannot share a proposal draws a fresh one, and not one of the residual.",
    falls_by=6400,
)
def partner_redrawn_from_everything(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    to_x, to_y = of.markov_couplings.coupled_normals(x, y, STEP, noise)
    met = of.xp.all(to_x == to_y, axis=-1)[:, None]
    to_y = of.xp.where(met, to_y, y + STEP * noise.normals[:, 2:])
    return _judged(of, x, y, to_x, to_y, noise.uniforms[:, 2], noise.uniforms[:, 2])


@coupled("proposal-always-shared", "Both chains propose the first one's proposal.", falls_by=282)
def proposal_always_shared(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    to = x + STEP * noise.normals[:, :2]
    return _judged(of, x, y, to, to, noise.uniforms[:, 2], noise.uniforms[:, 2])


@coupled("stuck-together-when-close", "Chains that are within 1 of each other are taken to have met.", falls_by=18101)
def stuck_together_when_close(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    new_x, new_y = of.markov_couplings.coupled_random_walk(MIXTURE.log_density(of), x, y, noise, STEP)
    close = (of.xp.sum((new_x - new_y) ** 2, axis=-1) < 1.0)[:, None]
    return new_x, of.xp.where(close, new_x, new_y)


@coupled("accepted-together", "The partner's proposal is accepted wherever the first chain's is.", falls_by=1131)
def accepted_together(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    density = MIXTURE.log_density(of)
    to_x, to_y = of.markov_couplings.coupled_normals(x, y, STEP, noise)
    move = of.markov.metropolis(x, to_x, density(to_x) - density(x), noise.uniforms[:, 2])
    return move.state, of.xp.where(move.accepted[:, None], to_y, y)


@coupled(
    "parted-after-meeting", "Each chain has a coin of its own, so chains that met part again; each alone is right.",
    seen_by="convergence", size=(4, 4),
)  # fmt: skip
def parted_after_meeting(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    to_x, to_y = of.markov_couplings.coupled_normals(x, y, STEP, noise)
    return _judged(of, x, y, to_x, to_y, noise.uniforms[:, 2], noise.uniforms[:, 3])


@row(
    "gibbs-pair-never-meets", "Both scans share their normals, so they come close and are never equal; each alone is right.",
    CORRELATED, (2, 0), seen_by="convergence", margin=lambda of, x, noise: of.gibbs.bivariate_gibbs(x, noise, RHO),
    margin_size=(2, 0), reversible=False,
)  # fmt: skip
def gibbs_pair_never_meets(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    return of.gibbs.bivariate_gibbs(x, noise, RHO).state, of.gibbs.bivariate_gibbs(y, noise, RHO).state


@row(
    "right-walk-pair", "A maximal coupling by reflection with a common coin.", MIXTURE, (4, 3), seen_by="nothing", margin=_walk,
    margin_size=(2, 1),
)  # fmt: skip
def right_walk_pair(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    return of.markov_couplings.coupled_random_walk(MIXTURE.log_density(of), x, y, noise, STEP)


@row(
    "right-gibbs-pair", "Scans whose conditionals are coupled maximally.", CORRELATED, (4, 4), seen_by="nothing",
    margin=lambda of, x, noise: of.gibbs.bivariate_gibbs(x, noise, RHO), margin_size=(2, 0), reversible=False,
)  # fmt: skip
def right_gibbs_pair(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    return of.markov_couplings.coupled_bivariate_gibbs(x, y, noise, RHO)


@row(
    "independent-chains", "Chains that have nothing to do with each other: a valid coupling, which meets too rarely to be of use.",
    MIXTURE, (4, 2), seen_by="convergence", margin=_walk, margin_size=(2, 1),
)  # fmt: skip
def independent_chains(of: Backend, x: Array, y: Array, noise: Array) -> Any:
    to_x, to_y = x + STEP * noise.normals[:, :2], y + STEP * noise.normals[:, 2:]
    return _judged(of, x, y, to_x, to_y, noise.uniforms[:, 0], noise.uniforms[:, 1])
