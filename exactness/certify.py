"""The one door: a sampler and a law go in, a certificate comes out."""

from __future__ import annotations

import datetime
import hashlib
import math
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata

import numpy as np

from .arrays import Array, device_of, kind_of, to_numpy, without_gradients
from .batteries.base import Battery, Evidence, standard
from .certificate import Certificate, ControlOutcome, Environment, Finding, Stage, Verdict, largest_bound
from .claim import Claim, Sample
from .errors import BadInput, InvalidSample
from .judgement import beside_controls, decide, draws_before_a_pass, findings_of, histograms_of
from .laws.base import Law
from .laws.chain import GaussianChain
from .plan import Plan
from .saved import SavedPaths
from .seeds import judge_generator, sampler_seed

Progress = Callable[[str, int, int], None]
"""(what is being done, draws so far, draws at most)."""

# Draws are taken in batches of about this many numbers: memory stays flat however large n is.
_BATCH_VALUES = 1 << 22
_PROBE_DRAWS = 16
_HEAD = 64


def certify(
    sample: Sample | SavedPaths,
    law: Law,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    name: str = "sampler",
    batteries: Sequence[Battery] | None = None,
    controls: Sequence[Claim | ControlOutcome] = (),
    wrong: str | None = None,
    about: dict[str, object] | None = None,
    source: str | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Judge whether ``sample`` follows ``law``.

    Args:
        sample: ``sample(n, seed)`` -> (n, d) for a mixture, (n, K + 1, d) in running order for a chain; numpy, torch or JAX, on
            any device; or a tuple of that and a dict of costs. Same n and seed must give the same output. :class:`SavedPaths`
            are looked at once.
        law: what it should follow.
        plan: error rates, tolerance and budget.
        seed: root of all randomness; the sampler and the judge get separate streams of it.
        batteries: instead of the standard ones; those that do not apply to the law are left out.
        controls: claims known to be wrong; each is judged first, in the same way, and must be refuted. The sampler is not
            certified on fewer draws than that took. Outcomes of controls judged before may be passed instead of claims.
        wrong, about, source: recorded, see :class:`exactness.Claim`.
        progress: called after every batch of draws.

    Returns:
        A certificate. A sampler that raises or returns something unusable gets the verdict ``INVALID`` with the reason; what
        was found before is kept.

    Raises:
        BadInput: if the law, plan or batteries cannot be used, before anything is sampled; or if the law's own prediction
            raises or returns another shape.
    """
    plan = plan or Plan()
    judged_before = [c for c in controls if isinstance(c, ControlOutcome)]
    to_judge = [c for c in controls if not isinstance(c, ControlOutcome)]
    claim = Claim(name, sample, law, plan, batteries, to_judge, wrong, dict(about or {}))
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise BadInput(f"seed must be an integer of at least 0, not {seed!r}")
    chosen = [battery for battery in (standard() if batteries is None else batteries) if battery.applies(law)]
    # No battery, no certificate: silence must not look like a pass.
    if not chosen:
        raise BadInput(f"no battery applies to {type(law).__name__}: an empty set of checks certifies nothing")
    if isinstance(sample, SavedPaths):
        plan = sample.plan_for(law, plan)
        claim.about["saved"] = sample.describe()
    outcomes = judged_before + [_control(control, plan, int(seed), batteries, progress) for control in to_judge]
    run = _Run(claim, plan, int(seed), chosen, progress)
    verdict, reason = run.judge(draws_before_a_pass(outcomes))
    blind = [c.name for c in outcomes if not c.as_it_should]
    reasons = [reason]
    if isinstance(sample, SavedPaths):
        reasons.append(sample.caveat(plan))
    if blind:
        reasons.append(f"controls that were not judged as they must be: {', '.join(blind)}; a pass beside them means little")
    return run.certificate(beside_controls(verdict, outcomes), reasons, outcomes, source)


class _Run:
    """One certificate in the making."""

    def __init__(self, claim: Claim, plan: Plan, seed: int, batteries: Sequence[Battery], progress: Progress | None) -> None:
        self.claim, self.plan, self.seed, self.progress = claim, plan, seed, progress
        generator = judge_generator(seed, claim.name)
        self.evidence: list[Evidence] = [battery.start(claim.law, generator) for battery in batteries]
        self.calls, self.paths = 0, 0
        self.findings: list[Finding] = []
        self.stages: list[Stage] = []
        self.cost: dict[str, float] = {"seconds_sampling": 0.0, "seconds_judging": 0.0}
        self.array, self.dtype, self.device = "none", "none", "none"
        self.head: np.ndarray | None = None
        self.probe: str | None = None
        self.reproducible: bool | None = None

    def judge(self, least: int) -> tuple[Verdict, str]:
        try:
            self._probe()
            for stage, size in enumerate(self.plan.stages):
                self._draw_up_to(size)
                verdict, reason = self._look(last=stage == len(self.plan.stages) - 1, may_pass=self.paths >= least)
                if verdict is not None:
                    return verdict, reason
        except InvalidSample as error:
            return Verdict.INVALID, str(error)
        raise AssertionError("the last stage always decides")

    def certificate(self, verdict: Verdict, reasons: list[str], controls: list[ControlOutcome], source: str | None) -> Certificate:
        claim = self.claim
        return Certificate(
            name=claim.name,
            verdict=verdict,
            reasons=reasons,
            law=claim.law.describe(),
            sampler={"function": _qualified_name(claim.sample), **claim.about, **({"wrong": claim.wrong} if claim.wrong else {})},
            plan=self.plan,
            seed=self.seed,
            findings=self.findings,
            stages=self.stages,
            histograms=histograms_of(self.evidence) if self.paths else [],
            controls=controls,
            cost={**{k: round(v, 6) for k, v in self.cost.items()}, "paths": float(self.paths)},
            environment=environment(self.array, self.dtype, self.device),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            source=source,
            probe=self.probe,
            reproducible=self.reproducible,
            expected="exact" if claim.wrong is None else "wrong",
        )

    def _probe(self) -> None:
        """Same seed, same output; another seed, another output. Bits are compared: a sampler either repeats or it does not."""
        if isinstance(self.claim.sample, SavedPaths):
            saved = self.claim.sample
            self.probe = saved.digest
            # Whole paths of a continuous chain never coincide; single numbers in float32, or a law with atoms, may.
            if saved.copies and isinstance(self.claim.law, GaussianChain):
                raise InvalidSample(
                    f"{saved.copies} of {saved.count} paths of {saved.name} are copies of others, bit by bit: was one seed used "
                    "for several runs?"
                )
            return
        n, seed = _PROBE_DRAWS, self._seed(0)
        # Copies: a sampler may hand out one buffer again and again.
        first, again, other = (np.array(to_numpy(self._call(n, s, count=False))) for s in (seed, seed, self._seed(1)))
        self.calls = 2
        self.probe = _digest(first)
        self.reproducible = bool(np.array_equal(first, again))
        if not self.reproducible and self.plan.seed_must_count:
            raise InvalidSample(
                f"two calls of sample(n={n}, seed={seed}) differ: the sampler ignores its seed or draws from a global generator; "
                "derive all randomness from the seed (or set seed_must_count=False in the plan, which is recorded)"
            )
        if np.array_equal(first, other):
            raise InvalidSample(
                f"sample(n={n}, seed) is the same for the seeds {seed} and {self._seed(1)}: the sampler ignores its "
                "seed, so more draws would repeat the same ones"
            )

    def _seed(self, index: int) -> int:
        return sampler_seed(self.seed, self.claim.name, index)

    def _draw_up_to(self, size: int) -> None:
        batch = max(1, _BATCH_VALUES // int(np.prod(self.claim.law.event_shape)))
        while self.paths < size:
            n = min(batch, size - self.paths)
            draws = self._call(n, self._seed(self.calls))
            # Many rows: a law with atoms repeats single ones.
            head = np.array(to_numpy(draws[:_HEAD]))
            if self.head is not None and np.array_equal(head, self.head):
                raise InvalidSample(
                    f"two batches with different seeds begin with the same draw, after {self.paths} draws: the sampler ignores its "
                    "seed when n is large, so more draws repeat the same ones"
                )
            self.head = head
            started = time.perf_counter()
            with without_gradients():
                for evidence in self.evidence:
                    evidence.update(draws)
            self.cost["seconds_judging"] += time.perf_counter() - started
            self.paths += n
            if self.progress is not None:
                self.progress(self.claim.name, self.paths, self.plan.max_paths)

    def _call(self, n: int, seed: int, count: bool = True) -> Array:
        started = time.perf_counter()
        sample = self.claim.sample
        try:
            output = sample.rows(self.paths, self.paths + n) if isinstance(sample, SavedPaths) else sample(n, seed)
        except InvalidSample:
            raise
        except (Exception, SystemExit) as error:  # Whatever a stranger's sampler raises is its verdict, not our crash.
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise InvalidSample(
                f"sample(n={n}, seed={seed}) raised {type(error).__name__}: {error} "
                f"(in {where.name}, line {where.lineno} of {where.filename.rsplit('/', 1)[-1]}) after {self.paths} draws"
            ) from error
        costs: dict[str, float] = {}
        if isinstance(output, tuple):
            if len(output) != 2 or not isinstance(output[1], dict):
                raise InvalidSample("sample(n, seed) returned a tuple; return an array, or (array, dict of costs)")
            output, costs = output[0], _checked_costs(output[1])
        try:
            draws = self.claim.law.accept(output, n)
        except InvalidSample as error:
            if isinstance(sample, SavedPaths) and self.paths:
                raise InvalidSample(f"{error} (rows are counted from {self.paths} of {sample.name})") from None
            raise
        if count:
            self.calls += 1
            self.cost["seconds_sampling"] += time.perf_counter() - started
            for key, value in costs.items():
                self.cost[key] = self.cost.get(key, 0.0) + value
        self.array = kind_of(draws)
        self.dtype, self.device = str(draws.dtype).removeprefix("torch."), device_of(draws)
        return draws

    def _look(self, last: bool, may_pass: bool) -> tuple[Verdict | None, str]:
        started = time.perf_counter()
        self.findings = findings_of(self.evidence, self.plan)
        verdict, reason = decide(self.findings, self.plan, last, may_pass)
        self.stages.append(
            Stage(
                paths=self.paths,
                smallest_p=min((f.adjusted_p for f in self.findings), default=1.0),
                largest_bound=largest_bound(self.findings),
                decision="go on" if verdict is None else verdict.value,
            )
        )
        self.cost["seconds_judging"] += time.perf_counter() - started
        return verdict, reason


def probe_of(claim: Claim, seed: int) -> str:
    """The digest of the first small sample that a certificate of this claim and seed records; raises what the sampler does."""
    if isinstance(claim.sample, SavedPaths):
        return claim.sample.digest
    output = claim.sample(_PROBE_DRAWS, sampler_seed(seed, claim.name, 0))
    return _digest(to_numpy(output[0] if isinstance(output, tuple) else output))


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _checked_costs(costs: dict) -> dict[str, float]:
    try:
        numbers = {str(key): float(value) for key, value in costs.items()}
    except (TypeError, ValueError):
        numbers = {"": float("nan")}
    if not all(math.isfinite(v) for v in numbers.values()):
        raise InvalidSample("the costs that sample(n, seed) returned must be finite numbers, totals over its n draws")
    return numbers


def _control(
    control: Claim, plan: Plan, seed: int, batteries: Sequence[Battery] | None, progress: Progress | None
) -> ControlOutcome:
    """Judged by the same batteries, at the same plan: what it shows is what these would have caught."""
    judged = certify(
        control.sample, control.law, plan=plan, seed=seed, name=control.name, batteries=batteries,
        wrong=control.wrong, about=control.about, progress=progress,
    )  # fmt: skip
    return outcome_of(judged, control.wrong)


def outcome_of(judged: Certificate, wrong: str | None) -> ControlOutcome:
    """A certificate of a control, as one line of somebody else's certificate."""
    leading = judged.leading
    return ControlOutcome(
        name=judged.name,
        wrong=wrong or "",
        must_be_refuted=wrong is not None,
        verdict=judged.verdict,
        paths=judged.paths,
        leading="" if leading is None else f"{leading.name} ({leading.where})",
    )


def _qualified_name(function: object) -> str:
    module = getattr(function, "__module__", None) or type(function).__module__
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def environment(array: str, dtype: str, device: str) -> Environment:
    """Where it is judged, by arrays of this kind on this device."""
    names = ("numpy", "scipy", "msgspec", "array-api-compat", "torch", "jax", "jaxlib")
    # Whatever is installed, imported or not: the same place must describe itself in the same way.
    packages = {name: version for name in names if (version := _version(name)) is not None}
    if device.startswith("cuda") and array == "torch":
        import torch

        device = f"{device} ({torch.cuda.get_device_name(device)})"
    elif device.startswith("cuda") and array == "jax":
        import jax

        device = f"{device} ({jax.devices('cuda')[int(device.partition(':')[2] or 0)].device_kind})"
    return Environment(
        exactness=_version("exactness") or "not installed",
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=packages,
        array=array,
        dtype=dtype,
        device=device,
    )
