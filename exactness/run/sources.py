"""What to judge, by name: a member of the catalogue, ``file.py:claim`` of a user, or saved draws and the law of a file.

A *source* is the text that a certificate records, from which its claim can be made again anywhere.
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
    """One claim to judge, as it was asked for.

    ``group`` is the law of a claim of the catalogue, whose controls are judged before it; a user's claim has none. ``wrong`` says
    whether it must be refuted.
    """

    source: str
    name: str
    wrong: bool
    group: str | None = None


def items_of(names: Sequence[str]) -> list[Item]:
    """The claims of names and shell patterns of the catalogue, of ``file.py:claim``, and of :func:`saved_source` texts."""
    found = []
    for name in names:
        if is_saved_source(name) or is_file_claim(name):
            file, _, attribute = name.partition(":")
            source = name if is_saved_source(name) else f"{file}:{attribute or 'claim'}"
            found += [Item(source, claim.name, claim.wrong is not None) for claim in claims_of(source, Setting())]
    patterns = [name for name in names if not (is_saved_source(name) or is_file_claim(name))]
    return found + [item_of(entry) for entry in (find(patterns) if patterns else [])]


def item_of(entry: Entry) -> Item:
    """A member of the catalogue as a claim to judge."""
    return Item(entry.name, entry.name, entry.kind == "control", entry.problem)


def controls_of(groups: set[str]) -> list[Item]:
    """The controls of these laws of the catalogue."""
    return [item_of(entry) for entry in entries() if entry.kind == "control" and entry.problem in groups]


def claims_of(source: str, setting: Setting) -> list[Claim]:
    """The claims that a source stands for. Raises ``BadInput`` if they cannot be made here."""
    if is_saved_source(source):
        return [load_saved(source)]
    if is_file_claim(source):
        file = Path(file_of(source) or source)
        return _loaded(source, file.stat().st_mtime_ns if file.is_file() else 0)
    (entry,) = find([source])
    return [entry.build(setting)]


@lru_cache(maxsize=64)
def _loaded(source: str, changed: int) -> list[Claim]:
    """A process that judges many claims of a file runs the file once, until it has ``changed``."""
    return load_claims(source)


def is_file_claim(name: str) -> bool:
    return ".py" in name


def load_claims(target: str) -> list[Claim]:
    """The claim, or list of claims, called ``claim`` in ``file.py:claim``; ``file.py`` alone means ``file.py:claim``.

    Raises ``BadInput`` for a file that is missing or fails to run, and for a name that is not a claim.
    """
    variables, attribute = _variables(target, "claim")
    found = variables.get(attribute)
    if isinstance(found, Claim):
        return [found]
    if isinstance(found, (list, tuple)) and found and all(isinstance(c, Claim) for c in found):
        return list(found)
    raise _lacks(target, attribute, "claim", variables, Claim, "exactness.Claim(name=..., sample=..., law=...)")


def load_law(target: str) -> Law:
    """The law called ``law`` in ``file.py:law``; ``file.py`` alone means ``file.py:law``. Raises ``BadInput`` as above."""
    variables, attribute = _variables(target, "law")
    found = variables.get(attribute)
    if isinstance(found, Law):
        return found
    raise _lacks(target, attribute, "law", variables, Law, "exactness.GaussianChain(...), for one")


def saved_source(paths: str, law: str, entry: str | None) -> str:
    """What a certificate of saved paths records as its source: the options that judge them again."""
    return shlex.join(["--paths", paths, "--law", law, *(["--entry", entry] if entry else [])])


def is_saved_source(source: str) -> bool:
    return bool(_saved_words(source))


def words_of(source: str) -> list[str]:
    """The arguments of ``exactness certify`` that judge this source again: one, or the options of saved paths."""
    return _saved_words(source) or [source]


def file_of(source: str) -> str | None:
    """The file that makes the claim, of saved paths the one of their law; None for a name of the catalogue."""
    words = _saved_words(source)
    target = words[3] if words else source
    return (target.rpartition(":")[0] or target) if words or is_file_claim(target) else None


def load_saved(source: str) -> Claim:
    """The claim that a :func:`saved_source` stands for; its name is the file's. Raises ``BadInput``."""
    _, paths, _, law, *rest = _saved_words(source)
    saved = SavedPaths(paths, entry=rest[1] if rest else None)
    return Claim(saved.name, saved, load_law(law), plan=Plan(max_paths=saved.count))


def _saved_words(source: str) -> list[str]:
    """The words of a :func:`saved_source`; none of anything else."""
    try:
        words = shlex.split(source)
    except ValueError:  # A quotation without an end.
        return []
    options = ["--paths", "--law", "--entry"][: len(words) // 2]
    return words if len(words) in (4, 6) and words[::2] == options else []


def _variables(target: str, default: str) -> tuple[dict[str, object], str]:
    """The variables of ``file.py:name`` after it has run, and the name."""
    file, _, attribute = target.partition(":")
    path = Path(file)
    if not path.is_file():
        raise BadInput(f"there is no file {file}")
    spec = importlib.util.spec_from_file_location(f"_exactness_claim_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    # A claim's file may import its neighbours.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:  # A stranger's file may raise or exit; that must not become our exit code.
        raise BadInput(f"{file} could not be run: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return vars(module), attribute or default


def _lacks(target: str, attribute: str, what: str, variables: dict[str, object], kind: type, recipe: str) -> BadInput:
    names = [name for name, value in variables.items() if isinstance(value, kind)]
    hint = f"; it has {', '.join(names)}" if names else f"; make one with {recipe}"
    return BadInput(f"{target.partition(':')[0]} has no {what} called {attribute!r}{hint}")
