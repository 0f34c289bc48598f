"""``lowser sweep lexical``: how much of a score is words, and what a contrast does against it.

    lowser sweep lexical --profile fast --seeds 5

A run is a way to train (an *arm*), a lean of the words toward the emotion, and a seed. It trains on
speech that leans (:mod:`lowser_lib.skews`) and is tested on all clips of speakers held out, among
which every emotion says every sentence. A record's file is ``ARM-LEAN-SEED.json``, the lean in per
cent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from lowser_lib import skews
from lowser_lib.encoders.whisper import fingerprint
from lowser_lib.errors import ProfileError, SplitError
from lowser_lib.evaluation.probing import probe
from lowser_lib.experiments import data, records
from lowser_lib.experiments.engine import Run, Sweep, change
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.registry import baseline_settings
from lowser_lib.experiments.speech import (
    FOLDS,
    LeaningSpeech,
    leaning_speech,
    macro_f1,
    score,
    with_sentences,
)
from lowser_lib.methods.text_invariant import ContrastConfig, train_text_invariant
from lowser_lib.training import Execution, TrainingConfig, classify, embed, make_fabric

LEANS = (0.0, 0.5, 0.9, 1.0)
"""Leans, our choice: none, half, most, all."""


ARMS: Mapping[str, Mapping[str, str]] = {
    "plain": {"positives": "none"},
    "supervised": {"positives": "emotion", "negatives": "all"},
    "invariant": {"positives": "other-text", "negatives": "same-text"},
}
"""What is compared, and how it sets the contrast: cross-entropy alone; with a supervised contrast,
which pulls the clips of an emotion together; with one that pulls together what differs in words,
and pushes away what is the same in words."""


@dataclass(frozen=True, kw_only=True)
class LexicalSweep(Sweep):
    """Arms over leans and seeds; a seed holds other speakers out, and deals sentences otherwise.

    Attributes:
        corpus: Name of a corpus in which every emotion says all sentences; None takes the first of
            the profile's that is so.
        leans: From 0 to 1.
        arms: Names in :data:`ARMS`.
    """

    corpus: str | None = None
    leans: Sequence[float] = LEANS
    arms: Sequence[str] = tuple(ARMS)

    chapter = "09"
    usual_name = "lexical"

    def __post_init__(self) -> None:
        """Refuse what makes no sweep."""
        super().__post_init__()
        if unknown := [arm for arm in self.arms if arm not in ARMS]:
            raise ValueError(f"arms must be some of {', '.join(ARMS)}, not {unknown[0]!r}")

    def plan(self) -> list[Run]:
        """A run an arm, lean and seed."""
        profile = self.profile
        changed = change(settings_of(profile), self.changes)
        heard = leaning_speech(profile, self.corpus or crossed_corpus(profile))
        (corpus,) = heard.loaded.hashes
        skews.own_sentences(heard.table, 0)  # too few sentences are told before anything is run
        runs = []
        for arm, lean, seed in product(self.arms, self.leans, range(self.seeds)):
            contrast = {f"contrast.{name}": value for name, value in ARMS[arm].items()}
            settings = change(changed, contrast)
            config = {
                "arm": arm,
                "lean": lean,
                "corpus": corpus,
                "encoder": profile.encoder,
                "encoder_sha256": fingerprint(heard.encoder),
                "precision": profile.precision,
                "folds": FOLDS,
                **settings,
            }
            stem = f"{arm}-{round(100 * lean):03d}-{seed}"
            hashes = heard.loaded.hashes
            runs.append(Run(stem, seed, settings, records.plain(config), hashes))
        return runs

    def prepare(self, missing: Sequence[Run]) -> None:
        """Compute spectrograms."""
        heard = leaning_speech(self.profile, missing[0].config["corpus"])
        heard.clips(heard.table)

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Train on leaning speech, and test on the speakers held out."""
        (run,) = runs
        return {run.stem: measure(leaning_speech(self.profile, run.config["corpus"]), run)}

    def line(self, record: RunRecord) -> str:
        """UAR by whose sentence it is."""
        return f"  UAR {record.metrics['uar']}"


def settings_of(profile: Profile) -> dict[str, Any]:
    """The settings of all arms in a profile, data classes by name."""
    return {
        **baseline_settings(profile),
        # A third of the profile's clips are left, so twice its passes.
        "training": TrainingConfig(
            epochs=2 * profile.epochs, batch_size=profile.batch_size, patience=None
        ),
        "contrast": ContrastConfig(),
    }


def crossed_corpus(profile: Profile) -> str:
    """The profile's first labelled corpus in which every emotion says all sentences, four or more.

    Raises:
        ProfileError: There is none.
    """
    for name in profile.labelled:
        table = with_sentences(data.load([name], jobs=profile.jobs).corpus(name))
        try:
            if skews.room(table, skews.own_sentences(table, 0)):
                return name
        except SplitError:
            continue
    raise ProfileError(
        f"profile {profile.name} has no labelled corpus in which every emotion says all sentences, "
        "four or more: name one with --corpora"
    )


def measure(heard: LeaningSpeech, run: Run) -> dict[str, Any]:
    """Train on leaning speech, and test on the speakers held out.

    Returns:
        A record's measurements: ``uar`` by whose sentence it is (:data:`lowser_lib.skews.ROLES`)
        and of ``all`` clips, ``sentences`` (how well a probe tells which sentence is said, and its
        chance), ``loss`` of the last epoch, ``clips`` (training clips), ``owners``, and of each
        test clip, in order: ``speakers``, ``truth``, ``answers``, ``texts``, a digit or a name.
    """
    train, held_out, owners = heard.leaning(run.config["lean"], run.seed)
    fabric = make_fabric(precision=heard.profile.precision)
    model, history = train_text_invariant(
        heard.encoder,
        heard.clips(train),
        train["text_id"].to_numpy(dtype=object),
        metric=macro_f1,
        generator=torch.Generator().manual_seed(run.seed),
        settings=run.settings["contrast"],
        baseline=run.settings["baseline"],
        training=run.settings["training"],
        execution=Execution(fabric),
    )
    clips = heard.clips(held_out)
    embeddings = embed(model.encoder, clips, fabric=fabric)
    truth, answers = clips.labels.numpy(), classify(model, embeddings, fabric).argmax(axis=1)
    role = skews.roles(held_out, owners)
    sentences = probe(embeddings.float().numpy(), held_out["text_id"], held_out["speaker"])
    parts = {name: role == name for name in skews.ROLES} | {"all": role != ""}
    metrics = {
        "uar": {
            name: score(truth[part], answers[part])["uar"]
            for name, part in parts.items()
            if part.any()
        },
        "sentences": {"uar": sentences.score, "chance": sentences.chance},
        "loss": history.rows[-1]["loss"],
        "clips": len(train),
        "owners": {emotion: list(texts) for emotion, texts in owners.items()},
        "speakers": list(held_out["speaker"]),
        "texts": list(held_out["text_id"]),
        "truth": "".join(map(str, truth)),
        "answers": "".join(map(str, answers)),
    }
    return dict(records.plain(metrics))
