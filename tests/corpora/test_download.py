"""Downloads from a server on this machine: good, wrong, broken off, and hostile archives."""

from __future__ import annotations

import hashlib
import io
import json
import os
import runpy
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lowser_lib import corpora
from lowser_lib.corpora import Corpus, Download, download as downloads
from lowser_lib.corpora.bangla import BanglaSpeech
from lowser_lib.corpora.download import fetch, unpack
from lowser_lib.errors import DownloadError


class Server:
    """Serves bytes by path; a path may break off its first answers half-way."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.break_off: dict[str, int] = {}
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                body = server.content.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                broken = server.break_off.get(self.path, 0)
                if broken:
                    server.break_off[self.path] = broken - 1
                    body = body[: len(body) // 2]
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Keep the test's output clean."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # Proxies are for the world outside; pooch's pauses between attempts are not what is tested.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    running = Server()
    yield running
    running.close()


def _zip(members: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return memory.getvalue()


def _tar(members: dict[str, bytes], link: str | None = None) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link is not None:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(info)
    return memory.getvalue()


GOOD = _zip({"repo-main/Speech/MI001.wav": b"one", "repo-main/README": b"read" * 500})


class Offer:
    """Announces an archive for the corpus ``bangla_speech``."""

    def __init__(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        self._server, self._monkeypatch = server, monkeypatch

    def __call__(self, body: bytes | None, **announced: object) -> str:
        if body is not None:
            self._server.content["/a.zip"] = body
        entry = Download(url=f"{self._server.address}/a.zip", filename="a.zip")
        corpus: Corpus = BanglaSpeech()
        corpus.card = replace(corpus.card, downloads=(replace(entry, **announced),))  # type: ignore[arg-type]
        self._monkeypatch.setattr(downloads, "get", lambda name: corpus)
        return entry.url


@pytest.fixture
def offer(server: Server, monkeypatch: pytest.MonkeyPatch) -> Offer:
    return Offer(server, monkeypatch)


def _leftovers(root: Path) -> set[str]:
    """Name what lies in the root, but for the folder of archives when it is empty."""
    if not root.exists():
        return set()
    return {
        item.relative_to(root).as_posix()
        for item in root.rglob("*")
        if item != root / downloads.ARCHIVES
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_good_archive_is_unpacked_without_its_wrapping_folder(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD, sha256=_sha256(GOOD), bytes=len(GOOD))
    steps = fetch("bangla_speech", tmp_path / "new/root", progress=False)
    assert [step.action for step in steps] == ["download", "unpack"]
    folder = tmp_path / "new/root/bangla_speech"
    assert (folder / "Speech/MI001.wav").read_bytes() == b"one"
    assert _leftovers(tmp_path / "new/root") == {
        "bangla_speech",
        "bangla_speech/README",
        "bangla_speech/Speech",
        "bangla_speech/Speech/MI001.wav",
    }
    assert folder.stat().st_mode & 0o777 == 0o755


def test_corpus_that_is_there_is_not_fetched_again(
    offer: Offer, server: Server, tmp_path: Path
) -> None:
    offer(GOOD)
    (tmp_path / "bangla_speech/Speech").mkdir(parents=True)
    assert [step.action for step in fetch("bangla_speech", tmp_path)] == ["present"]
    assert server.requests == []


def test_an_empty_folder_is_no_corpus(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD)
    (tmp_path / "bangla_speech").mkdir()
    steps = fetch("bangla_speech", tmp_path, progress=False)
    assert [step.action for step in steps] == ["download", "unpack"]
    assert (tmp_path / "bangla_speech/Speech/MI001.wav").is_file()


@pytest.mark.parametrize("body", [_zip({}), _zip({"a/": b""}), _tar({}), _zip({"a.wav": b""})])
def test_an_archive_without_files_is_refused(body: bytes, offer: Offer, tmp_path: Path) -> None:
    offer(body)
    for _ in range(2):  # nothing of the first try is in the way of the second
        with pytest.raises(DownloadError, match="holds no files; it was deleted"):
            fetch("bangla_speech", tmp_path, progress=False)
    assert _leftovers(tmp_path) == set()


@pytest.mark.parametrize("pack", [_zip, _tar])
def test_a_damaged_archive_is_not_kept(pack: object, offer: Offer, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = pack({"Speech/MI001.wav": rng.bytes(3000), "b.wav": b"read" * 500})  # type: ignore[operator]
    refused = 0
    for trial in range(40):
        damaged = bytearray(good)
        damaged[int(rng.integers(len(good)))] ^= 1 << int(rng.integers(8))
        offer(bytes(damaged[: len(good) - trial % 3 * 7]))
        root = tmp_path / str(trial)
        try:
            fetch("bangla_speech", root, progress=False)
        except DownloadError:
            refused += 1
            assert _leftovers(root) == set()
        else:
            assert (root / "bangla_speech").is_dir()
    assert refused > 20


def test_pieces_of_killed_downloads_are_swept_after_a_day(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD)
    archives = tmp_path / downloads.ARCHIVES
    archives.mkdir()
    for name, age in (("tmpold", 3 * 86400), ("tmpnew", 60)):
        (archives / name).write_bytes(b"half")
        os.utime(archives / name, (time.time() - age,) * 2)
    fetch("bangla_speech", tmp_path, progress=False)
    assert [path.name for path in archives.iterdir()] == ["tmpnew"]


def test_dry_run_tells_and_writes_nothing(offer: Offer, server: Server, tmp_path: Path) -> None:
    url = offer(GOOD, bytes=208_468_073)
    steps = fetch("bangla_speech", tmp_path / "root", dry_run=True)
    assert [step.action for step in steps] == ["download", "unpack"]
    assert url in steps[0].text
    assert "208 MB" in steps[0].text
    assert server.requests == []
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_wrong_hash_is_refused_after_retries(
    kind: str, offer: Offer, server: Server, tmp_path: Path
) -> None:
    offer(GOOD, **{kind: "0" * (64 if kind == "sha256" else 32)})
    with pytest.raises(DownloadError, match="is not what was announced") as caught:
        fetch("bangla_speech", tmp_path, progress=False, retries=2)
    assert len(server.requests) == 3
    assert str(tmp_path / "archives/a.zip") in str(caught.value)
    assert _leftovers(tmp_path) == set()


def test_right_md5_is_enough(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD, md5=hashlib.md5(GOOD).hexdigest())
    fetch("bangla_speech", tmp_path, progress=False)
    assert (tmp_path / "bangla_speech/README").is_file()
    assert not (tmp_path / downloads.RECORD).exists()


def test_wrong_size_is_refused(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD, bytes=len(GOOD) + 1)
    with pytest.raises(DownloadError, match=f"gave {len(GOOD)} bytes, {len(GOOD) + 1} were"):
        fetch("bangla_speech", tmp_path, progress=False)
    assert _leftovers(tmp_path) == set()


def test_transfer_that_breaks_off_is_begun_anew(
    offer: Offer, server: Server, tmp_path: Path
) -> None:
    offer(GOOD)
    server.break_off["/a.zip"] = 2
    fetch("bangla_speech", tmp_path, progress=False, retries=3)
    assert server.requests == ["/a.zip"] * 3
    assert (tmp_path / "bangla_speech/README").read_bytes() == b"read" * 500


def test_transfer_that_keeps_breaking_off_leaves_nothing(
    offer: Offer, server: Server, tmp_path: Path
) -> None:
    url = offer(GOOD)
    server.break_off["/a.zip"] = 9
    with pytest.raises(DownloadError, match="did not arrive") as caught:
        fetch("bangla_speech", tmp_path, progress=False, retries=1)
    assert url in str(caught.value)
    assert _leftovers(tmp_path) == set()
    server.break_off["/a.zip"] = 0
    fetch("bangla_speech", tmp_path, progress=False)
    assert (tmp_path / "bangla_speech/README").is_file()


def test_missing_page_is_a_named_error(offer: Offer, tmp_path: Path) -> None:
    offer(None)
    with pytest.raises(DownloadError, match=r"(?s)did not arrive.*404.*with a browser"):
        fetch("bangla_speech", tmp_path, progress=False, retries=0)


def test_first_download_is_trusted_and_later_ones_have_to_match(
    offer: Offer, tmp_path: Path
) -> None:
    url = offer(GOOD)
    fetch("bangla_speech", tmp_path, progress=False)
    record = json.loads((tmp_path / downloads.RECORD).read_text(encoding="utf-8"))
    assert record == {url: f"sha256:{_sha256(GOOD)}"}
    (tmp_path / "bangla_speech").rename(tmp_path / "elsewhere")
    fetch("bangla_speech", tmp_path, progress=False)
    (tmp_path / "bangla_speech").rename(tmp_path / "elsewhere too")
    offer(_zip({"repo/other": b"another content"}))
    with pytest.raises(DownloadError, match=r"differs from the first download's"):
        fetch("bangla_speech", tmp_path, progress=False, retries=0)
    assert not (tmp_path / "bangla_speech").exists()


def test_damaged_record_is_named(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD)
    (tmp_path / downloads.RECORD).write_text("{", encoding="utf-8")
    with pytest.raises(DownloadError, match=r"downloads\.json is damaged"):
        fetch("bangla_speech", tmp_path, progress=False)


def test_archive_put_down_by_hand_is_used(offer: Offer, server: Server, tmp_path: Path) -> None:
    offer(None, sha256=_sha256(GOOD))
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/a.zip").write_bytes(GOOD)
    fetch("bangla_speech", tmp_path, progress=False, keep_archives=True)
    assert server.requests == []
    assert (tmp_path / "bangla_speech/README").is_file()
    assert (tmp_path / "archives/a.zip").is_file()


def test_wrong_archive_put_down_by_hand_is_refused_and_kept(offer: Offer, tmp_path: Path) -> None:
    offer(GOOD, sha256=_sha256(GOOD))
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/a.zip").write_bytes(b"half of it")
    with pytest.raises(DownloadError, match="does not match"):
        fetch("bangla_speech", tmp_path, progress=False)
    assert (tmp_path / "archives/a.zip").read_bytes() == b"half of it"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_zip({"a/good": b"", "../evil.txt": b"x"}), "leads out"),
        (_zip({"a/../../evil.txt": b"x"}), "leads out"),
        (_zip({"/tmp/evil.txt": b"x"}), "leads out"),
        (_zip({"..\\evil.txt": b"x"}), "leads out"),
        (_zip({"C:\\evil.txt": b"x"}), "leads out"),
        (_tar({"../evil.txt": b"x"}), "leads out"),
        (_tar({"/evil.txt": b"x"}), "leads out"),
        (_tar({"a/good": b"x"}, link="a/link"), "is a link"),
        (b"<html>please log in</html>", "neither a zip nor a tar"),
        (GOOD[: len(GOOD) // 2], "neither a zip nor a tar|is damaged"),
        (GOOD.replace(b"readread", b"readRead"), "is damaged"),
    ],
)
def test_hostile_or_damaged_archive_is_refused_and_not_kept(
    body: bytes, message: str, offer: Offer, tmp_path: Path
) -> None:
    offer(body)
    root = tmp_path / "deep/root"
    with pytest.raises(DownloadError, match=message):
        fetch("bangla_speech", root, progress=False)
    assert _leftovers(root) == set()
    assert {file.name for file in tmp_path.rglob("*")} == {"deep", "root", "archives"}
    assert not Path("/tmp/evil.txt").exists()


def test_tar_archive_is_unpacked(offer: Offer, tmp_path: Path) -> None:
    offer(_tar({"Speech/MI001.wav": b"one", "README": b"two"}))
    fetch("bangla_speech", tmp_path, progress=False)
    assert (tmp_path / "bangla_speech/Speech/MI001.wav").read_bytes() == b"one"


def test_archive_larger_than_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(GOOD)
    usage = downloads.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage._replace(free=10))
    (tmp_path / "target").mkdir()
    with pytest.raises(DownloadError, match=r"free some space"):
        unpack(tmp_path / "a.zip", tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_full_disk_is_a_named_error_and_leaves_nothing(
    offer: Offer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(GOOD)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads, "unpack", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        fetch("bangla_speech", tmp_path, progress=False)
    assert not (tmp_path / "bangla_speech").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["iemocap", "msp_podcast", "common_voice", "crema_d"])
def test_corpus_with_terms_is_not_fetched_but_explained(name: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch(name, tmp_path)
    card = corpora.get(name).card
    assert card.where in str(caught.value)
    assert card.layout in str(caught.value)


def test_script_shows_what_it_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(__file__).parents[2] / "data_scripts/download_corpora.py"
    main = runpy.run_path(str(script))["main"]
    assert main(["--root", str(tmp_path), "--dry-run"]) == 0
    out = capsys.readouterr().out
    for name in ("ravdess", "emodb", "urdu", "subesco"):
        for entry in corpora.get(name).card.downloads:
            assert f"[would] {name}: download {entry.url}" in out
    assert main(["iemocap", "--root", str(tmp_path), "--dry-run"]) == 1
    assert "[FAIL] iemocap" in capsys.readouterr().err
