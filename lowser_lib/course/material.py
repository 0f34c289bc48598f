"""What chapters show around their lesson: data cards, listening games, a museum of bad files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
import soxr
from numpy.typing import NDArray

from lowser_lib import audio, corpora
from lowser_lib.course import display
from lowser_lib.experiments.profiles import Profile

_OF_MANY = ("speakers", "elicitation", "licence")
_OF_ONE = ("title", "size", "speakers", "elicitation", "licence", "citation", "notes")


def cards(profiles: Iterable[Profile]) -> pd.DataFrame:
    """Shorten the cards of all corpora that profiles use; corpora alike share a row.

    Returns:
        One row a card, with the corpora's names, languages, speakers, elicitation and licence, and
        whether the speech is synthetic.
    """
    names = list(dict.fromkeys(name for profile in profiles for name in profile.corpora))
    known = [corpora.get(name).card for name in names]
    table = pd.DataFrame([[getattr(card, field) for field in _OF_MANY] for card in known])
    table.columns = list(_OF_MANY)
    table["corpus"] = names
    table["language"] = ["/".join(card.languages) for card in known]
    table["synthetic"] = ["yes" if card.synthetic else "no" for card in known]
    alike = table.groupby([*_OF_MANY, "synthetic"], sort=False, as_index=False).agg(", ".join)
    return alike[["corpus", "language", "speakers", "elicitation", "synthetic", "licence"]]


def card(name: str) -> pd.DataFrame:
    """The card of one corpus, one row a field."""
    card = corpora.get(name).card
    rows = [(field, getattr(card, field)) for field in _OF_ONE]
    return pd.DataFrame(rows, columns=["", card.name])


def profile_table(profiles: Iterable[Profile]) -> pd.DataFrame:
    """What tells profiles apart, one row a profile."""
    return pd.DataFrame(
        [
            {
                "name": profile.name,
                "what": profile.title,
                "learned from": ", ".join(profile.sources)
                + (" and all other languages" if profile.protocol == "others" else ""),
                "tested on": ", ".join(profile.targets.values()),
                "encoder": profile.encoder,
                "seeds": len(profile.seeds),
                "folds": profile.folds,
            }
            for profile in profiles
        ]
    )


_RATE = 16_000


def build_museum(folder: Path, clip: NDArray[np.float32]) -> None:
    """Make the museum from one good clip.

    Args:
        folder: Is made; it must not exist.
        clip: (samples,) at 16 kHz, longer than a second and shorter than 1.5 s or so: ten copies of
            it are longer than the course's limit of 12 s.
    """
    folder.mkdir(parents=True)

    def put(
        name: str, samples: NDArray[np.floating], rate: int = _RATE, kind: str = "PCM_16",
        form: str = "WAV",
    ) -> None:  # fmt: skip
        soundfile.write(folder / name, samples, rate, subtype=kind, format=form)

    put("good.wav", clip)
    put("rate_8k.wav", soxr.resample(clip, _RATE, 8_000), rate=8_000)
    put("rate_96k.wav", soxr.resample(clip, _RATE, 96_000), rate=96_000, kind="PCM_24")
    put("eight_bit.wav", clip, kind="PCM_U8")
    put("stereo.wav", np.stack([clip, 0.5 * clip], axis=1))
    put("flac_inside.wav", clip, form="FLAC")
    put("opposite.wav", np.stack([clip, -clip], axis=1))
    put("silent.wav", np.zeros(_RATE))
    put("not_a_number.wav", np.where(np.arange(len(clip)) == 100, np.nan, clip), kind="FLOAT")
    put("unscaled.wav", clip * 32_768, kind="FLOAT")
    put("no_samples.wav", np.zeros(0))
    put("too_short.wav", clip[:4_000])
    put("too_long.wav", np.tile(clip, 10))
    (folder / "empty.wav").touch()
    (folder / "truncated.wav").write_bytes((folder / "good.wav").read_bytes()[:20_000])
    (folder / "web_page.wav").write_text("<html><title>404 Not Found</title></html>")


Waveform = NDArray[Any]


def one_of_each(
    clips: pd.DataFrame, emotions: Sequence[str], roots: Sequence[Path], seed: int = 0
) -> dict[str, Waveform]:
    """Choose a clip of each emotion: one speaker, the same words, where the corpus has that.

    Args:
        clips: A manifest that holds every one of the emotions.
        emotions: Which.
        roots: Folders below which the files lie.
        seed: Which of the speakers and sentences that have all emotions; no chance is involved.

    Returns:
        Emotion to its waveform, (samples,) at 16 kHz.

    Raises:
        ValueError: The clips lack one of the emotions.
    """
    lacking = sorted(set(emotions) - set(clips["emotion"].dropna()))
    if lacking:
        raise ValueError(f"clips must hold every emotion asked for, but lack {lacking}")
    groups = [group for _, group in clips.groupby(["speaker", "text_id"], dropna=False)]
    complete = [group for group in groups if set(emotions) <= set(group["emotion"])]
    chosen = complete[seed % len(complete)] if complete else clips
    first = chosen.drop_duplicates("emotion").set_index("emotion")["path"]
    return {emotion: audio.load_audio(audio.locate(first[emotion], roots)) for emotion in emotions}


def shuffled(
    sounds: Mapping[str, Waveform], letters: str, seed: int = 0
) -> tuple[dict[str, Waveform], dict[str, str]]:
    """Hide what each sound is behind a letter.

    Args:
        sounds: Name to waveform.
        letters: One letter a sound.
        seed: Of the order.

    Returns:
        Letter to waveform, and letter to name.
    """
    order = np.random.default_rng(seed).permutation(list(sounds))
    answers = {letter: str(name) for letter, name in zip(letters, order, strict=True)}
    return {letter: sounds[name] for letter, name in answers.items()}, answers


def which_is(
    wanted: str, pairs: Mapping[str, Mapping[str, Waveform]], seed: int = 0
) -> tuple[dict[str, Waveform], list[display.Question]]:
    """Ask of several pairs of sounds which one is the wanted one.

    Args:
        wanted: Name of the sound that is asked for, in every pair.
        pairs: Name of the pair to its two sounds by name.
        seed: Of the order; the wanted one does not come first everywhere.

    Returns:
        Sounds by label, such as ``Urdu 1``, and one question a pair.
    """
    turned = np.random.default_rng(seed).permutation(len(pairs)) % 2
    sounds: dict[str, Waveform] = {}
    questions = []
    for (name, pair), turn in zip(pairs.items(), turned, strict=True):
        labels = {f"{name} {n}": kind for n, kind in enumerate(list(pair)[:: 1 - 2 * turn], 1)}
        sounds |= {label: pair[kind] for label, kind in labels.items()}
        options = {label: f"this one is {kind}." for label, kind in labels.items()}
        right = next(label for label, kind in labels.items() if kind == wanted)
        questions.append(display.choices(f"{name}: which clip is {wanted}?", options, right=right))
    return sounds, questions
