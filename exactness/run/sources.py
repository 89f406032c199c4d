"""Finds claims by name: members of the catalogue, a user's ``file.py:claim``, or saved draws with a law from a file.

A *source* is the text that a certificate records. The claim can be made again from it.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..catalogue import Entry, Setting, entries, find
from ..claim import Claim
from ..errors import BadInput
from ..laws.base import Law
from ..plan import Plan
from ..saved import SavedPaths


@dataclass(frozen=True)
class Item:
    """One claim to judge, as the user asked for it.

    ``wrong`` says whether it must be refuted. For a claim of the catalogue, ``group`` is its law, whose controls are judged before
    it. For a user's claim, ``group`` is None.
    """

    source: str
    name: str
    wrong: bool
    group: str | None = None


def items_of(names: Sequence[str]) -> list[Item]:
    """The claims for names and shell patterns of the catalogue, ``file.py:claim``, and texts of :func:`saved_source`."""
    found = []
    for name in names:
        if is_saved_source(name) or is_file_claim(name):
            file, attribute = split_target(name)
            source = name if is_saved_source(name) else f"{file}:{attribute or 'claim'}"
            found += [Item(source, claim.name, claim.wrong is not None) for claim in claims_of(source, Setting())]
    patterns = [name for name in names if not (is_saved_source(name) or is_file_claim(name))]
    return found + [item_of(entry) for entry in (find(patterns) if patterns else [])]


def item_of(entry: Entry) -> Item:
    """A member of the catalogue, as an item."""
    return Item(entry.name, entry.name, entry.kind == "control", entry.problem)


def controls_of(groups: set[str]) -> list[Item]:
    """The controls of the laws of the catalogue with these names."""
    return [item_of(entry) for entry in entries() if entry.kind == "control" and entry.problem in groups]


def claims_of(source: str, setting: Setting) -> list[Claim]:
    """The claims that a source describes. Raises ``BadInput`` if they cannot be made here."""
    if is_saved_source(source):
        return [load_saved(source)]
    if is_file_claim(source):
        file = Path(file_of(source) or source)
        found, folder = _loaded(source, file.stat().st_mtime_ns if file.is_file() else 0)
        os.chdir(folder)
        return found
    (entry,) = find([source])
    return [entry.build(setting)]


@lru_cache(maxsize=64)
def _loaded(source: str, changed: int) -> tuple[list[Claim], str]:
    """The claims of a file, and the folder in which it leaves the process: its samplers may read files from there.

    A process that judges many of them runs the file only once, until it has ``changed``.
    """
    return load_claims(source), os.getcwd()


def is_file_claim(name: str) -> bool:
    """Whether a name means a claim in a Python file."""
    return ".py" in name


def split_target(target: str) -> tuple[str, str]:
    """The file and the name in ``file.py:name``. The name is empty if it is left out. Folders and drives may hold colons.

    >>> split_target("claims.py:mine"), split_target("a:b/claims.py"), split_target(r"C:\\work\\claims.py:mine")
    (('claims.py', 'mine'), ('a:b/claims.py', ''), ('C:\\\\work\\\\claims.py', 'mine'))
    """
    file, colon, name = target.rpartition(":")
    return (file, name) if colon and not target.endswith(".py") and not set("/\\") & set(name) else (target, "")


def load_claims(target: str) -> list[Claim]:
    """The claim or list of claims called ``claim`` in ``file.py:claim``. ``file.py`` alone means ``file.py:claim``.

    Raises ``BadInput`` if the file is missing or cannot be run, if the name is not a claim, or if two claims share a name.
    """
    variables, attribute = _variables(target, "claim")
    found = variables.get(attribute)
    if isinstance(found, Claim):
        return [found]
    if isinstance(found, (list, tuple)) and found and all(isinstance(c, Claim) for c in found):
        different = list({id(c): c for c in found}.values())
        names = [c.name for c in different]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise BadInput(f"{target} has two claims called {twice[0]!r}, of which one would be lost: give each a different name")
        return different
    raise _lacks(target, attribute, "claim", variables, Claim, "exactness.Claim(name=..., sample=..., law=...)")


def load_law(target: str) -> Law:
    """The law called ``law`` in ``file.py:law``. ``file.py`` alone means ``file.py:law``. Raises like :func:`load_claims`."""
    variables, attribute = _variables(target, "law")
    found = variables.get(attribute)
    if isinstance(found, Law):
        return found
    raise _lacks(target, attribute, "law", variables, Law, "exactness.GaussianChain(...), for example")


_LONGEST_NAME = 120


def saved_source(paths: Sequence[str], law: str, entry: str | None = None, chains: bool = False) -> str:
    """The source that a certificate of saved draws records: the options of the command that judges them again.

    >>> saved_source(["a.npy", "b.npy"], "file.py:law")
    '--paths a.npy --paths b.npy --law file.py:law'
    """
    words = [word for path in paths for word in ("--paths", path)]
    return shlex.join([*words, "--law", law, *(["--entry", entry] if entry else []), *(["--chains"] * chains)])


def is_saved_source(source: str) -> bool:
    """Whether a text is one of :func:`saved_source`."""
    return _saved(source) is not None


def words_of(source: str) -> list[str]:
    """The arguments of ``exactness certify`` that judge this source again: one name, or the options for saved draws."""
    return shlex.split(source) if is_saved_source(source) else [source]


def file_of(source: str) -> str | None:
    """The file that makes the claim. For saved draws, it is the file of their law; for a name of the catalogue, it is None."""
    saved = _saved(source)
    target = source if saved is None else saved.law
    return split_target(target)[0] if saved is not None or is_file_claim(target) else None


def load_saved(source: str) -> Claim:
    """The claim that a :func:`saved_source` describes. Its name is that of the files. Raises ``BadInput``."""
    found = _saved(source)
    assert found is not None
    law = load_law(found.law)
    saved = SavedPaths(list(found.paths), entry=found.entry, chains=found.chains)
    plan = Plan(max_paths=saved.count)
    saved.plan_for(law, plan)  # Whether the law can judge them is known before anything is judged.
    return Claim(saved.name[:_LONGEST_NAME], saved, law, plan=plan)


@dataclass(frozen=True)
class _Saved:
    """The contents of a :func:`saved_source`."""

    paths: tuple[str, ...]
    law: str
    entry: str | None
    chains: bool


def _saved(source: str) -> _Saved | None:
    """What a :func:`saved_source` says. None for any other text."""
    try:
        words = shlex.split(source)
    except ValueError:  # A quotation mark is not closed.
        return None
    if not words or words[0] != "--paths":
        return None
    chains = words[-1] == "--chains"
    words = words[: len(words) - chains]
    pairs = list(zip(words[::2], words[1::2], strict=False))
    paths = tuple(value for option, value in pairs if option == "--paths")
    law = dict(pairs).get("--law")
    entry = dict(pairs).get("--entry")
    if law is None or shlex.split(saved_source(paths, law, entry, chains)) != shlex.split(source):
        return None
    return _Saved(paths, law, entry, chains)


def _variables(target: str, default: str) -> tuple[dict[str, object], str]:
    """The variables of the file in ``file.py:name`` after it has run, and the name."""
    file, attribute = split_target(target)
    path = Path(file)
    if not path.is_file():
        raise BadInput(f"there is no file {file}; check its path")
    spec = importlib.util.spec_from_file_location(f"_exactness_claim_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{file} is not a Python file: name it as file.py:name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # The file may import modules in its own folder.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:  # The user's file may raise an exception or exit. That must not become our exit code.
        raise BadInput(f"{file} could not be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return vars(module), attribute or default


def _lacks(target: str, attribute: str, what: str, variables: dict[str, object], kind: type, recipe: str) -> BadInput:
    names = [name for name, value in variables.items() if isinstance(value, kind)]
    hint = f"; it has {', '.join(names)}" if names else f"; make one with {recipe}"
    return BadInput(f"{split_target(target)[0]} has no {what} called {attribute!r}{hint}")
