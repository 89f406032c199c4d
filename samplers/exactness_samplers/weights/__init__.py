"""Trained weights, one safetensors file a network, and where they come from: each file's own metadata.

`python -m studies.digits` makes them; `reports/digits_network.md` says how good they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

DIGITS, DIGITS_DISTILLED, DIGITS_AHEAD = "digits", "digits_distilled", "digits_ahead"
NAMES = (DIGITS, DIGITS_DISTILLED, DIGITS_AHEAD)


@dataclass(frozen=True)
class Weights:
    """``arrays`` by name, float32; ``metadata``: text by name (command, versions, losses, licence of the data)."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def path(name: str) -> Path:
    """Where the weights of ``name`` are, one of ``NAMES``."""
    if name not in NAMES:
        raise ValueError(f"no weights are called {name!r}; choose among {', '.join(NAMES)}")
    return Path(__file__).parent / f"{name}.safetensors"


def load(file: Path) -> Weights:
    """A file's arrays and metadata. ModuleNotFoundError, FileNotFoundError or ValueError say what to do."""
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "trained networks are read with safetensors, which is not installed: pip install 'exactness[catalogue]'",
            name=error.name,
        ) from error
    if not file.is_file():
        raise FileNotFoundError(f"there are no weights at {file}: `python -m studies.digits` makes them")
    try:
        with safe_open(file, framework="numpy") as content:
            return Weights({name: content.get_tensor(name) for name in content.keys()}, content.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is not a readable safetensors file ({error}); install the package again") from error
