"""Reads files that a stranger may have written. Whatever is in them, the outcome is a value or one clear ``BadInput``."""

from __future__ import annotations

import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from .errors import BadInput

T = TypeVar("T")

MOST_JSON = 64 << 20
"""The largest JSON file that is read, in bytes. A certificate holds some tens of kilobytes."""

MOST_AXES = 64
"""The largest number of axes of an array, which is numpy's own limit."""

# Where the machine does not say how much memory it has, this much is assumed.
_USUAL_MEMORY = 8 << 30

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""A number of things, in a file. Larger ones are not exact in double precision."""


@contextmanager
def reading(name: str, remedy: str = "") -> Iterator[None]:
    """Turn every exception into one ``BadInput`` that names the file.

    A parser may fail in any way on what a stranger wrote: it may run out of stack, memory or digits as well as raise a
    ``ValueError``. The original exception is kept as the cause.

    >>> with reading("a.json"):
    ...     [].pop()
    Traceback (most recent call last):
    exactness.errors.BadInput: a.json cannot be read: pop from empty list
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What is wrong is said once, by the exception.
            yield
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror or error}") from error
    except RecursionError as error:
        raise BadInput(f"{name} cannot be read: it is nested too deeply{remedy}") from error
    except MemoryError as error:
        raise BadInput(f"{name} cannot be read: it asks for more memory than there is{remedy}") from error
    except Exception as error:
        raise BadInput(f"{name} cannot be read: {str(error) or type(error).__name__}{remedy}") from error


def read_json(path: str | os.PathLike[str], kind: type[T], what: str) -> T:
    """The value of a JSON file, of this ``kind``. Raises ``BadInput``, which says that it is not ``what`` it should be."""
    return parse_json(read_text(path, what), kind, str(path), what)


def read_text(path: str | os.PathLike[str], what: str) -> bytes:
    """The contents of a file of at most :data:`MOST_JSON` bytes. Raises ``BadInput``."""
    with reading(str(path)), Path(path).open("rb") as stream:
        data = stream.read(MOST_JSON + 1)
    if len(data) > MOST_JSON:
        raise BadInput(f"{path} is not {what}: it has more than {MOST_JSON >> 20} MiB")
    return data


def parse_json(data: bytes, kind: type[T], name: str, what: str) -> T:
    """The value of JSON text, of this ``kind``. ``name`` is the file. Raises ``BadInput``."""
    with reading(name):
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadInput(f"{name} is not {what}: {error}") from None
    raise AssertionError("reading() swallows nothing")


def check_room(name: str, size: int, remedy: str) -> None:
    """Raise ``BadInput`` if ``size`` bytes are more than half of the machine's memory.

    >>> check_room("a.npz", 1 << 60, "save it as .npy")
    Traceback (most recent call last):
    exactness.errors.BadInput: a.npz needs 1,073,741,824.0 GiB of memory, and this machine has not twice as much: save it as .npy
    """
    if size > _memory() // 2:
        raise BadInput(f"{name} needs {size / (1 << 30):,.1f} GiB of memory, and this machine has not twice as much: {remedy}")


def check_shape(name: str, shape: Sequence[int], itemsize: int) -> int:
    """The size in bytes of an array that a file's header describes. Raises ``BadInput`` if there is no such array."""
    if len(shape) > MOST_AXES:
        raise BadInput(f"{name} is damaged: its header describes {len(shape)} axes, and numpy has at most {MOST_AXES}")
    size = itemsize
    for length in shape:
        if length < 0:
            raise BadInput(f"{name} is damaged or cut short: its header describes an array of shape {tuple(shape)}; save it again")
        size *= length
        if size >= 1 << 63:
            raise BadInput(f"{name} is damaged or cut short: its header describes an array of more than 2^63 bytes; save it again")
    return size


def unpacked(archive: zipfile.ZipFile, member: str, name: str) -> np.ndarray:
    """An array of a ``.npz`` file. Its size is checked before anything is unpacked: a small file may claim to hold terabytes.

    Raises ``BadInput`` if it needs too much memory, if its header and its size disagree, or if it is pickled.
    """
    info = archive.getinfo(member)
    check_room(name, info.file_size, "save the array as .npy, which is mapped")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        header: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(stream)
        if check_shape(name, shape, dtype.itemsize) != info.file_size - stream.tell() and not dtype.hasobject:
            raise BadInput(f"{name} is damaged: its header and its size disagree; save it again")
    with archive.open(info) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _USUAL_MEMORY
