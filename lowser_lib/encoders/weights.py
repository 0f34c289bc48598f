"""Fill OpenAI's encoder with weights: drawn at random, or copied from a checkpoint."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from whisper.model import AudioEncoder

from lowser_lib.encoders.checkpoints import PREFIX, Checkpoint, EncoderDimensions
from lowser_lib.errors import CheckpointError


def unset_encoder(dimensions: EncoderDimensions) -> AudioEncoder:
    """OpenAI's encoder with its positions set and its weights still to be filled in.

    Returns:
        The encoder, float32, on the CPU; call :func:`draw` or :func:`copy` before using it.
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
    encoder.positional_embedding.copy_(sinusoids(dimensions.n_audio_ctx, dimensions.n_audio_state))
    return encoder


def sinusoids(length: int, channels: int) -> Tensor:
    """openai-whisper's positions, in float64.

    In float32, as openai-whisper computes them, the last digit depends on the processor.

    Returns:
        ``(length, channels)``.
    """
    steps = torch.arange(channels // 2, dtype=torch.float64) / max(channels // 2 - 1, 1)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * 10_000.0**-steps
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def draw(encoder: AudioEncoder, generator: torch.Generator) -> None:
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


def copy(encoder: AudioEncoder, checkpoint: Checkpoint) -> None:
    """Copy a checkpoint's weights into the encoder, converted to float32.

    Args:
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
