"""One visible training loop for every method, and what goes with it: recipe, execution, state."""

from lowser_lib.training.loop import (
    CHOICES,
    PRECISIONS,
    Execution,
    History,
    TrainingConfig,
    fast_bf16,
    fit,
    make_fabric,
    one_thread,
    precision_of,
    warmup_cosine,
)
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

__all__ = [
    "CHOICES",
    "PRECISIONS",
    "Execution",
    "History",
    "Metric",
    "Recipe",
    "Step",
    "TrainingConfig",
    "answers_by_batch",
    "classify",
    "embed",
    "embed_views",
    "fast_bf16",
    "fit",
    "make_fabric",
    "match_embeddings",
    "one_thread",
    "precision_of",
    "predict",
    "validation_score",
    "warmup_cosine",
]
