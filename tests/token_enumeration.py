"""The exact law of what a verifier of tokens emits, by enumeration: of all drafts, and of the cells into which its uniforms fall.

A verifier is a function of its noise, and constant on cells between breakpoints. :func:`cells` finds the breakpoints by bisection,
coordinate by coordinate in the order in which the rule decides, and knows nothing else about the rule: a fault is enumerated like
a right rule. Of a tree only the thresholds are asked for, and then whether the rule decides by them (:func:`decided`).
Nothing is sampled, so an error of 1e-12 is seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray
Verify = Callable[..., tuple[Array, Array]]
"""(target_probs, draft_probs, drafts, lengths, noise) -> (node, token), in numpy."""
TOP = np.nextafter(1.0, 0.0)
"""The greatest uniform."""


@dataclass(frozen=True)
class Markov:
    """A law of tokens that depends on the last one: of the first token (V,), and of the next one after each (V, V)."""

    start: Array
    then: Array

    @classmethod
    def read(cls, law: dict[str, list[str]], size: int) -> Markov:
        """From the golden file, with tokens of probability 0 added until there are ``size``."""

        def row(key: str) -> list[float]:
            found = [float(Fraction(p)) for p in law[key]]
            return found + [0.0] * (size - len(found))

        rows = [row(key) for key in law]
        return cls(np.array(rows[0]), np.array([*rows[1:], *[rows[0]] * (size - len(rows) + 1)]))

    def after(self, token: Array | None) -> Array:
        return self.start if token is None else self.then[token]

    def joint(self, length: int) -> Array:
        """The law of the first ``length`` tokens, of shape (V,) * length."""
        law = self.start
        for _ in range(length - 1):
            law = law[..., None] * self.then
        return law

    def mapped(self, change: Callable[[Array], Array]) -> Markov:
        """The law of which every next-token law is changed."""
        return Markov(change(self.start[None])[0], change(self.then))


def chain(length: int) -> tuple[int, ...]:
    """The parents of a chain of drafts."""
    return tuple(range(length))


def full(children: int, depth: int) -> tuple[int, ...]:
    """The parents of a full tree, level by level."""
    parents, level = [], [0]
    for _ in range(depth):
        first = len(parents) + 1
        parents += [node for node in level for _ in range(children)]
        level = list(range(first, len(parents) + 1))
    return tuple(parents)


def path(parents: Sequence[int], node: int) -> list[int]:
    found: list[int] = []
    while node > 0:
        found.insert(0, node)
        node = parents[node - 1]
    return found


@dataclass(frozen=True)
class Drafts:
    """All drafts of a law, one row each, with their chances; and what a verifier is given with them.

    ``draft`` (m, N + 1, V) has the draft's law after the last node of a chain as well: a right rule does not read it.
    """

    law: Markov
    parents: tuple[int, ...]
    target: Array
    draft: Array
    tokens: Array
    lengths: Array
    chance: Array
    depth: int = field(default=0)

    def __len__(self) -> int:
        return len(self.tokens)

    def given(self, rows: Array | slice = slice(None)) -> tuple[Array, Array, Array, Array]:
        return self.target[rows], self.draft[rows], self.tokens[rows], self.lengths[rows]


def drafts(
    target: Markov,
    draft: Markov,
    parents: Sequence[int],
    replacement: bool = True,
    drawn: Markov | None = None,
    width: int = 0,
    present: Sequence[int] | None = None,
) -> Drafts:
    """All drafts that have a chance. ``drawn`` is the law that they are really drawn from, if it is not ``draft``.

    ``width`` adds columns past the drafts, up to that number, which a verifier must ignore. Nodes that are not ``present``, or for
    which nothing is left to draw without replacement, have the draft -1.
    """
    parents, size, shown = tuple(parents), len(target.start), set(present or range(1, len(parents) + 1))
    choices = [range(-1, size) if node in shown else (-1,) for node in range(1, len(parents) + 1)]
    tokens = np.array(list(itertools.product(*choices)), dtype=int).reshape(-1, len(parents))
    chance, rows = np.ones(len(tokens)), np.arange(len(tokens))

    def after(law: Markov, node: int) -> Array:
        return np.broadcast_to(law.after(None if node == 0 else tokens[:, node - 1]), (len(tokens), size))

    for node, parent in enumerate(parents, 1):
        q = after(drawn or draft, parent).copy()
        if not replacement:
            for sibling in range(1, node):
                if parents[sibling - 1] == parent:
                    q[rows, tokens[:, sibling - 1]] = 0.0
        total = q.sum(1)
        if node not in shown:
            total[:] = 0.0
        if parent:
            total = np.where(tokens[:, parent - 1] < 0, 0.0, total)
        drawing = np.divide(q[rows, tokens[:, node - 1]], total, out=np.zeros(len(rows)), where=total > 0)
        chance = chance * np.where(tokens[:, node - 1] < 0, total == 0, drawing)
    keep = chance > 0
    # The law that a node was drawn from is that after its parent.
    of_nodes = [after(draft, parent) for parent in parents] + [after(draft, len(parents))]
    more = max(width - len(parents), 0)
    pad = lambda laws: [*laws, *[np.full_like(laws[0], 1.0 / size)] * more]  # noqa: E731
    return Drafts(
        target,
        parents,
        np.stack(pad([after(target, node) for node in range(len(parents) + 1)]), 1)[keep],
        np.stack(pad(of_nodes), 1)[keep],
        np.concatenate([tokens, np.zeros((len(tokens), more), int)], 1)[keep],
        np.full(int(keep.sum()), len(parents)),
        chance[keep],
        max((len(path(parents, node)) for node in shown), default=0),
    )


@dataclass(frozen=True)
class Cells:
    """Boxes of noise on which the rule does one thing: their row of drafts, share of the noise, node and token."""

    rows: Array
    share: Array
    node: Array
    token: Array
    low: Array | None = None
    high: Array | None = None

    def corners(self, generator: np.random.Generator, inside: float = 1e-12) -> Iterator[tuple[Array, Array]]:
        """Noise (m, columns) near two opposite corners of each box, and in between; and the numbers of the boxes that have them.

        A rule that does the same there as the one whose boxes they are has no breakpoint inside them that is further than
        ``inside`` from an end, if what happens at both ends of an interval happens in between.
        """
        wide = np.flatnonzero((self.high - self.low > 4 * inside).all(1))
        low, high = self.low[wide], self.high[wide]
        for noise in (low + inside, high - inside, low + (high - low) * (0.1 + 0.8 * generator.random(low.shape))):
            yield wide, np.clip(noise, 0.0, TOP)


def cells(
    verify: Callable[[Array, Array], tuple[Array, Array]], count: int, order: Sequence[int], columns: int, bits: int = 52
) -> Cells:
    """The boxes of ``verify(rows, noise (m, columns))`` for ``count`` rows of drafts.

    ``order`` lists the columns as the rule looks at them, so that a coin that settles nothing leaves it to the later ones, here at
    their greatest value. What happens at both ends of an interval must happen in between. Breakpoints have so many ``bits``.
    """
    rows, noise, share = np.arange(count), np.full((count, columns), TOP), np.ones(count)
    lower, upper = np.zeros((count, columns)), np.ones((count, columns))
    for column in order:
        done = []
        low = np.zeros(len(rows))

        def at(value: Array, rows: Array, noise: Array, column: int = column) -> Array:
            moved = noise.copy()
            moved[:, column] = value
            return np.stack(verify(rows, moved), 1)

        top = at(np.full(len(rows), TOP), rows, noise)
        while len(rows):
            here = at(low, rows, noise)
            ends = (here == top).all(1)
            inside, beyond = low.copy(), np.where(ends, 1.0, TOP)
            if not ends.all():
                split = ~ends

                def asked(value: Array, times: int, rows: Array = rows[split], noise: Array = noise[split]) -> Array:
                    return at(value, np.repeat(rows, times), np.repeat(noise, times, 0))

                inside[split], beyond[split] = _first_change(asked, here[split], inside[split], beyond[split], bits)
            settled, begins, stops = noise.copy(), lower.copy(), upper.copy()
            settled[:, column], begins[:, column], stops[:, column] = (low + beyond) / 2, low, beyond
            done.append((rows, settled, share * (beyond - low), begins, stops))
            rows, noise, share, low, top = (part[~ends] for part in (rows, noise, share, beyond, top))
            lower, upper = lower[~ends], upper[~ends]
        rows, noise, share, lower, upper = (np.concatenate(parts) for parts in zip(*done, strict=True))
    node, token = verify(rows, noise)
    return Cells(rows, share, node, token, lower, upper)


def _first_change(at: Callable[[Array, int], Array], here: Array, inside: Array, beyond: Array, bits: int) -> tuple[Array, Array]:
    """Where each row first does something else than ``here``: the ends of an interval of 2^-bits.

    Few rows cost no more than one, so a few are asked at fifteen places at once.
    """
    places = int(np.clip(4000 // len(here), 1, 15))
    fractions = np.arange(1, places + 1) / (places + 1)
    for _ in range(int(np.ceil(bits / np.log2(places + 1)))):
        width = (beyond - inside) / (places + 1)
        middle = inside[:, None] + (beyond - inside)[:, None] * fractions
        same = (at(middle.ravel(), places).reshape(len(here), places, -1) == here[:, None]).all(2)
        passed = np.cumprod(same, 1).sum(1)
        inside, beyond = inside + passed * width, inside + (passed + 1) * width
    return inside, beyond


def emitted(of: Drafts, found: Cells) -> tuple[Array, Array]:
    """The law of the first D + 1 tokens, of shape (V,) * (D + 1), where D is the depth; and of the number of drafts kept, (D + 1,).

    After the token of the rule the target goes on.
    """
    size, law, kept = len(of.law.start), np.zeros((len(of.law.start),) * (of.depth + 1)), np.zeros(of.depth + 1)
    for node in np.unique(found.node):
        here, nodes = found.node == node, path(of.parents, int(node))
        rows, level = found.rows[here], len(nodes)
        chance = of.chance[rows] * found.share[here]
        kept[level] += chance.sum()
        begun = np.zeros((size,) * (level + 1))
        ids = [of.tokens[rows, node - 1] for node in nodes]
        np.add.at(begun, (*ids, found.token[here]), chance)
        for _ in range(of.depth - level):
            begun = begun[..., None] * of.law.then
        law += begun
    return law, kept


def distance(of: Drafts, found: Cells, law: Markov | None = None) -> float:
    """The total variation of the first D + 1 tokens from the target's law, or from another."""
    return 0.5 * float(np.abs(emitted(of, found)[0] - (law or of.law).joint(of.depth + 1)).sum())


def chances(thresholds: Array, parents: Sequence[int], upwards: bool) -> Array:
    """The probability (m, N + 1) that each node is kept, if coin i is compared with threshold i of (m, N)."""
    below = lambda node: [child for child in range(1, len(parents) + 1) if parents[child - 1] == node]  # noqa: E731
    kept = np.ones((len(thresholds), len(parents) + 1))
    if upwards:
        rest = np.ones(len(thresholds))
        for node in post_order(parents):
            kept[:, node] = rest * thresholds[:, node - 1]
            rest = rest * (1 - thresholds[:, node - 1])
        kept[:, 0] = rest
        return kept
    for node in range(len(parents) + 1):
        for child in below(node):
            kept[:, child] = kept[:, node] * thresholds[:, child - 1]
            kept[:, node] = kept[:, node] * (1 - thresholds[:, child - 1])
    return kept


def by_tables(thresholds: Array, masses: Array, parents: Sequence[int], upwards: bool) -> Cells:
    """The cells of a rule that has one threshold per node and draws from ``masses`` (m, N + 1, V) after it."""
    kept = chances(thresholds, parents, upwards)
    share = kept[..., None] * masses / masses.sum(-1, keepdims=True)
    rows, node, token = np.nonzero(share)
    return Cells(rows, share[rows, node, token], node, token)


def decided(thresholds: Array, parents: Sequence[int], upwards: bool, generator: np.random.Generator) -> tuple[Array, Array, Array]:
    """For every row a node that can be kept, and coins (m, N), a trillionth from their thresholds, with which it must be kept.

    Returns the node, the coins, and whether this is possible: a threshold may be too near 0 or 1. Coins that no rule of this order
    would look at are random.
    """
    coins, kept = generator.random(thresholds.shape), chances(thresholds, parents, upwards) > 1e-9
    node = np.argmax(generator.random(kept.shape) * kept, 1)
    order, near = post_order(parents), np.ones(len(coins), bool)
    for each in range(len(parents) + 1):
        if upwards:
            passing = [each] if each else []
            failing = order[: order.index(each)] if each else order
        else:
            passing = path(parents, each)
            below = zip([0, *passing], [*passing, len(parents) + 1], strict=True)
            failing = [s for parent, stop in below for s in range(1, stop) if parents[s - 1] == parent]
        here = node == each
        for column in (n - 1 for n in [*passing, *failing]):
            moved = thresholds[here, column] + (-1e-12 if column + 1 in passing else 1e-12)
            # A coin of exactly h fails, also where h is 0 or 1.
            coins[here, column] = np.clip(moved, 0.0, TOP)
            near[here] &= (coins[here, column] < thresholds[here, column]) == (column + 1 in passing)
    return node, coins, near


def post_order(parents: Sequence[int], node: int = 0) -> list[int]:
    below = [c for c in range(1, len(parents) + 1) if parents[c - 1] == node]
    return [n for child in below for n in [*post_order(parents, child), child]]


def together(parts: Sequence[Drafts]) -> Drafts:
    """The rows of several, for one call: only ``given`` is meant to be used."""
    joined = {
        name: np.concatenate([getattr(p, name) for p in parts]) for name in ("target", "draft", "tokens", "lengths", "chance")
    }
    return replace(parts[0], **joined)


def apart(found: Cells, parts: Sequence[Drafts]) -> list[Cells]:
    """The cells of each of the parts of :func:`together`."""
    ends = np.cumsum([len(p) for p in parts])
    result = []
    for end, part in zip(ends, parts, strict=True):
        here = (found.rows < end) & (found.rows >= end - len(part))
        result.append(Cells(found.rows[here] - (end - len(part)), found.share[here], found.node[here], found.token[here]))
    return result


def numpy_of(result: Any) -> tuple[Array, ...]:
    return tuple(np.asarray(part) for part in result)
