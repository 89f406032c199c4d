"""Verification of trees of drafted tokens: pure functions of probabilities, drafts, parents and noise.

    verify(target_probs, draft_probs, drafts, lengths, noise, parents) -> node, token

A tree has the nodes 0, 1, ..., N. Node 0 is the prefix, and node i > 0 carries the draft ``drafts[:, i - 1]``, drawn from
``draft_probs[:, i - 1]`` after the node ``parents[i - 1]`` < i. All rows share ``parents``, a tuple of N integers. A node is absent
in a row where i exceeds the row's ``lengths`` (n,) or its draft is -1, so trees that differ share the nodes of one.
``target_probs`` (n, N + 1, V) is the target's law after each node, ``drafts`` is (n, N) and ``draft_probs`` (n, N, V): siblings are
given the same law q, also absent ones, and also when they were drawn without replacement.

``node`` (n,) is the last node that is kept (0: none) and ``token`` (n,) the id emitted after it; :func:`ancestors` tells the path.
In a chain, with parents (0, 1, ..., L - 1), the node is the number of accepted drafts. ``noise`` (n, N + 1) holds one uniform per
node: column i - 1 for node i and the last column for the token, unless the rule says otherwise.

Sources: Miao et al. 2023, arXiv 2305.09781 (recursive rejection); Sun et al. 2023, arXiv 2310.15141 (k-SEQ); arXiv 2505.12398
(traversal); arXiv 2602.16961 and 2604.25925 (greedy multi-path block).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from .tokens import block, check_shapes, draw

Parents = tuple[int, ...]
Tables = Callable[[jax.Array, jax.Array, jax.Array, jax.Array, Parents], tuple[jax.Array, jax.Array]]
"""(target_probs, draft_probs, drafts, lengths, parents) -> (thresholds (n, N), masses (n, N + 1, V))."""
Walk = Callable[[jax.Array, jax.Array, Parents], jax.Array]
"""(thresholds (n, N), uniforms (n, N), parents) -> node (n,)."""


def children(parents: Parents, node: int) -> list[int]:
    """The nodes below this one, in the order of their drawing.

    >>> children((0, 0, 1, 1), 1)
    [3, 4]
    """
    return [child for child in range(1, len(parents) + 1) if parents[child - 1] == node]


def ancestors(parents: Parents, node: int) -> list[int]:
    """The path from the root to this node, without the root and with the node.

    >>> ancestors((0, 0, 1, 1), 4)
    [1, 4]
    """
    return [] if node == 0 else [*ancestors(parents, parents[node - 1]), node]


def upwards(parents: Parents, node: int = 0) -> list[int]:
    """The nodes below this one, each after all that are below it (post-order).

    >>> upwards((0, 0, 1, 1))
    [3, 4, 1, 2]
    """
    order: list[int] = []
    for child in children(parents, node):
        order += [*upwards(parents, child), child]
    return order


def present(drafts: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which nodes are there, (n, N), and the drafts (n, N) with an id that can be looked up, 0, where none is."""
    there = (jnp.arange(drafts.shape[1]) < lengths[:, None]) & (drafts >= 0)
    return there, jnp.where(there, drafts, 0)


@dataclass(frozen=True)
class Tree:
    """A rule with one threshold per node, which no coin has a part in, and the order in which the coins are compared with them.

    Attributes:
        tables: the thresholds h (n, N), and the masses (n, N + 1, V) from which the token after each node is drawn.
        walk: which node is kept, from thresholds and uniforms.
        draw: (masses (n, V), uniforms (n,)) -> ids.

    Example:
        Two drafts for one place. The first is refused, the second accepted.

        >>> p, q = jnp.array([[0.2, 0.8]]), jnp.array([[0.5, 0.5]])
        >>> target, draft = jnp.stack([p, p, p], 1), jnp.stack([q, q], 1)
        >>> drafts, lengths, noise = jnp.array([[0, 1]]), jnp.array([2]), jnp.array([[0.9, 0.9, 0.1]])
        >>> node, token = recursive(target, draft, drafts, lengths, noise, (0, 0))
        >>> int(node[0]), int(token[0])
        (2, 0)
    """

    tables: Tables
    walk: Walk
    draw: Callable[[jax.Array, jax.Array], jax.Array] = draw
    name: str = "tree"

    def __call__(
        self,
        target_probs: jax.Array,
        draft_probs: jax.Array,
        drafts: jax.Array,
        lengths: jax.Array,
        noise: jax.Array,
        parents: Parents,
    ) -> tuple[jax.Array, jax.Array]:
        return _tree(self, parents, target_probs, draft_probs, drafts, lengths, noise)


def _tree(rule: Tree, parents: Parents, *inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    target_probs, draft_probs, drafts, lengths, noise = inputs
    check_shapes(target_probs, drafts, noise)
    thresholds, masses = rule.tables(target_probs, draft_probs, drafts, lengths, parents)
    node = rule.walk(thresholds, noise[:, :-1], parents)
    return node, rule.draw(jax.vmap(lambda row, i: row[i])(masses, node), noise[:, -1])


_tree = jax.jit(_tree, static_argnums=(0, 1))


def walk_down(thresholds: jax.Array, uniforms: jax.Array, parents: Parents) -> jax.Array:
    """From the root to the first child that passes, until no child does. A node passes if u < h."""

    def step(node: jax.Array, column: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        child, parent, passed = column
        return jnp.where((node == parent) & passed, child, node), None

    nodes = jnp.arange(1, len(parents) + 1)
    columns = nodes, jnp.array(parents, nodes.dtype), (uniforms < thresholds).T
    return lax.scan(step, jnp.zeros(len(uniforms), nodes.dtype), columns)[0]


def walk_up(thresholds: jax.Array, uniforms: jax.Array, parents: Parents) -> jax.Array:
    """The first node that passes, from the leaves to the root, which always does. A node passes if u < h."""
    order = jnp.array([*upwards(parents), 0])
    passed = jnp.concatenate([uniforms < thresholds, jnp.ones((len(uniforms), 1), bool)], axis=1)[:, order - 1]
    return order[jnp.argmax(passed, axis=1)]


def recursive_tables(
    target_probs: jax.Array,
    draft_probs: jax.Array,
    drafts: jax.Array,
    lengths: jax.Array,
    parents: Parents,
    replacement: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """a_1 = p; child i is accepted with min(1, a_i/b_i); a_{i+1} is (a_i - b_i)_+ normalised. See :class:`Tree`.

    b_i is q, and without replacement q without the earlier siblings, normalised.
    """

    def of_row(target: jax.Array, draft: jax.Array, tokens: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
        def refuse(
            state: tuple[jax.Array, jax.Array], child: tuple[jax.Array, ...]
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            (a, left), (q, x, here) = state, child
            b = draft_law(q, left)
            rest = _normalised(jnp.maximum(a - b, 0.0), a)
            left_then = left if replacement else left.at[x].set(False)
            return (jnp.where(here, rest, a), jnp.where(here, left_then, left)), jnp.where(here, ratio(a[x], b[x]), 0.0)

        thresholds, masses = jnp.zeros(len(parents), target.dtype), target
        for node in sorted(set(parents)):
            below = jnp.array(children(parents, node))
            columns = draft[below - 1], tokens[below - 1], there[below - 1]
            (a, _), accepts = lax.scan(refuse, (target[node], jnp.ones(target.shape[1], bool)), columns)
            thresholds, masses = thresholds.at[below - 1].set(accepts), masses.at[node].set(a)
        return thresholds, masses

    there, drafts = present(drafts, lengths)
    return jax.vmap(of_row)(target_probs, draft_probs, drafts, there)


def traversal_tables(
    target_probs: jax.Array,
    draft_probs: jax.Array,
    drafts: jax.Array,
    lengths: jax.Array,
    parents: Parents,
    replacement: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """The weight and the law of every node once all its children are given up. See :class:`Tree`.

    A node starts with a weight w, 1 at the root, and the law a = p. Child x, drawn from b, starts with min(1, w a(x)/b(x)). When
    it is given up, r = (w a - b)_+ with the sum Z, w becomes Z/(Z + 1 - w), and a becomes r/Z. A tree with one child per node
    is block verification. Source: arXiv 2505.12398.
    """

    def of_row(target: jax.Array, draft: jax.Array, tokens: jax.Array, there: jax.Array) -> tuple[jax.Array, jax.Array]:
        thresholds, masses = jnp.zeros(len(parents), target.dtype), target
        # A node's weight upon entering does not depend on what is below its earlier siblings, so the way is from the root down.
        entering = {0: jnp.ones((), target.dtype)}
        for node in range(len(parents) + 1):
            w, a, left = entering[node], target[node], jnp.ones(target.shape[1], bool)
            for child in children(parents, node):
                q, x, here = draft[child - 1], tokens[child - 1], there[child - 1]
                b = draft_law(q, left)
                entering[child] = jnp.where(here, ratio(w * a[x], b[x]), 0.0)
                r = jnp.maximum(w * a - b, 0.0)
                mass = r.sum()
                total = mass + 1.0 - w
                given_up = jnp.where(total > 0, mass / jnp.where(total > 0, total, 1.0), 0.0)
                w, a = jnp.where(here, given_up, w), jnp.where(here, _normalised(r, a), a)
                left = left if replacement else left.at[x].set(left[x] & ~here)
            masses = masses.at[node].set(a)
            if node:
                thresholds = thresholds.at[node - 1].set(w)
        return thresholds, masses

    there, drafts = present(drafts, lengths)
    return jax.vmap(of_row)(target_probs, draft_probs, drafts, there)


def kseq_tables(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, parents: Parents
) -> tuple[jax.Array, jax.Array]:
    """Each of k i.i.d. children is accepted with min(1, p/(rho q)), for the best rho. See :class:`Tree` and :func:`best_rho`.

    With beta = sum min(q, p/rho), what is left after k rejections is p - min(q, p/rho) (1 - (1 - beta)^k)/beta.
    """
    nodes, drafts = present(drafts, lengths)
    thresholds, masses = jnp.zeros(drafts.shape, target_probs.dtype), target_probs
    for node in sorted(set(parents)):
        below = jnp.array(children(parents, node))
        p, q, there = target_probs[:, node], draft_probs[:, below[0] - 1], nodes[:, below - 1]
        count = there.sum(1)
        rho = best_rho(p, q, count)
        shared = jnp.minimum(q, p / rho[:, None])
        x = drafts[:, below - 1]
        accepts = ratio(jnp.take_along_axis(p, x, 1) / rho[:, None], jnp.take_along_axis(q, x, 1))
        left = jnp.maximum(p - shared * _geometric(1.0 - shared.sum(-1), count, len(below))[:, None], 0.0)
        thresholds = thresholds.at[:, below - 1].set(jnp.where(there, accepts, 0.0))
        masses = masses.at[:, node].set(jnp.where(jnp.any(left > 0, axis=1, keepdims=True), left, p))
    return thresholds, masses


@jax.jit
def best_rho(target: jax.Array, draft: jax.Array, count: jax.Array) -> jax.Array:
    """The smallest rho in [1, k] with 1 - (1 - beta)^k <= rho beta, where beta = sum min(q, p/rho), shape (n,).

    ``target`` and ``draft`` are (n, V) and ``count`` (n,) is k. Every rho that satisfies this makes k-SEQ exact, and the smallest
    accepts most. rho beta grows with rho and 1 - (1 - beta)^k falls, so the root is bisected, to the last bit but a few.

    Source: Sun et al. 2023, arXiv 2310.15141.

    Example:
        >>> p, q = jnp.array([[1.0, 0.0]]), jnp.array([[0.5, 0.5]])
        >>> round(float(best_rho(p, q, jnp.array([2]))[0]), 5)
        1.5
    """

    def enough(rho: jax.Array) -> jax.Array:
        # 1 - beta as a sum without cancellation, so that equal laws have the root 1 and nothing near it.
        rest = jnp.maximum(draft - target / rho[:, None], 0.0).sum(-1)
        disjoint = ~jnp.any((draft > 0) & (target > 0), axis=-1)
        return disjoint | (1.0 - rest**count <= rho * (1.0 - rest))

    def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        passes = enough(middle)
        return jnp.where(passes, low, middle), jnp.where(passes, middle, high)

    one = jnp.ones_like(target[:, 0])
    most = jnp.where(enough(one), one, jnp.maximum(count, 1).astype(target.dtype))
    return lax.fori_loop(0, 60, halve, (one, most))[1]


recursive = Tree(recursive_tables, walk_down, name="recursive rejection")
recursive_without_replacement = Tree(
    partial(recursive_tables, replacement=False), walk_down, name="recursive rejection without replacement"
)
traversal = Tree(traversal_tables, walk_up, name="traversal")
traversal_without_replacement = Tree(partial(traversal_tables, replacement=False), walk_up, name="traversal without replacement")
kseq = Tree(kseq_tables, walk_down, name="k-SEQ")


@partial(jax.jit, static_argnames="parents")
def target_only(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array, parents: Parents
) -> tuple[jax.Array, jax.Array]:
    """The coin of a node falls into a child's share p(x), or else draws a token from p without the children.

    Column i of ``noise`` is the coin of node i, and is used once. ``draft_probs`` is not read (may be None). A child that repeats
    an earlier sibling has no share.
    """
    check_shapes(target_probs, drafts, noise)
    below = [jnp.array(children(parents, node), int) for node in range(len(parents) + 1)]

    def of_row(target: jax.Array, tokens: jax.Array, present_here: jax.Array, coins: jax.Array) -> tuple[jax.Array, jax.Array]:
        following, drawn = [], []
        for node, kids in enumerate(below):
            p, coin = target[node], coins[node]
            there, x = present_here[kids - 1], tokens[kids - 1]
            repeats = jnp.tril(x[:, None] == x[None, :], -1) & there[None, :]
            shares = jnp.where(there & ~repeats.any(1), p[x], 0.0)
            reached = jnp.cumsum(shares)
            inside = (coin < reached) & (shares > 0)
            total = shares.sum()
            rest = p.at[jnp.where(there, x, len(p))].set(0.0, mode="drop")
            rest = jnp.where(jnp.any(rest > 0), rest, p)
            following.append(jnp.where(inside.any(), kids[jnp.argmax(inside)], -1) if len(kids) else jnp.array(-1))
            drawn.append(draw(rest[None], jnp.maximum(coin - total, 0.0)[None] / jnp.maximum(1.0 - total, _tiny(p)))[0])
        after = jnp.stack(following)
        last = lax.while_loop(lambda node: after[node] > 0, lambda node: after[node], jnp.zeros((), after.dtype))
        return last, jnp.stack(drawn)[last]

    nodes, drafts = present(drafts, lengths)
    return jax.vmap(of_row)(target_probs, drafts, nodes, noise)


@partial(jax.jit, static_argnames="parents")
def sampled_tree(
    target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, lengths: jax.Array, noise: jax.Array, parents: Parents
) -> tuple[jax.Array, jax.Array]:
    """A token is drawn from the target at each node, once, by column i of ``noise``; it is followed where a child equals it.

    ``draft_probs`` is not read (may be None).
    """
    check_shapes(target_probs, drafts, noise)
    drawn = jax.vmap(draw)(target_probs, noise)
    there, drafts = present(drafts, lengths)
    follows = there & (drafts == drawn[:, jnp.array(parents, int)])
    node = walk_down(follows.astype(noise.dtype), jnp.zeros_like(noise[:, :-1]), parents)
    return node, jax.vmap(lambda row, i: row[i])(drawn, node)


@dataclass(frozen=True)
class GreedyMultiPath:
    """Of k i.i.d. paths the greatest is kept, in a lexicographic order that the prefix fixes, and verified as a block.

    The tree must be k chains of equal length L from the root, and of ``noise`` the first L columns and the last one are
    read. With F the distribution function of a
    path in this order and F_- that below it, the greatest of k paths has the law F^k - F_-^k, which is computed token by token;
    block verification against that law is exact. ``lengths`` must be N for every row.

    Attributes:
        order: ``ratio`` orders tokens by increasing p/q, which keeps more drafts; ``index`` by their id.
    """

    order: Literal["ratio", "index"] = "ratio"
    name: str = "greedy multi-path block"

    def __call__(
        self,
        target_probs: jax.Array,
        draft_probs: jax.Array,
        drafts: jax.Array,
        lengths: jax.Array,
        noise: jax.Array,
        parents: Parents,
    ) -> tuple[jax.Array, jax.Array]:
        return _verify_greatest(self, parents, target_probs, draft_probs, drafts, lengths, noise)

    def greatest(
        self, target_probs: jax.Array, draft_probs: jax.Array, drafts: jax.Array, parents: Parents
    ) -> tuple[jax.Array, jax.Array]:
        """The nodes (n, L) of the greatest path, and the law (n, L, V) of each of its tokens after the ones before."""
        paths = jnp.array(chains_of(parents))

        def of_row(target: jax.Array, draft: jax.Array, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
            def level(state: tuple[jax.Array, ...], nodes: jax.Array) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, jax.Array]]:
                before, leading, below, mass = state
                q = draft[nodes[jnp.argmax(leading)] - 1]
                order = self.ranked(target[before][None], q[None])[0]
                rank = jnp.argsort(order)
                reach = jnp.cumsum(q[order])[rank]
                # The chance that one path lies at or below each token, and strictly below it.
                upto, under = below + mass * reach, below + mass * jnp.maximum(reach - q, 0.0)
                law = _normalised(jnp.maximum(jnp.minimum(upto, 1.0) ** len(paths) - under ** len(paths), 0.0) * (q > 0), q)
                ranks = jnp.where(leading, rank[tokens[nodes - 1]], -1)
                leading = ranks == ranks.max()
                best = nodes[jnp.argmax(leading)]
                token = tokens[best - 1]
                return (best, leading, under[token], mass * q[token]), (best, law)

            zero, one = jnp.zeros((), draft.dtype), jnp.ones((), draft.dtype)
            start: tuple[jax.Array, ...] = (jnp.zeros((), paths.dtype), jnp.ones(len(paths), bool), zero, one)
            return lax.scan(level, start, paths.T)[1]

        return jax.vmap(of_row)(target_probs, draft_probs, drafts)

    def ranked(self, p: jax.Array, q: jax.Array) -> jax.Array:
        """The ids from least to greatest, (n, V)."""
        if self.order == "index":
            return jnp.broadcast_to(jnp.arange(p.shape[1]), p.shape)
        return jnp.argsort(jnp.where(q > 0, p / jnp.where(q > 0, q, 1.0), jnp.inf), axis=1, stable=True)


def _verify_greatest(rule: GreedyMultiPath, parents: Parents, *inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    target_probs, draft_probs, drafts, lengths, noise = inputs
    nodes, laws = rule.greatest(target_probs, draft_probs, drafts, parents)
    along = jnp.concatenate([jnp.zeros_like(nodes[:, :1]), nodes], axis=1)
    pick = jax.vmap(lambda row, i: row[i])
    coins = jnp.concatenate([noise[:, : nodes.shape[1]], noise[:, -1:]], axis=1)
    kept, token = block(pick(target_probs, along), laws, pick(drafts, nodes - 1), jnp.full_like(lengths, nodes.shape[1]), coins)
    return pick(along, kept), token


_verify_greatest = jax.jit(_verify_greatest, static_argnums=(0, 1))

greedy_multi_path = GreedyMultiPath()


def chains_of(parents: Parents) -> list[list[int]]:
    """The k paths of a tree that is k chains of one length from its root. Raises ``ValueError`` for another tree.

    >>> chains_of((0, 0, 1, 2))
    [[1, 3], [2, 4]]
    """
    paths = [ancestors(parents, node) for node in range(1, len(parents) + 1) if node not in parents]
    if len({len(path) for path in paths}) != 1 or len(parents) != sum(map(len, paths)):
        raise ValueError(f"the greatest path is taken of chains of one length that part at the root, not {parents}")
    return paths


def draft_law(draft: jax.Array, left: jax.Array) -> jax.Array:
    """The law (V,) that a child was drawn from: q (V,) on the tokens of the mask ``left`` (V,), normalised."""
    return _normalised(jnp.where(left, draft, 0.0), draft)


def ratio(above: jax.Array, under: jax.Array) -> jax.Array:
    """min(1, a/b) of probabilities: 0 where a is 0, and else 1 where b is 0."""
    return jnp.minimum(above / jnp.maximum(under, _tiny(under)), 1.0)


def _geometric(rest: jax.Array, count: jax.Array, most: int) -> jax.Array:
    """(1 - (1 - beta)^k)/beta = 1 + (1 - beta) + ... with k = ``count`` <= ``most`` terms, from ``rest`` = 1 - beta."""
    powers = jnp.arange(most)
    return jnp.where(powers < count[:, None], rest[:, None] ** powers, 0.0).sum(1)


def _normalised(masses: jax.Array, instead: jax.Array) -> jax.Array:
    chosen = jnp.where(jnp.any(masses > 0), masses, instead)
    return chosen / chosen.sum()


def _tiny(like: jax.Array) -> float:
    return float(jnp.finfo(like.dtype).tiny)
