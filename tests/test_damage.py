"""Sixty kills and two hundred flipped bits: what is read as good is what was written.

Commands are killed at random moments and run again until they end as if nothing had happened; what
they leave meanwhile is whole or refused. Then single bits are flipped in all that is kept.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from lowser_lib import manifest
from lowser_lib.corpora import synthetic
from lowser_lib.course import runner
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.errors import CheckpointError, LowserError
from lowser_lib.experiments import data, paths, preparation, records
from lowser_lib.methods import classifier
from lowser_lib.methods.baseline import BaselineConfig, train_baseline
from lowser_lib.sampling import ClipDataset
from lowser_lib.training import Execution, TrainingConfig, make_fabric
from lowser_lib.views import MelView
from lowser_lib.views.cache import extract_all

pytestmark = pytest.mark.slow

EMOTIONS = ("angry", "happy", "neutral", "sad")

SERVER = """
import json, os, signal, sys, time, traceback
from pathlib import Path
import nbclient, papermill, torch
from lowser_lib.corpora import synthetic
from lowser_lib.course import classifier_commands, cli, corpora_commands, refresh, runner
from lowser_lib.experiments import registry, summaries, transfer

torch.set_num_threads(1)
for line in sys.stdin:
    source, seconds = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        status = 70
        try:
            exec(source)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    end, done = time.monotonic() + seconds, (0, 0)
    while done == (0, 0) and time.monotonic() < end:
        done = os.waitpid(child, os.WNOHANG)
        time.sleep(0.001)
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
        done = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(done[1]), flush=True)
"""
"""Has imported everything; runs each source in a child of its own, and kills it when told."""


class Server:
    """Runs commands, some of them not to their end."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            text=True,
        )

    def run(self, source: str, seconds: float = 600.0) -> bool:
        """Run for so long at most; say whether it came to its end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([source, seconds]) + "\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline().strip()
        assert status in ("0", "-9"), (status, source, self._log.read_text()[-3000:])
        return status == "0"

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@pytest.fixture(scope="module")
def ground(
    tmp_path_factory: pytest.TempPathFactory, write_table: Callable[..., None]
) -> Iterator[Path]:
    """Two small corpora and an empty home."""
    folder = tmp_path_factory.mktemp("damage")
    write_table(folder / "corpora" / "english", "en", 10, EMOTIONS)
    write_table(folder / "corpora" / "german", "de", 4, EMOTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWSER_HOME", str(folder / "home"))
        patch.setenv("LOWSER_CORPORA", str(folder / "corpora"))
        yield folder


@pytest.fixture(scope="module")
def server(ground: Path) -> Iterator[Server]:
    made = Server(ground / "server.log")
    yield made
    made.close()


def kill(
    server: Server,
    kills: int,
    sources: list[str],
    clean: Callable[[], None],
    left: Callable[[], Any],
    pieces: Callable[[list[Any]], None],
    over_the_last: bool = False,
) -> None:
    """Kill commands at random moments, and compare what the last one leaves with what it should.

    Args:
        server: Runs them.
        kills: How often.
        sources: Commands that take turns.
        clean: Removes all that they leave.
        left: What there is after one that came to its end, to be compared.
        pieces: Looks at what there is after a kill; takes what it may be.
        over_the_last: Whether the next command finds what one has left that came to its end.
    """
    wanted, seconds = [], 0.0
    for source in sources:
        clean()
        begun = time.monotonic()
        assert server.run(source)
        seconds = max(seconds, time.monotonic() - begun)
        wanted.append(left())
    clean()
    draw, killed = random.Random(kills), 0
    for number in range(10 * kills):
        place = number % len(sources)
        if server.run(sources[place], draw.uniform(0, seconds)):
            assert left() == wanted[place]
            if not over_the_last:
                clean()
        else:
            killed += 1
            pieces(wanted)
        if killed == kills:
            break
    assert killed == kills
    for source, expected in zip(sources, wanted, strict=True):
        assert server.run(source)
        assert left() == expected


def remove(*folders: Path) -> Callable[[], None]:
    def clean() -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    return clean


def test_a_killed_sweep_ends_as_if_nothing_had_happened(ground: Path, server: Server) -> None:
    results = ground / "sweep"
    arguments = [
        *("sweep", "baseline", "--source", "table:english", "--target", "table:german"),
        *("--seeds", "2", "--jobs", "1", "--results", str(results)),
        *("--set", "training.epochs=3", "baseline.head_epochs=2"),
    ]

    def left() -> dict[str, Any]:
        kept = sorted(results.rglob("*.json"))
        return {path.name: records.read(path).metrics for path in kept}

    def pieces(wanted: list[Any]) -> None:
        assert left().items() <= wanted[0].items()

    clean = remove(results, ground / "home")
    kill(server, 20, [f"assert cli.main({arguments!r}) == 0"], clean, left, pieces)
    assert sorted(left()) == ["de-0.json", "de-1.json"]


def test_killed_preparation_keeps_no_half_manifest(ground: Path, server: Server) -> None:
    home = ground / "home"

    def left() -> tuple[str, str]:
        ready = preparation.prepare("table:english")
        return ready.manifest.to_json(), ready.hash

    def pieces(wanted: list[Any]) -> None:
        for path in home.rglob("*.parquet"):
            assert manifest.load(path).to_json() == wanted[0][0]

    source = "assert cli.main(['corpora', 'prepare', 'table:english']) == 0"
    kill(server, 10, [source], remove(home), left, pieces)


def test_killed_synthesis_leaves_a_whole_corpus_or_none(ground: Path, server: Server) -> None:
    made = ground / "made"
    sizes = {"names": ["synthetic_urdu"], "clips_per_cell": 1, "max_speakers": 2, "jobs": 1}

    def left() -> str:
        return synthetic.content_hash(made / "synthetic_urdu")

    def pieces(wanted: list[Any]) -> None:
        assert not (made / "synthetic_urdu").exists() or left() == wanted[0]

    source = f"synthetic.synthesize(Path({str(made)!r}), progress=False, **{sizes!r})"
    kill(server, 5, [source], remove(made), left, pieces)


def test_a_killed_training_leaves_a_classifier_or_none(ground: Path, server: Server) -> None:
    output = ground / "classifier"
    nano = WhisperEncoder.load("nano", layers=1)
    clip = ground / "corpora" / "german" / "audio" / "0_0.wav"

    def left() -> tuple[Any, Any]:
        model = classifier.load(output, nano)
        return model.notes["training"], model.predict(clip).to_dict()

    def pieces(wanted: list[Any]) -> None:
        # Never the one's card with the other's weights: that is refused.
        with contextlib.suppress(CheckpointError):
            assert left() in wanted

    sources = [
        f"assert cli.main({['train', f'table:{name}', '--layers', '1', '--output', str(output)]!r})"
        " == 0"
        for name in ("english", "german")
    ]
    clean = remove(output, ground / "home")
    kill(server, 15, sources, clean, left, pieces, over_the_last=True)


def test_a_killed_run_is_taken_up_again(
    ground: Path, server: Server, write_notebook: Callable[..., Path]
) -> None:
    cells = ["from lowser_lib.experiments.records import record", 'record("sum", {"value": 3})']
    for name in ("00_first", "01_second"):
        write_notebook(ground / "notebooks" / f"{name}.ipynb", [*cells, "print('the end')"])
    output, results = ground / "output", ground / "results"
    settings = runner.RunSettings(
        ground / "notebooks", output, results, resume=True, progress=False
    )

    def read() -> dict[str, Any]:
        return {path.name: records.read(path).metrics for path in results.glob("fast/*.json")}

    def left() -> tuple[Any, Any, Any]:
        texts = [path.read_text(encoding="utf-8") for path in sorted(output.glob("*.ipynb"))]
        told = runner.load_report(settings.report_path)
        status = [(chapter.chapter, chapter.status) for chapter in told.chapters]
        return ["the end\\n" in text for text in texts], status, read()

    def pieces(wanted: list[Any]) -> None:
        assert read().items() <= wanted[0][2].items()
        assert (
            not settings.report_path.exists() or not runner.load_report(settings.report_path).failed
        )

    source = (
        f"runner.run(runner.RunSettings(Path({str(ground / 'notebooks')!r}), "
        f"Path({str(output)!r}), Path({str(results)!r}), resume=True, progress=False), print)"
    )
    kill(server, 10, [source], remove(output, results), left, pieces)
    assert left()[0] == [True, True]


# --- flipped bits --------------------------------------------------------------------------------


class Kept(NamedTuple):
    """What is kept of one kind.

    Attributes:
        flips: How many bits are flipped in turn.
        folder: Where it lies.
        pattern: Its files.
        read: Reads it; what comes back can be compared.
    """

    flips: int
    folder: Path
    pattern: str
    read: Callable[[], Any]


def checkpoint(folder: Path) -> Callable[[], Any]:
    """A training that stopped after its second epoch, and goes on from there."""
    draw = torch.Generator().manual_seed(0)
    sounds = [torch.randn(80, 40, generator=draw) for _ in range(16)]
    clips = ClipDataset(sounds, torch.arange(16) % 4)
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)

    def train(stop_after: int | None = None) -> dict[str, Any]:
        judged: list[float] = []

        def metric(truth: Any, answers: Any) -> float:
            if len(judged) == stop_after:
                raise InterruptedError
            judged.append(float((truth == answers).mean()))
            return judged[-1]

        model, _ = train_baseline(
            encoder,
            clips,
            clips,
            metric=metric,
            generator=torch.Generator().manual_seed(0),
            settings=BaselineConfig(head_epochs=0, encoder_learning_rate=1e-3),
            training=TrainingConfig(epochs=3, batch_size=8, patience=None),
            execution=Execution(
                make_fabric("cpu", "32-true"), folder / "training.pt", resume=stop_after is None
            ),
        )
        return {name: value.tolist() for name, value in model.state_dict().items()}

    with pytest.raises(InterruptedError):
        train(stop_after=2)
    return train


def everything(ground: Path) -> dict[str, Kept]:
    """All kinds of files that are kept, made anew."""
    home, kept = paths.home(), ground / "kept"
    shutil.rmtree(home, ignore_errors=True)
    speech = data.load(["table:english"], progress=False)
    made = records.new_record(
        seconds=1.0, chapter="03", name="sum", profile="fast", seed=0, metrics={"value": 0.125},
        config={"terms": 2}, corpora=dict(speech.hashes), device={}, commit={},
    )  # fmt: skip
    path = made.save(kept / "records")
    told = runner.Report("fast", 0).having(
        runner.ChapterResult("03", "t", "03.ipynb", "abc", "ok", 1.5, metrics={"sum": {"v": 1}})
    )
    told.save(kept / "report" / "report.json")
    encoder = WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)
    model, _ = classifier.train(
        speech.manifest, speech.roots, encoder, EMOTIONS, layer=1, cache=None
    )
    classifier.save(model, kept / "classifier")
    wave = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)

    def answers() -> Any:
        known = classifier.load(kept / "classifier")
        return known.card(), known.predict(wave).to_dict()

    def manifest_read() -> Any:
        ready = preparation.prepare("table:english")
        return ready.manifest.to_json(), ready.hash, ready.exclusions, ready.notes

    def views() -> Any:
        arrays = extract_all(MelView(), speech.manifest, speech.roots, home / "features")
        return [array.tobytes() for array in arrays]

    views()
    (kept / "training").mkdir()
    return {
        "checkpoint": Kept(40, kept / "training", "*.pt", checkpoint(kept / "training")),
        "record": Kept(40, kept / "records", "**/*.json", lambda: records.read(path)),
        "report": Kept(
            10,
            kept / "report",
            "*.json",
            lambda: runner.load_report(kept / "report" / "report.json"),
        ),
        "manifest": Kept(30, home / "manifests", "*.*", manifest_read),
        "cache": Kept(40, home / "features", "**/*.safetensors", views),
        "classifier": Kept(40, kept / "classifier", "*.*", answers),
    }


def test_no_flipped_bit_is_read_as_something_else(ground: Path, one_thread: None) -> None:
    draw, noticed = random.Random(0), {}
    kinds = everything(ground)
    assert sum(kind.flips for kind in kinds.values()) == 200
    for name, kind in kinds.items():
        whole = ground / "whole" / name
        shutil.copytree(kind.folder, whole)
        right, noticed[name] = kind.read(), 0
        for _ in range(kind.flips):
            shutil.rmtree(kind.folder)
            shutil.copytree(whole, kind.folder)
            file = draw.choice(sorted(kind.folder.glob(kind.pattern)))
            content = bytearray(file.read_bytes())
            place = draw.randrange(8 * len(content))
            content[place // 8] ^= 1 << place % 8
            file.write_bytes(content)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a damaged shard is made again
                    assert kind.read() == right, (name, file.name, place)
            except LowserError:
                noticed[name] += 1
    # Caches are made again in silence; of the rest nearly every bit counts.
    assert noticed["record"] == 40
    assert noticed["report"] == 10
    assert noticed["classifier"] > 35
    assert noticed["checkpoint"] > 20
    assert noticed["manifest"] == noticed["cache"] == 0
