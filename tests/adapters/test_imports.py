"""Importing the adapters imports none of the libraries they adapt; every one of them is documented with an example."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from exactness import adapters
from exactness.errors import BadInput


def test_importing_the_adapters_imports_no_library():
    heavy = ("torch", "jax", "numpyro", "diffusers", "transformers", "safetensors", "scipy.stats", "exactness_samplers")
    code = f"import exactness.adapters, sys; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("call", "missing", "extra"),
    [
        (lambda: adapters.from_torch(None), "torch", "torch"),
        (lambda: adapters.from_numpyro(None), "numpyro", "numpyro"),
        (lambda: adapters.from_scheduler(None, None, (1,)), "torch", "diffusers"),
        (lambda: adapters.sample_scheduler(None, None, (1,)), "torch", "diffusers"),
        (lambda: adapters.from_verifier(print, arrays="torch"), "torch", "torch"),
        (lambda: adapters.from_transformers(None, length=1), "transformers", "transformers"),
    ],
)
def test_a_missing_library_is_bad_input_with_the_command_that_installs_it(call, missing, extra, monkeypatch):
    for name in [m for m in sys.modules if m == missing or m.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(missing), *sys.meta_path])
    with pytest.raises(BadInput, match=rf"{missing} is not installed, .*: pip install 'exactness\[{extra}\]'"):
        call()


class _Without:
    """An environment without one library."""

    def __init__(self, missing):
        self.missing = missing

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.missing)


@pytest.mark.parametrize("name", [n for n in adapters.__all__ if n.startswith("from_")])
def test_every_law_that_is_adapted_has_an_example_of_ten_lines(name):
    text = inspect.getdoc(getattr(adapters, name))
    example = [line for line in text.splitlines() if line.lstrip().startswith((">>>", "..."))]
    assert 0 < len(example) <= 11, name


@pytest.mark.parametrize("name", adapters.__all__)
def test_every_adapter_is_documented(name):
    assert inspect.getdoc(getattr(adapters, name))
