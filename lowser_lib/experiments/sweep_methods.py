"""What ``lowser sweep`` repeats: one training of a method for a seed and a target language.

A method is a function that trains a classifier, and what a sweep has to know of it; each has a
module of its own and is put into :data:`METHODS` by :func:`register`.
"""

from __future__ import annotations

from lowser_lib.errors import ProfileError
from lowser_lib.experiments import (
    sweep_baseline,
    sweep_byol,
    sweep_contrastive,
    sweep_vicreg,
)
from lowser_lib.experiments.sweep_baseline import baseline_settings
from lowser_lib.experiments.sweep_speech import (
    FOLDS,
    UNHEARD,
    VALIDATION,
    Method,
    Run,
    Speech,
    Trained,
    macro_f1,
    score,
    speech_of,
    split,
)

__all__ = [
    "FOLDS",
    "METHODS",
    "UNHEARD",
    "VALIDATION",
    "Method",
    "Run",
    "Speech",
    "Trained",
    "baseline_settings",
    "get",
    "macro_f1",
    "register",
    "score",
    "speech_of",
    "split",
]


METHODS: dict[str, Method] = {}
"""All methods by name."""


def register(method: Method) -> Method:
    """Make a method known to ``lowser sweep``.

    Raises:
        ValueError: The name is taken.
    """
    if method.name in METHODS:
        raise ValueError(f"there is a method {method.name!r} already; choose another name")
    METHODS[method.name] = method
    return method


def get(name: str) -> Method:
    """Look a method up.

    Raises:
        ProfileError: There is no such method.
    """
    if name not in METHODS:
        raise ProfileError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


for _module in (sweep_baseline, sweep_contrastive, sweep_byol, sweep_vicreg):
    register(_module.METHOD)
