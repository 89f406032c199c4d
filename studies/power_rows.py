"""The tests that are compared: ours, and what people use today, each as one function of the same samples."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exactness import Plan, TrustedSampler
from exactness.batteries import Battery, TwoSample, standard
from exactness.judging.judgement import adjust
from exactness.laws.base import Law

from .permutations import p_value
from .power_search import Pair, Refutes

TOGETHER = "all standard batteries"
ONE_STAGE = Plan(first_paths=1_000, max_paths=1_000)
# 1/(permutations + 1) must lie well below alpha = 1e-3, or power is lost to chance.
PERMUTATIONS = 1_999
FREQUENCIES = 128
# Compression level of Compress Then Test: cost grows as 4 to this power.
_COMPRESSION = 3


@dataclass(frozen=True)
class Row:
    """``against``: what the test compares the sampler's draws with. ``package``: what must be installed for it."""

    name: str
    against: str
    refutes: Refutes
    package: str | None = None
    smallest: int = 16

    @property
    def installed(self) -> bool:
        return self.package is None or importlib.util.find_spec(self.package) is not None


def smallest_p(law: Law, batteries: Sequence[Battery], x: Any, seed: int) -> float:
    """As a certificate of one stage judges: the smallest p-value of all tests, Holm-adjusted together."""
    p_values = []
    for battery in batteries:
        evidence = battery.start(law, np.random.default_rng(seed))
        evidence.update(x)
        p_values += [r.p_value for r in evidence.results()]
    return min(adjust(p_values, ONE_STAGE))


def ours(law: Law, smallest: int = 16) -> list[Row]:
    """Each standard battery that applies to the law alone, and all of them together."""
    applying = [b for b in standard() if b.applies(law)]
    chosen = {b.name: [b] for b in applying}
    if len(applying) > 1:
        chosen[TOGETHER] = applying
    return [Row(f"exactness: {name}", "the law", _judged(law, batteries), None, smallest) for name, batteries in chosen.items()]


def ours_two_sample() -> Row:
    return Row("exactness: two-sample", "n draws", _two_sample)


def peers() -> list[Row]:
    """Two-sample tests in use today, in the order of their dates."""
    return [
        Row("Kolmogorov-Smirnov per coordinate, Bonferroni (scipy)", "n draws", _coordinate_ks),
        Row("energy distance, chi-square approximation (hyppo)", "n draws", _energy, "hyppo"),
        Row("MMD, chi-square approximation (hyppo)", "n draws", _mmd, "hyppo"),
        Row(f"MMD, {FREQUENCIES} random frequencies, {PERMUTATIONS:,} permutations (numpy)", "n draws", _random_features),
        Row("Compress Then Test (goodpoints)", "n draws", _ctt, "goodpoints", 64),
        Row("aggregated Compress Then Test (goodpoints)", "n draws", _actt, "goodpoints", 64),
        Row("PQMass, 100 regions (pqm)", "n draws", _pqmass, "pqm", 64),
    ]


def on(row: Row, name: str, columns: Sequence[int]) -> Row:
    """The same test, shown only some columns of the samples."""
    chosen = list(columns)

    def refutes(pair: Pair, alpha: float, seed: int) -> float:
        seen = Pair(pair.x[:, chosen].copy(), pair.y[:, chosen].copy(), lambda n, s: pair.more(n, s)[:, chosen])
        return row.refutes(seen, alpha, seed)

    return Row(f"{row.name}: {name}", row.against, refutes, row.package, row.smallest)


def _judged(law: Law, batteries: Sequence[Battery]) -> Refutes:
    return lambda pair, alpha, seed: float(smallest_p(law, batteries, pair.x, seed) <= alpha)


def _two_sample(pair: Pair, alpha: float, seed: int) -> float:
    """The judge's reference is the sample that every other test gets; its pilot (512 draws more) is drawn afresh."""
    reference: list[np.ndarray] = []
    law = TrustedSampler(lambda n, s: reference[0] if reference else pair.more(n, s))
    battery = TwoSample()
    evidence = battery.start(law, np.random.default_rng(seed))
    reference.append(pair.y)
    evidence.update(pair.x)
    return float(min(adjust([r.p_value for r in evidence.results()], ONE_STAGE)) <= alpha)


def coordinate_ks(pair: Pair) -> float:
    """Its p-value, Bonferroni-adjusted."""
    from scipy.stats import ks_2samp

    d = pair.x.shape[1]
    return float(min(1.0, min(ks_2samp(pair.x[:, i], pair.y[:, i]).pvalue for i in range(d)) * d))


def _coordinate_ks(pair: Pair, alpha: float, seed: int) -> float:
    return float(coordinate_ks(pair) <= alpha)


def _energy(pair: Pair, alpha: float, seed: int) -> float:
    test = importlib.import_module("hyppo.ksample").Energy()
    return float(test.test(pair.x, pair.y, auto=True).pvalue <= alpha)


def _mmd(pair: Pair, alpha: float, seed: int) -> float:
    test = importlib.import_module("hyppo.ksample").MMD()
    return float(test.test(pair.x, pair.y, auto=True).pvalue <= alpha)


def _ctt(pair: Pair, alpha: float, seed: int) -> float:
    ctt = importlib.import_module("goodpoints.ctt")
    width = _typical_distance(pair)
    result = ctt.ctt(pair.x, pair.y, _COMPRESSION, B=PERMUTATIONS, lam=width, alpha=alpha, null_seed=seed, statistic_seed=seed + 1)
    return float(result.rejects)


def _actt(pair: Pair, alpha: float, seed: int) -> float:
    """Five bandwidths; thresholds from 9,999 permutations and their level from 3,999 more, enough for alpha = 1e-3."""
    ctt = importlib.import_module("goodpoints.ctt")
    widths = _typical_distance(pair) * 2.0 ** np.array([-2.0, -1.0, 1.0, 2.0, 0.0])
    with contextlib.redirect_stdout(io.StringIO()):  # it prints every step of its search
        result = ctt.actt(
            pair.x, pair.y, _COMPRESSION, B=9_999, B_2=3_999, lam=widths, weights=np.full(5, 0.2), alpha=alpha,
            null_seed=seed, statistic_seed=seed + 1,
        )  # fmt: skip
    return float(result.rejects)


def _pqmass(pair: Pair, alpha: float, seed: int) -> float:
    """With its defaults: one tessellation, chi-square."""
    pqm = importlib.import_module("pqm")
    np.random.seed(seed)  # it knows no other generator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "few samples", at the small n where a search begins
        return float(pqm.pqm_pvalue(pair.x, pair.y) <= alpha)


def random_features(pair: Pair, seed: int, enough: int | None = None, bins: int | None = None) -> float:
    """The p-value of |mean feature difference|^2 of random Fourier features among those of random relabellings: exact.

    ``bins``: relabel whole bins of draws, so many of either sample, and not single ones: as exact, and cheap for large samples
    (Domingo-Enrich, Dwivedi and Mackey 2023, "Compress Then Test"). Then the samples are cut to a multiple of them.
    """
    generator = np.random.default_rng(seed)
    both = np.concatenate([pair.x, pair.y]).astype(np.float32)
    # Those of the kernel exp(-|x - y|^2/width^2), which goodpoints uses.
    waves = generator.standard_normal((both.shape[1], FREQUENCIES)) * (2.0**0.5 / _typical_distance(pair))
    angle = both @ waves.astype(np.float32)
    features = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    features -= features.mean(axis=0)
    n = len(pair.x)
    if bins is not None and n > bins:
        n, rows = bins, n // bins
        features = np.concatenate(
            [f[: bins * rows].reshape(bins, rows, -1).sum(1) for f in (features[: len(pair.x)], features[len(pair.x) :])]
        )

    def relabelled(m: int) -> np.ndarray:
        labels = np.zeros((m, len(features)), dtype=np.float32)
        labels[:, :n] = 1.0
        labels = generator.permuted(labels, axis=1, out=labels)
        return np.square(labels @ features).sum(axis=1)

    observed = np.square(features[:n].sum(axis=0)).sum()
    return p_value(observed, relabelled, PERMUTATIONS, max(1, (1 << 23) // len(features)), enough)


def _random_features(pair: Pair, alpha: float, seed: int) -> float:
    return float(random_features(pair, seed) <= alpha)


def _typical_distance(pair: Pair) -> float:
    """Root mean square distance of two pooled draws: labels do not enter, so permutations stay exact."""
    both = np.concatenate([pair.x, pair.y])
    return float(np.sqrt(2.0 * both.var(axis=0).sum()))
