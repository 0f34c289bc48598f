"""What a chapter shows besides figures: sounds, questions that fold, tables, a button for a file.

A sound is embedded as MP3 (about 10 KB for 2.5 s), in the same HTML that a browser, JupyterLab and
the rendered book play without a network. What ``nbval`` compares of it is its label and length; the
bytes are left out (see :data:`SANITIZE`), because MP3 encoders differ from machine to machine.

A question folds with HTML's own ``<details>``, so that it works in JupyterLab, in the rendered book
and on a page of a code host alike, offline and without a running kernel. Every option explains
itself, the wrong ones too: somebody who picked one had a reason.
"""

from __future__ import annotations

import base64
import html
import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from IPython.display import display
from numpy.typing import NDArray

from lowser_lib.errors import LowserError
from lowser_lib.experiments.data import watched

SANITIZE = ("data:audio/[^\"']*", "SOUND")
"""The regular expression by which nbval leaves out sounds, and what it puts in their place."""

PEAK = 0.9
"""Full scale less a margin, since MP3 overshoots a little."""

MAX_GAIN = 8.0
"""Most amplification, 18 dB: faint clips become audible, silence does not become noise."""

# Level of libsndfile that gives 32 kbit/s at 16 kHz: enough for speech up to 8 kHz.
_COMPRESSION = 0.85


@dataclass(frozen=True, repr=False)
class Sound:
    """Sounds side by side, ready to be shown by a notebook.

    Attributes:
        labels: What stands above each sound; may be empty strings.
        seconds: Length of each sound.
        encoded: MP3 bytes of each sound.
    """

    labels: tuple[str, ...]
    seconds: tuple[float, ...]
    encoded: tuple[bytes, ...]

    def __repr__(self) -> str:
        """Labels and lengths, for the text output that nbval compares."""
        pairs = zip(self.labels, self.seconds, strict=True)
        parts = [f"{label or 'sound'}, {seconds:.2f} s" for label, seconds in pairs]
        return f"Sound: {'; '.join(parts)}"

    def _repr_html_(self) -> str:
        players = [
            _player(label, content)
            for label, content in zip(self.labels, self.encoded, strict=True)
        ]
        return f'<div style="display: flex; flex-wrap: wrap; gap: 1em;">{"".join(players)}</div>'


def listen(waveform: Any, sample_rate: int = 16_000, title: str | None = None) -> Sound:
    """Play a waveform in the notebook.

    Args:
        waveform: ``(samples,)`` array or tensor of real numbers.
        sample_rate: Samples a second, in Hz, one that MP3 knows (8, 11.025, 12, 16, 22.05, 24, 32,
            44.1 or 48 kHz).
        title: What stands above the player.

    Returns:
        A display object; leave it as the last line of a cell or give it to ``display``.

    Raises:
        ValueError: The waveform is not one-dimensional, is empty, or holds values that are not
            finite.
    """
    return listen_row({title or "": waveform}, sample_rate)


def listen_row(
    waveforms: Mapping[str, Any], sample_rate: int = 16_000, same_gain: bool = False
) -> Sound:
    """Play several waveforms side by side.

    Args:
        waveforms: Label to ``(samples,)`` array or tensor.
        sample_rate: Samples a second of all of them, in Hz.
        same_gain: Scale all by one factor, so that differences in loudness stay audible; otherwise
            each is brought to the same peak.

    Returns:
        A display object.

    Raises:
        ValueError: There is no waveform, or one is unfit (see :func:`listen`).
    """
    if not waveforms:
        raise ValueError("waveforms is empty; give at least one")
    checked = {label: _checked(label, wave) for label, wave in waveforms.items()}
    common = _gain(max(float(np.abs(wave).max()) for wave in checked.values()))
    encoded = []
    for wave in checked.values():
        gain = common if same_gain else _gain(float(np.abs(wave).max()))
        encoded.append(_mp3(wave * np.float32(gain), sample_rate))
    seconds = tuple(len(wave) / sample_rate for wave in checked.values())
    return Sound(tuple(checked), seconds, tuple(encoded))


def _checked(label: str, waveform: Any) -> NDArray[np.float32]:
    if hasattr(waveform, "detach"):  # a tensor, wherever it lies
        waveform = waveform.detach().cpu().numpy()
    wave = np.asarray(waveform, dtype=np.float32)
    name = f"waveform {label!r}" if label else "waveform"
    if wave.ndim != 1 or wave.size == 0:
        raise ValueError(f"{name} must have shape (samples,) with samples > 0, got {wave.shape}")
    if not np.isfinite(wave).all():
        raise ValueError(f"{name} holds values that are not finite")
    return wave


def _gain(peak: float) -> float:
    return min(PEAK / peak, MAX_GAIN) if peak > 0 else 1.0


def _mp3(wave: NDArray[np.float32], sample_rate: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        wave,
        sample_rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=_COMPRESSION,
    )
    return buffer.getvalue()


def _player(label: str, content: bytes) -> str:
    name = html.escape(label, quote=True)
    caption = f"<div>{name}</div>" if label else ""
    source = f"data:audio/mpeg;base64,{base64.b64encode(content).decode('ascii')}"
    return (
        f'<div>{caption}<audio controls="controls" aria-label="{name or "sound"}">'
        f'<source src="{source}" type="audio/mpeg" /></audio></div>'
    )


# Questions and tables


@dataclass(frozen=True, repr=False)
class Question:
    """A question whose answers are folded away until they are clicked.

    Attributes:
        text: The question, one or two sentences.
        folds: What can be clicked, and what then appears.
    """

    text: str
    folds: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        """The question and its options, without the answers."""
        return "\n".join([self.text, *(f"- {option}" for option, _ in self.folds)])

    def _repr_html_(self) -> str:
        folded = [
            f'<details style="margin: 0.3em 0;"><summary>{html.escape(option)}</summary>'
            f'<div style="margin: 0.2em 0 0.6em 1.2em;">{html.escape(answer)}</div></details>'
            for option, answer in self.folds
        ]
        return f"<div><b>{html.escape(self.text)}</b>{''.join(folded)}</div>"


def choices(text: str, options: Mapping[str, str], right: str) -> Question:
    """Ask a question with several options; each says, when clicked, whether it is right and why.

    Args:
        text: The question.
        options: Option to its explanation, in the order shown.
        right: Which option is right.

    Returns:
        A display object; leave it as the last line of a cell or give it to ``display``.

    Raises:
        ValueError: There are fewer than two options, or ``right`` is none of them.
    """
    if len(options) < 2 or right not in options:
        raise ValueError(f"right={right!r} must be one of two or more options: {list(options)}")
    return Question(
        text,
        tuple(
            (option, f"{'Right' if option == right else 'No'}: {explanation}")
            for option, explanation in options.items()
        ),
    )


def reveal(text: str, answer: str, click: str = "Show the answer") -> Question:
    """Ask a question whose one answer appears when it is clicked.

    Args:
        text: The question.
        answer: What appears.
        click: What to click on.

    Returns:
        A display object, as of :func:`choices`.
    """
    return Question(text, ((click, answer),))


@dataclass(frozen=True, repr=False)
class Table:
    """A table whose cells are sentences: left-aligned, wrapped, nothing cut off.

    Attributes:
        head: Names of the columns.
        rows: Cells, each one line of text.
        caption: What stands above the table; may be empty.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __repr__(self) -> str:
        """The caption, then one line a row."""
        lines = [self.caption] if self.caption else []
        return "\n".join([*lines, *(" | ".join(row) for row in (self.head, *self.rows))])

    def _repr_html_(self) -> str:
        head = f"<thead><tr>{_cells('th', self.head)}</tr></thead>"
        body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in self.rows)
        caption = f"<caption>{html.escape(self.caption)}</caption>" if self.caption else ""
        return f'<table class="table">{caption}{head}<tbody>{body}</tbody></table>'


def table(frame: pd.DataFrame, caption: str = "") -> Table:
    """Show a table whose cells are sentences.

    pandas' own view cuts long cells off, and Markdown made by a cell is not rendered as a table by
    the book.

    Args:
        frame: Cells are shown as ``str`` gives them; the index is not shown.
        caption: What stands above the table; the book numbers it.

    Returns:
        A display object; leave it as the last line of a cell or give it to ``display``.
    """
    head = tuple(_line(name) for name in frame.columns)
    rows = tuple(tuple(map(_line, row)) for row in frame.itertuples(index=False))
    return Table(head, rows, _line(caption))


def _line(value: object) -> str:
    return " ".join(str(value).split())


def _cells(kind: str, texts: tuple[str, ...]) -> str:
    # On each cell, because JupyterLab's own style sheet right-aligns them.
    style = "text-align: left; vertical-align: top;"
    return "".join(f'<{kind} style="{style}">{html.escape(text)}</{kind}>' for text in texts)


def ask_for_sound(hear: Callable[[Path], Any]) -> None:
    """Show a button that takes a sound file, and what is made of it.

    On a phone the browser offers its microphone as well. Nothing is shown where nobody is there to
    press it. The file goes to the kernel, and nowhere else.

    Args:
        hear: Makes something to be shown of a file, such as a figure; its errors are shown.
    """
    if not watched():
        return
    from ipywidgets import FileUpload, Output, VBox  # type: ignore[import-untyped]

    button, output = FileUpload(accept="audio/*", description="A recording"), Output()

    def chosen(change: Mapping[str, Any]) -> None:
        output.clear_output()
        with output, tempfile.TemporaryDirectory() as folder:
            for upload in change["new"]:
                path = Path(folder, Path(upload["name"]).name)
                path.write_bytes(upload["content"])
                try:
                    display(hear(path))
                except LowserError as error:
                    print(error)

    button.observe(chosen, "value")
    display(VBox([button, output]))
