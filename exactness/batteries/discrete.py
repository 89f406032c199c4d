"""Tests of the frequencies of values, for laws whose values have known probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..arrays import Array
from ..evidence.base import Battery, Evidence, Origin, Update
from ..evidence.dependence import RankedDependence
from ..evidence.summaries import Cells, Shares, Summary, Support, Tally
from ..laws.base import Discrete, Law
from ..laws.discrete import doubles

# Events at either end of an order have probabilities down to this power of 1/2.
_POWERS = 14
# With more cells than this, the rare ones share as many cells at random: constant memory for every vocabulary.
_MOST_CELLS = 1 << 16


@dataclass(frozen=True)
class Frequencies(Battery):
    """Tests how often each value occurs, each end of the distribution, and groups of values.

    * Draws that have probability 0 refute at once, and the finding names them.
    * The most probable values one by one, by the binomial distribution.
    * The ends of the order of the values and the rarest values, by the binomial distribution: groups with probabilities down to
      1 in 16,000.
    * The distribution functions in the order of the values, of their probabilities, and in random orders, in which the groups of
      values are random ones. Each draw is spread evenly over the interval of its value, by noise of the judge, so that it is
      uniform under the law.
    * All cells together, by a bet against the law, which has the power of a chi-square test and a p-value that holds far out. For
      laws of few values, the total variation is tested and bounded: this bounds every event.

    Applies to a law that knows the probabilities of its values, such as :class:`exactness.DiscreteLaw`.

    Args:
        single: the number of values that are tested one by one.
        orders: the number of random orders.
        few: up to this many values, the total variation is bounded.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.DiscreteLaw([0.7, 0.2, 0.1])
    >>> plan = ex.Plan(tolerance=0.05)
    >>> ex.certify(law.sample, law, plan=plan).verdict.value
    'certified'
    >>> swapped = ex.certify(lambda n, seed: np.array([0, 2, 1])[law.sample(n, seed)], law, plan=plan)
    >>> swapped.verdict.value, swapped.leading.unit
    ('refuted', 'nats per draw')
    """

    single: int = 1024
    orders: int = 4
    few: int = 16
    name: ClassVar[str] = "frequencies"

    def applies(self, law: Law) -> bool:
        return isinstance(law.output_law, Discrete)

    def start(self, law: Law, generator: np.random.Generator) -> Evidence:
        output = law.output_law
        assert isinstance(output, Discrete)
        return Evidence(Origin(self, law, generator), *self.parts(output, law.output, generator))

    def parts(
        self, output: Discrete, read: Callable[[Array], Array], generator: np.random.Generator
    ) -> tuple[dict[str, Summary], Update]:
        """Empty summaries of values that follow ``output``, and the function that feeds them; ``read`` takes values from draws."""
        masses = np.asarray(output.masses, dtype=np.float64)
        possible = np.flatnonzero(masses > 0.0)
        rarest_last = possible[np.argsort(-masses[possible], kind="stable")]
        likely = rarest_last[: self.single]
        single = Shares([output.cell_name(int(c)) for c in likely], masses[likely])
        ends = [_End("from", " up", possible, masses, output), _End("up to", "", possible[::-1], masses, output)]
        ends.append(_End("as rare as", " or rarer", rarest_last, masses, output))
        orders = {"by value": possible, "by probability": rarest_last}
        orders |= {f"random order {i}": generator.permutation(possible) for i in range(self.orders if len(possible) > 2 else 0)}
        starts = [_starts(order, masses) for order in orders.values()]
        tally = Tally(list(orders), "uniform", relation="dependent")
        group, grouped = _groups(rarest_last, masses, generator)
        cells, support = Cells(grouped, self.few), Support()
        # In the order of the values and in a random one. The last place is for draws that no cell holds.
        mixed = generator.spawn(1)[0].permutation(len(masses))
        places = np.column_stack([np.append(np.arange(len(masses)), -1), np.append(mixed, -1)])
        dependence = RankedDependence(["value", "value in a random order"] if len(possible) > 2 else ["value"])
        tails = Shares([name for end in ends for name in end.names], np.concatenate([end.probabilities for end in ends]))

        def update(sample: Array, noise: np.random.Generator) -> None:
            draws = read(sample)
            found = output.cells(draws)
            n, outside = len(found), found < 0
            dependence.add(places[found][:, : len(dependence.names)], noise)
            support.add(doubles(draws)[outside], n)
            found = found[~outside]
            counts = np.bincount(found, minlength=len(masses))
            single.add(counts[likely], n)
            tails.add(np.concatenate([end.counts(found) for end in ends]), n)
            cells.add(np.bincount(group[found], minlength=len(grouped)))
            u = noise.random(len(found)) * masses[found]
            for row, start in enumerate(starts):
                tally.add(row, start[found] + u)

        summaries: dict[str, Summary] = {"support": support, "distribution functions": tally}
        if len(possible) > 1:
            summaries |= {"values": single, "all values": cells}
        if tails.events:
            summaries["ends"] = tails
        return {**summaries, **dependence.summaries()}, update


class _End:
    """The events "in the last cells of an order", for probabilities that go down by a factor of two."""

    def __init__(self, before: str, after: str, order: np.ndarray, masses: np.ndarray, law: Discrete) -> None:
        # rest[i] is the probability of the cells i, i + 1, ... of the order, added up from the smallest.
        rest = np.cumsum(masses[order][::-1])[::-1]
        first = {int(np.searchsorted(-rest, -(0.5**power))) for power in range(1, _POWERS + 1)}
        # One cell alone is tested among the values.
        cuts = sorted(cut for cut in first if 0 < cut < len(order) - 1)
        self._cuts = np.array(cuts, dtype=np.int64)
        self._place = np.zeros(len(masses), dtype=np.int64)
        self._place[order] = np.arange(len(order))
        self.names = [f"{before} {law.cell_name(int(order[cut]))}{after}" for cut in cuts]
        self.probabilities = np.minimum(1.0, rest[self._cuts])

    def counts(self, found: np.ndarray) -> np.ndarray:
        """How many of the cells ``found`` (n,) are in each event."""
        passed = np.searchsorted(self._cuts, self._place[found], side="right")
        return np.cumsum(np.bincount(passed, minlength=len(self._cuts) + 1)[::-1])[::-1][1:]


def _starts(order: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Where the interval of each cell begins, if the cells divide [0, 1] in this order."""
    sums = np.cumsum(masses[order])
    found = np.zeros(len(masses))
    found[order] = np.minimum(1.0, np.append(0.0, sums[:-1]))
    return found


def _groups(rarest_last: np.ndarray, masses: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The group of each cell, and the probability of each group. A cell is a group of its own, unless there are too many."""
    group = np.zeros(len(masses), dtype=np.int64)
    own = rarest_last if len(rarest_last) <= _MOST_CELLS else rarest_last[: _MOST_CELLS // 2]
    group[own] = np.arange(len(own))
    others = rarest_last[len(own) :]
    group[others] = len(own) + np.arange(len(others)) % (_MOST_CELLS // 2)
    generator.shuffle(shared := group[others])
    group[others] = shared
    return group, np.bincount(group[rarest_last], weights=masses[rarest_last])
