"""Synthetic corpora: what is planned, what is made, and what happens when making it fails."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import opensmile
import pytest
import soundfile

import lowser_lib
from lowser_lib import audio
from lowser_lib.corpora import synthetic
from lowser_lib.corpora.base import EMOTIONS
from lowser_lib.corpora.synthetic import (
    STUDIO,
    channel,
    prosody,
    sentences,
    through_one_channel,
    worker,
)
from lowser_lib.corpora.synthetic.plan import Batch, generator, make_plan
from lowser_lib.errors import CorpusError, SynthesisError

LABELLED = tuple(name for name in synthetic.NAMES if name not in synthetic.UNLABELLED_CORPORA)
ROOT = Path(lowser_lib.__file__).resolve().parent.parent


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "corpus.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the plan: no sound needed -------------------------------------------------------------------


def test_plan_has_the_promised_size() -> None:
    plans = {name: make_plan(name) for name in synthetic.NAMES}
    assert sum(len(batch.clips) for plan in plans.values() for batch in plan) >= 3_000
    for name in LABELLED:
        assert len(plans[name]) >= 20, name
        assert {clip.label for batch in plans[name] for clip in batch.clips} == set(EMOTIONS)
    voices = plans["synthetic_voices"]
    speakers = Counter(batch.speaker.language for batch in voices)
    assert set(speakers) == set(sentences.LANGUAGES) and min(speakers.values()) >= 16
    assert min(len(batch.clips) for batch in voices) >= 12
    assert {clip.label for batch in voices for clip in batch.clips} == {""}


def test_urdu_is_skewed_by_gender_but_no_cell_is_empty() -> None:
    cells = Counter(
        (batch.speaker.gender, clip.label)
        for batch in make_plan("synthetic_urdu")
        for clip in batch.clips
    )
    male = sum(count for (gender, _), count in cells.items() if gender == "male")
    assert male / cells.total() == pytest.approx(0.86, abs=0.005)
    assert (
        min(cells[gender, emotion] for gender in ("female", "male") for emotion in EMOTIONS) >= 15
    )


@pytest.mark.parametrize("name", [n for n in LABELLED if n != "synthetic_urdu"])
def test_the_others_are_balanced(name: str) -> None:
    cells = Counter(
        (batch.speaker.gender, clip.label) for batch in make_plan(name) for clip in batch.clips
    )
    assert len(cells) == 8 and len(set(cells.values())) == 1


def test_words_do_not_tell_the_emotion() -> None:
    for name in LABELLED:
        if name == "synthetic_urdu":  # few clips a woman: its cells cannot be equal
            continue
        for batch in make_plan(name):
            text = defaultdict(set)
            for clip in batch.clips:
                text[clip.label].add(clip.text_id)
            assert len(set(map(frozenset, text.values()))) == 1


def test_plan_is_a_function_of_its_arguments() -> None:
    assert make_plan("synthetic_german", 3) == make_plan("synthetic_german", 3)
    assert make_plan("synthetic_german", 3) != make_plan("synthetic_german", 4)


def test_no_id_occurs_twice() -> None:
    batches = [batch for name in synthetic.NAMES for batch in make_plan(name)]
    # A manifest puts the corpus before both; the two Urdu corpora number their voices alike.
    speakers = [(batch.corpus, batch.speaker.name) for batch in batches]
    paths = [(batch.corpus, clip.path) for batch in batches for clip in batch.clips]
    assert len(set(speakers)) == len(speakers) and len(set(paths)) == len(paths)
    texts = [s for part in (sentences.LABELLED, sentences.UNLABELLED) for s in part.values()]
    answered = [sentence for group in texts for sentence in group]
    assert len({s.text for s in answered}) == len({s.text_id for s in answered}) == len(answered)


def test_only_listed_variants_speak_and_genders_overlap_in_pitch() -> None:
    speakers = [batch.speaker for name in synthetic.NAMES for batch in make_plan(name)]
    assert {s.voice.split("+")[1] for s in speakers} <= set(synthetic.COURSE_VARIANTS)
    highest_male = max(s.pitch for s in speakers if s.gender == "male")
    assert highest_male > min(s.pitch for s in speakers if s.gender == "female")


def test_batch_survives_json() -> None:
    batch = make_plan("synthetic_urdu")[0]
    assert Batch.from_json(json.loads(json.dumps(batch.to_json()))) == batch


def test_limits_shrink_the_plan() -> None:
    plan = make_plan("synthetic_english", clips_per_cell=1, max_speakers=2)
    assert len(plan) == 4
    assert Counter(clip.label for batch in plan for clip in batch.clips) == dict.fromkeys(
        EMOTIONS, 4
    )


def test_neutral_is_the_origin_of_the_rules() -> None:
    style = prosody.make_style("en", generator(0, "style"))
    cues = [
        prosody.make_cues("neutral", 1.0, "en", style, generator(0, str(i))) for i in range(400)
    ]
    for cue in prosody.CUES:
        values = [getattr(c, cue) for c in cues]
        spread = getattr(prosody.CLIP_SPREAD, cue)
        assert np.mean(values) == pytest.approx(0.0, abs=4 * spread / np.sqrt(len(values)))


@pytest.mark.parametrize("language", sentences.LANGUAGES)
def test_language_shares_the_directions_of_arousal(language: str) -> None:
    styles = [prosody.make_style(language, generator(0, "style", str(i))) for i in range(200)]

    def mean(emotion: str, cue: str) -> float:
        cues = (
            prosody.make_cues(emotion, 1.0, language, style, generator(0, emotion, str(i)))
            for i, style in enumerate(styles)
        )
        return float(np.mean([getattr(c, cue) for c in cues]))

    for cue in ("rate", "level", "tilt", "pitch_range"):
        assert mean("sad", cue) < mean("neutral", cue) < mean("angry", cue) + 0.1, cue
    assert mean("happy", "pitch") > mean("neutral", "pitch") + 1.0


# --- the sound -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """All five corpora, with two speakers a language, made by two processes."""
    root = tmp_path_factory.mktemp("made")
    hashes = synthetic.synthesize(root, jobs=2, progress=False, clips_per_cell=1, max_speakers=1)
    return root, hashes


def test_table_and_audio_agree(small: tuple[Path, dict[str, str]]) -> None:
    root, hashes = small
    assert tuple(hashes) == synthetic.NAMES
    for name in synthetic.NAMES:
        rows = table(root / name)
        assert tuple(rows[0]) == ("path", "speaker", "gender", "language", "label", "text_id")
        on_disk = {f"audio/{path.name}" for path in (root / name / "audio").iterdir()}
        assert {row["path"] for row in rows} == on_disk
        assert {row["gender"] for row in rows} == {"female", "male"}
        labels = {row["label"] for row in rows}
        if name in synthetic.UNLABELLED_CORPORA:
            assert labels == {""} and {row["language"] for row in rows} == set(sentences.LANGUAGES)
        else:
            assert labels <= set(EMOTIONS) and len({row["language"] for row in rows}) == 1
    assert not [path for path in root.iterdir() if path.name.startswith(".")]


def test_audio_is_16_khz_16_bit_mono_and_sounds(small: tuple[Path, dict[str, str]]) -> None:
    for path in small[0].rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert 1.0 < info.duration < 6.0, path.name
        samples, _ = soundfile.read(path)
        assert 0.01 < np.max(np.abs(samples)) < 0.98, path.name
        assert np.std(samples) > 0.001, path.name


def test_every_sentence_is_spoken(tmp_path: Path) -> None:
    # A sentence that the synthesizer cannot read comes out much too short for its words.
    name = "synthetic_voices"
    tasks, lengths = [], {}
    (tmp_path / "audio").mkdir()
    for batch in make_plan(name, max_speakers=1):
        language = batch.speaker.language
        clip = replace(batch.clips[0], rate=160, gap=0, tract=1.0)
        clips = []
        for sentence in (*sentences.LABELLED[language], *sentences.UNLABELLED[language]):
            words = tuple(f"{sentence.text}.".split())
            path = f"audio/{batch.speaker.name}_{sentence.text_id}.wav"
            pitches = (50,) * len(words)
            clips.append(replace(clip, words=words, pitches=pitches, path=path))
            lengths[path] = len(sentence.text)
        if batch.speaker.gender == "male":
            tasks.append(worker.Task(replace(batch, clips=tuple(clips)), tmp_path))
    worker.run_tasks(tasks, jobs=2, done=lambda task: None)
    made = {path: soundfile.info(tmp_path / path).duration for path in lengths if "_vm" in path}
    assert len(made) == 4 * 22
    for path, seconds in made.items():
        assert 0.035 < seconds / lengths[path] < 0.13, path


def test_bytes_do_not_depend_on_jobs_or_company(
    small: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, hashes = small
    names = ("synthetic_urdu", "synthetic_german")
    alone = synthetic.synthesize(
        tmp_path, names=names, jobs=1, progress=False, clips_per_cell=1, max_speakers=1
    )
    for name in names:
        assert contents(tmp_path / name) == contents(root / name)
        assert alone[name] == hashes[name] == synthetic.content_hash(root / name)


def test_another_seed_gives_other_sounds(
    small: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    name = "synthetic_bangla"
    other = synthetic.synthesize(
        tmp_path, names=[name], seed=1, progress=False, clips_per_cell=1, max_speakers=1
    )
    assert other[name] != small[1][name]


def test_cues_arrive_in_the_sound(tmp_path: Path) -> None:
    """Full-strength rules, the same voice: sad against angry speech, as the rules order them."""
    batch = next(b for b in make_plan("synthetic_english") if b.speaker.gender == "female")
    by_label = {clip.label: clip for clip in batch.clips[::-1]}
    calm, wild = by_label["neutral"], by_label["neutral"]
    calm = replace(calm, path="audio/sad.wav", rate=120, pitch_range=20, tilt=-7.0, level=-5.0)
    wild = replace(wild, path="audio/angry.wav", rate=190, pitch_range=80, tilt=9.0, level=6.0)
    wild = replace(wild, pitches=tuple(p + 12 for p in wild.pitches))
    (tmp_path / "audio").mkdir()
    task = worker.Task(replace(batch, clips=(calm, wild)), tmp_path)
    worker.run_tasks([task], jobs=1, done=lambda task: None)
    sad, angry = (soundfile.read(tmp_path / clip.path)[0] for clip in (calm, wild))

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    measured = [smile.process_signal(x, 16_000).iloc[0] for x in (sad, angry)]

    def rise(feature: str) -> float:
        return float(measured[1][feature] - measured[0][feature])

    assert len(sad) > 1.25 * len(angry)
    assert rise("F0semitoneFrom27.5Hz_sma3nz_percentile50.0") > 1.5
    assert rise("F0semitoneFrom27.5Hz_sma3nz_pctlrange0-2") > 1.0
    assert rise("alphaRatioV_sma3nz_amean") > 6.0
    assert rise("equivalentSoundLevel_dBp") > 6.0


def test_emotions_differ_on_average_in_the_small_corpus(tmp_path: Path) -> None:
    name = "synthetic_english"
    synthetic.synthesize(tmp_path, names=[name], progress=False, clips_per_cell=1)
    seconds = defaultdict(list)
    for row in table(tmp_path / name):
        seconds[row["label"]].append(soundfile.info(tmp_path / name / row["path"]).duration)
    median = {label: np.median(values) for label, values in seconds.items()}
    assert median["angry"] < median["neutral"] < median["sad"]


# --- channel -------------------------------------------------------------------------------------


def test_tilt_is_a_shelf() -> None:
    tones = np.arange(16_000) / 16_000
    rng = np.random.default_rng(0)
    gains = []
    for frequency in (100.0, 6_000.0):
        tone = np.sin(2 * np.pi * frequency * tones)
        out = channel.voice_quality(tone, tilt=6.0, breath=-200.0, shimmer=0.0, rng=rng)
        gains.append(20 * np.log10(np.std(out[2_000:]) / np.std(tone[2_000:])))
    assert gains == pytest.approx([0.0, 6.0], abs=0.4)


@pytest.mark.parametrize("kind", ["studio", "talk_show", "room", "telephone", "home"])
def test_channel_keeps_length_and_range(kind: str) -> None:
    rng = np.random.default_rng(0)
    speaker_channel = channel.make_channel(kind, rng)
    clip = 0.3 * rng.standard_normal(20_000)
    room = channel.room_response(speaker_channel, rng) if speaker_channel.reverberation else None
    out = channel.transmit(clip, speaker_channel, room=room, babble=None, rng=rng)
    assert out.shape == clip.shape and np.max(np.abs(out)) <= channel.PEAK + 1e-12
    spectrum = np.square(np.abs(np.fft.rfft(out)))
    frequencies = np.fft.rfftfreq(out.size, 1 / 16_000)
    if speaker_channel.high < 5_000:
        passed = spectrum[(frequencies > 1_000) & (frequencies < 0.9 * speaker_channel.high)].mean()
        # Companding leaves noise of its own above the band.
        assert spectrum[frequencies > 1.4 * speaker_channel.high].mean() < 0.02 * passed


def test_unknown_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="moon"):
        channel.make_channel("moon", np.random.default_rng(0))


# --- failures ------------------------------------------------------------------------------------


class CrashingWorker(worker.Worker):
    """A worker whose process is killed while it is at work, as often as `crashes` says."""

    crashes = 1
    lock = threading.Lock()

    def ask(self, task: worker.Task) -> dict:
        with CrashingWorker.lock:
            crash = CrashingWorker.crashes > 0
            CrashingWorker.crashes -= 1
        if crash:
            self.process = self.process or self._start()
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return super().ask(task)


def small_task(folder: Path) -> worker.Task:
    (folder / "audio").mkdir(parents=True)
    return worker.Task(make_plan("synthetic_german", clips_per_cell=1, max_speakers=1)[0], folder)


def test_killed_worker_is_replaced_and_its_work_done(tmp_path: Path) -> None:
    CrashingWorker.crashes = worker.ATTEMPTS - 1
    plain, crashed = small_task(tmp_path / "plain"), small_task(tmp_path / "crashed")
    done: list[worker.Task] = []
    worker.run_tasks([plain], jobs=1, done=done.append)
    worker.run_tasks([crashed], jobs=1, done=done.append, make_worker=CrashingWorker)
    assert done == [plain, crashed]
    assert contents(plain.folder) == contents(crashed.folder)


def test_worker_that_keeps_dying_is_reported(tmp_path: Path) -> None:
    CrashingWorker.crashes = 100
    with pytest.raises(SynthesisError, match=r"de_f01.*crashed 3 times.*signal 9"):
        worker.run_tasks(
            [small_task(tmp_path)], jobs=1, done=lambda task: None, make_worker=CrashingWorker
        )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no child processes by fork here")
def test_crash_of_the_library_ends_only_the_child(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from lowser_lib.corpora.synthetic import worker\n"
        "worker.make_batch = lambda batch, folder: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "worker.main()\n"
    )
    task = small_task(tmp_path)
    line = json.dumps({"batch": task.batch.to_json(), "folder": str(tmp_path)}) + "\n"
    ended = subprocess.run(
        [sys.executable, "-c", script], input=2 * line, capture_output=True, text=True, cwd=ROOT,
        check=True,
    )  # fmt: skip
    assert [json.loads(reply) for reply in ended.stdout.splitlines()] == 2 * [
        {"crashed": f"signal {int(signal.SIGSEGV)}"}
    ]


def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(synthetic, "finish", disk_full)
    with pytest.raises(SynthesisError, match=f"cannot write to {tmp_path}.*No space left"):
        synthetic.synthesize(
            tmp_path, names=["synthetic_german"], progress=False, clips_per_cell=1, max_speakers=1
        )
    assert not list(tmp_path.iterdir())


def test_disk_error_in_a_worker_is_no_crash(tmp_path: Path) -> None:
    task = small_task(tmp_path)
    (tmp_path / "audio").rmdir()
    with pytest.raises(SynthesisError, match=r"cannot write to .*FileNotFoundError"):
        worker.run_tasks([task], jobs=1, done=lambda task: None)


def test_unknown_voice_is_reported(tmp_path: Path) -> None:
    task = small_task(tmp_path)
    speaker = replace(task.batch.speaker, voice="xx+m1")
    with pytest.raises(SynthesisError, match=r"de_f01.*no voice 'xx\+m1'"):
        worker.run_tasks(
            [replace(task, batch=replace(task.batch, speaker=speaker))],
            jobs=1,
            done=lambda task: None,
        )


@pytest.mark.parametrize("damage", ["no record", "version", "settings", "clip", "garbage"])
def test_only_complete_folders_are_taken(
    small: tuple[Path, dict[str, str]], tmp_path: Path, damage: str
) -> None:
    name = "synthetic_german"
    folder = tmp_path / name
    (folder / "audio").mkdir(parents=True)
    for path, content in contents(small[0] / name).items():
        (folder / path).write_bytes(content)
    record = folder / "complete.json"
    fields = json.loads(record.read_text())
    identity = {key: fields[key] for key in ("version", "seed", "settings")}
    assert synthetic.read_complete(folder, identity) == small[1][name]

    if damage == "no record":
        record.unlink()
    elif damage == "version":
        record.write_text(json.dumps({**fields, "version": -1}))
    elif damage == "settings":
        record.write_text(json.dumps({**fields, "settings": {}}))
    elif damage == "clip":
        next((folder / "audio").iterdir()).unlink()
    else:
        record.write_text("{")
    assert synthetic.read_complete(folder, identity) is None
    again = synthetic.synthesize(
        tmp_path, names=[name], jobs=1, progress=False, clips_per_cell=1, max_speakers=1
    )
    assert again[name] == small[1][name]
    assert contents(folder) == contents(small[0] / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_complete_folder_is_left_alone(
    small: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(synthetic, "_make", unwanted)
    root, hashes = small
    assert synthetic.synthesize(root, clips_per_cell=1, max_speakers=1) == hashes


def test_second_to_finish_gives_way(small: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    name = "synthetic_german"
    plan = make_plan(name, clips_per_cell=1, max_speakers=1)
    fields = json.loads((small[0] / name / "complete.json").read_text())
    identity = {key: fields[key] for key in ("version", "seed", "settings")}
    with synthetic.sibling(tmp_path / name) as first, synthetic.sibling(tmp_path / name) as second:
        for made in (first, second):
            for clip in (clip for batch in plan for clip in batch.clips):
                (made / clip.path).write_bytes((small[0] / name / clip.path).read_bytes())
        assert synthetic.finish(first, tmp_path / name, identity, plan) == small[1][name]
        untouched = (tmp_path / name).stat().st_ino
        assert synthetic.finish(second, tmp_path / name, identity, plan) == small[1][name]
        assert (tmp_path / name).stat().st_ino == untouched
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_worker_does_not_load_heavy_libraries() -> None:
    script = (
        "import sys, lowser_lib.corpora.synthetic.worker;"
        "print([m for m in ('torch', 'pandas', 'sklearn', 'librosa') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert ended.stdout.strip() == "[]"


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"synthetic_klingon.*synthetic_english"):
        synthetic.synthesize(tmp_path, names=["synthetic_klingon"])
    bad = (("jobs", 0), ("seed", -1), ("clips_per_cell", 0), ("max_speakers", 0))
    for argument, value in bad:
        arguments: dict[str, Any] = {argument: value}
        with pytest.raises(ValueError, match=f"{argument} must be at least .*, not {value}"):
            synthetic.synthesize(tmp_path, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["cut", "zeroed", "one bit", "table"])
def test_damaged_speech_is_noticed_by_its_hash_and_made_anew(
    small: tuple[Path, dict[str, str]], tmp_path: Path, kind: str
) -> None:
    root, hashes = small
    name = next(iter(hashes))
    shutil.copytree(root / name, tmp_path / name)
    record = json.loads((tmp_path / name / synthetic.COMPLETE).read_text())
    identity = {key: record[key] for key in ("version", "seed", "settings")}
    assert synthetic.read_complete(tmp_path / name, identity) == hashes[name]
    clip = sorted((tmp_path / name / "audio").iterdir())[0]
    data = clip.read_bytes()
    if kind == "cut":
        clip.write_bytes(data[: len(data) // 2])
    elif kind == "zeroed":
        clip.write_bytes(data[:4000] + bytes(400) + data[4400:])
    elif kind == "one bit":
        clip.write_bytes(data[:5000] + bytes([data[5000] ^ 64]) + data[5001:])
    else:
        lines = (tmp_path / name / synthetic.TABLE).read_text()
        (tmp_path / name / synthetic.TABLE).write_text(lines.replace("male", "mail", 1))
    with pytest.warns(UserWarning, match="is damaged and will be made anew"):
        assert synthetic.read_complete(tmp_path / name, identity) is None


# The same voices through one microphone: same files, same plan, another sound


def test_one_channel_keeps_the_files_and_changes_the_band(tmp_path: Path) -> None:
    through_one_channel("synthetic_bangla", tmp_path / "one", max_speakers=1)
    synthetic.synthesize(
        tmp_path, names=["synthetic_bangla"], max_speakers=1, progress=False, jobs=1
    )
    ours = sorted(path.name for path in (tmp_path / "one" / "audio").iterdir())
    planned = synthetic.make_plan("synthetic_bangla", max_speakers=1)
    assert ours == sorted(Path(clip.path).name for batch in planned for clip in batch.clips)
    original, shared = (
        audio.load_audio(folder / "audio" / ours[0])
        for folder in (tmp_path / "synthetic_bangla", tmp_path / "one")
    )
    high = [
        float((np.abs(np.fft.rfft(wave))[len(wave) * 5 // 16 :] ** 2).sum() / (wave**2).sum())
        for wave in (original, shared)
    ]
    assert high[1] > 10 * high[0]  # a telephone ends below 4 kHz, a studio does not
    assert STUDIO.high == 8_000
