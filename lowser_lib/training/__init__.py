"""One visible training loop for every method, and what goes with it: recipe, execution, state."""

from lowser_lib.training.execution import (
    CHOICES,
    PRECISIONS,
    Execution,
    fast_bf16,
    make_fabric,
    one_thread,
    precision_of,
)
from lowser_lib.training.loop import History, TrainingConfig, fit, warmup_cosine
from lowser_lib.training.prediction import (
    Metric,
    answers_by_batch,
    classify,
    embed,
    embed_views,
    match_embeddings,
    predict,
    validation_score,
)
from lowser_lib.training.recipe import Recipe, Step
