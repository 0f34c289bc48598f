"""Checkpoints: by name, from a file, from a local server, and damaged in many ways."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from lowser_lib.encoders import EncoderDimensions, WhisperEncoder, checkpoints, known_names
from lowser_lib.errors import CheckpointError

DIMS = ModelDimensions(80, 100, 32, 4, 2, 60, 8, 32, 4, 1)


@pytest.fixture(scope="module")
def model() -> Whisper:
    torch.manual_seed(0)
    return Whisper(DIMS).half().eval()  # OpenAI stores float16


@pytest.fixture
def checkpoint(model: Whisper, tmp_path: Path) -> Path:
    path = tmp_path / "mine.pt"
    torch.save({"dims": asdict(DIMS), "model_state_dict": model.state_dict()}, path)
    return path


def assert_same_weights(found: WhisperEncoder, expected: Whisper) -> None:
    wanted = {k: v for k, v in expected.state_dict().items() if k.startswith("encoder.")}
    assert found.state_dict().keys() == wanted.keys()
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, wanted[name].float()), name


# ------------------------------------------------------------------------------------ files


def test_a_file_in_openais_format_loads(model: Whisper, checkpoint: Path) -> None:
    for name in (checkpoint, str(checkpoint)):
        encoder = WhisperEncoder.load(name)
        assert_same_weights(encoder, model)
    assert (encoder.dimension, encoder.n_mels, encoder.max_frames) == (32, 80, 200)
    assert encoder.pretrained
    assert "mine.pt" in encoder.description
    assert encoder.frozen == ("conv", "positions")
    assert WhisperEncoder.load(checkpoint, freeze=()).frozen == ()


def test_it_gives_what_openai_whisper_gives(checkpoint: Path) -> None:
    reference = whisper.load_model(str(checkpoint), device="cpu").eval()
    mel = torch.randn(1, 80, 200, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = WhisperEncoder.load(checkpoint)(mel)
        torch.testing.assert_close(found, reference.embed_audio(mel), rtol=0, atol=1e-5)


def test_the_decoder_is_not_needed(model: Whisper, tmp_path: Path) -> None:
    state = {k: v for k, v in model.state_dict().items() if k.startswith("encoder.")}
    dims = {k: v for k, v in asdict(DIMS).items() if "audio" in k or k == "n_mels"}
    torch.save({"dims": dims, "model_state_dict": state}, tmp_path / "half.pt")
    assert_same_weights(WhisperEncoder.load(tmp_path / "half.pt"), model)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was-here"),))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[:200] = bytes(200)
    path.write_bytes(content)


def save(content: object) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "neither a checkpoint file nor a known name"),
        (lambda path: path.write_bytes(b""), "damaged or of another format"),
        (lambda path: path.write_text("<html>404</html>"), "damaged or of another format"),
        (truncate, "damaged or of another format"),
        (flip, "damaged or of another format"),
        (lambda path: path.write_bytes(pickle.dumps(Malicious(), 2)), "damaged or of another"),
        (save(Malicious()), "damaged or of another format"),
        (save([1, 2]), "not a checkpoint in OpenAI's format"),
        (save({"state_dict": {}}), "not a checkpoint in OpenAI's format"),
        (save({"dims": asdict(DIMS), "model_state_dict": [1]}), "no mapping"),
        (save({"dims": asdict(DIMS), "model_state_dict": {}}), "attn.key.weight is missing"),
        (save({"dims": [80], "model_state_dict": {}}), "`dims` does not describe"),
        (save({"dims": {"n_mels": 80}, "model_state_dict": {}}), "n_audio_ctx"),
        (save({"dims": asdict(DIMS) | {"n_mels": 0}, "model_state_dict": {}}), "n_mels"),
        (save({"dims": asdict(DIMS) | {"n_audio_head": 5}, "model_state_dict": {}}), "n_audio_"),
    ],
)
def test_a_bad_file_is_named(
    checkpoint: Path,
    damage: Callable[[Path], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    damage(checkpoint)
    with pytest.raises(CheckpointError, match=message) as caught:
        WhisperEncoder.load(checkpoint)
    assert "mine.pt" in str(caught.value)
    assert not Path("was-here").exists()


def without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.pop(name)


def with_weight(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("encoder.blocks.1.mlp.2.bias"), "blocks.1.mlp.2.bias is missing"),
        (with_weight("encoder.blocks.2.mlp.2.bias", torch.ones(2)), "blocks.2.* is unknown"),
        (with_weight("encoder.ln_post.bias", torch.ones(3)), r"is \(3,\), not \(32,\)"),
        (with_weight("encoder.ln_post.bias", "text"), r"is str, not \(32,\)"),
        (with_weight("encoder.ln_post.bias", torch.full((32,), torch.nan)), "not numbers"),
        (with_weight("encoder.ln_post.bias", torch.ones(32, dtype=torch.int64)), "not numbers"),
        (with_weight("encoder.positional_embedding", torch.ones(99, 32)), "not \\(100, 32\\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    model: Whisper, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    state = dict(model.state_dict())
    change(state)
    torch.save({"dims": asdict(DIMS), "model_state_dict": state}, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=f"odd.pt.*{message}"):
        WhisperEncoder.load(tmp_path / "odd.pt")


# ------------------------------------------------------------------------------------ names


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(tmp_path: Path, no_proxy: None) -> Iterator[tuple[str, Path]]:
    """A local HTTP server: its address, and the folder that it serves."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()
        thread.join()


def publish(folder: Path, content: bytes, sha256: str | None = None) -> str:
    """Put a file where OpenAI would: its SHA-256 is the folder's name."""
    sha256 = sha256 or hashlib.sha256(content).hexdigest()
    (folder / sha256).mkdir()
    (folder / sha256 / "tiny.en.pt").write_bytes(content)
    return f"{sha256}/tiny.en.pt"


#: Nothing listens on port 9 (discard) of this machine.
NO_NETWORK = {"tiny.en": f"http://127.0.0.1:9/{'0' * 64}/tiny.en.pt"}


def test_a_published_name_is_fetched_once(
    model: Whisper, checkpoint: Path, server: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = server
    place = publish(folder, checkpoint.read_bytes())
    root = tmp_path / "checkpoints"
    addresses = {"tiny.en": f"{address}/{place}"}
    encoder = WhisperEncoder.load("tiny.en", download_root=root, addresses=addresses)
    assert_same_weights(encoder, model)
    assert encoder.pretrained
    assert "tiny.en" in encoder.description
    (folder / place).unlink()
    again = WhisperEncoder.load("tiny.en", download_root=root, addresses=addresses)
    assert_same_weights(again, model)
    assert [file.name for file in root.iterdir()] == ["tiny.en.pt"]


def test_a_copy_put_there_by_hand_is_taken(
    model: Whisper, checkpoint: Path, tmp_path: Path, no_proxy: None
) -> None:
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    checkpoint.rename(tmp_path / "tiny.en.pt")
    addresses = {"tiny.en": f"http://127.0.0.1:9/{sha256}/tiny.en.pt"}
    encoder = WhisperEncoder.load("tiny.en", download_root=tmp_path, addresses=addresses)
    assert_same_weights(encoder, model)


def test_what_has_the_wrong_hash_is_not_kept(server: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = server
    place = publish(folder, b"not what was announced", sha256="a" * 64)
    root = tmp_path / "checkpoints"
    with pytest.raises(CheckpointError, match="has not the SHA-256"):
        checkpoints.fetch("tiny.en", root, {"tiny.en": f"{address}/{place}"})
    assert list(root.iterdir()) == []


def test_a_missing_page_is_named(server: tuple[str, Path], tmp_path: Path) -> None:
    addresses = {"tiny.en": f"{server[0]}/{'b' * 64}/tiny.en.pt"}
    with pytest.raises(CheckpointError, match=r"could not be fetched \(HTTPError\)"):
        checkpoints.fetch("tiny.en", tmp_path / "checkpoints", addresses)


@pytest.mark.usefixtures("no_proxy")
def test_without_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        WhisperEncoder.load("tiny.en", download_root=tmp_path, addresses=NO_NETWORK)
    message = str(caught.value)
    for part in (
        "tiny.en", str(tmp_path / "tiny.en.pt"), NO_NETWORK["tiny.en"], "0" * 64, "LOWSER_HOME",
        "'nano'",
    ):  # fmt: skip
        assert part in message
    assert "it is damaged" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_proxy")
def test_a_damaged_copy_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "tiny.en.pt").write_bytes(b"half of it")
    with pytest.raises(CheckpointError, match="lies there, but it is damaged"):
        WhisperEncoder.load("tiny.en", download_root=tmp_path, addresses=NO_NETWORK)


def test_every_published_name_has_a_shape() -> None:
    assert set(known_names()) == {"nano", *whisper.available_models()}
    for name in known_names():
        dimensions = checkpoints.dimensions_of(name)
        assert dimensions.n_audio_ctx == 1500
        assert dimensions.n_mels == (128 if name in _WITH_128_MELS else 80)
    assert checkpoints.dimensions_of("small.en") == EncoderDimensions(80, 1500, 768, 12, 12)


def test_a_file_has_a_shape_too(checkpoint: Path, tmp_path: Path) -> None:
    assert checkpoints.dimensions_of(str(checkpoint)) == EncoderDimensions(80, 100, 32, 4, 2)
    control = WhisperEncoder.random(str(checkpoint), seed=0)
    assert (control.dimension, control.max_frames, control.pretrained) == (32, 200, False)
    assert "mine.pt shape" in control.description
    assert str(tmp_path) not in control.description
    checkpoint.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"mine\.pt"):
        checkpoints.dimensions_of(str(checkpoint))


_WITH_128_MELS = {"large", "large-v3", "large-v3-turbo", "turbo"}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CheckpointError, match=r"huge\.en: neither.*nano, tiny\.en"):
        WhisperEncoder.load("huge.en")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((80, 1500, 144, 3, 0), "n_audio_layer must be a positive whole number, not 0"),
        ((80, 1500, 144.0, 3, 4), "n_audio_state"),
        ((True, 1500, 144, 3, 4), "n_mels"),
        ((80, 1500, 144, 7, 4), "multiple of n_audio_head=7, not 144"),
        ((80, 1500, 21, 3, 4), "must be even"),
    ],
)
def test_impossible_dimensions_are_named(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderDimensions(*sizes)


# ------------------------------------------------------------------------------------- nano


def test_nano_is_there_and_says_what_it_is() -> None:
    encoder, again = WhisperEncoder.load("nano"), WhisperEncoder.load("nano")
    shipped = (checkpoints.NANO_FOLDER / "nano.safetensors").is_file()
    assert encoder.pretrained == shipped
    assert ("untrained: random weights" in encoder.description) == (not shipped)
    assert (encoder.n_mels, encoder.max_frames) == (80, 3000)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    stored = 4 * sum(parameter.numel() for parameter in encoder.parameters())
    assert stored < 6_000_000


def write_nano(folder: Path, encoder: WhisperEncoder) -> Path:
    """Trained weights as they will be shipped: float16, positions left out."""
    state = {
        name: tensor.half()
        for name, tensor in encoder.state_dict().items()
        if name != "encoder.positional_embedding"
    }
    file = folder / "nano.safetensors"
    safetensors.torch.save_file(state, file)
    card = json.loads((checkpoints.NANO_FOLDER / "nano.json").read_text())
    card["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "nano.json").write_text(json.dumps(card))
    return file


def test_trained_nano_weights_load(tmp_path: Path) -> None:
    trained = WhisperEncoder.random("nano", seed=9)
    write_nano(tmp_path, trained)
    found = WhisperEncoder.from_checkpoint(checkpoints.read_nano(tmp_path))
    assert found.pretrained
    assert "untrained" not in found.description
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    positions = found.encoder.positional_embedding
    assert torch.equal(positions, trained.encoder.positional_embedding)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "not the weights that nano.json announces"),
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.with_name("nano.json").unlink(), "nano.json: missing or damaged"),
        (lambda path: path.with_name("nano.json").write_text("{"), "missing or damaged"),
        (lambda path: path.with_name("nano.json").write_text("[]"), "missing or damaged"),
        (lambda path: path.with_name("nano.json").write_text("{}"), "missing or damaged"),
    ],
)
def test_a_damaged_nano_is_never_replaced_in_silence(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(write_nano(tmp_path, WhisperEncoder.random("nano", seed=9)))
    with pytest.raises(CheckpointError, match=message):
        checkpoints.read_nano(tmp_path)


def test_announced_weights_of_another_format_are_named(tmp_path: Path) -> None:
    file = write_nano(tmp_path, WhisperEncoder.random("nano", seed=9))
    file.write_bytes(b"not safetensors")
    card = json.loads((tmp_path / "nano.json").read_text())
    card["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (tmp_path / "nano.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        checkpoints.read_nano(tmp_path)
