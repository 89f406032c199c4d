"""One certificate, drawn in several places. Each place draws a shard of the blocks, and all shards make the certificate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

from ..certificate import Certificate, ControlOutcome
from ..claim import Claim
from ..errors import BadInput
from ..evidence.base import Evidence
from ..plan import Plan
from .certify import certify_claim, ready
from .draws import Block, Drawing, Probe, Taken, blocks_of


@dataclass(frozen=True)
class Shard:
    """What one place has drawn. It can be pickled and sent; a block of it holds some kilobytes per step of a chain.

    Attributes:
        name, seed, plan, law, batteries: the certificate that the shard belongs to. ``law`` is the description of the law.
        index, count: this is shard ``index`` of ``count``.
        probe: what the first small sample showed in this place.
        taken: the blocks, each with its evidence, its costs and the kind of array that the sampler returned.
    """

    name: str
    seed: int
    plan: Plan
    law: dict[str, object]
    batteries: tuple[str, ...]
    index: int
    count: int
    probe: Probe
    taken: tuple[Taken, ...]


def draw_shard(claim: Claim, index: int, count: int, *, seed: int = 0) -> Shard:
    """Draw shard ``index`` of ``count`` of a certificate. It has every ``count``-th of the blocks that the plan may need.

    Args:
        claim: the claim. It must be the same in every place.
        index, count: integers with 0 <= index < count.
        seed: the root of all randomness. It must be the same in every place.

    Returns:
        A :class:`Shard`. If the sampler raises an exception or returns something unusable, the shard says so, and nothing is
        raised here.

    Raises:
        BadInput: if the claim cannot be judged, or if index and count are not such integers.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> claim = ex.Claim("normal", lambda n, seed: np.random.default_rng(seed).standard_normal((n, 1)), law, ex.Plan(tolerance=0.1))
    >>> shards = [ex.draw_shard(claim, i, 3) for i in (2, 0, 1)]
    >>> ex.certify_shards(claim, shards).findings == ex.certify(claim.sample, law, plan=claim.plan, name="normal").findings
    True
    """
    for label, value in (("index", index), ("count", count)):
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise BadInput(f"{label} must be an integer, not {value!r}")
    if not 0 <= index < count:
        raise BadInput(f"index must be at least 0 and less than count; got index {index} and count {count}")
    claim, evidence = ready(claim, seed)
    assert claim.plan is not None
    looks = _looks(evidence)
    drawing = Drawing(claim, claim.plan, int(seed), evidence)
    mine = [block for stage in blocks_of(claim.plan, claim.law) for block in stage if block.index % count == index]
    probe = drawing.probe()
    taken = tuple(_until_fault(drawing, mine)) if probe.fault is None else ()
    return Shard(claim.name, int(seed), claim.plan, claim.law.describe(), looks, int(index), int(count), probe, taken)


def certify_shards(
    claim: Claim, shards: Sequence[Shard], *, outcomes: Sequence[ControlOutcome] = (), source: str | None = None
) -> Certificate:
    """Make the certificate from all shards of a claim. :func:`certify` gives the same one, for any number and order of shards.

    Only the costs in seconds and the time of creation differ, as long as versions and numbers of threads are the same everywhere.

    Args:
        claim: the claim. Its controls are judged here.
        shards: all shards of the claim, in any order.
        outcomes: the outcomes of controls that were judged before.
        source: where the claim comes from. It is recorded in the certificate.

    Raises:
        BadInput: if a shard is missing, occurs twice, or belongs to another claim, plan, law or seed.
    """
    if not shards:
        raise BadInput("no shard was given: pass the shards that draw_shard made")
    if wrong := [one for one in shards if not isinstance(one, Shard)]:
        raise BadInput(f"shards must be what draw_shard made; got {type(wrong[0]).__name__}")
    shards = sorted(shards, key=lambda shard: shard.index)
    first = shards[0]
    judged, evidence = ready(claim, first.seed)
    labels = ("name", "seed", "plan", "law", "list of batteries", "number of shards")
    of = (judged.name, first.seed, judged.plan, judged.law.describe(), _looks(evidence), first.count)
    for shard in shards:
        found = (shard.name, shard.seed, shard.plan, shard.law, shard.batteries, shard.count)
        if differ := [label for label, a, b in zip(labels, of, found, strict=True) if a != b]:
            raise BadInput(f"shard {shard.index} of {shard.name!r} belongs to another certificate: its {differ[0]} differs")
    there = sorted(shard.index for shard in shards)
    if there != list(range(first.count)):
        raise BadInput(f"pass all shards from 0 to {first.count - 1}, each once; got {there}")
    taken = {one.block.index: one for shard in shards for one in shard.taken}
    probe = _together([shard.probe for shard in shards], judged.plan)

    def take(blocks: Sequence[Block]) -> Iterator[Taken]:
        for block in blocks:
            if block.index not in taken:
                raise BadInput(f"block {block.index} was not drawn, because its shard stopped at an earlier fault of the sampler")
            yield taken[block.index]

    return certify_claim(claim, seed=first.seed, outcomes=outcomes, source=source, probe=probe, take=take)


def _looks(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    return tuple(repr(one.origin.battery) for one in evidence)


def _until_fault(drawing: Drawing, blocks: Sequence[Block]) -> Iterator[Taken]:
    """Draw blocks until one cannot be judged. Later blocks are not needed, because the certificate ends there or earlier."""
    for block in blocks:
        taken = drawing.take(block)
        yield taken
        if taken.fault is not None:
            return


def _together(probes: Sequence[Probe], plan: Plan | None) -> Probe:
    """Join the first small samples of all places. The first fault counts, if there is one; else the places must agree."""
    if broken := [probe for probe in probes if probe.fault is not None]:
        return broken[0]
    first = probes[0]
    if plan is not None and plan.seed_must_count and any(probe.digest != first.digest for probe in probes):
        fault = (
            "the sampler gives other draws in another place for the same seed: derive all its randomness from the seed, and use "
            "the same versions everywhere"
        )
        return replace(first, reproducible=False, fault=fault)
    return first
