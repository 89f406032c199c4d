"""Faults of the acceptance, token by token."""

from __future__ import annotations

from ..base import Backend
from .base import Given, Verified, drawn_from_target, emit, keep, kept_by_ratios, of_drafts, rows

row = rows("tokens: acceptance")


@row(
    "token-ratio-of-next-place", "Draft i is judged by the target's law of the place after it.",
    seen=("transformers#28166",), standard=True,
)  # fmt: skip
def ratio_of_next_place(of: Backend, given: Given) -> Verified:
    ratios = of.tokens.log_ratios(given.target[:, 1:], given.draft, given.drafts)
    return emit(of, given, lambda *_: keep(of, ratios, given))


@row(
    "token-rejection-one-late", "The rejected draft is emitted as well, and the token after it is drawn from the target.",
    seen=("openvino.genai#4190",), standard=True,
)  # fmt: skip
def rejection_one_late(of: Backend, given: Given) -> Verified:
    return drawn_from_target(of, given, of.xp.minimum(kept_by_ratios(of, given) + 1, given.lengths))


@row(
    "token-accepts-at-coin-zero", "A draft passes at `coin <= p/q`, so one of probability 0 passes when its coin is 0.",
    seen_by="coins", seen=("sglang#35771", "sglang#35798", "vllm-ascend#13766"),
)  # fmt: skip
def accepts_at_coin_zero(of: Backend, given: Given) -> Verified:
    """A coin of 0 is put below everything, so that it passes at 0."""
    coins = of.xp.where(given.noise == 0, -of.xp.ones_like(given.noise), given.noise)
    ratios = of.tokens.log_ratios(given.target, given.draft, given.drafts)
    return emit(of, given, lambda *_: keep(of, ratios, given._replace(noise=coins)))


@row(
    "token-draft-probabilities-zero", "The buffer of the draft's probabilities was never filled and holds zeros.",
    seen=("sglang#12561", "vllm-ascend#7839"), standard=True,
)  # fmt: skip
def draft_probabilities_zero(of: Backend, given: Given) -> Verified:
    return emit(of, given._replace(draft=of.xp.zeros_like(given.draft)))


@row(
    "token-ratio-in-bfloat16", "Target and draft are rounded to bfloat16 before their ratio is taken.",
    seen_by="enumeration", seen=("deepseek-ai/DeepSpec#31",),
)  # fmt: skip
def ratio_in_bfloat16(of: Backend, given: Given) -> Verified:
    """The residual is taken of the unrounded laws."""
    xp = of.xp
    rounded = [xp.astype(xp.astype(law, xp.bfloat16), law.dtype) for law in given[:2]]
    ratios = of.tokens.log_ratios(*rounded, given.drafts)
    return emit(of, given, lambda *_: keep(of, ratios, given))


@row(
    "token-typical-acceptance", "A draft is accepted whenever p exceeds a threshold that depends on the entropy of p.",
    seen=("Cai et al. 2024, arXiv 2401.10774, offer it as an approximation",), standard=True,
)  # fmt: skip
def typical_acceptance(of: Backend, given: Given) -> Verified:
    """With their thresholds 0.3 and 0.09. No coin is thrown."""
    xp, laws = of.xp, given.target[:, : given.drafts.shape[1]]
    entropy = -xp.sum(xp.where(laws > 0, laws * xp.log(xp.where(laws > 0, laws, xp.ones_like(laws))), xp.zeros_like(laws)), axis=-1)
    passes = of_drafts(of, given.target, given.drafts) > xp.clip(0.3 * xp.exp(-entropy), None, 0.09)
    ratios = xp.where(passes, xp.ones_like(entropy), -xp.inf * xp.ones_like(entropy))
    kept, _ = keep(of, ratios, given._replace(noise=xp.zeros_like(given.noise)))
    return drawn_from_target(of, given, kept)
