"""The page of the docs. Every number and every list in it is counted from the report, so it cannot contradict the measurement."""

from __future__ import annotations

from collections.abc import Sequence

from ..page import table
from .counts import FINAL, Report, names
from .tests import TESTS
from .words import Counts, listed, without, wrapped

# Tests per year in a busy project (ten samplers, a thousand commits), and the false alarms per year that it accepts.
YEAR, ALLOWED = 10_000, 0.01
WITH_A_RATE = tuple(test for test in TESTS if test not in ("ours", "moments"))


def story(report: Report) -> str:
    """The whole page in Markdown."""
    return "\n".join(wrapped(part(Counts(report))) for part in (_what, _came_out, _tests, _ours, _ci))


def _what(c: Counts) -> str:
    return f"""
# The field study: would the tests in use today have noticed?

A speculative sampler promises the law of the plain one. People check that promise with the tests at hand: a Kolmogorov-Smirnov
test of the final samples, means and variances within a tolerance, an energy distance, a kernel distance (MMD), or a test of one
step. We ran them on the catalogue of ways in which such samplers go wrong (`exactness_samplers.faults`), many of which were seen
in public code.

On a ring of eight Gaussians in the plane, with 40 steps, {len(c.wrong)} samplers are wrong and can be caught, {len(c.beyond)} are
wrong by too little for a test to be expected to see, and {len(c.exact)} look wrong but are right. Each sampler draws {c.many:,}
paths once, and all tests see the same paths: first the leading {c.few:,}, then all of them.{c.missing}
Where a test compares two samples, the plain sampler draws the other one, of the same size, anew for each fault. The command is
`make field`. The tables are in [reports/field.md](../reports/field.md), every p-value is in
[reports/field.json](../reports/field.json), and every number on this page is counted from that file.
"""


def _came_out(c: Counts) -> str:
    head = ("test", f"caught, n = {c.few:,}", f"n = {c.many:,}", f"right refused, n = {c.few:,}", f"n = {c.many:,}", "seconds")
    lines = [
        (label, c.score(t, c.few), c.score(t, c.many), c.refused(t, c.few), c.refused(t, c.many), c.seconds(t))
        for t, label in TESTS.items()
    ]
    hidden = c.not_by(FINAL, c.most)
    found = [f"{len(c.by(FINAL, n))} of {len(names(c.report, 'caught', n))} at n = {n:,}" for n in (c.few, c.many)]
    return f"""
## Results

![share of wrong samplers caught, by test and by group; false alarms](../reports/field.svg)

{table(head, lines, right=5)}
A test in use today fails a sampler at p <= {c.alpha}. Exactness fails it at {c.strict}, which is a thousand times as strict, over
all of its tests together. The right samplers are the {len(c.exact)} of the catalogue, and runs of the plain sampler under other
seeds. "seconds" is the processor time of one call at n = {c.many:,}, without drawing the paths, as the median over all samplers.

**Together, all tests of final samples that have an error rate catch {found[0]} and {found[1]}.**
{len(hidden)} get past all of them at n = {c.most:,}: {listed(hidden)}.
Speculation makes its errors in single steps, and the steps that follow pull the states back to where the target wants them. Little
or nothing of the error is left in the final samples. Dependence between paths leaves nothing at all there, since each path is
right.
"""


def _tests(c: Counts) -> str:
    noise = without(c.caught("moments", c.few), c.caught("moments z", c.few))
    below = without(c.caught("moments z", c.many), c.caught("moments", c.many))
    step_alone = without(c.caught("step", c.many), c.by(FINAL, c.many))
    final_alone = without(c.by(FINAL, c.many), c.caught("step", c.many))
    tolerance = f"{c.settings['tolerance']:g}"
    refused = {t: f"{c.refused(t, c.few)} and {c.refused(t, c.many)}" for t in TESTS}
    return f"""
## Test by test

**KS per coordinate** is cheap, has a true error rate, and catches {c.both("ks")}.
It sees only the coordinates, one by one.

**Means and variances within {tolerance}** are the test most often written, and they have no error rate. They "catch"
{c.both("moments")}, and refuse {refused["moments"]} runs of *right* samplers:
with {c.few:,} draws the noise of a difference is larger than the tolerance. Of the faults that they catch there, {len(noise)} are
caught by noise: compared with their standard errors, the same differences are not significant.{_below(below, c.many)}
A tolerance is only right for one n. As z-tests at {c.alpha} the same moments catch {c.both("moments z")},
and refuse {refused["moments z"]} right ones.

**KS along the mean difference of one step** looks where the error is made, and needs no trusted sample. It catches
{c.both("step")}. At n = {c.many:,} it sees what no test of final samples does in
{listed(step_alone)}, and does not see what those do in {listed(final_alone)}:
errors in other steps, or across that direction. If you add the other steps and the other directions, and pay for all of them with
a smaller level, you arrive at a battery like ours.

**At the first step alone** the same test catches {c.both("first step")}. The first step is the
easiest to test, but least goes wrong there: a reused prediction, a block and a bookkeeping error need earlier steps.

**The energy distance** takes all pairs of draws, so we did as people do and gave it a random {c.settings["subsample"]:,} draws per
side, at any n. More paths do not help it: it catches {c.both("energy")}.

**MMD** with random Fourier features of a Gaussian kernel takes all draws, and catches {c.both("mmd")}.
Its kernel has the usual width, the typical distance of two draws, which is much wider than a mode of the ring.
"""


def _ours(c: Counts) -> str:
    refused = f"{c.refused('ours', c.few)} and {c.refused('ours', c.many)}"
    return f"""
## What exactness sees, and what it misses

Its battery turns each path into noise that must be independent and standard normal, and looks along many directions, at every
step, between steps and between paths. It catches {c.both("ours")},
and refused {refused} right samplers. It misses the following:

- {_missed(c, c.few)}
- {_missed(c, c.many)}{_closest(c)}
- The {len(c.beyond)} that are beyond reach, {listed(c.beyond)}, are wrong.
  At n = {c.many:,} exactness refuted {c.beyond_by(["ours"])} of them, and the tests in use today that have
  an error rate {c.beyond_by(WITH_A_RATE)}.
  `exactness controls` prints the bound on the power of any test. A certificate never says "exact": it says that the quantities
  which it looked at differ by no more than a tolerance.
- It needs more than samples: the whole path, the schedule, and the target's own prediction at every state, which is one more
  evaluation per step. It cannot be run where there are only final samples; then a known law or a trusted sampler takes its place
  (`GaussianMixture`, `TrustedSampler`), and sees what final samples show.
- It judges a sampler against the chain that it is given. If the target itself is wrong, because its network is badly trained or
  because judge and sampler share a wrong schedule, the innovations are still perfectly normal. Only a comparison with data would
  see that.
- It takes {c.seconds("ours")} s at n = {c.many:,} where KS takes {c.seconds("ks")}, and here the target costs almost nothing.
With a network, the evaluations of the network decide, and judging costs about as much as plain sampling.

There are two cautions about the comparison. The authors of the battery made the catalogue, and admitted each fault together with a
test of the battery that must refute it; the tests in use today had no such help. And this is one law in two dimensions, where
tests of final samples are at their best. `label-of-another-chain` is left out, because it is about another law, for which there
are only final states.
"""


def _missed(c: Counts, n: int) -> str:
    missed = c.not_by(["ours"], n)
    if not missed:
        return f"At n = {n:,}, it misses nothing that can be caught."
    others = [name for name in missed if name in c.by(WITH_A_RATE, n)]
    text = f"At n = {n:,}: {listed(missed)}. Of these, tests in use today that have an error rate catch {listed(others)}"
    return text + (", at a level a thousand times as lenient." if others else ".")


def _closest(c: Counts) -> str:
    """The fault that tests of final samples should see best: a hole in their law."""
    name = "region-never-visited"
    if name not in names(c.report, "caught", c.many):
        return ""
    p = {test: found["p_value"] for test, found in c.report["faults"][name]["at"][str(c.many)].items()}
    return (
        f" Tests of final samples come closest in `{name}`, which cuts a hole into the law: p = {p['ks']:.1g} by KS and "
        f"{p['moments z']:.1g} by the z-tests, compared with {p['ours']:.1g} by exactness, adjusted for all of its tests."
    )


def _ci(c: Counts) -> str:
    level, permutations = ALLOWED / YEAR, c.settings["permutations"]
    smallest, hidden, a_year = 1 / (permutations + 1), c.not_by(FINAL, c.most), YEAR * c.settings["alpha"]
    return f"""
## What this means for continuous integration

A project with ten samplers and a thousand commits per year makes {YEAR:,} such tests per year. At {c.alpha} that gives
{a_year:.0f} false alarms, and people stop reading them. For one false alarm in {1 / ALLOWED:.0f} years, each test must run at a
level of {level:.0e}. At that level, KS catches {c.both("ks", level)}, the z-tests
{c.both("moments z", level)}, and one step along the mean difference
{c.both("step", level)}. Permutation tests cannot follow: with {permutations:,} permutations
no p-value lies below {smallest:g}, and {level:.0e} takes {1 / level:,.0f} of them. Exactness works at {c.strict} because its null
distributions are known that far out.

If you have paths, judge paths. If you have only final samples, use KS and the moments as z-tests, each with a p-value and an n
that was chosen for the error that matters, and never a bare tolerance. Even then, {len(hidden)} of {len(c.wrong)} known ways of
being wrong pass all those tests at n = {c.most:,}.
"""


def _below(below: Sequence[str], many: int) -> str:
    return f" With {many:,} draws they pass faults within the tolerance that the z-tests see: {listed(below)}." if below else ""
