"""The Whisper encoder: against two other implementations, alone and in company."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor
from whisper.model import AudioEncoder, ModelDimensions, Whisper

from lowser_lib.encoders import FREEZABLE, EncoderDimensions, WhisperEncoder

SMALL = EncoderDimensions(n_mels=80, n_audio_ctx=1500, n_audio_state=64, n_audio_head=4,
                          n_audio_layer=2)  # fmt: skip


@pytest.fixture(scope="module")
def small() -> WhisperEncoder:
    return WhisperEncoder.random(SMALL, seed=1).eval()


def mels(clips: int, frames: int, seed: int = 0) -> Tensor:
    return torch.randn(clips, 80, frames, generator=torch.Generator().manual_seed(seed))


def openai_with_sliced_positions(encoder: AudioEncoder, mel: Tensor) -> Tensor:
    """OpenAI's own blocks, one clip at a time, no mask: what we have to equal."""
    states = torch.nn.functional.gelu(encoder.conv1(mel))
    states = torch.nn.functional.gelu(encoder.conv2(states)).permute(0, 2, 1)
    states = states + encoder.positional_embedding[: states.shape[1]]
    for block in encoder.blocks:
        states = block(states)
    return encoder.ln_post(states)


def test_equals_openai_whisper_at_30_seconds(small: WhisperEncoder) -> None:
    mel = mels(1, 3000)
    with torch.no_grad():
        torch.testing.assert_close(small(mel), small.encoder(mel), rtol=0, atol=1e-5)


def test_equals_openai_whisper_with_every_weight_copied() -> None:
    # Through OpenAI's own class and names, biases and normalisations drawn at random, too.
    whole = Whisper(ModelDimensions(80, 1500, 64, 4, 1, 100, 8, 64, 4, 1))
    generator = torch.Generator().manual_seed(3)
    for parameter in whole.encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    ours = WhisperEncoder(whole.encoder)
    assert set(ours.state_dict()) == {k for k in whole.state_dict() if k.startswith("encoder.")}
    mel = mels(1, 3000)
    with torch.no_grad():
        torch.testing.assert_close(ours(mel), whole.embed_audio(mel), rtol=0, atol=1e-5)


@pytest.mark.parametrize("frames", [2, 4, 58, 250, 300, 1200])
def test_equals_transformers_with_sliced_positions(small: WhisperEncoder, frames: int) -> None:
    mel = mels(2, frames)
    with torch.no_grad():
        expected = transformers_encoder(small, frames)(mel).last_hidden_state
        torch.testing.assert_close(small(mel), expected, rtol=0, atol=1e-5)


def transformers_encoder(ours: WhisperEncoder, frames: int) -> torch.nn.Module:
    """The encoder of transformers with our weights and positions for exactly ``frames`` frames."""
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Reference

    config = WhisperConfig(
        num_mel_bins=ours.n_mels, d_model=ours.dimension, encoder_ffn_dim=4 * ours.dimension,
        encoder_layers=len(ours.encoder.blocks),
        encoder_attention_heads=ours.encoder.blocks[0].attn.n_head,
        max_source_positions=frames // 2,
    )  # fmt: skip
    reference = Reference(config).eval()
    renamed = {}
    for name, tensor in ours.encoder.state_dict().items():
        for old, new in (
            ("blocks.", "layers."), ("attn_ln", "self_attn_layer_norm"), ("attn.", "self_attn."),
            ("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), (".out.", ".out_proj."),
            ("mlp_ln", "final_layer_norm"), ("mlp.0", "fc1"), ("mlp.2", "fc2"),
            ("ln_post", "layer_norm"),
        ):  # fmt: skip
            name = name.replace(old, new)
        if name == "positional_embedding":
            name, tensor = "embed_positions.weight", tensor[: frames // 2]
        renamed[name] = tensor
    reference.load_state_dict(renamed)
    return reference


@pytest.mark.parametrize("frames", [1, 3, 57, 299])
def test_equals_openai_blocks_at_odd_lengths(small: WhisperEncoder, frames: int) -> None:
    mel = mels(1, frames)
    with torch.no_grad():
        states = small(mel)
        expected = openai_with_sliced_positions(small.encoder, mel)
    assert states.shape == (1, (frames + 1) // 2, 64)
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 130), min_size=2, max_size=5),
    padding=st.sampled_from([0.0, -1.5, 7.0, 1e30, float("nan"), float("inf")]),
    extra=st.integers(0, 3),
)
def test_a_clip_does_not_depend_on_its_batch(
    small: WhisperEncoder, lengths: list[int], padding: float, extra: int
) -> None:
    clips = [mels(1, length, seed=100 + place)[0] for place, length in enumerate(lengths)]
    batch = torch.full((len(clips), 80, max(lengths) + extra), padding)
    for row, clip in zip(batch, clips, strict=True):
        row[:, : clip.shape[1]] = clip
    with torch.no_grad():
        together = small.embed(batch, torch.tensor(lengths))
        states = small(batch, lengths)
        for place, clip in enumerate(clips):
            alone = small(clip[None])[0]
            n_states = len(alone)
            torch.testing.assert_close(states[place, :n_states], alone, rtol=0, atol=1e-5)
            assert not states[place, n_states:].any()
            torch.testing.assert_close(together[place], alone.mean(dim=0), rtol=0, atol=1e-5)


def test_without_masks_a_clip_would_depend_on_its_batch(small: WhisperEncoder) -> None:
    # The control: the same comparison fails as soon as padding is taken for speech.
    mel = mels(1, 41)
    padded = torch.nn.functional.pad(mel, (0, 60))
    with torch.no_grad():
        assert (small.embed(padded) - small.embed(mel)).abs().max() > 1e-2


def test_nor_does_its_gradient() -> None:
    encoder = WhisperEncoder.random(SMALL, seed=2, freeze=())
    clip = mels(1, 33)
    batch = torch.cat([torch.nn.functional.pad(clip, (0, 64)), mels(1, 97, seed=5)])
    batch.requires_grad_()
    encoder.embed(batch, [33, 97])[0].square().sum().backward()
    together = [gradient_of(parameter) for parameter in encoder.parameters()]
    assert batch.grad is not None
    assert not batch.grad[0, :, 33:].any()
    assert not batch.grad[1].any()
    encoder.zero_grad()
    encoder.embed(clip)[0].square().sum().backward()
    for parameter, gradient in zip(encoder.parameters(), together, strict=True):
        torch.testing.assert_close(gradient, gradient_of(parameter), rtol=1e-4, atol=1e-5)


def gradient_of(parameter: torch.nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.clone()


def test_full_lengths_need_no_mask(small: WhisperEncoder) -> None:
    mel = mels(3, 90)
    with torch.no_grad():
        for lengths in ([90] * 3, torch.tensor([90] * 3)):
            torch.testing.assert_close(small.embed(mel, lengths), small.embed(mel), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_stays_close(small: WhisperEncoder, dtype: torch.dtype) -> None:
    mel, lengths = mels(3, 90), [90, 31, 2]
    with torch.no_grad():
        expected = small.embed(mel, lengths)
        with torch.autocast("cpu", dtype=dtype):
            result = small.embed(mel, lengths)
        stored_half = small.embed(mel.to(dtype), lengths)
    assert result.isfinite().all()
    torch.testing.assert_close(result.float(), expected, rtol=0, atol=0.05)
    assert stored_half.dtype == torch.float32
    torch.testing.assert_close(stored_half, expected, rtol=0, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gpu_stays_close(dtype: torch.dtype) -> None:
    encoder = WhisperEncoder.random(SMALL, seed=1).eval()
    mel, lengths = mels(4, 90), torch.tensor([90, 31, 2, 77])
    with torch.no_grad():
        expected = encoder.embed(mel, lengths)
        encoder.cuda()
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            for place in (lengths, lengths.cuda()):
                outcome = encoder.embed(mel.cuda(), place).float().cpu()
                tolerance = 1e-3 if dtype == torch.float32 else 0.05
                torch.testing.assert_close(outcome, expected, rtol=0, atol=tolerance)


PARTS: dict[str, Callable[[str], bool]] = {
    "conv": lambda name: name.startswith("encoder.conv"),
    "positions": lambda name: name == "encoder.positional_embedding",
    "blocks": lambda name: name.startswith(("encoder.blocks", "encoder.ln_post")),
}


@pytest.mark.parametrize(
    "freeze", [(), ("conv",), ("positions",), ("conv", "positions"), ("blocks",), FREEZABLE]
)
def test_one_training_step_moves_what_is_not_frozen_and_nothing_else(
    freeze: tuple[str, ...],
) -> None:
    encoder = WhisperEncoder.random(SMALL, seed=1, freeze=freeze).train()
    assert encoder.frozen == tuple(part for part in FREEZABLE if part in freeze)
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    trainable = encoder.trainable_parameters()
    if trainable:
        optimiser = torch.optim.SGD(trainable, lr=1.0)
        encoder.embed(mels(2, 40), [40, 21]).square().sum().backward()
        optimiser.step()
    after = encoder.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    for part, belongs in PARTS.items():
        # Attention ignores a shift of all keys, but Whisper's keys have no bias: all weights move.
        of_part = {name for name in before if belongs(name)}
        assert of_part
        assert of_part & moved == (set() if part in freeze else of_part), part
    assert after.keys() == before.keys()


def test_positions_are_cropped_so_only_those_in_use_learn() -> None:
    encoder = WhisperEncoder.random(SMALL, seed=1, freeze=())
    encoder.embed(mels(2, 40), [40, 21]).square().sum().backward()
    gradient = encoder.encoder.positional_embedding.grad
    assert gradient[:20].any(dim=1).all()
    assert not gradient[20:].any()


@pytest.mark.parametrize("freeze", [("stem",), ("conv", "position"), "conv"])
def test_an_unknown_part_to_freeze_is_named(freeze: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="freeze must be"):
        WhisperEncoder.random(SMALL, seed=0, freeze=freeze)


@pytest.mark.parametrize(
    ("shape", "lengths", "message"),
    [
        ((1, 80, 3001), None, r"3001 frames \(30.01 s\) is too long"),
        ((1, 128, 10), None, r"mel must have shape \(clips, 80, frames\), not \(1, 128, 10\)"),
        ((80, 10), None, "mel must have shape"),
        ((0, 80, 10), None, "mel must have shape"),
        ((2, 80, 0), None, "mel must have shape"),
        ((2, 80, 10), [10], "lengths must hold 2"),
        ((2, 80, 10), [[10, 10]], "lengths must hold 2"),
        ((2, 80, 10), [1.0, 0.5], "lengths must hold 2"),
        ((2, 80, 10), [0, 10], "between 1 and 10"),
        ((2, 80, 10), [5, 11], "between 1 and 10"),
    ],
)
def test_wrong_input_is_named(
    small: WhisperEncoder, shape: tuple[int, ...], lengths: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        small.embed(torch.zeros(shape), lengths)


def test_random_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    state = torch.get_rng_state()
    first, again = (WhisperEncoder.random("nano", seed=5) for _ in range(2))
    other = WhisperEncoder.random("nano", seed=6)
    assert torch.equal(torch.get_rng_state(), state)
    mel = mels(1, 50)
    with torch.no_grad():
        assert torch.equal(first.embed(mel), again.embed(mel))
        assert not torch.allclose(first.embed(mel), other.embed(mel), atol=1e-2)
    assert not first.pretrained
    assert "untrained: random weights (seed 5)" in first.description
    assert first.description in repr(first)


def test_random_weights_are_distributed_as_openais_are(small: WhisperEncoder) -> None:
    torch.manual_seed(0)
    reference = dict(AudioEncoder(80, 1500, 64, 4, 2).named_parameters())
    for name, parameter in small.encoder.named_parameters():
        assert parameter.shape == reference[name].shape
        torch.testing.assert_close(parameter.std(), reference[name].std(), rtol=0.5, atol=1e-6)
        torch.testing.assert_close(
            parameter.abs().max(), reference[name].abs().max(), rtol=0.1, atol=1e-6
        )


def test_a_published_shape_needs_no_download() -> None:
    encoder = WhisperEncoder.random("tiny.en", seed=0)
    assert (encoder.dimension, encoder.n_mels, encoder.max_frames) == (384, 80, 3000)
    assert len(encoder.encoder.blocks) == 4
    with pytest.raises(ValueError, match=r"unknown encoder 'tiny.de'.*small.en"):
        WhisperEncoder.random("tiny.de", seed=0)
