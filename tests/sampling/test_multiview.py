"""Multi-view data sets: padding, choice, joining, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from lowser_lib.sampling import UNLABELLED
from lowser_lib.sampling.clips import MultiViewDataset

FRAMES = (4, 7, 5)


def dataset(labels: list[int] | None = None) -> MultiViewDataset:
    random = np.random.default_rng(0)
    return MultiViewDataset(
        {
            "mel": [random.normal(size=(6, frames)).astype(np.float32) for frames in FRAMES],
            "egemaps": list(random.normal(size=(3, 5))),
            "wav2vec2": list(random.normal(size=(3, 2, 4))),
        },
        labels,
    )


def test_a_batch_is_padded_view_by_view() -> None:
    clips = dataset([2, 0, UNLABELLED])
    assert len(clips) == 3
    batch = clips.collate([clips[2], clips[0]])
    assert {name: tuple(view.shape) for name, view in batch.views.items()} == {
        "mel": (2, 6, 5),
        "egemaps": (2, 5),
        "wav2vec2": (2, 2, 4),
    }
    assert batch.lengths["mel"].tolist() == [5, 4]
    assert batch.lengths["egemaps"].tolist() == [5, 5]
    assert batch.labels.tolist() == [UNLABELLED, 2]
    torch.testing.assert_close(batch.views["mel"][1, :, :4], clips.views["mel"][0])
    assert batch.views["mel"][1, :, 4:].eq(0).all()
    assert all(view.dtype == torch.float32 for view in batch.views.values())


def test_lengths_are_those_of_the_longest_view() -> None:
    assert dataset().lengths.tolist() == [6 if frames < 5 else frames for frames in (5, 7, 5)]
    assert dataset().of_views(["mel"]).lengths.tolist() == list(FRAMES)


def test_choice_of_views_and_clips_keeps_clips_together() -> None:
    clips = dataset([0, 1, 2])
    chosen = clips.of_views(["egemaps", "mel"]).of_clips([2, 0])
    assert list(chosen.views) == ["egemaps", "mel"]
    assert chosen.labels.tolist() == [2, 0]
    assert chosen.views["mel"][0] is clips.views["mel"][2]
    assert clips.of_clips(np.array([1])).views["egemaps"][0] is clips.views["egemaps"][1]
    assert clips.unlabelled().labels.tolist() == [UNLABELLED] * 3
    assert len(clips.of_clips([])) == 0


def test_joined_holds_all_clips() -> None:
    clips = dataset([0, 1, 2])
    joined = MultiViewDataset.joined([clips, dataset()])
    assert len(joined) == 6
    assert joined.labels.tolist() == [0, 1, 2] + [UNLABELLED] * 3
    assert joined.views["mel"][4] is not clips.views["mel"][1]
    torch.testing.assert_close(joined.views["mel"][4], clips.views["mel"][1])
    with pytest.raises(ValueError, match=r"parts\[1\] has views \['mel'\]"):
        MultiViewDataset.joined([clips, clips.of_views(["mel"])])
    with pytest.raises(ValueError, match="parts is empty"):
        MultiViewDataset.joined([])


ROW = np.zeros(4)


@pytest.mark.parametrize(
    ("views", "labels", "message"),
    [
        ({}, None, "views is empty"),
        ({"a": [ROW], "b": [ROW, ROW]}, None, "same clips, but they have {'a': 1, 'b': 2}"),
        ({"a": [np.zeros((2, 3)), np.zeros((3, 3))]}, None, r"\[1\] has shape \(3, 3\); .*2"),
        ({"a": [ROW, np.zeros((1, 4))]}, None, r"\['a'\]\[1\] has shape \(1, 4\)"),
        ({"a": [np.zeros(())]}, None, r"\['a'\]\[0\] has shape \(\)"),
        ({"a": [np.zeros((3, 0))]}, None, r"\['a'\]\[0\] has shape \(3, 0\)"),
        ({"a": [ROW, ROW + np.inf]}, None, "NaN or infinity"),
        ({"a": [ROW]}, [0, 1], r"labels must have shape \(1,\)"),
    ],
)
def test_refuses(views: dict[str, Any], labels: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiViewDataset(views, labels)


def test_refuses_unknown_views() -> None:
    with pytest.raises(ValueError, match="no view 'words'; there are mel, egemaps, wav2vec2"):
        dataset().of_views(["words"])
