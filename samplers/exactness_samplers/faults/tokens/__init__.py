"""Faults of speculative decoding: verifiers of tokens that are wrong, and some that only look wrong.

Each is a pure verifier with the signature of :mod:`exactness_samplers.torch.tokens` or, where it takes ``parents``, of
``token_trees``, written once for torch and JAX. A verifier of chains may be given one law more, (n, L + 1, V), in
``draft_probs``: the draft's law after its last draft. :func:`token_sampler` makes a sampler of a fault.

Not every fault can be seen by everything. ``seen_by`` says what must see it:

* ``law``: the tokens of one window have another law than they should;
* ``rounds``: each window has the right law, and several together do not;
* ``enumeration``: the tokens have another law, by less than any affordable sample shows, and the exact law shows it;
* ``coins``: only coins forced to 0 or to a threshold show it, because they have probability 0.

Example:
    >>> import torch
    >>> from exactness_samplers.faults.tokens import token_fault
    >>> verify = token_fault("token-residual-from-target").verifier("torch")
    >>> p, q = torch.tensor([[[0.2, 0.8], [0.5, 0.5]]]), torch.tensor([[[0.9, 0.1]]])
    >>> [int(part) for part in verify(p, q, torch.tensor([[0]]), torch.tensor([1]), torch.tensor([[0.9, 0.1]]))]
    [0, 0]
"""

from __future__ import annotations

import importlib

from .base import TokenFault
from .laws import likeliest, nucleus, tempered
from .reuse import KeyedByPosition
from .sampler import token_sampler

__all__ = [
    "FILES", "TOKEN_FAULTS", "KeyedByPosition", "TokenFault", "likeliest", "nucleus", "tempered", "token_fault", "token_sampler",
]  # fmt: skip

FILES = ("acceptance", "residuals", "reuse", "reports", "blocks", "trees", "right")
"""The files of this folder that define faults."""

TOKEN_FAULTS: tuple[TokenFault, ...] = tuple(
    value
    for file in FILES
    for value in vars(importlib.import_module(f"{__name__}.{file}")).values()
    if isinstance(value, TokenFault)
)


def token_fault(name: str) -> TokenFault:
    """The fault of this name. Raises ``KeyError`` for an unknown one."""
    return {fault.name: fault for fault in TOKEN_FAULTS}[name]
