"""Pre-training and fine-tuning in one call: they repeat, resume, and learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lowser_lib.errors import TrainingError
from lowser_lib.evaluation import collapse_figures, judge_history
from lowser_lib.methods.fine_tuning import (
    FineTuneConfig,
    fine_tune,
    predict_views,
    probe_views,
)
from lowser_lib.methods.pairwise import (
    EncodersConfig,
    Pairwise,
    PairwiseConfig,
    ViewEncoders,
    _watch,
    embed_views,
    pretrain,
)
from lowser_lib.sampling.clips import MultiViewDataset
from lowser_lib.training import Execution, make_fabric

SIZES = EncodersConfig(dimension=16, channels=8)
PRE = PairwiseConfig(steps=6, batch_size=8)
TUNE = FineTuneConfig(steps=8, batch_size=8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def speech(clips: int = 16, seed: int = 1) -> MultiViewDataset:
    """Two views that show the same class, each in its own way."""
    random = np.random.default_rng(seed)
    labels = np.arange(clips) % 4
    directions = np.random.default_rng(0).normal(size=(2, 4, 9))
    noise = random.normal(size=(clips, 9))
    return MultiViewDataset(
        {
            "mel": [
                (directions[0, label, :, None] + 0.3 * random.normal(size=(9, frames)))
                for label, frames in zip(labels, random.integers(20, 40, clips), strict=True)
            ],
            "egemaps": [
                directions[1, label] + 0.3 * item for label, item in zip(labels, noise, strict=True)
            ],
        },
        labels,
    )


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float((truth == predicted).mean())


def test_pretraining_repeats_and_leaves_labels_alone() -> None:
    clips = speech()
    first = pretrain(clips, generator=generator(), encoders=SIZES, settings=PRE)
    again = pretrain(clips.unlabelled(), generator=generator(), encoders=SIZES, settings=PRE)
    assert first.history == again.history
    for name, value in first.encoders.state_dict().items():
        torch.testing.assert_close(again.encoders.state_dict()[name], value, rtol=0, atol=0)
    assert {"loss", "matched"} <= first.history.rows[0].keys()
    assert not first.encoders.training


def test_pretraining_starts_from_encoders_and_leaves_them_as_they_are() -> None:
    clips = speech()
    start = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    before = {name: value.clone() for name, value in start.state_dict().items()}
    outcome = pretrain(clips, generator=generator(), encoders=start, settings=PRE).encoders
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    assert not torch.equal(next(outcome.parameters()), next(start.parameters()))


def test_a_monitor_sees_each_view_alone_and_all_together() -> None:
    def count(points: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
        return {"points": len(points), "clips": len(labels.unique()), "width": points.shape[1]}

    clips = speech()
    plain = pretrain(clips, generator=generator(), encoders=SIZES, settings=PRE)
    watched = pretrain(clips, generator=generator(), encoders=SIZES, settings=PRE, monitor=count)
    last = watched.history.rows[-1]
    for name in clips.views:
        assert last[f"{name}_embedding_points"] == last[f"{name}_embedding_clips"] == len(clips)
        assert last[f"{name}_embedding_width"] == SIZES.dimension
        assert last[f"{name}_projection_width"] == PRE.projection[1]
    assert last["projection_points"] == 2 * last["projection_clips"] == 2 * len(clips)
    # Looking changes nothing.
    assert watched.history["loss"] == plain.history["loss"]


def test_collapsed_projections_of_one_view_are_found() -> None:
    class Same(torch.nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(points), 4)

    clips = speech()
    encoders = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    recipe = Pairwise(encoders, PRE, generator=generator())
    recipe.projections["mel"] = Same()
    recipe.projections["egemaps"] = torch.nn.Linear(SIZES.dimension, 4)
    rows = [_watch(collapse_figures, recipe, clips, make_fabric("cpu", "32-true"))]
    with pytest.warns(UserWarning, match="collapsed"):
        assert judge_history(rows, "mel_projection").collapsed
    assert not judge_history(rows, "egemaps_projection").collapsed


def test_a_stopped_run_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(path: Path | None = None, resume: bool = False) -> ViewEncoders:
        execution = Execution(checkpoint=path, resume=resume)
        return pretrain(
            speech(), generator=generator(), encoders=SIZES, settings=PRE, execution=execution
        ).encoders

    whole = run()
    from lowser_lib.training.loop import RunState

    save = RunState.save

    def stop(self: RunState, path: Path) -> None:
        save(self, path)
        if self.epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunState, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "state.pt")
    resumed = run(tmp_path / "state.pt", resume=True)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("views", [["mel"], ["egemaps"], None])
def test_fine_tuning_learns_and_leaves_the_encoders_as_they_are(views: list[str] | None) -> None:
    clips = speech()
    start = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    before = {name: value.clone() for name, value in start.state_dict().items()}
    config = FineTuneConfig(steps=25, batch_size=16, learning_rate=0.01, encoder_learning_rate=0.01)
    model, history = fine_tune(start, clips, generator=generator(), views=views, settings=config)
    assert list(model.encoders) == (views or ["mel", "egemaps"])
    assert history["loss"][-1] < history["loss"][0]
    probabilities = predict_views(model, speech(seed=2))
    assert probabilities.shape == (16, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert accuracy(speech().labels.numpy(), probabilities.argmax(axis=1)) > 0.7
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    again = fine_tune(start, clips, generator=generator(), views=views, settings=config).model
    np.testing.assert_array_equal(predict_views(again, speech(seed=2)), probabilities)


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 3], [1, 2, 3]])
def test_a_probe_is_logistic_regression_on_embeddings(classes: list[int]) -> None:
    clips, voices = speech(), speech(seed=2)
    voices = voices.of_clips(np.flatnonzero(np.isin(voices.labels, classes)))
    encoders = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    before = {name: value.clone() for name, value in encoders.state_dict().items()}
    model = probe_views(encoders, voices, penalty=2.0)
    points = [
        torch.cat(
            [torch.nn.functional.layer_norm(item, (SIZES.dimension,)) for item in result.values()],
            1,
        ).double()
        for result in (embed_views(encoders, voices), embed_views(encoders, clips))
    ]
    plain = LogisticRegression(C=0.5, class_weight="balanced", max_iter=1000)
    plain.fit(points[0].numpy(), voices.labels.numpy())
    answer = predict_views(model, clips)
    np.testing.assert_allclose(
        answer[:, classes], plain.predict_proba(points[1].numpy()), atol=1e-5
    )
    assert answer.sum(axis=1) == pytest.approx(1)
    assert all(torch.equal(value, before[name]) for name, value in encoders.state_dict().items())
    assert not any(parameter.requires_grad for parameter in model.encoders.parameters())


def test_a_probe_takes_no_notice_of_clips_without_a_label() -> None:
    clips = speech()
    encoders = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    half = MultiViewDataset(
        clips.views, [int(label) if i % 2 else -1 for i, label in enumerate(clips.labels)]
    )
    known = clips.of_clips(np.arange(1, len(clips), 2))
    answers = [predict_views(probe_views(encoders, item), clips) for item in (half, known)]
    np.testing.assert_array_equal(answers[0], answers[1])
    with pytest.raises(TrainingError, match=r"labels of 0 class\(es\): a probe needs two"):
        probe_views(encoders, clips.unlabelled())
    with pytest.raises(ValueError, match="penalty must be above 0, not 0"):
        probe_views(encoders, clips, penalty=0)


def test_validation_chooses_the_epoch() -> None:
    clips, judges = speech(), speech(seed=3)
    start = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    model, history = fine_tune(
        start, clips, generator=generator(), validation=judges, metric=accuracy, settings=TUNE
    )
    assert history.best_epoch is not None
    result = accuracy(judges.labels.numpy(), predict_views(model, judges).argmax(axis=1))
    assert result == max(history["score"])


def test_embeddings_come_in_order_whatever_the_batches() -> None:
    clips = speech()
    made = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    whole, parts = embed_views(made, clips), embed_views(made, clips, batch_size=5)
    assert {name: tuple(item.shape) for name, item in whole.items()} == {
        "mel": (16, 16),
        "egemaps": (16, 16),
    }
    for name, left in whole.items():
        torch.testing.assert_close(parts[name], left)
    assert made.training


def test_refuses() -> None:
    clips = speech()
    made = ViewEncoders.for_clips(clips, SIZES, generator=generator())
    with pytest.raises(TrainingError, match="1 clips: a clip needs another one"):
        pretrain(clips.of_clips([0]), generator=generator())
    with pytest.raises(TrainingError, match="none of 16 clips has a label"):
        fine_tune(made, clips.unlabelled(), generator=generator())
    with pytest.raises(ValueError, match="no encoder for view 'words'"):
        fine_tune(made, clips, generator=generator(), views=["words"])
    with pytest.raises(ValueError, match="validation and metric go together"):
        fine_tune(made, clips, generator=generator(), validation=clips)
    with pytest.raises(TrainingError, match="the data set has no clip"):
        embed_views(made, clips.of_clips([]))
    with pytest.raises(ValueError, match="no view 'egemaps'; there are mel"):
        pretrain(clips.of_views(["mel"]), generator=generator(), encoders=made)
