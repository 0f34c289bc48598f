"""One visible training loop for every method, and what goes with it: recipe, state, prediction."""

from lowser_lib.training.loop import (
    PRECISIONS,
    TrainingConfig,
    fit,
    make_fabric,
    one_thread,
    warmup_cosine,
)
from lowser_lib.training.prediction import classify, embed, match_embeddings, predict
from lowser_lib.training.recipe import Recipe, Step
from lowser_lib.training.state import History

__all__ = [
    "PRECISIONS",
    "History",
    "Recipe",
    "Step",
    "TrainingConfig",
    "classify",
    "embed",
    "fit",
    "make_fabric",
    "match_embeddings",
    "one_thread",
    "predict",
    "warmup_cosine",
]
