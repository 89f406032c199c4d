"""The command `python -m studies.token_costs`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..page import REPORTS, write

# One thread; and what is freed goes back to the system, so that the memory of the process is what it needs.
SETTINGS = {
    "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "MALLOC_MMAP_THRESHOLD_": str(1 << 20),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.token_costs", description="Measure what tokens cost.")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args(arguments)
    # Libraries read these when they are imported.
    os.environ.update(SETTINGS)
    from .measure import judging, memory, verification
    from .page import page

    backends = ("torch", "jax")
    data = {
        "verification": {name: verification(name, options.repeats) for name in backends},
        "judging": {name: judging(name, options.repeats) for name in backends},
        "memory": {name: memory(name) for name in ("numpy", *backends)},
    }
    write("token_costs.json", json.dumps(data, indent=1) + "\n", options.out)
    print(write("token_costs.md", page(data), options.out))


if __name__ == "__main__":
    main()
