"""The pre-training of the small encoders: its speech, its task, and that it resumes exactly."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

import pretrain_nano
from lowser_lib.corpora.synthetic import sentences as course_sentences
from lowser_lib.corpora.synthetic.voices import COURSE_VARIANTS
from lowser_lib.encoders import WhisperEncoder, checkpoints
from lowser_lib.errors import SynthesisError
from lowser_lib.views import wav2vec2_sources
from lowser_lib.views.wav2vec2 import Wav2Vec2View
from pretraining import shipping, speech, stream
from pretraining.corruption import coloured_noise, corrupt, tilted
from pretraining.recognition import HEARINGS, Recogniser, error_rate, masked
from pretraining.sentences import SentenceMaker, load_vocabulary, past, plural, progressive
from pretraining.stream import Clips, make_block

SETTINGS = pretrain_nano.Settings(
    encoder="nano", width=16, layers=1, seed=3, rounds=2, blocks=1, clips=4, passes=2, batch=3,
    learning_rate=1e-3, weight_decay=0.05, manner_weight=0.3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def block() -> speech.Block:
    """Four clips, spoken by a process of its own."""
    return make_block(3, "train", 0, 4)


def test_a_block_that_always_crashes_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = subprocess.run

    def crashing(command: list[str], **options: Any) -> Any:
        asked.append(int(command[command.index("--number") + 1]))
        if asked[-1] == 4:
            return subprocess.CompletedProcess(command, -11, "", "")
        return real(command, **options)

    monkeypatch.setattr(stream.subprocess, "run", crashing)
    replaced = make_block(3, "train", 4, 1)
    assert asked == [4, 4, 4 + stream.SUBSTITUTE]
    again = make_block(3, "train", asked[-1], 1)
    np.testing.assert_array_equal(replaced.waveforms[0], again.waveforms[0])


def test_a_clean_block_is_the_same_speech_without_the_room() -> None:
    clean, noisy = (make_block(3, "unseen_words", 0, 2, clean=clean) for clean in (True, False))
    assert clean.voice == noisy.voice
    for wave in clean.waveforms:
        assert abs(float(np.abs(wave).max()) - 0.5) < 1e-3
    # The first clip is spoken before any corruption draws from the same generator.
    np.testing.assert_array_equal(clean.phonemes[0], noisy.phonemes[0])
    assert len(clean.waveforms[0]) == len(noisy.waveforms[0])
    assert not np.allclose(clean.waveforms[0], noisy.waveforms[0], atol=0.01)


# Sentences


def test_regular_forms() -> None:
    assert [plural(noun) for noun in ("dish", "city", "boy", "cat")] == [
        "dishes", "cities", "boys", "cats",
    ]  # fmt: skip
    assert [past(verb) for verb in ("bake", "carry", "enjoy", "walk")] == [
        "baked", "carried", "enjoyed", "walked",
    ]  # fmt: skip
    assert [progressive(verb) for verb in ("bake", "agree", "walk")] == [
        "baking", "agreeing", "walking",
    ]  # fmt: skip


def test_unseen_words_are_no_training_words() -> None:
    vocabulary = load_vocabulary()
    known = {word for words in vocabulary.words.values() for word in words}
    assert len(known) > 900
    assert len(vocabulary.unseen) > 100
    assert not known & set(vocabulary.unseen)


@given(st.integers(0, 2**32 - 1))
def test_a_sentence_is_a_function_of_the_seed(seed: int) -> None:
    first, second = (
        SentenceMaker(load_vocabulary(), np.random.default_rng(seed)).sentence() for _ in range(2)
    )
    assert first == second
    assert 2 <= len(first.split()) <= 12


def test_sentences_of_the_course_stay_out() -> None:
    spoken_in_the_course = {
        sentence.text.lower().strip(".?!")
        for group in vars(course_sentences).values()
        if isinstance(group, dict)
        for sentences in group.values()
        if isinstance(sentences, tuple)
        for sentence in sentences
        if hasattr(sentence, "text")
    }
    assert len(spoken_in_the_course) > 20
    maker = SentenceMaker(load_vocabulary(), np.random.default_rng(0), made_up=0.0)
    made = {maker.sentence().lower().strip(".?!") for _ in range(3000)}
    assert not made & spoken_in_the_course


def test_made_up_share_out_of_range() -> None:
    with pytest.raises(ValueError, match="made_up"):
        SentenceMaker(load_vocabulary(), np.random.default_rng(0), made_up=1.5)


# Voices and clips


def test_voices_are_neither_the_courses_nor_the_tests() -> None:
    training = set(speech.variants("train"))
    assert len(training) > 50
    assert not training & set(COURSE_VARIANTS)
    assert not training & set(speech.UNSEEN_VARIANTS)
    assert not set(speech.UNSEEN_VARIANTS) & set(COURSE_VARIANTS)


def test_a_block_is_a_function_of_its_number(block: speech.Block) -> None:
    again, other = make_block(3, "train", 0, 4), make_block(3, "train", 1, 4)
    for first, second in zip(block.waveforms, again.waveforms, strict=True):
        np.testing.assert_array_equal(first, second)
    assert block.voice == again.voice
    assert len(block.waveforms[0]) != len(other.waveforms[0])


def test_clips_are_sound_and_told(block: speech.Block) -> None:
    assert block.prosody.shape == (4, len(speech.PROSODY))
    assert np.abs(block.prosody).max() <= np.sqrt(3) + 1e-6
    for waveform, phonemes in zip(block.waveforms, block.phonemes, strict=True):
        assert 0.6 * 16_000 <= len(waveform) <= 6 * 16_000
        assert 0.005 < np.abs(waveform).max() <= 1.0
        # One state every 20 ms has to hold one phoneme at least.
        assert 5 < len(phonemes) < len(waveform) / 320
        assert phonemes.min() >= 1
        assert phonemes.max() <= len(speech.SYMBOLS)


def test_unknown_phonemes_and_splits() -> None:
    np.testing.assert_array_equal(
        speech.encode_phonemes("bˈæː"), [1 + speech.SYMBOLS.index(symbol) for symbol in "bæ"]
    )
    with pytest.raises(ValueError, match="ǂ"):
        speech.encode_phonemes("aǂ")
    with pytest.raises(ValueError, match="split"):
        speech.speak_block(0, 0, 1, "holiday")


def test_a_block_that_always_fails_is_reported() -> None:
    with pytest.raises(SynthesisError, match=r"block 0 of nonsense failed 5 times"):
        make_block(0, "nonsense", 0, 1)


# Corruption


def test_tilt_has_the_gain_that_it_says() -> None:
    time = np.arange(16_000) / 16_000
    for hertz, gain in ((20.0, 0.0), (7900.0, 6.0)):
        tone = np.sin(2 * np.pi * hertz * time)
        change = 20 * np.log10(tilted(tone, 6.0)[4000:].std() / tone[4000:].std())
        assert change == pytest.approx(gain, abs=0.1)


def test_coloured_noise_falls_with_frequency() -> None:
    noise = coloured_noise(2**15, 2.0, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    # Brown noise loses 6 dB an octave: a factor of 4.
    ratio = power[100:200].mean() / power[200:400].mean()
    assert ratio == pytest.approx(4.0, rel=0.35)
    assert noise.std() == pytest.approx(1.0, rel=0.01)


@given(st.integers(0, 2**32 - 1))
def test_corruption_keeps_length_and_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clip = np.sin(np.arange(12_000) / 20)
    spoiled = corrupt(clip, [clip] * 6, rng)
    assert spoiled.shape == clip.shape
    assert np.isfinite(spoiled).all()
    assert 0 < np.abs(spoiled).max() <= 1


# The task


def test_masks_hide_bands_and_time_by_the_mean() -> None:
    mel = torch.randn(4, 80, 120, generator=torch.Generator().manual_seed(0))
    hidden = masked(mel, torch.Generator().manual_seed(1))
    changed = hidden != mel
    assert changed.any()
    assert not changed.all()
    for before, after, places in zip(mel, hidden, changed, strict=True):
        assert ((after[places] - before.mean()).abs() < 0.05).all()
    waveform = torch.randn(2, 50)
    assert masked(waveform, torch.Generator().manual_seed(1)) is waveform


@pytest.mark.parametrize("name", HEARINGS)
def test_encoders_hear_a_clip_the_same_in_any_batch(name: str, block: speech.Block) -> None:
    hearing = HEARINGS[name](16, 1, 0)
    model = Recogniser(hearing, 0).eval()
    clips = Clips.from_blocks([block], hearing)
    inputs, lengths = hearing.pad(clips.inputs)
    with torch.inference_mode():
        together, counts, manner = model(inputs, lengths)
        alone, (count,), kept = model(*hearing.pad(clips.inputs[:1]))
    assert int(counts[0]) == int(count)
    torch.testing.assert_close(together[0, :count], alone[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(manner[0], kept[0], atol=1e-4, rtol=0)


def test_error_rate_of_a_known_answer(block: speech.Block) -> None:
    hearing = HEARINGS["nano"](16, 1, 0)
    model = Recogniser(hearing, 0)
    with torch.no_grad():  # always says the first symbol
        model.phonemes.weight.zero_()
        model.phonemes.bias.copy_(
            torch.nn.functional.one_hot(torch.tensor(1), 1 + len(speech.SYMBOLS))
        )
    inputs = Clips.from_blocks([block], hearing).inputs[:2]
    # "a" against "a" is right; against "b c a" two are missing.
    truths = [torch.tensor([1]), torch.tensor([2, 3, 1])]
    assert error_rate(model, inputs, truths, 2) == pytest.approx(2 / 4)


def test_a_stopped_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = pretrain_nano.Run(SETTINGS, tmp_path, "cpu")
    rounds = [
        Clips.from_blocks([make_block(3, "train", number, 4)], whole.model.hearing)
        for number in range(2)
    ]
    for clips in rounds:
        whole.learn(clips)
    stopped = pretrain_nano.Run(SETTINGS, tmp_path, "cpu")
    stopped.learn(rounds[0])
    stopped.save()
    resumed = pretrain_nano.Run(SETTINGS, tmp_path, "cpu")
    resumed.load()
    resumed.learn(rounds[1])
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_resuming_without_or_with_another_checkpoint(tmp_path: Path) -> None:
    run = pretrain_nano.Run(SETTINGS, tmp_path, "cpu")
    with pytest.raises(SystemExit, match="no checkpoint"):
        run.load()
    run.save()
    other = pretrain_nano.Settings(**{**vars(SETTINGS), "seed": 4})
    with pytest.raises(SystemExit, match="other settings"):
        pretrain_nano.Run(other, tmp_path, "cpu").load()


def test_the_number_of_rounds_may_change_on_the_way(tmp_path: Path) -> None:
    run = pretrain_nano.Run(SETTINGS, tmp_path, "cpu")
    run.done = 1
    run.save()
    longer = pretrain_nano.Settings(**{**vars(SETTINGS), "rounds": 5})
    resumed = pretrain_nano.Run(longer, tmp_path, "cpu")
    resumed.load()
    assert (resumed.done, resumed.plans) == (1, [[1, SETTINGS.rounds]])
    assert resumed._share_of_rate(longer.steps) == 0.0
    resumed.done = 3
    resumed.save()
    again = pretrain_nano.Run(longer, tmp_path, "cpu")
    again.load()
    assert again.plans == resumed.plans
    with pytest.raises(SystemExit, match="3 rounds are done"):
        pretrain_nano.Run(SETTINGS, tmp_path, "cpu").load()


def test_a_shipped_encoder_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lowser_lib" / "encoders").mkdir(parents=True)
    monkeypatch.setattr(shipping, "ROOT", tmp_path)
    hearing = HEARINGS["nano"](16, 1, 0)
    rates = {f"{split}{kind}": 0.21 for split in shipping.SPLITS for kind in ("", ", clean")}
    file = shipping.ship(
        hearing, vars(SETTINGS), rates, {"hours": 1.5, "commit": "abc", "plans": [[2, 9]]}
    )
    facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert facts["training"]["phoneme_error_rate"] == rates
    assert facts["bytes"] == file.stat().st_size
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    assert "at commit `abc`; up to round 2 with `--rounds 9`" in card
    assert card.count("21.0%") == len(rates)
    command = re.search(r"pretrain_nano.py --output DIR (.*)", card)
    assert command
    parsed = vars(pretrain_nano.parse(["--output", "DIR", *command[1].split()]))
    assert {name: parsed[name] for name in vars(SETTINGS)} == vars(SETTINGS)  # anyone can rerun it
    loaded = WhisperEncoder.from_checkpoint(checkpoints.read_nano(file.parent))
    assert loaded.pretrained
    assert "synthetic English" in loaded.description
    part = hearing.encoder
    assert isinstance(part, WhisperEncoder)
    mel = torch.randn(1, 80, 50)
    torch.testing.assert_close(loaded.embed(mel), part.embed(mel), atol=2e-2, rtol=0)


def test_a_shipped_wav2vec2_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lowser_lib" / "views").mkdir(parents=True)
    monkeypatch.setattr(shipping, "ROOT", tmp_path)
    hearing = HEARINGS["wav2vec2_nano"](16, 1, 7)
    settings = {**vars(SETTINGS), "encoder": "wav2vec2_nano"}
    rates = {f"{split}{kind}": 0.21 for split in shipping.SPLITS for kind in ("", ", clean")}
    file = shipping.ship(
        hearing, settings, rates, {"hours": 1.5, "commit": "abc", "plans": [[2, 9]]}
    )
    assert file.parent == tmp_path / "lowser_lib" / "views" / "wav2vec2_nano"
    monkeypatch.setattr(wav2vec2_sources, "NANO_FOLDER", file.parent)
    waveform = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        states, _ = hearing.eval().states(*hearing.pad([hearing.input_of(waveform)]))
    # Stored in float16; what is drawn before training is the same to the last digit.
    for view, tolerance in (
        (Wav2Vec2View("nano"), 2e-2),
        (Wav2Vec2View.random("nano", seed=7), 1e-5),
    ):
        result = view.extract(waveform.numpy())
        np.testing.assert_allclose(result, states[0].numpy(), atol=tolerance)
    assert "synthetic English" in Wav2Vec2View("nano").source.description


def test_an_encoder_too_large_is_not_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "ROOT", tmp_path)
    monkeypatch.setattr(shipping, "LARGEST", 1000)
    with pytest.raises(ValueError, match="more than 1000"):
        shipping.ship(HEARINGS["nano"](16, 1, 0), vars(SETTINGS), {}, {})
    assert not list(tmp_path.iterdir())
