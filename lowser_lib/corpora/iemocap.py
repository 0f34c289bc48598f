"""IEMOCAP: acted and improvised American English dialogues, labelled by several listeners."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lowser_lib.corpora.base import Corpus, DataCard, Exclusion, NamedSounds, Utterance
from lowser_lib.corpora.folders import is_stray
from lowser_lib.errors import CorpusError

CODES = {
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "neu": "neutral",
    "sad": "sad",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgusted",
    "oth": "other",
    "xxx": None,  # the listeners did not agree: the clip stays, unlabelled
}

SESSIONS = tuple(f"Session{number}" for number in range(1, 6))

_TURN = re.compile(r"\[\s*\d+(?:\.\d+)?\s*-\s*\d+(?:\.\d+)?\s*\]\t(\S+)\t(\S+)\t\[.*\]")
_NAME = re.compile(r"(Ses(\d\d)[FM]_\w+)_([FM])\w*\d+")


class Iemocap(Corpus):
    """Parser of the label files ``SessionN/dialog/EmoEvaluation/*.txt``.

    A turn is one line, ``[start - end]<tab>turn<tab>label<tab>[valence, activation, dominance]``,
    and its sound lies in ``SessionN/sentences/wav/<dialog>/<turn>.wav``. The letter before a turn's
    number is the speaker's gender; with one woman and one man a session, session and gender name
    the speaker.
    """

    card = DataCard(
        name="iemocap",
        title="Interactive Emotional Dyadic Motion Capture Database (IEMOCAP)",
        languages=("en",),
        size="10039 turns of about 4.5 s, 16 kHz, 12 hours; four classes: 5531 turns",
        speakers="10 actors in five sessions: 5 female, 5 male",
        elicitation="acted from scripts and improvised, in pairs; judged by three listeners",
        licence="free for research on signing a licence; not to be passed on",
        citation=(
            "C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. N. Chang, S. Lee "
            "and S. S. Narayanan, IEMOCAP: Interactive emotional dyadic motion capture database, "
            "Language Resources and Evaluation 42, 2008, doi:10.1007/s10579-008-9076-6"
        ),
        where="ask for it at https://sail.usc.edu/iemocap/ (licence form, answered by mail)",
        layout=(
            "Session1/ to Session5/ of the full release, each with dialog/EmoEvaluation/*.txt "
            "and sentences/wav/<dialog>/<turn>.wav"
        ),
        expected={
            "clips": 10039,
            "speakers": 10,
            "female speakers": 5,
            "male speakers": 5,
            "emotion neutral": 1708,
            "emotion happy": 595,
            "emotion excited": 1041,
            "emotion angry": 1103,
            "emotion sad": 1084,
        },
        notes=(
            "Turns on which listeners did not agree (xxx) stay in, unlabelled. Scripted turns "
            "repeat the same words in every session; there is no sentence id to tell them by."
        ),
    )

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; sessions that are not there are passed over."""
        sessions = [session for session in SESSIONS if (folder / session).is_dir()]
        if not sessions:
            raise CorpusError(
                f"iemocap: {folder} holds none of {', '.join(SESSIONS)}. What has to lie there: "
                f"{self.card.layout}"
            )
        for session in sessions:
            yield from _session(folder, session)


def _session(folder: Path, session: str) -> Iterator[Utterance | Exclusion]:
    """List the turns of a session, then the sounds that no label file speaks of."""
    labels = folder / session / "dialog" / "EmoEvaluation"
    if not labels.is_dir():
        raise CorpusError(f"iemocap: the label folder {labels} is missing; unpack it as well")
    sounds = NamedSounds(folder, f"{session}/sentences/wav", suffixes=(".wav",))
    for file in sorted(labels.glob("*.txt")):
        if is_stray(file.relative_to(labels)):
            continue
        where = file.relative_to(folder).as_posix()
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, start=1):
            # Only the first line of a turn starts with a bracket; the listeners' votes follow it.
            if line.startswith("["):
                turn = _turn(session, line, f"{where}:{number}", sounds)
                if isinstance(turn, Utterance):
                    fault = sounds.lacking(turn.path, f"has a label in {where}, but is missing")
                    yield fault or turn
                else:
                    yield turn
    yield from sounds.others("no file in EmoEvaluation has a label for it")


def _turn(session: str, line: str, where: str, sounds: NamedSounds) -> Utterance | Exclusion:
    """Read one turn line; the sound it speaks of counts as named."""
    match = _TURN.fullmatch(line.strip())
    if match is None:
        return Exclusion(where, "does not read as [start - end], turn, label, [v, a, d]")
    turn, label = match.groups()
    name = _NAME.fullmatch(turn)
    if name is None:
        return Exclusion(where, f"turn {turn} does not read like Ses01F_impro01_F000")
    dialog, number, gender = name.groups()
    path = f"{session}/sentences/wav/{dialog}/{turn}.wav"
    if not sounds.name(path):
        return Exclusion(where, f"turn {turn} has a label already, the first is kept")
    if label not in CODES:
        return Exclusion(path, f"label {label} is not one of {', '.join(CODES)}")
    return Utterance(
        path=path,
        speaker=f"Ses{number}{gender}",
        gender="male" if gender == "M" else "female",
        language="en",
        raw_label=label,
        emotion=CODES[label],
    )
