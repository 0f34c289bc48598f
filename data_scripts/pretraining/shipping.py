"""Put a trained encoder into the package: weights, sizes and hash, and a model card."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from pretraining.recognition import Hearing

ROOT = Path(__file__).resolve().parent.parent.parent
LARGEST = 6_000_000
TITLES = {"nano": "nano, a small Whisper encoder", "wav2vec2_nano": "wav2vec2-nano"}


def commit() -> str:
    """Return the commit of this tree, with a mark where it has changes."""
    ask = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()


def ship(
    hearing: Hearing,
    name: str,
    settings: Mapping[str, object],
    rates: Mapping[str, float],
    trained_at: str,
) -> Path:
    """Write ``NAME.safetensors`` (float16) and ``NAME.json`` into ``lowser_lib/encoders/NAME``.

    Args:
        hearing: the trained encoder.
        name: ``nano`` or ``wav2vec2_nano``.
        settings: of the run, for the card.
        rates: phoneme error rates, for the card.
        trained_at: the commit at which the training began, see :func:`commit`.

    Returns:
        The weights' file.

    Raises:
        ValueError: the file would be larger than :data:`LARGEST` bytes.
    """
    sizes, weights = hearing.shipped()
    halves = {key: value.detach().cpu().to(torch.float16) for key, value in weights.items()}
    stored = safetensors.torch.save(halves)
    if len(stored) > LARGEST:
        raise ValueError(f"{name} would have {len(stored)} bytes, more than {LARGEST}")
    card = {
        "dims": sizes,
        "description": (
            f"{TITLES[name]}; pre-trained on synthetic English speech alone, by recognising "
            "phonemes and the manner of speaking"
        ),
        "sha256": hashlib.sha256(stored).hexdigest(),
        "training": {**settings, "commit": trained_at, "phoneme_error_rate": dict(rates)},
    }
    folder = ROOT / "lowser_lib" / "encoders" / name
    folder.mkdir(exist_ok=True)
    for file, content in (
        (folder / f"{name}.safetensors", stored),
        (folder / f"{name}.json", (json.dumps(card, indent=2) + "\n").encode()),
    ):
        part = file.with_suffix(file.suffix + ".part")
        part.write_bytes(content)
        part.replace(file)
    return folder / f"{name}.safetensors"
