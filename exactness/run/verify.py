"""Checks that a certificate, a statement or an envelope is as it was written, and that it is about the files that lie here.

Signatures are not checked here, because this needs keys or identities that the user trusts: cosign and gh check them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import msgspec

from ..certificate import Certificate, Edited
from ..errors import BadInput
from ..statement import Resource, opened, read_statement, subjects
from ..strangers import read_text, reading


class Verified(msgspec.Struct, frozen=True):
    """What was found in one file. ``faults`` are sentences; none if all is well. ``said`` is the rest, in words."""

    faults: list[str]
    said: list[str]


def verify(path: Path) -> list[Verified]:
    """Verify a file: one certificate, statement, envelope or bundle, or one per line.

    Nothing that the file names is run. A file of the subjects that lies here is compared by its digest.

    Raises:
        BadInput: if the file cannot be read, or is something else.
    """
    text = read_text(path, "a certificate or a statement")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and all(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines):
        return [_verified(line, f"{path}, line {i}") for i, line in enumerate(lines, start=1)]
    return [_verified(text, str(path))]


def _verified(text: bytes, name: str) -> Verified:
    inner, kind = opened(text, name)
    try:
        if kind == "a certificate":
            certificate, named = Certificate.from_json(inner, name), None
        else:
            certificate, named = read_statement(inner, name)
    except Edited as error:
        return Verified([str(error)], [])
    faults = [] if named is None else _differences(named, subjects(certificate))
    same, other, absent = _compared(certificate)
    faults += [f"{file} is not the file that was judged" for file in other]
    said = [f"{kind} of {certificate.name}, {certificate.verdict.value}, as it was written (sha256 {certificate.digest})"]
    if same:
        said.append(f"about these files here: {', '.join(same)}")
    if absent:
        said.append(f"also about files that are not here: {', '.join(absent)}")
    said += [f"it could not read all of the {what}" for what in certificate.unread]
    if kind in ("a certificate", "a statement"):
        said.append("nobody signed this: whoever changed it on purpose could have written a new digest")
    else:
        said.append("the signature was not checked here: check it with `cosign verify-blob-attestation` or `gh attestation verify`")
    return Verified(faults, said)


def _differences(named: list[Resource], judged: list[Resource]) -> list[str]:
    """What is wrong with the subjects of a statement. A signer may leave subjects out, but not add or change any."""
    known = {(one.name, one.digest["sha256"]) for one in judged}
    digests = {one.digest["sha256"] for one in judged}
    faults = [] if named else ["the statement names no subject, so it is about nothing"]
    for one in named:
        digest = one.digest.get("sha256", "")
        # A signer may give a file another name, such as its path.
        if (one.name, digest) not in known and digest not in digests:
            faults.append(f"the statement says that it is about {one.name}, and its certificate does not")
    return faults


def _compared(certificate: Certificate) -> tuple[list[str], list[str], list[str]]:
    """The source files that were judged: those that lie here and are the same, those that differ, and those that are not here."""
    same: list[str] = []
    other: list[str] = []
    absent: list[str] = []
    for one in certificate.subjects:
        if one.kind != "file" or one.name in (*same, *other, *absent):
            continue
        pure = PurePosixPath(one.name)
        # Only files in and below this folder are looked at, whatever a stranger's certificate names.
        file = Path(one.name)
        if pure.is_absolute() or ".." in pure.parts or "\0" in one.name or not file.is_file():
            absent.append(one.name)
            continue
        with reading(one.name), file.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        (same if found == one.sha256 else other).append(one.name)
    return same, other, absent


def verified_files(paths: list[Path]) -> tuple[list[tuple[str, Verified]], list[str]]:
    """The results of several files, each with the name of its file, and in words which of the files could not be read."""
    found: list[tuple[str, Verified]] = []
    broken: list[str] = []
    for path in paths:
        try:
            found += [(str(path), one) for one in verify(path)]
        except BadInput as error:
            broken.append(str(error))
    return found, broken
