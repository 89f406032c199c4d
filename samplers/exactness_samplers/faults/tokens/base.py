"""A fault of token verifiers: the row that describes it and the verifier, written once for torch and JAX."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

from ..base import Array, Backend, BackendName, Bound, Expected

Seen = Literal["law", "rounds", "enumeration", "coins", "nothing"]
Parents = tuple[int, ...]
Verified = tuple[Array, Array]
Laws = Callable[[Backend, Array], Array]

_TOUCHES: dict[Seen, str] = {
    "law": "the tokens of one window",
    "rounds": "the tokens of several windows together",
    "enumeration": "the tokens of one window, by less than samples can show",
    "coins": "tokens at coins of probability 0",
    "nothing": "nothing",
}


class Given(NamedTuple):
    """What a verifier is given: laws (n, N + 1, V) and (n, N, V), drafts (n, N), lengths (n,) and noise (n, N + 1)."""

    target: Array
    draft: Array
    drafts: Array
    lengths: Array
    noise: Array


@dataclass(frozen=True)
class TokenFault:
    """One way in which a verifier of tokens is wrong, or only looks so.

    Attributes:
        name: unique, in lower case with hyphens.
        group: the part of a verifier that it belongs to.
        what: what is wrong with it, or why it only looks wrong; one sentence.
        instead: the verifier. It takes a :class:`Backend` and what a verifier is :class:`Given`; one of trees also ``parents``.
        seen_by: what must see it; ``nothing`` if it is right.
        seen: public threads and papers that tell of it.
        drawn: the law from which the drafts are really drawn, as a function of a backend and the reported laws (..., V).
        claims: the law that is promised, as a function of a backend and the laws (..., V) that the verifier is given.
        keyed: the noise of its runs, as a function of a backend and right noise.
        replacement: whether siblings are drawn independently.
        races: whether the noise is the exponentials of a race, see ``tokens.gumbel``.
        last_first: whether the coins are compared from the last draft to the first, as in block verification.
        paths: whether its tree must be several chains of one length.
        least_vocabulary: with fewer tokens it is not wrong.
        standard: whether it is judged next to a law of the user's own (``controls="standard"``).
    """

    name: str
    group: str
    what: str
    instead: Callable[..., Verified]
    seen_by: Seen = "law"
    seen: tuple[str, ...] = ()
    drawn: Laws | None = None
    claims: Laws | None = None
    keyed: Callable[[Backend, Any], Any] | None = None
    replacement: bool = True
    races: bool = False
    last_first: bool = False
    paths: bool = False
    least_vocabulary: int = 2
    standard: bool = False
    family: ClassVar[str] = "tokens"

    @property
    def exact(self) -> bool:
        return self.seen_by == "nothing"

    @property
    def expected(self) -> Expected:
        return "exact" if self.exact else "caught"

    @property
    def touches(self) -> str:
        """What its error changes."""
        return _TOUCHES[self.seen_by]

    @property
    def trees(self) -> bool:
        """Whether it takes the parents of the nodes of a tree."""
        return "parents" in inspect.signature(self.instead).parameters

    def verifier(self, backend: BackendName) -> Callable[..., Verified]:
        """The verifier, called as a right one is. In JAX it is compiled."""
        return _verifier(self, backend)


@cache
def _verifier(fault: TokenFault, backend: BackendName) -> Callable[..., Verified]:
    bound = Bound(Backend(backend), fault.instead, fault.name)

    def of_chains(target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array) -> Verified:
        return bound(Given(target, draft, drafts, lengths, noise))

    def of_trees(target: Array, draft: Array, drafts: Array, lengths: Array, noise: Array, parents: Parents) -> Verified:
        return bound(Given(target, draft, drafts, lengths, noise), parents)

    # A rule of trees is known by the name of its argument.
    verify = of_trees if fault.trees else of_chains
    if backend == "torch":
        return verify
    import jax

    return jax.jit(verify, static_argnames=("parents",) if fault.trees else ())


Rows = Callable[..., Callable[[Callable[..., Verified]], TokenFault]]


def rows(group: str, **alike: Any) -> Rows:
    """``row(name, what, **columns)`` for the faults of a group. It turns the verifier below it into a :class:`TokenFault`."""
    return lambda name, what, **columns: lambda instead: TokenFault(name, group, what, instead, **{**alike, **columns})


def rule(name: str) -> Callable[..., Verified]:
    """The right rule of this name, for a fault whose error lies outside the verifier."""

    def of_chains(of: Backend, given: Given) -> Verified:
        found: Verified = getattr(of.tokens, name)(*given)
        return found

    def of_trees(of: Backend, given: Given, parents: Parents) -> Verified:
        found: Verified = getattr(of.token_trees, name)(*given, parents)
        return found

    return of_trees if name in ("recursive", "target_only") else of_chains


def keep(of: Backend, ratios: Array, given: Given) -> Verified:
    """How many drafts pass, one after the other, with these log-ratios, and the log-weight."""
    found: Verified = of.verification.token_wise(ratios, None, given.noise[:, :-1], given.lengths)
    return found


def kept_by_ratios(of: Backend, given: Given) -> Array:
    """How many drafts pass token by token."""
    return keep(of, of.tokens.log_ratios(given.target, given.draft, given.drafts), given)[0]


def emit(of: Backend, given: Given, keeps: Callable[..., Verified] | None = None, leftover: Any = None) -> Verified:
    """A chain of these parts; the others are those of token-wise verification."""
    parts = keeps or of.verification.token_wise, leftover or of.tokens.residual
    found: Verified = of.tokens.Chain(*parts)(*given)
    return found


def drawn_from_target(of: Backend, given: Given, kept: Array) -> Verified:
    """These drafts, and a token from the target after them."""
    return kept, of.tokens.draw(at(of, given.target, kept), given.noise[:, -1])


def last_uniform(of: Backend, given: Given, uniforms: Array) -> Given:
    """The same with other uniforms (n,) for the token."""
    return given._replace(noise=of.xp.concat([given.noise[:, :-1], uniforms[:, None]], axis=1))


def at(of: Backend, values: Array, place: Array) -> Array:
    """One entry for each row: values (n, L, ...) at places (n,) -> (n, ...)."""
    return values[of.arange(len(values), values), place]


def of_drafts(of: Backend, laws: Array, drafts: Array) -> Array:
    """The probability of each draft, (n, L)."""
    return laws[of.arange(len(laws), laws)[:, None], of.arange(drafts.shape[1], drafts)[None, :], drafts]


def quotient(of: Backend, above: Array, below: Array) -> Array:
    """above / below, where 0 / 0 is 0."""
    return above / of.xp.clip(below, 1e-300 if below.dtype == of.xp.float64 else 1e-37, None)


def share(of: Backend, part: Array, other: Array) -> Array:
    """part / (part + other), and 0 for 0/0."""
    total = part + other
    return of.xp.where(total > 0, part / of.xp.where(total > 0, total, of.xp.ones_like(total)), of.xp.zeros_like(total))


def normalised(of: Backend, masses: Array, otherwise: Array) -> Array:
    """Masses (n, V) that sum to 1, and other ones where all are 0."""
    total = of.xp.sum(masses, axis=-1, keepdims=True)
    return of.xp.where(total > 0, masses / of.xp.where(total > 0, total, of.xp.ones_like(total)), otherwise)
