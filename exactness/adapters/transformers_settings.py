"""Generation settings of transformers: what they do to the law of the next token, and which of them no law here describes."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from ..laws.token_filters import TokenFilters

# What `generate` assumes where neither the settings nor the model say anything (transformers, GenerationConfig).
_DEFAULTS = {"do_sample": False, "temperature": 1.0, "top_k": 50, "top_p": 1.0, "num_beams": 1}

# Settings that the law describes, and their names here.
_DESCRIBED = {"do_sample", "temperature", "top_k", "top_p", "min_p", "eos_token_id"}

# Settings that do not matter for the law: lengths that this module sets, caches, outputs, speculation, and beams' own. An ensemble
# of target and assistant is listed because the claim is that the target's law is kept, and the judge then refutes it.
_FREE = {
    "max_length", "max_new_tokens", "early_stopping", "length_penalty", "use_cache", "cache_implementation",
    "cache_config", "max_cache_len", "renormalize_logits", "remove_invalid_values", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "pad_token_id", "bos_token_id",
    "decoder_start_token_id", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "assistant_confidence_threshold", "prompt_lookup_num_tokens", "max_matching_ngram_size", "assistant_early_exit",
    "assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight", "speculation_type", "use_mtp",
    "compile_config", "disable_compile", "prefill_chunk_size", "low_memory", "transformers_version",
    "continuous_batching_config", "trust_remote_code",
}  # fmt: skip

# Settings that change the law unless they have one of these values. Any other setting must be empty.
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "num_beams": (1,), "num_beam_groups": (1,), "num_return_sequences": (1,), "diversity_penalty": (0,), "penalty_alpha": (0,),
    "repetition_penalty": (1,), "encoder_repetition_penalty": (1,), "no_repeat_ngram_size": (0,), "min_length": (0,),
    "encoder_no_repeat_ngram_size": (0,), "min_new_tokens": (0,), "guidance_scale": (1,), "token_healing": (False,),
}  # fmt: skip

# The same for settings that act on sampling alone.
_OF_SAMPLING: dict[str, tuple[object, ...]] = {"typical_p": (1,), "epsilon_cutoff": (0,), "eta_cutoff": (0,), "top_h": ()}


@dataclass(frozen=True)
class Settings:
    """Settings of ``generate``, complete.

    Attributes:
        config: the ``GenerationConfig`` to be passed to ``generate``, without a length.
        filters: what it does to the target's logits.
        end: the token that ends a sequence, if there is one.
        speculates: whether generation is assisted without an assistant model, as by prompt lookup.
    """

    config: Any
    filters: TokenFilters
    end: int | None
    speculates: bool

    @classmethod
    def of(cls, model: Any, config: Any, options: dict[str, Any], vocabulary: int) -> Settings:
        """The settings that ``model.generate(generation_config=config, **options)`` uses.

        Raises ``BadInput`` if an option is unknown, or if a setting changes the law in a way that the filters do not describe.
        """
        from transformers import GenerationConfig

        if config is not None and not isinstance(config, GenerationConfig):
            raise BadInput(f"generation_config must be a transformers.GenerationConfig, not {type(config).__name__}")
        found = copy.deepcopy(config) if config is not None else GenerationConfig()
        unknown = [name for name in options if name not in found.to_dict()]
        if unknown:
            raise BadInput(f"transformers.GenerationConfig has no setting called {unknown[0]!r}")
        if {"max_new_tokens", "max_length"} & options.keys():
            raise BadInput("give length=, the number of new tokens, in place of max_new_tokens and max_length")
        given = {**_DEFAULTS, **_set(model.generation_config), **_set(found), **options}
        # Only what is said there counts. `generate` fills in what is None from the model, so every setting is written out.
        for name, value in given.items():
            setattr(found, name, value)
        _check(given)
        return cls(found, _filters(given, vocabulary), _end(given), _speculates(given))


def _set(config: Any) -> dict[str, Any]:
    """The settings that say something."""
    return {k: v for k, v in config.to_dict().items() if v is not None and not k.startswith("_")}


def _check(given: dict[str, Any]) -> None:
    neutral = {**_NEUTRAL, **(_OF_SAMPLING if given["do_sample"] else {})}
    for name, value in given.items():
        if value is None or name in _FREE or name in _DESCRIBED or (name in _OF_SAMPLING and name not in neutral):
            continue
        if not any(value == free for free in neutral.get(name, ())):
            remedy = f"set {name}={neutral[name][0]!r}" if neutral.get(name) else f"leave {name} out"
            raise BadInput(
                f"the generation setting {name}={value!r} changes what is generated in a way that no law here describes: {remedy}, "
                "or write down the law that it makes, as an exactness.TokenChain whose target applies it"
            )


def _filters(given: dict[str, Any], vocabulary: int) -> TokenFilters:
    if not given["do_sample"]:
        return TokenFilters(temperature=0.0)
    top_k, top_p = given["top_k"], given["top_p"]
    if not given["temperature"]:
        raise BadInput("temperature must be positive if do_sample=True; for greedy decoding, set do_sample=False")
    return TokenFilters(
        temperature=float(given["temperature"]),
        top_k=None if not top_k or top_k >= vocabulary else int(top_k),
        top_p=None if top_p is None or top_p >= 1.0 else float(top_p),
        min_p=None if not given.get("min_p") else float(given["min_p"]),
    )


def _end(given: dict[str, Any]) -> int | None:
    ends: Any = given.get("eos_token_id")
    ends = ends.tolist() if hasattr(ends, "tolist") else ends
    several = list(dict.fromkeys(ends)) if isinstance(ends, (list, tuple)) else [ends]
    if len(several) > 1:
        raise BadInput(
            f"eos_token_id={several} are {len(several)} end tokens, and a law has at most one: set eos_token_id={several[0]}"
        )
    return None if not several or several[0] is None or several[0] < 0 else int(several[0])


def _speculates(given: dict[str, Any]) -> bool:
    return any(given.get(name) for name in ("prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp"))
