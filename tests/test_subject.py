"""Every change of code, weights and settings that can be read changes a digest, and nothing else does."""

from __future__ import annotations

import functools
import hashlib
import importlib
import sys
from dataclasses import dataclass

import numpy as np
import pytest

import exactness as ex
from exactness.subject import digest_of, subjects_of
from tests.conftest import module_or_skip

LAW = ex.GaussianMixture([1.0], [[0.0]], [1.0])


@dataclass
class Shifted:
    by: float = 0.0

    def __call__(self, n, seed):
        return LAW.sample(n, seed) + self.by

    def sample(self, n, seed):
        return self(n, seed)


def with_closure(value):
    return lambda n, seed: LAW.sample(n, seed) + value


def with_default(value):
    def sample(n, seed, by=value, *, also=0.0):
        return LAW.sample(n, seed) + by + also

    return sample


def plain(n, seed, by=0.0):
    return LAW.sample(n, seed) + by


WAYS = {
    "closure": with_closure,
    "default": with_default,
    "partial": lambda value: functools.partial(plain, by=value),
    "object": Shifted,
    "method": lambda value: Shifted(value).sample,
    "nested": lambda value: with_closure({"deep": [1, {"er": (value,)}]}),
    "array": lambda value: with_closure(np.array([1.0, value])),
    "array in an object": lambda value: Shifted(np.array([value])),
    "through another function": lambda value: with_closure(with_closure(value)),
    "generator": lambda value: with_closure(np.random.default_rng(int(10 * value))),
}


def digests(value):
    found, unread = subjects_of(value, "sampler")
    assert unread == []
    return [(one.kind, one.name, one.sha256) for one in found]


@pytest.mark.parametrize("way", WAYS)
def test_a_setting_is_read_however_it_reaches_the_sampler(way):
    assert digests(WAYS[way](0.5)) == digests(WAYS[way](0.5))
    assert digests(WAYS[way](0.5)) != digests(WAYS[way](0.6))


def test_kinds_of_arrays_are_told_apart():
    values = [np.zeros(2), np.zeros((2, 1)), np.zeros(2, dtype=np.float32), np.zeros(2, dtype=np.int64), np.ones(2), [0.0, 0.0]]
    assert len({str(digests(with_closure(value))) for value in values}) == len(values)


def test_the_digest_of_a_source_file_is_that_of_the_file():
    found = {name: sha for kind, name, sha in digests(plain) if kind == "file"}
    with open(__file__, "rb") as stream:
        assert found["tests/test_subject.py"] == hashlib.sha256(stream.read()).hexdigest()
    # numpy and this package are known by their versions.
    assert not [name for name in found if name.startswith(("numpy", "exactness"))]


def test_files_and_values_that_a_sampler_uses_by_name_are_read(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("import other\nscale = 2.0\ndef sample(n, seed):\n    return scale * other.inner(n, seed)\n")
    (tmp_path / "other.py").write_text("import deepest\ndef inner(n, seed):\n    return deepest.value\n")
    (tmp_path / "deepest.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module("mine")
        first = digests(module.sample)
        assert [name for kind, name, _ in first if kind == "file"] == ["mine.py", "other.py"]
        module.scale = 3.0
        second = digests(module.sample)
        assert [one for one in first if one[0] == "file"] == [one for one in second if one[0] == "file"]
        assert first != second
    finally:
        for name in ("mine", "other", "deepest"):
            sys.modules.pop(name, None)


def test_a_function_without_a_file_is_read_by_its_code():
    """As in an interactive session."""
    found = []
    for text in ("lambda n, seed: n + 1", "lambda n, seed: n + 1", "lambda n, seed: n + 2"):
        namespace: dict[str, object] = {"__name__": "somewhere"}
        exec(f"sample = {text}", namespace)
        found.append(digests(namespace["sample"]))
    assert found[0] == found[1] != found[2]
    assert found[0][0][0] == "source"


def test_weights_of_torch_are_read_and_their_copies_are_the_same():
    torch = module_or_skip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    first = digests(with_closure(net))
    assert first == digests(with_closure(net))
    assert [one for one in first if one[0] == "numbers"]
    net.eval()
    assert digests(with_closure(net)) != first
    net.train()
    with torch.no_grad():
        net[0].bias += 1e-3
    assert digests(with_closure(net)) != first
    half = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    assert digests(with_closure(half)) != digests(with_closure(half + 1))


def test_weights_of_jax_are_read():
    jnp = module_or_skip("jax.numpy")
    jit = module_or_skip("jax").jit
    one, other = (jit(lambda x, w=w: x @ w) for w in (jnp.ones((2, 2)), jnp.zeros((2, 2))))
    assert digests(with_closure(one)) != digests(with_closure(other))


def test_what_cannot_be_read_is_said():
    _, unread = subjects_of(with_closure(iter([1, 2])), "sampler")
    assert unread
    assert unread[0].startswith("sampler: value (list_iterator)")


def test_circles_and_crowds_end(monkeypatch):
    monkeypatch.setattr("exactness.subject._MOST", 2_000)
    circle: list[object] = []
    circle.append(circle)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (circle, deep, [[i] for i in range(3_000)]):
        found, _ = subjects_of(with_closure(value), "sampler")
        assert found
    assert "more than 2,000 things" in subjects_of(with_closure([[i] for i in range(3_000)]), "law")[1][0]


def test_reading_calls_nothing_of_a_strangers_object():
    class Trap:
        def __getattr__(self, name):
            raise AssertionError(f"asked for {name}")

        @property
        def trap(self):
            raise AssertionError("a property was computed")

        def __repr__(self):
            raise AssertionError("shown")

    assert subjects_of(with_closure(Trap()), "sampler")[1] == []


def test_saved_draws_are_a_subject_by_their_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("draws.npy", LAW.sample(2_000, 0))
    judged = ex.certify_paths("draws.npy", LAW, plan=ex.Plan(tolerance=0.2, max_paths=2_000))
    file, draws = judged.subjects[:2]
    assert (file.role, file.kind, file.name) == ("draws", "file", "draws.npy")
    assert file.sha256 == hashlib.sha256((tmp_path / "draws.npy").read_bytes()).hexdigest()
    assert (draws.kind, draws.sha256) == ("draws", judged.probe)


def test_the_evidence_has_a_digest_of_its_own():
    plan = ex.Plan(tolerance=0.2, first_paths=500, max_paths=500)
    one, again = (ex.certify(LAW.sample, LAW, plan=plan, name="a") for _ in range(2))
    other = ex.certify(lambda n, s: LAW.sample(n, s) + 1e-9, LAW, plan=plan, name="a")
    assert one.evidence == again.evidence != other.evidence
    assert digest_of({"a": 1}) != digest_of({"a": 2})
