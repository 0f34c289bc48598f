"""The training loop: what it does at a step, when it stops, and how it resumes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader

from lowser_lib.encoders import WhisperEncoder
from lowser_lib.encoders.checkpoints import EncoderDimensions
from lowser_lib.errors import CheckpointError, TrainingError
from lowser_lib.methods.baseline import (
    Baseline,
    BaselineConfig,
    EmotionClassifier,
    repeat_baseline,
    train_baseline,
)
from lowser_lib.sampling import Batch, ClipDataset, Clips, LengthBucketSampler
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.training import (
    Execution,
    History,
    Recipe,
    Step,
    TrainingConfig,
    classify,
    embed,
    fit,
    loop,
    make_fabric,
    match_embeddings,
    predict,
    warmup_cosine,
)

#: Tiny products are slower on many threads than on one.
pytestmark = pytest.mark.usefixtures("one_thread")

N_MELS = 5


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def accuracy(true: np.ndarray, predicted: np.ndarray) -> float:
    return float((true == predicted).mean())


class FakeEncoder(nn.Module):
    """A linear map of each frame, averaged over the clip's own frames."""

    dimension = 6

    def __init__(self) -> None:
        super().__init__()
        weight = np.random.default_rng(1).standard_normal((6, N_MELS), dtype=np.float32)
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.bias = nn.Parameter(torch.zeros(6), requires_grad=False)

    def embed(self, mel: Tensor, lengths: Tensor) -> Tensor:
        real = torch.arange(mel.shape[2], device=mel.device) < lengths[:, None]
        return (self.weight @ mel * real[:, None]).sum(dim=2) / lengths[:, None] + self.bias


def toy_clips(n_clips: int = 48, seed: int = 0) -> ClipDataset:
    """Four classes that differ in which mel band is loud; lengths from 3 to 12 frames."""
    random = np.random.default_rng(seed)
    labels = torch.arange(n_clips) % 4
    mels = []
    for label in labels.tolist():
        mel = random.standard_normal((N_MELS, random.integers(3, 13)), dtype=np.float32)
        mel[label] += 2.0
        mels.append(mel)
    return ClipDataset(mels, labels)


def loader_of(clips: Clips, sampler: Any) -> DataLoader[Any]:
    return DataLoader(clips, batch_sampler=sampler, collate_fn=clips.collate)


def make_run(seed: int = 0, n_clips: int = 48) -> tuple[EmotionClassifier, Recipe, DataLoader[Any]]:
    model = EmotionClassifier(FakeEncoder(), hidden=8, dropout=0.5, generator=generator(seed))
    data = toy_clips(n_clips)
    loader = loader_of(data, LengthBucketSampler(data.lengths, 8, generator(seed)))
    return model, Baseline(model, BaselineConfig(hidden=8, encoder_learning_rate=1e-2)), loader


def keeping(path: Path, resume: bool = False) -> Execution:
    return Execution(make_fabric("cpu"), path, resume)


def exact() -> Execution:
    return Execution(make_fabric("cpu", "64-true"))


def weights(module: Any) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


CONFIG = TrainingConfig(epochs=5, batch_size=8, patience=None)


class InterruptedRunError(Exception):
    """Stands for a killed process."""


class StoppingLoader:
    """Stops the run in the middle of one epoch."""

    def __init__(self, loader: DataLoader[Any], epoch: int) -> None:
        self.loader, self.stop_epoch = loader, epoch
        self.batch_sampler = cast(Any, loader.batch_sampler)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Any:
        for index, batch in enumerate(self.loader):
            if self.batch_sampler.epoch == self.stop_epoch and index == 2:
                raise InterruptedRunError
            yield batch


# --- learning --------------------------------------------------------------------------------


def test_learns_a_toy_problem_and_keeps_the_encoder_given() -> None:
    encoder = FakeEncoder()
    before = weights(encoder)
    test = toy_clips(80, seed=9)
    model, history = train_baseline(
        encoder,
        toy_clips(64),
        toy_clips(40, seed=5),
        metric=accuracy,
        generator=generator(),
        settings=BaselineConfig(hidden=16, learning_rate=3e-2, encoder_learning_rate=1e-2),
        training=TrainingConfig(epochs=6, batch_size=8),
    )
    assert accuracy(test.labels.numpy(), predict(model, test).argmax(1)) > 0.8  # chance: 0.25
    assert history["loss"][-1] < history["loss"][0]
    assert not torch.equal(weights(model.encoder)["weight"], encoder.weight)
    assert_same(weights(encoder), before)


def sounds_of(clips: ClipDataset) -> WaveformDataset:
    """Noise in place of the clips' sounds, with their labels."""
    random = np.random.default_rng(4)
    noise = [0.1 * random.standard_normal(1600, dtype=np.float32) for _ in range(len(clips))]
    return WaveformDataset(noise, clips.labels)


def wide_toy_clips(n_clips: int = 16) -> ClipDataset:
    """Noise with all 80 mel bands, which augmentations of spectrograms ask for."""
    random = np.random.default_rng(2)
    mels = [random.standard_normal((80, 30), dtype=np.float32) for _ in range(n_clips)]
    return ClipDataset(mels, torch.arange(n_clips) % 4)


class WideEncoder(FakeEncoder):
    def __init__(self) -> None:
        super().__init__()
        weight = np.random.default_rng(1).standard_normal((6, 80), dtype=np.float32)
        self.weight = nn.Parameter(torch.from_numpy(weight))


def trained_with(augmentations: str, sounds: Clips | None, strength: float = 1.0) -> Tensor:
    """The encoder's weights after two passes."""
    model, _ = train_baseline(
        WideEncoder(),
        wide_toy_clips(),
        metric=accuracy,
        generator=generator(),
        settings=BaselineConfig(
            hidden=8, augmentations=augmentations, strength=strength, head_epochs=1
        ),
        training=TrainingConfig(epochs=2, batch_size=8),
        sounds=sounds,
    )
    return weights(model.encoder)["weight"]


def test_augmentations_of_spectrograms_need_no_sounds() -> None:
    masked = trained_with("frequency-mask", None)
    assert torch.equal(masked, trained_with("frequency-mask", None))
    assert not torch.equal(masked, trained_with("frequency-mask", None, strength=0))


def test_augmentations_of_waveforms_begin_with_the_sounds() -> None:
    sounds = sounds_of(wide_toy_clips())
    noisy = trained_with("noise", sounds)
    assert torch.equal(noisy, trained_with("noise", sounds))
    louder = WaveformDataset([2 * wave for wave in sounds.samples], sounds.labels)
    assert not torch.equal(noisy, trained_with("noise", louder))
    with pytest.raises(ValueError, match="'noise' change waveforms: hand the training clips"):
        trained_with("noise", None)
    with pytest.raises(ValueError, match="the same order: labels differ"):
        trained_with("noise", WaveformDataset(sounds.samples, sounds.labels.flip(0)))


def test_a_probe_trains_the_head_alone() -> None:
    encoder, test = FakeEncoder(), toy_clips(80, seed=9)
    model, _ = train_baseline(
        encoder,
        toy_clips(64),
        metric=accuracy,
        generator=generator(),
        settings=BaselineConfig(hidden=16, learning_rate=3e-2, encoder_learning_rate=0),
        training=TrainingConfig(epochs=8, batch_size=8),
    )
    assert_same(weights(model.encoder), weights(encoder))
    assert accuracy(test.labels.numpy(), predict(model, test).argmax(1)) > 0.8


def test_a_probe_is_the_same_on_embeddings_and_on_spectrograms() -> None:
    config = BaselineConfig(hidden=8, dropout=0.5, encoder_learning_rate=0)
    quick, _ = train_baseline(
        FakeEncoder(), toy_clips(), metric=accuracy, generator=generator(2), settings=config,
        training=CONFIG, execution=exact(),
    )  # fmt: skip
    # By hand, on spectrograms, in the batches that embeddings (all of one length) come in.
    random, data = generator(2), toy_clips()
    slow = EmotionClassifier(FakeEncoder(), hidden=8, dropout=0.5, generator=random)
    sampler = LengthBucketSampler(torch.ones(len(data)), 8, random)
    fit(Baseline(slow, config), loader_of(data, sampler), CONFIG, generator=random,
        execution=exact())  # fmt: skip
    np.testing.assert_allclose(predict(quick, data), predict(slow, data), atol=1e-9)


def test_the_head_may_learn_before_the_encoder_joins_in() -> None:
    config = BaselineConfig(hidden=8, encoder_learning_rate=1e-2, head_epochs=3)
    settings: dict[str, Any] = {
        "metric": accuracy, "execution": exact()
    }  # fmt: skip
    model, history = train_baseline(
        FakeEncoder(), toy_clips(), generator=generator(2), settings=config, training=CONFIG,
        **settings,
    )  # fmt: skip
    assert len(history.rows) == CONFIG.epochs  # of the second part
    # By hand: a probe, and then both together from where it ended.
    random, data = generator(2), toy_clips()
    encoder = FakeEncoder()
    slow = EmotionClassifier(encoder, hidden=8, generator=random)
    for part, lengths in ((3, torch.ones(len(data))), (CONFIG.epochs, data.lengths)):
        encoder.weight.requires_grad_(part != 3)
        loader = loader_of(data, LengthBucketSampler(lengths, CONFIG.batch_size, random))
        fit(Baseline(slow, config), loader, replace(CONFIG, epochs=part), generator=random,
            execution=settings["execution"])  # fmt: skip
    np.testing.assert_allclose(predict(model, data), predict(slow, data), atol=1e-9)
    plain, _ = train_baseline(
        FakeEncoder(), toy_clips(), generator=generator(2), settings=replace(config, head_epochs=0),
        training=CONFIG, **settings,
    )  # fmt: skip
    assert not np.allclose(predict(model, data), predict(plain, data), atol=1e-3)


def test_the_baseline_computes_with_one_thread_on_a_processor() -> None:
    torch.set_num_threads(2)
    seen = []

    def noting(true: np.ndarray, predicted: np.ndarray) -> float:
        seen.append(torch.get_num_threads())
        return 0.0

    train_baseline(
        FakeEncoder(), toy_clips(), toy_clips(8), metric=noting, generator=generator(),
        settings=BaselineConfig(hidden=8, head_epochs=1), training=CONFIG,
        execution=Execution(make_fabric("cpu")),
    )  # fmt: skip
    assert set(seen) == {1} and torch.get_num_threads() == 2


def test_frozen_parameters_stay_and_the_others_move() -> None:
    model, recipe, loader = make_run()
    before = weights(model)
    fit(recipe, loader, CONFIG, generator=generator())
    after = weights(model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(before) - {"encoder.bias"}


def test_balanced_classes_reach_the_loss() -> None:
    data = toy_clips()
    data.labels[:] = (torch.arange(len(data)) >= 44).long()  # 44 of class 0, 4 of class 1
    shares = {}
    for balance in (False, True):
        model, _ = train_baseline(
            FakeEncoder(), data, metric=accuracy, generator=generator(), n_classes=2,
            training=CONFIG, settings=BaselineConfig(hidden=8, dropout=0.1, learning_rate=5e-2,
                                    balance_classes=balance),
        )  # fmt: skip
        shares[balance] = predict(model, data)[:, 1].mean()
    assert shares[False] < 0.15  # 4 of 48
    assert shares[True] > 2 * shares[False]


def test_repeats_are_single_trainings_whether_in_turn_or_side_by_side() -> None:
    tests = {"near": toy_clips(12, seed=5), "far": toy_clips(8, seed=6)}
    settings: dict[str, Any] = {
        "metric": accuracy, "training": CONFIG, "settings": BaselineConfig(hidden=8)
    }  # fmt: skip
    repeats = {
        jobs: repeat_baseline(
            lambda seed: FakeEncoder(), (3, 4), toy_clips(), toy_clips(16, seed=7), tests,
            precision="32-true", jobs=jobs, **settings,
        )
        for jobs in (1, 2)
    }  # fmt: skip
    for left, other in zip(*repeats.values(), strict=True):
        assert left.seed == other.seed
        assert left.history.rows == other.history.rows
        for name, clips in tests.items():
            assert left.probabilities[name].shape == (len(clips), 4)
            np.testing.assert_array_equal(left.probabilities[name], other.probabilities[name])
    first, second = repeats[1]
    assert (first.seed, second.seed) == (3, 4)
    assert not np.allclose(first.probabilities["near"], second.probabilities["near"])
    model, _ = train_baseline(
        FakeEncoder(), toy_clips(), toy_clips(16, seed=7), generator=generator(3), **settings
    )
    np.testing.assert_allclose(predict(model, tests["far"]), first.probabilities["far"], atol=1e-6)
    embeddings, reference = (embed(model.encoder, item) for item in (tests["far"], toy_clips()))
    matched = classify(model, match_embeddings(embeddings, reference))
    np.testing.assert_allclose(matched, first.matched["far"], atol=1e-6)


def test_matched_embeddings_have_the_mean_and_deviation_of_the_reference() -> None:
    random = np.random.default_rng(0)
    reference = torch.from_numpy(random.normal(3.0, 2.0, (50, 4)))
    elsewhere = 10.0 - 0.5 * reference[torch.randperm(50, generator=generator())]
    elsewhere[:, 3] = 7.0  # says nothing
    matched = match_embeddings(elsewhere, reference)
    torch.testing.assert_close(matched.mean(dim=0), reference.mean(dim=0))
    torch.testing.assert_close(matched.std(dim=0)[:3], reference.std(dim=0)[:3])
    torch.testing.assert_close(matched[:, 3], reference[:, 3].mean().expand(50))
    torch.testing.assert_close(match_embeddings(reference, reference), reference)


@pytest.mark.parametrize(("one", "other"), [((3, 2), (3, 4)), ((0, 2), (3, 2)), ((3,), (3, 2))])
def test_embeddings_that_do_not_go_together(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        match_embeddings(torch.ones(one), torch.ones(other))


@pytest.mark.parametrize(("seeds", "jobs", "message"), [((), 1, "seeds"), ((0,), 0, "jobs.*0")])
def test_repeats_need_a_seed_and_a_process(seeds: tuple[int, ...], jobs: int, message: str) -> None:
    data = toy_clips()
    with pytest.raises(ValueError, match=message):
        repeat_baseline(
            lambda seed: FakeEncoder(), seeds, data, None, {"test": data}, jobs=jobs,
            metric=accuracy,
        )  # fmt: skip


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_with_the_real_encoder(precision: str) -> None:
    encoder = WhisperEncoder.random(EncoderDimensions(80, 20, 16, 2, 1), seed=0)
    random = generator(3)
    labels = torch.arange(24) % 4
    mels = []
    for label in labels.tolist():
        mel = 0.1 * torch.randn(80, 20 + label, generator=random)
        mel[20 * label : 20 * label + 20] += 4.0
        mels.append(mel)
    data = ClipDataset(mels, labels)
    model, _ = train_baseline(
        encoder, data, metric=accuracy, generator=random,
        settings=BaselineConfig(hidden=16, learning_rate=3e-2, encoder_learning_rate=3e-3),
        training=TrainingConfig(epochs=12, batch_size=8),
        execution=Execution(make_fabric("cpu", precision)),
    )  # fmt: skip
    assert accuracy(labels.numpy(), predict(model, data).argmax(1)) > 0.8
    trained = weights(model.encoder)
    for name, value in encoder.named_parameters():
        same = torch.equal(trained[name], value)
        assert same == name.startswith("encoder.conv"), name


# --- one run is a function of its arguments --------------------------------------------------


def test_same_seed_same_weights_and_torchs_generator_untouched() -> None:
    results = []
    for seed, disturbance in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(disturbance)
        before = torch.get_rng_state()
        model, recipe, loader = make_run()
        fit(recipe, loader, CONFIG, generator=generator(seed))
        assert torch.equal(torch.get_rng_state(), before)
        results.append(weights(model))
    assert_same(results[0], results[1])
    assert not torch.equal(results[0]["head.0.weight"], results[2]["head.0.weight"])


@pytest.mark.parametrize("stop_epoch", [1, 3])
@pytest.mark.parametrize("validated", [False, True])
def test_a_stopped_run_resumes_to_the_same_weights(
    tmp_path: Path, stop_epoch: int, validated: bool
) -> None:
    validation = toy_clips(20, seed=5)

    def score_of(model: EmotionClassifier) -> Callable[[], float] | None:
        true = validation.labels.numpy()
        return (lambda: accuracy(true, predict(model, validation).argmax(1))) if validated else None

    model, recipe, loader = make_run()
    whole = fit(recipe, loader, CONFIG, generator=generator(), score=score_of(model))
    expected = weights(model)

    path = tmp_path / "runs" / "baseline.pt"
    model, recipe, loader = make_run()
    with pytest.raises(InterruptedRunError):
        fit(recipe, StoppingLoader(loader, stop_epoch), CONFIG, generator=generator(),
            score=score_of(model), execution=keeping(path))  # fmt: skip
    # A new process: other initial weights. All that counts is in the file.
    model, recipe, _ = make_run(seed=8)
    history = fit(recipe, loader, CONFIG, generator=generator(), score=score_of(model),
                  execution=keeping(path, resume=True))  # fmt: skip
    assert history == whole
    assert_same(weights(model), expected)
    assert [file.name for file in path.parent.iterdir()] == ["baseline.pt"]


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    model, recipe, loader = make_run()
    history = fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
    expected = weights(model)
    model, recipe, _ = make_run(seed=8)
    stopping = StoppingLoader(loader, 0)
    again = fit(recipe, stopping, CONFIG, generator=generator(), execution=keeping(path, True))
    assert again == history
    assert_same(weights(model), expected)


def test_without_resume_a_run_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    for _ in range(2):
        _, recipe, loader = make_run()
        history = fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
        assert len(history) == CONFIG.epochs


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    _, recipe, loader = make_run()
    fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
    other = TrainingConfig(epochs=7, batch_size=8, patience=None)
    with pytest.raises(CheckpointError, match=r"run\.pt comes .* other settings \(epochs\)"):
        fit(recipe, loader, other, generator=generator(), execution=keeping(path, resume=True))


def test_a_checkpoint_of_another_seed_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    _, recipe, loader = make_run()
    fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
    histories = []
    for execution in (keeping(path, resume=True), Execution(make_fabric("cpu"))):
        _, recipe, loader = make_run()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            histories.append(
                fit(recipe, loader, CONFIG, generator=generator(1), execution=execution)
            )
        answer = [str(warning.message) for warning in warned if "another seed" in str(warning)]
        assert len(answer) == execution.resume
    assert histories[0] == histories[1]


def test_a_flipped_bit_is_noticed_or_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    model, recipe, loader = make_run()
    with pytest.raises(InterruptedRunError):
        fit(recipe, StoppingLoader(loader, 2), CONFIG, generator=generator(),
            execution=keeping(path))  # fmt: skip
    good = path.read_bytes()
    model, recipe, loader = make_run()
    fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(tmp_path / "whole.pt"))
    whole, refused = weights(model), 0
    for place in np.random.default_rng(1).integers(8 * len(good), size=60).tolist():
        damaged = bytearray(good)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(bytes(damaged))
        model, recipe, loader = make_run()
        try:
            fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path, True))
        except CheckpointError:
            refused += 1
        else:
            assert_same(weights(model), whole)
    assert refused > 10


def test_a_weight_that_was_changed_is_named_as_damage(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    _, recipe, loader = make_run()
    fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
    content = torch.load(path, weights_only=True)
    content["parts"]["recipe"]["model.head.0.bias"][0] += 1e-7
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"run\.pt is damaged"):
        fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path, resume=True))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    _, recipe, loader = make_run()
    fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
    wide = Baseline(EmotionClassifier(FakeEncoder(), hidden=9))
    with pytest.raises(CheckpointError, match="does not fit the model"):
        fit(wide, loader, CONFIG, generator=generator(), execution=keeping(path, resume=True))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", "truncated", {"weights": 1}])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "run.pt"
    _, recipe, loader = make_run()
    if content == "truncated":
        fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
        content = path.read_bytes()[:-100]
    if isinstance(content, dict):
        torch.save(content, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"run\.pt cannot be read as the checkpoint"):
        fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path, resume=True))


def test_a_failed_write_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(b"old")

    def full_disk(target: Path, content: bytes) -> None:
        target.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    _, recipe, loader = make_run()
    with pytest.raises(CheckpointError, match=r"cannot write .*No space left"):
        fit(recipe, loader, CONFIG, generator=generator(), execution=keeping(path))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_in_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(b"")
    _, recipe, loader = make_run()
    with pytest.raises(CheckpointError, match=r"cannot write .*runs"):
        fit(
            recipe,
            loader,
            CONFIG,
            generator=generator(),
            execution=keeping(tmp_path / "runs" / "run.pt"),
        )


ELSEWHERE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from lowser_lib.training import fit
from test_loop import CONFIG, exact, generator, make_run
assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
model, recipe, loader = make_run()
fit(recipe, loader, CONFIG, generator=generator(), execution=exact())
torch.save(model.state_dict(), sys.argv[2])
"""


def test_float64_gives_the_same_weights_at_other_vector_widths(tmp_path: Path) -> None:
    model, recipe, loader = make_run()
    fit(
        recipe,
        loader,
        CONFIG,
        generator=generator(),
        execution=exact(),
    )
    here, path = Path(__file__).parent, tmp_path / "elsewhere.pt"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, str(here), str(path)],
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "2"},
        check=True, cwd=here.parent, timeout=300, capture_output=True,
    )  # fmt: skip
    theirs = torch.load(path, weights_only=True)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(theirs[name], value, atol=1e-10, rtol=0)


# --- steps -----------------------------------------------------------------------------------


def test_schedule_in_closed_form() -> None:
    rates = [warmup_cosine(step, 100, 0.1) for step in range(101)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert rates[30] == pytest.approx(0.5 * (1 + math.cos(math.pi * 20 / 90)))
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert [warmup_cosine(step, 2, 0.0) for step in (0, 1)] == pytest.approx([1, 0.5])
    assert warmup_cosine(0, 1, 0.9) == 1


class Recorder(Recipe):
    """Minimises scale · w and notes what it is told; one parameter, so all is known by hand."""

    def __init__(self, scale: float = 1.0, rate: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(5.0))
        self.scale, self.rates = scale, [(self, rate)]
        self.steps: list[Step] = []
        self.draws: list[float] = []
        self.weights: list[float] = []
        self.after: list[int] = []

    def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.steps.append(step)
        self.draws.append(float(torch.rand((), generator=step.generator)))
        return {"loss": self.scale * self.weight, "twice": 2 * self.scale * self.weight.detach()}

    def after_step(self, step: Step) -> None:
        self.after.append(step.number)
        self.weights.append(float(self.weight.detach()))


def test_every_step_knows_where_it_stands() -> None:
    recipe, (_, _, loader) = Recorder(), make_run()
    history = fit(recipe, loader, TrainingConfig(epochs=3), generator=generator())
    assert [step.number for step in recipe.steps] == list(range(18))
    assert {step.total for step in recipe.steps} == {18}
    assert recipe.after == list(range(18))
    assert len(set(recipe.draws)) == 18
    assert history["epoch"] == [1, 2, 3]
    np.testing.assert_allclose(history["twice"], 2 * np.array(history["loss"]), rtol=1e-6)
    assert history.table().columns.tolist() == ["loss", "learning_rate", "twice"]


def test_steps_follow_adamw_and_the_schedule() -> None:
    recipe, (_, _, loader) = Recorder(), make_run()
    config = TrainingConfig(epochs=2, warmup=0.25, weight_decay=0.5)
    history = fit(recipe, loader, config, generator=generator())
    # With a constant gradient Adam moves by the rate exactly; the decay is rate · 0.5 · weight.
    weight, expected = 5.0, []
    for step in range(12):
        rate = 0.1 * warmup_cosine(step, 12, 0.25)
        weight = weight * (1 - rate * 0.5) - rate
        expected.append(weight)
    np.testing.assert_allclose(recipe.weights, expected, rtol=1e-5)
    np.testing.assert_allclose(
        history["learning_rate"], [0.1 * warmup_cosine(step, 12, 0.25) for step in (5, 11)]
    )


def test_biases_and_gains_may_be_left_out_of_the_decay() -> None:
    class Still(Recipe):
        """Has no gradient, so that decay alone moves anything."""

        def __init__(self) -> None:
            super().__init__()
            linear = nn.Linear(3, 2)
            nn.init.ones_(linear.bias)
            self.layers = nn.Sequential(linear, nn.LayerNorm(2))
            self.rates = [(self.layers[0], 0.1), (self.layers[1], 0.2)]

        def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"loss": sum((0 * p.sum() for p in self.parameters()), torch.zeros(()))}

    moved = {}
    for decay in ("all", "weights"):
        recipe, (_, _, loader) = Still(), make_run()
        before = weights(recipe)
        config = TrainingConfig(epochs=1, weight_decay=0.5, decay=decay)
        history = fit(recipe, loader, config, generator=generator())
        assert history["learning_rate"][0] == pytest.approx(0.1 * warmup_cosine(5, 6, 0.1))
        after = weights(recipe)
        moved[decay] = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved["weights"] == {"layers.0.weight"}
    assert moved["all"] == {"layers.0.weight", "layers.0.bias", "layers.1.weight"}  # one bias is 0


def test_parts_without_anything_to_train_have_no_group() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    recipe = Recorder()
    recipe.rates = [(first, 0.1), (second, 0.2)]
    (group,) = recipe.parameter_groups()
    assert group == {"params": list(first.parameters()), "lr": 0.1}


@pytest.mark.parametrize(("steepness", "clipped"), [(1000.0, 0.5), (0.125, 0.125)])
def test_gradients_are_clipped_before_the_step(steepness: float, clipped: float) -> None:
    recipe, (_, _, loader) = Recorder(steepness), make_run()
    seen = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        seen.append(float(optimizer.param_groups[0]["params"][0].grad))

    hook = register_optimizer_step_pre_hook(note)
    try:
        fit(recipe, loader, TrainingConfig(epochs=1, clip_norm=0.5), generator=generator())
    finally:
        hook.remove()
    np.testing.assert_allclose(seen, [clipped] * 6, rtol=1e-5)


# --- early stopping --------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_epoch() -> None:
    recipe, (_, _, loader) = Recorder(), make_run()
    scores = iter([0.2, 0.6, 0.6, 0.5, 0.1, 0.9])
    after_epoch: list[float] = []

    def score() -> float:
        assert not recipe.training
        after_epoch.append(float(recipe.weight.detach()))
        return next(scores)

    config = TrainingConfig(epochs=6, patience=3)
    history = fit(recipe, loader, config, generator=generator(), score=score)
    assert history["score"] == [0.2, 0.6, 0.6, 0.5, 0.1]
    assert (history.best_epoch, history.stopped_early) == (2, True)
    assert float(recipe.weight.detach()) == after_epoch[1]


def test_the_best_epoch_is_the_best_of_all_and_not_of_the_last_two() -> None:
    recipe, (_, _, loader) = Recorder(), make_run()
    scores = iter([0.6, 0.1, 0.5, 0.2])
    config = TrainingConfig(epochs=4, patience=None)
    history = fit(recipe, loader, config, generator=generator(), score=lambda: next(scores))
    assert history.best_epoch == 1
    assert float(recipe.weight.detach()) == recipe.weights[5]  # after the first epoch's 6 steps


def test_every_epoch_trains_in_training_mode() -> None:
    class Watching(Recorder):
        def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            assert self.training, f"in evaluation mode at step {step.number}"
            return super().forward(batch, step)

    recipe, (_, _, loader) = Watching(), make_run()
    config = TrainingConfig(epochs=3, patience=None)
    fit(recipe, loader, config, generator=generator(), score=lambda: 0.0)
    assert len(recipe.steps) == 18 and not recipe.training


def test_without_patience_every_epoch_runs_and_the_best_is_kept() -> None:
    recipe, (_, _, loader) = Recorder(), make_run()
    scores = iter([0.9, 0.2, 0.3, 0.1])
    config = TrainingConfig(epochs=4, patience=None)
    history = fit(recipe, loader, config, generator=generator(), score=lambda: next(scores))
    assert (len(history), history.best_epoch, history.stopped_early) == (4, 1, False)


def test_without_validation_the_last_weights_are_kept() -> None:
    recipe, (_, _, loader) = Recorder(), make_run()
    history = fit(recipe, loader, CONFIG, generator=generator())
    assert history.best_epoch is None
    assert float(recipe.weight.detach()) == recipe.weights[-1]


# --- predictions -----------------------------------------------------------------------------


def test_predictions_come_in_the_order_of_the_clips() -> None:
    data = toy_clips(21)
    model = EmotionClassifier(FakeEncoder(), generator=generator())
    model.train()
    probabilities = predict(model, data, batch_size=4)
    assert probabilities.shape == (21, 4)
    assert probabilities.dtype == np.float64
    assert model.training
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    model.eval()
    for index, mel in enumerate(data.samples):
        alone = model(mel[None], torch.tensor([mel.shape[1]])).double().softmax(1)
        np.testing.assert_allclose(probabilities[index], alone[0].detach().numpy(), atol=1e-6)


def test_embeddings_come_in_the_order_of_the_clips() -> None:
    data, encoder = toy_clips(11), FakeEncoder()
    embeddings = embed(encoder, data, batch_size=3)
    assert not embeddings.requires_grad
    expected = torch.stack([(encoder.weight @ mel).mean(dim=1) for mel in data.samples])
    torch.testing.assert_close(embeddings, expected.detach())


# --- precision, logs -------------------------------------------------------------------------


def test_float64_from_end_to_end() -> None:
    model, recipe, loader = make_run()
    fabric = make_fabric("cpu", "64-true")
    fit(recipe, loader, CONFIG, generator=generator(), execution=Execution(fabric))
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert embed(model.encoder, toy_clips(4), fabric=fabric).dtype == torch.float64
    assert predict(model, toy_clips(4), fabric=fabric).shape == (4, 4)


def test_bf16_trains_with_float32_weights() -> None:
    model, recipe, loader = make_run()
    fabric = make_fabric("cpu", "bf16-mixed")
    history = fit(recipe, loader, CONFIG, generator=generator(), execution=Execution(fabric))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    data = toy_clips(12)
    exact, rounded = predict(model, data), predict(model, data, fabric=fabric)
    assert 0 < np.abs(exact - rounded).max() < 0.05
    assert history["loss"][-1] < history["loss"][0]


def test_the_bar_is_shown_on_request_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (False, True):
        _, recipe, loader = make_run()
        fit(recipe, loader, CONFIG, generator=generator(), execution=Execution(progress=progress))
        captured = capsys.readouterr()
        assert captured.out == ""
        assert ("30/30" in captured.err) == progress


# --- what goes wrong -------------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_epoch_and_step() -> None:
    class Diverging(Recorder):
        def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            factor = math.nan if step.number == 8 else 1.0
            return {"loss": factor * self.weight}

    _, _, loader = make_run()
    with pytest.raises(TrainingError, match=r"epoch 2, step 3 of 6: loss is nan"):
        fit(Diverging(), loader, CONFIG, generator=generator())


def test_an_infinite_gradient_is_reported() -> None:
    class Steep(Recorder):
        def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"loss": (self.weight - self.weight.detach()).sqrt()}

    _, _, loader = make_run()
    with pytest.raises(TrainingError, match=r"epoch 1, step 1 of 6: gradient norm is inf"):
        fit(Steep(), loader, CONFIG, generator=generator())


def test_a_score_that_is_no_number_is_reported() -> None:
    _, recipe, loader = make_run()
    with pytest.raises(TrainingError, match=r"epoch 1.*validation score is nan"):
        fit(recipe, loader, CONFIG, generator=generator(), score=lambda: math.nan)


def test_nothing_to_train_on() -> None:
    empty = ClipDataset([])
    loader = loader_of(empty, LengthBucketSampler(empty.lengths, 8, generator()))
    _, recipe, _ = make_run()
    with pytest.raises(TrainingError, match="nothing to train on"):
        fit(recipe, loader, CONFIG, generator=generator())
    with pytest.raises(TrainingError, match="nothing to train on"):
        train_baseline(FakeEncoder(), empty, metric=accuracy, generator=generator())
    with pytest.raises(TrainingError, match="the data set is empty"):
        predict(EmotionClassifier(FakeEncoder()), empty)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"warmup": 1.0}, r"warmup must lie in \[0, 1\), not 1.0"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"epochs": 2.5}, "epochs must be a whole number, not 2.5"),
        ({"decay": "none"}, "decay must be one of 'all', 'weights', not 'none'"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**setting)


def test_an_empty_history_has_no_rows() -> None:
    assert len(History()) == 0


class WithoutDouble(Tensor):
    """A tensor that refuses double precision, as on an Apple GPU, until it is on the CPU."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__ == "double":
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        result = super().__torch_function__(func, types, args, kwargs)
        return result.as_subclass(Tensor) if func.__name__ == "cpu" else result


def test_losses_are_looked_at_without_double_precision_on_the_device() -> None:
    losses: list[Tensor] = [torch.tensor(x).as_subclass(WithoutDouble) for x in (1.0, 2.0)]
    with pytest.raises(TypeError, match="MPS"):
        losses[0].double()
    loop._check_finite({"loss": losses[0]}, "epoch 1")
    with pytest.raises(TrainingError, match=r"epoch 1: loss is nan"):
        loop._check_finite({"loss": losses[0] * math.nan, "other": losses[1]}, "epoch 1")

    class Elsewhere(Recorder):
        def forward(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            other = torch.tensor(float(step.number)).as_subclass(WithoutDouble)
            return {**super().forward(batch, step), "other": other}

    _, _, loader = make_run()
    history = fit(Elsewhere(), loader, TrainingConfig(epochs=1), generator=generator())
    assert history["other"] == [2.5]  # of six steps
