"""Shorter ways to a certificate: two samplers and no law, or draws and no sampler."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..arrays import Array
from ..certificate import Certificate
from ..claim import Claim, Sample
from ..evidence.base import Battery
from ..laws import Law, TrustedSampler
from ..plan import Plan
from ..saved import SavedPaths
from .certify import certify


def compare(
    sample: Sample,
    reference: Sample,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    name: str = "sampler",
    reference_name: str = "reference",
    batteries: Sequence[Battery] | None = None,
    controls: Sequence[Claim] = (),
) -> Certificate:
    """Judge whether two samplers have one law, where nothing else is known of either.

    Args:
        sample, reference: ``sample(n, seed)`` -> (n, d) or (n, K + 1, d) each; the two get seeds of their own.
        name, reference_name: what the certificate calls them.
        plan, seed, batteries, controls: as of :func:`exactness.certify`; the standard battery is :class:`exactness.TwoSample`.

    >>> import numpy as np
    >>> def normals(n, seed, mean=0.0):
    ...     return np.random.default_rng(seed).normal(mean, 1.0, (n, 2))
    >>> compare(normals, lambda n, seed: normals(n, seed, 0.5)).verdict.value
    'refuted'
    """
    law = TrustedSampler(reference, name=reference_name)
    return certify(sample, law, plan=plan, seed=seed, name=name, batteries=batteries, controls=controls)


def certify_paths(
    paths: Array | str | os.PathLike[str] | SavedPaths,
    law: Law,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    name: str | None = None,
    batteries: Sequence[Battery] | None = None,
    controls: Sequence[Claim] = (),
    entry: str | None = None,
) -> Certificate:
    """Judge draws that were made before, by any program in any language.

    Args:
        paths: an array (n, d) or (n, K + 1, d), x_K first; or a ``.npy``, ``.npz`` or ``.safetensors`` file of one.
        entry: which array of the file; see :class:`SavedPaths`, which says what is and is not claimed of saved draws.
        plan: its ``max_paths`` is the most draws that are looked at; all of them if left out.
        seed: of the judge's own noise.
        law, name, batteries, controls: as of :func:`exactness.certify`; the name is the file's if left out.

    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0, 0.0]], [1.0])
    >>> certificate = certify_paths(law.sample(20_000, 0), law, plan=ex.Plan(tolerance=0.05))
    >>> certificate.verdict.value, certificate.paths, certificate.reproducible
    ('certified', 20000, None)
    """
    saved = paths if isinstance(paths, SavedPaths) else SavedPaths(paths, entry=entry)
    plan = plan or Plan(max_paths=saved.count)
    return certify(saved, law, plan=plan, seed=seed, name=name or saved.name, batteries=batteries, controls=controls)
