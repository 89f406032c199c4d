"""Saved draws, made by any program in any language, in place of a sampler."""

from __future__ import annotations

import hashlib
import math
import os
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from .arrays import Array, is_array, namespace, to_numpy
from .errors import BadInput
from .laws.base import Law
from .plan import Plan
from .readers import TOKENS, Joined, chosen, csv, files_of, pt
from .strangers import MOST_JSON, check_room, check_shape, reading, unpacked

# This many numbers are hashed at a time.
_PIECE = 1 << 22
# This many numbers of a draw show how often rounding makes two draws equal.
_LOOKED_AT = 8
# Two numbers of a draw may depend on each other. Rounding may then make both equal this much more often.
_DEPENDENT = 100.0
# What safetensors files call the dtypes that numpy has.
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?",
}  # fmt: skip

BESIDE_TOKENS = ("lengths", "rounds", "drafts", "prompts")
"""What may stand next to tokens in a file."""

Source = Array | str | os.PathLike[str]


class SavedPaths:
    """Saved draws (n, ...), as an array or in a file. They are the ``sample`` of a claim whose sampler is not available.

    Saved draws cannot be drawn again. All of them are judged, in one look, and nothing is claimed about seeds: the certificate's
    ``reproducible`` is None, and its ``probe`` is the SHA-256 of all draws. The number of draws is the budget. If it is too small,
    the verdict is ``INCONCLUSIVE``.

    Args:
        source: an array, the name of a file, or the name of a folder of files whose names differ in one number. Or a list of these,
            which are one sample, in this order. ``.npy``, ``.safetensors`` and ``.pt`` files are mapped, so memory stays constant;
            ``.npz`` and ``.csv`` files are read whole.
        entry: the name of the array in an ``.npz``, ``.safetensors`` or ``.pt`` file. The default is the only one, ``"paths"`` or
            ``"tokens"``. Next to the ``tokens`` of an ``.npz`` file, the arrays ``lengths``, ``rounds``, ``drafts`` and ``prompts``
            are used if they are there; see :class:`exactness.TokenDraws`.
        chains: whether each array has the axes (chain, draw, ...). The chains are then judged one after the other.

    Raises:
        BadInput: if a file is missing, unreadable, pickled or empty, or holds no real numbers; if the arrays differ in shape or
            dtype; if a file is named twice; or if the files of a folder are not one series.

    >>> saved = SavedPaths(np.random.default_rng(0).standard_normal((100, 3)))
    >>> saved.count, saved.copies
    (100, 0)
    """

    def __init__(self, source: Source | Sequence[Source], *, entry: str | None = None, chains: bool = False) -> None:
        sources = list(source) if isinstance(source, (list, tuple)) else [source]
        if not sources or not all(is_array(one) or isinstance(one, (str, os.PathLike)) for one in sources):
            wrong = next((type(one).__name__ for one in sources if not is_array(one)), "an empty list")
            raise BadInput(f"saved paths must be an array or the name of a file or folder, or a list of these; got {wrong}")
        named = [one for one in sources if isinstance(one, (str, os.PathLike))]
        if len(named) not in (0, len(sources)):
            raise BadInput("saved paths must be all arrays or all files: save the arrays, or load the files")
        self.files = files = files_of(named)
        self.parts: list[tuple[str, int]] = []
        """The name of each part, in their order, and its number of draws."""
        self.name, self.chains, values = self._read_parts(sources, files, entry, chains)
        if named and Path(named[0]).is_dir() and len(named) == 1:
            self.name = Path(named[0]).resolve().name
        labels = [name for name, _ in self.parts]
        self.values = Joined(values, labels)
        self.shape = self.values.shape
        self.more = {name: Joined(parts, labels) for name, parts in _companions(files, entry, chains, self.parts).items()}
        """What else is known of each draw, by name; its law puts them together."""

    def _read_parts(
        self, sources: Sequence[Any], files: Sequence[Path], entry: str | None, chains: bool
    ) -> tuple[str, tuple[int, ...], list[Array]]:
        """The name of the sample, the numbers of draws that belong together, and the arrays (n_i, ...)."""
        arrays = [_read(file, entry) for file in files] or list(sources)
        numbered = [f"array {i}" for i in range(1, len(arrays) + 1)] if len(arrays) > 1 else ["saved paths"]
        names = [file.name for file in files] or numbered
        calls: list[int] = []
        values = []
        for name, array in zip(names, arrays, strict=True):
            shape = tuple(int(s) for s in array.shape)
            if len(shape) < 1 + chains or not math.prod(shape):
                raise BadInput(
                    f"{name} holds an array of shape {shape}; draws are rows, (n,), (n, d) or (n, K + 1, d), one or more"
                    + (", and with chains (chains, n), (chains, n, d) or (chains, n, K + 1, d)" if chains else "")
                )
            # Which of these a law can judge, the law says.
            if not _is_numeric(array):
                raise BadInput(f"{name} holds {array.dtype}; save real numbers, floats or integers")
            calls += [shape[1]] * shape[0] if chains else [shape[0]]
            rows = array.reshape((shape[0] * shape[1], *shape[2:])) if chains else array
            # A vector of n numbers is n draws of one number.
            values.append(rows if len(rows.shape) > 1 else rows[:, None])
            self.parts.append((name, int(values[-1].shape[0])))
        more = len(names) - 1
        return (names[0] + (f" and {more} more" if more else "") if files else "saved paths"), tuple(calls), values

    def __call__(self, n: int, seed: int) -> Array:
        """The first n draws, whatever the seed. ``certify`` uses ``draws`` instead and takes each row once."""
        return self.rows(0, n)

    @property
    def count(self) -> int:
        """The number n of draws."""
        return self.shape[0]

    def rows(self, start: int, stop: int) -> Array:
        """The draws from ``start`` to ``stop`` - 1, in memory."""
        part = self.values.rows(start, stop)
        if not isinstance(part, np.ndarray):
            return part
        # A copy: aligned, contiguous, in this machine's byte order.
        return np.array(part, dtype=part.dtype.newbyteorder("="), order="C")

    def draws(self, start: int, stop: int, law: Law) -> object:
        """The draws from ``start`` to ``stop`` - 1 as a sampler of this law returns them."""
        return law.of_saved(self.rows(start, stop), {name: part.rows(start, stop) for name, part in self.more.items()}, start)

    def calls(self, start: int, stop: int) -> tuple[int, ...]:
        """How many of the draws from ``start`` to ``stop`` - 1 each file, array or chain holds, in their order."""
        ends = np.cumsum(self.chains)
        inside = [start, *(int(end) for end in ends if start < end < stop), stop]
        return tuple(int(length) for length in np.diff(inside))

    @property
    def digest(self) -> str:
        """The SHA-256 of all draws."""
        return self._read_through[0]

    @property
    def copies(self) -> int:
        """The number of draws that equal an earlier one, bit by bit."""
        return self._read_through[1]

    @cached_property
    def more_copies_than_chance(self) -> bool:
        """Whether there are more copies than rounding explains for a continuous law. This is a birthday problem with a wide margin.

        If a draw is one number, it has as many values as single (23 bits) or double precision can tell apart, and fewer if it is
        large compared with its spread. If a draw has several numbers, the effect of rounding is read off the draws themselves,
        without the copies: two numbers of a draw are both equal about as often as the product of their single rates.
        """
        if not self.copies:
            return False
        numbers, pairs = self._distinct_numbers(), 0.5 * self.count**2
        if math.prod(self.shape[1:]) == 1:
            (column,) = numbers.T
            low, middle, high = np.quantile(column, [0.25, 0.5, 0.75])
            single = bool(np.all(column == column.astype(np.float32)))
            coarse = max(1.0, abs(middle) / (high - low)) if high > low else math.inf
            chance, spare = 2.0 * pairs * coarse * 2.0 ** -(23 if single else 52), 2.0 if single else 0.0
        else:
            # How often two draws agree in a number, for the two numbers that agree least.
            agree = (np.unique(column, return_counts=True)[1] for column in numbers.T)
            rates = sorted(float((c * (c - 1.0)).sum()) / max(1.0, len(numbers) * (len(numbers) - 1.0)) for c in agree)
            chance, spare = _DEPENDENT * pairs * rates[0] * rates[1], 0.0
        return self.copies > chance + 6.0 * math.sqrt(chance) + spare

    def _distinct_numbers(self) -> np.ndarray:
        """At most 8 numbers of every draw that is not a copy, (m, 8), in double precision."""
        width = math.prod(self.shape[1:])
        chosen, step = np.unique(np.linspace(0, width - 1, min(width, _LOOKED_AT)).astype(int)), max(1, _PIECE // width)
        # The indices are sorted, so those within a piece are found by bisection.
        firsts = np.sort(self._read_through[2])
        parts = []
        for start in range(0, self.count, step):
            part = to_numpy(self.rows(start, start + step))
            here = firsts[np.searchsorted(firsts, start) : np.searchsorted(firsts, start + len(part))] - start
            parts.append(part.reshape(len(part), -1)[np.ix_(here, chosen)].astype(np.float64))
        return np.concatenate(parts)

    @cached_property
    def _read_through(self) -> tuple[str, int, np.ndarray]:
        """The digest, the number of copies, and the index of the first of each set of equal draws.

        It takes a few words of memory per draw.
        """
        found, step = hashlib.sha256(), max(1, _PIECE // math.prod(self.shape[1:]))
        check_room(self.name, 8 * self.count, "judge fewer draws, in a file of their own")
        keys = np.empty(self.count, dtype=np.int64)
        for start in range(0, self.count, step):
            part = np.ascontiguousarray(to_numpy(self.rows(start, start + step)))
            found.update(part.tobytes())
            keys[start : start + step] = [hash(row.tobytes()) for row in part]
        for name, more in sorted(self.more.items()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(to_numpy(more.rows(0, self.count))).tobytes())
        firsts = np.unique(keys, return_index=True)[1]
        return found.hexdigest(), self.count - len(firsts), firsts

    def plan_for(self, law: Law, plan: Plan) -> Plan:
        """The plan that looks once at all draws, at most ``max_paths``. Raises ``BadInput`` if their shape is not the law's."""
        if self.shape[1:] != law.event_shape:
            needs = ", ".join(str(s) for s in law.event_shape)
            chained = self.shape[2:] == law.event_shape
            raise BadInput(
                f"{self.name} holds an array of shape {self.shape}; this law needs (n, {needs})"
                + (
                    law.hint(self.shape)
                    or (": paths in running order, x_K first, images flattened" if len(law.event_shape) == 2 else "")
                )
                + ("; if its axes are (chain, draw, ...), say so with chains=True or --chains" if chained else "")
            )
        kind = getattr(self.values.dtype, "name", str(self.values.dtype).removeprefix("torch."))
        if refusal := law.refuses(kind):
            raise BadInput(f"{self.name} holds {kind}; save {refusal}")
        looked = min(self.count, plan.max_paths)
        return msgspec.structs.replace(plan, first_paths=looked, max_paths=looked, seed_must_count=False)

    def describe(self) -> dict[str, object]:
        """The facts that identify the draws in a certificate. Several files and chains are listed in their order."""
        found: dict[str, object] = {"name": self.name, "count": self.count, "sha256": self.digest}
        if len(self.parts) > 1:
            found["files"] = [{"name": name, "count": count} for name, count in self.parts]
        if len(self.chains) > len(self.parts):
            found["chains"] = len(self.chains)
        return found

    def caveat(self, plan: Plan) -> str:
        """A sentence for readers of a verdict on saved draws: how many were judged, and what is not known."""
        part = "" if plan.max_paths == self.count else f"the first {plan.max_paths:,} of "
        copies = f"; {self.copies:,} of them are copies of others, bit by bit" if self.copies else ""
        pieces = f" in {len(self.parts)} parts" if len(self.parts) > 1 else ""
        pieces += f" of {len(self.chains)} chains" if len(self.chains) > len(self.parts) else ""
        return (
            f"judged on {part}{self.count:,} saved paths{pieces} ({self.name}){copies}: it is not known whether their sampler "
            "repeats, and more evidence takes more saved paths"
        )


def _read(path: Path, entry: str | None) -> np.ndarray:
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    readers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".csv": csv, ".pt": pt}
    if path.suffix not in readers:
        raise BadInput(f"{path.name}: paths are read from {', '.join(readers)} files")
    if path.suffix in (".npy", ".csv") and entry is not None:
        raise BadInput(f"{path.name} holds one array: leave the entry {entry!r} out")
    with reading(path.name, " (arrays of numbers only, nothing pickled)"):
        return readers[path.suffix](path, entry)
    raise AssertionError("reading() swallows nothing")


def _npy(path: Path, entry: str | None) -> np.ndarray:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path, entry: str | None) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        return unpacked(archive, members[chosen(path, list(members), entry)], path.name)


def _companions(
    files: Sequence[Path], entry: str | None, chains: bool, parts: Sequence[tuple[str, int]]
) -> dict[str, list[np.ndarray]]:
    """The arrays that stand next to the tokens of each file, with as many rows."""
    found: list[dict[str, np.ndarray]] = []
    for file, (_, count) in zip(files, parts, strict=True) if files else ():
        here: dict[str, np.ndarray] = {}
        if file.suffix == ".npz":
            with reading(file.name), zipfile.ZipFile(file) as archive:
                names = {name.removesuffix(".npy") for name in archive.namelist()}
            if chosen(file, sorted(names), entry) == TOKENS:
                here = {name: _read(file, name) for name in BESIDE_TOKENS if name in names}
        for name, array in here.items():
            rows = array.reshape((-1, *array.shape[2:])) if chains and array.ndim > 1 else array
            if array.dtype.kind not in "iu" or rows.shape[:1] != (count,):
                raise BadInput(
                    f"{file.name}: {name} holds {array.dtype} of shape {array.shape}; it must hold integers, with one row for each "
                    f"of the {count} rows of tokens"
                )
            here[name] = rows
        found.append(here)
    if any(here.keys() != found[0].keys() for here in found):
        raise BadInput(
            f"the files of tokens must hold the same arrays next to them, but {files[0].name} has "
            f"{', '.join(found[0]) or 'none'} and another has others"
        )
    return {name: [here[name] for here in found] for name in (found[0] if found else ())}


class _Tensor(msgspec.Struct):
    """An entry of the header. Offsets are in bytes and count from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _safetensors(path: Path, entry: str | None) -> np.ndarray:
    """Map an array. The file has eight bytes of length, a JSON header, then the arrays (github.com/huggingface/safetensors)."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(path.stat().st_size, MOST_JSON):
            raise BadInput(f"{path.name} is not a safetensors file, or is cut short")
        header = msgspec.json.decode(stream.read(length), type=dict[str, msgspec.Raw])
    header.pop("__metadata__", None)
    tensor = msgspec.json.decode(header[chosen(path, list(header), entry)], type=_Tensor)
    if tensor.dtype not in _DTYPES:
        raise BadInput(f"{path.name} holds {tensor.dtype}, which numpy does not know; save one of {', '.join(_DTYPES)}")
    dtype = np.dtype(_DTYPES[tensor.dtype])
    needed = check_shape(path.name, tensor.shape, dtype.itemsize)
    if not needed:
        raise BadInput(f"{path.name} holds an array of shape {tensor.shape}, which is empty")
    first, last = tensor.data_offsets
    size = path.stat().st_size - 8 - length
    if not 0 <= first <= last <= size or last - first != needed:
        raise BadInput(
            f"{path.name} is damaged or cut short: its header says {tensor.dtype} of shape {tensor.shape} in bytes {first} to "
            f"{last}, {needed} bytes, of the {size} that follow it; save it again"
        )
    return np.memmap(path, dtype, "r", offset=8 + length + first, shape=tensor.shape)


def _is_numeric(values: Array) -> bool:
    """Whether an array holds real numbers or truth values."""
    return namespace(values).isdtype(values.dtype, ("bool", "integral", "real floating"))
