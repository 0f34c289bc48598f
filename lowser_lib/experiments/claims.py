"""What the two papers claim: one row a claim, with what is known of their figures.

P1 is Gong et al. 2025 (arXiv 2506.02059), P2 Khaertdinov et al. 2024 (arXiv 2406.07900); both are
known from their abstracts and a published summary. Ours are read from ``results/`` by
:mod:`lowser_lib.experiments.ledger_figures` and judged by :mod:`lowser_lib.experiments.ledger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LICENSED = "the licensed corpora and Whisper small.en on a GPU (profile paper)"

OWN_GPU = "the paper's corpora and sizes of model, not established here, on a GPU"

TAUGHT = (
    "synthetic emotions follow the same rules in every language, and nano was taught most of the "
    "cues that make them"
)
"""Why a score of nano on synthetic speech confirms nothing."""

TUNED = (
    "stage one's settings were chosen on some of the synthetic Urdu speakers that are tested on; "
    "which of them was not kept"
)
"""Why a score of speaker-contrastive learning on synthetic Urdu is no test. To choose anew on a
spare synthetic corpus would mend it: it takes stage one's searches, and all of its sweeps again."""


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and how it is tested here.

    Attributes:
        name: Short and unique, small letters and hyphens.
        paper: ``P1`` or ``P2``.
        says: What the paper says, in our words.
        figure: Its figure, as it is written; empty where none is known.
        test: What is measured here, and against what.
        measure: Name of a function in :data:`lowser_lib.experiments.ledger_figures.MEASURES`.
        arguments: Its arguments.
        effect: The paper's figure in the measure's unit; None where none is known.
        sign: 1 where the paper's direction is up, -1 where it is down.
        chapter: Two digits.
        heading: The section that shows it, as its heading reads.
        command: Makes the records; ``{profile}`` stands for the profile.
        needs: What a test on the paper's own ground would take.
        built: Profile -> why its verdict there is left out of the score.
    """

    name: str
    paper: str
    says: str
    figure: str
    test: str
    measure: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    effect: float | None = None
    sign: int = 1
    chapter: str = "03"
    heading: str = ""
    command: str = "lowser sweep baseline --profile {profile}"
    needs: str = LICENSED
    built: Mapping[str, str] = field(default_factory=dict)


_LANGUAGES = {"ur": "Urdu", "de": "German", "bn": "Bangla"}
_BASELINE = {"ur": 0.547, "de": 0.750, "bn": 0.572}
_GAIN = {"ur": 0.106, "de": 0.152, "bn": 0.139}
_METHODS = {"speaker_contrastive": "speaker-contrastive learning", "byol": "BYOL"}
_PAYS: dict[str, Any] = {"chapter": "05", "heading": "7 · Does it pay?"}
_BOTH = "lowser sweep speaker_contrastive --profile {profile} && lowser sweep byol " \
    "--profile {profile}"  # fmt: skip
_FOLDS: dict[str, Any] = {"chapter": "05", "heading": "8 · 29 speakers"}
_GENDERS: dict[str, Any] = {"chapter": "08", "heading": "1 · The gap", "command": _BOTH,
                            "built": {"fast": TUNED}}  # fmt: skip
_BUDGETS: dict[str, Any] = {"chapter": "07", "heading": "8 · On real speech", "needs": OWN_GPU,
            "command": "lowser sweep pairwise --profile {profile}"}  # fmt: skip

P1 = (
    *(Claim(
        f"baseline-{code}", "P1", f"An encoder fine-tuned on English emotions reads {language}",
        f"macro-F1 {_BASELINE[code]:.3f}", "the baseline's macro-F1 against a guesser's",
        "level", {"sweep": "baseline", "language": code}, _BASELINE[code],
        heading="6 · Zero-shot transfer", built={"fast": TAUGHT},
    ) for code, language in _LANGUAGES.items()),
    *(Claim(
        f"gain-{code}", "P1", f"On {language} the better of the two methods gains on the baseline",
        f"+{100 * _GAIN[code]:.1f} points macro-F1",
        "the better of the two less the baseline; the interval allows for the choice",
        "best_gain", {"sweeps": tuple(_METHODS), "language": code}, _GAIN[code],
        command=_BOTH, built={"fast": TUNED} if code == "ur" else {}, **_PAYS,
    ) for code, language in _LANGUAGES.items()),
    *(Claim(
        f"gain-{method.replace('_', '-')}", "P1", f"In every language {label} gains",
        "", "macro-F1 less the baseline's, mean over the languages whose speakers are known",
        "mean_gain", {"sweep": method}, command=f"lowser sweep {method} --profile {{profile}}",
        **_PAYS,
    ) for method, label in _METHODS.items()),
    Claim(
        "byol-accuracy", "P1", "BYOL reads Urdu", "accuracy 65.8 %, macro-F1 65.3 %",
        "BYOL's accuracy against a guesser's", "level",
        {"sweep": "byol", "language": "ur", "metric": "accuracy"}, 0.658,
        command="lowser sweep byol --profile {profile}", built={"fast": TAUGHT}, **_PAYS,
    ),
    Claim(
        "byol-better", "P1", "On Urdu BYOL is better than speaker-contrastive learning", "",
        "macro-F1 of BYOL less that of speaker-contrastive learning", "contrast",
        {"sweep": "byol", "other": "speaker_contrastive", "language": "ur"}, command=_BOTH,
        built={"fast": TUNED}, **_PAYS,
    ),
    *(Claim(
        f"byol-spread-{code}-{other.replace('_', '-')}", "P1",
        f"On {_LANGUAGES[code]} BYOL's scores differ more from fold to fold than those of {label}",
        "standard deviation above 5 points",
        f"standard deviation over five parts of the speakers, BYOL's less that of {label}, the "
        "same parts for both",
        "spread_change", {"sweep": "byol", "other": other, "language": code}, command=_BOTH,
        built={"fast": TUNED} if (code, other) == ("ur", "speaker_contrastive") else {}, **_FOLDS,
    ) for code in ("ur", "de") for other, label in (
        ("speaker_contrastive", "speaker-contrastive learning"), ("baseline", "the baseline"))),
    Claim(
        "gender-female", "P1", "Speaker-contrastive learning makes women's Urdu worse understood",
        "accuracy 74 → 41 %", "change of women's accuracy", "group_change",
        {"language": "ur", "group": "female"}, -0.33, sign=-1, **_GENDERS,
    ),
    Claim(
        "gender-male", "P1", "... and men's Urdu better understood", "accuracy 54 → 73 %",
        "change of men's accuracy", "group_change", {"language": "ur", "group": "male"}, 0.19,
        **_GENDERS,
    ),
    Claim(
        "gender-risk", "P1", "BYOL carries less gender risk", "",
        "the gap within emotions, women less men: after BYOL less after speaker-contrastive "
        "learning", "gap_contrast",
        {"language": "ur", "sweep": "byol", "other": "speaker_contrastive"}, **_GENDERS,
    ),
    Claim(
        "separation", "P1", "After self-supervision the classes separate better (t-SNE)", "",
        "macro-F1 of a probe within Urdu on frozen embeddings, after stage one less before: a "
        "picture is no measurement", "probe_change", {}, chapter="04",
        heading="7 · The conflict", command="lowser run --profile {profile} "
        "--chapters 04",
    ),
    Claim(
        "german-most", "P1", "German gains most, as it is nearest to English",
        "+15.2 against +10.6 and +13.9 points",
        "the better method's gain on German less the mean gain elsewhere", "gain_over_others",
        {"language": "de"}, 0.152 - (0.106 + 0.139) / 2, command=_BOTH,
        built={"fast": "synthetic German was given the habits nearest to English"},
        chapter="09", heading="4 · Distance and gain",
    ),
    Claim(
        "neutral-sad", "P1", "Neutral and sad are confused across languages", "",
        "of the clips of both that are answered with either, the share taken for the other, less "
        "that of the other pairs of emotions; baseline, mean over languages", "confused",
        {"pair": ("neutral", "sad")},
        heading="6 · Zero-shot transfer",
        built={"fast": "how far sad lies from neutral is a rule of the synthesiser"},
    ),
    Claim(
        "neutral-sad-mended", "P1", "Stage one mends that slightly", "",
        "change of that share with speaker-contrastive learning", "confused_change",
        {"pair": ("neutral", "sad")}, sign=-1, command=_BOTH, **_PAYS,
    ),
    Claim(
        "speaker-invariant", "P1", "Stage one makes representations speaker-invariant", "",
        "speakers told apart by new sentences, after less before", "identified_change",
        {"language": "ur"}, sign=-1, chapter="04", heading="6 · Before and after",
        command="lowser sweep speaker_contrastive --profile {profile} --languages ur",
    ),
    Claim(
        "share-male", "P1", "URDU is mostly men's", "86 % of the clips",
        "share of men's clips", "share_male", {"language": "ur"}, 0.86, chapter="01",
        heading="5 · Skew", needs="nothing more than URDU, which anyone can download",
        built=dict.fromkeys(("fast", "open", "paper"), "a count"),
    ),
)  # fmt: skip
"""Gong et al. 2025."""

_SPARSE = (1, 2, 4)
_VIEWS = {
    "together": ("Pairwise pre-training pays where labels are extremely sparse",
                 "up to 10 points UAR", 0.10),
    "egemaps": ("It pays for handcrafted features, too", "10 to 15 points UAR", 0.10),
    "mel": ("It pays for mel spectrograms", "notable gains", None),
    "wav2vec2": ("It pays for wav2vec 2.0", "notable gains", None),
}  # fmt: skip

P2 = (
    *(Claim(
        f"views-{view}", "P2", says, figure,
        "UAR pre-trained less from scratch at 1, 2 and 4 labels a class, mean over corpora",
        "budget_gain", {"view": view, "budgets": _SPARSE}, effect, **_BUDGETS,
    ) for view, (says, figure, effect) in _VIEWS.items()),
    Claim(
        "views-handcrafted-most", "P2", "Handcrafted features gain more than the other views", "",
        "that gain of eGeMAPS less the mean of the other two views'", "view_over_others",
        {"view": "egemaps", "budgets": _SPARSE}, **_BUDGETS,
    ),
    Claim(
        "views-shrink", "P2", "Gains shrink as labels grow", "",
        "the gain of all views together at 1, 2 and 4 labels a class less that at 32 and all",
        "gain_shrinks", {"view": "together", "few": _SPARSE, "many": (32, 0)}, **_BUDGETS,
    ),
    Claim(
        "views-own-speech", "P2",
        "Pre-training on the target's speech is compared with other speech (we read: it is better)",
        "", "UAR at 1, 2 and 4 labels, pre-trained on the target less on another corpus",
        "own_speech", {"view": "together", "budgets": _SPARSE},
        **{**_BUDGETS, "command": "lowser sweep pairwise --profile {profile} --name pairwise-other "
           "--set speech.pretrained_on=other"},
    ),
    Claim(
        "views-pwcca", "P2", "Pre-training aligns the views (PWCCA rises)", "",
        "PWCCA of pairs of views on held-out speakers, pre-trained less drawn weights",
        "pwcca_change", {}, **{**_BUDGETS, "heading": "9 · Do the views agree?",
               "command": "lowser run --profile {profile} --chapters 07",
               "needs": "PWCCA of several seeds: chapter 07 records one"},
    ),
    Claim(
        "views-separation", "P2", "Classes separate before any fine-tuning (t-SNE)", "",
        "UAR of a probe on frozen encoders with all labels, pre-trained less drawn weights",
        "budget_gain", {"view": "together", "budgets": (0,), "arms": ("probe", "untrained")},
        **_BUDGETS,
    ),
)  # fmt: skip
"""Khaertdinov et al. 2024."""

CLAIMS: tuple[Claim, ...] = (*P1, *P2)
"""All claims, P1's and then P2's."""
