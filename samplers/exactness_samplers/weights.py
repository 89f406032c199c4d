"""Reads the trained weights of the digit networks and the character models. Each safetensors file says where it comes from.

The files are in the package `exactness_digits`, a distribution of its own. `python -m studies.digits` and
`python -m studies.characters` make them, and `reports/digits_network.md` and `reports/characters.md` say how good they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

DIGITS, DIGITS_DISTILLED, DIGITS_AHEAD = "digits", "digits_distilled", "digits_ahead"
NAMES = (DIGITS, DIGITS_DISTILLED, DIGITS_AHEAD)
CHARACTERS, CHARACTERS_DRAFT = "characters", "characters_draft"


@dataclass(frozen=True)
class Weights:
    """``arrays`` by name, float32 or float16; ``metadata``: text by name (command, versions, losses, licence of the data)."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def path(name: str) -> Path:
    """The file that holds the weights of ``name``, such as ``DIGITS``.

    Raises ``ValueError`` for another name, and ``FileNotFoundError`` if the package that holds the weights is not installed.

    >>> path(DIGITS).name
    'digits.safetensors'
    """
    every = (*NAMES, CHARACTERS, CHARACTERS_DRAFT)
    if name not in every:
        raise ValueError(f"no weights are called {name!r}; choose among {', '.join(every)}")
    try:
        from exactness_digits import FOLDER
    except ModuleNotFoundError:
        raise FileNotFoundError(
            "the trained networks need the package exactness-digits, which is not installed: "
            "pip install ./samplers/exactness_digits in a checkout of exactness"
        ) from None
    return FOLDER / f"{name}.safetensors"


def load(file: Path) -> Weights:
    """The arrays and metadata of a file.

    Raises ``ModuleNotFoundError`` without safetensors, ``FileNotFoundError`` if there is no such file, and ``ValueError`` if it is
    not a safetensors file; each message says what to do.

    >>> load(path(DIGITS)).arrays["mean"].shape
    (64,)
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "trained networks are read with safetensors, which is not installed: pip install 'exactness[catalogue]'",
            name=error.name,
        ) from error
    if not file.is_file():
        raise FileNotFoundError(
            f"there are no weights at {file}: `python -m studies.characters` or `python -m studies.digits` makes them"
        )
    try:
        with safe_open(file, framework="numpy") as content:
            return Weights({name: content.get_tensor(name) for name in content.keys()}, content.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{file} is not a readable safetensors file ({error}); install the package again") from error
