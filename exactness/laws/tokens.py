"""Laws of token sequences: what a language model writes when each token is drawn given those before it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from ..arrays import Array, is_array, like, namespace, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Law, Prediction
from .token_filters import Order, TokenFilters, log_softmax

Target = Callable[[Any], Any]
"""``target(prefixes)`` takes integers (n, t) and returns logits or log-probabilities (n, V) of the next token."""

# The judge looks at about this many numbers at a time.
_CHUNK = 1 << 22
_MOST_SEQUENCES = 1 << 16


@dataclass(frozen=True)
class TokenDraws:
    """Token sequences, with what a sampler can tell about how it made them.

    Attributes:
        tokens: (n, T) integers. What follows the end token does not matter.
        lengths: (n,) the number of tokens of each sequence, with the end token. If left out, a sequence ends with its first end
            token, or after T tokens.
        rounds: (n, T) the number of the round that emitted each token, 0, 1, 2, ...
        drafts: (n, T) the drafted token that was proposed at each position in that round, or -1 if none was.
        prompts: (n,) the number of the prompt that each sequence continues, modulo the number of prompts of the law. The default is
            0, 1, 2, ...
    """

    tokens: Any
    lengths: Any = None
    rounds: Any = None
    drafts: Any = None
    prompts: Any = None


class TokenChain(Law):
    """The law of sequences whose every token is drawn from ``target``, given the prompt and the tokens before it.

    Draws are integers (n, T) or :class:`TokenDraws`.

    Args:
        target: ``target(prefixes)`` takes (n, t) integers and returns (n, V) logits or log-probabilities of the next token, in
            any array library. t is at least 0; with prompts, prefixes begin with the prompt. It must be deterministic.
        vocabulary: V, the number of tokens, 2 to 262,144.
        length: T, the number of tokens to draw.
        draft: the same as ``target`` for the draft model. The judge does not need it, but sees more with it.
        prompts: lists of token ids. Draw i of each call must continue prompt i modulo their number.
        end: the token that ends a sequence.
        temperature, top_k, top_p, min_p, order: applied to the target (not to the draft) by the judge; see
            :class:`.token_filters.TokenFilters`. Leave them out if the target applies them itself.
        score: an optional ``score(tokens)`` -> (n, t, V): the logits after each of the t tokens of a sequence, in one pass. It is
            used where there is a prompt, so that a sequence takes one evaluation and not T.
        name: the name of the law in certificates.

    Raises:
        BadInput: if an argument makes no sense.

    Source of the tests that it makes possible: M. Rosenblatt, Remarks on a multivariate transformation, 1952.

    >>> import numpy as np
    >>> import exactness as ex
    >>> def target(prefixes):
    ...     n, t = prefixes.shape
    ...     last = prefixes[:, -1] if t else np.zeros(n, dtype=int)
    ...     return np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]]))[last]
    >>> law = ex.TokenChain(target, vocabulary=3, length=8)
    >>> plan = ex.Plan(tolerance=0.1)
    >>> ex.certify(law.sample, law, plan=plan).verdict.value
    'certified'
    >>> warm = ex.TokenChain(target, vocabulary=3, length=8, temperature=1.3)
    >>> ex.certify(warm.sample, law, plan=plan).verdict.value
    'refuted'
    """

    dtypes = ("int64", "int32", "int16", "uint8", "int8", "uint16", "uint32")
    why_dtypes = "token ids are integers"

    def __init__(
        self,
        target: Target,
        *,
        vocabulary: int,
        length: int,
        draft: Target | None = None,
        prompts: Sequence[Sequence[int]] = (),
        end: int | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        order: Order = "transformers",
        score: Callable[[Any], Any] | None = None,
        name: str = "tokens",
    ) -> None:
        for label, function in (("target", target), ("draft", draft), ("score", score)):
            if function is not None and not callable(function):
                raise BadInput(f"{label} must be a function of token ids, not {type(function).__name__}")
        self.vocabulary = _whole("vocabulary", vocabulary, 2, 1 << 18)
        self.length = _whole("length", length, 1, 1 << 20)
        self.end = None if end is None else _whole("end", end, 0, self.vocabulary - 1)
        self.target, self.draft, self.score, self.name = target, draft, score, name
        self.filters = TokenFilters(temperature, top_k, top_p, min_p, order)
        self.prompts = [self._prompt(prompt) for prompt in prompts] or [()]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def output_law(self) -> Law | None:
        """None: sequences are judged token by token and not as points in space."""
        return None

    @property
    def greedy(self) -> bool:
        """Whether the law is that of greedy decoding. Tokens that tie for the largest logit are then all right."""
        return self.filters.greedy

    @property
    def determined(self) -> bool:
        return self.greedy

    @property
    def drafted(self) -> bool:
        """Whether the draft's law is known."""
        return self.draft is not None

    def describe(self) -> dict[str, object]:
        return {
            "kind": "TokenChain", "name": self.name, "vocabulary": self.vocabulary, "length": self.length, "draft": self.drafted,
            "prompts": [list(prompt) for prompt in self.prompts if prompt][:8], "end": self.end, **self.filters.describe(),
        }  # fmt: skip

    def place(self, index: tuple[int, ...]) -> str:
        return f"sequence {index[0]}, token {index[-1]}"

    def readable(self, sample: Array) -> Array:
        return namespace(sample).ones_like(sample, dtype=namespace(sample).bool)

    def of_saved(self, draws: Array, more: Mapping[str, Array], first: int) -> object:
        return TokenDraws(draws, **{"prompts": np.arange(first, first + len(draws)), **more})

    def accept(self, sample: object, n: int) -> Array:
        """The sample as integers (n, 4, T): tokens (-1 after the end), rounds, drafts (-1 if unknown), and the prompt's number."""
        draws = sample if isinstance(sample, TokenDraws) else TokenDraws(sample)
        tokens = super().accept(draws.tokens, n)
        xp = namespace(tokens)
        if bool(xp.any((tokens < 0) | (tokens >= self.vocabulary))) and draws.lengths is None and self.end is None:
            wrong = to_numpy(tokens)
            at = np.argwhere((wrong < 0) | (wrong >= self.vocabulary))[0]
            raise InvalidSample(
                f"token {wrong[tuple(at)]} ({self.place(tuple(at))}) is not one of the {self.vocabulary} of the vocabulary; if "
                "sequences end early, give the law its end token, or return ex.TokenDraws(tokens, lengths=...)"
            )
        alive = self._alive(tokens, draws.lengths, n)
        ids = xp.where(alive, tokens, xp.full_like(tokens, 0))
        if bool(xp.any((ids < 0) | (ids >= self.vocabulary))):
            raise InvalidSample(f"a token before the end of its sequence is not one of the {self.vocabulary} of the vocabulary")
        wide = lambda x: xp.astype(x, xp.int64 if "64" in str(xp.asarray(0).dtype) else xp.int32)  # noqa: E731
        unknown = xp.full_like(wide(tokens), -1)
        given = np.arange(n)
        if draws.prompts is not None:
            if not is_array(draws.prompts) or tuple(draws.prompts.shape) != (n,):
                raise InvalidSample(f"prompts must be integers of shape ({n},), the number of the prompt of each sequence")
            given = to_numpy(draws.prompts).astype(np.int64)
        number = xp.zeros_like(unknown) + like(given[:, None] % len(self.prompts), unknown)
        rows = [xp.where(alive, wide(tokens), unknown)]
        for label, given in (("rounds", draws.rounds), ("drafts", draws.drafts)):
            if given is not None and (not is_array(given) or tuple(given.shape) != (n, self.length)):
                raise InvalidSample(f"{label} must be integers of shape ({n}, {self.length}), one per token")
            rows.append(unknown if given is None else wide(given))
        return xp.stack([*rows, number], axis=1)

    def predictions(self, sample: Array) -> Iterator[Prediction]:
        """The next-token laws of an accepted sample, position by position, in chunks of rows."""
        xp = namespace(sample)
        number = to_numpy(sample[:, 3, 0])
        for which, prompt in enumerate(self.prompts):
            at_once = self.score is not None and len(prompt) > 0
            most = max(1, _CHUNK // self.vocabulary // (self.length + len(prompt) if at_once else 1))
            mine = np.flatnonzero(number == which)
            for first in range(0, len(mine), most):
                rows = mine[first : first + most]
                packed = sample[like(rows, sample)]
                head = xp.zeros((len(rows), len(prompt)), dtype=sample.dtype) + like(np.array(prompt, dtype=np.int64), packed)
                ids = xp.concat([head, xp.clip(packed[:, 0, :], 0, self.vocabulary - 1)], axis=1)
                scores = self._scores(ids[:, :-1]) if at_once else None
                for t in range(self.length):
                    prefix = ids[:, : len(prompt) + t]
                    log_p = self.log_probs(prefix) if scores is None else self.filters(scores[:, len(prompt) + t - 1])
                    log_q = None if self.draft is None else self.draft_log_probs(prefix)
                    yield Prediction(t, rows, packed[:, 0, t], log_p, log_q)

    def log_probs(self, prefixes: Array) -> Array:
        """The filtered log-probabilities of the next token: (n, t) integers -> (n, V)."""
        return self.filters(self._logits("target", self.target, prefixes))

    def unfiltered_log_probs(self, prefixes: Array) -> Array:
        """The target's log-probabilities without temperature and filters: (n, t) integers -> (n, V)."""
        return log_softmax(self._logits("target", self.target, prefixes))

    def draft_log_probs(self, prefixes: Array) -> Array:
        """The draft's log-probabilities of the next token: (n, t) integers -> (n, V). Raises ``BadInput`` without a draft."""
        if self.draft is None:
            raise BadInput("this law knows no draft: give draft= to TokenChain")
        return log_softmax(self._logits("draft", self.draft, prefixes))

    def sample(self, n: int, seed: int) -> np.ndarray:
        """n exact draws, (n, T) integers, one token after the other."""
        generator = np.random.default_rng(seed)
        found = np.zeros((n, self.length), dtype=np.int64)
        for which, prompt in enumerate(self.prompts):
            mine = np.arange(which, n, len(self.prompts))
            ids = np.concatenate([np.tile(np.array(prompt, dtype=np.int64), (len(mine), 1)), found[mine]], axis=1)
            for t in range(self.length if len(mine) else 0):
                at = len(prompt) + t
                sums = np.cumsum(np.exp(np.asarray(to_numpy(self.log_probs(ids[:, :at])), dtype=np.float64)), axis=1)
                u = generator.random(len(mine))[:, None] * sums[:, -1:]
                ids[:, at] = np.minimum((sums <= u).sum(axis=1), self.vocabulary - 1)
            found[mine] = ids[:, len(prompt) :]
        return found

    def enumerate(self) -> tuple[np.ndarray, np.ndarray]:
        """All sequences (m, T) and their probabilities (m,). With an end token, its successors are 0.

        Raises ``BadInput`` if there are more than 65,536 sequences, or several prompts.

        >>> law = TokenChain(lambda prefixes: np.zeros((len(prefixes), 2)), vocabulary=2, length=2)
        >>> [(tuple(int(x) for x in row), round(float(p), 3)) for row, p in zip(*law.enumerate())]
        [((0, 0), 0.25), ((0, 1), 0.25), ((1, 0), 0.25), ((1, 1), 0.25)]
        """
        if self.vocabulary**self.length > _MOST_SEQUENCES:
            raise BadInput(f"{self.vocabulary}^{self.length} sequences are too many to be enumerated")
        if len(self.prompts) > 1:
            raise BadInput("sequences after several prompts have several laws: enumerate a law with one prompt")
        sequences = np.array(list(itertools.product(range(self.vocabulary), repeat=self.length)), dtype=np.int64)
        head = np.tile(np.array(self.prompts[0], dtype=np.int64), (len(sequences), 1))
        logs, alive = np.zeros(len(sequences)), np.ones(len(sequences), dtype=bool)
        for t in range(self.length):
            step = to_numpy(self.log_probs(np.concatenate([head, sequences[:, :t]], axis=1)))
            here = np.asarray(step, dtype=np.float64)[np.arange(len(sequences)), sequences[:, t]]
            logs += np.where(alive, here, np.where(sequences[:, t] == 0, 0.0, -np.inf))
            if self.end is not None:
                alive &= sequences[:, t] != self.end
        possible = logs > -np.inf
        return sequences[possible], np.exp(logs[possible])

    def _logits(self, label: str, function: Target, prefixes: Array) -> Array:
        return _checked(label, function, prefixes, (int(prefixes.shape[0]), self.vocabulary), "one row of logits per prefix")

    def _scores(self, ids: Array) -> Array:
        assert self.score is not None
        shape = (*(int(size) for size in ids.shape), self.vocabulary)
        return _checked("score", self.score, ids, shape, "one row of logits per token")

    def _alive(self, tokens: Array, lengths: Any, n: int) -> Array:
        """Which tokens belong to their sequence, (n, T)."""
        xp, place = namespace(tokens), np.arange(self.length)[None]
        if lengths is not None:
            if not is_array(lengths) or tuple(lengths.shape) != (n,):
                raise InvalidSample(f"lengths must be integers of shape ({n},), the number of tokens of each sequence")
            counted = to_numpy(lengths)
            if np.any(counted < 0) or np.any(counted > self.length):
                raise InvalidSample(f"lengths must lie between 0 and {self.length}")
            if self.end is None and np.any(counted < self.length):
                raise InvalidSample(
                    f"sequences have fewer than {self.length} tokens, but this law has no end token: draw as many for each, or "
                    "give the law end="
                )
        if self.end is None:
            return xp.ones_like(tokens, dtype=xp.bool)
        ended = np.cumsum(to_numpy(tokens) == self.end, axis=1)
        by_end = (ended == 0) | ((ended == 1) & (to_numpy(tokens) == self.end))
        if lengths is not None and not np.array_equal(by_end, place < counted[:, None]):
            raise InvalidSample(f"lengths do not agree with the first end token ({self.end}) of each sequence")
        return like(by_end, tokens)

    def _prompt(self, prompt: Sequence[int]) -> tuple[int, ...]:
        ids = np.asarray(prompt)
        if ids.ndim != 1 or (ids.size and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= self.vocabulary)):
            raise BadInput(f"each prompt must be a list of token ids from 0 to {self.vocabulary - 1}")
        return tuple(int(i) for i in ids)


def _checked(label: str, function: Target, ids: Array, shape: tuple[int, ...], what: str) -> Array:
    """The logits that a function of the user returns. Raises ``BadInput`` if they cannot be used."""
    try:
        found = function(ids)
    except Exception as error:
        raise BadInput(f"{label} raised {type(error).__name__} for integers of shape {tuple(ids.shape)}: {error}") from error
    if not is_array(found) or tuple(found.shape) != shape:
        got = tuple(found.shape) if is_array(found) else type(found).__name__
        raise BadInput(f"{label} must return {what}, an array of shape {shape}; got {got}")
    xp = namespace(found)
    if not xp.isdtype(found.dtype, "real floating"):
        raise BadInput(f"{label} must return logits or log-probabilities, not {found.dtype}")
    if str(found.dtype).endswith("16"):
        found = xp.astype(found, xp.float32)
    if bool(xp.any(xp.isnan(found))) or not bool(xp.all(xp.isfinite(xp.max(found, axis=-1)))):
        raise BadInput(f"{label} returned NaN, +inf or a row of -inf only: look for a division by zero or an overflow there")
    return found


def _whole(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise BadInput(f"{name} must be an integer from {least} to {most:,}, not {value!r}")
    return int(value)
