"""From a sound file to a waveform: float32, 16 kHz, mono.

soundfile (libsndfile) decodes wav, flac, ogg and mp3, recognised by content and not by the ending
of the name; soxr resamples. A file is taken only if all of it is there: libsndfile shortens a cut
wav without a word, so :func:`load_audio` compares what the header announces with what is found.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import soxr
from joblib import Parallel, delayed

from lowser_lib import files
from lowser_lib.corpora.base import Exclusion
from lowser_lib.errors import AudioError

SAMPLE_RATE = 16000
"""Samples a second of every waveform in the course: what Whisper and wav2vec 2.0 expect."""

SILENCE = 1e-4
"""A waveform that stays within this distance (-80 dBFS) of its mean is silent: our choice, three
steps of 16-bit sound, well below the noise of any microphone."""

OVERSHOOT = 2.0
"""Largest magnitude (+6 dBFS) that is clipped to 1 rather than refused: our choice. Lossy codecs
overshoot full scale by a little; values far beyond come from samples that were never scaled."""

DURATION_TOLERANCE = 0.1
"""Seconds by which a manifest may differ from the sound: mp3 headers count in whole frames."""

_SAMPLE_RATES = range(1000, 768001)
_UNKNOWN_LENGTH = 0x7FFFF000  # writers into a pipe put this or more where the length belongs
_BLOCK = 2**22  # samples decoded at a time; nearly every clip is one block


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


def decode(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a sound file as it is stored.

    Args:
        path: A wav, flac, ogg or mp3 file, whatever its name ends in.

    Returns:
        Samples, float32 of shape (samples, channels), integers scaled to [-1, 1); and their rate
        in Hz.

    Raises:
        AudioError: The file is missing, a folder, empty, unreadable, cut short or without samples.
    """
    data = _read_bytes(path)
    _check_complete(data, path)
    try:
        # From memory, so that the ending of the name has no say in the format.
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            announced, rate = file.frames, file.samplerate
            samples = _read_all(file)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{path}: cannot be decoded as wav, flac, ogg or mp3 ({_reason(error)}). It is damaged "
            f"or in another format; get it anew, or convert it with `ffmpeg -i FILE FILE.wav`."
        ) from error
    if len(samples) < announced:
        raise _cut_short(path, f"{announced} frames announced, {len(samples)} found")
    if len(samples) == 0:
        raise AudioError(f"{path}: holds no samples (zero length). Leave it out.")
    if rate not in _SAMPLE_RATES:
        raise AudioError(f"{path}: announces a sample rate of {rate} Hz. Get the file anew.")
    return samples, rate


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
    raise AudioError(
        f"{path}: no such file below {' or '.join(map(str, folders)) or 'any root: none was given'}"
        f". Put the corpus in place (`lowser corpora list` tells where), or set LOWSER_CORPORA."
    )


def check_files(
    manifest: pd.DataFrame, roots: Sequence[Path] | Path, jobs: int = 1
) -> tuple[pd.DataFrame, list[Exclusion]]:
    """Decode every file of a manifest and part the good from the bad.

    A file is bad when :func:`load_audio` refuses it, or when its length or its sample rate is not
    the one in the manifest (another version of the corpus, or a file replaced since).

    Args:
        manifest: A manifest.
        roots: Folders that hold corpora, as in :func:`locate`.
        jobs: Files decoded at the same time; -1 for one a core.

    Returns:
        The rows whose files are good, numbered from 0, possibly none; and the others as a list of
        exclusions, in manifest order, whose reasons are the messages of the errors.
    """
    folders = _roots(roots)
    columns = manifest[["path", "duration", "sample_rate"]]
    faults = Parallel(n_jobs=jobs, prefer="threads", batch_size=32)(
        delayed(_fault)(path, folders, duration, rate)
        for path, duration, rate in columns.itertuples(index=False)
    )
    exclusions = [
        Exclusion(path, fault)
        for path, fault in zip(manifest["path"], faults, strict=True)
        if fault is not None
    ]
    good = np.array([fault is None for fault in faults], dtype=bool)
    return manifest[good].reset_index(drop=True), exclusions


def content_hash(path: Path | str) -> str:
    """SHA-256 of a file's bytes in hexadecimal; caches use it to know a sound by its content.

    Raises:
        AudioError: The file is missing, a folder, or cannot be read.
    """
    try:
        return files.sha256(Path(path))
    except OSError as error:
        raise _unreadable(path, error) from error


def _roots(roots: Sequence[Path] | Path) -> list[Path]:
    # A lone string would otherwise be taken for a sequence of one-letter folders.
    return [Path(roots)] if isinstance(roots, str | Path) else [Path(root) for root in roots]


def _read_bytes(path: Path | str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data:
        raise AudioError(f"{path}: an empty file (0 bytes). Get it anew, or leave it out.")
    return data


def _unreadable(path: Path | str, error: OSError) -> AudioError:
    if isinstance(error, FileNotFoundError):
        return AudioError(f"{path}: there is no such file. Is the corpus complete?")
    if isinstance(error, IsADirectoryError):
        return AudioError(f"{path}: a folder, not a sound file.")
    return AudioError(f"{path}: cannot be opened ({error.strerror}). Check who may read it.")


def _cut_short(path: Path | str, detail: str) -> AudioError:
    return AudioError(f"{path}: cut short ({detail}). Get the file anew, or leave it out.")


def _reason(error: Exception) -> str:
    # libsndfile has no words for some errors of its decoders; a cut flac is one of them.
    return getattr(error, "error_string", "").strip(" .") or "damaged, perhaps cut short"


def _read_all(file: soundfile.SoundFile) -> np.ndarray:
    # Not one read of as many frames as announced: a damaged header may announce a terabyte.
    frames = max(1, _BLOCK // file.channels)
    blocks = [file.read(frames, dtype="float32", always_2d=True)]
    while len(blocks[-1]) == frames:
        blocks.append(file.read(frames, dtype="float32", always_2d=True))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _check_complete(data: bytes, path: Path | str) -> None:
    """Raise if the container announces more bytes than there are, where libsndfile would not."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        position = 12
        while position + 8 <= len(data):
            size = int.from_bytes(data[position + 4 : position + 8], "little")
            found = len(data) - position - 8
            if data[position : position + 4] == b"data":
                if found < size < _UNKNOWN_LENGTH:
                    raise _cut_short(path, f"{size} bytes of sound announced, {found} found")
                return
            position += 8 + size + size % 2  # chunks begin at even positions
    elif data[:4] == b"OggS":
        # RFC 3533, section 6: bit 4 of the sixth byte marks the last page of a stream; byte 26 is
        # the number of lengths that follow, which sum to the size of the page's content.
        page = data[data.rfind(b"OggS") :]
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        if not (lengths and page[5] & 4 and len(page) >= 27 + len(lengths) + sum(lengths)):
            raise _cut_short(path, "the page that ends an Ogg stream is missing or incomplete")


def _to_waveform(samples: np.ndarray, rate: int, path: Path | str) -> np.ndarray:
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples. Get it anew, or leave it out.")
    peak = float(np.abs(samples).max())
    if peak > OVERSHOOT:
        raise AudioError(
            f"{path}: samples reach {peak:.4g}, far beyond full scale (1). Divide them by the full "
            f"scale of their format, 32768 for 16 bits, and write the file again."
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


def _fault(path: str, roots: Sequence[Path], duration: float, sample_rate: int) -> str | None:
    """What is wrong with the file of a row, or None."""
    file: Path | str = path
    try:
        file = locate(path, roots)
        samples, rate = decode(file)
        _to_waveform(samples, rate, file)
    except AudioError as error:
        return str(error).removeprefix(f"{file}: ")
    if rate != sample_rate:
        return f"its sample rate is {rate} Hz, the manifest says {sample_rate} Hz"
    seconds = len(samples) / rate
    if abs(seconds - duration) > DURATION_TOLERANCE:
        return f"it lasts {seconds:.2f} s, the manifest says {duration:.2f} s"
    return None
