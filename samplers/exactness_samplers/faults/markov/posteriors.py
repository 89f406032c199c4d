"""Faults of kernels for a posterior: what they make of the data and of the prior."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..base import Array, Backend
from .base import joint
from .targets import MODEL

STEP = 0.5


def walk(of: Backend, theta: Array, noise: Array, log_joint: Callable[[Array], Array]) -> Array:
    """A random walk on a joint density of the parameters."""
    return of.markov.random_walk(log_joint, theta, noise, STEP)


def draw_posterior(of: Backend, data: Array, normals: Array, prior_precision: float = 1.0) -> Array:
    """Independent draws of the conjugate posterior, (n, 2)."""
    mean, root = MODEL.posterior(of, data, prior_precision)
    return mean + spread_by(of, root, normals)


def spread_by(of: Backend, root: np.ndarray, normals: Array) -> Array:
    """``root`` (2, 2), lower triangular, times normals (n, 2)."""
    first = float(root[0, 0]) * normals[:, 0]
    return of.xp.stack([first, float(root[1, 0]) * normals[:, 0] + float(root[1, 1]) * normals[:, 1]], axis=1)


@joint(
    "ignores-the-data", "The kernel keeps the prior.", size=(2, 1), falls_by=100, seen=("TuringLang/JuliaBUGS.jl#250",),
)  # fmt: skip
def ignores_the_data(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_prior(of, at))


@joint(
    "joint-for-likelihood", "An elliptical slice takes the joint density for the likelihood, so the prior counts twice.",
    size=(2, 25), falls_by=800, seen=("STOR-i/GaussianProcesses.jl#180",),
)  # fmt: skip
def joint_for_likelihood(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return of.slices.elliptical_slice(lambda at: MODEL.log_joint(of, at, data), theta, noise)


@joint("observation-left-out", "The last observation is left out.", size=(2, 1), falls_by=282)
def observation_left_out(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_joint(of, at, data[:, :-1]))


@joint(
    "deviation-slightly-too-large", "The likelihood has standard deviation .75 where the data has .7.", size=(2, 1), falls_by=4525
)
def deviation_slightly_too_large(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_prior(of, at) + MODEL.log_likelihood(of, at, data, 0.75))


@joint("observations-reversed", "The observations are read in the reverse order.", size=(2, 1), falls_by=100)
def observations_reversed(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_joint(of, at, of.xp.flip(data, axis=1)))


@joint("likelihood-twice", "The likelihood counts twice.", size=(2, 1), falls_by=200)
def likelihood_twice(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_joint(of, at, data) + MODEL.log_likelihood(of, at, data))


@joint("prior-forgotten", "The kernel keeps the likelihood alone.", size=(2, 1), falls_by=800)
def prior_forgotten(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_likelihood(of, at, data))


@joint("data-of-the-next-row", "Each chain reads the data of the chain after it.", size=(2, 1), falls_by=100)
def data_of_the_next_row(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return walk(of, theta, noise, lambda at: MODEL.log_joint(of, at, of.xp.roll(data, 1, axis=0)))


@joint(
    "conjugate-prior-precision-wrong",
    "The conjugate update takes the prior's standard deviation to be 2.",
    size=(2, 0),
    falls_by=1131,
)
def conjugate_prior_precision_wrong(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    return of.kernels.always(draw_posterior(of, data, noise.normals, 0.25))


@joint("tempered-likelihood", "The likelihood is raised to the power .8.", size=(2, 1), falls_by=1600)
def tempered_likelihood(of: Backend, theta: Array, data: Array, noise: Array) -> Array:
    wider = MODEL.sd / math.sqrt(0.8)
    return walk(of, theta, noise, lambda at: MODEL.log_prior(of, at) + MODEL.log_likelihood(of, at, data, wider))
