"""Finds claims by name: members of the catalogue, a user's ``file.py:claim``, or saved draws with a law from a file.

A *source* is the text that a certificate records. The claim can be made again from it.
"""

from __future__ import annotations

import importlib.util
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
            file, _, attribute = name.partition(":")
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
        return _loaded(source, file.stat().st_mtime_ns if file.is_file() else 0)
    (entry,) = find([source])
    return [entry.build(setting)]


@lru_cache(maxsize=64)
def _loaded(source: str, changed: int) -> list[Claim]:
    """The claims of a file. A process that judges many of them runs the file only once, until it has ``changed``."""
    return load_claims(source)


def is_file_claim(name: str) -> bool:
    """Whether a name means a claim in a Python file."""
    return ".py" in name


def load_claims(target: str) -> list[Claim]:
    """The claim or list of claims called ``claim`` in ``file.py:claim``. ``file.py`` alone means ``file.py:claim``.

    Raises ``BadInput`` if the file is missing or cannot be run, or if the name is not a claim.
    """
    variables, attribute = _variables(target, "claim")
    found = variables.get(attribute)
    if isinstance(found, Claim):
        return [found]
    if isinstance(found, (list, tuple)) and found and all(isinstance(c, Claim) for c in found):
        return list(found)
    raise _lacks(target, attribute, "claim", variables, Claim, "exactness.Claim(name=..., sample=..., law=...)")


def load_law(target: str) -> Law:
    """The law called ``law`` in ``file.py:law``. ``file.py`` alone means ``file.py:law``. Raises like :func:`load_claims`."""
    variables, attribute = _variables(target, "law")
    found = variables.get(attribute)
    if isinstance(found, Law):
        return found
    raise _lacks(target, attribute, "law", variables, Law, "exactness.GaussianChain(...), for example")


def saved_source(paths: str, law: str, entry: str | None) -> str:
    """The source that a certificate of saved draws records: the options of the command that judges them again."""
    return shlex.join(["--paths", paths, "--law", law, *(["--entry", entry] if entry else [])])


def is_saved_source(source: str) -> bool:
    """Whether a text is one of :func:`saved_source`."""
    return bool(_saved_words(source))


def words_of(source: str) -> list[str]:
    """The arguments of ``exactness certify`` that judge this source again: one name, or the options for saved draws."""
    return _saved_words(source) or [source]


def file_of(source: str) -> str | None:
    """The file that makes the claim. For saved draws, it is the file of their law; for a name of the catalogue, it is None."""
    words = _saved_words(source)
    target = words[3] if words else source
    return (target.rpartition(":")[0] or target) if words or is_file_claim(target) else None


def load_saved(source: str) -> Claim:
    """The claim that a :func:`saved_source` describes. Its name is the name of the file. Raises ``BadInput``."""
    _, paths, _, law, *rest = _saved_words(source)
    saved = SavedPaths(paths, entry=rest[1] if rest else None)
    return Claim(saved.name, saved, load_law(law), plan=Plan(max_paths=saved.count))


def _saved_words(source: str) -> list[str]:
    """The words of a :func:`saved_source`. The list is empty for any other text."""
    try:
        words = shlex.split(source)
    except ValueError:  # A quotation mark is not closed.
        return []
    options = ["--paths", "--law", "--entry"][: len(words) // 2]
    return words if len(words) in (4, 6) and words[::2] == options else []


def _variables(target: str, default: str) -> tuple[dict[str, object], str]:
    """The variables of the file in ``file.py:name`` after it has run, and the name."""
    file, _, attribute = target.partition(":")
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
    return BadInput(f"{target.partition(':')[0]} has no {what} called {attribute!r}{hint}")
