"""Speech for pre-training: one voice a block, widely varied in prosody, room, noise and channel.

A block is made in a process of its own (``python -m pretraining.speech``), because eSpeak NG keeps
its state in globals and was seen to crash after many changes of voice. A block is a pure function
of (seed, split, number), so a stream of blocks can be taken up again at any point.

The voices are eSpeak NG's English ones without those that speak in the course
(:data:`lowser_lib.corpora.synthetic.voices.COURSE_VARIANTS`); a few are kept for testing alone.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
import soxr

from lowser_lib.corpora.synthetic import COURSE_VARIANTS
from lowser_lib.corpora.synthetic.channel import SAMPLE_RATE, voice_quality
from lowser_lib.corpora.synthetic.plan import generator
from lowser_lib.corpora.synthetic.voices import RATE_LIMITS, Synthesizer
from pretraining.corruption import corrupt
from pretraining.sentences import SentenceMaker, load_vocabulary

#: Accents of English that eSpeak NG speaks. Only the sound differs; "only English was heard" holds.
ACCENTS = (
    "en-us",
    "en",
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
#: Variants that are no voice of a person, or hardly understandable.
NOT_HUMAN = {
    "anikaRobot",
    "UniRobot",
    "Demonic",
    "fast",
    "croak",
    "whisper",
    "whisperf",
    "Tweaky",
    "kaukovalta",
}
#: Voices that only the test hears: two women's, two men's and two others.
UNSEEN_VARIANTS = ("Annie", "linda", "Gene", "ed", "Marco", "klatt3")
SPLITS = ("train", "unseen_voices", "unseen_words", "unseen_both")

#: What an encoder is asked to tell about the manner of a clip; each of zero mean, unit variance.
PROSODY = ("rate", "pitch", "pitch_range", "slope", "pause", "tilt", "breath", "shimmer")

_IGNORED = set("ˈˌː:_ \n-ʲ̩̪‍;‿")
#: Symbols of eSpeak NG's English phonemes in IPA.
SYMBOLS = tuple("abdefhijklmnoprstuvwxzæðŋɐɑɒɔəɚɛɜɡɪɫɬɹɾʃʊʌʍʒʔθᵻøyɵʉɨʁɕɣχβɲçqʎɯœɤɘɞ")


@dataclass
class Block:
    """Clips of one voice.

    Attributes:
        waveforms: 16 kHz, float32 in [-1, 1], one array ``(samples,)`` a clip.
        phonemes: indices into :data:`SYMBOLS`, plus one (0 is CTC's blank), one array a clip.
        prosody: ``(clips, 8)``, see :data:`PROSODY`.
        voice: eSpeak NG's voice.
    """

    waveforms: list[np.ndarray]
    phonemes: list[np.ndarray]
    prosody: np.ndarray
    voice: str

    def save(self, path: Path) -> None:
        """Write the block to one file, 16-bit samples."""
        samples = np.concatenate([(32767 * wave).astype(np.int16) for wave in self.waveforms])
        np.savez(
            path,
            samples=samples,
            sample_counts=[len(wave) for wave in self.waveforms],
            phonemes=np.concatenate(self.phonemes),
            phoneme_counts=[len(sequence) for sequence in self.phonemes],
            prosody=self.prosody,
            voice=self.voice,
        )

    @classmethod
    def load(cls, path: Path) -> Block:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            samples = stored["samples"].astype(np.float32) / 32768.0
            return cls(
                waveforms=np.split(samples, np.cumsum(stored["sample_counts"])[:-1]),
                phonemes=np.split(stored["phonemes"], np.cumsum(stored["phoneme_counts"])[:-1]),
                prosody=stored["prosody"].astype(np.float32),
                voice=str(stored["voice"]),
            )


def encode_phonemes(ipa: str) -> np.ndarray:
    """Turn IPA into CTC targets; stress, length and ties are left out.

    Raises:
        ValueError: a symbol that :data:`SYMBOLS` does not hold.
    """
    kept = [symbol for symbol in ipa if symbol not in _IGNORED]
    unknown = sorted(set(kept) - set(SYMBOLS))
    if unknown:
        raise ValueError(f"add these phonemes to SYMBOLS: {unknown} (in {ipa!r})")
    return np.array([1 + SYMBOLS.index(symbol) for symbol in kept], dtype=np.int16)


def variants(split: str) -> tuple[str, ...]:
    """Names of the voices of a split, the course's own left out."""
    if split in ("unseen_voices", "unseen_both"):
        return UNSEEN_VARIANTS
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    left_out = {*COURSE_VARIANTS, *NOT_HUMAN, *UNSEEN_VARIANTS}
    return tuple(sorted(path.name for path in folder.iterdir() if path.name not in left_out))


def _speak(
    reader: Synthesizer, text: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Speak one sentence in a random manner; returns samples at 16 kHz and that manner."""
    words = text.split()
    manner = rng.uniform(-1, 1, len(PROSODY))
    rate, height, width, slope, pause, tilt, breath, shimmer = manner
    tract = float(np.exp(np.clip(0.09 * rng.standard_normal(), -0.2, 0.2)))
    contour = (
        22 * height
        + 14 * slope * np.linspace(-1, 1, len(words))
        + 5 * rng.standard_normal(len(words))
    )
    samples = reader.speak(
        words,
        rate=int(np.clip(175 * 1.75**rate, *RATE_LIMITS)),
        pitches=[int(pitch) for pitch in np.clip(45 + contour, 0, 99)],
        pitch_range=int(50 + 49 * width),
        gap=max(0, round(6 * pause)),
    )
    # Played a little faster or slower: formants, pitch and tempo of another vocal tract.
    samples = soxr.resample(samples, reader.sample_rate * tract, SAMPLE_RATE, quality="MQ")
    samples = voice_quality(
        samples,
        tilt=8.0 * tilt,
        breath=-16.0 + 9.0 * breath,
        shimmer=0.15 + 0.15 * shimmer,
        rng=rng,
    )
    return samples, manner * np.sqrt(3.0)  # unit variance


def speak_block(
    seed: int, number: int, clips: int, split: str = "train", *, clean: bool = False
) -> Block:
    """Make one block of clips.

    Args:
        seed: of the whole stream.
        number: which block.
        clips: how many.
        split: one of :data:`SPLITS`: which voices and which words.
        clean: leave out background, room, line and equaliser, for tests that ask for voice alone.

    Raises:
        ValueError: an unknown split.
        SynthesisError: eSpeak NG refused.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
    rng = generator(seed, "pretraining", split, str(number))
    voice = f"{rng.choice(ACCENTS)}+{rng.choice(variants(split))}"
    reader = Synthesizer(int(rng.integers(2**31)))
    reader.set_voice(voice)
    unseen = split in ("unseen_words", "unseen_both")
    maker = SentenceMaker(
        load_vocabulary(), rng, made_up=0.0 if split != "train" else 0.2, unseen=unseen
    )
    waveforms: list[np.ndarray] = []
    phonemes, prosody = [], []
    while len(waveforms) < clips:
        text = maker.sentence()
        spoken, manner = _speak(reader, text, rng)
        if not 0.6 * SAMPLE_RATE <= len(spoken) <= 6 * SAMPLE_RATE:
            continue
        heard = 0.5 * spoken / np.abs(spoken).max() if clean else corrupt(spoken, waveforms, rng)
        waveforms.append(heard.astype(np.float32))
        phonemes.append(encode_phonemes(reader.phonemes(text)))
        prosody.append(manner)
    return Block(waveforms, phonemes, np.stack(prosody).astype(np.float32), voice)


def main() -> None:
    """Make one block and write it to a file: the worker of the stream."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--output", type=Path, required=True)
    arguments = vars(parser.parse_args())
    output: Path = arguments.pop("output")
    speak_block(**arguments).save(output)


if __name__ == "__main__":
    main()
