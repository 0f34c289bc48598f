"""Encoders between two stages: written, read back, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.encoders.whisper import dimensions, fingerprint, load_encoder, save_encoder
from lowser_lib.errors import CheckpointError

SHAPE = EncoderDimensions(80, 40, 16, 2, 1)


def encoder(seed: int = 0, **options: Any) -> WhisperEncoder:
    return WhisperEncoder.random(SHAPE, seed, **options)


@pytest.mark.parametrize("freeze", [("conv", "positions"), ("conv",), ()])
def test_round_trip_keeps_weights_frozen_parts_and_notes(
    freeze: tuple[str, ...], tmp_path: Path
) -> None:
    first = encoder(3, freeze=freeze)
    first.description = "an encoder that was adapted"
    with torch.no_grad():
        first.encoder.positional_embedding.add_(0.5)
    notes = {"loss": [2.0, 1.5], "batch": [16, 4, ""], "seed": 3}
    save_encoder(first, tmp_path / "deep" / "encoder.pt", notes)
    result, stored = load_encoder(tmp_path / "deep" / "encoder.pt", encoder(8, freeze=freeze))
    assert stored == notes
    assert (result.description, result.frozen) == (first.description, first.frozen)
    assert result.pretrained
    assert fingerprint(result) == fingerprint(first)
    mel = torch.rand(2, 80, 30, generator=torch.Generator().manual_seed(0))
    assert torch.equal(result.embed(mel), first.embed(mel))
    assert [p.requires_grad for p in result.parameters()] == [
        p.requires_grad for p in first.parameters()
    ]
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["encoder.pt"]


def test_the_file_has_openais_format(tmp_path: Path) -> None:
    save_encoder(encoder(3), tmp_path / "encoder.pt")
    outcome = WhisperEncoder.load(tmp_path / "encoder.pt")
    assert fingerprint(outcome) == fingerprint(encoder(3))


def test_dimensions_are_those_it_was_made_with() -> None:
    assert dimensions(encoder()) == SHAPE
    assert dimensions(encoder(freeze=())) == SHAPE


def test_fingerprints_tell_weights_and_frozen_parts_apart() -> None:
    assert fingerprint(encoder(1)) == fingerprint(encoder(1))
    others = (encoder(2), encoder(1, freeze=("conv",)))
    assert len({fingerprint(item) for item in (encoder(1), *others)}) == 3


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        (EncoderDimensions(80, 40, 16, 2, 2), "n_audio_layer is 1, not 2"),
        (EncoderDimensions(80, 40, 16, 4, 1), "n_audio_head is 2, not 4"),
        (EncoderDimensions(80, 50, 16, 2, 1), "n_audio_ctx is 40, not 50"),
        (EncoderDimensions(128, 40, 32, 2, 1), "n_mels is 80, not 128, n_audio_state is 16"),
    ],
)
def test_another_architecture_is_refused(
    shape: EncoderDimensions, what: str, tmp_path: Path
) -> None:
    save_encoder(encoder(), tmp_path / "encoder.pt")
    with pytest.raises(CheckpointError, match=f"another architecture.*{what}"):
        load_encoder(tmp_path / "encoder.pt", WhisperEncoder.random(shape, 0))


def test_damaged_and_missing_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.pt"
    with pytest.raises(CheckpointError, match="no such checkpoint file"):
        load_encoder(path, encoder())
    save_encoder(encoder(), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_encoder(path, encoder())


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"dims": Path("a"), "model_state_dict": {}}, tmp_path / "encoder.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_encoder(tmp_path / "encoder.pt", encoder())


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_encoder(encoder(), tmp_path / "file" / "encoder.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
