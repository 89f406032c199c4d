"""Markov kernels as functions of a seed: a loop draws the noise of each step and hands it to a pure function.

A step takes states (n, d), whose rows are independent chains, and the noise of one step, and returns a :class:`Move`. The pure
steps are in :mod:`.markov`, :mod:`.gibbs`, :mod:`.slices`, :mod:`.tempering` and :mod:`.ensembles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Noise(NamedTuple):
    """The noise of one step: ``normals`` (n, k) are standard, ``uniforms`` (n, c) lie in [0, 1). Every number is used once."""

    normals: Tensor
    uniforms: Tensor


class Move(NamedTuple):
    """What one step did: the new ``state`` (n, d), whether the proposal was ``accepted`` (n,), and the ``proposal`` (n, d).

    Kernels without an acceptance, such as Gibbs, accept always.
    """

    state: Tensor
    accepted: Tensor
    proposal: Tensor


Size = Callable[[int], tuple[int, int]]
"""How many normals and uniforms one step reads per chain, as a function of the dimension of the state."""


def always(state: Tensor) -> Move:
    """The move of a kernel that has no acceptance."""
    return Move(state, torch.ones(len(state), dtype=torch.bool, device=state.device), state)


def draw_noise(generator: torch.Generator, n: int, size: tuple[int, int], dtype: torch.dtype) -> Noise:
    """The noise of one step of ``n`` chains.

    Uniforms are in double precision, because a float32 uniform can round to 1.

    >>> noise = draw_noise(torch.Generator().manual_seed(0), 3, (2, 1), torch.float64)
    >>> noise.normals.shape, noise.uniforms.shape
    (torch.Size([3, 2]), torch.Size([3, 1]))
    """
    normals, uniforms = size
    where = generator.device
    return Noise(
        torch.randn(n, normals, dtype=dtype, device=where, generator=generator),
        torch.rand(n, uniforms, dtype=torch.float64, device=where, generator=generator),
    )


@dataclass(frozen=True)
class Kernel:
    """A Markov kernel: ``kernel(x, seed)`` takes states (n, d) and returns the states (n, d) after ``steps`` steps.

    Attributes:
        step: the pure function of states and noise, ``(x, noise) -> Move``.
        size: how much noise it reads.
        steps: how many steps one call makes.

    Example:
        >>> from exactness_samplers.torch import markov
        >>> walk = markov.random_walk_kernel(lambda x: -0.5 * x.square().sum(-1), 0.5)
        >>> walk(torch.zeros(4, 2, dtype=torch.float64), seed=0).shape
        torch.Size([4, 2])
    """

    step: Callable[[Tensor, Noise], Move]
    size: Size
    steps: int = 1

    def __call__(self, x: Tensor, seed: int) -> Tensor:
        x, generator = _states(x), _generator(seed, x)
        for _ in range(self.steps):
            x = self.step(x, draw_noise(generator, len(x), self.size(x.shape[1]), x.dtype)).state
        return x

    def trace(self, x: Tensor, seed: int) -> Move:
        """What happened in each step: the fields of :class:`Move` with a first axis of length ``steps``."""
        x, generator = _states(x), _generator(seed, x)
        moves = []
        for _ in range(self.steps):
            moves.append(self.step(x, draw_noise(generator, len(x), self.size(x.shape[1]), x.dtype)))
            x = moves[-1].state
        return Move(*(torch.stack(parts) for parts in zip(*moves, strict=True)))


@dataclass(frozen=True)
class JointKernel:
    """A kernel for a posterior: ``kernel(theta, data, seed)`` moves parameters (n, p), each row given its own row of data (n, m).

    Attributes:
        step: the pure function ``(theta, data, noise) -> Move``.
        size, steps: as for :class:`Kernel`.
    """

    step: Callable[[Tensor, Tensor, Noise], Move]
    size: Size
    steps: int = 1

    def __call__(self, theta: Tensor, data: Tensor, seed: int) -> Tensor:
        data = torch.as_tensor(data)
        return Kernel(lambda at, noise: self.step(at, data, noise), self.size, self.steps)(theta, seed)


@dataclass(frozen=True)
class Pair:
    """A coupling of a kernel with itself, ``pair(x, y, seed) -> (x', y')``: each moves by the kernel, and equal rows stay equal.

    Attributes:
        step: the pure function ``(x, y, noise) -> (x', y')``.
        size, steps: as for :class:`Kernel`.
    """

    step: Callable[[Tensor, Tensor, Noise], tuple[Tensor, Tensor]]
    size: Size
    steps: int = 1

    def __call__(self, x: Tensor, y: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        x, y = _states(x), _states(y)
        generator = _generator(seed, x)
        for _ in range(self.steps):
            x, y = self.step(x, y, draw_noise(generator, len(x), self.size(x.shape[1]), x.dtype))
        return x, y


def _states(x: Tensor) -> Tensor:
    x = torch.as_tensor(x)
    if x.ndim != 2:
        raise ValueError(f"a kernel moves states of shape (n, d), one chain per row, not {tuple(x.shape)}")
    return x if x.is_floating_point() else x.double()


def _generator(seed: int, like: Tensor) -> torch.Generator:
    return torch.Generator(device=like.device).manual_seed(int(seed))
