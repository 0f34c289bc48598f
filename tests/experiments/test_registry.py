"""Methods under ``lowser sweep``: their settings in a profile, and how sweeps change them."""

from __future__ import annotations

import pytest

from lowser_lib.errors import ProfileError
from lowser_lib.experiments import engine, profiles, registry
from lowser_lib.methods.byol import ByolConfig


def test_byol_is_registered_with_the_baselines_settings() -> None:
    method = registry.get("byol")
    assert (method.chapter, method.per_language, method.unlabelled) == ("05", True, True)
    settings = method.settings(profiles.FAST)
    assert settings["byol"] == ByolConfig(learning_rate=profiles.FAST.learning_rate)
    plain = registry.get("baseline").settings(profiles.FAST)
    assert {name: settings[name] for name in plain} == plain


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("lam", 0.5),
        ("lam_schedule", "fixed"),
        ("lam_weighs", "classification"),
        ("tau", 0.99),
        ("predictor", False),
        ("strength", 0.5),
    ],
)
def test_what_the_chapter_varies_can_be_set(setting: str, value: object) -> None:
    settings = registry.get("byol").settings(profiles.FAST)
    changed = engine.change(settings, {f"byol.{setting}": value})
    assert getattr(changed["byol"], setting) == value
    assert changed["baseline"] == settings["baseline"]


def test_a_setting_out_of_range_is_refused() -> None:
    settings = registry.get("byol").settings(profiles.FAST)
    with pytest.raises(ProfileError, match=r"byol\.tau=2 cannot be used"):
        engine.change(settings, {"byol.tau": 2})


def test_profiles_have_settings_that_can_be_used() -> None:
    for profile in profiles.PROFILES.values():
        for method in registry.METHODS.values():
            made = method.settings(profile)
            assert made["baseline"].learning_rate == profile.learning_rate
