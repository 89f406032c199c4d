"""Samplers that propose and accept, judged step by step, within one run and from any start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from ..arrays import Array, as_kind, is_array, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Drawable, Law, Proposals
from .moves import Kind, known_kind, seeds_of

Rule = Literal["metropolis", "barker"]


@runtime_checkable
class Proposal(Protocol):
    """How proposals are made: N(0, I) turned into a proposal, and how much likelier the way back is."""

    def noise(self, x: np.ndarray, y: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
        """The noise that turned the states x into the proposals y: N(0, I) given x, (n, d)."""

    def log_ratio(self, x: np.ndarray, y: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
        """log q(x | y) - log q(y | x), (n,)."""


@dataclass(frozen=True)
class GaussianProposal:
    """Proposals y = mean(x) + scale * N(0, I).

    Args:
        scale: a positive number or a vector (d,). None if every step declares its own, as samplers do whose scale depends on their
            history. It is then known before the step, and the way back is taken to have the same scale: a scale that depends on
            the state needs a proposal of your own, whose ``log_ratio`` says how much likelier the way back is.
        mean: a function of states, (n, d) -> (n, d), such as a step of Langevin dynamics. If it is left out, it is x itself.

    >>> import numpy as np
    >>> GaussianProposal(0.5).noise(np.zeros((1, 1)), np.ones((1, 1)), None)
    array([[2.]])
    """

    scale: float | Sequence[float] | None = None
    mean: Callable[[np.ndarray], Any] | None = None

    def noise(self, x: np.ndarray, y: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
        """See :class:`Proposal`."""
        return (y - self._mean(x)) / self._of(scale)

    def log_ratio(self, x: np.ndarray, y: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
        """See :class:`Proposal`."""
        if self.mean is None:
            return np.zeros(len(x))
        there, back = self.noise(x, y, scale), self.noise(y, x, scale)
        return 0.5 * (np.square(there).sum(axis=1) - np.square(back).sum(axis=1))

    def _mean(self, x: np.ndarray) -> np.ndarray:
        return x if self.mean is None else np.asarray(self.mean(x), dtype=np.float64)

    def _of(self, scale: np.ndarray | None) -> Any:
        if self.scale is None and scale is None:
            raise BadInput("GaussianProposal() without a scale is for steps that declare their own: give it scale=...")
        return scale if self.scale is None else np.asarray(self.scale, dtype=np.float64)


class Transition(Law):
    """The claim that a sampler proposes and accepts as it says: N(0, I) noise, and a coin of known probability for acceptance.

    Both hold given the past. So the claim can be judged within one autocorrelated run, from any start, and for samplers that depend
    on their history. It says nothing about what is declared: a wrong target or proposal that is declared is not seen. The tests are
    martingale inequalities that hold at every n.

    A draw is a step (x, proposal, next state, accepted), in one row of 3 d + 1 numbers; :meth:`pack` makes rows.

    Args:
        target: the log-density up to a constant, (n, d) -> (n,), or a law with ``log_density``.
        propose: a number, the standard deviation of a random walk, or how proposals are made, such as :class:`GaussianProposal`.
        dim: d. It may be left out if the target is a law.
        accept: ``"metropolis"``, min(1, ratio), or ``"barker"``, ratio/(1 + ratio), or a function of the logarithm of the ratio.
        name: the name of the law in certificates.

    Raises:
        BadInput: if an argument makes no sense.

    Sources: Freedman, On tail probabilities for martingales, 1975; Barker 1965.

    >>> import numpy as np
    >>> import exactness as ex
    >>> target = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> def walk(x, seed, slope=0.5):
    ...     rng = np.random.default_rng(seed)
    ...     y = x + rng.standard_normal(x.shape)
    ...     accepted = rng.random(len(x)) < np.exp(slope * (x**2 - y**2))[:, 0]
    ...     return np.where(accepted[:, None], y, x), y, accepted
    >>> law = ex.Transition(target, propose=1.0)
    >>> far = np.full(1, 5.0)
    >>> ex.certify(law.moved_by(walk, start=far), law).verdict.value
    'certified'
    >>> ex.certify(law.moved_by(lambda x, seed: walk(x, seed, 0.4), start=far), law).verdict.value
    'refuted'
    """

    dtypes = ("float64",)
    chained = True

    def __init__(
        self,
        target: Law | Callable[[np.ndarray], Any],
        propose: float | Proposal,
        *,
        dim: int | None = None,
        accept: Rule | Callable[[np.ndarray], Any] = "metropolis",
        name: str = "transition",
    ) -> None:
        log_density = getattr(target, "log_density", None) if isinstance(target, Law) else target
        if not callable(log_density):
            raise BadInput(
                "the target of a Transition must be a log-density, (n, d) -> (n,), or a law with log_density, such as "
                f"exactness.GaussianMixture; got {type(target).__name__}"
            )
        if isinstance(propose, (int, float)) and not isinstance(propose, bool):
            if not 0.0 < propose < np.inf:
                raise BadInput(f"propose must be a positive standard deviation, not {propose!r}")
            propose = GaussianProposal(float(propose))
        if not isinstance(propose, Proposal):
            raise BadInput("propose must be a standard deviation, or have noise(x, y, scale) and log_ratio(x, y, scale)")
        if not callable(accept) and accept not in get_args(Rule):
            raise BadInput(f"accept must be one of {', '.join(get_args(Rule))} or a function of the log ratio, not {accept!r}")
        if dim is None and not isinstance(target, Law):
            raise BadInput("say how long a state is, dim=...: a log-density alone does not tell")
        self.target, self.log_density, self.propose, self.accept_with, self.name = target, log_density, propose, accept, name
        self._dim = int(target.event_shape[-1]) if isinstance(target, Law) else int(dim or 0)
        if (dim is not None and dim != self._dim) or self._dim < 1:
            raise BadInput(f"dim must be {self._dim}, the length of a draw of the target, not {dim!r}")

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def declares_scale(self) -> bool:
        """Whether every step declares the scale of its proposal."""
        return isinstance(self.propose, GaussianProposal) and self.propose.scale is None

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (3 * self.dim + 1 + (self.dim if self.declares_scale else 0),)

    @property
    def output_law(self) -> Law | None:
        return None

    def describe(self) -> dict[str, object]:
        accept = self.accept_with if isinstance(self.accept_with, str) else getattr(self.accept_with, "__qualname__", "a function")
        target = self.target.describe() if isinstance(self.target, Law) else getattr(self.target, "__qualname__", "a function")
        return {
            "kind": "Transition", "name": self.name, "target": target, "dim": self.dim, "accept": accept,
            "propose": repr(self.propose) if getattr(self.propose, "mean", None) is None else type(self.propose).__name__,
        }  # fmt: skip

    def place(self, index: tuple[int, ...]) -> str:
        part = ("the state", "the proposal", "the next state")[index[-1] // self.dim] if index[-1] < 3 * self.dim else "acceptance"
        return f"step {index[0]}, {part}"

    def pack(self, x: Any, proposal: Any, next_state: Any, accepted: Any, scale: Any = None) -> np.ndarray:
        """Steps as draws of this law: three arrays (n, d) and (n,) booleans, and (n, d) scales if steps declare them."""
        n = len(x)
        rows = [np.asarray(to_numpy(v), dtype=np.float64).reshape(n, self.dim) for v in (x, proposal, next_state)]
        rows.append(np.asarray(to_numpy(accepted)).reshape(n, 1).astype(np.float64))
        if self.declares_scale:
            if scale is None:
                raise InvalidSample("every step must declare the scale of its proposal: return it as a fourth value")
            rows.append(np.broadcast_to(np.asarray(to_numpy(scale), dtype=np.float64).reshape(n, -1), (n, self.dim)))
        return np.concatenate(rows, axis=1)

    def moved_by(self, kernel: Callable[[Any, int], Any], *, start: Any = None, walkers: int = 16, arrays: Kind = "numpy") -> RunBy:
        """The sampler of a kernel: a run of n steps in all, by some walkers at once.

        Args:
            kernel: ``kernel(x, seed)`` takes states (n, d) and returns ``(next, proposal, accepted)``, and as a fourth value the
                scale of the proposal, if steps declare it.
            start: where all runs start, (d,) or (walkers, d). If it is left out, the target is drawn from.
            walkers: the number of chains that run at once.
            arrays: the kind of array that the kernel is given.
        """
        if not callable(kernel):
            raise BadInput(f"a kernel must be a function kernel(x, seed); got {type(kernel).__name__}")
        if start is None and not isinstance(self.target, Drawable):
            raise BadInput("say where the run starts, start=...: this target cannot be drawn from")
        if isinstance(walkers, bool) or not isinstance(walkers, int) or walkers < 1:
            raise BadInput(f"walkers must be an integer of at least 1, not {walkers!r}")
        if start is not None:
            start = np.asarray(to_numpy(start) if is_array(start) else start, dtype=np.float64)
            if start.shape not in ((self.dim,), (walkers, self.dim)):
                raise BadInput(f"start must have shape ({self.dim},) or ({walkers}, {self.dim}), not {start.shape}")
            start = np.broadcast_to(start, (walkers, self.dim))
        return RunBy(self, kernel, start, walkers, arrays)

    def proposals(self, sample: Array) -> Proposals:
        """See :class:`.base.Proposing`."""
        rows, d = to_numpy(sample), self.dim
        x, y, after, accepted = rows[:, :d], rows[:, d : 2 * d], rows[:, 2 * d : 3 * d], rows[:, 3 * d]
        if not np.all((accepted == 0.0) | (accepted == 1.0)):
            raise InvalidSample("accepted must be booleans, or 0 and 1")
        scale = rows[:, 3 * d + 1 :] if self.declares_scale else None
        if scale is not None and not np.all(scale > 0.0):
            raise InvalidSample("the scale of a proposal must be positive")
        here, there = (self._log_density(v) for v in (x, y))
        if here.shape != (len(x),):
            raise BadInput(f"the target's log-density returned shape {here.shape} for {len(x)} states; return one number each")
        if np.any(np.isnan(here) | np.isnan(there)) or np.any(here == -np.inf):
            raise InvalidSample("a state has density 0 or NaN under the target: start where the density is positive")
        ratio = there - here + self.propose.log_ratio(x, y, scale)
        must = np.where(accepted[:, None] == 1.0, y, x)
        mismatch = np.abs(after - must).max(axis=1) / (1e-300 + np.abs(must).max(axis=1) + np.abs(y - x).max(axis=1))
        return Proposals(self.propose.noise(x, y, scale), accepted, self._chance(ratio), x, ratio, mismatch)

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(self.log_density(x.copy()), dtype=np.float64)
        except Exception as error:  # This is the user's own function, so the message says whose it is.
            raise BadInput(
                f"the target's log-density raised {type(error).__name__}: {error}; it takes states (n, d) and returns (n,)"
            ) from error

    def _chance(self, ratio: np.ndarray) -> np.ndarray:
        if callable(self.accept_with):
            chance = np.asarray(self.accept_with(ratio), dtype=np.float64)
            if chance.shape != ratio.shape or not np.all((chance >= 0.0) & (chance <= 1.0)):
                raise BadInput("accept must return probabilities, one for each log ratio")
            return chance
        with np.errstate(over="ignore"):
            return np.exp(np.minimum(ratio, 0.0)) if self.accept_with == "metropolis" else 1.0 / (1.0 + np.exp(-ratio))


@dataclass(frozen=True, eq=False)
class RunBy:
    """The sampler of a kernel that proposes and accepts: ``sample(n, seed)`` returns n steps of some walkers."""

    law: Transition
    kernel: Callable[[Any, int], Any]
    start: np.ndarray | None
    walkers: int
    arrays: Kind = "numpy"

    def __post_init__(self) -> None:
        known_kind(self.arrays)

    def __call__(self, n: int, seed: int) -> np.ndarray:
        steps = -(-n // self.walkers)
        seeds = seeds_of(seed, steps + 1)
        state = to_numpy(self.law.target.sample(self.walkers, seeds[0])) if self.start is None else self.start  # type: ignore[union-attr]
        state, rows = np.array(state, dtype=np.float64), []
        for step in range(steps):
            output = self.kernel(as_kind(state.copy(), self.arrays), seeds[step + 1])
            if not isinstance(output, tuple) or len(output) != (4 if self.law.declares_scale else 3):
                what = "(next, proposal, accepted, scale)" if self.law.declares_scale else "(next, proposal, accepted)"
                raise InvalidSample(f"the kernel must return {what}; got {type(output).__name__}")
            after, proposal, accepted, *scale = (to_numpy(part) if is_array(part) else np.asarray(part) for part in output)
            for label, part, shape in (
                ("next", after, state.shape),
                ("proposal", proposal, state.shape),
                ("accepted", accepted, None),
            ):
                if part.shape != (shape or (self.walkers,)):
                    raise InvalidSample(f"the kernel's {label} has shape {part.shape}; it must be {shape or (self.walkers,)}")
            rows.append(self.law.pack(state, proposal, after, accepted, *scale))
            state = np.asarray(after, dtype=np.float64)
        return np.concatenate(rows)[:n]
