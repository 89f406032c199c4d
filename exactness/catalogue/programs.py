"""Claims about Markov kernels, kernels of posteriors and couplings: the reference kernels, and faults that must be refuted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_numpy
from ..claim import Claim, Sample
from ..plan import Plan
from .backends import BackendName
from .base import Entry, Setting

if TYPE_CHECKING:
    from exactness_samplers.faults.markov import KernelFault

PROBLEMS = {"kernel": "kernels", "joint": "posteriors", "pair": "couplings"}
# JAX compiles a program for each number of chains, so it runs one of these.
_SIZES = (64, 250, 1_000, 4_000)
# A call costs many kernel steps here, and a kernel is the same for every seed.
_PLANS = {"kernels": Plan(per_call=500), "posteriors": Plan(per_call=500), "couplings": Plan(tolerance=0.05, per_call=500)}
_TOUR = {"kernels/right-mala", "posteriors/right-walk-of-a-posterior"}
_TOUR_CONTROLS = {"kernels/control/mala-symmetric-ratio", "posteriors/control/observation-left-out"}


def entries() -> tuple[Entry, ...]:
    """All entries, by what is moved. Kernels that keep their law and are of no use are left out: no invariance shows that."""
    from exactness_samplers.faults.markov import KERNEL_FAULTS

    found: list[Entry] = []
    for kind, problem in PROBLEMS.items():
        mine = [fault for fault in KERNEL_FAULTS if fault.kind == kind and fault.seen_by != "convergence"]
        exact = [f"{problem}/{fault.name}" for fault in mine if fault.exact]
        wrong = [f"{problem}/control/{fault.name}" for fault in mine if not fault.exact]
        found += [Entry(name, problem, "exact", claim_of, name in _TOUR) for name in exact]
        found += [Entry(name, problem, "control", claim_of, name in _TOUR_CONTROLS) for name in wrong]
    return tuple(found)


def claim_of(entry: Entry, setting: Setting) -> Claim:
    """The claim of an entry of this family."""
    from exactness_samplers.faults import Backend
    from exactness_samplers.faults.markov import kernel_fault

    from .program_laws import law_of

    fault = kernel_fault(entry.name.rsplit("/", 1)[1])
    law = law_of(fault, Backend(setting.backend))
    about: dict[str, object] = {"backend": setting.backend, "law": str(law.describe()["name"]), "what": fault.what}
    return Claim(
        entry.name, sampler_of(fault, law, setting.backend), law, _PLANS[entry.problem],
        wrong=None if fault.exact else fault.what, about=about,
    )  # fmt: skip


def sampler_of(fault: KernelFault, law: Any, backend: BackendName) -> Sample:
    """The sampler that a law makes of a kernel."""
    kernel = fault.kernel(backend)
    if fault.seen_by == "transition":
        return law.moved_by(_traced(kernel), start=np.ones(law.dim), arrays=backend)
    return law.moved_by(kernel if backend == "torch" else _padded(kernel), arrays=backend)


def _traced(kernel: Any) -> Any:
    """A kernel that says what it proposed and whether it accepted."""

    def step(x: Any, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        move = kernel.trace(x, seed)
        return to_numpy(move.state)[0], to_numpy(move.proposal)[0], to_numpy(move.accepted)[0]

    return step


def _padded(kernel: Any) -> Any:
    """The kernel for any number of rows, which are filled up with copies: rows are independent, and the surplus is cut off."""

    def step(*arguments: Any) -> Any:
        *arrays, seed = arguments
        n = len(arrays[0])
        size = next((size for size in _SIZES if size >= n), -(-n // _SIZES[-1]) * _SIZES[-1])
        rows = np.arange(size) % n
        moved = kernel(*(array[rows] for array in arrays), seed)
        return tuple(part[:n] for part in moved) if isinstance(moved, tuple) else moved[:n]

    return step
