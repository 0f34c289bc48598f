"""The Whisper view: equal to the encoder itself, and found again by weights and layer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from lowser_lib.audio import load_audio
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.views import View
from lowser_lib.views.cache import extract_all, view_folder
from lowser_lib.views.mel import log_mel
from lowser_lib.views.whisper import WhisperView

SHAPE = EncoderDimensions(80, 1500, 32, 4, 3)


@pytest.fixture
def encoder() -> WhisperEncoder:
    return WhisperEncoder.random(SHAPE, 0).eval()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples).astype(np.float32)


def test_output_is_what_the_encoder_hands_on(encoder: WhisperEncoder) -> None:
    mel = log_mel(torch.from_numpy(noise(8000)))[None]
    with torch.no_grad():
        states, mean = encoder(mel)[0].numpy(), encoder.embed(mel)[0].numpy()
    assert isinstance(WhisperView(encoder), View)
    np.testing.assert_array_equal(WhisperView(encoder).extract(noise(8000)), states)
    pooled = WhisperView(encoder, pooled=True).extract(noise(8000))
    np.testing.assert_allclose(pooled, mean, rtol=1e-5, atol=1e-6)


def test_one_pass_gives_all_layers(encoder: WhisperEncoder) -> None:
    mix = WhisperView(encoder, "mix").extract(noise(8000))
    pooled = WhisperView(encoder, "mix", pooled=True).extract(noise(8000))
    assert mix.shape == (4, 25, 32)
    np.testing.assert_allclose(pooled, mix.mean(axis=1), rtol=1e-5, atol=1e-6)
    for layer in range(4):
        np.testing.assert_array_equal(WhisperView(encoder, layer).extract(noise(8000)), mix[layer])
    # What stands before the last normalisation, normalised, is the output.
    with torch.no_grad():
        output = encoder.encoder.ln_post(torch.from_numpy(mix[3])).numpy()
    np.testing.assert_allclose(WhisperView(encoder).extract(noise(8000)), output, atol=1e-6)


def test_first_layers_alone_have_the_same_states(encoder: WhisperEncoder) -> None:
    whole = WhisperView(encoder, 2).extract(noise(8000))
    cut = WhisperEncoder.random(SHAPE, 0).keep_layers(2).eval()
    np.testing.assert_array_equal(WhisperView(cut, 2).extract(noise(8000)), whole)


@pytest.mark.parametrize("layer", [-1, 4, "last", 1.0, True])
def test_a_layer_that_is_not_there_is_refused(encoder: WhisperEncoder, layer: Any) -> None:
    with pytest.raises(ValueError, match="layer must be 0 to 3, 'output' or 'mix'"):
        WhisperView(encoder, layer)


def test_the_key_is_made_of_weights_layer_and_pooling(
    encoder: WhisperEncoder, tmp_path: Path
) -> None:
    nudged = WhisperEncoder.random(SHAPE, 0)
    with torch.no_grad():  # by less than float16, and so the tensor hash, can tell
        nudged.encoder.conv1.weight[0, 0, 0] *= 1 + 1e-6
    assert nudged.tensor_hash() == encoder.tensor_hash()
    views = [
        WhisperView(encoder),
        WhisperView(encoder, 1),
        WhisperView(encoder, "mix"),
        WhisperView(encoder, pooled=True),
        WhisperView(WhisperEncoder.random(SHAPE, 1)),
        WhisperView(WhisperEncoder.random(SHAPE, 0).keep_layers(2)),
        WhisperView(nudged),
    ]
    assert len({view_folder(view, tmp_path) for view in views}) == len(views)
    again = WhisperView(WhisperEncoder.random(SHAPE, 0, freeze=()))
    assert view_folder(again, tmp_path) == view_folder(views[0], tmp_path)


class Unpicklable(WhisperEncoder):
    """As :class:`WhisperEncoder`, but it cannot be sent to another process."""

    def __reduce__(self) -> Any:
        raise TypeError("sent to another process")


def test_a_cache_of_another_encoder_is_left_alone(encoder: WhisperEncoder, tmp_path: Path) -> None:
    paths = [f"{number}.wav" for number in range(20)]
    for number, path in enumerate(paths):
        soundfile.write(tmp_path / path, noise(1600, number), 16000, subtype="PCM_16")
    manifest, cache = pd.DataFrame({"path": paths}), tmp_path / "cache"
    here = Unpicklable(encoder.encoder)
    first = extract_all(WhisperView(here, "mix"), manifest, [tmp_path], cache, jobs=2)
    before = {file: file.read_bytes() for file in cache.rglob("*.safetensors")}
    other = WhisperView(WhisperEncoder.random(SHAPE, 1), "mix")
    second = extract_all(other, manifest, [tmp_path], cache)
    assert not np.allclose(first[0], second[0])
    assert {file: file.read_bytes() for file in before} == before
    warm = extract_all(WhisperView(encoder, "mix"), manifest, [tmp_path], cache)
    for left, stored in zip(first, warm, strict=True):
        np.testing.assert_array_equal(left, stored)
    sound = load_audio(tmp_path / "3.wav")
    np.testing.assert_array_equal(warm[3], WhisperView(encoder, "mix").extract(sound))
