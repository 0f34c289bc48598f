"""What augmentations do to clips: the tools of chapter 02."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from lowser_lib import augment
from lowser_lib.experiments import effects, paths
from lowser_lib.views.mel import log_mel


def tone(hertz: float = 440.0, samples: int = 16_000) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(samples) / 16_000)


def test_a_sound_comes_back_from_its_spectrogram() -> None:
    mel = log_mel(tone())
    again = log_mel(effects.to_sound(mel))
    assert again.shape == mel.shape
    assert int(again[:, 20:80].mean(1).argmax()) == int(mel[:, 20:80].mean(1).argmax())
    assert float((again - mel)[mel > mel.max() - 1].abs().mean()) < 0.1


@pytest.mark.parametrize("name", effects.FOURFOLD)
def test_strength_nothing_is_the_clip_itself(name: str) -> None:
    sounds = [tone(), tone(660.0, 12_000)]
    mels, changed = effects.through(effects.FOURFOLD[name].at_strength(0), sounds)
    assert (changed is None) == (effects.FOURFOLD[name].domain == "mel")
    for mel, sound in zip(mels, sounds, strict=True):
        torch.testing.assert_close(mel, log_mel(sound))


def test_strengths_are_the_presets_and_the_fourfold() -> None:
    tables = effects.strengths()
    assert list(tables) == ["× ½", "× 1", "× 4"]
    assert all(list(table) == list(effects.FOURFOLD) for table in tables.values())
    for name in ("speed", "noise", "stretch"):  # four times as far from where nothing happens
        (low, high), (far_low, far_high) = (
            next(iter(tables[strength][name].ranges().values())) for strength in ("× 1", "× 4")
        )
        step = 20 * np.log10(4) if name == "noise" else None
        wanted = (low - step, high - step) if step else (1 + 4 * (low - 1), 1 + 4 * (high - 1))
        assert (far_low, far_high) == pytest.approx(wanted, abs=0.05)


def test_played_faster_is_shorter_and_higher() -> None:
    sound, mel = effects.version("speed", [tone(), tone()], times=4)
    assert len(sound) == pytest.approx(16_000 / 1.4, abs=1)
    assert mel.mean(1).argmax() > log_mel(tone()).mean(1).argmax()


def test_hidden_is_what_a_mask_covers() -> None:
    whole = augment.FrequencyMasking(80)
    shares = effects.hidden_share(whole, [100, 50], seed=1)
    assert ((shares >= 0) & (shares <= 1)).all()
    nothing = augment.FrequencyMasking(80).at_strength(0)
    assert effects.hidden_share(nothing, [100, 50]).tolist() == [0.0, 0.0]
    parameters = {"band_width": torch.ones(1, 1), "band_start": torch.zeros(1, 1)}
    blank = torch.ones(1, 80, 10)
    blank[:, ::2] = 3.0
    masked = augment.FrequencyMasking(20).apply(blank, torch.tensor([10]), parameters).clips
    assert (masked == 2.0).float().mean() == 0.25  # filled with the mean: what is counted


def test_applied_takes_numbers_instead_of_drawing_them() -> None:
    mel = log_mel(tone())
    once, again = (effects.applied(augment.SpectralStretch(), mel, factor=1.1) for _ in range(2))
    torch.testing.assert_close(once, again, rtol=0, atol=0)
    torch.testing.assert_close(effects.applied(augment.SpectralStretch(), mel, factor=1.0), mel)


def test_measures_of_an_unmoved_clip_move_by_the_way_there_and_back_alone() -> None:
    sounds = [tone(200.0), tone(300.0)]
    spread = effects.measures(sounds).std(axis=0) + 1
    tables = effects.moved(sounds, spread)
    assert list(tables) == ["× ½", "× 1", "× 4"]
    for table in tables.values():
        assert list(table.index) == [*effects.FOURFOLD, "there and back"]
        assert (table.to_numpy() >= 0).all()


def test_trained_with_is_what_the_records_say() -> None:
    runs = effects.trained_with("fast")
    assert runs.groupby("trained with").size().nunique() == 1  # the same seeds for all
    row = runs[(runs["trained with"] == "noise") & (runs["strength"] == "× 1")].iloc[0]
    held_out = []
    for path in Path(paths.results_root(), "fast").rglob(f"*-{row['seed']}.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["name"].startswith("augment-noise-full-"):
            held_out.append(content["metrics"]["held_out"]["macro_f1"])
    assert held_out
    assert row["English"] == pytest.approx(np.mean(held_out))


def test_against_none_is_a_difference_with_the_same_seeds() -> None:
    runs = effects.trained_with("fast").set_index(["trained with", "strength", "seed"]).sort_index()
    change = effects.against_none("fast")
    for kind, strength in change.index:
        pairs = [
            runs.loc[(kind, strength, seed), "others"]
            - runs.loc[("none", strength, seed), "others"]
            for seed in runs.loc[(kind, strength)].index
        ]
        assert change.loc[(kind, strength), "others"] == pytest.approx(100 * np.mean(pairs))
    assert effects.against_none("paper").empty
