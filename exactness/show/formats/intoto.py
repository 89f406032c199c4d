"""In-toto statements for signers such as Sigstore's cosign and GitHub's attestations. :mod:`exactness.statement` makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ...certificate import Certificate
from ...statement import statement_of

# A certificate must stay as it is, so its text is not made plain. Written in these escapes, it hides nothing and commands nobody.
_SPECIAL = re.compile("[^ -~]|#(?=#)")


def intoto(certificates: Sequence[Certificate]) -> str:
    """Write one statement per line. The statement of a single certificate is one JSON document."""
    return "".join(_SPECIAL.sub(_escaped, statement_of(c).decode()) + "\n" for c in certificates)


def _escaped(found: re.Match[str]) -> str:
    return r"\u0023" if found[0] == "#" else json.dumps(found[0])[1:-1]
