"""The tests of serving engines today, written anew from their descriptions, at their sizes.

Each test draws windows from a verifier and says whether it would fail. All of them use laws that do not depend on the context.
Trees of drafts take the place of a chain for verifiers of trees, which these tests do not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtrc
from scipy.stats import entropy

from .laws import Tables
from .sampling import Verifier

_AT_A_TIME = 10_000


@dataclass(frozen=True)
class PeerTest:
    """A test in use today.

    Attributes:
        who: where it is used.
        file: repository and file.
        what: what it compares, and its threshold.
        draws: the number of windows.
        refutes: ``refutes(name of the verifier, seed)``: whether the test fails.
    """

    who: str
    file: str
    what: str
    draws: int
    refutes: Callable[[str, int], bool]


def _windows(verifier: Verifier, n: int, seed: int) -> np.ndarray:
    size = min(_AT_A_TIME, max(1, 2_000_000 // verifier.tables.vocabulary))
    parts = range(0, n, size)
    return np.concatenate([verifier.window(min(size, n - at), seed * 1_000_003 + i) for i, at in enumerate(parts)])


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def _chain(width: int) -> tuple[int, ...]:
    return tuple(range(width))


def vllm(name: str, seed: int) -> bool:
    """The distance to the target must shrink 20 times as much, from 10 to 100,000 windows, as that to 100 random laws.

    The token after the last draft is not looked at.
    """
    generator = np.random.default_rng(seed)
    draft, target = (_softmax(generator.random(10)) for _ in range(2))
    others = _softmax(generator.random((100, 10)))
    verifier = Verifier(name, Tables(target[None], draft[None]), _chain(2))
    promised, near, far = verifier.promised.target[0], [], []
    for n in (10, 100_000):
        tokens = _windows(verifier, n, seed + n)[:, :-1]
        share = np.bincount(tokens[tokens >= 0], minlength=10) / (tokens >= 0).sum()
        near.append(np.linalg.norm(promised - share))
        far.append(np.linalg.norm(others - share))
    return not near[0] / near[1] > 20 * far[0] / far[1]


def sglang(name: str, seed: int) -> bool:
    """Total variation between all tokens of 32,768 windows together and the target below 0.02."""
    target = np.array([0.35, 0.25, 0.2, 0.1, 0.05, 0.03, 0.015, 0.005])
    verifier = Verifier(name, Tables(target[None], target[None, ::-1].copy()), _chain(5))
    tokens = _windows(verifier, 4 * 8_192, seed)
    share = np.bincount(tokens[tokens >= 0], minlength=8) / (tokens >= 0).sum()
    return not 0.5 * np.abs(share - verifier.promised.target[0]).sum() < 0.02


def flashinfer(name: str, seed: int) -> bool:
    """Emitted ids are ids, and nothing follows the first gap; drafts that the target makes for certain are all emitted."""
    generator = np.random.default_rng(seed)
    target, draft = (row / row.sum() for row in generator.random((2, 111)))
    free = _windows(Verifier(name, Tables(target[None], draft[None]), _chain(3)), 989, seed)
    valid = (
        ((free >= -1) & (free < 111)).all() and (np.diff((free >= 0).astype(int), axis=1) <= 0).all() and (free[:, 0] >= 0).all()
    )
    certain = np.zeros((1, 111))
    certain[0, int(generator.integers(111))] = 1.0
    forced = _windows(Verifier(name, Tables(certain, certain), _chain(3)), 99, seed)
    return not (valid and (forced == certain.argmax()).all())


def tensorrt(name: str, seed: int) -> bool:
    """KL divergences of the first tokens of 50,000 windows and of plain draws within 0.01. Of 500 tokens, 100 are possible."""
    generator = np.random.default_rng(seed)
    rows = generator.random((2, 500))
    rows[np.arange(2)[:, None], np.argsort(rows, axis=1)[:, :400]] = 0.0
    target, draft = rows / rows.sum(axis=1, keepdims=True)
    verifier = Verifier(name, Tables(target[None], draft[None]), _chain(1))
    promised = verifier.promised.target[0]
    first = np.bincount(_windows(verifier, 50_000, seed)[:, 0], minlength=500) / 50_000
    plain = generator.multinomial(50_000, promised / promised.sum()) / 50_000
    # The divergence is infinite where a token is missing. The difference of two infinite ones is NaN, which fails as well.
    with np.errstate(invalid="ignore"):
        return not abs(entropy(promised, first) - entropy(promised, plain)) < 0.01


def transformers(name: str, seed: int) -> bool:
    """Of 10,000 first tokens, the likelier of four must come more often, and each must come."""
    target = np.array([0.02, 0.45, 0.02, 0.27, 0.02, 0.02, 0.02, 0.12, 0.04, 0.02])
    draft = np.full(10, 0.04)
    draft[[1, 3, 7, 8]] = (0.12, 0.26, 0.3, 0.08)
    verifier = Verifier(name, Tables(target[None], (draft / draft.sum())[None]), _chain(5))
    counts = np.bincount(_windows(verifier, 10_000, seed)[:, 0], minlength=10)
    return not counts[1] > counts[3] > counts[7] > counts[8] > 0


def by_place(name: str, seed: int) -> bool:
    """A chi-square at each place among the windows that reach it, at 1e-3, Bonferroni over three places; V = 50, no context."""
    return _chi_square(name, seed, 10_000, 3)


def first_token(name: str, seed: int) -> bool:
    """A chi-square of the first token of 10,000 windows at 1e-3; V = 50, no context."""
    return _chi_square(name, seed, 10_000, 1)


def _chi_square(name: str, seed: int, n: int, most: int) -> bool:
    generator = np.random.default_rng(seed)
    target, draft = _softmax(generator.standard_normal((2, 50)))
    verifier = Verifier(name, Tables(target[None], draft[None]), _chain(2))
    promised, tokens = verifier.promised.target[0], _windows(verifier, n, seed)
    p_values = []
    for place in range(min(most, tokens.shape[1])):
        # Given that the window goes on past the place before, which is known before this token is drawn.
        here = tokens[tokens[:, place] >= 0, place]
        counts, expected = np.bincount(here, minlength=50), len(here) * promised
        if (counts[promised <= 0] > 0).any():
            return True
        live = promised > 0
        statistic = ((counts - expected)[live] ** 2 / expected[live]).sum() if len(here) else 0.0
        p_values.append(float(chdtrc(live.sum() - 1, statistic)))
    return min(p_values) * len(p_values) <= 1e-3


TESTS = {
    "first token": PeerTest(
        "DeepSpec and others: chi-square of the first token", "known to us from a description; our sizes. DeepSpec adds a control",
        "chi-square of the first token, alpha 1e-3; V = 50, 2 drafts", 10_000, first_token,
    ),
    "transformers": PeerTest(
        "transformers", "huggingface/transformers: tests/generation/test_utils.py, known to us from a description only",
        "likelier tokens come more often; V = 10, 5 drafts", 10_000, transformers,
    ),
    "by place": PeerTest(
        "vLLM's habit of a chi-square by place", "known to us from a description only; the sizes are ours",
        "chi-square at each place, alpha 1e-3; V = 50, 2 drafts", 10_000, by_place,
    ),
    "flashinfer": PeerTest(
        "flashinfer", "flashinfer-ai/flashinfer: tests, test_chain_speculative_sampling",
        "ids are valid, and certain drafts are kept; V = 111, 3 drafts", 1_088, flashinfer,
    ),
    "sglang": PeerTest(
        "SGLang", "sgl-project/sglang: test of chain_speculative_sampling_triton",
        "total variation of all tokens below 0.02; V = 8, 5 drafts", 32_768, sglang,
    ),
    "vllm": PeerTest(
        "vLLM", "vllm-project/vllm: tests/v1/sample/test_rejection_sampler.py",
        "distance to the target shrinks 20 times as much as to random laws; V = 10, 2 drafts", 100_010, vllm,
    ),
    "tensorrt": PeerTest(
        "TensorRT-LLM", "NVIDIA/TensorRT-LLM: test_get_rejected_indices",
        "difference of two KL divergences below 0.01; V = 500, 1 draft", 50_000, tensorrt,
    ),
}  # fmt: skip
