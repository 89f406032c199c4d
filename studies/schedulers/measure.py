"""Certificates of paths and of final samples, and the cases that are known to go wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

import torch

import exactness as ex
from exactness.adapters import from_scheduler, sample_scheduler

from .setup import SCHEDULERS, STOCHASTIC, build, finals, laws

STEPS = (10, 20, 50, 100, 1000)
ALPHA = 1e-6
Spacing = Literal["as shipped", "trailing"]
Row = dict[str, Any]


def distance(certificate: ex.Certificate) -> Row:
    """The largest difference of probabilities, with its estimate and its bound, and the discrepancy of characteristic functions."""
    bounded = [f for f in certificate.findings if f.unit == "probability" and f.bound is not None]
    kernel = [f for f in certificate.findings if f.unit == "kernel units"]
    return {
        "verdict": certificate.verdict.value,
        "p": min((f.adjusted_p for f in certificate.findings), default=1.0),
        "estimate": max((abs(f.effect) for f in bounded), default=float("nan")),
        "bound": max((f.bound for f in bounded if f.bound is not None), default=float("nan")),
        "mmd": max((f.effect for f in kernel), default=float("nan")),
        "reason": certificate.reasons[0],
    }


def judged_finals(name: str, law: str, steps: int, spacing: Spacing, n: int) -> Row:
    more = {} if spacing == "as shipped" else {"timestep_spacing": spacing}
    started = time.perf_counter()
    with torch.no_grad():
        x, calls = finals(name, laws()[law], steps, n, 0, **more)
    certificate = ex.certify_paths(x, laws()[law], plan=ex.Plan(alpha=ALPHA, tolerance=0.03), name=f"{law}/{name}/{steps}")
    row = {"question": "finals", "scheduler": name, "law": law, "steps": steps, "spacing": spacing, "evaluations": calls}
    return {**row, **distance(certificate), "seconds": time.perf_counter() - started}


def floor(law: str, n: int) -> Row:
    """Exact draws of the mixture, judged in the same way. No sampler can be seen to be closer than they are."""
    certificate = ex.certify_paths(laws()[law].sample(n, 1), laws()[law], plan=ex.Plan(alpha=ALPHA, tolerance=0.03), name=law)
    return {"question": "floor", "scheduler": "exact draws", "law": law, **distance(certificate)}


def judged_paths(
    name: str, law: str, steps: int, n: int, spacing: str = "leading", options: dict[str, Any] | None = None, **more: Any
) -> Row:
    """Judge whole paths against the chain of DDPM's own steps at the same timesteps; ``more`` are settings of both schedulers."""
    of, model = build(name, laws()[law], steps, timestep_spacing=spacing, **more)
    ddpm, own = build("DDPM", laws()[law], steps, timestep_spacing=spacing, **more)
    chain = from_scheduler(ddpm, own, (2,))
    draw = sample_scheduler(of, model, (2,), options=SCHEDULERS[name][2] | (options or {}))
    scale = torch.ones(steps + 1)
    if name == "Euler ancestral":  # x_0 plus noise of level sigma; DDPM's states have variance one where the noise is all
        scale = 1.0 / torch.sqrt(1.0 + of.sigmas**2)
    plan = ex.Plan(alpha=ALPHA, tolerance=0.15, first_paths=n, max_paths=n)
    certificate = ex.certify(lambda m, s: draw(m, s) * scale[:, None], chain, plan=plan, name=f"{law}/{name}/{steps}")
    return {"question": "paths", "scheduler": name, "law": law, "steps": steps, "spacing": spacing, **distance(certificate)}


def refused(name: str, case: str, steps: int, **more: Any) -> Row:
    """A scheduler that gives no finite steps: the message of `from_scheduler`."""
    try:
        of, model = build(name, laws()["three modes"], steps, **more)
        from_scheduler(of, model, (2,))
        said = "accepted"
    except ex.BadInput as error:
        said = str(error)
    return {"question": "cases", "scheduler": name, "case": case, "steps": steps, "reason": said}


def diverged(name: str, steps: int, case: str, **more: Any) -> Row:
    """Find the first state that is not finite, and show the timesteps around it."""
    of, model = build(name, laws()["three modes"], steps, **more)
    row: Row = {"question": "cases", "scheduler": name, "case": f"{case}, {steps:,} steps", "steps": steps}
    try:
        path = sample_scheduler(of, model, (2,), options=SCHEDULERS[name][2])(8, 0)
    except Exception as error:  # A finding, not our crash.
        first = ", ".join(f"{float(t):g}" for t in of.timesteps[:4])
        return {**row, "reason": f"raises {type(error).__name__}: {error}; the timesteps begin {first}"}
    broken = torch.nonzero(~torch.isfinite(path).all(0).all(-1))
    said = "all states are finite"
    if len(broken):
        i = int(broken[0]) - 1
        around = ", ".join(f"{float(t):g}" for t in of.timesteps[max(0, i - 2) : i + 2])
        said = f"NaN or infinite after timestep {float(of.timesteps[i]):g}, the {i + 1:,}-th; the timesteps there are {around}"
    return {**row, "reason": said}


def cases(n: int) -> Iterator[Row]:
    """The cases that are known to go wrong, to see whether they still do. They need many paths, because the errors are small."""
    yield refused("DDPM", "variance_type='fixed_large_log' (diffusers#14569)", 10, variance_type="fixed_large_log")
    yield refused("Euler ancestral", "cosine schedule, 4 steps (diffusers#14213)", 4, beta_schedule="squaredcos_cap_v2")
    for solver in ("DEIS", "DPM-Solver++", "UniPC"):
        yield diverged(solver, 1000, "as shipped")
    yield diverged("SDE-DPM-Solver++", 1000, "leading timesteps", timestep_spacing="leading")
    name, against = "DDIM, eta 1", f"{n:,} paths against DDPM's chain of the same settings"
    again = {"use_clipped_model_output": True}
    found = [
        (f"clip_sample=True, the default, 10 steps, {against}", judged_paths(name, "three modes", 10, n, clip_sample=True)),
        (f"the same with {again}", judged_paths(name, "three modes", 10, n, options=again, clip_sample=True)),
    ]
    for steps in (10, 30):
        row = judged_paths(name, "three modes", steps, n, spacing="trailing")
        found.append((f"trailing timesteps, {steps} steps, {against} (diffusers#9261)", row))
    for case, row in found:
        yield {**row, "question": "cases", "case": case, "reason": f"{row['verdict']}: {row['reason']}"}


def finals_of(steps: tuple[int, ...], n: int) -> Iterator[Row]:
    """The last states of every scheduler, and exact draws to compare them with."""
    yield from (floor(law, n) for law in laws())
    spacings: tuple[tuple[str, Spacing], ...] = (("three modes", "as shipped"), ("three modes", "trailing"), ("ring", "as shipped"))
    for law, spacing in spacings:
        for k in steps:
            yield from (judged_finals(name, law, k, spacing, n) for name in SCHEDULERS)


def paths_of(steps: tuple[int, ...], n: int) -> Iterator[Row]:
    """The paths of every scheduler that might be DDPM's chain."""
    return (judged_paths(name, "three modes", k, n) for k in steps for name in STOCHASTIC)
