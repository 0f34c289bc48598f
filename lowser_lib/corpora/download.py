"""Fetch the corpora that anyone may have, and unpack them where the parsers look.

Three rules hold. *Nothing half-done is taken as good*: an archive is fetched to a temporary file
and renamed once its hash or size is right, and it is unpacked to a temporary folder that is renamed
once it is complete. *Every archive is checked*: against the hash or the size in the data card where
the publisher announces one. Where no hash is known the first download is trusted and its SHA-256
written to ``downloads.json`` in the corpora root (trust on first use); every later download of the
same address has to match it. That guards against a file that changes, not against one that was
wrong from the start. *No archive writes outside its folder*: names with ``..``, absolute names and
links are refused before anything is unpacked.

Every failure is a :class:`~lowser_lib.errors.DownloadError` that says how to do it by hand: put the
archive into ``archives/`` of the corpora root and run the same command again.
"""

from __future__ import annotations

import gzip
import json
import logging
import lzma
import shutil
import stat
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch
import requests

from lowser_lib import files
from lowser_lib.corpora.base import Corpus, Download
from lowser_lib.corpora.folders import is_stray, walk
from lowser_lib.corpora.registry import get
from lowser_lib.errors import DownloadError

ARCHIVES = "archives"
RECORD = "downloads.json"
TIMEOUT_SECONDS = 60

# What the unpackers of the standard library stumble over in an archive that is cut or changed.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    RuntimeError,
    ValueError,
    IndexError,
    struct.error,
)


@dataclass(frozen=True)
class Step:
    """One thing that :func:`fetch` did, or would do in a dry run.

    Attributes:
        action: ``present``, ``download`` or ``unpack``.
        text: The step in one line.
    """

    action: str
    text: str


def fetch(
    name: str,
    root: Path,
    *,
    dry_run: bool = False,
    progress: bool = True,
    retries: int = 3,
    keep_archives: bool = False,
) -> list[Step]:
    """Bring a corpus in: ``root/NAME`` is complete afterwards, or untouched.

    Args:
        name: A registered corpus.
        root: The corpora root; made where needed.
        dry_run: Only say what would be done; nothing is fetched or written.
        progress: Show a progress bar on standard error.
        retries: How often to begin anew after a broken connection or a wrong hash.
        keep_archives: Leave the archives in ``root/archives`` after they are unpacked.

    Returns:
        The steps, in order. Where ``root/NAME`` is there already, the only step says so.

    Raises:
        CorpusError: There is no such corpus.
        DownloadError: It may not be downloaded by a script, or the download or archive is bad.
    """
    corpus = get(name)
    folder = Path(root) / corpus.name
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        return [Step("present", f"{folder} is there already; `lowser corpora verify` checks it")]
    if not corpus.card.downloadable:
        raise DownloadError(
            f"{name} is not fetched by a script. {corpus.card.where}. Then put it into {folder}: "
            f"{corpus.card.layout}"
        )
    steps = [Step("download", _announce(download)) for download in corpus.card.downloads]
    steps.append(Step("unpack", f"unpack to {folder}"))
    if not dry_run:
        _bring(corpus, folder, progress=progress, retries=retries, keep_archives=keep_archives)
    return steps


def _announce(download: Download) -> str:
    """Say in one line what would be fetched and how it is checked."""
    size = "size not announced" if download.bytes is None else f"{download.bytes / 1e6:.0f} MB"
    check = (download.known_hash or "hash of the first download").partition(":")[0]
    return f"download {download.url} ({size}; checked by {check})"


def _bring(
    corpus: Corpus, folder: Path, *, progress: bool, retries: int, keep_archives: bool
) -> None:
    """Fetch and unpack all archives of a corpus."""
    root = folder.parent
    with (
        files.writing(folder, DownloadError, "choose another folder and run the command again"),
        files.folder_beside(folder) as partial,
    ):
        for download in corpus.card.downloads:
            archive = fetch_archive(download, root, progress=progress, retries=retries)
            try:
                unpack(archive, partial)
                _refuse_empty(archive, partial)
            except DownloadError:
                # What cannot be unpacked is not worth keeping, nor its hash worth trusting.
                archive.unlink(missing_ok=True)
                raise
            _remember(download, archive, root)
            if not keep_archives:
                archive.unlink()
        if folder.is_dir():  # an empty one, which no other system would let go
            folder.rmdir()
        _single_folder(partial).rename(folder)


def fetch_archive(
    download: Download, root: Path, *, progress: bool = True, retries: int = 3
) -> Path:
    """Fetch one archive to ``root/archives``; an archive that lies there is checked and used.

    Args:
        download: What to fetch.
        root: The corpora root.
        progress: Show a progress bar on standard error.
        retries: How often to begin anew.

    Returns:
        The archive.

    Raises:
        DownloadError: No connection, a wrong size, or a wrong hash.
    """
    folder = Path(root) / ARCHIVES
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    archive = folder / download.filename
    trusted = _record(root).get(download.url)
    known_hash = download.known_hash or trusted
    if archive.is_file() and not pooch.hashes.hash_matches(archive, known_hash):
        # Put there by hand, perhaps with much patience: say so instead of writing over it.
        raise DownloadError(
            f"{archive} does not match the {known_hash} that is known for {download.url}; move it "
            f"away, or fetch it again by hand"
        )
    fetcher = pooch.create(
        path=folder,
        base_url="",
        registry={download.filename: known_hash},
        urls={download.filename: download.url},
        retry_if_failed=retries,
    )
    downloader = pooch.HTTPDownloader(
        progressbar=progress, chunk_size=1 << 16, timeout=TIMEOUT_SECONDS
    )
    try:
        with _quiet(pooch.get_logger()):
            fetcher.fetch(download.filename, downloader=downloader)
    except (requests.exceptions.RequestException, ValueError) as error:
        # pooch raises ValueError when the hash is wrong after the last attempt.
        cause = "is not what was announced" if isinstance(error, ValueError) else "did not arrive"
        if isinstance(error, ValueError) and known_hash == trusted:
            cause += f" (its hash differs from the first download's, noted in {RECORD})"
        raise DownloadError(f"{download.url} {cause}: {error}. {_by_hand(archive)}") from error
    size = archive.stat().st_size
    if download.bytes is not None and size != download.bytes:
        archive.unlink()
        raise DownloadError(
            f"{download.url} gave {size} bytes, {download.bytes} were announced. "
            f"{_by_hand(archive)}"
        )
    return archive


def _sweep(folder: Path) -> None:
    """Remove the pieces of downloads that were killed a day ago or earlier (pooch's `tmp...`)."""
    for piece in folder.glob("tmp*"):
        with suppress(OSError):
            if piece.is_file() and time.time() - piece.stat().st_mtime > files.STALE_AFTER:
                piece.unlink()


def _by_hand(archive: Path) -> str:
    """Say what to do when a script cannot fetch an archive."""
    return (
        f"Try again later; or fetch it with a browser, put it down as {archive} and run the same "
        f"command again"
    )


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep the library's notes off the screen, where our own steps are told."""
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _record(root: Path) -> dict[str, str]:
    """Read the hashes of first downloads, by address."""
    file = Path(root) / RECORD
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DownloadError(f"{file} is damaged ({error}); delete it and run again") from error
    return {str(url): str(known_hash) for url, known_hash in content.items()}


def _remember(download: Download, archive: Path, root: Path) -> None:
    """Note the hash of an archive whose publisher announces none."""
    record = _record(root)
    if download.known_hash is not None or download.url in record:
        return
    record[download.url] = f"sha256:{files.sha256(archive)}"
    files.write_json(Path(root) / RECORD, dict(sorted(record.items())), DownloadError)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip or tar archive, refusing names that lead out of the folder.

    Args:
        archive: A ``.zip``, or a tar in any compression that Python knows.
        folder: An existing folder. After an error it may hold part of the archive.

    Raises:
        DownloadError: The archive is damaged, of another kind, holds an unsafe name, or is larger
            than the space that is left.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                infos = packed.infolist()
                for info in infos:
                    link = stat.S_ISLNK(info.external_attr >> 16)
                    _refuse_unsafe(archive, info.filename, link=link)
                _refuse_too_large(archive, sum(info.file_size for info in infos), folder)
                packed.extractall(folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as packed_tar:
                members = packed_tar.getmembers()
                for member in members:
                    link = not (member.isfile() or member.isdir())
                    _refuse_unsafe(archive, member.name, link=link)
                _refuse_too_large(archive, sum(member.size for member in members), folder)
                packed_tar.extractall(folder, filter="data")
                # Only the end of the compressed stream holds its checksum, and a tar ends earlier.
                stream = packed_tar.fileobj
                while stream is not None and stream.read(1 << 20):
                    pass
        else:
            raise DownloadError(
                f"{archive} is neither a zip nor a tar archive (a login or error page, perhaps); "
                f"delete it and run the command again"
            )
    except _DAMAGE as error:
        raise DownloadError(
            f"{archive} is damaged: {error}. Run the command again to fetch it anew"
        ) from error


def _refuse_empty(archive: Path, folder: Path) -> None:
    """Refuse an archive from which no file came: an empty folder would pass for a corpus."""
    if not any(entry.size for entry in walk(folder)):
        raise DownloadError(
            f"{archive} holds no files; it was deleted. Run the command again to fetch it anew, or "
            f"look for another source"
        )


def _refuse_unsafe(archive: Path, name: str, *, link: bool) -> None:
    """Refuse names that lead out of the folder on any system, and links."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    outside = posix.is_absolute() or bool(windows.anchor) or ".." in windows.parts
    if outside or link:
        what = "is a link or a device" if link else "leads out of the folder"
        raise DownloadError(
            f"{archive} is refused: its member {name!r} {what}. Do not use this archive; look for "
            f"another source"
        )


def _refuse_too_large(archive: Path, size: int, folder: Path) -> None:
    """Refuse an archive that would fill the disk."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DownloadError(
            f"{archive} unpacks to {size / 1e6:.0f} MB, {free / 1e6:.0f} MB are free in {folder}; "
            f"free some space and run the command again"
        )


def _single_folder(folder: Path) -> Path:
    """Step into the one folder that archives of repositories wrap around their content."""
    content = [item for item in folder.iterdir() if not is_stray(item.relative_to(folder))]
    return content[0] if len(content) == 1 and content[0].is_dir() else folder
