"""The catalogue's members by name. Names are known without torch or JAX; building one imports it."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from ..claim import Claim
from ..errors import BadInput
from .backends import BackendName, backend

if TYPE_CHECKING:
    from .chains import Problem

PROBLEM_NAMES = ("two-modes", "ring", "grid", "product", "digits", "network", "labelled")
VERIFIERS = ("token", "block")
DRAFTERS = (
    "independent",
    *(f"{base}-{kind}" for base in ("frozen", "free") for kind in ("noise", "sample", "velocity", "posterior")),
    "free-extrapolated",
)
# Learned for one law.
MORE_DRAFTERS = {"network": ("free-ahead", "frozen-ahead")}
REJECTIONS = ("independent-fresh", "independent-kept", "quantile-fresh", "quantile-kept", "until-accepted")
CONTROLS = (
    "block-with-reflection",
    "block-with-unweighted-residual",
    "rejected-from-target",
    "accept-always",
    "orthogonal-stretched",
)
# Why a control is missing somewhere: it would not be wrong, or the law cannot know.
NOT_A_CONTROL = {
    ("two-modes", "orthogonal-stretched"): "in one dimension nothing is orthogonal to the mean difference",
    ("digits", "block-with-unweighted-residual"): "takes more than the budget of this law: about 5,000 paths",
    ("network", "block-with-unweighted-residual"): "takes more than the budget of this law",
    ("labelled", "block-with-reflection"): "last states do not show it, see notebook 01",
    ("labelled", "block-with-unweighted-residual"): "last states do not show it, see notebook 01",
    ("labelled", "rejected-from-target"): "last states do not show it within the budget",
    ("labelled", "orthogonal-stretched"): "last states do not show it within the budget",
}


@dataclass(frozen=True)
class Setting:
    """Where and how the catalogue's samplers run. ``dtype`` None: each law's own, float32 from 32 dimensions on, and wherever
    JAX has no float64.
    """

    device: str = "cpu"
    dtype: Literal["float64", "float32"] | None = None
    backend: BackendName = "torch"


@dataclass(frozen=True)
class Entry:
    """``kind``: a sampler that must be certified (``exact``, or the plain ``sequential``) or refuted (``control``)."""

    name: str
    problem: str
    kind: Literal["sequential", "exact", "control"]

    def build(self, setting: Setting) -> Claim:
        """The claim. Raises ``BadInput`` if the backend or scikit-learn is missing, or the device or dtype is."""
        backend(setting.backend).check(setting.device, setting.dtype)
        try:
            from .chains import problem

            built = problem(self.problem, setting.backend)
        except ModuleNotFoundError as error:
            raise BadInput(f"the catalogue needs {error.name}: pip install 'exactness[catalogue]'") from None
        except (FileNotFoundError, ValueError) as error:  # Weights that are not there, or are not weights.
            raise BadInput(str(error)) from error
        return _claim(self, built, setting)


@cache
def entries() -> tuple[Entry, ...]:
    """All of them, law by law: the plain sampler, the exact combinations, the controls."""
    found = []
    for problem in PROBLEM_NAMES:
        found.append(Entry(f"{problem}/sequential", problem, "sequential"))
        found += [
            Entry(f"{problem}/{verifier}/{drafter}/{rejection}", problem, "exact")
            for verifier in VERIFIERS
            for drafter in (*DRAFTERS, *MORE_DRAFTERS.get(problem, ()))
            for rejection in REJECTIONS
        ]
        found += [Entry(f"{problem}/control/{c}", problem, "control") for c in CONTROLS if (problem, c) not in NOT_A_CONTROL]
    return tuple(found)


def find(patterns: Sequence[str]) -> list[Entry]:
    """Entries by name or shell pattern, in the catalogue's order; all of them if none is given. Raises ``BadInput``."""
    if not patterns:
        return list(entries())
    chosen = set()
    for pattern in patterns:
        hits = [e.name for e in entries() if fnmatch.fnmatchcase(e.name, pattern)]
        if not hits:
            near = difflib.get_close_matches(pattern, [e.name for e in entries()], n=3, cutoff=0.4)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise BadInput(f"no claim of the catalogue is called {pattern!r}{hint} (`exactness list` shows them all)")
        chosen.update(hits)
    return [e for e in entries() if e.name in chosen]


def _claim(entry: Entry, problem: Problem, setting: Setting) -> Claim:
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
        from exactness_samplers.faults import build, fault

        control = entry.name.rsplit("/", 1)[1]
        runner, wrong = build(control, problem.process, of.name), fault(control).what
    else:
        runner = _right(entry.name, problem)
    if entry.kind != "sequential":
        about |= {
            "window": runner.window,
            "drafter": runner.drafter.name,
            "verifier": _name(runner.verifier),
            "rejection": _name(runner.rejection),
        }
    sample = of.sampler(
        runner, setting.device, of.dtype(setting.dtype, described.dtype), described.outputs is None, described.labels,
        described.plan.first_paths,
    )  # fmt: skip
    return Claim(entry.name, sample, problem.law, described.plan, wrong=wrong, about=about)


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
    """What a verifier or rejection rule calls itself: functions by their name, rules by their class."""
    return getattr(part, "name", None) or getattr(part, "__name__", None) or type(part).__name__
