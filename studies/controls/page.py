"""The page of `studies.controls`."""

from __future__ import annotations

from exactness.controls import Matrix, Record
from exactness.show.report.matrix import short

from ..page import table, versions
from .measure import PLANS


def page(found: dict[str, Matrix]) -> str:
    first = next(iter(found.values()))
    smallest = first.smallest_set()
    text = [
        "# Would it notice?\n",
        "Every wrong sampler of `exactness_samplers.faults`, and every one that only looks wrong, is judged on the ring of eight "
        "Gaussians in the plane (DDPM, 40 steps; faults of labels on the labelled mixture), and verifiers of tokens on laws of "
        "4 and 50 tokens, each at alpha "
        f"{first.plan.alpha:g}, with seed {first.seed}. There are stages of {first.plan.stages[0]:,} paths doubled up to "
        f"{first.plan.max_paths:,}. `all` is the number of paths that all tests together take, after paying for their number; the "
        "next column names the tests that refute soonest by themselves. A test was looked at until 32 times the draws at which all "
        "together refuted. What draws cannot show is looked at by the exact law of a verifier or by forced coins. "
        f"JAX's samplers are judged until all together refute, with {PLANS['jax'].max_paths:,} paths at most. "
        "`python -m studies.controls` makes this page; the whole matrix, test by test, is in `controls.json` "
        "(`exactness report reports/controls.json -o page.html` shows it).\n",
        f"{versions('exactness', 'numpy', 'scipy', 'torch', 'jax')}.\n",
        table(
            ["backend", "wrong samplers caught", "right ones refuted", "not to be asked", "time of its jobs", "measured on"],
            [
                (
                    name,
                    "{} of {}".format(*m.score),
                    "{} of {}".format(*m.false_alarms),
                    len(m.beyond),
                    f"{sum(r.seconds for r in m.records) / 60:.0f} min",
                    m.created[:10],
                )
                for name, m in found.items()
            ],
            right=5,
        ),
        "The time is the sum over the samplers, one job each, on a machine with two cores that had other work as well.\n",
        "## Which tests see what\n\nThe smallest set of tests that catches everything that any of them catches: "
        f"{', '.join(f'*{t}*' for t in smallest)}.\n",
        table(
            ["test, alone", "wrong samplers refuted"], [(t, "{} of {}".format(*first.score_of(t))) for t in first.tests], right=1
        ),
        "## Sampler by sampler\n",
    ]
    heads = ["sampler", *(f"all, {name}" for name in found), "soonest alone"]
    for group in dict.fromkeys(r.group for r in first.records):
        text.append(f"### {group[0].upper()}{group[1:]}\n")
        rows = []
        for r in (r for r in first.records if r.group == group):
            cells = [outcome(same) if (same := _by_name(m, r.name)) else "not run" for m in found.values()]
            rows.append((f"**{r.name}** {r.what}", *cells, _soonest(r)))
        text.append(table(heads, rows))
    if first.beyond:
        text.append("## Faults that no test can be asked to see\n")
        text += [f"* **{r.name}**: {r.beyond} (alpha {first.plan.alpha:g}, {first.plan.max_paths:,} paths)." for r in first.beyond]
        text.append(
            "\nThe bound is Neyman and Pearson's: from the likelihood-ratio test where it is known, else from the data processing "
            "inequality "
            "(`exactness/controls/limits.py`).\n"
        )
    return "\n".join(text)


def _by_name(matrix: Matrix, name: str) -> Record | None:
    return next((r for r in matrix.records if r.name == name), None)


def outcome(r: Record) -> str:
    if r.caught_at is not None:
        return short(r.caught_at) if r.method == "draws" else f"by {r.method}"
    return "passes" if r.expected == "exact" else f"not in {short(r.paths)}"


def _soonest(r: Record) -> str:
    if r.method != "draws":
        return r.leading
    seen = sorted((n, test) for test, n in r.alone.items() if n is not None)[:3]
    return ", ".join(f"{test} {short(n)}" for n, test in seen)
