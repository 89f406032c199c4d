"""The judge with one function replaced: what could be wrong with it, where that was seen, and the tests that must notice.

A replacement is made from the right function, so that it says only what is different.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# One sentence on what is wrong, without a subject: "counts ...".
Change = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True)
class Mutant:
    """``place``: ``module:function`` or ``module:Class.method``, below ``exactness``. ``change``: right function -> wrong one.

    ``tests``: node ids of the test suite, a few seconds at most, of which one must fail, and by an assertion. ``seen``: where
    the same was found in real life.
    """

    name: str
    wrong: str
    place: str
    change: Change
    tests: tuple[str, ...]
    seen: str = ""

    def apply(self) -> None:
        """Replace the function for good, under every name that it has been imported by."""
        path, _, names = self.place.partition(":")
        module = importlib.import_module(f"exactness.{path}")
        *outer, name = names.split(".")
        if outer:
            owner = getattr(module, outer[0])
            right = vars(owner)[name]
            plain = right.fget if isinstance(right, property) else right
            wrong = self.change(plain)
            setattr(owner, name, property(wrong) if isinstance(right, property) else wrong)
            return
        right = getattr(module, name)
        wrong = self.change(right)
        for other in [m for key, m in sys.modules.items() if key.partition(".")[0] in ("exactness", "tests")]:
            for key in [key for key, value in vars(other).items() if value is right]:
                setattr(other, key, wrong)


def instead(wrong: Callable[..., Any]) -> Change:
    """A replacement that does not need the right function."""
    return lambda right: wrong


def only_if(keep: Callable[[Any], bool]) -> Change:
    """Of the list that the right function gives, some."""
    return lambda right: lambda *arguments: [one for one in right(*arguments) if keep(one)]


def inverted(right: Callable[..., float]) -> Callable[..., float]:
    return lambda *arguments: 1.0 - right(*arguments)


def first_of(right: Callable[..., Any], steps: int) -> Callable[..., Any]:
    def innovations(self: Any, paths: Any) -> Any:
        for i, step in enumerate(right(self, paths)):
            if i < steps:
                yield step

    return innovations


def along_drift_only(right: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any, law: Any, generator: Any) -> Any:
        evidence = right(self, law, generator)
        evidence.summaries = {k: v for k, v in evidence.summaries.items() if k == "along drift change"}
        return evidence

    return start


def without(*names: str) -> Change:
    """A battery that leaves out some of its summaries."""

    def change(right: Callable[..., Any]) -> Callable[..., Any]:
        def start(self: Any, law: Any, generator: Any) -> Any:
            evidence = right(self, law, generator)
            assert set(names) & set(evidence.summaries) or type(law).__name__ == "GaussianCoupling"
            evidence.summaries = {k: v for k, v in evidence.summaries.items() if k not in names}
            return evidence

        return start

    return change


def warning(right: Callable[..., Any]) -> Callable[..., Any]:
    """The decision that would have been made if no p-value were small."""

    def decide(findings: Any, *rest: Any) -> Any:
        import msgspec

        return right([msgspec.structs.replace(f, adjusted_p=max(f.adjusted_p, 0.5)) for f in findings], *rest)

    return decide


def benjamini_hochberg(p_values: Any, plan: Any) -> list[float]:
    from scipy.stats import false_discovery_control

    return [min(1.0, float(q) * len(plan.stages) * plan.claims) for q in false_discovery_control(p_values)]


def merges(*fields: str) -> Change:
    """A merge after which these fields are as they were before."""

    def change(right: Callable[..., Any]) -> Callable[..., Any]:
        def merge(self: Any, other: Any) -> None:
            kept = {field: _copied(getattr(self, field)) for field in fields}
            right(self, other)
            for field, value in kept.items():
                setattr(self, field, value)

        return merge

    return change


def _copied(value: Any) -> Any:
    import copy

    return copy.deepcopy(value)


def observed_only(right: Callable[..., Any]) -> Callable[..., Any]:
    """The rows of a summary that have counts, as if there were no others."""

    def tests(self: Any) -> Any:
        import copy

        seen = np.flatnonzero(self.counts)
        some = copy.copy(self)
        some.events = tuple(self.events[i] for i in seen)
        some.nulls, some.counts = [self.nulls[i] for i in seen], self.counts[seen]
        return right(some) if len(seen) else []

    return tests


def among_observed_cells(right: Callable[..., Any]) -> Callable[..., Any]:
    """Gaps at the edges of cells that hold anything."""

    def gaps(counts: Any) -> Any:
        return np.where(counts[:, :-1] > 0, right(counts), 0.0)

    return gaps


def one_cell_up(right: Callable[..., Any]) -> Callable[..., Any]:
    def histogram(u: Any, bins: int) -> Any:
        counts = np.roll(right(u, bins), 1, axis=1)
        counts[:, -1] += counts[:, 0]
        counts[:, 0] = 0
        return counts

    return histogram


def numbers_only(right: Callable[..., Any]) -> Callable[..., Any]:
    """NaN is no finding."""

    def findings_of(evidence: Any, plan: Any) -> Any:
        from exactness.batteries.base import Evidence

        everything = Evidence.results
        Evidence.results = lambda self: [r for r in everything(self) if math.isfinite(r.statistic)]  # type: ignore[method-assign]
        try:
            return right(evidence, plan)
        finally:
            Evidence.results = everything  # type: ignore[method-assign]

    return findings_of


def accepts_nan(right: Callable[..., Any]) -> Callable[..., Any]:
    def readable(self: Any, sample: Any) -> Any:
        return sample == sample + 0.0 if False else np.ones(sample.shape, dtype=bool)

    return readable


NULLS, EVERY = "tests/batteries/test_nulls.py", "tests/batteries/test_every_null.py"
EVIDENCE, PLAN, MIXTURES = "tests/batteries/test_evidence.py", "tests/batteries/test_plan.py", "tests/batteries/test_mixtures.py"
COUPLINGS, RATES = "tests/batteries/test_couplings.py", "tests/batteries/test_error_rates.py"
ACCEPTANCE = "tests/batteries/test_acceptance.py"
BAD_INPUT, CERTIFICATE = "tests/surface/test_bad_input.py", "tests/surface/test_certificate.py"
SEES = "::test_accepts_the_truth_and_sees_what_it_says_it_sees_on_both_sides"
ONE_STEP = f"{EVIDENCE}::test_innovations_refute_one_wrong_step_from_both_sides"
SHARDS = f"{EVIDENCE}::test_shards_in_any_order_give_one_and_the_same_evidence"
NOISY_SHARDS = f"{EVIDENCE}::test_shards_with_noise_merge_in_any_order_and_grouping"

_ALL = [
    # p-values.
    Mutant(
        "ks-inverted", "The p-value of the Kolmogorov distance is one minus what it should be.",
        "batteries.nulls.kolmogorov:Kolmogorov.p_value", inverted, (NULLS,), "jax#1123",
    ),
    Mutant(
        "ks-of-one-minus-distance", "The p-value is that of one minus the Kolmogorov distance.",
        "batteries.nulls.kolmogorov:Kolmogorov.p_value", lambda right: lambda self, d, n: right(self, 1.0 - d, n), (NULLS,), "jax#1123",
    ),
    Mutant(
        "chi-square-inverted", "The chi-square test takes the lower tail for the upper one.",
        "batteries.nulls.normal:MeanVector.p_value", inverted, (EVERY + SEES + "[mean vector]",), "jax#2847",
    ),
    Mutant(
        "chi-square-limit-inverted", "The chi-square limit takes the lower tail for the upper one.",
        "batteries.nulls.limits:ChiSquareLimit.p_value",
        lambda right: lambda self, s, n: max(self.smallest, 1.0 - right(replace(self, smallest=0.0), s, n)),
        (EVERY + SEES + "[chi-square limit]",), "jax#2847",
    ),
    Mutant(
        "share-inverted", "A share that is far from its probability gets a large p-value.",
        "batteries.nulls.counts:Share.p_value", inverted, (EVERY + "::test_a_share_is_the_binomial_test",), "jax#2847",
    ),
    Mutant(
        "permutation-without-plus-one", "A statistic above all its permutations gets the p-value 0.",
        "batteries.nulls.limits:Permutation.p_value",
        instead(lambda self, statistic, n: self.exceeding / self.permutations), (MIXTURES + "::test_permutations_are_exact",),
        "alibi-detect#960",
    ),
    Mutant(
        "permutation-ties-count-for-the-sampler", "A relabelling that gives the same statistic does not count as exceeding it.",
        "batteries.summaries.permuted:Permuted.tests",
        lambda right: lambda self: [t._replace(null=replace(t.null, exceeding=0)) for t in right(self)],
        (MIXTURES + "::test_permutations_are_exact",),
    ),
    Mutant(
        "floor-on-p", "No p-value is ever below 0.001, so that a small alpha refutes nothing.",
        "batteries.base:Result.p_value", lambda right: lambda self: max(1e-3, right(self)), (ONE_STEP,), "pytest-stochastic 0.1.0",
    ),
    Mutant(
        "floor-of-one-minus-cdf", "The mean's p-value is one minus a distribution function, which ends at 1e-16.",
        "batteries.nulls.normal:NormalMean.p_value", lambda right: lambda self, s, n: max(2.0**-53, right(self, s, n)),
        (NULLS + "::test_variance_far_out_is_not_lost",),
    ),
    Mutant(
        "dkw-without-the-two", "The Dvoretzky-Kiefer-Wolfowitz inequality has lost the 2 in front, or for both sides.",
        "batteries.nulls.kolmogorov:Kolmogorov.p_value", lambda right: lambda self, d, n: 0.5 * right(self, d, n), (NULLS,),
    ),
    Mutant(
        "dkw-bound-without-the-two", "The radius of the bound is that of one side.",
        "batteries.nulls.kolmogorov:Kolmogorov.bound", lambda right: lambda self, d, n, error: right(self, d, n, 2.0 * error), (NULLS,),
    ),
    Mutant(
        "two-samples-taken-for-one", "The distance of two samples gets the p-value of one sample and its law.",
        "batteries.nulls.kolmogorov:TwoSampleKolmogorov.p_value", lambda right: lambda self, d, n: right(self, d, 2 * n),
        (EVERY + SEES, EVERY + "::test_p_values_are_no_smaller_than_they_may_be"),
    ),
    Mutant(
        "one-sided-variance", "A variance that is too small is not looked for.",
        "batteries.nulls.normal:NormalVariance.p_value", lambda right: lambda self, s, n: right(self, s, n) if s > 1.0 else 1.0, (NULLS,),
    ),
    Mutant(
        "one-sided-mean", "A mean that is too small is not looked for.",
        "batteries.nulls.normal:NormalMean.p_value", lambda right: lambda self, s, n: right(self, s, n) if s > 0.0 else 1.0, (NULLS,),
    ),
    Mutant(
        "one-sided-rows", "Of many rows the largest statistic alone is taken for the most extreme.",
        "batteries.summaries.base:worst",
        lambda right: lambda null, names, s, n, bounded=True: (
            lambda i: right(null, [names[i]], s[i : i + 1], np.broadcast_to(n, s.shape)[i : i + 1], bounded)._replace(rows=len(s))
        )(int(s.argmax())),
        (ONE_STEP,),
    ),
    Mutant(
        "mean-product-of-free-pairs", "Neighbours in a run are taken for independent pairs.",
        "batteries.nulls.products:_cosines", lambda right: lambda lengths: right((2,) * len(lengths)), (EVERY + SEES,),
    ),
    Mutant(
        "bernstein-without-its-second-term", "A bound for sums of anything is taken to have a Gaussian tail.",
        "batteries.nulls.counts:Promised.p_value",
        instead(lambda self, s, n: min(1.0, 2.0 * math.exp(-n * s * s / (2.0 * self.variance)))),
        (EVERY + SEES, EVERY + "::test_p_values_are_no_smaller_than_they_may_be"),
    ),
    Mutant(
        "reach-ignored", "A test that is right in the limit claims p-values far beyond what was calibrated.",
        "batteries.nulls.limits:ChiSquareLimit.p_value", lambda right: lambda self, s, n: right(replace(self, smallest=0.0), s, n),
        (MIXTURES + "::test_an_asymptotic_test_never_decides_beyond_its_range",),
    ),
    Mutant(
        "limit-with-few-draws", "A test that is right in the limit decides with any number of draws.",
        "batteries.nulls.limits:ChiSquareLimit.p_value", lambda right: lambda self, s, n: right(replace(self, fewest=0), s, n),
        (MIXTURES + "::test_an_asymptotic_test_never_decides_beyond_its_range",),
    ),
    # Multiplicity.
    Mutant(
        "no-multiplicity", "Raw p-values are held against alpha, however many there are.",
        "judgement:adjust", instead(lambda p, plan: [float(q) for q in p]), (PLAN + "::test_claims_of_a_run_share_alpha",),
    ),
    Mutant(
        "false-discovery-rate", "Benjamini and Hochberg's adjustment, which lets one in so many refutations be false.",
        "judgement:adjust", instead(benjamini_hochberg), (EVIDENCE + "::test_holm_is_that_of_statsmodels",),
    ),
    Mutant(
        "stages-forgotten", "Each look at the evidence has an alpha of its own.",
        "judgement:adjust", lambda right: lambda p, plan: [min(1.0, q / len(plan.stages)) for q in right(p, plan)],
        (EVIDENCE + "::test_holm_is_that_of_statsmodels",),
    ),
    Mutant(
        "claims-forgotten", "Each claim of a run has an alpha of its own.",
        "judgement:adjust", lambda right: lambda p, plan: right(p, type(plan)(first_paths=plan.first_paths, max_paths=plan.max_paths)),
        (PLAN + "::test_claims_of_a_run_share_alpha",),
    ),
    Mutant(
        "rows-forgotten", "The most extreme of many rows gets the p-value of one row.",
        "batteries.nulls.base:Null.p_over_rows", instead(lambda self, s, n, rows: self.p_value(s, n)),
        (EVIDENCE + "::test_findings_count_every_row_that_was_looked_at", CERTIFICATE),
    ),
    Mutant(
        "bounds-one-by-one", "Each bound holds at the plan's confidence, so that all of them together do not.",
        "plan:Plan.bound_error", lambda right: lambda self, discrepancies: right(self, 1), (PLAN, CERTIFICATE),
    ),
    Mutant(
        "bounds-of-one-look", "Bounds hold at each stage, so that the stage that is stopped at is chosen by them.",
        "plan:Plan.bound_error", lambda right: lambda self, discrepancies: right(self, discrepancies) * len(self.stages),
        (PLAN, CERTIFICATE),
    ),
    Mutant(
        "bounds-count-values", "A path of K steps counts as K paths in a bound, as if no step depended on another.",
        "batteries.base:Result.bound",
        instead(lambda self, error: self.null.bound(self.statistic, self.n, error) if self.bounded else None), (CERTIFICATE,),
    ),
    Mutant(
        "detectable-in-one-look", "The smallest effect that is seen is that of a judge who looks once.",
        "plan:Plan.level", lambda right: lambda self, tests: right(self, tests) * len(self.stages), (PLAN,),
    ),
    # What is looked at.
    Mutant(
        "one-direction-only", "Innovations are looked at along the change of the drift and nowhere else.",
        "batteries.innovations:Innovations.start", along_drift_only, (ONE_STEP,), "a peer's check along the mean difference",
    ),
    Mutant(
        "orthogonal-part-ignored", "Both ends of a coupling are looked at along the means' difference alone.",
        "batteries.couplings:_Margin.__init__",
        lambda right: lambda self, rows, dim, thin: right(self, rows[:1], 1, lambda z: z[:, :1]),
        (COUPLINGS,), "a peer's check along the mean difference",
    ),
    Mutant(
        "first-step-only", "The start and the first step are judged, where block verification cannot fail.",
        "laws.chain:GaussianChain.innovations", lambda right: first_of(right, 2), (ONE_STEP,),
    ),
    Mutant(
        "start-not-judged", "The start of a chain is taken on trust.",
        "laws.chain:GaussianChain.innovations",
        lambda right: lambda self, paths: (s for s in right(self, paths) if s.step <= self.steps),
        (EVIDENCE + "::test_the_start_is_part_of_the_claim_unless_it_is_left_out",),
    ),
    Mutant(
        "pooled-only", "Steps are pooled, so that one wrong step of many is thinned out.",
        "batteries.summaries.tally:Tally.tests", only_if(lambda test: test.rows == 1), (ONE_STEP,),
    ),
    Mutant(
        "lag-one-only", "Dependence of innovations is looked for from one step to the next and no farther.",
        "batteries.summaries.lags:Lags.__init__", lambda right: lambda self, present, most: right(self, present, min(most, 1)),
        (EVIDENCE,),
    ),
    Mutant(
        "lags-not-compared", "Innovations of different steps are not held against each other.",
        "batteries.innovations:Innovations.start", without("lags", "along previous innovation"), (ONE_STEP,),
    ),
    Mutant(
        "pairs-of-coordinates-not-compared", "Every coordinate is looked at, and no two of them together.",
        "batteries.summaries.vectors:Vectors.tests", only_if(lambda test: test.null.name != "product"),
        (MIXTURES + "::test_a_correlation_inside_components_is_seen_where_coordinates_are_right",),
    ),
    Mutant(
        "marginals-only", "The Rosenblatt transform is of each coordinate by itself.",
        "laws.mixture:GaussianMixture.rosenblatt",
        lambda right: lambda self, x: np.stack([self.projected_cdf(v, x @ v) for v in np.eye(self.dim)], axis=1),
        (MIXTURES + "::test_the_rosenblatt_transform_is_the_conditional_distribution_function",),
    ),
    Mutant(
        "unobserved-events-dropped", "Events that never happened are left out of the test, and with them a mode that is missing.",
        "batteries.summaries.shares:Shares.tests", observed_only, (EVERY, MIXTURES), "jax#7040",
    ),
    Mutant(
        "unobserved-cells-dropped", "Distances are taken at the edges of cells that hold anything.",
        "batteries.summaries.tally:_gaps", among_observed_cells, (NULLS, EVERY), "jax#7040",
    ),
    Mutant(
        "cells-off-by-one", "Values are counted one cell too high.",
        "arrays:histogram", one_cell_up, (NULLS + "::test_the_bound_covers_what_hides_between_the_edges",),
    ),
    Mutant(
        "deterministic-steps-not-checked", "A step without noise may lead anywhere.",
        "batteries.summaries.points:Points.tests", instead(lambda self: []),
        (EVIDENCE + "::test_a_deterministic_step_that_does_not_hold_refutes",),
    ),
    Mutant(
        "repeated-draws-not-checked", "Draws that come twice count as two.",
        "batteries.summaries.repeats:Repeats.tests", instead(lambda self: []), (EVIDENCE,),
    ),
    Mutant(
        "neighbouring-paths-not-compared", "Paths are taken to be independent of each other.",
        "batteries.innovations:Innovations.start", without("along neighbouring path"), (EVIDENCE,),
    ),
    Mutant(
        "shares-not-weighted", "Accepted drafts are counted, and not which ones.",
        "batteries.acceptance:Acceptance.start", without("drafts kept, by their probability"),
        (ACCEPTANCE + "::test_the_right_share_of_the_wrong_drafts_is_refuted_by_their_probability",),
    ),
    # What is kept.
    Mutant(
        "merge-forgets-draws", "Merged evidence has the sums of both and the number of draws of one.",
        "batteries.base:Evidence.merge", merges("paths"), (SHARDS, NOISY_SHARDS),
    ),
    *(
        Mutant(
            f"merge-of-{kind.lower()}-drops-{field}", f"What the other shard has in {field} is dropped.",
            f"batteries.summaries.{file}:{kind}.merge", merges(field), tests,
        )
        for file, kind, fields, tests in (
            ("tally", "Tally", ("counts", "sums", "averages"), (SHARDS,)),
            ("vectors", "Vectors", ("sum", "outer"), (SHARDS,)),
            ("lags", "Lags", ("sums",), (SHARDS,)),
            ("shares", "Shares", ("counts",), (NOISY_SHARDS,)),
            ("features", "Embedding", ("sum",), (SHARDS,)),
            ("features", "Differences", ("sum",), (NOISY_SHARDS,)),
            ("pairs", "PairTally", ("counts",), (NOISY_SHARDS,)),
            ("permuted", "Permuted", ("kept",), (NOISY_SHARDS,)),
            ("embedded", "Embedded", ("kept",), (NOISY_SHARDS,)),
            ("points", "Points", ("largest",), (EVIDENCE,)),
            ("repeats", "Repeats", ("kept",), (EVIDENCE,)),
            ("promises", "Promises", ("sums",), (ACCEPTANCE + "::test_shards_in_any_order_give_one_and_the_same_evidence",)),
            ("products", "Products", ("sums",), (COUPLINGS + "::test_shards_in_any_order_give_one_and_the_same_evidence",)),
        )
        for field in fields
    ),
    # What is decided.
    Mutant(
        "only-warns", "Small p-values are written down, and nothing is refuted.",
        "judgement:decide", warning, (ONE_STEP,), "ROCm/aiter#2034",
    ),
    Mutant(
        "empty-battery-passes", "No findings, no objection.",
        "judgement:decide",
        lambda right: lambda findings, *rest, **named: (
            right(findings, *rest, **named) if findings else (sys.modules["exactness"].Verdict.CERTIFIED, "nothing was found")
        ),
        (BAD_INPUT + "::test_an_empty_battery_is_an_error_and_never_a_pass",), "sbi#1067",
    ),
    Mutant(
        "smallest-bound-decides", "The tolerance is held against the smallest bound instead of the largest.",
        "judgement:decide",
        lambda right: lambda findings, *rest, **named: right(
            [
                *(f for f in findings if f.bound is None),
                *sorted((f for f in findings if f.bound is not None), key=lambda f: f.bound)[:1],
            ],
            *rest, **named,
        ),
        (BAD_INPUT, CERTIFICATE),
    ),
    Mutant(
        "passes-without-a-bound", "What was not refuted is certified, whatever it could have been.",
        "judgement:decide",
        lambda right: lambda findings, plan, *rest, **named: right(
            findings, sys.modules["msgspec"].structs.replace(plan, tolerance=1.0 - 1e-9), *rest, **named
        ),
        (BAD_INPUT,), "transformers#44340",
    ),
    Mutant(
        "suspicion-ignored", "A p-value just above alpha does not hold a pass up.",
        "judgement:decide",
        lambda right: lambda findings, plan, *rest, **named: right(
            findings, sys.modules["msgspec"].structs.replace(plan, suspicion=1e-99), *rest, **named
        ),
        (BAD_INPUT, CERTIFICATE, PLAN),
    ),
    Mutant(
        "passes-before-its-controls", "An early pass on fewer draws than its controls took to be refuted.",
        "judgement:draws_before_a_pass", instead(lambda controls: 0), (CERTIFICATE, BAD_INPUT),
    ),
    Mutant(
        "missed-controls-do-not-matter", "A pass stands beside a wrong sampler that was not refuted.",
        "judgement:beside_controls", instead(lambda verdict, controls: verdict), (CERTIFICATE,),
    ),
    Mutant(
        "nan-statistic-passes", "A statistic that is NaN is left out.",
        "judgement:findings_of", numbers_only, (BAD_INPUT, COUPLINGS + "::test_what_cannot_be_judged_is_invalid_or_refuted_and_never_a_crash"),
    ),
    Mutant(
        "nan-draws-pass", "Draws with NaN are not looked for.",
        "laws.base:Law.readable", accepts_nan, (BAD_INPUT + "::test_unusable_output_is_invalid_and_says_why",),
    ),
    Mutant(
        "seed-not-probed", "Nobody checks that the same seed gives the same output, and another another.",
        "draws:Draws.probe", instead(lambda self: None), (BAD_INPUT + "::test_unusable_output_is_invalid_and_says_why",),
    ),
    # Randomness.
    Mutant(
        "one-stream-for-sampler-and-judge", "The judge's directions come from the same numbers as the sampler's seeds.",
        "seeds:_stream", lambda right: lambda root, name, key: right(root, name, 0), (EVIDENCE, CERTIFICATE, PLAN),
    ),
    Mutant(
        "claims-share-draws", "Claims of one run get the same seeds whatever they are called.",
        "seeds:_stream", lambda right: lambda root, name, key: right(root, "", key), (EVIDENCE, CERTIFICATE, PLAN),
    ),
    Mutant(
        "seeds-come-again", "Every call of the sampler in a certificate gets the same seed.",
        "seeds:sampler_seed", lambda right: lambda root, name, index: right(root, name, 0), (CERTIFICATE,), "blackjax#957",
    ),
    Mutant(
        "judge-noise-is-not-of-the-draws", "Every batch of draws is judged with the same noise.",
        "batteries.reference:noise_of", lambda right: lambda draws, key: np.random.default_rng(key),
        (MIXTURES + "::test_a_digest_depends_on_every_bit_and_on_the_order",),
    ),
]  # fmt: skip

MUTANTS = {mutant.name: mutant for mutant in _ALL}
