"""Verification of drafted tokens along a chain: pure functions of probabilities, drafts and noise.

Every rule here is called in the same way:

    verify(target_probs, draft_probs, drafts, lengths, noise) -> accepted, token

``target_probs`` (n, L + 1, V) holds the target's law p after each of the prefixes x, x y_1, ..., x y_1..y_L; ``draft_probs``
(n, L, V) the law q that each y_i was drawn from (a further column is never read); ``drafts`` (n, L) the token ids y_i; ``lengths``
(n,) how many of them a row really drafted, at most L. ``noise`` is what the rule consumes, drawn afresh every round: (n, L + 1)
uniforms in [0, 1) unless the rule says otherwise, column i for draft i + 1 and the last column for the token.

``accepted`` (n,) is the number of drafts that are kept and ``token`` (n,) the id emitted after them. A row of the result depends on
the same row of the input only.

The decisions are those of :mod:`exactness_samplers.jax.verification`, which diffusion samplers use as well.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444 (block); Daliri et al. 2024,
arXiv 2408.07978 (coupling by shared exponentials).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from . import verification

_CHUNK = 256
_LARGE = 2**14
"""With as many tokens, rows are taken one by one on a CPU, so that what is computed of them stays in its cache."""

Rule = Callable[[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""(target_probs, draft_probs, drafts, lengths, noise) -> (accepted, token)."""


@jax.jit
def draw(masses: jax.Array, uniforms: jax.Array) -> jax.Array:
    """The ids drawn from masses (n, V), which need not add up to 1, by inverting their distribution function at uniforms (n,).

    A token of mass 0 is never drawn, whatever the uniform and however the sums were rounded.

    Example:
        >>> draw(jnp.array([[0.0, 2.0, 2.0], [0.0, 2.0, 2.0]]), jnp.array([0.0, 0.5])).tolist()
        [1, 2]
    """
    return jax.vmap(_draw)(masses, uniforms)


def _draw(masses: jax.Array, uniform: jax.Array) -> jax.Array:
    if len(masses) <= _CHUNK:
        return _first_beyond(masses, uniform)
    # First which run of ids, then which of them: one pass over the vocabulary, and short sums.
    runs = jnp.pad(masses, (0, -len(masses) % _CHUNK)).reshape(-1, _CHUNK)
    of_runs = runs.sum(1)
    which = _first_beyond(of_runs, uniform)
    before = jnp.sum(jnp.where(jnp.arange(len(runs)) < which, of_runs, 0.0))
    share = jnp.clip((uniform * of_runs.sum() - before) / of_runs[which], 0.0, 1.0)
    return which * _CHUNK + _first_beyond(runs[which], share)


def _first_beyond(masses: jax.Array, uniform: jax.Array) -> jax.Array:
    """The first place at which the sum from the left exceeds its share, and which is not 0 itself."""
    reached = jnp.cumsum(masses.astype(float))
    places, possible = jnp.arange(len(masses)), masses > 0
    beyond = possible & (reached > uniform * reached[-1])
    # Sums that are not computed from left to right may not grow, so the first of those beyond is looked for.
    return jnp.where(beyond.any(), jnp.min(jnp.where(beyond, places, len(masses))), jnp.max(jnp.where(possible, places, 0)))


@jax.jit
def race(laws: jax.Array, exponentials: jax.Array) -> jax.Array:
    """The ids (...) that win the race argmin e_x / p_x of exponentials (..., V) under laws (..., V). They have these laws.

    Example:
        >>> race(jnp.array([[0.5, 0.5, 0.0]]), jnp.array([[1.0, 0.2, 0.0]])).tolist()
        [1]
    """
    return jnp.argmin(jnp.where(laws > 0, exponentials / jnp.where(laws > 0, laws, 1.0), jnp.inf), axis=-1)


def log_ratios(target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array) -> jax.Array:
    """log p(y_i)/q(y_i) of each draft, shape (n, L): -inf where p is 0, and finite where q is 0."""
    p, q = _of_drafts(target_probs, drafts), _of_drafts(draft_probs, drafts)
    # A finite ratio, so that a weight of 0 before it stays 0: a draft with q = 0 was not drawn from q, but it may be forced.
    return jnp.log(p) - jnp.log(jnp.maximum(q, jnp.finfo(q.dtype).tiny))


def residual(target: jax.Array, draft: jax.Array, log_weight: jax.Array) -> jax.Array:
    """The masses (w p - q)_+ of the laws target and draft (n, V), shape (n, V); p itself where nothing is left.

    Nothing is left only where a rejection has probability 0, so this happens by rounding alone.
    """
    excess = jnp.maximum(jnp.exp(log_weight)[:, None] * target - draft, 0.0)
    return jnp.where(jnp.any(excess > 0, axis=-1, keepdims=True), excess, target)


@dataclass(frozen=True)
class TokenMasses:
    """What block verification asks for: the masses Z_i = sum_x (P_i p(x) - q(x))_+ of the token after y_1..y_i.

    Attributes:
        target: p, (n, L + 1, V).
        draft: q, (n, L, V).
    """

    target: jax.Array
    draft: jax.Array

    def __call__(self, log_weights: jax.Array) -> jax.Array:
        """All of them, (n, L), from log P_0..log P_L, (n, L + 1); the last one is 0."""
        width = log_weights.shape[1] - 1
        weights = jnp.exp(log_weights[:, 1:width, None])
        inner = jnp.maximum(weights * self.target[:, 1:width] - self.draft[:, 1:width], 0.0).sum(-1)
        return jnp.concatenate([inner, jnp.zeros_like(log_weights[:, :1])], axis=1)

    def at(self, rows: jax.Array, i: jax.Array, log_weight: jax.Array) -> jax.Array:
        """Z_i of some of the rows, (m,), from their log P_i, (m,)."""
        return jnp.maximum(jnp.exp(log_weight)[:, None] * self.target[rows, i] - self.draft[rows, i], 0.0).sum(-1)


def block_from_right(
    log_ratios: jax.Array, masses: TokenMasses, uniforms: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What ``verification.block`` returns, with few of the masses: the last draft that passes is looked for from the right.

    h_i <= P_i, because Z_i <= P_i, so the mass of a place is computed only for rows that have not passed further right and whose
    uniform lies below P_i. Rows are taken one after the other, each with a loop of its own, which suits a CPU; elsewhere all masses
    are computed at once.
    """
    if not _on_cpu():
        return verification.block(log_ratios, masses, uniforms, lengths)
    log_weights = verification.block_weights(log_ratios)

    def last_pass(row: tuple[jax.Array, ...]) -> jax.Array:
        target, draft, weights, coins, length = row
        places = jnp.arange(1, coins.shape[0] + 1, dtype=lengths.dtype)
        hopeful = (places <= length) & (coins < jnp.exp(weights[1:]))

        def last_hope(below: jax.Array) -> jax.Array:
            return jnp.max(jnp.where(hopeful & (places < below), places, 0), initial=0)

        def fails(i: jax.Array) -> jax.Array:
            mass = jnp.maximum(jnp.exp(weights[i]) * target[i] - draft[i], 0.0).sum()
            # u >= Z / (Z + 1 - P), without the division 0/0.
            return coins[i - 1] * (mass - jnp.expm1(weights[i])) >= mass

        # At the last drafted place h = P, so being hopeful is passing.
        return lax.while_loop(
            lambda i: (i > 0) & (i < length) & lax.cond((i > 0) & (i < length), fails, lambda i: False, i),
            last_hope,
            last_hope(length + 1),
        )

    tau = lax.map(last_pass, (masses.target, masses.draft, log_weights, uniforms, lengths))
    return tau, verification.weight_at(log_weights, tau)


@dataclass(frozen=True)
class Chain:
    """A rule made of which drafts are kept, what a rejected draft is drawn from again, and how a token is drawn.

    Attributes:
        keep: (log_ratios, masses, uniforms (n, L), lengths) -> (tau, log-weight), as in ``verification``.
        leftover: (p, q, log-weight) -> the masses (n, V) from which a rejected draft is replaced.
        draw: (masses (n, V), uniforms (n,)) -> ids.

    Example:
        One draft that the target would make half as often, with a low and a high uniform.

        >>> p, q = jnp.array([[[0.3, 0.7], [1.0, 0.0]]]), jnp.array([[[0.6, 0.4]]])
        >>> drafts, lengths = jnp.array([[0]]), jnp.array([1])
        >>> [int(part[0]) for part in token_wise(p, q, drafts, lengths, jnp.array([[0.4, 0.5]]))]
        [1, 0]
        >>> [int(part[0]) for part in token_wise(p, q, drafts, lengths, jnp.array([[0.6, 0.5]]))]
        [0, 1]
    """

    keep: Callable[..., tuple[jax.Array, jax.Array]]
    leftover: Callable[[jax.Array, jax.Array, jax.Array], jax.Array] = residual
    draw: Callable[[jax.Array, jax.Array], jax.Array] = draw
    name: str = "chain"

    def __call__(
        self, target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        return _chain(self, target_probs, draft_probs, drafts, lengths, noise)


def _chain(rule: Chain, *inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    target_probs, draft_probs, drafts, lengths, noise = inputs
    check_shapes(target_probs, drafts, noise)
    n, width = drafts.shape
    masses = TokenMasses(target_probs, draft_probs[:, :width])
    tau, log_weight = rule.keep(log_ratios(target_probs, draft_probs, drafts), masses, noise[:, :-1], lengths)
    if width == 0:
        return tau, rule.draw(target_probs[:, 0], noise[:, -1])

    def tokens(rows: jax.Array) -> jax.Array:
        p, q = target_probs[rows, tau[rows]], draft_probs[rows, jnp.minimum(tau[rows], width - 1)]
        rejected = (tau[rows] < lengths[rows])[:, None]
        return rule.draw(jnp.where(rejected, rule.leftover(p, q, log_weight[rows]), p), noise[rows, -1])

    rows = jnp.arange(n)
    if target_probs.shape[2] < _LARGE or not _on_cpu():
        return tau, tokens(rows)
    return tau, lax.map(lambda row: tokens(row[None])[0], rows)


_chain = jax.jit(_chain, static_argnums=0)

token_wise = Chain(verification.token_wise, name="token-wise")
"""Draft i is kept with probability min(1, p/q), until the first failure."""

block = Chain(block_from_right, name="block")
"""Block verification: it keeps at least as many drafts on average as any rule of this signature, token-wise among them."""


@jax.jit
def plain(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """No draft is kept: the token is drawn from the target. Reads only the last column of ``noise``."""
    return jnp.zeros_like(lengths), draw(target_probs[:, 0], noise[:, -1])


@jax.jit
def one_hot(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A draft y is kept with probability p(y), else replaced by a draw from p without y. ``draft_probs`` is not read (may be None).

    It is right however y was chosen, by a prompt's n-grams or by drawing it from a law that nobody knows.
    """
    check_shapes(target_probs, drafts, noise)
    width = drafts.shape[1]
    ratios = jnp.log(_of_drafts(target_probs, drafts))
    kept, _ = verification.token_wise(ratios, _no_masses, noise[:, :-1], lengths)
    after = _at(target_probs, kept)
    if width:
        refused = _at(drafts, jnp.minimum(kept, width - 1))
        without = jnp.where(jnp.arange(after.shape[1]) == refused[:, None], 0.0, after)
        replaced = jnp.where(jnp.any(without > 0, axis=-1, keepdims=True), without, after)
        after = jnp.where((kept < lengths)[:, None], replaced, after)
    return kept, draw(after, noise[:, -1])


@jax.jit
def sampled_verify(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A token is drawn from the target at each place, by column i of ``noise``, and the drafts that equal theirs are kept.

    ``draft_probs`` is not read (may be None).
    """
    check_shapes(target_probs, drafts, noise)
    return _while_equal(jax.vmap(draw)(target_probs, noise), drafts, lengths)


@jax.jit
def gumbel(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The target's token wins the race of the same exponentials ``noise`` (n, L + 1, V) that the drafts won under their law.

    Draft i must be ``race(draft_probs[:, i], noise[:, i])``. The target's tokens are emitted until they first differ.
    ``draft_probs`` is not read (may be None). Source: Daliri et al. 2024, arXiv 2408.07978.
    """
    check_shapes(target_probs, drafts, noise)
    return _while_equal(race(target_probs, noise), drafts, lengths)


def check_shapes(target_probs: jax.Array, drafts: jax.Array, noise: jax.Array) -> None:
    """Raises ``ValueError`` unless there is a law and a column of noise for each draft and one more."""
    n, width = drafts.shape
    for name, shape in (("target_probs", tuple(target_probs.shape)), ("noise", tuple(noise.shape))):
        if shape[:2] != (n, width + 1):
            raise ValueError(f"{name} of {shape} does not fit drafts of {tuple(drafts.shape)}: it needs one column more")


def _while_equal(drawn: jax.Array, drafts: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Drawn tokens (n, L + 1) are emitted while they equal the drafts (n, L); the first that does not is emitted last."""
    differs = (drawn[:, :-1] != drafts) | (jnp.arange(drafts.shape[1]) >= lengths[:, None])
    stops = jnp.concatenate([differs, jnp.ones_like(differs, shape=(len(drawn), 1))], axis=1)
    kept = jnp.argmax(stops, axis=1).astype(lengths.dtype)
    return kept, _at(drawn, kept)


def _at(values: jax.Array, place: jax.Array) -> jax.Array:
    """One entry for each row: values (n, L, ...) at places (n,) -> (n, ...)."""
    return jax.vmap(lambda row, i: row[i])(values, place)


def _of_drafts(laws: jax.Array, drafts: jax.Array) -> jax.Array:
    """The probability of each draft, (n, L)."""
    return jnp.take_along_axis(laws[:, : drafts.shape[1]], drafts[..., None], axis=2)[..., 0]


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _no_masses(log_weights: jax.Array) -> jax.Array:
    raise AssertionError("token-wise verification asks for no masses")
