"""``lowser train`` and ``lowser predict``: a classifier of one's own, and what it answers.

Frozen layers under a regularised head by default: minutes on a laptop. The score on the card is of
speakers whose labels the head had not learned.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lowser_lib import corpora, splits
from lowser_lib.encoders import WhisperEncoder, known_names
from lowser_lib.errors import ProfileError, TrainingError
from lowser_lib.evaluation import METRICS, classification_metrics, speaker_bootstrap
from lowser_lib.experiments import data, paths, preparation
from lowser_lib.manifest import EMOTIONS, speaker_unknown
from lowser_lib.methods import classifier
from lowser_lib.methods.baseline import train_baseline
from lowser_lib.methods.frozen import FrozenConfig, cross_answers
from lowser_lib.sampling.clips import mel_clips
from lowser_lib.training import Execution, TrainingConfig

FOLDS = 5
"""Parts that speakers are dealt out to for the scores; our choice."""

HELD_OUT = 0.2
"""Share of the speakers that a fine-tuned model is scored on, and of the others by whom its epoch
is chosen; our choice."""


def run_train(options: argparse.Namespace) -> int:
    """Train, score and save a classifier.

    Raises:
        LowserError: A corpus, the encoder or the clips will not do; the message says why.
    """
    if not options.fine_tune:
        for setting in ("epochs", "seed"):
            if getattr(options, setting) is not None:
                raise ProfileError(f"--{setting} goes with --fine-tune: frozen layers need none")
    speech = data.load(options.corpora)
    table, classes = labelled(speech.manifest)
    whole = WhisperEncoder.load(options.encoder)
    kept = options.layers or (whole.n_layers if options.fine_tune else (whole.n_layers + 1) // 2)
    if not 1 <= kept <= whole.n_layers:
        raise ProfileError(f"--layers must be from 1 to {whole.n_layers}, not {kept}")
    encoder = whole.keep_layers(kept)
    name = options.encoder if options.encoder in known_names() else None
    config = FrozenConfig(standardisation=options.standardisation)
    notes: dict[str, Any] = {"training": _of_corpora(table, options.corpora)}
    shown = sys.stderr.isatty()
    if options.fine_tune:
        model, notes["scores"] = _fine_tuned(
            table, speech.roots, encoder, classes, config, options.epochs or 10, options.seed or 0
        )
        notes["training"]["recipe"] = "encoder fine-tuned, then frozen under a regularised head"
    else:
        model, clips = classifier.train(
            table, speech.roots, encoder, classes, layer=kept, encoder_name=name, config=config,
            cache=paths.features(), progress=shown,
        )  # fmt: skip
        notes["training"]["recipe"] = "frozen layers under a regularised head"
        try:
            for name_of, strangers, how in (
                ("scores", False, "all clips of a tested speaker and corpus heard together"),
                ("scores_alone", True, "each clip by itself, as `lowser predict` hears it"),
            ):
                answers = cross_answers(clips, config, len(classes), FOLDS, strangers)
                protocol = f"speakers dealt out to {FOLDS} folds, none in training and test; {how}"
                notes[name_of] = scores(
                    np.asarray(clips.labels), answers.argmax(axis=1), clips.speakers, classes,
                    protocol,
                )  # fmt: skip
        except TrainingError as error:
            notes["scores"] = {"protocol": f"none: {error}"}
    model.notes = {**notes, "asked": {"standardisation": options.standardisation, "C": config.C}}
    classifier.save(model, options.output)
    print(_summary(model, options.standardisation))
    print(f"saved in {options.output}")
    return 0


def labelled(table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The clips that have a class, and the classes that occur: the course's four first.

    Raises:
        TrainingError: Fewer than two classes occur.
    """
    rows = table[table["emotion"].notna()].reset_index(drop=True)
    known = set(rows["emotion"])
    classes = (*(c for c in EMOTIONS if c in known), *sorted(known - set(EMOTIONS)))
    if len(classes) < 2:
        labels = ", ".join(sorted(set(table["raw_label"].dropna().astype(str)))) or "none"
        raise TrainingError(
            f"{len(table)} clips fall into {len(classes)} class(es), and a classifier needs two; "
            f"labels found: {labels}. Name classes of your own in the table's column `emotion`"
        )
    return rows, classes


def scores(
    truth: np.ndarray,
    answers: np.ndarray,
    speakers: np.ndarray,
    classes: Sequence[str],
    protocol: str,
) -> dict[str, Any]:
    """Metrics with intervals over speakers, for the card."""
    # A class that nobody spoke and nothing was taken for has no score: it would count as 0.
    numbers = [n for n in range(len(classes)) if n in truth or n in answers]
    voices = np.where(speakers == "", "unknown", speakers).astype(str)
    card: dict[str, Any] = {"protocol": protocol, "clips": len(truth), "chance": 1 / len(classes)}
    for metric in METRICS:
        interval = speaker_bootstrap(truth, answers, voices, numbers, metric)
        ends = [None if np.isnan(end) else round(end, 4) for end in (interval.low, interval.high)]
        card[metric] = {"estimate": round(interval.estimate, 4), "interval_95": ends}
    return card


def _of_corpora(table: pd.DataFrame, names: Sequence[str]) -> dict[str, Any]:
    """What the card says of the clips."""
    entries = []
    for name in names:
        card = corpora.get(name).card
        rows = table[table["corpus"] == preparation.folder_name(name)]
        entries.append(
            {
                "name": name,
                "clips": len(rows),
                "speakers": int(rows.loc[~speaker_unknown(rows), "speaker"].nunique()),
                "languages": sorted(set(rows["language"])),
                "emotions": rows["emotion"].value_counts().sort_index().to_dict(),
                "elicitation": card.elicitation,
                "licence": card.licence,
            }
        )
    note = "A model made from speech falls under what the speech may be used for, too."
    return {"corpora": entries, "licence_note": note}


def _fine_tuned(
    table: pd.DataFrame,
    roots: Sequence[Path],
    encoder: WhisperEncoder,
    classes: Sequence[str],
    config: FrozenConfig,
    epochs: int,
    seed: int,
) -> tuple[classifier.Classifier, dict[str, Any]]:
    """Fine-tune on most speakers; score on the others."""
    known = table[~speaker_unknown(table)]
    rest, tested = splits.speaker_split(known, HELD_OUT, seed)
    learned, judges = splits.speaker_split(rest, HELD_OUT, seed)
    parts = [
        mel_clips(part, roots, n_mels=encoder.n_mels, cache=paths.features(), classes=classes)
        for part in (learned, judges)
    ]
    metric = partial(classification_metrics, labels=list(range(len(classes))))
    tuned, _ = train_baseline(
        encoder,
        *parts,
        metric=lambda truth, answers: metric(truth, answers)["macro_f1"],
        generator=torch.Generator().manual_seed(seed),
        training=TrainingConfig(epochs=epochs),
        n_classes=len(classes),
        execution=Execution(progress=sys.stderr.isatty()),
    )
    adapted = tuned.encoder
    if not isinstance(adapted, WhisperEncoder):
        raise TypeError(f"a Whisper encoder was trained, not {type(adapted).__name__}")
    adapted.requires_grad_(False)
    adapted.description += f"; fine-tuned on {', '.join(sorted(set(table['corpus'])))}"
    together = pd.concat([rest, tested], ignore_index=True)
    held_out = np.arange(len(together)) >= len(rest)
    model, clips = classifier.train(
        together.assign(emotion=together["emotion"].mask(held_out)),
        roots, adapted, classes, layer="output", config=config,
    )  # fmt: skip
    answers = model.model.probabilities(clips).argmax(axis=1)[held_out]
    truth = np.array([list(classes).index(emotion) for emotion in tested["emotion"]])
    protocol = f"{tested['speaker'].nunique()} speakers held out of all training"
    return model, scores(truth, answers, clips.speakers[held_out], classes, protocol)


def _summary(model: classifier.Classifier, asked: str) -> str:
    share, step = model.model.share, model.standardisation
    chosen = f"standardisation: {step}"
    if asked == "rule":
        value = "cannot be told" if np.isnan(share) else f"{share:.2f}"
        chosen += f" (by the rule: what speakers tell of the predicted emotion, {value})"
    lines = [
        f"classes: {', '.join(model.classes)}", f"encoder: {model.encoder.description}", chosen,
    ]  # fmt: skip
    for name in ("scores", "scores_alone"):
        of = model.notes.get(name)
        if of is None:
            continue
        lines.append(f"{name.replace('_', ' ')} ({of['protocol']}):")
        for metric in (metric for metric in METRICS if metric in of):
            low, high = of[metric]["interval_95"]
            span = f" [{low:.2f}, {high:.2f}]" if low is not None else " (one speaker: no interval)"
            lines.append(f"  {metric:<9} {of[metric]['estimate']:.3f}{span}")
    return "\n".join(lines)


def run_predict(options: argparse.Namespace) -> int:
    """Print what a classifier answers; files that cannot be heard are named and counted.

    Returns:
        0, or 1 where a file could not be heard.

    Raises:
        LowserError: The model cannot be used, or no file can be heard.
    """
    model = classifier.load(options.model)
    failed: list[str] = []
    voices = ["one"] * len(options.files) if options.one_speaker else None
    try:
        table = model.predict(options.files, voices, options.adapt, failed)
    finally:
        for message in failed:
            print(f"lowser: {message}", file=sys.stderr)
    if table.empty:
        raise ProfileError(f"none of {len(options.files)} files can be heard; see above")
    if options.csv:
        print(table.to_csv(lineterminator="\n"), end="")
    elif options.json:
        rows = [{"clip": clip, **row} for clip, row in table.to_dict("index").items()]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        print(table.round(3).to_string())
        reference = "these files as a corpus" if options.adapt else "the training corpora's average"
        voice = ", the one voice taken out" if voices and model.standardisation == "speaker" else ""
        print(f"standardised by {model.standardisation}: {reference}{voice}")
    if failed:
        print(f"{len(failed)} of {len(options.files)} files could not be heard", file=sys.stderr)
    return 1 if failed else 0
