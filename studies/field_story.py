"""The page of the docs: every number and every list in it is counted from the report, so that page and measurement cannot part."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from .field_page import FINAL, Report, alarms, caught, names, seconds, sizes
from .field_tests import TESTS
from .page import table

# What a busy project runs: ten samplers, a thousand commits a year; and the false alarms a year that it can live with.
YEAR, ALLOWED = 10_000, 0.01
WITH_A_RATE = tuple(test for test in TESTS if test not in ("ours", "moments"))


class Counts:
    """What the page says of a report, in words. ``few`` and ``many``: the smallest and the largest number of paths."""

    def __init__(self, report: Report) -> None:
        self.report, self.settings = report, report["settings"]
        self.few, self.many = sizes(report)[0], sizes(report)[-1]
        self.alpha, self.strict = f"{self.settings['alpha']:g}", f"{self.settings['alpha of ours']:g}"
        self.wrong = names(report, "caught", self.few)
        self.beyond, self.exact = names(report, "beyond", self.few), names(report, "exact", self.few)

        run = len(names(report, "caught", self.many))
        # Of a study that was stopped: what its numbers are of, and the largest n at which all have been run.
        self.most = self.many if run == len(self.wrong) else self.few
        self.missing = ""
        if run < len(self.wrong):
            self.missing = (
                f" **At n = {self.many:,}, {run} of the {len(self.wrong)} have been run so far**: first those that fewer paths "
                "settle least, so shares at the two n do not compare."
            )

    def caught(self, test: str, n: int) -> list[str]:
        return caught(self.report, test, n, "caught")

    def by(self, tests: Sequence[str], n: int) -> list[str]:
        """Wrong samplers that one of the tests catches."""
        found = {name for test in tests for name in self.caught(test, n)}
        return [name for name in self.wrong if name in found]

    def not_by(self, tests: Sequence[str], n: int) -> list[str]:
        return _without(names(self.report, "caught", n), self.by(tests, n))

    def score(self, test: str, n: int, alpha: float | None = None) -> str:
        return f"{len(caught(self.report, test, n, 'caught', alpha))} of {len(names(self.report, 'caught', n))}"

    def both(self, test: str, alpha: float | None = None) -> str:
        return f"{self.score(test, self.few, alpha)} at n = {self.few:,} and {self.score(test, self.many, alpha)} at {self.many:,}"

    def refused(self, test: str, n: int) -> str:
        return "{} of {}".format(*alarms(self.report, test, n))

    def beyond_by(self, tests: Sequence[str]) -> int:
        return len({name for test in tests for name in caught(self.report, test, self.many, "beyond")})

    def seconds(self, test: str) -> str:
        return f"{seconds(self.report, test, self.many):.2g}"


def story(report: Report) -> str:
    """As Markdown."""
    return "\n".join(_wrapped(part(Counts(report))) for part in (_what, _came_out, _tests, _ours, _ci))


def _what(c: Counts) -> str:
    return f"""
# The field study: would the tests in use today have noticed?

A speculative sampler promises the law of the plain one. People check that promise with the tests at hand: a Kolmogorov-Smirnov
test of what comes out, means and variances within a tolerance, an energy distance, a kernel distance (MMD), or a look at one step.
We ran them on the catalogue of ways in which such samplers go wrong (`exactness_samplers.faults`), many of them seen in public
code.

On a ring of eight Gaussians in the plane, with 40 steps, {len(c.wrong)} samplers are wrong and can be caught, {len(c.beyond)} are
wrong by too little for a test to be asked to see, and {len(c.exact)} look wrong and are right. Each draws {c.many:,} paths, once;
every test sees the same ones, first the leading {c.few:,} and then all.{c.missing}
Where a test compares two samples, the other is drawn by the plain sampler, as large, anew for each fault. The command is
`make field`; tables are in [reports/field.md](../reports/field.md), every p-value in [reports/field.json](../reports/field.json),
and every number on this page is counted from that file.
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
## What came out

![share of wrong samplers caught, by test and by group; false alarms](../reports/field.svg)

{table(head, lines, right=5)}
A test in use today fails a sampler at p <= {c.alpha}, exactness at {c.strict}, a thousand times as strict, over all of its
tests together. Right ones: the {len(c.exact)} of the catalogue, and runs of the plain sampler under other
seeds. Seconds: processor time of one call at n = {c.many:,}, without drawing the paths, the median over all samplers.

**All tests of final samples together that have an error rate catch {found[0]} and {found[1]}.**
{len(hidden)} get past all of them at n = {c.most:,}: {_list(hidden)}.
Speculation errs in single steps, and the steps that follow pull the states back to where the target wants them: what is left of
the error in the final samples is small, or nothing. Dependence between paths leaves nothing at all there, since each path is right.
"""


def _tests(c: Counts) -> str:
    noise = _without(c.caught("moments", c.few), c.caught("moments z", c.few))
    below = _without(c.caught("moments z", c.many), c.caught("moments", c.many))
    step_alone = _without(c.caught("step", c.many), c.by(FINAL, c.many))
    final_alone = _without(c.by(FINAL, c.many), c.caught("step", c.many))
    tolerance = f"{c.settings['tolerance']:g}"
    refused = {t: f"{c.refused(t, c.few)} and {c.refused(t, c.many)}" for t in TESTS}
    return f"""
## Test by test

**KS per coordinate** is cheap, has a true error rate, and catches {c.both("ks")}.
It sees coordinates only, one by one.

**Means and variances within {tolerance}** are the test most often written, and they have no error rate. They "catch"
{c.both("moments")}, and refuse {refused["moments"]} runs of *right* samplers:
with {c.few:,} draws the noise of a difference is larger than the tolerance. Of what they catch there, {len(noise)} are caught by
noise: the same differences, held against their standard errors, say nothing.{_below(below, c.many)}
A tolerance belongs to an n. As z-tests at {c.alpha} the same moments catch {c.both("moments z")},
and refuse {refused["moments z"]} right ones.

**KS along the mean difference of one step** looks where the error is made, and needs no trusted sample. It catches
{c.both("step")}. At n = {c.many:,} it sees what no test of final samples does in
{_list(step_alone)}, and does not see what those do in {_list(final_alone)}:
errors in other steps, or across that direction. Who adds the other steps and the other directions, and pays for all of them with a
smaller level, arrives at a battery like ours.

**At the first step alone** the same test catches {c.both("first step")}. The first step is the
easiest to test, and where least goes wrong: a reused prediction, a block and a bookkeeping error need steps before them.

**The energy distance** takes all pairs of draws, so we did as people do and gave it a random {c.settings["subsample"]:,} of either
side, whatever n. More paths do not help it: {c.both("energy")}.

**MMD** with random Fourier features of a Gaussian kernel takes all draws: {c.both("mmd")}.
Its kernel has the usual width, the typical distance of two draws, which is much wider than a mode of the ring.
"""


def _ours(c: Counts) -> str:
    refused = f"{c.refused('ours', c.few)} and {c.refused('ours', c.many)}"
    return f"""
## What exactness sees, and what it does not

Its battery turns each path into noise that must be independent and standard normal, and looks along many directions, at every
step, between steps and between paths. It catches {c.both("ours")},
and refused {refused} right ones. What it misses:

- {_missed(c, c.few)}
- {_missed(c, c.many)}{_closest(c)}
- The {len(c.beyond)} that are beyond reach, {_list(c.beyond)}, are wrong.
  At n = {c.many:,} exactness refuted {c.beyond_by(["ours"])} of them, and the tests in use today that have
  an error rate {c.beyond_by(WITH_A_RATE)}.
  `exactness controls` prints the bound on the power of any test. A certificate never says "exact": it says that what it looked at
  differs by no more than a tolerance.
- Samples are not enough for it: it needs the whole path, the schedule, and the target's own prediction at every state, which is one
  more evaluation a step. Where there are only final samples it cannot be run; a law that is known or a trusted sampler takes its
  place (`GaussianMixture`, `TrustedSampler`), and sees what final samples show.
- It judges a sampler against the chain that it is given. A target that is itself wrong, an ill-trained network, or a schedule that
  judge and sampler share, has innovations that are perfectly normal. Only a comparison with data would see that.
- It takes {c.seconds("ours")} s at n = {c.many:,} where KS takes {c.seconds("ks")}, and here the target is next to free. With a
  network, its evaluations decide: judging costs about as much as plain sampling.

Two cautions on the comparison. The catalogue was made by the authors of the battery, and each fault was admitted with a test of the
battery that must refute it; the tests in use today had no such help. And this is one law in two dimensions, where tests of final
samples are at their best. `label-of-another-chain` is left out: it is about another law, of which there are final states alone.
"""


def _missed(c: Counts, n: int) -> str:
    missed = c.not_by(["ours"], n)
    if not missed:
        return f"At n = {n:,}, nothing that can be caught."
    others = [name for name in missed if name in c.by(WITH_A_RATE, n)]
    text = f"At n = {n:,}: {_list(missed)}. Of these, tests in use today that have an error rate catch {_list(others)}"
    return text + (", at a level a thousand times as lenient." if others else ".")


def _closest(c: Counts) -> str:
    """Where final samples should see best: a hole in their law."""
    name = "region-never-visited"
    if name not in names(c.report, "caught", c.many):
        return ""
    p = {test: found["p_value"] for test, found in c.report["faults"][name]["at"][str(c.many)].items()}
    return (
        f" Final samples come closest where the law of the whole is cut, in `{name}`: p = {p['ks']:.1g} by KS and "
        f"{p['moments z']:.1g} by the z-tests, beside {p['ours']:.1g}, which is adjusted for all that exactness looks at."
    )


def _ci(c: Counts) -> str:
    level, permutations = ALLOWED / YEAR, c.settings["permutations"]
    smallest, hidden, a_year = 1 / (permutations + 1), c.not_by(FINAL, c.most), YEAR * c.settings["alpha"]
    return f"""
## What it means for a CI

A project with ten samplers and a thousand commits a year makes {YEAR:,} such tests a year. At {c.alpha} that is
{a_year:.0f} false alarms, and people stop reading them. One false alarm in {1 / ALLOWED:.0f} years takes {level:.0e} a test.
Held to that, KS catches {c.both("ks", level)}, the z-tests
{c.both("moments z", level)}, and one step along the mean difference
{c.both("step", level)}. Permutation tests cannot follow: with {permutations:,} permutations
no p-value lies below {smallest:g}, and {level:.0e} takes {1 / level:,.0f} of them. Exactness works at {c.strict} because its null
distributions are known that far out.

If there are paths, judge paths. If there are none, take KS and the moments as z-tests, each with a p-value and an n that was chosen
for the error that matters, and never a bare tolerance; and know that {len(hidden)} of {len(c.wrong)} known ways of being wrong pass
all those tests at n = {c.most:,}.
"""


def _wrapped(text: str) -> str:
    """Paragraphs and items filled to the width of the other pages; what is no prose stays."""

    def filled(item: str) -> str:
        indent = "  " if item.startswith("- ") else ""
        return textwrap.fill(" ".join(item.split()), 130, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

    blocks = [
        block if block.startswith(("|", "#", "!")) else "\n".join(filled(item) for item in re.split(r"\n(?=- )", block))
        for block in text.strip().split("\n\n")
    ]
    return "\n\n".join(blocks) + "\n"


def _below(below: Sequence[str], many: int) -> str:
    return f" With {many:,} they let pass what the z-tests see, within the tolerance: {_list(below)}." if below else ""


def _without(some: Iterable[str], others: Iterable[str]) -> list[str]:
    left_out = set(others)
    return [name for name in some if name not in left_out]


def _list(found: Sequence[str]) -> str:
    items = [f"`{name}`" for name in found]
    if len(items) > 1:
        return f"{', '.join(items[:-1])} and {items[-1]}"
    return items[0] if items else "none"
