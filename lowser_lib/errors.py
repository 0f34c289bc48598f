"""The errors that LowSER raises on purpose.

Every message names the file or the value that is wrong and says what to do about it. Catch
:class:`LowserError` to catch them all. A wrong *argument* of a function (a negative temperature, an
unknown switch) is a plain :class:`ValueError` that names the argument and its value.
"""

from __future__ import annotations


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
