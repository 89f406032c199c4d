"""A certificate says everything, survives a round trip, and can be checked again."""

from __future__ import annotations

import json

import msgspec
import pytest

import exactness as ex
from exactness.errors import BadInput
from exactness.run.recheck import check_arithmetic, repeat
from exactness.seeds import block_generator, judge_generator, sampler_seed
from tests.registry import plain_chain

CHAIN, SAMPLE = plain_chain()
CONTROL = ex.Claim("too wide", lambda n, s: 1.1 * SAMPLE(n, s), CHAIN, wrong="Everything is scaled by 1.1.")
CLAIM = ex.Claim("mine", SAMPLE, CHAIN, plan=ex.Plan(tolerance=0.1, max_paths=8_000), controls=[CONTROL], about={"note": "exact"})


@pytest.fixture(scope="module")
def certificate():
    return ex.certify(
        SAMPLE, CHAIN, plan=CLAIM.plan, name="mine", controls=[CONTROL], about=dict(CLAIM.about), source="claims.py:claim"
    )


def test_a_round_trip_loses_nothing(certificate, tmp_path):
    path = certificate.save(tmp_path / "deep" / "mine.json")
    assert ex.Certificate.load(path) == certificate
    assert [p.name for p in path.parent.iterdir()] == ["mine.json"]


def test_it_says_everything_needed_to_read_and_to_repeat_it(certificate, tmp_path):
    data = json.loads(certificate.save(tmp_path / "c.json").read_text())
    for key in ("law", "sampler", "seed", "plan", "findings", "controls", "cost", "environment", "stages", "histograms", "source"):
        assert data[key] not in (None, [], {}), key
    assert data["environment"]["packages"]["numpy"]
    assert data["environment"]["device"] == "cpu"
    assert data["sampler"]["note"] == "exact"
    assert data["controls"][0]["verdict"] == "refuted"
    assert data["verdict"] == "certified"
    finding = data["findings"][0]
    assert {
        "name",
        "battery",
        "null",
        "validity",
        "n",
        "statistic",
        "p_value",
        "adjusted_p",
        "effect",
        "bound",
        "detectable",
    } <= set(finding)


def test_same_seed_same_certificate(certificate):
    again = ex.certify(SAMPLE, CHAIN, plan=CLAIM.plan, name="mine", controls=[CONTROL])
    assert [(f.name, f.statistic) for f in again.findings] == [(f.name, f.statistic) for f in certificate.findings]
    other = ex.certify(SAMPLE, CHAIN, plan=CLAIM.plan, name="mine", seed=1)
    assert other.findings[0].statistic != certificate.findings[0].statistic


def test_sampler_judge_claims_and_calls_have_streams_of_their_own():
    seeds = {sampler_seed(root, name, i) for root in (0, 1) for name in ("a", "b") for i in range(1_000)}
    assert len(seeds) == 4_000
    judges = {
        int(judge_generator(root, name).bit_generator.seed_seq.generate_state(1)[0]) for root in (0, 1) for name in ("a", "b")
    }
    assert len(judges) == 4
    blocks = {
        int(block_generator(root, name, block, place).bit_generator.seed_seq.generate_state(1)[0])
        for root in (0, 1) for name in ("a", "b") for block in range(10) for place in range(3)
    }  # fmt: skip
    assert len(blocks) == 120
    assert not blocks & judges
    assert not {state % (1 << 31) for state in judges} & seeds


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a certificate"), (b"{}", "not a certificate"), (b"\xff\xfe", "not a certificate"), (None, "cannot read")],
)
def test_unreadable_files_say_so(tmp_path, content, message):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        ex.Certificate.load(path)


def test_other_formats_are_refused(certificate, tmp_path):
    path = msgspec.structs.replace(certificate, format="exactness-certificate/99").save(tmp_path / "x.json")
    with pytest.raises(BadInput, match="99"):
        ex.Certificate.load(path)


def test_its_arithmetic_holds_and_tampering_shows(certificate):
    assert check_arithmetic(certificate) == []
    change = msgspec.structs.replace
    assert "verdict" in check_arithmetic(change(certificate, verdict=ex.Verdict.REFUTED))[0]
    first, *rest = certificate.findings
    for field, value in {"statistic": 0.9, "p_value": 1e-3, "bound": 1e-4, "detectable": 1e-9, "effect": 5.0}.items():
        if getattr(first, field) is not None:
            assert check_arithmetic(change(certificate, findings=[change(first, **{field: value}), *rest])), field
    missed = change(certificate.controls[0], verdict=ex.Verdict.CERTIFIED)
    assert check_arithmetic(change(certificate, controls=[missed]))
    refuted = ex.certify(lambda n, s: 1.1 * SAMPLE(n, s), CHAIN, plan=CLAIM.plan)
    assert check_arithmetic(refuted) == []
    assert check_arithmetic(change(refuted, verdict=ex.Verdict.CERTIFIED))


def test_it_repeats_and_a_changed_sampler_shows(certificate):
    assert repeat(certificate, [CLAIM]).faults == []
    scaled = ex.Claim("mine", lambda n, s: 1.1 * SAMPLE(n, s), CHAIN, controls=[CONTROL])
    faults = " ".join(repeat(certificate, [scaled]).faults)
    assert "the verdict is refuted" in faults
    assert "the sampler has changed" in faults
    wider = ex.GaussianChain.from_mean(CHAIN.predict, sigma=1.01 * CHAIN.sigma, dim=2)
    assert "the law is not the one" in " ".join(repeat(certificate, [ex.Claim("mine", SAMPLE, wider)]).faults)
    assert "no longer has a claim" in repeat(certificate, []).faults[0]


def test_a_missed_control_cannot_be_erased(certificate):
    """Taking the controls out of the record, or the sampler's environment, does not make it look repeated."""
    change = msgspec.structs.replace
    assert "its controls should be too wide" in repeat(change(certificate, controls=[]), [CLAIM]).faults[0]
    elsewhere = change(certificate, environment=change(certificate.environment, python="2.7"), probe="x")
    again = repeat(elsewhere, [CLAIM])
    assert again.faults == []
    assert "only the verdict was compared" in again.how
    assert "it repeats" in repeat(certificate, [CLAIM]).how
