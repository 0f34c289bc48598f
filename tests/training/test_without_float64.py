"""A device without float64, as Apple's GPUs are: a pretended one, which refuses it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from lowser_lib.augment import presets
from lowser_lib.encoders import EncoderDimensions, WhisperEncoder
from lowser_lib.methods.baseline import BaselineConfig, train_baseline
from lowser_lib.methods.byol import ByolConfig, train_byol
from lowser_lib.methods.speaker_contrastive import SpeakerContrastiveConfig, adapt_to_speakers
from lowser_lib.sampling import ClipDataset
from lowser_lib.sampling.augmented import WaveformDataset
from lowser_lib.training import Execution, TrainingConfig, classify, embed, make_fabric, predict
from lowser_lib.views import log_mel

DEVICE = torch.device("mps")
SET_DATA: Any = torch.Tensor.data.__set__  # type: ignore[attr-defined]


class Pretended(TorchFunctionMode):
    """Computes on the processor; what was moved to :data:`DEVICE` carries a mark.

    Whatever follows from a marked tensor is marked, until it is moved back. A marked tensor may not
    be float64, nor be handed to NumPy.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("device", "_parse_to"):  # a name is made a device: nothing is moved yet
            return func(*args, **(kwargs or {}))
        given = (args, dict(kwargs or {}))
        devices = [x for x in tree_leaves(given) if isinstance(x, torch.device | str)]
        wanted = next((torch.device(x).type for x in devices if str(x) in ("mps", "cpu")), None)
        wanted = "cpu" if name == "cpu" else wanted
        there = any(marked(x) for x in tree_leaves(given))
        if func == torch.Tensor.device.__get__:
            return DEVICE if there else func(*args)
        if name == "numpy" and there:
            raise TypeError("can't convert mps device type tensor to numpy")
        args, kwargs = tree_map(_here, given)
        result = func(*args, **kwargs)
        if func == SET_DATA and marked(args[1]):
            mark(args[0])
        there = wanted == "mps" or (there and wanted != "cpu")
        before = {id(x) for x in tree_leaves(given) if isinstance(x, Tensor)}

        def placed(x: Any) -> Any:
            if not isinstance(x, Tensor) or marked(x) == there:
                return x
            # A tensor that stays where it is, is another one on the other side.
            x = x.clone() if id(x) in before and wanted else x
            return mark(x) if there else x

        return tree_map(placed, result)


def _here(x: Any) -> Any:
    return torch.device("cpu") if isinstance(x, torch.device | str) and str(x) == "mps" else x


def marked(x: Any) -> bool:
    return isinstance(x, Tensor) and getattr(x, "_on_device", False)


def mark(x: Tensor) -> Tensor:
    if x.dtype == torch.float64:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype: the device has none")
    x._on_device = True  # type: ignore[attr-defined]
    return x


@pytest.fixture
def execution(
    one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Execution]:
    fabric = make_fabric("cpu", "32-true")
    monkeypatch.setattr(fabric._accelerator, "setup_device", lambda device: None)
    fabric.strategy._root_device = DEVICE  # type: ignore[attr-defined]
    with Pretended():
        yield Execution(fabric, checkpoint=tmp_path / "run.pt")


def sounds(clips: int = 16) -> WaveformDataset:
    random = np.random.default_rng(0)
    waves = [0.1 * random.standard_normal(4800 + 160 * n).astype(np.float32) for n in range(clips)]
    return WaveformDataset(waves, np.arange(clips) % 4)


def spectrograms() -> ClipDataset:
    speech = sounds()
    return ClipDataset([log_mel(sound) for sound in speech.samples], speech.labels)


def encoder() -> WhisperEncoder:
    return WhisperEncoder.random(EncoderDimensions(80, 1500, 16, 2, 1), 0)


def accuracy(truth: Any, answers: Any) -> float:
    return float((np.asarray(truth) == np.asarray(answers)).mean())


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


ONCE = TrainingConfig(epochs=1, batch_size=8, patience=None)


def test_the_pretended_device_refuses_float64(execution: Execution) -> None:
    moved = torch.ones(2).to(DEVICE)
    assert (moved * 2).device == DEVICE
    assert moved.cpu().device.type == torch.ones(2).device.type == "cpu"
    assert moved.cpu().double().dtype == torch.float64
    assert torch.zeros(2, device=DEVICE).device == DEVICE
    for refused in (
        moved.double,
        lambda: moved.to(torch.float64),
        lambda: torch.ones(2, dtype=torch.float64).to(DEVICE),
        lambda: torch.zeros(2, dtype=torch.float64, device=DEVICE),
        moved.numpy,
    ):
        with pytest.raises(TypeError):
            refused()
    model = torch.nn.Linear(2, 2).to(DEVICE)
    assert model(moved).device == model.weight.device == DEVICE


def test_the_baseline_trains_and_answers_without_it(execution: Execution) -> None:
    clips = spectrograms()
    model, history = train_baseline(
        encoder(),
        clips,
        clips,
        metric=accuracy,
        generator=draws(),
        settings=BaselineConfig(head_epochs=1, augmentations="voice"),
        training=ONCE,
        sounds=sounds(),
        execution=execution,
    )
    assert len(history) == 1
    assert all(parameter.device == DEVICE for parameter in model.parameters())
    assert predict(model, clips, fabric=execution.fabric).shape == (16, 4)
    assert classify(model, embed(model.encoder, clips, fabric=execution.fabric)).shape == (16, 4)


def test_both_first_stages_train_without_it(execution: Execution) -> None:
    settings = SpeakerContrastiveConfig(
        speakers_per_batch=4, clips_per_speaker=2, projection=8, steps=2
    )
    adapted = adapt_to_speakers(
        encoder(), sounds(), generator=draws(), settings=settings, execution=execution
    )
    assert len(adapted.history) >= 1
    _, history = train_byol(
        encoder(),
        sounds(),
        sounds(),
        spectrograms(),
        seed=0,
        metric=accuracy,
        settings=ByolConfig(projection=8, hidden=8),
        baseline=BaselineConfig(head_epochs=0),
        training=ONCE,
        execution=Execution(execution.fabric),
    )
    assert len(history) == 1


@pytest.mark.parametrize("name", presets.KINDS)
def test_augmentations_work_on_the_device(execution: Execution, name: str) -> None:
    (transform,) = presets.named(name, probability=1.0).transforms
    lengths = torch.tensor([40, 30])
    clips = torch.randn(2, 80, 40, generator=draws())
    if transform.domain == "waveform":
        lengths, clips = torch.tensor([4800, 4000]), torch.randn(2, 4800, generator=draws())
    clips = clips * (torch.arange(clips.shape[-1]) < lengths.reshape(2, *[1] * (clips.ndim - 1)))
    changed = transform(clips.to(DEVICE), lengths, draws())
    assert changed.clips.device == DEVICE
