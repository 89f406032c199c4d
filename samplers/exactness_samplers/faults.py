"""How speculative samplers go wrong: the controls, named and described once for every backend.

A fault is a right sampler with one function replaced; ``exactness_samplers.<backend>.wrong.build(name, process)`` makes it.
Beside them stand samplers that look wrong and are right: a judge that refutes one of those is itself refuted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Group = Literal["coupling", "acceptance", "block", "bookkeeping", "randomness", "whole law", "right"]
Expected = Literal["caught", "beyond", "exact"]


@dataclass(frozen=True)
class Fault:
    """``what``: what is wrong with it, or why it only looks so. ``seen``: public threads (and papers) that tell of it.

    ``touches``: the steps whose law it changes. ``caught_by``: tests of a battery that must refute it, each alone.
    ``expected``: ``caught``; ``beyond``, too small for a test to be asked to see at the usual budget
    (:mod:`exactness.controls.limits` has the bound); or ``exact``. ``least_dim``: in fewer dimensions it is not wrong.
    ``labelled``: it needs a process with a condition.
    """

    name: str
    group: Group
    what: str
    touches: str
    caught_by: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    expected: Expected = "caught"
    least_dim: int = 1
    labelled: bool = False

    @property
    def exact(self) -> bool:
        return self.expected == "exact"


_REJECTED = "the step after a rejection"
_IN_BLOCK = "steps after a rejection late in a block"
_DRAFTED = "every drafted step"
_ALL = "every step"
_CHANGE, _STATE, _NORM, _EACH = "along drift change", "along state", "squared norm", "coordinates"

FAULTS: tuple[Fault, ...] = (
    # Couplings: what replaces a rejected draft.
    Fault(
        "no-reflection",
        "coupling",
        "A rejected draft keeps its noise and moves to the target's mean, without the reflection.",
        _REJECTED,
        (_STATE,),
    ),
    Fault(
        "reflected-about-wrong-axis",
        "coupling",
        "The reflection is about the first coordinate's axis, not the mean difference.",
        _REJECTED,
        (_STATE,),
        least_dim=2,
    ),
    Fault(
        "reflected-without-mean-shift",
        "coupling",
        "The reflected noise is added to the draft's mean instead of the target's.",
        _REJECTED,
        (_STATE,),
    ),
    Fault(
        "rejected-from-target",
        "coupling",
        "A rejected step is redrawn from the target instead of from the residual.",
        _REJECTED,
        (_STATE,),
        ("transformers#28508", "flashinfer#425"),
    ),
    Fault(
        "rejected-from-truncated-normal",
        "coupling",
        "The residual is taken for the target cut off at the edge: the draft's density is not subtracted.",
        _REJECTED,
        (_STATE,),
    ),
    Fault(
        "orthogonal-stretched",
        "coupling",
        "The residual's part orthogonal to the mean difference is scaled by 1.05.",
        _REJECTED,
        (_NORM,),
        least_dim=2,
    ),
    Fault(
        "orthogonal-shrunk",
        "coupling",
        "The residual's part orthogonal to the mean difference is scaled by 0.95.",
        _REJECTED,
        (_NORM,),
        least_dim=2,
    ),
    Fault(
        "orthogonal-zeroed",
        "coupling",
        "The residual's part orthogonal to the mean difference is left out.",
        _REJECTED,
        (_NORM,),
        ("a peer's check that looks only along the mean difference: 0 of 40 flagged",),
        least_dim=2,
    ),
    Fault(
        "orthogonal-shared-by-two",
        "coupling",
        "Two chains of a batch share the residual's part orthogonal to the mean difference: each path is right, the pair is not.",
        _REJECTED,
        ("along neighbouring path",),
        least_dim=2,
    ),
    # Acceptance: which drafts are kept, token by token.
    Fault("accept-always", "acceptance", "Every drafted step is accepted.", _DRAFTED, (_STATE,), ("vllm-ascend#13766",)),
    Fault(
        "accept-inverted",
        "acceptance",
        "A draft is accepted with probability min(1, q/p) instead of min(1, p/q).",
        _DRAFTED,
        (_STATE,),
        ("jax#1123 inverted a test in the same way",),
    ),
    Fault(
        "accept-tempered-down",
        "acceptance",
        "A draft is accepted with probability min(1, r^0.98).",
        _DRAFTED,
        (_STATE,),
        ("vllm#9834", "vllm#10198", "vllm#42744"),
    ),
    Fault(
        "accept-tempered-up",
        "acceptance",
        "A draft is accepted with probability min(1, r^1.02).",
        _DRAFTED,
        (_STATE,),
        ("vllm#9834", "vllm#10198", "vllm#42744"),
    ),
    Fault(
        "accept-in-bfloat16",
        "acceptance",
        "The ratio p/q is rounded to bfloat16 before it meets its uniform.",
        _DRAFTED,
        (),
        ("deepseek-ai/DeepSpec#31",),
        "beyond",
    ),
    Fault(
        "accept-clipped",
        "acceptance",
        "The ratio p/q is clipped from below at 0.01, as a guard against underflow.",
        _DRAFTED,
        (_STATE,),
    ),
    Fault(
        "accept-at-coin-zero",
        "acceptance",
        "Coins have 11 bits and a draft passes at `coin <= ratio`: one of probability 0 passes at coin 0.",
        "drafts that the target cannot make",
        (_STATE,),
        ("sglang#35771", "sglang#35798", "vllm-ascend#13766"),
    ),
    Fault(
        "accept-typical",
        "acceptance",
        "A draft is accepted whenever p/q exceeds 0.3 (typical acceptance).",
        _DRAFTED,
        (_STATE,),
        ("Cai et al. 2024, arXiv 2401.10774, offer it as an approximation",),
    ),
    # Block verification.
    Fault(
        "block-with-reflection",
        "block",
        "Block verification replaces a rejected draft by its reflection, which is the coupling of weight 1.",
        _IN_BLOCK,
        (_CHANGE,),
    ),
    Fault(
        "block-with-unweighted-residual",
        "block",
        "Block verification draws the residual at weight 1 instead of P_tau.",
        _IN_BLOCK,
        (_CHANGE,),
        ("vllm-ascend#7807", "vllm-ascend#7808"),
    ),
    Fault(
        "block-stops-at-first-failure",
        "block",
        "tau is the last i before the first draw that fails, not the largest that passes.",
        _IN_BLOCK,
        (_CHANGE,),
        ("vllm-ascend#11985",),
    ),
    Fault(
        "block-first-pass-as-tau",
        "block",
        "tau is the smallest i whose draw passes, not the largest.",
        _IN_BLOCK,
        (_CHANGE,),
    ),
    Fault(
        "block-weights-without-min",
        "block",
        "P_i is the product of all ratios, cut at 1 only at its end: the cap inside the recursion is forgotten.",
        _IN_BLOCK,
        (_CHANGE,),
        ("vllm-ascend#7839",),
    ),
    Fault(
        "block-thresholds-without-rest",
        "block",
        "h_i = Z_i / Z_i: the 1 - P_i below the line is forgotten.",
        _IN_BLOCK,
        (_CHANGE,),
    ),
    Fault(
        "block-thresholds-unnormalised",
        "block",
        "h_i = Z_i: what is below the line is forgotten.",
        _IN_BLOCK,
        (_CHANGE,),
    ),
    Fault("block-thresholds-high", "block", "h_i is 3% too large.", _IN_BLOCK, (_STATE,)),
    Fault("block-thresholds-low", "block", "h_i is 3% too small.", _IN_BLOCK, (_STATE,)),
    Fault(
        "block-weight-of-next",
        "block",
        "The residual's weight is P_{tau+1} instead of P_tau.",
        _IN_BLOCK,
        (_CHANGE,),
        ("transformers#28166",),
    ),
    Fault("block-weight-of-last", "block", "The residual's weight is P_{tau-1} instead of P_tau.", _IN_BLOCK, (_CHANGE,)),
    Fault("block-mass-of-current", "block", "Z_i is taken at the displacement of step i instead of i + 1.", _IN_BLOCK, (_CHANGE,)),
    Fault(
        "block-short-window-as-full",
        "block",
        "The last, short windows get the thresholds of a full one, which has no h_L = P_L where they end.",
        "the last steps of a chain",
        (_CHANGE,),
        ("openvino.genai#4190",),
    ),
    # Drafters and bookkeeping.
    Fault(
        "verified-with-stale-mean",
        "bookkeeping",
        "The target's mean is made from the prediction one position earlier.",
        _DRAFTED,
        (_CHANGE,),
        ("transformers#28166", "TensorRT-LLM#15098"),
    ),
    Fault(
        "sigma-of-neighbouring-step",
        "bookkeeping",
        "Each step has the standard deviation of the step before it.",
        _ALL,
        (_NORM,),
        ("diffusers#9261",),
    ),
    Fault(
        "mean-of-neighbouring-step",
        "bookkeeping",
        "The target's mean has the coefficients of the step before it.",
        _ALL,
        (_STATE,),
        ("diffusers#9261", "transformers#28166"),
    ),
    Fault(
        "draft-wider-than-said",
        "bookkeeping",
        "Drafts are drawn with 1.05 times the standard deviation that their ratio assumes.",
        _DRAFTED,
        (_NORM,),
        ("transformers#32867", "transformers#47932"),
    ),
    Fault(
        "draft-narrower-than-said",
        "bookkeeping",
        "Drafts are drawn with 0.95 times the standard deviation that their ratio assumes.",
        _DRAFTED,
        (_NORM,),
        ("transformers#47961", "jaymody/speculative-sampling#3"),
    ),
    Fault(
        "extra-step-from-draft",
        "bookkeeping",
        "After a full window the extra step is the draft's instead of the target's.",
        "the step after a full window",
        (_STATE,),
    ),
    Fault(
        "rejected-state-kept",
        "bookkeeping",
        "After a rejection the chain goes on from the drafted state that was rejected.",
        _REJECTED,
        (_STATE,),
        ("openvino.genai#4190",),
    ),
    Fault(
        "label-of-another-chain",
        "bookkeeping",
        "The labels move on by one row a round: each chain is led by the others' labels.",
        "every step after the first round",
        ("mixture innovations",),
        labelled=True,
    ),
    Fault(
        "state-of-another-chain",
        "bookkeeping",
        "In one full window of 1,000 a chain goes on from its neighbour's state.",
        "one window of 1,000",
        (_STATE,),
    ),
    # Randomness.
    Fault(
        "one-draw-for-two",
        "randomness",
        "The uniform that accepts a draft is made of the normal that drew it.",
        _DRAFTED,
        (_STATE,),
        ("vllm#47386", "vllm#54282", "vllm-ascend#16370", "jax#14597"),
    ),
    Fault("same-key-every-round", "randomness", "Every round begins with the same key.", _ALL, ("lags",)),
    Fault(
        "draws-keyed-by-position",
        "randomness",
        "Draws of a block are keyed by (seed, position), so the next round meets those that the last one has looked at.",
        "steps that were drafted twice",
        (_CHANGE,),
        ("a serving engine's block mode: chi-square 2597 on 186 degrees of freedom",),
    ),
    Fault(
        "antithetic-pairs",
        "randomness",
        "Every second chain has the negative of its neighbour's noise.",
        "pairs of paths",
        ("along neighbouring path",),
    ),
    Fault(
        "seeds-that-repeat",
        "randomness",
        "The last of eight shards has the seed of the first.",
        "pairs of paths",
        ("repeated draws",),
    ),
    Fault(
        "uniforms-that-can-be-one",
        "randomness",
        "Normals are quantiles of uniforms that float32 rounds to 1 once in 2^25: the state is then infinite.",
        "one draw of 2^25",
        (),
        ("pytorch#16706",),
        "beyond",
    ),
    Fault(
        "half-uniforms-that-can-be-one",
        "randomness",
        "Normals are quantiles of uniforms of 11 bits, one in 2^12 of which is 1.",
        "every fresh step",
        ("usable output",),
        ("pytorch#16706",),
    ),
    # The law as a whole.
    Fault(
        "region-never-visited",
        "whole law",
        "A half-space that holds 1% of the last states is never reached, as a mode that was dropped would not be.",
        "the last steps",
        (_EACH,),
    ),
    Fault(
        "last-step-wider", "whole law", "The last noise has 2% too much standard deviation.", "the last stochastic step", (_NORM,)
    ),
    Fault(
        "last-step-narrower",
        "whole law",
        "The last noise has 2% too little standard deviation.",
        "the last stochastic step",
        (_NORM,),
    ),
    Fault(
        "last-step-a-little-wider",
        "whole law",
        "The last noise has 1% too much variance.",
        "the last stochastic step",
        (),
        ("pymc#1763 was three times as wrong",),
        "beyond",
    ),
    Fault(
        "correlated-noise",
        "whole law",
        "The noise of consecutive steps of a window has correlation 0.01.",
        _DRAFTED,
        ("along previous innovation",),
        ("the five moments of each step are right",),
    ),
    Fault(
        "exact-until-late",
        "whole law",
        "Every draft of a window that begins in the last quarter of the chain is accepted.",
        "the last quarter",
        (_STATE,),
        ("jax#5348",),
    ),
    # Right, whatever it looks like.
    Fault(
        "never-accepts", "right", "Every draft is thrown away and the step drawn afresh from the target.", "none", expected="exact"
    ),
    Fault(
        "orthogonal-kept",
        "right",
        "A rejected draft keeps its part orthogonal to the mean difference, in a block.",
        "none",
        expected="exact",
    ),
    Fault(
        "reflection-token-wise",
        "right",
        "Token by token, a rejected draft is replaced by its reflection.",
        "none",
        expected="exact",
    ),
    Fault(
        "chains-in-any-order", "right", "The paths are handed out in another order than they were drawn.", "none", expected="exact"
    ),
    Fault(
        "keyed-by-position-token-wise",
        "right",
        "Draws are keyed by (seed, position), and token by token the next round meets only those that nobody has looked at.",
        "none",
        expected="exact",
    ),
    Fault("drafter-that-fails", "right", "One draft in two is NaN.", "none", expected="exact"),
    Fault(
        "drafter-without-hope",
        "right",
        "Drafts lie fifty standard deviations away: none is ever accepted.",
        "none",
        expected="exact",
    ),
    Fault(
        "prediction-of-another-chain",
        "right",
        "A chain drafts with the prediction that its neighbour remembers.",
        "none",
        expected="exact",
    ),
    Fault(
        "window-as-long-as-the-chain", "right", "All steps are drafted at once, and most are thrown away.", "none", expected="exact"
    ),
    Fault(
        "rejected-until-accepted",
        "right",
        "A rejected step is drawn from the target until a second coin lets it pass.",
        "none",
        expected="exact",
    ),
)


def fault(name: str) -> Fault:
    """By name. Raises ``KeyError``."""
    return {f.name: f for f in FAULTS}[name]


STANDARD: tuple[str, ...] = (
    "no-reflection", "rejected-from-target", "orthogonal-zeroed", "accept-always", "accept-inverted", "accept-typical",
    "block-with-reflection", "block-with-unweighted-residual", "block-stops-at-first-failure", "block-weight-of-next",
    "verified-with-stale-mean", "sigma-of-neighbouring-step", "draft-wider-than-said", "extra-step-from-draft",
    "rejected-state-kept", "one-draw-for-two", "antithetic-pairs", "seeds-that-repeat",
)  # fmt: skip
"""A handful of each group, most of them seen in the first stage: what is run beside a law of one's own."""
