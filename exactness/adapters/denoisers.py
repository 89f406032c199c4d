"""Denoisers D(x, sigma), as in k-diffusion, and the chain of their Euler ancestral steps."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..arrays import Array, device, is_array, namespace, to_numpy
from ..errors import BadInput
from ..laws import GaussianChain


def from_denoiser(
    denoise: Callable[[Array, Array], Array], sigmas: object, shape: int | tuple[int, ...], *, eta: float = 1.0
) -> GaussianChain:
    """Make the law of the paths of ``sample_euler_ancestral(denoise, x, sigmas, eta=eta)``.

    The start is x_K ~ N(0, sigmas[0]^2 I), and the last step is deterministic.

    Args:
        denoise: ``denoise(x, sigma)`` -> the clean x, (n, *shape). x (n, *shape) and sigma (n,) are arrays of the sampler's kind.
        sigmas: the noise levels (K + 1,), falling to 0, as ``get_sigmas_karras`` returns them.
        shape: the shape of one image, or the dimension.
        eta: a number in (0, 1].

    Raises:
        BadInput: if ``sigmas`` do not fall to 0 in at least two steps, or ``eta`` is 0 (an ODE).

    A path consists of the states that the callback of k-diffusion sees (``path.append(info["x"])``) and of the state that the
    sampler returns. The same in numpy:

    >>> sigmas, denoise = np.array([10.0, 3.0, 1.0, 0.3, 0.0]), lambda x, sigma: x / (1.0 + sigma[:, None] ** 2)
    >>> def sample(n, seed):
    ...     draw = np.random.default_rng(seed).standard_normal
    ...     path = [sigmas[0] * draw((n, 2))]
    ...     for now, then in zip(sigmas, sigmas[1:]):
    ...         up = np.sqrt(then**2 * (now**2 - then**2) / now**2)
    ...         down, clean = np.sqrt(then**2 - up**2), denoise(path[-1], np.full(n, now))
    ...         path.append(path[-1] + (path[-1] - clean) / now * (down - now) + up * draw((n, 2)))
    ...     return np.stack(path, axis=1)
    >>> import exactness as ex
    >>> ex.certify(sample, from_denoiser(denoise, sigmas, 2), plan=ex.Plan(tolerance=0.1)).verdict.value
    'certified'
    """
    # The formula of the steps has one home, which needs nothing but numpy.
    from exactness_samplers.schedules import edm

    if not callable(denoise):
        raise BadInput(f"the denoiser must be a function denoise(x, sigma); got {type(denoise).__name__}")
    event = (shape,) if isinstance(shape, int) else shape
    if not isinstance(event, (tuple, list)) or not event or not all(isinstance(s, int) and s > 0 for s in event):
        raise BadInput(f"shape must be that of one image, such as (3, 32, 32), or the dimension; got {shape!r}")
    try:
        levels = np.atleast_1d(np.asarray(to_numpy(sigmas) if is_array(sigmas) else sigmas, dtype=np.float64))[::-1]
    except (TypeError, ValueError):
        raise BadInput(
            f"sigmas must be K + 1 numbers that fall to 0, as get_sigmas_karras returns them; got {sigmas!r:.60}"
        ) from None
    try:
        schedule = edm(levels, eta)
    except ValueError as error:
        raise BadInput(f"sigmas must fall to 0, as get_sigmas_karras returns them, and eta must be positive: {error}") from None

    def predict(k: int, x: Array) -> Array:
        xp, n = namespace(x), int(x.shape[0])
        level = xp.full((n,), float(levels[k]), dtype=x.dtype, device=device(x))
        return xp.reshape(denoise(xp.reshape(x, (n, *event)), level), tuple(x.shape))

    return GaussianChain(
        predict, a=schedule.a, b=schedule.b, sigma=schedule.sigma, dim=math.prod(event), start=(0.0, schedule.spread),
        name=f"Euler ancestral, eta {eta:g}",
    )  # fmt: skip
