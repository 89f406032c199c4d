"""Gaussian chains: x_{k-1} | x_k ~ N(m_k(x_k), diag(s_k(x_k)^2)), k = K..1, judged by their innovations.

The standard deviations s_k are constants sigma_k, or these times a function of the state (a variance that a network predicts). If
a path is a draw of the chain, then eps_k = (x_{k-1} - m_k(x_k)) / s_k(x_k), elementwise, are independent and N(0, I) (Rosenblatt
1952). This needs nothing else about the target, so the law serves networks in any dimension.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np

from ..arrays import KINDS, Array, as_kind, at_hand, dot, double, is_array, kind_of, like, namespace, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Innovation, Law

Predict = Callable[[int, Array], Array]


class GaussianChain(Law):
    """The law of paths of a chain whose steps have means m_k(x) = a_k x + b_k predict(k, x).

    Args:
        predict: a function ``predict(k, x)`` of the step k, an int in K..1, and the states x (n, d). It returns (n, d).
        a, b, sigma: vectors (K,); entry k - 1 belongs to step k. sigma >= 0, and 0 means a deterministic step.
        dim: the dimension d of a state.
        spread: for variances that depend on the state, a function ``spread(k, x)`` like ``predict``. It returns positive numbers
            (n, d) or (n, 1), and step k has the standard deviations sigma_k spread(k, x). It is not called at deterministic steps.
        start: the mean and the standard deviation of x_K, which is then tested as well; None if the start is not part of the
            claim.
        final: the law of x_0, where it is known (see :func:`exactness.laws.chain_marginals`). Final samples are then judged too.
        arrays: the kind of array that ``predict`` takes: ``"numpy"``, ``"torch"`` or ``"jax"``. Paths are converted to this kind
            first, for example when a network judges paths saved in a file. ``"as given"`` passes the sampler's own arrays.
        name: the name of the chain in certificates.

    Raises:
        BadInput: if the vectors do not fit together, a sigma is negative, or every sigma is 0 (an ODE has nothing to certify).

    >>> law = GaussianChain(lambda k, x: x, a=[0.0, 0.0], b=[0.9, 0.8], sigma=[0.4, 0.6], dim=3)
    >>> law.event_shape
    (3, 3)
    >>> [step.step for step in law.innovations(law.sample(5, seed=0))]
    [3, 2, 1]

    A network that predicts the logarithm of the variance as well is judged with ``spread``:

    >>> wide = GaussianChain(lambda k, x: x, a=[0.0, 0.0], b=[0.9, 0.8], sigma=[1.0, 1.0], dim=3,
    ...                      spread=lambda k, x: np.exp(0.5 * np.tanh(x)))
    >>> [bool((step.noise**2).mean() < 4.0) for step in wide.innovations(wide.sample(5, seed=0))]
    [True, True, True]
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
        spread: Predict | None = None,
        start: tuple[float, float] | None = (0.0, 1.0),
        final: Law | None = None,
        arrays: str = "as given",
        name: str = "chain",
    ) -> None:
        self.predict, self.spread = predict, spread
        self.a, self.b, self.sigma = (_vector(v, label) for v, label in ((a, "a"), (b, "b"), (sigma, "sigma")))
        if not len(self.a) == len(self.b) == len(self.sigma):
            raise BadInput(f"a, b and sigma must have one entry per step; got {len(self.a)}, {len(self.b)} and {len(self.sigma)}")
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
        if spread is not None and not callable(spread):
            raise BadInput("spread must be a function spread(k, x) -> (n, d) or (n, 1), or None; constants belong into sigma")
        if start is not None and not (start[1] > 0 and np.all(np.isfinite(start))):
            raise BadInput(f"start must be (mean, standard deviation) with a positive standard deviation, or None; got {start}")
        if final is not None and final.event_shape != (dim,):
            raise BadInput(f"the final law has draws of shape {final.event_shape}, but the states of the chain have shape {(dim,)}")
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
        spread: Predict | None = None,
        start: tuple[float, float] | None = (0.0, 1.0),
        final: Law | None = None,
        arrays: str = "as given",
        name: str = "chain",
    ) -> GaussianChain:
        """The chain with means ``mean(k, x)``, (n, d) -> (n, d). The other arguments are those of the class.

        >>> GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=[0.4, 0.6], dim=3)
        <GaussianChain 'chain': 2 steps in 3 dimensions, 0 deterministic, start N(0, 1^2)>
        """
        ones = np.ones_like(_vector(sigma, "sigma"))
        return cls(
            mean, a=0.0 * ones, b=ones, sigma=sigma, dim=dim, spread=spread, start=start, final=final, arrays=arrays, name=name
        )

    def __repr__(self) -> str:
        """One line of facts. The prediction is a function, so no text could make the chain again."""
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
        return (at_hand(sample) if self.final is not None and self.final.portable else sample)[:, -1]

    def place(self, index: tuple[int, ...]) -> str:
        return f"path {index[0]}, state x_{self.steps - index[1]} (entry {index[1]} of the path)"

    def hint(self, shape: tuple[int, ...] | None) -> str:
        """See :meth:`.base.Law.hint`: images without their paths, images that are not flattened, axes in another order."""
        states, dim = self.event_shape
        inner = None if shape is None else shape[1:]
        if inner is None or math.prod(inner) == dim:
            return (
                ": a chain is judged by whole paths, not by final states or images alone. Keep x_K and the state after every "
                "step, and return np.stack(states, axis=1), images flattened; exactness.adapters.sample_loop and sample_pipeline "
                "record the paths of diffusers. Final states alone can be judged with a law of x_0, or with exactness.compare"
            )
        if inner[:1] == (states,) and math.prod(inner) == states * dim and len(inner) > 2:
            return f": flatten the images, paths.reshape(n, {states}, {dim})"
        if shape is not None and len(shape) == 3 and shape[0] == states and shape[2] == dim:
            return ": the first two axes are in the other order; np.stack(states, axis=1) puts the paths first"
        if len(inner) == 2 and inner == (states - 1, dim):
            return ": one state is missing; a path begins with x_K itself, before the first step, and ends with x_0"
        return ""

    def describe(self) -> dict[str, object]:
        digest = hashlib.sha256()
        for part in (self.a, self.b, self.sigma):
            digest.update(part.tobytes())
        return {
            "kind": "GaussianChain",
            "name": self.name,
            "dim": self.dim,
            "steps": self.steps,
            **({} if self.spread is None else {"variances": "by step and state"}),
            "deterministic_steps": [int(k) + 1 for k in np.flatnonzero(self.sigma == 0)],
            "start": None if self.start is None else list(self.start),
            "schedule_sha256": digest.hexdigest(),
            "final": None if self.final is None else self.final.describe(),
        }

    def mean(self, k: int, x: Array) -> Array:
        """m_k(x), (n, d) in double precision."""
        return self.a[k - 1] * double(x) + self.b[k - 1] * self._predicted(k, x)[0]

    def deviation(self, k: int, x: Array) -> Array | float:
        """s_k(x), the standard deviations of the noise of step k: sigma_k, or (n, d) or (n, 1) in double precision."""
        sigma = float(self.sigma[k - 1])
        if self.spread is None or sigma == 0.0:
            return sigma
        spread = self._asked(self.spread, "spread", k, x)
        if tuple(spread.shape) not in (tuple(x.shape), (int(x.shape[0]), 1)):
            raise BadInput(
                f"spread(k={k}, x) must return an array of shape {tuple(x.shape)} or {(int(x.shape[0]), 1)}; it returned "
                f"{tuple(spread.shape)}"
            )
        spread, xp = _in_double(spread, x), namespace(x)
        if not bool(xp.all(xp.isfinite(spread))):
            raise InvalidSample(_outside("spread", k, x))
        if bool(xp.any(spread <= 0)):
            raise BadInput(f"spread(k={k}, x) must be positive; a deterministic step has sigma 0")
        return sigma * spread

    def _predicted(self, k: int, x: Array) -> tuple[Array, float]:
        """D_k(x), (n, d) in double precision, and the spacing of its digits relative to it if it has fewer than the states."""
        prediction = self._asked(self.predict, "predict", k, x)
        if tuple(prediction.shape) != tuple(x.shape):
            raise BadInput(
                f"predict(k={k}, x) must return an array of the shape of x, {tuple(x.shape)}; it returned {tuple(prediction.shape)}"
            )
        return _in_double(prediction, x), _coarseness(prediction, x)

    def _asked(self, function: Predict, label: str, k: int, x: Array) -> Array:
        """What the user's function returns."""
        try:
            found = function(k, x)
        except Exception as error:  # This is the user's own function, so the message says whose it is, and where it failed.
            raise BadInput(
                f"{label}(k={k}, x) of the law raised {type(error).__name__}: {error} (x was a {kind_of(x)} array; if {label} "
                "needs another kind, name it with arrays=)"
            ) from error
        if not is_array(found):
            raise BadInput(
                f"{label}(k={k}, x) must return an array of the shape of x, {tuple(x.shape)}; it returned {type(found).__name__}"
            )
        return found

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Draw n exact paths with numpy, (n, K + 1, d), x_K first.

        Raises ``BadInput`` if the start is not part of the claim, or if ``predict`` does not take numpy arrays.
        """
        if self.start is None:
            raise BadInput("the start of the chain is not part of the claim (start=None), so the chain cannot be sampled")
        generator = np.random.default_rng(seed)
        path = [self.start[0] + self.start[1] * generator.standard_normal((n, self.dim))]
        for k in range(self.steps, 0, -1):
            deviation = self.deviation(k, path[-1])
            spread = to_numpy(deviation) if is_array(deviation) else deviation
            path.append(to_numpy(self.mean(k, path[-1])) + spread * generator.standard_normal((n, self.dim)))
        return np.stack(path, axis=1)

    def innovations(self, paths: Array) -> Iterator[Innovation]:
        """The innovations of paths (n, K + 1, d), from the start to the last step.

        The target is evaluated once per step, on n states. Raises ``InvalidSample`` if the innovations are not finite, and
        ``BadInput`` if ``predict`` fails.
        """
        if self.arrays != "as given":
            paths = as_kind(paths, self.arrays)
        own, precision = paths, paths.dtype
        paths = at_hand(paths)
        xp = namespace(paths)
        if self.start is not None:
            noise = xp.astype((double(paths[:, 0]) - self.start[0]) / self.start[1], precision)
            yield Innovation(self.steps + 1, noise, dot(noise, noise))
        following = double(paths[:, 0])
        for i, k in enumerate(range(self.steps, 0, -1)):
            state, here, following = paths[:, i], following, double(paths[:, i + 1])
            # The prediction gets the sampler's kind of array.
            asked = state if paths is own else like(state, own)
            prediction, coarse = self._predicted(k, asked)
            prediction = prediction if paths is own else double(to_numpy(prediction))
            # In place where possible: moving these arrays through memory costs more than the arithmetic.
            mean = self.a[k - 1] * here
            mean += self.b[k - 1] * prediction
            gap = following - mean
            mean -= here
            drift = xp.astype(mean, precision, copy=False)
            if self.sigma[k - 1] > 0:
                deviation = self.deviation(k, asked)
                if is_array(deviation) and paths is not own:
                    deviation = to_numpy(deviation)
                gap /= deviation
                noise = xp.astype(gap, precision, copy=False)
                squared = dot(noise, noise)
                if not bool(xp.all(xp.isfinite(squared))):
                    self._complain(k, state, prediction)
                large = None if self.spread is None else _large(deviation, paths.shape[2])
                yield Innovation(k, noise, squared, None, state, drift, large)
                continue
            # Rounding is relative to the size of the terms that were added, not to that of their sum, which may cancel.
            size = xp.abs(self.a[k - 1] * here) + xp.abs(self.b[k - 1] * prediction)
            mismatch = xp.max(xp.abs(gap), axis=1) / (xp.max(size, axis=1) + 1e-300)
            if coarse:
                # In batches of another size, a network may round a number of few digits the other way.
                share = xp.max(xp.abs(self.b[k - 1] * prediction), axis=1) / (xp.max(size, axis=1) + 1e-300)
                mismatch = xp.clip(mismatch - coarse * share, 0.0, None)
            if not bool(xp.all(xp.isfinite(mismatch))):
                self._complain(k, state, prediction)
            yield Innovation(k, None, None, mismatch, state, drift)

    def magnitudes(self, sample: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
        """See :class:`.base.Scaled`. A step rounds both of its states, and the larger one counts."""
        size = np.square(sample if sizes is None else sizes)
        noisy = self.sigma[::-1] > 0
        larger = np.maximum(size[:, :-1], size[:, 1:])[:, noisy].sum(axis=2)
        total = larger @ (1.0 / np.square(self.sigma[::-1][noisy]))
        return total if self.start is None else total + size[:, 0].sum(axis=1) / self.start[1] ** 2

    def _complain(self, k: int, state: Array, prediction: Array) -> NoReturn:
        """Raise ``InvalidSample`` with the reason why a step's innovations are not finite."""
        xp = namespace(state)
        if not bool(xp.all(xp.isfinite(prediction))):
            raise InvalidSample(_outside("predict", k, state))
        raise InvalidSample(f"the innovations of step {k} overflow: the states there are far too large, so the sampler diverges")


def _in_double(values: Array, x: Array) -> Array:
    """What a user's function returned, in double precision and in the kind of array of x."""
    # For example, the network uses torch and the paths are numpy arrays.
    return double(values) if kind_of(values) == kind_of(x) else like(to_numpy(double(values)), double(x))


def _coarseness(values: Array, x: Array) -> float:
    """The relative spacing of values that have fewer digits than x, such as those of a network in bfloat16. 0 for others."""
    xp = namespace(values)
    if not xp.isdtype(values.dtype, "real floating"):
        return 0.0
    spacing = float(xp.finfo(values.dtype).eps)
    return spacing if spacing > float(namespace(x).finfo(x.dtype).eps) else 0.0


def _large(deviation: Array | float, dim: int) -> Array:
    """Where the standard deviations of a step (n, d) or (n, 1) are above their mean over the batch: booleans (n, d)."""
    xp = namespace(deviation)
    return xp.broadcast_to(deviation > xp.mean(deviation), (int(deviation.shape[0]), dim))  # type: ignore[union-attr]


def _outside(label: str, k: int, x: Array) -> str:
    xp = namespace(x)
    return (
        f"{label}(k={k}, x) of the law is NaN or infinite at states of size up to {float(xp.max(xp.abs(x))):.3g} that "
        "the sampler reached: either these states are outside the range where the prediction works, or it is broken there"
    )


def _vector(values: object, label: str) -> np.ndarray:
    v = np.array(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise BadInput(f"{label} must be a vector with one entry per step; got shape {v.shape}")
    if not np.all(np.isfinite(v)):
        raise BadInput(f"{label} must be finite (step {int(np.flatnonzero(~np.isfinite(v))[0]) + 1} is not)")
    return v
