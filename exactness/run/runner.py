"""Many claims in one run: in parallel, saved as they finish, resumable, controls before the claims that carry them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from ..catalogue import Entry, Setting
from ..certificate import Certificate, ControlOutcome, Verdict
from ..claim import Claim
from ..environment import environment
from ..errors import BadInput
from ..judging.certify import certify, outcome_of
from ..judging.draws import probe_of
from ..plan import Plan
from .executors import workers

Done = Callable[[Certificate], None]


class Overrides(msgspec.Struct, frozen=True):
    """What a run changes in a claim's own plan; None keeps it. ``claims``: of the run, which share one alpha."""

    alpha: float | None = None
    tolerance: float | None = None
    max_paths: int | None = None
    claims: int | None = None

    def apply(self, plan: Plan) -> Plan:
        changes = {k: v for k, v in msgspec.structs.asdict(self).items() if v is not None}
        changes["claims"] = max(plan.claims, self.claims or 1)
        return Plan(**(msgspec.structs.asdict(plan) | changes))


class Order(msgspec.Struct, frozen=True):
    """Everything a worker needs to judge one entry."""

    name: str
    seed: int
    overrides: Overrides
    device: str
    dtype: str | None
    backend: str
    outcomes: tuple[ControlOutcome, ...]
    target: str


def certificate_path(folder: Path, name: str) -> Path:
    return folder / (name.replace("/", "--") + ".json")


def check_writable(folder: Path | None, page: Path | None) -> None:
    """Before anything is sampled: what cannot be written must not cost a run. Raises ``BadInput``, or the ``OSError`` of it."""
    for place in (folder, page and page.parent):
        if place is None:
            continue
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
    if page is not None:
        if page.is_dir():
            raise BadInput(f"{page} is a folder; name the page to write")
        from ..show.report import require_report_extra  # whose pages repeat what formats say, and those know this module

        require_report_extra()


def run_catalogue(
    chosen: Sequence[Entry], *, folder: Path, setting: Setting, seed: int, overrides: Overrides, jobs: int, resume: bool, done: Done
) -> list[Certificate]:
    """Judge the chosen entries, and before them the controls of their laws; write each certificate as it is finished.

    With ``resume``, certificates already in ``folder`` are kept where judging again would give them (see :func:`reusable`).
    """
    known = {entry.name: entry for entry in chosen}
    needed = [e for e in _controls_of({entry.problem for entry in chosen}) if e.name not in known]
    certificates: dict[str, Certificate] = {}
    outcomes: dict[str, list[ControlOutcome]] = {}
    controls = [e for e in [*chosen, *needed] if e.kind == "control"]
    with workers(jobs) as submit:
        for wave in (controls, [e for e in chosen if e.kind != "control"]):
            orders = {}
            for entry in wave:
                target = certificate_path(folder, entry.name)
                of_law = tuple(sorted(outcomes.get(entry.problem, []), key=lambda c: c.name))
                order = Order(entry.name, seed, overrides, setting.device, setting.dtype, setting.backend, of_law, str(target))
                found = None
                if resume:
                    claim = entry.build(setting)
                    plan = overrides.apply(claim.plan or Plan())
                    found = reusable(Path(order.target), claim, plan, seed, None if entry.kind == "control" else of_law)
                if found is None:
                    orders[entry] = order
                else:
                    certificates[entry.name] = found
                    done(found)
            for order, certificate in submit(judge_entry, orders.values()):
                certificates[order.name] = certificate
                done(certificate)
            for entry in wave:
                if entry.kind == "control":
                    judged = certificates[entry.name]
                    outcomes.setdefault(entry.problem, []).append(outcome_of(judged, str(judged.sampler["wrong"])))
    return [certificates[e.name] for e in [*chosen, *needed]]


def count_with_controls(chosen: Sequence[Entry]) -> int:
    names = {e.name for e in chosen}
    return len(names | {e.name for e in _controls_of({e.problem for e in chosen})})


def exit_code(certificates: Iterable[Certificate]) -> int:
    """0 all as claimed, 1 something refuted or a control not refuted, 3 inconclusive, 4 invalid; the gravest counts."""
    found = list(certificates)
    if any(c.verdict is Verdict.INVALID for c in found):
        return 4
    for c in found:
        if not c.controls_hold or (c.expected == "wrong") != (c.verdict is Verdict.REFUTED):
            return 1
    return 3 if any(c.verdict is Verdict.INCONCLUSIVE for c in found if c.expected == "exact") else 0


def judge_entry(order: Order) -> Certificate:
    """One entry of the catalogue, judged and saved. Runs in a worker process."""
    from ..catalogue import find

    (entry,) = find([order.name])
    claim = entry.build(Setting(order.device, order.dtype, order.backend))  # type: ignore[arg-type]
    certificate = certify(
        claim.sample, claim.law, plan=order.overrides.apply(claim.plan or Plan()), seed=order.seed, name=claim.name,
        controls=order.outcomes, wrong=claim.wrong, about=claim.about, source=claim.name,
    )  # fmt: skip
    certificate.save(order.target)
    return certificate


def _controls_of(problems: set[str]) -> list[Entry]:
    from ..catalogue import entries

    return [e for e in entries() if e.kind == "control" and e.problem in problems]


def reusable(path: Path, claim: Claim, plan: Plan, seed: int, controls: Sequence[ControlOutcome] | None) -> Certificate | None:
    """The certificate in ``path``, if judging the claim again would give it: same law, plan, seed, controls, backend and versions,
    and the same first draws, which are made again, so that a changed sampler is noticed.
    """
    if not path.exists():
        return None
    try:
        found = Certificate.load(path)
    except BadInput:
        return None
    here = environment(found.environment.array, found.environment.dtype, found.environment.device.split()[0])
    same = (
        found.name == claim.name
        and found.seed == seed
        and found.plan == plan
        and found.law == claim.law.describe()
        and found.environment == here
        and found.sampler.get("backend") == claim.about.get("backend")
        and (controls is None or sorted(found.controls, key=lambda c: c.name) == list(controls))
    )
    try:
        return found if same and found.probe == probe_of(claim, seed) else None
    except Exception:  # A sampler that raises today is judged today: that is its certificate.
        return None
