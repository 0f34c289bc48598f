"""An encoder on its way from one stage of training to the next: written to a file, and read back.

The file has OpenAI's format, so that :meth:`WhisperEncoder.load` reads it by its path as it reads
any other; beside the weights lie notes on how they came about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lowser_lib import files
from lowser_lib.encoders import checkpoints
from lowser_lib.encoders.checkpoints import PREFIX, EncoderDimensions
from lowser_lib.encoders.whisper import WhisperEncoder
from lowser_lib.errors import CheckpointError


def dimensions(encoder: WhisperEncoder) -> EncoderDimensions:
    """The sizes of an encoder at hand."""
    blocks = encoder.encoder.blocks
    return EncoderDimensions(
        n_mels=encoder.n_mels,
        n_audio_ctx=len(encoder.encoder.positional_embedding),
        n_audio_state=encoder.dimension,
        n_audio_head=blocks[0].attn.n_head,
        n_audio_layer=len(blocks),
    )


def fingerprint(encoder: WhisperEncoder) -> str:
    """SHA-256 of an encoder's weights and of which of them are frozen."""
    digest = hashlib.sha256(repr(encoder.frozen).encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_encoder(
    encoder: WhisperEncoder, path: Path, notes: Mapping[str, Any] | None = None
) -> None:
    """Write an encoder; the file is always whole, the old one or the new one.

    Raises:
        CheckpointError: it cannot be written; what was there stays.
    """
    state = encoder.encoder.state_dict()
    content = {
        "dims": asdict(dimensions(encoder)),
        "model_state_dict": {PREFIX + name: value.detach().cpu() for name, value in state.items()},
        "description": encoder.description,
        "notes": dict(notes or {}),
    }
    with files.whole_file(path, CheckpointError) as part:
        torch.save(content, part)


def load_encoder(path: Path, like: WhisperEncoder) -> tuple[WhisperEncoder, dict[str, Any]]:
    """Read an encoder of the same architecture as another's, with the same parts frozen.

    Args:
        like: the encoder whose shape and frozen parts are expected; its weights do not matter.

    Returns:
        The encoder, float32, on the CPU; and the notes.

    Raises:
        CheckpointError: the file is missing, damaged, or holds an encoder of another architecture.
    """
    checkpoint = checkpoints.read_openai(path, f"Whisper encoder from the file {path.name}")
    expected = asdict(dimensions(like))
    stored = asdict(checkpoint.dimensions)
    differing = [
        f"{name} is {stored[name]}, not {value}"
        for name, value in expected.items()
        if stored[name] != value
    ]
    if differing:
        raise CheckpointError(
            f"{path} holds an encoder of another architecture ({', '.join(differing)}); train the "
            "first stage with this encoder, or go on from the one it was made from"
        )
    encoder = WhisperEncoder.from_checkpoint(checkpoint, like.frozen)
    content = torch.load(path, map_location="cpu", weights_only=True)
    encoder.description = str(content.get("description", encoder.description))
    return encoder, dict(content.get("notes", {}))
