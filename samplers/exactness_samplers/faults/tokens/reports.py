"""Faults outside the verifier: the law that it is told is not the one that was drawn from, or that was promised."""

from __future__ import annotations

from functools import partial

from ..base import Backend
from .base import Given, Verified, emit, rows, rule
from .laws import likeliest, nucleus, tempered

row = rows("tokens: laws")

draft_temperature_not_reported = row(
    "draft-temperature-not-reported", "Drafts are drawn at temperature 0.5, and the law at temperature 1 is reported.",
    drawn=partial(tempered, temperature=0.5), seen=("transformers#47932", "transformers#47961"), standard=True,
)(rule("token_wise"))  # fmt: skip

draft_filter_not_reported = row(
    "draft-filter-not-reported", "Drafts are drawn after top-p 0.7, and the raw law is reported.",
    drawn=partial(nucleus, top_p=0.7), seen=("transformers#47932",), standard=True,
)(rule("token_wise"))  # fmt: skip

draft_is_greedy = row(
    "draft-is-greedy", "Drafts are the likeliest tokens, and the softmax that they are likeliest in is reported.",
    drawn=likeliest, seen=("transformers#32867", "jaymody/speculative-sampling#3", "apple/ml-recurrent-drafter#6"), standard=True,
)(rule("token_wise"))  # fmt: skip

block_draft_temperature_not_reported = row(
    "block-draft-temperature-not-reported", "Block verification of drafts at temperature 0.5 that report temperature 1.",
    drawn=partial(tempered, temperature=0.5), last_first=True, seen=("transformers#47932",), standard=True,
)(rule("block"))  # fmt: skip

target_temperature_missing = row(
    "target-temperature-missing", "A temperature of 0.7 was asked for, and the target is verified without it.",
    claims=partial(tempered, temperature=0.7), seen=("vllm#9834", "vllm#42744"),
)(rule("token_wise"))  # fmt: skip

target_filter_missing = row(
    "target-filter-missing", "A top-p of 0.7 was asked for, and the target is verified without it.",
    claims=partial(nucleus, top_p=0.7), seen=("vllm#10198", "vllm#42744"),
)(rule("token_wise"))  # fmt: skip


@row("extra-token-unfiltered", "Top-p of 0.7 is applied to the laws that verify drafts, and not to that of the extra token.",
    claims=partial(nucleus, top_p=0.7),
)  # fmt: skip
def extra_token_unfiltered(of: Backend, given: Given) -> Verified:
    extra = of.arange(given.target.shape[1], given.target)[None, :] == given.lengths[:, None]
    return emit(of, given._replace(target=of.xp.where(extra[..., None], given.target, nucleus(of, given.target, 0.7))))


@row(
    "target-mixed-with-draft", "The law 0.8 p + 0.2 q is verified instead of p.",
    seen=("transformers documents `assistant_ensemble_weight` as lossy",), standard=True,
)  # fmt: skip
def target_mixed_with_draft(of: Backend, given: Given) -> Verified:
    """After the last draft p is mixed with nothing, unless the verifier is given the draft's law there as well."""
    width = given.target.shape[1]
    draft = of.xp.concat([given.draft, given.target[:, -1:]], axis=1)[:, :width]
    return emit(of, given._replace(target=0.8 * given.target + 0.2 * draft))
