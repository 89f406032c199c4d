"""The page of the character models, written from the numbers of `measure.measured`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..page import REPORTS, table, versions, write


def write_page(found: dict[str, Any], out: Path = REPORTS) -> Path:
    """Write characters.md."""
    train, held_out = found["split"]
    head = ("model", "parameters", "file, kB", "training, s", "bits, training", "bits, held out", "microseconds")
    rows = [
        (
            m["name"], f"{m['parameters']:,}", f"{m['bytes'] / 1e3:.0f}", m["seconds"],
            *(f"{b:.3f}" for b in m["bits"]), f"{1e6 * m['cost']:.2f}",
        )
        for m in found["models"]
    ]  # fmt: skip
    lines = "\n\n".join("\n".join(f"    {line}" for line in text.split("\n")) for text in found["texts"])
    return write(
        "characters.md",
        "# Models of characters\n\n"
        f"Command: `python -m studies.characters`. {versions('torch', 'safetensors')}; one core. The models were trained with\n"
        f"{found['versions']}.\n\n"
        f"A target and a draft model of English, trained on `pydoc_data/topics.py` of Python ({train:,} characters; another\n"
        f"{held_out:,} are held out). They see 64 characters and have an alphabet of 96. Both are saved in half precision and\n"
        "computed in single precision. Bits are per character, in windows of 64; the last column is the time per character in\n"
        "one pass over whole windows, in torch.\n\n" + table(head, rows, right=6) + "\n"
        f"On held-out text the mean overlap of the two laws, the sum of min(p, q), is **{found['overlap']:.3f}**. It is the share\n"
        "of drafts that token-wise verification accepts.\n\n"
        "What the target writes after each of the prompts:\n\n" + lines + "\n",
        out,
    )
