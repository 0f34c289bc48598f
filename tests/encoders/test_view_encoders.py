"""Encoders of views: padding, statistics, kinds."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor

from lowser_lib.encoders.view_encoders import (
    FURTHEST,
    LayersEncoder,
    SpectrogramEncoder,
    VectorEncoder,
    ViewEncoder,
    kind_of,
    view_encoder,
)
from lowser_lib.errors import TrainingError

SHAPES = {"mel": (6, 30), "egemaps": (9,), "wav2vec2": (3, 8)}
KINDS = {"mel": SpectrogramEncoder, "egemaps": VectorEncoder, "wav2vec2": LayersEncoder}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(name: str, n: int = 5, seed: int = 1) -> list[Tensor]:
    random = generator(seed)
    *outer, last = SHAPES[name]
    sizes = [last + 3 * i if name == "mel" else last for i in range(n)]
    return [3 * torch.randn(*outer, size, generator=random) + 7 for size in sizes]


def make(name: str, seed: int = 0) -> ViewEncoder:
    encoder = view_encoder(
        name, clips(name)[0], 16, channels=12, dropout=0.1, generator=generator(seed)
    )
    encoder.fit_statistics(clips(name))
    return encoder.eval()


def embed(encoder: ViewEncoder, *arrays: Tensor) -> Tensor:
    widest = max(array.shape[-1] for array in arrays)
    padded = [torch.nn.functional.pad(a, (0, widest - a.shape[-1])) for a in arrays]
    return encoder(torch.stack(padded), torch.tensor([a.shape[-1] for a in arrays]))


@pytest.mark.parametrize("name", SHAPES)
def test_each_view_has_its_kind_and_one_width(name: str) -> None:
    encoder = make(name)
    assert isinstance(encoder, KINDS[name])
    embedding = embed(encoder, *clips(name))
    assert embedding.shape == (5, encoder.dimension) == (5, 16)
    assert embedding.std(dim=0).min() > 0
    again = embed(make(name), *clips(name))
    torch.testing.assert_close(again, embedding, rtol=0, atol=0)
    assert not torch.equal(embed(make(name, seed=1), *clips(name)), embedding)


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9, 30])
def test_neither_padding_nor_neighbours_change_a_spectrogram(frames: int) -> None:
    encoder = make("mel").double()
    short = clips("mel")[0][:, :frames].double()
    alone = embed(encoder, short)
    beside = embed(encoder, short, 100 * clips("mel")[4].double())[:1]
    torch.testing.assert_close(beside, alone)
    encoder.train()
    dropout = cast(SpectrogramEncoder, encoder).output[0]
    assert isinstance(dropout, torch.nn.Dropout)
    dropout.p = 0.0
    torch.testing.assert_close(embed(encoder, short), alone)  # nothing depends on the batch


@pytest.mark.parametrize("name", SHAPES)
def test_statistics_bring_each_feature_to_mean_0_and_deviation_1(name: str) -> None:
    encoder, arrays = make(name), clips(name)
    columns = torch.cat(arrays, dim=-1) if name == "mel" else torch.stack(arrays, dim=-1)
    standard = (columns - encoder.mean[..., None]) * encoder.scale[..., None]
    zeros = torch.zeros(encoder.mean.shape)
    torch.testing.assert_close(standard.mean(-1), zeros, atol=1e-4, rtol=0)
    torch.testing.assert_close(standard.std(-1, correction=0), torch.ones(encoder.mean.shape))
    # A change of units changes nothing.
    scaled = make(name)
    scaled.fit_statistics([array * 1000 - 5 for array in arrays])
    torch.testing.assert_close(
        embed(scaled, *[array * 1000 - 5 for array in arrays]), embed(encoder, *arrays),
        atol=1e-3, rtol=1e-3,
    )  # fmt: skip
    assert {"mean", "scale"} <= encoder.state_dict().keys()


def test_constant_features_are_left_out_and_outliers_held_back() -> None:
    encoder = view_encoder("egemaps", torch.zeros(3), 8, channels=1, dropout=0.0)
    with torch.no_grad():
        rows = torch.randn(20, 3, generator=generator())
        rows[:, 1] = 4.0
        encoder.fit_statistics(list(rows))
        moved = rows.clone()
        moved[:, 1] += 1
        torch.testing.assert_close(embed(encoder, *moved), embed(encoder, *rows))
        far, further = rows[:1].clone(), rows[:1].clone()
        far[0, 0] = encoder.mean[0] + (FURTHEST + 1) / encoder.scale[0]
        further[0, 0] = 1e9
        torch.testing.assert_close(embed(encoder, *further), embed(encoder, *far))


def test_layers_begin_with_equal_weights_and_learn_them() -> None:
    encoder = cast(LayersEncoder, make("wav2vec2"))
    assert encoder.mix.softmax(0).tolist() == pytest.approx([1 / 3] * 3)
    embed(encoder, *clips("wav2vec2")).square().sum().backward()
    assert encoder.mix.grad is not None and encoder.mix.grad.abs().min() > 0
    with torch.no_grad():
        encoder.mix.copy_(torch.tensor([0.0, 100.0, 0.0]))
    first, other = clips("wav2vec2")[:1], clips("wav2vec2")[:1]
    other[0] = other[0].clone()
    other[0][[0, 2]] += 5
    torch.testing.assert_close(embed(encoder, *first), embed(encoder, *other))


def test_kinds() -> None:
    assert kind_of("wav2vec2", 1) == kind_of("prosody", 1) == "vector"
    assert kind_of("cochleagram", 2) == "spectrogram"
    assert kind_of("wav2vec2", 2) == "layers"
    with pytest.raises(ValueError, match=r"'wav2vec2' has arrays of 3 axes.*pooled=True"):
        view_encoder("wav2vec2", torch.zeros(2, 3, 4), 8, channels=1, dropout=0.0)


def test_refuses_statistics_of_nothing() -> None:
    with pytest.raises(TrainingError, match="no clip to take means"):
        make("mel").fit_statistics([])
