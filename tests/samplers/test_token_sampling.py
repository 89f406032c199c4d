"""The loop around the verifiers of tokens: whole sequences have the target's law, and both backends emit the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from exactness_samplers.faults.tokens import token_fault
from scipy import stats

from tests.backends import double_precision
from tests.conftest import module_or_skip
from tests.samplers.test_tokens import JAX, TORCH

SIZE, LENGTH, END = 4, 7, 3
TABLES = np.random.default_rng(11).dirichlet(np.ones(SIZE), (2, SIZE + 1))
"""Target and draft: the next token's law after each token, the last row for the first token."""
PROMPTS = ((), (1,), (2, 0, 2, 0, 1))
TREE, PATHS = (0, 0, 1, 1, 2), (0, 0, 1, 2)
CONFIGURATIONS = {
    "plain": (None, "plain"),
    "token-wise": ((0, 1, 2), "token_wise"),
    "block": ((0, 1, 2), "block"),
    "one-hot": ((0, 1), "one_hot"),
    "sampled": ((0, 1), "sampled_verify"),
    "gumbel": ((0, 1), "gumbel"),
    "lookup": ("lookup", "one_hot"),
    "traversal": (TREE, "traversal_without_replacement"),
    "recursive": (TREE, "recursive"),
    "k-seq": (TREE, "kseq"),
    "target-only": (TREE, "target_only"),
    "greatest path": (PATHS, "greedy_multi_path"),
}
FAST = ("traversal",)
"""Compiling a configuration in JAX takes seconds. This one runs most of the code; the others are studies."""
configured = pytest.mark.parametrize("name", CONFIGURATIONS)


def law_of(backend, table):
    xp = module_or_skip("jax").numpy if backend.name == "jax" else module_or_skip("torch")
    # The table's last row is that of the empty prefix.
    return lambda tokens, lengths: xp.asarray(table)[xp.where(lengths > 0, tokens[xp.arange(len(tokens)), lengths - 1], SIZE)]


@cache
def sampler(backend, name, **options):
    parents, rule = CONFIGURATIONS[name]
    drafters, target = backend.module("token_drafters"), law_of(backend, TABLES[0])
    drafter = None
    if parents == "lookup":
        drafter = drafters.PromptLookup(3, 1)
    elif parents:
        without = "without" in rule
        drafter = drafters.LawDrafter(law_of(backend, TABLES[1]), parents, replacement=not without, races=rule == "gumbel")
    home = "tokens" if hasattr(backend.module("tokens"), rule) else "token_trees"
    return backend.module("token_sampling").TokenSampler(target, LENGTH, drafter, getattr(backend.module(home), rule), **options)


def noise_of(name, n, seed=0):
    parents, rule = CONFIGURATIONS[name]
    nodes = 3 if parents == "lookup" else len(parents or ())
    generator = np.random.default_rng(seed)
    shape = (LENGTH, n, nodes + 1, *([SIZE] if rule == "gumbel" else []))
    return generator.random((LENGTH, n, nodes)), generator.exponential(size=shape) if rule == "gumbel" else generator.random(shape)


def run(backend, name, n, **options):
    source, parts = backend.module("token_sampling").InjectedNoise, noise_of(name, n)
    if backend.name == "torch":
        found = sampler(backend, name, **options).run(n, source(*map(module_or_skip("torch").as_tensor, parts)))
    else:
        with double_precision(True):
            found = sampler(backend, name, **options).run(n, source(*map(module_or_skip("jax").numpy.asarray, parts)))
    return type(found)(*(np.asarray(part) for part in found))


def sequences(tokens: np.ndarray, length: int) -> np.ndarray:
    return np.bincount(tokens[:, :length] @ SIZE ** np.arange(length), minlength=SIZE**length)


@cache
def expected(length: int) -> np.ndarray:
    start, then = TABLES[0][SIZE], TABLES[0][:SIZE]
    law = start
    for _ in range(length - 1):
        law = law[..., None] * then
    return law.transpose().reshape(-1)


def p_value(tokens: np.ndarray, length: int = 3) -> float:
    """Of a chi-square of the first tokens; sequences that are expected less than ten times count as one."""
    found, mean = sequences(tokens, length), len(tokens) * expected(length)
    rare = mean < 10
    found, mean = (np.append(counts[~rare], counts[rare].sum()) for counts in (found, mean))
    return stats.chisquare(found, mean).pvalue


@configured
def test_whole_sequences_have_the_law_of_the_target(name, seed):
    """A chi-square of the first three tokens of 8,000 rows: it fails by chance once in a million for each configuration."""
    tokens = sampler(TORCH, name).sample(8_000, seed).tokens.numpy()
    assert p_value(tokens) > 1e-6


def test_a_wrong_rule_is_seen(seed):
    """The same chi-square refutes a loop whose rejected drafts are drawn again from the target."""
    tokens = TORCH.module("tokens")
    wrong = tokens.Chain(TORCH.module("verification").token_wise, leftover=lambda p, q, log_weight: p)
    right = sampler(TORCH, "token-wise")
    loop = type(right)(right.target, LENGTH, right.drafter, wrong)
    assert p_value(loop.sample(8_000, seed).tokens.numpy()) < 1e-6


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in CONFIGURATIONS])
def test_both_backends_emit_the_same(name):
    """With ragged prompts and an end token, the same noise gives the same tokens, rounds and counts."""
    ours, theirs = (run(backend, name, 60, prompts=PROMPTS, end=END) for backend in (TORCH, JAX))
    for field in ours._fields:
        np.testing.assert_array_equal(getattr(theirs, field), getattr(ours, field), err_msg=field)
    assert len(set(ours.lengths)) > 3


@pytest.mark.slow
def test_runs_from_a_key_have_the_law(seed):
    """In single precision, as JAX has it by default; one chi-square at a level of one in a million."""
    assert p_value(np.asarray(sampler(JAX, "block").sample(8_000, seed).tokens)) > 1e-6


@configured
def test_rounds_places_and_counts_say_what_happened(name):
    """What a run reports adds up: a round emits the drafts that it kept and one token more, unless the row ends."""
    found = run(TORCH, name, 60, prompts=PROMPTS, end=END)
    for tokens, length, rounds, places, drafted, accepted, drafts in zip(*found, strict=True):
        assert (tokens[:length] >= 0).all()
        assert (tokens[length:] == -1).all()
        assert END not in tokens[: length - 1]
        assert length == LENGTH or tokens[length - 1] == END
        used = accepted[accepted >= 0]
        assert (drafted[: len(used)] >= used).all()
        assert rounds[length - 1] == len(used) - 1
        for number, kept in enumerate(used):
            here = np.flatnonzero(rounds == number)
            assert places[here].tolist() == list(range(len(here)))
            assert len(here) == kept + 1 if number < len(used) - 1 else len(here) <= kept + 1
            # A chain tells what it proposed: the tokens that were kept, and the one that was not.
            chain = (drafts >= 0).any()
            shown = int(min(len(here), drafted[number])) if chain else 0
            assert (drafts[here][:shown] >= 0).all()
            assert (drafts[here][shown:] == -1).all()
            assert drafts[here][: min(shown, kept)].tolist() == tokens[here][: min(shown, kept)].tolist()
        assert (drafts[length:] == -1).all()


@pytest.mark.parametrize("backend", [TORCH, pytest.param(JAX, marks=pytest.mark.slow)], ids=str)
def test_a_law_of_prefixes_is_called_with_rows_of_one_length(backend):
    seen, sampling = [], backend.module("token_sampling")
    law = law_of(backend, np.log(TABLES[0]))
    xp = module_or_skip("jax").numpy if backend.name == "jax" else module_or_skip("torch")

    def logits(prefixes):
        seen.append(prefixes.shape[1])
        # A constant more, which a law must not mind.
        return 3.0 + law(
            prefixes if prefixes.shape[1] else xp.zeros((len(prefixes), 1), dtype=int), xp.full((len(prefixes),), prefixes.shape[1])
        )

    tokens, lengths = xp.asarray(np.random.default_rng(0).integers(SIZE, size=(20, 6))), xp.asarray(np.arange(20) % 2 * 3)
    found = sampling.of_prefixes(logits)(tokens, lengths)
    np.testing.assert_allclose(np.asarray(found), np.asarray(law_of(backend, TABLES[0])(tokens, lengths)), rtol=2e-6)
    assert sorted(seen) == [0, 3]


def test_prompt_lookup_copies_what_followed():
    """The latest earlier occurrence counts, and what is copied ends where the text ends."""
    torch = module_or_skip("torch")
    text = torch.tensor([[1, 2, 3, 1, 2, 0, 1, 2, 9, 9], [5, 6, 7, 8, 9, 0, 0, 0, 0, 0], [4, 4, 4, 0, 0, 0, 0, 0, 0, 0]])
    for backend in (TORCH, JAX):
        xp = module_or_skip("jax").numpy if backend.name == "jax" else torch
        lookup = backend.module("token_drafters").PromptLookup(4)
        drafts, laws, count = lookup.draft(xp.asarray(text.numpy()), xp.asarray(np.array([8, 5, 3])), None)
        assert laws is None
        assert np.asarray(count).tolist() == [3, 0, 1]
        assert np.asarray(drafts)[0, :3].tolist() == [0, 1, 2]
        assert np.asarray(drafts)[2, 0].tolist() == 4


@pytest.mark.parametrize("backend", [TORCH, JAX], ids=str)
def test_a_tree_needs_a_rule_of_trees(backend):
    wrong = replace(sampler(backend, "traversal"), rule=backend.module("tokens").block)
    with pytest.raises(ValueError, match="drafts a tree and the rule verifies chains"):
        wrong.sample(2, 0)


def test_a_fault_of_trees_takes_the_place_of_a_rule(seed):
    """Its sequences are refuted at a level of one in a million."""
    wrong = replace(sampler(TORCH, "recursive"), rule=token_fault("traversal-law-reset").verifier("torch"))
    assert p_value(wrong.sample(8_000, seed).tokens.numpy()) < 1e-6


@pytest.mark.parametrize("backend", [TORCH, JAX], ids=str)
def test_nothing_cannot_be_sampled(backend):
    with pytest.raises(ValueError, match="n and length must be positive, not 0 and 7"):
        sampler(backend, "plain").sample(0, 0)


def test_siblings_without_replacement_run_out():
    """Three children of a law on two tokens: the third is absent."""
    torch = module_or_skip("torch")
    for backend in (TORCH, JAX):
        xp = module_or_skip("jax").numpy if backend.name == "jax" else torch
        q = xp.asarray(np.array([0.5, 0.5, 0.0]))
        drafter = backend.module("token_drafters").LawDrafter(
            lambda tokens, lengths, q=q, xp=xp: xp.stack([q] * len(tokens)), (0, 0, 0), replacement=False
        )
        noise = xp.asarray(np.array([[0.7, 0.7, 0.7], [0.2, 0.2, 0.2]]))
        drafts, _, _ = drafter.draft(xp.zeros((2, 4), dtype=int), xp.zeros(2, dtype=int), noise)
        assert np.asarray(drafts).tolist() == [[1, 0, -1], [0, 1, -1]]
