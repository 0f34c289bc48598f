"""One visible training loop for every method of the course, on Lightning Fabric.

:func:`fit` is the loop: batches, losses, gradients, steps, validation, early stopping, checkpoints.
Fabric places models and batches on the device, applies the precision, and averages gradients over
processes. The method itself is a :class:`lowser_lib.training.Recipe`.

A run is a function of its arguments: the randomness of an epoch follows from the run's seed and the
epoch's number, so a run that was stopped and resumed ends with the same weights.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from lowser_lib.errors import TrainingError
from lowser_lib.sampling import Resumable, derive_seed, draw_seed
from lowser_lib.training.prediction import embed, predict
from lowser_lib.training.recipe import Recipe, Step
from lowser_lib.training.state import History, RunState

__all__ = [
    "PRECISIONS",
    "History",
    "TrainingConfig",
    "embed",
    "fit",
    "make_fabric",
    "one_thread",
    "predict",
    "warmup_cosine",
]


#: Precisions that the course is tested with; ``"auto"`` chooses between the first and the last.
PRECISIONS = ("32-true", "64-true", "bf16-mixed")


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how carefully to train; all values are our choice.

    Attributes:
        epochs: most passes over the data.
        batch_size: clips an optimizer step, over all processes together.
        warmup: share of all steps in which the learning rate rises, in [0, 1).
        weight_decay: AdamW's pull of the weights towards zero.
        clip_norm: longest gradient that is not shortened; infinity never shortens.
        patience: epochs without a better validation score before stopping; None never stops early.
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

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            ValueError: a value is out of range; the message names it.
        """
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value!r}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must lie in [0, 1), not {self.warmup!r}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, not {self.weight_decay!r}")
        if not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, not {self.clip_norm!r}")


def make_fabric(
    device: str = "auto",
    precision: str = "auto",
    devices: int = 1,
    log_folder: Path | None = None,
) -> Fabric:
    """Choose where and how exactly to compute.

    Args:
        device: ``"cpu"``, ``"cuda"``, ``"mps"``, or ``"auto"``: a CUDA GPU if there is one.
        precision: one of :data:`PRECISIONS`, or ``"auto"``: bf16 on a GPU that has it, otherwise
            float32. float64 costs about twice the time of float32 on a CPU; its results agree to
            many more digits between machines.
        devices: processes, one a device; with more than one call ``fabric.launch()`` first.
        log_folder: where to write ``csv/metrics.csv`` and TensorBoard's events (in
            ``tensorboard/``); None: nowhere.

    Raises:
        ValueError: the precision is unknown.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ValueError(f"precision must be 'auto' or one of {PRECISIONS}, not {precision!r}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        half = device == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16-mixed" if half else "32-true"
    loggers: list[Logger] = []
    if log_folder is not None:
        loggers.append(CSVLogger(log_folder, name="", version="csv", flush_logs_every_n_steps=1))
        loggers.append(TensorBoardLogger(log_folder, name="", version="tensorboard"))
    return Fabric(
        accelerator=device,
        devices=devices,
        precision=precision,  # type: ignore[arg-type]  # one of the literals, checked above
        loggers=loggers,
    )


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
    loader: Resumable,
    config: TrainingConfig | None = None,
    *,
    generator: torch.Generator,
    score: Callable[[], float] | None = None,
    monitor: Callable[[], Mapping[str, float]] | None = None,
    fabric: Fabric | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: bool = False,
) -> History:
    """Train a recipe in place, and keep the weights of its best epoch.

    Args:
        recipe: the method, with its networks.
        loader: its batches; under several processes each loads its own share.
        config: how long and how carefully; None takes the defaults. ``batch_size`` is the loader's
            affair.
        generator: one number is drawn from it, the seed of the run; torch's own generators are
            left as they were.
        score: judges the model on *validation* speakers after each epoch, larger is better; never
            let it see test data. The model is in evaluation mode, on the device. None: no
            validation, no early stopping, and the last weights are kept.
        monitor: measures what the history shall hold of each epoch besides, by name; nothing is
            decided by it. It is called where ``score`` is, and draws nothing from torch's own
            generators.
        fabric: device, precision, loggers; None: :func:`make_fabric`.
        checkpoint: file that is rewritten after each epoch; None: none.
        resume: go on from ``checkpoint``, if it exists.
        progress: show a bar on stderr.

    Returns:
        The history; the recipe is left in evaluation mode, on the device.

    Raises:
        TrainingError: there is no batch, or a loss, gradient or score is not a finite number.
        CheckpointError: the checkpoint is damaged, or comes from a run with other settings.
    """
    config, fabric = config or TrainingConfig(), fabric or make_fabric()
    steps = len(loader)
    if steps == 0:
        raise TrainingError("there is nothing to train on: the loader has no batch")
    total = config.epochs * steps
    adam = AdamW(recipe.parameter_groups(), weight_decay=config.weight_decay)
    schedule = LambdaLR(adam, lambda step: warmup_cosine(step, total, config.warmup))
    model, optimizer = fabric.setup(recipe, adam)

    run = RunState(
        parts={"recipe": recipe, "optimizer": adam, "schedule": schedule, "loader": loader},
        model=recipe,
        settings={**asdict(config), "steps an epoch": steps},
        seed=draw_seed(generator),
    )
    if resume and checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
        for row in run.history.rows:  # a log begins anew; give it what happened before
            fabric.log_dict(row, step=int(row["epoch"]))

    hidden = not (progress and fabric.is_global_zero)
    bar = tqdm(total=total, initial=run.epoch * steps, unit="step", file=sys.stderr, disable=hidden)
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    with bar, torch.random.fork_rng(cuda):
        while run.epoch < config.epochs and not run.history.stopped_early:
            seed = derive_seed(run.seed, run.epoch, fabric.global_rank)
            torch.manual_seed(seed)  # dropout reads torch's own generator
            random = torch.Generator().manual_seed(seed)
            loader.set_epoch(run.epoch)
            row = {"epoch": run.epoch + 1.0, "loss": 0.0}
            recorded: list[dict[str, Tensor]] = []

            model.train()
            for index, batch in enumerate(loader):
                step = Step(run.epoch * steps + index, total, random)
                losses = model(fabric.to_device(batch), step)
                fabric.backward(losses["loss"])
                norm = fabric.clip_gradients(
                    model, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False
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
                mean = torch.stack([losses[name] for losses in recorded]).double().mean()
                row[name] = float(cast(Tensor, fabric.all_reduce(mean)))
            recipe.eval()
            if score is not None:
                # All processes have to stop at the same epoch: the first one's score counts.
                row["score"] = fabric.broadcast(float(score()))
                _check_finite({"validation score": torch.tensor(row["score"])}, where)
            bar.set_postfix({name: f"{value:.3g}" for name, value in row.items()})
            if monitor is not None:
                row = {**monitor(), **row}  # what the loop itself measures has the last word
            run.finish_epoch(row, config.patience)
            fabric.log_dict(row, step=run.epoch)
            if checkpoint is not None and fabric.is_global_zero:
                run.save(checkpoint)
            fabric.barrier()

    run.restore_best()
    recipe.eval()
    for logger in fabric.loggers:
        logger.finalize("success")
    return run.history


def _check_finite(values: Mapping[str, Tensor | None], where: str) -> None:
    """Raise TrainingError if a value is NaN or infinite."""
    known = {name: value.detach() for name, value in values.items() if value is not None}
    # One look at all of them: each look at a GPU's result makes the GPU wait.
    if not torch.stack([value.double() for value in known.values()]).isfinite().all():
        bad = ", ".join(f"{n} is {float(v)}" for n, v in known.items() if not v.isfinite())
        raise TrainingError(
            f"{where}: {bad}. Look for damaged inputs; otherwise lower the learning rate or "
            "lengthen the warm-up"
        )
