"""One visible training loop for every method of the course, on Lightning Fabric.

:func:`fit` is the loop: batches, losses, gradients, steps, validation, early stopping, checkpoints.
Fabric places models and batches on the device and applies the precision. The method itself is a
:class:`lowser_lib.training.Recipe`.

A run is a function of its arguments: the randomness of an epoch follows from the run's seed and the
epoch's number, so a run that was stopped goes on from its :class:`RunState` and ends with the same
weights. :class:`Execution` says where it computes and what it keeps.
"""

from __future__ import annotations

import hashlib
import io
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from lowser_lib import files
from lowser_lib.errors import CheckpointError, TrainingError, require
from lowser_lib.sampling import Loader, derive_seed, draw_seed
from lowser_lib.training.recipe import Recipe, Step, exempt_from_decay


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how carefully to train; all values are our choice.

    Attributes:
        epochs: most passes over the data.
        batch_size: clips an optimizer step.
        warmup: share of all steps in which the learning rate rises, in [0, 1).
        weight_decay: AdamW's pull of the weights towards zero.
        clip_norm: longest gradient that is not shortened; infinity never shortens.
        patience: epochs without a better validation score before stopping; None never stops early.
        decay: what decays: ``"all"`` parameters, or the ``"weights"`` without biases and the gains
            of normalisations.
    """

    # Enough for a few hundred clips; early stopping ends sooner where less will do.
    epochs: int = 10
    # Gradients of 32 clips are steady enough for fine-tuning, and 32 clips fit any memory.
    batch_size: int = 32
    # Adam's averages need some steps to settle; a tenth is the usual share.
    warmup: float = 0.1
    # AdamW's customary value: mild, since runs are short.
    weight_decay: float = 0.01
    # The usual bound for transformers: it bites in the first steps and at outliers.
    clip_norm: float = 1.0
    # Scores on a few validation speakers jump; one bad epoch should not end a run.
    patience: int | None = 4
    # Records from before there was a choice are of "all"; SimCLR and BYOL let weights alone decay.
    decay: str = field(default="all", metadata={"switch": True})

    def __post_init__(self) -> None:
        """Refuse values out of range by a ValueError that names them."""
        require("1..", epochs=self.epochs, batch_size=self.batch_size)
        require("1.. or None", patience=self.patience)
        require("[0, 1)", warmup=self.warmup)
        require("[0, inf)", weight_decay=self.weight_decay)
        require("(0, inf]", clip_norm=self.clip_norm)
        require(("all", "weights"), decay=self.decay)

    @classmethod
    def for_steps(
        cls, steps: int, epoch: int, batch_size: int, decay: str = "all"
    ) -> TrainingConfig:
        """As many whole epochs as have at least so many steps, without early stopping."""
        epochs = -(-steps // epoch)
        return cls(epochs=epochs, batch_size=batch_size, patience=None, decay=decay)


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Learning rate as a share of its peak: a straight rise, then half a cosine down to 0.

    The cosine is that of Loshchilov and Hutter 2017 (arXiv 1608.03983, equation 5).

    Args:
        step: optimizer steps already taken, 0 to ``total``.
        total: steps of the whole run.
        warmup: share of the run in which the rate rises, in [0, 1).

    Returns:
        A value in [0, 1]; it is above 0 at the first step and reaches 1 when the rise ends.
    """
    rise = math.ceil(warmup * total)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def fit(
    recipe: Recipe,
    loader: Loader,
    training: TrainingConfig | None = None,
    *,
    generator: torch.Generator,
    score: Callable[[], float] | None = None,
    monitor: Callable[[], Mapping[str, float]] | None = None,
    execution: Execution | None = None,
) -> History:
    """Train a recipe in place, and keep the weights of its best epoch.

    Args:
        recipe: the method, with its networks.
        loader: its batches. A resumed run is to be handed what the stopped one was.
        training: how long and how carefully; None takes the defaults. ``batch_size`` is the
            loader's affair.
        generator: one number is drawn from it, the seed of the run; torch's own generators are
            left as they were.
        score: judges the model on *validation* speakers after each epoch, larger is better; never
            let it see test data. The model is in evaluation mode, on the device. None: no
            validation, no early stopping, and the last weights are kept.
        monitor: measures what the history shall hold of each epoch besides, by name; nothing is
            decided by it. It is called where ``score`` is, and draws nothing from torch's own
            generators.
        execution: device and precision, checkpoint, bar; None takes the defaults.

    Returns:
        The history; the recipe is left in evaluation mode, on the device.

    Raises:
        TrainingError: there is no batch, or a loss, gradient or score is not a finite number.
        CheckpointError: the checkpoint is damaged, or comes from a run with other settings.
    """
    training, execution = training or TrainingConfig(), execution or Execution()
    fabric, checkpoint = execution.fabric, execution.checkpoint
    steps = len(loader)
    if steps == 0:
        raise TrainingError("there is nothing to train on: the loader has no batch")
    total = training.epochs * steps
    groups = recipe.parameter_groups()
    if training.decay == "weights":
        groups = exempt_from_decay(groups)
    adam = AdamW(groups, weight_decay=training.weight_decay)
    rise_and_fall = partial(warmup_cosine, total=total, warmup=training.warmup)
    schedule = LambdaLR(adam, rise_and_fall)
    model, optimizer = fabric.setup(recipe, adam)

    run = RunState(
        parts={"recipe": recipe, "optimizer": adam, "schedule": schedule},
        settings={**asdict(training), "steps an epoch": steps},
        seed=draw_seed(generator),
    )
    if execution.resume and checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    history = run.history
    best = -math.inf if history.best_epoch is None else history["score"][history.best_epoch - 1]

    bar = tqdm(
        total=total, initial=run.epoch * steps, unit="step", file=sys.stderr, leave=False,
        disable=not execution.progress,
    )  # fmt: skip
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    with bar, torch.random.fork_rng(cuda), repeatable(execution):
        while run.epoch < training.epochs and not history.stopped_early:
            seed = derive_seed(run.seed, run.epoch)
            torch.manual_seed(seed)  # dropout reads torch's own generator
            random = torch.Generator().manual_seed(seed)
            loader.batch_sampler.epoch = run.epoch
            row = {"epoch": run.epoch + 1.0, "loss": 0.0}
            recorded: list[dict[str, Tensor]] = []

            model.train()
            for index, batch in enumerate(loader):
                step = Step(run.epoch * steps + index, total, random)
                losses = model(fabric.to_device(batch), step)
                fabric.backward(losses["loss"])
                norm = fabric.clip_gradients(
                    model, optimizer, max_norm=training.clip_norm, error_if_nonfinite=False
                )
                recorded.append({name: loss.detach() for name, loss in losses.items()})
                where = f"epoch {run.epoch + 1}, step {index + 1} of {steps}"
                _check_finite({**recorded[-1], "gradient norm": norm}, where)
                row["learning_rate"] = adam.param_groups[0]["lr"]
                optimizer.step()
                optimizer.zero_grad()
                schedule.step()
                recipe.after_step(step)
                bar.update()

            for name in recorded[0]:
                # Apple's GPUs have no double precision: added up on the CPU.
                row[name] = float(
                    torch.stack([part[name] for part in recorded]).cpu().double().mean()
                )
            recipe.eval()
            if score is not None:
                row["score"] = float(score())
                _check_finite({"validation score": torch.tensor(row["score"])}, where)
            bar.set_postfix({name: f"{value:.3g}" for name, value in row.items()})
            if monitor is not None:
                row = {**monitor(), **row}  # what the loop itself measures has the last word
            run.epoch += 1
            history.rows.append(row)
            # Of equal scores the first counts: fewer epochs have had less chance to overfit.
            if score is not None and row["score"] > best:
                best, history.best_epoch = row["score"], run.epoch
                run.best = {n: v.detach().cpu().clone() for n, v in recipe.state_dict().items()}
            elif score is not None and training.patience is not None:
                history.stopped_early = run.epoch - (history.best_epoch or 0) >= training.patience
            if checkpoint is not None:
                run.save(checkpoint)

    if run.best is not None:
        recipe.load_state_dict(run.best)
    recipe.eval()
    return history


def _check_finite(values: Mapping[str, Tensor | None], where: str) -> None:
    """Raise TrainingError if a value is NaN or infinite."""
    known = {name: value.detach() for name, value in values.items() if value is not None}
    # One look at all of them: each look at a GPU's result makes the GPU wait.
    if not torch.stack([value.isfinite().all() for value in known.values()]).all():
        bad = ", ".join(f"{n} is {float(v)}" for n, v in known.items() if not v.isfinite())
        raise TrainingError(
            f"{where}: {bad}. Look for damaged inputs; otherwise lower the learning rate or "
            "lengthen the warm-up"
        )


#: Under this name a checkpoint holds the checksum of all else in it.
SEAL = "checksum"


class Stateful(Protocol):
    """A part of a run that can be stored: a model, an optimizer, a schedule."""

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Take over what :meth:`state_dict` gave."""


@dataclass
class History:
    """What happened in each epoch.

    Attributes:
        rows: one an epoch: ``epoch`` (from 1), ``loss`` and the recipe's other losses (means over
            the steps), ``learning_rate`` (of the recipe's first group, at the last step), and
            ``score``, where validation took place.
        best_epoch: the epoch whose weights were kept; None without validation: the last one's were.
        stopped_early: whether patience ran out.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    stopped_early: bool = False

    def __getitem__(self, column: str) -> list[float]:
        return [row[column] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def table(self) -> pd.DataFrame:
        """The rows as a table, indexed by epoch."""
        return pd.DataFrame(self.rows).astype({"epoch": int}).set_index("epoch")


@dataclass
class RunState:
    """All that a stopped run needs to go on as if nothing had happened.

    Attributes:
        parts: by name, everything with a state of its own, the model among them.
        settings: plain values that must be the same when the run is resumed.
        seed: what all randomness of the run follows from, together with the epoch.
        epoch: how many epochs are finished.
        history: what happened in them.
        best: weights of the best epoch, on the CPU; None before the first validation.
    """

    parts: Mapping[str, Stateful]
    settings: dict[str, Any]
    seed: int
    epoch: int = 0
    history: History = field(default_factory=History)
    best: dict[str, Tensor] | None = None

    def save(self, path: Path) -> None:
        """Write the checkpoint; the file is always whole, the old one or the new one.

        Raises:
            CheckpointError: it cannot be written; what was there stays.
        """
        state: dict[str, Any] = {
            "parts": {name: part.state_dict() for name, part in self.parts.items()},
            "settings": self.settings,
            "seed": self.seed,
            "epoch": self.epoch,
            "history": asdict(self.history),
            "best": self.best,
        }
        content = io.BytesIO()  # torch reports a full disk in a way of its own
        torch.save({**state, SEAL: checksum(state)}, content)
        with files.whole_file(path, CheckpointError) as part:
            part.write_bytes(content.getvalue())

    def load(self, path: Path) -> None:
        """Go on where a checkpoint was written; one of another seed is left alone, with a warning.

        Raises:
            CheckpointError: the file is damaged, is something else, or comes from a run with other
                settings or another model.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            parts, settings, seal = state["parts"], state["settings"], state.pop(SEAL)
        except Exception as error:  # a damaged file can fail in many ways
            raise CheckpointError(
                f"{path} cannot be read as the checkpoint of a training run ({error!r:.200}); "
                "delete it and train again"
            ) from error
        if checksum(state) != seal:
            raise CheckpointError(
                f"{path} is damaged: its content does not have the checksum that was written with "
                "it; delete it and train again"
            )
        if state["seed"] != self.seed:
            warnings.warn(
                f"{path} comes from a run with another seed: training begins anew and replaces it",
                stacklevel=3,
            )
            return
        other = {**self.settings, **settings}
        differing = [name for name in other if settings.get(name) != self.settings.get(name)]
        if differing:
            raise CheckpointError(
                f"{path} comes from a run with other settings ({', '.join(differing)}); use the "
                "same, or delete it and train again"
            )
        try:
            for name, part in self.parts.items():
                part.load_state_dict(parts[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{path} does not fit the model ({error}); build the same model, or delete it and "
                "train again"
            ) from error
        self.epoch, self.best = state["epoch"], state["best"]
        self.history = History(**state["history"])


def checksum(state: Any) -> str:
    """SHA-256 of tensors and plain values, in dictionaries and sequences of any depth.

    The file's own checksums do not do: torch does not look at them.
    """
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(f"{value.dtype} {tuple(value.shape)};".encode())
            digest.update(array.numpy().tobytes())
        elif isinstance(value, Mapping):
            for name, part in value.items():
                digest.update(f"{name!r}:".encode())
                add(part)
            digest.update(b"}")
        elif isinstance(value, list | tuple):
            for part in value:
                add(part)
            digest.update(b"]")
        else:
            digest.update(f"{value!r};".encode())

    add(state)
    return digest.hexdigest()


#: Precisions that the course is tested with.
PRECISIONS = ("32-true", "64-true", "bf16-mixed")

#: What chooses one of them: bf16 on a GPU that multiplies it, or on a processor that does, too.
CHOICES = ("auto", "bf16-if-fast")


def fast_bf16(device: str) -> bool:
    """Whether a kind of device multiplies bf16 natively, and not by way of float32.

    Args:
        device: ``"cuda"``, ``"cpu"`` or another of torch's; of others it is not known.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()  # of x86 processors, and of ARM's
    return device == "cpu" and any(known.get(n) for n in ("avx512_bf16", "amx_bf16", "bf16"))


def make_fabric(device: str = "auto", precision: str = "auto") -> Fabric:
    """Choose where and how exactly to compute.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"``: a CUDA GPU if there is one.
        precision: one of :data:`PRECISIONS`; or ``"auto"``: bf16 on a GPU that multiplies it,
            otherwise float32; or ``"bf16-if-fast"``: bf16 on a processor that multiplies it, too.
            float64 costs about twice the time of float32 on a CPU; its results agree to many more
            digits between machines.

    Raises:
        ValueError: the precision is unknown.
    """
    require((*CHOICES, *PRECISIONS), precision=precision)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision in CHOICES:
        asked = device == "cuda" or precision == "bf16-if-fast"
        precision = "bf16-mixed" if asked and fast_bf16(device) else "32-true"
    return Fabric(
        accelerator=device,
        devices=1,
        precision=precision,  # type: ignore[arg-type]  # one of the literals, checked above
    )


def precision_of(fabric: Fabric) -> str:
    """The precision that was chosen, one of :data:`PRECISIONS`; what a record says."""
    return str(fabric.strategy.precision.precision)


@dataclass(frozen=True)
class Execution:
    """How a training is carried out; nothing here changes what is learned, but for rounding.

    Attributes:
        fabric: device and precision.
        checkpoint: file that is rewritten after each epoch; None: none.
        resume: go on from what was kept, if there is any; otherwise it is written anew.
        progress: show a bar on stderr.
        deterministic: on a CUDA GPU take algorithms that repeat exactly on the same card, some of
            which are slower; torch names the environment variable that cuBLAS needs for it. A CPU
            repeats anyway.
    """

    fabric: Fabric = field(default_factory=make_fabric)
    checkpoint: Path | None = None
    resume: bool = False
    progress: bool = False
    deterministic: bool = False


@contextmanager
def repeatable(execution: Execution) -> Iterator[None]:
    """Make torch repeat exactly on a CUDA GPU, where the execution asks for it."""
    before = torch.are_deterministic_algorithms_enabled()
    if execution.deterministic and execution.fabric.device.type == "cuda":
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def one_thread(fabric: Fabric) -> Iterator[None]:
    """Compute with one thread on a CPU, so that a method's weights are the same wherever it runs.

    PyTorch sums the gradients of a layer normalisation's weights thread by thread. The last digit
    depends on their number, and hundreds of steps make a large difference of a small one.
    """
    threads = torch.get_num_threads()
    if fabric.device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
