"""Taking draws of a claim and feeding them to its batteries: everything of a certificate that samples."""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import Array, device_of, kind_of, to_numpy, without_gradients
from ..claim import Claim
from ..errors import InvalidSample
from ..evidence.base import Battery, Evidence
from ..plan import Plan
from ..saved import SavedPaths
from ..seeds import judge_generator, sampler_seed

Progress = Callable[[str, int, int], None]
"""(what is being done, draws so far, draws at most)."""

# Draws are taken in batches of about this many numbers: memory stays flat however large n is.
_BATCH_VALUES = 1 << 22
_PROBE_DRAWS = 16
_HEAD = 64


class Draws:
    """Evidence that grows. ``probe`` first, then ``up_to`` as often as wanted; both raise ``InvalidSample`` for what cannot be
    judged, and keep what was taken in before.
    """

    def __init__(self, claim: Claim, plan: Plan, seed: int, batteries: Sequence[Battery], progress: Progress | None = None) -> None:
        self.claim, self.plan, self.seed, self.progress = claim, plan, seed, progress
        generator = judge_generator(seed, claim.name)
        self.evidence: list[Evidence] = [battery.start(claim.law, generator) for battery in batteries]
        self.calls, self.paths = 0, 0
        self.cost: dict[str, float] = {"seconds_sampling": 0.0, "seconds_judging": 0.0}
        self.array, self.dtype, self.device = "none", "none", "none"
        self.head: np.ndarray | None = None
        self.digest: str | None = None
        self.reproducible: bool | None = None

    def probe(self) -> None:
        """Same seed, same output; another seed, another output. Bits are compared: a sampler either repeats or it does not."""
        if isinstance(self.claim.sample, SavedPaths):
            saved = self.claim.sample
            self.digest = saved.digest
            # Draws of a continuous law do not coincide, but for rounding; those of a law with atoms may.
            if self.claim.law.atomless and saved.more_copies_than_chance:
                raise InvalidSample(
                    f"{saved.copies} of {saved.count} paths of {saved.name} are copies of others, bit by bit: was one seed used "
                    "for several runs, or were they saved with fewer digits?"
                )
            return
        n, seed = _PROBE_DRAWS, self._seed(0)
        # Copies: a sampler may hand out one buffer again and again.
        first, again, other = (np.array(to_numpy(self._call(n, s, count=False))) for s in (seed, seed, self._seed(1)))
        self.calls = 2
        self.digest = _digest(first)
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

    def up_to(self, size: int) -> None:
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
            # What it says may hold bytes that were no text: a certificate must be written all the same.
            said = str(error).encode(errors="backslashreplace").decode()
            raise InvalidSample(
                f"sample(n={n}, seed={seed}) raised {type(error).__name__}: {said} "
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
