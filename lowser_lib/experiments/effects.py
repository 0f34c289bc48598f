"""What augmentations do to clips: seen, heard, measured; and what came out of training with them.

The tools of chapter 02. Transforms of the sound are heard as they are; those of a spectrogram have
to become sound again first (:func:`to_sound`), which costs something by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import griffinlim

from lowser_lib import augment
from lowser_lib.augment import Transform
from lowser_lib.experiments import paths
from lowser_lib.experiments.records import load_records
from lowser_lib.views import log_mel, pad_mels
from lowser_lib.views.egemaps import FAMILY, FEATURE_NAMES, EgemapsView
from lowser_lib.views.mel import mel_filters

FOURFOLD: Mapping[str, Transform] = MappingProxyType(
    {
        "speed": augment.SpeedPerturbation((1.4, 1.4)),
        "mixup": augment.Mixup((0.5, 0.5)),
        "noise": augment.GaussianNoise((-2, -2)),
        "stretch": augment.SpectralStretch((1.4, 1.4)),
        "SpecAugment": augment.SpecAugment(160, 280, 0.8, 2, 60, 2),
        "time mask": augment.TimeMasking(160, 0.8),
        "frequency mask": augment.FrequencyMasking(64),
    }
)
"""The seven at the end of their range, at four times the strength that training uses; mixup, whose
share ends at two voices alike, at a half."""

_RANGES: Mapping[str, Transform] = MappingProxyType(
    {
        **FOURFOLD,
        "speed": augment.SpeedPerturbation((0.6, 1.4)),
        "mixup": augment.Mixup((0.0, 0.5)),
        "noise": augment.GaussianNoise((-2, 18)),
        "stretch": augment.SpectralStretch((0.6, 1.4)),
    }
)


_MASKS = ("SpecAugment", "time mask", "frequency mask")


def strengths() -> dict[str, dict[str, Transform]]:
    """The seven at half the strength of training, at that strength, and at four times as much."""

    def preset(strength: float) -> dict[str, Transform]:
        transforms = augment.contrastive(strength, probability=1.0).transforms
        return dict(zip(FOURFOLD, transforms, strict=True))

    return {"× ½": preset(0.5), "× 1": preset(1.0), "× 4": dict(_RANGES)}


def to_sound(mel: Tensor) -> Tensor:
    """A sound whose log-mel spectrogram is close to the one given.

    The phase, which a spectrogram leaves out, is guessed by the algorithm of Griffin and Lim
    (1984).

    Args:
        mel: ``(80, frames)``, Whisper's scaling.

    Returns:
        ``(samples,)`` at 16 kHz.
    """
    power = (_spread_out() @ 10 ** (4 * mel - 4)).clamp(min=0)
    power = torch.cat([power, power[:, -1:]], dim=1)  # the frame that Whisper drops
    return griffinlim(power, torch.hann_window(400), 400, 160, 400, 2.0, 16, 0.99, None, False)


@lru_cache(maxsize=1)
def _spread_out() -> Tensor:
    return torch.linalg.pinv(mel_filters(80))  # from 80 bands back to 201 frequencies


def through(
    transform: Transform, sounds: Sequence[Tensor], seed: int = 0
) -> tuple[list[Tensor], list[Tensor] | None]:
    """Put sounds through a transform.

    Args:
        transform: Of sounds or of spectrograms.
        sounds: Each ``(samples,)`` at 16 kHz.
        seed: Of what is drawn.

    Returns:
        The spectrograms afterwards, and the sounds; None where it works on spectrograms.
    """
    on_sound = transform.domain == "waveform"
    if on_sound:
        lengths = torch.tensor([len(sound) for sound in sounds])
        batch = pad_sequence(list(sounds), batch_first=True), lengths
    else:
        batch = pad_mels([log_mel(sound) for sound in sounds])
    changed = transform(*batch, torch.Generator().manual_seed(seed))
    cut = [clip[..., :n] for clip, n in zip(changed.clips, changed.lengths.tolist(), strict=True)]
    return ([log_mel(clip) for clip in cut], cut) if on_sound else (cut, None)


def version(
    name: str, sounds: Sequence[Tensor], times: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """The first of some sounds after one of the seven, at so many times the usual strength.

    Args:
        name: A key of :data:`FOURFOLD`.
        sounds: The clip and its partner in mixup.
        times: 0 to 4.
        seed: Of what is drawn.

    Returns:
        The sound and its spectrogram.
    """
    mels, changed = through(FOURFOLD[name].at_strength(times / 4), sounds, seed)
    return (changed[0] if changed else to_sound(mels[0])), mels[0]


def measures(sounds: Sequence[Tensor], jobs: int = 1) -> NDArray[np.float64]:
    """The 88 measures of eGeMAPS of each sound.

    Args:
        sounds: Each ``(samples,)`` at 16 kHz.
        jobs: Worker processes.

    Returns:
        Shape ``(clips, 88)``.
    """
    tasks = (delayed(EgemapsView().extract)(sound.numpy()) for sound in sounds)
    return np.stack(Parallel(n_jobs=jobs)(tasks))


def moved(
    sounds: Sequence[Tensor], spread: NDArray[np.float64], seed: int = 0, jobs: int = 1
) -> dict[str, pd.DataFrame]:
    """How far each of the seven moves the measures of clips, at each strength.

    A transform of spectrograms is compared with the clip that went to a spectrogram and back
    unchanged: the way back moves measures by itself.

    Args:
        sounds: The clips.
        spread: Standard deviation of each measure over a corpus, ``(88,)``: the unit.
        seed: Of what is drawn.
        jobs: Worker processes.

    Returns:
        Strength to a table, one row a transform and the row ``there and back``, one column a family
        of measures: the median over clips of the mean shift, in standard deviations.
    """
    families = np.array([FAMILY[name] for name in FEATURE_NAMES])
    clean = measures(sounds, jobs)
    back = measures([to_sound(log_mel(sound)) for sound in sounds], jobs)

    def shift(before: NDArray[np.float64], after: NDArray[np.float64]) -> dict[str, float]:
        size = np.abs(after - before) / spread
        names = dict.fromkeys(families.tolist())
        return {f: float(np.median(size[:, families == f].mean(axis=1))) for f in names}

    tables = {}
    for strength, transforms in strengths().items():
        rows = {}
        for name, transform in transforms.items():
            mels, changed = through(transform, sounds, seed)
            heard = measures(changed or [to_sound(mel) for mel in mels], jobs)
            rows[name] = shift(clean if changed else back, heard)
        rows["there and back"] = shift(clean, back)
        tables[strength] = pd.DataFrame(rows).T
    return tables


def applied(transform: Transform, clip: Tensor, **drawn: float) -> Tensor:
    """One clip after a transform, with numbers that are chosen instead of drawn.

    Args:
        transform: Of sounds or of spectrograms.
        clip: ``(samples,)`` or ``(80, frames)``.
        **drawn: What the transform would have drawn, by its names.
    """
    numbers = {name: torch.tensor([value]).double() for name, value in drawn.items()}
    return transform.apply(clip[None], torch.tensor([clip.shape[-1]]), numbers).clips[0]


def hidden_share(transform: Transform, frames: Sequence[int], seed: int = 0) -> Tensor:
    """How much of each clip's spectrogram a masking transform hides.

    Args:
        transform: Of spectrograms; fills with a clip's mean.
        frames: Length of each clip, in frames of 10 ms.
        seed: Of what is drawn.

    Returns:
        Share of each clip, ``(clips,)``.
    """
    blank = [torch.full((80, n), 2.0) for n in frames]
    for mel in blank:
        mel[::2] = 1.0  # never equal to its own mean, 1.5
    batch, lengths = pad_mels(blank)
    changed = transform(batch, lengths, torch.Generator().manual_seed(seed)).clips
    return ((changed - 1.5).abs() < 0.25).float().sum(dim=(1, 2)) / (80 * lengths)


def hidden(frames: Sequence[int], seed: int = 0) -> pd.DataFrame:
    """A table of what the masks hide, on average and in the worst clip, by strength.

    Args:
        frames: Length of each clip, in frames of 10 ms.
        seed: Of what is drawn.
    """
    table = {}
    for strength, transforms in strengths().items():
        shares = {name: hidden_share(transforms[name], frames, seed) for name in _MASKS}
        table[strength] = {
            name: f"{share.mean():.0%} (worst {share.max():.0%})" for name, share in shares.items()
        }
    return pd.DataFrame(table)


def tables(metrics: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """What a record of chapter 02 holds, as tables with the same rows.

    Args:
        metrics: Of the record: ``effects`` and ``learned``.

    Returns:
        Title to a table, one row a transform.
    """
    names, columns = list(FOURFOLD), list(strengths())
    effects = pd.DataFrame(metrics["effects"]).set_index(["transform", "strength"])
    learned = pd.DataFrame(metrics["learned"]).set_index("transform")
    return {
        "answers changed": effects["changed, probe"].unstack().loc[names, columns],
        "voice recognised": effects["voice, encoder"].unstack().loc[names, columns],
        "macro-F1 at × 4": learned.loc[names, ["never heard it", "used to it"]],
    }


def trained_with(profile: str) -> pd.DataFrame:
    """Macro-F1 of the baseline, trained with one kind of augmentation at one strength.

    Read from the records of the sweeps ``augment-KIND-half`` and ``-full``, beside those of
    ``baseline`` with the same seeds.

    Args:
        profile: The profile of the sweeps.

    Returns:
        One row a run: ``trained with``, ``strength``, ``seed``, and the scores on ``English``
        speakers held out and on the ``others``, the target languages (embeddings matched), each the
        mean over languages. Empty where nothing has been run.
    """
    kinds = {("none", strength): "baseline" for strength in ("× ½", "× 1")}
    for kind in augment.KINDS:
        kinds |= {(kind, "× ½"): f"augment-{kind}-half", (kind, "× 1"): f"augment-{kind}-full"}
    rows = []
    for (kind, strength), sweep in kinds.items():
        for run in load_records(paths.results_root(), profile, sweep):
            scores = run.metrics["held_out"], run.metrics["transfer"]["embeddings"]
            label = kind.replace("-", " ").replace("specaugment", "SpecAugment")
            rows.append((label, strength, run.seed, *(score["macro_f1"] for score in scores)))
    columns = ["trained with", "strength", "seed", "English", "others"]
    runs = pd.DataFrame(rows, columns=columns)
    seeds = runs.loc[runs["trained with"] != "none", "seed"].unique()
    runs = runs[runs["seed"].isin(seeds)]
    return runs.groupby(columns[:3], sort=False, as_index=False).mean()


def against_none(profile: str) -> pd.DataFrame:
    """Change of macro-F1 against training without augmentation, in points, the mean over seeds.

    Args:
        profile: The profile of the sweeps.

    Returns:
        Columns ``English`` and ``others``, rows ``(trained with, strength)``. Empty where nothing
        has been run.
    """
    runs = trained_with(profile)
    plain = runs[runs["trained with"] == "none"].groupby("seed")[["English", "others"]].first()
    change = runs.assign(
        **{test: 100 * (runs[test] - runs["seed"].map(plain[test])) for test in plain.columns}
    )
    kinds = change[change["trained with"] != "none"]
    return kinds.groupby(["trained with", "strength"], sort=False)[list(plain.columns)].mean()
