"""Part B: the paths of samplers of the ring that are wrong on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from exactness.catalogue import Setting, find
from exactness.laws.base import Law

from ..peers import Pair, Row, two_sample
from .rows import on, ours, ours_two_sample
from .running import ALPHA, Run, seed_of
from .search import Draw


def part_b(run: Run) -> dict[str, Any]:
    size, names = run.effort.pool, [e.name for e in find(["ring/control/*"])]
    reference = _last_two(_pool("ring/sequential", 2 * size, run.seed)[0])
    found = []
    for i, name in enumerate(names[3:4] if run.quick else names):
        paths, law = _pool(name, size, run.seed + 1 + i)
        control, states = name.rsplit("/", 1)[1], _slices(_last_two(paths), reference)
        rows = [run.search(f"B {control}", row, _slices(paths, paths), size) for row in ours(law, 8)]
        rows += [run.search(f"B {control}", row, states, size) for row in _state_rows()]
        found.append({"name": control, "rows": rows})
    return {"alpha": ALPHA, "pool": size, "controls": found}


def _state_rows() -> list[Row]:
    """Columns 0 and 1 are x_0, columns 2 and 3 are x_1. Only the tests that are quick enough see pairs of states."""
    last = [on(row, "x_0", (0, 1)) for row in [ours_two_sample(), *two_sample()]]
    quick = [ours_two_sample(), *(row for row in two_sample() if not row.name.startswith(("energy", "MMD", "aggregated")))]
    return last + [on(row, "(x_0, x_1)", (0, 1, 2, 3)) for row in quick]


def _pool(name: str, size: int, seed: int) -> tuple[Any, Law]:
    """``size`` paths of an entry of the catalogue, as a torch tensor, and its law."""
    import torch

    claim = find([name])[0].build(Setting())
    piece = min(size, 1 << 15)
    return torch.cat([claim.sample(piece, seed_of(seed, i, 0, 2) >> 32)[0] for i in range(size // piece)]), claim.law


def _last_two(paths: Any) -> np.ndarray:
    """x_0 and x_1 side by side, (n, 2 d)."""
    return np.concatenate([np.asarray(paths[:, -1]), np.asarray(paths[:, -2])], axis=1)


def _slices(x: Any, y: Any) -> Draw:
    """Repetitions at one n are disjoint parts of the pools. The judge's pilots come from the part of y beyond the size of x."""

    def more(m: int, seed: int) -> Any:
        first = len(x) + seed % max(1, len(y) - len(x) - m)
        return y[first : first + m]

    def draw(n: int, repetition: int) -> Pair:
        here = slice(repetition * n, (repetition + 1) * n)
        return Pair(x[here], y[here], more)

    return draw
