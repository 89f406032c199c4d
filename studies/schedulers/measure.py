"""Other people's samplers, judged: schedulers of diffusers on Gaussian mixtures in the plane, with the exact denoiser.

    python -m studies.schedulers

Two questions, each at 10 to 1,000 steps. Whose paths are those of the DDPM chain? They are judged by their innovations against the
chain that is read off ``DDPMScheduler.step``. And how far are final samples from the data's law? They are judged against the
mixture itself: the largest Kolmogorov distance along everything that is monitored, with its upper confidence bound.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from exactness_samplers.schedules import Schedule
from exactness_samplers.torch.denoisers import MixtureDenoiser
from torch import Tensor

import exactness as ex
from exactness.adapters import from_scheduler, sample_scheduler

from .page import REPORTS
from .schedulers_page import page

STEPS = (10, 20, 50, 100, 1000)
FINALS, PATHS, MANY = 20_000, 2_500, 50_000
ALPHA = 1e-6
_SLICE = 10_000
Spacing = Literal["as shipped", "trailing"]
Row = dict[str, Any]

# Class, settings, options of step(); what is clipped is no mixture.
SCHEDULERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "DDPM": ("DDPMScheduler", {"clip_sample": False}, {}),
    "DDIM, eta 1": ("DDIMScheduler", {"clip_sample": False}, {"eta": 1.0}),
    "DDIM, eta 0": ("DDIMScheduler", {"clip_sample": False}, {}),
    "PNDM": ("PNDMScheduler", {}, {}),
    "DEIS": ("DEISMultistepScheduler", {}, {}),
    "DPM-Solver++": ("DPMSolverMultistepScheduler", {}, {}),
    "SDE-DPM-Solver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, {}),
    "UniPC": ("UniPCMultistepScheduler", {}, {}),
    "Euler ancestral": ("EulerAncestralDiscreteScheduler", {}, {}),
}
# Whose states have the scale of DDPM's, or are brought to it.
STOCHASTIC = ("DDPM", "DDIM, eta 1", "Euler ancestral", "SDE-DPM-Solver++")


def laws() -> dict[str, ex.GaussianMixture]:
    angles = np.arange(8) * np.pi / 4
    return {
        "three modes": ex.GaussianMixture([0.5, 0.3, 0.2], [[1.5, 0.0], [-1.0, 1.0], [0.0, -1.5]], [0.02, 0.05, 0.1]),
        "ring": ex.GaussianMixture(np.full(8, 0.125), 1.5 * np.stack([np.cos(angles), np.sin(angles)], 1), np.full(8, 0.01)),
    }


def scheduler(name: str, **more: Any) -> Any:
    import diffusers

    kind, settings, _ = SCHEDULERS[name]
    return getattr(diffusers, kind)(**{**settings, **more})


def denoiser(law: ex.GaussianMixture, of: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """The noise that the mixture's exact denoiser predicts, ``model(x, t)``, at the timesteps that are set, fractions included."""
    train = of.alphas_cumprod.double().numpy()
    times = np.unique(of.timesteps.double().numpy())
    # Between training steps the noise level in units of the signal is interpolated, as Euler's scheduler does.
    level = np.interp(times, np.arange(len(train)), np.sqrt((1.0 - train) / train))
    signal, noise = 1.0 / np.sqrt(1.0 + level**2), level / np.sqrt(1.0 + level**2)
    nothing = np.full(len(times), np.nan)
    schedule = Schedule("timesteps", "sample", nothing, nothing, nothing, signal, noise, nothing, nothing)
    clean = MixtureDenoiser(schedule, law.weights, law.means, law.covariances)

    def model(x: Tensor, t: Tensor) -> Tensor:
        i = int(np.argmin(np.abs(times - float(t))))
        at = torch.full((len(x),), i)
        return (x - float(signal[i]) * clean(at, x)) / float(noise[i])

    return model


def build(name: str, law: ex.GaussianMixture, steps: int, **more: Any) -> tuple[Any, Callable[[Tensor, Tensor], Tensor]]:
    """The scheduler with its timesteps set, and the exact model at them."""
    of = scheduler(name, **more)
    of.set_timesteps(steps)
    return of, denoiser(law, of)


def finals(name: str, law: ex.GaussianMixture, steps: int, n: int, seed: int, **more: Any) -> tuple[Tensor, int]:
    """Final samples (n, 2), and how often the model was called for each."""
    of, model = build(name, law, steps, **more)
    calls = 0

    def counting(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return model(x, t)

    draw = sample_scheduler(of, counting, (2,), options=SCHEDULERS[name][2])
    # Whole paths come out, and last states are kept: a slice at a time, each with a seed of its own.
    slices = -(-n // _SLICE)
    x = torch.cat([draw(min(_SLICE, n - i * _SLICE), seed + i)[:, -1] for i in range(slices)])
    return x, calls // slices


def distance(certificate: ex.Certificate) -> Row:
    """The largest bounded difference of probabilities, estimated and bounded, and the discrepancy of characteristic functions."""
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
    """Exact draws of the mixture, judged in the same way: what no sampler can be seen to be below."""
    certificate = ex.certify_paths(laws()[law].sample(n, 1), laws()[law], plan=ex.Plan(alpha=ALPHA, tolerance=0.03), name=law)
    return {"question": "floor", "scheduler": "exact draws", "law": law, **distance(certificate)}


def judged_paths(
    name: str, law: str, steps: int, n: int, spacing: str = "leading", options: dict[str, Any] | None = None, **more: Any
) -> Row:
    """Whole paths against the chain that DDPM's own steps make, at the same timesteps; ``more`` are settings of both."""
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
    """A scheduler whose steps are not even numbers: what `from_scheduler` says of it."""
    try:
        of, model = build(name, laws()["three modes"], steps, **more)
        from_scheduler(of, model, (2,))
        said = "accepted"
    except ex.BadInput as error:
        said = str(error)
    return {"question": "cases", "scheduler": name, "case": case, "steps": steps, "reason": said}


def diverged(name: str, steps: int, case: str, **more: Any) -> Row:
    """Where the first state that is not a number comes up, and whether the timesteps there are what they should be."""
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
    """What is known to go wrong, and does it still? Paths are many, for what is wrong is small."""
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
    """The last states of every scheduler, and exact draws beside them."""
    yield from (floor(law, n) for law in laws())
    spacings: tuple[tuple[str, Spacing], ...] = (("three modes", "as shipped"), ("three modes", "trailing"), ("ring", "as shipped"))
    for law, spacing in spacings:
        for k in steps:
            yield from (judged_finals(name, law, k, spacing, n) for name in SCHEDULERS)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few draws and few steps, to see that it runs")
    parser.add_argument(
        "--parts", default="paths,finals,cases", help="measured anew; the others stay as they are in the page's JSON"
    )
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    steps = STEPS[:2] if options.quick else STEPS
    n, paths, many = (1_000, 500, 5_000) if options.quick else (FINALS, PATHS, MANY)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "paths": lambda: (judged_paths(name, "three modes", k, paths) for k in steps for name in STOCHASTIC),
        "finals": lambda: finals_of(steps, n),
        "cases": lambda: cases(many),
    }
    target = options.out / "schedulers.json"
    before = json.loads(target.read_text()) if target.exists() else {"parts": {}, "seconds": {}}
    data = {**before, "finals": n, "paths": paths, "alpha": ALPHA}
    for part in options.parts.split(","):
        started = time.process_time()
        data["parts"][part] = list(parts[part]())
        data["seconds"][part] = time.process_time() - started
    print(page(data, options.out))


if __name__ == "__main__":
    main()
