"""A trained model that leaves the notebook: saved with its card, read elsewhere, asked for answers.

A classifier is a frozen or fine-tuned Whisper encoder, a layer whose states are averaged over time,
a label-free standardisation, and a linear head. :func:`save` writes the head and what was measured
as safetensors, and a card in JSON that says what the model is, what it was made from, how good it
was on speakers it had not heard, and what it must not be used for. An encoder that has a name is
looked for by that name where the model is used, and refused if its weights are others.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

import lowser_lib
from lowser_lib import files
from lowser_lib.audio import SAMPLE_RATE, load_audio
from lowser_lib.encoders import WhisperEncoder, checkpoints, known_names
from lowser_lib.encoders.whisper import dimensions
from lowser_lib.errors import AudioError, CheckpointError, EvaluationError
from lowser_lib.methods.frozen import Embedded, Frozen, FrozenConfig, Head, train_frozen
from lowser_lib.views import log_mel
from lowser_lib.views.cache import extract_all
from lowser_lib.views.mel import HOP, MINIMUM_SAMPLES, WINDOW
from lowser_lib.views.standardisation import Standardiser, Statistics
from lowser_lib.views.whisper import WhisperView

CARD, WEIGHTS = "card.json", "model.safetensors"
FORMAT = 1
#: Seconds of the longest clip that is heard at once: what the course trains on.
LONGEST = 12.0
#: Seconds of a window of a longer recording, and from one window to the next; our choice: as long
#: as a sentence, and overlapping, so that no word falls between two.
WINDOW_SECONDS, STEP_SECONDS = 6.0, 3.0
#: What the card warns of.
NOT_FOR = (
    "judging a person: at work, at school, in an interview, in court, in health or in credit",
    "watching people who have not agreed to it",
    "telling what somebody feels: it tells how speech sounds, to people who acted or labelled it",
    "speech unlike that of the training corpora, unless it was measured there first",
)

Clip = str | Path | np.ndarray | Tensor


class OverTime(NamedTuple):
    """A recording, ready to be plotted.

    Attributes:
        waveform: float32 ``(samples,)``, 16 kHz.
        spectrogram: float32 ``(n_mels, frames)``, one frame every 10 ms.
        answers: one row a window: ``start``, ``end`` (s), ``emotion``, and a probability a class.
    """

    waveform: NDArray[np.float32]
    spectrogram: NDArray[np.float32]
    answers: pd.DataFrame


class Classifier:
    """Sound to emotion.

    Attributes:
        classes: names, in the order of the probabilities.
        encoder: in evaluation mode, on the CPU.
        encoder_name: under which it can be loaded elsewhere; None: it is saved with the model.
        layer: whose states are averaged, see :class:`~lowser_lib.views.whisper.WhisperView`.
        model: head and standardisation.
        notes: what else the card says: training corpora, scores, licences.
    """

    def __init__(
        self,
        encoder: WhisperEncoder,
        model: Frozen,
        classes: Sequence[str],
        *,
        layer: int | str = "output",
        encoder_name: str | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            encoder: used, not copied.
            model: what :func:`~lowser_lib.methods.frozen.train_frozen` gives, on that layer's
                averages.
            classes: one name a class of the head, each once.
            layer: 0 to the encoder's number of layers, or ``"output"``.
            encoder_name: ``"nano"`` or an OpenAI name; None for any other weights, and for weights
                that were trained further.
            notes: plain values for the card.

        Raises:
            ValueError: the classes do not go with the head, or the layer is not there.
        """
        if len(set(classes)) != len(classes) or len(classes) != len(model.head.biases):
            raise ValueError(
                f"classes must be {len(model.head.biases)} different names, not {list(classes)!r}"
            )
        if encoder_name is not None and encoder_name not in known_names():
            raise ValueError(f"encoder_name must be None or a known name, not {encoder_name!r}")
        if layer == "mix":
            raise ValueError("layer must be a single one, not 'mix'")
        self.encoder, self.model, self.classes = encoder.eval(), model, tuple(classes)
        self.layer, self.encoder_name, self.notes = layer, encoder_name, dict(notes or {})
        self.view = WhisperView(encoder, layer, pooled=True)

    @property
    def standardisation(self) -> str:
        """The step that clips are standardised by."""
        return self.model.standardiser.step

    def predict(
        self,
        files_or_waveforms: Clip | Sequence[Clip],
        speakers: Sequence[str] | None = None,
        adapt: bool = False,
        failures: list[str] | None = None,
    ) -> pd.DataFrame:
        """Answer for clips.

        Args:
            files_or_waveforms: sound files, or waveforms ``(samples,)``, 16 kHz, in [-1, 1]; or a
                single one. What is longer than 12 s is heard in windows, whose probabilities are
                averaged.
            speakers: who speaks in each clip, ``""`` where unknown. Where the standardisation is
                ``speaker``, each speaker's mean is taken over these clips and taken out; without
                it, and in other standardisations, a clip's answer depends on no other clip.
            adapt: standardise the clips as a corpus of its own (at least two), by their own mean
                and deviation, instead of by what the training corpora were like on average. For
                all of a new corpus at once.
            failures: takes the messages of clips that cannot be used, which get no row; None: the
                first such clip raises.

        Returns:
            One row a clip, named by its file, or by its number: ``emotion``, and the probability of
            each class.

        Raises:
            AudioError: a file or waveform cannot be used; the message names it.
            EvaluationError: a single clip is to be adapted to.
            ValueError: ``speakers`` are not one a clip.
        """
        clips = _as_list(files_or_waveforms)
        if speakers is not None and len(speakers) != len(clips):
            raise ValueError(f"speakers must name {len(clips)} clips, not {len(speakers)}")
        voices = [""] * len(clips) if speakers is None else list(speakers)
        names: list[str] = []
        features, owners, owned = [], [], []
        for number, (clip, voice) in enumerate(zip(clips, voices, strict=True)):
            name = _name(clip, number)
            try:
                waveform = _waveform(clip, name)
            except AudioError as error:
                if failures is None:
                    raise
                failures.append(str(error))
                continue
            for start, end in windows(len(waveform)):
                features.append(self.view.extract(waveform[start:end]))
                owners.append(len(names))
                owned.append(voice)
            names.append(name)
        if adapt and len(names) < 2:
            raise EvaluationError("adapt needs two clips or more: a single one has no deviation")
        probabilities = np.zeros((len(names), len(self.classes)))
        if names:
            each = self._answers(np.stack(features), owned, adapt)
            for number in range(len(names)):
                probabilities[number] = each[np.array(owners) == number].mean(axis=0)
        return self._table(probabilities, pd.Index(names, name="clip"))

    def over_time(self, clip: Clip) -> OverTime:
        """Hear one recording window by window.

        Args:
            clip: as in :meth:`predict`.

        Raises:
            AudioError: it cannot be used.
        """
        waveform = _waveform(clip, _name(clip, 0))
        spans = windows(len(waveform), longest=0.0)
        states = np.stack([self.view.extract(waveform[start:end]) for start, end in spans])
        answers = self._table(self._answers(states, [""] * len(spans), False), None)
        times = np.array(spans) / SAMPLE_RATE
        answers.insert(0, "start", times[:, 0])
        answers.insert(1, "end", times[:, 1])
        spectrogram = log_mel(torch.from_numpy(waveform), self.encoder.n_mels).numpy()
        return OverTime(waveform, spectrogram, answers)

    def _answers(
        self, features: NDArray[np.float32], speakers: list[str], adapt: bool
    ) -> NDArray[np.float64]:
        corpus = "these clips" if adapt else ""
        standardiser = self.model.standardiser
        rows = standardiser(features, [corpus] * len(features), speakers)
        return self.model.head.probabilities(rows)

    def _table(self, probabilities: NDArray[np.float64], index: Any) -> pd.DataFrame:
        table = pd.DataFrame(probabilities, columns=list(self.classes), index=index)
        names = [self.classes[answer] for answer in probabilities.argmax(axis=1)]
        table.insert(0, "emotion", pd.Series(names, index=table.index, dtype="str"))
        return table

    def card(self) -> dict[str, Any]:
        """What the model is, as plain values."""
        standardiser = self.model.standardiser
        share = self.model.share
        return {
            "format": FORMAT,
            "classes": list(self.classes),
            "encoder": {
                "name": self.encoder_name,
                "description": self.encoder.description,
                "tensor_hash": self.encoder.tensor_hash(),
                "layers": self.encoder.n_layers,
                "dimensions": asdict(dimensions(self.encoder)),
            },
            "layer": self.layer,
            "head": {"kind": "linear", "inputs": self.model.head.weights.shape[1]},
            "spectrogram": {
                "sample_rate": SAMPLE_RATE,
                "n_mels": self.encoder.n_mels,
                "window": WINDOW,
                "hop": HOP,
            },
            "windows": {
                "longest": LONGEST, "seconds": WINDOW_SECONDS, "step": STEP_SECONDS,
            },
            "standardisation": {
                "step": standardiser.step,
                "prior": standardiser.prior,
                "speaker_share": None if np.isnan(share) else round(share, 4),
                "corpora": sorted(standardiser.corpora),
            },
            "not_for": list(NOT_FOR),
            "versions": {
                "lowser": lowser_lib.__version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("torch", "numpy", "scikit-learn")},
            },
            **self.notes,
        }  # fmt: skip


def train(
    table: pd.DataFrame,
    roots: Sequence[Path],
    encoder: WhisperEncoder,
    classes: Sequence[str],
    *,
    layer: int | str,
    encoder_name: str | None = None,
    config: FrozenConfig | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> tuple[Classifier, Embedded]:
    """Fit the frozen recipe on a manifest's labelled clips.

    Args:
        table: the manifest; rows without one of the classes are heard, but not learned from.
        roots: folders that its paths are relative to.
        encoder: stays as it is.
        classes: names, each with at least one clip.
        layer: as in :class:`Classifier`.
        encoder_name: as in :class:`Classifier`.
        config: the settings; None takes the defaults.
        cache: folder of the cached views; None keeps nothing.
        progress: show a bar on stderr.

    Returns:
        The classifier; and the clips as they were learned from, to be scored by
        :func:`~lowser_lib.methods.frozen.cross_answers`.

    Raises:
        AudioError: a file cannot be used.
        TrainingError: fewer than two classes have a clip.
    """
    view = WhisperView(encoder.eval(), layer, pooled=True)
    states = extract_all(view, table, roots, cache, progress=progress)
    clips = Embedded.of_manifest(np.stack(states), table, classes)
    model = train_frozen(clips, None, config, len(classes))
    return Classifier(encoder, model, classes, layer=layer, encoder_name=encoder_name), clips


def windows(samples: int, longest: float = LONGEST) -> list[tuple[int, int]]:
    """Where a recording is cut: one span up to ``longest`` seconds, else overlapping windows.

    Args:
        samples: its length, at 16 kHz.
        longest: seconds that are heard at once; shorter than a window: a window.

    Returns:
        Start and end of each, in samples. The last one ends with the recording, and all but that of
        a short recording are of one length.
    """
    size, step = int(WINDOW_SECONDS * SAMPLE_RATE), int(STEP_SECONDS * SAMPLE_RATE)
    if samples <= max(longest * SAMPLE_RATE, size):
        return [(0, samples)]
    starts = [*range(0, samples - size, step), samples - size]
    return [(start, start + size) for start in starts]


def save(model: Classifier, folder: Path | str) -> None:
    """Write a classifier: ``model.safetensors`` and ``card.json``.

    Args:
        model: the classifier.
        folder: made where it is missing; a classifier that lies there is replaced.

    Raises:
        CheckpointError: it cannot be written.
        ValueError: the notes hold what JSON cannot.
    """
    place, card = Path(folder), model.card()
    tensors = dict(_tensors(model))
    files.write_safetensors(place / WEIGHTS, tensors, CheckpointError)
    card["sha256"] = files.sha256(place / WEIGHTS)
    files.write_json(place / CARD, card, CheckpointError, sealed=True)


def _tensors(model: Classifier) -> Iterator[tuple[str, Tensor]]:
    yield "head.weights", torch.from_numpy(model.model.head.weights)
    yield "head.biases", torch.from_numpy(model.model.head.biases)
    for number, name in enumerate(sorted(model.model.standardiser.corpora)):
        statistics = model.model.standardiser.corpora[name]
        yield f"corpora.{number}.mean", torch.from_numpy(statistics.mean)
        yield f"corpora.{number}.deviation", torch.from_numpy(statistics.deviation)
    if model.encoder_name is None:
        yield from model.encoder.state_dict().items()


def load(
    folder: Path | str,
    encoder: WhisperEncoder | None = None,
    download_root: Path | None = None,
) -> Classifier:
    """Read a classifier that :func:`save` wrote, here or elsewhere.

    Args:
        folder: where it lies.
        encoder: its encoder, where that is at hand already; None: it is loaded by its name.
        download_root: folder of encoders; see :meth:`WhisperEncoder.load`.

    Raises:
        CheckpointError: a file is missing, damaged or of another version; or the encoder's weights
            are not the ones that the model was trained on.
    """
    place = Path(folder)
    remedy = "give a folder that `lowser train` or classifier.save wrote, whole"
    card = files.read_json(place / CARD, CheckpointError, remedy, sealed=True)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise CheckpointError(f"{place / CARD}: not a card of a classifier of format {FORMAT}")
    try:
        tensors = files.read_safetensors(
            place / WEIGHTS, CheckpointError, remedy, expected=card.pop("sha256")
        )
        whole = encoder or _encoder(card, tensors, place, download_root)
        wanted = card["encoder"]["tensor_hash"]
        if whole.tensor_hash() != wanted:
            raise CheckpointError(
                f"{place}: made with {card['encoder']['description']} (tensors {wanted[:12]}), but "
                f"the encoder at hand is {whole.description} (tensors {whole.tensor_hash()[:12]}); "
                "its answers would mean nothing. Give the encoder that the card names"
            )
        step = card["standardisation"]
        corpora = {
            name: Statistics(
                tensors[f"corpora.{number}.mean"].numpy(),
                tensors[f"corpora.{number}.deviation"].numpy(),
            )
            for number, name in enumerate(step["corpora"])
        }
        share = float("nan") if step["speaker_share"] is None else step["speaker_share"]
        model = Frozen(
            Head(tensors["head.weights"].numpy(), tensors["head.biases"].numpy()),
            Standardiser(step["step"], step["prior"], corpora),
            share,
        )
        known = Classifier(
            whole,
            model,
            card["classes"],
            layer=card["layer"],
            encoder_name=card["encoder"]["name"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{place}: card and weights do not fit ({error!r}); {remedy}"
        ) from error
    known.notes = {name: value for name, value in card.items() if name not in known.card()}
    return known


def _encoder(
    card: Mapping[str, Any], tensors: Mapping[str, Tensor], place: Path, root: Path | None
) -> WhisperEncoder:
    described = card["encoder"]
    if described["name"] is not None:
        return WhisperEncoder.load(
            described["name"], layers=described["layers"], download_root=root
        )
    weights = {n: t for n, t in tensors.items() if n.startswith(checkpoints.PREFIX)}
    shape = checkpoints.EncoderDimensions.from_mapping(described["dimensions"], place / CARD)
    return WhisperEncoder.from_checkpoint(
        checkpoints.Checkpoint(shape, weights, described["description"], str(place))
    )


def _as_list(clips: Clip | Sequence[Clip]) -> list[Clip]:
    if isinstance(clips, str | Path) or (
        isinstance(clips, np.ndarray | Tensor) and clips.ndim == 1 and clips.dtype != object
    ):
        return [clips]
    return list(clips)


def _name(clip: Clip, number: int) -> str:
    return str(clip) if isinstance(clip, str | Path) else str(number)


def _waveform(clip: Clip, name: str) -> NDArray[np.float32]:
    """The sound of one clip, checked; the error says which it is."""
    if isinstance(clip, str | Path):
        waveform = load_audio(clip)
    else:
        samples = clip.detach().cpu().numpy() if isinstance(clip, Tensor) else clip
        waveform = np.array(samples, dtype=np.float32)
        if waveform.ndim != 1 or not np.isfinite(waveform).all() or not len(waveform):
            raise AudioError(
                f"waveform {name}: must be finite and of shape (samples,), not {waveform.shape}"
            )
        if np.abs(waveform).max() > 2:
            raise AudioError(
                f"waveform {name}: reaches {np.abs(waveform).max():g}, far beyond 1; divide whole "
                "numbers by their full scale, such as 32768"
            )
    if len(waveform) < MINIMUM_SAMPLES:
        raise AudioError(f"{name}: {len(waveform)} samples are too short to be heard")
    return waveform
