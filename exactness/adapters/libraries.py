"""What is said where the library that an adapter adapts is not installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import BadInput


@contextlib.contextmanager
def needs(extra: str) -> Iterator[None]:
    """Here the libraries of this extra are imported. Raises ``BadInput`` with the command that installs what is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadInput(f"{error.name} is not installed, and this adapter needs it: pip install 'exactness[{extra}]'") from error
