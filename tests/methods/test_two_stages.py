"""Two stages: adaptation by speaker, the file between, and the baseline from there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import fingerprint, load_encoder
from lowser_lib.errors import CheckpointError, TrainingError
from lowser_lib.evaluation import collapse_figures
from lowser_lib.evaluation.probing import speaker_identifiability
from lowser_lib.methods import speaker_contrastive, two_stages
from lowser_lib.methods.baseline import BaselineConfig, train_baseline
from lowser_lib.methods.speaker_contrastive import (
    SpeakerContrastiveConfig,
    adapt_to_speakers,
    train_speaker_contrastive,
)
from lowser_lib.methods.two_stages import Adapted, TwoStages
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.training import Execution, TrainingConfig, embed, make_fabric, predict
from lowser_lib.views.mel import log_mel

#: Tiny products are slower on many threads than on one.
pytestmark = pytest.mark.usefixtures("one_thread")

SPEAKERS, CLIPS = 8, 6
SMALL = SpeakerContrastiveConfig(
    speakers_per_batch=8, clips_per_speaker=2, projection=16, steps=9,
    learning_rate=5e-3, encoder_learning_rate=5e-3,
)  # fmt: skip


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def start() -> WhisperEncoder:
    return WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)


@cache
def toy_speech(seed: int = 0) -> WaveformDataset:
    """Speakers who differ in two resonances, in clips that differ in pitch, level and noise."""
    random = np.random.default_rng(seed)
    clips, speakers = [], np.repeat(np.arange(SPEAKERS), CLIPS)
    for speaker in speakers:
        samples = int(random.integers(4800, 8000))
        time = np.arange(samples) / 16_000
        sound = 0.02 * random.standard_normal(samples)
        pitch = random.uniform(90, 250)
        resonances = 500 + 110 * speaker, 3000 - 170 * ((3 * speaker) % SPEAKERS)
        for harmonic in np.arange(1, 30) * pitch:
            gain = sum(np.exp(-(((harmonic - peak) / 150) ** 2)) for peak in resonances)
            sound += gain * np.sin(2 * np.pi * harmonic * time + random.uniform(0, 6))
        clips.append((0.1 * random.uniform(0.3, 1) * sound).astype(np.float32))
    return WaveformDataset(clips, speakers)


def spectrograms(speech: WaveformDataset) -> ClipDataset:
    return ClipDataset([log_mel(sound) for sound in speech.samples], speech.labels)


def emotions(seed: int = 5) -> ClipDataset:
    """Labelled clips: the emotion is the level of the lower bands."""
    random = np.random.default_rng(seed)
    labels = np.arange(24) % 4
    mels = random.standard_normal((24, 80, 30), dtype=np.float32)
    mels[:, :40] += labels[:, None, None]
    return ClipDataset(list(mels), labels)


def told_apart(encoder: WhisperEncoder, speech: WaveformDataset) -> float:
    embeddings = embed(encoder, spectrograms(speech))
    return speaker_identifiability(embeddings, speech.labels).accuracy


def weights(encoder: WhisperEncoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in encoder.state_dict().items()}


def assert_same(first: WhisperEncoder, second: WhisperEncoder) -> None:
    left, other = weights(first), weights(second)
    assert left.keys() == other.keys()
    for name in left:
        assert torch.equal(left[name], other[name]), name


def adapt(config: SpeakerContrastiveConfig = SMALL, seed: int = 0, **options: Any) -> Adapted:
    return adapt_to_speakers(
        start(), toy_speech(), generator=generator(seed), settings=config,
        execution=Execution(make_fabric("cpu", "32-true"), **options),
    )  # fmt: skip


# --- the first stage ---------------------------------------------------------------------------


def test_speakers_are_told_apart_better_and_the_loss_falls() -> None:
    config = SpeakerContrastiveConfig(
        speakers_per_batch=8, clips_per_speaker=4, projection=16, steps=60,
        learning_rate=1e-2, encoder_learning_rate=1e-2, temperature=0.2, strength=0.3,
    )  # fmt: skip
    adapted = adapt(config)
    unseen = toy_speech(9)
    assert told_apart(adapted.encoder, unseen) > told_apart(start(), unseen) + 0.15
    losses = adapted.history["loss"]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    identified = adapted.history["identified"]
    assert np.mean(identified[-5:]) > np.mean(identified[:5])
    assert (adapted.batch["speakers"], adapted.batch["clips"]) == (8, 4)


def test_what_is_frozen_stays_and_the_projection_is_dropped() -> None:
    before = weights(start())
    adapted = adapt().encoder
    after = weights(adapted)
    assert after.keys() == before.keys()  # nothing of the projection
    assert not [name for name, _ in adapted.named_modules() if "projection" in name]
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    stem = {name for name in before if "conv" in name or "positional" in name}
    assert changed == set(before) - stem
    assert not adapted.training
    assert "adapted by contrasting speakers" in adapted.description


def test_the_encoder_given_stays_as_it_is() -> None:
    before = fingerprint(start())
    adapt()
    assert fingerprint(start()) == before


def test_same_seed_same_weights_whatever_the_threads() -> None:
    first = adapt().encoder
    torch.set_num_threads(2)
    assert_same(adapt().encoder, first)
    assert torch.get_num_threads() == 2
    assert fingerprint(adapt(seed=1).encoder) != fingerprint(first)


def test_steps_are_rounded_up_to_whole_epochs() -> None:
    # 8 speakers with 3 groups of 2 clips make 3 batches an epoch.
    assert len(adapt(SpeakerContrastiveConfig(8, 2, projection=4, steps=4)).history) == 2


class InterruptedRunError(Exception):
    """Stands for a killed process."""


def interrupt_at_epoch(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop every loader in the middle of an epoch."""
    whole = speaker_contrastive.AugmentedLoader.__iter__

    def stopping(self: Any) -> Any:
        for number, batch in enumerate(whole(self)):
            if self.batch_sampler.epoch == epoch and number == 1:
                raise InterruptedRunError
            yield batch

    monkeypatch.setattr(speaker_contrastive.AugmentedLoader, "__iter__", stopping)


def test_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = adapt()
    with monkeypatch.context() as patch:
        interrupt_at_epoch(2, patch)
        with pytest.raises(InterruptedRunError):
            adapt(checkpoint=tmp_path / "run.pt")
    resumed = adapt(checkpoint=tmp_path / "run.pt", resume=True)
    assert_same(resumed.encoder, whole.encoder)
    assert resumed.history.rows == whole.history.rows


@pytest.mark.parametrize(
    ("clips", "message"),
    [
        ([], "the data set has no clip"),
        ([0] * 6, "of 1 speakers 1 have as many"),
        ([0, 1, 2, 3], "at least 2 speakers with 2 clips each"),
        ([-1, 0, 0, 1, 1], "have no speaker"),
    ],
)
def test_speech_that_cannot_be_contrasted_is_refused(clips: list[int], message: str) -> None:
    data = WaveformDataset([np.ones(1600, np.float32)] * len(clips), clips or None)
    with pytest.raises(TrainingError, match=message):
        adapt_to_speakers(start(), data, generator=generator())


def test_a_corpus_that_is_too_small_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="8 speakers × 4 clips instead of 16 × 4"):
        adapted = adapt(SpeakerContrastiveConfig(steps=1))
    assert adapted.batch["missing"]


# --- both --------------------------------------------------------------------------------------

SETTINGS: dict[str, Any] = {
    "metric": lambda true, guess: float((true == guess).mean()),
    "training": TrainingConfig(epochs=2, batch_size=8),
}
BASELINE = BaselineConfig(hidden=8, encoder_learning_rate=1e-3, head_epochs=2)


def both(folder: Path, seed: int = 3, resume: bool = False, **changes: Any) -> TwoStages:
    settings = {
        **SETTINGS, "baseline": BASELINE, "settings": SMALL, "unlabelled": toy_speech(),
        "source": emotions(), **changes,
    }  # fmt: skip
    return train_speaker_contrastive(
        start(), validation=emotions(6), seed=seed, folder=folder,
        execution=Execution(make_fabric("cpu", "32-true"), resume=resume), **settings,
    )  # fmt: skip


def test_the_second_stage_is_the_baseline_from_the_file_between(tmp_path: Path) -> None:
    done = both(tmp_path)
    (file,) = tmp_path.glob("encoder-*.pt")
    between, notes = load_encoder(file, start())
    assert_same(between, done.adapted.encoder)
    assert notes["history"]["rows"] == done.adapted.history.rows
    # The seed's own stream: what the baseline draws, whatever came before.
    model, history = train_baseline(
        between, emotions(), emotions(6), generator=generator(3),
        execution=Execution(make_fabric("cpu", "32-true")), settings=BASELINE, **SETTINGS,
    )  # fmt: skip
    np.testing.assert_array_equal(predict(model, emotions(7)), predict(done.model, emotions(7)))
    assert history.rows == done.history.rows
    assert not [name for name, _ in done.model.named_parameters() if "projection" in name]


def test_an_interruption_in_either_stage_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(both(tmp_path / "whole").model, emotions(7))
    with monkeypatch.context() as patch:
        interrupt_at_epoch(1, patch)
        with pytest.raises(InterruptedRunError):
            both(tmp_path / "first")
    assert not list((tmp_path / "first").glob("encoder-*"))
    resumed = both(tmp_path / "first", resume=True)
    np.testing.assert_array_equal(predict(resumed.model, emotions(7)), whole)

    with monkeypatch.context() as patch:
        patch.setattr(two_stages, "train_baseline", lambda *args, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            both(tmp_path / "second")
    monkeypatch.setattr(speaker_contrastive, "adapt_to_speakers", lambda *args, **options: 1 / 0)
    resumed = both(tmp_path / "second", resume=True)  # the first stage is not run again
    np.testing.assert_array_equal(predict(resumed.model, emotions(7)), whole)
    assert resumed.adapted.history["loss"]


def test_files_of_other_settings_are_not_mistaken(tmp_path: Path) -> None:
    both(tmp_path)
    both(tmp_path, seed=4, resume=True)
    other = SpeakerContrastiveConfig(**{**vars(SMALL), "temperature": 0.5})
    both(tmp_path, settings=other, resume=True)
    assert len(list(tmp_path.glob("encoder-*.pt"))) == 3
    # Other settings of the second stage share the first's encoder.
    rates = BaselineConfig(hidden=8, encoder_learning_rate=1e-4)
    both(tmp_path, baseline=rates, resume=True)
    assert len(list(tmp_path.glob("encoder-*.pt"))) == 3
    assert len(list(tmp_path.glob("stage2-*.pt"))) == 4


def test_other_sound_of_equal_length_is_not_mistaken(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"settings": SpeakerContrastiveConfig(8, 2, projection=4, steps=1)}
    both(tmp_path, **quick)
    louder = WaveformDataset([2 * sound for sound in toy_speech().samples], toy_speech().labels)
    both(tmp_path, resume=True, unlabelled=louder, **quick)
    assert len(list(tmp_path.glob("encoder-*.pt"))) == 2
    changed = ClipDataset([mel + 1 for mel in emotions().samples], emotions().labels)
    both(tmp_path, resume=True, source=changed, **quick)
    assert len(list(tmp_path.glob("encoder-*.pt"))) == 2
    assert len(list(tmp_path.glob("stage2-*.pt"))) == 3


def test_spectrograms_can_be_contrasted_and_watched() -> None:
    settings = replace(SMALL, augmentations="frequency-mask", seconds=None, mixup=False, steps=2)
    adapted = adapt_to_speakers(
        start(), spectrograms(toy_speech()), generator=generator(), settings=settings,
        monitor=collapse_figures, execution=Execution(make_fabric("cpu", "32-true")),
    )  # fmt: skip
    assert np.isfinite(adapted.history["embedding_spread"]).all()


def test_a_damaged_file_between_is_refused(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"settings": SpeakerContrastiveConfig(8, 2, projection=4, steps=1)}
    both(tmp_path, **quick)
    (file,) = tmp_path.glob("encoder-*.pt")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=f"{file.name}: cannot be read as a checkpoint"):
        both(tmp_path, resume=True, **quick)
    both(tmp_path, **quick)  # without resume it is written anew
    load_encoder(file, start())
    content = torch.load(file, weights_only=True)  # one bit of one weight
    content["model_state_dict"]["encoder.ln_post.bias"].view(torch.int32)[0] ^= 1 << 20
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=f"{file.name} is damaged: its weights"):
        both(tmp_path, resume=True, **quick)


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed must be at least 0, not -1"):
        both(tmp_path, seed=-1)


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """Nothing but what a test expects is warned of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*speakers.*")
        yield


def test_switches_for_groups_reach_their_stages_and_the_files_names(tmp_path: Path) -> None:
    women = np.repeat(np.arange(SPEAKERS), CLIPS) < 3  # three of eight speakers
    genders = np.where(women, "female", "male")
    groups = ["female", "male"] * (len(emotions()) // 2)
    plain = both(tmp_path)
    assert plain.adapted.batch["speakers"] == 8
    given = both(tmp_path, genders=genders, groups=groups, resume=True)  # not looked at
    assert given.history.rows == plain.history.rows
    assert len(list(tmp_path.glob("encoder-*.pt"))) == 1
    balanced = replace(SMALL, balance_genders=True)
    with pytest.warns(UserWarning, match="6 speakers × 2 clips instead of 8 × 2"):
        other = both(tmp_path, settings=balanced, genders=genders)
    assert other.adapted.batch["speakers"] == 6
    assert len(list(tmp_path.glob("encoder-*.pt"))) == 2
    baseline = replace(BASELINE, balance_groups="sampling")
    weighed = both(tmp_path, baseline=baseline, groups=groups)
    assert weighed.history.rows != plain.history.rows
