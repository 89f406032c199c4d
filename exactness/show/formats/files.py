"""The values ``FORMAT`` and ``FORMAT=FILE`` of the command line. They are checked before anything is sampled."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...certificate import Certificate
from ...errors import BadInput
from . import FORMATS, render


def targets(wanted: Sequence[str], certificates: Sequence[Path] = (), page: Path | None = None) -> dict[Path, str]:
    """Find the files to write and the format of each.

    Args:
        wanted: values such as ``"sarif"`` or ``"sarif=out/exactness.sarif"``, each file once.
        certificates: single certificates, and folders that certificates are written to or read from. Other JSON files in such a
            folder would be taken for certificates.
        page: the HTML page that is also written.

    Raises:
        BadInput: if a format is unknown, or a file is a folder, is named twice, or cannot be written.
    """
    found: dict[Path, str] = {}
    taken: dict[Path, str] = {} if page is None else {page.resolve(): "the page"}
    if page is not None:
        _must_not_be_read(page, certificates, "the page")
    for one in wanted:
        name, equals, file = one.partition("=")
        if name not in FORMATS:
            raise BadInput(
                f"--format must be one of {', '.join(FORMATS)}, or such a name with a file, as in sarif=FILE; got {one!r}"
            )
        if equals and not file:
            raise BadInput(f"--format {one} names no file; leave the = out to write {FORMATS[name].file}")
        if file == "-":
            raise BadInput(f"--format {one}: standard output is for the reader; name a file, such as /dev/stdout")
        path = Path(file or FORMATS[name].file)
        if (where := path.resolve()) in taken:
            raise BadInput(f"--format would write {path} twice, as {taken[where]} and as {name}: name another file")
        taken[where] = name
        if path.is_dir():
            raise BadInput(f"--format {one}: {path} is a folder; name the file to write")
        _must_not_be_read(path, certificates, f"--format {one}")
        found[path] = name
    for path in found:
        _must_be_writable(path)
    return found


def write(files: dict[Path, str], certificates: Sequence[Certificate]) -> None:
    """Write each file in its format. Raises ``BadInput`` without certificates."""
    for path, text in [(path, render(name, certificates)) for path, name in files.items()]:
        path.write_text(text, encoding="utf-8", newline="\n")


def _must_not_be_read(path: Path, certificates: Sequence[Path], what: str) -> None:
    for place in certificates:
        if place.is_file():
            if path.resolve() == place.resolve():
                raise BadInput(f"{what}: {path} is to be read and would be overwritten; put it elsewhere")
        elif path.suffix == ".json" and path.parent.resolve() == place.resolve():
            raise BadInput(f"{what}: {path} would lie among the certificates and be taken for one; put it elsewhere")


def _must_be_writable(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        if not os.access(path, os.W_OK):
            raise BadInput(f"--format: {path} cannot be written: it is read-only")
    else:
        tempfile.TemporaryFile(dir=path.parent).close()
