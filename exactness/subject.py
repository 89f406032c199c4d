"""Subjects of certificates: digests of the code and the numbers behind a sampler or a law, where they can be read.

A digest of a source file is that of ``sha256sum``, so that anybody can compare it with the file that they have.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from .arrays import is_array, namespace, to_numpy

# Whatever else refers to more things than this is not followed further, and the certificate says so.
_MOST = 20_000
_MOST_SIZE = 4 << 30
# What is installed with this package is known by its version, in a checkout too.
_OURS = frozenset({"exactness", "exactness_samplers", "exactness_digits"})
_PLAIN = (range, slice, bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a certificate is about.

    Attributes:
        role: whether it belongs to the ``"sampler"`` or the ``"law"``, or is the saved ``"draws"``.
        kind: ``"file"``, a whole source file; ``"source"``, a function that is in no file; ``"numbers"``, arrays such as weights;
            ``"settings"``, all other values; ``"draws"``.
        name: the file, relative to the current folder or to the folder that Python found it in; or the function.
        sha256: its digest, in hexadecimal digits.
    """

    role: Literal["sampler", "law", "draws"]
    kind: Literal["file", "source", "numbers", "settings", "draws"]
    name: str
    sha256: str


def subjects_of(value: object, role: Literal["sampler", "law"]) -> tuple[list[Subject], list[str]]:
    """The subjects that can be read of a sampler or a law, and in words what cannot be read.

    Followed are closures, defaults, attributes, bound objects, partial functions, and the global names that a function of the
    user's own uses. The source of installed packages is not read: the certificate records the versions of those that matter.

    >>> def shifted(by):
    ...     return lambda n, seed: np.random.default_rng(seed).normal(by, 1.0, (n, 1))
    >>> one, again, other = (subjects_of(shifted(by), "sampler")[0] for by in (0.5, 0.5, 0.6))
    >>> one == again, one == other
    (True, False)
    """
    walk = _Walk()
    walk.add(value, "")
    name = _name_of(value)
    found = [Subject(role=role, kind="file", name=label, sha256=digest) for label, digest in sorted(walk.files.items())]
    found += [Subject(role=role, kind="source", name=label, sha256=digest) for label, digest in sorted(walk.sources.items())]
    if walk.arrays:
        found.append(Subject(role=role, kind="numbers", name=name, sha256=walk.numbers.hexdigest()))
    found.append(Subject(role=role, kind="settings", name=name, sha256=walk.settings.hexdigest()))
    return found, [f"{role}: {what}" for what in walk.unread]


def files_as_subjects(files: Sequence[Path]) -> list[Subject]:
    """Files of saved draws, with the digests that ``sha256sum`` gives."""
    return [
        Subject(
            role="draws",
            kind="file",
            name=_label(str(file), os.getcwd()),
            sha256=_digest_of_file(str(file), file.stat().st_mtime_ns),
        )
        for file in files
    ]


def digest_of(contents: Mapping[str, object]) -> str:
    """The SHA-256 of nested dictionaries, lists, numbers and arrays, in the order of their names.

    >>> digest_of({"sums": np.zeros(2)}) == digest_of({"sums": np.zeros(2)}) != digest_of({"sums": np.ones(2)})
    True
    """
    walk = _Walk()
    walk.add(dict(contents), "")
    return hashlib.sha256(walk.settings.digest() + walk.numbers.digest()).hexdigest()


class _Walk:
    """Everything that a value refers to, each thing once, in an order that is the same in every process."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.numbers, self.settings = hashlib.sha256(), hashlib.sha256()
        self.arrays = self.size = 0
        self.unread: list[str] = []
        # Kept alive, so that no address is used twice.
        self._seen: dict[int, tuple[int, object]] = {}

    def add(self, value: Any, place: str) -> None:
        """Take in a value. ``place`` says how it was reached, and is part of the digest."""
        if isinstance(value, (*_PLAIN, np.generic, np.dtype)):
            self._note(place, f"{type(value).__name__} {value!r}")
            return
        if isinstance(value, (types.BuiltinFunctionType, np.ufunc)):
            self._note(place, f"built in {value.__name__}")
            return
        if id(value) in self._seen:
            self._note(place, f"again {self._seen[id(value)][0]}")
            return
        if len(self._seen) >= _MOST:
            if len(self._seen) == _MOST:
                self._seen[0] = (0, None)
                self.unread.append(f"it refers to more than {_MOST:,} things, and only these were read")
            return
        self._seen[id(value)] = (len(self._seen), value)
        try:
            self._read(value, place)
        except Exception as error:  # Properties of other people's classes may raise anything.
            self._cannot(place, value, f"{type(error).__name__}")

    def _read(self, value: Any, place: str) -> None:
        # Only the class is asked, because an instance may answer to every name.
        if any(hasattr(type(value), name) for name in ("__array_namespace__", "__array__")) and is_array(value):
            self._array(value, place)
        elif isinstance(value, functools.partial):
            self._note(place, "partial")
            self._all(place, {"func": value.func, "args": value.args, "keywords": value.keywords})
        elif isinstance(value, types.MethodType):
            self._note(place, f"method {value.__name__}")
            self._all(place, {"self": value.__self__, "func": value.__func__})
        elif isinstance(value, types.FunctionType):
            self._function(value, place)
        elif isinstance(value, type):
            self._note(place, f"class {value.__module__}.{value.__qualname__}")
            if _is_own(value.__module__):
                self._code(value)
        elif isinstance(value, types.ModuleType):
            self._note(place, f"module {value.__name__}")
            if _is_own(value.__name__):
                self._code(value)
        elif isinstance(value, Mapping):
            self._note(place, f"{type(value).__name__} of {len(value)}")
            self._all(place, {repr(k): v for k, v in value.items()})
        elif isinstance(value, (list, tuple)):
            self._note(place, f"{type(value).__name__} of {len(value)}")
            self._all(place, {str(i): v for i, v in enumerate(value)})
        elif isinstance(value, (set, frozenset)):
            self._note(place, f"{type(value).__name__} {sorted(map(repr, value))}")
        elif isinstance(value, np.random.Generator):
            self._note(place, f"generator {value.bit_generator.state!r}")
        else:
            self._object(value, place)

    def _array(self, value: Any, place: str) -> None:
        try:
            array = np.ascontiguousarray(to_numpy(value))
        except TypeError:  # numpy has no bfloat16, but single precision holds it.
            array = np.ascontiguousarray(to_numpy(value.to(namespace(value).float32)))
        self.size += array.nbytes
        self._note(place, f"array {value.dtype} {tuple(value.shape)}")
        if self.size > _MOST_SIZE:
            self._cannot(place, value, f"all arrays together have more than {_MOST_SIZE >> 30} GiB")
            return
        self.arrays += 1
        self.numbers.update(f"{place} {value.dtype} {tuple(value.shape)}\n".encode(errors="backslashreplace"))
        if array.dtype.hasobject:
            self._all(place, {str(i): one for i, one in enumerate(array.ravel().tolist())})
        else:
            self.numbers.update(array.reshape(-1).view(np.uint8).data)

    def _function(self, value: types.FunctionType, place: str) -> None:
        self._note(place, f"function {value.__module__}.{value.__qualname__}")
        free = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
        cells = {}
        for name, cell in free.items():
            try:
                cells[name] = cell.cell_contents
            except ValueError:  # The name is not bound yet.
                self._note(f"{place}.{name}", "empty")
        self._all(place, cells)
        self._all(place, {"defaults": value.__defaults__, "keywords": value.__kwdefaults__})
        if not _is_own(value.__module__):
            return
        self._code(value)
        used = sorted(set(_names(value.__code__)) & value.__globals__.keys())
        self._all(f"{place}.globals", {name: value.__globals__[name] for name in used})

    def _object(self, value: Any, place: str) -> None:
        kind = type(value)
        self._note(place, f"{kind.__module__}.{kind.__qualname__}")
        if _is_own(kind.__module__):
            self._code(kind)
        if callable(getattr(kind, "state_dict", None)) and callable(getattr(kind, "named_modules", None)):
            self._module(value, place)
            return
        if kind.__name__ == "PjitFunction":
            self.add(value.__wrapped__, f"{place}.compiled")
            return
        if "__getstate__" in {name for c in kind.__mro__[:-1] for name in vars(c)}:
            # What an object leaves out when it is pickled is not part of it, such as what it only keeps for speed.
            self.add(value.__getstate__(), f"{place}.pickled")
            return
        computed = {n for c in kind.__mro__ for n, v in vars(c).items() if isinstance(v, functools.cached_property)}
        slots = [s for c in kind.__mro__ for s in _slots(c) if hasattr(value, s)]
        contents = {**{s: getattr(value, s) for s in slots}, **getattr(value, "__dict__", {})}
        if contents:
            # What a cached property keeps follows from the rest, and is there only if somebody asked.
            self._all(place, {name: held for name, held in contents.items() if name not in computed})
        elif kind.__dictoffset__ == 0 and not slots:
            self._cannot(place, value, "it keeps its contents outside of Python")

    def _module(self, value: Any, place: str) -> None:
        """A torch module: its weights and buffers, the classes of its parts, and whether it is in training mode."""
        for name, part in value.named_modules():
            self._note(f"{place}.{name}", f"{type(part).__module__}.{type(part).__qualname__} training {part.training}")
            if _is_own(type(part).__module__):
                self._code(type(part))
        self._all(f"{place}.state", value.state_dict())

    def _all(self, place: str, values: Mapping[str, Any]) -> None:
        for name, value in sorted(values.items()):
            self.add(value, f"{place}.{name}")

    def _code(self, value: Any) -> None:
        """The file in which a function, class or module is defined, or its own source, where it is in no file."""
        try:
            file = inspect.getsourcefile(value)
        except TypeError:
            file = None
        if file is not None and os.path.isfile(file):
            self.files.setdefault(_label(file, os.getcwd()), _digest_of_file(file, os.stat(file).st_mtime_ns))
            return
        name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
        try:
            text = inspect.getsource(value).encode(errors="backslashreplace")
        except (OSError, TypeError):
            code = getattr(value, "__code__", None)
            if code is None:
                self.unread.append(f"{name}: its source is not there")
                return
            text = repr((code.co_code, code.co_names, [c for c in code.co_consts if isinstance(c, _PLAIN)])).encode()
        self.sources[name] = hashlib.sha256(text).hexdigest()

    def _note(self, place: str, what: str) -> None:
        self.settings.update(f"{place} {what}\n".encode(errors="backslashreplace"))

    def _cannot(self, place: str, value: object, why: str) -> None:
        if len(self.unread) < 10:
            self.unread.append(f"{place.lstrip('.') or 'the whole'} ({type(value).__name__}): {why}")


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return tuple(s for s in ((slots,) if isinstance(slots, str) else tuple(slots)) if not s.startswith("__"))


def _name_of(value: object) -> str:
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', type(value).__qualname__)}"


@functools.lru_cache(maxsize=1024)
def _is_own(module: str | None) -> bool:
    """Whether a module is part of the user's project, and neither of Python nor of an installed package."""
    if (module or "").partition(".")[0] in _OURS:
        return False
    found = sys.modules.get(module or "")
    file = getattr(found, "__file__", None)
    if found is None or file is None:
        # A notebook, an interactive session, or a module that was made by hand; but not one that is built in.
        return (module or "").partition(".")[0] not in sys.builtin_module_names and module != "builtins"
    parts = Path(file).parts
    return not (
        {"site-packages", "dist-packages"} & set(parts) or any(Path(file).is_relative_to(folder) for folder in _installed())
    )


@functools.cache
def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], site.getusersitepackages()})


@functools.lru_cache(maxsize=4096)
def _digest_of_file(file: str, changed: int) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@functools.lru_cache(maxsize=4096)
def _label(file: str, here: str) -> str:
    """A name for a file that says nothing about the machine: relative to ``here``, or to where Python looks for modules."""
    path = Path(file).resolve()
    for folder in (Path(here), *(Path(entry) for entry in sys.path if entry)):
        if path.is_relative_to(folder.resolve()):
            return path.relative_to(folder.resolve()).as_posix()
    return path.name
