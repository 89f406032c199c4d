"""Faults of trees of drafts."""

from __future__ import annotations

from ..base import Array, Backend
from .base import Given, Parents, Verified, at, normalised, quotient, rows, rule, share

row = rows("tokens: trees")


def target_only(of: Backend, given: Given, parents: Parents, coins: Array, counted_once: bool = True) -> Verified:
    """``token_trees.target_only``, in which a repeated sibling may have a share as well."""
    xp, trees, target = of.xp, of.token_trees, given.target
    there, ids = trees.present(given.drafts, given.lengths)
    node, token = xp.zeros_like(given.lengths), xp.zeros_like(given.lengths)
    for here in range(len(parents) + 1):
        p, coin, rest = target[:, here], coins[:, here], target[:, here]
        visited, passed = node == here, xp.zeros_like(target[:, 0, 0])
        for child in trees.children(parents, here):
            y = ids[:, child - 1]
            part = xp.where(there[:, child - 1], at(of, rest if counted_once else p, y), xp.zeros_like(passed))
            node = xp.where(visited & (passed <= coin) & (coin < passed + part), child, node)
            gone = there[:, child - 1, None] & (of.arange(p.shape[1], p)[None, :] == y[:, None])
            rest, passed = xp.where(gone, xp.zeros_like(rest), rest), passed + part
        left = xp.where(xp.sum(rest, axis=-1, keepdims=True) > 0, rest, p)
        drawn = of.tokens.draw(left, xp.clip(coin - passed, 0.0, None) / xp.clip(1.0 - passed, 1e-12, None))
        token = xp.where(visited & (node == here), drawn, token)
    return node, token


@row("tree-duplicates-counted", "Siblings with the same token each get the share of that token.")
def tree_duplicates_counted(of: Backend, given: Given, parents: Parents) -> Verified:
    return target_only(of, given, parents, given.noise, counted_once=False)


@row("tree-coin-kept", "The coin that chose a child is compared again at the child's own children.", replacement=False)
def tree_coin_kept(of: Backend, given: Given, parents: Parents) -> Verified:
    return target_only(of, given, parents, given.noise[:, :1] + of.xp.zeros_like(given.noise))


@row(
    "tree-slice-off-by-one", "The law after a node is read from the slice of the node before it.",
    seen=("TensorRT-LLM#15098",), standard=True,
)  # fmt: skip
def tree_slice_off_by_one(of: Backend, given: Given, parents: Parents) -> Verified:
    shifted = of.xp.concat([given.target[:, :1], given.target[:, :-1]], axis=1)
    return rule("recursive")(of, given._replace(target=shifted), parents)


@row(
    "tree-best-branch", "Each branch is compared with draws from the target of its own, and the longest agreement is kept.",
    replacement=False, standard=True,
)  # fmt: skip
def tree_best_branch(of: Backend, given: Given, parents: Parents) -> Verified:
    """Coin i - 1 belongs to node i and redraws its parent: a node of several children is drawn once for each of them."""
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(given.drafts, given.lengths)
    node, depth = xp.zeros_like(given.lengths), xp.zeros_like(given.lengths)
    agreed = [there[:, 0] | True]
    for child, parent in enumerate(parents, 1):
        drawn = of.tokens.draw(given.target[:, parent], given.noise[:, child - 1])
        agreed.append(agreed[parent] & there[:, child - 1] & (drawn == ids[:, child - 1]))
        level = len(trees.ancestors(parents, child))
        deeper = agreed[child] & (level > depth)
        node, depth = xp.where(deeper, child, node), xp.where(deeper, level, depth)
    return node, of.tokens.draw(at(of, given.target, node), given.noise[:, -1])


def siblings(of: Backend, given: Given, parents: Parents, wrong: str) -> Verified:
    """Recursive rejection that forgets to normalise the ``residual``, or what is ``left`` of q without replacement."""
    xp, trees, target = of.xp, of.token_trees, given.target
    there, ids = trees.present(given.drafts, given.lengths)
    node, laws = xp.zeros_like(given.lengths), [target[:, i] for i in range(len(parents) + 1)]
    for parent in sorted(set(parents)):
        a, gone = target[:, parent], target[:, parent] < 0
        for child in trees.children(parents, parent):
            y, here, q = ids[:, child - 1], there[:, child - 1], given.draft[:, child - 1]
            b = xp.where(gone, xp.zeros_like(q), q) if wrong == "left" else q
            accepts = quotient(of, at(of, a, y), at(of, b, y))
            node = xp.where((node == parent) & here & (given.noise[:, child - 1] < accepts), child, node)
            r = xp.clip(a - b, 0.0, None)
            rest = r if wrong == "residual" else normalised(of, r, a)
            a = xp.where(here[:, None] & (xp.sum(r, axis=-1, keepdims=True) > 0), rest, a)
            gone = gone | (here[:, None] & (of.arange(q.shape[1], q)[None, :] == y[:, None]))
        laws[parent] = a
    return node, of.tokens.draw(at(of, xp.stack(laws, axis=1), node), given.noise[:, -1])


@row(
    "recursive-rest-not-normalised", "A sibling drawn without replacement is judged by q without the earlier ones, not normalised.",
    replacement=False, standard=True,
)  # fmt: skip
def recursive_rest_not_normalised(of: Backend, given: Given, parents: Parents) -> Verified:
    return siblings(of, given, parents, "left")


recursive_draws_taken_for_independent = row(
    "recursive-draws-taken-for-independent", "Siblings are drawn without replacement, and judged as if they were independent.",
    replacement=False, standard=True,
)(rule("recursive"))  # fmt: skip


@row("recursive-residual-not-normalised", "After a rejection (a - b)_+ is not normalised before the next sibling is judged.")
def recursive_residual_not_normalised(of: Backend, given: Given, parents: Parents) -> Verified:
    return siblings(of, given, parents, "residual")


@row(
    "kseq-rho-one", "k-SEQ with rho = 1, which is too small for k > 1.",
    seen=("Sun et al. 2023, arXiv 2310.15141, give the condition on rho",), standard=True,
)  # fmt: skip
def kseq_rho_one(of: Backend, given: Given, parents: Parents) -> Verified:
    """The rest p - min(q, p) (1 - (1 - beta)^k)/beta is cut at 0."""
    xp, trees = of.xp, of.token_trees
    there, ids = trees.present(given.drafts, given.lengths)
    node, masses = xp.zeros_like(given.lengths), [given.target[:, i] for i in range(len(parents) + 1)]
    for parent in sorted(set(parents)):
        below = trees.children(parents, parent)
        p, q = given.target[:, parent], given.draft[:, below[0] - 1]
        shared = xp.where(p < q, p, q)
        rest, count = 1.0 - xp.sum(shared, axis=-1), sum(xp.astype(there[:, child - 1], p.dtype) for child in below)
        factor = sum(xp.where(i < count, rest**i, xp.zeros_like(rest)) for i in range(len(below)))
        left = xp.clip(p - shared * factor[:, None], 0.0, None)
        masses[parent] = xp.where(xp.sum(left, axis=-1, keepdims=True) > 0, left, p)
        for child in below:
            accepts = quotient(of, at(of, p, ids[:, child - 1]), at(of, q, ids[:, child - 1]))
            node = xp.where((node == parent) & there[:, child - 1] & (given.noise[:, child - 1] < accepts), child, node)
    return node, of.tokens.draw(at(of, xp.stack(masses, axis=1), node), given.noise[:, -1])


def traversal(of: Backend, given: Given, parents: Parents, update: str) -> Verified:
    """Traversal verification with a wrong update after a child is given up: which of w and a is ``update``d otherwise."""
    xp, trees, target = of.xp, of.token_trees, given.target
    there, ids = trees.present(given.drafts, given.lengths)
    weights, laws = [xp.ones_like(target[:, 0, 0])] * (len(parents) + 1), [target[:, i] for i in range(len(parents) + 1)]

    def give_up_children(node: int) -> None:
        for child in trees.children(parents, node):
            w, a, b, y, here = weights[node], laws[node], given.draft[:, child - 1], ids[:, child - 1], there[:, child - 1]
            enters = xp.clip(w * quotient(of, at(of, a, y), at(of, b, y)), None, 1.0)
            weights[child] = xp.where(here, enters, xp.zeros_like(enters))
            give_up_children(child)
            r = xp.clip(w[:, None] * a - b, 0.0, None)
            new = share(of, xp.sum(r, axis=-1), 1.0 - w)
            if update == "w first":
                r = xp.clip(new[:, None] * a - b, 0.0, None)
            if update != "no w":
                weights[node] = xp.where(here, new, w)
            laws[node] = target[:, node] if update == "a reset" else xp.where(here[:, None], normalised(of, r, a), a)

    give_up_children(0)
    node = trees.walk_up(xp.stack(weights[1:], axis=1), given.noise[:, :-1], parents)
    return node, of.tokens.draw(at(of, xp.stack(laws, axis=1), node), given.noise[:, -1])


@row("traversal-law-reset", "After a child is given up, the node's law is p again.", last_first=True, standard=True)
def traversal_law_reset(of: Backend, given: Given, parents: Parents) -> Verified:
    return traversal(of, given, parents, "a reset")


@row("traversal-weight-kept", "After a child is given up, the node's weight stays.", last_first=True)
def traversal_weight_kept(of: Backend, given: Given, parents: Parents) -> Verified:
    return traversal(of, given, parents, "no w")


@row(
    "traversal-weight-updated-first", "After a child is given up, the weight is updated before the law, which is computed with it.",
    last_first=True, standard=True,
)  # fmt: skip
def traversal_weight_updated_first(of: Backend, given: Given, parents: Parents) -> Verified:
    return traversal(of, given, parents, "w first")


@row(
    "greatest-path-verified-against-draft", "Of several paths the greatest is kept, and verified as if it were the only one.",
    last_first=True, paths=True,
)  # fmt: skip
def greatest_path_verified_against_draft(of: Backend, given: Given, parents: Parents) -> Verified:
    xp, greedy = of.xp, of.token_trees.greedy_multi_path
    nodes, _ = greedy.greatest(given.target, given.draft, given.drafts, parents)
    which, width = of.arange(len(given.drafts), given.drafts)[:, None], nodes.shape[1]
    along = xp.concat([xp.zeros_like(nodes[:, :1]), nodes], axis=1)
    coins = xp.concat([given.noise[:, :width], given.noise[:, -1:]], axis=1)
    chain = given.target[which, along], given.draft[which, nodes - 1], given.drafts[which, nodes - 1]
    kept, token = of.tokens.block(*chain, xp.full_like(given.lengths, width), coins)
    return at(of, along, kept), token
