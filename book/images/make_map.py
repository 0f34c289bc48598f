"""Draw the map of the course, ``lowser_map.png``: how data flows, and which chapter teaches what.

Run it from anywhere: ``python book/images/make_map.py``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK = "#1f2933"
SOFT = "#52606d"
DATA, MODEL, RESULT = "#2a6f97", "#8a4f7d", "#b5651d"
FONT = "DejaVu Sans"


def badge(axes: Axes, x: float, y: float, chapter: str, colour: str) -> None:
    """Write a chapter's number on a small filled plate centred at (x, y)."""
    plate = {"boxstyle": "round,pad=0.28", "facecolor": colour, "edgecolor": "none"}
    axes.text(x, y, chapter, color="white", fontsize=9, fontweight="bold", ha="center",
              va="center", bbox=plate, family=FONT)  # fmt: skip


def box(
    axes: Axes,
    corner: tuple[float, float],
    size: tuple[float, float],
    title: str,
    lines: tuple[str, ...],
    chapters: tuple[str, ...],
    colour: str,
) -> None:
    """Draw a rounded box with a title, lines below it, and its chapters on the upper edge."""
    (x, y), (width, height) = corner, size
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.14",
                           facecolor="white", edgecolor=colour, linewidth=1.8)  # fmt: skip
    axes.add_patch(shape)
    axes.text(x + 0.16, y + height - 0.36, title, color=colour, fontsize=12.5, fontweight="bold",
              va="center", family=FONT)  # fmt: skip
    for i, line in enumerate(lines):
        axes.text(x + 0.16, y + height - 0.76 - 0.3 * i, line, color=INK, fontsize=9.2,
                  va="center", family=FONT)  # fmt: skip
    for i, chapter in enumerate(reversed(chapters)):
        badge(axes, x + width - 0.3 - 0.46 * i, y + height, chapter, colour)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float = 0
) -> None:
    """Draw an arrow between two points."""
    style = f"arc3,rad={bend}"
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=15, linewidth=1.6,
                                   color=SOFT, connectionstyle=style))  # fmt: skip


def draw(path: Path) -> None:
    """Draw the map and save it.

    Args:
        path: Where the picture goes; the ending decides its format.
    """
    figure, axes = plt.subplots(figsize=(12.4, 6.0))
    axes.set(xlim=(0, 15.5), ylim=(0, 7.5), aspect="equal")
    axes.axis("off")

    axes.text(0.2, 6.98, "LowSER: from raw speech to what can be claimed", fontsize=17,
              fontweight="bold", color=INK, family=FONT)  # fmt: skip
    axes.text(15.3, 7.0, "numbers on the plates are chapters", fontsize=9.5, color=SOFT,
              ha="right", family=FONT)  # fmt: skip

    box(axes, (0.2, 4.4), (3.1, 2.0), "Corpora",
        ("synthetic speech, built in", "RAVDESS, URDU, EmoDB", "a card each: who speaks,",
         "how, under which terms"), ("00", "01"), DATA)  # fmt: skip
    box(axes, (4.1, 4.4), (3.1, 2.0), "Manifest",
        ("one table for all corpora", "one row an utterance", "four emotions, 0.5–12 s",
         "a skew table"), ("01",), DATA)  # fmt: skip
    box(axes, (8.0, 4.4), (3.1, 2.0), "Splits",
        ("no speaker on both sides", "folds, validation speakers", "label budgets:",
         "1, 2, 4, … a class"), ("01",), DATA)  # fmt: skip
    box(axes, (12.1, 4.4), (3.2, 2.0), "Views",
        ("log-mel spectrogram", "wav2vec 2.0, eGeMAPS-88", "seven augmentations,",
         "heard and seen"), ("02", "06"), MODEL)  # fmt: skip

    box(axes, (12.1, 0.75), (3.2, 2.0), "Encoder",
        ("Whisper, cut to the clip", "frozen stem and positions", "masked time average:",
         "one vector an utterance"), ("03",), MODEL)  # fmt: skip

    frame = FancyBboxPatch((4.75, 0.2), 6.35, 3.1, boxstyle="round,pad=0,rounding_size=0.14",
                           facecolor="#faf5f9", edgecolor=MODEL, linewidth=1.8)  # fmt: skip
    axes.add_patch(frame)
    axes.text(4.95, 2.95, "Methods", color=MODEL, fontsize=12.5, fontweight="bold", va="center",
              family=FONT)  # fmt: skip
    axes.text(6.65, 2.95, "learning with few labels, or none", color=SOFT, fontsize=9.2,
              va="center", family=FONT)  # fmt: skip
    methods = (
        ((4.98, 1.56), "Baseline", "labels of another language", "03"),
        ((8.06, 1.56), "Speaker-contrastive", "NT-Xent, then emotion", "04"),
        ((4.98, 0.36), "BYOL", "no negatives; λ schedule", "05"),
        ((8.06, 0.36), "Pairwise contrastive", "views agree; label budgets", "07"),
    )
    for (x, y), title, line, chapter in methods:
        axes.add_patch(FancyBboxPatch((x, y), 2.86, 0.94, boxstyle="round,pad=0,rounding_size=0.1",
                                      facecolor="white", edgecolor="#cbb3c5"))  # fmt: skip
        axes.text(x + 0.14, y + 0.62, title, color=INK, fontsize=10, fontweight="bold",
                  va="center", family=FONT)  # fmt: skip
        axes.text(x + 0.14, y + 0.26, line, color=INK, fontsize=8.4, va="center", family=FONT)
        badge(axes, x + 2.56, y + 0.94, chapter, MODEL)

    box(axes, (0.2, 0.2), (3.75, 3.1), "Evaluation",
        ("macro-F1 and UAR", "with intervals over speakers", "yardsticks: majority, eGeMAPS",
         "bias: what a gender gap is", "made of, and how to shrink it",
         "the papers' claims against",
         "what was measured here"),
        ("03", "08", "09"), RESULT)  # fmt: skip

    arrow(axes, (3.35, 5.3), (4.05, 5.3))
    arrow(axes, (7.25, 5.3), (7.95, 5.3))
    arrow(axes, (11.15, 5.3), (12.05, 5.3))
    arrow(axes, (13.7, 4.35), (13.7, 2.82))
    arrow(axes, (12.05, 1.75), (11.15, 1.75))
    arrow(axes, (4.7, 1.75), (4.0, 1.75))
    arrow(axes, (9.55, 4.35), (9.55, 3.35))
    axes.text(9.72, 3.9, "speakers, labels", color=SOFT, fontsize=8.8, va="center", family=FONT)
    axes.text(13.87, 3.9, "frames", color=SOFT, fontsize=8.8, va="center", family=FONT)

    # No date and version inside, so that the same drawing is the same file.
    figure.savefig(path, dpi=130, facecolor="white", bbox_inches="tight", pad_inches=0.12,
                   metadata={"Software": None})  # fmt: skip
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).with_name("lowser_map.png"))
