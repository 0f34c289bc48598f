"""Where an encoder's weights come from: shipped, published by OpenAI, or a file.

A :class:`Checkpoint` is what the three have in common: the encoder's dimensions, its weights under
OpenAI's own names (``encoder.conv1.weight``, ...), and a sentence that says where they come from.
Only the encoder's part is kept; the decoder of a published model is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import itemgetter
from pathlib import Path
from typing import Any

import pooch
import safetensors.torch
import torch
import whisper
from torch import Tensor

from lowser_lib.errors import CheckpointError

#: The one place that says what ``nano`` is: ``nano.json`` and, once trained, ``nano.safetensors``.
NANO_FOLDER = Path(__file__).with_name("nano")
#: The start of an encoder weight's name in a checkpoint in OpenAI's format.
PREFIX = "encoder."


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
        name: ``"nano"``, an OpenAI name such as ``"small.en"``, or a checkpoint file in OpenAI's
            format.

    Raises:
        CheckpointError: the file is damaged or of another format.
        ValueError: the name is not known, and there is no such file.
    """
    if name == "nano":
        return read_nano().dimensions
    try:
        return PUBLISHED_DIMENSIONS[name.removesuffix(".en")]
    except KeyError:
        if Path(name).is_file():
            return read_openai(Path(name), name).dimensions
        raise ValueError(f"unknown encoder {name!r}; known: {', '.join(known_names())}") from None


def known_names() -> tuple[str, ...]:
    """The names that :func:`read` knows: ``nano`` and those that OpenAI published."""
    return ("nano", *whisper.available_models())


def read(
    name_or_path: str | Path,
    download_root: Path | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Read a checkpoint by name, fetching it if need be, or from a file.

    Args:
        name_or_path: ``"nano"``, an OpenAI name, or a file in OpenAI's format. A name wins over
            a file of the same name; write ``./tiny`` for the file.
        download_root: folder that keeps published checkpoints; see :func:`fetch`.
        addresses: see :func:`fetch`.

    Raises:
        CheckpointError: it is missing, damaged, of another format, or could not be fetched.
    """
    if name_or_path == "nano":
        return read_nano()
    if name_or_path in known_names():
        name = str(name_or_path)
        path = fetch(name, download_root, addresses)
        return read_openai(path, f"Whisper {name}, as published by OpenAI")
    path = Path(name_or_path)
    if not path.is_file():
        raise CheckpointError(
            f"{name_or_path}: neither a checkpoint file nor a known name; "
            f"known: {', '.join(known_names())}"
        )
    return read_openai(path, f"Whisper encoder from the file {path.name}")


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
    return Checkpoint(dimensions, weights, description, str(path))


def nano_card(folder: Path = NANO_FOLDER) -> dict[str, Any]:
    """What is known of the small encoder: sizes, origin, and how it was trained.

    Args:
        folder: the folder that holds ``nano.json``.

    Returns:
        ``dims``, ``description`` and ``sha256``, see :func:`read_nano`; once trained also
        ``training``: settings, hours of speech, and phoneme error rates as shares of 1.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    card = folder / "nano.json"
    try:
        content: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        itemgetter("dims", "description", "sha256")(content)  # without them it is no card
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{card}: missing or damaged ({error!r}); install LowSER again (`make setup`)"
        ) from error
    return content


def read_nano(folder: Path = NANO_FOLDER) -> Checkpoint:
    """Read the small encoder that comes with LowSER.

    ``nano.json`` holds ``dims``, ``description``, and ``sha256``: the hash of ``nano.safetensors``,
    or null as long as no weights are shipped. Positions may be left out of the weights: they are
    the sinusoids of Vaswani et al. 2017, section 3.5, which the encoder computes by itself.

    Args:
        folder: the folder that holds the two files.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not the announced ones.
    """
    card, file = folder / "nano.json", folder / "nano.safetensors"
    remedy = "install LowSER again (`make setup`)"
    content = nano_card(folder)
    dims, description, sha256 = content["dims"], content["description"], content["sha256"]
    dimensions = EncoderDimensions.from_mapping(dims, card)
    if sha256 is None:
        return Checkpoint(dimensions, None, description, str(card))
    try:
        stored = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read ({error!r}); {remedy}") from error
    if hashlib.sha256(stored).hexdigest() != sha256:
        raise CheckpointError(f"{file}: not the weights that {card.name} announces; {remedy}")
    try:
        weights = safetensors.torch.load(stored)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{file}: not a safetensors file ({error}); {remedy}") from error
    return Checkpoint(dimensions, weights, description, str(file))


def fetch(
    name: str,
    download_root: Path | None = None,
    addresses: Mapping[str, str] | None = None,
) -> Path:
    """Fetch a published checkpoint, or find the copy that is already there.

    Args:
        name: an OpenAI name such as ``"small.en"``.
        download_root: folder that keeps checkpoints; by default ``checkpoints`` in LowSER's folder
            of the user's cache. A copy put there by hand is taken if its hash is right.
        addresses: name -> URL, whose last part but one is the file's SHA-256; by default
            openai-whisper's own table.

    Returns:
        The file, its SHA-256 verified.

    Raises:
        CheckpointError: there is no network, or what came back is not what OpenAI published. A
            file that arrived damaged is not kept.
    """
    addresses = whisper._MODELS if addresses is None else addresses
    if download_root is None:
        download_root = Path(pooch.os_cache("lowser")) / "checkpoints"
    url = addresses[name]
    sha256, file_name = url.split("/")[-2:]
    path = download_root / file_name
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{sha256}",
            fname=file_name,
            path=download_root,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except (OSError, ValueError) as error:  # pooch: ValueError for a wrong hash; network: OSError
        reason = (
            "what came back has not the SHA-256 that OpenAI published"
            if isinstance(error, ValueError) and "hash" in str(error)
            else f"it could not be fetched ({type(error).__name__})"
        )
        held = " A file of that name lies there, but it is damaged." if path.is_file() else ""
        raise CheckpointError(
            f"Whisper {name}: {reason}.{held} Without network, fetch {url} elsewhere and put it "
            f"at {path} (SHA-256 {sha256}; the chapters look in LOWSER_HOME/checkpoints), give the "
            "file itself instead of the name, or use 'nano', which needs no network"
        ) from error
    return path
