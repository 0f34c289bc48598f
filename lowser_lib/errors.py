"""The errors that LowSER raises on purpose.

Every message names the file or the value that is wrong and says what to do about it. Catch
:class:`LowserError` to catch them all. A wrong *argument* of a function (a negative temperature, an
unknown switch) is a plain :class:`ValueError` that names the argument and its value;
:func:`require` raises it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from numbers import Integral, Real
from typing import Any


class LowserError(Exception):
    """Base class of all errors that LowSER raises on purpose."""


class CorpusError(LowserError):
    """A corpus is unknown, not in place, or its folder does not have the documented layout."""


class DownloadError(CorpusError):
    """An archive could not be fetched, or what came back is not what was announced."""


class SynthesisError(CorpusError):
    """Synthetic speech could not be made, after the retries that are allowed."""


class ManifestError(LowserError):
    """A manifest breaks its schema: a missing column, a duplicate id, an unknown value."""


class SplitError(LowserError):
    """A split cannot be made, or shares a speaker between its parts."""


class AudioError(LowserError):
    """A sound file is missing, unreadable, empty, silent, or holds values that are not numbers."""


class CacheError(LowserError):
    """The on-disk cache could not be written or read."""


class CheckpointError(LowserError):
    """A checkpoint is missing, damaged, or does not fit the model."""


class TrainingError(LowserError):
    """Training cannot go on: the loss is not finite, or there is nothing to train on."""


class EvaluationError(LowserError):
    """A metric or an interval cannot be computed from what was given."""


class ProfileError(LowserError):
    """A profile is unknown, or what it needs is not on this machine."""


class RunError(LowserError):
    """A chapter failed, or the record of a run cannot be written or read."""


def require(allowed: str | Collection[Any], /, **values: Any) -> None:
    """Refuse arguments that are out of range, by their names: the check of all settings.

    Args:
        allowed: an interval such as ``"[0, 1)"`` or ``"(0, inf)"``; ``"1.."`` for whole numbers
            from 1; either with ``" or None"`` behind it; or a collection of choices.
        **values: the arguments.

    Raises:
        ValueError: a value is not allowed; the message names the argument, the range and the value.
    """
    span = allowed.removesuffix(" or None") if isinstance(allowed, str) else ""
    for name, value in values.items():
        if not isinstance(allowed, str):
            fits, wanted = value in allowed, f"be one of {', '.join(map(repr, allowed))}"
        elif value is None and span != allowed:
            continue
        else:
            whole = span.endswith("..")
            low, high = (span[:-2], "inf") if whole else span[1:-1].split(",")
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not number or (whole and not isinstance(value, Integral)):
                fits, wanted = False, "be a whole number" if whole else "be a number"
            else:
                above = value > float(low) if span[0] == "(" else value >= float(low)
                below = value < float(high) if span[-1] in ")." else value <= float(high)
                fits, wanted = above and below, f"lie in {span}"
                if value != math.inf and float(high) == math.inf:
                    wanted = f"be above {low}" if span[0] == "(" else f"be at least {low}"
        if not fits:
            raise ValueError(f"{name} must {wanted}, not {value!r}")
