"""Trained weights, one safetensors file per network. The metadata of each file says where the weights come from.

`python -m studies.train_digits` makes them, and `reports/digits_network.md` says how good they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

DIGITS, DIGITS_DISTILLED, DIGITS_AHEAD = "digits", "digits_distilled", "digits_ahead"
NAMES = (DIGITS, DIGITS_DISTILLED, DIGITS_AHEAD)


@dataclass(frozen=True)
class Weights:
    """``arrays`` holds float32 arrays by name. ``metadata`` holds texts by name: command, versions, losses, licence of the data."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def path(name: str) -> Path:
    """The file with the weights of this name, which is one of ``NAMES``. Raises ``ValueError`` for another name.

    >>> path("digits").name
    'digits.safetensors'
    """
    if name not in NAMES:
        raise ValueError(f"no weights are called {name!r}; choose among {', '.join(NAMES)}")
    return Path(__file__).parent / f"{name}.safetensors"


def load(file: Path) -> Weights:
    """Read the arrays and the metadata of a file.

    Raises:
        ModuleNotFoundError: if safetensors is not installed.
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be read.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "trained networks are read with safetensors, which is not installed: pip install 'exactness[catalogue]'",
            name=error.name,
        ) from error
    if not file.is_file():
        raise FileNotFoundError(f"there are no weights at {file}: `python -m studies.train_digits` makes them")
    try:
        with safe_open(file, framework="numpy") as content:
            return Weights({name: content.get_tensor(name) for name in content.keys()}, content.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is not a readable safetensors file ({error}); install the package again") from error
