"""Speaker-contrastive learning: settings, batches, recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowser_lib.augment import GaussianNoise
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.heads import projection_head
from lowser_lib.errors import TrainingError
from lowser_lib.losses import nt_xent
from lowser_lib.methods.speaker_contrastive import (
    BatchShape,
    SpeakerContrastive,
    SpeakerContrastiveConfig,
    batch_shape,
    speaker_sampler,
)
from lowser_lib.sampling import Batch
from lowser_lib.training import Step

CONFIG = SpeakerContrastiveConfig()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny_encoder(seed: int = 0, **options: Any) -> WhisperEncoder:
    return WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), seed, **options)


def batch(speakers: list[int], seed: int = 2) -> Batch:
    mel = torch.randn(len(speakers), 80, 12, generator=generator(seed))
    return Batch(mel, torch.full((len(speakers),), 12), torch.tensor(speakers))


def clips_of(*counts: int) -> np.ndarray:
    """Speakers of clips: so many of speaker 0, so many of speaker 1, ..."""
    return np.repeat(np.arange(len(counts)), counts)


# --- settings ----------------------------------------------------------------------------------


def test_a_batch_is_the_papers() -> None:
    assert (CONFIG.speakers_per_batch, CONFIG.clips_per_speaker) == (16, 4)
    assert CONFIG.other_positives == "exclude"


def test_augmentation_is_the_preset_with_or_without_mixup() -> None:
    seven = SpeakerContrastiveConfig(strength=0.5, probability=0.25).augmentation()
    assert len(seven) == 7
    assert {(transform.strength, transform.probability) for transform in seven.transforms} == {
        (0.5, 0.25)
    }
    six = SpeakerContrastiveConfig(mixup=False).augmentation()
    assert len(six) == 6
    assert six.keeps_label and not seven.keeps_label
    (left,) = SpeakerContrastiveConfig(augmentations="noise").augmentation().transforms
    assert isinstance(left, GaussianNoise)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"speakers_per_batch": 1}, "speakers_per_batch must be at least 2, not 1"),
        ({"clips_per_speaker": 1}, "clips_per_speaker must be at least 2, not 1"),
        ({"projection": 0}, "projection must be at least 1, not 0"),
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"temperature": float("nan")}, "temperature must be above 0, not nan"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"encoder_learning_rate": 0.0}, "encoder_learning_rate must be above 0"),
        ({"other_positives": "drop"}, "'exclude', 'include', not 'drop'"),
        ({"augmentations": "echo"}, "unknown augmentation 'echo'"),
        ({"seconds": 0.1}, "seconds must be at least 0.5, not 0.1"),
        ({"strength": 1.5}, r"strength must lie in \[0, 1\], not 1.5"),
        ({"probability": -0.5}, r"probability must lie in \[0, 1\], not -0.5"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeakerContrastiveConfig(**setting)


# --- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([4] * 16, (16, 4)),
        ([17] * 40, (16, 4)),
        ([19] * 10, (10, 4)),  # too few speakers
        ([3] * 30, (16, 3)),  # too few clips
        ([4] * 3 + [3] * 30, (16, 3)),  # 48 clips are more than 12
        ([4] * 12 + [3] * 4, (12, 4)),  # as many clips: 4 of a speaker win
        ([2, 2, 1, 1], (2, 2)),
    ],
)
def test_batches_are_as_large_as_the_corpus_allows(
    counts: list[int], expected: tuple[int, int]
) -> None:
    assert batch_shape(clips_of(*counts), CONFIG)[:2] == expected


def test_a_smaller_batch_is_said_plainly() -> None:
    assert not batch_shape(clips_of(*[5] * 16)).missing
    with pytest.warns(UserWarning, match="10 speakers × 4 clips instead of 16 × 4") as answer:
        sampler, shape = speaker_sampler(clips_of(*[19] * 10), generator())
    assert str(answer[0].message) == shape.missing
    assert "of 10 speakers 10 have 4 clips or more" in shape.missing
    assert {len(indices) for indices in sampler} == {40}


def test_a_batch_holds_clips_of_each_of_its_speakers() -> None:
    speakers = clips_of(*[9] * 20)
    sampler, shape = speaker_sampler(torch.from_numpy(speakers), generator())
    assert shape == BatchShape(16, 4)
    for indices in sampler:
        _, counts = np.unique(speakers[indices], return_counts=True)
        assert counts.tolist() == [4] * 16


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        ([], "the data set has no clip"),
        ([0] * 20, "of 1 speakers 1 have as many; take a corpus with more speakers"),
        (list(range(20)), "at least 2 speakers with 2 clips each, but of 20 speakers 0"),
        ([0, 0, -1, 1, 1], "1 of 5 clips have no speaker"),
    ],
)
def test_a_corpus_without_anything_to_contrast_is_refused(
    speakers: list[int], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        speaker_sampler(speakers, generator())


# --- recipe ------------------------------------------------------------------------------------


def test_loss_is_nt_xent_of_projected_embeddings() -> None:
    recipe = SpeakerContrastive(tiny_encoder(), generator=generator())
    clips = batch([0, 0, 0, 1, 1, 2, 2])
    losses = recipe(clips, Step(0, 10, generator()))
    embeddings = recipe.encoder.embed(clips.inputs, clips.lengths)
    first, bias, second, last_bias = recipe.projection.parameters()
    projected = F.relu(embeddings @ first.T + bias) @ second.T + last_bias
    assert projected.shape == (7, 128)
    expected = nt_xent(projected, clips.labels, CONFIG.temperature, "exclude")
    torch.testing.assert_close(losses["loss"], expected)

    other = SpeakerContrastiveConfig(temperature=0.5, other_positives="include")
    recipe.settings = other
    expected = nt_xent(projected, clips.labels, 0.5, "include")
    torch.testing.assert_close(recipe(clips, Step(0, 10, generator()))["loss"], expected)


class Passing(nn.Module):
    """An encoder that hands the first frame on."""

    dimension = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        del lengths
        return mel[:, :, 0] * self.weight


def test_identified_is_the_share_of_right_neighbours() -> None:
    recipe = SpeakerContrastive(Passing(), generator=generator())
    recipe.projection = nn.Sequential()  # compare the embeddings themselves
    vectors = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.6, 0.4]])[:, :, None]
    clips = Batch(vectors, torch.ones(4, dtype=torch.int64), torch.tensor([0, 0, 1, 1]))
    assert recipe(clips, Step(0, 1, generator()))["identified"] == 0.75


def test_head_and_encoder_have_their_own_rates_and_the_stem_none() -> None:
    encoder = tiny_encoder()
    config = SpeakerContrastiveConfig(learning_rate=0.1, encoder_learning_rate=0.02)
    recipe = SpeakerContrastive(encoder, config)
    head, rest = recipe.parameter_groups()
    assert (head["lr"], rest["lr"]) == (0.1, 0.02)
    assert [id(p) for p in head["params"]] == [id(p) for p in recipe.projection.parameters()]
    assert [id(p) for p in rest["params"]] == [id(p) for p in encoder.trainable_parameters()]
    trained = {id(p) for group in (head, rest) for p in group["params"]}
    frozen = [name for name, p in encoder.named_parameters() if id(p) not in trained]
    assert frozen == [f"encoder.{item}" for item in ("conv1.weight", "conv1.bias", "conv2.weight",
                                                   "conv2.bias")]  # fmt: skip


def test_a_frozen_encoder_is_refused() -> None:
    frozen = tiny_encoder(freeze=("conv", "positions", "blocks"))
    with pytest.raises(ValueError, match="encoder has no trainable parameter"):
        SpeakerContrastive(frozen)


def test_the_generator_alone_draws_the_head() -> None:
    before = torch.get_rng_state()
    first, again, other = (projection_head(16, 8, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert [tuple(p.shape) for p in first.parameters()] == [(16, 16), (16,), (8, 16), (8,)]
    assert torch.equal(first.get_parameter("0.weight"), again.get_parameter("0.weight"))
    assert not torch.equal(first.get_parameter("0.weight"), other.get_parameter("0.weight"))


# --- as many women as men ----------------------------------------------------------------------

BALANCED = SpeakerContrastiveConfig(balance_genders=True)


def genders_of(speakers: np.ndarray, women: int, unknown: int = 0) -> np.ndarray:
    """Gender of each clip's speaker: the first are women, the last unknown."""
    last = speakers.max() + 1 - unknown
    return np.where(speakers < women, "female", np.where(speakers < last, "male", "unknown"))


@pytest.mark.parametrize(
    ("women", "men", "clips", "expected"),
    [
        (11, 27, 9, (16, 4)),
        (5, 30, 9, (10, 4)),  # women are too few for eight
        (3, 30, 3, (6, 3)),
    ],
)
def test_balanced_batches_are_as_large_as_the_smaller_gender_allows(
    women: int, men: int, clips: int, expected: tuple[int, int]
) -> None:
    speakers = clips_of(*[clips] * (women + men))
    genders = genders_of(speakers, women)
    assert batch_shape(speakers, BALANCED, genders)[:2] == expected
    # The switch alone does it: genders that are not asked for are not looked at.
    assert batch_shape(speakers, CONFIG, genders) == batch_shape(speakers, CONFIG)


def test_balanced_batches_hold_as_many_women_as_men() -> None:
    speakers = clips_of(*[9] * 30)
    genders = genders_of(speakers, 8, unknown=3)
    with pytest.warns(UserWarning, match="3 of 30 speakers are in no batch"):
        sampler, shape = speaker_sampler(speakers, generator(), BALANCED, genders=genders)
    assert shape == BatchShape(16, 4)
    for indices in sampler:
        names, counts = np.unique(genders[indices], return_counts=True)
        assert dict(zip(names, counts, strict=True)) == {"female": 32, "male": 32}


def test_balance_needs_two_genders() -> None:
    speakers = clips_of(*[9] * 20)
    with pytest.raises(ValueError, match="needs the gender of each clip"):
        batch_shape(speakers, BALANCED)
    with pytest.raises(TrainingError, match="speakers of two known genders"):
        batch_shape(speakers, BALANCED, genders=genders_of(speakers, 20))
    with pytest.raises(TrainingError, match="clips each, equally many of each gender"):
        batch_shape(clips_of(*[1] * 4, *[9] * 6), BALANCED, genders=["female"] * 4 + ["male"] * 54)
