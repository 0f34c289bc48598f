"""Make what the book's listening test and its grid of transforms play: ``make sounds``.

Synthetic speech goes into ``book/sounds``, which is committed, so that a build needs neither speech
nor time. Where the reader's own corpora hold RAVDESS, a test with people goes below
``LOWSER_HOME``, and into this reader's own build only.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchaudio.functional import griffinlim

from lowser_lib import audio, augment, files, splits
from lowser_lib.corpora import EMOTIONS
from lowser_lib.course.display import listen
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.errors import LowserError
from lowser_lib.experiments import data, paths
from lowser_lib.sampling import ClipDataset
from lowser_lib.training import embed
from lowser_lib.views import log_mel, pad_mels
from lowser_lib.views.mel import mel_filters

BOOK = Path(__file__).parent
SOUNDS = BOOK / "sounds"
PEOPLE = "listening_people.js"
SEED = 0
CLIPS_PER_EMOTION = 3
TRAINING_CLIPS = 400
"""Enough for a linear layer; more would only take longer."""

# As strong as chapter 02 sets them, at four times what training uses.
FOURFOLD = {
    "speed": augment.SpeedPerturbation((1.4, 1.4)),
    "mixup": augment.Mixup((0.5, 0.5)),
    "noise": augment.GaussianNoise((-2, -2)),
    "stretch": augment.SpectralStretch((1.4, 1.4)),
    "SpecAugment": augment.SpecAugment(160, 280, 0.8, 2, 60, 2),
    "time mask": augment.TimeMasking(160, 0.8),
    "frequency mask": augment.FrequencyMasking(64),
}
STRENGTHS = {"half": 0.125, "full": 0.25, "four times": 1.0}


def sound(waveform: Any) -> str:
    """A waveform as an address that a page can play by itself."""
    content = listen(waveform).encoded[0]
    return f"data:audio/mpeg;base64,{base64.b64encode(content).decode('ascii')}"


def waveforms(table: pd.DataFrame, speech: data.CourseData) -> list[torch.Tensor]:
    """The clips of a table, 16,000 samples a second."""
    return [
        torch.from_numpy(audio.load_audio(audio.locate(path, speech.roots)))
        for path in table["path"]
    ]


def embeddings(clips: Iterable[torch.Tensor], encoder: WhisperEncoder) -> np.ndarray:
    """One vector a clip."""
    return embed(encoder, ClipDataset([log_mel(clip) for clip in clips])).numpy()


def listening_test(corpus: str, encoder_name: str) -> dict[str, Any]:
    """Twelve clips of speakers whom the model has not heard, with the model's answers.

    Args:
        corpus: Name of a labelled corpus with known speakers.
        encoder_name: A frozen encoder; a linear layer on top is the model.

    Returns:
        The corpus, what the model is, and the clips: sound, emotion, answer.
    """
    speech = data.load([corpus], progress=False)
    clips = speech.corpus(corpus)
    clips = clips[clips["emotion"].isin(EMOTIONS)].reset_index(drop=True)
    rest, strangers = splits.speaker_split(clips, 1 / 3, seed=SEED)
    splits.assert_speaker_disjoint(rest, strangers)
    train = data.limit(rest, TRAINING_CLIPS)
    draw = np.random.default_rng(SEED)
    asked = strangers.groupby("emotion").sample(CLIPS_PER_EMOTION, random_state=SEED)
    asked = asked.iloc[draw.permutation(len(asked))]
    encoder = WhisperEncoder.load(encoder_name, download_root=paths.checkpoints()).eval()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    model.fit(embeddings(waveforms(train, speech), encoder), train["emotion"])
    heard = waveforms(asked, speech)
    answers = model.predict(embeddings(heard, encoder))
    return {
        "corpus": corpus,
        "model": f"a linear layer on the frozen encoder {encoder_name}, trained on {len(train)} "
        f"clips of {train['speaker'].nunique()} other speakers of {corpus}",
        "emotions": list(EMOTIONS),
        "clips": [
            {"sound": sound(wave), "emotion": emotion, "model": str(answer)}
            for wave, emotion, answer in zip(heard, asked["emotion"], answers, strict=True)
        ],
    }


def to_sound(mel: torch.Tensor) -> torch.Tensor:
    """A sound whose log-mel spectrogram is close to the one given (Griffin and Lim 1984)."""
    spread_out = torch.linalg.pinv(mel_filters(80))
    power = (spread_out @ 10 ** (4 * mel - 4)).clamp(min=0)
    power = torch.cat([power, power[:, -1:]], dim=1)  # the frame that Whisper drops
    return griffinlim(power, torch.hann_window(400), 400, 160, 400, 2.0, 16, 0.99, None, False)


def transform_grid() -> dict[str, Any]:
    """One clip through every transform of chapter 02, at three strengths."""
    corpus = "synthetic_english"
    speech = data.load([corpus], progress=False)
    clips = speech.corpus(corpus).sort_values(["duration", "path"])
    angry = clips[clips["emotion"] == "angry"].iloc[0]
    sad = clips[(clips["emotion"] == "sad") & (clips["gender"] != angry["gender"])].iloc[0]
    pair = waveforms(pd.DataFrame([angry, sad]), speech)
    rows = []
    for name, transform in FOURFOLD.items():
        played = {}
        for strength, value in STRENGTHS.items():
            generator = torch.Generator().manual_seed(SEED)
            changer = transform.at_strength(value)
            if transform.domain == "waveform":
                padded = torch.nn.utils.rnn.pad_sequence(pair, batch_first=True)
                lengths = torch.tensor([len(wave) for wave in pair])
                changed = changer(padded, lengths, generator)
                wave = changed.clips[0, : int(changed.lengths[0])]
            else:
                changed = changer(*pad_mels([log_mel(wave) for wave in pair]), generator)
                wave = to_sound(changed.clips[0, :, : int(changed.lengths[0])])
            played[strength] = sound(wave)
        rows.append({"transform": name, "sounds": played})
    return {"unchanged": sound(pair[0]), "strengths": list(STRENGTHS), "rows": rows}


def write(path: Path, name: str, content: dict[str, Any]) -> None:
    """Write a file that a page loads without a server: a script that sets one variable."""
    files.write_text(path, f"window.{name} = {json.dumps(content, indent=1)};\n")
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")


def main() -> int:
    """Make all sounds that can be made here."""
    write(SOUNDS / "listening.js", "lowserListening", listening_test("synthetic_english", "nano"))
    write(SOUNDS / "transforms.js", "lowserTransforms", transform_grid())
    try:
        people = listening_test("ravdess", "tiny.en")
    except LowserError as error:
        print(f"No test with people: {error}")
        return 0
    (paths.home() / "book").mkdir(parents=True, exist_ok=True)
    write(paths.home() / "book" / PEOPLE, "lowserListeningPeople", people)
    return 0


if __name__ == "__main__":
    sys.exit(main())
