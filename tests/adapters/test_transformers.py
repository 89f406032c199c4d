"""Causal models of transformers: their law has the filters of their settings, and what they generate is judged by it."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import exactness as ex
from exactness.adapters import from_transformers
from exactness.errors import BadInput
from tests.conftest import module_or_skip

torch = module_or_skip("torch")
transformers = module_or_skip("transformers")

VOCABULARY, LENGTH = 60, 6
# 0 is the padding token.
PROMPTS = [[0, 5, 0, 5], [3]]
ASSISTED = {"do_sample": True, "temperature": 1.2, "top_k": 30}


@pytest.fixture(scope="module")
def model():
    """A small Llama whose next-token laws are far from uniform."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None}
        made = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(vocab_size=VOCABULARY, initializer_range=0.3, tie_word_embeddings=False, **shape, **ids)
        )
    with torch.no_grad():
        made.lm_head.weight.mul_(3.0)
    return made.eval()


@pytest.fixture(scope="module")
def assistant(model):
    """The same with other weights nearby."""
    made = copy.deepcopy(model)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for weights in made.parameters():
            weights.add_(0.3 * weights.std() * torch.randn_like(weights))
    made.generation_config.num_assistant_tokens = 3
    return made


def judged(claim: ex.Claim, n: int, tmp_path, seed: int = 1, tolerance: float = 0.6) -> ex.Certificate:
    """Of n sequences that are drawn once. Most of the tests' time goes to generating them one by one."""
    draws = claim.sample(n, seed)
    np.savez(tmp_path / "draws.npz", tokens=draws.tokens, **({} if draws.rounds is None else {"rounds": draws.rounds}))
    return ex.certify_paths(tmp_path / "draws.npz", claim.law, plan=ex.Plan(tolerance=tolerance))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_k": 0},
        {"temperature": 0.6, "top_k": 7},
        {"top_p": 0.8, "top_k": 0},
        {"temperature": 1.7, "min_p": 0.1, "top_p": 0.95},
    ],
    ids=str,
)
def test_the_law_has_the_filters_of_the_settings(model, settings):
    """Compared with the scores that generate() says it draws from. If nothing is said, it keeps 50 of the 60 tokens."""
    claim = from_transformers(model, length=3, prompts=PROMPTS[:1], do_sample=True, **settings)
    ids = torch.tensor(PROMPTS[:1] * 5)
    with torch.random.fork_rng():
        found = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, max_new_tokens=3, output_scores=True,
            return_dict_in_generate=True, **settings,
        )  # fmt: skip
    for t, scores in enumerate(found.scores):
        ours = claim.law.log_probs(found.sequences[:, : ids.shape[1] + t])
        torch.testing.assert_close(ours.exp(), scores.softmax(-1), rtol=0, atol=1e-5)


def test_a_configuration_counts_and_then_the_model(model):
    config = transformers.GenerationConfig(do_sample=True, top_k=9)
    assert from_transformers(model, length=2, generation_config=config).law.filters.top_k == 9
    warm = copy.deepcopy(model)
    warm.generation_config.update(do_sample=True, temperature=0.5)
    assert from_transformers(warm, length=2).law.filters.temperature == 0.5
    assert from_transformers(warm, length=2, temperature=2.0).law.filters.temperature == 2.0
    assert from_transformers(model, length=2).law.greedy
    assert from_transformers(model, length=2).law.prompts == [(1,)]


@pytest.mark.parametrize(
    "settings", [{"do_sample": True, "top_k": 0}, {"do_sample": True, "top_k": 5, "eos_token_id": [7]}, {}], ids=str
)
def test_plain_generation_is_certified(model, settings):
    claim = from_transformers(model, length=LENGTH, prompts=PROMPTS, **settings)
    certificate = ex.certify(*claim, plan=ex.Plan(tolerance=0.25, max_paths=600))
    assert certificate.verdict is ex.Verdict.CERTIFIED, certificate.reasons


def test_another_temperature_is_refuted(model, tmp_path):
    law = from_transformers(model, length=LENGTH, prompts=PROMPTS, do_sample=True).law
    warm = from_transformers(model, length=LENGTH, prompts=PROMPTS, do_sample=True, temperature=1.3)
    assert judged(ex.Claim("warm", warm.sample, law), 500, tmp_path).verdict is ex.Verdict.REFUTED


def test_a_prompt_of_padding_tokens_is_read(model):
    """Greedily, so that the answer is one sequence: that of the law."""
    claim = from_transformers(model, length=LENGTH, prompts=[[5, 0, 0]])
    ids = torch.tensor([[5, 0, 0]])
    for _ in range(LENGTH):
        ids = torch.cat([ids, claim.law.log_probs(ids).argmax(-1)[:, None]], dim=1)
    assert claim.sample(1, 0).tokens.tolist() == ids[:, 3:].tolist()


@pytest.mark.parametrize("more", [{}, {"prompt_lookup_num_tokens": 2}])
def test_the_seed_governs_and_the_users_random_state_stays(model, more):
    claim = from_transformers(model, length=LENGTH, prompts=PROMPTS, do_sample=True, **more)
    before = torch.random.get_rng_state()
    one, again, other = (claim.sample(4, seed).tokens for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_assisted_generation_is_lossless_and_its_ensemble_is_not(model, assistant, tmp_path):
    """With weight 0.8, a draft that the target would refuse is kept once in five times, which the documentation says."""
    claim = from_transformers(model, length=LENGTH, prompts=PROMPTS, assistant=assistant, **ASSISTED)
    right = judged(claim, 70, tmp_path)
    assert right.verdict is ex.Verdict.CERTIFIED, right.reasons
    lossy = from_transformers(model, length=LENGTH, prompts=PROMPTS, assistant=assistant, assistant_ensemble_weight=0.8, **ASSISTED)
    assert judged(lossy, 70, tmp_path).verdict is ex.Verdict.REFUTED


def test_rounds_are_reported(model, assistant):
    claim = from_transformers(model, length=LENGTH, prompts=PROMPTS, assistant=assistant, do_sample=True)
    rounds = claim.sample(8, 3).rounds
    assert (np.diff(rounds, axis=1) >= 0).all()
    assert (np.diff(rounds, axis=1) <= 1).all()
    assert (rounds[:, 0] == 0).all()
    # Some rounds keep drafts, and no round emits more than three of them and one token.
    counts = [np.bincount(row).max() for row in rounds]
    assert 1 < max(counts) <= 4
    assert from_transformers(model, length=LENGTH, do_sample=True).sample(2, 3).rounds is None


def test_prompt_lookup_is_not_refuted(model, tmp_path):
    claim = from_transformers(model, length=LENGTH, prompts=PROMPTS, do_sample=True, temperature=0.5, prompt_lookup_num_tokens=3)
    certificate = judged(claim, 70, tmp_path)
    assert certificate.verdict is ex.Verdict.CERTIFIED, certificate.reasons


def test_our_character_models_are_models_of_transformers(tmp_path):
    """They are saved, loaded, and predict the same; assisted generation with them is judged by the law that torch computes."""
    from exactness_samplers.characters import PROMPTS, as_transformers, encode
    from exactness_samplers.torch.characters import draft, target

    ours = target(), draft()
    text = torch.tensor([encode("An object of which the function returns ")])
    loaded = []
    for own in ours:
        as_transformers(own).save_pretrained(tmp_path / "model")
        loaded.append(transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval())
        torch.testing.assert_close(loaded[-1](text).logits.softmax(-1), own.score(text).exp(), rtol=0, atol=1e-5)
    prompts = [encode(prompt) for prompt in PROMPTS]
    claim = from_transformers(loaded[0], length=LENGTH, prompts=prompts, assistant=loaded[1], do_sample=True, top_k=0)
    law = ex.TokenChain(ours[0], vocabulary=96, length=LENGTH, draft=ours[1], prompts=prompts, score=ours[0].score)
    certificate = judged(ex.Claim("ours", claim.sample, law), 30, tmp_path, tolerance=0.9)
    assert certificate.verdict is ex.Verdict.CERTIFIED, certificate.reasons


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repetition_penalty": 1.2}, "repetition_penalty=1.2 .*: set repetition_penalty=1"),
        ({"num_beams": 3}, "num_beams=3 .*: set num_beams=1"),
        ({"do_sample": True, "typical_p": 0.9}, "typical_p=0.9 changes"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha=0.6 changes"),
        ({"do_sample": True, "top_h": 0.4}, "top_h=0.4 .*: leave top_h out"),
        ({"bad_words_ids": [[3]]}, "bad_words_ids=.* changes"),
        ({"min_new_tokens": 3}, "min_new_tokens=3 changes"),
        ({"eos_token_id": [3, 4]}, "are 2 end tokens"),
        ({"do_sample": True, "temperature": 0.0}, "set do_sample=False"),
        ({"temprature": 0.7}, "no setting called 'temprature'"),
        ({"max_new_tokens": 7}, "give length="),
        ({"prompts": ["text"]}, "give tokenizer="),
        ({"prompts": [[]]}, "a prompt is empty"),
        ({"prompts": "text"}, "must be a list"),
        ({"prompts": [[VOCABULARY]]}, "from 0 to 59"),
        ({"generation_config": {"top_k": 3}}, "must be a transformers.GenerationConfig"),
    ],
    ids=str,
)
def test_what_the_law_does_not_describe_is_said(model, settings, message):
    with pytest.raises(BadInput, match=message):
        from_transformers(model, **{"length": LENGTH, **settings})


def test_settings_that_do_nothing_are_no_obstacle(model):
    """Greedy decoding does not look at the settings of sampling, and neutral values change nothing."""
    assert from_transformers(
        model, length=2, typical_p=0.9, top_p=0.5, num_beams=1, repetition_penalty=1.0, use_cache=False
    ).law.greedy


def test_a_model_that_cannot_be_judged_is_said(model, assistant):
    with pytest.raises(BadInput, match="must be a model of transformers"):
        from_transformers(None, length=2)
    training = copy.deepcopy(model).train()
    with pytest.raises(BadInput, match=r"training mode.*model.eval\(\)"):
        from_transformers(training, length=2)
    other = copy.deepcopy(assistant)
    other.config.vocab_size = 50
    with pytest.raises(BadInput, match="the assistant has 50 tokens and the model 60"):
        from_transformers(model, length=2, assistant=other)


def test_texts_become_ids(model):
    claim = from_transformers(
        model, length=2, prompts=["ab", "c"], tokenizer=lambda text: {"input_ids": [ord(c) - 96 for c in text]}
    )
    assert claim.law.prompts == [(1, 2), (3,)]
