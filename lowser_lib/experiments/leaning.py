"""``lowser sweep leaning``: how much of a score is words, where an encoder stays frozen.

    lowser sweep leaning --profile open --encoder tiny.en --corpora nemo emodb --seeds 3

As in :mod:`.lexical` heads learn from speech whose words lean toward the emotion, and are tested
where the words help, say nothing, or mislead. It takes seconds, so it is asked of people, too. A
record's file is ``CORPUS-SEED.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import nn

from lowser_lib import plots, skews, splits
from lowser_lib.encoders.heads import draw_linear
from lowser_lib.evaluation import Answers
from lowser_lib.evaluation.intervals import of_counts, speaker_weights
from lowser_lib.evaluation.probing import probe
from lowser_lib.experiments import data, paths, records
from lowser_lib.experiments.engine import Run, Sweep, change
from lowser_lib.experiments.frozen import view_of
from lowser_lib.experiments.lexical import LEANS, crossed_corpus
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.speech import with_sentences
from lowser_lib.losses import text_invariant_nt_xent
from lowser_lib.manifest import EMOTIONS, emotion_codes
from lowser_lib.views.cache import extract_all

TESTS: Mapping[str, tuple[str, ...]] = {
    "own sentences": ("own",),
    "all, evenly": skews.ROLES,
    "another's": ("another's",),
}
"""What is tested on: clips that say a sentence of their emotion's own, all clips, or clips whose
sentence is another emotion's."""

LEAK = "leak"
"""What a score loses from an emotion's own sentences to another's."""

CHANGE = "change of the leak"
"""The leak with the contrast less that without it."""

LEAST_CLIPS = 4
"""Clips of each emotion that a sentence needs, to be dealt out; our choice."""

MOST_FOLDS = 10
"""Parts of the speakers at most; with fewer speakers each is a part; our choice."""

Fit = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]], NDArray[Any]]
"""Class numbers for the rows of the last array, after learning from rows, classes and texts."""


def crossed(table: pd.DataFrame) -> pd.DataFrame:
    """The clips whose sentence every emotion says, in :data:`LEAST_CLIPS` clips or more."""
    table = with_sentences(table)
    cells = pd.crosstab(table["text_id"], table["emotion"]).reindex(columns=EMOTIONS, fill_value=0)
    full = cells.index[cells.min(axis=1) >= LEAST_CLIPS]
    return table[table["text_id"].isin(full)].reset_index(drop=True)


def embedded(encoder: str, table: pd.DataFrame, roots: Sequence[Path]) -> NDArray[np.float64]:
    """States of an encoder's middle block, averaged over time, (N, D): what ``lowser train`` hears.

    Args:
        encoder: As of :func:`.frozen.view_of`.
        table: A manifest.
        roots: Folders below which its paths are found.
    """
    states = np.stack(extract_all(view_of(encoder), table, roots, paths.features(), jobs=1))
    return states[:, states.shape[1] // 2].astype(np.float64)


def regression(
    rows: NDArray[Any], classes: NDArray[Any], texts: NDArray[Any], asked: NDArray[Any]
) -> NDArray[Any]:
    """A logistic regression; it is not told the sentences."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with threadpool_limits(1):
        return np.asarray(model.fit(rows, classes).predict(asked))


def layer(
    rows: NDArray[Any],
    classes: NDArray[Any],
    texts: NDArray[Any],
    asked: NDArray[Any],
    weight: float = 0.0,
) -> NDArray[Any]:
    """A linear layer of 64 under a head, with or without a contrast that goes against the words.

    Args:
        rows: ``(N, D)``, of clips to learn from.
        classes: ``(N,)`` class numbers.
        texts: ``(N,)`` numbers of their sentences.
        asked: ``(M, D)``, of clips to answer for.
        weight: Of the contrast beside the cross-entropy.
    """
    random = torch.Generator().manual_seed(0)
    below, head = nn.Linear(rows.shape[1], 64), nn.Linear(64, len(EMOTIONS))
    draw_linear(nn.Sequential(below, head), random)
    adam = torch.optim.AdamW([*below.parameters(), *head.parameters()], lr=5e-3, weight_decay=0.01)
    scaler = StandardScaler().fit(rows)
    x = torch.from_numpy(scaler.transform(rows)).float()
    y, words = torch.tensor(classes), torch.tensor(texts)
    for _ in range(100):
        states = below(x)
        loss = F.cross_entropy(head(states), y)
        if weight:
            loss = loss + weight * text_invariant_nt_xent(states, y, words, 0.1, "same-text")
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        answers = head(below(torch.from_numpy(scaler.transform(asked)).float()))
    return answers.argmax(dim=1).numpy()


FROZEN_ARMS: Mapping[str, Fit] = {
    "regression": regression,
    "layer": layer,
    "layer and contrast": partial(layer, weight=5.0),
}
"""What learns from frozen embeddings."""


class Leaning(NamedTuple):
    """What heads answered that had learned from words that lean.

    Attributes:
        truth: ``(N,)`` class numbers.
        role: ``(N,)`` whose sentence each clip says, of :data:`lowser_lib.skews.ROLES`.
        answers: ``(N,)`` class numbers, by arm and lean.
        clips: learned from in each part.
    """

    truth: NDArray[Any]
    speaker: NDArray[Any]
    role: NDArray[Any]
    answers: Mapping[tuple[str, float], NDArray[Any]]
    clips: int


def frozen_answers(
    features: ArrayLike,
    table: pd.DataFrame,
    seed: int,
    arms: Sequence[str] = tuple(FROZEN_ARMS),
    leans: Sequence[float] = LEANS,
) -> Leaning:
    """Train on words that lean by a known amount, and answer for all clips of other speakers.

    Whatever the lean, as many clips are learned from.

    Args:
        features: ``(N, D)``, a row a clip.
        table: The clips' manifest, as of :func:`crossed`.
        seed: Deals the sentences, the speakers to parts, and the training clips.
        arms: Names in :data:`FROZEN_ARMS`.
        leans: Shares of clips drawn from an emotion's own sentences, in [0, 1].

    Raises:
        SplitError: There are too few sentences, clips or speakers.
    """
    rows, truth = np.asarray(features, dtype=np.float64), emotion_codes(table)
    texts, owners = pd.factorize(table["text_id"], sort=True)[0], skews.own_sentences(table, seed)
    parts = min(MOST_FOLDS, table["speaker"].nunique())
    folds = list(splits.speaker_folds(table, parts, seed))
    size = min(skews.room(train, owners) for train, _ in folds)
    answers = {}
    for lean in leans:
        drawn = [skews.leaning(train, lean, size, seed, owners).index for train, _ in folds]
        for arm in arms:
            given = answers[arm, lean] = np.empty(len(table), dtype=int)
            for learned, (_, test) in zip(drawn, folds, strict=True):
                known = rows[learned], truth[learned], texts[learned]
                given[test.index] = FROZEN_ARMS[arm](*known, rows[test.index])
    speaker = table["speaker"].to_numpy(dtype=object)
    return Leaning(truth, speaker, skews.roles(table, owners), answers, size)


def leak_table(seeds: Sequence[Leaning], n_resamples: int = 1000) -> pd.DataFrame:
    """UAR by whose sentence a clip says, and the leak.

    Args:
        seeds: What was answered for the same clips, seed by seed.
        n_resamples: Draws of the bootstrap.

    Returns:
        A row an arm, lean and test (:data:`TESTS`, :data:`LEAK`, and of the contrast
        :data:`CHANGE`): ``arm``, ``lean``, ``test``, and ``interval``: the mean over seeds, over
        speakers and seeds. Draws are the same for all.
    """
    rows, leaks = [], {}
    # Where all sentences are dealt out, none is nobody's.
    names = sorted(set(seeds[0].role))
    random, voices = np.random.default_rng(0), len(set(seeds[0].speaker))
    weights = speaker_weights(voices, n_resamples, random)
    for arm, lean in seeds[0].answers:
        counts = [
            Answers.of(of.truth, of.answers[arm, lean], of.speaker, range(len(EMOTIONS)), of.role)
            .counts()
            for of in seeds
        ]  # fmt: skip
        every = np.concatenate(counts)  # (seeds, speakers, roles, classes, classes)
        scores = {}
        for test, wanted in TESTS.items():
            kept = [place for place, name in enumerate(names) if name in wanted]
            scores[test] = of_counts(every[:, :, kept].sum(axis=2), weights, "uar")
        scores[LEAK] = scores["own sentences"] - scores["another's"]
        for test, uar in scores.items():
            rows.append({"arm": arm, "lean": lean, "test": test, "interval": uar.interval()})
        leaks[arm, lean] = scores[LEAK]
    for lean in sorted({lean for _, lean in leaks}):
        if ("layer", lean) in leaks and ("layer and contrast", lean) in leaks:
            change = leaks["layer and contrast", lean] - leaks["layer", lean]
            row = {"arm": "layer and contrast", "lean": lean, "test": CHANGE}
            rows.append({**row, "interval": change.interval()})
    return pd.DataFrame(rows)


def drawn(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the UAR of a regression over the lean, a panel a corpus.

    Args:
        tables: As of :func:`leak_table`, by title.
    """
    figure, axes = plots.panels(1, len(tables), height=2.5, sharey=True)
    for ax, (title, table) in zip(axes[0], tables.items(), strict=True):
        part = table[table["arm"] == "regression"]
        curves = {
            test: [interval.estimate for interval in part.loc[part["test"] == test, "interval"]]
            for test in TESTS
        }
        plots.lines(curves, part["lean"].unique(), xlabel="lean in training", ylabel="",
                    title=title, level=1 / len(EMOTIONS), ax=ax)  # fmt: skip
        ax.set_ylim(0, 1.02)
        legend = ax.get_legend()
        if ax is not axes[0, 0] and legend is not None:
            legend.remove()
    axes[0, 0].set_ylabel("UAR (dashed: guessing)")
    return figure


def leaning_of(runs: Sequence[RunRecord], corpus: str) -> list[Leaning]:
    """What the records of a sweep ``leaning`` hold of a corpus, seed by seed."""
    found = []
    for run in runs:
        if run.config["corpus"] == corpus:
            metrics = run.metrics
            answers = {
                (arm, float(lean)): np.array(list(map(int, digits)))
                for arm, leans in metrics["answers"].items()
                for lean, digits in leans.items()
            }
            truth = np.array(list(map(int, metrics["truth"])))
            speaker = np.repeat(list(metrics["speakers"]), list(metrics["speakers"].values()))
            role = np.array(skews.ROLES)[list(map(int, metrics["roles"]))]
            found.append(Leaning(truth, speaker, role, answers, metrics["clips"]))
    return found


@dataclass(frozen=True, kw_only=True)
class LeaningSweep(Sweep):
    """Heads on a frozen encoder, on words that lean; a seed is one deal of sentences and speakers.

    Attributes:
        corpora: Names of corpora in which every emotion says the same sentences.
        encoder: What it is loaded by; None takes the profile's. Its middle block is heard, as
            ``lowser train`` does.
    """

    corpora: Sequence[str] = ()
    encoder: str | None = None

    chapter = "09"
    usual_name = "leaning"
    device = "cpu"

    def heard(self, corpus: str) -> tuple[data.CourseData, pd.DataFrame]:
        """A corpus, and its clips in sentences that all emotions say."""
        loaded = data.load([corpus], jobs=self.profile.jobs)
        return loaded, crossed(loaded.corpus(corpus))

    def plan(self) -> list[Run]:
        """A run a corpus and seed."""
        encoder, runs = self.encoder or self.profile.encoder, []
        for corpus in self.corpora or (crossed_corpus(self.profile),):
            loaded, table = self.heard(corpus)
            skews.own_sentences(table, 0)  # too few sentences are told before anything is run
            config = {
                "kind": self.usual_name,
                "corpus": corpus,
                "encoder": encoder,
                "leans": list(LEANS),
                "arms": list(FROZEN_ARMS),
                **change({}, self.changes),
            }
            for seed in range(self.seeds):
                stem = f"{corpus.removeprefix('table:')}-{seed}"
                runs.append(Run(stem, seed, {}, records.plain(config), loaded.hashes))
        return runs

    def measure(self, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
        """Hear the clips, train heads, and answer."""
        (run,) = runs
        loaded, table = self.heard(run.config["corpus"])
        table = table.sort_values(["speaker", "utterance_id"], ignore_index=True)
        middle = embedded(run.config["encoder"], table, loaded.roots)
        given = frozen_answers(middle, table, run.seed)
        sentences = probe(middle, table["text_id"], table["speaker"])
        answers: dict[str, dict[str, str]] = {arm: {} for arm in FROZEN_ARMS}
        for (arm, lean), column in given.answers.items():
            answers[arm][str(lean)] = "".join(map(str, column))
        metrics = {
            "answers": answers,
            "truth": "".join(map(str, given.truth)),
            "roles": "".join(str(skews.ROLES.index(role)) for role in given.role),
            "speakers": table["speaker"].value_counts(sort=False).to_dict(),
            "clips": given.clips,
            "sentences": {"uar": sentences.score, "chance": sentences.chance},
        }
        return {run.stem: dict(records.plain(metrics))}

    def line(self, record: RunRecord) -> str:
        """The leak at full lean."""
        table = leak_table(leaning_of([record], record.config["corpus"]), 20)
        leaks = table[table["test"] == LEAK].set_index(["arm", "lean"])["interval"]
        return f"  leak of the regression at full lean {leaks['regression', 1.0].estimate:.2f}"


def leaning_text(runs: Sequence[RunRecord]) -> str:
    """UAR by whose sentence it is, as it is printed."""
    parts = ["UAR on speakers held out, 95 % intervals over speakers and seeds"]
    for corpus in dict.fromkeys(run.config["corpus"] for run in runs):
        table = leak_table(leaning_of(runs, corpus))
        table["interval"] = table["interval"].map(str)
        wide = table.pivot_table(
            index=["arm", "lean"], columns="test", values="interval", aggfunc="first", sort=False
        )
        parts.append(f"{corpus}\n{wide.to_string()}")
    return "\n\n".join(parts)
