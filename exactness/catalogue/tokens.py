"""Claims about speculative decoding of tokens: for every law, plain sampling, every exact rule, and the controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_numpy
from ..claim import Claim, Sample
from ..laws import TokenDraws
from .base import Entry, Inspection, Setting
from .token_laws import LAWS, Models, TokenLaw, models, zipf

if TYPE_CHECKING:
    from exactness_samplers.faults.tokens import TokenFault

    from .backends import Backend


@dataclass(frozen=True)
class Rule:
    """An exact rule: a function of a module of samplers, and the drafts that it verifies."""

    module: str
    function: str
    drafts: str = "chain"
    replacement: bool = True
    races: bool = False


RULES: dict[str, Rule] = {
    "token-wise": Rule("tokens", "token_wise"),
    "block": Rule("tokens", "block"),
    "one-hot": Rule("tokens", "one_hot"),
    "sampled-verify": Rule("tokens", "sampled_verify"),
    "gumbel": Rule("tokens", "gumbel", races=True),
    "prompt-lookup": Rule("tokens", "one_hot", "lookup"),
    "k-seq": Rule("token_trees", "kseq", "tree"),
    "recursive": Rule("token_trees", "recursive", "tree"),
    "recursive-without-replacement": Rule("token_trees", "recursive_without_replacement", "tree", replacement=False),
    "target-only": Rule("token_trees", "target_only", "tree"),
    "traversal": Rule("token_trees", "traversal", "tree"),
    "traversal-without-replacement": Rule("token_trees", "traversal_without_replacement", "tree", replacement=False),
    "greedy-multi-path": Rule("token_trees", "greedy_multi_path", "paths"),
}
# It takes more than 10,000 sequences of four tokens to see these.
SUBTLE = (
    "block-coins-keyed-by-position",
    "block-residual-unweighted",
    "traversal-weight-updated-first",
)
# The controls of the first law are all other faults that draws can show.
CONTROLS: dict[str, tuple[str, ...]] = {
    "tokens-50": (
        "token-residual-from-target",
        "token-extra-from-draft",
        "draft-temperature-not-reported",
        "block-last-ratio-uncapped",
        "traversal-law-reset",
    ),
    "tokens-50-long": SUBTLE,
    "tokens-50000": ("token-residual-from-target", "token-extra-from-draft", "draft-temperature-not-reported"),
    "characters": ("token-residual-from-target", "token-extra-from-draft", "draft-temperature-not-reported"),
}
# The law of the subtle faults is that of `tokens-50`, so these rules are enough. Four of 50,000 tokens hardly repeat, so
# that a lookup of the text has no draft accepted.
ONLY = {"tokens-50-long": ("block", "traversal"), "tokens-50000": tuple(name for name in RULES if name != "prompt-lookup")}
# Rules that look wrong, and are right. The other ones of `faults.tokens.right` are rules of the catalogue by another name.
LOOKS_WRONG = ("another-order-of-the-vocabulary",)
# No draft is ever accepted, so its certificate says that speculation did not happen.
NEVER_CERTIFIED = "nothing-accepted"

# The number of tokens of the law on which a verifier's exact law is computed.
_ENUMERATED = 16

_TOUR = {"tokens-50/sequential", "tokens-50/token-wise", "tokens-50/block"}


def entries() -> tuple[Entry, ...]:
    """All entries, law by law: the plain sampler, the exact rules, rules that only look wrong, and the controls."""
    found = []
    for law in LAWS:
        plain, exact = f"{law}/sequential", [f"{law}/{name}" for name in ONLY.get(law, (*RULES, *LOOKS_WRONG))]
        found.append(Entry(plain, law, "sequential", claim_of, plain in _TOUR))
        found += [Entry(name, law, "exact", claim_of, name in _TOUR) for name in exact]
        found += [Entry(f"{law}/control/{name}", law, "control", claim_of, law == "tokens-50") for name in controls_of(law)]
    return tuple(found)


def controls_of(law: str) -> list[str]:
    """The names of the faults that are controls of a law."""
    from exactness_samplers.faults.tokens import TOKEN_FAULTS

    every = [fault.name for fault in TOKEN_FAULTS if fault.seen_by in ("law", "rounds") and fault.name not in SUBTLE]
    return list(CONTROLS.get(law, every))


def claim_of(entry: Entry, setting: Setting) -> Claim:
    """The claim of an entry of this family."""
    from exactness_samplers.faults.tokens import token_fault

    name = entry.name.rsplit("/", 1)[1]
    if entry.kind == "control" or name in LOOKS_WRONG:
        return _of_fault(entry.name, token_fault(name), LAWS[entry.problem], setting)
    return _of_rule(entry.name, RULES.get(name), LAWS[entry.problem], setting)


def problem_of(fault: TokenFault) -> str:
    """The law on which a fault is judged."""
    return "tokens-50-long" if fault.name in SUBTLE else "tokens-4"


def control(fault: TokenFault, setting: Setting) -> Claim:
    """The claim of a fault on its law."""
    return _of_fault(f"control/{fault.name}", fault, LAWS[problem_of(fault)], setting)


def inspect(fault: TokenFault, setting: Setting) -> Inspection | None:
    """A look at a verifier whose error draws cannot show. None for the others.

    Coins that are forced show what has probability 0. The exact law of the verifier shows errors of its arithmetic.
    """
    from ..adapters.exact_laws import exact_law
    from ..adapters.forced_coins import forced_coins
    from .backends import backend

    if fault.seen_by not in ("coins", "enumeration"):
        return None
    of = backend(setting.backend)
    dtype = of.dtype(setting.dtype, "float64")
    arrays: Any = {"arrays": of.name, "dtype": dtype, "noise_dtype": dtype}
    verify = fault.verifier(of.name)
    if fault.seen_by == "coins":
        failed = [check for check in forced_coins(verify, **arrays) if not check.holds]
        said = "; ".join(f"{check.name}: {check.found}" for check in failed) or "every check holds"
        return Inspection("forced coins", bool(failed), said, dtype)
    target, draft = zipf(_ENUMERATED, seed=_ENUMERATED, contexts=1)
    law = exact_law(verify, target[0], draft[0], **arrays)
    return Inspection("exact law", not law.exact, str(law), dtype)


def _of_rule(name: str, rule: Rule | None, law: TokenLaw, setting: Setting) -> Claim:
    """Plain sampling, or an exact rule."""
    of, built = _parts(law, setting)
    sampling, drafters = of.part("token_sampling"), of.part("token_drafters")
    if rule is None:
        runner = sampling.TokenSampler(built.target, law.length)
    else:
        verify = getattr(of.part(rule.module), rule.function)
        if rule.drafts == "lookup":
            drafter = drafters.PromptLookup(law.window, law.ngram)
        else:
            drafter = drafters.LawDrafter(built.draft, _parents(law, rule.drafts), rule.replacement, rule.races)
        runner = sampling.TokenSampler(built.target, law.length, drafter, verify)
    about = _about(law, setting, "plain" if rule is None else rule.function)
    return Claim(name, sampler(of, runner, setting.device, law.rows), law.chain(built), law.plan, about=about)


def _of_fault(name: str, fault: TokenFault, law: TokenLaw, setting: Setting) -> Claim:
    from exactness_samplers.faults import Backend as Arrays
    from exactness_samplers.faults.tokens import token_sampler

    of, built = _parts(law, setting)
    arrays = Arrays(of.name)
    parents = _parents(law, "paths" if fault.paths else "tree" if fault.trees else "chain")
    runner = token_sampler(fault, of.name, built.target, built.draft, law.length, parents)
    keyed, promised = fault.keyed, fault.claims
    noise = None if keyed is None else lambda base: keyed(arrays, base)
    change = None
    if promised is not None:
        held = lambda laws: of.constant(laws, setting.device, of.dtype(None, "float64"))  # noqa: E731
        change = lambda laws: to_numpy(promised(arrays, held(laws)))  # noqa: E731
    sample = sampler(of, runner, setting.device, law.rows, noise)
    plan, wrong = (law.plan, None) if fault.exact else (law.plan.in_few_calls(), fault.what)
    return Claim(name, sample, law.chain(built, change), plan, wrong=wrong, about=_about(law, setting, fault.name))


def _parts(law: TokenLaw, setting: Setting) -> tuple[Backend, Models]:
    from .backends import backend

    of = backend(setting.backend)
    of.check(setting.device, setting.dtype)
    return of, models(law.name, setting.backend, setting.device, setting.dtype)


def _parents(law: TokenLaw, drafts: str) -> tuple[int, ...]:
    return {"chain": tuple(range(law.window)), "tree": law.tree, "paths": law.paths}[drafts]


def _about(law: TokenLaw, setting: Setting, rule: str) -> dict[str, object]:
    return {"backend": setting.backend, "law": law.about, "rule": rule, "window": law.window}


def sampler(of: Backend, runner: Any, device: str, most: int, keyed: Callable[[Any], Any] | None = None) -> Sample:
    """A sampler of claims from one of tokens: it returns sequences with their rounds, if there are any, and costs."""

    def sample(n: int, seed: int) -> tuple[TokenDraws, dict[str, float]]:
        held: list[list[np.ndarray]] = [[], [], []]
        costs = dict.fromkeys(("rounds", "evaluations", "drafted_steps", "accepted_steps"), 0.0)
        nodes = len(runner.drafter.parents) if runner.drafter else 0
        for run, left in of.token_runs(runner, n, seed, device, most, keyed):
            parts = [to_numpy(part)[:left] for part in run]
            for i in range(3):
                held[i].append(parts[i])
            drafted, accepted = parts[4], parts[5]
            asked = float((drafted >= 0).sum())
            more = (asked, asked * (nodes + 1), float(drafted.clip(0).sum()), float(accepted.clip(0).sum()))
            costs = {key: value + one for (key, value), one in zip(costs.items(), more, strict=True)}
        tokens, lengths, rounds = (np.concatenate(part) for part in held)
        return TokenDraws(tokens, lengths=lengths, rounds=rounds if nodes else None), costs

    return sample
