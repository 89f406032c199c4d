"""The whole law of what a pure verifier emits, by enumeration of the drafts and bisection of its uniforms. Nothing is sampled.

Given the drafts, what a verifier emits is piecewise constant in each of its uniforms: a coin is compared with thresholds, and a
token is drawn by inverting a distribution function. So the places where its answer changes are found by bisection, down to the last
bit of the uniforms, and between them every answer is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..arrays import is_array, to_numpy
from ..errors import BadInput, ExactnessError, InvalidSample
from .pure_verifiers import Arrays, Precision, PureVerifier, Verify, check_probs, laws_of

# With more tokens, the law after a rejection is looked at for one draft only, and random draws check that it serves for all.
_SMALL = 48
_MOST_CELLS = 1 << 21
_MOST_DRAFTS = 1 << 14
_PROBES = 2_000
# So many are asked twice before anything else.
_TWICE = 200
# So many parts of [0, 1) are looked at before any is halved.
_SEEDS = 8
_NUMBERS = 1 << 22

Laws = Any
"""Probabilities (V,), (rows, V), or a function of prefixes (n, t) that returns (n, V)."""


@dataclass(frozen=True)
class ExactLaw:
    """The law of what a verifier emits, and its distance from the target.

    Attributes:
        total_variation: the total variation between the law of the first tokens (one more than a path has drafts) and the target's.
        error: a bound on the rounding error of ``total_variation``.
        grain: how far from the target uniforms of this precision may bring even a right verifier: one ulp for each threshold.
        never_drawn: the tokens that the target gives a positive probability and the verifier never emits first. For a small
            vocabulary these are whole sequences, one per row.
        forbidden: the same for those that the target never draws and the verifier does.
        law: the probabilities of sequences, of shape (V,) * (number of tokens); of the first token alone, (V,), if V is large.
        accepted: (N + 1,) how probable each answer ``accepted`` is.
        calls: how often the verifier was called.
        probes: how many random questions it answered as predicted.
    """

    total_variation: float
    error: float
    grain: float
    never_drawn: np.ndarray
    forbidden: np.ndarray
    law: np.ndarray
    accepted: np.ndarray
    calls: int
    probes: int

    @property
    def exact(self) -> bool:
        """Whether the verifier is exact, up to the grain of its uniforms."""
        return self.total_variation <= self.grain + self.error

    def __str__(self) -> str:
        return (
            f"total variation to the target {self.total_variation:.3g} (error {self.error:.1g}, grain {self.grain:.1g}); "
            f"never drawn: {len(self.never_drawn)}, drawn but forbidden: {len(self.forbidden)}"
        )


def exact_law(
    verify: Verify,
    target_probs: Laws,
    draft_probs: Laws,
    *,
    window: int | None = None,
    parents: Sequence[int] | None = None,
    replacement: bool = True,
    arrays: Arrays = "numpy",
    dtype: Precision = "float64",
    noise_dtype: Precision = "float64",
) -> ExactLaw:
    """The law of the tokens that a verifier emits in one round, computed and not estimated.

    Args:
        verify: ``verify(target_probs (n, L + 1, V), draft_probs (n, L, V), drafts (n, L), lengths (n,), noise (n, L + 1))`` ->
            ``accepted (n,), token (n,)``. The noise is uniforms in [0, 1). For trees, it takes ``parents`` as a sixth argument.
        target_probs, draft_probs: the laws, (V,) if they are the same everywhere, or one row per position (L + 1 and L rows), or
            functions of prefixes: (n, t) integers -> (n, V) probabilities.
        window: L, the number of drafts. The default is the number of rows of ``draft_probs``, or 1.
        parents: for trees, the parent of each node 1..N, 0 for the prefix: (0, 0) is two drafts for one place. Every node is
            drafted from the draft's law after its parent.
        replacement: whether siblings are drafted independently; else each from the draft's law without those before it.
        arrays, dtype, noise_dtype: what the verifier takes. Uniforms of float32 are multiples of 2^-24, and so on.

    One draft can be judged for any vocabulary; then 100 calls are typical, each with a row per token. For more drafts, V^L must
    stay below 16,384. The target is compared as it is given, in double precision.

    Raises:
        BadInput: if the answers are not piecewise constant in each uniform, as with races of exponentials. Judge such a verifier by
            its draws: :func:`from_token_verifier`.

    >>> p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    >>> def verify(target, draft, drafts, lengths, noise):
    ...     rows = np.arange(len(drafts))
    ...     y = drafts[:, 0]
    ...     keep = noise[:, 0] * draft[rows, 0, y] < target[rows, 0, y]
    ...     mass = np.where(keep[:, None], target[:, 1], np.maximum(target[:, 0] - draft[:, 0], 0))
    ...     sums = mass.cumsum(1)
    ...     return keep.astype(int), (sums <= noise[:, 1:] * sums[:, -1:]).sum(1)
    >>> exact_law(verify, p, q).exact
    True
    >>> half = lambda target, draft, *more: verify(target, np.roll(draft, 1, axis=2), *more)  # The draft's laws are mixed up.
    >>> round(exact_law(half, p, q).total_variation, 3)
    0.3
    """
    pure = PureVerifier(verify, arrays, dtype, noise_dtype, None if parents is None else tuple(int(node) for node in parents))
    nodes = pure.parents if pure.parents is not None else tuple(range(_window(window, draft_probs)))
    if not nodes or any(not 0 <= node <= i for i, node in enumerate(nodes)):
        raise BadInput(f"parents must name for each node 1, 2, ... one that comes before it, 0 for the prefix; got {nodes}")
    if pure.parents is not None and window not in (None, len(nodes)):
        raise BadInput(f"window is {window}, but there are {len(nodes)} parents: leave window= out for trees")
    tree = Tree(nodes, target_probs, draft_probs, replacement)
    _check_answers(pure, tree)
    try:
        if len(nodes) == 1 and tree.vocabulary > _SMALL:
            return _one_step(pure, tree)
        return _enumerated(pure, tree)
    except InvalidSample as error:
        raise BadInput(f"the verifier cannot be used: {error}") from error


def _check_answers(pure: PureVerifier, tree: Tree) -> None:
    """Ask a few random questions twice. Without this, noise of the verifier's own would be taken for ever more thresholds."""
    generator, asked = np.random.default_rng(0), Questions(pure, tree)
    which = generator.integers(0, len(tree.drafts), _TWICE)
    noise = generator.integers(0, asked.top + 1, (_TWICE, len(tree.parents) + 1))
    try:
        same = np.array_equal(asked.ask(which, noise), asked.ask(which, noise))
    except ExactnessError as error:
        raise BadInput(f"the verifier cannot be used: {error}") from error
    except Exception as error:
        raise BadInput(
            f"verify raised {type(error).__name__}: {error}. It is called as verify(target_probs, draft_probs, drafts, lengths, "
            f"noise{'' if pure.parents is None else ', parents=parents'})"
        ) from error
    if not same:
        raise BadInput("verify gave two answers to the same noise: it must not draw noise of its own")


class Tree:
    """The drafts that can be made, with their probabilities, and the laws after them."""

    def __init__(self, parents: tuple[int, ...], target: Laws, draft: Laws, replacement: bool) -> None:
        self.parents = parents
        self.depths = [0]
        for parent in parents:
            self.depths.append(self.depths[parent] + 1)
        self.depth = max(self.depths)
        self.paths = [self._path(node) for node in range(len(parents) + 1)]
        self.target = _tables(target, self.depth + 1, "target_probs")
        self.draft = _tables(draft, self.depth, "draft_probs")
        self.vocabulary = self.target[0].shape[1]
        if self.draft[0].shape[1] != self.vocabulary:
            raise BadInput(f"target_probs has {self.vocabulary} tokens, and draft_probs has {self.draft[0].shape[1]}")
        count = self.vocabulary ** len(parents)
        if len(parents) > 1 and (count > _MOST_DRAFTS or self.vocabulary ** (self.depth + 1) > _MOST_CELLS):
            raise BadInput(
                f"{self.vocabulary} tokens and {len(parents)} drafts are too many to enumerate: take fewer tokens or drafts"
            )
        drafts = np.indices((self.vocabulary,) * len(parents)).reshape(len(parents), -1).T
        chance = self._chance(drafts, replacement)
        self.drafts, self.chance = drafts[chance > 0], chance[chance > 0]

    def _path(self, node: int) -> list[int]:
        return [*self._path(self.parents[node - 1]), node] if node else []

    def code(self, drafts: np.ndarray, node: int) -> np.ndarray:
        """The number of the prefix that ends in a node, among all of its length."""
        found = np.zeros(len(drafts), dtype=np.int64)
        for i in self.paths[node]:
            found = found * self.vocabulary + drafts[:, i - 1]
        return found

    def laws(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The target's laws (n, N + 1, V) and the draft's (n, N, V) for drafts of these numbers, as they were given."""
        drafts = self.drafts[which]
        at = lambda tables, node: _row(tables[self.depths[node]], self.code(drafts, node))  # noqa: E731
        target = [at(self.target, node) for node in range(len(self.parents) + 1)]
        return np.stack(target, axis=1), np.stack([at(self.draft, parent) for parent in self.parents], axis=1)

    def _chance(self, drafts: np.ndarray, replacement: bool) -> np.ndarray:
        found = np.ones(len(drafts))
        for node, parent in enumerate(self.parents, 1):
            q = _row(self.draft[self.depths[parent]], self.code(drafts, parent))
            rows, own = np.arange(len(drafts)), drafts[:, node - 1]
            before = [i for i in range(1, node) if self.parents[i - 1] == parent] if not replacement else []
            rest = np.array(q, copy=True) if before else q
            for i in before:
                rest[rows, drafts[:, i - 1]] = 0.0
            total = rest.sum(axis=1)
            found = found * np.divide(rest[rows, own], total, out=np.zeros(len(drafts)), where=total > 0)
        return found

    def law_of(self, begun: list[np.ndarray]) -> np.ndarray:
        """The law of depth + 1 tokens, from the probabilities begun[i] (V^(i + 1),) with which i + 1 are out, and p after them."""
        found = np.zeros(1)
        for i in range(self.depth + 1):
            following = self.target[i] / self.target[i].sum(axis=1, keepdims=True)
            found = (found[:, None] * following).ravel() + begun[i]
        return found.reshape((self.vocabulary,) * (self.depth + 1))

    def promised(self) -> np.ndarray:
        """The target's law of depth + 1 tokens."""
        first = self.target[0][0] / self.target[0][0].sum()
        return self.law_of([first, *(np.zeros(self.vocabulary ** (i + 1)) for i in range(1, self.depth + 1))])


class Questions:
    """The verifier's answers as accepted * V + token, for drafts of these numbers and noise that is given in ulps."""

    def __init__(self, pure: PureVerifier, tree: Tree) -> None:
        self.pure, self.tree, self.top = pure, tree, (1 << pure.bits) - 1

    def ask(self, which: np.ndarray, noise: np.ndarray) -> np.ndarray:
        step = max(1, _NUMBERS // (noise.shape[1] * self.tree.vocabulary))
        found = []
        for i in range(0, len(which), step):
            mine = which[i : i + step]
            target, draft = self.tree.laws(mine)
            coins = np.ldexp(noise[i : i + step].astype(np.float64), -self.pure.bits)
            lengths = np.full(len(mine), len(self.tree.parents))
            accepted, token = self.pure(target, draft, self.tree.drafts[mine], lengths, coins)
            found.append(accepted * self.tree.vocabulary + token)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)

    def edges(self, which: np.ndarray, axis: np.ndarray, base: np.ndarray) -> list[np.ndarray]:
        """For each task, where the answer changes along one uniform, the others staying at ``base``: from 0 to 2^bits."""

        def answers(tasks: np.ndarray, values: np.ndarray) -> np.ndarray:
            noise = base[tasks].copy()
            noise[np.arange(len(tasks)), axis[tasks]] = values
            return self.ask(which[tasks], noise)

        grid = np.unique(np.linspace(0, self.top, min(_SEEDS, self.top) + 1).astype(np.int64))
        tasks = np.arange(len(which)).repeat(len(grid))
        first = answers(tasks, np.tile(grid, len(which))).reshape(len(which), len(grid))
        of = np.arange(len(which)).repeat(len(grid) - 1)
        low, high = np.tile(grid[:-1], len(which)), np.tile(grid[1:], len(which))
        at_low, at_high = first[:, :-1].ravel(), first[:, 1:].ravel()
        ends_of, ends = [np.arange(len(which)).repeat(2)], [np.tile([0, self.top + 1], len(which))]
        while len(of):
            differ = at_low != at_high
            of, low, high, at_low, at_high = (x[differ] for x in (of, low, high, at_low, at_high))
            near = high - low == 1
            ends_of.append(of[near])
            ends.append(high[near])
            of, low, high, at_low, at_high = (x[~near] for x in (of, low, high, at_low, at_high))
            if not len(of):
                break
            middle = low + (high - low) // 2
            at = answers(of, middle)
            of = np.concatenate([of, of])
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
            at_low, at_high = np.concatenate([at_low, at]), np.concatenate([at, at_high])
        owner, where = np.concatenate(ends_of), np.concatenate(ends)
        order = np.lexsort((where, owner))
        return np.split(where[order], np.flatnonzero(np.diff(owner[order])) + 1)


def _enumerated(pure: PureVerifier, tree: Tree) -> ExactLaw:
    """All drafts, and all pieces of the noise."""
    asked, nodes, count = Questions(pure, tree), len(tree.parents), len(tree.drafts)
    # Where each coin changes the answer, the others being as low or as high as they can be. This shows every threshold that is
    # compared with a coin. Where coins draw tokens, some show only with others in between, so it may have to be looked at again.
    coins = [[np.array([0, asked.top])] * nodes for _ in range(count)]
    for attempt in range(nodes + 1):
        coins = coin_edges(asked, coins, ends=attempt == 0)
        pieces = [(w, *cell) for w in range(count) for cell in product(*(range(len(edges) - 1) for edges in coins[w]))]
        if len(pieces) > _MOST_CELLS:
            raise BadInput("there are too many thresholds to be enumerated: judge the verifier by its draws (from_token_verifier)")
        # For each piece of the coins, where the token changes, and what is emitted in between.
        middles = np.array([[_middle(coins[w][j], i) for j, i in enumerate(cell)] + [0] for w, *cell in pieces])
        owner = np.array([piece[0] for piece in pieces])
        tokens = asked.edges(owner, np.full(len(pieces), nodes), middles)
        of = np.arange(len(pieces)).repeat([len(edges) - 1 for edges in tokens])
        noise = middles[of]
        noise[:, nodes] = np.concatenate([edges[:-1] + np.diff(edges) // 2 for edges in tokens])
        answers = asked.ask(owner[of], noise)
        # Whether that is all: random noise must give what is predicted.
        generator = np.random.default_rng(0)
        some, at = generator.integers(0, count, _PROBES), generator.integers(0, asked.top + 1, (_PROBES, nodes + 1))
        number = {piece: i for i, piece in enumerate(pieces)}
        starts = np.concatenate([[0], np.cumsum([len(edges) - 1 for edges in tokens])])
        predicted = np.empty(_PROBES, dtype=np.int64)
        for row, (w, noises) in enumerate(zip(some.tolist(), at, strict=True)):
            piece = number[(w, *(int(np.searchsorted(coins[w][j], noises[j], "right")) - 1 for j in range(nodes)))]
            predicted[row] = answers[starts[piece] + int(np.searchsorted(tokens[piece], noises[nodes], "right")) - 1]
        seen = asked.ask(some, at)
        if np.array_equal(predicted, seen):
            break
    _check(predicted, seen)
    share = np.array([np.prod([_width(coins[w][j], i, pure.bits) for j, i in enumerate(cell)]) for w, *cell in pieces])
    widths = np.ldexp(np.concatenate([np.diff(edges) for edges in tokens]).astype(float), -pure.bits)
    weight = tree.chance[owner[of]] * share[of] * widths

    size = tree.vocabulary
    kept, token = answers // size, answers % size
    begun = [np.zeros(size ** (i + 1)) for i in range(tree.depth + 1)]
    for node in range(nodes + 1):
        mine = kept == node
        if not mine.any():
            continue
        code = tree.code(tree.drafts[owner[of][mine]], node) * size + token[mine]
        begun[tree.depths[node]] += np.bincount(code, weight[mine], len(begun[tree.depths[node]]))
    # Every threshold may lie anywhere within its ulp.
    thresholds = (sum(len(e) - 2 for row in coins for e in row) + sum(len(e) - 2 for e in tokens)) / count
    error = 2.0**-52 * (64 + len(weight) / len(begun[-1]))
    law, promised = tree.law_of(begun), tree.promised()
    distance = 0.5 * float(np.abs(law - promised).sum())
    return _result(pure, law, promised, distance, error, thresholds * 2.0**-pure.bits, np.bincount(kept, weight, nodes + 1))


def coin_edges(asked: Questions, known: list[list[np.ndarray]], ends: bool) -> list[list[np.ndarray]]:
    """For each draft and coin, where the answer changes, for all combinations of the other coins: their ``known`` edges if these
    are the ends, else one place in each piece between known edges."""
    nodes = len(known[0])
    tasks: list[tuple[int, int]] = []
    base: list[list[int]] = []
    for w, edges in enumerate(known):
        places = [e.tolist() if ends else [_middle(e, i) for i in range(len(e) - 1)] for e in edges]
        for j in range(nodes):
            for others in product(*places[:j], [0], *places[j + 1 :]):
                tasks.append((w, j))
                base.append([*others, asked.top // 2])
    which, axis = np.array(tasks).T
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for task, edges_found in zip(tasks, asked.edges(which, axis, np.array(base, dtype=np.int64)), strict=True):
        found.setdefault(task, []).append(edges_found)
    return [[np.unique(np.concatenate(found[w, j])) for j in range(nodes)] for w in range(len(known))]


def _one_step(pure: PureVerifier, tree: Tree) -> ExactLaw:
    """One draft from a large vocabulary. The law after a rejection must not depend on which draft was rejected."""
    asked, size, count = Questions(pure, tree), tree.vocabulary, len(tree.drafts)
    every = np.arange(count)
    half = np.full((count, 2), asked.top // 2)
    coins = asked.edges(every, np.zeros(count, dtype=int), half)
    owner = every.repeat([len(edges) - 1 for edges in coins])
    middles = np.concatenate([edges[:-1] + np.diff(edges) // 2 for edges in coins])
    share = tree.chance[owner] * np.ldexp(np.concatenate([np.diff(edges) for edges in coins]).astype(float), -pure.bits)
    kept = asked.ask(owner, np.stack([middles, np.full(len(middles), asked.top // 2)], axis=1)) // size
    # The token after a rejection, and the one after the accepted draft, each for the draft that leads there most often.
    best = [mine[share[mine].argmax()] for mine in (np.flatnonzero(kept == 0), np.flatnonzero(kept == 1)) if len(mine)]
    edges_of = asked.edges(owner[best], np.ones(len(best), dtype=int), np.stack([middles[best], np.zeros_like(best)], axis=1))
    drawn, tokens = np.zeros((2, size)), [(np.array([0, asked.top + 1]), np.array([-1]))] * 2
    for one, edges in zip(best, edges_of, strict=True):
        inside = np.stack([np.full(len(edges) - 1, middles[one]), edges[:-1] + np.diff(edges) // 2], axis=1)
        answers = asked.ask(np.full(len(inside), owner[one]), inside)
        drawn[kept[one]] = np.bincount(answers % size, np.ldexp(np.diff(edges).astype(float), -pure.bits), size)
        tokens[kept[one]] = edges, answers
    generator = np.random.default_rng(0)
    some, at = generator.integers(0, count, _PROBES), generator.integers(0, asked.top + 1, (_PROBES, 2))
    starts = np.concatenate([[0], np.cumsum([len(edges) - 1 for edges in coins])])
    piece = [starts[w] + np.searchsorted(coins[w], c, "right") - 1 for w, c in zip(some, at[:, 0], strict=True)]
    predicted = np.empty(_PROBES, dtype=np.int64)
    for outcome, (edges, answers) in enumerate(tokens):
        mine = kept[piece] == outcome
        predicted[mine] = answers[np.searchsorted(edges, at[mine, 1], "right") - 1]
    _check(predicted, asked.ask(some, at))

    accepted = np.bincount(tree.drafts[owner, 0][kept == 1], share[kept == 1], size)
    rejected = float(share[kept == 0].sum())
    replaced = rejected * drawn[0]
    p, after = (table[0] / table[0].sum() for table in tree.target)
    law = accepted + replaced
    # The law of two tokens: accepted(x) drawn(x') + replaced(x) p(x'), which is p(x) p(x') for an exact verifier.
    step = max(1, _NUMBERS // size)
    distance = 0.5 * sum(
        float(np.abs(accepted[i : i + step, None] * (drawn[1] - after) + (law - p)[i : i + step, None] * after).sum())
        for i in range(0, size, step)
    )
    # Each threshold may lie anywhere within its ulp: one for the draft that is made, and those of the token after it.
    thresholds = float((tree.chance * [len(edges) - 2 for edges in coins]).sum())
    thresholds += rejected * (len(tokens[0][0]) - 2) + (1.0 - rejected) * (len(tokens[1][0]) - 2)
    error = 2.0**-52 * 64
    return _result(pure, law, p, distance, error, thresholds * 2.0**-pure.bits, np.array([rejected, float(accepted.sum())]))


def _result(
    pure: PureVerifier,
    law: np.ndarray,
    promised: np.ndarray,
    distance: float,
    error: float,
    grain: float,
    accepted: np.ndarray,
) -> ExactLaw:
    lists = [np.argwhere(mask) for mask in ((promised > 0) & (law == 0), (promised == 0) & (law > 0))]
    never, forbidden = (found[:, 0] if law.ndim == 1 else found for found in lists)
    return ExactLaw(distance, error, grain, never, forbidden, law, accepted, pure.calls, _PROBES)


def _check(predicted: np.ndarray, seen: np.ndarray) -> None:
    wrong = int((predicted != seen).sum())
    if wrong:
        raise BadInput(
            f"{wrong} of {len(seen)} random answers of verify differ from those that its thresholds predict: it draws noise of its "
            "own, or does not invert a distribution function, or (with a large vocabulary) replaces a draft by a law that depends "
            f"on the draft. Take at most {_SMALL} tokens, or judge it by its draws: from_token_verifier"
        )


def _tables(laws: Laws, rows: int, name: str) -> list[np.ndarray]:
    """Entry i holds the laws after all prefixes of i tokens, (V^i, V), or one row for all of them."""
    if not callable(laws):
        return list(laws_of(laws, rows, name)[:, None])
    call: Callable[[np.ndarray], Any] = laws
    found: list[np.ndarray] = []
    for i in range(rows):
        size = found[0].shape[1] if found else 1
        if size**i > _MOST_CELLS // max(size, 1):
            raise BadInput(f"{name}: {size}^{i} prefixes are too many to enumerate: take a smaller vocabulary or window")
        prefixes = np.indices((size,) * i).reshape(i, -1).T if i else np.zeros((1, 0), dtype=np.int64)
        given = call(prefixes.astype(np.int64))
        table = np.asarray(to_numpy(given) if is_array(given) else given, dtype=np.float64)
        if table.ndim != 2 or len(table) != len(prefixes) or (found and table.shape[1] != size):
            raise BadInput(f"{name} must return one row of probabilities per prefix, ({len(prefixes)}, V); got {table.shape}")
        check_probs(table, name)
        found.append(table)
    return found


def _row(table: np.ndarray, code: np.ndarray) -> np.ndarray:
    """The laws of prefixes. A table of one row serves for all."""
    return np.broadcast_to(table[0], (len(code), table.shape[1])) if len(table) == 1 else table[code]


def _window(window: int | None, draft: Laws) -> int:
    if window is not None:
        if isinstance(window, bool) or not isinstance(window, (int, np.integer)) or window < 1:
            raise BadInput(f"window must be a positive integer, the number of drafts, not {window!r}")
        return int(window)
    return 1 if callable(draft) or np.ndim(draft) < 2 else len(draft)


def _middle(edges: np.ndarray, i: int) -> int:
    return int(edges[i] + (edges[i + 1] - edges[i]) // 2)


def _width(edges: np.ndarray, i: int, bits: int) -> float:
    return float(np.ldexp(float(edges[i + 1] - edges[i]), -bits))
