"""Files and folders of saved draws: which files are one sample, and in which order; and formats that ``saved`` does not map."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from .arrays import Array, kind_of, namespace
from .errors import BadInput

FORMATS = (".npy", ".npz", ".safetensors", ".csv", ".pt")
"""The endings of files of draws."""

TOKENS = "tokens"
"""The name of the array that holds sequences of tokens."""


def files_of(sources: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The files of one sample, in their order. A folder stands for its files, in the order of their numbers.

    Files of two runs are two samples, and nothing shows whether these are independent. So the files of a folder must have the
    same ending and the same name but for one number, as in ``shard-0.npy``, ``shard-1.npy``.

    Raises:
        BadInput: if there is no such file, if a file is named twice, or if the files of a folder are not one series.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        found += _inside(source) if source.is_dir() else [source]
    places = [path.resolve() for path in found]
    if twice := [path for i, path in enumerate(found) if places[i] in places[:i]]:
        raise BadInput(f"{twice[0]} is named twice: its draws would count twice; name each file once")
    return found


def _inside(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.suffix in FORMATS and not path.name.startswith(".")]
    if not files:
        raise BadInput(f"there are no draws in the folder {folder}: they are read from {', '.join(FORMATS)} files")
    files.sort(key=lambda path: _pieces(path.name))
    remedy = "put the draws of each run into a folder of their own, or name the files that are one sample with --paths, one by one"
    series = {tuple(piece if isinstance(piece, str) else "#" for _, piece in _pieces(path.name)): path for path in files}
    if len(series) > 1:
        one, other, *_ = series.values()
        raise BadInput(f"the files {one.name} and {other.name} of {folder} do not belong to one series: {remedy}")
    numbers = zip(*([piece for kind, piece in _pieces(path.name) if kind] for path in files), strict=True)
    if sum(len(set(values)) > 1 for values in numbers) > 1:
        raise BadInput(
            f"the names of the files in {folder} differ in more than one number ({files[0].name}, {files[-1].name}), as those of "
            f"several runs do: {remedy}"
        )
    return files


def _pieces(name: str) -> list[tuple[int, str | int]]:
    """The texts and numbers of a name, in a form that can be sorted, so that 10 comes after 9."""
    return [(int(digits), int("".join(text)) if digits else "".join(text)) for digits, text in groupby(name, str.isdecimal)]


def csv(path: Path, entry: str | None) -> np.ndarray:
    """A table of numbers (n, d) in double precision, separated by commas. A first line without numbers is taken for a header."""
    with path.open(encoding="utf-8-sig") as stream:
        first = stream.readline()
    header = not all(re.fullmatch(r"\s*[-+]?(\d.*|\.\d.*|nan|inf|infinity)\s*", word, re.IGNORECASE) for word in first.split(","))
    return np.loadtxt(path, delimiter=",", skiprows=int(header), ndmin=2, encoding="utf-8-sig", comments=None)


def pt(path: Path, entry: str | None) -> np.ndarray:
    """A tensor that ``torch.save`` wrote, or one of a dictionary of tensors. Nothing in the file is executed."""
    try:
        import torch
    except ModuleNotFoundError:
        raise BadInput(f"{path.name} needs torch to be read: pip install 'exactness[torch]', or save it as .npy") from None
    found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if isinstance(found, dict):
        found = found[chosen(path, [str(name) for name in found], entry)]
    elif entry is not None:
        raise BadInput(f"{path.name} holds one array: leave the entry {entry!r} out")
    if not isinstance(found, torch.Tensor) or found.layout is not torch.strided:
        raise BadInput(f"{path.name} holds a {type(found).__name__}; save a dense tensor, or a dictionary of them")
    # A few bytes can pretend to be a tensor of any size, by repeating the same numbers.
    if found.numel() * found.element_size() > path.stat().st_size:
        raise BadInput(
            f"{path.name} holds a tensor of shape {tuple(found.shape)}, which is larger than the file: save its contiguous()"
        )
    if found.dtype is torch.bfloat16:
        raise BadInput(f"{path.name} holds bfloat16, which numpy does not know; save float32 or float64")
    values: np.ndarray = found.detach().numpy()
    return values


def chosen(path: Path, names: Sequence[str], entry: str | None) -> str:
    """The name of the array to read: ``entry``, else the only one, else ``paths`` or ``tokens``. Raises ``BadInput``."""
    usual = TOKENS if TOKENS in names and "paths" not in names else "paths"
    wanted = entry or (names[0] if len(names) == 1 else usual)
    if wanted not in names:
        raise BadInput(f"{path.name} has no array {wanted!r}: name one of {', '.join(sorted(names)) or 'none'} as the entry")
    return wanted


class Joined:
    """Arrays (n_i, ...), one after the other, that are never in memory together."""

    def __init__(self, parts: Sequence[Array], names: Sequence[str]) -> None:
        self.parts = list(parts)
        kinds = [_kind(part) for part in parts]
        for name, kind in zip(names, kinds, strict=True):
            if kind != kinds[0]:
                raise BadInput(f"{name} holds {kind}, and {names[0]} holds {kinds[0]}: the parts of one sample must be alike")
        self.ends = np.cumsum([int(part.shape[0]) for part in parts])
        self.dtype = parts[0].dtype
        self.shape = (int(self.ends[-1]), *(int(length) for length in parts[0].shape[1:]))

    def rows(self, start: int, stop: int) -> Array:
        """The rows from ``start`` to ``stop`` - 1, of one array or copied from several."""
        found = []
        for part, end in zip(self.parts, self.ends.tolist(), strict=True):
            first = end - int(part.shape[0])
            if first < stop and start < end:
                found.append(part[max(0, start - first) : stop - first])
        return found[0] if len(found) == 1 else namespace(found[0]).concat(found, axis=0) if found else self.parts[0][:0]


def _kind(part: Array) -> str:
    return f"{kind_of(part)} numbers of {part.dtype} of shape (n, {', '.join(str(int(length)) for length in part.shape[1:])})"
