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

import torch
from torch import Tensor

from .tokens import block, check_shapes, draw

Parents = tuple[int, ...]
Tables = Callable[[Tensor, Tensor, Tensor, Tensor, Parents], tuple[Tensor, Tensor]]
"""(target_probs, draft_probs, drafts, lengths, parents) -> (thresholds (n, N), masses (n, N + 1, V))."""
Walk = Callable[[Tensor, Tensor, Parents], Tensor]
"""(thresholds (n, N), uniforms (n, N), parents) -> node (n,)."""


def children(parents: Parents, node: int) -> list[int]:
    """The nodes below this one, in the order of their drawing.

    >>> children((0, 0, 1, 1), 1)
    [3, 4]
    """
    return [i + 1 for i, parent in enumerate(parents) if parent == node]


def ancestors(parents: Parents, node: int) -> list[int]:
    """The path from the root to this node, without the root and with the node.

    >>> ancestors((0, 0, 1, 1), 4)
    [1, 4]
    """
    path: list[int] = []
    while node > 0:
        path.insert(0, node)
        node = parents[node - 1]
    return path


def upwards(parents: Parents, node: int = 0) -> list[int]:
    """The nodes below this one, each after all that are below it (post-order).

    >>> upwards((0, 0, 1, 1))
    [3, 4, 1, 2]
    """
    return [found for child in children(parents, node) for found in [*upwards(parents, child), child]]


def present(drafts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Which nodes are there, (n, N), and the drafts (n, N) with an id that can be looked up, 0, where none is."""
    there = (torch.arange(drafts.shape[1], device=drafts.device) < lengths[:, None]) & (drafts >= 0)
    return there, torch.where(there, drafts, 0)


@dataclass(frozen=True)
class Tree:
    """A rule with one threshold per node, which no coin has a part in, and the order in which the coins are compared with them.

    Attributes:
        tables: the thresholds h (n, N), and the masses (n, N + 1, V) from which the token after each node is drawn.
        walk: which node is kept, from thresholds and uniforms.
        draw: (masses (n, V), uniforms (n,)) -> ids.

    Example:
        Two drafts for one place. The first is refused, the second accepted.

        >>> p, q = torch.tensor([[0.2, 0.8]]), torch.tensor([[0.5, 0.5]])
        >>> target, draft = p[:, None].expand(1, 3, 2), q[:, None].expand(1, 2, 2)
        >>> drafts, lengths, noise = torch.tensor([[0, 1]]), torch.tensor([2]), torch.tensor([[0.9, 0.9, 0.1]])
        >>> node, token = recursive(target, draft, drafts, lengths, noise, (0, 0))
        >>> int(node), int(token)
        (2, 0)
    """

    tables: Tables
    walk: Walk
    draw: Callable[[Tensor, Tensor], Tensor] = draw
    name: str = "tree"

    def __call__(
        self, target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor, parents: Parents
    ) -> tuple[Tensor, Tensor]:
        check_shapes(target_probs, drafts, noise)
        thresholds, masses = self.tables(target_probs, draft_probs, drafts, lengths, parents)
        node = self.walk(thresholds, noise[:, :-1], parents)
        return node, self.draw(_at(masses, node), noise[:, -1])


def walk_down(thresholds: Tensor, uniforms: Tensor, parents: Parents) -> Tensor:
    """From the root to the first child that passes, until no child does. A node passes if u < h."""
    node = torch.zeros(len(uniforms), dtype=torch.long, device=uniforms.device)
    for child, parent in enumerate(parents, 1):
        passes = (node == parent) & (uniforms[:, child - 1] < thresholds[:, child - 1])
        node = torch.where(passes, child, node)
    return node


def walk_up(thresholds: Tensor, uniforms: Tensor, parents: Parents) -> Tensor:
    """The first node that passes, from the leaves to the root, which always does. A node passes if u < h."""
    node = torch.zeros(len(uniforms), dtype=torch.long, device=uniforms.device)
    for child in reversed(upwards(parents)):
        node = torch.where(uniforms[:, child - 1] < thresholds[:, child - 1], child, node)
    return node


def recursive_tables(
    target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, parents: Parents, replacement: bool = True
) -> tuple[Tensor, Tensor]:
    """a_1 = p; child i is accepted with min(1, a_i/b_i); a_{i+1} is (a_i - b_i)_+ normalised. See :class:`Tree`.

    b_i is q, and without replacement q without the earlier siblings, normalised.
    """
    there, drafts = present(drafts, lengths)
    thresholds, masses = torch.zeros_like(draft_probs[:, : len(parents), 0]), []
    for node in range(len(parents) + 1):
        a, refused = target_probs[:, node], torch.zeros_like(target_probs[:, 0], dtype=torch.bool)
        for child in children(parents, node):
            here = there[:, child - 1]
            b, x = draft_law(draft_probs, child, None if replacement else refused), drafts[:, child - 1 : child]
            thresholds[:, child - 1] = torch.where(here, ratio(a, b, x), 0.0)
            a = torch.where(here[:, None], _normalised(torch.clamp(a - b, min=0.0), a), a)
            refused = refused.scatter(1, x, refused.gather(1, x) | here[:, None])
        masses.append(a)
    return thresholds, torch.stack(masses, 1)


def traversal_tables(
    target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, parents: Parents, replacement: bool = True
) -> tuple[Tensor, Tensor]:
    """The weight and the law of every node once all its children are given up. See :class:`Tree`.

    A node starts with a weight w, 1 at the root, and the law a = p. Child x, drawn from b, starts with min(1, w a(x)/b(x)). When
    it is given up, r = (w a - b)_+ with the sum Z, w becomes Z/(Z + 1 - w), and a becomes r/Z. A tree with one child per node
    is block verification. Source: arXiv 2505.12398.
    """
    there, drafts = present(drafts, lengths)
    weights = [torch.ones_like(target_probs[:, 0, 0])] * (len(parents) + 1)
    masses = list(target_probs.unbind(1))

    def give_up_children(node: int) -> None:
        refused = torch.zeros_like(masses[0], dtype=torch.bool)
        for child in children(parents, node):
            here, x = there[:, child - 1], drafts[:, child - 1 : child]
            w, a, b = weights[node], masses[node], draft_law(draft_probs, child, None if replacement else refused)
            weights[child] = torch.where(here, ratio(w[:, None] * a, b, x), 0.0)
            give_up_children(child)
            r = torch.clamp(w[:, None] * a - b, min=0.0)
            weights[node] = torch.where(here, _share(r.sum(-1), 1.0 - w), w)
            masses[node] = torch.where(here[:, None], _normalised(r, a), a)
            refused = refused.scatter(1, x, refused.gather(1, x) | here[:, None])

    give_up_children(0)
    return torch.stack(weights[1:], 1) if parents else target_probs[:, 0, :0], torch.stack(masses, 1)


def kseq_tables(
    target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, parents: Parents
) -> tuple[Tensor, Tensor]:
    """Each of k i.i.d. children is accepted with min(1, p/(rho q)), for the best rho. See :class:`Tree` and :func:`best_rho`.

    With beta = sum min(q, p/rho), what is left after k rejections is p - min(q, p/rho) (1 - (1 - beta)^k)/beta.
    """
    there, drafts = present(drafts, lengths)
    thresholds, masses = torch.zeros_like(draft_probs[:, : len(parents), 0]), []
    for node in range(len(parents) + 1):
        p, below = target_probs[:, node], children(parents, node)
        if below:
            q, count = draft_probs[:, below[0] - 1], there[:, [child - 1 for child in below]].sum(1)
            rho = best_rho(p, q, count)
            shared = torch.minimum(q, p / rho[:, None])
            for child in below:
                accepts = ratio(p / rho[:, None], q, drafts[:, child - 1 : child])
                thresholds[:, child - 1] = torch.where(there[:, child - 1], accepts, 0.0)
            p = _or(torch.clamp(p - shared * _geometric(1.0 - shared.sum(-1), count)[:, None], min=0.0), p)
        masses.append(p)
    return thresholds, torch.stack(masses, 1)


def best_rho(target: Tensor, draft: Tensor, count: Tensor) -> Tensor:
    """The smallest rho in [1, k] with 1 - (1 - beta)^k <= rho beta, where beta = sum min(q, p/rho), shape (n,).

    ``target`` and ``draft`` are (n, V) and ``count`` (n,) is k. Every rho that satisfies this makes k-SEQ exact, and the smallest
    accepts most. rho beta grows with rho and 1 - (1 - beta)^k falls, so the root is bisected, to the last bit but a few.

    Source: Sun et al. 2023, arXiv 2310.15141.

    Example:
        >>> p, q = torch.tensor([[1.0, 0.0]]).double(), torch.tensor([[0.5, 0.5]]).double()
        >>> round(float(best_rho(p, q, torch.tensor([2]))), 12)
        1.5
    """
    low, high = torch.ones_like(target[:, 0]), count.clamp(min=1).to(target.dtype)

    def enough(rho: Tensor) -> Tensor:
        shared = torch.minimum(draft, target / rho[:, None])
        # 1 - beta as a sum without cancellation, so that equal laws have the root 1 and nothing near it.
        return (shared.sum(-1) == 0) | (_geometric((draft - shared).sum(-1), count) <= rho)

    high = torch.where(enough(low), low, high)
    for _ in range(60):
        middle = (low + high) / 2
        passes = enough(middle)
        low, high = torch.where(passes, low, middle), torch.where(passes, middle, high)
    return high


recursive = Tree(recursive_tables, walk_down, name="recursive rejection")
recursive_without_replacement = Tree(
    partial(recursive_tables, replacement=False), walk_down, name="recursive rejection without replacement"
)
traversal = Tree(traversal_tables, walk_up, name="traversal")
traversal_without_replacement = Tree(partial(traversal_tables, replacement=False), walk_up, name="traversal without replacement")
kseq = Tree(kseq_tables, walk_down, name="k-SEQ")


def target_only(
    target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor, parents: Parents
) -> tuple[Tensor, Tensor]:
    """The coin of a node falls into a child's share p(x), or else draws a token from p without the children.

    Column i of ``noise`` is the coin of node i, and is used once. ``draft_probs`` is not read (may be None). A child that repeats
    an earlier sibling has no share.

    Example:
        The root's coin falls into the share of the second child, which is a leaf, so that its own coin draws the token.

        >>> p = torch.tensor([[[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
        >>> coins = torch.tensor([[0.6, 0.5, 0.5]])
        >>> node, token = target_only(p, None, torch.tensor([[1, 2]]), torch.tensor([2]), coins, (0, 0))
        >>> int(node), int(token)
        (2, 2)
    """
    check_shapes(target_probs, drafts, noise)
    there, drafts = present(drafts, lengths)
    node, token = torch.zeros_like(lengths), torch.zeros_like(lengths)
    for here in range(len(parents) + 1):
        p, coin = target_probs[:, here], noise[:, here].to(target_probs.dtype)
        visited, rest, passed = node == here, p, torch.zeros_like(p[:, 0])
        for child in children(parents, here):
            x = drafts[:, child - 1 : child]
            share = torch.where(there[:, child - 1], rest.gather(1, x)[:, 0], 0.0)
            node = torch.where(visited & (passed <= coin) & (coin < passed + share), child, node)
            rest = torch.where(there[:, child - 1, None], rest.scatter(1, x, 0.0), rest)
            passed = passed + share
        drawn = draw(_or(rest, p), torch.clamp(coin - passed, min=0.0) / (1.0 - passed).clamp(min=torch.finfo(p.dtype).tiny))
        token = torch.where(visited & (node == here), drawn, token)
    return node, token


def sampled_tree(
    target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor, parents: Parents
) -> tuple[Tensor, Tensor]:
    """A token is drawn from the target at each node, once, by column i of ``noise``; it is followed where a child equals it.

    ``draft_probs`` is not read (may be None).
    """
    check_shapes(target_probs, drafts, noise)
    n, nodes, vocabulary = target_probs.shape
    drawn = draw(target_probs.reshape(-1, vocabulary), noise.reshape(-1)).reshape(n, nodes)
    there, drafts = present(drafts, lengths)
    node = torch.zeros_like(lengths)
    for child, parent in enumerate(parents, 1):
        follows = (node == parent) & there[:, child - 1] & (drafts[:, child - 1] == drawn[:, parent])
        node = torch.where(follows, child, node)
    return node, drawn.gather(1, node[:, None])[:, 0]


@dataclass(frozen=True)
class GreedyMultiPath:
    """Of k i.i.d. paths the greatest is kept, in a lexicographic order that the prefix fixes, and verified as a block.

    The tree must be k chains of equal length L from the root, and of ``noise`` the first L columns and the last one are
    read. With F the distribution function of a
    path in this order and F_- that below it, the greatest of k paths has the law F^k - F_-^k, which is computed token by token;
    block verification against that law is exact. ``lengths`` must be N for every row.

    Attributes:
        order: ``ratio`` orders tokens by increasing p/q, which keeps more drafts; ``index`` by their id.

    Example:
        Two drafts for one place: that of the greater ratio is kept. The greater of two has the law 1 - (1 - 1/2)^2 = 3/4.

        >>> p, q = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])
        >>> target, draft = p[:, None].expand(1, 3, 2), q[:, None].expand(1, 2, 2)
        >>> nodes, laws = greedy_multi_path.greatest(target, draft, torch.tensor([[0, 1]]), (0, 0))
        >>> nodes.tolist(), laws.tolist()
        ([[2]], [[[0.25, 0.75]]])
    """

    order: Literal["ratio", "index"] = "ratio"
    name: str = "greedy multi-path block"

    def __call__(
        self, target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, lengths: Tensor, noise: Tensor, parents: Parents
    ) -> tuple[Tensor, Tensor]:
        nodes, laws = self.greatest(target_probs, draft_probs, drafts, parents)
        along = torch.cat([torch.zeros_like(nodes[:, :1]), nodes], 1)
        rows = torch.arange(len(drafts), device=drafts.device)[:, None]
        coins = torch.cat([noise[:, : nodes.shape[1]], noise[:, -1:]], 1)
        kept, token = block(
            target_probs[rows, along], laws, drafts[rows, nodes - 1], torch.full_like(lengths, nodes.shape[1]), coins
        )
        return _at(along, kept), token

    def greatest(self, target_probs: Tensor, draft_probs: Tensor, drafts: Tensor, parents: Parents) -> tuple[Tensor, Tensor]:
        """The nodes (n, L) of the greatest path, and the law (n, L, V) of each of its tokens after the ones before."""
        paths = torch.tensor(chains_of(parents), device=drafts.device)
        rows, count = torch.arange(len(drafts), device=drafts.device), len(paths)
        leading = torch.ones(len(drafts), count, dtype=torch.bool, device=drafts.device)
        before = torch.zeros_like(rows)
        below, mass = torch.zeros_like(target_probs[:, 0, 0]), torch.ones_like(target_probs[:, 0, 0])
        nodes, laws = [], []
        for level in paths.T:
            first = leading.int().argmax(1)
            p, q = target_probs[rows, before], draft_probs[rows, level[first] - 1]
            order = self.ranked(p, q)
            reach = torch.cumsum(q.gather(1, order), 1)
            upper = torch.clamp(below[:, None] + mass[:, None] * reach, max=1.0) ** count
            lower = torch.cat([(below[:, None]) ** count, upper[:, :-1]], 1)
            laws.append(_normalised(torch.zeros_like(q).scatter(1, order, torch.clamp(upper - lower, min=0.0)), q))
            rank = torch.zeros_like(order).scatter(1, order, torch.arange(q.shape[1], device=q.device).expand_as(order))
            ranks = torch.where(leading, rank.gather(1, drafts[:, level - 1]), -1)
            leading = ranks == ranks.amax(1, keepdim=True)
            before = level[leading.int().argmax(1)]
            nodes.append(before)
            token = drafts[rows, before - 1]
            chosen = q[rows, token]
            below = below + mass * (reach[rows, rank[rows, token]] - chosen)
            mass = mass * chosen
        return torch.stack(nodes, 1), torch.stack(laws, 1)

    def ranked(self, p: Tensor, q: Tensor) -> Tensor:
        """The ids from least to greatest, (n, V)."""
        if self.order == "index":
            return torch.arange(p.shape[1], device=p.device).expand_as(p)
        return torch.argsort(torch.where(q > 0, p / q, torch.inf), dim=1, stable=True)


greedy_multi_path = GreedyMultiPath()


def chains_of(parents: Parents) -> list[list[int]]:
    """The k paths of a tree that is k chains of one length from its root. Raises ``ValueError`` for another tree.

    >>> chains_of((0, 0, 1, 2))
    [[1, 3], [2, 4]]
    """
    leaves = [node for node in range(1, len(parents) + 1) if not children(parents, node)]
    paths = [ancestors(parents, leaf) for leaf in leaves]
    if sum(map(len, paths)) != len(parents) or len({len(path) for path in paths}) != 1:
        raise ValueError(f"the greatest path is taken of chains of one length that part at the root, not {parents}")
    return paths


def draft_law(draft_probs: Tensor, child: int, refused: Tensor | None) -> Tensor:
    """The law (n, V) that a child was drawn from: q, or q without the tokens of the mask ``refused`` (n, V), normalised."""
    q = draft_probs[:, child - 1]
    return q if refused is None else _normalised(torch.where(refused, 0.0, q), q)


def ratio(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """min(1, a(x)/b(x)) for laws (n, V) and ids (n, 1), shape (n,): 0 where a is 0, and else 1 where b is 0."""
    above, under = a.gather(1, x)[:, 0], b.gather(1, x)[:, 0]
    return torch.clamp(above / under.clamp(min=torch.finfo(under.dtype).tiny), max=1.0)


def _geometric(rest: Tensor, count: Tensor) -> Tensor:
    """(1 - (1 - beta)^k)/beta = 1 + (1 - beta) + ... + (1 - beta)^(k - 1), also at beta = 0, from ``rest`` = 1 - beta."""
    total, term = torch.zeros_like(rest), torch.ones_like(rest)
    for i in range(int(count.max()) if len(count) else 0):
        total = total + torch.where(i < count, term, 0.0)
        term = term * rest
    return total


def _share(part: Tensor, other: Tensor) -> Tensor:
    """part / (part + other), and 0 for 0/0."""
    total = part + other
    return torch.where(total > 0, part / torch.where(total > 0, total, 1.0), 0.0)


def _or(masses: Tensor, instead: Tensor) -> Tensor:
    """These masses (n, V), or the others where all are 0."""
    return torch.where(masses.sum(-1, keepdim=True) > 0, masses, instead)


def _normalised(masses: Tensor, instead: Tensor) -> Tensor:
    chosen = _or(masses, instead)
    return chosen / chosen.sum(-1, keepdim=True)


def _at(values: Tensor, index: Tensor) -> Tensor:
    return values[torch.arange(len(values), device=values.device), index]
