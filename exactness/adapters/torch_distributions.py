"""Laws and samplers of torch distributions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..laws import Law
from .discrete import whole_numbers
from .distributions import law_of
from .libraries import Library, needs

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributions import Distribution


def from_torch(distribution: Distribution) -> Law:
    """Make the law of a torch distribution, from anything but its draws.

    Normals and their mixtures become a :class:`exactness.GaussianMixture`. Other distributions are known by the
    distribution function of their counterpart in scipy, by a standard construction of their family (Dirichlet, Wishart, ...),
    through the inverse of a transformation, or by integrating ``log_prob`` (on the line). All is computed in double precision.

    Args:
        distribution: a distribution with any event shape and batch shape (). ``Independent(..., 1)`` turns a batch into
            coordinates.

    Raises:
        BadInput: if it is not a distribution, is a batch of several, or if nothing but its draws is known.

    >>> import exactness as ex, torch
    >>> from torch.distributions import Categorical, MixtureSameFamily, Normal
    >>> two = MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Normal(torch.tensor([2.0, -1.0]), torch.tensor([0.3, 0.4])))
    >>> ex.certify(sample_torch(two), from_torch(two), plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    """
    with needs("torch"):
        import torch

    def array(t: np.ndarray) -> Tensor:
        return torch.as_tensor(t, dtype=torch.float64, device=_device(distribution))

    library = Library(torch.distributions, array, torch.no_grad, lambda f: f, "Independent(..., 1)", ("from_torch", "sample_torch"))
    return law_of(distribution, library)


def _device(distribution: Distribution) -> str:
    """Where the parameters of a distribution live."""
    import torch

    seen, waiting = set[int](), [distribution]
    while waiting:
        for value in vars(waiting.pop()).values():
            if isinstance(value, torch.Tensor):
                return str(value.device)
            if isinstance(value, torch.distributions.Distribution) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    return "cpu"


def sample_torch(distribution: Distribution) -> Callable[[int, int], Tensor]:
    """Make a sampler ``sample(n, seed)`` -> (n, d) of a torch distribution, on its device. Booleans become integers.

    The distributions of torch do not take a generator. The global generators are therefore seeded for the draw and restored
    afterwards.

    >>> from torch.distributions import Poisson
    >>> sample_torch(Poisson(3.0))(4, seed=0).shape
    torch.Size([4, 1])
    """

    def sample(n: int, seed: int) -> Tensor:
        import torch

        # If CUDA has not been started, no distribution lives there, and asking must not start it.
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            torch.default_generator.manual_seed(seed)
            for device in devices:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            draws = distribution.sample((n,)).reshape(n, -1)
        return whole_numbers(draws)

    return sample
