"""One visible training loop for every method of the course, on Lightning Fabric.

:func:`fit` is the loop: batches, losses, gradients, steps, validation, early stopping, checkpoints.
Fabric places models and batches on the device and applies the precision. The method itself is a
:class:`lowser_lib.training.Recipe`.

A run is a function of its arguments: the randomness of an epoch follows from the run's seed and the
epoch's number, so a run that was stopped and resumed ends with the same weights.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial

import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from lowser_lib.errors import TrainingError, require
from lowser_lib.sampling import Loader, derive_seed, draw_seed
from lowser_lib.training.execution import Execution, repeatable
from lowser_lib.training.recipe import Recipe, Step, exempt_from_decay
from lowser_lib.training.state import History, RunState


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
        """As many whole epochs as have at least so many steps, without early stopping.

        Args:
            steps: optimizer steps wanted.
            epoch: steps an epoch has.
            batch_size: clips a step.
            decay: see :class:`TrainingConfig`.
        """
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
