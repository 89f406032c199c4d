"""In-toto statements for signers such as Sigstore's cosign and GitHub's attestations. :mod:`exactness.statement` makes them."""

from __future__ import annotations

from collections.abc import Sequence

from ...certificate import Certificate
from ...statement import statement_of


def intoto(certificates: Sequence[Certificate]) -> str:
    """Write one statement per line. The statement of a single certificate is one JSON document."""
    return "".join(statement_of(c).decode() + "\n" for c in certificates)
