"""Right kernels: the twins of the faults, some that look wrong, and some that are invariant and of no use."""

from __future__ import annotations

import math
from functools import partial

from ..base import Array, Backend
from .base import joint, row
from .hamiltonian import COARSE, KEEP, LEAPS, STEP
from .metropolis import LARGE, SMALL
from .posteriors import draw_posterior, spread_by, walk
from .targets import (
    BETA,
    BETAS,
    CORRELATED,
    ENSEMBLE,
    ESTIMATED,
    FAR,
    GAMMA,
    ISING,
    LINE,
    MIXTURE,
    MODEL,
    NORMAL,
    PHASE,
    POSTERIOR,
    PRIOR_MEAN,
    RHO,
    TEMPERED,
    WALKERS,
    log_estimate,
    log_likelihood,
)

right = partial(row, seen_by="nothing")
useless = partial(row, seen_by="convergence")
right_joint = partial(joint, seen_by="nothing")


# Twins.


@right("right-random-walk", "A symmetric random walk.", MIXTURE, (2, 1))
def right_random_walk(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.random_walk(MIXTURE.log_density(of), x, noise, 0.7)


@right("right-autoregressive", "A proposal towards the origin, with its ratio.", MIXTURE, (2, 1))
def right_autoregressive(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.autoregressive(MIXTURE.log_density(of), x, noise, 0.8)


@right("right-log-walk", "A walk on the logarithm, with the Jacobian.", GAMMA, (1, 1))
def right_log_walk(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.log_walk(GAMMA.log_density(of), x, noise, 0.5)


@right("right-mala", "A Langevin proposal with its ratio; large step.", MIXTURE, (2, 1))
def right_mala(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.mala(MIXTURE.log_density(of), x, noise, LARGE)


@right("right-mala-small", "A Langevin proposal with its ratio; small step.", MIXTURE, (2, 1))
def right_mala_small(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.mala(MIXTURE.log_density(of), x, noise, SMALL)


@right("right-hmc", "Hamiltonian Monte Carlo with a coarse step.", MIXTURE, (2, 1))
def right_hmc(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.hmc(MIXTURE.log_density(of), x, noise, STEP, LEAPS)


@right("right-persistent-hmc", "A momentum that persists and is reversed at a rejection.", PHASE, (4, 1), reversible="flip")
def right_persistent_hmc(of: Backend, state: Array, noise: Array) -> Array:
    return of.markov.persistent_hmc(MIXTURE.log_density(of), state, noise, COARSE, LEAPS, KEEP)


@right("right-gibbs", "A scan in a fixed order.", CORRELATED, (2, 0), reversible=False)
def right_gibbs(of: Backend, x: Array, noise: Array) -> Array:
    return of.gibbs.bivariate_gibbs(x, noise, RHO)


@right("right-gibbs-random-scan", "One coordinate at random.", CORRELATED, (1, 1))
def right_gibbs_random_scan(of: Backend, x: Array, noise: Array) -> Array:
    return of.gibbs.bivariate_gibbs(x, noise, RHO, "random")


@right("right-ising", "The heat bath at a random site.", ISING, (0, 2))
def right_ising(of: Backend, x: Array, noise: Array) -> Array:
    return of.gibbs.ising_heat_bath(x, noise, BETA)


@right("right-ising-sweep", "The heat bath at every site in order.", ISING, (0, 9), reversible=False)
def right_ising_sweep(of: Backend, x: Array, noise: Array) -> Array:
    return of.gibbs.ising_sweep(x, noise, BETA)


@right("right-slice", "A slice of one coordinate, with stepping out.", LINE, (0, 19))
def right_slice(of: Backend, x: Array, noise: Array) -> Array:
    return of.slices.coordinate_slice(LINE.log_density(of), x, noise, 1.0)


@right("right-slice-of-few-tries", "A slice that gives up after two points and stays.", MIXTURE, (0, 10), reversible=False)
def right_slice_of_few_tries(of: Backend, x: Array, noise: Array) -> Array:
    return of.slices.coordinate_slice(MIXTURE.log_density(of), x, noise, 2.5, 2, 2)


@right("right-elliptical-slice", "It has no rejections and no tuning, and the prior need not be centred.", POSTERIOR, (2, 25))
def right_elliptical_slice(of: Backend, x: Array, noise: Array) -> Array:
    return of.slices.elliptical_slice(log_likelihood, x, noise, PRIOR_MEAN)


@right("right-tempering", "Walks of all replicas, and then a swap.", TEMPERED, (3, 5), reversible=False)
def right_tempering(of: Backend, x: Array, noise: Array) -> Array:
    return of.tempering.parallel_tempering(LINE.log_density(of), x, noise, BETAS, 0.8)


@right("right-stretch", "The stretch move of one walker.", ENSEMBLE, (0, 4))
def right_stretch(of: Backend, x: Array, noise: Array) -> Array:
    return of.ensembles.stretch(MIXTURE.log_density(of), x, noise, WALKERS)


@right("right-pseudo-marginal", "An estimate of the density that is kept with its state.", ESTIMATED, (2, 1))
def right_pseudo_marginal(of: Backend, state: Array, noise: Array) -> Array:
    return of.markov.pseudo_marginal(log_estimate(of), state, noise, 1.0)


@right_joint("right-walk-of-a-posterior", "A random walk on the joint density.", size=(2, 1))
def right_walk_of_a_posterior(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_joint(of, at, data))


@right_joint("right-elliptical-slice-of-a-posterior", "An elliptical slice of the likelihood.", size=(2, 25))
def right_elliptical_slice_of_a_posterior(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return of.slices.elliptical_slice(lambda at: MODEL.log_likelihood(of, at, data), theta, noise)


# Odd, and right.


@right("walk-of-two-points", "The walk moves each coordinate by .9 or -.9 and nothing in between.", MIXTURE, (0, 3))
def walk_of_two_points(of: Backend, x: Array, noise: Array) -> Array:
    jump = of.xp.where(noise.uniforms[:, 1:] < 0.5, of.xp.ones_like(x), -of.xp.ones_like(x))
    return of.markov.random_walk(MIXTURE.log_density(of), x, noise._replace(normals=jump), 0.9)


@right("barker-for-metropolis", "A proposal is accepted with probability r/(1 + r).", MIXTURE, (2, 1))
def barker_for_metropolis(of: Backend, x: Array, noise: Array) -> Array:
    density = MIXTURE.log_density(of)
    proposal = x + 0.7 * noise.normals
    gain = density(proposal) - density(x)
    return of.markov.metropolis(x, proposal, -of.xp.log(1.0 + of.xp.exp(-gain)), noise.uniforms[:, 0])


@right("lazy", "Most steps do nothing.", MIXTURE, (2, 2))
def lazy(of: Backend, x: Array, noise: Array) -> Array:
    move = of.markov.random_walk(MIXTURE.log_density(of), x, noise, 0.7)
    return of.markov.where(noise.uniforms[:, 1] < 0.05, move, move._replace(state=x))


@right("heavy-tailed-walk", "The step of the walk is Cauchy.", MIXTURE, (3, 1))
def heavy_tailed_walk(of: Backend, x: Array, noise: Array) -> Array:
    cauchy = noise.normals[:, :2] / noise.normals[:, 2:]
    return of.markov.random_walk(MIXTURE.log_density(of), x, noise._replace(normals=cauchy), 0.5)


@right(
    "over-relaxed-gibbs",
    "Each coordinate is drawn on the other side of its conditional mean.",
    CORRELATED,
    (2, 0),
    reversible=False,
)
def over_relaxed_gibbs(of: Backend, x: Array, noise: Array) -> Array:
    """Source: Adler 1981. With alpha = -.9: mean + alpha (x - mean) + sd sqrt(1 - alpha^2) z."""
    alpha = -0.9
    sd = math.sqrt((1.0 - RHO**2) * (1.0 - alpha**2))
    first = RHO * x[:, 1] + alpha * (x[:, 0] - RHO * x[:, 1]) + sd * noise.normals[:, 0]
    second = RHO * first + alpha * (x[:, 1] - RHO * first) + sd * noise.normals[:, 1]
    return of.kernels.always(of.xp.stack([first, second], axis=1))


@right("independent-of-the-state", "A fresh draw of the target, whatever the state.", CORRELATED, (2, 0))
def independent_of_the_state(of: Backend, x: Array, noise: Array) -> Array:
    first, second = noise.normals[:, 0], noise.normals[:, 1]
    return of.kernels.always(of.xp.stack([first, RHO * first + math.sqrt(1.0 - RHO**2) * second], axis=1))


@right("ising-metropolis", "A spin of a random site is reversed with probability min(1, exp(-2 b s h)).", ISING, (0, 2))
def ising_metropolis(of: Backend, x: Array, noise: Array) -> Array:
    xp = of.xp
    site = xp.floor(9.0 * noise.uniforms[:, :1])
    here = xp.astype(of.arange(9, x), site.dtype)[None, :] == site
    loss = xp.sum(xp.where(here, 2.0 * BETA * x * of.gibbs.ising_field(x), xp.zeros_like(x)), axis=-1)
    return of.markov.metropolis(x, xp.where(here, -x, x), -loss, noise.uniforms[:, 1])


@right_joint("conjugate-draw", "An independent draw of the posterior, which does not look at the parameters.", size=(2, 0))
def conjugate_draw(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return of.kernels.always(draw_posterior(of, data, noise.normals))


@right_joint(
    "mirrored-at-the-posterior-mean", "The parameters jump to their mirror image at the posterior mean.", size=(0, 0), steps=1
)
def mirrored_at_the_posterior_mean(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    mean, _ = MODEL.posterior(of, data)
    return of.kernels.always(2.0 * mean - theta)


@right_joint("over-relaxed-posterior", "A draw on the other side of the posterior mean.", size=(2, 0), steps=3)
def over_relaxed_posterior(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    mean, root = MODEL.posterior(of, data)
    return of.kernels.always(mean - 0.8 * (theta - mean) + spread_by(of, root, 0.6 * noise.normals))


# Invariant, and of no use.


@useless("identity", "It never moves.", MIXTURE, (0, 0))
def identity(of: Backend, x: Array, noise: Array) -> Array:
    return of.kernels.always(x)


@useless("alternation", "It moves from x to -x and back.", NORMAL, (0, 0))
def alternation(of: Backend, x: Array, noise: Array) -> Array:
    return of.kernels.always(-x)


@useless("one-coordinate-never-updated", "The walk forgets the second coordinate.", MIXTURE, (2, 1))
def one_coordinate_never_updated(of: Backend, x: Array, noise: Array) -> Array:
    first = of.xp.stack([noise.normals[:, 0], 0.0 * noise.normals[:, 1]], axis=1)
    return of.markov.random_walk(MIXTURE.log_density(of), x, noise._replace(normals=first), 0.7)


@useless("never-crosses", "A walk on two modes that are 16 standard deviations apart.", FAR, (1, 1))
def never_crosses(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.random_walk(FAR.log_density(of), x, noise, 1.0)


@useless("rotation", "It turns the plane by one radian, and keeps the radius for ever.", NORMAL, (0, 0), reversible=False)
def rotation(of: Backend, x: Array, noise: Array) -> Array:
    c, s = math.cos(1.0), math.sin(1.0)
    return of.kernels.always(of.xp.stack([c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]], axis=1))


@useless("step-far-too-large", "A walk whose proposals are almost never accepted.", MIXTURE, (2, 1))
def step_far_too_large(of: Backend, x: Array, noise: Array) -> Array:
    return of.markov.random_walk(MIXTURE.log_density(of), x, noise, 1e4)
