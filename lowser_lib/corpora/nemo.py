"""nEMO: acted Polish, each sentence said in six emotions."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from lowser_lib.corpora.base import Corpus, DataCard, Exclusion, Utterance, faults
from lowser_lib.corpora.folders import list_sounds
from lowser_lib.errors import CorpusError

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
        listing = list_sounds(folder / SOUNDS)
        sounds = {f"{SOUNDS}/{file}" for file in listing.sounds}
        unusable = {fault.path: fault for fault in faults(listing, f"{SOUNDS}/")}
        seen: set[str] = set()
        for where, fields in _lines(folder / TABLE):
            path = f"{SOUNDS}/{fields['file_id']}"
            if not fields["file_id"] or not fields["speaker_id"]:
                yield Exclusion(where, "has no file_id or no speaker_id")
                continue
            if path in seen:
                yield Exclusion(where, f"{fields['file_id']} is there already, the first is kept")
                continue
            seen.add(path)
            if path not in sounds:
                missing = Exclusion(path, f"is in {TABLE}, but missing")
                yield unusable.pop(path, missing)
            elif fields["emotion"] not in CODES:
                reason = f"emotion {fields['emotion']!r} is not one of {', '.join(CODES)}"
                yield Exclusion(path, reason)
            else:
                yield Utterance(
                    path=path,
                    speaker=fields["speaker_id"],
                    gender=fields["gender"]
                    if fields["gender"] in {"female", "male"}
                    else "unknown",
                    language="pl",
                    raw_label=fields["emotion"],
                    emotion=CODES[fields["emotion"]],
                    text_id=" ".join(fields["normalized_text"].split()) or None,
                )
        for path in sorted(sounds - seen):
            yield Exclusion(path, f"is not in {TABLE}")
        yield from unusable.values()


def _lines(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Read the table: where a line stands, and its fields without blanks around them."""
    if not table.is_file():
        raise CorpusError(f"nemo: {table} is missing; it comes with the repository")
    # A sentence may hold a quotation mark that quotes nothing, hence QUOTE_NONE.
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise CorpusError(f"nemo: {table} has no column {', '.join(missing)}")
        for row in reader:
            fields = {name: (row[name] or "").strip() for name in COLUMNS}
            yield f"{TABLE}:{reader.line_num}", fields
