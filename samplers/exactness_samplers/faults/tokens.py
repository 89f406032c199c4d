"""Faults of speculative decoding: verifiers of tokens that are wrong, and some that only look wrong.

They are kept apart from the faults of chains, because they spoil another kind of sampler: each is a pure verifier with the
signature of :mod:`exactness_samplers.torch.tokens` or, where it takes ``parents``, of ``token_trees``, written once for torch and
JAX. A verifier of chains may be given one law more, (n, L + 1, V), in ``draft_probs``: the draft's law after its last draft.

Not every fault can be seen by everything. ``seen_by`` says what must see it:

* ``law``: the tokens of one window have another law than they should;
* ``rounds``: each window has the right law, and several together do not;
* ``coins``: only coins forced to 0 or to a threshold show it, because they have probability 0.

Example:
    >>> import torch
    >>> from exactness_samplers.faults.tokens import token_fault
    >>> verify = token_fault("token-residual-from-target").verifier("torch")
    >>> p, q = torch.tensor([[[0.2, 0.8], [0.5, 0.5]]]), torch.tensor([[[0.9, 0.1]]])
    >>> [int(part) for part in verify(p, q, torch.tensor([[0]]), torch.tensor([1]), torch.tensor([[0.9, 0.1]]))]
    [0, 0]
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Literal

from .base import Array, Backend, BackendName, Bound

Seen = Literal["law", "rounds", "coins", "nothing"]
Parents = tuple[int, ...]
Verified = tuple[Array, Array]
HSD = "hierarchical speculative decoding, the authors' code at b8575e2 with its indentation repaired"


@dataclass(frozen=True)
class TokenFault:
    """One way in which a verifier of tokens is wrong, or only looks so.

    Attributes:
        name: unique, in lower case with hyphens.
        what: what is wrong with it, or why it only looks wrong; one sentence.
        instead: the verifier; its first argument is a :class:`Backend`.
        seen_by: what must see it; ``nothing`` if it is right.
        seen: public threads and papers that tell of it.
        drawn: the law from which the drafts are really drawn, as a function of a backend and the reported laws (..., V).
        claims: the law that is promised, as a function of a backend and the laws (..., V) that the verifier is given.
        replacement: whether siblings are drawn independently.
        races: whether the noise is the exponentials of a race, see ``tokens.gumbel``.
        last_first: whether the coins are compared from the last draft to the first, as in block verification.
        least_vocabulary: with fewer tokens it is not wrong.
    """

    name: str
    what: str
    instead: Callable[..., Any]
    seen_by: Seen = "law"
    seen: tuple[str, ...] = ()
    drawn: Callable[[Backend, Array], Array] | None = None
    claims: Callable[[Backend, Array], Array] | None = None
    replacement: bool = True
    races: bool = False
    last_first: bool = False
    least_vocabulary: int = 2

    @property
    def exact(self) -> bool:
        return self.seen_by == "nothing"

    @property
    def trees(self) -> bool:
        """Whether it takes the parents of the nodes of a tree."""
        return "parents" in inspect.signature(self.instead).parameters

    def verifier(self, backend: BackendName) -> Callable[..., Verified]:
        """The verifier, called as a right one is. In JAX it is compiled."""
        return _verifier(self, backend)


@cache
def _verifier(fault: TokenFault, backend: BackendName) -> Callable[..., Verified]:
    bound = Bound(Backend(backend), fault.instead, fault.name)

    def of_trees(target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents) -> Verified:
        return bound(target, draft, drafts, lengths, noise, parents)

    # A rule of trees is known by the name of its argument.
    verify = of_trees if fault.trees else bound
    if backend == "torch":
        return verify
    import jax

    return jax.jit(verify, static_argnames=("parents",) if fault.trees else ())


def row(name: str, what: str, **columns: Any) -> Callable[[Callable[..., Any]], TokenFault]:
    """Turns the verifier below it into a :class:`TokenFault`; ``columns`` are the other attributes, by name."""
    return lambda instead: TokenFault(name, what, instead, **columns)


# Acceptance, token by token.


@row(
    "token-ratio-of-next-place", "Draft i is judged by the target's law of the place after it.",
    seen=("transformers#28166",),
)  # fmt: skip
def ratio_of_next_place(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    ratios = of.tokens.log_ratios(target[:, 1:], draft, drafts)
    return _emit(of, lambda *_: _keep(of, ratios, lengths, noise), target, draft, drafts, lengths, noise)


@row(
    "token-rejection-one-late", "The rejected draft is emitted as well, and the token after it is drawn from the target.",
    seen=("openvino.genai#4190",),
)  # fmt: skip
def rejection_one_late(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    kept, _ = _keep(of, of.tokens.log_ratios(target, draft, drafts), lengths, noise)
    kept = of.xp.minimum(kept + 1, lengths)
    return kept, of.tokens.draw(_at(of, target, kept), noise[:, -1])


@row(
    "token-accepts-at-coin-zero", "A draft passes at `coin <= p/q`, so one of probability 0 passes when its coin is 0.",
    seen_by="coins", seen=("sglang#35771", "sglang#35798", "vllm-ascend#13766"),
)  # fmt: skip
def accepts_at_coin_zero(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    """A coin of 0 is put below everything, so that it passes at 0."""
    coins = of.xp.where(noise[:, :-1] == 0, -of.xp.ones_like(noise[:, :-1]), noise[:, :-1])
    kept = of.verification.token_wise(of.tokens.log_ratios(target, draft, drafts), None, coins, lengths)
    return _emit(of, lambda *_: kept, target, draft, drafts, lengths, noise)


@row(
    "token-draft-probabilities-zero", "The buffer of the draft's probabilities was never filled and holds zeros.",
    seen=("sglang#12561", "vllm-ascend#7839"),
)  # fmt: skip
def draft_probabilities_zero(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.token_wise(target, of.xp.zeros_like(draft), drafts, lengths, noise)


@row(
    "token-ratio-in-bfloat16", "Target and draft are rounded to bfloat16 before their ratio is taken.",
    seen=("deepseek-ai/DeepSpec#31",),
)  # fmt: skip
def ratio_in_bfloat16(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    """The residual is taken of the unrounded laws."""
    xp = of.xp
    rounded = [xp.astype(xp.astype(law, xp.bfloat16), law.dtype) for law in (target, draft)]
    ratios = of.tokens.log_ratios(*rounded, drafts)
    return _emit(of, lambda *_: _keep(of, ratios, lengths, noise), target, draft, drafts, lengths, noise)


@row(
    "token-typical-acceptance", "A draft is accepted whenever p exceeds a threshold that depends on the entropy of p.",
    seen=("Cai et al. 2024, arXiv 2401.10774, offer it as an approximation",),
)  # fmt: skip
def typical_acceptance(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    """With their thresholds 0.3 and 0.09. No coin is thrown."""
    xp, laws = of.xp, target[:, : drafts.shape[1]]
    entropy = -xp.sum(xp.where(laws > 0, laws * xp.log(xp.where(laws > 0, laws, xp.ones_like(laws))), xp.zeros_like(laws)), axis=-1)
    passes = _of_drafts(of, target, drafts) > xp.clip(0.3 * xp.exp(-entropy), None, 0.09)
    ratios = xp.where(passes, xp.ones_like(entropy), -xp.inf * xp.ones_like(entropy))
    kept, _ = _keep(of, ratios, lengths, xp.zeros_like(noise))
    return kept, of.tokens.draw(_at(of, target, kept), noise[:, -1])


# What a rejected draft is replaced by.


@row(
    "token-residual-from-target", "A rejected draft is drawn again from the target instead of from the residual.",
)  # fmt: skip
def residual_from_target(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    kept, _ = _keep(of, of.tokens.log_ratios(target, draft, drafts), lengths, noise)
    return kept, of.tokens.draw(_at(of, target, kept), noise[:, -1])


@row(
    "token-residual-softmax", "The residual (p - q)_+ goes through a softmax before it is drawn from.",
    seen=("transformers#28508",),
)  # fmt: skip
def residual_softmax(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    leftover = lambda p, q, log_weight: of.xp.exp(of.tokens.residual(p, q, log_weight))  # noqa: E731
    return _emit(of, of.verification.token_wise, target, draft, drafts, lengths, noise, leftover)


@row(
    "token-residual-filtered", "The residual is cut to its most likely tokens again (top-p 0.6), as if it were the target.",
    least_vocabulary=3,
)  # fmt: skip
def residual_filtered(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    def leftover(p: Array, q: Array, log_weight: Array) -> Array:
        masses = of.tokens.residual(p, q, log_weight)
        return nucleus(of, masses / of.xp.sum(masses, axis=-1, keepdims=True), 0.6)

    return _emit(of, of.verification.token_wise, target, draft, drafts, lengths, noise, leftover)


@row("token-extra-from-draft", "When all drafts are accepted, the token after them is drawn from the draft's law.")
def extra_from_draft(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    kept, token = of.tokens.token_wise(target, draft, drafts, lengths, noise)
    extra = of.tokens.draw(_at(of, draft, of.xp.clip(lengths, None, draft.shape[1] - 1)), noise[:, -1])
    return kept, of.xp.where(kept == lengths, extra, token)


# One random number used twice.


@row(
    "token-residual-uses-the-coin", "The coin that rejected a draft also draws its replacement.",
    seen=("vllm-ascend#16370",), least_vocabulary=3,
)  # fmt: skip
def residual_uses_the_coin(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    """An extra token has a uniform of its own."""
    kept, _ = of.tokens.token_wise(target, draft, drafts, lengths, noise)
    return of.tokens.token_wise(
        target, draft, drafts, lengths, of.xp.concat([noise[:, :-1], _at(of, noise, kept)[:, None]], axis=1)
    )


@row(
    "token-residual-uses-the-drafts-uniform", "The uniform that drew a draft also draws its replacement.",
    seen=("vllm#47386", "vllm#54282"), least_vocabulary=3,
)  # fmt: skip
def residual_uses_the_drafts_uniform(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    """Given a draft y, its uniform lies evenly between the draft's distribution function before y and at y."""
    xp = of.xp
    kept, _ = of.tokens.token_wise(target, draft, drafts, lengths, noise)
    place = xp.clip(kept, None, drafts.shape[1] - 1)
    y, q = _at(of, drafts, place), _at(of, draft, place)
    before = xp.sum(xp.where(of.arange(q.shape[1], q)[None, :] < y[:, None], q, xp.zeros_like(q)), axis=-1)
    again = before + noise[:, -1] * _at(of, q, y)
    uniform = xp.where(kept < lengths, again, noise[:, -1])
    return of.tokens.token_wise(target, draft, drafts, lengths, xp.concat([noise[:, :-1], uniform[:, None]], axis=1))


@row(
    "gumbel-residual-reuses-exponentials", "Where the two races differ, the residual is drawn with their exponentials.",
    races=True, seen=("vllm#47386",), least_vocabulary=3,
)  # fmt: skip
def gumbel_residual_reuses_exponentials(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    kept, token = of.tokens.gumbel(target, draft, drafts, lengths, noise)
    place = of.xp.clip(kept, None, drafts.shape[1] - 1)
    zero = of.xp.zeros_like(_at(of, target, kept)[:, 0])
    masses = of.tokens.residual(_at(of, target, kept), _at(of, draft, place), zero)
    return kept, of.xp.where(kept < lengths, of.tokens.race(masses, _at(of, noise, kept)), token)


# The draft's reported law is not the law it was drawn from.


def tempered(of: Backend, laws: Array, temperature: float) -> Array:
    """Laws (..., V) at a temperature."""
    powers = laws ** (1.0 / temperature)
    return powers / of.xp.sum(powers, axis=-1, keepdims=True)


def nucleus(of: Backend, laws: Array, top_p: float) -> Array:
    """Laws (..., V) cut to the likeliest tokens that together reach ``top_p``, and normalised."""
    xp = of.xp
    likelier = laws[..., None, :] > laws[..., :, None]
    equal_before = (laws[..., None, :] == laws[..., :, None]) & (
        of.arange(laws.shape[-1], laws)[None, :] < of.arange(laws.shape[-1], laws)[:, None]
    )
    ahead = xp.sum(xp.where(likelier | equal_before, laws[..., None, :], xp.zeros_like(laws[..., None, :])), axis=-1)
    kept = xp.where(ahead < top_p - 1e-9, laws, xp.zeros_like(laws))
    return kept / xp.sum(kept, axis=-1, keepdims=True)


def likeliest(of: Backend, laws: Array) -> Array:
    """Laws (..., V) that make the likeliest token alone."""
    best = of.xp.argmax(laws, axis=-1)[..., None] == of.arange(laws.shape[-1], laws)
    return of.xp.where(best, of.xp.ones_like(laws), of.xp.zeros_like(laws))


@row(
    "draft-temperature-not-reported", "Drafts are drawn at temperature 0.5, and the law at temperature 1 is reported.",
    drawn=partial(tempered, temperature=0.5), seen=("transformers#47932", "transformers#47961"),
)  # fmt: skip
def draft_temperature_not_reported(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    return of.tokens.token_wise(target, draft, drafts, lengths, noise)


@row(
    "draft-filter-not-reported", "Drafts are drawn after top-p 0.7, and the raw law is reported.",
    drawn=partial(nucleus, top_p=0.7), seen=("transformers#47932",),
)  # fmt: skip
def draft_filter_not_reported(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.token_wise(target, draft, drafts, lengths, noise)


@row(
    "draft-is-greedy", "Drafts are the likeliest tokens, and the softmax that they are likeliest in is reported.",
    drawn=likeliest, seen=("transformers#32867", "jaymody/speculative-sampling#3", "apple/ml-recurrent-drafter#6"),
)  # fmt: skip
def draft_is_greedy(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.token_wise(target, draft, drafts, lengths, noise)


@row(
    "block-draft-temperature-not-reported", "Block verification of drafts at temperature 0.5 that report temperature 1.",
    drawn=partial(tempered, temperature=0.5), last_first=True, seen=("transformers#47932",),
)  # fmt: skip
def block_draft_temperature_not_reported(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    return of.tokens.block(target, draft, drafts, lengths, noise)


# Filters on one side only.


@row(
    "target-temperature-missing", "A temperature of 0.7 was asked for, and the target is verified without it.",
    claims=partial(tempered, temperature=0.7), seen=("vllm#9834", "vllm#42744"),
)  # fmt: skip
def target_temperature_missing(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.token_wise(target, draft, drafts, lengths, noise)


@row(
    "target-filter-missing", "A top-p of 0.7 was asked for, and the target is verified without it.",
    claims=partial(nucleus, top_p=0.7), seen=("vllm#10198", "vllm#42744"),
)  # fmt: skip
def target_filter_missing(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.token_wise(target, draft, drafts, lengths, noise)


@row("extra-token-unfiltered", "Top-p of 0.7 is applied to the laws that verify drafts, and not to that of the extra token.",
    claims=partial(nucleus, top_p=0.7),
)  # fmt: skip
def extra_token_unfiltered(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    extra = of.arange(target.shape[1], target)[None, :] == lengths[:, None]
    filtered = of.xp.where(extra[..., None], target, nucleus(of, target, 0.7))
    return of.tokens.token_wise(filtered, draft, drafts, lengths, noise)


@row(
    "target-mixed-with-draft", "The law 0.8 p + 0.2 q is verified instead of p.",
    seen=("transformers documents `assistant_ensemble_weight` as lossy",),
)  # fmt: skip
def target_mixed_with_draft(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.token_wise(0.8 * target + 0.2 * draft, draft, drafts, lengths, noise)


# Block verification.


@row(
    "block-last-ratio-uncapped", "The last draft is accepted with the uncapped product min(1, R_1 ... R_L).",
    last_first=True, seen=(HSD,),
)  # fmt: skip
def block_last_ratio_uncapped(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    def thresholds(ratios: Array, log_weights: Array, masses: Array) -> Array:
        right = of.verification.block_thresholds(log_weights, masses, lengths)
        columns = of.arange(ratios.shape[1], ratios)[None, :]
        there = of.xp.where(columns < lengths[:, None], ratios, of.xp.zeros_like(ratios))
        product = of.xp.exp(of.xp.clip(of.xp.sum(there, axis=1), None, 0.0))
        return of.xp.where(columns + 1 == lengths[:, None], product[:, None], right)

    return _emit(of, _block(of, thresholds), target, draft, drafts, lengths, noise)


@row(
    "block-residual-unweighted", "The residual after a block is (p - q)_+ instead of (w p - q)_+.",
    last_first=True, least_vocabulary=3, seen=("vllm-ascend#7807", "vllm-ascend#7808"),
)  # fmt: skip
def block_residual_unweighted(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    def keep(*given: Any) -> tuple[Array, Array]:
        kept, log_weight = of.verification.block(*given)
        return kept, of.xp.zeros_like(log_weight)

    return _emit(of, keep, target, draft, drafts, lengths, noise)


@row(
    "block-stops-at-first-failed-draft", "The first draft that fails ends the block, although a later one may pass.",
    seen=("vllm-ascend#11985",),
)  # fmt: skip
def block_stops_at_first_failed_draft(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    from . import block

    stopping = of.verification.Block(length=Bound(of, block.block_stops_at_first_failure.instead, "stops at the first failure"))
    return _emit(of, stopping, target, draft, drafts, lengths, noise)


@row(
    "block-threshold-is-the-weight", "Every draft of a block is accepted with its weight P instead of h.",
    last_first=True,
)  # fmt: skip
def block_threshold_is_the_weight(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    return _emit(
        of, _block(of, lambda ratios, log_weights, masses: of.xp.exp(log_weights[:, 1:])), target, draft, drafts, lengths, noise
    )


# Trees.


@row(
    "tree-duplicates-counted", "Siblings with the same token each get the share of that token.",
)  # fmt: skip
def tree_duplicates_counted(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return _target_only(of, target, drafts, lengths, noise, parents, counted_once=False)


@row("tree-coin-kept", "The coin that chose a child is compared again at the child's own children.", replacement=False)
def tree_coin_kept(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    coins = noise[:, :1] + of.xp.zeros_like(noise)
    return _target_only(of, target, drafts, lengths, coins, parents)


@row(
    "tree-slice-off-by-one", "The law after a node is read from the slice of the node before it.",
    seen=("TensorRT-LLM#15098",),
)  # fmt: skip
def tree_slice_off_by_one(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    shifted = of.xp.concat([target[:, :1], target[:, :-1]], axis=1)
    return of.token_trees.recursive(shifted, draft, drafts, lengths, noise, parents)


@row(
    "tree-best-branch", "Each branch is compared with draws from the target of its own, and the longest agreement is kept.",
    replacement=False,
)  # fmt: skip
def tree_best_branch(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    """Coin i - 1 belongs to node i and redraws its parent: a node of several children is drawn once for each of them."""
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(drafts, lengths)
    node, depth = xp.zeros_like(lengths), xp.zeros_like(lengths)
    agreed = [there[:, 0] | True]
    for child, parent in enumerate(parents, 1):
        drawn = of.tokens.draw(target[:, parent], noise[:, child - 1])
        agreed.append(agreed[parent] & there[:, child - 1] & (drawn == ids[:, child - 1]))
        level = len(trees.ancestors(parents, child))
        deeper = agreed[child] & (level > depth)
        node, depth = xp.where(deeper, child, node), xp.where(deeper, level, depth)
    return node, of.tokens.draw(_at(of, target, node), noise[:, -1])


@row(
    "recursive-rest-not-normalised", "A sibling drawn without replacement is judged by q without the earlier ones, not normalised.",
    replacement=False,
)  # fmt: skip
def recursive_rest_not_normalised(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return _siblings(of, target, draft, drafts, lengths, noise, parents, "left")


@row(
    "recursive-draws-taken-for-independent", "Siblings are drawn without replacement, and judged as if they were independent.",
    replacement=False,
)  # fmt: skip
def recursive_draws_taken_for_independent(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return of.token_trees.recursive(target, draft, drafts, lengths, noise, parents)


@row(
    "recursive-residual-not-normalised", "After a rejection (a - b)_+ is not normalised before the next sibling is judged.",
)  # fmt: skip
def recursive_residual_not_normalised(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return _siblings(of, target, draft, drafts, lengths, noise, parents, "residual")


@row(
    "kseq-rho-one", "k-SEQ with rho = 1, which is too small for k > 1.",
    seen=("Sun et al. 2023, arXiv 2310.15141, give the condition on rho",),
)  # fmt: skip
def kseq_rho_one(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    """The rest p - min(q, p) (1 - (1 - beta)^k)/beta is cut at 0."""
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(drafts, lengths)
    node, masses = xp.zeros_like(lengths), [target[:, i] for i in range(len(parents) + 1)]
    for parent in sorted(set(parents)):
        below = trees.children(parents, parent)
        p, q = target[:, parent], draft[:, below[0] - 1]
        shared = xp.where(p < q, p, q)
        rest, count = 1.0 - xp.sum(shared, axis=-1), sum(xp.astype(there[:, child - 1], p.dtype) for child in below)
        factor = sum(xp.where(i < count, rest**i, xp.zeros_like(rest)) for i in range(len(below)))
        left = xp.clip(p - shared * factor[:, None], 0.0, None)
        masses[parent] = xp.where(xp.sum(left, axis=-1, keepdims=True) > 0, left, p)
        for child in below:
            y = ids[:, child - 1]
            accepts = _at(of, p, y) / xp.clip(_at(of, q, y), 1e-300, None)
            node = xp.where((node == parent) & there[:, child - 1] & (noise[:, child - 1] < accepts), child, node)
    return node, of.tokens.draw(_at(of, xp.stack(masses, axis=1), node), noise[:, -1])


def _traversal(of: Backend, update: str, *given: Any) -> Verified:
    """Traversal verification with a wrong update after a child is given up: which of w and a is ``update``d otherwise."""
    target, draft, drafts, lengths, noise, parents = given
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(drafts, lengths)
    weights, laws = [xp.ones_like(target[:, 0, 0])] * (len(parents) + 1), [target[:, i] for i in range(len(parents) + 1)]

    def give_up_children(node: int) -> None:
        for child in trees.children(parents, node):
            w, a, b, y, here = weights[node], laws[node], draft[:, child - 1], ids[:, child - 1], there[:, child - 1]
            enters = xp.clip(w * _at(of, a, y) / xp.clip(_at(of, b, y), 1e-300, None), None, 1.0)
            weights[child] = xp.where(here, enters, xp.zeros_like(enters))
            give_up_children(child)
            r = xp.clip(w[:, None] * a - b, 0.0, None)
            new = _share(of, xp.sum(r, axis=-1), 1.0 - w)
            if update == "w first":
                r = xp.clip(new[:, None] * a - b, 0.0, None)
            total = xp.sum(r, axis=-1, keepdims=True)
            rest = xp.where(total > 0, r / xp.where(total > 0, total, xp.ones_like(total)), a)
            if update != "no w":
                weights[node] = xp.where(here, new, w)
            laws[node] = target[:, node] if update == "a reset" else xp.where(here[:, None], rest, a)

    give_up_children(0)
    node = trees.walk_up(xp.stack(weights[1:], axis=1), noise[:, :-1], parents)
    return node, of.tokens.draw(_at(of, xp.stack(laws, axis=1), node), noise[:, -1])


@row("traversal-law-reset", "After a child is given up, the node's law is p again.", last_first=True)
def traversal_law_reset(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return _traversal(of, "a reset", target, draft, drafts, lengths, noise, parents)


@row("traversal-weight-kept", "After a child is given up, the node's weight stays.", last_first=True)
def traversal_weight_kept(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return _traversal(of, "no w", target, draft, drafts, lengths, noise, parents)


@row(
    "traversal-weight-updated-first", "After a child is given up, the weight is updated before the law, which is computed with it.",
    last_first=True,
)  # fmt: skip
def traversal_weight_updated_first(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return _traversal(of, "w first", target, draft, drafts, lengths, noise, parents)


@row(
    "greatest-path-verified-against-draft", "Of several paths the greatest is kept, and verified as if it were the only one.",
    last_first=True,
)  # fmt: skip
def greatest_path_verified_against_draft(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    xp, trees = of.xp, of.token_trees
    nodes, _ = trees.greedy_multi_path.greatest(target, draft, drafts, parents)
    rows, width = of.arange(len(drafts), drafts)[:, None], nodes.shape[1]
    along = xp.concat([xp.zeros_like(nodes[:, :1]), nodes], axis=1)
    coins = xp.concat([noise[:, :width], noise[:, -1:]], axis=1)
    chain = target[rows, along], draft[rows, nodes - 1], drafts[rows, nodes - 1], xp.full_like(lengths, width)
    kept, token = of.tokens.block(*chain, coins)
    return _at(of, along, kept), token


# Right, and suspicious.


@row(
    "one-hot-of-sampled-drafts", "Sampled drafts are verified as if they were certain: accepted with p(y), else p without y.",
    seen_by="nothing", seen=("vllm#40149 reports it as a bug",),
)  # fmt: skip
def one_hot_of_sampled_drafts(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.one_hot(target, draft, drafts, lengths, noise)


@row(
    "accepted-if-equal-to-a-draw", "A token is drawn from the target, and the draft is accepted if it is the same.",
    seen_by="nothing", seen=("mlx-swift-lm#459", "mlxcel#992"),
)  # fmt: skip
def accepted_if_equal_to_a_draw(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.sampled_verify(target, draft, drafts, lengths, noise)


@row("nothing-accepted", "No draft is ever accepted.", seen_by="nothing")
def nothing_accepted(of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
    return of.tokens.plain(target, draft, drafts, lengths, noise)


@row("another-order-of-the-vocabulary", "Residuals are inverted in the opposite order of the vocabulary.", seen_by="nothing")
def another_order_of_the_vocabulary(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array
) -> Verified:
    reverse = lambda masses, uniforms: masses.shape[1] - 1 - of.tokens.draw(of.xp.flip(masses, axis=1), uniforms)  # noqa: E731
    return replace(of.tokens.token_wise, draw=reverse)(target, draft, drafts, lengths, noise)


@row("tree-target-only", "Children are accepted by their share of the target, whatever they were drawn from.", seen_by="nothing")
def tree_target_only(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents
) -> Verified:
    return of.token_trees.target_only(target, draft, drafts, lengths, noise, parents)


def _keep(of: Backend, ratios: Array, lengths: Array, noise: Array) -> tuple[Array, Array]:
    return of.verification.token_wise(ratios, None, noise[:, :-1], lengths)


def _emit(
    of: Backend,
    keep: Callable[..., Any],
    target: Array,
    draft: Array,
    drafts: Array,
    lengths: Array,
    noise: Array,
    leftover: Any = None,
) -> Verified:
    """A chain of these parts; the others are right."""
    return of.tokens.Chain(keep, leftover or of.tokens.residual)(target, draft, drafts, lengths, noise)


def _block(of: Backend, thresholds: Callable[[Array, Array, Array], Array]) -> Callable[..., tuple[Array, Array]]:
    """Block verification with other thresholds, a function of log-ratios, log-weights and masses."""

    def keep(ratios: Array, masses: Callable[[Array], Array], uniforms: Array, lengths: Array) -> tuple[Array, Array]:
        log_weights = of.verification.block_weights(ratios)
        kept = of.verification.block_length(uniforms, thresholds(ratios, log_weights, masses(log_weights)), lengths)
        return kept, of.verification.weight_at(log_weights, kept)

    return keep


def _target_only(
    of: Backend, target: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents, counted_once: bool = True
) -> Verified:
    """``token_trees.target_only``, in which a repeated sibling may have a share as well."""
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(drafts, lengths)
    node, token = xp.zeros_like(lengths), xp.zeros_like(lengths)
    for here in range(len(parents) + 1):
        p, coin, rest = target[:, here], noise[:, here], target[:, here]
        visited, passed = node == here, xp.zeros_like(target[:, 0, 0])
        for child in trees.children(parents, here):
            y = ids[:, child - 1]
            share = xp.where(there[:, child - 1], _at(of, rest if counted_once else p, y), xp.zeros_like(passed))
            node = xp.where(visited & (passed <= coin) & (coin < passed + share), child, node)
            gone = there[:, child - 1, None] & (of.arange(p.shape[1], p)[None, :] == y[:, None])
            rest, passed = xp.where(gone, xp.zeros_like(rest), rest), passed + share
        left = xp.where(xp.sum(rest, axis=-1, keepdims=True) > 0, rest, p)
        drawn = of.tokens.draw(left, xp.clip(coin - passed, 0.0, None) / xp.clip(1.0 - passed, 1e-12, None))
        token = xp.where(visited & (node == here), drawn, token)
    return node, token


def _siblings(
    of: Backend, target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents, wrong: str
) -> Verified:
    """Recursive rejection that forgets to normalise the ``residual``, or what is ``left`` of q without replacement."""
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(drafts, lengths)
    node, laws = xp.zeros_like(lengths), [target[:, i] for i in range(len(parents) + 1)]
    for parent in sorted(set(parents)):
        a, gone = target[:, parent], target[:, parent] < 0
        for child in trees.children(parents, parent):
            y, here, q = ids[:, child - 1], there[:, child - 1], draft[:, child - 1]
            b = xp.where(gone, xp.zeros_like(q), q) if wrong == "left" else q
            accepts = _at(of, a, y) / xp.clip(_at(of, b, y), 1e-300, None)
            node = xp.where((node == parent) & here & (noise[:, child - 1] < accepts), child, node)
            r = xp.clip(a - b, 0.0, None)
            total = xp.sum(r, axis=-1, keepdims=True)
            normalised = r if wrong == "residual" else r / xp.where(total > 0, total, xp.ones_like(total))
            a = xp.where(here[:, None] & (total > 0), normalised, a)
            gone = gone | (here[:, None] & (of.arange(q.shape[1], q)[None, :] == y[:, None]))
        laws[parent] = a
    return node, of.tokens.draw(_at(of, xp.stack(laws, axis=1), node), noise[:, -1])


def _share(of: Backend, part: Array, other: Array) -> Array:
    total = part + other
    return of.xp.where(total > 0, part / of.xp.where(total > 0, total, of.xp.ones_like(total)), of.xp.zeros_like(total))


def _at(of: Backend, values: Array, place: Array) -> Array:
    """One entry for each row: values (n, L, ...) at places (n,) -> (n, ...)."""
    return values[of.arange(len(values), values), place]


def _of_drafts(of: Backend, laws: Array, drafts: Array) -> Array:
    """The probability of each draft, (n, L)."""
    return laws[of.arange(len(laws), laws)[:, None], of.arange(drafts.shape[1], drafts)[None, :], drafts]


@dataclass(frozen=True)
class KeyedByPosition:
    """The noise of a run in which a coin is a function of the position that it judges, so that later rounds meet it again.

    Block verification looks at coins past the token that it rejects, so it couples the rounds: each window has the right law, and
    sequences do not. Token by token no coin is met twice, and races are right whatever their exponentials are keyed by.

    Attributes:
        base: noise that is a function of the round and the row, so ``KeyNoise`` or ``InjectedNoise`` with a round per position.
    """

    of: Backend
    base: Any

    def uniforms(self, asking: Any, count: int) -> tuple[Array, Array]:
        drafts, coins = self.base.uniforms(asking, count)
        at = [self.base.uniforms(asking._replace(rounds=asking.emitted + i), count)[1][:, 0] for i in range(count)]
        return drafts, self.of.xp.stack([*at, coins[:, -1]], axis=1)


TOKEN_FAULTS: tuple[TokenFault, ...] = tuple(value for value in list(globals().values()) if isinstance(value, TokenFault))


def token_fault(name: str) -> TokenFault:
    """The fault of this name. Raises ``KeyError`` for an unknown one."""
    return {fault.name: fault for fault in TOKEN_FAULTS}[name]
