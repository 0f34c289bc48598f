"""Urdu words of ten speakers, joined to clips that are long enough to hear a voice."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import re
import shutil
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from lowser_lib import files
from lowser_lib.corpora.base import DataCard, Exclusion, NamedCorpus, Utterance
from lowser_lib.corpora.decoding import why_unreadable
from lowser_lib.corpora.table import TABLE, TableCorpus, write_table
from lowser_lib.errors import CorpusError

SAMPLE_RATE = 16_000
CLIP_SECONDS = 3.0  # our choice: the middle of the 2 to 4 s of the other corpora's clips
GAP_SECONDS = 0.1  # our choice: a short pause, as between words read from a list
FADE_SECONDS = 0.005  # keeps the joints from clicking
MARK = "complete.json"


class UrduWords(NamedCorpus):
    """Parser and maker of clips that are joined from single words.

    A word lasts about half a second, too short to learn a voice from. :meth:`build` joins a
    speaker's words to clips of 2 to 4 s in another folder, in the table format;
    :meth:`utterances` reads that folder. :meth:`survey` lists the words as they came.
    """

    rule = "the name of its folder and three digits, like AAMNG1001"
    pattern = re.compile(r"([A-Z]{2})([MF])([YN])(G\d)(\d{3})", re.IGNORECASE)
    card = DataCard(
        name="urdu_words",
        title="Urdu isolated words, joined to clips of 2 to 4 s",
        languages=("ur",),
        size="250 words a speaker of about 0.55 s, 16 kHz; joined: about 16 clips for 80 words",
        speakers="10: 2 female, 8 male; three speak Urdu as their first language",
        elicitation="read words, no emotion asked for; unlabelled",
        licence="for research only, no commercial use",
        citation=(
            "H. Ali, N. Ahmad and X. Zhou, Automatic speech recognition of Urdu words using "
            "linear discriminant analysis, Journal of Intelligent & Fuzzy Systems 28(5), 2015"
        ),
        where="ask the author, Hazrat Ali; his address is in the README.txt of the corpus",
        layout=(
            "files/AAMNG1/AAMNG1001.wav and the like: speaker AA, gender M or F, native Y or N, "
            "age group G1 to G4, word 001 to 250"
        ),
        expected={"speakers": 10, "female speakers": 2, "male speakers": 8},
        labelled=False,
        derived="single words of one speaker, joined",
        notes=(
            "DERIVED: the clips that the course uses are joined from words by "
            "`lowser corpora prepare`, in an order of its own for each speaker. Their rhythm is "
            "that of a word list, not of a sentence."
        ),
    )

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; ``folder`` is what :meth:`build` made."""
        if not (folder / TABLE).is_file():
            raise CorpusError(
                f"urdu_words: {folder} holds single words or nothing; join them to clips first "
                f"with `lowser corpora prepare`, then read the folder that it made"
            )
        yield from TableCorpus(self.card).utterances(folder)

    def survey(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """List single words, or the joined clips where ``folder`` holds those."""
        if (folder / TABLE).is_file():
            yield from self.utterances(folder)
        else:
            yield from super().utterances(folder)

    def utterance(self, path: str, match: re.Match[str]) -> Utterance | Exclusion:
        """Read one word's speaker, gender and number from its name."""
        speaker, gender, _native, _age, word = match.groups()
        return Utterance(
            path=path,
            speaker=speaker.upper(),
            gender="male" if gender.upper() == "M" else "female",
            language="ur",
            text_id=word,
        )

    def build(self, source: Path, target: Path) -> str:
        """Join words to clips; the same source gives the same bytes on every machine.

        The folder appears under its name only when it is complete. Where it is already complete
        nothing is done, and one whose content has not the hash of its mark is made anew. Words that
        cannot be read are listed in ``excluded.csv`` of the folder.

        Args:
            source: The corpus folder as it came, with ``files/SPEAKER/WORD.wav``.
            target: Where the clips go: ``corpus.csv``, ``audio/*.wav`` (16 kHz, mono, 16 bit),
                ``complete.json``. Its parent is made where needed.

        Returns:
            SHA-256 over the table and all clips.

        Raises:
            CorpusError: ``source`` holds no words, ``target`` holds something else, or cannot be
                written.
        """
        if (target / MARK).is_file():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, csv.Error):
                known = json.loads((target / MARK).read_text(encoding="utf-8"))["sha256"]
                if _digest(target) == known:
                    return str(known)
            warnings.warn(f"{target} is damaged and will be made anew", stacklevel=2)
            with files.writing(target, CorpusError):
                shutil.rmtree(target)
        if target.exists():
            raise CorpusError(f"urdu_words: {target} is there, but not made by us; move it away")
        if not source.is_dir():
            raise CorpusError(
                f"urdu_words: there is no folder {source}. What has to lie there: "
                f"{self.card.layout}. {self.card.where}"
            )
        words = list(super().utterances(source))
        if not any(isinstance(word, Utterance) for word in words):
            raise CorpusError(f"urdu_words: {source} holds no words; {self.card.layout}")
        with files.writing(target, CorpusError), files.folder_beside(target) as partial:
            try:
                digest = _write(source, words, partial)
            except soundfile.LibsndfileError as error:  # does not say why
                raise OSError(str(error)) from error
            partial.rename(target)
        return digest


def _write(source: Path, words: list[Utterance | Exclusion], folder: Path) -> str:
    """Write clips, table and mark into a folder of our own; give the digest of the content."""
    (folder / "audio").mkdir()
    excluded = [word for word in words if isinstance(word, Exclusion)]
    speakers: dict[str, list[Utterance]] = defaultdict(list)
    for word in words:
        if isinstance(word, Utterance):
            speakers[word.speaker].append(word)
    lines: list[tuple[str, ...]] = []
    for speaker, spoken in sorted(speakers.items()):
        sounds: list[tuple[str, np.ndarray]] = []
        # An order of the speaker's own, by hash, which no library's generator can change: else
        # clip 3 would hold the same words for everyone, and the words would tell the clip.
        for word in sorted(spoken, key=lambda w: hashlib.sha256(w.path.encode()).hexdigest()):
            try:
                sounds.append((word.text_id or "", _load(source / word.path)))
            except (OSError, ValueError, soundfile.LibsndfileError) as error:
                reason = why_unreadable(source / word.path, error)
                excluded.append(Exclusion(word.path, reason))
        for number, group in enumerate(_deal(sounds), start=1):
            path = f"audio/{speaker}_{number:03d}.wav"
            soundfile.write(folder / path, _join([s for _, s in group]), SAMPLE_RATE, "PCM_16")
            text = "+".join(name for name, _ in group)
            lines.append((path, speaker, spoken[0].gender, "ur", "", text))
    write_table(folder / TABLE, lines)
    reasons = [(exclusion.path, exclusion.reason) for exclusion in excluded]
    write_table(folder / "excluded.csv", reasons, header=("path", "reason"))
    digest = _digest(folder)
    mark = {"sha256": digest, "clips": len(lines), "excluded": len(excluded)}
    (folder / MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
    return digest


def _digest(folder: Path) -> str:
    """SHA-256 over the clips, in the order of the table, and the table."""
    total = hashlib.sha256()
    with (folder / TABLE).open(newline="", encoding="utf-8") as table:
        for line in csv.DictReader(table):
            total.update((folder / line["path"]).read_bytes())
    total.update((folder / TABLE).read_bytes())
    return total.hexdigest()


def _load(file: Path) -> np.ndarray:
    """Read a word as mono 16 kHz samples (float32, in [-1, 1])."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    if mono.size == 0 or not np.isfinite(mono).all():
        raise ValueError("no samples, or samples that are not numbers")
    return mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)


def _deal(sounds: list[tuple[str, np.ndarray]]) -> list[list[tuple[str, np.ndarray]]]:
    """Deal words into clips of nearly equal length, so that none is left over.

    The words lie end to end on a line of time that is cut into equal parts of about
    :data:`CLIP_SECONDS`; a word belongs to the part that holds its middle.
    """
    lengths = np.array([sound.size / SAMPLE_RATE + GAP_SECONDS for _, sound in sounds])
    if lengths.size == 0:
        return []
    n_clips = max(1, round(float(lengths.sum()) / CLIP_SECONDS))
    middles = np.cumsum(lengths) - lengths / 2
    part = np.minimum((middles / lengths.sum() * n_clips).astype(int), n_clips - 1)
    groups = [[sounds[i] for i in np.flatnonzero(part == clip)] for clip in range(n_clips)]
    return [group for group in groups if group]


def _join(sounds: list[np.ndarray]) -> np.ndarray:
    """Join words to 16-bit samples: a pause after each but the last, ends faded against clicks."""
    pieces = []
    for sound in sounds:
        faded = sound.astype(np.float64)
        n_fade = min(round(FADE_SECONDS * SAMPLE_RATE), faded.size // 2)
        ramp = np.linspace(0.0, 1.0, n_fade, endpoint=False)
        faded[:n_fade] *= ramp
        faded[faded.size - n_fade :] *= ramp[::-1]
        pieces += [faded, np.zeros(round(GAP_SECONDS * SAMPLE_RATE))]
    joined = np.concatenate(pieces[:-1])
    # To whole numbers by our own rule: 16-bit input comes back bit for bit between the fades.
    return np.clip(np.rint(joined * 32768.0), -32768, 32767).astype(np.int16)
