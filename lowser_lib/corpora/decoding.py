"""From a sound file's bytes to the samples that are stored in it.

soundfile (libsndfile) decodes wav, flac, ogg and mp3, recognised by content and not by the ending
of the name. A file is taken only if all of it is there. Most formats announce their length, and
libsndfile shortens a cut file without a word, so that what is announced is compared with what is
found. Some writers cannot announce a length (mp3 and flac written into a pipe, voice notes of
telephones): those files are decoded to their end, whatever libsndfile guesses their length to be.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from lowser_lib.corpora.folders import no_regular_file, printable
from lowser_lib.errors import AudioError

_SAMPLE_RATES = range(1000, 768001)
_UNKNOWN_LENGTH = 0x7FFFF000  # writers into a pipe put this or more where the length belongs
_BLOCK = 2**22  # samples decoded at a time; nearly every clip is one block
_HEAD = 2**16  # bytes in which the start of every format fits, but for notes of an mp3
_LFS_POINTER = b"version https://git-lfs"


def decode(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a sound file as it is stored.

    Args:
        path: A wav, flac, ogg or mp3 file, whatever its name ends in.

    Returns:
        Samples, float32 of shape (samples, channels), integers scaled to [-1, 1); and their rate
        in Hz.

    Raises:
        AudioError: The file is missing, no file, empty, unreadable, cut short or without samples.
    """
    name = printable(str(path))
    data = _read_bytes(path)
    _check_complete(data, name)
    announced = announces_length(data)
    if not announced and data[:4] == b"OggS":
        data = _with_end_mark(data)
    elif not announced and _is_mp3(data):
        data = _with_length(data)
    try:
        # From memory, so that the ending of the name has no say in the format.
        with _Stream(io.BytesIO(data)) as file:
            frames, rate = file.frames, file.samplerate
            samples = _read_all(file)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise AudioError(
            f"{name}: cannot be decoded as wav, flac, ogg or mp3 ({_reason(error)}). It is damaged "
            f"or in another format; get it anew, or convert it with `ffmpeg -i FILE FILE.wav`."
        ) from error
    if announced and len(samples) < frames:
        raise _cut_short(name, f"{frames} frames announced, {len(samples)} found")
    if len(samples) == 0:
        raise AudioError(f"{name}: holds no samples (zero length). Leave it out.")
    if rate not in _SAMPLE_RATES:
        raise AudioError(f"{name}: announces a sample rate of {rate} Hz. Get the file anew.")
    return samples, rate


def read_header(file: Path) -> tuple[float, int] | str:
    """Read duration and sample rate; only a file that announces no length is decoded for them.

    Args:
        file: The sound file; its content, not its ending, says which format it has.

    Returns:
        Duration in seconds and sample rate in Hz; or, in one line, why they cannot be had.
    """
    try:
        fault = no_regular_file(file.stat().st_mode)
        if fault:
            return fault
        with file.open("rb") as content:
            head = content.read(_HEAD)
            content.seek(max(0, os.fstat(content.fileno()).st_size - _HEAD))
            tail = content.read(_HEAD)
            content.seek(0)
            if head[:3] == b"ID3":
                head = content.read(_after_notes(head) + _HEAD)
                content.seek(0)
            if not announces_length(head, tail):
                samples, rate = decode(file)
                return len(samples) / rate, rate
            # Without a name: libsndfile would take `x.raw` for sound without a header.
            info = soundfile.info(_Nameless(content))
    except AudioError as error:
        return reason_of(error, file)
    except (soundfile.SoundFileError, OSError, ValueError, TypeError) as error:
        return why_unreadable(file, error)
    if info.frames <= 0 or info.samplerate <= 0:
        return "holds no samples"
    return info.frames / info.samplerate, int(info.samplerate)


def why_unreadable(file: Path, error: Exception) -> str:
    """Say in one line why a file cannot be read: plain causes first, then the library's word."""
    if isinstance(error, FileNotFoundError):
        return "the file is missing"
    try:
        if file.stat().st_size == 0:
            return "the file is empty"
        with file.open("rb") as content:
            head = content.read(len(_LFS_POINTER))
    except (OSError, ValueError) as trouble:
        return f"cannot be opened: {getattr(trouble, 'strerror', None) or trouble}"
    if head == _LFS_POINTER:
        return "is a git-lfs pointer, not sound; run `git lfs pull` in its repository"
    if head[4:8] == b"ftyp":
        return "is m4a or mp4, which cannot be read; convert it with `ffmpeg -i FILE FILE.wav`"
    # The library's full message quotes the absolute path, which has no place in a list.
    cause = getattr(error, "error_string", "") or str(error)
    return f"cannot be read: {' '.join(cause.split())}"


def reason_of(error: AudioError, file: Path | str) -> str:
    """The message of an error without the file's name in front, for a list of files."""
    return str(error).removeprefix(f"{printable(str(file))}: ")


def may_pass(error: BaseException | None) -> bool:
    """Tell whether a fault may be gone at the next look: a permission, a busy or remote disk.

    Args:
        error: What was raised, or the AudioError that came of it.
    """
    cause = error.__cause__ if isinstance(error, AudioError) else error
    lasting = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
    return isinstance(cause, OSError) and not isinstance(cause, lasting)


def unreadable(path: Path | str, error: OSError | ValueError) -> AudioError:
    """The error for a file that cannot be opened, by its cause."""
    name = printable(str(path))
    if isinstance(error, FileNotFoundError):
        return AudioError(f"{name}: there is no such file. Check its name and folder.")
    if isinstance(error, IsADirectoryError):
        return AudioError(f"{name}: a folder, not a sound file.")
    cause = getattr(error, "strerror", None) or error
    return AudioError(f"{name}: cannot be opened ({cause}). Check who may read it.")


def announces_length(head: bytes, tail: bytes | None = None) -> bool:
    """Tell whether a file says how long its sound is.

    Args:
        head: The file, or enough of its start.
        tail: The file's end, where ``head`` is not all of it.
    """
    if head[:4] == b"fLaC":
        # STREAMINFO follows at byte 8; the low 36 bits of its bytes 13 to 17 count the samples,
        # 0 where the writer did not know (RFC 9639, section 8.2).
        return int.from_bytes(head[21:26], "big") & (2**36 - 1) != 0
    if head[:4] == b"OggS":
        # RFC 3533, section 6: bit 4 of the sixth byte marks the last page of a stream, by which a
        # reader knows the length.
        page = _last_page(head if tail is None else tail)
        return len(page) > 5 and bool(page[5] & 4)
    if _is_mp3(head):
        start, size = next(_frames(head), (0, 0))
        first = head[start : start + max(size, 200)]
        return b"Xing" in first or b"Info" in first[:60] or b"VBRI" in first[:60]
    return True


class _Stream(soundfile.SoundFile):
    """A file read from start to end: soundfile would seek after each block, where none is known."""

    def seekable(self) -> bool:
        return False


class _Nameless(io.RawIOBase):
    """A file whose name nobody sees."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: object) -> int:
        return self._file.readinto(buffer)  # type: ignore[arg-type]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _read_bytes(path: Path | str) -> bytes:
    name = printable(str(path))
    try:
        fault = no_regular_file(Path(path).stat().st_mode)
        if fault:
            raise AudioError(f"{name}: {fault}.")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise unreadable(path, error) from error
    if not data:
        raise AudioError(f"{name}: an empty file (0 bytes). Get it anew, or leave it out.")
    return data


def _cut_short(name: str, detail: str) -> AudioError:
    return AudioError(f"{name}: cut short ({detail}). Get the file anew, or leave it out.")


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


def _check_complete(data: bytes, name: str) -> None:
    """Raise if the container announces more bytes than there are, where libsndfile would not."""
    if data[:4] == b"OggS":
        # RFC 3533, section 6: byte 26 is the number of lengths that follow, which sum to the size
        # of the page's content. The mark of a last page is not asked for: telephones leave it out.
        page = _last_page(data)
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        if not lengths or len(page) < 27 + page[26] + sum(lengths):
            raise _cut_short(name, "the last page of an Ogg stream is incomplete")
        return
    sound = next(_sound_chunks(data), None)
    if sound is not None:
        start, size = sound
        present = max(0, len(data) - start)
        if present < size < _UNKNOWN_LENGTH:
            raise _cut_short(name, f"{size} bytes of sound announced, {present} found")


def _sound_chunks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the sound of an uncompressed format starts, and how many bytes it should have."""
    kind = data[:4]
    if kind == b".snd":  # AU: start and size are the header's second and third number
        start, size = (int.from_bytes(data[at : at + 4], "big") for at in (4, 8))
        yield start, size
    elif kind == b"riff":  # W64: 16 bytes of name, 8 of size, which counts these 24 as well
        yield from _chunks(data, 40, 16, b"data", 8, "little", inclusive=True, even=8)
    elif kind == b"RF64":  # the size stands in the chunk ds64, as its second number
        size = int.from_bytes(data[28:36], "little") if data[12:16] == b"ds64" else 0
        yield from ((start, size) for start, _ in _chunks(data, 12, 4, b"data", 4, "little"))
    elif kind == b"RIFF" and data[8:12] == b"WAVE":
        yield from _chunks(data, 12, 4, b"data", 4, "little")
    elif kind == b"FORM" and data[8:11] == b"AIF":
        yield from _chunks(data, 12, 4, b"SSND", 4, "big")
    elif kind == b"caff":
        yield from _chunks(data, 8, 4, b"data", 8, "big", even=1)


def _chunks(
    data: bytes,
    position: int,
    name: int,
    wanted: bytes,
    width: int,
    order: str,
    *,
    inclusive: bool = False,
    even: int = 2,
) -> Iterator[tuple[int, int]]:
    """Find a chunk by its name: where its content starts, and its size in bytes.

    Chunks begin at ``position`` and at multiples of ``even`` behind it, with ``name`` bytes of name
    (``wanted`` is its beginning) and ``width`` bytes of size, which may be ``inclusive`` of both.
    """
    header = name + width
    while position + header <= len(data):
        size = int.from_bytes(data[position + name : position + header], order)  # type: ignore[arg-type]
        size = max(0, size - header) if inclusive else size
        if data.startswith(wanted, position):
            yield position + header, size
            return
        position += header + -(-size // even) * even


def _last_page(data: bytes) -> bytes:
    return data[max(0, data.rfind(b"OggS")) :]


def _with_end_mark(data: bytes) -> bytes:
    """Mark the last page of an Ogg stream as such; without the mark libsndfile refuses Opus."""
    start = len(data) - len(_last_page(data))
    page = bytearray(data[start:])
    page[5] |= 4
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:  # RFC 3533: polynomial 0x04c11db7, highest bit first, nothing inverted
        checksum = checksum << 8 & 0xFFFFFFFF ^ _CHECKSUMS[checksum >> 24 ^ byte]
    page[22:26] = checksum.to_bytes(4, "little")
    return data[:start] + bytes(page)


def _checksum(value: int) -> int:
    value <<= 24
    for _ in range(8):
        value = value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)
    return value


_CHECKSUMS = tuple(map(_checksum, range(256)))


# --- mp3 ---------------------------------------------------------------------------------------

_BITRATES = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of layer III by index from 1, for MPEG 1 and for MPEG 2 and 2.5 (ISO 11172-3, 13818-3)."""

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Hz by index, for MPEG 1 (3), MPEG 2 (2) and MPEG 2.5 (0)."""


def _after_notes(data: bytes) -> int:
    """Where the sound starts behind an ID3 tag, whose size has seven bits a byte."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size * 128 + (byte & 127)
    return 10 + size + (10 if data[5] & 16 else 0)


def _is_mp3(data: bytes) -> bool:
    return data[:3] == b"ID3" or _frame_size(data[:4]) > 0


def _frame_size(header: bytes) -> int:
    """Bytes of the layer III frame with this header of four bytes; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or not 1 <= bitrate <= 14 or rate == 3:
        return 0
    first = version == 3
    coefficient = 144000 if first else 72000
    return coefficient * _BITRATES[first][bitrate - 1] // _RATES[version][rate] + (
        header[2] >> 1 & 1
    )


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and size of each whole layer III frame of an mp3, in order."""
    position = _after_notes(data)
    while position + 4 <= len(data):
        size = _frame_size(data[position : position + 4])
        end = position + size
        # A frame is one only if another follows, or the file ends, or a tag stands behind it.
        if size and (
            _frame_size(data[end : end + 4])
            or end == len(data)
            or data[end : end + 3] in (b"TAG", b"APE", b"ID3")
        ):
            yield position, size
            position = end
        else:
            following = data.find(b"\xff", position + 1)
            position = following if following >= 0 else len(data)


def _with_length(data: bytes) -> bytes:
    """Put a frame in front of an mp3 that announces how many follow, as encoders do into a file.

    libsndfile guesses the frames of an mp3 without such a frame from its size, and gives no sample
    beyond its guess.
    """
    frames = list(_frames(data))
    if not frames:
        return data
    start = frames[0][0]
    header = data[start : start + 4]
    first, mono = header[1] >> 3 & 3 == 3, header[3] >> 6 == 3
    # Without a checksum and padding, at the highest bitrate but five: room for the count.
    plain = bytes([header[0], header[1] | 1, 0x90 | header[2] & 0x0C, header[3]])
    side = {(True, True): 17, (True, False): 32, (False, True): 9, (False, False): 17}[first, mono]
    count = b"Xing" + (1).to_bytes(4, "big") + len(frames).to_bytes(4, "big")
    return (plain + bytes(side) + count).ljust(_frame_size(plain), b"\0") + data[start:]
