"""The records of a sweep: what is measured in a run, and what makes a run finished.

A record holds the settings and the hashes of the speech that it came from. It stands for a run only
where both are those of the sweep at hand; so records of other settings, of another encoder or of
other speech are never averaged with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from lowser_lib.encoders.saving import fingerprint
from lowser_lib.errors import RunError
from lowser_lib.experiments import profiles, records, sweep_methods
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.sweep_methods import Method, Speech, Trained
from lowser_lib.training import classify, embed, make_fabric, match_embeddings

FOLDER = "sweeps"
"""Below a profile's results, where the records of sweeps lie."""


MATCHING = ("none", "embeddings")
"""Embeddings of the target as they are, or matched to the source's; no label is used."""


def record_path(results: Path, profile: str, name: str, language: str, seed: int) -> Path:
    """File of one run's record."""
    return results / profile / FOLDER / name / f"{language}-{seed}.json"


class Plan(NamedTuple):
    """What a record of one language has to say about itself to be taken as finished.

    Attributes:
        config: Settings.
        corpora: Hashes of the speech.
        training: A short name for what a training follows from, besides its seed.
    """

    config: dict[str, Any]
    corpora: dict[str, str]
    training: str


def plan_of(method: Method, speech: Speech, language: str, settings: Mapping[str, Any]) -> Plan:
    """Everything that a run follows from, but for its seed.

    Args:
        method: What is trained.
        speech: On what.
        language: The target language.
        settings: The method's, data classes by name.
    """
    profile = speech.profile
    heard = [
        *speech.labelled_corpora(),
        *(profile.unlabelled[language] if method.unlabelled else ()),
    ]
    config = {
        "encoder": profile.encoder,
        "encoder_sha256": fingerprint(speech.encoder),
        "precision": profile.precision,
        "max_source_clips": profile.max_source_clips,
        "max_unlabelled_clips": profile.max_unlabelled_clips if method.unlabelled else None,
        "folds": sweep_methods.FOLDS,
        "validation": sweep_methods.VALIDATION,
        "unheard": sweep_methods.UNHEARD if method.unlabelled else None,
        **speech.settings,
        **settings,
    }
    hashes = {name: speech.loaded.hashes[name] for name in heard}
    own = language if method.per_language else "all"
    parts = json.dumps([method.name, own, records.plain(config), hashes], sort_keys=True)
    training = f"{own}-{hashlib.sha256(parts.encode()).hexdigest()[:12]}"

    target = speech.tested_corpus(language)
    config |= {
        "method": method.name,
        "language": language,
        "max_target_clips": profile.max_target_clips,
    }
    corpora = {**hashes, target: speech.loaded.hashes[target]}
    return Plan(records.plain(config), corpora, training)


def finished(
    results: Path, profile: str, name: str, language: str, seed: int, plan: Plan
) -> RunRecord | None:
    """The record of a finished run, or None where there is none yet.

    Args:
        results: Folder for records.
        profile: The profile.
        name: The sweep's name.
        language: The target language.
        seed: The run's seed.
        plan: What the record has to say about itself.

    Raises:
        RunError: It is damaged, or comes from other settings or other speech.
    """
    place = (results, profile, name, language, seed)
    path = record_path(*place)
    if not path.is_file():
        return None
    record = read(*place)
    refuse_other(record, path, plan.config, plan.corpora)
    return record


def finished_at(
    path: Path, config: Mapping[str, Any], corpora: Mapping[str, str]
) -> RunRecord | None:
    """The record of a finished run at a path of its own; None where there is none yet.

    Args:
        path: ``RESULTS/PROFILE/sweeps/NAME/RUN.json``.
        config: The settings, as they read when they come back from a file.
        corpora: The speech, hashes by name.

    Raises:
        RunError: It is damaged, or comes from other settings or other speech.
    """
    if not path.is_file():
        return None
    folder = path.parent
    name = f"{FOLDER}/{folder.name}/{path.stem}"
    record = records.load_record(folder.parents[2], folder.parents[1].name, name)
    refuse_other(record, path, config, corpora)
    return record


def new_record(*, seconds: float, **fields: Any) -> RunRecord:
    """The record of a run that ends now, by this version.

    Args:
        seconds: Time that it took.
        **fields: The fields of a :class:`RunRecord` that follow from the run: ``chapter``,
            ``name``, ``profile``, ``seed``, ``metrics``, ``config``, ``corpora``, ``device`` and
            ``commit``.
    """
    return RunRecord(
        schema=records.SCHEMA,
        versions=records.versions(),
        seconds=round(seconds, 1),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        **fields,
    )


def refuse_other(
    record: RunRecord, path: Path, config: Mapping[str, Any], corpora: Mapping[str, str]
) -> None:
    """Raise a RunError unless a record comes from these settings and this speech.

    Args:
        record: As it was read.
        path: Its file, for the message.
        config: The settings, as they read when they come back from a file.
        corpora: The speech, hashes by name.
    """
    for what, found, wanted in (
        ("settings", record.config, config),
        ("speech", record.corpora, corpora),
    ):
        keys = sorted({**found, **wanted})
        differing = [key for key in keys if found.get(key) != wanted.get(key)]
        if differing:
            raise RunError(
                f"{path} comes from other {what} ({', '.join(differing)}); move the folder away, "
                "or write to another with --results or --name"
            )


def read(results: Path, profile: str, name: str, language: str, seed: int) -> RunRecord:
    """Read a run's record.

    Args:
        results: Folder for records.
        profile: The profile.
        name: The sweep's name, usually the method's.
        language: The target language.
        seed: The run's seed.

    Raises:
        RunError: It is missing, damaged, or not the record of a sweep.
    """
    path = record_path(results, profile, name, language, seed)
    if not path.is_file():
        raise RunError(f"there is no record {path}; make it with: lowser sweep METHOD")
    try:
        record = records.load_record(results, profile, f"{FOLDER}/{name}/{path.stem}")
        for matching in MATCHING:
            float(record.metrics["transfer"][matching]["macro_f1"])
        predictions(record)
    except RunError as error:
        raise RunError(f"{error} (here: run the sweep again)") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"{path} is not the record of a sweep ({error!r}); delete it and run the sweep again"
        ) from error
    return record


def read_all(results: Path, profile: str, name: str) -> list[RunRecord]:
    """Read whatever records a sweep has left; an empty list where there are none.

    Args:
        results: Folder for records.
        profile: The profile.
        name: The sweep's name.

    Returns:
        One record a run, languages in the order of the profile's targets, seeds counted up.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or not the record of a sweep.
    """
    folder = results / profile / FOLDER / name
    found = [path.stem.rpartition("-") for path in folder.glob("*-*.json")]
    runs = [(language, int(seed)) for language, _, seed in found if seed.isdecimal()]
    languages = list(profiles.get(profile).targets)
    order = sorted(run for run in runs if run[0] in languages)
    order.sort(key=lambda run: languages.index(run[0]))
    return [read(results, profile, name, *run) for run in order]


def predictions(record: RunRecord) -> dict[str, np.ndarray]:
    """Truth and answers of a run, clip by clip.

    Args:
        record: Of a run.

    Returns:
        ``speaker``, ``truth`` and each of :data:`MATCHING`, shape (n,); classes as numbers.

    Raises:
        ValueError: The numbers of clips do not agree.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("speaker", "truth", *MATCHING)}
    for speaker, answers in record.metrics["clips"].items():
        columns["speaker"] += [speaker] * len(answers["truth"])
        for name in ("truth", *MATCHING):
            columns[name] += [int(digit) for digit in answers[name]]
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("truth and answers have different numbers of clips")
    return {name: np.array(column) for name, column in columns.items()}


def measure(speech: Speech, trained: Trained, seed: int, language: str) -> dict[str, Any]:
    """Test a classifier on a target language, and on the English speakers held out.

    Returns:
        A record's measurements: ``transfer`` (by matching: accuracy, macro_f1, uar), ``held_out``
        (the same three), ``validation`` and ``epoch``, ``clips`` (truth and answers by speaker, a
        digit a clip), ``genders`` (by speaker), and the method's own facts.
    """
    fabric = make_fabric(precision=speech.profile.precision)
    model, history = trained.model, trained.history
    train, _, held_out = speech.split(seed)

    def embedded(table: pd.DataFrame) -> torch.Tensor:
        return embed(model.encoder, speech.clips(table), fabric=fabric)

    def answers(embeddings: torch.Tensor) -> np.ndarray:
        return np.asarray(classify(model, embeddings, fabric).argmax(axis=1))

    target = speech.target(language)
    plain = embedded(target)
    found = {
        "truth": speech.clips(target).labels.numpy(),
        "none": answers(plain),
        "embeddings": answers(match_embeddings(plain, embedded(train))),
    }
    by_speaker = {
        str(speaker): {name: "".join(map(str, column[rows])) for name, column in found.items()}
        for speaker, rows in target.groupby("speaker").indices.items()
    }
    metrics = {
        "transfer": {name: sweep_methods.score(found["truth"], found[name]) for name in MATCHING},
        "held_out": sweep_methods.score(
            speech.clips(held_out).labels.numpy(), answers(embedded(held_out))
        ),
        "validation": max(history["score"]),
        "epoch": history.best_epoch,
        **trained.facts,
        "clips": by_speaker,
        "genders": dict(zip(target["speaker"], target["gender"], strict=True)),
    }
    return dict(records.plain(metrics))
