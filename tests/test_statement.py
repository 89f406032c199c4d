"""Every edit of a certificate is noticed, and somebody else can sign it: a real DSSE library signs and verifies the statement."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

import exactness as ex
from exactness import batteries
from exactness.canonical import canonical, digest
from exactness.certificate import Edited
from exactness.errors import BadInput
from exactness.statement import PAYLOAD, PREDICATE, STATEMENT, opened, read_statement, statement_of, subjects
from tests.run.test_cli import run  # noqa: F401

LAW = ex.GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [0.2, 0.2])
PLAN = ex.Plan(tolerance=0.2, first_paths=500, max_paths=500)
CONTROL = ex.Claim("shifted", lambda n, s: LAW.sample(n, s) + 1.0, LAW, wrong="Shifted by 1.")


@pytest.fixture(scope="module")
def certificate():
    few = [batteries.ProjectedKS()]
    return ex.certify(
        LAW.sample, LAW, plan=PLAN, name="mine", batteries=few, controls=[CONTROL], about={"note": "x"}, source="claims.py:claim"
    )


def places(value, path=()):
    """Where the values of a document are that are neither lists nor objects."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path
    else:
        for key, inner in items:
            yield from places(inner, (*path, key))


def changed(value):
    """Another value of the same kind, as a careful forger would choose it."""
    if value is None or isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    return value + 1 if isinstance(value, int) else value * 1.0000001 + 1e-9


def test_every_edit_of_every_value_is_noticed(certificate, tmp_path):
    """Of each field of each part: reasons, times, costs, environment, histograms, stages, pictures and function names included."""
    path = certificate.save(tmp_path / "a.json")
    document = json.loads(path.read_text())
    tried = set()
    for place in list(places(document)):
        # One number of a long list stands for the others.
        kind = tuple("#" if isinstance(key, int) else key for key in place)
        if kind in tried or kind == ("format",):
            continue
        tried.add(kind)
        edited = json.loads(path.read_text())
        inside = edited
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = changed(inside[place[-1]])
        (tmp_path / "b.json").write_text(json.dumps(edited))
        with pytest.raises(BadInput, match=r"b\.json (was changed after it was written|is not a certificate)"):
            ex.Certificate.load(tmp_path / "b.json")
    for field in (
        "reasons",
        "created",
        "cost",
        "environment",
        "histograms",
        "stages",
        "sampler",
        "pictures",
        "subjects",
        "evidence",
    ):
        assert any(kind[0] == field for kind in tried), field
    assert len(tried) > 70


def test_what_is_added_taken_away_or_said_twice_is_noticed_too(certificate, tmp_path):
    path = certificate.save(tmp_path / "a.json")
    document = json.loads(path.read_text())
    for edited in (
        {**document, "note": "approved"},
        {k: v for k, v in document.items() if k != "calls"},
        {**document, "findings": document["findings"][::-1]},
        {**document, "controls": []},
    ):
        path.write_text(json.dumps(edited))
        with pytest.raises(Edited):
            ex.Certificate.load(path)
    path.write_text(json.dumps(document)[:-1] + ', "name": "mine"}')
    with pytest.raises(BadInput, match="holds a name twice"):
        ex.Certificate.load(path)


def test_the_same_certificate_in_another_spelling_is_no_edit(certificate, tmp_path):
    """Signers decode a certificate and write it again: with other white space, order and numbers (1.0 becomes 1)."""
    document = json.loads(certificate.to_json())
    for text in (canonical(document), json.dumps(document, indent=3, sort_keys=True).encode()):
        (tmp_path / "a.json").write_bytes(text)
        again = ex.Certificate.load(tmp_path / "a.json")
        assert again == certificate
        assert again.digest == certificate.digest


def test_a_certificate_of_an_earlier_version_says_so(certificate, tmp_path):
    document = json.loads(certificate.to_json())
    for field in ("pictures", "subjects", "unread", "evidence", "digest"):
        del document[field]
    (tmp_path / "a.json").write_text(json.dumps({**document, "format": "exactness-certificate/2"}))
    with pytest.raises(BadInput, match="'exactness-certificate/2'; this version reads 'exactness-certificate/3': certify again"):
        ex.Certificate.load(tmp_path / "a.json")


def test_a_statement_is_what_the_specification_asks_for(certificate):
    statement = json.loads(statement_of(certificate))
    assert set(statement) == {"_type", "subject", "predicateType", "predicate"}
    assert (statement["_type"], statement["predicateType"]) == (STATEMENT, PREDICATE)
    assert statement["predicate"] == json.loads(certificate.to_json())
    assert statement["subject"]
    for subject in statement["subject"]:
        assert set(subject) == {"name", "digest"}
        assert len(bytes.fromhex(subject["digest"]["sha256"])) == 32
    predicate = {k: v for k, v in statement["predicate"].items() if k != "digest"}
    assert statement["subject"][-1]["digest"]["sha256"] == digest(predicate) == certificate.digest
    assert read_statement(statement_of(certificate), "x")[0] == certificate


def test_a_real_library_signs_and_verifies_it(certificate, run, tmp_path):  # noqa: F811
    """securesystemslib is the library of in-toto and of TUF: it signs the statement as a DSSE envelope and verifies it."""
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import CryptoSigner

    signer, other = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    envelope = Envelope(statement_of(certificate), PAYLOAD, {})
    envelope.sign(signer)
    written = json.dumps(envelope.to_dict())
    read = Envelope.from_dict(json.loads(written))
    assert list(read.verify([signer.public_key], 1)) == [signer.public_key.keyid]
    with pytest.raises(VerificationError):
        read.verify([other.public_key], 1)
    forged = Envelope(read.payload.replace(b'"verdict":"certified"', b'"verdict":"refuted"  '), PAYLOAD, read.signatures)
    with pytest.raises(VerificationError):
        forged.verify([signer.public_key], 1)

    (tmp_path / "a.dsse.json").write_text(written)
    code, said = run("verify", "a.dsse.json")
    assert code == 0
    assert "a signed envelope of mine, certified, as it was written" in said.out
    assert "the signature was not checked here" in said.out
    inner, _ = opened(written.encode(), "x")
    assert read_statement(inner, "x")[0] == certificate
    bundle = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": json.loads(written)}
    (tmp_path / "b.jsonl").write_text(json.dumps(bundle) + "\n" + json.dumps(bundle) + "\n")
    code, said = run("verify", "b.jsonl")
    assert code == 0
    assert said.out.count("a Sigstore bundle of mine") == 2
    (tmp_path / "c.json").write_text(json.dumps({**json.loads(written), "payload": base64.b64encode(forged.payload).decode()}))
    assert run("verify", "c.json")[0] == 1


def test_verify_compares_the_files_that_were_judged(run, tmp_path):  # noqa: F811
    assert run("certify", "claims.py:claim", "--format", "intoto=a.jsonl")[0] == 0
    found = ex.Certificate.load(tmp_path / "certificates" / "right.json")
    assert ("sampler", "file", "claims.py") not in [(s.role, s.kind, s.name) for s in found.subjects], "it is a method of the law"
    (tmp_path / "own.py").write_text(
        "import exactness as ex\nimport helper\nlaw = ex.GaussianMixture([1.0], [[0.0]], [1.0])\n"
        "def sample(n, seed):\n    return helper.scale * law.sample(n, seed)\n"
        "claim = ex.Claim('own', sample, law, plan=ex.Plan(tolerance=0.1, max_paths=4_000))\n"
    )
    (tmp_path / "helper.py").write_text("scale = 1.0\n")
    assert run("certify", "own.py", "--out", "own", "--format", "intoto=b.jsonl")[0] == 0
    for file in ("own", "b.jsonl"):
        code, said = run("verify", file)
        assert code == 0, said
        assert "about these files here: helper.py, own.py" in said.out
    assert "nobody signed this" in said.out
    (tmp_path / "helper.py").write_text("scale = 1.001\n")
    code, said = run("verify", "own")
    assert code == 1
    assert "helper.py is not the file that was judged" in said.out
    (tmp_path / "helper.py").unlink()
    code, said = run("verify", "own")
    assert code == 0
    assert "files that are not here: helper.py" in said.out


def test_verify_looks_at_no_file_outside_of_this_folder(run, certificate, tmp_path):  # noqa: F811
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret").write_text("x")
    named = [
        msgspec.structs.replace(certificate.subjects[0], kind="file", name=name)
        for name in ("../secret", str(tmp_path / "secret"), "/dev/zero", "a\0b", "")
    ]
    msgspec.structs.replace(certificate, subjects=named).save(tmp_path / "a.json")
    code, said = run("verify", "a.json")
    assert code == 0
    assert "files that are not here: ../secret" in said.out
    assert "not the file that was judged" not in said.out


STATEMENTS = {
    "another type": ({"_type": "https://in-toto.io/Statement/v0.1"}, 2, "this version reads"),
    "another predicate": ({"predicateType": "https://slsa.dev/provenance/v1"}, 2, "about something else"),
    "no subject": ({"subject": []}, 1, "about nothing"),
    "another subject": ({"subject": [{"name": "torch", "digest": {"sha256": "0" * 64}}]}, 1, "says that it is about torch"),
    "no digest": ({"subject": [{"name": "torch", "digest": {}}]}, 1, "says that it is about torch"),
    "no certificate": ({"predicate": {}}, 2, "is not a certificate"),
    "text": ({"subject": "all"}, 2, "is not an in-toto statement"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_that_do_not_hold_are_told_apart(name, run, certificate, tmp_path):  # noqa: F811
    change, code, message = STATEMENTS[name]
    (tmp_path / "a.json").write_text(json.dumps({**json.loads(statement_of(certificate)), **change}))
    found, said = run("verify", "a.json")
    assert found == code
    assert message in (said.out + said.err).replace("\n", " ")


@pytest.mark.parametrize(
    "text",
    ['{"payload": 3}', '{"payload": "!", "payloadType": "application/vnd.in-toto+json", "signatures": []}', "[]", "{}", "3", "",
     '{"payload": "e30=", "payloadType": "text/plain", "signatures": []}', '{"dsseEnvelope": []}', '{"bundle": {}}'],
)  # fmt: skip
def test_envelopes_that_are_none_are_bad_input(text, run, tmp_path):  # noqa: F811
    (tmp_path / "a.json").write_text(text)
    code, said = run("verify", "a.json")
    assert code == 2
    assert "a.json" in said.err


def test_names_of_subjects_are_told_apart(certificate):
    found = subjects(certificate)
    assert len({(one.name, one.digest["sha256"]) for one in found}) == len(found)
