"""The base class of laws, and the capabilities that some laws have besides.

Batteries ask for capabilities and never for a particular law. A capability is a protocol: a law has it as soon as it has the
methods, whoever wrote the law.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from ..arrays import Array, at_hand, is_array, namespace, to_numpy
from ..errors import BadInput, InvalidSample
from .token_rules import Rule


class Law(ABC):
    """A claim about the output of a sampler.

    To add one, give the shape of one draw (``event_shape``) and what identifies it (``describe``). Then add what you know:
    exact draws (:class:`Drawable`), functions of the output whose distribution is known (:class:`Projected`), conditional
    distribution functions (:class:`Transformed`). Each capability brings the batteries that need it, and nothing is inherited
    or registered. A law that is not about real numbers also says which ``dtypes`` its draws may have. A law whose methods take
    arrays of every kind says that it is ``portable``: then JAX need not compile the judge for each number of draws.

    >>> import numpy as np
    >>> import exactness as ex
    >>> class Exponential(ex.Law):
    ...     event_shape = (1,)
    ...     def describe(self):
    ...         return {"kind": "Exponential"}
    ...     def sample(self, n, seed):
    ...         return np.random.default_rng(seed).exponential(size=(n, 1))
    >>> plan = ex.Plan(tolerance=0.1, max_paths=20_000)
    >>> wrong = ex.certify(lambda n, seed: 1.1 * Exponential().sample(n, seed), Exponential(), plan=plan)
    >>> wrong.verdict.value
    'refuted'
    """

    atomless: bool = False
    """Whether two draws never coincide, except by rounding. If so, saved draws that do coincide are copies and no evidence."""

    chained: ClassVar[bool] = False
    """Whether all tests of this law hold given the past, so that the draws of a call may depend on each other, as in one run of a
    Markov chain."""

    portable: ClassVar[bool] = False
    """Whether the methods that take draws take arrays of any kind. If so, JAX draws on the CPU come to them as numpy arrays, and
    nothing is compiled (see :func:`exactness.arrays.at_hand`). If not, they come as the sampler returned them."""

    @property
    def determined(self) -> bool:
        """Whether all calls may return the same draws, as greedy decoding does. Then equal calls are no sign of an ignored seed."""
        return False

    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float64")
    """The dtypes that a sample may have."""

    why_dtypes: ClassVar[str] = ""
    """The reason for ``dtypes``, which a refusal gives."""

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one draw: a sample of n has shape (n, *event_shape)."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What a reader of a certificate must know to identify the law. JSON types only."""

    @property
    def output_law(self) -> Law | None:
        """The law of the last state, where it is known in closed form or numerically."""
        return self

    def output(self, sample: Array) -> Array:
        """The last states of a sample, (n, d)."""
        return sample

    def place(self, index: tuple[int, ...]) -> str:
        """Where in a sample an entry sits, in words."""
        return f"row {index[0]}"

    def readable(self, sample: Array) -> Array:
        """Which entries are numbers that this law can judge, as booleans of the sample's shape. Usually the finite ones."""
        sample = at_hand(sample)
        return namespace(sample).isfinite(sample)

    def refuses(self, dtype: str) -> str | None:
        """The dtypes that a sample may have and why, if this is not one of them."""
        if isinstance(self.dtypes, str):
            raise BadInput(f"dtypes of {type(self).__name__} must be a tuple of names, as in ({self.dtypes!r},)")
        if dtype in self.dtypes:
            return None
        return " or ".join(self.dtypes) + (f": {self.why_dtypes}" if self.why_dtypes else "")

    def hint(self, shape: tuple[int, ...] | None) -> str:
        """What an output of this shape, or one that is no array (None), may be, and how to make a sample of it.

        It is empty if nothing is known; otherwise it begins with a separator.
        """
        event = self.event_shape
        if shape is None or len(event) != 1:
            return ""
        if len(shape) == 1 and event == (1,):
            return ": a draw is a row, even of one number, so return draws[:, None]"
        if shape[2:] == event or (len(shape) == 2 and event == (1,)):
            return (
                ": if the axes are (chain, draw, d), as numpyro with group_by_chain=True and PyMC return them, join the chains "
                f"with draws.reshape(-1, {event[0]}). Successive draws of a Markov chain depend on each other, and a "
                "certificate assumes independent ones: thin the chains, or run many and keep the last draw of each"
            )
        return ""

    def of_saved(self, draws: Array, more: Mapping[str, Array], first: int) -> object:
        """Saved draws as a sampler returns them. ``more`` is what stands next to them, and ``first`` the number of the first."""
        return draws

    def accept(self, sample: object, n: int) -> Array:
        """The sample, if it can be judged: an array of the right shape and dtype that holds numbers.

        Raises:
            InvalidSample: with the reason and the remedy.
        """
        if not is_array(sample):
            raise InvalidSample(
                f"sample(n, seed) returned {type(sample).__name__}; return a numpy, torch or JAX array "
                f"(or such an array and a dict of costs){self.hint(None)}"
            )
        if isinstance(sample, np.ma.MaskedArray):
            raise InvalidSample("sample(n, seed) returned a masked array; return all draws as a plain array: none may be left out")
        array: Any = sample
        if isinstance(array, np.ndarray):
            # Also of a subclass, and in the byte order of another machine.
            array = np.asarray(array, dtype=array.dtype.newbyteorder("="))
        wanted = (n, *self.event_shape)
        if tuple(array.shape) != wanted:
            hint = self.hint(tuple(array.shape))
            raise InvalidSample(f"sample(n={n}, seed) has shape {tuple(array.shape)}; this law needs {wanted}{hint}")
        if refusal := self.refuses(str(array.dtype).removeprefix("torch.")):
            raise InvalidSample(f"sample(n, seed) has dtype {array.dtype}; return {refusal}")
        readable = self.readable(array)
        if not bool(namespace(readable).all(readable)):
            bad = np.argwhere(~to_numpy(readable))
            first = tuple(int(i) for i in bad[0])
            rows = len(np.unique(bad[:, 0]))
            raise InvalidSample(
                f"{rows} of {n} draws hold NaN or infinity, the first at {self.place(first)}; "
                "look for a division by zero or an overflow there"
            )
        return array


@runtime_checkable
class Drawable(Protocol):
    """A law that can be sampled exactly, so that draws can be compared with its own."""

    def sample(self, n: int, seed: int) -> Array:
        """n exact draws, (n, *event_shape). The same seed gives the same draws."""


@dataclass(frozen=True)
class Projections:
    """Functions of the output, each uniform on [0, 1] if the law is right: ``transform`` is (n, d) -> one (n,) per name."""

    names: list[str]
    transform: Callable[[Array], list[Array]]
    whole: bool = False
    """Whether the only function is the distribution function of a draw that is one number."""


@runtime_checkable
class Projected(Protocol):
    """A law that knows the distribution of some one-dimensional functions of its output."""

    def projections(self, random: int, generator: np.random.Generator) -> Projections:
        """The coordinates (or axes) and ``random`` directions drawn from ``generator``."""


@runtime_checkable
class Transformed(Protocol):
    """A law that knows its conditional distribution functions (Rosenblatt 1952), and with them everything."""

    @property
    def dim(self) -> int:
        """The number of uniforms: d, the length of a draw, unless draws lie on a surface."""

    def rosenblatt(self, x: Array) -> Array:
        """u_i = P(X_i <= x_i | X_1..X_{i-1}), independent and uniform under the law: (n, *event_shape) -> (n, dim)."""


@runtime_checkable
class OnLine(Protocol):
    """A law of one number, (n, 1), that knows its distribution function."""

    def cdf(self, t: Array) -> Array:
        """P(X <= t), with the shape and the kind of array of t."""


@runtime_checkable
class OnSurface(Protocol):
    """A law whose draws may have fewer free entries than entries."""

    varying: np.ndarray
    """The entries of a flattened draw that are continuous under the law."""


@runtime_checkable
class Supported(Protocol):
    """A law that knows which draws are impossible."""

    @property
    def limited(self) -> bool:
        """Whether any draw is impossible."""

    def inside(self, x: Array) -> np.ndarray:
        """Which draws lie in the support, up to rounding: (n, *event_shape) -> (n,), on the host."""


@runtime_checkable
class Mixed(Protocol):
    """A law with components, given each of which a draw is a known transformation of normal noise."""

    weights: np.ndarray

    @property
    def dim(self) -> int:
        """d, the length of a draw."""

    def decompose(self, x: Array, uniforms: np.ndarray) -> tuple[Array, Array]:
        """Each draw's component, drawn from its responsibilities, and its noise: labels (n,) and z (n, d)."""


@runtime_checkable
class Characterised(Protocol):
    """A law whose characteristic function is known."""

    @property
    def dim(self) -> int:
        """d, the length of a draw."""

    def typical_distance(self) -> float:
        """The root mean square distance between two independent draws: the unit of bandwidths."""

    def characteristic_function(self, frequencies: np.ndarray) -> np.ndarray:
        """E exp(i <omega, X>) at each row: (m, d) -> (m,) complex."""


@runtime_checkable
class Scored(Drawable, Protocol):
    """A law that can be drawn and knows the gradient of its log-density."""

    @property
    def dim(self) -> int:
        """d, the length of a draw."""

    def typical_distance(self) -> float:
        """The root mean square distance between two independent draws: the unit of bandwidths."""

    def score(self, x: Array) -> Array:
        """The gradient of the log-density, in the namespace of x: (n, d) -> (n, d)."""


@runtime_checkable
class Embedded(Protocol):
    """A law whose mean embedding in the space of a Gaussian kernel is known in closed form."""

    def typical_distance(self) -> float:
        """The root mean square distance between two independent draws: the unit of bandwidths."""

    def kernel_at(self, x: np.ndarray, bandwidth: float) -> np.ndarray:
        """E k(x, X): (n, d) -> (n,)."""

    def kernel_between(self, bandwidth: float) -> float:
        """E k(X, X') of two independent draws."""


@runtime_checkable
class Discrete(Protocol):
    """A law of values of which each has a known probability. Values may share a cell, such as all counts beyond a table.

    Cells follow each other in the order of their values, where there is one.
    """

    @property
    def masses(self) -> np.ndarray:
        """The probability of each cell, (cells,). They sum to 1."""

    def cells(self, draws: Array) -> np.ndarray:
        """The cell of each draw, on the host, or -1 if it has probability 0: (n, *event_shape) -> (n,)."""

    def cell_name(self, cell: int) -> str:
        """The values that a cell holds, in words."""


@runtime_checkable
class Margined(Protocol):
    """A law that knows the law of each number of a draw (n, d), and not how the numbers depend on each other."""

    margins: Mapping[str, Law]
    """The laws of the numbers, each :class:`Discrete`, by name."""

    caveat: str
    """What the margins do not show, in words."""


@dataclass(frozen=True)
class Innovation:
    """One step of a batch of paths. ``step`` is k = K..1, and K + 1 stands for the start x_K itself.

    ``noise`` (n, d) is eps_k and ``squared`` (n,) is its squared norm. At a deterministic step both are None, and ``mismatch``
    (n,) is the distance to the point that the step must give, relative to the size of that point. ``state`` (n, d) is x_k and
    ``drift`` (n, d) is the displacement m_k(x_k) - x_k; at the start both are None. All arrays are computed in double precision
    and returned in the precision of the paths. If the variance depends on the state, ``large`` (n, d) says which numbers have a
    standard deviation above the batch's mean, which is known before the step.
    """

    step: int
    noise: Array | None
    squared: Array | None = None
    mismatch: Array | None = None
    state: Array | None = None
    drift: Array | None = None
    large: Array | None = None


@runtime_checkable
class Innovating(Protocol):
    """A law of paths that turns each step back into the standard normal noise which made it."""

    dim: int

    @property
    def steps(self) -> int:
        """K, the number of steps; a path has K + 1 states."""

    @property
    def noisy(self) -> Sequence[bool]:
        """For the start and then each step in running order, whether it has noise that is judged, (K + 1,)."""

    def innovations(self, paths: Array) -> Iterator[Innovation]:
        """The steps of (n, K + 1, d) paths in running order, the start first if it is judged."""


@runtime_checkable
class Stepped(Innovating, Protocol):
    """A chain of Gaussian steps whose means can be asked for, so that other samplers of it can be made."""

    name: str
    arrays: str
    sigma: np.ndarray
    spread: Callable[[int, Array], Array] | None
    start: tuple[float, float] | None

    def mean(self, k: int, x: Array) -> Array:
        """m_k(x), (n, d) in double precision."""


@runtime_checkable
class Scaled(Protocol):
    """A law that knows how large its noise is, so that the judge can tell whether the digits of a draw hold it."""

    def magnitudes(self, sample: np.ndarray, sizes: np.ndarray | None = None) -> np.ndarray:
        """The squared size of each draw in units of its noise: the sum over its numbers of (|x| / scale)^2, (n, ...) -> (n,).

        ``sizes``, of the shape of the sample, take the place of its numbers |x|. The scale is the standard deviation of the noise
        that a number was made with, or what is comparable to it.
        """


@dataclass(frozen=True)
class Ends:
    """Both ends of the moves of a Markov kernel, as numbers on the host.

    ``before`` and ``after`` (n, m) hold the coordinates of the state and then quantities of it. Whatever the move must keep, such
    as the data that a posterior is given, is ``context`` (n, c). ``moved`` (n, d) says which
    coordinates of which states changed at all.
    """

    before: np.ndarray
    after: np.ndarray
    context: np.ndarray
    moved: np.ndarray


@runtime_checkable
class Moving(Protocol):
    """A law of pairs of states of which both follow the same law, given the context, if a Markov kernel keeps that law."""

    reversible: bool
    """Whether the two ends are exchangeable, given the context."""

    @property
    def coordinates(self) -> Sequence[str]:
        """The names of the coordinates, the first columns of both ends."""

    @property
    def quantity_names(self) -> Sequence[str]:
        """The names of the quantities, the columns that follow."""

    def ends(self, sample: Array) -> Ends:
        """Both ends of the moves of an accepted sample."""

    def fresh(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Columns (n, m) and context (n, c) of n exact states that are independent of everything else."""


@dataclass(frozen=True)
class Proposals:
    """Steps of a sampler that proposes and accepts, each with what is known of it before it happens.

    ``noise`` (n, d) is N(0, I) given the past, ``accepted`` (n,) is a coin of ``probability`` (n,) given the past and the proposal,
    and ``state`` (n, d) is the state before the step. ``log_ratio`` (n,) is the logarithm of the acceptance ratio. ``mismatch``
    (n,) is the distance of the next state from what it must be, relative to its size.
    """

    noise: np.ndarray
    accepted: np.ndarray
    probability: np.ndarray
    state: np.ndarray
    log_ratio: np.ndarray
    mismatch: np.ndarray


@runtime_checkable
class Proposing(Protocol):
    """A law of steps that propose and accept."""

    @property
    def dim(self) -> int:
        """d, the length of a state."""

    def proposals(self, sample: Array) -> Proposals:
        """The steps of an accepted sample."""


@dataclass(frozen=True)
class Meetings:
    """Pairs of coupled chains. ``unmet`` (n,) is the number of the last step after which they differed.

    ``one`` and ``other`` (n, 2, d) are two draws of the same step from the states ``before`` (n, 2, d), of the chain and of its
    partner. Given these, they have the same law if the coupling has the right margins.
    """

    unmet: np.ndarray
    before: np.ndarray
    one: np.ndarray
    other: np.ndarray


@runtime_checkable
class Meeting(Protocol):
    """A law of pairs of chains, one of which starts at an exact state. ``bounds`` says of what the distances are."""

    steps: int

    @property
    def bounds(self) -> str:
        """What the distances are of: of this target, or an average."""

    def meetings(self, sample: Array) -> Meetings:
        """The pairs of an accepted sample."""


@dataclass(frozen=True)
class Prediction:
    """The laws of one token of several sequences, given all tokens before it.

    ``position`` counts from 0. ``rows`` (m,) are the numbers of the sequences, and ``tokens`` (m,) their tokens, -1 where a
    sequence has ended. ``log_p`` (m, V) is the law's log-probability of every token, and ``log_q`` that of the draft, or None.
    """

    position: int
    rows: np.ndarray
    tokens: np.ndarray
    log_p: Array
    log_q: Array | None


@runtime_checkable
class Predicting(Protocol):
    """A law of token sequences that knows the law of each token given those before it.

    An accepted sample is an array of integers (n, 4, T): tokens, rounds, drafts and the number of the prompt. -1 is unknown.
    """

    vocabulary: int
    length: int

    @property
    def greedy(self) -> bool:
        """Whether each token is determined by those before it, but for ties."""

    @property
    def drafted(self) -> bool:
        """Whether the draft's law is known."""

    @property
    def rule(self) -> Rule | None:
        """How drafts are verified, if that is part of the claim. Then rounds and drafts are known."""

    def predictions(self, sample: Array) -> Iterator[Prediction]:
        """The laws of all tokens of an accepted sample, in chunks of sequences, each in the order of positions."""


@runtime_checkable
class Decoding(Predicting, Protocol):
    """A law of token sequences that can be asked for the law of any next token, so that wrong decoders of it can be made.

    ``prompts`` are lists of token ids, ``[()]`` if there are none, and ``end`` is the token that ends a sequence, or None.
    """

    prompts: Sequence[Sequence[int]]
    end: int | None

    def log_probs(self, prefixes: Array) -> Array:
        """The log-probabilities of the next token: (n, t) integers -> (n, V)."""

    def unfiltered_log_probs(self, prefixes: Array) -> Array:
        """The same without temperature and filters."""

    def draft_log_probs(self, prefixes: Array) -> Array:
        """The draft's log-probabilities of the next token, if it is ``drafted``."""

    def without_rule(self) -> Decoding:
        """The same law, without a claim about how drafts are verified."""


@runtime_checkable
class Enumerable(Protocol):
    """A law that can list all of its draws, if they are few."""

    @property
    def sequences(self) -> int:
        """How many there are at most, or 0 if they cannot be listed."""

    def enumerate(self) -> tuple[np.ndarray, np.ndarray]:
        """All draws (m, T), and their probabilities (m,)."""


def unit_directions(count: int, dim: int, generator: np.random.Generator) -> np.ndarray:
    """Uniform on the sphere, shape (count, dim)."""
    v = generator.standard_normal((count, dim))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def frame(count: int, dim: int, generator: np.random.Generator, first: np.ndarray | None = None) -> np.ndarray:
    """``count`` <= ``dim`` orthogonal directions, as columns of length one: (dim, count).

    They are random, but span the columns of ``first`` (dim, some), or as many of these as there is room for.
    """
    columns = generator.standard_normal((dim, count))
    if first is not None:
        columns[:, : first.shape[1]] = first[:, :count]
    return np.linalg.qr(columns)[0]


def checked_weights(weights: object) -> np.ndarray:
    """A vector of probabilities. Raises ``BadInput``."""
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 1 or len(w) == 0:
        raise BadInput(f"weights must be a vector, one entry per component; got shape {w.shape}")
    if not np.all(np.isfinite(w)) or np.any(w < 0):
        raise BadInput("weights must be finite and not negative")
    if abs(w.sum() - 1.0) > 1e-8:
        raise BadInput(f"weights sum to {w.sum():.10g}, not to 1; divide them by their sum if that is what you mean")
    return w / w.sum()
