"""The figures of the page, as SVG text. The same data give the same bytes."""

from __future__ import annotations

import io
import re

from ..text import plain
from .view import Section

# Colour-blind readers can tell these colours apart (Okabe and Ito 2008), and the shapes differ as well.
_MARKS = {"token_wise": ("o", "#0072b2"), "block": ("D", "#d55e00"), "sequential": ("|", "#444444")}


def speed_figure(section: Section) -> str:
    """The rounds per chain of each sampler of a law, by drafter, with a line for the sequential sampler's K.

    The text is empty if there are fewer than two drafters.
    """
    if len({drafter for drafter, *_ in section.speed}) < 2:
        return ""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    drafters = sorted({d for d, verifier, *_ in section.speed if verifier != "sequential"}, reverse=True)
    with plt.rc_context(
        {
            "svg.hashsalt": section.name,
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 9,
            "text.parse_math": False,
        }
    ):
        figure, axes = plt.subplots(figsize=(6.4, 0.3 * len(drafters) + 1.0))
        for offset, verifier in ((0.14, "token_wise"), (-0.14, "block")):
            points = [(r, drafters.index(d) + offset, held) for d, v, r, held in section.speed if v == verifier]
            mark, colour = _MARKS[verifier]
            axes.scatter(
                [p[0] for p in points], [p[1] for p in points], s=20, marker=mark, alpha=0.75, linewidths=0.8,
                edgecolors=colour, facecolors=[colour if p[2] else "none" for p in points], label=verifier.replace("_", "-"),
            )  # fmt: skip
        if section.steps:
            axes.axvline(section.steps, color="#888888", linewidth=1, linestyle=":")
            axes.annotate(
                "sequential", (section.steps, len(drafters) - 0.5), (-4, 0), textcoords="offset points",
                ha="right", va="center", fontsize=8, color="#666666",
            )  # fmt: skip
        axes.set_yticks(range(len(drafters)), [plain(drafter) for drafter in drafters])
        axes.set_ylim(-0.6, len(drafters) - 0.2)
        axes.set_xlim(left=0)
        axes.set_xlabel("rounds per chain (filled: certified)")
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    text = stream.getvalue()
    # The page's content security policy allows one style sheet, which has these two rules.
    return re.sub(r"\s*<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
