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

from lowser_lib import files
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
        result = WhisperEncoder.load(checkpoint)(mel)
        torch.testing.assert_close(result, reference.embed_audio(mel), rtol=0, atol=1e-5)


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
        (lambda path: path.unlink(), "neither a checkpoint file nor a folder"),
        (lambda path: path.write_bytes(b""), "damaged or of another format"),
        (lambda path: path.write_text("<html>404</html>"), "damaged or of another format"),
        (truncate, "damaged or of another format"),
        (flip, "damaged or of another format"),
        (lambda path: path.write_bytes(pickle.dumps(Malicious(), 2)), "damaged or of another"),
        (save(Malicious()), "damaged or of another format"),
        (save([1, 2]), "not a checkpoint in OpenAI's format"),
        (save({"state_dict": {}}), "not a checkpoint in OpenAI's format"),
        (save({"dims": asdict(DIMS), "model_state_dict": [1]}), "no mapping"),
        (save({"dims": asdict(DIMS), "model_state_dict": {}}), "holds no encoder"),
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
        checkpoints.find("tiny.en", root, {"tiny.en": f"{address}/{place}"})
    assert list(root.iterdir()) == []


def test_a_missing_page_is_named(server: tuple[str, Path], tmp_path: Path) -> None:
    addresses = {"tiny.en": f"{server[0]}/{'b' * 64}/tiny.en.pt"}
    with pytest.raises(CheckpointError, match=r"could not be fetched \(HTTPError\)"):
        checkpoints.find("tiny.en", tmp_path / "checkpoints", addresses)


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


@pytest.mark.parametrize("content", ["damaged", "other weights"])
def test_a_stranger_under_a_known_name_is_refused_and_kept(
    checkpoint: Path, content: str, tmp_path: Path
) -> None:
    held = tmp_path / "checkpoints" / "tiny.en.pt"
    held.parent.mkdir()
    held.write_bytes(b"half of it" if content == "damaged" else checkpoint.read_bytes())
    before = held.read_bytes()
    with pytest.raises(CheckpointError, match=r"damaged or holds other weights.*Move it away"):
        WhisperEncoder.load("tiny.en", download_root=held.parent, addresses=NO_NETWORK)
    assert held.read_bytes() == before


def test_half_a_checkpoint_is_known_by_its_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As float16, float32 and as a Hugging Face folder, under any name; bfloat16 is rounded."""
    shape = checkpoints.PUBLISHED_DIMENSIONS["tiny"]
    state = {n: t.half() for n, t in WhisperEncoder.random(shape, 0).state_dict().items()}
    hashes = {"tiny.en": files.tensor_hash(state)}
    monkeypatch.setattr(checkpoints, "TENSOR_HASHES", hashes)
    whole = {n: t.float() for n, t in state.items()}
    for number, kind in enumerate((torch.float16, torch.float32, torch.bfloat16)):
        root = tmp_path / str(number)
        root.mkdir()
        stored = {name: tensor.to(kind) for name, tensor in state.items()}
        torch.save({"dims": asdict(shape), "model_state_dict": stored}, root / "any.pt")
        if kind == torch.bfloat16:
            with pytest.raises(CheckpointError, match=r"tiny\.en: it could not be fetched"):
                WhisperEncoder.load("tiny.en", download_root=root, addresses=NO_NETWORK)
        else:
            outcome = WhisperEncoder.load("tiny.en", download_root=root, addresses=NO_NETWORK)
            assert outcome.tensor_hash() == hashes["tiny.en"]
            for name, tensor in outcome.state_dict().items():
                assert torch.equal(tensor, whole[name])
            assert checkpoints.held(root) == {"tiny.en": "any.pt"}
        by_file = WhisperEncoder.load(root / "any.pt")
        for name, tensor in by_file.state_dict().items():
            torch.testing.assert_close(tensor, whole[name], rtol=0.01, atol=0)
    (tmp_path / "0" / "stray.pt").write_bytes(b"no")
    assert "cannot be used" in checkpoints.held(tmp_path / "0")["stray.pt"]
    assert checkpoints.held(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(("name", "layers"), [("tiny.en", 4), ("base", 6)])
def test_published_weights_are_known(whisper_weights: Path, name: str, layers: int) -> None:
    encoder = WhisperEncoder.load(name, download_root=whisper_weights)
    assert encoder.tensor_hash() == checkpoints.TENSOR_HASHES[name]
    assert len(encoder.encoder.blocks) == layers
    assert name in encoder.description
    assert name in checkpoints.held(whisper_weights)


def test_a_name_is_looked_for_in_the_home(
    whisper_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOWSER_HOME", str(tmp_path))
    (tmp_path / "checkpoints").symlink_to(whisper_weights)
    assert WhisperEncoder.load("tiny.en", layers=2).pretrained


# ------------------------------------------------------------------------------- Hugging Face


def hugging_face_model(kind: str, folder: Path) -> tuple[Any, Any]:
    """A small model of transformers with random weights, saved: the model, and its encoder."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as TheirEncoder

    config = WhisperConfig(
        num_mel_bins=80, d_model=32, encoder_ffn_dim=128, encoder_layers=2, decoder_layers=1,
        decoder_ffn_dim=32, encoder_attention_heads=4, decoder_attention_heads=4, vocab_size=60,
        max_source_positions=100, max_target_positions=8, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    classes = {
        "recogniser": WhisperForConditionalGeneration,
        "model": WhisperModel,
        "encoder": TheirEncoder,
    }
    made = classes[kind](config).eval()
    for parameter in made.parameters():  # biases and normalisations, too
        torch.nn.init.normal_(parameter, std=0.1)
    made.save_pretrained(folder)
    inner = {"recogniser": lambda: made.model.encoder, "model": lambda: made.encoder}
    return made, inner.get(kind, lambda: made)()


@pytest.mark.parametrize("kind", ["recogniser", "model", "encoder"])
def test_a_hugging_face_folder_gives_what_transformers_gives(kind: str, tmp_path: Path) -> None:
    _, reference = hugging_face_model(kind, tmp_path)
    mel = torch.randn(2, 80, 200, generator=torch.Generator().manual_seed(0))
    ours = WhisperEncoder.load(tmp_path)
    with torch.no_grad():
        expected = reference(mel).last_hidden_state
        torch.testing.assert_close(ours(mel), expected, rtol=0, atol=1e-5)
    assert checkpoints.dimensions_of(str(tmp_path)) == EncoderDimensions(80, 100, 32, 4, 2)
    assert tmp_path.name in ours.description


def keep_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        card = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**card, **changes}))

    return change


def store(weights: dict[str, Any], name: str = "model.safetensors") -> Callable[[Path], None]:
    return lambda folder: safetensors.torch.save_file(weights, folder / name)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing or damaged"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json: missing or"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: missing or"),
        (lambda folder: (folder / "model.safetensors").unlink(), "and holds none"),
        (lambda folder: truncate(folder / "model.safetensors"), "damaged"),
        (store({"a": torch.zeros(1)}, "other.safetensors"), "model.safetensors, other.safetensors"),
        (store({"decoder.x": torch.zeros(1)}), "holds no Whisper encoder"),
        (store({"conv1.weight": torch.zeros(1)}), "missing"),
        (keep_config(model_type="wav2vec2"), "of type 'wav2vec2', not 'whisper'"),
        (keep_config(encoder_layers="two"), "`dims` does not describe"),
        (keep_config(encoder_layers=3), "blocks.2.* is missing"),
    ],
)
def test_a_bad_folder_is_named(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    folder = tmp_path / "whisper"
    hugging_face_model("encoder", folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        WhisperEncoder.load(folder)
    assert "whisper" in str(caught.value)


# ------------------------------------------------------------------------------------ layers


def test_layers_keeps_the_first_blocks(checkpoint: Path) -> None:
    whole, first = WhisperEncoder.load(checkpoint), WhisperEncoder.load(checkpoint, layers=1)
    mel = torch.randn(1, 80, 50, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        left, other = list(whole.layer_states(mel)), list(first.layer_states(mel))
    assert len(left) == 4
    assert len(other) == 3
    for mine, theirs in zip(left[:2], other[:2], strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(other[-1], first.encoder.ln_post(other[1]))
    assert "the first 1 of 2 layers" in first.description
    assert WhisperEncoder.load(checkpoint, layers=2).tensor_hash() == whole.tensor_hash()
    assert first.tensor_hash() != whole.tensor_hash()


@pytest.mark.parametrize("layers", [0, 3, -1, 1.0, True, "2"])
def test_layers_that_are_not_there_are_refused(checkpoint: Path, layers: Any) -> None:
    with pytest.raises(ValueError, match="layers must be from 1 to 2"):
        WhisperEncoder.load(checkpoint, layers=layers)


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
    answer = WhisperEncoder.from_checkpoint(checkpoints.read_nano(tmp_path))
    assert answer.pretrained
    assert "untrained" not in answer.description
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(answer.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    positions = answer.encoder.positional_embedding
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
