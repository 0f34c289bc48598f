"""``lowser ledger``: every claim of the two papers against what was measured here.

    lowser ledger                          # as Markdown on the screen
    lowser ledger --output book/ledger.md

Claims stand in :mod:`lowser_lib.experiments.claims`; our figures come from the records below
``results/`` alone (:mod:`lowser_lib.experiments.ledger_figures`). Records that do not belong
together are refused: other speech under the same name, other settings within a sweep, other clips
or another encoder under a comparison.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from lowser_lib import plots
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Interval
from lowser_lib.experiments import profiles, records
from lowser_lib.experiments.chapters import find_chapters, read_notebook, title
from lowser_lib.experiments.claims import CLAIMS, Claim
from lowser_lib.experiments.findings import finding
from lowser_lib.experiments.ledger_figures import MEASURES, Figure, Missing, Records
from lowser_lib.experiments.records import RunRecord
from lowser_lib.experiments.summaries import COMPARABLE

AGREES = "agrees"
SMALLER = "smaller"
CONTRADICTS = "contradicts"
UNCLEAR = "cannot tell"
UNTESTED = "not tested"

VERDICTS: Mapping[str, str] = {
    AGREES: "the interval is clear of no effect, in the paper's direction, and holds the paper's "
    "figure if one is known, or lies beyond it",
    SMALLER: "the paper's figure lies outside, above",
    CONTRADICTS: "it is clear of no effect the other way, or so tight that half of the paper's "
    "effect is excluded",
    UNCLEAR: "it holds both no effect and the paper's figure, or no figure is known to exclude",
    UNTESTED: "there is no interval; the row says what a test would take",
}
"""What is said of a claim, and when."""

SWEEPS = ("baseline", "speaker_contrastive", "byol")
"""The sweeps that claims are read from, besides those over label budgets."""

BUDGET_SWEEPS = ("pairwise", "pairwise-other")
"""The sweeps over label budgets that claims are read from."""

WITH_WHISPER = "pairwise-whisper"
"""Read in the place of the first of them where there is one: a Whisper is the view of speech."""

RUN_KEYS = ("language", "corpus", "fold", "others")
"""Settings that tell the runs of a sweep apart."""

PEOPLE = {"fast": "synthetic speech", "open": "people", "paper": "the papers' own corpora"}
"""Who speaks in a profile."""


@dataclass(frozen=True)
class Entry:
    """A claim in one profile.

    Attributes:
        claim: The claim.
        profile: The profile.
        verdict: One of :data:`VERDICTS`.
        figure: Ours; None where there is none.
        remark: Where the paper's figure lies; or why there is no interval.
    """

    claim: Claim
    profile: str
    verdict: str
    figure: Figure | None = None
    remark: str = ""

    @property
    def scored(self) -> bool:
        """Whether it counts: no count, and nothing that a corpus was built to show."""
        return self.profile not in self.claim.built


def judge(interval: Interval, claim: Claim, null: float = 0.0) -> tuple[str, str]:
    """Verdict on an interval, and where the paper's figure lies.

    Args:
        interval: Ours.
        claim: The claim, with its sign, and its effect where one is known.
        null: What would be no effect.
    """
    if not interval.estimable:
        return UNTESTED, ""
    low, high = sorted(claim.sign * (bound - null) for bound in (interval.low, interval.high))
    effect = None if claim.effect is None else claim.sign * (claim.effect - null)
    place = ""
    if effect is not None:
        where = "above" if effect > high else "below" if effect < low else "inside"
        place = f"the paper's figure lies {where}"
    if high < 0 or (low <= 0 and effect is not None and high < effect / 2):
        return CONTRADICTS, place
    if effect is not None and high < effect:
        return SMALLER, place
    return (AGREES if low > 0 else UNCLEAR), place


def read(results: Path, profile: str) -> Records:
    """Read the records of a profile that claims rest on.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or some do not belong together.
    """
    names = (*SWEEPS, *BUDGET_SWEEPS)
    sweeps = {name: records.load_records(results, profile, name) for name in names}
    sweeps["pairwise"] = records.load_records(results, profile, WITH_WHISPER) or sweeps["pairwise"]
    chapters = records.load_records(results, profile)
    known = Records(profile, sweeps, chapters, profiles.get(profile).resamples)
    refuse_mixed(known)
    return known


def refuse_mixed(known: Records) -> None:
    """Raise a RunError where records do not belong together.

    Records agree if speech of one name has one hash in all of them, and code one version; if those
    of a sweep have the same settings, but for what tells runs apart (language, corpus, fold); and
    if sweeps that are compared share encoder, clips and splits.
    """
    speech: dict[str, tuple[str, str]] = {}
    for record in known.all:
        for corpus, digest in record.corpora.items():
            first, where = speech.setdefault(corpus, (digest, record.name))
            if first != digest:
                raise RunError(_mixed(known.profile, where, record.name, [f"speech of {corpus}"]))
    for record in known.all[1:]:
        if record.versions.get("lowser") != known.all[0].versions.get("lowser"):
            what = ["the version of lowser"]
            raise RunError(_mixed(known.profile, known.all[0].name, record.name, what))
    for runs in known.sweeps.values():
        for run in runs[1:]:
            differing = _differing(_settings(run), _settings(runs[0]))
            if differing:
                raise RunError(_mixed(known.profile, runs[0].name, run.name, differing))
    compared = [known.sweeps[name][0] for name in SWEEPS if known.sweeps.get(name)]
    for run in compared[1:]:
        differing = [
            key for key in COMPARABLE if run.config.get(key) != compared[0].config.get(key)
        ]
        if differing:
            raise RunError(_mixed(known.profile, compared[0].name, run.name, differing))


def entries(results: Path, names: Sequence[str] = ("fast", "open")) -> list[Entry]:
    """Judge every claim in every profile, claim by claim.

    Args:
        results: Folder with one folder a profile.
        names: Profiles.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or some do not belong together.
    """
    known = {name: read(results, name) for name in names}
    return [_entry(claim, known[name]) for claim in CLAIMS for name in names]


def _entry(claim: Claim, known: Records) -> Entry:
    """A claim in one profile."""
    try:
        figure = MEASURES[claim.measure](known, **claim.arguments)
    except Missing as missing:
        return Entry(claim, known.profile, UNTESTED, remark=str(missing))
    figure = replace(figure, protocol=figure.protocol or known.protocol)
    verdict, remark = judge(figure.interval, claim, figure.null)
    if verdict == UNTESTED:
        speakers = figure.interval.n_speakers
        remark = f"{speakers} known speaker(s) give no interval; it takes {claim.needs}"
    return Entry(claim, known.profile, verdict, figure, remark)


def counts(judged: Sequence[Entry]) -> pd.DataFrame:
    """How many claims meet which verdict: a row a verdict, a column a profile.

    Counts, and what a corpus was built to show, are in a row of their own.
    """
    names = list(dict.fromkeys(entry.profile for entry in judged))
    met = Counter((entry.verdict, entry.profile) for entry in judged if entry.scored)
    rows = {verdict: [met[verdict, name] for name in names] for verdict in VERDICTS}
    rows["left out"] = [
        sum(entry.profile == name and not entry.scored for entry in judged) for name in names
    ]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("verdict")


def of(judged: Sequence[Entry], name: str, profile: str = "open") -> Entry:
    """One claim in one profile.

    Raises:
        ValueError: There is no such claim, or it was not judged in that profile.
    """
    for entry in judged:
        if (entry.claim.name, entry.profile) == (name, profile):
            return entry
    raise ValueError(f"no claim {name!r} was judged in profile {profile!r}")


def drawn(judged: Sequence[Entry], title: str, *names: str) -> Drawing:
    """Draw claims, people first: our interval, the paper's figure, and the verdict.

    Speech on which none of them was measured gets no panel; what a corpus was built to show is
    said to be left out.

    Args:
        judged: Claims with our figures and their verdicts.
        title: What the claims are about.
        *names: Names of claims, whose measures are of one unit.

    Raises:
        ValueError: There is no such claim.
    """
    rows = []
    for profile in sorted({entry.profile for entry in judged}, reverse=True):
        asked = [of(judged, name, profile) for name in names]
        for entry in asked if any(entry.figure for entry in asked) else ():
            figure, effect = entry.figure, entry.claim.effect
            nothing = Interval(math.nan, math.nan, math.nan, 0)
            interval = nothing if figure is None else figure.interval
            rows.append(
                {
                    "claim": entry.claim.says,
                    "on": PEOPLE[profile],
                    "verdict": entry.verdict if entry.scored else "left out",
                    "estimate": 100 * interval.estimate,
                    "low": 100 * interval.low,
                    "high": 100 * interval.high,
                    "null": 0.0 if figure is None else 100 * figure.null,
                    "paper": math.nan if effect is None else 100 * effect,
                }
            )
    levels = all(of(judged, name).claim.measure == "level" for name in names)
    return plots.claims(rows, "score, of 100" if levels else "difference, points", title)


def tell(
    judged: Sequence[Entry], sentence: str, holds: Callable[[Mapping[str, float]], bool]
) -> None:
    """Show a finding about claims on people, and whether it holds.

    Args:
        judged: Claims with our figures.
        sentence: With places for figures, by the names of claims: ``{gain_ur:+.1f}``,
            ``{gain_ur_low:.1f}``, ``{gain_ur_high:.1f}``; all times 100.
        holds: Is given all figures.
    """
    figures = {}
    for entry in judged:
        if entry.profile == "open" and entry.figure is not None:
            interval, name = entry.figure.interval, entry.claim.name.replace("-", "_")
            figures[name] = 100 * interval.estimate
            figures[f"{name}_low"] = 100 * interval.low
            figures[f"{name}_high"] = 100 * interval.high
    places = {place for _, place, _, _ in string.Formatter().parse(sentence) if place}
    finding(sentence, holds(figures), **{place: figures[place] for place in places})


def power(judged: Sequence[Entry]) -> dict[str, float]:
    """Whether gains of the paper's size would be clear in intervals as wide as ours.

    Returns:
        Over the claimed gains that have an interval: how many there are (``all``), how many would
        have left zero outside (``seen``), and the ``least`` and ``most`` of half an interval's
        width, in points.
    """
    half, seen = [], []
    for entry in judged:
        figure, claimed = entry.figure, entry.claim.effect
        gain = entry.claim.measure == "best_gain" and claimed is not None
        if gain and figure is not None and figure.interval.estimable:
            half.append(50 * (figure.interval.high - figure.interval.low))
            seen.append(half[-1] < 100 * (claimed or 0))
    widths = half or [math.nan]
    return {"all": len(seen), "seen": sum(seen), "least": min(widths), "most": max(widths)}


def ours(entry: Entry) -> str:
    """Our figure in words: a level as it is, a difference in points, with its 95 % interval."""
    figure = entry.figure
    if figure is None:
        return "No figure"
    note = f" ({figure.note})" if figure.note else ""
    return _shown(figure.interval, figure.points) + note


def text(results: Path, notebooks: Path, names: Sequence[str] = ("fast", "open")) -> str:
    """The ledger as Markdown, one sub-heading a claim.

    Args:
        results: Folder with one folder a profile.
        notebooks: Folder of the chapters, to link to their sections.
        names: Profiles.

    Raises:
        ProfileError: There is no such profile.
        RunError: A record is damaged, or some do not belong together; or there are no notebooks.
    """
    judged, links = entries(results, names), _links(notebooks)
    lines = [
        "# The ledger",
        "",
        "What the two papers claim, and what was measured here: on synthetic speech (profile "
        "`fast`) and on people (profile `open`). P1 is Gong et al. 2025, P2 Khaertdinov et al. "
        "2024; both are known from their abstracts and a published summary. Our figures are read "
        "from `results/`. Intervals are 95 %, over speakers and seeds, seed compared with the same "
        "seed; differences are in points. A level is judged against guessing. Levels of other "
        "encoders and clips do not compare.",
        "",
        *(f"- **{verdict}**: {meaning}." for verdict, meaning in VERDICTS.items()),
        "",
        "Left out of the score: a count, and what a corpus was built to show.",
        "",
        *_score(judged, names),
        "",
        *(_origin(read(results, name)) for name in names),
    ]
    for paper in dict.fromkeys(claim.paper for claim in CLAIMS):
        lines += ["", f"## {paper}"]
        for claim in CLAIMS:
            if claim.paper == paper:
                rows = [entry for entry in judged if entry.claim is claim]
                lines += _section(claim, rows, links)
    return "\n".join(lines) + "\n"


def slug(heading: str) -> str:
    """The anchor of a heading, as the book makes it: small letters, hyphens, no marks."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return kept.replace(" ", "-")


def _section(
    claim: Claim, rows: Sequence[Entry], links: Mapping[tuple[str, str], str]
) -> list[str]:
    """A claim as a few paragraphs under its own heading."""
    where = links.get((claim.chapter, slug(claim.heading))) or links.get((claim.chapter, ""))
    paper = f"The paper: {claim.figure}." if claim.figure else "No figure of the paper is known."
    lines = ["", f"### {claim.says}", "", f"{paper} Here: {claim.test}."]
    for entry in rows:
        words = f"**{PEOPLE[entry.profile].capitalize()}: {entry.verdict}"
        words += "**" if entry.scored else "** (left out of the score: "
        words += "" if entry.scored else f"{claim.built[entry.profile]})"
        words += f". {ours(entry)}"
        if entry.figure is not None:
            words += f", on {', '.join(entry.figure.corpora)}; protocol `{entry.figure.protocol}`"
            if entry.figure.standardised is not None:
                extra = _shown(entry.figure.standardised, entry.figure.points)
                words += f", not standardised. Standardised by corpus: {extra}"
        words += f". {entry.remark[0].upper()}{entry.remark[1:]}" if entry.remark else ""
        lines += ["", words + "."]
    lines += ["", f"{where or f'Chapter {claim.chapter}'}. To measure it again: "
              f"`{claim.command.format(profile='open')}`. On the paper's own ground it takes "
              f"{claim.needs}."]  # fmt: skip
    return lines


def _shown(interval: Interval, points: bool) -> str:
    """An interval in words: a level as it is, a difference in points."""
    scale, form = (100.0, "+.1f") if points else (1.0, ".2f")
    value = format(scale * interval.estimate, form)
    if not interval.estimable:
        return f"{value} [no interval]".replace("-", "−")
    bounds = ", ".join(format(scale * bound, form) for bound in (interval.low, interval.high))
    return (value if interval.low == interval.high else f"{value} [{bounds}]").replace("-", "−")


def _settings(run: RunRecord) -> dict[str, Any]:
    """Settings of a run, without what tells the runs of a sweep apart."""
    return {key: value for key, value in run.config.items() if key not in RUN_KEYS}


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
        notebook, place = read_notebook(chapter.path), f"notebooks/{chapter.path.name}"
        links[chapter.number, ""] = f"[{title(notebook, chapter.number)}]({place})"
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                for heading in re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE):
                    link = f"[{chapter.number}, {heading.strip()}]({place}#{slug(heading)})"
                    links[chapter.number, slug(heading)] = link
    return links


def _origin(known: Records) -> str:
    """One line on the code that a profile's records come from."""
    commits = {record.commit.get("hash") for record in known.all}
    dirty = sum(bool(record.commit.get("dirty")) for record in known.all)
    changed = f", {dirty} of them with changes that were not committed" if dirty else ""
    return f"- {known.profile}: {len(known.all)} records, of {len(commits)} commits{changed}"


def _score(judged: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """How many claims meet which verdict, a line a profile."""
    table = counts(judged)
    return [
        f"- {PEOPLE[name].capitalize()}: "
        + ", ".join(f"{number} {verdict}" for verdict, number in table[name].items())
        for name in names
    ]
