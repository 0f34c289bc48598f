"""wav2vec 2.0 against torchaudio and transformers; its weights from folders and servers."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import soundfile
import torch
import torchaudio
from hypothesis import given, settings, strategies as st
from torch import Tensor
from torchaudio.models import wav2vec2_model, wavlm_model
from torchaudio.models.wav2vec2.utils import import_huggingface_model
from torchaudio.pipelines import Wav2Vec2ASRBundle, Wav2Vec2Bundle

import lowser_lib.views
from lowser_lib.audio import load_audio
from lowser_lib.errors import AudioError, CheckpointError
from lowser_lib.views import View, wav2vec2, wav2vec2_sources
from lowser_lib.views.cache import extract_all, view_folder
from lowser_lib.views.wav2vec2 import Wav2Vec2, Wav2Vec2View, wav2vec2_features
from lowser_lib.views.wav2vec2_sources import known_names

LAYERS, WIDTH = 3, 16
CONVOLUTIONS = [[8, 10, 5], *[[8, 3, 2]] * 4, *[[8, 2, 2]] * 2]


def sizes(extractor_mode: str, **more: object) -> dict[str, Any]:
    """A model with the published strides and next to no weights."""
    large = extractor_mode == "layer_norm"  # the two kinds that are published
    return {
        "extractor_mode": extractor_mode,
        "extractor_conv_layer_config": CONVOLUTIONS,
        "extractor_conv_bias": large,
        "encoder_embed_dim": WIDTH,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 4,
        "encoder_num_layers": LAYERS,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 32,
        "encoder_ff_interm_dropout": 0.1,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": large,
        "encoder_layer_drop": 0.1,
        "aux_num_out": None,
        **more,
    }


BASE = Wav2Vec2Bundle("base.pth", sizes("group_norm"), 16000, False, "Wav2Vec2")
LARGE = Wav2Vec2Bundle("large.pth", sizes("layer_norm"), 16000, True, "Wav2Vec2")
WAVLM = Wav2Vec2Bundle(
    "wavlm.pth",
    sizes("group_norm", encoder_num_buckets=8, encoder_max_distance=20),
    16000,
    False,
    "WavLM",
)
BUNDLES = [pytest.param(bundle, id=bundle._path[:-4]) for bundle in (BASE, LARGE, WAVLM)]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Noise with an offset and a level, which normalisation takes out."""
    drawn = np.random.default_rng(seed).normal(0.02, 0.1 * (1 + seed), samples)
    return drawn.astype(np.float32)


def published(bundle: Wav2Vec2Bundle) -> dict[str, Tensor]:
    """Weights as torchaudio publishes them: an old name for those of the positions.

    They are larger than drawn ones, so that layers differ from each other.
    """
    torch.manual_seed(0)
    model = (wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model)(**bundle._params)
    state = {
        name: weight + 0.1 * torch.randn_like(weight) for name, weight in model.state_dict().items()
    }
    new = "conv.parametrizations.weight.original"
    old = {f"{new}0": "conv.weight_g", f"{new}1": "conv.weight_v"}
    for name in [name for name in state if new in name]:
        renamed = functools.reduce(lambda text, pair: text.replace(*pair), old.items(), name)
        state[renamed] = state.pop(name)
    return state


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that holds the weights of all three, put there by hand."""
    for bundle in (BASE, LARGE, WAVLM):
        torch.save(published(bundle), tmp_path / bundle._path)
    return tmp_path


def torchaudios_own(bundle: Wav2Vec2Bundle, root: Path) -> Any:
    return bundle.get_model(dl_kwargs={"model_dir": str(root)})


def close(found: Tensor | np.ndarray, expected: Tensor | np.ndarray, atol: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=atol, rtol=0)


# --------------------------------------------------------------------------------- references


@pytest.mark.parametrize("bundle", BUNDLES)
def test_equal_to_torchaudio(bundle: Wav2Vec2Bundle, root: Path) -> None:
    model, clip = torchaudios_own(bundle, root), noise(5000)
    seen: list[Tensor] = []
    inner = getattr(model, "model", model)
    inner.encoder.transformer.layers[0].register_forward_pre_hook(
        lambda _, given: seen.append(given[0])
    )
    with torch.no_grad():
        states, _ = model.extract_features(torch.from_numpy(clip)[None])
        output, _ = model(torch.from_numpy(clip)[None])
    expected = [seen[0], *states]
    for layer in range(LAYERS + 1):
        view = Wav2Vec2View(bundle, layer, download_root=root)
        result = view.extract(clip)
        assert result.dtype == np.float32
        assert result.shape == (15, WIDTH)
        close(result, expected[layer][0], 1e-5)
    close(Wav2Vec2View(bundle, download_root=root).extract(clip), output[0], 1e-5)
    mix = Wav2Vec2View(bundle, "mix", download_root=root).extract(clip)
    assert mix.shape == (LAYERS + 1, 15, WIDTH)
    close(mix, torch.cat(expected), 1e-5)
    assert np.abs(mix[1] - mix[2]).max() > 0.1


@pytest.mark.parametrize("kind", ["group", "layer"])
def test_equal_to_transformers(kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=32,
        conv_dim=[8] * 7, conv_bias=kind == "layer", feat_extract_norm=kind,
        do_stable_layer_norm=kind == "layer", num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    reference = transformers.Wav2Vec2Model(config).eval()
    with torch.no_grad():
        for weight in reference.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model = Wav2Vec2(import_huggingface_model(reference).eval())
    clip = torch.from_numpy(noise(4000))[None]
    with torch.no_grad():
        expected = reference(clip, output_hidden_states=True)
        mix, counts = wav2vec2_features(model, clip, layer="mix")
        output, _ = wav2vec2_features(model, clip)
    assert counts.tolist() == [12]
    close(output, expected.last_hidden_state)
    close(mix, torch.stack(expected.hidden_states, dim=1))


@settings(max_examples=10, deadline=None)
@given(st.integers(400, 6000))
def test_number_of_frames(samples: int) -> None:
    model = wav2vec2._shared(wav2vec2_sources.find_untrained(LARGE, 0))
    assert (model.receptive_field, model.hop, model.dimension) == (400, 320, WIDTH)
    frames = (samples - 400) // 320 + 1
    assert model.frames(samples) == frames
    assert Wav2Vec2View.random(LARGE).extract(noise(samples)).shape == (frames, WIDTH)


def test_pooled_is_the_mean_over_time(root: Path) -> None:
    clip = noise(4000)
    for layer, shape in ((2, (WIDTH,)), ("mix", (LAYERS + 1, WIDTH))):
        frames = Wav2Vec2View(BASE, layer, download_root=root).extract(clip)
        pooled = Wav2Vec2View(BASE, layer, pooled=True, download_root=root).extract(clip)
        assert pooled.shape == shape
        close(pooled, frames.mean(axis=-2), 1e-6)


# ------------------------------------------------------------------------------------ batches


LENGTHS = (5000, 400, 3217, 5000)


@pytest.mark.parametrize("layer", [0, 2, "output", "mix"])
@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_clip_is_the_same_in_any_batch(
    bundle: Wav2Vec2Bundle, layer: int | str, root: Path
) -> None:
    model = Wav2Vec2.load(bundle, download_root=root)
    batch = torch.full((len(LENGTHS), 6000), torch.nan)  # nothing behind a clip's end is read
    clips = [noise(samples, seed) for seed, samples in enumerate(LENGTHS)]
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    with torch.inference_mode():
        states, counts = wav2vec2_features(model, batch, torch.tensor(LENGTHS), layer)
    assert counts.tolist() == [15, 1, 9, 15]
    view = Wav2Vec2View(bundle, layer, download_root=root)
    for row, count, clip in zip(states, counts, clips, strict=True):
        close(row[..., :count, :], view.extract(clip))
        assert not row[..., count:, :].any()


@pytest.mark.parametrize("bundle", [BASE, LARGE])
def test_torchaudio_alone_would_let_clips_leak(bundle: Wav2Vec2Bundle, root: Path) -> None:
    batch = torch.zeros(2, 5000)
    batch[0, :900], batch[1] = torch.from_numpy(noise(900)), torch.from_numpy(noise(5000, 1))
    with torch.no_grad():
        states, _ = torchaudios_own(bundle, root)(batch, torch.tensor([900, 5000]))
    alone = Wav2Vec2View(bundle, download_root=root).extract(noise(900))
    assert np.abs(states[0, :2].numpy() - alone).max() > 0.01


@pytest.mark.parametrize("bundle", BUNDLES)
def test_clips_of_one_length_need_no_padding(bundle: Wav2Vec2Bundle, root: Path) -> None:
    clips = np.stack([noise(2000, seed) for seed in range(3)])
    with torch.inference_mode():
        model = Wav2Vec2.load(bundle, download_root=root)
        states, counts = wav2vec2_features(model, torch.from_numpy(clips))
    assert counts.tolist() == [6, 6, 6]
    close(states, np.stack([Wav2Vec2View(bundle, download_root=root).extract(c) for c in clips]))


def test_it_can_be_trained() -> None:
    model = Wav2Vec2.random(LARGE)
    waveforms = torch.from_numpy(np.stack([noise(1000), noise(1000, 1)]))
    states, _ = wav2vec2_features(model, waveforms, torch.tensor([1000, 700]))
    states.square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and bool(weight.grad.isfinite().all()), name


@pytest.mark.parametrize(
    ("waveforms", "lengths", "message"),
    [
        (torch.zeros(500), None, r"\(500,\)"),
        (torch.zeros(0, 500), None, r"\(0, 500\)"),
        (torch.zeros(2, 500, dtype=torch.long), None, "int64"),
        (torch.zeros(2, 500), torch.tensor([500]), "lengths must be 2 numbers"),
        (torch.zeros(2, 500), torch.tensor([500, 501]), "up to 500"),
    ],
)
def test_batches_that_do_not_fit(waveforms: Tensor, lengths: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wav2vec2_features(Wav2Vec2.random(LARGE), waveforms, lengths)


# -------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_too_short(samples: int) -> None:
    with pytest.raises(AudioError, match=rf"{samples} samples is too short.*400 \(0\.025 s\)"):
        Wav2Vec2View.random(BASE).extract(noise(samples))


@pytest.mark.parametrize("bundle", BUNDLES)
def test_the_shortest_clip_and_silence_are_finite(bundle: Wav2Vec2Bundle) -> None:
    view = Wav2Vec2View.random(bundle)
    assert np.isfinite(view.extract(noise(400))).all()
    assert np.isfinite(view.extract(np.zeros(800, np.float32))).all()
    nano = Wav2Vec2View.random("nano")
    assert np.isfinite(nano.extract(np.zeros(800, np.float32))).all()


def test_not_finite_and_stereo_are_refused() -> None:
    view, clip = Wav2Vec2View.random(BASE), noise(800)
    with pytest.raises(ValueError, match=r"\(2, 800\)"):
        view.extract(np.stack([clip, clip]))
    clip[7] = np.nan
    with pytest.raises(AudioError, match="NaN"):
        view.extract(clip)


@pytest.mark.parametrize("layer", [-1, LAYERS + 1, True, 1.0, "last", None])
def test_layers_that_are_not_there(layer: Any) -> None:
    with pytest.raises(ValueError, match="layer must be 0 to 3, 'output' or 'mix'"):
        Wav2Vec2View.random(BASE, layer=layer)


def test_unknown_models() -> None:
    assert {"nano", "WAV2VEC2_BASE", "HUBERT_BASE", "WAVLM_LARGE"} <= set(known_names())
    for make in (Wav2Vec2View, Wav2Vec2View.random):
        with pytest.raises(ValueError, match="'WAV2VEC2_HUGE'; known: nano, HUBERT_ASR_LARGE"):
            make("WAV2VEC2_HUGE")
    with pytest.raises(ValueError, match="8000 Hz"):
        Wav2Vec2View(replace(BASE, _sample_rate=8000))
    with pytest.raises(ValueError, match="normalisation"):
        Wav2Vec2(Wav2Vec2.random(BASE).model, "peak")


# ------------------------------------------------------------------------- view, random, cache


def test_is_a_view_and_crosses_processes(root: Path) -> None:
    assert lowser_lib.views.Wav2Vec2View is Wav2Vec2View
    for view in (Wav2Vec2View(LARGE, 1, download_root=root), Wav2Vec2View.random(LARGE, seed=1)):
        assert isinstance(view, View)
        view.extract(noise(800))
        stored = pickle.dumps(view)
        assert len(stored) < 5000  # not the weights: each process reads them once
        copy = pickle.loads(stored)
        assert copy.settings == view.settings
        assert wav2vec2._shared(copy.source) is wav2vec2._shared(view.source)
        np.testing.assert_array_equal(copy.extract(noise(800)), view.extract(noise(800)))


def test_random_weights_are_a_function_of_the_seed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    left, same, other = (Wav2Vec2.random(BASE, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)  # nobody else's random numbers were used
    name = "model.encoder.feature_projection.projection.weight"
    assert torch.equal(left[name], same[name])
    assert not torch.equal(left[name], other[name])
    assert not Wav2Vec2.random(BASE).pretrained
    assert "untrained: random weights (seed 0)" in Wav2Vec2.random(BASE).description


def test_settings_hold_all_that_changes_the_result(root: Path) -> None:
    weights = published(BASE)
    other = {name: 2 * weight for name, weight in weights.items()}
    (root / "other").mkdir()
    torch.save(other, root / "other" / "base.pth")
    views = [
        Wav2Vec2View(BASE, download_root=root),
        Wav2Vec2View(BASE, download_root=root / "other"),
        Wav2Vec2View(BASE, 1, download_root=root),
        Wav2Vec2View(BASE, "mix", download_root=root),
        Wav2Vec2View(BASE, pooled=True, download_root=root),
        Wav2Vec2View.random(BASE),
        Wav2Vec2View.random(BASE, seed=1),
        Wav2Vec2View.random(LARGE),
        Wav2Vec2View.random("WAV2VEC2_BASE"),
    ]
    loud = replace(BASE, _normalize_waveform=not BASE._normalize_waveform)  # the same file
    views.append(Wav2Vec2View(loud, download_root=root))
    assert len({view_folder(view, root) for view in views}) == len(views)
    part = hashlib.sha256((root / "base.pth").read_bytes()).hexdigest()
    assert views[0].settings["weights"] == part


def test_cache_round_trip(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        clip = np.clip(noise(900 + 400 * number, number), -1, 1)
        soundfile.write(root / f"{number}.wav", clip, 16000, subtype="PCM_16")
    manifest = pd.DataFrame({"path": [f"{number}.wav" for number in range(3)]})
    view = Wav2Vec2View(BASE, "mix", download_root=root)
    cold = extract_all(view, manifest, [root], root / "cache")
    assert [array.shape for array in cold] == [(4, frames, WIDTH) for frames in (2, 3, 5)]
    np.testing.assert_array_equal(cold[1], view.extract(load_audio(root / "1.wav")))
    monkeypatch.setattr(wav2vec2, "_shared", None)  # a warm read builds no model
    warm = extract_all(view, manifest, [root], root / "cache")
    for first, second in zip(cold, warm, strict=True):
        np.testing.assert_array_equal(first, second)


# ------------------------------------------------------------------------ published weights


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server(root: Path) -> Iterator[str]:
    """Address of a local HTTP server of the three weights' files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    handler = functools.partial(Quiet, directory=str(root))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


#: Nothing listens on port 9 (discard) of this machine.
NO_NETWORK = "http://127.0.0.1:9/base.pth"


def test_a_published_name_is_fetched_once(
    server: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchaudio.pipelines, "WAV2VEC2_LARGE_LV60K", LARGE)
    kept, sha256 = root / "kept", hashlib.sha256((root / "large.pth").read_bytes()).hexdigest()
    view = Wav2Vec2View(
        "WAV2VEC2_LARGE_LV60K", download_root=kept, address=f"{server}/large.pth", sha256=sha256
    )
    assert [file.name for file in kept.iterdir()] == ["large.pth"]
    assert view.settings["model"] == "WAV2VEC2_LARGE_LV60K"
    assert view.source.normalisation == "layer_norm"
    again = Wav2Vec2View("WAV2VEC2_LARGE_LV60K", download_root=kept, address=NO_NETWORK)
    assert again.settings == view.settings
    with torch.no_grad():
        expected, _ = torchaudios_own(LARGE, root)(torch.from_numpy(noise(900))[None])
    close(view.extract(noise(900)), expected[0], 1e-5)
    assert Wav2Vec2.load("WAV2VEC2_LARGE_LV60K", download_root=kept).pretrained


def test_a_bundle_for_recognition_gives_its_states(tmp_path: Path) -> None:
    bundle = Wav2Vec2ASRBundle(
        "asr.pth", sizes("group_norm", aux_num_out=4), 16000, False, "Wav2Vec2", ("a", "b", "c")
    )
    state = published(replace(bundle, _params=sizes("group_norm", aux_num_out=7)))
    torch.save(state, tmp_path / "asr.pth")  # three rows too many, as in the published files
    view = Wav2Vec2View(bundle, download_root=tmp_path)
    assert view.extract(noise(900)).shape == (2, WIDTH)


def test_what_has_the_wrong_hash_is_not_kept(server: str, root: Path) -> None:
    kept, wrong = root / "kept", "a" * 64
    with pytest.raises(CheckpointError, match=r"base\.pth: what came back has not the SHA-256 aaa"):
        Wav2Vec2View(BASE, download_root=kept, address=f"{server}/base.pth", sha256=wrong)
    assert list(kept.iterdir()) == []
    with pytest.raises(CheckpointError, match="lies there, but has another hash"):
        Wav2Vec2View(BASE, download_root=root, address=NO_NETWORK, sha256=wrong)


def test_a_missing_page_is_named(server: str, root: Path) -> None:
    with pytest.raises(CheckpointError, match=r"could not be fetched \(HTTPError\)"):
        Wav2Vec2View(BASE, download_root=root / "kept", address=f"{server}/elsewhere.pth")


def test_a_download_that_breaks_off_is_not_kept(tmp_path: Path) -> None:
    class Breaking(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half of it")

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}/base.pth"
        with pytest.raises(CheckpointError, match="could not be fetched"):
            Wav2Vec2View(BASE, download_root=tmp_path, address=address)
        running.shutdown()
    assert list(tmp_path.iterdir()) == []


def test_without_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        Wav2Vec2View(BASE, download_root=tmp_path, address=NO_NETWORK)
    for piece in ("base.pth", str(tmp_path / "base.pth"), NO_NETWORK, "LOWSER_HOME", "'nano'"):
        assert piece in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-500])


def flip(path: Path) -> None:
    """Change one weight, which PyTorch itself would read without a word."""
    content = bytearray(path.read_bytes())
    weight = published(BASE)["encoder.feature_projection.projection.weight"].numpy().tobytes()
    content[content.index(weight) + 3] ^= 1
    path.write_bytes(content)


def save_with(**changed: Any) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        weights = {**published(BASE), **changed}
        torch.save({name: weight for name, weight in weights.items() if weight is not None}, path)

    return save


PROJECTION = "encoder.feature_projection.projection.bias"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "delete it, so that it is fetched again"),
        (lambda path: path.write_bytes(b"a page that says no"), "cannot be read"),
        (flip, "wrong checksum"),
        (save_with(**{PROJECTION: None}), f"Missing key.*{PROJECTION}"),
        (save_with(**{PROJECTION: torch.zeros(3)}), "size mismatch"),
        (save_with(**{PROJECTION: torch.full((WIDTH,), torch.nan)}), "NaN"),
        (lambda path: torch.save({"code": Wav2Vec2View}, path), "UnpicklingError"),
    ],
)
def test_damaged_weights_are_named(
    damage: Callable[[Path], None], message: str, root: Path
) -> None:
    damage(root / "base.pth")
    with pytest.raises(CheckpointError, match=rf"(?s)base\.pth.*{message}"):
        Wav2Vec2View(BASE, download_root=root).extract(noise(800))


def test_a_file_that_changes_under_a_view_is_noticed(root: Path) -> None:
    view = Wav2Vec2View(BASE, download_root=root)
    save_with(**{PROJECTION: torch.ones(WIDTH)})(root / "base.pth")
    with pytest.raises(CheckpointError, match="it has changed since"):
        view.extract(noise(800))


# -------------------------------------------------------------------------------------- nano


def test_nano_loads_or_says_that_there_are_no_weights_yet() -> None:
    card = wav2vec2_sources.nano_card()
    shipped = (wav2vec2_sources.NANO_FOLDER / "wav2vec2_nano.safetensors").is_file()
    assert (card["sha256"] is not None) == shipped
    if shipped:
        assert np.isfinite(Wav2Vec2View("nano").extract(noise(800))).all()
    else:
        with pytest.raises(CheckpointError, match=r"no weights.*shipped yet.*Wav2Vec2View\.random"):
            Wav2Vec2View("nano")
    control = Wav2Vec2View.random("nano")
    assert control.extract(noise(800)).shape == (2, card["dims"]["encoder_embed_dim"])
    parameters = sum(weight.numel() for weight in Wav2Vec2.random("nano").parameters())
    assert 2 * parameters < 6_000_000


@pytest.fixture
def nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trained weights as they will be shipped: float16."""
    weights = {
        name: weight.half() for name, weight in Wav2Vec2.random(LARGE, 9).model.state_dict().items()
    }
    file = tmp_path / "wav2vec2_nano.safetensors"
    safetensors.torch.save_file(weights, file)
    announce(file)
    monkeypatch.setattr(wav2vec2_sources, "NANO_FOLDER", tmp_path)
    return file


def announce(file: Path, dims: object = LARGE._params) -> None:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    card = {"dims": dims, "description": "trained", "sha256": sha256}
    file.with_suffix(".json").write_text(json.dumps(card))


def test_trained_nano_weights_load(nano: Path) -> None:
    model, expected = Wav2Vec2.load("nano"), Wav2Vec2.random(LARGE, 9)
    assert model.pretrained and not model.training
    assert model.normalisation == "unit_variance"
    for name, weight in model.state_dict().items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, expected.state_dict()[name], rtol=1e-3, atol=1e-6)
    view = Wav2Vec2View("nano")
    assert view.settings["weights"] == hashlib.sha256(nano.read_bytes()).hexdigest()
    # A louder clip with an offset is the same clip.
    close(view.extract(noise(900)), view.extract(3 * noise(900) + 0.5))


def other_weights(path: Path) -> None:
    path.write_bytes(safetensors.torch.save({"weight": torch.zeros(1)}))
    announce(path)


def not_safetensors(path: Path) -> None:
    path.write_bytes(b"not safetensors")
    announce(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "not the weights that wav2vec2_nano.json announces"),
        (lambda path: path.unlink(), "no such file; install LowSER again"),
        (lambda path: path.with_suffix(".json").unlink(), "json: missing or damaged"),
        (lambda path: path.with_suffix(".json").write_text("{"), "json: missing or damaged"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "json: missing or damaged"),
        (lambda path: path.with_suffix(".json").write_text("{}"), "json: missing or damaged"),
        (lambda path: announce(path, {}), "json: `dims`"),
        (lambda path: announce(path, []), "json: `dims`"),
        (lambda path: announce(path, {"encoder_num_layers": 3}), "do not describe a model"),
        (other_weights, "does not hold the weights of such a model"),
        (not_safetensors, "not a safetensors file"),
    ],
)
def test_a_damaged_nano_is_never_replaced_in_silence(
    nano: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(nano)
    with pytest.raises(CheckpointError, match=message):
        Wav2Vec2View("nano").extract(noise(800))
