"""Claims: this sampler follows this law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from .batteries.standard import chosen_batteries
from .errors import BadInput
from .evidence.base import Battery
from .laws.base import Law
from .plan import Plan
from .saved import SavedPaths

Sample = Callable[[int, int], Any]
"""``sample(n, seed)`` returns an array, or ``(array, costs)``, where costs is a dict of totals over the n draws ("rounds", ...)."""


@dataclass(frozen=True)
class Claim:
    """The statement that a sampler follows a law. ``exactness certify file.py:claim`` judges it.

    Args:
        name: 1 to 120 printable characters. Samplers with different names get different seeds.
        sample: a function ``sample(n, seed)`` that returns (n, d) for a mixture, or (n, K + 1, d) in running order for a chain.
            Or :class:`SavedPaths`.
        law: the law that the sampler should follow.
        plan, batteries: these replace the default ones.
        controls: samplers that are known to be wrong. The same batteries must refute them with the same budget. ``"standard"``
            stands for faults built from the law itself: those of :data:`exactness_samplers.faults.STANDARD` for a chain, and the
            ``standard`` ones of :data:`exactness_samplers.faults.tokens.TOKEN_FAULTS` for a law of tokens.
        wrong: for a control, one sentence on what is wrong with it. Such a claim holds if it is refuted.
        required: for a control, whether the sampler may not be certified unless the control is refuted.
        about: other facts about the sampler that a reader should know (JSON types).

    Raises:
        BadInput: if a field cannot be used. The message says which one, and what to do.

    >>> import numpy as np
    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> def normals(n, seed, mean=0.0):
    ...     return np.random.default_rng(seed).normal(mean, 1.0, (n, 1))
    >>> shifted = ex.Claim("shifted", lambda n, seed: normals(n, seed, 0.3), law, wrong="its mean is 0.3 and not 0")
    >>> claim = ex.Claim("normals", normals, law, ex.Plan(tolerance=0.1), controls=[shifted])
    >>> judged = ex.certify(claim.sample, claim.law, plan=claim.plan, controls=claim.controls)
    >>> judged.verdict.value, judged.controls[0].verdict.value
    ('certified', 'refuted')
    """

    name: str
    sample: Sample | SavedPaths
    law: Law
    plan: Plan | None = None
    batteries: Sequence[Battery] | None = None
    controls: Sequence[Claim] | Literal["standard"] = ()
    wrong: str | None = None
    required: bool = True
    about: dict[str, object] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Any]:
        """The sampler and the law: ``ex.certify(*claim)``."""
        return iter((self.sample, self.law))

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 120 or not self.name.isprintable():
            raise BadInput(f"a claim's name must be 1 to 120 printable characters; got {self.name!r:.60}")
        if self.wrong is not None and not (isinstance(self.wrong, str) and self.wrong.strip()):
            raise BadInput(f"say in a sentence what is wrong with {self.name!r}, or leave wrong= out if nothing is wrong")
        if not isinstance(self.controls, Sequence) or (isinstance(self.controls, str) and self.controls != "standard"):
            raise BadInput(f"the controls of {self.name!r} must be a list of claims, or 'standard', not {self.controls!r:.60}")
        for control in () if isinstance(self.controls, str) else self.controls:
            if not isinstance(control, Claim) or control.wrong is None:
                raise BadInput(
                    f"a control of {self.name!r} must be a Claim with wrong='what is wrong with it', because it must be refuted"
                )
        try:
            msgspec.json.encode(self.about)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise BadInput(f"the field about of {self.name!r} must hold JSON types only: {error}") from None
        if not callable(self.sample) and not isinstance(self.sample, SavedPaths):
            raise BadInput(f"the sampler of {self.name!r} must be a function sample(n, seed); got {type(self.sample).__name__}")
        if not isinstance(self.law, Law):
            raise BadInput(
                f"the law of {self.name!r} must be one of exactness.laws or your own exactness.Law; got {type(self.law).__name__}"
            )
        chosen_batteries(self.batteries)
        if self.plan is not None and not isinstance(self.plan, Plan):
            raise BadInput(f"the plan of {self.name!r} must be an exactness.Plan; got {type(self.plan).__name__}")
