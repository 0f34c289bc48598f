"""``lowser sweep lexical``: how much of a score is words, and what a contrast does against it.

    lowser sweep lexical --profile fast --seeds 5

A run is a way to train (an *arm*), a lean of the words toward the emotion, and a seed. It trains on
speech that leans (:mod:`lowser_lib.skews`) and is tested on all clips of speakers held out, among
which every emotion says every sentence. Each run leaves a record,
``results/PROFILE/sweeps/NAME/ARM-LEAN-SEED.json`` with the lean in per cent, and is not run again.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import pandas as pd
import torch
from tqdm import tqdm

from lowser_lib import files, skews, splits
from lowser_lib.encoders.saving import fingerprint
from lowser_lib.errors import ProfileError
from lowser_lib.evaluation.probing import probe
from lowser_lib.experiments import profiles, records, sweep_methods
from lowser_lib.experiments.profiles import Profile
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.sweep import change
from lowser_lib.experiments.sweep_baseline import baseline_settings
from lowser_lib.experiments.sweep_records import FOLDER, finished_at, new_record
from lowser_lib.experiments.sweep_speech import FOLDS, Speech, macro_f1, score
from lowser_lib.methods.text_invariant import ContrastConfig, train_text_invariant
from lowser_lib.training import Execution, TrainingConfig, classify, embed, make_fabric

#: The chapter that teaches it.
CHAPTER = "09"


#: Leans, our choice: none, half, most, all.
LEANS = (0.0, 0.5, 0.9, 1.0)


#: What is compared, and how it sets the contrast: cross-entropy alone; with a supervised contrast,
#: which pulls the clips of an emotion together; with one that pulls together what differs in words,
#: and pushes away what is the same in words.
ARMS: Mapping[str, Mapping[str, str]] = {
    "plain": {"positives": "none"},
    "supervised": {"positives": "emotion", "negatives": "all"},
    "invariant": {"positives": "other-text", "negatives": "same-text"},
}


@dataclass(frozen=True)
class LexicalSweepSettings:
    """What a sweep over leans is asked to do.

    Attributes:
        results: Folder for records.
        profile: Name of a profile.
        corpus: Name of a corpus in which every emotion says all sentences; None takes the
            profile's first source.
        leans: From 0 to 1.
        arms: Names in :data:`ARMS`.
        seeds: How many seeds, counted from 0; each holds other speakers out, and deals the
            sentences otherwise.
        jobs: Runs at a time; None takes the profile's number.
        changes: Settings that differ from the defaults, such as ``{"contrast.weight": 2.0}``.
        name: Name of the sweep, and of its folder.
        progress: Show a bar of runs on stderr.
    """

    results: Path
    profile: str = "fast"
    corpus: str | None = None
    leans: Sequence[float] = LEANS
    arms: Sequence[str] = tuple(ARMS)
    seeds: int = 5
    jobs: int | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    name: str = "lexical"
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse what makes no sweep."""
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}")
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs must be at least 1, not {self.jobs}")
        if unknown := [arm for arm in self.arms if arm not in ARMS]:
            raise ValueError(f"arms must be some of {', '.join(ARMS)}, not {unknown[0]!r}")


class Run(NamedTuple):
    """One training: arm, lean, seed, corpus, and settings by name."""

    arm: str
    lean: float
    seed: int
    corpus: str
    settings: Mapping[str, Any]


class Task(NamedTuple):
    """A run, where its record goes, and what that says of settings and speech."""

    run: Run
    path: Path
    config: dict[str, Any]
    hashes: dict[str, str]


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


def run(settings: LexicalSweepSettings, say: Callable[[str], None] = tqdm.write) -> list[RunRecord]:
    """Run what is missing of a sweep.

    Args:
        settings: What to run.
        say: Takes each line of the account; prints it by default.

    Returns:
        The records of all runs asked for, by arm, lean and seed.

    Raises:
        ProfileError: The profile or a setting is unknown, or the corpus is not the profile's.
        RunError: A record is damaged or of another sweep, or cannot be written.
        SplitError: The corpus has too few speakers, or sentences, for words to lean.
    """
    profile = profiles.get(settings.profile)
    speech = sweep_methods.speech_of(profile, False)
    tasks = _tasks(profile, speech, settings)
    done = {task.path: finished_at(task.path, task.config, task.hashes) for task in tasks}
    missing = [task for task in tasks if done[task.path] is None]
    if len(missing) < len(tasks):
        say(f"{len(tasks) - len(missing)} of {len(tasks)} runs are finished already")
    if missing:  # once, so that no two workers compute the same spectrograms
        speech.clips(_usable(speech, missing[0].run.corpus))
    commit = records.git_commit(Path(__file__).parent)
    gpu = torch.cuda.is_available()
    jobs = 1 if gpu else min(settings.jobs or profile.jobs, max(1, len(missing)))
    work = (joblib.delayed(_work)(profile, task, gpu) for task in missing)
    with warnings.catch_warnings():
        # A process that has grown in a training is replaced by a new one: nothing is lost.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        results = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
        hidden = not settings.progress
        for task, metrics, device, seconds in tqdm(
            results, total=len(missing), unit="run", disable=hidden
        ):
            record = new_record(
                chapter=CHAPTER,
                name=f"{settings.name}-{task.path.stem}",
                profile=profile.name,
                seed=task.run.seed,
                metrics=metrics,
                config=task.config,
                corpora=task.hashes,
                device=device,
                commit=commit,
                seconds=seconds,
            )
            files.write_json(task.path, asdict(record))
            done[task.path] = record
            say(f"[OK]   {record.name}  {seconds:.0f} s  UAR {metrics['uar']}")
    return [record for record in done.values() if record is not None]


def measure(speech: Speech, run: Run) -> dict[str, Any]:
    """Train on leaning speech, and test on the speakers held out.

    Returns:
        A record's measurements: ``uar`` by whose sentence it is (:data:`lowser_lib.skews.ROLES`)
        and of ``all`` clips, ``sentences`` (how well a probe tells which sentence is said, and its
        chance), ``loss`` of the last epoch, ``clips`` (training clips), ``owners``, and of each
        test clip, in order: ``speakers``, ``truth``, ``answers``, ``texts``, a digit or a name.
    """
    table = _usable(speech, run.corpus)
    rest, held_out = next(splits.speaker_folds(table, FOLDS, run.seed))
    splits.assert_speaker_disjoint(rest, held_out)
    owners = skews.own_sentences(table, run.seed)
    train = skews.leaning(rest, run.lean, skews.room(rest, owners), run.seed, owners)
    fabric = make_fabric(precision=speech.profile.precision)
    model, history = train_text_invariant(
        speech.encoder,
        speech.clips(train),
        train["text_id"].to_numpy(dtype=object),
        metric=macro_f1,
        generator=torch.Generator().manual_seed(run.seed),
        settings=run.settings["contrast"],
        baseline=run.settings["baseline"],
        training=run.settings["training"],
        execution=Execution(fabric),
    )
    clips = speech.clips(held_out)
    embeddings = embed(model.encoder, clips, fabric=fabric)
    truth, answers = clips.labels.numpy(), classify(model, embeddings, fabric).argmax(axis=1)
    role = skews.roles(held_out, owners)
    told = probe(embeddings.float().numpy(), held_out["text_id"], held_out["speaker"])
    parts = {name: role == name for name in skews.ROLES} | {"all": role != ""}
    found = {
        "uar": {
            name: score(truth[part], answers[part])["uar"]
            for name, part in parts.items()
            if part.any()
        },
        "sentences": {"uar": told.score, "chance": told.chance},
        "loss": history.rows[-1]["loss"],
        "clips": len(train),
        "owners": {emotion: list(texts) for emotion, texts in owners.items()},
        "speakers": list(held_out["speaker"]),
        "texts": list(held_out["text_id"]),
        "truth": "".join(map(str, truth)),
        "answers": "".join(map(str, answers)),
    }
    return dict(records.plain(found))


def _usable(speech: Speech, corpus: str) -> pd.DataFrame:
    """All clips of a corpus that have an emotion and a sentence."""
    found = speech.loaded.corpus(corpus)
    usable = found["emotion"].notna() & found["text_id"].notna()
    return found[usable].reset_index(drop=True)


def _tasks(profile: Profile, speech: Speech, settings: LexicalSweepSettings) -> list[Task]:
    """All runs asked for, whether finished or not."""
    corpus = settings.corpus or profile.sources[0]
    if corpus not in profile.labelled:
        known = ", ".join(profile.labelled)
        raise ProfileError(f"corpus {corpus!r} is not one of profile {profile.name}: {known}")
    changed = change(settings_of(profile), settings.changes)
    hashes = {corpus: speech.loaded.hashes[corpus]}
    folder = settings.results / profile.name / FOLDER / settings.name
    tasks = []
    for arm, lean, seed in product(settings.arms, settings.leans, range(settings.seeds)):
        contrast = change(changed, {f"contrast.{name}": value for name, value in ARMS[arm].items()})
        config = {
            "arm": arm,
            "lean": lean,
            "corpus": corpus,
            "encoder": profile.encoder,
            "encoder_sha256": fingerprint(speech.encoder),
            "precision": profile.precision,
            "folds": FOLDS,
            **contrast,
        }
        path = folder / f"{arm}-{round(100 * lean):03d}-{seed}.json"
        one = Run(arm, lean, seed, corpus, contrast)
        tasks.append(Task(one, path, records.plain(config), hashes))
    return tasks


def _work(profile: Profile, task: Task, gpu: bool) -> tuple[Task, dict[str, Any], Any, float]:
    """Train once and test, perhaps in a process of its own; with one thread, except on a GPU."""
    threads, begun = torch.get_num_threads(), time.monotonic()
    if not gpu:
        torch.set_num_threads(1)
    try:
        metrics = measure(sweep_methods.speech_of(profile, False), task.run)
        return task, metrics, records.device(), time.monotonic() - begun
    finally:
        torch.set_num_threads(threads)
