"""Clips a second of the Whisper encoder, beside what a user would pick instead.

Embeds the 400 clips of the URDU corpus (noise of the same lengths, if the corpus is not there) at
the size of small.en, with the same random weights, in one run:

* ours: positions cropped to the clip, sorted by length, in batches;
* openai-whisper: its own spectrogram and encoder, every clip padded to 30 s;
* transformers: its own feature extractor and encoder, every clip padded to 30 s.

Each side goes from waveform to embedding, spectrogram included. The padded sides are slow, so they
embed a subset, in turns with ours, and are told as clips a second. Run::

    python benchmarks/bench_encoder.py [--quick] [--threads 2]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import whisper
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as TransformersEncoder

from lowser_lib.audio import SAMPLE_RATE, load_audio
from lowser_lib.encoders import WhisperEncoder
from lowser_lib.experiments.paths import corpora_root
from lowser_lib.views import log_mel, pad_mels

TARGET = 12.0
#: Lengths in URDU, in samples: about half of its clips each; used where the corpus is missing.
URDU_LENGTHS = (32_000, 48_057)

#: transformers' names for OpenAI's modules.
RENAMED = (
    ("blocks.", "layers."), ("attn_ln", "self_attn_layer_norm"), ("attn.", "self_attn."),
    ("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), (".out.", ".out_proj."),
    ("mlp_ln", "final_layer_norm"), ("mlp.0", "fc1"), ("mlp.2", "fc2"), ("ln_post", "layer_norm"),
    ("positional_embedding", "embed_positions.weight"),
)  # fmt: skip


def read_clips(count: int) -> tuple[list[np.ndarray], str]:
    """Waveforms of URDU, evenly chosen over its files, or noise of the same lengths."""
    root = corpora_root()
    files = sorted((root / "urdu").rglob("*.wav")) if root else []
    if files:
        chosen = [files[i * len(files) // count] for i in range(min(count, len(files)))]
        return [load_audio(file) for file in chosen], f"{len(chosen)} real clips of URDU"
    rng = np.random.default_rng(0)
    lengths = [URDU_LENGTHS[i % 2] for i in range(count)]
    clips = [0.1 * rng.standard_normal(n, dtype=np.float32) for n in lengths]
    return clips, f"{count} clips of noise, as long as URDU's (LOWSER_CORPORA has no urdu)"


def transformers_with(ours: WhisperEncoder) -> TransformersEncoder:
    """The encoder of transformers over the very same weight tensors."""
    blocks = ours.encoder.blocks
    config = WhisperConfig(
        num_mel_bins=ours.n_mels,
        d_model=ours.dimension,
        encoder_ffn_dim=4 * ours.dimension,
        encoder_layers=len(blocks),
        encoder_attention_heads=blocks[0].attn.n_head,
    )
    state = {}
    for name, tensor in ours.encoder.state_dict().items():
        for old, new in RENAMED:
            name = name.replace(old, new)
        state[name] = tensor
    encoder = TransformersEncoder(config).eval()
    encoder.load_state_dict(state, assign=True)
    return encoder


def embed_cropped(
    encoder: WhisperEncoder, clips: Sequence[np.ndarray], batch_size: int
) -> tuple[float, float]:
    """Embed clips with positions cropped; seconds for spectrograms and for the encoder."""
    ordered = sorted(clips, key=len)
    in_mels = in_encoder = 0.0
    for start in range(0, len(ordered), batch_size):
        began = time.perf_counter()
        waveforms = ordered[start : start + batch_size]
        mel, lengths = pad_mels([log_mel(torch.from_numpy(clip)) for clip in waveforms])
        between = time.perf_counter()
        encoder.embed(mel, lengths)
        in_mels += between - began
        in_encoder += time.perf_counter() - between
    return in_mels, in_encoder


def states_in_clip(clip: np.ndarray) -> int:
    """Encoder states (20 ms) that belong to the clip, not to its padding."""
    return max(1, len(clip) // (SAMPLE_RATE // 50))


def embed_openai(encoder: torch.nn.Module, clip: np.ndarray) -> Tensor:
    """One clip as openai-whisper does it: padded to 30 s; averaged over the clip's own frames."""
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clip))
    return encoder(mel[None])[0, : states_in_clip(clip)].mean(dim=0)


def embed_transformers(
    encoder: TransformersEncoder, extractor: WhisperFeatureExtractor, clip: np.ndarray
) -> Tensor:
    """One clip as transformers does it: padded to 30 s; averaged over the clip's own frames."""
    mel = extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    return encoder(mel).last_hidden_state[0, : states_in_clip(clip)].mean(dim=0)


def seconds(action: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def compare(clips: list[np.ndarray], padded: int, rounds: int, batch_size: int) -> bool:
    """Time the three sides in turns, so that a busy machine slows all of them alike.

    Args:
        clips: what ours embeds.
        padded: how many of them each padded side embeds, evenly chosen.
        rounds: turns that the work is dealt into.
        batch_size: clips a batch of ours.

    Returns:
        Whether ours reaches the target against both.
    """
    ours = WhisperEncoder.random("small.en", seed=0).eval()
    theirs, extractor = transformers_with(ours), WhisperFeatureExtractor()

    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(clips[0]))[None]
    cropped, openai = ours(mel), ours.encoder(mel)  # also the warm-up
    print(
        "same weights; at 30 s ours differs by at most "
        f"{(cropped - openai).abs().max():.1e} from openai-whisper, "
        f"{(cropped - theirs(mel).last_hidden_state).abs().max():.1e} from transformers"
    )
    embed_cropped(ours, clips[:batch_size], batch_size)
    embed_transformers(theirs, extractor, clips[0])

    # Whole length buckets a round: sorted first, then dealt out batch by batch.
    ordered = sorted(clips, key=len)
    batches = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    subset = [clips[i * len(clips) // padded] for i in range(padded)]
    in_mels = in_encoder = in_openai = in_transformers = 0.0
    for turn in range(rounds):
        for clip in subset[turn::rounds]:
            in_openai += seconds(partial(embed_openai, ours.encoder, clip))
            in_transformers += seconds(partial(embed_transformers, theirs, extractor, clip))
        mine = [clip for batch in batches[turn::rounds] for clip in batch]
        mels, encoder = embed_cropped(ours, mine, batch_size)
        in_mels, in_encoder = in_mels + mels, in_encoder + encoder

    rate = len(clips) / (in_mels + in_encoder)
    padded_rates = {"openai-whisper": padded / in_openai, "transformers": padded / in_transformers}
    print(f"\n{'':<34}{'clips':>7}{'clips/s':>10}{'ours is':>10}")
    print(f"{'LowSER, batches of ' + str(batch_size):<34}{len(clips):>7}{rate:>10.2f}")
    for name, other in padded_rates.items():
        print(f"{name + ', padded to 30 s':<34}{padded:>7}{other:>10.3f}{rate / other:>9.1f}x")
    share = in_mels / (in_mels + in_encoder)
    print(f"Of our time, spectrograms take {share:.1%} and the encoder {1 - share:.1%}.")
    reached = rate >= TARGET * max(padded_rates.values())
    print(f"{'[OK]' if reached else '[FAIL]'} target: at least {TARGET:.0f} times either")
    return reached


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few clips: about 30 s on 2 cores")
    parser.add_argument("--threads", type=int, default=None, help="default: torch's own choice")
    # On 2 busy cores 32 was 1.5 times as fast as 4: fewer waits of one thread for the other.
    parser.add_argument("--batch-size", type=int, default=32, help="clips a batch of ours")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)

    clips, source = read_clips(64 if options.quick else 400)
    padded, rounds = (2, 1) if options.quick else (12, 4)
    mean = sum(map(len, clips)) / len(clips) / SAMPLE_RATE
    print(f"{source}, {mean:.2f} s on average; {torch.get_num_threads()} threads, float32, CPU")
    print(f"the padded sides embed {padded} clips, one by one, in turns with ours")
    with torch.inference_mode():
        reached = compare(clips, padded, rounds, options.batch_size)
    if not reached:
        sys.exit("bench_encoder: the target is missed; was anything else running?")


if __name__ == "__main__":
    main()
