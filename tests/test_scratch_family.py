"""A new family is new files, a line in each of three lists, and its public name: this adds one, in copies of the packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

FILES = {
    "exactness/laws/coins.py": '''
"""Fair coins."""
from .base import Law

class FairCoins(Law):
    """``count`` independent fair coins, (n, count) of 0 and 1."""

    dtypes = ("int64",)
    why_dtypes = "a coin shows 0 or 1"

    def __init__(self, count):
        self.count = count

    @property
    def event_shape(self):
        return (self.count,)

    def describe(self):
        return {"kind": "FairCoins", "count": self.count}

    def heads(self, draws):
        """How often each coin shows 1, and the number of draws."""
        return draws.sum(0), len(draws)
''',
    "exactness/batteries/coins.py": '''
"""Shares of heads."""
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from ..evidence.base import Battery, Evidence, Origin
from ..evidence.summaries import Shares

@runtime_checkable
class Tossed(Protocol):
    count: int
    def heads(self, draws): ...

@dataclass(frozen=True)
class Heads(Battery):
    name: ClassVar[str] = "heads"

    def applies(self, law):
        return isinstance(law, Tossed)

    def start(self, law, generator):
        shares = Shares([f"coin {i}" for i in range(law.count)], np.full(law.count, 0.5))

        def update(sample, noise):
            shares.add(*law.heads(sample))

        return Evidence(Origin(self, law, generator), {"heads": shares}, update)
''',
    "exactness/catalogue/coins.py": '''
"""The coins of the catalogue."""
from ..claim import Claim
from ..laws.coins import FairCoins
from ..plan import Plan
from .base import Entry

LAW, PLAN = FairCoins(3), Plan(tolerance=0.1, first_paths=2_000, max_paths=4_000)

def right():
    from exactness_samplers.coins import toss
    return Claim("coins/plain", toss, LAW, PLAN)

def problem_of(fault):
    return "coins"

def control(fault, setting):
    from exactness_samplers.coins import toss
    return Claim(f"control/{fault.name}", fault.spoil(toss, setting.backend), LAW, PLAN, wrong=fault.what)

def wrong():
    from exactness_samplers.faults import fault
    from dataclasses import replace
    from .base import Setting
    return replace(control(fault("coins-bent"), Setting()), name="coins/control/coins-bent")

def entries():
    return (
        Entry("coins/plain", "coins", "exact", lambda entry, setting: right()),
        Entry("coins/control/coins-bent", "coins", "control", lambda entry, setting: wrong()),
    )
''',
    "exactness_samplers/coins.py": '''
"""Tosses coins."""
import numpy as np

def toss(n, seed):
    return np.random.default_rng(seed).integers(0, 2, size=(n, 3))
''',
    "exactness_samplers/faults/coins.py": '''
"""Faults of coins."""
import numpy as np
from .base import ALL, row

def plain(of, process):
    return process

@row(
    "coins-bent", "whole law", "The coins show heads with probability 0.6.",
    touches=ALL, replaces="sampler", spoils=plain, family="coins",
)
def coins_bent(of, right):
    return lambda n, seed: (np.random.default_rng(seed).random((n, 3)) < 0.6).astype(np.int64)
''',
}
LINES = {
    "exactness/batteries/standard.py": (
        ("    Acceptance,\n)", "    Acceptance,\n    Heads,\n)"),
        ("from .windows import Acceptance\n", "from .windows import Acceptance\nfrom .coins import Heads\n"),
    ),
    "exactness/catalogue/__init__.py": (('FAMILIES = ("chains",', 'FAMILIES = ("chains", "coins",'),),
    "exactness_samplers/faults/__init__.py": (('    "right",\n', '    "right",\n    "coins",\n'),),
    "exactness/controls/expected.py": (
        (
            "MUST_SEE: dict[str, tuple[str, ...]] = {\n",
            'MUST_SEE: dict[str, tuple[str, ...]] = {\n    "coins-bent": ("heads",),\n',
        ),
    ),
    "exactness/__init__.py": (("from .laws import (\n", "from .laws.coins import FairCoins as FairCoins\nfrom .laws import (\n"),),
}


def test_a_family_is_new_files_three_lines_and_a_name(tmp_path):
    quiet = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(ROOT / "exactness", tmp_path / "exactness", ignore=quiet)
    shutil.copytree(ROOT / "samplers" / "exactness_samplers", tmp_path / "exactness_samplers", ignore=quiet)
    for name, text in FILES.items():
        assert not (tmp_path / name).exists()
        (tmp_path / name).write_text(text.lstrip())
    for name, changes in LINES.items():
        text = (tmp_path / name).read_text()
        for old, new in changes:
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        )  # fmt: skip

    listed = run("-m", "exactness", "list", "coins/*")
    assert "coins/plain" in listed.stdout, listed.stderr
    judged = run("-m", "exactness", "certify", "coins/plain", "--jobs", "1", "--out", "out")
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "1 samplers: 1 certified. 1 controls: 1 refuted." in judged.stdout
    matrix = run("-m", "exactness", "controls", "coins-bent", "--jobs", "1", "--out", "matrix", "--max-paths", "4000")
    assert matrix.returncode == 0, matrix.stdout + matrix.stderr
    assert "1 of 1 wrong samplers caught" in matrix.stdout
    assert '"law":"coins"' in (tmp_path / "matrix" / "controls.json").read_text().replace(" ", "")
    public = run("-c", "import exactness as ex; print(ex.__file__, ex.FairCoins(2).event_shape)")
    assert public.stdout.startswith(str(tmp_path)), "the copies were not used"
    assert "(2,)" in public.stdout
