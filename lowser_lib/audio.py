"""From a sound file to a waveform: float32, 16 kHz, mono.

:func:`decode` reads the samples as they are stored, of a file that is all there; soxr resamples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soxr
from joblib import Parallel, delayed

from lowser_lib import files, manifest
from lowser_lib.corpora import Exclusion, Row
from lowser_lib.corpora.decoding import decode, may_pass, reason_of, unreadable
from lowser_lib.corpora.folders import no_file, no_regular_file
from lowser_lib.errors import AudioError

SAMPLE_RATE = 16000
"""Samples a second of every waveform in the course: what Whisper and wav2vec 2.0 expect."""

SILENCE = 1e-4
"""A waveform that stays within this distance (-80 dBFS) of its mean is silent: our choice, three
steps of 16-bit sound, well below the noise of any microphone."""

OVERSHOOT = 2.0
"""Largest magnitude (+6 dBFS) that is clipped to 1 rather than refused: our choice. Lossy codecs
overshoot full scale by a little; values far beyond come from samples that were never scaled."""

NEVER_SCALED = 100.0
"""Largest magnitude (+40 dBFS) that a loud recording may reach: our choice. Beyond it samples are
whole numbers that nobody divided by their full scale."""

DURATION_TOLERANCE = 0.1
"""Seconds by which a manifest may differ from the sound: mp3 headers count in whole frames."""


def load_audio(path: Path | str) -> np.ndarray:
    """Read a sound file as the course hears it.

    Channels are averaged, other rates are resampled (soxr, very high quality), and what overshoots
    full scale a little is clipped.

    Args:
        path: A wav, flac, ogg or mp3 file, whatever its name ends in.

    Returns:
        Waveform, float32 of shape (samples,) at 16 kHz, within [-1, 1], finite, not silent.

    Raises:
        AudioError: The file is missing, a folder, empty, unreadable, cut short, without samples,
            silent, far beyond full scale, or holds NaN or infinity.
    """
    samples, rate = decode(path)
    return _to_waveform(samples, rate, path)


def locate(path: str, roots: Sequence[Path] | Path) -> Path:
    """Find the file of a manifest row below one of several roots.

    Args:
        path: Path relative to a root, as in the manifest.
        roots: Folders that hold corpora. The first that has the file wins, in the order given.

    Raises:
        AudioError: No root has the file.
    """
    folders = _roots(roots)
    for root in folders:
        if (root / path).is_file():
            return root / path
    for root in folders:
        # A folder, a named pipe, a circle of links: there, but nothing to read.
        fault = no_file(root / path)
        if fault:
            raise AudioError(f"{root / path}: {fault}. Put the sound file itself there.")
    raise AudioError(
        f"{path}: no such file below {' or '.join(map(str, folders)) or 'any root: none was given'}"
        f". Put the corpus in place (`lowser corpora list` tells where), or set LOWSER_CORPORA."
    )


def check_files(
    table: pd.DataFrame, roots: Sequence[Path] | Path, jobs: int = 1
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Decode every file of a manifest and part the good from the bad.

    A file is bad when :func:`load_audio` refuses it, or when its length or its sample rate is not
    the one in the manifest (another version of the corpus, or a file replaced since).

    Args:
        table: A manifest.
        roots: Folders that hold corpora, as in :func:`locate`.
        jobs: Files decoded at the same time; -1 for one a core.

    Returns:
        The rows whose files are good, numbered from 0, possibly none; and the others as a list of
        exclusions, in manifest order, whose reasons are the messages of the errors.
    """
    folders = _roots(roots)
    columns = table[["path", "duration", "sample_rate"]]
    faults = _faults(list(columns.itertuples(index=False, name=None)), folders, jobs)
    good = np.array([fault is None for fault in faults], dtype=bool)
    return table[good].reset_index(drop=True), [fault for fault in faults if fault is not None]


def usable_clips(name: str, root: Path, jobs: int = 1) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Manifest of the clips of one corpus that can be learned from, each decoded once.

    Args:
        name: Name of the corpus in the registry (``urdu``, ``table:my_corpus``).
        root: The corpora root, in which the corpus has its folder.
        jobs: Files read at the same time; -1 for one a core.

    Returns:
        The rows of 0.5 to 12 s whose files are good, possibly none; and all that was left out: what
        :func:`lowser_lib.manifest.read` could not use, what is too short or long, bad files.

    Raises:
        CorpusError: The corpus is unknown or not in place.
        ManifestError: No clip could be read, or the rows break the schema.
    """
    table, exclusions = manifest.read(name, root, jobs)
    table, wrong_length = manifest.keep_durations(table)
    table, bad = check_files(table, root, jobs)
    return table, [*exclusions, *wrong_length, *bad]


def faulty_rows(root: Path, jobs: int = 1) -> Callable[[list[Row]], list[Exclusion]]:
    """The check of :func:`check_files` for rows, as :func:`lowser_lib.corpora.verify` takes it.

    Args:
        root: The corpora root.
        jobs: Files decoded at the same time; -1 for one a core.
    """

    def check(rows: list[Row]) -> list[Exclusion]:
        columns = [(row.path, row.duration, row.sample_rate) for row in rows]
        return [fault for fault in _faults(columns, [root], jobs) if fault is not None]

    return check


_hashes: dict[str, tuple[int, int, int, str]] = {}
"""Inode, size, time and hash of the files that this process has hashed, by path."""

_SETTLED = 2e9
"""A file changed within so many ns may change again without its time telling."""


def content_hash(path: Path | str) -> str:
    """SHA-256 of a file's bytes in hexadecimal; caches use it to know a sound by its content.

    A file is read once in a process, and again when its size or time has changed.

    Raises:
        AudioError: The file is missing, a folder, or cannot be read.
    """
    try:
        status = Path(path).stat()
        if fault := no_regular_file(status.st_mode):
            raise AudioError(f"{path}: {fault}.")
        state = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = _hashes.get(str(path))
        if known is not None and known[:3] == state:
            return known[3]
        digest = files.sha256(Path(path))
    except OSError as error:
        raise unreadable(path, error) from error
    if time.time_ns() - status.st_mtime_ns > _SETTLED:
        _hashes[str(path)] = (*state, digest)
    return digest


def _roots(roots: Sequence[Path] | Path) -> list[Path]:
    # A lone string would otherwise be taken for a sequence of one-letter folders.
    return [Path(roots)] if isinstance(roots, str | Path) else [Path(root) for root in roots]


def _to_waveform(samples: np.ndarray, rate: int, path: Path | str) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples. Get it anew, or leave it out.")
    peak = float(np.abs(samples).max())
    if peak > OVERSHOOT:
        # Nobody's gain is a hundred; whole numbers that were stored as they were are far above.
        remedy = (
            "Divide them by the full scale of their format, 32768 for 16 bits,"
            if peak > NEVER_SCALED
            else f"Turn the sound down, dividing by {peak:.4g},"
        )
        raise AudioError(
            f"{path}: samples reach {peak:.4g}, far beyond full scale (1). {remedy} and write the "
            f"file again."
        )
    mono = samples.mean(axis=1)
    # Before resampling, which rings at both ends of a constant offset.
    if _is_silent(mono):
        cancel = len(samples[0]) > 1 and not all(_is_silent(channel) for channel in samples.T)
        cause = "its channels cancel out" if cancel else "no sound"
        raise AudioError(f"{path}: silent, peak below -80 dBFS: {cause}. Leave it out.")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
    waveform = np.clip(mono, -1.0, 1.0).astype(np.float32, copy=False)
    if len(waveform) == 0:
        raise AudioError(f"{path}: shorter than one sample at {SAMPLE_RATE} Hz. Leave it out.")
    if _is_silent(waveform):
        raise AudioError(f"{path}: silent below {SAMPLE_RATE // 2} Hz. Leave it out.")
    return waveform


def _is_silent(waveform: np.ndarray) -> bool:
    # Around the mean: some 8-bit converters leave a constant offset in place of silence.
    return bool(np.abs(waveform - waveform.mean()).max() < SILENCE)


def _faults(
    columns: Iterable[tuple[str, float, int]], roots: Sequence[Path], jobs: int
) -> list[Exclusion | None]:
    """What is wrong with each file, given as path, duration and sample rate; None where nothing."""
    return list(
        Parallel(n_jobs=jobs, prefer="threads", batch_size=32)(
            delayed(_fault)(path, roots, duration, rate) for path, duration, rate in columns
        )
    )


def _fault(path: str, roots: Sequence[Path], duration: float, sample_rate: int) -> Exclusion | None:
    """What is wrong with the file of a row, or None."""
    file: Path | str = path
    try:
        file = locate(path, roots)
        samples, rate = decode(file)
        _to_waveform(samples, rate, file)
    except AudioError as error:
        return Exclusion(path, reason_of(error, file), may_pass(error))
    if rate != sample_rate:
        return Exclusion(path, f"its sample rate is {rate} Hz, the manifest says {sample_rate} Hz")
    seconds = len(samples) / rate
    if abs(seconds - duration) > DURATION_TOLERANCE:
        return Exclusion(path, f"it lasts {seconds:.2f} s, the manifest says {duration:.2f} s")
    return None
