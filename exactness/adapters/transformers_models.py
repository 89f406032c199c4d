"""Causal language models of transformers: the law that generation settings make, and a sampler that generates."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import as_kind
from ..claim import Claim
from ..errors import BadInput
from ..laws import TokenChain, TokenDraws
from .libraries import needs
from .transformers_settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

# About this many numbers of logits are in memory at a time.
_NUMBERS = 1 << 24


def from_transformers(
    model: Any,
    *,
    length: int,
    prompts: Sequence[str] | Sequence[Sequence[int]] | None = None,
    assistant: Any = None,
    tokenizer: Any = None,
    generation_config: Any = None,
    name: str = "transformers",
    **settings: Any,
) -> Claim:
    """Claim that a causal language model of transformers generates what its own next-token law and these settings say.

    The law evaluates the model on whole sequences, without a cache. The sampler calls ``model.generate``. With an ``assistant``, or
    with prompt lookup, it is assisted generation, which takes one sequence at a time; it then reports which round emitted each
    token, and a certificate is inconclusive if no draft was ever accepted. The claim unpacks into a sampler and a law.

    Args:
        model: a causal model, in evaluation mode.
        length: T, the number of new tokens of each sequence.
        prompts: texts, or lists of token ids; draw i continues prompt i modulo their number. The default is the model's
            beginning-of-sequence token.
        assistant: a smaller model with the same vocabulary, which drafts.
        tokenizer: what makes ids of texts.
        generation_config, settings: as for ``generate``: ``do_sample=True``, ``temperature=0.8``, ``prompt_lookup_num_tokens=3``.
            What they leave out is the model's, and otherwise what transformers assumes: greedy decoding, and ``top_k=50`` if it
            samples.
        name: the name of the claim.

    Raises:
        BadInput: if a setting changes the law in a way that is not described here (beams, penalties, ``typical_p``, several end
            tokens, ...); if the model is not causal or not in evaluation mode; if there is no prompt; if transformers is not
            installed.

    The seed governs what is generated, and the random state of torch stays as it is. In half precision a cache may change the last
    digits of the logits, and then the two sides differ by as much.

    >>> import exactness as ex, torch
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> shape = dict(vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    >>> model = LlamaForCausalLM(LlamaConfig(**shape)).eval()
    >>> claim = from_transformers(model, length=6, prompts=[[1, 2, 3]], do_sample=True, temperature=0.7)
    >>> ex.certify(*claim, plan=ex.Plan(tolerance=0.25, max_paths=1_000)).verdict.value
    'certified'
    """
    with needs("transformers"):
        import torch
        import transformers

    _check(model, "model")
    vocabulary = _vocabulary(model)
    if assistant is not None:
        _check(assistant, "assistant")
        if _vocabulary(assistant) != vocabulary:
            raise BadInput(f"the assistant has {_vocabulary(assistant)} tokens and the model {vocabulary}: take one with the same")
    chosen = Settings.of(model, generation_config, settings, vocabulary)
    filters = chosen.filters
    target = _Logits(model)
    law = TokenChain(
        target,
        vocabulary=vocabulary,
        length=length,
        # Where an assistant drafts, `generate` passes the filters on to it.
        draft=None if assistant is None or filters.greedy else _Filtered(_Logits(assistant), filters),
        prompts=_prompts(model, prompts, tokenizer),
        end=chosen.end,
        temperature=filters.temperature,
        top_k=filters.top_k,
        top_p=filters.top_p,
        min_p=filters.min_p,
        score=target.score,
        name=name,
    )
    pad = next((i for i in (chosen.config.pad_token_id, chosen.end) if i is not None), 0)
    chosen.config.update(max_new_tokens=length, max_length=None, pad_token_id=pad, return_dict_in_generate=False)
    engine = _Engine(model, assistant, chosen, [list(prompt) for prompt in law.prompts], length, vocabulary)
    about: dict[str, object] = {
        "transformers": transformers.__version__, "torch": str(torch.__version__), "model": type(model).__name__,
        "assistant": None if assistant is None else type(assistant).__name__, "dtype": str(model.dtype),
        "settings": {k: v for k, v in chosen.config.to_diff_dict().items() if isinstance(v, (int, float, str))},
    }  # fmt: skip
    return Claim(name, engine, law, about=about)


@dataclass(frozen=True)
class _Logits:
    """The logits of a model, as a function of ids."""

    model: Any

    def __call__(self, prefixes: Any) -> Tensor:
        return self.score(prefixes)[:, -1]

    def score(self, tokens: Any) -> Tensor:
        """(n, t) integers -> (n, t, V)."""
        import torch

        ids = as_kind(tokens, "torch").to(self.model.device, torch.long)
        with torch.no_grad():
            return self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits.float()


@dataclass(frozen=True)
class _Filtered:
    """Logits after filters."""

    logits: _Logits
    filters: Any

    def __call__(self, prefixes: Any) -> Tensor:
        return self.filters(self.logits(prefixes))


@dataclass(frozen=True)
class _Engine:
    """Calls ``generate``; a function of the number of sequences and a seed."""

    model: Any
    assistant: Any
    settings: Settings
    prompts: list[list[int]]
    length: int
    vocabulary: int

    def __call__(self, n: int, seed: int) -> TokenDraws:
        import torch

        assisted = self.assistant is not None or self.settings.speculates
        most = 1 if assisted else max(1, _NUMBERS // self.vocabulary)
        tokens, rounds = (np.full((n, self.length), fill, dtype=np.int64) for fill in (self.settings.config.pad_token_id, -1))
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed % (1 << 63))
            for which, prompt in enumerate(self.prompts):
                mine = np.arange(which, n, len(self.prompts))
                for first in range(0, len(mine), most):
                    rows = mine[first : first + most]
                    found, sizes = self._generate(prompt, len(rows), assisted)
                    tokens[rows, : found.shape[1]] = found
                    if assisted:
                        rounds[rows, : sum(sizes)] = np.repeat(np.arange(len(sizes)), sizes)
        return TokenDraws(tokens, rounds=rounds if assisted else None)

    def _generate(self, prompt: list[int], n: int, assisted: bool) -> tuple[np.ndarray, list[int]]:
        """The new tokens of n sequences, and how many each round emitted."""
        import torch

        listener = _Rounds()
        ids = torch.tensor([prompt] * n, device=self.model.device)
        more = {"assistant_model": self.assistant} if self.assistant is not None else {}
        # Some schedules of drafts are remembered by the assistant from one call to the next; here each call begins alike.
        before = copy.deepcopy(self.assistant.generation_config) if self.assistant is not None else None
        try:
            found = self.model.generate(
                ids,
                # Without a mask, a prompt that holds the padding token would lose it.
                attention_mask=torch.ones_like(ids),
                generation_config=self.settings.config,
                streamer=listener if assisted else None,
                **more,
            )
        except (ValueError, RuntimeError, TypeError) as error:
            raise BadInput(f"generate() of {type(self.model).__name__} raised {type(error).__name__}: {error}") from error
        finally:
            if before is not None:
                self.assistant.generation_config = before
        return found[:, len(prompt) :].cpu().numpy(), listener.sizes


class _Rounds:
    """A streamer. It is given the prompt, and then what each round emits."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._prompt = True

    def put(self, value: Tensor) -> None:
        if not self._prompt:
            self.sizes.append(value.numel())
        self._prompt = False

    def end(self) -> None:
        """Nothing is left to do."""


def _check(model: Any, label: str) -> None:
    """Raises ``BadInput`` if this is no causal model in evaluation mode."""
    if not callable(getattr(model, "generate", None)) or not hasattr(model, "generation_config"):
        raise BadInput(
            f"{label} must be a model of transformers that can generate, such as AutoModelForCausalLM makes; got {type(model)}"
        )
    if model.config.is_encoder_decoder:
        raise BadInput(f"{label} is an encoder with a decoder ({type(model).__name__}); only causal models are supported")
    if model.training:
        raise BadInput(f"{label} is in training mode, where dropout makes it random: call model.eval()")


def _vocabulary(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size)


def _prompts(model: Any, prompts: Any, tokenizer: Any) -> list[list[int]]:
    if prompts is None:
        begin = model.generation_config.bos_token_id
        if begin is None:
            raise BadInput("the model has no beginning-of-sequence token: give prompts=, texts or lists of token ids")
        prompts = [[int(begin)]]
    if isinstance(prompts, str) or not len(prompts):
        raise BadInput("prompts must be a list of texts, or of lists of token ids, with at least one of them")
    if any(isinstance(prompt, str) for prompt in prompts):
        if tokenizer is None:
            raise BadInput("prompts are texts, so give tokenizer= as well, or give lists of token ids")
        prompts = [tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt for prompt in prompts]
    if any(not len(prompt) for prompt in prompts):
        raise BadInput("a prompt is empty, and generate() needs at least one token: begin it with the beginning-of-sequence token")
    return [[int(i) for i in prompt] for prompt in prompts]
