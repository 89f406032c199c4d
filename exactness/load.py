"""Claims written by users: ``file.py:claim``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from .claim import Claim
from .errors import BadInput


def is_file_claim(name: str) -> bool:
    return ".py" in name


def load_claims(target: str) -> list[Claim]:
    """The claim, or list of claims, called ``claim`` in ``file.py:claim``; ``file.py`` alone means ``file.py:claim``.

    Raises ``BadInput`` for a file that is missing or fails to run, and for a name that is not a claim.
    """
    file, _, attribute = target.partition(":")
    path, attribute = Path(file), attribute or "claim"
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
    found = vars(module).get(attribute)
    if isinstance(found, Claim):
        return [found]
    if isinstance(found, (list, tuple)) and found and all(isinstance(c, Claim) for c in found):
        return list(found)
    claims = [name for name, value in vars(module).items() if isinstance(value, Claim)]
    hint = f"; it has {', '.join(claims)}" if claims else "; make one with exactness.Claim(name=..., sample=..., law=...)"
    raise BadInput(f"{file} has no claim called {attribute!r}{hint}")
