"""Claims about diffusion chains: for every law, every exact combination, the plain sampler, and the controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..claim import Claim, Sample
from .base import Entry, Setting

if TYPE_CHECKING:
    from exactness_samplers.faults import Fault

    from .chain_laws import Problem

PROBLEM_NAMES = ("two-modes", "ring", "grid", "product", "digits", "network", "labelled")
VERIFIERS = ("token", "block")
DRAFTERS = (
    "independent",
    *(f"{base}-{kind}" for base in ("frozen", "free") for kind in ("noise", "sample", "velocity", "posterior")),
    "free-extrapolated",
)
# These drafters are learned for one law.
MORE_DRAFTERS = {"network": ("free-ahead", "frozen-ahead")}
REJECTIONS = ("independent-fresh", "independent-kept", "quantile-fresh", "quantile-kept", "until-accepted")
CONTROLS = (
    "block-with-reflection",
    "block-with-unweighted-residual",
    "rejected-from-target",
    "accept-always",
    "orthogonal-stretched",
)
# The reasons why a law leaves out a control: it would not be wrong there, or the law could not see it.
NOT_A_CONTROL = {
    ("two-modes", "orthogonal-stretched"): "in one dimension, nothing is orthogonal to the difference of the means",
    ("digits", "block-with-unweighted-residual"): "it takes about 5,000 paths, which is more than the budget of this law",
    ("network", "block-with-unweighted-residual"): "it takes more paths than the budget of this law",
    ("labelled", "block-with-reflection"): "last states do not show it, see notebook 01",
    ("labelled", "block-with-unweighted-residual"): "last states do not show it, see notebook 01",
    ("labelled", "rejected-from-target"): "last states do not show it within the budget",
    ("labelled", "orthogonal-stretched"): "last states do not show it within the budget",
}


# The tour has our best sampler for every law, and the published samplers for two laws, in addition to plain sampling and controls.
_BEST = "block/free-posterior/quantile-kept"
_PUBLISHED = (
    "token/independent/quantile-kept",  # De Bortoli et al. 2025: a draft model, reflection
    "token/frozen-noise/quantile-kept",  # De Bortoli et al. 2025: a frozen draft, reflection
    "block/free-noise/independent-fresh",  # Soen et al. 2026: blocks with the free drafter
)
_TOUR = {
    *(f"{problem}/{_BEST}" for problem in PROBLEM_NAMES if problem != "network"),
    "network/block/free-ahead/quantile-kept",
    *(f"{problem}/{sampler}" for problem in ("ring", "digits") for sampler in _PUBLISHED),
    "ring/sequential",
    "digits/sequential",
}


def entries() -> tuple[Entry, ...]:
    """All entries, law by law: the plain sampler, the exact combinations and the controls."""
    found = []
    for problem in PROBLEM_NAMES:
        exact = [
            f"{problem}/{verifier}/{drafter}/{rejection}"
            for verifier in VERIFIERS
            for drafter in (*DRAFTERS, *MORE_DRAFTERS.get(problem, ()))
            for rejection in REJECTIONS
        ]
        controls = [f"{problem}/control/{c}" for c in CONTROLS if (problem, c) not in NOT_A_CONTROL]
        plain = f"{problem}/sequential"
        found.append(Entry(plain, problem, "sequential", claim_of, plain in _TOUR))
        found += [Entry(name, problem, "exact", claim_of, name in _TOUR) for name in exact]
        found += [Entry(name, problem, "control", claim_of, tour=True) for name in controls]
    return tuple(found)


def claim_of(entry: Entry, setting: Setting) -> Claim:
    """The claim of an entry of this family."""
    from .chain_laws import problem as built

    problem = built(entry.problem, setting.backend)
    described, of = problem.described, problem.backend
    wrong = None
    about: dict[str, object] = {"backend": of.name, "process": described.schedule.name, "law": described.about}
    left_out = {control: why for (law, control), why in NOT_A_CONTROL.items() if law == entry.problem}
    if left_out:
        about["controls_left_out"] = left_out
    runner: Any
    if entry.kind == "sequential":
        runner = of.part("sequential").Sequential(problem.process)
    elif entry.kind == "control":
        from exactness_samplers.faults import fault

        spoiled = fault(entry.name.rsplit("/", 1)[1])
        runner, wrong = spoiled.build(problem.process, of.name), spoiled.what
    else:
        runner = _right(entry.name, problem)
    if entry.kind != "sequential":
        about |= {
            "window": runner.window,
            "drafter": runner.drafter.name,
            "verifier": _name(runner.verifier),
            "rejection": _name(runner.rejection),
        }
    plan = described.plan if wrong is None else described.plan.in_few_calls()
    return Claim(entry.name, _sampler(runner, problem, setting), problem.law, plan, wrong=wrong, about=about)


def problem_of(fault: Fault) -> str:
    """The law on which a fault is judged: the ring, or the labelled mixture if the fault is about labels."""
    return "labelled" if fault.labelled else "ring"


def control(fault: Fault, setting: Setting) -> Claim:
    """The claim of a fault on the ring, or on the labelled mixture if the fault concerns labels."""
    from .chain_laws import problem as built

    problem = built(problem_of(fault), setting.backend)
    problem.backend.check(setting.device, setting.dtype)
    sample = _sampler(fault.build(problem.process, setting.backend), problem, setting)
    return Claim(f"control/{fault.name}", sample, problem.law, wrong=None if fault.exact else fault.what)


def _sampler(runner: Any, problem: Problem, setting: Setting) -> Sample:
    described, of = problem.described, problem.backend
    # Paths of the labelled law hold no labels, so its last states are judged.
    dtype = of.dtype(setting.dtype, described.dtype)
    return of.sampler(runner, setting.device, dtype, described.outputs is None, described.labels)


def _right(name: str, problem: Problem) -> Any:
    of, process, window = problem.backend, problem.process, problem.described.window
    drafters, rejections, verification = (of.part(module) for module in ("drafters", "rejections", "verification"))
    _, verifier, drafter_name, rejection_name = name.split("/")
    base, _, kind = drafter_name.partition("-")
    if drafter_name == "independent":
        drafter = drafters.Independent(problem.coarse)
    elif kind == "posterior":
        drafter = of.part("posterior").Posterior(process, problem.forecast, window, base)
    elif kind == "extrapolated":
        drafter = drafters.Extrapolation("velocity", base)
    elif kind == "ahead":
        drafter = drafters.Ahead(problem.ahead, base)
    else:
        drafter = drafters.Reuse(kind, base)
    until = rejection_name == "until-accepted"
    rejection = rejections.UntilAccepted() if until else rejections.Maximal(*rejection_name.split("-"))
    verify = verification.block if verifier == "block" else verification.token_wise
    return of.part("speculative").Speculative(process, window, drafter, verify, rejection)


def _name(part: Callable[..., Any]) -> str:
    """The name of a verifier or rejection rule: its ``name`` if it has one, else the name of the function or class."""
    return getattr(part, "name", None) or getattr(part, "__name__", None) or type(part).__name__
