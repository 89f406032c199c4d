"""Gaussian chains: x_{k-1} | x_k ~ N(m_k(x_k), sigma_k^2 I), k = K..1, judged by their innovations.

If a path is a draw of the chain, eps_k = (x_{k-1} - m_k(x_k)) / sigma_k are independent N(0, I) (Rosenblatt 1952). Nothing
else about the target is needed, so this law serves networks in any dimension.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np

from ..arrays import KINDS, Array, as_kind, dot, double, is_array, kind_of, like, namespace, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Innovation, Law

Predict = Callable[[int, Array], Array]


class GaussianChain(Law):
    """A chain with means m_k(x) = a_k x + b_k predict(k, x).

    Args:
        predict: ``predict(k, x)`` with k an int in K..1 and x (n, d), returning (n, d), of any kind. It is called with the kind
            of array that the sampler returned; ``arrays`` of ``"numpy"``, ``"torch"`` or ``"jax"`` turns those into its own kind
            first, as for a network that judges paths saved in a file.
        a, b, sigma: (K,); entry k - 1 belongs to step k. sigma >= 0, and 0 means a deterministic step.
        dim: d.
        start: mean and standard deviation of x_K, which is then tested as well; None if the start is not part of the claim.
        final: the law of x_0 where it is known (see :func:`exactness.laws.chain_marginals`), so that final samples are judged too.
        name: what a certificate calls the chain.
    """

    atomless = True
    why_dtypes = "the states of a path in fewer bits do not hold the noise that is to be judged"

    def __init__(
        self,
        predict: Predict,
        *,
        a: object,
        b: object,
        sigma: object,
        dim: int,
        start: tuple[float, float] | None = (0.0, 1.0),
        final: Law | None = None,
        arrays: str = "as given",
        name: str = "chain",
    ) -> None:
        self.predict = predict
        self.a, self.b, self.sigma = (_vector(v, label) for v, label in ((a, "a"), (b, "b"), (sigma, "sigma")))
        if not len(self.a) == len(self.b) == len(self.sigma):
            raise BadInput(f"a, b and sigma must have one entry a step; got {len(self.a)}, {len(self.b)} and {len(self.sigma)}")
        if np.any(self.sigma < 0):
            raise BadInput(
                f"sigma must not be negative (step {int(np.argmin(self.sigma)) + 1} has {self.sigma.min():g}); "
                "0 means a deterministic step"
            )
        if not np.any(self.sigma > 0):
            raise BadInput("every sigma is 0: the chain is deterministic (an ODE), and there is no randomness to certify")
        if isinstance(dim, bool) or not isinstance(dim, int) or dim < 1:
            raise BadInput(f"dim must be a positive integer, not {dim!r}")
        if not callable(predict):
            raise BadInput("predict must be a function predict(k, x) -> (n, d)")
        if start is not None and not (start[1] > 0 and np.all(np.isfinite(start))):
            raise BadInput(f"start must be (mean, standard deviation) with a positive standard deviation, or None; got {start}")
        if final is not None and final.event_shape != (dim,):
            raise BadInput(f"the final law is of dimension {final.event_shape}, the chain of {dim}")
        if arrays not in ("as given", *KINDS):
            raise BadInput(f"arrays must be 'as given', {', '.join(KINDS)}; not {arrays!r}")
        self.dim, self.start, self.final, self.arrays, self.name = dim, start, final, arrays, name

    @classmethod
    def from_mean(
        cls,
        mean: Predict,
        *,
        sigma: object,
        dim: int,
        start: tuple[float, float] | None = (0.0, 1.0),
        final: Law | None = None,
        arrays: str = "as given",
        name: str = "chain",
    ) -> GaussianChain:
        """A chain given by its means: ``mean(k, x)``, (n, d) -> (n, d)."""
        ones = np.ones_like(_vector(sigma, "sigma"))
        return cls(mean, a=0.0 * ones, b=ones, sigma=sigma, dim=dim, start=start, final=final, arrays=arrays, name=name)

    def __repr__(self) -> str:
        """One line; the prediction is a function, so nothing could be pasted back."""
        fixed = np.count_nonzero(self.sigma == 0)
        start = "not part of it" if self.start is None else "N({:g}, {:g}^2)".format(*self.start)
        return f"<GaussianChain {self.name!r}: {self.steps} steps in {self.dim} dimensions, {fixed} deterministic, start {start}>"

    @property
    def steps(self) -> int:
        return len(self.sigma)

    @property
    def noisy(self) -> tuple[bool, ...]:
        """For the start and then each step in running order, whether it has noise that is judged."""
        return (self.start is not None, *(bool(s > 0) for s in self.sigma[::-1]))

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.steps + 1, self.dim)

    @property
    def output_law(self) -> Law | None:
        return self.final

    def output(self, sample: Array) -> Array:
        return sample[:, -1]

    def place(self, index: tuple[int, ...]) -> str:
        return f"path {index[0]}, state x_{self.steps - index[1]} (entry {index[1]} of the path)"

    def describe(self) -> dict[str, object]:
        digest = hashlib.sha256()
        for part in (self.a, self.b, self.sigma):
            digest.update(part.tobytes())
        return {
            "kind": "GaussianChain",
            "name": self.name,
            "dim": self.dim,
            "steps": self.steps,
            "deterministic_steps": [int(k) + 1 for k in np.flatnonzero(self.sigma == 0)],
            "start": None if self.start is None else list(self.start),
            "schedule_sha256": digest.hexdigest(),
            "final": None if self.final is None else self.final.describe(),
        }

    def mean(self, k: int, x: Array) -> Array:
        """m_k(x), (n, d) in double precision."""
        return self.a[k - 1] * double(x) + self.b[k - 1] * self._predicted(k, x)

    def _predicted(self, k: int, x: Array) -> Array:
        """D_k(x), (n, d) in double precision: what the user's function says, if it is an answer."""
        try:
            prediction = self.predict(k, x)
        except Exception as error:  # The user's own function: say whose, and where.
            raise BadInput(
                f"predict(k={k}, x) of the law raised {type(error).__name__}: {error} (x was a {kind_of(x)} array; a law that "
                "wants another kind says so with arrays=)"
            ) from error
        if not is_array(prediction) or tuple(prediction.shape) != tuple(x.shape):
            shape = tuple(prediction.shape) if is_array(prediction) else type(prediction).__name__
            raise BadInput(f"predict(k={k}, x) must return an array of the shape of x, {tuple(x.shape)}; it returned {shape}")
        if kind_of(prediction) != kind_of(x):
            # A network in torch beside paths in numpy, say.
            return like(to_numpy(prediction), double(x))
        return double(prediction)

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Exact draws in numpy, (n, K + 1, d) in running order: the chain itself, one step after the other.

        Raises ``BadInput`` if the start is not part of the claim, or if ``predict`` takes no numpy arrays.
        """
        if self.start is None:
            raise BadInput("the chain says nothing of its start (start=None), so it cannot be sampled")
        generator = np.random.default_rng(seed)
        path = [self.start[0] + self.start[1] * generator.standard_normal((n, self.dim))]
        for k in range(self.steps, 0, -1):
            path.append(to_numpy(self.mean(k, path[-1])) + self.sigma[k - 1] * generator.standard_normal((n, self.dim)))
        return np.stack(path, axis=1)

    def innovations(self, paths: Array) -> Iterator[Innovation]:
        """The steps of (n, K + 1, d) paths in running order; the target is evaluated once a step, on n states."""
        if self.arrays != "as given":
            paths = as_kind(paths, self.arrays)
        xp, precision = namespace(paths), paths.dtype
        if self.start is not None:
            noise = xp.astype((double(paths[:, 0]) - self.start[0]) / self.start[1], precision)
            yield Innovation(self.steps + 1, noise, dot(noise, noise))
        following = double(paths[:, 0])
        for i, k in enumerate(range(self.steps, 0, -1)):
            state, here, following = paths[:, i], following, double(paths[:, i + 1])
            prediction = self._predicted(k, state)
            # In place, where that goes: moving these arrays through memory costs more than the arithmetic.
            mean = self.a[k - 1] * here
            mean += self.b[k - 1] * prediction
            gap = following - mean
            mean -= here
            drift = xp.astype(mean, precision, copy=False)
            if self.sigma[k - 1] > 0:
                gap /= float(self.sigma[k - 1])
                noise = xp.astype(gap, precision, copy=False)
                squared = dot(noise, noise)
                if not bool(xp.all(xp.isfinite(squared))):
                    self._complain(k, state, prediction)
                yield Innovation(k, noise, squared, None, state, drift)
                continue
            # The size that rounding is relative to: of the terms that were added, not of their sum, which may cancel.
            size = xp.abs(self.a[k - 1] * here) + xp.abs(self.b[k - 1] * prediction)
            mismatch = xp.max(xp.abs(gap), axis=1) / (xp.max(size, axis=1) + 1e-300)
            if not bool(xp.all(xp.isfinite(mismatch))):
                self._complain(k, state, prediction)
            yield Innovation(k, None, None, mismatch, state, drift)

    def _complain(self, k: int, state: Array, prediction: Array) -> NoReturn:
        """Why a step's innovations are not finite."""
        xp = namespace(state)
        if not bool(xp.all(xp.isfinite(prediction))):
            raise InvalidSample(
                f"predict(k={k}, x) of the law is NaN or infinite at states of size up to {float(xp.max(xp.abs(state))):.3g} that "
                "the sampler reached: either they are out of the range where the prediction works, or it is broken there"
            )
        raise InvalidSample(f"the innovations of step {k} overflow: the states there are far too large, the sampler diverges")


def _vector(values: object, label: str) -> np.ndarray:
    v = np.array(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise BadInput(f"{label} must be a vector with one entry a step; got shape {v.shape}")
    if not np.all(np.isfinite(v)):
        raise BadInput(f"{label} must be finite (step {int(np.flatnonzero(~np.isfinite(v))[0]) + 1} is not)")
    return v
