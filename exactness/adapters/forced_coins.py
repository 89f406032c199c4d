"""Tries a verifier of tokens where sampling shows nothing.

The coins are 0, one ulp, 1 - ulp, and an ulp either side of its thresholds, and drafts are forced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ..errors import BadInput, InvalidSample
from .exact_laws import Questions, Tree, coin_edges, exact_law
from .pure_verifiers import Arrays, Precision, PureVerifier, Verify

# Laws of four tokens, each with tokens of probability 0, for three positions. All are exact in every precision.
_TARGET = np.array([[0.0, 0.5, 0.0, 0.5], [0.5, 0.25, 0.25, 0.0], [0.25, 0.0, 0.0, 0.75]])
_DRAFT = np.array([[0.5, 0.25, 0.0, 0.25], [0.25, 0.0, 0.25, 0.5], [0.25, 0.25, 0.25, 0.25]])
# What stands beyond the length of a row.
_OTHER_TARGET, _OTHER_DRAFT = np.array([0.5, 0.25, 0.125, 0.125]), np.array([0.125, 0.125, 0.25, 0.5])
# More questions than this are asked in part.
_MOST = 40_000


@dataclass(frozen=True)
class ForcedCheck:
    """One thing that must hold of a verifier, at noise or drafts that are chosen and not drawn.

    Attributes:
        name: what was looked at.
        holds: whether it holds.
        found: a sentence on what was seen.
    """

    name: str
    holds: bool
    found: str

    def __str__(self) -> str:
        return f"{'holds' if self.holds else 'FAILS'}: {self.name}: {self.found}"


def forced_coins(
    verify: Verify,
    *,
    parents: Sequence[int] | None = None,
    duplicates: bool = True,
    arrays: Arrays = "numpy",
    dtype: Precision = "float64",
    noise_dtype: Precision = "float64",
) -> list[ForcedCheck]:
    """Check a verifier of tokens where drawn noise practically never takes it.

    Coins are 0, one ulp, 1/2, 1 - ulp, and each threshold with its neighbours, in combinations. Drafts are all tuples, those of
    probability 0 under the target or under the draft among them, and rows have all lengths. An ulp is 2^-53 for uniforms in double
    precision, 2^-24 in single, and so on.

    Args:
        verify: see :func:`exact_law`.
        parents: for trees, the parent of each node. ``(0, 0)``, for example, is two drafts for one place.
        duplicates: whether siblings may be equal. If so, the law that is emitted with equal siblings is computed, too. Say False
            for drafts without replacement.
        arrays, dtype, noise_dtype: what the verifier takes.

    >>> def verify(target, draft, drafts, lengths, noise):
    ...     rows, places = np.arange(len(drafts)), np.arange(drafts.shape[1])
    ...     p, q = (law[rows[:, None], places, drafts] for law in (target, draft))
    ...     kept = np.cumprod((noise[:, :-1] * q <= p) & (places < lengths[:, None]), axis=1).sum(1)  # "<=" instead of "<"
    ...     mass = target[rows, kept]
    ...     rejected = kept < lengths
    ...     mass[rejected] = np.maximum(mass[rejected] - draft[rejected, kept[rejected]], 0)
    ...     sums = mass.cumsum(1)
    ...     return kept, (sums <= noise[:, -1:] * sums[:, -1:]).sum(1)
    >>> [check.name for check in forced_coins(verify) if not check.holds][0]
    'drafts of probability 0 are not kept'
    """
    pure = PureVerifier(verify, arrays, dtype, noise_dtype, None if parents is None else tuple(int(node) for node in parents))
    found: list[ForcedCheck] = []
    try:
        with np.errstate(all="ignore"):
            found.extend(_outcomes(pure))
    except BadInput:
        raise
    except InvalidSample as error:
        return [ForcedCheck(_ANSWERS, False, str(error))]
    except Exception as error:  # A user's kernel may raise anything.
        return [ForcedCheck(_ANSWERS, False, f"verify raised {type(error).__name__}: {error}")]
    if all(check.holds for check in found if check.name == _SAME):
        found += _laws(pure, duplicates)
    return found


_ANSWERS = "every answer is a number of drafts and a token"
_SAME = "the same arguments give the same answer"


def _outcomes(pure: PureVerifier) -> Iterator[ForcedCheck]:
    """The accepted counts and emitted tokens for all combinations of coins, drafts and lengths."""
    nodes = pure.parents if pure.parents is not None else (0, 1)
    depths = [0]
    for i, parent in enumerate(nodes):
        if not 0 <= parent <= i:
            raise BadInput(f"parents must name for each node 1, 2, ... one that comes before it, 0 for the prefix; got {nodes}")
        depths.append(depths[parent] + 1)
    size, count = _TARGET.shape[1], len(nodes)
    top = (1 << pure.bits) - 1
    half = 1 << (pure.bits - 1)
    coins = sorted({0, 1, half - 1, half, half + 1, top, *_thresholds(pure, tuple(nodes))})
    every = (len(coins),) * (count + 1) + (size,) * count + ((count + 1,) if pure.parents is None else ())
    total = int(np.prod(every))
    chosen = np.arange(total) if total <= _MOST else np.unique(np.random.default_rng(0).integers(0, total, _MOST))
    where = np.array(np.unravel_index(chosen, every)).T
    noise = np.ldexp(np.array(coins, dtype=np.float64)[where[:, : count + 1]], -pure.bits)
    drafts = where[:, count + 1 : 2 * count + 1]
    lengths = where[:, -1] if pure.parents is None else np.full(len(where), count)
    n = len(where)
    target = np.broadcast_to(_TARGET[[d % len(_TARGET) for d in depths]], (n, count + 1, size))
    draft = np.broadcast_to(_DRAFT[[depths[parent] % len(_DRAFT) for parent in nodes]], (n, count, size))
    kept, token = pure(target, draft, drafts, lengths, noise)
    again = pure(target, draft, drafts, lengths, noise)
    yield ForcedCheck(_ANSWERS, True, f"{n:,} combinations of coins, drafts and lengths were asked")
    same = (kept == again[0]) & (token == again[1])
    yield _check(_SAME, same, "answers were different when asked again", "answers were repeated")

    path = _paths(nodes)
    p_drafts = np.stack([target[np.arange(n), parent, drafts[:, i]] for i, parent in enumerate(nodes)], axis=1)
    q_drafts = np.stack([draft[np.arange(n), i, drafts[:, i]] for i in range(count)], axis=1)
    on_path = np.array([[i + 1 in path[node] for i in range(count)] for node in range(count + 1)])[kept]
    there = np.arange(count) < lengths[:, None]
    drawn = ((q_drafts > 0) | ~there).all(axis=1)
    wrong = (on_path & (p_drafts == 0)).any(axis=1)
    yield _check(
        "drafts of probability 0 are not kept", ~wrong, "answers keep a draft that the target never draws",
        "answers keep only drafts that the target draws", lambda row: f"coins {_said(noise[row])}, drafts {drafts[row].tolist()}",
    )  # fmt: skip
    possible = target[np.arange(n), kept, token] > 0
    for name, mine in (
        ("emitted tokens are possible", drawn & ~wrong),
        ("emitted tokens are possible after drafts that the draft never makes", ~drawn & ~wrong),
    ):
        yield _check(
            name, possible | ~mine, "answers emit a token that the target never draws", "answers emit possible tokens",
            lambda row: f"coins {_said(noise[row])}, drafts {drafts[row].tolist()}, token {token[row]} after {kept[row]} kept",
        )  # fmt: skip
    if pure.parents is None:
        other = np.where(there, drafts, size - 1 - drafts)
        beyond = np.arange(count + 1) > lengths[:, None]
        p_other = np.where(beyond[..., None], _OTHER_TARGET, target)
        q_other = np.where(~there[..., None], _OTHER_DRAFT, draft)
        seen = pure(p_other, q_other, other, lengths, noise)
        same = (seen[0] == kept) & (seen[1] == token)
        yield _check(
            "what lies beyond a row's length is not read", same, "answers change with drafts or laws beyond the length",
            "answers do not depend on it", lambda row: f"length {lengths[row]}, drafts {drafts[row].tolist()}",
        )  # fmt: skip
    order = np.random.default_rng(1).permutation(n)[: n // 2]
    seen = pure(target[order], draft[order], drafts[order], lengths[order], noise[order])
    same = (seen[0] == kept[order]) & (seen[1] == token[order])
    yield _check("rows do not depend on each other", same, "answers change with the other rows", "answers stay, among other rows")


def _thresholds(pure: PureVerifier, nodes: tuple[int, ...]) -> list[int]:
    """Coins at every place where an answer changes, and one ulp on either side."""
    depth = max(len(path) for path in _paths(nodes))
    tree = Tree(nodes, _TARGET[np.arange(depth + 1) % len(_TARGET)], _DRAFT[np.arange(depth) % len(_DRAFT)], replacement=True)
    asked = Questions(pure, tree)
    ends = [[np.array([0, asked.top])] * len(nodes) for _ in tree.drafts]
    found = np.unique(np.concatenate([edges for row in coin_edges(asked, ends, ends=True) for edges in row]))
    near = np.unique([found - 1, found, found + 1])
    return [int(coin) for coin in near[(near >= 0) & (near <= asked.top)]]


def _laws(pure: PureVerifier, duplicates: bool) -> Iterator[ForcedCheck]:
    """The whole law where all drafts are the same token."""
    options = {"arrays": pure.arrays, "dtype": pure.dtype, "noise_dtype": pure.noise_dtype, "parents": pure.parents}
    siblings = pure.parents is not None and len(set(pure.parents)) < len(pure.parents)
    if siblings and not duplicates:
        return
    name = "the law is right with equal siblings" if siblings else "the law is right if the draft is certain"
    worst, where = -1.0, ""
    for y, p in product(range(_TARGET.shape[1]), _TARGET):
        try:
            found = exact_law(pure.verify, p, np.eye(len(p))[y], **options)  # type: ignore[arg-type]
        except BadInput as error:
            yield ForcedCheck(name, False, f"draft {y}: {error}")
            return
        excess = found.total_variation - found.grain - found.error
        if excess > worst:
            worst, where = excess, f"total variation {found.total_variation:.3g} to the target {p.tolist()} with the drafts {y}"
    yield ForcedCheck(name, worst <= 0.0, where)


def _check(name: str, good: np.ndarray, bad_words: str, good_words: str, where: object = None) -> ForcedCheck:
    if good.all():
        return ForcedCheck(name, True, f"{len(good):,} {good_words}")
    row = int(np.flatnonzero(~good)[0])
    example = f", first with {where(row)}" if callable(where) else ""
    return ForcedCheck(name, False, f"{int((~good).sum()):,} of {len(good):,} {bad_words}{example}")


def _paths(nodes: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for i, parent in enumerate(nodes, 1):
        found.append([*found[parent], i])
    return found


def _said(coins: np.ndarray) -> str:
    return "(" + ", ".join(f"{coin:.3g}" if coin < 0.9 else "1 - ulp" for coin in coins) + ")"
