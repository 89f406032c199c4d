"""The character models: torch and JAX agree, what a model says depends on the text alone, and samplers are certified."""

from __future__ import annotations

import numpy as np
import pytest
from exactness_samplers import weights
from exactness_samplers.characters import ALPHABET, PROMPTS, WINDOW, Shape, decode, encode, reduced

import exactness as ex
from tests.conftest import module_or_skip

MODELS = ("target", "draft")
TEXT = np.array([encode('An object of type "int", which the function returns if there is no other name for it: see help().\n' * 2)])


def model(backend: str, which: str = "target"):
    module_or_skip(backend)
    return getattr(module_or_skip(f"exactness_samplers.{backend}.characters"), which)()


def ids(backend: str, values: np.ndarray):
    return module_or_skip("torch").as_tensor(values) if backend == "torch" else module_or_skip("jax.numpy").asarray(values)


@pytest.mark.parametrize("which", MODELS)
def test_torch_and_jax_agree(which):
    """For prefixes of all lengths, from the empty text to more than the window."""
    one, other = (model(backend, which) for backend in ("torch", "jax"))
    for t in (0, 1, 7, WINDOW, WINDOW + 5):
        found = np.asarray(one(ids("torch", TEXT[:, :t])))
        assert found.shape == (1, len(ALPHABET))
        np.testing.assert_allclose(np.exp(found), np.exp(np.asarray(other(ids("jax", TEXT[:, :t])))), atol=1e-5)
    scores = [np.asarray(m.score(ids(b, TEXT[:, : WINDOW + 5]))) for m, b in ((one, "torch"), (other, "jax"))]
    np.testing.assert_allclose(np.exp(scores[0]), np.exp(scores[1]), atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_what_a_model_says_depends_on_the_text_alone(backend):
    """In one pass, prefix by prefix, and among rows of other lengths, of which some begin others."""
    m = model(backend)
    lengths = np.array([9, 3, 0, 64, 9, 70, 1, 65])
    rows = np.repeat(TEXT[:, :80], len(lengths), axis=0)
    rows[4:, 5] = encode("~")[0]
    together = np.asarray(m.law(ids(backend, rows), ids(backend, lengths)))
    alone = [np.exp(np.asarray(m(ids(backend, rows[i : i + 1, :length])))[0]) for i, length in enumerate(lengths)]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    whole = np.exp(np.asarray(m.score(ids(backend, rows[:1, :70])))[0])
    np.testing.assert_allclose(whole[[8, 2, 63, 64]], [alone[0], alone[1], alone[3], _next(m, backend, rows[:1, :65])], atol=1e-5)
    np.testing.assert_allclose(together.sum(1), 1.0, atol=1e-5)


def _next(m, backend: str, rows: np.ndarray) -> np.ndarray:
    return np.exp(np.asarray(m(ids(backend, rows)))[0])


def test_what_follows_the_prefix_and_what_lies_before_the_window_do_not_matter():
    m = model("torch")
    rows = np.repeat(TEXT[:, :80], 3, axis=0)
    rows[1, 70:], rows[2, :6] = 0, 0
    found = np.asarray(m.law(ids("torch", rows), ids("torch", np.full(3, 70))))
    np.testing.assert_allclose(found[1:], found[[0, 0]], atol=1e-6)
    rows[2, :7] = 0
    assert np.abs(np.asarray(m.law(ids("torch", rows), ids("torch", np.full(3, 70))))[2] - found[0]).max() > 1e-6


def test_the_weights_are_small_and_the_models_know_english():
    """Bits per character on text that is not from the documentation's own blocks, and the overlap of target and draft."""
    assert sum(weights.path(name).stat().st_size for name in (weights.CHARACTERS, weights.CHARACTERS_DRAFT)) < 1_000_000
    text = ids("torch", np.array([encode("If the method is called with a name that is not defined, a value")]))
    p, q = (model("torch", which).score(text[:, :-1])[0] for which in MODELS)
    here = [float(-logs.gather(1, text[0, 1:, None]).mean() / np.log(2.0)) for logs in (p, q)]
    assert here[0] < here[1] < 2.6 < np.log2(len(ALPHABET))
    assert 0.5 < float(p.exp().minimum(q.exp()).sum(1).mean()) < 0.95


def test_the_alphabet():
    assert len(ALPHABET) == 96
    assert decode(encode(ALPHABET)) == ALPHABET
    assert reduced("“naïve” …") == '"nave" ...'
    with pytest.raises(ValueError, match="'ï' is not in the alphabet"):
        encode("naïve")
    with pytest.raises(ValueError, match="not the weights of a character model"):
        Shape.of({})
    with pytest.raises(ValueError, match=r"lm_head|model.norm.weight is missing"):
        Shape.of({name: np.zeros(size) for name, size in Shape(1, 32, 8).arrays().items() if name != "model.norm.weight"})


@pytest.mark.parametrize(
    ("backend", "rule"),
    [
        ("torch", "token_wise"),
        ("torch", "block"),
        *(pytest.param("jax", r, marks=pytest.mark.slow) for r in ("token_wise", "block")),
    ],
)
def test_samplers_of_text_are_certified(backend, rule):
    """Speculative decoding with the draft model, judged by one pass of the target over each text."""
    tokens, drafters, sampling = (
        module_or_skip(f"exactness_samplers.{backend}.{name}") for name in ("tokens", "token_drafters", "token_sampling")
    )
    target, draft = (model("torch", which) for which in MODELS)
    p, q = (model(backend, which).law for which in MODELS)
    prompts = [encode(prompt) for prompt in PROMPTS[:2]]
    law = ex.TokenChain(target, vocabulary=96, length=6, draft=draft, prompts=prompts, score=target.score, name="characters")
    whole = sampling.TokenSampler(p, 6, drafters.LawDrafter(q, (0, 1, 2)), getattr(tokens, rule), prompts=prompts)

    def sample(n: int, seed: int) -> ex.TokenDraws:
        run = whole.sample(n, seed)
        return ex.TokenDraws(np.asarray(run.tokens), rounds=np.asarray(run.rounds))

    judged = ex.certify(sample, law, plan=ex.Plan(tolerance=0.25, max_paths=1_000, per_call=500))
    assert judged.verdict is ex.Verdict.CERTIFIED, judged.reasons
