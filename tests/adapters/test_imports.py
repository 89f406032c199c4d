"""Importing the adapters imports none of the libraries they adapt; every one of them is documented with an example."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from exactness import adapters


def test_importing_the_adapters_imports_no_library():
    heavy = ("torch", "jax", "numpyro", "diffusers", "safetensors", "scipy.stats", "samplers")
    code = f"import exactness.adapters, sys; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", [n for n in adapters.__all__ if n.startswith("from_")])
def test_every_law_that_is_adapted_has_an_example_of_ten_lines(name):
    text = inspect.getdoc(getattr(adapters, name))
    example = [line for line in text.splitlines() if line.lstrip().startswith((">>>", "..."))]
    assert 0 < len(example) <= 11, name


@pytest.mark.parametrize("name", adapters.__all__)
def test_every_adapter_is_documented(name):
    assert inspect.getdoc(getattr(adapters, name))
