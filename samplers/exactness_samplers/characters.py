"""The alphabet of the character models, and the shape of a model that its weights imply.

The models write English as Python's own documentation has it. They are causal transformers in the shape of Llama (Touvron et al.
2023, arXiv 2302.13971): root-mean-square norms, rotary positions, gated units, and one matrix for reading and writing. Their arrays
have the names that `transformers` gives them. `torch/characters.py` and `jax/characters.py` compute them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
"""The newline and the 95 printable characters of ASCII; the id of a character is its place here."""

WINDOW = 64
"""How many characters a model looks back."""

HEAD = 16
"""The width of an attention head."""

BASE, EPSILON = 10_000.0, 1e-6
"""The base of the rotary angles, and what the norms add to a mean square."""

PROMPTS = ("The ", "If the ", "class C", "a list of ")
"""Beginnings of texts for certificates."""

EMBEDDING, LAST_NORM = "model.embed_tokens.weight", "model.norm.weight"

_TYPOGRAPHY = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "–": "-", "—": "--", "ß": "ss"})


@dataclass(frozen=True)
class Shape:
    """Number of layers, width, and width of the gated units."""

    layers: int
    width: int
    inner: int

    @property
    def heads(self) -> int:
        return self.width // HEAD

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Shape:
        """The shape of a model with these arrays. Raises ``ValueError`` if they are not those of a character model."""
        layers = 0
        while f"model.layers.{layers}.mlp.up_proj.weight" in arrays:
            layers += 1
        if EMBEDDING not in arrays or not layers:
            raise ValueError("these are not the weights of a character model: load those of weights.CHARACTERS")
        found = cls(layers, arrays[EMBEDDING].shape[1], len(arrays["model.layers.0.mlp.up_proj.weight"]))
        expected = found.arrays()
        wrong = [name for name, shape in expected.items() if name not in arrays or arrays[name].shape != shape]
        if wrong:
            raise ValueError(f"these are not the weights of a character model: {wrong[0]} is missing or has another shape")
        return found

    def arrays(self) -> dict[str, tuple[int, ...]]:
        """The names and shapes of all arrays. Matrices are (outputs, inputs).

        >>> sum(int(np.prod(shape)) for shape in Shape(2, 96, 160).arrays().values())
        175584
        """
        found: dict[str, tuple[int, ...]] = {EMBEDDING: (len(ALPHABET), self.width), LAST_NORM: (self.width,)}
        for i in range(self.layers):
            layer = f"model.layers.{i}"
            found |= {f"{layer}.self_attn.{name}_proj.weight": (self.width, self.width) for name in "qkvo"}
            found |= {f"{layer}.mlp.{name}_proj.weight": (self.inner, self.width) for name in ("gate", "up")}
            found |= {f"{layer}.mlp.down_proj.weight": (self.width, self.inner)}
            found |= {f"{layer}.{name}_layernorm.weight": (self.width,) for name in ("input", "post_attention")}
        return found


def reduced(text: str) -> str:
    """The text in the alphabet: typographic signs become ASCII, and any other character is left out.

    >>> reduced("“naïve” – 20°")
    '"nave" - 20'
    """
    kept = set(ALPHABET)
    return "".join(c for c in text.translate(_TYPOGRAPHY) if c in kept)


def encode(text: str) -> list[int]:
    """The ids of a text. Raises ``ValueError`` if a character is not in the alphabet.

    >>> encode("A b")
    [34, 1, 67]
    """
    try:
        return [_IDS[c] for c in text]
    except KeyError as error:
        raise ValueError(
            f"the character {error.args[0]!r} is not in the alphabet; characters.reduced(text) leaves it out"
        ) from None


def decode(ids: Iterable[int]) -> str:
    """The text of ids.

    >>> decode(encode("A b"))
    'A b'
    """
    return "".join(ALPHABET[int(i)] for i in ids)


class Model(Protocol):
    """A character model of either backend."""

    shape: Shape
    parameters: dict[str, Any]


def as_transformers(model: Model) -> LlamaForCausalLM:
    """A character model, of torch or of JAX, in the library `transformers`, where it can be saved with ``save_pretrained``.

    Its predictions are the same for texts of up to 64 characters. Raises ``ModuleNotFoundError`` without transformers.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = model.shape
    config = LlamaConfig(
        vocab_size=len(ALPHABET), hidden_size=shape.width, intermediate_size=shape.inner, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.heads, head_dim=HEAD, max_position_embeddings=WINDOW,
        rms_norm_eps=EPSILON, rope_parameters={"rope_type": "default", "rope_theta": BASE}, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    made = LlamaForCausalLM(config)
    arrays = {name: torch.tensor(np.asarray(value)) for name, value in model.parameters.items()}
    made.load_state_dict(arrays | {"lm_head.weight": arrays[EMBEDDING]})
    return made.eval()


_IDS = {c: i for i, c in enumerate(ALPHABET)}
