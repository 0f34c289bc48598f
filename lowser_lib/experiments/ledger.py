"""``lowser ledger``: every claim of the two papers against what was measured here.

    lowser ledger                          # as Markdown on the screen
    lowser ledger --output book/ledger.md

Claims with the papers' figures stand in :mod:`lowser_lib.experiments.claims`; ours come from the
records below ``results/`` alone. Records that do not belong together are refused: other speech
under the same name, other settings within a sweep, other clips or another encoder under a
comparison.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowser_lib.errors import RunError
from lowser_lib.experiments import profiles, records
from lowser_lib.experiments.chapters import find_chapters, title
from lowser_lib.experiments.claims import CLAIMS, Claim
from lowser_lib.experiments.ledger_figures import MEASURES, Figure, Missing, Records
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.summaries import COMPARABLE

SAME_CLEAR = "same direction and clear"


SAME_UNCLEAR = "same direction, unclear"


OPPOSITE_UNCLEAR = "opposite, unclear"


OPPOSITE_CLEAR = "opposite and clear"


UNTESTABLE = "not testable here"


MISSING = "not measured yet"


VERDICTS = (SAME_CLEAR, SAME_UNCLEAR, OPPOSITE_UNCLEAR, OPPOSITE_CLEAR, UNTESTABLE, MISSING)
"""What is said of a claim. *Clear*: the interval leaves out what would be no effect."""


SWEEPS = ("baseline", "speaker_contrastive", "byol")
"""The sweeps that claims are read from, besides that over label budgets."""


PUBLISHED = "paper"
"""The profile that nobody can run without licences."""


@dataclass(frozen=True)
class Entry:
    """A claim in one profile, on one corpus.

    Attributes:
        claim: The claim.
        profile: The profile.
        verdict: One of :data:`VERDICTS`.
        figure: Ours; None where there is none.
        remark: Why there is none, or what a test would take.
    """

    claim: Claim
    profile: str
    verdict: str
    figure: Figure | None = None
    remark: str = ""

    @property
    def command(self) -> str:
        """What makes its records."""
        return self.claim.command.format(profile=self.profile)


def judge(figure: Figure) -> str:
    """Verdict on a figure: on which side of no effect it lies, and whether its interval does."""
    interval = figure.interval
    if not interval.estimable:
        return UNTESTABLE
    towards = figure.sign * (interval.estimate - figure.null)
    clear = interval.excludes(figure.null) or (figure.exact and towards != 0)
    if towards > 0:
        return SAME_CLEAR if clear else SAME_UNCLEAR
    return OPPOSITE_CLEAR if clear else OPPOSITE_UNCLEAR


def read(results: Path, profile: str) -> Records:
    """Read the records of a profile that claims rest on.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or some do not belong together.
    """
    sweeps = {name: records.load_records(results, profile, name) for name in (*SWEEPS, "pairwise")}
    chapters = records.load_records(results, profile)
    found = Records(profile, sweeps, chapters, profiles.get(profile).resamples)
    refuse_mixed(found)
    return found


def refuse_mixed(found: Records) -> None:
    """Raise a RunError where records do not belong together.

    Records agree if speech of one name has one hash in all of them, and code one version; if those
    of a sweep have the same settings, but for what tells runs apart (language, corpus, fold); and
    if sweeps that are compared share encoder, clips and splits.
    """
    heard: dict[str, tuple[str, str]] = {}
    for record in found.all:
        for corpus, digest in record.corpora.items():
            known, where = heard.setdefault(corpus, (digest, record.name))
            if known != digest:
                raise RunError(_mixed(found.profile, where, record.name, [f"speech of {corpus}"]))
    for record in found.all[1:]:
        if record.versions.get("lowser") != found.all[0].versions.get("lowser"):
            what = ["the version of lowser"]
            raise RunError(_mixed(found.profile, found.all[0].name, record.name, what))
    for runs in found.sweeps.values():
        for run in runs[1:]:
            differing = _differing(_settings(run), _settings(runs[0]))
            if differing:
                raise RunError(_mixed(found.profile, runs[0].name, run.name, differing))
    compared = [found.sweeps[name][0] for name in SWEEPS if found.sweeps.get(name)]
    for run in compared[1:]:
        differing = [
            key for key in COMPARABLE if run.config.get(key) != compared[0].config.get(key)
        ]
        if differing:
            raise RunError(_mixed(found.profile, compared[0].name, run.name, differing))


def entries(results: Path, names: Sequence[str] = tuple(profiles.PROFILES)) -> list[Entry]:
    """Judge every claim in every profile.

    Args:
        results: Folder with one folder a profile.
        names: Profiles.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or some do not belong together.
    """
    read_out = {name: read(results, name) for name in names}
    return [
        entry for claim in CLAIMS for name in names for entry in _entries(claim, read_out[name])
    ]


def text(results: Path, notebooks: Path, names: Sequence[str] = tuple(profiles.PROFILES)) -> str:
    """The ledger as Markdown.

    Args:
        results: Folder with one folder a profile.
        notebooks: Folder of the chapters, to link to their sections.
        names: Profiles.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or some do not belong together; or there are no notebooks.
    """
    found, links = entries(results, names), _links(notebooks)
    lines = [
        "# The ledger",
        "",
        "Every figure that is known of the two papers, the direction in which we read it, and what "
        "was measured here. P1 is Gong et al. 2025, P2 Khaertdinov et al. 2024. Our figures are "
        "read from `results/`, with 95 % intervals over speakers and seeds unless the note says "
        "otherwise; *clear* means that the interval leaves out what would be no effect. Changes "
        "are in points. Levels do not compare: encoder and clips are others than the papers'.",
        "",
        *_counts(found, names),
        "",
        *(_origin(read(results, name)) for name in names),
    ]
    own_ground = [entry for entry in found if entry.profile == PUBLISHED and entry.figure is None]
    found = [entry for entry in found if entry not in own_ground]
    for paper in dict.fromkeys(entry.claim.paper for entry in found):
        lines += ["", f"## {paper}", "", "| claim | paper | profile, corpus | ours | verdict | "
                  "where |", "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
        lines += [_row(entry, links) for entry in found if entry.claim.paper == paper]
    if own_ground:
        lines += ["", "## On the papers' own ground", ""]
        for needs in dict.fromkeys(entry.claim.needs for entry in own_ground):
            claims = [entry.claim.name for entry in own_ground if entry.claim.needs == needs]
            lines.append(f"- {UNTESTABLE.capitalize()}, it takes {needs}: {', '.join(claims)}")
    lines += ["", "## To measure it again", ""]
    for command, claims in _commands(found).items():
        lines.append(f"- `{command}`: {', '.join(claims)}")
    return "\n".join(lines) + "\n"


def slug(heading: str) -> str:
    """The anchor of a heading, as the book makes it: small letters, hyphens, no marks."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return kept.replace(" ", "-")


def _remark(claim: Claim, verdict: str, figure: Figure) -> str:
    """What a test would take, where a figure does not make one."""
    if verdict != UNTESTABLE:
        return ""
    speakers = figure.interval.n_speakers
    few = f"no interval from {speakers} known speaker(s); " if speakers else ""
    return f"{few}it takes {claim.needs}"


def _entries(claim: Claim, found: Records) -> list[Entry]:
    """A claim in one profile: an entry a corpus."""
    try:
        figures = MEASURES[claim.measure](found, **claim.arguments)
    except Missing as missing:
        if found.profile == PUBLISHED:
            return [Entry(claim, found.profile, UNTESTABLE, remark=f"it takes {claim.needs}")]
        return [Entry(claim, found.profile, MISSING, remark=str(missing))]
    judged = [(judge(figure), figure) for figure in figures]
    return [
        Entry(claim, found.profile, verdict, figure, _remark(claim, verdict, figure))
        for verdict, figure in judged
    ]


def _settings(run: RunRecord) -> dict[str, Any]:
    """Settings of a run, without what tells the runs of a sweep apart."""
    return {
        key: value for key, value in run.config.items() if key not in ("language", "corpus", "fold")
    }


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {**first, **second} if first.get(key) != second.get(key))


def _mixed(profile: str, first: str, second: str, what: Sequence[str]) -> str:
    return (
        f"records {first} and {second} of profile {profile} do not belong together: they differ in "
        f"{', '.join(what)}. Move the older ones away and run their sweep or chapter again"
    )


def _links(notebooks: Path) -> dict[tuple[str, str], str]:
    """(chapter, heading) -> a link to it; (chapter, "") to the chapter as a whole."""
    links = {}
    for chapter in find_chapters(notebooks):
        notebook, place = chapter.read(), f"notebooks/{chapter.path.name}"
        links[chapter.number, ""] = f"[{title(notebook, chapter.number)}]({place})"
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                for heading in re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE):
                    link = f"[{chapter.number}, {heading.strip()}]({place}#{slug(heading)})"
                    links[chapter.number, slug(heading)] = link
    return links


def _origin(found: Records) -> str:
    """One line on the code that a profile's records come from."""
    commits = {record.commit.get("hash") for record in found.all}
    dirty = sum(bool(record.commit.get("dirty")) for record in found.all)
    changed = f", {dirty} of them with changes that were not committed" if dirty else ""
    return f"- {found.profile}: {len(found.all)} records, of {len(commits)} commits{changed}"


def _counts(found: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """A small table of how many claims meet which verdict."""
    rows = ["| verdict | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    counted = Counter((entry.profile, entry.verdict) for entry in found)
    for verdict in VERDICTS:
        cells = [str(counted[name, verdict]) for name in names]
        rows.append(f"| {verdict} | {' | '.join(cells)} |")
    return rows


def _row(entry: Entry, links: Mapping[tuple[str, str], str]) -> str:
    claim = entry.claim
    where = links.get((claim.chapter, slug(claim.heading))) or links.get((claim.chapter, ""))
    place = entry.profile if entry.figure is None else f"{entry.profile}, {entry.figure.corpus}"
    figure, verdict = ours(entry), entry.verdict
    if verdict == MISSING:
        figure = f"not measured yet; run: `{entry.command}`"
    if entry.remark:
        verdict += f": {entry.remark}"
    cells = (
        f"{claim.says} ({claim.reading})", claim.figure, place, figure, verdict,
        where or f"chapter {claim.chapter}, to come",
    )  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def ours(entry: Entry) -> str:
    """Our figure in words: a level as it is, a difference in points.

    Args:
        entry: A claim in one profile, on one corpus.
    """
    figure = entry.figure
    if figure is None:
        return "—"
    interval = figure.interval
    note = f" ({figure.note})" if figure.note else ""
    if not interval.estimable and interval.estimate != interval.estimate:
        return f"not estimable{note}"
    level = entry.claim.measure in ("level", "share_male")
    scale, sign = (1.0, "") if level else (100.0, "+")
    digits = 2 if level else 1
    if entry.claim.measure == "spread":
        sign = ""
    shown = f"{scale * interval.estimate:{sign}.{digits}f}"
    if interval.estimable and not figure.exact:
        low, high = (f"{scale * bound:{sign}.{digits}f}" for bound in (interval.low, interval.high))
        shown += f" [{low}, {high}]"
    elif not figure.exact:
        shown += " [no interval]"
    return f"{shown}{note}".replace("-", "−")


def _commands(found: Sequence[Entry]) -> dict[str, list[str]]:
    """What to run, and which claims it is for."""
    commands: dict[str, list[str]] = {}
    for entry in found:
        names = commands.setdefault(entry.command, [])
        if entry.claim.name not in names:
            names.append(entry.claim.name)
    return commands
