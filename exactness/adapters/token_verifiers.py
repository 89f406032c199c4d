"""Claims about the verification of drafted tokens, which is a pure function of probabilities, drafts and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from ..arrays import is_array, to_numpy
from ..claim import Claim
from ..errors import BadInput, InvalidSample
from ..laws import TokenChain, TokenDraws
from ..laws.token_rules import Rule
from .pure_verifiers import Arrays, Precision, PureVerifier, Verify

Noise = Literal["uniforms", "exponentials"]
Logits = Callable[[np.ndarray], Any]

# How many different laws the tokens of the built-in laws follow, depending on the position and the token before.
_CONTEXTS = 8
# The part of windows that have all their drafts. The others have fewer, down to none.
_FULL = 0.75
# The number of windows that show whether a verifier uses its noise.
_ASKED = 1_000
# About this many probabilities are in memory at a time.
_NUMBERS = 1 << 22


def from_token_verifier(
    verify: Verify,
    *,
    vocabulary: int = 8,
    window: int = 4,
    length: int | None = None,
    target: Logits | None = None,
    draft: Logits | None = None,
    noise: Noise = "uniforms",
    arrays: Arrays = "numpy",
    dtype: Precision = "float32",
    noise_dtype: Precision = "float32",
    rule: Rule | None = None,
    name: str = "token verifier",
) -> Claim:
    """Claim that what a verifier of drafted tokens emits has the target's law.

    The windows are drafted here, the function verifies them, and the tokens that it emits are judged, the one on rejection and the
    one after a full window among them. The claim unpacks into a sampler and a law: ``ex.certify(*from_token_verifier(verify))``.

    Args:
        verify: ``verify(target_probs, draft_probs, drafts, lengths, noise)`` -> ``accepted (n,), token (n,)``. It takes the
            target's laws (n, L + 1, V) after each of the drafts, the draft's (n, L, V), the drafts (n, L), how many of these each
            row has (n,), and uniforms (n, L + 1) in [0, 1). It returns the number of drafts kept, and the token emitted after them.
            What lies beyond a row's length is arbitrary.
        vocabulary, window: V, and the most drafts of one round, L.
        length: how many tokens of each sequence are judged, the first of which are those of the first round. The default is
            ``window`` + 1.
        target, draft: functions of prefixes, (n, t) integers -> (n, V) logits. The default laws depend on the token before and on
            the position; with 4 tokens or more, some have probability 0 in one of the two.
        noise: ``"exponentials"`` for a coupling by races. The noise is then (n, L + 1, V), and drafts win the race of the same
            exponentials under the draft's law.
        arrays, dtype, noise_dtype: which arrays the verifier takes, and the precision of the probabilities and of the noise. The
            law that is judged is that of the probabilities after rounding.
        rule: how drafts are verified, if that is part of the claim; see :class:`exactness.TokenChain`. Then the accepted drafts are
            judged as well.
        name: the name of the claim.

    The noise alone must decide. If other noise never changes what is emitted, or the same noise gives two answers, the certificate
    is ``INVALID`` and says so. For the whole law of a verifier without any sampling, see :func:`exact_law`.

    >>> import exactness as ex
    >>> def verify(target, draft, drafts, lengths, noise):  # A token is drawn at each place. Drafts that equal theirs are kept.
    ...     sums = target.cumsum(2)
    ...     drawn = (sums <= noise[..., None] * sums[..., -1:]).sum(2)
    ...     same = (drawn[:, :-1] == drafts) & (np.arange(drafts.shape[1]) < lengths[:, None])
    ...     kept = np.cumprod(same, axis=1).sum(1)
    ...     return kept, drawn[np.arange(len(kept)), kept]
    >>> ex.certify(*from_token_verifier(verify), plan=ex.Plan(tolerance=0.05)).verdict.value
    'certified'
    >>> ex.certify(*from_token_verifier(lambda *given: (verify(*given)[0], given[0][:, 0].argmax(1)))).verdict.value
    'refuted'
    """
    pure = PureVerifier(verify, arrays, dtype, noise_dtype)
    if noise not in get_args(Noise):
        raise BadInput(f"noise must be {' or '.join(get_args(Noise))}, not {noise!r}")
    for label, value, least, most in (
        ("vocabulary", vocabulary, 2, 1 << 18),
        ("window", window, 1, 1 << 10),
        ("length", length, 2, 1 << 20),  # A single token leaves no place for a draft.
    ):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value <= most
        ):
            raise BadInput(f"{label} must be an integer from {least} to {most:,}, not {value!r}")
    if (target is None) != (draft is None):
        raise BadInput("give both target= and draft=, functions of prefixes that return logits, or neither")
    for label, function in (("target", target), ("draft", draft)):
        if function is not None and not callable(function):
            raise BadInput(f"{label} must be a function of prefixes that returns logits, not {type(function).__name__}")
    tokens = int(length or window + 1)
    if target is None or draft is None:
        target, draft = _built_in(int(vocabulary))
    p, q = (_Rounded(function, pure, int(vocabulary), label) for function, label in ((target, "target"), (draft, "draft")))
    law = TokenChain(p, vocabulary=int(vocabulary), length=tokens, draft=q, rule=rule, name=name)
    engine = _Engine(pure, p, q, int(vocabulary), int(window), tokens, noise)
    listens = False

    def sample(n: int, seed: int) -> TokenDraws:
        nonlocal listens
        if not listens:
            engine.check(np.random.default_rng([seed, 1]))
            listens = True
        generator = np.random.default_rng(seed)
        step = max(1, _NUMBERS // ((window + 1) * vocabulary))
        parts = [engine.sequences(min(step, n - i), generator) for i in range(0, n, step)]
        emitted, rounds, drafts = (np.concatenate(part) for part in zip(*parts, strict=True))
        return TokenDraws(emitted, rounds=rounds, drafts=drafts)

    about: dict[str, object] = {
        "judged": "verification alone", "arrays": arrays, "dtype": dtype, "noise": f"{noise} in {noise_dtype}", "window": window,
    }  # fmt: skip
    return Claim(name, sample, law, about=about)


class _Rounded:
    """A function of prefixes that returns the logarithms of probabilities as a verifier is given them, in double precision."""

    def __init__(self, function: Logits, pure: PureVerifier, vocabulary: int, label: str) -> None:
        self.function, self.pure, self.vocabulary, self.label = function, pure, vocabulary, label

    def probs(self, prefixes: np.ndarray) -> np.ndarray:
        """(n, t) integers -> (n, V) probabilities, rounded. Raises ``BadInput`` if the function returns something else."""
        found = self.function(prefixes)
        shape = (len(prefixes), self.vocabulary)
        if not is_array(found) or tuple(found.shape) != shape:
            got = tuple(found.shape) if is_array(found) else type(found).__name__
            raise BadInput(f"{self.label} must return one row of logits per prefix, an array of shape {shape}; got {got}")
        logits = np.asarray(to_numpy(found), dtype=np.float64)
        if len(logits) and not np.isfinite(logits.max(axis=1)).all():
            raise BadInput(f"{self.label} returned NaN, +inf or a row of -inf only")
        masses = np.exp(logits - logits.max(axis=1, keepdims=True))
        return self.pure.rounded(masses / masses.sum(axis=1, keepdims=True))

    def __call__(self, prefixes: Any) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.probs(np.asarray(to_numpy(prefixes), dtype=np.int64)))


class _Engine:
    """A decoding loop around a verifier: rounds of drafts, of which each row has its own number."""

    def __init__(
        self, pure: PureVerifier, target: _Rounded, draft: _Rounded, vocabulary: int, window: int, length: int, noise: Noise
    ) -> None:
        self.pure, self.target, self.draft = pure, target, draft
        self.vocabulary, self.window, self.length, self.races = vocabulary, window, length, noise == "exponentials"

    def check(self, generator: np.random.Generator) -> None:
        """Raise ``InvalidSample`` unless what is emitted is a function of the arguments that depends on the noise."""
        n = min(_ASKED, max(8, _NUMBERS // ((self.window + 1) * self.vocabulary)))
        start = np.zeros((n, self.length), dtype=np.int64), np.zeros(n, dtype=np.int64)
        target, draft, drafts, lengths, noise = self._window(*start, generator)
        first = self.pure(target, draft, drafts, lengths, noise)
        if not np.array_equal(first, self.pure(target, draft, drafts, lengths, noise)):
            raise InvalidSample("verify gave two answers to the same noise: it must not draw noise of its own")
        if np.array_equal(first, self.pure(target, draft, drafts, lengths, self._noise(n, generator))):
            raise InvalidSample(
                "verify gave the same answers to other noise: it ignores the noise that it is given, but this must decide"
            )

    def sequences(self, n: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokens, the numbers of their rounds, and the drafts that were proposed for them, each (n, T)."""
        tokens, rounds, proposed = (np.full((n, self.length + self.window), fill) for fill in (0, -1, -1))
        begun = np.zeros(n, dtype=np.int64)
        for number in range(self.length):
            rows = np.flatnonzero(begun < self.length)
            if not len(rows):
                break
            target, draft, drafts, lengths, noise = self._window(tokens[rows, : self.length], begun[rows], generator)
            kept, token = self.pure(target, draft, drafts, lengths, noise)
            for i in range(self.window + 1):
                mine, at = rows[i <= kept], begun[rows[i <= kept]] + i
                tokens[mine, at] = np.where(i < kept, drafts[:, min(i, self.window - 1)], token)[i <= kept]
                rounds[mine, at] = number
                if i < self.window:
                    there = (i <= kept) & (i < lengths)
                    proposed[rows[there], begun[rows[there]] + i] = drafts[there, i]
            begun[rows] += kept + 1
        return tokens[:, : self.length], rounds[:, : self.length], proposed[:, : self.length]

    def _window(self, tokens: np.ndarray, begun: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """The arguments of the verifier for one round, of rows whose first ``begun`` tokens are known."""
        n, count = len(tokens), self.window
        # How many drafts a row has depends on nothing that is drawn after.
        lengths = np.where(generator.random(n) < _FULL, count, generator.integers(0, count, n))
        lengths = np.minimum(lengths, self.length - 1 - begun)
        noise = self._noise(n, generator)
        # Beyond the lengths there is what must not be read: any drafts, and laws that are not those of the model.
        drafts = generator.integers(0, self.vocabulary, (n, count))
        target = np.full((n, count + 1, self.vocabulary), 1.0 / self.vocabulary)
        draft = target[:, :count].copy()
        ids = np.concatenate([tokens, np.zeros((n, count), dtype=np.int64)], axis=1)
        spread = generator.random((n, count))
        for i in range(count + 1):
            for t in np.unique(begun[lengths >= i]):
                rows = np.flatnonzero((lengths >= i) & (begun == t))
                prefix = ids[rows, : t + i]
                target[rows, i] = self.target.probs(prefix)
                rows, prefix = rows[lengths[rows] > i], prefix[lengths[rows] > i]
                if not len(rows):
                    continue
                draft[rows, i] = q = self.draft.probs(prefix)
                drafts[rows, i] = ids[rows, t + i] = _race(q, noise[rows, i]) if self.races else _draw(q, spread[rows, i])
        return target, draft, drafts, lengths, noise

    def _noise(self, n: int, generator: np.random.Generator) -> np.ndarray:
        shape = (n, self.window + 1)
        return generator.exponential(size=(*shape, self.vocabulary)) if self.races else self.pure.uniforms(generator, shape)


def _draw(masses: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Tokens drawn from masses (n, V) by inverting their distribution function. One of mass 0 is never drawn."""
    sums = np.cumsum(masses, axis=1)
    beyond = (sums > uniforms[:, None] * sums[:, -1:]) & (masses > 0)
    found: np.ndarray = beyond.argmax(axis=1)
    return found


def _race(law: np.ndarray, exponentials: np.ndarray) -> np.ndarray:
    """argmin e/q."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.where(law > 0, exponentials / law, np.inf).argmin(axis=1)
    return found


def _built_in(vocabulary: int) -> tuple[Logits, Logits]:
    """A target and a draft that overlap by about a half, and have tokens of probability 0 if there are 4 or more."""
    generator = np.random.default_rng(0)
    shape = (_CONTEXTS, vocabulary)
    usual = generator.permuted(np.tile(-0.7 * np.log1p(np.arange(vocabulary)), (_CONTEXTS, 1)), axis=1)
    target, draft = (usual + 0.8 * generator.standard_normal(shape) for _ in range(2))
    # In some contexts both agree on one token, and the draft is too sure of it. Rules that accept all likely drafts show there.
    sure = np.arange(2, _CONTEXTS, 4)
    likely = target[sure].argmax(axis=1)
    for logits, more in ((target, 1.0), (draft, 2.0)):
        others = np.where(np.arange(vocabulary) == likely[:, None], -np.inf, logits[sure])
        logits[sure, likely] = np.logaddexp.reduce(others, axis=1) + more
    if vocabulary > 3:
        # Tokens that only one of the two can draw, in half of the contexts.
        for context in range(1, _CONTEXTS, 2):
            never, unseen = generator.permutation(vocabulary)[:2]
            target[context, never], draft[context, unseen] = -np.inf, -np.inf

    def of(table: np.ndarray) -> Logits:
        def logits(prefixes: np.ndarray) -> np.ndarray:
            n, t = prefixes.shape
            last = prefixes[:, -1] if t else np.zeros(n, dtype=np.int64)
            found: np.ndarray = table[(last + 3 * t) % _CONTEXTS]
            return found

        return logits

    return of(target), of(draft)
