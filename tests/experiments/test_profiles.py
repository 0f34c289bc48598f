"""The profiles name what exists, and the paper profile what was published."""

from __future__ import annotations

import dataclasses
import json

import pytest

from lowser_lib import corpora
from lowser_lib.errors import ProfileError
from lowser_lib.experiments import profiles


@pytest.mark.parametrize("name", ["fast", "open", "paper"])
def test_profiles_name_known_corpora_and_languages(name: str) -> None:
    profile = profiles.get(name)
    assert profile.name == name
    languages = {"ur", "de", "bn", *(["pl"] if name == "open" else [])}
    assert set(profile.targets) == set(profile.unlabelled) == languages
    for corpus in profile.corpora:
        assert corpora.get(corpus).name == corpus
    for language, corpus in profile.targets.items():
        assert language in corpora.get(corpus).card.languages
    for language, names in profile.unlabelled.items():
        assert all(language in corpora.get(corpus).card.languages for corpus in names)


def test_fast_needs_nothing_but_this_machine() -> None:
    fast = profiles.get("fast")
    assert all(corpora.get(name).card.synthetic for name in fast.corpora)
    assert fast.encoder == "nano"


def test_paper_is_as_published() -> None:
    paper = profiles.get("paper")
    assert paper.sources == ("msp_podcast", "iemocap")
    assert dict(paper.targets) == {"ur": "urdu", "de": "emodb", "bn": "subesco"}
    assert paper.encoder == "small.en"
    assert paper.precision == "bf16-mixed"


def test_unknown_profile_lists_the_known() -> None:
    with pytest.raises(ProfileError, match=r"'quick'.*fast, open, paper"):
        profiles.get("quick")


@pytest.mark.parametrize("name", ["fast", "open", "paper"])
def test_a_trial_is_the_same_profile_but_small(name: str) -> None:
    profile, small = profiles.get(name), profiles.get(f"{name}-trial")
    assert "trial" in small.title and small.is_trial and not profile.is_trial
    assert (small.name, small.corpora, small.encoder) == (
        f"{name}-trial", profile.corpora, profile.encoder,
    )  # fmt: skip
    assert small.precision == profile.precision
    assert (len(small.seeds), small.epochs, small.folds) == (1, 1, 2)
    assert small.max_source_clips is not None
    assert profiles.get(f"{name}-trial:/a:b/mine.pt").encoder == "/a:b/mine.pt"


@pytest.mark.parametrize("name", ["fast:nano", "trial", "-trial", "quick-trial"])
def test_only_a_trial_takes_another_encoder(name: str) -> None:
    with pytest.raises(ProfileError, match="NAME-trial"):
        profiles.get(name)


def test_seeds_of_different_runs_are_disjoint() -> None:
    profile = profiles.get("open")
    assert profile.seeds_from(0) == profile.seeds
    drawn = [seed for run in range(4) for seed in profile.seeds_from(run)]
    assert len(set(drawn)) == len(drawn)
    with pytest.raises(ValueError, match="-1"):
        profile.seeds_from(-1)


def test_profiles_cannot_be_changed_by_accident_but_copied() -> None:
    profile = profiles.get("fast")
    with pytest.raises(TypeError):
        profile.targets["ur"] = "other"  # type: ignore[index]
    smaller = dataclasses.replace(profile, epochs=1)
    assert smaller.epochs == 1
    assert dict(smaller.targets) == dict(profile.targets)


def test_profile_as_plain_values_survives_json() -> None:
    plain = json.loads(json.dumps(profiles.get("paper").to_dict()))
    assert plain["targets"]["bn"] == "subesco"
    assert plain["seeds"] == [0, 1, 2, 3, 4]
