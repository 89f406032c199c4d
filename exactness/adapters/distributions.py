"""Laws of the distributions of torch and numpyro, whose classes have the same names.

A law never comes from the object's own draws, because these are what is judged. It comes from the parameters (normals, counterparts
in scipy, standard constructions), from the inverse of a transformation, or from the log-density, integrated numerically.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import BadInput
from ..laws import Law, ProductLaw
from ..laws.base import OnLine
from ..laws.rosenblatt import joined
from .counterparts import counterpart
from .discrete import discrete_laws
from .libraries import Library
from .multivariate import family
from .normals import normals_of


def law_of(distribution: Any, library: Library) -> Law:
    """The law of a distribution of torch or numpyro, from anything but its draws.

    Raises:
        BadInput: if it is not a distribution of the library, if it is a batch of several, or if only its draws are known.
    """
    if not isinstance(distribution, library.module.Distribution):
        raise BadInput(f"this must be a distribution of {library.module.__name__}; got {type(distribution).__name__}")
    if math.prod(distribution.batch_shape) != 1:
        raise BadInput(
            f"a batch of {math.prod(distribution.batch_shape)} distributions, batch_shape {tuple(distribution.batch_shape)}, is "
            f"not one law: if its coordinates are independent, write {library.joined}"
        )
    laws = laws_of(distribution, library)
    if laws is None:
        make, sampler = library.adapters
        raise BadInput(
            f"nothing but its draws is known of {type(distribution).__name__}, and a law made of these would certify themselves. "
            f"If you trust them, judge another sampler by them, with exactness.TrustedSampler({sampler}(distribution)) instead of "
            f"{make}(distribution); or write down the law: exactness.DensityLaw, exactness.RosenblattLaw"
        )
    return laws[0]


def laws_of(distribution: Any, library: Library) -> list[Law] | None:
    """The laws of a batch of distributions, in the order of the batch. Draws are flattened. None if only draws are known."""
    for way in WAYS:
        found = way(distribution, library)
        if found is not None:
            return found
    return None


def _wrapped(distribution: Any, library: Library) -> list[Law] | None:
    """Distributions that repeat, join or mask others."""
    if isinstance(distribution, library.kinds("MaskedDistribution")):
        return laws_of(distribution.base_dist, library)
    if isinstance(distribution, library.kinds("ExpandedDistribution")):
        inner = laws_of(distribution.base_dist, library)
        places = np.arange(math.prod(distribution.base_dist.batch_shape)).reshape(distribution.base_dist.batch_shape)
        return None if inner is None else [inner[i] for i in np.broadcast_to(places, distribution.batch_shape).reshape(-1)]
    if isinstance(distribution, library.kinds("Independent")):
        inner = laws_of(distribution.base_dist, library)
        if inner is None:
            return None
        size = len(inner) // math.prod(distribution.batch_shape)
        return [_product(inner[i : i + size], type(distribution.base_dist).__name__) for i in range(0, len(inner), size)]
    return None


def _product(laws: list[Law], name: str) -> Law:
    if len(laws) == 1:
        return laws[0]
    on_lines = [law for law in laws if isinstance(law, OnLine)]
    return ProductLaw(on_lines) if len(on_lines) == len(laws) else joined(laws, name=f"independent {name}")


def _counterparts(distribution: Any, library: Library) -> list[Law] | None:
    """The parameters of a distribution on the line that scipy has as well."""
    name = type(distribution).__name__
    # A subclass of the user's may differ; only the library's own classes are known.
    found = counterpart(name) if type(distribution) is getattr(library.module, name, None) else None
    if found is None:
        return None
    parameters, make = found
    shape = tuple(distribution.batch_shape)
    values = np.stack([library.numbers(getattr(distribution, p), shape).reshape(-1) for p in parameters], axis=1)
    return [make(*map(float, row)) for row in values]


def _families(distribution: Any, library: Library) -> list[Law] | None:
    """Families in several dimensions with a standard construction."""
    return family(distribution, library)


def _mixtures(distribution: Any, library: Library) -> list[Law] | None:
    """Mixtures of distributions on the line."""
    return None


def _transformed(distribution: Any, library: Library) -> list[Law] | None:
    """Invertible transformations of a distribution whose law is known."""
    return None


def _integrated(distribution: Any, library: Library) -> list[Law] | None:
    """Distributions on the line, by integrating their log-density."""
    return None


WAYS = (discrete_laws, normals_of, _wrapped, _counterparts, _families, _mixtures, _transformed, _integrated)
"""The ways to the law of a distribution, the best first."""
