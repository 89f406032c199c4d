"""The error message for a library that is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import BadInput


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """A context for importing the libraries of this extra. Raises ``BadInput`` with the command that installs a missing one."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadInput(f"{error.name} is not installed, and this adapter needs it: pip install 'exactness[{extra}]'") from error
