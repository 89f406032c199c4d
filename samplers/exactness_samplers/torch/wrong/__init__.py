"""Wrong on purpose: the controls. Each is a right sampler with one function replaced; none is a copy of a sampler.

A certificate is worth what it would have caught, so these are what a battery must refute; `exactness_samplers.faults` says of each
what is wrong with it, or why it is right although it does not look so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..drafters import Independent
from ..processes import Process
from ..rejections import Maximal, Rejection, UntilAccepted, gamma, reflection
from ..speculative import Round, Speculative
from ..verification import Block, Verifier
from . import accepting, bookkeeping, outputs, randomness, rejecting
from .bases import good, poor, stale

__all__ = ["BUILD", "build"]


def _rejecting(rejection: Rejection, base: Callable[[Process], Speculative] = poor) -> Callable[[Process], Speculative]:
    return lambda process: replace(base(process), rejection=rejection)


def _accepting(verifier: Verifier) -> Callable[[Process], Speculative]:
    return lambda process: replace(poor(process), verifier=verifier)


def _block(base: Callable[[Process], Speculative] = stale, **parts: Any) -> Callable[[Process], Speculative]:
    return lambda process: replace(base(process), verifier=Block(**parts))


def _round(base: Callable[[Process], Speculative] = poor, **parts: Any) -> Callable[[Process], Speculative]:
    return lambda process: replace(base(process), round=Round(**parts))


def _keyed(base: Callable[[Process], Speculative]) -> Callable[[Process], Speculative]:
    return lambda process: replace(base(process), round=Round(source=randomness.Keyed, draw=randomness.ByPosition(process.steps)))


def _hopeless(process: Process) -> Speculative:
    return replace(poor(process, 50.0), window=1)


BUILD: dict[str, Callable[[Process], Any]] = {
    "no-reflection": _rejecting(rejecting.unreflected),
    "reflected-about-wrong-axis": _rejecting(rejecting.about_first_axis),
    "reflected-without-mean-shift": _rejecting(rejecting.without_mean_shift),
    "rejected-from-target": _rejecting(rejecting.from_target),
    "rejected-from-truncated-normal": _rejecting(rejecting.cut_off),
    "orthogonal-stretched": _rejecting(rejecting.Stretched(gamma, 1.05)),
    "orthogonal-shrunk": _rejecting(rejecting.Stretched(gamma, 0.95)),
    "orthogonal-zeroed": _rejecting(rejecting.Stretched(gamma, 0.0)),
    "orthogonal-shared-by-two": _rejecting(rejecting.Shared(gamma)),
    "accept-always": _accepting(accepting.always),
    "accept-inverted": _accepting(accepting.Tempered(-1.0)),
    "accept-tempered-down": _accepting(accepting.Tempered(0.98)),
    "accept-tempered-up": _accepting(accepting.Tempered(1.02)),
    "accept-in-bfloat16": _accepting(accepting.in_bfloat16),
    "accept-clipped": lambda process: replace(poor(process, 2.0), verifier=accepting.Clipped()),
    "accept-at-coin-zero": lambda process: replace(_hopeless(process), verifier=accepting.at_coin_zero),
    "accept-typical": _accepting(accepting.typical),
    "block-with-reflection": _rejecting(rejecting.Unweighted(reflection), stale),
    "block-with-unweighted-residual": _rejecting(rejecting.Unweighted(gamma), stale),
    "block-stops-at-first-failure": _block(length=accepting.until_first_failure),
    "block-first-pass-as-tau": _block(length=accepting.first_pass),
    "block-weights-without-min": _block(weights=accepting.weights_without_min),
    "block-thresholds-without-rest": _block(thresholds=accepting.thresholds_without_rest),
    "block-thresholds-unnormalised": _block(thresholds=accepting.thresholds_unnormalised),
    "block-thresholds-high": _block(poor, thresholds=accepting.ScaledThresholds(1.03)),
    "block-thresholds-low": _block(poor, thresholds=accepting.ScaledThresholds(0.97)),
    "block-weight-of-next": _block(weight=accepting.WeightBeside(1)),
    "block-weight-of-last": _block(weight=accepting.WeightBeside(-1)),
    "block-mass-of-current": _block(masses=accepting.masses_of_current),
    "block-short-window-as-full": _block(thresholds=accepting.thresholds_of_full),
    "verified-with-stale-mean": _round(target_means=bookkeeping.stale_means),
    "sigma-of-neighbouring-step": lambda process: poor(bookkeeping.neighbouring_sigma(process)),
    "mean-of-neighbouring-step": _round(target_means=bookkeeping.means_of_neighbour),
    "draft-wider-than-said": _round(good, step=bookkeeping.SpreadDraft(1.05)),
    "draft-narrower-than-said": _round(good, step=bookkeeping.SpreadDraft(0.95)),
    "extra-step-from-draft": _round(target_means=bookkeeping.extra_from_draft),
    "rejected-state-kept": _round(emit=bookkeeping.keep_rejected),
    "label-of-another-chain": _round(good, conditioned=bookkeeping.label_of_next),
    "state-of-another-chain": _round(good, emit=bookkeeping.cross),
    "one-draw-for-two": _round(draw=randomness.one_draw_for_two),
    "same-key-every-round": _round(draw=randomness.same_every_round),
    "draws-keyed-by-position": _keyed(stale),
    "antithetic-pairs": _round(good, source=randomness.Antithetic),
    "seeds-that-repeat": lambda process: outputs.RepeatedShard(good(process)),
    "uniforms-that-can-be-one": _round(draw=randomness.RoundedToOne(24)),
    "half-uniforms-that-can-be-one": _round(draw=randomness.FewBits(11)),
    "region-never-visited": lambda process: outputs.Avoiding(good(process)),
    "last-step-wider": lambda process: good(bookkeeping.scaled_last_sigma(process, 1.02)),
    "last-step-narrower": lambda process: good(bookkeeping.scaled_last_sigma(process, 0.98)),
    "last-step-a-little-wider": lambda process: good(bookkeeping.scaled_last_sigma(process, 1.01**0.5)),
    "correlated-noise": _round(good, draw=randomness.Correlated()),
    "exact-until-late": _round(verify=accepting.AlwaysLate()),
    "never-accepts": lambda process: replace(poor(process), verifier=accepting.never, rejection=rejecting.from_target),
    "orthogonal-kept": _rejecting(Maximal("independent", "kept"), stale),
    "reflection-token-wise": _rejecting(reflection),
    "chains-in-any-order": lambda process: outputs.Reversed(good(process)),
    "keyed-by-position-token-wise": _keyed(good),
    "drafter-that-fails": lambda process: replace(poor(process), drafter=Independent(bookkeeping.Failing(process))),
    "drafter-without-hope": _hopeless,
    "prediction-of-another-chain": lambda process: replace(
        good(process),
        drafter=bookkeeping.ReuseOfNeighbour(good(process).drafter.kind),  # type: ignore[attr-defined]
    ),
    "window-as-long-as-the-chain": lambda process: replace(stale(process), window=process.steps),
    "rejected-until-accepted": _rejecting(UntilAccepted()),
}
"""From the names of `exactness_samplers.faults` to the sampler of a process."""


def build(name: str, process: Process) -> Any:
    """The sampler ``name`` of this process. Raises ``KeyError`` for an unknown name."""
    return BUILD[name](process)
