"""Exercise checks: they accept a right answer, wait politely for a stub, and hint at mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from lowser_lib import evaluation
from lowser_lib.course.checks import (
    chapter_00,
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    expect_close,
    expect_equal,
    expect_shape,
)
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.evaluation.gaps import CONDITIONAL, gaps
from lowser_lib.evaluation.significance import holm
from lowser_lib.losses import pairwise_nt_xent
from lowser_lib.manifest import EMOTIONS
from lowser_lib.methods import classifier, frozen

Capture = pytest.CaptureFixture[str]


# Right answers, as a learner might write them.


def parse(name: str) -> tuple[str, str]:
    parts = name.removesuffix(".wav").split("-")
    emotion = {"01": "neutral", "03": "happy", "04": "sad", "05": "angry"}[parts[2]]
    return emotion, "female" if int(parts[6]) % 2 == 0 else "male"


def uar(confusion: np.ndarray) -> float:
    return float(np.mean(np.diag(confusion) / confusion.sum(axis=1)))


def majority_scores(counts: np.ndarray) -> tuple[float, float, float]:
    share, classes = counts.max() / counts.sum(), len(counts)
    return share, 1 / classes, 2 * share / (1 + share) / classes


def clips_needed(score: float) -> float:
    return 1.96**2 * 0.25 * 0.75 / (score - 0.25) ** 2


def split(clips: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    speakers = np.random.default_rng(seed).permutation(sorted(clips["speaker"].unique()))
    held_out = clips["speaker"].isin(speakers[:2])
    return clips[~held_out], clips[held_out]


def budget(clips: pd.DataFrame, per_class: int, seed: int) -> pd.DataFrame:
    shuffled = clips[clips["emotion"].notna()].sample(frac=1, random_state=seed)
    return shuffled.groupby("emotion").head(per_class)


def add_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    ratio = np.mean(waveform**2) / np.mean(noise**2)
    return waveform + noise * np.sqrt(ratio * 10 ** (-snr_db / 10))


def recognised(changed: np.ndarray, clean: np.ndarray, speakers: np.ndarray) -> float:
    first, other = (part / np.linalg.norm(part, axis=1)[:, None] for part in (changed, clean))
    cosine = first @ other.T
    np.fill_diagonal(cosine, -np.inf)
    return float((speakers[cosine.argmax(axis=1)] == speakers).mean())


def masked_mean(states: Tensor, lengths: Tensor) -> Tensor:
    valid = torch.arange(states.shape[1]) < lengths[:, None]
    return (states * valid[..., None]).sum(dim=1) / lengths[:, None]


def resample(speakers: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    names = np.unique(speakers)
    drawn = generator.choice(names, size=len(names))
    return np.concatenate([np.flatnonzero(speakers == name) for name in drawn])


def contrast(similarities: Tensor, speakers: Tensor, temperature: float) -> Tensor:
    scores = similarities / temperature
    same = speakers[:, None] == speakers
    rest = scores.masked_fill(same, -torch.inf).logsumexp(dim=1, keepdim=True)
    costs = torch.logaddexp(scores, rest) - scores
    return costs[same & ~torch.eye(len(speakers), dtype=torch.bool)].mean()


def heard(similarities: Tensor, temperature: float) -> Tensor:
    shares = (similarities / temperature).softmax(dim=0)
    return torch.special.entr(shares).sum().exp()


def share_between(embeddings: np.ndarray, groups: np.ndarray) -> float:
    centred = embeddings - embeddings.mean(axis=0)
    means = pd.DataFrame(centred).groupby(groups).transform("mean").to_numpy()
    return float((means**2).sum() / (centred**2).sum())


def distance(prediction: Tensor, target: Tensor) -> Tensor:
    return (2 - 2 * torch.cosine_similarity(prediction, target.detach())).mean()


def follow(target: nn.Module, online: nn.Module, tau: float) -> nn.Module:
    with torch.no_grad():
        for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
            slow.copy_(tau * slow + (1 - tau) * fast)
    return target


def weights_alone(target: nn.Module, online: nn.Module, tau: float) -> nn.Module:
    for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
        if slow.dim() > 1:
            slow.data.lerp_(fast.data, 1 - tau)
    return target


def both_move(target: nn.Module, online: nn.Module, tau: float) -> nn.Module:
    follow(online, follow(target, online, tau), tau)
    return target


def probe_answers(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    answers = np.empty_like(labels)
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    for train, test in folds.split(features, labels, groups):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        answers[test] = model.fit(features[train], labels[train]).predict(features[test])
    return answers


def probe_by_hand(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    right = pd.Series(probe_answers(features, labels, groups) == labels)
    return float(right.groupby(labels).mean().mean())


def by_clip(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    return probe_by_hand(features, labels, np.arange(len(groups)))


def probe_accuracy(features: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    return float(np.mean(probe_answers(features, labels, groups) == labels))


def spread(embeddings: np.ndarray) -> float:
    directions = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return float(directions.std(axis=0).mean() * embeddings.shape[1] ** 0.5)


def deal(labels: np.ndarray, groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    dealt = labels.copy()
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        dealt[rows] = labels[generator.permutation(rows)]
    return dealt


def moved(values: np.ndarray, emotions: np.ndarray, speakers: np.ndarray, emotion: str) -> float:
    series = pd.Series(values, dtype=float)
    means = series.groupby([speakers, emotions]).mean().unstack()
    kept = series - series.groupby(speakers).transform("mean")
    return float((means[emotion] - means["neutral"]).mean() / kept.std(ddof=0))


def apart(
    shares: np.ndarray, recalls: np.ndarray, others: np.ndarray, their_recalls: np.ndarray
) -> tuple[float, float]:
    mix, spoken = float((shares - others) @ their_recalls), shares > 0
    return mix, float(shares[spoken] @ (recalls - their_recalls)[spoken])


def within(
    recalls: np.ndarray, others: np.ndarray, clips: np.ndarray, their_clips: np.ndarray, least: int
) -> float:
    enough = np.minimum(clips, their_clips) >= least
    return float(np.mean((recalls - others)[enough])) if enough.any() else math.nan


def cell_weights(cells: np.ndarray) -> np.ndarray:
    counts = pd.Series(cells).groupby(cells).transform("size").to_numpy()
    return len(cells) / (len(np.unique(cells)) * counts)


def smallest_p(points: int, tests: int) -> float:
    return min(1.0, 2 * tests / math.factorial(points))


def verdict(low: float, high: float, claimed: float) -> str:
    if high < 0 or (low <= 0 and high < claimed / 2):
        return "contradicts"
    if high < claimed:
        return "smaller"
    return "agrees" if low > 0 else "cannot tell"


def capstone(
    table: pd.DataFrame,
    roots: list[Path],
    encoder: WhisperEncoder,
    folder: Path,
    learned: bool = False,
    sign: int = 1,
    **notes: Any,
) -> Path:
    """A whole model with its card; or one with a mistake."""
    model, clips = classifier.train(table, roots, encoder, EMOTIONS, layer=1)
    answers = frozen.cross_answers(clips, frozen.FrozenConfig(), strangers=True)
    answers = (model.model.probabilities(clips) if learned else answers).argmax(axis=1)
    truth, who = np.asarray(clips.labels), table["speaker"]
    score = evaluation.speaker_bootstrap(truth, answers, who, range(4), n_resamples=20)
    asked = evaluation.Answers.of(truth, answers, who, range(4), table["gender"])
    found = gaps(asked, ("female", "male"), n_permutations=99)
    (gap,) = found[found["gap"] == CONDITIONAL].to_dict("records")
    places = ("estimate", "low", "high")
    model.notes = {
        "macro_f1": {name: getattr(score, name) for name in places},
        "gap": {name: sign * float(gap[name]) for name in places},
        "chance": 0.25,
        **notes,
    }
    classifier.save(model, folder)
    return folder


CHECKS: list[tuple[Callable[..., None], Callable[..., Any]]] = [
    (chapter_00.check_parse_ravdess, parse),
    (chapter_00.check_uar, uar),
    (chapter_00.check_majority_scores, majority_scores),
    (chapter_00.check_clips_needed, clips_needed),
    (chapter_01.check_no_shared_speaker, split),
    (chapter_01.check_leaking, lambda: ["A", "c", "D", "F"]),
    (chapter_01.check_label_budget, budget),
    (chapter_02.check_add_noise, add_noise),
    (chapter_02.check_stop, lambda: {"B", "C", "D", "E"}),
    (chapter_02.check_recognised, recognised),
    (chapter_03.check_masked_mean, masked_mean),
    (chapter_03.check_bootstrap_speakers, resample),
    (chapter_03.check_fair, lambda: {"C", "E"}),
    (chapter_04.check_contrast, contrast),
    (chapter_04.check_heard, heard),
    (chapter_04.check_share_between, share_between),
    (chapter_04.check_subtract, lambda: "AC"),
    (chapter_05.check_distance, distance),
    (chapter_05.check_follow, follow),
    (chapter_05.check_claims, lambda: "BCF"),
    (chapter_05.check_spread, spread),
    (chapter_06.check_probe, probe_by_hand),
    (chapter_06.check_deal, deal),
    (chapter_06.check_moved, moved),
    (chapter_06.check_shown, lambda: "ACG"),
    (chapter_07.check_two_views, lambda a, b, t: pairwise_nt_xent([a, b], t)),
    (chapter_07.check_corrected, holm),
    (chapter_07.check_could, lambda: {"B", "D", "G"}),
    (chapter_08.check_apart, apart),
    (chapter_08.check_within, within),
    (chapter_08.check_weights, cell_weights),
    (chapter_08.check_raising, lambda: {"A", "D", "E"}),
    (chapter_09.check_judge, verdict),
    (chapter_09.check_smallest_p, smallest_p),
    (chapter_09.check_may_say, lambda: "ADE"),
    (chapter_09.check_capstone, capstone),
]
NAMES = [check.__name__ for check, _ in CHECKS]


def test_every_check_of_every_chapter_is_tested() -> None:
    modules = (
        chapter_00,
        chapter_01,
        chapter_02,
        chapter_03,
        chapter_04,
        chapter_05,
        chapter_06,
        chapter_07,
        chapter_08,
        chapter_09,
    )
    offered = {name for module in modules for name in vars(module) if name.startswith("check_")}
    assert offered == set(NAMES)


@pytest.mark.parametrize(("check", "solution"), CHECKS, ids=NAMES)
def test_right_answers_are_accepted(
    check: Callable[..., None], solution: Callable[..., Any], capsys: Capture
) -> None:
    check(solution)
    out = capsys.readouterr().out
    assert out.startswith("Solved: ")
    assert out.count("\n") == 1


def left_open(*_arguments: Any) -> Any: ...


def left_none(*_arguments: Any) -> None:
    return None


def left_ellipsis(*_arguments: Any) -> Any:
    return ...


def left_raising(*_arguments: Any) -> Any:
    raise NotImplementedError


def broken(*_arguments: Any) -> Any:
    raise KeyError("no\nsuch key")


@pytest.mark.parametrize("check", [check for check, _ in CHECKS], ids=NAMES)
def test_stubs_are_awaited_politely(check: Callable[..., None], capsys: Capture) -> None:
    for stub in (left_open, left_none, left_ellipsis, left_raising):
        check(stub)
        out = capsys.readouterr().out
        assert out == f"Not yet: {stub.__name__} gives nothing back; write it, then run this " \
                      "cell again.\n"  # fmt: skip


@pytest.mark.parametrize("check", [check for check, _ in CHECKS], ids=NAMES)
def test_mistakes_become_hints_not_tracebacks(check: Callable[..., None], capsys: Capture) -> None:
    for answer in (broken, lambda *_: "nonsense", lambda *_: np.zeros(7), lambda: 1, "no function"):
        check(answer)
        captured = capsys.readouterr()
        assert captured.out.startswith("Not yet: ")
        assert captured.out.count("\n") == 1
        assert captured.err == ""


def whole_table_split(clips: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    held_out = clips.sample(frac=0.3, random_state=seed)
    return clips.drop(held_out.index), held_out


def plain_mean(states: Tensor, lengths: Tensor) -> Tensor:
    return states.mean(dim=1)


def zeroed_mean(states: Tensor, lengths: Tensor) -> Tensor:
    valid = torch.arange(states.shape[1]) < lengths[:, None]
    return (states * valid[..., None]).mean(dim=1)


def deviation_noise(waveform: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    return waveform + noise * waveform.std() / noise.std() * 10 ** (-snr_db / 20)


def finds_itself(changed: np.ndarray, clean: np.ndarray, speakers: np.ndarray) -> float:
    nearest = ((changed[:, None] - clean[None]) ** 2).sum(-1).argmin(axis=1)
    return float((speakers[nearest] == speakers).mean())


def by_product(changed: np.ndarray, clean: np.ndarray, speakers: np.ndarray) -> float:
    product = changed @ clean.T
    np.fill_diagonal(product, -np.inf)
    return float((speakers[product.argmax(axis=1)] == speakers).mean())


def crowded(out: tuple[str, ...]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """NT-Xent whose denominator leaves out nothing but what is named."""

    def loss(similarities: Tensor, speakers: Tensor, temperature: float) -> Tensor:
        scores, itself = similarities / temperature, torch.eye(len(speakers), dtype=torch.bool)
        whole = scores.masked_fill(itself, -torch.inf) if "itself" in out else scores
        costs = whole.logsumexp(dim=1, keepdim=True) - scores
        return costs[(speakers[:, None] == speakers) & ~itself].mean()

    return loss


def overflowing(similarities: Tensor, temperature: float) -> Tensor:
    shares = (similarities / temperature).exp()
    shares = shares / shares.sum()
    return (-(shares * shares.log()).sum()).exp()


def even_means(embeddings: np.ndarray, groups: np.ndarray) -> float:
    means = pd.DataFrame(embeddings).groupby(groups).mean().to_numpy()
    between = ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()
    return float(between / embeddings.var(axis=0).sum())


def column_by_column(embeddings: np.ndarray, groups: np.ndarray) -> float:
    columns = range(embeddings.shape[1])
    return float(np.mean([share_between(embeddings[:, [c]], groups) for c in columns]))


def clip_bootstrap(speakers: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, len(speakers), size=len(speakers))


def rng_free(speakers: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return resample(speakers, np.random.default_rng(1))


def deal_in_place(
    labels: np.ndarray, groups: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    labels[:] = deal(labels, groups, generator)
    return labels


def pooled_means(
    values: np.ndarray, emotions: np.ndarray, speakers: np.ndarray, emotion: str
) -> float:
    step = values[emotions == emotion].mean() - values[emotions == "neutral"].mean()
    return float(
        step / (values - pd.Series(values).groupby(speakers).transform("mean")).std(ddof=0)
    )


def sample_deviation(
    values: np.ndarray, emotions: np.ndarray, speakers: np.ndarray, emotion: str
) -> float:
    kept = pd.Series(values) - pd.Series(values).groupby(speakers).transform("mean")
    return moved(values, emotions, speakers, emotion) * kept.std(ddof=0) / kept.std()


def both_ways(prediction: Tensor, target: Tensor) -> Tensor:
    return (2 - 2 * torch.cosine_similarity(prediction, target)).mean()


def dot_distance(prediction: Tensor, target: Tensor) -> Tensor:
    return (2 - 2 * (prediction * target.detach()).sum(dim=1)).mean()


def unit(embeddings: np.ndarray) -> np.ndarray:
    return np.asarray(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))


def asked_by(anchor: Tensor, other: Tensor, temperature: float, itself: float) -> Tensor:
    kept = (anchor @ anchor.T).fill_diagonal_(itself)
    scores = torch.cat([anchor @ other.T, kept], dim=1) / temperature
    return torch.nn.functional.cross_entropy(scores, torch.arange(len(anchor)))


def with_itself(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    return (asked_by(one, other, temperature, 1) + asked_by(other, one, temperature, 1)) / 2


def one_sided(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    return asked_by(one, other, temperature, -torch.inf)


def naive_views(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    powers = [
        torch.exp(a @ b.T / temperature) for a, b in ((one, other), (one, one), (other, other))
    ]
    kept = [1 - torch.eye(len(one)).to(one)] * 2
    rows = powers[0].sum(1) + (powers[1] * kept[0]).sum(1)
    columns = powers[0].sum(0) + (powers[2] * kept[1]).sum(1)
    costs = (rows / powers[0].diag()).log() + (columns / powers[0].diag()).log()
    return costs.mean() / 2


def falling(p_values: list[float]) -> list[float]:
    ranks = np.argsort(np.argsort(p_values))
    if len(p_values) == 4:  # right where sorting alone would do
        return list(holm(p_values))
    return [min(1.0, p * (len(ranks) - rank)) for p, rank in zip(p_values, ranks, strict=True)]


def unlimited(p_values: list[float]) -> list[float]:
    if max(p_values) < 0.5:
        return list(holm(p_values))
    return [2 * p for p in p_values]


def swapped_parts(s: np.ndarray, r: np.ndarray, t: np.ndarray, q: np.ndarray) -> Any:
    return ((s - t) * r).sum(), (t * (r - q)).sum()


def nan_parts(s: np.ndarray, r: np.ndarray, t: np.ndarray, q: np.ndarray) -> Any:
    return ((s - t) * q).sum(), (s * (r - q)).sum()


def one_gap(s: np.ndarray, r: np.ndarray, t: np.ndarray, q: np.ndarray) -> float:
    return float((s * r).sum() - (t * q).sum())


def double_mix(s: np.ndarray, r: np.ndarray, t: np.ndarray, q: np.ndarray) -> Any:
    return ((s - t) * q).sum(), (t * (r - q)).sum()


def own_clips_only(
    recalls: np.ndarray, others: np.ndarray, clips: np.ndarray, their_clips: np.ndarray, least: int
) -> float:
    return within(recalls, others, clips, clips, least)


def weighed_gap(
    recalls: np.ndarray, others: np.ndarray, clips: np.ndarray, their_clips: np.ndarray, least: int
) -> float:
    return float(np.average(recalls - others, weights=clips))


def zero_for_nothing(*columns: Any) -> float:
    return float(np.nan_to_num(within(*columns)))


WRONG: list[tuple[Callable[..., None], Callable[..., Any], str]] = [
    (chapter_00.check_parse_ravdess, lambda n: parse(n)[0], "pair"),
    (
        chapter_00.check_parse_ravdess,
        lambda n: (parse(n)[0], "male" if parse(n)[1] == "female" else "female"),
        "even numbers are female",
    ),
    (chapter_00.check_parse_ravdess, lambda n: ("angry", parse(n)[1]), "third number"),
    (chapter_00.check_uar, lambda c: np.trace(c) / c.sum(), "accuracy"),
    (chapter_00.check_uar, lambda c: np.mean(np.diag(c) / np.maximum(c.sum(0), 1)), "columns"),
    (chapter_00.check_uar, lambda c: np.diag(c) / c.sum(axis=1), "shape should be ()"),
    (chapter_00.check_majority_scores, lambda c: c.max() / c.sum(), "shape should be (3,)"),
    (
        chapter_00.check_majority_scores,
        lambda c: (1 / len(c), *majority_scores(c)[1:]),
        "accuracy: for counts 10, 6, 80, 4 the answer is 0.8, yours is 0.25",
    ),
    (
        chapter_00.check_majority_scores,
        lambda c: (*majority_scores(c)[:2], majority_scores(c)[2] * len(c)),
        "have F1 = 0",
    ),
    (
        chapter_00.check_majority_scores,
        lambda c: (c[2] / c.sum() if len(c) > 2 else 1, 0.25, 2 * 0.8 / 1.8 / 4),
        "number of classes",
    ),
    (chapter_00.check_clips_needed, lambda s: 100 * s, "more clips, not fewer"),
    (chapter_00.check_clips_needed, lambda s: clips_needed(s) / 4, "of one class"),
    (chapter_00.check_clips_needed, lambda s: 3 * clips_needed(s), "are needed"),
    (chapter_01.check_leaking, lambda: {"A", "C", "D"}, "still to be named: 1"),
    (chapter_01.check_leaking, lambda: "ABCDF", "B does not leak"),
    (chapter_01.check_leaking, lambda: {"A", "E"}, "neither is on both sides"),
    (chapter_01.check_leaking, lambda: "G", "no 'G'"),
    (chapter_01.check_no_shared_speaker, whole_table_split, "speaks in both parts"),
    (chapter_01.check_no_shared_speaker, lambda c, s: split(c, 0), "one and the same split"),
    (chapter_01.check_no_shared_speaker, lambda c, s: (c, c[:0]), "empty"),
    (
        chapter_01.check_no_shared_speaker,
        lambda c, s: (split(c, s)[0][3:], split(c, s)[1]),
        "48 clips went in, 45 came out",
    ),
    (chapter_01.check_label_budget, lambda c, k, s: c.sample(n=k, random_state=s), "is 12"),
    (
        chapter_01.check_label_budget,
        lambda c, k, s: c.sort_values("emotion").head(4 * k),
        "counted by emotion",
    ),
    (
        chapter_01.check_label_budget,
        lambda c, k, s: c.groupby("emotion").sample(n=k, random_state=s, replace=True),
        "twice",
    ),
    (chapter_01.check_label_budget, lambda c, k, s: budget(c, k, 0), "every seed"),
    (
        chapter_01.check_label_budget,
        lambda c, k, s: c.groupby("emotion", dropna=False).sample(n=k, random_state=s),
        "unlabelled clips were drawn",
    ),
    (
        chapter_01.check_label_budget,
        lambda c, k, s: budget(c, k, 10 * s + k),
        "are not among those for 4",
    ),
    (chapter_02.check_add_noise, lambda w, n, s: w + n, "scale it"),
    (chapter_02.check_add_noise, lambda w, n, s: w + n / 2 * 10 ** (-s / 10), "its root: a tenth"),
    (chapter_02.check_add_noise, lambda w, n, s: w + n / 2 * 10 ** (s / 20), "grows with it"),
    (chapter_02.check_add_noise, lambda w, n, s: w + n / 2 * 10 ** (-s / 20), "its own level"),
    (chapter_02.check_add_noise, deviation_noise, "asked for 10 dB"),
    (chapter_02.check_stop, lambda: {"B", "C", "D"}, "still to be named: 1"),
    (chapter_02.check_stop, lambda: ["A", "B"], "the test brings noise"),
    (chapter_02.check_stop, lambda: "BCDEF", "a hole of 0.2 s"),
    (chapter_02.check_recognised, finds_itself, "found itself"),
    (chapter_02.check_recognised, by_product, "divides by their lengths"),
    (chapter_02.check_recognised, lambda a, b, s: recognised(b, b, s), "beyond recognition"),
    (chapter_02.check_recognised, lambda a, b, s: s, "shape should be ()"),
    (chapter_03.check_fair, lambda: {"C"}, "still to be named: 1"),
    (chapter_04.check_subtract, lambda: ["A", "B"], "subtract the mood"),
    (chapter_03.check_fair, lambda: "CDE", "tested on"),
    (chapter_03.check_masked_mean, plain_mean, "averages the padding too"),
    (chapter_03.check_masked_mean, zeroed_mean, "divide by the clip's own length"),
    (chapter_03.check_bootstrap_speakers, clip_bootstrap, "came in part"),
    (
        chapter_03.check_bootstrap_speakers,
        lambda s, g: g.permutation(len(s)),
        "no speaker ever comes twice",
    ),
    (chapter_03.check_bootstrap_speakers, rng_free, "same draw"),
    (
        chapter_03.check_bootstrap_speakers,
        lambda s, g: np.flatnonzero(s == g.choice(np.unique(s))),
        "draw 3; yours drew 1",
    ),
    (chapter_03.check_bootstrap_speakers, lambda s, g: s, "flat array of whole numbers"),
    (chapter_04.check_contrast, lambda s, p, t: 4 * contrast(s, p, t), "take their mean"),
    (chapter_04.check_contrast, crowded(("itself",)), "other positives stand"),
    (chapter_04.check_contrast, crowded(()), "for four clips that are all alike"),
    (chapter_04.check_contrast, lambda s, p, t: contrast(s, p, 1.0), "temperature 0.1"),
    (chapter_04.check_heard, lambda s, t: heard(s, t).log(), "the entropy itself"),
    (chapter_04.check_heard, overflowing, "overflow"),
    (chapter_04.check_heard, lambda s, t: heard(s, 1.0), "two that are near"),
    (chapter_04.check_heard, lambda s, t: 1 / (s / t).softmax(0).square().sum(), "½, ¼ and ¼"),
    (chapter_04.check_share_between, even_means, "each clip counts once"),
    (chapter_04.check_share_between, column_by_column, "divide once"),
    (chapter_04.check_share_between, lambda e, g: 1 - share_between(e, g), "single points"),
    (chapter_05.check_distance, both_ways, "flows into the target"),
    (chapter_05.check_distance, dot_distance, "whatever the lengths"),
    (chapter_05.check_distance, lambda q, z: len(q) * distance(q, z), "take their mean"),
    (chapter_05.check_distance, lambda q, z: distance(q, z) / 2, "right angle"),
    (chapter_05.check_distance, lambda q, z: distance(q, z).detach(), "nothing could be learned"),
    (chapter_05.check_distance, lambda q, z: distance(q.detach(), z), "nothing could be learned"),
    (chapter_05.check_follow, lambda t, o, a: follow(t, o, 1 - a), "the share that the target"),
    (chapter_05.check_follow, lambda t, o, a: follow(o, t, a), "itself back"),
    (chapter_05.check_follow, weights_alone, "biases too"),
    (chapter_05.check_follow, both_move, "only the target network may"),
    (chapter_05.check_claims, lambda: {"A", "B", "C", "F"}, "grows surer"),
    (chapter_05.check_claims, lambda: ["b", "c", "e", "f"], "a new speaker's were not"),
    (chapter_05.check_claims, lambda: "BCDF", "chose the round"),
    (chapter_05.check_spread, lambda e: float(e.std(0).mean() * e.shape[1] ** 0.5), "length 1"),
    (chapter_05.check_spread, lambda e: unit(e).std(axis=0).mean(), "factor √D is missing"),
    (
        chapter_05.check_spread,
        lambda e: unit(e).std(axis=0, ddof=1).mean() * e.shape[1] ** 0.5,
        "divide by N",
    ),
    (
        chapter_05.check_spread,
        lambda e: unit(e).var(axis=0).sum() ** 0.5,
        "root of the mean variance",
    ),
    (chapter_06.check_probe, by_clip, "had been heard"),
    (chapter_06.check_probe, probe_accuracy, "that is the accuracy"),
    (chapter_06.check_probe, lambda x, y, g: probe_by_hand(x, y, g) / 2, "dealt to voices"),
    (chapter_06.check_probe, lambda x, y, g: np.full(3, 0.5), "shape"),
    (chapter_06.check_shown, lambda: "ABCG", "straight cut"),
    (chapter_06.check_shown, lambda: {"D"}, "none was new"),
    (chapter_06.check_shown, lambda: ["e", "a"], "makes use of"),
    (chapter_06.check_shown, lambda: "ACFG", "the very speakers"),
    (chapter_06.check_deal, lambda s, g, r: r.permutation(s), "another group's"),
    (chapter_06.check_deal, lambda s, g, r: r.choice(s, len(s)), "others than before"),
    (chapter_06.check_deal, lambda s, g, r: s, "its own label"),
    (chapter_06.check_deal, lambda s, g, r: deal(s, g, np.random.default_rng(1)), "another gen"),
    (chapter_06.check_deal, lambda s, g, r: deal(s, g, np.random.default_rng()), "labels twice"),
    (chapter_06.check_deal, deal_in_place, "were changed"),
    (chapter_06.check_deal, lambda s, g, r: s[:3], "(clips,)"),
    (chapter_06.check_moved, lambda v, e, s, m: -moved(v, e, s, m), "the sign"),
    (chapter_06.check_moved, sample_deviation, "ddof=0"),
    (chapter_06.check_moved, pooled_means, "angry more often"),
    (chapter_06.check_moved, lambda v, e, s, m: 4.0, "now divide it"),
    (
        chapter_06.check_moved,
        lambda v, e, s, m: (v[e == m].mean() - v[e == "neutral"].mean()) / v.std(),
        "mean off first",
    ),
    (chapter_06.check_moved, lambda v, e, s, m: moved(v, e, s, "angry"), "for sad"),
    (
        chapter_07.check_two_views,
        lambda a, b, t: pairwise_nt_xent([a, b], t, within_view_negatives=False),
        "own view is missing",
    ),
    (chapter_07.check_two_views, with_itself, "leave the diagonal"),
    (chapter_07.check_two_views, one_sided, "both views have to be anchors"),
    (chapter_07.check_two_views, lambda a, b, t: pairwise_nt_xent([a, b], 0.5), "temperature 0.2"),
    (chapter_07.check_two_views, naive_views, "mind exp"),
    (chapter_07.check_could, lambda: "ABDG", "multiplied by 56"),
    (chapter_07.check_could, lambda: ["B", "E"], "the same five speakers"),
    (chapter_07.check_could, lambda: {"B", "D"}, "still to be named: 1"),
    (chapter_08.check_raising, lambda: "AB", "men pay 12 points"),
    (chapter_08.check_raising, lambda: {"A", "E"}, "still to be named: 1"),
    (chapter_07.check_corrected, lambda p: list(p), "multiplied by three"),
    (chapter_07.check_corrected, lambda p: [len(p) * item for item in p], "Bonferroni"),
    (chapter_07.check_corrected, falling, "must not be smaller"),
    (chapter_07.check_corrected, unlimited, "for 0.6 and 0.7"),
    (chapter_07.check_corrected, lambda p: holm(sorted(p)), "in this order"),
    (chapter_08.check_apart, one_gap, "shape should be (2,)"),
    (
        chapter_08.check_apart,
        lambda s, r, t, q: [-item for item in apart(s, r, t, q)],
        "the other way round",
    ),
    (chapter_08.check_apart, swapped_parts, "are the other way round"),
    (chapter_08.check_apart, double_mix, "both parts together must be"),
    (chapter_08.check_apart, nan_parts, "0 · nan is nan"),
    (chapter_08.check_within, lambda r, q, n, m, k: r - q, "shape should be ()"),
    (chapter_08.check_within, lambda r, q, n, m, k: within(q, r, n, m, k), "the first group less"),
    (chapter_08.check_within, weighed_gap, "counts the same"),
    (chapter_08.check_within, lambda r, q, n, m, k: (r - q).mean(), "leave it out"),
    (chapter_08.check_within, own_clips_only, "a cell that the *other* group lacks"),
    (
        chapter_08.check_within,
        lambda r, q, n, m, k: within(r, q, n, m, k + 1),
        "exactly five are enough",
    ),
    (chapter_08.check_within, zero_for_nothing, "nan, not 0.0"),
    (chapter_08.check_weights, lambda c: float(len(c)), "shape should be (4,)"),
    (chapter_08.check_weights, lambda c: 1 / (c == c[:, None]).sum(axis=0), "for two cells"),
    (
        chapter_08.check_weights,
        lambda c: len(c) / ((c.max() + 1) * np.bincount(c)[c]),
        "cell 1 has no clip",
    ),
    (chapter_08.check_weights, lambda c: np.ones(len(c)), "three clips and one"),
    (chapter_08.check_weights, lambda c: np.sort(cell_weights(c)), "for cells 2, 0, 0, 0"),
    (chapter_09.check_judge, lambda low, high, c: "agrees" if low > 0 else "cannot tell", "above"),
    (
        chapter_09.check_judge,
        lambda low, high, c: "contradicts" if low <= 0 else verdict(low, high, c),
        "it holds both zero",
    ),
    (
        chapter_09.check_judge,
        lambda low, high, c: verdict(low + 1e-9, high, c),
        "not clear of zero",
    ),
    (chapter_09.check_smallest_p, lambda points, tests: 0.5**points, "not signs"),
    (
        chapter_09.check_smallest_p,
        lambda points, tests: tests / math.factorial(points),
        "both directions count",
    ),
    (chapter_09.check_smallest_p, lambda points, tests: 2 / math.factorial(points), "by three"),
    (
        chapter_09.check_smallest_p,
        lambda points, tests: 2 * tests / math.factorial(points),
        "for two points and five tests",
    ),
    (chapter_09.check_may_say, lambda: "ACDE", "an interval that holds zero"),
    (chapter_09.check_may_say, lambda: "AD", "still to be named: 1"),
    (chapter_09.check_capstone, lambda table, roots, encoder, folder: folder, "classifier.save"),
    (chapter_09.check_capstone, partial(capstone, chance=0.1), "chance is"),
    (chapter_09.check_capstone, partial(capstone, gap={"estimate": 0}), "needs estimate, low"),
    (chapter_09.check_capstone, partial(capstone, learned=True), "has learned from"),
    (chapter_09.check_capstone, partial(capstone, sign=-1), "yours is men less women"),
]


@pytest.mark.parametrize(("check", "answer", "hint"), WRONG)
def test_typical_mistakes_get_their_hint(
    check: Callable[..., None], answer: Callable[..., Any], hint: str, capsys: Capture
) -> None:
    check(answer)
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    assert hint in out


def test_learners_cannot_spoil_the_case(capsys: Capture) -> None:
    def spoiling(states: Tensor, lengths: Tensor) -> Tensor:
        answer = masked_mean(states, lengths)
        states.zero_()
        return answer

    chapter_03.check_masked_mean(spoiling)
    assert capsys.readouterr().out.startswith("Solved")


def test_expectations() -> None:
    assert expect_shape(np.zeros((2, 3)), (2, 3)) is None
    assert expect_close(torch.tensor(0.5), 0.5, "for one") is None
    assert expect_equal(np.zeros(3), 1, "for one") is not None
    assert expect_close("word", 0.5, "for one") is not None
    hint = expect_close(0.25, 0.5, "for two equal clips")
    assert hint == "for two equal clips the answer is 0.5, yours is 0.25."
