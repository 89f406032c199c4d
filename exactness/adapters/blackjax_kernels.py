"""Kernels of blackjax, and of any other library of JAX functions ``init`` and ``step``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws.moves import whole
from .libraries import needs

# JAX compiles anew for each number of rows, which takes seconds. So rows come in parts of at most 4,096, padded to 1,024 or 4,096.
_MOST = 4096
_LEAST = 1024


def blackjax_kernel(
    algorithm: Any,
    *,
    position: Any = None,
    steps: int = 1,
    read: Callable[[Any, Any], Any] | None = None,
) -> BlackjaxKernel:
    """Make a kernel of many independent chains out of a blackjax algorithm, for ``moved_by`` of a law.

    Each row gets a random key of its own, its state is made by ``init`` and moved by ``step`` under ``vmap``. An algorithm whose
    state holds more than the position (momenta, a slice variable, a number of integration steps) gets fresh ones from ``init``, as
    at the start of a run. So a generalized HMC kernel, which is reversible only up to a flip of its momenta, is reversible for the
    position alone; with ``steps=5`` it keeps its momentum for five steps, and this still holds.

    Adaptation is not part of a kernel: run it elsewhere, and give the algorithm with the parameters that it found. ``mclmc`` and
    ``sgld`` have no Metropolis step, so they keep no law exactly, and are refuted once their error shows. The states of
    ``orbital_hmc`` carry weights, which ``read`` must use.

    Args:
        algorithm: what ``blackjax.nuts(...)`` returns, or a pair of functions ``init(position, key)`` or ``init(position)``, and
            ``step(key, state) -> (state, info)``. For :class:`exactness.JointLaw`, a function of one row of the data that returns
            such an algorithm, so that the log-density depends on the data.
        position: an example of a position, if it is a pytree and not a vector (d,). Rows of the law are its flattened leaves.
        steps: the number of steps that one move takes with the same state.
        read: ``read(state, key)`` -> position, if the position is not ``state.position``.

    Returns:
        ``kernel(x, seed)``, or ``kernel(theta, data, seed)`` for an algorithm that depends on data. It takes and returns (n, d).

    Raises:
        BadInput: if it is no algorithm, if its functions fail, or if positions do not fit.

    >>> import blackjax
    >>> import jax.numpy as jnp
    >>> import exactness as ex
    >>> law = ex.KernelInvariance(ex.GaussianMixture([1.0], [[0.0]], [1.0]))
    >>> walk = blackjax.additive_step_random_walk(lambda x: -0.5 * x @ x, blackjax.mcmc.random_walk.normal(jnp.ones(1)))
    >>> ex.certify(law.moved_by(blackjax_kernel(walk)), law, plan=ex.Plan(tolerance=0.1)).verdict.value
    'certified'
    """
    if read is not None and not callable(read):
        raise BadInput(f"read must be a function read(state, key) that returns a position; got {type(read).__name__}")
    depends = not _is_algorithm(algorithm) and callable(algorithm) and not hasattr(algorithm, "init")
    if not depends:
        _checked(algorithm)
    return BlackjaxKernel(algorithm, depends, position, whole("steps", steps), read)


class BlackjaxKernel:
    """See :func:`blackjax_kernel`."""

    def __init__(self, algorithm: Any, depends: bool, position: Any, steps: int, read: Callable[[Any, Any], Any] | None) -> None:
        self.algorithm, self.depends, self.position, self.steps, self.read = algorithm, depends, position, steps, read
        self._fits: set[tuple[int, ...]] = set()

    def __call__(self, x: Any, *given: Any) -> np.ndarray:
        """Move states (n, d). ``given`` is the seed, or the data and the seed."""
        if len(given) != 1 + self.depends:
            kind = "depends on data, so its law is a JointLaw" if self.depends else "does not depend on data, so its law is a "
            raise BadInput(
                f"this algorithm {kind}" + ("" if self.depends else "KernelInvariance; for a JointLaw give a function of the data")
            )
        with needs("blackjax"):
            import jax
        seed = int(given[-1])
        states = np.asarray(x)
        data = jax.tree.map(np.asarray, given[0]) if self.depends else ()
        parts = []
        for i, start in enumerate(range(0, len(states), _MOST)):
            n = min(_MOST, len(states) - start)
            size = _LEAST
            while size < n:
                size *= 4
            rows = start + np.arange(size) % n
            arguments = (states[rows], jax.tree.map(partial(_taken, rows), data))
            if not self._fits:
                self._check(*jax.tree.map(_first, arguments))
            parts.append(np.asarray(self._compiled((seed, i), *arguments))[:n])
        return np.concatenate(parts) if parts else states

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        import jax

        def every(seeds: tuple[int, int], rows: Any, data: Any) -> Any:
            keys = jax.random.split(jax.random.fold_in(jax.random.key(seeds[0]), seeds[1]), len(rows))
            return jax.vmap(self._move)(keys, rows, data)

        return jax.jit(every)

    def _move(self, key: Any, row: Any, data: Any) -> Any:
        import jax
        from jax.flatten_util import ravel_pytree

        algorithm = _checked(self.algorithm(data)) if self.depends else self.algorithm
        init, step = (algorithm.init, algorithm.step) if hasattr(algorithm, "init") else algorithm
        (first, last), moves = jax.random.split(key), jax.random.split(jax.random.fold_in(key, 1), self.steps)
        place = row if self.position is None else self._unravel(row)
        state = init(place, first) if len(inspect.signature(init).parameters) > 1 else init(place)
        state, _ = step(moves[0], state)
        if self.steps > 1:
            state, _ = jax.lax.scan(lambda current, move: (step(move, current)[0], None), state, moves[1:])
        found = state.position if self.read is None else self.read(state, last)
        return ravel_pytree(found)[0]

    def _unravel(self, row: Any) -> Any:
        from jax.flatten_util import ravel_pytree

        flat, unravel = ravel_pytree(self.position)
        if flat.shape != row.shape:
            raise BadInput(f"the example position has {flat.size} numbers, and the rows of the law have {row.size}")
        return unravel(row.astype(flat.dtype))

    def _check(self, row: Any, data: Any) -> None:
        """Raise ``BadInput`` unless the move of one row is a row of the same shape."""
        import jax

        try:
            found = jax.eval_shape(self._move, jax.eval_shape(jax.random.key, 0), row, data)
        except BadInput:
            raise
        except Exception as error:  # These are functions of the user and of blackjax, so the message says where it happened.
            raise BadInput(
                f"the algorithm raised {type(error).__name__} for a position of shape {row.shape}: {error}; init takes "
                "(position, key), step takes (key, state) and nothing else, and the log-density returns one number. A position "
                "that is no vector is given by an example, position=; a state without .position is read by read="
            ) from error
        if found.shape != row.shape:
            raise BadInput(f"a row of the law has shape {row.shape}, and the position after the move {found.shape}; give read=")
        self._fits.add(row.shape)


def _taken(rows: np.ndarray, values: Any) -> Any:
    return values[rows]


def _first(values: Any) -> Any:
    return values[0]


def _is_algorithm(value: Any) -> bool:
    parts = (getattr(value, "init", None), getattr(value, "step", None))
    if isinstance(value, tuple) and len(value) == 2:
        parts = (value[0], value[1])
    return all(callable(part) for part in parts) and not isinstance(value, type)


def _checked(algorithm: Any) -> Any:
    """The algorithm. Raises ``BadInput`` if it is something else."""
    if _is_algorithm(algorithm):
        return algorithm
    if callable(getattr(algorithm, "run", None)) and not hasattr(algorithm, "init"):
        raise BadInput(
            "this is an adaptation and no kernel: a kernel that adapts keeps no law. Run the adaptation first, and give the "
            "algorithm with the parameters that it found, as in blackjax.nuts(logdensity, **parameters)"
        )
    if hasattr(algorithm, "init"):
        raise BadInput(
            f"give the algorithm with its log-density and parameters, as in blackjax.nuts(logdensity, ...); got {algorithm!r:.60}"
        )
    raise BadInput(
        "give a blackjax algorithm, as in blackjax.nuts(logdensity, ...), a pair of functions (init, step), or a function of the "
        f"data that returns one; got {type(algorithm).__name__}"
    )
