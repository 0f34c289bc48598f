"""What the header of a sound file tells, and in plain words why it tells nothing."""

from __future__ import annotations

from pathlib import Path

import soundfile

_LFS_POINTER = b"version https://git-lfs"


def read_header(file: Path) -> tuple[float, int] | str:
    """Read duration and sample rate without decoding.

    Args:
        file: The sound file; its content, not its ending, says which format it has.

    Returns:
        Duration in seconds and sample rate in Hz; or, in one line, why they cannot be had.
    """
    try:
        info = soundfile.info(str(file))
    except (soundfile.LibsndfileError, OSError, ValueError) as error:
        return why_unreadable(file, error)
    if info.frames <= 0 or info.samplerate <= 0:
        return "holds no samples"
    return info.frames / info.samplerate, int(info.samplerate)


def why_unreadable(file: Path, error: Exception) -> str:
    """Say in one line why a file cannot be read: the plain causes first, then the library's word.

    Args:
        file: The file.
        error: What was raised on reading it.
    """
    try:
        if not file.is_file():
            return "the file is missing"
        if file.stat().st_size == 0:
            return "the file is empty"
        with file.open("rb") as content:
            if content.read(len(_LFS_POINTER)) == _LFS_POINTER:
                return "is a git-lfs pointer, not sound; run `git lfs pull` in its repository"
    except OSError as trouble:
        return f"cannot be opened: {trouble.strerror or trouble}"
    # The library's full message quotes the absolute path, which has no place in a list.
    cause = getattr(error, "error_string", "") or str(error)
    return f"cannot be read: {' '.join(cause.split())}"
