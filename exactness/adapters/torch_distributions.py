"""Distributions of torch, as laws and as samplers whose seed counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..laws import Law
from .libraries import needs
from .normals import law_of

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution


def from_torch(distribution: Distribution) -> Law:
    """The law of a torch distribution: mixtures of normals, else its cdf (one dimension), else its own draws, trusted.

    Args:
        distribution: of any event shape and of batch shape (); ``Independent(.., 1)`` makes coordinates of a batch.

    Raises:
        BadInput: if it is no distribution, or a batch of several.

    >>> import exactness as ex, torch
    >>> from torch.distributions import Categorical, MixtureSameFamily, Normal
    >>> two = MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Normal(torch.tensor([2.0, -1.0]), torch.tensor([0.3, 0.4])))
    >>> ex.certify(sample_torch(two), from_torch(two), plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    """
    with needs("torch"):
        import torch

    draw = sample_torch(distribution)

    def array(t: np.ndarray) -> Tensor:
        return torch.as_tensor(t, device=draw(1, 0).device)

    return law_of(distribution, torch.distributions, array, draw, "Independent(.., 1)")


def sample_torch(distribution: Distribution) -> Callable[[int, int], Tensor]:
    """``sample(n, seed)`` -> (n, d) of a torch distribution, on its device; discrete draws become floats.

    torch's distributions take no generator: the global ones are seeded for the draw and put back as they were.
    """

    def sample(n: int, seed: int) -> Tensor:
        import torch

        # What has not been started holds no distribution, and must not be started by asking.
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.default_generator.manual_seed(seed)
            for device in devices:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            draws = distribution.sample((n,)).reshape(n, -1)
        return draws if draws.is_floating_point() else draws.to(torch.float64)

    return sample
