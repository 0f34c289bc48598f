"""Sound files: rates, channels, formats, and everything that can be wrong with them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from lowser_lib import audio, manifest
from lowser_lib.corpora import decoding
from lowser_lib.errors import AudioError


def sine(
    rate: int = 16000, seconds: float = 1.0, frequency: float = 440.0, peak: float = 0.5
) -> np.ndarray:
    return peak * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def write(path: Path, samples: np.ndarray, rate: int = 16000, **how: str) -> Path:
    soundfile.write(path, samples, rate, **how)
    return path


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write(tmp_path / "clip.wav", sine())


# --- what is read ------------------------------------------------------------------------------


def test_a_16_khz_wav_is_read_as_it_is(wav: Path) -> None:
    waveform = audio.load_audio(wav)
    assert waveform.dtype == np.float32
    assert waveform.shape == (16000,)
    steps, _ = soundfile.read(wav, dtype="int16")
    assert np.array_equal(waveform, steps.astype(np.float32) / 32768)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 24000, 44100, 48000, 96000])
def test_resampling_keeps_frequency_and_amplitude(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "clip.wav", sine(rate), rate, subtype="FLOAT")
    waveform = audio.load_audio(path)
    assert waveform.shape == (16000,)
    inner = slice(800, -800)  # the filter rings where the sine is switched on and off
    assert np.abs(waveform - sine())[inner].max() < 1e-4


def test_resampling_removes_what_16_khz_cannot_carry(tmp_path: Path) -> None:
    tones = sine(96000) + sine(96000, frequency=12000.0, peak=0.4)
    path = write(tmp_path / "clip.wav", tones, 96000, subtype="FLOAT")
    # Without a filter, 12 kHz would come back as 4 kHz.
    assert np.abs(audio.load_audio(path) - sine())[800:-800].max() < 1e-4


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 2**-24)],
)
def test_every_depth_is_scaled_to_one(tmp_path: Path, subtype: str, step: float) -> None:
    path = write(tmp_path / "clip.wav", sine(), subtype=subtype)
    assert np.abs(audio.load_audio(path) - sine()).max() <= step


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = sine(), sine(frequency=1000.0, peak=0.3)
    path = write(tmp_path / "clip.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    assert np.abs(audio.load_audio(path) - (left + right) / 2).max() < 1e-7


@pytest.mark.parametrize(
    ("ending", "error"), [("flac", 1e-4), ("ogg", 0.05), ("mp3", 0.05), ("wav", 1e-4)]
)
@pytest.mark.parametrize(
    "name", ["clip.{}", "clip.wav", "clip.mp3", "clip.raw", "clip.txt", "clip"]
)
def test_formats_are_known_by_content_and_not_by_name(
    tmp_path: Path, ending: str, error: float, name: str
) -> None:
    written = write(tmp_path / f"made.{ending}", sine())
    path = written.rename(tmp_path / name.format(ending))
    waveform = audio.load_audio(path)
    assert waveform.shape == (16000,)
    assert np.abs(waveform - sine())[800:-800].max() < error


def test_a_path_may_be_text(wav: Path) -> None:
    assert np.array_equal(audio.load_audio(str(wav)), audio.load_audio(wav))


def test_overshoot_is_clipped(tmp_path: Path) -> None:
    path = write(tmp_path / "loud.wav", sine(peak=1.2), subtype="FLOAT")
    waveform = audio.load_audio(path)
    assert np.abs(waveform - np.clip(sine(peak=1.2), -1, 1)).max() < 1e-6
    assert waveform.max() == 1.0


def test_a_long_file_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "long.wav", np.stack([sine(seconds=1.0)] * 2, axis=1))
    whole = audio.load_audio(path)
    monkeypatch.setattr(decoding, "_BLOCK", 2 * 3000)
    assert np.array_equal(audio.load_audio(path), whole)


def test_a_wav_written_into_a_pipe_is_read(wav: Path) -> None:
    data = bytearray(wav.read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # the writer cannot go back to fill these in
    before = audio.load_audio(wav)
    wav.write_bytes(data)
    assert np.array_equal(audio.load_audio(wav), before)


def test_a_wav_with_notes_before_and_after_the_sound_is_read(wav: Path) -> None:
    data, note = wav.read_bytes(), b"LIST" + (5).to_bytes(4, "little") + b"abcde\0"
    before = audio.load_audio(wav)
    size = (len(data) - 8 + 2 * len(note)).to_bytes(4, "little")
    wav.write_bytes(data[:4] + size + data[8:36] + note + data[36:] + note)
    assert np.array_equal(audio.load_audio(wav), before)


def test_decode_gives_the_file_as_stored(tmp_path: Path) -> None:
    stereo = np.stack([sine(44100), -0.5 * sine(44100)], axis=1)
    samples, rate = audio.decode(write(tmp_path / "clip.flac", stereo, 44100))
    assert samples.dtype == np.float32
    assert samples.shape == (44100, 2)
    assert rate == 44100
    assert np.abs(samples - stereo).max() <= 2**-15


# --- what is refused ---------------------------------------------------------------------------


def test_missing_empty_and_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"nowhere\.wav: there is no such file\. Check its"):
        audio.load_audio(tmp_path / "nowhere.wav")
    with pytest.raises(AudioError, match="a folder, not a sound file"):
        audio.load_audio(tmp_path)
    with pytest.raises(AudioError, match=r"empty\.wav: an empty file"):
        audio.load_audio(tmp_path / "empty.wav")


def test_a_file_that_cannot_be_opened_is_named(wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AudioError, match=r"clip\.wav: cannot be opened \(Permission denied\)"):
        audio.load_audio(wav)


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac", "raw", "txt"])
def test_what_is_no_sound_is_named(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"note.{ending}"
    path.write_text("version https://git-lfs.github.com/spec/v1\n" * 40)
    with pytest.raises(AudioError, match=rf"note\.{ending}: cannot be decoded .*`ffmpeg"):
        audio.load_audio(path)


def test_a_sound_in_a_foreign_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(b"\0\0\0\x1cftypM4A " + bytes(5000))
    with pytest.raises(AudioError, match=r"clip\.wav: cannot be decoded .*another format"):
        audio.load_audio(path)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_a_cut_file_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = write(tmp_path / f"clip.{ending}", sine(seconds=2.0))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioError, match=rf"clip\.{ending}: (cut short|.*cut short|cannot be)"):
        audio.load_audio(path)


def test_a_cut_wav_tells_how_much_is_missing(wav: Path) -> None:
    wav.write_bytes(wav.read_bytes()[:20044])
    with pytest.raises(AudioError, match=r"cut short \(32000 bytes of sound announced, 20000 fo"):
        audio.load_audio(wav)
    wav.write_bytes(wav.read_bytes()[:44])
    with pytest.raises(AudioError, match="32000 bytes of sound announced, 0 found"):
        audio.load_audio(wav)


def test_a_header_that_announces_terabytes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp3", sine())
    data = bytearray(path.read_bytes())
    start = max(data.find(b"Xing"), data.find(b"Info"))
    data[start + 8 : start + 12] = b"\x7f\xff\xff\xff"  # its number of frames
    path.write_bytes(data)
    with pytest.raises(AudioError, match=r"cut short .* frames announced"):
        audio.load_audio(path)


def test_zero_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="holds no samples"):
        audio.load_audio(write(tmp_path / "clip.wav", np.zeros(0)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_refused(tmp_path: Path, value: float) -> None:
    samples = sine()
    samples[100] = value
    path = write(tmp_path / "clip.wav", samples, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"clip\.wav: holds NaN or infinite"):
        audio.load_audio(path)


def test_a_loud_float_file_is_to_be_turned_down_and_not_divided_by_32768(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.wav", 3.18 * sine(peak=1.0), subtype="FLOAT")
    with pytest.raises(
        AudioError, match=r"reach 3\.18.* Turn the sound down, dividing by 3\.18"
    ) as e:
        audio.load_audio(path)
    assert "32768" not in str(e.value)


@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_there_but_no_file_is_not_called_missing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.wav"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    word = {"pipe": "a named pipe", "folder": "a folder", "loop": "in a circle"}[kind]
    with pytest.raises(AudioError, match=word):
        audio.locate("x.wav", tmp_path)
    if kind != "loop":
        with pytest.raises(AudioError, match=word):
            audio.load_audio(path)
        with pytest.raises(AudioError, match=word):
            audio.content_hash(path)


def test_a_file_that_changes_is_hashed_again(wav: Path) -> None:
    os.utime(wav, (1, 1))
    first = audio.content_hash(wav)
    assert audio.content_hash(wav) == first
    wav.write_bytes(wav.read_bytes()[:-1] + b"\1")
    assert audio.content_hash(wav) == hashlib.sha256(wav.read_bytes()).hexdigest() != first


def test_samples_that_were_never_scaled_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.wav", 32768 * sine(), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"reach 1\.638e\+04, far beyond full scale"):
        audio.load_audio(path)


@pytest.mark.parametrize("level", [0.0, 0.25, -1 / 128])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_silence_is_refused_with_or_without_an_offset(
    tmp_path: Path, level: float, rate: int
) -> None:
    path = write(tmp_path / "clip.wav", np.full(rate, level), rate, subtype="FLOAT")
    with pytest.raises(AudioError, match="silent, peak below -80 dBFS: no sound"):
        audio.load_audio(path)


def test_silence_begins_at_80_decibels_below_full_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.wav", sine(peak=0.9e-4), subtype="FLOAT")
    with pytest.raises(AudioError, match="silent"):
        audio.load_audio(path)
    path = write(tmp_path / "clip.wav", sine(peak=1.1e-4), subtype="FLOAT")
    assert audio.load_audio(path).max() == pytest.approx(1.1e-4, rel=1e-3)


def test_sound_above_8_khz_alone_is_refused(tmp_path: Path) -> None:
    fade = np.hanning(48000)  # switched on at once, a tone is heard at all frequencies
    path = write(tmp_path / "clip.wav", fade * sine(48000, frequency=15000.0), 48000)
    with pytest.raises(AudioError, match="silent below 8000 Hz"):
        audio.load_audio(path)


def test_channels_in_opposite_phase_cancel_and_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.wav", np.stack([sine(), -sine()], axis=1), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"silent, .* its channels cancel out"):
        audio.load_audio(path)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3"])
def test_damage_is_survived_or_named(tmp_path: Path, ending: str) -> None:
    generator = np.random.default_rng(0)
    data = write(tmp_path / f"clip.{ending}", sine(seconds=0.3)).read_bytes()
    refused = 0
    for trial in range(60):
        damaged = bytearray(data)
        reach = min(80, len(data)) if trial % 2 else len(data)
        for place in generator.integers(0, reach, size=3):
            damaged[place] = generator.integers(0, 256)
        path = tmp_path / "damaged"
        path.write_bytes(damaged)
        try:
            waveform = audio.load_audio(path)
        except AudioError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert np.isfinite(waveform).all()
            assert np.abs(waveform).max() <= 1.0
    assert refused > 0


# --- roots and whole manifests -----------------------------------------------------------------


def test_the_first_root_that_has_the_file_wins(tmp_path: Path) -> None:
    sample, two = tmp_path / "one", tmp_path / "two"
    for file in (sample / "urdu/a.wav", two / "urdu/a.wav", two / "urdu/b.wav"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (sample / "urdu/b.wav").mkdir()  # a folder of that name is no sound file
    assert audio.locate("urdu/a.wav", [sample, two]) == sample / "urdu/a.wav"
    assert audio.locate("urdu/a.wav", [two, sample]) == two / "urdu/a.wav"
    assert audio.locate("urdu/b.wav", [sample, two]) == two / "urdu/b.wav"
    assert audio.locate("urdu/b.wav", two) == two / "urdu/b.wav"
    with pytest.raises(AudioError, match=r"urdu/c\.wav: no such file below .*one or .*two"):
        audio.locate("urdu/c.wav", [sample, two])
    with pytest.raises(AudioError, match="none was given"):
        audio.locate("urdu/c.wav", [])


def manifest_of(names: list[str], duration: float = 1.0, rate: int = 16000) -> pd.DataFrame:
    return manifest.validate(
        pd.DataFrame(
            {
                "utterance_id": [f"made/{name.partition('.')[0]}" for name in names],
                "corpus": "made",
                "path": [f"made/{name}" for name in names],
                "language": "en",
                "speaker": "made/A",
                "gender": "female",
                "emotion": None,
                "raw_label": None,
                "text_id": None,
                "duration": duration,
                "sample_rate": rate,
            }
        )
    )


@pytest.mark.parametrize("jobs", [1, 2])
def test_check_files_parts_good_from_bad(tmp_path: Path, jobs: int) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    names = ["good.wav", "other.wav", "gone.wav", "empty.wav", "mute.wav", "long.wav", "fast.wav"]
    for name in ("good.wav", "other.wav"):
        write(folder / name, sine())
    (folder / "empty.wav").touch()
    write(folder / "mute.wav", np.zeros(16000))
    write(folder / "long.wav", sine(seconds=1.2))
    write(folder / "fast.wav", sine(48000), 48000)
    kept, exclusions = audio.check_files(manifest_of(names), [tmp_path / "none", tmp_path], jobs)
    assert kept["path"].tolist() == ["made/good.wav", "made/other.wav"]
    assert kept.index.tolist() == [0, 1]
    assert [(item.path, item.reason.split(",")[0]) for item in exclusions] == [
        (
            "made/gone.wav",
            f"no such file below {tmp_path / 'none'} or {tmp_path}. Put the corpus "
            "in place (`lowser corpora list` tells where)",
        ),
        ("made/empty.wav", "an empty file (0 bytes). Get it anew"),
        ("made/mute.wav", "silent"),
        ("made/long.wav", "it lasts 1.20 s"),
        ("made/fast.wav", "its sample rate is 48000 Hz"),
    ]
    assert all("\n" not in item.reason for item in exclusions)


def test_check_files_may_leave_nothing(tmp_path: Path) -> None:
    kept, exclusions = audio.check_files(manifest_of(["a.wav", "b.wav"]), tmp_path)
    assert kept.empty
    assert list(kept.columns) == list(manifest.COLUMNS)
    assert len(exclusions) == 2


def test_content_hash_is_sha256_of_the_bytes(wav: Path, tmp_path: Path) -> None:
    assert audio.content_hash(wav) == hashlib.sha256(wav.read_bytes()).hexdigest()
    copy = tmp_path / "renamed.bin"
    copy.write_bytes(wav.read_bytes())
    assert audio.content_hash(copy) == audio.content_hash(wav)
    copy.write_bytes(wav.read_bytes() + b"\0")
    assert audio.content_hash(copy) != audio.content_hash(wav)
    with pytest.raises(AudioError, match="no such file"):
        audio.content_hash(tmp_path / "nowhere")


@pytest.mark.parametrize("corpus", ["urdu", "emodb"])
def test_real_corpora_decode_in_full(corpora_root: Path, corpus: str) -> None:
    table, _ = manifest.read(corpus, corpora_root)
    kept, exclusions = audio.check_files(table, [corpora_root], jobs=2)
    assert exclusions == []
    pd.testing.assert_frame_equal(kept, table)


def test_stereo_files_of_ravdess_are_mixed(corpora_root: Path) -> None:
    table, _ = manifest.read("ravdess", corpora_root)
    for path in table["path"][:40]:
        file = corpora_root / path
        samples, rate = audio.decode(file)
        assert rate == audio.SAMPLE_RATE
        assert np.array_equal(audio.load_audio(file), samples.mean(axis=1))


def test_usable_clips_list_what_is_silent_short_or_missing(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    for name, samples in {"good": noise, "silent": 0 * noise, "short": noise[:1600]}.items():
        soundfile.write(folder / f"{name}.wav", samples, 16000)
    lines = [f"{name}.wav,anna,female,de,sad," for name in ("good", "silent", "short", "missing")]
    header = "path,speaker,gender,language,label,text_id"
    (folder / "corpus.csv").write_text("\n".join([header, *lines]), encoding="utf-8")
    table, left_out = audio.usable_clips("table:mine", tmp_path)
    assert table["path"].tolist() == ["mine/good.wav"]
    reasons = {exclusion.path: exclusion.reason for exclusion in left_out}
    assert "the file is missing" in reasons.pop("mine/missing.wav")
    assert "0.10 s long" in reasons.pop("mine/short.wav")
    assert "silent" in reasons.pop("mine/silent.wav")
    assert not reasons
