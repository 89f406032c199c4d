"""Two trained models of characters, a target and a small draft, as laws of the next token.

They are Llama models (Touvron et al. 2023, arXiv 2302.13971) with one matrix for reading and writing. A model sees the last 64
characters of a text, so what it says is a function of the text alone, however the text came about. The empty text is read as a
newline.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from .. import weights
from ..characters import ALPHABET, BASE, EMBEDDING, EPSILON, HEAD, LAST_NORM, WINDOW, Shape

Parameters = dict[str, Tensor]

# A batch is evaluated this many characters at a time, which stay in the cache of a CPU.
_AT_ONCE = 4096


def logits(p: Parameters, shape: Shape, tokens: Tensor) -> Tensor:
    """The logits of the character after each of the first 1, 2, ..., t: ids (n, t) -> (n, t, V)."""
    n, t = tokens.shape
    turn = _angles(t, p[EMBEDDING])
    future = torch.full((t, t), -torch.inf, dtype=turn[0].dtype, device=tokens.device).triu(1)
    h = p[EMBEDDING][tokens]
    for i in range(shape.layers):
        layer = f"model.layers.{i}"
        x = _norm(h, p[f"{layer}.input_layernorm.weight"])
        q, k, v = (
            (x @ p[f"{layer}.self_attn.{name}_proj.weight"].T).view(n, t, shape.heads, HEAD).transpose(1, 2) for name in "qkv"
        )
        shares = torch.softmax(_turned(q, *turn) @ _turned(k, *turn).transpose(2, 3) / HEAD**0.5 + future, -1)
        h = h + (shares @ v).transpose(1, 2).reshape(n, t, shape.width) @ p[f"{layer}.self_attn.o_proj.weight"].T
        x = _norm(h, p[f"{layer}.post_attention_layernorm.weight"])
        gate, up, down = (p[f"{layer}.mlp.{name}_proj.weight"].T for name in ("gate", "up", "down"))
        h = h + (silu(x @ gate) * (x @ up)) @ down
    return _norm(h, p[LAST_NORM]) @ p[EMBEDDING].T


def _norm(h: Tensor, weight: Tensor) -> Tensor:
    return h * torch.rsqrt((h * h).mean(-1, keepdim=True) + EPSILON) * weight


def _angles(t: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, (t, HEAD) each; the two halves of a head share them."""
    speeds = BASE ** (-torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD)
    angles = (torch.arange(t, dtype=torch.float64)[:, None] * speeds).repeat(1, 2).to(like.device)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _turned(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cosines + torch.cat([-second, first], -1) * sines


class Characters:
    """A model of characters.

    Attributes:
        parameters: its arrays as tensors.
        shape: the number of its layers and their widths.

    Example:
        >>> from exactness_samplers.characters import encode
        >>> model = target()
        >>> model(torch.tensor([encode("The argum")])).argmax().item() == encode("e")[0]
        True
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], dtype: torch.dtype = torch.float32) -> None:
        """Raises ``ValueError`` if these are not the arrays of a character model."""
        self.shape = Shape.of(arrays)
        self.parameters = {name: torch.as_tensor(np.asarray(value), dtype=dtype) for name, value in arrays.items()}

    def __call__(self, prefixes: Tensor) -> Tensor:
        """The log-probabilities of the next character: ids (n, t), t >= 0 -> (n, V)."""
        return torch.log_softmax(self._logits(_seen(torch.as_tensor(prefixes)))[:, -1], -1)

    def score(self, tokens: Tensor) -> Tensor:
        """The log-probabilities of the character after each of the first 1, 2, ..., t: ids (n, t) -> (n, t, V), in one pass."""
        tokens = torch.as_tensor(tokens)
        whole = torch.log_softmax(self._logits(tokens[:, :WINDOW]), -1)
        beyond = [self(tokens[:, : t + 1])[:, None] for t in range(WINDOW, tokens.shape[1])]
        return torch.cat([whole, *beyond], 1)

    def law(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The probabilities of the character after the first ``lengths`` (m,) of the ids (m, W): a law for samplers, (m, V).

        A prefix that begins another row is evaluated with it, so the prefixes of a round cost as much as the longest.
        """
        width = tokens.shape[1]
        columns = torch.arange(min(width, WINDOW), device=tokens.device)
        at = (lengths - WINDOW).clamp(min=0)[:, None] + columns
        held = torch.where(at < lengths[:, None], tokens.gather(1, at.clamp(max=width - 1)), -1)
        held[lengths == 0, 0] = 0
        rows, which = torch.unique(held, dim=0, return_inverse=True)
        # In this order, -1 first, a row stands directly before those that it begins.
        begins = ((rows[:-1] == rows[1:]) | (rows[:-1] < 0)).all(1)
        last = torch.where(torch.cat([begins, begins.new_zeros(1)]), len(rows), torch.arange(len(rows), device=rows.device))
        longest = last.flip(0).cummin(0).values.flip(0)
        evaluated, row = torch.unique(longest, return_inverse=True)
        every = self._logits(rows[evaluated].clamp(min=0))
        place = (held >= 0).sum(1) - 1
        return torch.softmax(every[row[which], place], -1)

    def _logits(self, tokens: Tensor) -> Tensor:
        with torch.no_grad():
            parts = [logits(self.parameters, self.shape, part) for part in tokens.split(max(1, _AT_ONCE // tokens.shape[1]))]
        return torch.cat(parts) if parts else self.parameters[EMBEDDING].new_zeros(*tokens.shape, len(ALPHABET))


def _seen(prefixes: Tensor) -> Tensor:
    """The part of prefixes (n, t) that a model sees: the last 64 characters, or a newline."""
    return prefixes[:, -WINDOW:] if prefixes.shape[1] else prefixes.new_zeros(len(prefixes), 1)


def target(file: Path | None = None) -> Characters:
    """The larger model, with two layers of width 96. ``file`` replaces the weights that come with the package."""
    return Characters(weights.load(file or weights.path(weights.CHARACTERS)).arrays)


def draft(file: Path | None = None) -> Characters:
    """The smaller model, with one layer of width 32."""
    return Characters(weights.load(file or weights.path(weights.CHARACTERS_DRAFT)).arrays)
