"""Calls the sampler of a claim and feeds the draws to its batteries.

Draws come in many calls of the sampler, each with a seed of its own, because a sampler may behave differently for some seeds. Half
of the draws come in long calls, which can show how the draws of one call depend on each other, and half in short ones, so that
there are many. The calls are gathered in blocks, each with its own judge's noise, and evidence is added up in their order.
The plan and the law alone determine calls and blocks. So a certificate is the same, bit for bit, wherever each block is drawn.
"""

from __future__ import annotations

import hashlib
import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array, at_hand, copied, device_of, joined, kind_of, to_numpy, without_gradients
from ..certificate import Redraw
from ..claim import Claim
from ..errors import BadInput, ExactnessError, InvalidSample
from ..evidence.base import Battery, Evidence, once
from ..laws.base import Law
from ..plan import Plan
from ..saved import SavedPaths
from ..seeds import block_generator, judge_generator, sampler_seed
from .digits import NOTHING_KNOWN, Digits, digits_of, why_equal
from .judgement import evidence_digest

Progress = Callable[[str, int, int], None]
"""A function of (what is being done, draws so far, largest number of draws)."""

# A block holds at most about this many numbers, so that memory stays constant however large n is.
_BLOCK_VALUES = 1 << 22
# A certificate has at most about this many blocks, so that the judge's fixed cost per block stays small. It has more if a draw
# holds very many numbers.
_MOST_BLOCKS = 64
# A block need not be larger than this, and no call is, even if the first stage is.
_ENOUGH_DRAWS = 4096
_PROBE_DRAWS = 16
_PROBE_CALLS = 2
_HEAD = 64
# Draws of a law with atoms may agree by chance. Nothing is concluded from an agreement that is more probable than this.
_HARDLY = 1e-9
# There are many pairs of calls, up to some millions.
_HARDLY_IN_PAIRS = 1e-16
# As many numbers of an atomless law that agree bit by bit are no accident, not even in single precision and in many pairs.
_NO_ACCIDENT = 4


@dataclass(frozen=True)
class Block:
    """The draws ``start`` to ``start + size - 1`` of a certificate. ``calls`` are the numbers of draws that each call makes.

    ``call`` counts the calls before this block. It gives the calls of a block their seeds.
    """

    index: int
    start: int
    call: int
    calls: tuple[int, ...]

    @property
    def size(self) -> int:
        """The number of draws."""
        return sum(self.calls)


def blocks_of(plan: Plan, law: Law) -> list[list[Block]]:
    """The blocks of each stage of a plan.

    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> stages = blocks_of(ex.Plan(first_paths=100, max_paths=400, per_call=25), law)
    >>> [[block.size for block in stage] for stage in stages], stages[0][0].calls
    ([[100], [100], [100, 100]], (50, 25, 25))
    """
    most = max(1, _BLOCK_VALUES // math.prod(law.event_shape))
    size = min(most, max(math.ceil(plan.max_paths / _MOST_BLOCKS), min(plan.first_paths, _ENOUGH_DRAWS)))
    unit = min(most, plan.first_paths, _ENOUGH_DRAWS)
    found, index, start, call = [], 0, 0, 0
    for end in plan.stages:
        stage, units = [], list(_units(plan, unit, end - start))
        while units:
            calls = units.pop(0)
            while units and sum(calls) + sum(units[0]) <= size:
                calls += units.pop(0)
            stage.append(Block(index, start, call, calls))
            index, start, call = index + 1, start + stage[-1].size, call + len(calls)
        found.append(stage)
    return found


def _units(plan: Plan, unit: int, count: int) -> Iterator[tuple[int, ...]]:
    """The calls of a stage with ``count`` new draws, in units of one long call and several short ones."""
    short = min(plan.per_call or unit, unit)
    # Later stages need no more calls than earlier ones. Doubling keeps the number of different sizes small, for each of which
    # JAX compiles a sampler anew.
    while count > 2 * plan.enough_calls * short and 4 * short <= unit:
        short *= 2
    while count:
        here = min(unit, count)
        # The long call takes what is left over, so that there are two sizes and not three.
        several = here // 2 // short
        yield (here - several * short, *[short] * several)
        count -= here


@dataclass(frozen=True)
class Where:
    """The kind of array that a sampler returns, its dtype and its device."""

    array: str = "none"
    dtype: str = "none"
    device: str = "none"


@dataclass(frozen=True)
class Probe:
    """The result of a first small sample: its SHA-256 digest, whether it repeats, and the fault of the sampler, if it has one."""

    digest: str | None = None
    reproducible: bool | None = None
    fault: str | None = None
    where: Where = Where()


@dataclass(frozen=True)
class Taken:
    """What is kept of one block: evidence, costs, and marks that reveal equal calls. It can be sent between processes.

    If the block could not be judged, ``fault`` says why, and there is no evidence. ``digest`` is that of the evidence of a block
    which a later run may draw again.
    """

    block: Block
    evidence: list[Evidence] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    where: Where = Where()
    fault: str | None = None
    digits: Digits = NOTHING_KNOWN
    digest: str | None = None


class Drawing:
    """Draws any block of a claim, in any order. If something is wrong with the sampler, the returned value says so.

    ``evidence`` is empty evidence of every battery. It belongs to the drawing from then on.
    """

    def __init__(self, claim: Claim, plan: Plan, seed: int, evidence: Sequence[Evidence]) -> None:
        self.claim, self.plan, self.seed = claim, plan, seed
        self._live = evidence
        self.empty = [one.empty() for one in evidence]
        # One block per stage is enough to see that nothing has changed. Calls grow from stage to stage, so the last one counts.
        self._digested = {stage[0].index for stage in blocks_of(plan, claim.law)}

    def probe(self) -> Probe:
        """Check, bit by bit, that two calls with the same seed agree, and that a call with another seed does not."""
        sample = self.claim.sample
        if isinstance(sample, SavedPaths):
            # Draws of a continuous law do not coincide, except by rounding. Draws of a law with atoms may.
            copied = self.claim.law.atomless and sample.more_copies_than_chance
            return Probe(sample.digest, None, _copies(sample) if copied else _twins(sample, self.claim.law))
        n, seed, other = _PROBE_DRAWS, self._seed(0), self._seed(1)
        try:
            # The calls return copies, because a sampler may return the same buffer every time.
            calls = [self._call(n, s, 0) for s in (seed, seed, other)]
        except InvalidSample as error:
            return Probe(fault=str(error))
        first, again, different = (draws for draws, _, _ in calls)
        digest, reproducible, where = _digest(first), bool(np.array_equal(first, again)), calls[0][2]
        fault = None
        if not reproducible and self.plan.seed_must_count:
            fault = (
                f"two calls of sample(n={n}, seed={seed}) differ: the sampler ignores its seed or draws from a global generator; "
                "derive all randomness from the seed (or set seed_must_count=False in the plan, and the certificate will say so)"
            )
        elif np.array_equal(first, different) and not self._may_coincide(first):
            fault = why_equal(self.claim.law, first, f"that the seeds {seed} and {other} give the same draws") or (
                f"sample(n={n}, seed) returns the same draws for the seeds {seed} and {other}: the sampler ignores its "
                "seed, so more draws would repeat the same ones; derive all randomness from the seed"
            )
        return Probe(digest, reproducible, fault, where)

    def _may_coincide(self, draws: np.ndarray) -> bool:
        """Whether calls with different seeds may return these draws by chance, or must."""
        law = self.claim.law
        return law.determined or not (law.atomless or _chance_of_repeating(draws) < _HARDLY)

    def take(self, block: Block) -> Taken:
        """Draw a block and judge it."""
        cost = {"seconds_sampling": 0.0, "seconds_judging": 0.0}
        try:
            started = time.perf_counter()
            parts, costs = self._calls(block)
            cost["seconds_sampling"] = time.perf_counter() - started
            cost |= costs
            started = time.perf_counter()
            marks = tuple(mark for part in parts if (mark := _mark(part, self.claim.law)))
            draws = joined(parts)
            del parts
            calls = block.calls
            if isinstance(self.claim.sample, SavedPaths):
                calls = self.claim.sample.calls(block.start, block.start + block.size)
            with without_gradients():
                for place, evidence in enumerate(self._live):
                    noise = block_generator(self.seed, self.claim.name, block.index, place)
                    evidence.update(draws, noise, calls)
            taken = [evidence.take() for evidence in self._live]
            cost["seconds_judging"] = time.perf_counter() - started
        except InvalidSample as error:
            for evidence in self._live:
                evidence.take()
            return Taken(block, cost=cost, fault=str(error))
        digest = evidence_digest(taken) if block.index in self._digested else None
        return Taken(block, taken, cost, marks, _where(draws), digits=digits_of(self.claim.law, draws), digest=digest)

    def _calls(self, block: Block) -> tuple[list[Array], dict[str, float]]:
        """The draws of each call of a block, and their costs together."""
        if isinstance(self.claim.sample, SavedPaths):
            draws, costs = self._sample(block.size, 0, block.start)
            return [draws], costs
        parts: list[Array] = []
        total: dict[str, float] = {}
        done = block.start
        for place, size in enumerate(block.calls):
            draws, costs = self._sample(size, self._seed(_PROBE_CALLS + block.call + place), done)
            if parts and _where(draws) != _where(parts[0]):
                one, other = _in_words(_where(parts[0])), _in_words(_where(draws))
                raise InvalidSample(
                    f"sample(n, seed) returned {one} in one call and {other} in another: return the same kind of array every time"
                )
            # This makes a copy, because a sampler may return the same buffer every time.
            parts.append(draws if len(block.calls) == 1 else copied(draws))
            done += size
            for key, value in costs.items():
                total[key] = total.get(key, 0.0) + value
        return parts, total

    def _seed(self, index: int) -> int:
        return sampler_seed(self.seed, self.claim.name, index)

    def _call(self, n: int, seed: int, done: int) -> tuple[np.ndarray, dict[str, float], Where]:
        draws, costs = self._sample(n, seed, done)
        return np.array(to_numpy(draws)), costs, _where(draws)

    def _sample(self, n: int, seed: int, done: int) -> tuple[Array, dict[str, float]]:
        """n draws that the law accepts, and their costs, after ``done`` other draws."""
        sample = self.claim.sample
        try:
            output = sample.draws(done, done + n, self.claim.law) if isinstance(sample, SavedPaths) else sample(n, seed)
        except InvalidSample:
            raise
        except (Exception, SystemExit) as error:  # An exception of the sampler decides its verdict. It must not crash the judge.
            where = traceback.extract_tb(error.__traceback__)[-1]
            # The message may hold bytes that are not text, and the certificate must be written nevertheless.
            said = str(error).encode(errors="backslashreplace").decode()
            raise InvalidSample(
                f"sample(n={n}, seed={seed}) raised {type(error).__name__}: {said} "
                f"(in {where.name}, line {where.lineno} of {where.filename.rsplit('/', 1)[-1]}) after {done} draws"
            ) from error
        costs: dict[str, float] = {}
        if isinstance(output, tuple):
            if len(output) != 2 or not isinstance(output[1], dict):
                raise InvalidSample("sample(n, seed) returned a tuple; return an array, or (array, dict of costs)")
            output, costs = output[0], _checked_costs(output[1])
        try:
            return self.claim.law.accept(output, n), costs
        except InvalidSample as error:
            if isinstance(sample, SavedPaths) and done:
                raise InvalidSample(f"{error} (rows are counted from {done} of {sample.name})") from None
            raise


Take = Callable[[Sequence[Block]], Iterable[Taken]]
"""A function that draws blocks, here or elsewhere, and returns them in the same order."""


class Draws:
    """The evidence of a claim, which grows block by block in their order.

    Call ``probe`` first, then ``up_to`` as often as needed. Both raise ``InvalidSample`` if the output cannot be judged, and keep
    what was taken in before. ``take`` draws the blocks; without it, this process draws them.
    """

    def __init__(
        self,
        claim: Claim,
        plan: Plan,
        seed: int,
        evidence: Sequence[Evidence],
        progress: Progress | None = None,
        *,
        probe: Probe | None = None,
        take: Take | None = None,
    ) -> None:
        self.claim, self.plan, self.seed, self.progress = claim, plan, seed, progress
        drawing = Drawing(claim, plan, seed, evidence)
        self.evidence: list[Evidence] = drawing.empty
        self._blocks: Iterator[list[Block]] = iter(blocks_of(plan, claim.law))
        self._probe = drawing.probe if probe is None else lambda: probe
        self._take: Take = take or (lambda blocks: map(drawing.take, blocks))
        self.probed, self.paths, self.calls, self.where = Probe(), 0, 0, Where()
        self.digits, self.marks, self.sizes = NOTHING_KNOWN, set[str](), set[int]()
        self.redraw: Redraw | None = None
        self.cost: dict[str, float] = {"seconds_sampling": 0.0, "seconds_judging": 0.0}

    def probe(self) -> None:
        """Look at a first small sample."""
        self.probed = self._probe()
        self.where = self.probed.where
        if self.probed.fault is not None:
            raise InvalidSample(self.probed.fault)

    def up_to(self, size: int) -> None:
        """Take in the blocks of the next stages, until there are ``size`` draws."""
        while self.paths < size:
            for taken in self._take(next(self._blocks)):
                self._add(taken)
                del taken  # This frees the memory before the next block is drawn.
                if self.progress is not None:
                    self.progress(self.claim.name, self.paths, self.plan.max_paths)

    def _add(self, taken: Taken) -> None:
        for key, value in taken.cost.items():
            self.cost[key] = self.cost.get(key, 0.0) + value
        if taken.fault is not None:
            raise InvalidSample(taken.fault)
        if taken.block.start != self.paths:
            raise BadInput(
                f"block {taken.block.index} begins at draw {taken.block.start}, but {self.paths} draws were taken in before it: "
                "pass the blocks in their order"
            )
        if len(self.marks.union(taken.marks)) < len(self.marks) + len(taken.marks):
            raise InvalidSample(
                f"two calls with different seeds begin with the same draws, after {self.paths} draws: the sampler ignores its "
                "seed, or some of its bits, so more draws repeat the same ones; derive all randomness from the seed"
            )
        for whole, part in zip(self.evidence, taken.evidence, strict=True):
            whole.merge(part)
        self.where, self.paths = taken.where, self.paths + taken.block.size
        self.digits, self.calls = self.digits + taken.digits, self.calls + len(taken.block.calls)
        self.marks.update(taken.marks)
        self.sizes.update(taken.block.calls)
        if taken.digest is not None:
            self.redraw = Redraw(index=taken.block.index, sha256=taken.digest)


def probe_of(claim: Claim, seed: int) -> str:
    """The digest of the first small sample, as a certificate of this claim and seed records it.

    An exception of the sampler is passed on.
    """
    if isinstance(claim.sample, SavedPaths):
        return claim.sample.digest
    output = claim.sample(_PROBE_DRAWS, sampler_seed(seed, claim.name, 0))
    return _digest(to_numpy(output[0] if isinstance(output, tuple) else output))


def started(claim: Claim, batteries: Sequence[Battery], seed: int) -> list[Evidence]:
    """Empty evidence of every battery, in the order of the batteries. The seed and the claim's name determine its directions."""
    generator = judge_generator(seed, claim.name)
    return list(once([_started(battery, claim.law, generator) for battery in batteries]))


def _started(battery: Battery, law: Law, generator: np.random.Generator) -> Evidence:
    """Empty evidence. What a user's own law does wrong is said as such."""
    try:
        return battery.start(law, generator)
    except ExactnessError:
        raise
    except Exception as error:
        raise BadInput(
            f"the battery {battery.name!r} cannot look at the law {type(law).__name__}: {type(error).__name__}: {error}; if this "
            "law is yours, compare its methods with exactness.laws.base"
        ) from error


def _mark(draws: Array, law: Law) -> str:
    """A digest by which equal calls are noticed: of the first draws, of all if those may agree by chance, or none at all."""
    draws = at_hand(draws)
    for rows in (to_numpy(draws[:_HEAD]), to_numpy(draws)):
        if law.determined:
            break
        if (law.atomless and rows.size >= _NO_ACCIDENT) or _chance_of_repeating(rows) < _HARDLY_IN_PAIRS:
            return _digest(rows)
    return ""


def _chance_of_repeating(rows: np.ndarray) -> float:
    """A bound on the probability that as many independent draws are equal to these: the largest share of one value, each time."""
    most = int(np.unique(rows.reshape(len(rows), -1), axis=0, return_counts=True)[1].max())
    return float(((most + 1) / (len(rows) + 1)) ** len(rows))


def _where(draws: Array) -> Where:
    return Where(kind_of(draws), str(draws.dtype).removeprefix("torch."), device_of(draws))


def _in_words(where: Where) -> str:
    return f"a {where.array} array of {where.dtype} on {where.device}"


def _copies(saved: SavedPaths) -> str:
    return (
        f"{saved.copies} of {saved.count} paths of {saved.name} are copies of others, bit by bit: check whether several runs used "
        "the same seed, and whether the paths were saved with all their digits"
    )


def _twins(saved: SavedPaths, law: Law) -> str | None:
    """Say so if two files, arrays or chains begin with the same draws. More than chance explains it is one run, saved twice."""
    seen: dict[str, str] = {}
    start = 0
    for name, count in saved.parts:
        mark = _mark(saved.rows(start, start + min(count, _ENOUGH_DRAWS)), law)
        if mark and mark in seen:
            return (
                f"{seen[mark]} and {name} begin with the same draws, bit by bit: check whether several runs used the same seed, "
                "and judge each run once"
            )
        seen[mark], start = name, start + count
    return None


def _digest(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _checked_costs(costs: dict[Any, Any]) -> dict[str, float]:
    try:
        numbers = {str(key): float(value) for key, value in costs.items()}
    except (TypeError, ValueError):
        numbers = {"": float("nan")}
    if not all(math.isfinite(v) for v in numbers.values()):
        raise InvalidSample("the costs that sample(n, seed) returned must be finite numbers, totals over its n draws")
    return numbers
