"""The power of exactness beside the tests in use today, on the same samples: ``python -m studies.power``.

Writes ``power.json`` and ``power.md``. Peers (hyppo, pqm, goodpoints) are optional: one that is missing is a row that says so.

A. a mixture in d = 8 under four small departures: the n that each test needs for 99% power at alpha = 1e-3;
B. paths of the five controls of the ring;
C. two samples of 5,000 at alpha = 0.05, as elsewhere reported of PQMass;
D. the likelihood-ratio test, which no test beats, beside the battery that a whole certificate runs.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, ndtri

from exactness import GaussianChain, GaussianMixture
from exactness.batteries import Innovations, MixtureInnovations
from exactness.catalogue import Setting, find
from exactness.laws.base import Law

from .page import REPORTS, versions, write
from .power_page import markdown
from .power_rows import TOGETHER, Row, on, ours, ours_two_sample, peers, smallest_p
from .power_search import FULL, QUICK, Draw, Effort, Pair, Refutes, Search, fitted, rate

ALPHA = 1e-3
POWER = 0.99
_PACKAGES = ("exactness", "numpy", "scipy", "torch", "scikit-learn", "hyppo", "pqm", "goodpoints")


# --- A: a mixture in d = 8


@dataclass(frozen=True)
class Departure:
    """``law`` is claimed, ``sampler`` is what draws; ``limit``: the n of the likelihood-ratio test, one sample."""

    name: str
    about: str
    law: GaussianMixture
    sampler: GaussianMixture
    limit: int


def mixture(modes: int = 4) -> GaussianMixture:
    """Unit covariances, weights .4/.3/.2/.1, means 2 N(0, I) fixed by a seed; a fifth mode takes 0.01 of all weights."""
    means = 2.0 * np.random.default_rng(8).standard_normal((5, 8))
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    if modes == 5:
        weights = np.append(0.99 * weights, 0.01)
    return GaussianMixture(weights, means[:modes], np.ones(modes))


def departures(quick: bool) -> list[Departure]:
    law, w = mixture(), mixture().weights
    shifted = GaussianMixture(w, law.means + 0.1 * np.eye(8)[0], np.ones(4))
    scaled = GaussianMixture(w, law.means, np.full(4, 1.05**2))
    moved = GaussianMixture(w + np.array([-0.02, 0.0, 0.0, 0.02]), law.means, np.ones(4))
    missing = math.ceil(math.log(ALPHA) / math.log(0.99))
    found = [
        _departure("shift", "0.1 standard deviations of a component, in one coordinate", shifted),
        _departure("scale", "every component's standard deviation times 1.05, means kept", scaled),
        _departure("weight", "0.02 of weight moved, from the largest to the smallest component", moved),
        # Seen with its components, an exact sample of n draws visits the mode with probability 1 - 0.99^n.
        Departure("missing mode", "a fifth component of weight 0.01 that the sampler never visits", mixture(5), law, missing),
    ]
    return found[:1] if quick else found


def part_a(run: Run) -> dict[str, Any]:
    found = []
    for case in departures(run.quick):
        draw = _mixture_draw(case.law, case.sampler, run.seed)
        rows = [run.search(f"A {case.name}", row, draw) for row in [*ours(case.law), ours_two_sample(), *peers()]]
        found.append({"name": case.name, "about": case.about, "limit": case.limit, "rows": rows})
    return {"alpha": ALPHA, "departures": found, "false alarms": false_alarms(run)}


def false_alarms(run: Run) -> dict[str, Any]:
    """How often each test refutes an exact sampler at alpha = 0.05."""
    n, alpha, law = 512, 0.05, mixture()
    draw = _mixture_draw(law, law, run.seed + 1)
    rows = [run.rate("A false alarms", row, draw, n, alpha, run.effort.level) for row in [*ours(law), ours_two_sample(), *peers()]]
    return {"n": n, "alpha": alpha, "repetitions": run.effort.level, "rows": rows}


def _mixture_draw(law: GaussianMixture, sampler: GaussianMixture, seed: int) -> Draw:
    """All tests see the same samples: they depend on the seed, n and the repetition alone."""

    def draw(n: int, repetition: int) -> Pair:
        x_seed, y_seed = (_seed(seed, n, repetition, k) for k in (0, 1))
        return Pair(sampler.sample(n, x_seed), law.sample(n, y_seed), law.sample)

    return draw


def _departure(name: str, about: str, sampler: GaussianMixture, draws: int = 1 << 18) -> Departure:
    """From the mixture; the likelihood-ratio test's n in the normal limit, its moments from ``draws`` of each."""
    law = mixture()
    null, other = (sampler.log_density(x) - law.log_density(x) for x in (law.sample(draws, 0), sampler.sample(draws, 1)))
    limit = _normal_limit((null.mean(), null.var()), (other.mean(), other.var()), ALPHA)
    return Departure(name, about, law, sampler, math.ceil(limit))


def _normal_limit(null: tuple[float, float], other: tuple[float, float], alpha: float) -> float:
    """n at which a mean of n values is told apart, given (mean, variance) of one value under either."""
    return ((-ndtri(alpha) * math.sqrt(null[1]) + ndtri(POWER) * math.sqrt(other[1])) / (other[0] - null[0])) ** 2


# --- B: paths of the ring's controls


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
    """Columns 0 and 1 are x_0, columns 2 and 3 x_1. Pairs of states are shown to the tests that are quick enough."""
    last = [on(row, "x_0", (0, 1)) for row in [ours_two_sample(), *peers()]]
    quick = [ours_two_sample(), *(row for row in peers() if not row.name.startswith(("energy", "MMD", "aggregated")))]
    return last + [on(row, "(x_0, x_1)", (0, 1, 2, 3)) for row in quick]


def _pool(name: str, size: int, seed: int) -> tuple[Any, Law]:
    """``size`` paths of a member of the catalogue, a torch tensor, and its law."""
    import torch

    claim = find([name])[0].build(Setting())
    piece = min(size, 1 << 15)
    return torch.cat([claim.sample(piece, _seed(seed, i, 0, 2) >> 32)[0] for i in range(size // piece)]), claim.law


def _last_two(paths: Any) -> np.ndarray:
    """x_0 and x_1 side by side, (n, 2 d)."""
    return np.concatenate([np.asarray(paths[:, -1]), np.asarray(paths[:, -2])], axis=1)


def _slices(x: Any, y: Any) -> Draw:
    """Repetitions at one n are disjoint parts of the pools; the judge's pilots come from the part of y beyond x's size."""

    def more(m: int, seed: int) -> Any:
        first = len(x) + seed % max(1, len(y) - len(x) - m)
        return y[first : first + m]

    def draw(n: int, repetition: int) -> Pair:
        here = slice(repetition * n, (repetition + 1) * n)
        return Pair(x[here], y[here], more)

    return draw


# --- C: two samples of 5,000


def part_c(run: Run) -> dict[str, Any]:
    law, n, few, alpha = mixture(), 5_000, 1_000, 0.05
    correlated = np.full((8, 8), 0.2) + 0.8 * np.eye(8)
    samplers = {
        "shift of 0.06 in every coordinate": GaussianMixture(law.weights, law.means + 0.06, np.ones(4)),
        "correlation 0.2 inside components": GaussianMixture(law.weights, law.means, np.stack([correlated] * 4)),
    }
    one_sample = [row for row in ours(law) if row.name.endswith((MixtureInnovations.name, TOGETHER))]
    tests = [(peers()[-1], n), (ours_two_sample(), n), *((row, few) for row in one_sample)]
    found = []
    for name, sampler in {**samplers, "none (false alarms)": law}.items():
        draw = _mixture_draw(law, sampler, run.seed + 2)
        rows = [run.rate(f"C {name}", row, draw, size, alpha, run.effort.comparison) for row, size in tests]
        found.append({"name": name, "rows": rows})
    return {"alpha": alpha, "repetitions": run.effort.comparison, "departures": found}


# --- D: the likelihood ratio


_STEPS, _DIM = 40, 2
_PER_PATH = (_STEPS + 1) * _DIM


@dataclass(frozen=True)
class Noise:
    """Innovations that depart: ``make(generator, n)`` -> (n, steps + 1, dim). ``limit(alpha)``: how many the ratio needs."""

    name: str
    about: str
    make: Callable[[np.random.Generator, int], np.ndarray]
    limit: Callable[[float], float]


def noises(shift: float, scale: float, lag: float) -> list[Noise]:
    shape = (_STEPS + 1, _DIM)
    return [
        Noise(
            "mean shift", f"every innovation N({shift:g}, 1)",
            lambda g, n: shift + g.standard_normal((n, *shape)), lambda a: ((ndtri(POWER) - ndtri(a)) / shift) ** 2,
        ),
        Noise(
            "scale", f"every innovation N(0, {scale:g}^2)",
            lambda g, n: scale * g.standard_normal((n, *shape)), lambda a: _scale_limit(scale, a),
        ),
        Noise(
            "lag-one correlation", f"of {lag:g}, of each coordinate along the path",
            lambda g, n: _autoregressive(g.standard_normal((n, *shape)), lag), lambda a: _lag_limit(lag, a),
        ),
    ]  # fmt: skip


def part_d(run: Run) -> dict[str, Any]:
    """Quick runs look for departures that are large enough to need few paths."""
    chain = GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=np.full(_STEPS, 0.5), dim=_DIM)
    found = []
    for noise in noises(0.2, 1.2, 0.2) if run.quick else noises(0.02, 1.02, 0.02):
        for alpha in (1e-3, 1e-6):
            _progress(f"D {noise.name} at {alpha:g}")
            limit = noise.limit(alpha)
            first = max(2, math.ceil(limit / _PER_PATH))
            fit = fitted(_chain_refutes(chain), _chain_draw(noise, run.seed), alpha, run.effort.limit, first, POWER)
            line = {"name": noise.name, "about": noise.about, "alpha": alpha, "limit": limit, "fit": asdict(fit)}
            found.append(line | {"ratios": [n * _PER_PATH / limit for n in (fit.n, fit.low, fit.high)]})
    return {"steps": _STEPS, "dim": _DIM, "tests": _tests_of(chain), "repetitions": run.effort.limit, "rows": found}


def _chain_refutes(chain: GaussianChain) -> Refutes:
    return lambda pair, alpha, seed: float(smallest_p(chain, [Innovations()], pair.x, seed) <= alpha)


def _chain_draw(noise: Noise, seed: int) -> Draw:
    def draw(n: int, repetition: int) -> Pair:
        paths = noise.make(np.random.default_rng([seed, 3, n, repetition]), n)
        for i in range(_STEPS):
            paths[:, i + 1] = 0.9 * paths[:, i] + 0.5 * paths[:, i + 1]
        return Pair(paths, paths, lambda m, s: paths[:m])

    return draw


def _tests_of(chain: GaussianChain) -> int:
    evidence = Innovations().start(chain, np.random.default_rng(0))
    evidence.update(np.random.default_rng(0).standard_normal((4, _STEPS + 1, _DIM)))
    return len(evidence.results())


def _autoregressive(white: np.ndarray, lag: float) -> np.ndarray:
    """Of unit variance throughout."""
    for i in range(1, white.shape[1]):
        white[:, i] = lag * white[:, i - 1] + math.sqrt(1.0 - lag * lag) * white[:, i]
    return white


def _scale_limit(scale: float, alpha: float) -> float:
    """The mean square is sufficient: chi-square under either."""
    gap = lambda n: chdtrc(n, chdtri(n, alpha) / scale**2) - POWER  # noqa: E731
    return float(brentq(gap, 2.0, 1e9))


def _lag_limit(lag: float, alpha: float) -> float:
    """With S the correlation matrix of a run, the log ratio is a quadratic form of known moments; many runs make it normal."""
    steps = np.arange(_STEPS + 1)
    s = lag ** np.abs(steps[:, None] - steps)
    a = np.eye(len(s)) - np.linalg.inv(s)
    means = 0.5 * np.trace(a), 0.5 * np.trace(a @ s)
    variances = 0.5 * np.trace(a @ a), 0.5 * np.trace(a @ s @ a @ s)
    return len(s) * _normal_limit((means[0], variances[0]), (means[1], variances[1]), alpha)


# --- running


@dataclass(frozen=True)
class Run:
    """``only``: rows of other names are taken from ``earlier`` results where they are there, by case and name."""

    effort: Effort
    seed: int
    quick: bool
    only: str
    earlier: dict[tuple[str, str], dict[str, Any]]

    def search(self, case: str, row: Row, draw: Draw, pool: int | None = None) -> dict[str, Any]:
        """The n that a test needs."""
        search = Search(row.refutes, draw, ALPHA, self.effort, pool)
        return self._line(case, row, lambda: asdict(search.needed(row.smallest)))

    def rate(self, case: str, row: Row, draw: Draw, n: int, alpha: float, repetitions: int) -> dict[str, Any]:
        """How often a test refutes at one n."""
        return self._line(case, row, lambda: asdict(rate(row.refutes, draw, alpha, repetitions, n))) | {"n": n}

    def _line(self, case: str, row: Row, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if self.only not in row.name and (case, row.name) in self.earlier:
            return self.earlier[case, row.name]
        line: dict[str, Any] = {"name": row.name, "against": row.against, "installed": row.installed}
        _progress(f"{case}: {row.name}" + ("" if row.installed else ", not installed"))
        return line | (measure() if row.installed else {})


PARTS: dict[str, Callable[[Run], dict[str, Any]]] = {"A": part_a, "B": part_b, "C": part_c, "D": part_d}


def study(parts: Sequence[str], out: Path, seed: int, quick: bool, only: str = "") -> None:
    """Results are written after every part, beside those of earlier runs of the same seed, effort and versions."""
    command = "python -m studies.power" + (" --quick" if quick else "") + (f" --seed {seed}" if seed else "")
    effort = QUICK if quick else FULL
    report: dict[str, Any] = {"command": command, "seed": seed, "versions": versions(*_PACKAGES), "effort": asdict(effort)}
    for part in parts:
        result = PARTS[part](Run(effort, seed, quick, only, _rows_of(_kept(out / "power.json", report))))
        together = _kept(out / "power.json", report) | {part: result}
        whole = report | {"parts": dict(sorted(together.items()))}
        write("power.json", json.dumps(whole, indent=1) + "\n", out)
        write("power.md", markdown(whole), out)


def _kept(target: Path, report: dict[str, Any]) -> dict[str, Any]:
    earlier = json.loads(target.read_text()) if target.exists() else {}
    return earlier.get("parts", {}) if all(earlier.get(key) == value for key, value in report.items()) else {}


def _rows_of(parts: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    cases = [(f"{p} {c['name']}", c) for p in ("A", "B", "C") for c in _cases(parts.get(p, {}))]
    cases += [("A false alarms", parts["A"]["false alarms"])] if "A" in parts else []
    return {(name, row["name"]): row for name, case in cases for row in case["rows"]}


def _cases(part: dict[str, Any]) -> list[dict[str, Any]]:
    return part.get("departures", []) + part.get("controls", [])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.power", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few repetitions of everything, under a minute")
    parser.add_argument("--parts", default="ABCD", help="which of A, B, C and D (default: all)")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of power.json and power.md")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="measure rows with this in their names; others stay as power.json has them")
    chosen = parser.parse_args(arguments)
    if not set(chosen.parts) <= set(PARTS) or not chosen.parts:
        parser.error(f"--parts must name some of {''.join(PARTS)}, not {chosen.parts!r}")
    study(sorted(set(chosen.parts)), chosen.out, chosen.seed, chosen.quick, chosen.only)


def _seed(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]) >> 1


def _progress(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
