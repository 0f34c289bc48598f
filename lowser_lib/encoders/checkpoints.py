"""Where an encoder's weights come from: shipped, published by OpenAI, a file, or a folder.

A :class:`Checkpoint` is what they have in common: the encoder's dimensions, its weights under
OpenAI's own names (``encoder.conv1.weight``, ...), and a sentence that says where they come from.
Only the encoder's part is kept; the decoder of a published model is left out.

A published name is looked for in a folder first, ``checkpoints`` in ``LOWSER_HOME``. What lies
there is known by its content, not by its file's name: by the SHA-256 that OpenAI published, or by
:func:`lowser_lib.files.tensor_hash` of the encoder's part, which half a checkpoint or a converted
one has, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import whisper
from torch import Tensor

from lowser_lib import files
from lowser_lib.errors import CheckpointError

#: The one place that says what ``nano`` is: ``nano.json`` and, once trained, ``nano.safetensors``.
NANO_FOLDER = Path(__file__).with_name("nano")
#: The start of an encoder weight's name in a checkpoint in OpenAI's format.
PREFIX = "encoder."
#: Hashes of published encoders' tensors, see :func:`lowser_lib.files.tensor_hash`.
TENSOR_HASHES: Mapping[str, str] = {
    "tiny.en": "5410399a36a2c3027f1f680c643fe8073c4085dedb1c0ae1601a3923eb2aaa41",
    "base": "f8ce0d19b3451c2f2a86df5383eadec266b3adc1a965849be502e8b187f9e05a",
}
#: OpenAI's name of a size -> its name in ``config.json``.
_SIZE_NAMES = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
}
#: Parts of a name in transformers -> OpenAI's; the longer ones first.
_NAME_PARTS = {
    r"^embed_positions\.weight$": "positional_embedding",
    r"^layer_norm\.": "ln_post.",
    r"^layers\.": "blocks.",
    r"\.self_attn_layer_norm\.": ".attn_ln.",
    r"\.final_layer_norm\.": ".mlp_ln.",
    r"\.self_attn\.q_proj\.": ".attn.query.",
    r"\.self_attn\.k_proj\.": ".attn.key.",
    r"\.self_attn\.v_proj\.": ".attn.value.",
    r"\.self_attn\.out_proj\.": ".attn.out.",
    r"\.fc1\.": ".mlp.0.",
    r"\.fc2\.": ".mlp.2.",
}
#: Where the encoder lies in what transformers saves: of the model for recognition, of the model
#: without its last layer, of an encoder by itself.
_PLACES = ("model.encoder.", "encoder.", "")


@dataclass(frozen=True)
class EncoderDimensions:
    """The sizes that fix a Whisper encoder's shape, under OpenAI's names.

    Attributes:
        n_mels: mel bands of the input.
        n_audio_ctx: positions, of 20 ms each; the longest clip. 1500 are 30 s.
        n_audio_state: width of a frame's state.
        n_audio_head: attention heads.
        n_audio_layer: transformer blocks.
    """

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{field.name} must be a positive whole number, not {value!r}")
        if self.n_audio_state % self.n_audio_head or self.n_audio_state % 2:
            raise ValueError(
                f"n_audio_state must be even and a multiple of n_audio_head={self.n_audio_head}, "
                f"not {self.n_audio_state}"
            )

    @classmethod
    def from_mapping(cls, dims: object, source: object) -> EncoderDimensions:
        """Read the sizes from a checkpoint's ``dims``; what describes the decoder is passed over.

        Args:
            dims: the mapping.
            source: the file it was found in, for the message.

        Raises:
            CheckpointError: it is no mapping, a size is missing, or a value makes no sense.
        """
        try:
            return cls(**{field.name: dims[field.name] for field in fields(cls)})  # type: ignore[index]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{source}: `dims` does not describe a Whisper encoder ({error!r}); "
                "give a checkpoint in OpenAI's format"
            ) from error


@dataclass(frozen=True)
class Checkpoint:
    """An encoder's dimensions and weights, and where they come from.

    Attributes:
        dimensions: the encoder's shape.
        weights: name -> tensor, names starting with ``encoder.``; None when nothing was trained.
        description: one sentence for people.
        source: the file, for messages.
    """

    dimensions: EncoderDimensions
    weights: dict[str, Tensor] | None
    description: str
    source: str


def _whisper(bands: int, width: int, heads: int, layers: int) -> EncoderDimensions:
    return EncoderDimensions(bands, 1500, width, heads, layers)


#: Encoder shapes of the published models (Radford et al. 2023, table 1; large-v3 and turbo: the
#: dimensions in OpenAI's files). English-only models (``.en``) have the shape of their sister.
PUBLISHED_DIMENSIONS: Mapping[str, EncoderDimensions] = {
    "tiny": _whisper(80, 384, 6, 4),
    "base": _whisper(80, 512, 8, 6),
    "small": _whisper(80, 768, 12, 12),
    "medium": _whisper(80, 1024, 16, 24),
    "large-v1": _whisper(80, 1280, 20, 32),
    "large-v2": _whisper(80, 1280, 20, 32),
    "large-v3": _whisper(128, 1280, 20, 32),
    "large": _whisper(128, 1280, 20, 32),
    "large-v3-turbo": _whisper(128, 1280, 20, 32),
    "turbo": _whisper(128, 1280, 20, 32),
}


def dimensions_of(name: str) -> EncoderDimensions:
    """The shape of an encoder, without its weights.

    Args:
        name: ``"nano"``, an OpenAI name such as ``"small.en"``, a checkpoint file in OpenAI's
            format, or a Hugging Face folder.

    Raises:
        CheckpointError: the file is damaged or of another format.
        ValueError: the name is not known, and there is no such file.
    """
    if name == "nano":
        return read_nano().dimensions
    try:
        return PUBLISHED_DIMENSIONS[name.removesuffix(".en")]
    except KeyError:
        if Path(name).exists():
            return read(name).dimensions
        raise ValueError(f"unknown encoder {name!r}; known: {', '.join(known_names())}") from None


def known_names() -> tuple[str, ...]:
    """The names that :func:`read` knows: ``nano`` and those that OpenAI published."""
    return ("nano", *whisper.available_models())


def read(
    name_or_path: str | Path,
    download_root: Path | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Read a checkpoint by name, fetching it if need be, or from a file or folder.

    Args:
        name_or_path: ``"nano"``, an OpenAI name, a file in OpenAI's format, or a Hugging Face
            folder. A name wins over a file of the same name; write ``./tiny`` for the file.
        download_root: folder that keeps published checkpoints; see :func:`find`.
        addresses: see :func:`find`.

    Raises:
        CheckpointError: it is missing, damaged, of another format, or could not be fetched.
    """
    if name_or_path == "nano":
        return read_nano()
    if name_or_path in known_names():
        return find(str(name_or_path), download_root, addresses)
    path = Path(name_or_path)
    if not path.is_dir() and not path.is_file():
        raise CheckpointError(
            f"{name_or_path}: neither a checkpoint file nor a folder nor a known name; "
            f"known: {', '.join(known_names())}"
        )
    return _read_path(path)


def _read_path(path: Path) -> Checkpoint:
    if path.is_dir():
        return read_folder(path)
    return read_openai(path, f"Whisper encoder from the file {path.name}")


def read_folder(folder: Path) -> Checkpoint:
    """Read the encoder's part of a model in Hugging Face's format, under OpenAI's names.

    A folder holds ``config.json`` and ``model.safetensors``. transformers splits OpenAI's names
    differently and calls the layers otherwise; the numbers are the same.

    Raises:
        CheckpointError: a file is missing, damaged or of another kind of model, or there are
            weights of two models.
    """
    card = folder / "config.json"
    remedy = "give a folder that transformers saved a Whisper model in, with model.safetensors"
    try:
        config = json.loads(card.read_text(encoding="utf-8"))
        kind = config["model_type"]
        sizes = {name: config[theirs] for name, theirs in _SIZE_NAMES.items() if theirs in config}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{card}: missing or damaged ({error!r}); {remedy}") from error
    if kind != "whisper":
        raise CheckpointError(
            f"{card}: describes a model of type {kind!r}, not 'whisper'; {remedy}"
        )
    stored = sorted(folder.glob("*.safetensors"))
    if len(stored) != 1:
        names = ", ".join(file.name for file in stored) or "none"
        raise CheckpointError(
            f"{folder}: needs the weights of one model, model.safetensors, and holds {names}; "
            "keep each model in a folder of its own"
        )
    try:
        stored_weights = safetensors.torch.load_file(stored[0])
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{stored[0]}: damaged ({error}); fetch it again") from error
    for place in _PLACES:
        if f"{place}conv1.weight" in stored_weights:
            weights = {}
            for name, tensor in stored_weights.items():
                if name.startswith(place):
                    name = name[len(place) :]
                    for theirs, ours in _NAME_PARTS.items():
                        name = re.sub(theirs, ours, name)
                    weights[PREFIX + name] = tensor
            dimensions = EncoderDimensions.from_mapping(sizes, card)
            description = f"Whisper encoder from the folder {folder.name}"
            return Checkpoint(dimensions, weights, description, str(folder))
    raise CheckpointError(f"{stored[0]}: holds no Whisper encoder; {remedy}")


def read_openai(path: Path, description: str) -> Checkpoint:
    """Read the encoder's part of a checkpoint in OpenAI's format.

    The format is a mapping with ``dims`` (sizes) and ``model_state_dict`` (weights). The file is
    read with ``weights_only=True``: a manipulated file cannot run code.

    Args:
        path: the file.
        description: where the weights come from, one sentence.

    Raises:
        CheckpointError: the file is missing, damaged, or of another format.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint file")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where it is damaged
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}); "
            "it is damaged or of another format: fetch it again"
        ) from error
    if not isinstance(content, Mapping) or not {"dims", "model_state_dict"} <= content.keys():
        raise CheckpointError(
            f"{path}: not a checkpoint in OpenAI's format, which holds `dims` and "
            "`model_state_dict`; files saved by other libraries have to be converted first"
        )
    dimensions = EncoderDimensions.from_mapping(content["dims"], path)
    state = content["model_state_dict"]
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: `model_state_dict` is no mapping of names to tensors")
    weights = {name: value for name, value in state.items() if str(name).startswith(PREFIX)}
    if not weights:
        raise CheckpointError(
            f"{path}: holds no encoder (no weight is called `{PREFIX}...`); give the whole "
            "checkpoint, or the encoder's part of it"
        )
    return Checkpoint(dimensions, weights, description, str(path))


def nano_card(folder: Path = NANO_FOLDER) -> dict[str, Any]:
    """What is known of the small encoder, see :func:`lowser_lib.files.read_card`."""
    return files.read_card(folder / "nano.json", CheckpointError)


def read_nano(folder: Path = NANO_FOLDER) -> Checkpoint:
    """Read the small encoder that comes with LowSER.

    Positions may be left out of the weights: they are the sinusoids of Vaswani et al. 2017, section
    3.5, which the encoder computes by itself.

    Args:
        folder: the folder that holds ``nano.json`` and ``nano.safetensors``.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not the announced ones.
    """
    card, file = folder / "nano.json", folder / "nano.safetensors"
    content = nano_card(folder)
    dims, description, sha256 = content["dims"], content["description"], content["sha256"]
    dimensions = EncoderDimensions.from_mapping(dims, card)
    if sha256 is None:
        return Checkpoint(dimensions, None, description, str(card))
    weights = files.read_safetensors(file, CheckpointError, files.REINSTALL, sha256)
    return Checkpoint(dimensions, weights, description, str(file))


def find(
    name: str,
    download_root: Path | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Find a published encoder in a folder, or fetch it there.

    Args:
        name: an OpenAI name such as ``"small.en"``.
        download_root: folder that keeps checkpoints; by default ``checkpoints`` in
            :func:`lowser_lib.files.home`.
        addresses: name -> URL, whose last part but one is the file's SHA-256; by default
            openai-whisper's own table.

    Returns:
        The checkpoint; its description says whether the file or its encoder was known.

    Raises:
        CheckpointError: a file of that name has other weights; there is no network; or what came
            back is not what OpenAI published. A file that was there stays as it is.
    """
    url = (whisper._MODELS if addresses is None else addresses)[name]
    sha256, file_name = url.split("/")[-2:]
    root = files.home() / "checkpoints" if download_root is None else download_root
    strangers = []
    for path in _candidates(root, file_name):
        named = path.name == file_name
        if named and path.is_file() and files.sha256(path) == sha256:
            return read_openai(path, f"Whisper {name}, as published by OpenAI")
        if (part := _of_shape(path, PUBLISHED_DIMENSIONS[name.removesuffix(".en")])) is not None:
            if path.is_file() and not named and files.sha256(path) == sha256:
                return replace(part, description=f"Whisper {name}, as published by OpenAI")
            if files.tensor_hash(part.weights or {}) == TENSOR_HASHES.get(name):
                known = f"Whisper {name}, the encoder as published by OpenAI"
                return replace(part, description=known)
        if named:
            strangers.append(path)
    if strangers:
        raise CheckpointError(
            f"Whisper {name}: {strangers[0]} lies there, but it is damaged or holds other weights "
            f"than OpenAI published (SHA-256 {sha256}). Move it away and run again, and it is "
            "fetched; or give the file itself instead of the name"
        )
    half = ", or its encoder's part under any name ending in .pt" if name in TENSOR_HASHES else ""
    path = files.fetch(f"Whisper {name}", url, root / file_name, sha256, CheckpointError, half)
    return read_openai(path, f"Whisper {name}, as published by OpenAI")


def held(download_root: Path) -> dict[str, str]:
    """The published encoders that lie in a folder, without reading more than is needed.

    Args:
        download_root: the folder; it need not exist.

    Returns:
        Name of the encoder -> name of the file or folder that holds it, and for what is not known
        the name of the file -> why.
    """
    names = {tensors: name for name, tensors in TENSOR_HASHES.items()}
    names |= {url.split("/")[-2]: name for name, url in reversed(whisper._MODELS.items())}
    answer = {}
    for path in _candidates(download_root, ""):
        try:
            part = _read_path(path)
        except CheckpointError as error:
            answer[path.name] = f"cannot be used ({error})"
            continue
        known = names.get(files.tensor_hash(part.weights or {}))
        known = known or (names.get(files.sha256(path)) if path.is_file() else None)
        answer[known or path.name] = path.name if known else "no published encoder that is known"
    return answer


def _of_shape(path: Path, dimensions: EncoderDimensions) -> Checkpoint | None:
    """Read a checkpoint if it can be read and has this shape."""
    try:
        part = _read_path(path)
    except CheckpointError:
        return None
    return part if part.dimensions == dimensions else None


def _candidates(root: Path, file_name: str) -> Iterator[Path]:
    """Checkpoints of a folder, the one of a published name first."""
    places = sorted(root.iterdir()) if root.is_dir() else []
    for path in sorted(places, key=lambda place: place.name != file_name):
        if (path.suffix == ".pt" and path.is_file()) or (path / "config.json").is_file():
            yield path
