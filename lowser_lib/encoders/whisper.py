"""The Whisper encoder, fitted to short clips of different lengths.

OpenAI's encoder (Radford et al. 2023) always reads 30 s: shorter clips are padded, and most of the
work is spent on silence. :class:`WhisperEncoder` uses the same modules and weights, but

* crops the positions to the clip, as Gong et al. 2025 (arXiv 2506.02059) do;
* hides padding wherever it could leak from one clip of a batch into another: before the first
  convolution, between the two, and as keys of self-attention;
* averages over a clip's own frames only.

So a clip's embedding does not depend on what shares its batch.

On its way from one stage of training to the next an encoder is written to a file in OpenAI's format
(:func:`save_encoder`), which :meth:`WhisperEncoder.load` reads as it reads any other; beside the
weights lie notes on how they came about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from whisper.model import AudioEncoder

from lowser_lib import files
from lowser_lib.encoders import checkpoints
from lowser_lib.encoders.checkpoints import PREFIX, Checkpoint, EncoderDimensions
from lowser_lib.errors import CheckpointError

#: The parts that can be frozen: the two convolutions; the positions; the transformer blocks with
#: the normalisation behind them. All three together make a frozen probe.
FREEZABLE = ("conv", "positions", "blocks")


class WhisperEncoder(nn.Module):
    """Log-mel spectrograms to frame states, and to one embedding a clip.

    Attributes:
        encoder: OpenAI's ``AudioEncoder``, so that weights have the names they have in OpenAI's
            checkpoints (``encoder.conv1.weight``, ...).
        dimension: width D of a state and of an embedding.
        n_mels: mel bands of the input.
        max_frames: longest input, in frames of 10 ms; 3000 are 30 s.
        frozen: the names of the frozen parts.
        pretrained: whether the weights were learned from speech.
        description: one sentence that says where the weights come from.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        freeze: Sequence[str] = ("conv", "positions"),
        *,
        pretrained: bool = False,
        description: str = "a Whisper encoder of unknown origin",
    ) -> None:
        """Take over OpenAI's encoder with the weights it has.

        Args:
            encoder: openai-whisper's encoder; it is used, not copied.
            freeze: parts that shall not be trained, from :data:`FREEZABLE`. The default is that of
                Gong et al. 2025. Positions that are not frozen become a trained parameter.
            pretrained: whether the weights were learned from speech.
            description: where the weights come from.

        Raises:
            ValueError: ``freeze`` names an unknown part.
        """
        super().__init__()
        if isinstance(freeze, str) or not set(freeze) <= set(FREEZABLE):
            raise ValueError(f"freeze must be a tuple of names from {FREEZABLE}, not {freeze!r}")
        self.encoder = encoder
        self.dimension: int = encoder.conv2.out_channels
        self.n_mels: int = encoder.conv1.in_channels
        self.max_frames: int = 2 * len(encoder.positional_embedding)
        self.pretrained = pretrained
        self.description = description
        self.frozen = tuple(part for part in FREEZABLE if part in freeze)
        self._freeze()

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        freeze: Sequence[str] = ("conv", "positions"),
        layers: int | None = None,
        *,
        seed: int = 0,
        download_root: Path | None = None,
        addresses: Mapping[str, str] | None = None,
    ) -> WhisperEncoder:
        """Load an encoder by name, from a file or from a folder.

        Args:
            name_or_path: ``"nano"`` (comes with LowSER), an OpenAI name (``"small.en"``; looked for
                in ``LOWSER_HOME/checkpoints``, else fetched there), a checkpoint file in OpenAI's
                format, whose encoder suffices, or a Hugging Face folder (``config.json``,
                ``model.safetensors``).
            freeze: parts that shall not be trained; see :class:`WhisperEncoder`.
            layers: transformer blocks to keep, the first ones, at least 1; None keeps all.
            seed: draws the weights of an encoder that has none yet.
            download_root: folder for fetched checkpoints; see :func:`checkpoints.find`.
            addresses: name -> URL; see :func:`checkpoints.find`.

        Returns:
            The encoder, float32, on the CPU.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, of another format, or could not
                be fetched; the message says what to do.
            ValueError: ``freeze`` names an unknown part, or there are not that many ``layers``.
        """
        checkpoint = checkpoints.read(name_or_path, download_root, addresses)
        return cls.from_checkpoint(checkpoint, freeze, seed=seed).keep_layers(layers)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        freeze: Sequence[str] = ("conv", "positions"),
        *,
        seed: int = 0,
    ) -> WhisperEncoder:
        """Build the encoder that a checkpoint describes; arguments as in :meth:`load`.

        Raises:
            CheckpointError: the weights do not fit the dimensions, or are not numbers.
            ValueError: ``freeze`` names an unknown part.
        """
        if checkpoint.weights is None:
            encoder = cls.random(checkpoint.dimensions, seed, freeze)
            encoder.description = (
                f"{checkpoint.description}; untrained: random weights (seed {seed})"
            )
            return encoder
        audio_encoder = _unset_encoder(checkpoint.dimensions)
        _copy(audio_encoder, checkpoint)
        return cls(audio_encoder, freeze, pretrained=True, description=checkpoint.description)

    @classmethod
    def random(
        cls,
        dimensions: str | EncoderDimensions,
        seed: int,
        freeze: Sequence[str] = ("conv", "positions"),
    ) -> WhisperEncoder:
        """Build an encoder with random weights: the yardstick of pre-training.

        Args:
            dimensions: the shape, or the name or file of an encoder that has it (``"small.en"``).
            seed: fixes the weights; no other source of randomness is read or changed.
            freeze: parts that shall not be trained; see :class:`WhisperEncoder`.

        Raises:
            CheckpointError: the file is damaged or of another format.
            ValueError: the name, or a part to freeze, is not known.
        """
        shape = f"{Path(dimensions).name} shape" if isinstance(dimensions, str) else "own shape"
        if isinstance(dimensions, str):
            dimensions = checkpoints.dimensions_of(dimensions)
        audio_encoder = _unset_encoder(dimensions)
        _draw(audio_encoder, torch.Generator().manual_seed(seed))
        description = f"Whisper encoder, {shape}; untrained: random weights (seed {seed})"
        return cls(audio_encoder, freeze, pretrained=False, description=description)

    def forward(self, mel: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """Frame states of a batch of clips.

        Args:
            mel: ``(B, n_mels, T)``, padded at the end to the longest clip; what the padding holds
                does not matter. ``T`` is at most :attr:`max_frames`.
            lengths: ``(B,)``, frames of each clip, 1 to ``T``; None: every clip has ``T``.

        Returns:
            ``(B, ceil(T / 2), D)``, one state every 20 ms; zero behind a clip's end.

        Raises:
            ValueError: a shape or length is wrong, or a clip is longer than :attr:`max_frames`.
        """
        *_, last = self.layer_states(mel, lengths)
        return last

    def layer_states(
        self, mel: Tensor, lengths: Tensor | Sequence[int] | None = None
    ) -> Iterator[Tensor]:
        """Frame states after every layer, in turn.

        Args:
            mel: as in :meth:`forward`.
            lengths: as in :meth:`forward`.

        Yields:
            L + 2 tensors of the shape that :meth:`forward` returns, zero behind a clip's end: what
            goes into the first block; what comes out of each of the L blocks; and that of the last
            block, normalised, which is what :meth:`forward` returns.

        Raises:
            ValueError: as :meth:`forward`.
        """
        padding = self._padding(mel, lengths)  # (B, T)
        mel = mel.to(self.encoder.conv1.weight.dtype).masked_fill(padding[:, None, :], 0.0)
        # Each convolution looks one frame ahead. A clip by itself finds zeros behind its end there,
        # so in a batch it must find zeros, too; after the first one padding is no longer zero.
        states = F.gelu(self.encoder.conv1(mel)).masked_fill(padding[:, None, :], 0.0)
        states = F.gelu(self.encoder.conv2(states)).transpose(1, 2)
        states = states + self.encoder.positional_embedding[: states.shape[1]]  # cropped

        hidden = padding[:, ::2, None]  # state j covers frames 2j and 2j + 1: padding if 2j is
        # (B, heads, queries, keys): True may be looked at. Attention is faster without a mask.
        keys = ~padding[:, None, None, ::2] if bool(padding.any()) else None
        yield states.masked_fill(hidden, 0.0)
        for block in self.encoder.blocks:
            # OpenAI's own forward has no way to hide padding: its encoder never sees any.
            normalised, heads = _normalised(block.attn_ln, states), (block.attn.n_head, -1)
            query, key, value = (
                project(normalised).unflatten(-1, heads).transpose(1, 2)
                for project in (block.attn.query, block.attn.key, block.attn.value)
            )
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=keys)
            states = states + block.attn.out(mixed.transpose(1, 2).flatten(-2))
            states = states + block.mlp(_normalised(block.mlp_ln, states))
            yield states.masked_fill(hidden, 0.0)
        yield _normalised(self.encoder.ln_post, states).masked_fill(hidden, 0.0)

    def embed(self, mel: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """One embedding a clip: the average of its own frame states.

        Args:
            mel: as in :meth:`forward`.
            lengths: as in :meth:`forward`.

        Returns:
            ``(B, D)``.
        """
        *_, states = self.layer_states(mel, lengths)
        if lengths is None:
            lengths = [mel.shape[-1]] * len(mel)
        counts = (torch.as_tensor(lengths, device=states.device) + 1) // 2
        # States behind a clip's end are zero, so the sum runs over the clip alone.
        precise = torch.promote_types(states.dtype, torch.float32)
        return (states.sum(dim=1, dtype=precise) / counts[:, None]).to(states.dtype)

    def keep_layers(self, layers: int | None) -> WhisperEncoder:
        """Drop all transformer blocks but the first ones, in place.

        The normalisation behind the last block stays; it then follows the last block that is kept.

        Args:
            layers: how many to keep, at least 1; None keeps all.

        Returns:
            The encoder itself.

        Raises:
            ValueError: there are not that many.
        """
        depth = self.n_layers
        if layers is None:
            return self
        if isinstance(layers, bool) or not isinstance(layers, int) or not 1 <= layers <= depth:
            raise ValueError(
                f"layers must be from 1 to {depth}, as this encoder has, not {layers!r}"
            )
        if layers < depth:
            self.encoder.blocks = self.encoder.blocks[:layers]
            self.description += f"; the first {layers} of {depth} layers"
        return self

    @property
    def n_layers(self) -> int:
        """Number L of transformer blocks."""
        return len(self.encoder.blocks)

    def tensor_hash(self) -> str:
        """What this encoder is known by in records: see :func:`lowser_lib.files.tensor_hash`."""
        return files.tensor_hash(self.state_dict())

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that are not frozen, in a fixed order, for the optimiser."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def extra_repr(self) -> str:
        """Show origin and frozen parts when the module is printed."""
        return f"{self.description}, frozen={self.frozen}"

    def _padding(self, mel: Tensor, lengths: Tensor | Sequence[int] | None) -> Tensor:
        """Where a batch is padding, ``(B, T)`` bool."""
        if mel.ndim != 3 or mel.shape[1] != self.n_mels or 0 in mel.shape:
            raise ValueError(
                f"mel must have shape (clips, {self.n_mels}, frames), not {tuple(mel.shape)}"
            )
        frames = mel.shape[-1]
        if frames > self.max_frames:
            raise ValueError(
                f"a clip of {frames} frames ({frames / 100:.2f} s) is too long: this encoder has "
                f"positions for {self.max_frames} ({self.max_frames / 100:.2f} s); cut it, or keep "
                "long clips out of the manifest"
            )
        if lengths is None:
            lengths = [frames] * len(mel)
        ends = torch.as_tensor(lengths)
        if ends.shape != mel.shape[:1] or ends.is_floating_point():
            raise ValueError(f"lengths must hold {len(mel)} whole numbers, not {lengths!r}")
        values = ends.tolist()  # one transfer, should they lie on a GPU
        if min(values) < 1 or max(values) > frames:
            raise ValueError(f"lengths must lie between 1 and {frames} frames, not {values}")
        return torch.arange(frames, device=mel.device) >= ends.to(mel.device)[:, None]

    def _freeze(self) -> None:
        """Take the frozen parts out of training, and the positions, unless frozen, into it."""
        if "conv" in self.frozen:
            self.encoder.conv1.requires_grad_(False)
            self.encoder.conv2.requires_grad_(False)
        if "blocks" in self.frozen:
            self.encoder.blocks.requires_grad_(False)
            self.encoder.ln_post.requires_grad_(False)
        if "positions" not in self.frozen:
            positions = self.encoder.positional_embedding  # OpenAI's is a constant (a buffer)
            del self.encoder.positional_embedding
            self.encoder.positional_embedding = nn.Parameter(positions.clone())


def _normalised(layer: nn.LayerNorm, states: Tensor) -> Tensor:
    """Apply a layer normalisation in the precision of the states.

    openai-whisper's own module computes in float32, whatever it is given; float64 would fail.
    """
    return F.layer_norm(states, layer.normalized_shape, layer.weight, layer.bias, layer.eps)


def _unset_encoder(dimensions: EncoderDimensions) -> AudioEncoder:
    """OpenAI's encoder with its positions set and its weights still to be filled in.

    Returns:
        The encoder, float32, on the CPU; call :func:`_draw` or :func:`_copy` before using it.
    """
    with torch.device("meta"):  # shapes only: drawing weights that are replaced would waste time
        encoder = AudioEncoder(
            dimensions.n_mels,
            dimensions.n_audio_ctx,
            dimensions.n_audio_state,
            dimensions.n_audio_head,
            dimensions.n_audio_layer,
        )
    encoder = encoder.to_empty(device="cpu")
    encoder.positional_embedding.copy_(_sinusoids(dimensions.n_audio_ctx, dimensions.n_audio_state))
    return encoder


def _sinusoids(length: int, channels: int) -> Tensor:
    """openai-whisper's positions, in float64.

    In float32, as openai-whisper computes them, the last digit depends on the processor.

    Returns:
        ``(length, channels)``.
    """
    steps = torch.arange(channels // 2, dtype=torch.float64) / max(channels // 2 - 1, 1)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * 10_000.0**-steps
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _draw(encoder: AudioEncoder, generator: torch.Generator) -> None:
    """Fill in random weights, distributed as openai-whisper's own are before training.

    These are PyTorch's defaults: uniform within 1 / sqrt(inputs) for linear layers and
    convolutions, weights and biases alike; normalisations start as ones and zeros.
    """
    for module in encoder.modules():
        if isinstance(module, nn.Linear | nn.Conv1d):
            bound = module.weight[0].numel() ** -0.5
            for parameter in module.parameters(recurse=False):
                # In float32 the last digit would depend on the processor's vector width.
                drawn = torch.empty(parameter.shape, dtype=torch.float64)
                nn.init.uniform_(drawn, -bound, bound, generator=generator)
                parameter.data.copy_(drawn)
        elif isinstance(module, nn.LayerNorm):
            module.reset_parameters()


def _copy(encoder: AudioEncoder, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into the encoder, converted to float32.

    Args:
        encoder: what they are copied into.
        checkpoint: the weights; positions may be missing, being computed.

    Raises:
        CheckpointError: a weight is missing, unknown, of the wrong shape, or not a number.
    """
    given = dict(checkpoint.weights or {})
    target = {PREFIX + name: tensor for name, tensor in encoder.state_dict().items()}
    positions = PREFIX + "positional_embedding"
    given.setdefault(positions, target[positions])
    problems = [f"{name} is missing" for name in sorted(target.keys() - given.keys())]
    problems += [f"{name} is unknown" for name in sorted(given.keys() - target.keys())]
    for name in sorted(target.keys() & given.keys()):
        weight, wanted = given[name], tuple(target[name].shape)
        if not isinstance(weight, Tensor) or tuple(weight.shape) != wanted:
            shape = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
            problems.append(f"{name} is {shape}, not {wanted}")
        elif not weight.is_floating_point() or not bool(torch.isfinite(weight).all()):
            problems.append(f"{name} holds values that are not numbers")
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{checkpoint.source}: does not fit a Whisper encoder of its own dimensions: "
            f"{'; '.join(problems[:3])}{more}. The file is damaged: fetch it again"
        )
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(given[name])


def dimensions(encoder: WhisperEncoder) -> EncoderDimensions:
    """The sizes of an encoder at hand."""
    blocks = encoder.encoder.blocks
    return EncoderDimensions(
        n_mels=encoder.n_mels,
        n_audio_ctx=len(encoder.encoder.positional_embedding),
        n_audio_state=encoder.dimension,
        n_audio_head=blocks[0].attn.n_head,
        n_audio_layer=len(blocks),
    )


def fingerprint(encoder: WhisperEncoder) -> str:
    """SHA-256 of an encoder's weights and of which of them are frozen."""
    digest = hashlib.sha256(repr(encoder.frozen).encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_encoder(
    encoder: WhisperEncoder, path: Path, notes: Mapping[str, Any] | None = None
) -> None:
    """Write an encoder; the file is always whole, the old one or the new one.

    Args:
        encoder: on any device; it stays as it is.
        path: the file; its folder is made where it is missing.
        notes: plain values: how the weights came about.

    Raises:
        CheckpointError: it cannot be written; what was there stays.
    """
    state = encoder.encoder.state_dict()
    content = {
        "dims": asdict(dimensions(encoder)),
        "model_state_dict": {PREFIX + name: value.detach().cpu() for name, value in state.items()},
        "description": encoder.description,
        "notes": dict(notes or {}),
    }
    with files.whole_file(path, CheckpointError) as part:
        torch.save(content, part)


def load_encoder(path: Path, like: WhisperEncoder) -> tuple[WhisperEncoder, dict[str, Any]]:
    """Read an encoder of the same architecture as another's, with the same parts frozen.

    Args:
        path: a file that :func:`save_encoder` wrote.
        like: the encoder whose shape and frozen parts are expected; its weights do not matter.

    Returns:
        The encoder, float32, on the CPU; and the notes.

    Raises:
        CheckpointError: the file is missing, damaged, or holds an encoder of another architecture.
    """
    checkpoint = checkpoints.read_openai(path, f"Whisper encoder from the file {path.name}")
    expected = asdict(dimensions(like))
    stored = asdict(checkpoint.dimensions)
    differing = [
        f"{name} is {stored[name]}, not {value}"
        for name, value in expected.items()
        if stored[name] != value
    ]
    if differing:
        raise CheckpointError(
            f"{path} holds an encoder of another architecture ({', '.join(differing)}); train the "
            "first stage with this encoder, or go on from the one it was made from"
        )
    encoder = WhisperEncoder.from_checkpoint(checkpoint, like.frozen)
    content = torch.load(path, map_location="cpu", weights_only=True)
    encoder.description = str(content.get("description", encoder.description))
    return encoder, dict(content.get("notes", {}))
