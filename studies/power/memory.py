"""The memory that one call of a test takes."""

from __future__ import annotations

import ctypes
import platform
from pathlib import Path

from ..peers import Pair, Refutes


def peak_memory(refutes: Refutes, pair: Pair, alpha: float) -> float | None:
    """Growth of the resident set at its peak during one call, MiB; None where the system does not say (not Linux with glibc).

    Not tracemalloc: compiled tests allocate behind Python's back.
    """
    if platform.libc_ver()[0] != "glibc":
        return None
    ctypes.CDLL(None).malloc_trim(0)  # else freed memory of earlier calls hides what this one takes
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    refutes(pair, alpha, 0)
    return max(0.0, _status("VmHWM") - before)


def _status(key: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) / 1024.0
