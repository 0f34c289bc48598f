"""Where a wav2vec 2.0 model's weights come from: shipped, published with torchaudio, or drawn.

A :class:`Source` says all that is needed to build a model: its architecture, what it wants done to
a waveform, and its weights' file and hash, or a seed. It is small and can be pickled, so that the
processes which extract a view each build the model for themselves, once.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
import torchaudio
from torchaudio.models import Wav2Vec2Model, wav2vec2_model, wavlm_model
from torchaudio.pipelines import Wav2Vec2Bundle, Wav2Vec2FABundle

from lowser_lib import files
from lowser_lib.errors import CheckpointError

SAMPLE_RATE = 16000
#: The one place that says what ``nano`` is: ``wav2vec2_nano.json`` and, once trained,
#: ``wav2vec2_nano.safetensors``.
NANO_FOLDER = Path(__file__).with_name("wav2vec2_nano")
#: Where torchaudio keeps the weights of its bundles.
PUBLISHED_AT = "https://download.pytorch.org/torchaudio/models/"

_FACTORIES = {"Wav2Vec2": wav2vec2_model, "WavLM": wavlm_model}


@dataclass(frozen=True)
class Source:
    """All that is needed to build a model, in this process or in another.

    Attributes:
        name: ``"nano"``, a bundle's name, or the file name of a bundle that was given itself.
        normalisation: what the model wants done to a waveform first, one of ``none``,
            ``layer_norm``, ``unit_variance``; see :class:`lowser_lib.views.wav2vec2.Wav2Vec2`.
        architecture: the family (``type``) and the arguments of torchaudio's factory function
            (``sizes``), as JSON, so that two sources can be compared.
        description: where the weights come from, one sentence.
        file: the weights; None for random ones.
        sha256: of the weights' file; None for random weights.
        seed: of random weights; None for trained ones.
        bundle: the bundle whose code reads the file; None for ``nano``.
    """

    name: str
    normalisation: str
    architecture: str
    description: str
    file: Path | None = None
    sha256: str | None = None
    seed: int | None = None
    bundle: Wav2Vec2Bundle | None = field(default=None, compare=False)

    @property
    def sizes(self) -> dict[str, Any]:
        """Arguments of torchaudio's factory function."""
        sizes: dict[str, Any] = json.loads(self.architecture)["sizes"]
        return sizes

    def untrained(self, seed: int) -> Source:
        """The same model with random weights."""
        description = f"{self.name}'s architecture; untrained: random weights (seed {seed})"
        return Source(self.name, self.normalisation, self.architecture, description, seed=seed)

    def build(self) -> Wav2Vec2Model:
        """Build the model with its weights.

        Returns:
            torchaudio's model: float32, on the CPU, set to evaluation, and without the layer that a
            bundle for speech recognition has behind it.

        Raises:
            CheckpointError: the weights' file has changed, is damaged, or does not fit.
        """
        if self.file is None:
            model = self._drawn(self.seed or 0)
        elif self.bundle is None:
            model = self._read_nano(self.file)
        else:
            model = self._read_published(self.file, self.bundle)
        model.aux = None
        return model.eval()

    def _drawn(self, seed: int) -> Wav2Vec2Model:
        """Draw weights as torchaudio does, leaving everybody's random numbers as they were."""
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also seed the generators of every GPU.
            torch.default_generator.manual_seed(seed)
            try:
                return _FACTORIES[json.loads(self.architecture)["type"]](**self.sizes)
            except (TypeError, ValueError, RuntimeError, KeyError) as error:
                raise CheckpointError(
                    f"{self.name}: its sizes do not describe a model of torchaudio ({error!r}); "
                    f"{files.REINSTALL}, or correct the bundle that was given"
                ) from error

    def _read_nano(self, file: Path) -> Wav2Vec2Model:
        weights = files.read_safetensors(file, CheckpointError, files.REINSTALL, self.sha256)
        model = self._drawn(0)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"{file}: does not hold the weights of such a model ({error}); {files.REINSTALL}"
            ) from error
        return _finite(model, file, files.REINSTALL)

    def _read_published(self, file: Path, bundle: Wav2Vec2Bundle) -> Wav2Vec2Model:
        remedy = "delete it, so that it is fetched again"
        try:
            if files.sha256(file) != self.sha256:
                raise ValueError("it has changed since it was fetched")
            if zipfile.is_zipfile(file):
                # PyTorch writes checksums into its files, but does not compare them.
                with zipfile.ZipFile(file) as archive:
                    if damaged := archive.testzip():
                        raise ValueError(f"wrong checksum of {damaged}")
            # The file lies where the bundle's own code looks first: it has nothing to fetch.
            place = {"model_dir": str(file.parent), "file_name": file.name}
            model = bundle.get_model(
                dl_kwargs={**place, "map_location": "cpu", "weights_only": True}
            )
        except Exception as error:  # what a damaged file raises depends on where it is damaged
            raise CheckpointError(
                f"{file}: cannot be read as the weights of {self.name} "
                f"({type(error).__name__}: {error}); {remedy}"
            ) from error
        # Some models come inside one that normalises: over the whole batch, so it is left aside.
        inner = model if isinstance(model, Wav2Vec2Model) else model.model
        return _finite(inner, file, remedy)


def _finite(model: Wav2Vec2Model, file: Path, remedy: str) -> Wav2Vec2Model:
    for name, weight in model.state_dict().items():
        if not bool(torch.isfinite(weight).all()):
            raise CheckpointError(f"{file}: {name} holds NaN or infinity; {remedy}")
    return model


def known_names() -> tuple[str, ...]:
    """The names that :func:`find` knows: ``nano`` and those of torchaudio's bundles.

    The bundle for forced alignment (``MMS_FA``) is left out.
    """
    pipelines = vars(torchaudio.pipelines)
    bundles = (name for name, value in pipelines.items() if isinstance(value, Wav2Vec2Bundle))
    aligners = (name for name, value in pipelines.items() if isinstance(value, Wav2Vec2FABundle))
    return ("nano", *sorted(set(bundles) - set(aligners)))


def find(
    name_or_bundle: str | Wav2Vec2Bundle,
    download_root: Path | None = None,
    address: str | None = None,
    sha256: str | None = None,
) -> Source:
    """Find trained weights, fetching them if need be.

    torchaudio publishes no hashes of its bundles. Without ``sha256`` a download is only known to be
    complete, and the checksums inside it are compared when it is read; features in the cache carry
    the hash of the file that they were made with.

    Args:
        name_or_bundle: ``"nano"``, the name of a bundle of torchaudio (``"WAV2VEC2_BASE"``), or a
            bundle itself.
        download_root: folder that keeps fetched weights; by default ``checkpoints`` in
            :func:`lowser_lib.files.home`. A copy put there by hand is taken.
        address: where else the bundle's weights can be had, such as a mirror.
        sha256: what their file must hash to, as hexadecimal digits; None takes what comes.

    Raises:
        CheckpointError: the weights are missing, are not the announced ones, or could not be
            fetched.
        ValueError: the name is not known, or the bundle is not for 16 kHz.
    """
    if name_or_bundle == "nano":
        return _nano_source(NANO_FOLDER)
    name, bundle = _bundle(name_or_bundle)
    published = _address(bundle)
    root = download_root or files.home() / "checkpoints"
    file = root / Path(urlparse(published).path).name
    files.fetch(name, address or published, file, sha256, CheckpointError)
    return Source(
        name, _normalisation(bundle), _architecture(bundle),
        f"{name}, as published with torchaudio", file, files.sha256(file), bundle=bundle,
    )  # fmt: skip


def find_untrained(name_or_bundle: str | Wav2Vec2Bundle, seed: int) -> Source:
    """The same model as :func:`find` finds, with random weights: nothing is read or fetched.

    Args:
        name_or_bundle: as in :func:`find`.
        seed: draws the weights.

    Raises:
        CheckpointError: the sizes of ``nano`` are missing or damaged.
        ValueError: the name is not known, or the bundle is not for 16 kHz.
    """
    if name_or_bundle == "nano":
        return _nano_source(NANO_FOLDER, trained=False).untrained(seed)
    name, bundle = _bundle(name_or_bundle)
    return Source(name, _normalisation(bundle), _architecture(bundle), "").untrained(seed)


def nano_card(folder: Path = NANO_FOLDER) -> dict[str, Any]:
    """What is known of the small model, see :func:`lowser_lib.files.read_card`.

    Args:
        folder: the folder that holds ``wav2vec2_nano.json``. Its ``dims`` are the arguments of
            ``torchaudio.models.wav2vec2_model``.
    """
    return files.read_card(folder / "wav2vec2_nano.json", CheckpointError)


def _nano_source(folder: Path, trained: bool = True) -> Source:
    content = nano_card(folder)
    file = folder / "wav2vec2_nano.safetensors"
    if trained and content["sha256"] is None:
        raise CheckpointError(
            f"{file}: no weights of wav2vec2-nano are shipped yet. Train and ship them with "
            "data_scripts/pretrain_nano.py --encoder wav2vec2_nano, take a published model such as "
            "'WAV2VEC2_BASE', or the untrained control, Wav2Vec2View.random('nano', seed=0)"
        )
    if trained and not file.is_file():
        raise CheckpointError(f"{file}: no such file; {files.REINSTALL}")
    dims = content["dims"]
    if not isinstance(dims, dict) or not isinstance(dims.get("encoder_num_layers"), int):
        card = file.with_suffix(".json")
        raise CheckpointError(f"{card}: `dims` does not describe a model; {files.REINSTALL}")
    architecture = _as_json("Wav2Vec2", dims)
    description, sha256 = content["description"], content["sha256"]
    return Source("nano", "unit_variance", architecture, description, file, sha256)


def _bundle(name_or_bundle: str | Wav2Vec2Bundle) -> tuple[str, Wav2Vec2Bundle]:
    if isinstance(name_or_bundle, Wav2Vec2Bundle):
        name, bundle = Path(_address(name_or_bundle)).name, name_or_bundle
    elif name_or_bundle in known_names():
        name, bundle = name_or_bundle, getattr(torchaudio.pipelines, name_or_bundle)
    else:
        known = ", ".join(known_names())
        raise ValueError(f"unknown wav2vec 2.0 model {name_or_bundle!r}; known: {known}")
    if bundle.sample_rate != SAMPLE_RATE:
        raise ValueError(f"{name} is for {bundle.sample_rate:g} Hz, not {SAMPLE_RATE} Hz")
    return name, bundle


def _normalisation(bundle: Wav2Vec2Bundle) -> str:
    return "layer_norm" if bundle._normalize_waveform else "none"


def _architecture(bundle: Wav2Vec2Bundle) -> str:
    return _as_json(bundle._model_type, bundle._params)


def _as_json(family: str, sizes: Mapping[str, object]) -> str:
    return json.dumps({"type": family, "sizes": dict(sizes)}, sort_keys=True)


def _address(bundle: Wav2Vec2Bundle) -> str:
    path: str = bundle._path
    return path if urlparse(path).scheme else PUBLISHED_AT + path
