"""Controls for a user's own law of tokens: speculative decoding of this law, by deliberately broken torch verifiers.

They show what the same batteries would have caught on this model with this budget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, as_kind, kind_of, to_numpy
from ..claim import Claim, Sample
from ..errors import BadInput
from ..laws.base import Decoding
from ..laws.tokens import TokenDraws
from ..plan import Plan
from ..saved import SavedPaths

if TYPE_CHECKING:
    from torch import Tensor

# The drafts of a round: along a chain, and in a tree.
_CHAIN, _TREE = (0, 1, 2), (0, 0, 1)
# A law without a draft model is drafted from a mixture: half the target at this temperature, half any token.
_TEMPERATURE = 1.5
# The most rows of a pilot run, and about how many probabilities a run holds at a time.
_PILOT = 256
_NUMBERS = 1 << 23
_FILTERS = "The target is verified without the temperature and the filters of the law."


def token_controls(sample: Sample | SavedPaths, law: Decoding) -> list[Claim]:
    """Claims that are known to be wrong, about the law of tokens ``law``.

    Drafts come from the law's draft model, or from a mixture of the target and the uniform law if it has none. A fault that draws
    the same tokens as a right sampler has no effect on this law, and is left out. If the law claims a rule of verification, the
    wrong samplers are judged without that claim, since most of them verify otherwise. The list is empty if the sampler fails; its
    own certificate will say why. Raises ``BadInput`` if torch is missing.
    """
    try:
        from exactness_samplers.faults import Backend
        from exactness_samplers.faults.tokens import TOKEN_FAULTS, token_sampler

        of = Backend("torch")
    except ModuleNotFoundError as error:
        raise BadInput(f"standard controls are torch samplers and need {error.name}: pip install 'exactness[torch]'") from None
    kind = _kind(sample)
    if kind is None:
        return []
    law = law.without_rule()
    target, draft = _law(law.log_probs, kind), _law(law.draft_log_probs if law.drafted else _drafts_of(law), kind)
    more: dict[str, Any] = {"end": law.end, "prompts": law.prompts}
    sampling, drafters = of.token_sampling, of.token_drafters

    def right(rule: Any, parents: tuple[int, ...], given: Any = target, **options: Any) -> Any:
        return sampling.TokenSampler(given, law.length, drafters.LawDrafter(draft, parents, **options), rule, **more)

    trees = of.token_trees
    rights = [
        right(of.tokens.token_wise, _CHAIN), right(of.tokens.block, _CHAIN), right(trees.recursive, _TREE),
        right(trees.recursive_without_replacement, _TREE, replacement=False), right(trees.kseq, _TREE),
        right(trees.traversal, _TREE),
    ]  # fmt: skip
    wrong = {
        fault.name: (token_sampler(fault, "torch", target, draft, law.length, _TREE if fault.trees else _CHAIN, **more), fault.what)
        for fault in TOKEN_FAULTS
        if fault.standard and law.vocabulary >= fault.least_vocabulary
    }
    wrong["filters-missing"] = right(of.tokens.token_wise, _CHAIN, _law(law.unfiltered_log_probs, kind)), _FILTERS
    rows = min(_PILOT, max(32, _NUMBERS // (law.vocabulary * law.length)))
    known = [_pilot(runner, rows) for runner in rights]
    most = max(1, _NUMBERS // (law.vocabulary * (len(_CHAIN) + 1)))
    return [
        Claim(f"standard/{name}", _sample(runner, kind, most, len(law.prompts)), law, _FEW_CALLS, wrong=what, required=False)  # type: ignore[arg-type]
        for name, (runner, what) in wrong.items()
        if not _same(_pilot(runner, rows), known)
    ]


# These faults are the same for every seed, so many calls would cost time and show nothing.
_FEW_CALLS = Plan().in_few_calls()


def _kind(sample: Sample | SavedPaths) -> str | None:
    """The kind of array that a sampler returns. None if it fails."""
    if isinstance(sample, SavedPaths):
        return "numpy"
    try:
        output = sample(2, 0)
        output = output[0] if isinstance(output, tuple) else output
        return kind_of(output.tokens if isinstance(output, TokenDraws) else output)
    except Exception:  # If the sampler raises an exception, its own certificate says so.
        return None


def _law(log_probs: Callable[[Array], Array], kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A law of the judge, which is asked in the sampler's kind of array, as a law of samplers."""
    from exactness_samplers.torch.token_sampling import of_prefixes

    return of_prefixes(lambda prefixes: as_kind(log_probs(as_kind(prefixes, kind)), "torch").double())


def _drafts_of(law: Decoding) -> Callable[[Array], Array]:
    def log_probs(prefixes: Array) -> np.ndarray:
        logs = np.asarray(to_numpy(law.log_probs(prefixes)), dtype=np.float64) / _TEMPERATURE
        masses = np.exp(logs - logs.max(axis=1, keepdims=True))
        found: np.ndarray = np.log(0.5 * masses / masses.sum(axis=1, keepdims=True) + 0.5 / masses.shape[1])
        return found

    return log_probs


def _pilot(runner: Any, rows: int) -> np.ndarray | None:
    """A few sequences. None if the target fails; the certificate of the control will then say so."""
    try:
        found: np.ndarray = to_numpy(runner.sample(rows, 0).tokens)
        return found
    except Exception:  # A wrong sampler may ask the user's target for texts at which it fails.
        return None


def _same(tokens: np.ndarray | None, others: list[np.ndarray | None]) -> bool:
    return tokens is not None and any(other is not None and np.array_equal(tokens, other) for other in others)


def _sample(runner: Any, kind: str, most: int, prompts: int) -> Sample:
    # Row i begins with prompt i modulo their number, so a part must hold whole turns of the prompts.
    size = max(1, most // prompts) * prompts

    def wrong(n: int, seed: int) -> tuple[TokenDraws, dict[str, float]]:
        import torch
        from exactness_samplers.torch.token_sampling import GeneratorNoise

        noise = GeneratorNoise(torch.Generator().manual_seed(seed))
        runs = [runner.run(min(size, n - begin), noise) for begin in range(0, n, size)]
        tokens, lengths, rounds = (torch.cat([run[i] for run in runs]) for i in range(3))
        costs = {"rounds": float(sum((run.drafted >= 0).sum() for run in runs))}
        return TokenDraws(*(as_kind(part, kind) for part in (tokens, lengths, rounds))), costs

    return wrong
