"""Verification of drafted tokens along a chain: pure functions of probabilities, drafts and noise.

Every rule here is called in the same way:

    verify(target_probs, draft_probs, drafts, lengths, noise) -> accepted, token

``target_probs`` (n, L + 1, V) holds the target's law p after each of the prefixes x, x y_1, ..., x y_1..y_L; ``draft_probs``
(n, L, V) the law q that each y_i was drawn from (a further column is never read); ``drafts`` (n, L) the token ids y_i; ``lengths``
(n,) how many of them a row really drafted, at most L. ``noise`` is what the rule consumes, drawn afresh every round: (n, L + 1)
uniforms in [0, 1) unless the rule says otherwise, column i for draft i + 1 and the last column for the token.

``accepted`` (n,) is the number of drafts that are kept and ``token`` (n,) the id emitted after them. A row of the result depends on
the same row of the input only.

The decisions are those of :mod:`exactness_samplers.torch.verification`, which diffusion samplers use as well.

Sources: Leviathan et al. 2023 and Chen et al. 2023 (token by token); Sun et al. 2024, arXiv 2403.10444 (block); Daliri et al. 2024,
arXiv 2408.07978 (coupling by shared exponentials).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import verification

_CHUNK = 256
_LARGE = 2**14
"""With as many tokens, rows are taken few at a time, so that what is computed of them stays in the processor's cache."""

Rule = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(target_probs, draft_probs, drafts, lengths, noise) -> (accepted, token)."""


def draw(masses: Tensor, uniforms: Tensor) -> Tensor:
    """The ids drawn from masses (n, V), which need not add up to 1, by inverting their distribution function at uniforms (n,).

    A token of mass 0 is never drawn, whatever the uniform and however the sums were rounded.

    Example:
        >>> draw(torch.tensor([[0.0, 2.0, 2.0], [0.0, 2.0, 2.0]]), torch.tensor([0.0, 0.5])).tolist()
        [1, 2]
    """
    n, vocabulary = masses.shape
    if vocabulary <= _CHUNK:
        return _first_beyond(masses.double(), uniforms)
    # First which run of ids, then which of them: one pass over the vocabulary, and short sums.
    missing = -vocabulary % _CHUNK
    runs = (torch.nn.functional.pad(masses, (0, missing)) if missing else masses).reshape(n, -1, _CHUNK)
    of_runs = runs.sum(-1).double()
    which = _first_beyond(of_runs, uniforms)
    goal, here = uniforms.double() * of_runs.sum(-1), of_runs.cumsum(-1) - of_runs
    share = (goal - _at(here, which)) / _at(of_runs, which)
    return which * _CHUNK + _first_beyond(_at(runs, which).double(), share.clamp(0.0, 1.0))


def _first_beyond(masses: Tensor, uniforms: Tensor) -> Tensor:
    """The first column of each row at which the sum from the left exceeds its share, and which is not 0 itself."""
    reached = masses.cumsum(-1)
    possible = masses > 0
    beyond = possible & (reached > (uniforms.double() * reached[:, -1])[:, None])
    last = masses.shape[-1] - 1 - possible.flip(-1).int().argmax(-1)
    return torch.where(beyond.any(-1), beyond.int().argmax(-1), last)


def race(laws: Tensor, exponentials: Tensor) -> Tensor:
    """The ids (...) that win the race argmin e_x / p_x of exponentials (..., V) under laws (..., V). They have these laws.

    Example:
        >>> race(torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[1.0, 0.2, 0.0]])).tolist()
        [1]
    """
    return torch.where(laws > 0, exponentials / laws, torch.inf).argmin(-1)


def log_ratios(target_probs: Tensor, draft_probs: Tensor, drafts: Tensor) -> Tensor:
    """log p(y_i)/q(y_i) of each draft, shape (n, L): -inf where p is 0, and finite where q is 0."""
    p, q = (_of_drafts(laws, drafts) for laws in (target_probs, draft_probs))
    # A finite ratio, so that a weight of 0 before it stays 0: a draft with q = 0 was not drawn from q, but it may be forced.
    return torch.log(p) - torch.log(q.clamp(min=torch.finfo(q.dtype).tiny))


def residual(target: Tensor, draft: Tensor, log_weight: Tensor) -> Tensor:
    """The masses (w p - q)_+ of the laws target and draft (n, V), shape (n, V); p itself where nothing is left.

    Nothing is left only where a rejection has probability 0, so this happens by rounding alone.

    Example:
        >>> p, q = torch.tensor([[0.5, 0.5, 0.0]]), torch.tensor([[0.0, 0.25, 0.75]])
        >>> residual(p, q, torch.log(torch.tensor([0.75]))).tolist()
        [[0.375, 0.125, 0.0]]
    """
    excess = (torch.exp(log_weight)[:, None] * target).sub_(draft).clamp_(min=0.0)
    empty = torch.nonzero(excess.amax(-1) == 0)[:, 0]
    if len(empty):
        excess[empty] = target[empty]
    return excess


@dataclass(frozen=True)
class TokenMasses:
    """What block verification asks for: the masses Z_i = sum_x (P_i p(x) - q(x))_+ of the token after y_1..y_i.

    Attributes:
        target: p, (n, L + 1, V).
        draft: q, (n, L, V).
    """

    target: Tensor
    draft: Tensor

    def __call__(self, log_weights: Tensor) -> Tensor:
        """All of them, (n, L), from log P_0..log P_L, (n, L + 1); the last one is 0."""
        width = log_weights.shape[1] - 1
        columns = [self.at(slice(None), i, log_weights[:, i]) for i in range(1, width)]
        return torch.stack([*columns, torch.zeros_like(log_weights[:, 0])], dim=1)

    def at(self, rows: Tensor | slice, i: int, log_weight: Tensor) -> Tensor:
        """Z_i of some of the rows, (m,), from their log P_i, (m,)."""
        if self.target.shape[2] < _LARGE:
            excess = torch.exp(log_weight)[:, None] * self.target[rows, i] - self.draft[rows, i]
            return excess.clamp_(min=0.0).sum(-1)
        numbers = range(*rows.indices(len(self.target))) if isinstance(rows, slice) else rows.tolist()
        weights = torch.exp(log_weight).tolist()
        every = [
            (w * self.target[row, i]).sub_(self.draft[row, i]).clamp_(min=0.0).sum()
            for row, w in zip(numbers, weights, strict=True)
        ]
        return torch.stack(every)


def block_from_right(log_ratios: Tensor, masses: TokenMasses, uniforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """What ``verification.block`` returns, with few of the masses: the last draft that passes is looked for from the right.

    h_i <= P_i, because Z_i <= P_i, so the mass of a place is computed only for rows that have not passed further right and whose
    uniform lies below P_i.
    """
    log_weights = verification.block_weights(log_ratios)
    tau = torch.zeros_like(lengths)
    for i in range(log_ratios.shape[1], 0, -1):
        hopeful = (tau == 0) & (i <= lengths) & (uniforms[:, i - 1] < torch.exp(log_weights[:, i]))
        rows = torch.nonzero(hopeful & (i < lengths))[:, 0]
        if len(rows):
            log_weight = log_weights[rows, i]
            mass = masses.at(rows, i, log_weight)
            # u < Z / (Z + 1 - P), without the division 0/0.
            hopeful[rows] = uniforms[rows, i - 1] * (mass - torch.expm1(log_weight)) < mass
        tau = torch.where(hopeful, i, tau)
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

        >>> p, q = torch.tensor([[[0.3, 0.7], [1.0, 0.0]]]), torch.tensor([[[0.6, 0.4]]])
        >>> drafts, lengths = torch.tensor([[0]]), torch.tensor([1])
        >>> [int(part) for part in token_wise(p, q, drafts, lengths, torch.tensor([[0.4, 0.5]]))]
        [1, 0]
        >>> [int(part) for part in token_wise(p, q, drafts, lengths, torch.tensor([[0.6, 0.5]]))]
        [0, 1]
    """

    keep: Callable[..., tuple[Tensor, Tensor]]
    leftover: Callable[[Tensor, Tensor, Tensor], Tensor] = residual
    draw: Callable[[Tensor, Tensor], Tensor] = draw
    name: str = "chain"

    def __call__(
        self, target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        check_shapes(target_probs, drafts, noise)
        ratios = log_ratios(target_probs, draft_probs, drafts)
        tau, log_weight = self.keep(ratios, TokenMasses(target_probs, draft_probs), noise[:, :-1], lengths)

        def masses(rows: slice) -> Tensor:
            after = _at(target_probs[rows], tau[rows])
            rejected = torch.nonzero(tau[rows] < lengths[rows])[:, 0]
            if len(rejected) == len(after):
                # All of them, as is usual if rows are taken one by one: nothing need be copied.
                return self.leftover(after, _at(draft_probs[rows], tau[rows]), log_weight[rows])
            if len(rejected):
                q = _at(draft_probs[rows][rejected], tau[rows][rejected])
                after[rejected] = self.leftover(after[rejected], q, log_weight[rows][rejected])
            return after

        return tau, _drawn(masses, noise[:, -1], target_probs.shape[2], self.draw)


token_wise = Chain(verification.token_wise, name="token-wise")
"""Draft i is kept with probability min(1, p/q), until the first failure."""

block = Chain(block_from_right, name="block")
"""Block verification: it keeps at least as many drafts on average as any rule of this signature, token-wise among them."""


def plain(target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """No draft is kept: the token is drawn from the target. Reads only the last column of ``noise``."""
    return torch.zeros_like(lengths), draw(target_probs[:, 0], noise[:, -1])


def one_hot(target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """A draft y is kept with probability p(y), else replaced by a draw from p without y. ``draft_probs`` is not read (may be None).

    It is right however y was chosen, by a prompt's n-grams or by drawing it from a law that nobody knows.

    Example:
        >>> p, lengths = torch.tensor([[[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]]), torch.tensor([1])
        >>> [int(part) for part in one_hot(p, None, torch.tensor([[0]]), lengths, torch.tensor([[0.4, 0.5]]))]
        [1, 2]
        >>> [int(part) for part in one_hot(p, None, torch.tensor([[0]]), lengths, torch.tensor([[0.6, 0.5]]))]
        [0, 2]
    """
    check_shapes(target_probs, drafts, noise)
    kept, _ = verification.token_wise(torch.log(_of_drafts(target_probs, drafts)), _no_masses, noise[:, :-1], lengths)

    def masses(rows: slice) -> Tensor:
        after = _at(target_probs[rows], kept[rows])
        rejected = torch.nonzero(kept[rows] < lengths[rows])[:, 0]
        if len(rejected):
            without = after[rejected].scatter(1, drafts[rows][rejected].gather(1, kept[rows][rejected, None]), 0.0)
            after[rejected] = torch.where(without.sum(-1, keepdim=True) > 0, without, after[rejected])
        return after

    return kept, _drawn(masses, noise[:, -1], target_probs.shape[2])


def sampled_verify(
    target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """A token is drawn from the target at each place, by column i of ``noise``, and the drafts that equal theirs are kept.

    ``draft_probs`` is not read (may be None).

    Example:
        >>> p, lengths = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]]), torch.tensor([1])
        >>> [int(part) for part in sampled_verify(p, None, torch.tensor([[0]]), lengths, torch.tensor([[0.4, 0.5]]))]
        [1, 1]
    """
    check_shapes(target_probs, drafts, noise)
    n, places, vocabulary = target_probs.shape
    flat = target_probs.reshape(-1, vocabulary)
    drawn = _drawn(lambda rows: flat[rows], noise.reshape(-1), vocabulary).reshape(n, places)
    return _while_equal(drawn, drafts, lengths)


def gumbel(target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The target's token wins the race of the same exponentials ``noise`` (n, L + 1, V) that the drafts won under their law.

    Draft i must be ``race(draft_probs[:, i], noise[:, i])``. The target's tokens are emitted until they first differ.
    ``draft_probs`` is not read (may be None). Source: Daliri et al. 2024, arXiv 2408.07978.

    Example:
        >>> p, q = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]]), torch.tensor([[[0.2, 0.8]]])
        >>> exponentials = torch.tensor([[[1.0, 1.5], [0.3, 0.2]]])
        >>> drafts = race(q, exponentials[:, :1])
        >>> [int(part) for part in gumbel(p, q, drafts, torch.tensor([1]), exponentials)]
        [0, 0]
    """
    check_shapes(target_probs, drafts, noise)
    return _while_equal(race(target_probs, noise), drafts, lengths)


def _drawn(
    masses: Callable[[slice], Tensor], uniforms: Tensor, vocabulary: int, draw: Callable[[Tensor, Tensor], Tensor] = draw
) -> Tensor:
    """One id for each uniform (n,), from the masses of a few rows at a time."""
    size = len(uniforms) if vocabulary < _LARGE else max(1, 2 * _LARGE // vocabulary)
    slices = [slice(begin, begin + size) for begin in range(0, len(uniforms), max(size, 1))]
    return torch.cat([draw(masses(rows), uniforms[rows]) for rows in slices])


def check_shapes(target_probs: Tensor, drafts: Tensor, noise: Tensor) -> None:
    """Raises ``ValueError`` unless there is a law and a column of noise for each draft and one more."""
    n, width = drafts.shape
    for name, shape in (("target_probs", tuple(target_probs.shape)), ("noise", tuple(noise.shape))):
        if shape[:2] != (n, width + 1):
            raise ValueError(f"{name} of {shape} does not fit drafts of {tuple(drafts.shape)}: it needs one column more")


def _while_equal(drawn: Tensor, drafts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Drawn tokens (n, L + 1) are emitted while they equal the drafts (n, L); the first that does not is emitted last."""
    there = torch.arange(drafts.shape[1], device=drafts.device) < lengths[:, None]
    kept = ((drawn[:, :-1] == drafts) & there).long().cumprod(1).sum(1)
    return kept, drawn.gather(1, kept[:, None])[:, 0]


def _at(laws: Tensor, place: Tensor) -> Tensor:
    """One law for each row: laws (n, L, V) at places (n,) -> (n, V)."""
    return laws[torch.arange(len(laws), device=laws.device), place]


def _of_drafts(laws: Tensor, drafts: Tensor) -> Tensor:
    """The probability of each draft, (n, L)."""
    return laws[:, : drafts.shape[1]].gather(2, drafts[..., None])[..., 0]


def _no_masses(log_weights: Tensor) -> Tensor:
    raise AssertionError("token-wise verification asks for no masses")
