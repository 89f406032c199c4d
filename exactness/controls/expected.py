"""The tests that must see each fault, each of them alone. There is one line per fault that must be caught.

Tests have the names that findings use. ``usable output`` stands for output that cannot be judged at all,
``forced coins`` and ``exact law`` for looks at a verifier that take no draws.
"""

from __future__ import annotations

from .matrix import UNUSABLE

STATE, DRIFT, NORM = "along state", "along drift change", "squared norm"
NUMBER, LIKELY, RATIO = (f"transforms by {order}" for order in ("number", "probability", "p/q"))
BETS, SHARE, SUPPORT = "bets", "share of tokens with p > q", "support"

MUST_SEE: dict[str, tuple[str, ...]] = {
    "no-reflection": (STATE,),
    "reflected-about-wrong-axis": (STATE,),
    "reflected-without-mean-shift": (STATE,),
    "rejected-from-target": (STATE,),
    "rejected-from-truncated-normal": (STATE,),
    "orthogonal-stretched": (NORM,),
    "orthogonal-shrunk": (NORM,),
    "orthogonal-zeroed": (NORM,),
    "orthogonal-shared-by-two": ("dependence at a lag",),
    "accept-always": (STATE,),
    "accept-inverted": (STATE,),
    "accept-tempered-down": (STATE,),
    "accept-tempered-up": (STATE,),
    "accept-clipped": (STATE,),
    "accept-at-coin-zero": (STATE,),
    "accept-typical": (STATE,),
    "block-with-reflection": (DRIFT,),
    "block-with-unweighted-residual": (DRIFT,),
    "block-stops-at-first-failure": (DRIFT,),
    "block-first-pass-as-tau": (DRIFT,),
    "block-weights-without-min": (DRIFT,),
    "block-thresholds-without-rest": (DRIFT,),
    "block-thresholds-unnormalised": (DRIFT,),
    "block-thresholds-high": (STATE,),
    "block-thresholds-low": (STATE,),
    "block-weight-of-next": (DRIFT,),
    "block-weight-of-last": (DRIFT,),
    "block-mass-of-current": (DRIFT,),
    "block-short-window-as-full": (DRIFT,),
    "verified-with-stale-mean": (DRIFT,),
    "sigma-of-neighbouring-step": (NORM,),
    "mean-of-neighbouring-step": (STATE,),
    "draft-wider-than-said": (NORM,),
    "draft-narrower-than-said": (NORM,),
    "extra-step-from-draft": (STATE,),
    "rejected-state-kept": (STATE,),
    "label-of-another-chain": ("mixture innovations",),
    "state-of-another-chain": (STATE,),
    "one-draw-for-two": (STATE,),
    "same-key-every-round": ("lags",),
    "draws-keyed-by-position": (DRIFT,),
    "antithetic-pairs": ("dependence at a lag",),
    "seeds-that-repeat": ("repeated draws",),
    "half-uniforms-that-can-be-one": (UNUSABLE,),
    "region-never-visited": ("coordinates",),
    "last-step-wider": (NORM,),
    "last-step-narrower": (NORM,),
    "correlated-noise": ("along previous innovation",),
    "exact-until-late": (STATE,),
    "token-ratio-of-next-place": (BETS,),
    "token-rejection-one-late": (BETS,),
    "token-accepts-at-coin-zero": ("forced coins",),
    "token-draft-probabilities-zero": (BETS,),
    "token-ratio-in-bfloat16": ("exact law",),
    "token-typical-acceptance": (SHARE,),
    "token-residual-from-target": (BETS,),
    "token-residual-softmax": (RATIO,),
    "token-residual-filtered": (NUMBER,),
    "token-extra-from-draft": (SHARE,),
    "token-residual-uses-the-coin": (NUMBER,),
    "token-residual-uses-the-drafts-uniform": (NUMBER,),
    "gumbel-residual-reuses-exponentials": (RATIO,),
    "block-coins-keyed-by-position": (SHARE,),
    "draft-temperature-not-reported": (LIKELY,),
    "draft-filter-not-reported": (LIKELY,),
    "draft-is-greedy": (LIKELY,),
    "block-draft-temperature-not-reported": (LIKELY,),
    "target-temperature-missing": (BETS,),
    "target-filter-missing": (SUPPORT,),
    "extra-token-unfiltered": (SUPPORT,),
    "target-mixed-with-draft": (BETS,),
    "block-last-ratio-uncapped": (SHARE,),
    "block-residual-unweighted": (RATIO,),
    "block-stops-at-first-failed-draft": (SHARE,),
    "block-threshold-is-the-weight": (SHARE,),
    "tree-duplicates-counted": (SHARE,),
    "tree-coin-kept": (SHARE,),
    "tree-slice-off-by-one": (BETS,),
    "tree-best-branch": (SHARE,),
    "recursive-rest-not-normalised": (RATIO,),
    "recursive-draws-taken-for-independent": (RATIO,),
    "recursive-residual-not-normalised": (RATIO,),
    "kseq-rho-one": (SHARE,),
    "traversal-law-reset": (SHARE,),
    "traversal-weight-kept": (SHARE,),
    "traversal-weight-updated-first": (RATIO,),
    "greatest-path-verified-against-draft": (SHARE,),
}
"""Maps the name of a fault of ``exactness_samplers.faults`` to the tests that must refute it."""


def must_see(fault: str) -> tuple[str, ...]:
    """The tests that must see the fault of this name. The tuple is empty if no test can see it, or if the sampler is right."""
    return MUST_SEE.get(fault, ())
