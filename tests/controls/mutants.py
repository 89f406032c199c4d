"""The judge with one function replaced: what could be wrong with it, where that was seen, and the tests that must notice.

A replacement is made from the right function, so that it says only what is different.
"""

from __future__ import annotations

import copy
import importlib
import math
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from exactness.arrays import like
from exactness.certificate import Verdict
from exactness.evidence.base import Evidence

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


def blind(evidence: Evidence, names: Collection[str]) -> Evidence:
    """The evidence without these summaries, which are fed as before: only what they would say is missing."""
    unseen = [evidence.summaries[name] for name in names if name in evidence.summaries]
    evidence.summaries = {k: v for k, v in evidence.summaries.items() if k not in names}
    update = evidence._update

    def update_all(*arguments: Any) -> None:
        assert update is not None
        update(*arguments)
        for summary in unseen:
            summary.close()

    evidence._update = update_all
    return evidence


def along_drift_only(right: Callable[..., Any]) -> Callable[..., Any]:
    def start(self: Any, law: Any, generator: Any) -> Any:
        evidence = right(self, law, generator)
        return blind(evidence, [name for name in evidence.summaries if name != "along drift change"])

    return start


def noise_for_the_orthogonal_part(right: Callable[..., Any]) -> Callable[..., Any]:
    def noise(self: Any, sample: Any) -> Any:
        generator = np.random.default_rng(0)
        ends = [np.array(end) for end in right(self, sample)]
        for end in ends:
            end[:, 1:] = generator.standard_normal(end[:, 1:].shape)
        return tuple(like(end, sample) for end in ends)

    return noise


def without(*names: str) -> Change:
    """A battery that leaves out some of its summaries."""

    def change(right: Callable[..., Any]) -> Callable[..., Any]:
        def start(self: Any, law: Any, generator: Any) -> Any:
            evidence = right(self, law, generator)
            return blind(evidence, names)

        return start

    return change


def warning(right: Callable[..., Any]) -> Callable[..., Any]:
    """The decision that would have been made if no p-value were small."""

    def decide(findings: Any, *rest: Any) -> Any:
        return right([msgspec.structs.replace(f, adjusted_p=max(f.adjusted_p, 0.5)) for f in findings], *rest)

    return decide


def benjamini_hochberg(p_values: Any, plan: Any) -> list[float]:
    from scipy.stats import false_discovery_control

    return [min(1.0, float(q) * len(plan.stages) * plan.claims) for q in false_discovery_control(p_values)]


def merges(*fields: str) -> Change:
    """A merge after which these fields are as they were before."""

    def change(right: Callable[..., Any]) -> Callable[..., Any]:
        def merge(self: Any, other: Any) -> None:
            kept = {field: copy.deepcopy(getattr(self, field)) for field in fields}
            right(self, other)
            for field, value in kept.items():
                setattr(self, field, value)

        return merge

    return change


def observed_only(right: Callable[..., Any]) -> Callable[..., Any]:
    """The rows of a summary that have counts, as if there were no others."""

    def tests(self: Any) -> Any:
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
        everything = Evidence.results
        Evidence.results = lambda self: [r for r in everything(self) if math.isfinite(r.statistic)]  # type: ignore[method-assign]
        try:
            return right(evidence, plan)
        finally:
            Evidence.results = everything  # type: ignore[method-assign]

    return findings_of


NULLS, EVERY = "tests/evidence/test_nulls.py", "tests/evidence/test_every_null.py"
EVIDENCE, PLAN, MIXTURES = "tests/evidence/test_evidence.py", "tests/judging/test_plan.py", "tests/batteries/test_mixtures.py"
FREQUENCIES = "tests/batteries/test_discrete.py"
COUPLINGS, ACCEPTANCE = "tests/batteries/test_couplings.py", "tests/batteries/test_windows.py"
BAD_INPUT, CERTIFICATE = "tests/judging/test_bad_input.py", "tests/judging/test_certificate.py"
SEES = "::test_accepts_the_truth_and_sees_what_it_says_it_sees_on_both_sides"
BOTH_SIDES = "::test_accepts_the_truth_and_refutes_both_sides_at_the_detectable_effect"
ADDS_UP = f"{PLAN}::test_error_probabilities_add_up_to_those_of_the_plan"
FOUR_STEPS = f"{EVIDENCE}::test_a_dependence_on_what_is_four_steps_back_is_seen_by_its_lag"
STREAMS = f"{CERTIFICATE}::test_sampler_judge_claims_and_calls_have_streams_of_their_own"
DEPENDENCE = "tests/judging/test_dependence.py"
SEEN = f"{DEPENDENCE}::test_each_kind_of_dependence_is_seen_by_the_test_that_is_made_for_it"
SAME_BATCHES = f"{EVIDENCE}::test_shards_with_noise_merge_in_any_order_and_grouping[innovations]"
ONE_STEP = f"{EVIDENCE}::test_innovations_refute_one_wrong_step_from_both_sides"
SHARDS = f"{EVIDENCE}::test_shards_in_any_order_give_one_and_the_same_evidence"
NOISY_SHARDS = f"{EVIDENCE}::test_shards_with_noise_merge_in_any_order_and_grouping"

_ALL = [
    # p-values.
    Mutant(
        "ks-inverted", "The p-value of the Kolmogorov distance is one minus what it should be.",
        "evidence.nulls.kolmogorov:Kolmogorov.p_value", inverted, (NULLS + BOTH_SIDES + "[Kolmogorov]",), "jax#1123",
    ),
    Mutant(
        "ks-of-one-minus-distance", "The p-value is that of one minus the Kolmogorov distance.",
        "evidence.nulls.kolmogorov:Kolmogorov.p_value", lambda right: lambda self, d, n: right(self, 1.0 - d, n),
        (NULLS + BOTH_SIDES + "[Kolmogorov]",), "jax#1123",
    ),
    Mutant(
        "chi-square-inverted", "The chi-square test takes the lower tail for the upper one.",
        "evidence.nulls.normal:MeanVector.p_value", inverted, (EVERY + SEES + "[mean vector]",), "jax#2847",
    ),
    Mutant(
        "chi-square-limit-inverted", "The chi-square limit takes the lower tail for the upper one.",
        "evidence.nulls.limits:ChiSquareLimit.p_value",
        lambda right: lambda self, s, n: max(self.smallest, 1.0 - right(replace(self, smallest=0.0), s, n)),
        (EVERY + SEES + "[chi-square limit]",), "jax#2847",
    ),
    Mutant(
        "share-inverted", "A share that is far from its probability gets a large p-value.",
        "evidence.nulls.counts:Share.p_value", inverted, (EVERY + "::test_a_share_is_the_binomial_test",), "jax#2847",
    ),
    Mutant(
        "permutation-without-plus-one", "A statistic above all its permutations gets the p-value 0.",
        "evidence.nulls.limits:Permutation.p_value",
        instead(lambda self, statistic, n: self.exceeding / self.permutations), (MIXTURES + "::test_permutations_are_exact",),
        "alibi-detect#960",
    ),
    Mutant(
        "floor-on-p", "No p-value is ever below 0.001, so that a small alpha refutes nothing.",
        "evidence.base:Result.p_value", lambda right: lambda self: max(1e-3, right(self)), (ONE_STEP,), "pytest-stochastic 0.1.0",
    ),
    Mutant(
        "floor-of-one-minus-cdf", "The mean's p-value is one minus a distribution function, which ends at 1e-16.",
        "evidence.nulls.normal:NormalMean.p_value", lambda right: lambda self, s, n: max(2.0**-53, right(self, s, n)),
        (NULLS + "::test_variance_far_out_is_not_lost",),
    ),
    Mutant(
        "dkw-without-the-two", "The Dvoretzky-Kiefer-Wolfowitz inequality has lost the 2 in front, or for both sides.",
        "evidence.nulls.kolmogorov:Kolmogorov.p_value", lambda right: lambda self, d, n: 0.5 * right(self, d, n),
        (NULLS + "::test_kolmogorov_p_values_are_a_bound",),
    ),
    Mutant(
        "two-samples-taken-for-one", "The distance of two samples gets the p-value of one sample and its law.",
        "evidence.nulls.kolmogorov:TwoSampleKolmogorov.p_value", lambda right: lambda self, d, n: right(self, d, 2 * n),
        (EVERY + "::test_p_values_are_no_smaller_than_they_may_be[two-sample Kolmogorov]",),
    ),
    Mutant(
        "one-sided-variance", "A variance that is too small is not looked for.",
        "evidence.nulls.normal:NormalVariance.p_value", lambda right: lambda self, s, n: right(self, s, n) if s > 1.0 else 1.0,
        (NULLS + BOTH_SIDES + "[variance]",),
    ),
    Mutant(
        "one-sided-mean", "A mean that is too small is not looked for.",
        "evidence.nulls.normal:NormalMean.p_value", lambda right: lambda self, s, n: right(self, s, n) if s > 0.0 else 1.0,
        (NULLS + BOTH_SIDES + "[mean]",),
    ),
    Mutant(
        "one-sided-rows", "Of many rows the largest statistic alone is taken for the most extreme.",
        "evidence.summaries.base:worst",
        lambda right: lambda null, names, s, n, bounded=True: (
            lambda i: right(null, [names[i]], s[i : i + 1], np.broadcast_to(n, s.shape)[i : i + 1], bounded)._replace(rows=len(s))
        )(int(s.argmax())),
        (EVERY + "::test_the_row_that_stands_out_most_is_found_on_either_side",),
    ),
    Mutant(
        "bound-of-the-smallest-p-value", "The bound written is that of the row with the smallest p-value, and not the largest.",
        "evidence.summaries.base:worst",
        lambda right: lambda *arguments, **options: right(*arguments, **options)._replace(ends=()),
        (EVERY + "::test_the_bound_of_the_most_extreme_event_covers_the_others",
         COUPLINGS + "::test_the_bound_is_that_of_the_row_that_departs_most"),
    ),
    Mutant(
        "mean-product-of-free-pairs", "Neighbours in a run are taken for independent pairs.",
        "evidence.nulls.products:_cosines", lambda right: lambda lengths: right((2,) * len(lengths)),
        (EVERY + SEES + "[product of neighbours]",),
    ),
    Mutant(
        "bernstein-without-its-second-term", "A bound for sums of anything is taken to have a Gaussian tail.",
        "evidence.nulls.counts:Promised.p_value",
        instead(lambda self, s, n: min(1.0, 2.0 * math.exp(-n * s * s / (2.0 * self.variance)))),
        (EVERY + "::test_counts_of_rare_events_keep_the_bound_of_promised_probabilities",),
    ),
    Mutant(
        "reach-ignored", "A test that is right in the limit claims p-values far beyond what was calibrated.",
        "evidence.nulls.limits:ChiSquareLimit.p_value", lambda right: lambda self, s, n: right(replace(self, smallest=0.0), s, n),
        (MIXTURES + "::test_an_asymptotic_test_never_decides_beyond_its_range",),
    ),
    Mutant(
        "limit-with-few-draws", "A test that is right in the limit decides with any number of draws.",
        "evidence.nulls.limits:ChiSquareLimit.p_value", lambda right: lambda self, s, n: right(replace(self, fewest=0), s, n),
        (MIXTURES + "::test_an_asymptotic_test_never_decides_beyond_its_range",),
    ),
    # Multiplicity.
    Mutant(
        "no-multiplicity", "Raw p-values are held against alpha, however many there are.",
        "judging.judgement:adjust", instead(lambda p, plan: [float(q) for q in p]), (PLAN + "::test_holm_by_hand",),
    ),
    Mutant(
        "false-discovery-rate", "Benjamini and Hochberg's adjustment, which lets one in so many refutations be false.",
        "judging.judgement:adjust", instead(benjamini_hochberg), (PLAN + "::test_holm_by_hand",),
    ),
    Mutant(
        "stages-forgotten", "Each look at the evidence has an alpha of its own.",
        "judging.judgement:adjust", lambda right: lambda p, plan: [min(1.0, q / len(plan.stages)) for q in right(p, plan)],
        (PLAN + "::test_holm_by_hand",),
    ),
    Mutant(
        "claims-forgotten", "Each claim of a run has an alpha of its own.",
        "judging.judgement:adjust",
        lambda right: lambda p, plan: right(p, type(plan)(first_paths=plan.first_paths, max_paths=plan.max_paths)),
        (PLAN + "::test_claims_of_a_run_share_alpha",),
    ),
    Mutant(
        "rows-forgotten", "The most extreme of many rows gets the p-value of one row.",
        "evidence.nulls.base:Null.p_over_rows", instead(lambda self, s, n, rows: self.p_value(s, n)),
        (EVIDENCE + "::test_findings_count_every_row_that_was_looked_at",),
    ),
    Mutant(
        "bounds-one-by-one", "Each bound holds at the plan's confidence, so that all of them together do not.",
        "plan:Plan.bound_error", lambda right: lambda self, discrepancies: right(self, 1), (ADDS_UP,),
    ),
    Mutant(
        "bounds-of-one-look", "Bounds hold at each stage, so that the stage that is stopped at is chosen by them.",
        "plan:Plan.bound_error", lambda right: lambda self, discrepancies: right(self, discrepancies) * len(self.stages),
        (ADDS_UP,),
    ),
    Mutant(
        "bounds-count-values", "A path of K steps counts as K paths in a bound, as if no step depended on another.",
        "evidence.summaries.base:Row.bound",
        instead(lambda self, paths, error: self.null.bound(self.statistic, self.n, error)), (ADDS_UP,),
    ),
    Mutant(
        "detectable-in-one-look", "The smallest effect that is seen is that of a judge who looks once.",
        "plan:Plan.level", lambda right: lambda self, tests: right(self, tests) * len(self.stages), (ADDS_UP,),
    ),
    # What is looked at.
    Mutant(
        "one-direction-only", "Innovations are looked at along the change of the drift and nowhere else.",
        "batteries.chains:Innovations.start", along_drift_only, (ONE_STEP,), "a peer's check along the mean difference",
    ),
    Mutant(
        "orthogonal-part-ignored", "Both ends of a coupling are looked at along the means' difference alone.",
        "laws.couplings:GaussianCoupling.noise", noise_for_the_orthogonal_part,
        (COUPLINGS + "::test_wrong_couplings_are_refuted_from_both_sides[{'across': 0.85}-gamma]",),
        "a peer's check along the mean difference",
    ),
    Mutant(
        "first-step-only", "The start and the first step are judged, where block verification cannot fail.",
        "laws.chains:GaussianChain.innovations", lambda right: first_of(right, 2), (ONE_STEP,),
    ),
    Mutant(
        "start-not-judged", "The start of a chain is taken on trust.",
        "laws.chains:GaussianChain.innovations",
        lambda right: lambda self, paths: (s for s in right(self, paths) if s.step <= self.steps),
        (EVIDENCE + "::test_the_start_is_part_of_the_claim_unless_it_is_left_out",),
    ),
    Mutant(
        "pooled-only", "Steps are pooled, so that one wrong step of many is thinned out.",
        "evidence.summaries.tally:Tally.tests", only_if(lambda test: test.rows == 1), (ONE_STEP,),
    ),
    Mutant(
        "lag-one-only", "Dependence of innovations is looked for from one step to the next and no farther.",
        "evidence.summaries.lags:Lags.__init__", lambda right: lambda self, present, most: right(self, present, min(most, 1)),
        (FOUR_STEPS,),
    ),
    Mutant(
        "lags-not-compared", "Innovations of different steps are not held against each other.",
        "batteries.chains:Innovations.start", without("lags", "along previous innovation"), (FOUR_STEPS,),
    ),
    Mutant(
        "pairs-of-coordinates-not-compared", "Every coordinate is looked at, and no two of them together.",
        "evidence.summaries.vectors:Vectors.tests", only_if(lambda test: test.null.name != "product"),
        (MIXTURES + "::test_a_correlation_inside_components_is_seen_where_coordinates_are_right",),
    ),
    Mutant(
        "marginals-only", "The Rosenblatt transform is of each coordinate by itself.",
        "laws.mixtures:GaussianMixture.rosenblatt",
        lambda right: lambda self, x: np.stack([self.projected_cdf(v, x @ v) for v in np.eye(self.dim)], axis=1),
        (MIXTURES + "::test_the_rosenblatt_transform_is_the_conditional_distribution_function",),
    ),
    Mutant(
        "unobserved-events-dropped", "Events that never happened are left out of the test, and with them a mode that is missing.",
        "evidence.summaries.shares:Shares.tests", observed_only,
        (MIXTURES + "::test_a_rare_mode_that_is_missing_is_seen_by_the_share_that_it_has_not",), "jax#7040",
    ),
    Mutant(
        "unobserved-cells-dropped", "Distances are taken at the edges of cells that hold anything.",
        "evidence.summaries.tally:_gaps", among_observed_cells,
        (EVERY + "::test_distances_are_those_of_the_empirical_distribution_function_at_every_edge",), "jax#7040",
    ),
    Mutant(
        "cells-off-by-one", "Values are counted one cell too high.",
        "arrays:histogram", one_cell_up, (NULLS + "::test_the_bound_covers_what_hides_between_the_edges",),
    ),
    Mutant(
        "deterministic-steps-not-checked", "A step without noise may lead anywhere.",
        "evidence.summaries.points:Points.tests", instead(lambda self: []),
        (EVIDENCE + "::test_a_deterministic_step_that_does_not_hold_refutes",),
    ),
    Mutant(
        "repeated-draws-not-checked", "Draws that come twice count as two.",
        "evidence.summaries.repeats:Repeats.tests", instead(lambda self: []),
        (EVIDENCE + "::test_one_path_that_comes_twice_is_enough",),
    ),
    Mutant(
        "lags-not-compared", "Paths are taken to be independent of each other.",
        "batteries.chains:Innovations.start", without("dependence at a lag"),
        (EVIDENCE + "::test_paths_that_know_of_each_other_are_seen_by_nothing_else",),
    ),
    Mutant(
        "calls-not-compared", "Seeds are taken to be alike.",
        "evidence.summaries.calls:Calls.tests", instead(lambda self: []), (SEEN + "[stratified]",),
    ),
    Mutant(
        "neighbours-not-counted", "Close draws are taken for different ones.",
        "evidence.summaries.neighbours:Neighbours.tests", instead(lambda self: []), (SEEN + "[jittered copies]",),
    ),
    Mutant(
        "dependence-not-named", "Every refutation is said to be of the law.",
        "judging.judgement:about_dependence", instead(lambda finding: False),
        (DEPENDENCE + "::test_the_reason_is_dependence_and_not_the_law",),
    ),
    Mutant(
        "a-mean-called-dependence", "What a wrong mean does to products is not taken off.",
        "evidence.summaries.serial:_Sequences.of_weights",
        lambda right: lambda self, weights: (right(self, weights)[0], 0.0),
        (EVIDENCE + "::test_a_wrong_mean_is_not_taken_for_correlation",),
    ),
    Mutant(
        "shares-not-weighted", "Accepted drafts are counted, and not which ones.",
        "batteries.windows:Acceptance.start", without("drafts kept, by their probability"),
        (ACCEPTANCE + "::test_the_right_share_of_the_wrong_drafts_is_refuted_by_their_probability",),
    ),
    Mutant(
        "impossible-values-not-checked", "Draws of probability 0 are left out, as if they had not been drawn.",
        "evidence.summaries.cells:Support.tests", instead(lambda self: []),
        (FREQUENCIES + "::test_draws_outside_the_support_refute_at_once_and_are_named",), "flashinfer#5341",
    ),
    *(
        Mutant(
            f"{name.replace(' ', '-')}-not-tested", f"Of a discrete law, {name} are not looked at.",
            "batteries.discrete:Frequencies.start", without(name),
            (FREQUENCIES + "::test_each_group_of_tests_sees_what_it_is_for",),
        )
        for name in ("values", "ends", "all values")
    ),
    # What is kept.
    Mutant(
        "merge-forgets-draws", "Merged evidence has the sums of both and the number of draws of one.",
        "evidence.base:Evidence.merge", merges("paths"), (SHARDS + "[projected-KS]",),
    ),
    *(
        Mutant(
            f"merge-of-{kind.lower()}-drops-{field}", f"What the other shard has in {field} is dropped.",
            f"evidence.summaries.{file}:{kind}.merge", merges(field), tests,
        )
        for file, kind, fields, tests in (
            ("tally", "Tally", ("counts", "sums", "averages"), (SAME_BATCHES,)),
            ("vectors", "Vectors", ("sum", "outer"), (SAME_BATCHES,)),
            ("lags", "Lags", ("sums",), (SAME_BATCHES,)),
            ("serial", "Serial", ("products", "norms"), (SAME_BATCHES,)),
            ("calls", "Calls", ("between", "squares"), (SAME_BATCHES,)),
            ("calls", "UnusualCalls", ("squares",), (SAME_BATCHES,)),
            ("neighbours", "Neighbours", ("within", "kept"), (NOISY_SHARDS + "[mixture-innovations]",)),
            ("repeats", "RepeatsOfBoth", ("kept",), (DEPENDENCE + "::test_repeats_of_a_trusted_law_are_counted_over_shards",)),
            ("shares", "Shares", ("counts",), (NOISY_SHARDS + "[mixture-innovations]",)),
            ("cells", "Cells", ("counts",), (NOISY_SHARDS + "[frequencies]",)),
            ("cells", "Support", ("hits",), (FREQUENCIES + "::test_an_impossible_draw_of_either_shard_is_kept",)),
            ("features", "Embedding", ("sum",), (SHARDS + "[characteristic-function]",)),
            ("features", "Differences", ("sum",), (NOISY_SHARDS + "[Stein-discrepancy]",)),
            ("pairs", "PairTally", ("counts",), (NOISY_SHARDS + "[two-sample]",)),
            ("permuted", "Permuted", ("kept",), (NOISY_SHARDS + "[two-sample-by-permutation]",)),
            ("embedded", "EmbeddedDraws", ("kept",), (NOISY_SHARDS + "[mean-embedding]",)),
            ("points", "Points", ("largest",), (EVIDENCE + "::test_a_wrong_deterministic_step_of_either_shard_is_kept",)),
            ("repeats", "Repeats", ("kept",), (EVIDENCE + "::test_a_draw_of_another_shard_counts_as_a_repetition",)),
            ("repeats", "Repeats", ("seen",), (DEPENDENCE + "::test_repeats_are_of_all_draws_and_not_only_of_those_kept[False]",)),
            ("promises", "Promises", ("sums",), (ACCEPTANCE + "::test_shards_in_any_order_give_one_and_the_same_evidence",)),
            ("products", "Products", ("sums",), (COUPLINGS + "::test_shards_in_any_order_give_one_and_the_same_evidence[gamma]",)),
        )
        for field in fields
    ),
    # What is decided.
    Mutant(
        "only-warns", "Small p-values are written down, and nothing is refuted.",
        "judging.judgement:decide", warning, (ONE_STEP,), "ROCm/aiter#2034",
    ),
    Mutant(
        "empty-battery-passes", "No findings, no objection.",
        "judging.judgement:decide",
        lambda right: lambda findings, *rest, **named: (
            right(findings, *rest, **named) if findings else (Verdict.CERTIFIED, "nothing was found")
        ),
        (BAD_INPUT + "::test_an_empty_battery_is_an_error_and_never_a_pass",), "sbi#1067",
    ),
    Mutant(
        "smallest-bound-decides", "The tolerance is held against the smallest bound instead of the largest.",
        "judging.judgement:decide",
        lambda right: lambda findings, *rest, **named: right(
            [
                *(f for f in findings if f.bound is None),
                *sorted((f for f in findings if f.bound is not None), key=lambda f: f.bound)[:1],
            ],
            *rest, **named,
        ),
        (PLAN + "::test_every_bound_must_be_within_the_tolerance",),
    ),
    Mutant(
        "passes-without-a-bound", "What was not refuted is certified, whatever it could have been.",
        "judging.judgement:decide",
        lambda right: lambda findings, plan, *rest, **named: right(
            findings, msgspec.structs.replace(plan, tolerance=1.0 - 1e-9), *rest, **named
        ),
        (PLAN + "::test_every_bound_must_be_within_the_tolerance",), "transformers#44340",
    ),
    Mutant(
        "suspicion-ignored", "A p-value just above alpha does not hold a pass up.",
        "judging.judgement:decide",
        lambda right: lambda findings, plan, *rest, **named: right(
            findings, msgspec.structs.replace(plan, suspicion=1e-99), *rest, **named
        ),
        (PLAN + "::test_a_pass_waits_while_a_p_value_is_small_and_until_its_controls_were_refuted",),
    ),
    Mutant(
        "passes-before-its-controls", "An early pass on fewer draws than its controls took to be refuted.",
        "judging.judgement:draws_before_a_pass", instead(lambda controls: 0),
        (PLAN + "::test_a_pass_waits_while_a_p_value_is_small_and_until_its_controls_were_refuted",),
    ),
    Mutant(
        "missed-controls-do-not-matter", "A pass stands beside a wrong sampler that was not refuted.",
        "judging.judgement:beside_controls", instead(lambda verdict, controls: verdict),
        (CERTIFICATE + "::test_its_arithmetic_holds_and_tampering_shows",),
    ),
    Mutant(
        "nan-statistic-passes", "A statistic that is NaN is left out.",
        "judging.judgement:findings_of", numbers_only, (BAD_INPUT + "::test_a_statistic_that_is_no_number_is_no_pass",),
    ),
    Mutant(
        "nan-draws-pass", "Draws with NaN are not looked for.",
        "laws.base:Law.readable", instead(lambda self, sample: np.ones(sample.shape, dtype=bool)),
        (BAD_INPUT + "::test_unusable_output_is_invalid_and_says_why",),
    ),
    Mutant(
        "seed-not-probed", "Nobody checks that the same seed gives the same output, and another another.",
        "judging.draws:Draws.probe", instead(lambda self: None), (BAD_INPUT + "::test_unusable_output_is_invalid_and_says_why",),
    ),
    Mutant(
        "rounding-is-not-thought-of", "A right sampler is refuted because its numbers have too few digits for the noise.",
        "judging.digits:_stands", instead(lambda finding, tests, plan, digits: True),
        ("tests/judging/test_digits.py::test_a_right_chain_with_too_few_digits_is_invalid_and_the_remedy_said",),
    ),
    Mutant(
        "rounding-explains-everything", "Whatever is refuted is put down to rounding.",
        "judging.digits:_stands", instead(lambda finding, tests, plan, digits: False),
        ("tests/judging/test_digits.py::test_where_the_digits_suffice_right_is_certified_and_wrong_refuted",),
    ),
    Mutant(
        "variances-of-no-state", "A variance that is right on average and wrong state by state.",
        "laws.chains:_large", instead(lambda deviation, dim: np.ones((len(deviation), dim), dtype=bool)),
        ("tests/laws/test_spread.py::test_small_errors_show_where_the_variance_is_large",),
    ),
    # Randomness.
    Mutant(
        "one-stream-for-sampler-and-judge", "The judge's directions come from the same numbers as the sampler's seeds.",
        "seeds:_stream", lambda right: lambda root, name, *key: right(root, name, 0), (STREAMS,),
    ),
    Mutant(
        "claims-share-draws", "Claims of one run get the same seeds whatever they are called.",
        "seeds:_stream", lambda right: lambda root, name, *key: right(root, "", *key), (STREAMS,),
    ),
    Mutant(
        "seeds-come-again", "Every call of the sampler in a certificate gets the same seed.",
        "seeds:sampler_seed", lambda right: lambda root, name, index: right(root, name, 0), (STREAMS,), "blackjax#957",
    ),
    Mutant(
        "judge-noise-is-not-of-the-draws", "Every batch of draws that is judged by hand gets the same noise.",
        "evidence.base:Origin.noise_of", lambda right: lambda self, sample: np.random.default_rng(1),
        (MIXTURES + "::test_a_digest_depends_on_every_bit_and_on_the_order",),
    ),
    Mutant(
        "blocks-share-judge-noise", "Every block of draws is judged with the same noise.",
        "seeds:block_generator", lambda right: lambda root, name, block, place: right(root, name, 0, place), (STREAMS,),
    ),
]  # fmt: skip

MUTANTS = {mutant.name: mutant for mutant in _ALL}
