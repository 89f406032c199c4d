"""Laws of token sequences: what a language model writes when each token is drawn given those before it."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, get_args

import numpy as np

from ..arrays import Array, in_numpy, is_array, like, namespace, to_numpy
from ..errors import BadInput, InvalidSample
from .base import Law, Prediction
from .token_filters import Order, TokenFilters, log_softmax
from .token_rules import OF_TARGET, Rule

Target = Callable[[Any], Any]
"""``target(prefixes)`` takes integers (n, t) and returns logits or log-probabilities (n, V) of the next token."""

# The target is asked for about this many numbers at a time, and the draft as well.
_CHUNK = 1 << 22
# Of these, about so many are looked at together: what is computed of them stays in the processor's cache.
_BLOCK = 1 << 17
_MOST_SEQUENCES = 1 << 16
# Two answers of a deterministic function differ by rounding at most. No probability of these rows may differ by more than this.
_ROWS, _APART = 16, 0.05


@dataclass(frozen=True)
class TokenDraws:
    """Token sequences, with what a sampler can tell about how it made them.

    Attributes:
        tokens: (n, T) integers. What follows the end token does not matter.
        lengths: (n,) the number of tokens of each sequence, with the end token. If left out, a sequence ends with its first end
            token, or after T tokens.
        rounds: (n, T) the number of the round that emitted each token, 0, 1, 2, ...
        drafts: (n, T) the drafted token that was proposed at each position in that round, or -1 if none was. A round that accepts
            i of its drafts reports these and the next one, which was rejected, but not those behind it.
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
            any array library. t is at least 0; with prompts, prefixes begin with the prompt. It must be deterministic; its
            first answer is asked for twice.
        vocabulary: V, the number of tokens, 2 to 262,144.
        length: T, the number of tokens to draw.
        draft: the same as ``target`` for the draft model. The judge does not need it, but sees more with it.
        prompts: lists of token ids. Draw i of each call must continue prompt i modulo their number.
        end: the token that ends a sequence.
        temperature, top_k, top_p, min_p, order: applied to the target (not to the draft) by the judge; see
            :class:`.token_filters.TokenFilters`. Leave them out if the target applies them itself.
        score: an optional ``score(tokens)`` -> (n, t, V): the logits after each of the t tokens of a sequence, in one pass. It is
            used where there is a prompt, so that a sequence takes one evaluation and not T.
        rule: how drafts are verified, if that is part of the claim: ``"token-wise"``, ``"block"``, ``"one-hot"``,
            ``"sampled-verify"`` or ``"gumbel"`` (see :mod:`.token_rules`). Then the accepted drafts are judged as well, so the
            sampler must report rounds and drafts. All rules but one-hot and sampled-verify need ``draft``.
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
        rule: Rule | None = None,
        name: str = "tokens",
    ) -> None:
        for label, function in (("target", target), ("draft", draft), ("score", score)):
            if function is not None and not callable(function):
                raise BadInput(f"{label} must be a function of token ids, not {type(function).__name__}")
        if rule is not None and rule not in get_args(Rule):
            raise BadInput(f"rule must be one of {', '.join(get_args(Rule))}, not {rule!r}")
        if rule is not None and rule not in OF_TARGET and draft is None:
            raise BadInput(f"whether {rule} verification accepts a draft depends on the draft's law: give draft= as well")
        self.rule = rule
        self.vocabulary = _whole("vocabulary", vocabulary, 2, 1 << 18)
        self.length = _whole("length", length, 1, 1 << 20)
        self.end = None if end is None else _whole("end", end, 0, self.vocabulary - 1)
        self.target, self.draft, self.score, self.name = target, draft, score, name
        self.filters = TokenFilters(temperature, top_k, top_p, min_p, order)
        if not isinstance(prompts, Iterable):
            raise BadInput(f"prompts must be a list of lists of token ids, not {type(prompts).__name__}")
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
        return self.greedy or self.filters.top_k == 1

    @property
    def drafted(self) -> bool:
        """Whether the draft's law is known."""
        return self.draft is not None

    def describe(self) -> dict[str, object]:
        return {
            "kind": "TokenChain", "name": self.name, "vocabulary": self.vocabulary, "length": self.length, "draft": self.drafted,
            **({} if self.rule is None else {"rule": self.rule}),
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
            wrong = to_numpy(ids)
            at = tuple(np.argwhere((wrong < 0) | (wrong >= self.vocabulary))[0])
            hint = "" if self.end is None else f"; if the end token was cut off, put {self.end} back after each sequence that ended"
            raise InvalidSample(
                f"token {wrong[at]} ({self.place(at)}) is not one of the {self.vocabulary} of the vocabulary, and no end token "
                f"comes before it{hint}"
            )
        wide = lambda x: xp.astype(x, xp.int64 if "64" in str(xp.asarray(0).dtype) else xp.int32)  # noqa: E731
        unknown = xp.full_like(wide(tokens), -1)
        given = np.arange(n)
        if draws.prompts is not None:
            given = _integers("prompts", draws.prompts, (n,), "the number of the prompt of each sequence").astype(np.int64)
            if np.any(given < 0):
                raise InvalidSample(f"prompts must be numbers of prompts, counted from 0; one is {given.min()}")
        number = xp.zeros_like(unknown) + like(given[:, None] % len(self.prompts), unknown)
        rows = [xp.where(alive, wide(tokens), unknown)]
        for label, given, check in (("rounds", draws.rounds, _check_rounds), ("drafts", draws.drafts, self._check_drafts)):
            if given is not None:
                check(_integers(label, given, (n, self.length), "one per token"), to_numpy(alive))
            rows.append(unknown if given is None else wide(given))
        if self.rule is not None:
            ids, of_round, drafted = (to_numpy(row) for row in rows)
            self._check_rule(ids, of_round, drafted, draws.drafts is not None)
        return xp.stack([*rows, number], axis=1)

    def _check_rule(self, tokens: np.ndarray, rounds: np.ndarray, drafts: np.ndarray, told: bool) -> None:
        """Raise ``InvalidSample`` unless rounds and drafts are known and agree."""
        if not told or np.any((rounds < 0) & (tokens >= 0)):
            raise InvalidSample(
                f"this law claims {self.rule} verification, so it must know the rounds and the drafts: return "
                "ex.TokenDraws(tokens, rounds=..., drafts=...), or leave out rule= of the law"
            )
        inside = (rounds[:, 1:] == rounds[:, :-1]) & (tokens[:, 1:] >= 0)
        wrong = np.argwhere(inside & (tokens[:, :-1] != drafts[:, :-1]))
        if len(wrong):
            raise InvalidSample(
                f"{self.place(tuple(wrong[0]))} is not the draft of its position, but its round goes on: a round ends with the "
                "first token that is not an accepted draft"
            )

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
                tokens = to_numpy(packed[:, 0, :])
                scores = in_numpy(self._scores(ids[:, :-1])) if at_once else None
                for t in range(self.length):
                    prefix = ids[:, : len(prompt) + t]
                    p = self._logits("target", self.target, prefix) if scores is None else scores[:, len(prompt) + t - 1]
                    q = None if self.draft is None else self._logits("draft", self.draft, prefix)
                    yield from self._blocks(t, rows, tokens[:, t], in_numpy(p), None if q is None else in_numpy(q))
                    # The next logits need the memory.
                    del p, q

    def _blocks(self, t: int, rows: np.ndarray, tokens: np.ndarray, p: Array, q: Array | None) -> Iterator[Prediction]:
        """The predictions from logits, a few rows at a time."""
        size = max(1, (_BLOCK if isinstance(p, np.ndarray) else _CHUNK // 4) // self.vocabulary)
        for first in range(0, len(rows), size):
            here = slice(first, first + size)
            log_q = None if q is None else log_softmax(q[here])
            yield Prediction(t, rows[here], tokens[here], self.filters(p[here]), log_q)

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

    def without_rule(self) -> TokenChain:
        """The same law, without a claim about how drafts are verified."""
        found = copy.copy(self)
        found.rule = None
        return found

    @property
    def sequences(self) -> int:
        """The number of sequences, or 0 if there are too many to be enumerated, or several prompts."""
        few = self.length * np.log2(self.vocabulary) <= np.log2(_MOST_SEQUENCES) and len(self.prompts) == 1
        return int(self.vocabulary**self.length) if few else 0

    def enumerate(self) -> tuple[np.ndarray, np.ndarray]:
        """All sequences (m, T) and their probabilities (m,). With an end token, its successors are 0.

        Raises ``BadInput`` if there are more than 65,536 sequences, or several prompts.

        >>> law = TokenChain(lambda prefixes: np.zeros((len(prefixes), 2)), vocabulary=2, length=2)
        >>> [(tuple(int(x) for x in row), round(float(p), 3)) for row, p in zip(*law.enumerate())]
        [((0, 0), 0.25), ((0, 1), 0.25), ((1, 0), 0.25), ((1, 1), 0.25)]
        """
        if len(self.prompts) > 1:
            raise BadInput("sequences after several prompts have several laws: enumerate a law with one prompt")
        if not self.sequences:
            raise BadInput(f"{self.vocabulary}^{self.length} sequences are too many to be enumerated")
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

    @functools.cached_property
    def _asked(self) -> set[str]:
        """The functions whose first answer was looked at."""
        return set()

    def _logits(self, label: str, function: Target, prefixes: Array) -> Array:
        shape = (int(prefixes.shape[0]), self.vocabulary)
        found = _checked(label, function, prefixes, shape, "one row of logits per prefix")
        if label not in self._asked and shape[0]:
            self._asked.add(label)
            # A few rows are enough, and take little memory.
            few = max(1, min(_ROWS, _BLOCK // self.vocabulary, shape[0]))
            if _are_probabilities(found[:few]):
                raise BadInput(
                    f"{label} returned probabilities: return their logarithms, or logits (if they are logits, subtract 1 from each)"
                )
            again = _checked(label, function, prefixes[:few], (few, self.vocabulary), "one row of logits per prefix")
            if _differ(found[:few], again):
                raise BadInput(
                    f"{label} gave two different laws for the same prefixes, but must be deterministic: is dropout on? For torch, "
                    "call model.eval()"
                )
        return found

    def _scores(self, ids: Array) -> Array:
        assert self.score is not None
        shape = (*(int(size) for size in ids.shape), self.vocabulary)
        found = _checked("score", self.score, ids, shape, "one row of logits per token")
        if "score" not in self._asked and shape[0]:
            self._asked.add("score")
            if _differ(found[:_ROWS, -1], self._logits("target", self.target, ids[:_ROWS])):
                raise BadInput(
                    "score and target give different laws of the same token: score(tokens)[:, i] must be the logits after i + 1 "
                    "tokens"
                )
        return found

    def _check_drafts(self, drafts: np.ndarray, alive: np.ndarray) -> None:
        wrong = alive & ((drafts < -1) | (drafts >= self.vocabulary))
        if wrong.any():
            at = np.argwhere(wrong)[0]
            raise InvalidSample(
                f"the draft {drafts[tuple(at)]} ({self.place(tuple(at))}) is not one of the {self.vocabulary} of the vocabulary; "
                "write -1 where nothing was drafted"
            )

    def _alive(self, tokens: Array, lengths: Any, n: int) -> Array:
        """Which tokens belong to their sequence, (n, T)."""
        xp, place = namespace(tokens), np.arange(self.length)[None]
        if lengths is not None:
            counted = _integers("lengths", lengths, (n,), "the number of tokens of each sequence")
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


def _integers(label: str, values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """What a sampler tells about its tokens, as an array of numpy. Raises ``InvalidSample`` if it has another form."""
    found = to_numpy(values) if is_array(values) else None
    if found is None or found.shape != shape or found.dtype.kind not in "iu":
        got = type(values).__name__ if found is None else f"{found.dtype} of shape {found.shape}"
        raise InvalidSample(f"{label} must be integers of shape {shape}, {what}, in an array of numpy, torch or JAX; got {got}")
    return found


def _check_rounds(rounds: np.ndarray, alive: np.ndarray) -> None:
    wrong = alive[:, 1:] & (np.diff(rounds, axis=1) < 0)
    if wrong.any():
        row, place = (int(i) for i in np.argwhere(wrong)[0])
        raise InvalidSample(
            f"rounds must not fall along a sequence, but go from {rounds[row, place]} to {rounds[row, place + 1]} (sequence {row}, "
            f"token {place + 1})"
        )


def _laws(logits: Array) -> np.ndarray:
    """The probabilities of the first rows, in double precision."""
    return np.asarray(np.exp(to_numpy(log_softmax(logits[:_ROWS]))), dtype=np.float64)


def _differ(logits: Array, others: Array) -> bool:
    return bool(np.abs(_laws(logits) - _laws(others)).max() > _APART)


def _are_probabilities(logits: Array) -> bool:
    """Whether these are probabilities, which hardly any logits resemble: they are not negative, and each row adds up to 1."""
    few = np.asarray(to_numpy(logits[:_ROWS]), dtype=np.float64)
    return bool((few >= 0.0).all() and (np.abs(few.sum(axis=1) - 1.0) < 1e-4).all())


def _checked(label: str, function: Target, ids: Array, shape: tuple[int, ...], what: str) -> Array:
    """The logits that a function of the user returns. Raises ``BadInput`` if they cannot be used."""
    try:
        found = function(ids)
    except Exception as error:
        hint = ". Without prompts it is asked for the first token: answer for t = 0, or give prompts=" if ids.shape[1] == 0 else ""
        raise BadInput(f"{label} raised {type(error).__name__} for integers of shape {tuple(ids.shape)}: {error}{hint}") from error
    if not is_array(found) or tuple(found.shape) != shape:
        if not is_array(found):
            raise BadInput(
                f"{label} must return {what}, an array of numpy, torch or JAX of shape {shape}; got {type(found).__name__}"
            )
        got, hint = tuple(found.shape), ""
        if len(got) == len(shape) and got[:-1] == shape[:-1]:
            hint = f". This law was given vocabulary={shape[-1]}"
        elif len(got) == 3 and len(shape) == 2:
            hint = ". Return the logits after the last token only, as in logits[:, -1]"
        raise BadInput(f"{label} must return {what}, an array of shape {shape}; got {got}{hint}")
    xp = namespace(found)
    if not xp.isdtype(found.dtype, "real floating"):
        raise BadInput(f"{label} must return logits or log-probabilities in floating point, not {found.dtype}")
    if str(found.dtype).endswith("16"):
        found = xp.astype(found, xp.float32)
    # The largest of numbers with a NaN among them is NaN.
    if not bool(xp.all(xp.isfinite(xp.max(found, axis=-1)))):
        raise BadInput(f"{label} returned NaN, +inf or a row of -inf only: look for a division by zero or an overflow there")
    return found


def _whole(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise BadInput(f"{name} must be an integer from {least} to {most:,}, not {value!r}")
    return int(value)
