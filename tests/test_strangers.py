"""Files that a stranger wrote: whatever is in them, there is a value or one clear error that names the file."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

import exactness as ex
from exactness.controls.matrix import Matrix
from exactness.errors import BadInput
from exactness.saved import SavedPaths
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
