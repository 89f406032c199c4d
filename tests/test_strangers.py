"""Files that a stranger wrote: whatever is in them, there is a value or one clear error that names the file."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exactness as ex
from exactness.canonical import digest
from exactness.controls.matrix import Matrix
from exactness.errors import BadInput
from exactness.run.recheck import check_arithmetic
from exactness.saved import SavedPaths
from exactness.show.formats import FORMATS, render
from exactness.strangers import MOST_JSON, check_shape, read_json


def header(shape: str, dtype: str = "<f8") -> bytes:
    """The header of a .npy file that describes an array of this shape, and nothing more."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(*members: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in members:
            written.writestr(name, data)
    return stream.getvalue()


def safetensors(shape: object, offsets: object = (0, 8), dtype: object = "F64") -> bytes:
    text = json.dumps({"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


def bomb() -> bytes:
    """An archive whose member says that it holds 4 TiB."""
    data = bytearray(archive(("paths.npy", header("(1099511627776, 1)", "<f4"))))
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = data.index(signature) + place
        data[start : start + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    return bytes(data)


DRAWS = {
    "3.64 TiB.npy": header("(1000000000000, 4)", "<i1"),
    "80 TB.npy": header("(10000000000000, 1)"),
    "80 TB.npz": archive(("paths.npy", header("(10000000000000, 1)"))),
    "bomb.npz": bomb(),
    "deep.npy": header("(" * 4_000 + ")" * 4_000),
    "deep.npz": archive(("paths.npy", header("(" * 4_000 + ")" * 4_000))),
    "negative.npz": archive(("paths.npy", header("(-3, -2)"))),
    "text.npz": archive(("paths.npy", b"hello")),
    "many axes.npz": archive(("paths.npy", header(f"({'1, ' * 100})"))),
    "no digits.npy": header("(2, 1e400)"),
    "overflow.npy": header(f"({2**62}, {2**62})"),
    "nothing.csv": b"\0" * 100,
    "deep.safetensors": (2_000_000).to_bytes(8, "little") + b"[" * 2_000_000,
    "deeper.safetensors": (400_010).to_bytes(8, "little") + b'{"paths":' + b"[" * 400_001,
    "huge.safetensors": safetensors([10**30, 10**30]),
    "many axes.safetensors": safetensors([1] * 1_000),
    "zero.safetensors": safetensors([0, 10**30]),
    "fractions.safetensors": safetensors([1, 1], [0.5, 8.5]),
    "text.safetensors": safetensors("11"),
    "number.safetensors": safetensors([1, 1], dtype=3),
    "backwards.safetensors": safetensors([1, 1], [8, 0]),
    "long header.safetensors": (1 << 62).to_bytes(8, "little") + b"{}",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAWS)
def test_hostile_draws_are_one_clear_error_that_names_the_file(name, tmp_path):
    (tmp_path / name).write_bytes(DRAWS[name])
    with pytest.raises(BadInput, match=name):
        SavedPaths(tmp_path / name)


def test_an_array_larger_than_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", paths=np.zeros((1_000, 10)))
    assert SavedPaths(tmp_path / "a.npz").shape == (1_000, 10)
    monkeypatch.setattr("exactness.strangers._memory", lambda: 100_000)
    with pytest.raises(BadInput, match=r"a\.npz needs .* save the array as \.npy"):
        SavedPaths(tmp_path / "a.npz")


def test_more_draws_than_memory_can_index_are_refused(tmp_path, monkeypatch):
    """A sparse file costs its writer nothing, and reading it through takes a word per draw."""
    np.save(tmp_path / "a.npy", np.zeros((1_000, 1)))
    saved = SavedPaths(tmp_path / "a.npy")
    monkeypatch.setattr("exactness.strangers._memory", lambda: 10_000)
    with pytest.raises(BadInput, match="judge fewer draws"):
        _ = saved.digest


def test_a_shape_of_any_length_is_measured():
    assert check_shape("x", (3, 4), 8) == 96
    for shape in ((-1, 2), (1 << 40, 1 << 40), (10**400,), (1,) * 65):
        with pytest.raises(BadInput, match="x is damaged"):
            check_shape("x", shape, 8)


DOCUMENTS = {
    "deep": b"[" * 100_000,
    "deep inside": b'{"format": "exactness-certificate/3", "name": ' + b"[" * 100_000,
    "long number": b'{"format": ' + b"9" * 100_000 + b"}",
    "infinite": b'{"format": 1e999}',
    "text": b'"exactness-certificate/3"',
    "no text": bytes(range(256)),
    "surrogate": b'{"format": "\\ud800"}',
}


@pytest.mark.parametrize("kind", [ex.Certificate, Matrix])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_json_is_one_clear_error_that_names_the_file(name, kind, tmp_path):
    (tmp_path / "x.json").write_bytes(DOCUMENTS[name])
    with pytest.raises(BadInput, match=r"x\.json"):
        kind.load(tmp_path / "x.json")


def test_json_that_never_ends_is_read_no_further(tmp_path):
    with (tmp_path / "x.json").open("wb") as stream:
        stream.truncate(MOST_JSON + 1)
    with pytest.raises(BadInput, match="more than 64 MiB"):
        read_json(tmp_path / "x.json", dict, "a certificate")


LAW = ex.GaussianMixture([0.5, 0.5], [[1.0], [-1.0]], [0.2, 0.2])
PLAN = ex.Plan(tolerance=0.2, first_paths=500, max_paths=500)
# Numbers, texts and containers that break formulas which expect others.
HOSTILE = [
    0,
    -1,
    1 << 53,
    1 << 70,
    10**400,
    1e308,
    -1e308,
    5e-324,
    1.5,
    "",
    None,
    True,
    [],
    {},
    [[]],
    {"a": {}},
    "\x1b[31m",
    "certified",
]


@cache
def written() -> str:
    return ex.certify(LAW.sample, LAW, plan=PLAN, name="a/b", source="ring/sequential").to_json().decode()


def places(value: object, path: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in [(*path, key), *places(inner, (*path, key))]]


def read_or_refused(text: bytes) -> ex.Certificate | str:
    try:
        return ex.Certificate.from_json(text, "x.json")
    except BadInput as error:
        return str(error)


@given(data=st.data())
@settings(max_examples=30)
def test_a_certificate_that_makes_no_sense_is_refused_or_does_not_hold(data):
    """Each with the right digest, as a forger would write it: reading and recomputing raise nothing else, and end."""
    document = json.loads(written())
    for place in data.draw(st.lists(st.sampled_from(places(document)), min_size=1, max_size=3)):
        inside = document
        try:
            for key in place[:-1]:
                inside = inside[key]
            inside[place[-1]] = data.draw(st.sampled_from(HOSTILE))
        except (LookupError, TypeError):  # An earlier change has taken the place away.
            continue
    document.pop("digest", None)
    try:
        text = json.dumps({**document, "digest": digest(document)}).encode()
    except (ValueError, OverflowError):  # A number that no double holds.
        text = json.dumps(document).encode()
    found = read_or_refused(text)
    if isinstance(found, str):
        assert "x.json" in found
        return
    assert isinstance(check_arithmetic(found), list)
    for name in FORMATS:
        assert render(name, [found])
