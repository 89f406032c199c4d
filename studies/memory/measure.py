"""How memory and time of a certificate grow with the draws: memory must not, time must be linear.

    python -m studies.memory

Each point is a process of its own: a chain in d = 2 with 40 steps (82 innovations a path, the start included), sampled and
judged in numpy. The last point judges 10^9 innovations.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

import exactness as ex

from .page import REPORTS, table, versions, write

STEPS, DIM = 40, 2
VALUES = (STEPS + 1) * DIM
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, -(-(10**9) // VALUES))


def sample(n: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    path = np.empty((n, STEPS + 1, DIM))
    path[:, 0] = generator.standard_normal((n, DIM))
    for i in range(STEPS):
        path[:, i + 1] = 0.9 * path[:, i] + 0.5 * generator.standard_normal((n, DIM))
    return path


def one(paths: int) -> dict[str, object]:
    """A whole certificate in this process; peak resident memory is that of the process, interpreter and libraries included."""
    law = ex.GaussianChain.from_mean(lambda k, x: 0.9 * x, sigma=np.full(STEPS, 0.5), dim=DIM)
    plan = ex.Plan(tolerance=0.99, first_paths=paths, max_paths=paths)
    judged = ex.certify(sample, law, plan=plan, name="plain")
    return {
        "paths": judged.paths,
        "innovations": judged.paths * VALUES,
        "verdict": judged.verdict.value,
        "sampling_s": judged.cost["seconds_sampling"],
        "judging_s": judged.cost["seconds_judging"],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure(paths: int) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-m", "studies.memory", "--one", str(paths)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def figure(points: list[dict], target: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    # Stable identifiers: the same numbers give the same file.
    matplotlib.rcParams["svg.hashsalt"] = "exactness"
    import matplotlib.pyplot as plt

    n = [p["innovations"] for p in points]
    left, (a, b) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    a.semilogx(n, [p["peak_mib"] for p in points], "o-", color="#1f4e79")
    a.axhline(1024, color="#b03030", linewidth=1, linestyle="--")
    a.set(xlabel="innovations judged", ylabel="peak resident memory (MiB)", ylim=(0, 1100), title="memory")
    b.loglog(n, [p["judging_s"] for p in points], "o-", color="#1f4e79", label="judging")
    b.loglog(n, [p["sampling_s"] for p in points], "s--", color="#7a7a7a", label="sampling")
    b.set(xlabel="innovations judged", ylabel="seconds", title="time")
    b.legend(frameon=False)
    for axis in (a, b):
        axis.spines[["top", "right"]].set_visible(False)
    left.savefig(target, metadata={"Date": None})
    plt.close(left)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, help="judge so many paths here and print what it took")
    parser.add_argument("--most", type=int, default=max(SIZES))
    parser.add_argument("--out", type=Path, default=REPORTS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    points = [measure(n) for n in SIZES if n <= options.most]
    write("memory.json", json.dumps(points, indent=1) + "\n", options.out)
    figure(points, options.out / "memory.svg")
    text = "# Memory and time of a certificate\n\n"
    text += f"Command: `python -m studies.memory`. {versions('numpy', 'scipy', 'exactness')}; 2 cores.\n\n"
    text += (
        __doc__.split("\n\n")[2].strip() + " Peak memory is that of the process, the interpreter and its libraries included.\n\n"
    )
    text += table(
        ("paths", "innovations", "verdict", "sampling, s", "judging, s", "peak memory, MiB"),
        [
            (
                f"{p['paths']:,}",
                f"{p['innovations']:,}",
                p["verdict"],
                f"{p['sampling_s']:.1f}",
                f"{p['judging_s']:.1f}",
                f"{p['peak_mib']:.0f}",
            )
            for p in points
        ],
    )
    text += "\n![memory and time against innovations](memory.svg)\n"
    print(write("memory.md", text, options.out))


if __name__ == "__main__":
    main()
