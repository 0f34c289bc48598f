"""MSP-Podcast: emotion found in English podcasts, labelled by many listeners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lowser_lib.corpora.base import (
    UNKNOWN_SPEAKER,
    Corpus,
    DataCard,
    Exclusion,
    NamedSounds,
    Utterance,
    table_rows,
)
from lowser_lib.errors import CorpusError

CODES = {
    "A": "angry",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "C": "contemptuous",
    "D": "disgusted",
    "F": "fearful",
    "U": "surprised",
    "O": "other",
    "X": None,  # the listeners did not agree: the clip stays, unlabelled
}

TABLE = "Labels/labels_consensus.csv"
OLD_TABLE = "Labels/labels_concensus.csv"
"""The same, as releases 1.6 to 1.8 spell it."""

COLUMNS = ("FileName", "EmoClass", "SpkrID", "Gender")


class MspPodcast(Corpus):
    """Parser of ``Labels/labels_consensus.csv``; the sound lies in ``Audios/``.

    Clips whose speaker the corpus does not know share the speaker ``unknown``. A split that is
    disjoint by speaker then keeps them together on one side, which is safe whoever they are.
    """

    card = DataCard(
        name="msp_podcast",
        title="MSP-Podcast",
        languages=("en",),
        size="grows by release; 1.11: 151654 clips of 2.7 to 11 s, 16 kHz, 237 hours",
        speakers="more than 1500, of both genders, and clips of unknown speakers",
        elicitation="found: podcasts under Creative Commons, labelled by five or more listeners",
        licence="free for research on signing an agreement; not to be passed on",
        citation=(
            "R. Lotfian and C. Busso, Building Naturalistic Emotionally Balanced Speech Corpus by "
            "Retrieving Emotional Speech from Existing Podcast Recordings, IEEE Transactions on "
            "Affective Computing 10(4), 2019, doi:10.1109/TAFFC.2017.2736999"
        ),
        where=(
            "ask for it at https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html "
            "(an agreement signed by your institution)"
        ),
        layout=f"{TABLE} and Audios/MSP-PODCAST_0001_0008.wav and the like",
        notes=(
            "The release's own partitions (Split_Set) keep test speakers apart. Some test clips "
            "are published without labels; they are listed as excluded."
        ),
    )

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; then the sounds that the table does not speak of."""
        place = _place(folder)
        sounds = NamedSounds(folder, place, suffixes=(".wav",))
        table = OLD_TABLE if (folder / OLD_TABLE).is_file() else TABLE
        remedy = "unpack the release's Labels"
        for line, row in table_rows(self.name, folder / table, COLUMNS, remedy):
            name, label = row["FileName"], row["EmoClass"]
            path = f"{place}/{name}"
            if not sounds.name(path):
                yield Exclusion(f"{table}:{line}", f"{name} is there already, the first is kept")
            elif fault := sounds.lacking(path, f"is in {table}, but missing"):
                yield fault
            elif label not in CODES:
                yield Exclusion(path, f"EmoClass {label!r} is not one of {', '.join(CODES)}")
            else:
                yield _utterance(path, row)
        yield from sounds.others(f"is not in {table}")


def _place(folder: Path) -> str:
    """Find the folder of the clips, ``Audios`` or, in early releases, ``Audio``."""
    for name in ("Audios", "Audio"):
        if (folder / name).is_dir():
            return name
    raise CorpusError(f"msp_podcast: {folder} holds no folder Audios; unpack the release's audio")


def _utterance(path: str, row: dict[str, str]) -> Utterance:
    """Turn one line of the table into an utterance."""
    speaker, gender = row["SpkrID"], row["Gender"].lower()
    return Utterance(
        path=path,
        speaker=UNKNOWN_SPEAKER if speaker.lower() in {"", "unknown"} else speaker,
        gender=gender if gender in {"female", "male"} else "unknown",
        language="en",
        raw_label=row["EmoClass"],
        emotion=CODES[row["EmoClass"]],
    )
