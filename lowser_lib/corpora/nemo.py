"""nEMO: acted Polish, each sentence said in six emotions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lowser_lib.corpora.base import (
    Corpus,
    DataCard,
    Exclusion,
    NamedSounds,
    Utterance,
    table_rows,
)

CODES = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}

TABLE = "data.tsv"
SOUNDS = "samples"
COLUMNS = ("file_id", "emotion", "normalized_text", "speaker_id", "gender")


class Nemo(Corpus):
    """Parser of ``data.tsv``; the sound lies in ``samples/SPEAKER_EMOTION_N.wav``.

    ``N`` numbers a recording. Only the table's text tells the sentence, so the text is the
    sentence's id. Speakers are padded with blanks in the table.
    """

    card = DataCard(
        name="nemo",
        title="nEMO, a data set of emotional speech in Polish",
        languages=("pl",),
        size="4481 clips, more than 3 hours",
        speakers="9 actors: 4 female, 5 male by the table, aged 23 to 28",
        elicitation="acted: 90 sentences chosen for their sounds, six emotions",
        licence="CC BY-NC-SA 4.0",
        citation=(
            "I. Christop, nEMO: Dataset of Emotional Speech in Polish, LREC-COLING 2024, "
            "arXiv:2404.06292"
        ),
        where=(
            "the author's public repository, open to anyone: https://github.com/amu-cai/nEMO. "
            "Clone it or unpack its archive into the folder nemo"
        ),
        layout="data.tsv, and samples/EB0_anger_1.wav and the like",
        expected={"clips": 4481, "speakers": 9, "female speakers": 4, "male speakers": 5},
        notes=(
            "Nearly every speaker says each sentence in every emotion, so that words do not give "
            "the emotion away. Fear and surprise are outside the four classes of the course and "
            "serve as unlabelled speech."
        ),
    )

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; then the sounds that the table does not speak of."""
        sounds = NamedSounds(folder, SOUNDS)
        remedy = "fetch the repository anew"
        for line, fields in table_rows(self.name, folder / TABLE, COLUMNS, remedy, tabs=True):
            where, file, label = f"{TABLE}:{line}", fields["file_id"], fields["emotion"]
            path = f"{SOUNDS}/{file}"
            if not file or not fields["speaker_id"]:
                yield Exclusion(where, "has no file_id or no speaker_id")
            elif not sounds.name(path):
                yield Exclusion(where, f"{file} is there already, the first is kept")
            elif fault := sounds.lacking(path, f"is in {TABLE}, but missing"):
                yield fault
            elif label not in CODES:
                yield Exclusion(path, f"emotion {label!r} is not one of {', '.join(CODES)}")
            else:
                gender = fields["gender"]
                yield Utterance(
                    path=path,
                    speaker=fields["speaker_id"],
                    gender=gender if gender in {"female", "male"} else "unknown",
                    language="pl",
                    raw_label=label,
                    emotion=CODES[label],
                    text_id=" ".join(fields["normalized_text"].split()) or None,
                )
        yield from sounds.others(f"is not in {TABLE}")
