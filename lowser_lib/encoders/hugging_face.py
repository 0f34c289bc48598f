"""A Whisper encoder in Hugging Face's format, read under OpenAI's names.

A folder holds ``config.json`` and ``model.safetensors``. transformers splits OpenAI's names
differently and calls the layers otherwise; the numbers are the same.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lowser_lib.errors import CheckpointError

#: OpenAI's name of a size -> its name in ``config.json``.
_SIZES = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
}
#: Parts of a name in transformers -> OpenAI's; the longer ones first.
_PARTS = {
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


def read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the encoder's sizes and weights.

    Returns:
        Sizes under OpenAI's names, those that are given; and name -> tensor, under the names of
        openai-whisper's ``AudioEncoder``.

    Raises:
        CheckpointError: a file is missing, damaged or of another kind of model, or there are
            weights of two models.
    """
    card = folder / "config.json"
    remedy = "give a folder that transformers saved a Whisper model in, with model.safetensors"
    try:
        config = json.loads(card.read_text(encoding="utf-8"))
        kind = config["model_type"]
        sizes = {name: config[theirs] for name, theirs in _SIZES.items() if theirs in config}
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
        weights = safetensors.torch.load_file(stored[0])
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{stored[0]}: damaged ({error}); fetch it again") from error
    for place in _PLACES:
        if f"{place}conv1.weight" in weights:
            inside = {n[len(place) :]: w for n, w in weights.items() if n.startswith(place)}
            return sizes, {_renamed(name): tensor for name, tensor in inside.items()}
    raise CheckpointError(f"{stored[0]}: holds no Whisper encoder; {remedy}")


def _renamed(name: str) -> str:
    for theirs, ours in _PARTS.items():
        name = re.sub(theirs, ours, name)
    return name
