"""A certificate as an in-toto Statement, so that anybody's signer can sign it and anybody can verify the signature.

Source: in-toto Attestation Framework, Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from .certificate import FORMAT, Certificate
from .errors import BadInput
from .strangers import parse_json, reading

STATEMENT = "https://in-toto.io/Statement/v1"
PAYLOAD = "application/vnd.in-toto+json"
PREDICATE = f"urn:exactness:certificate:{FORMAT.rpartition('/')[2]}"
"""The predicate type: what the predicate of a statement is. Its number is that of the certificate's format."""


class Resource(msgspec.Struct, frozen=True):
    """One thing that a statement is about, with its digest."""

    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    """An in-toto Statement. ``predicate`` is the JSON text of a certificate."""

    type: str
    subject: list[Resource]
    predicate_type: str
    predicate: msgspec.Raw


class _Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """A DSSE envelope (github.com/secure-systems-lab/dsse)."""

    payload: str
    payload_type: str
    signatures: list[dict[str, Any]]


def subjects(certificate: Certificate) -> list[Resource]:
    """The subjects of a statement of this certificate: the files, weights and settings that were judged, and its evidence.

    Files come first, under their own names, so that a verifier finds them by ``sha256sum``. The last is the certificate itself, in
    canonical form, so that a statement always has a subject.
    """
    found = [
        Resource(s.name if s.kind == "file" else f"{s.role} {s.kind} of {s.name}", {"sha256": s.sha256})
        for s in sorted(certificate.subjects, key=lambda s: s.kind != "file")
    ]
    if certificate.evidence is not None:
        found.append(Resource("evidence", {"sha256": certificate.evidence}))
    found.append(Resource(f"certificate of {certificate.name}", {"sha256": certificate.digest}))
    unique = {(one.name, one.digest["sha256"]): one for one in found}
    return list(unique.values())


def statement_of(certificate: Certificate) -> bytes:
    """The statement of a certificate, as JSON text.

    >>> import json
    >>> import exactness as ex
    >>> law = ex.GaussianMixture([1.0], [[0.0]], [1.0])
    >>> certificate = ex.certify(law.sample, law, plan=ex.Plan(tolerance=0.1))
    >>> statement = json.loads(statement_of(certificate))
    >>> statement["_type"], statement["predicateType"], statement["predicate"]["verdict"]
    ('https://in-toto.io/Statement/v1', 'urn:exactness:certificate:3', 'certified')
    """
    return msgspec.json.encode(Statement(STATEMENT, subjects(certificate), PREDICATE, msgspec.Raw(certificate.to_json())))


def opened(text: bytes, name: str) -> tuple[bytes, str]:
    """The contents of an envelope, and the kind of file that it was: a certificate, a statement, an envelope or a bundle.

    A Sigstore bundle holds an envelope, and an envelope holds a statement. The signature is not checked. Raises ``BadInput``.
    """
    fields = parse_json(text, dict[str, msgspec.Raw], name, "a JSON object")
    if "dsseEnvelope" in fields:
        return opened(bytes(fields["dsseEnvelope"]), name)[0], "a Sigstore bundle"
    if "bundle" in fields:
        return opened(bytes(fields["bundle"]), name)[0], "a GitHub attestation"
    if "payload" in fields:
        envelope = parse_json(text, _Envelope, name, "a DSSE envelope")
        if envelope.payload_type != PAYLOAD:
            raise BadInput(f"{name} is an envelope of {envelope.payload_type!r}, not of {PAYLOAD!r}")
        with reading(name):
            try:
                return base64.b64decode(envelope.payload, validate=True), "a signed envelope"
            except binascii.Error as error:
                raise BadInput(f"{name} is no DSSE envelope: its payload is not base64 ({error})") from None
    return text, "a statement" if "_type" in fields else "a certificate"


def read_statement(text: bytes, name: str) -> tuple[Certificate, list[Resource]]:
    """The certificate in a statement, and the subjects that the statement names. Raises ``BadInput``."""
    statement = parse_json(text, Statement, name, "an in-toto statement")
    if statement.type != STATEMENT:
        raise BadInput(f"{name} is a statement of type {statement.type!r}; this version reads {STATEMENT!r}")
    if statement.predicate_type != PREDICATE:
        raise BadInput(
            f"{name} is a statement about something else: its predicate is {statement.predicate_type!r}, and not {PREDICATE!r}"
        )
    return Certificate.from_json(bytes(statement.predicate), name), statement.subject
