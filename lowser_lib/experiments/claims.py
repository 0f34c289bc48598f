"""What the two papers claim: each figure that is known of them, and how it is read here.

P1 is Gong et al. 2025 (arXiv 2506.02059), P2 Khaertdinov et al. 2024 (arXiv 2406.07900). Their
figures stand here; ours are read from ``results/`` by
:mod:`lowser_lib.experiments.ledger_figures`. A level of theirs (an F1 of .547) cannot be compared
with one of ours, from another encoder and other clips: its *reading* is the direction that it
stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LICENSED = "the licensed corpora and Whisper small.en on a GPU (profile paper)"


OWN_GPU = "the paper's corpora and sizes of model, which are not known here, on a GPU"


@dataclass(frozen=True)
class Claim:
    """A figure of a paper, and what would have to be so here.

    Attributes:
        name: Short and unique, small letters and hyphens.
        paper: ``P1`` or ``P2``.
        says: What the paper says, in our words.
        figure: Its figure.
        reading: The direction that we look for.
        measure: Name of a function in :data:`lowser_lib.experiments.ledger_figures.MEASURES`.
        arguments: Its arguments.
        chapter: Two digits.
        heading: The section that shows it, as its heading reads.
        command: Makes the records; ``{profile}`` stands for the profile.
        needs: What a test on the paper's own ground would take.
    """

    name: str
    paper: str
    says: str
    figure: str
    reading: str
    measure: str
    chapter: str
    heading: str
    command: str
    needs: str = LICENSED
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _levels() -> list[Claim]:
    return [
        Claim(
            name=f"baseline-{language}",
            paper="P1",
            says=f"An encoder fine-tuned on English emotions reads {name}",
            figure=f"macro-F1 {figure}",
            reading="above naming the commonest emotion always",
            measure="level",
            arguments={"sweep": "baseline", "language": language, "metric": "macro_f1"},
            chapter="03",
            heading="Five seeds, and other splits",
            command="lowser sweep baseline --profile {profile}",
        )
        for language, name, figure in (
            ("ur", "Urdu", ".547"), ("de", "German", ".750"), ("bn", "Bangla", ".572"),
        )
    ]  # fmt: skip


def _gains() -> list[Claim]:
    return [
        Claim(
            name=f"gain-{language}",
            paper="P1",
            says=f"On {name} the better of the two methods gains on the baseline",
            figure=f"+{figure} points macro-F1",
            reading="the better of the two above the baseline; the interval allows for the choice",
            measure="best_gain",
            arguments={"sweeps": ("speaker_contrastive", "byol"), "language": language},
            chapter="05",
            heading="9 · Does it pay?",
            command="lowser sweep speaker_contrastive --profile {profile} && "
            "lowser sweep byol --profile {profile}",
        )
        for language, name, figure in (
            ("ur", "Urdu", "10.6"), ("de", "German", "15.2"), ("bn", "Bangla", "13.9"),
        )
    ]  # fmt: skip


def _byol() -> list[Claim]:
    levels = [
        Claim(
            name=f"byol-ur-{metric.replace('_', '-')}",
            paper="P1",
            says="BYOL is the better method on Urdu",
            figure=f"{figure} {metric.replace('_f1', '-F1')}",
            reading="BYOL above the baseline",
            measure="best_gain",
            arguments={"sweeps": ("byol",), "language": "ur", "metric": metric},
            chapter="05",
            heading="9 · Does it pay?",
            command="lowser sweep byol --profile {profile} --languages ur",
        )
        for metric, figure in (("accuracy", "65.8 %"), ("macro_f1", "65.3 %"))
    ]
    spreads = [
        Claim(
            name=f"byol-spread-{language}",
            paper="P1",
            says=f"BYOL's scores differ much from fold to fold on {name}",
            figure="standard deviation above 5 points",
            reading="standard deviation over five parts of the speakers above 5 points",
            measure="spread",
            arguments={"sweep": "byol", "language": language, "threshold": 0.05},
            chapter="05",
            heading="10 · 29 speakers",
            command=f"lowser sweep byol --profile {{profile}} --languages {language}",
        )
        for language, name in (("ur", "Urdu"), ("de", "German"))
    ]
    return levels + spreads


_GENDERS = (
    "lowser sweep speaker_contrastive --profile {profile} --languages ur && "
    "lowser run --profile {profile} --chapters 08"
)


_BIAS = [
    Claim(
        name="gender-female",
        paper="P1",
        says="Speaker-contrastive learning makes women's Urdu worse understood",
        figure="accuracy 74 → 41 %",
        reading="women's accuracy falls",
        measure="group_change",
        arguments={"language": "ur", "group": "female", "sign": -1},
        chapter="08",
        heading="1 · The gap",
        command=_GENDERS,
    ),
    Claim(
        name="gender-male",
        paper="P1",
        says="... and men's better",
        figure="accuracy 54 → 73 %",
        reading="men's accuracy rises",
        measure="group_change",
        arguments={"language": "ur", "group": "male", "sign": 1},
        chapter="08",
        heading="1 · The gap",
        command=_GENDERS,
    ),
    Claim(
        name="gender-conditional",
        paper="P1",
        says="... so that the method favours men (our reading: emotion by emotion)",
        figure="women less men +20 → −32 points, raw",
        reading="the class-conditional gap, women less men, falls",
        measure="conditional_change",
        arguments={"language": "ur"},
        chapter="08",
        heading="1 · The gap",
        command=_GENDERS,
    ),
    Claim(
        name="share-male",
        paper="P1",
        says="URDU is mostly men's",
        figure="86 % of the clips",
        reading="more than half of the clips are men's",
        measure="share_male",
        arguments={"language": "ur"},
        chapter="01",
        heading="5 · Skew",
        command="lowser run --profile {profile} --chapters 08",
        needs="nothing more than URDU, which anyone can download",
    ),
    Claim(
        name="speaker-invariant",
        paper="P1",
        says="The first stage makes representations speaker-invariant",
        figure="no figure given",
        reading="speakers of new sentences are told apart less well than before",
        measure="identified_change",
        arguments={"sweep": "speaker_contrastive", "language": "ur"},
        chapter="04",
        heading='7 · "Invariant"',
        command="lowser sweep speaker_contrastive --profile {profile} --languages ur",
    ),
]


_VIEWS = [
    Claim(
        name=f"views-{view}",
        paper="P2",
        says=says,
        figure=figure,
        reading="pre-training above none at 1, 2 and 4 labels a class, taken as repeated trainings",
        measure="budget_gain",
        arguments={"view": view, "budgets": (1, 2, 4)},
        chapter="07",
        heading="8 · On real speech",
        command="lowser sweep pairwise --profile {profile}",
        needs=OWN_GPU,
    )
    for view, says, figure in (
        (
            "together",
            "Pairwise pre-training pays where labels are extremely sparse",
            "up to 10 points UAR",
        ),
        ("egemaps", "It pays most for handcrafted features", "10 to 15 points UAR"),
    )
]


CLAIMS: tuple[Claim, ...] = (*_levels(), *_gains(), *_byol(), *_BIAS, *_VIEWS)
"""All claims, P1's and then P2's."""
