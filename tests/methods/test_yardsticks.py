"""The yardsticks: closed forms on made-up features, and the known figures on real speech."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lowser_lib import manifest as manifests
from lowser_lib.errors import EvaluationError, TrainingError
from lowser_lib.evaluation import classification_metrics
from lowser_lib.methods.yardsticks import EgemapsSVM, majority
from lowser_lib.splits import speaker_folds
from lowser_lib.views.cache import extract_all
from lowser_lib.views.egemaps import EgemapsView

LABELS = np.array(["angry", "happy", "neutral", "sad"])


def corpus(seed: int, n: int = 80) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Make up features in which each class has its own corner, noise of its own seed around it."""
    generator = np.random.default_rng(seed)
    classes = np.arange(n) % 4
    return np.eye(4)[classes] + generator.normal(0, 0.1, (n, 4)), LABELS[classes]


def test_majority() -> None:
    assert majority(["sad", "happy", "sad"], 3).tolist() == ["sad"] * 3
    assert majority(pd.Series(["sad", "happy"]), 1).tolist() == ["happy"]  # a tie
    assert len(majority(["sad"], 0)) == 0


def test_majority_scores_what_it_must() -> None:
    truth = np.repeat(LABELS, 5)
    metrics = classification_metrics(truth, majority(truth, 20), list(LABELS))
    # One class is right always, the others never: F1 of that class is 2·5 / (5 + 20).
    assert metrics == pytest.approx({"accuracy": 0.25, "macro_f1": 0.4 / 4, "uar": 0.25})


def test_majority_refuses() -> None:
    with pytest.raises(TrainingError, match="at least one"):
        majority([], 3)
    with pytest.raises(ValueError, match="n must"):
        majority(["sad"], -1)


def test_equal_to_the_pipeline_of_scikit_learn() -> None:
    features, labels = corpus(0)
    features[:, 0] = 0.001 * features[:, 0] + 500  # another unit
    test = corpus(1)[0] * [0.001, 1, 1, 1] + [500, 0, 0, 0]
    reference = make_pipeline(StandardScaler(), SVC(class_weight="balanced")).fit(features, labels)
    machine = EgemapsSVM().fit(features, labels)
    np.testing.assert_array_equal(machine.predict(test), reference.predict(test))
    np.testing.assert_array_equal(machine.predict(test), corpus(1)[1])


def test_standardising_by_corpus_undoes_another_microphone() -> None:
    features, labels = corpus(0)
    other, truth = corpus(1)
    other = 7 * other + 30
    by_train = EgemapsSVM("train").fit(features, labels).predict(other)
    by_corpus = EgemapsSVM("corpus").fit(features, labels, ["en"] * 80).predict(other, ["ur"] * 80)
    assert (by_train == truth).mean() <= 0.3
    np.testing.assert_array_equal(by_corpus, truth)


def test_each_training_corpus_is_standardised_by_itself() -> None:
    first, second = corpus(0), corpus(1)
    features = np.concatenate([first[0], 7 * second[0] + 30])
    names = ["en"] * 80 + ["de"] * 80
    machine = EgemapsSVM("corpus").fit(features, np.concatenate([first[1], second[1]]), names)
    np.testing.assert_array_equal(machine.predict(features, names), [*first[1], *second[1]])


def test_corpus_of_training_keeps_its_statistics() -> None:
    features, labels = corpus(0)
    machine = EgemapsSVM("corpus").fit(features, labels, ["en"] * 80)
    # One clip alone could not be standardised by itself.
    assert machine.predict(features[:1], ["en"]).tolist() == [labels[0]]
    with pytest.raises(EvaluationError, match="one clip of corpus 'ur'"):
        machine.predict(features[:1], ["ur"])


def test_constant_feature_does_no_harm() -> None:
    features, labels = corpus(0)
    features = np.hstack([features, np.full((80, 1), 3.0)])
    assert (EgemapsSVM().fit(features, labels).predict(features) == labels).all()


@pytest.mark.parametrize(
    ("labels", "match"),
    [(["sad"] * 80, "two classes"), (["sad"], "one label"), (["sad", None] * 40, "40 missing")],
)
def test_bad_labels(labels: Any, match: str) -> None:
    with pytest.raises(TrainingError, match=match):
        EgemapsSVM().fit(corpus(0)[0], labels)


def test_bad_features() -> None:
    features, labels = corpus(0)
    machine = EgemapsSVM().fit(features, labels)
    with pytest.raises(EvaluationError, match="3 columns"):
        machine.predict(features[:, :3])
    with pytest.raises(EvaluationError, match="1 values that are not finite"):
        machine.predict([[0, 0, 0, np.nan]])
    with pytest.raises(EvaluationError, match=r"shape \(4,\)"):
        machine.predict(features[0])


def test_bad_arguments() -> None:
    features, labels = corpus(0)
    with pytest.raises(ValueError, match="'speaker'"):
        EgemapsSVM("speaker")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="C must"):
        EgemapsSVM(C=0)
    with pytest.raises(TrainingError, match="fit first"):
        EgemapsSVM().predict(features)
    with pytest.raises(ValueError, match="corpora must be given"):
        EgemapsSVM("corpus").fit(features, labels)
    with pytest.raises(EvaluationError, match="name one for each of 80"):
        EgemapsSVM("corpus").fit(features, labels, ["en"])


def test_known_figures_on_real_speech(corpora_root: Path, tmp_path: Path) -> None:
    """RAVDESS to EmoDB and within EmoDB, in bands around what the literature's recipe gives."""
    tables = [manifests.read(name, corpora_root)[0] for name in ("ravdess", "emodb")]
    clips = manifests.combine(*tables).dropna(subset="emotion")
    arrays = extract_all(EgemapsView(), clips, [corpora_root], tmp_path, jobs=2)
    features = pd.DataFrame(np.stack(arrays), index=clips["utterance_id"])
    source, target = (clips[clips["corpus"] == name] for name in ("ravdess", "emodb"))

    def macro_f1(machine: EgemapsSVM, train: pd.DataFrame, test: pd.DataFrame) -> float:
        machine.fit(features.loc[train["utterance_id"]], train["emotion"], train["corpus"])
        answers = machine.predict(features.loc[test["utterance_id"]], test["corpus"])
        return classification_metrics(test["emotion"], answers, list(LABELS))["macro_f1"]

    assert 0.36 <= macro_f1(EgemapsSVM("corpus"), source, target) <= 0.46
    assert macro_f1(EgemapsSVM("train"), source, target) <= 0.20
    scores = [macro_f1(EgemapsSVM(), *fold) for fold in speaker_folds(target, 5, seed=0)]
    assert 0.65 <= np.mean(scores) <= 0.85
