"""The pytest plugin is tested by running pytest in a test.

Nothing here fails by chance: seeds are fixed, and the wrong samplers are off by many standard errors.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path

import pytest

import exactness as ex

ROOT = Path(__file__).parents[2]
INSTALLED = any(point.name == "exactness" for point in importlib.metadata.entry_points(group="pytest11"))
# In a working copy that is not the installed one, the entry point is missing.
LOAD = () if INSTALLED else ("-p", "pytest_exactness")

HEAD = """
import numpy as np
import pytest
import exactness as ex

LAW = ex.GaussianMixture([0.3, 0.7], [[2.0], [-1.0]], [0.1, 0.2])
PLAN = ex.Plan(tolerance=0.1, first_paths=1_000, max_paths=4_000)
GLOBAL = np.random.default_rng(0)

def shifted(n, seed):
    return LAW.sample(n, seed) + 0.3
"""
RIGHT = """
def test_right(certify):
    assert certify(LAW.sample, LAW, plan=PLAN).as_claimed
"""
WRONG = """
def test_wrong(certify):
    certify(shifted, LAW, plan=PLAN)
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """``run(source, *arguments)``: pytest in this process on one file ``test_it.py``."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(ROOT))

    def call(source, *arguments, load=LOAD):
        pytester.makepyfile(test_it=HEAD + source)
        return pytester.runpytest(*load, *arguments)

    return call


def text(result):
    return "\n".join(result.outlines + result.errlines)


def saved(pytester, folder="out"):
    """The certificates of a run with ``--exactness-json out``, by the numbers of test and call in their names."""
    return {path.name.split(".")[1] + path.stem[-2:]: ex.Certificate.load(path) for path in (pytester.path / folder).iterdir()}
