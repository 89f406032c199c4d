"""Laws of the multivariate families of torch and numpyro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..laws import Law

if TYPE_CHECKING:
    from .libraries import Library


def family(distribution: Any, library: Library) -> list[Law] | None:
    """The laws of a batch of a known family, or None."""
    return None
