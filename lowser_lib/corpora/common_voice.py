"""Mozilla Common Voice: read sentences in many languages, with speakers and without emotions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lowser_lib.corpora.base import Corpus, DataCard, Exclusion, Utterance, table_rows
from lowser_lib.errors import CorpusError

GENDERS = {
    "male": "male",
    "male_masculine": "male",
    "female": "female",
    "female_feminine": "female",
}
"""The values of old and new releases; every other value, and none, reads as ``unknown``."""

TABLE = "validated.tsv"
COLUMNS = ("client_id", "path", "gender")


class CommonVoice(Corpus):
    """Parser of ``LANG/validated.tsv``; the sound lies in ``LANG/clips/``.

    Every language folder that is there is read. Clips outside ``validated.tsv`` (not yet judged, or
    judged bad) are no part of this corpus and are not listed.
    """

    card = DataCard(
        name="common_voice",
        title="Mozilla Common Voice",
        languages=("bn", "de", "en", "ur"),
        size="grows by release and language; clips of about 5 s, mp3, 32 or 48 kHz",
        speakers="volunteers by an anonymous id; part of them tell their gender, mostly men",
        elicitation="read sentences, no emotion asked for; unlabelled",
        licence="CC0 1.0; nobody may try to find out who the speakers are",
        citation=(
            "R. Ardila, M. Branson, K. Davis, M. Kohler, J. Meyer, M. Henretty, R. Morais, "
            "L. Saunders, F. Tyers and G. Weber, Common Voice: A Massively-Multilingual Speech "
            "Corpus, LREC 2020"
        ),
        where=(
            "https://commonvoice.mozilla.org/datasets: choose language and release, accept the "
            "terms (there is no lasting address that a script could fetch)"
        ),
        layout=(
            "a folder for each language code, as in the release: ur/validated.tsv and "
            "ur/clips/common_voice_ur_1.mp3, de/..., bn/..., en/..."
        ),
        labelled=False,
        notes=(
            "One id may stand for several people at one microphone, and one person may have "
            "several ids. Read speech: hardly any emotion in it."
        ),
    )

    def utterances(self, folder: Path) -> Iterator[Utterance | Exclusion]:
        """See :meth:`Corpus.utterances`; languages in the order of their codes."""
        tables = sorted(folder.glob(f"*/{TABLE}"))
        if not tables:
            raise CorpusError(
                f"common_voice: {folder} holds no LANG/{TABLE}. What has to lie there: "
                f"{self.card.layout}"
            )
        for table in tables:
            yield from _language(table)


def _language(table: Path) -> Iterator[Utterance | Exclusion]:
    """Read the validated clips of one language."""
    code = table.parent.name
    seen: set[str] = set()
    remedy = "fetch the release anew"
    for line, row in table_rows("common_voice", table, COLUMNS, remedy, tabs=True):
        where = f"{code}/{TABLE}:{line}"
        clip = PurePosixPath(row["path"]).name
        if not row["client_id"] or not clip:
            yield Exclusion(where, "has no client_id or no path")
            continue
        # The earliest releases name clips without their ending.
        clip = clip if PurePosixPath(clip).suffix else f"{clip}.mp3"
        if clip in seen:
            yield Exclusion(where, f"{clip} is there already, the first is kept")
            continue
        seen.add(clip)
        yield Utterance(
            path=f"{code}/clips/{clip}",
            speaker=row["client_id"],
            gender=GENDERS.get(row["gender"].lower(), "unknown"),
            # zh-CN, sv-SE: the part before the hyphen is the language.
            language=code.partition("-")[0].lower(),
            text_id=row.get("sentence_id") or None,
        )
