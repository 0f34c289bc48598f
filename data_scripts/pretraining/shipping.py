"""Put a trained encoder into the package: weights, sizes and hash, and a model card."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from lowser_lib import files
from pretraining.recognition import Hearing

ROOT = Path(__file__).resolve().parent.parent.parent
LARGEST = 6_000_000
#: What a card holds beside the settings of the command line.
RESULTS = ("hours", "commit", "plans", "phoneme_error_rate")
#: Blocks of clips that an error rate is measured on.
TEST_BLOCKS = 8
TITLES = {
    "nano": "nano, a small Whisper encoder",
    "wav2vec2_nano": "wav2vec2-nano, a small wav2vec 2.0",
}
#: Where in the library an encoder is loaded, and therefore lies.
PLACES = {"nano": "encoders/nano", "wav2vec2_nano": "views/wav2vec2_nano"}
SPLITS = {
    "unseen_voices": "voices",
    "unseen_words": "words",
    "unseen_both": "voices and words",
}
TEXT = """\
# {title}

<!-- Written by data_scripts/pretrain_nano.py when the encoder was shipped. -->

{description}.

It has {parameters:,} parameters in {bytes:,} bytes (`{name}.safetensors`, float16; sizes and hash
in `{name}.json`).

## Data

No person was recorded for it. {clips:,} clips, about {hours:.0f} hours, were spoken by eSpeak NG's
English voices in eight accents, in random sentences (a fifth of the words made up) and at random
rates, pitches, ranges and voice qualities; each went through a random background, room, line,
equaliser and level, and was used {passes} times. The course's own voices and sentences are left
out.

## Training

    python data_scripts/pretrain_nano.py --output DIR {options}

at commit `{commit}`{plans}: phonemes by connectionist temporal classification, and with weight
{manner_weight} the settings of the synthesizer (rate, pitch, range, slope, pauses, tilt, breath,
shimmer), which recognition alone would teach an encoder to pass over. No emotion was named to it.

## Phoneme error rate

Insertions, deletions and substitutions by true phonemes, most probable path, no language model;
{test_clips:,} clips a cell.

| never heard before | corrupted as in training | clean |
|---|---|---|
{rates}

## Limits

It has heard one synthesizer speak one language. It is made for teaching and for comparing methods
on a laptop, where it stands in for an encoder that has heard people. It is no speech recogniser,
and what it scores on synthetic emotion says nothing about people: it was taught eight of the eleven
settings that make the emotions of the synthetic corpora (all but irregularity, level and formants),
so that its lead over random weights is in part built in there.
"""


def commit() -> str:
    """Return the commit of this tree, with a mark where it has changes."""
    ask = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    return subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()


def model_card(facts: Mapping[str, Any]) -> str:
    """Write the model card for readers.

    Args:
        facts: the content of ``NAME.json``, see :func:`ship`.
    """
    training = facts["training"]
    settings = {key: value for key, value in training.items() if key not in RESULTS}
    rates = training["phoneme_error_rate"]
    return TEXT.format(
        name=training["encoder"],
        title=training["encoder"],
        description=facts["description"],
        parameters=facts["parameters"],
        bytes=facts["bytes"],
        clips=training["rounds"] * training["blocks"] * training["clips"],
        hours=training["hours"],
        passes=training["passes"],
        options=" ".join(f"--{key.replace('_', '-')} {value}" for key, value in settings.items()),
        commit=training["commit"],
        plans="".join(
            f"; up to round {done} with `--rounds {planned}`, then taken up with `--resume`"
            for done, planned in training["plans"]
        ),
        manner_weight=training["manner_weight"],
        test_clips=TEST_BLOCKS * training["clips"],
        rates="\n".join(
            f"| {words} | {rates[split]:.1%} | {rates[f'{split}, clean']:.1%} |"
            for split, words in SPLITS.items()
        ),
    )


def ship(
    hearing: Hearing,
    settings: Mapping[str, Any],
    rates: Mapping[str, float],
    run: Mapping[str, Any],
) -> Path:
    """Write weights, sizes and card into the encoder's folder in the library, see :data:`PLACES`.

    Args:
        hearing: the trained encoder.
        settings: of the run; ``encoder`` among them is the name.
        rates: phoneme error rates, for the card.
        run: ``hours`` of speech that were streamed; ``commit`` at which the training began;
            ``plans``, rounds done and planned wherever the number of rounds was changed.

    Returns:
        The weights' file, ``NAME.safetensors``; beside it lie ``NAME.json`` and ``NAME.md``.

    Raises:
        ValueError: the file would be larger than :data:`LARGEST` bytes.
    """
    name = settings["encoder"]
    sizes, weights = hearing.shipped()
    halves = {key: value.detach().cpu().to(torch.float16) for key, value in weights.items()}
    stored = safetensors.torch.save(halves)
    if len(stored) > LARGEST:
        raise ValueError(f"{name} would have {len(stored)} bytes, more than {LARGEST}")
    facts = {
        "dims": sizes,
        "description": (
            f"{TITLES[name]}; pre-trained on synthetic English speech alone, by recognising "
            "phonemes and the manner of speaking"
        ),
        "sha256": hashlib.sha256(stored).hexdigest(),
        "bytes": len(stored),
        "parameters": sum(value.numel() for value in weights.values()),
        "training": {
            **settings,
            **run,
            "phoneme_error_rate": dict(rates),
        },
    }
    folder = ROOT / "lowser_lib" / PLACES[name]
    folder.mkdir(exist_ok=True)
    for file, content in (
        (folder / f"{name}.safetensors", stored),
        (folder / f"{name}.json", (json.dumps(facts, indent=2) + "\n").encode()),
        (folder / f"{name}.md", model_card(facts).encode()),
    ):
        files.write_bytes(file, content)
    return folder / f"{name}.safetensors"
