"""Faults of the acceptance: which drafts are kept, token by token.

A replaced verifier takes log-ratios (m, L), the function of the residual masses, uniforms (m, L) and window lengths (m,); it
returns how many drafted steps are kept and the log-weight, both (m,).
"""

from __future__ import annotations

import math
from functools import partial

from .base import DRAFTED, Array, Backend, Masses, row
from .unspoiled import hopeless, poor

_COIN_BITS = 11
Kept = tuple[Array, Array]


@row(
    "accept-always", "acceptance", "Every drafted step is accepted.",
    touches=DRAFTED, replaces="verifier", spoils=poor, standard=True, seen=("vllm-ascend#13766",),
)  # fmt: skip
def accept_always(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    return lengths, of.xp.zeros_like(log_ratios[:, 0])


@row(
    "accept-inverted", "acceptance", "A draft is accepted with probability min(1, q/p) instead of min(1, p/q).",
    touches=DRAFTED, replaces="verifier", spoils=poor, standard=True, seen=("jax#1123 inverted a test in the same way",),
)  # fmt: skip
def accept_inverted(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    return of.verification.token_wise(-1.0 * log_ratios, masses, uniforms, lengths)


@row(
    "accept-tempered-down", "acceptance", "A draft is accepted with probability min(1, r^0.98), where r = p/q.",
    touches=DRAFTED, replaces="verifier", spoils=poor, seen=("vllm#9834", "vllm#10198", "vllm#42744"),
)  # fmt: skip
def accept_tempered_down(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    return of.verification.token_wise(0.98 * log_ratios, masses, uniforms, lengths)


@row(
    "accept-tempered-up", "acceptance", "A draft is accepted with probability min(1, r^1.02), where r = p/q.",
    touches=DRAFTED, replaces="verifier", spoils=poor, seen=("vllm#9834", "vllm#10198", "vllm#42744"),
)  # fmt: skip
def accept_tempered_up(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    return of.verification.token_wise(1.02 * log_ratios, masses, uniforms, lengths)


@row(
    "accept-in-bfloat16", "acceptance", "The ratio p/q is rounded to bfloat16 before it is compared with its uniform.",
    touches=DRAFTED, replaces="verifier", spoils=poor, expected="beyond", seen=("deepseek-ai/DeepSpec#31",),
)  # fmt: skip
def accept_in_bfloat16(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    """The ratio has eight significant bits."""
    xp = of.xp
    rounded = xp.astype(xp.exp(xp.clip(log_ratios, None, 0.0)), xp.bfloat16)
    return of.verification.token_wise(xp.log(xp.astype(rounded, log_ratios.dtype)), masses, uniforms, lengths)


@row(
    "accept-clipped", "acceptance", "The ratio p/q is clipped from below at 0.01, as a guard against underflow.",
    touches=DRAFTED, replaces="verifier", spoils=partial(poor, sigmas=2.0),
)  # fmt: skip
def accept_clipped(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    return of.verification.token_wise(of.xp.clip(log_ratios, math.log(0.01), None), masses, uniforms, lengths)


@row(
    "accept-at-coin-zero", "acceptance",
    "Coins have 11 bits and a draft passes at `coin <= ratio`, so a draft of probability 0 passes when the coin is 0.",
    touches="drafts that the target cannot make", replaces="verifier", spoils=hopeless,
    seen=("sglang#35771", "sglang#35798", "vllm-ascend#13766"),
)  # fmt: skip
def accept_at_coin_zero(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    coins = of.xp.floor(uniforms * 2**_COIN_BITS) / 2**_COIN_BITS
    # `coin <= ratio` differs from `coin < ratio` where they are equal; a coin of 0 meets ratios of 0.
    return of.verification.token_wise(log_ratios, masses, of.xp.where(coins == 0, -of.xp.ones_like(coins), coins), lengths)


@row(
    "accept-typical", "acceptance", "A draft is accepted whenever p/q exceeds 0.3 (typical acceptance).",
    touches=DRAFTED, replaces="verifier", spoils=poor, standard=True,
    seen=("Cai et al. 2024, arXiv 2401.10774, offer it as an approximation",),
)  # fmt: skip
def accept_typical(of: Backend, log_ratios: Array, masses: Masses, uniforms: Array, lengths: Array) -> Kept:
    """No coin is tossed."""
    return of.verification.token_wise(log_ratios, masses, of.xp.full_like(uniforms, 0.3), lengths)
