"""``lowser ledger``: figures from records, verdicts, what is refused, and the page."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from lowser_lib import files
from lowser_lib.course import cli
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Interval
from lowser_lib.experiments import ledger, ledger_figures, paths, profiles, records
from lowser_lib.experiments.claims import CLAIMS, Claim
from lowser_lib.experiments.ledger import Entry, judge, slug
from lowser_lib.experiments.ledger_figures import MEASURES, Missing, Records
from lowser_lib.experiments.records import SCHEMA, RunRecord

NAMES = {"ur": "synthetic_urdu", "de": "synthetic_german", "bn": "synthetic_bangla"}
TRUTH = np.tile([0, 0, 1, 1, 2, 2, 3, 3], 2)


def record(**changes: Any) -> RunRecord:
    plain = RunRecord(
        schema=SCHEMA, chapter="03", name="made-up", profile="fast", seed=0,
        metrics={"transfer": {one: {"macro_f1": 0.5} for one in ("none", "embeddings")}},
        config={}, corpora={}, device={}, versions={"lowser": "1"},
        commit={"hash": "c", "dirty": False}, seconds=1.0, finished="now",
    )  # fmt: skip
    return replace(plain, **changes)


def sweep_run(sweep: str, language: str, seed: int, right: Callable[[int], float]) -> RunRecord:
    """A run on twelve speakers, half of them women; each is understood with their own chance."""
    random = np.random.default_rng([seed, len(sweep), ord(language[0])])
    clips, genders = {}, {}
    for speaker in range(12):
        hit = random.random(len(TRUTH)) < right(speaker)
        answers = np.where(hit, TRUTH, (TRUTH + 1) % 4)
        told = {"truth": TRUTH, "none": answers, "embeddings": answers}
        clips[f"s{speaker:02d}"] = {key: "".join(map(str, one)) for key, one in told.items()}
        genders[f"s{speaker:02d}"] = "female" if speaker % 2 else "male"
    plain = record()
    each = {f"v{voice}": 0.3 + 0.01 * voice for voice in range(8)}
    told_apart = {"unheard sentences": {
        "before": {"accuracy": 0.335, "by_speaker": each},
        "after": {"accuracy": 0.535, "by_speaker": {name: 0.2 + hit for name, hit in each.items()}},
    }}  # fmt: skip
    return replace(
        plain, name=f"{sweep}-{language}-{seed}", seed=seed,
        metrics={**plain.metrics, "clips": clips, "genders": genders,
                 "identifiability": told_apart},
        config={"method": sweep, "language": language, "folds": 5},
        corpora={NAMES[language]: "hash"},
    )  # fmt: skip


def write(results: Path, one: RunRecord, *place: str) -> Path:
    path = results.joinpath(one.profile, *place).with_suffix(".json")
    one.write(path)
    return path


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects here are large: they need no fine intervals."""
    fewer = {name: replace(one, resamples=60) for name, one in profiles.PROFILES.items()}
    monkeypatch.setattr(profiles, "PROFILES", fewer)
    monkeypatch.setattr(ledger_figures, "PARTINGS", 20)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three sweeps of three seeds on Urdu and German.

    Contrastive learning serves men better and women worse, BYOL all a little better.
    """

    def favours_men(speaker: int) -> float:
        return 0.3 if speaker % 2 else 0.9

    chances: dict[str, Callable[[int], float]] = {
        "baseline": lambda speaker: 0.6,
        "speaker_contrastive": favours_men,
        "byol": lambda speaker: 0.85,
    }
    for sweep, right in chances.items():
        for language in ("ur", "de"):
            for seed in range(3):
                one = sweep_run(sweep, language, seed, right)
                write(tmp_path, one, "sweeps", sweep, f"{language}-{seed}")
    return tmp_path


def of(entries: list[Entry], name: str) -> Entry:
    (found,) = [entry for entry in entries if entry.claim.name == name]
    return found


# --- verdicts ----------------------------------------------------------------------------------


def claim(effect: float | None, sign: int = 1) -> Claim:
    return Claim("made-up", "P1", "It helps", "", "it", "level", effect=effect, sign=sign)


@pytest.mark.parametrize(
    ("low", "high", "effect", "verdict"),
    [
        (0.02, 0.12, 0.1, ledger.AGREES),
        (0.02, 0.12, None, ledger.AGREES),
        (0.12, 0.2, 0.1, ledger.AGREES),
        (0.01, 0.04, 0.1, ledger.SMALLER),  # there is something, but not that much
        (-0.01, 0.08, 0.1, ledger.SMALLER),
        (-0.02, 0.04, 0.1, ledger.CONTRADICTS),  # half of the paper's effect is excluded
        (-0.2, -0.01, 0.1, ledger.CONTRADICTS),
        (-0.2, -0.01, None, ledger.CONTRADICTS),
        (-0.1, 0.2, 0.1, ledger.UNCLEAR),
        (-0.1, 0.2, None, ledger.UNCLEAR),
        (math.nan, math.nan, 0.1, ledger.UNTESTED),
    ],
)
def test_verdicts(low: float, high: float, effect: float | None, verdict: str) -> None:
    interval = Interval((low + high) / 2, low, high, 9)
    assert judge(interval, claim(effect))[0] == verdict
    turned = Interval(-(low + high) / 2, -high, -low, 9)
    lowered = claim(None if effect is None else -effect, sign=-1)
    assert judge(turned, lowered)[0] == verdict
    level = Interval(0.25 + (low + high) / 2, 0.25 + low, 0.25 + high, 9)
    raised = claim(None if effect is None else 0.25 + effect)
    assert judge(level, raised, null=0.25)[0] == verdict


def test_it_is_said_where_the_papers_figure_lies() -> None:
    interval = Interval(0.1, 0.05, 0.15, 9)
    for effect, where in ((0.1, "inside"), (0.2, "above"), (0.01, "below")):
        assert judge(interval, claim(effect))[1] == f"the paper's figure lies {where}"
    assert judge(interval, claim(None))[1] == ""


def answered(sweep: str, seed: int, give: Callable[[np.random.Generator], Any]) -> RunRecord:
    """A run whose answers are given for all speakers at once."""
    run = sweep_run(sweep, "ur", seed, lambda speaker: 0.0)
    random = np.random.default_rng([seed, len(sweep)])
    for columns in run.metrics["clips"].values():
        row = "".join(str(answer) for answer in give(random))
        columns.update(none=row, embeddings=row)
    return run


def test_a_guesser_and_a_constant_answer_read_nothing() -> None:
    baseline = next(claim for claim in CLAIMS if claim.name == "baseline-ur")
    guesses = {
        "guesser": lambda random: random.integers(0, 4, len(TRUTH)),
        "constant": lambda random: np.zeros(len(TRUTH), dtype=int),
    }
    for name, give in guesses.items():
        runs = [answered("baseline", seed, give) for seed in range(5)]
        figure = MEASURES["level"](Records("fast", {"baseline": runs}, resamples=200),
                                   **baseline.arguments)  # fmt: skip
        assert 0.22 < figure.null < 0.26
        # Neither is above guessing, and half of the way to the paper's .547 is excluded.
        assert judge(figure.interval, baseline, figure.null)[0] == ledger.CONTRADICTS, name


def test_byol_beside_itself_shows_nothing() -> None:
    runs = [sweep_run("byol", "ur", seed, lambda speaker: 0.3 + 0.05 * speaker)
            for seed in range(3)]  # fmt: skip
    same = Records("fast", dict.fromkeys(("baseline", "speaker_contrastive", "byol"), runs))
    for name in ("byol-better", "byol-spread-ur-baseline", "gender-risk", "gain-byol"):
        one = next(claim for claim in CLAIMS if claim.name == name)
        figure = MEASURES[one.measure](same, **one.arguments)
        assert figure.interval.estimate == 0
        assert judge(figure.interval, one)[0] == ledger.UNCLEAR, name
    gain = next(claim for claim in CLAIMS if claim.name == "gain-ur")
    figure = MEASURES["best_gain"](same, **gain.arguments)
    assert judge(figure.interval, gain)[0] == ledger.CONTRADICTS  # exactly none, of 10.6 points


def test_claims_are_judged_from_the_records_alone(results: Path) -> None:
    judged = ledger.entries(results, ["fast"])
    assert [entry.claim.name for entry in judged] == [claim.name for claim in CLAIMS]
    verdicts = {entry.claim.name: entry.verdict for entry in judged}
    assert verdicts["baseline-ur"] == verdicts["gain-ur"] == ledger.AGREES
    assert verdicts["byol-accuracy"] == verdicts["gain-byol"] == ledger.AGREES
    assert verdicts["byol-better"] == verdicts["gender-risk"] == ledger.AGREES
    assert verdicts["gender-female"] == verdicts["gender-male"] == ledger.AGREES
    assert verdicts["speaker-invariant"] == ledger.CONTRADICTS
    assert verdicts["baseline-bn"] == verdicts["views-together"] == ledger.UNTESTED
    gain = of(judged, "gain-ur").figure
    assert gain is not None and gain.note.startswith("byol")  # the better of the two
    assert gain.interval.level == 0.975  # since it was chosen
    women = of(judged, "gender-female").figure
    assert women is not None and women.interval.estimate == pytest.approx(-0.3, abs=0.1)
    told = of(judged, "speaker-invariant").figure
    assert told is not None and told.interval.estimate == pytest.approx(0.2)
    assert told.interval.n_speakers == 8


def test_the_score_leaves_out_counts_and_what_was_built(results: Path) -> None:
    judged = ledger.entries(results, ["fast"])
    table = ledger.counts(judged)["fast"]
    assert table.sum() == len(CLAIMS)
    built = [claim for claim in CLAIMS if "fast" in claim.built]
    assert table["left out"] == len(built) and "share-male" in {claim.name for claim in built}
    with pytest.raises(ValueError, match="no claim 'gain-ur' was judged in profile 'open'"):
        ledger.of(judged, "gain-ur")


def test_claims_are_drawn_where_they_were_measured(results: Path) -> None:
    shutil.copytree(results / "fast", results / "open")
    for path in (results / "open").rglob("*.json"):
        replace(records.read(path), profile="open").write(path)
    judged = ledger.entries(results, ["fast", "open"])
    figure = ledger.drawn(judged, "Gains", "gain-ur", "gain-de", "gain-bn")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["people", "synthetic speech"]
    verdicts = [text.get_text() for text in figure.axes[0].texts]
    assert verdicts == [ledger.of(judged, f"gain-{code}").verdict for code in ("ur", "de", "bn")]
    assert figure.axes[1].texts[0].get_text() == "left out"  # tuned on that corpus
    with pytest.raises(ValueError, match="rows must hold claims"):
        ledger.drawn(judged, "Views", "views-mel")  # measured nowhere


def test_findings_about_claims_say_figures_on_people(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "fast").rename(results / "open")
    for path in (results / "open").rglob("*.json"):
        replace(records.read(path), profile="open").write(path)
    judged = ledger.entries(results, ["open"])
    change = ledger.of(judged, "gender-female").figure
    assert change is not None
    sentence = "Women: {gender_female:.1f}, at most {gender_female_high:.1f}"
    ledger.tell(judged, sentence, lambda on: on["gender_female_high"] < 0)
    words = f"{100 * change.interval.estimate:.1f}, at most {100 * change.interval.high:.1f}"
    assert f"holds: Women: {words}" in capsys.readouterr().out
    with pytest.raises(KeyError):
        ledger.tell(judged, "{views_mel:.1f}", lambda on: True)


def test_power_is_half_the_width_against_the_claimed_gain(results: Path) -> None:
    judged = ledger.entries(results, ["fast"])
    gains = [ledger.of(judged, f"gain-{code}", "fast").figure for code in ("ur", "de")]
    half = [50 * (gain.interval.high - gain.interval.low) for gain in gains if gain is not None]
    power = ledger.power(judged)
    assert (power["least"], power["most"]) == pytest.approx((min(half), max(half)))
    assert power["all"] == 2
    assert power["seen"] == (half[0] < 10.6) + (half[1] < 15.2)
    assert ledger.power([])["all"] == 0


def test_the_protocol_is_that_of_the_records(results: Path) -> None:
    figure = ledger.of(ledger.entries(results, ["fast"]), "gain-ur", "fast").figure
    assert figure is not None and figure.protocol == "english"
    for path in (results / "fast").rglob("*.json"):
        run = records.read(path)
        replace(run, config={**run.config, "protocol": "others"}).write(path)
    figure = ledger.of(ledger.entries(results, ["fast"]), "baseline-ur", "fast").figure
    assert figure is not None and figure.protocol == "others"


def test_seeds_are_compared_with_the_same_seeds(tmp_path: Path) -> None:
    """Seed 2 is the best of both methods; missing on one side, it helps neither."""
    for sweep, gain in (("baseline", 0), ("byol", 1)):
        for seed, hits in ((0, 4), (1, 8), (2, 15)):

            def give(random: np.random.Generator, hits: int = hits + gain) -> Any:
                return np.where(np.arange(len(TRUTH)) < hits, TRUTH, (TRUTH + 1) % 4)

            run = answered(sweep, seed, give)
            write(tmp_path, run, "sweeps", sweep, f"ur-{seed}")
    arguments = {"sweep": "byol", "other": "baseline", "language": "ur"}
    statistic = {"statistic": "accuracy"}
    change = ledger.read(tmp_path, "fast").change(**arguments, **statistic).interval()
    # Seeds differ by 70 points, partners by one clip of sixteen.
    assert (change.low, change.high) == pytest.approx((1 / 16, 1 / 16))
    (tmp_path / "fast/sweeps/baseline/ur-2.json").unlink()
    change = ledger.read(tmp_path, "fast").change(**arguments, **statistic).interval()
    assert change.n_seeds == 2 and change.estimate == pytest.approx(1 / 16)


def test_levels_and_spreads_by_hand() -> None:
    runs = [sweep_run("baseline", "ur", seed, lambda speaker: 0.6) for seed in range(3)]
    records = Records("fast", {"baseline": runs, "byol": runs}, resamples=60)
    answers = records.answers("baseline", "ur")
    for metric in ("uar", "macro_f1"):
        figure = MEASURES["level"](records, "baseline", "ur", metric)
        expected = np.mean([
            recall_score(answers.truth, row, average="macro") if metric == "uar"
            else f1_score(answers.truth, row, average="macro") for row in answers.predicted
        ])  # fmt: skip
        assert figure.interval.estimate == pytest.approx(expected)
    # Five parts, of two to three speakers: a sample's standard deviation (n − 1).
    counts = answers.confusions()
    random, order, drawn = np.random.default_rng(0), np.arange(12), []
    for _ in range(ledger_figures.PARTINGS):
        random.shuffle(order)
        place = np.argsort(order) % 5
        scores = [
            [f1_score(answers.truth[inside], row[inside], average="macro", labels=range(4),
                      zero_division=0) for row in answers.predicted]
            for part in range(5)
            if (inside := np.isin(answers.speaker, np.unique(answers.speaker)[place == part])).any()
        ]  # fmt: skip
        drawn.append(np.array(scores).std(axis=0, ddof=1))
    np.testing.assert_allclose(ledger_figures.spread(counts), np.mean(drawn, axis=0))
    with pytest.raises(Missing, match="9 speakers make no 5 parts"):
        ledger_figures.spread(counts[:, :9])


def test_without_records_nothing_is_claimed(tmp_path: Path) -> None:
    judged = ledger.entries(tmp_path)
    assert {entry.verdict for entry in judged} == {ledger.UNTESTED}
    assert all(entry.figure is None for entry in judged)


def test_genders_that_no_record_tells_are_missing(results: Path) -> None:
    for path in results.rglob("*.json"):
        content = files.read_json(path, RunError, "", sealed=True)
        genders = content["metrics"].pop("genders")
        files.write_json(path, content, sealed=True)
    judged = ledger.entries(results, ["fast"])
    assert of(judged, "gender-male").remark == "no record tells of a male speaker"
    # Any record may tell, as that of a chapter does.
    write(results, record(chapter="08", metrics={"genders": genders}), "08-speakers")
    assert of(ledger.entries(results, ["fast"]), "gender-male").verdict == ledger.AGREES


def test_one_speaker_makes_no_interval(tmp_path: Path) -> None:
    one = sweep_run("baseline", "ur", 0, lambda speaker: 0.6)
    one.metrics["clips"] = {"s00": one.metrics["clips"]["s00"]}
    write(tmp_path, one, "sweeps", "baseline", "ur-0")
    entry = of(ledger.entries(tmp_path, ["fast"]), "baseline-ur")
    assert entry.verdict == ledger.UNTESTED
    assert entry.remark.startswith("1 known speaker(s) give no interval; it takes")


def test_seeds_alone_say_nothing_of_other_speakers(tmp_path: Path) -> None:
    run = sweep_run("speaker_contrastive", "ur", 0, lambda speaker: 0.6)
    for end in run.metrics["identifiability"]["unheard sentences"].values():
        del end["by_speaker"]
    write(tmp_path, run, "sweeps", "speaker_contrastive", "ur-0")
    write(tmp_path, replace(run, seed=1), "sweeps", "speaker_contrastive", "ur-1")
    entry = of(ledger.entries(tmp_path, ["fast"]), "speaker-invariant")
    assert entry.verdict == ledger.UNTESTED and "over seeds alone" in entry.remark


def test_speakers_are_those_heard_in_every_seed(tmp_path: Path) -> None:
    for seed in (0, 1):
        run = sweep_run("speaker_contrastive", "ur", seed, lambda speaker: 0.6)
        for end in run.metrics["identifiability"]["unheard sentences"].values():
            # In each seed another voice says no sentence that is left unheard.
            del end["by_speaker"][f"v{seed}"]
        write(tmp_path, run, "sweeps", "speaker_contrastive", f"ur-{seed}")
    figure = of(ledger.entries(tmp_path, ["fast"]), "speaker-invariant").figure
    assert figure is not None and figure.interval.n_speakers == 6
    assert figure.interval.estimate == pytest.approx(0.2)


def budget_run(fold: int, seed: int) -> RunRecord:
    """A fold of six speakers: from scratch half is right, with pre-training everything."""
    random = np.random.default_rng([fold, seed])
    order = random.permutation(6) + 6 * fold
    truth = np.tile(TRUTH, 6)
    wrong = np.where(np.arange(len(truth)) % 2 == 0, truth, (truth + 1) % 4)
    rows: list[dict[str, Any]] = [
        {"view": view, "budget": budget, "arm": arm, "uar": 0.5,
         "predicted": "".join(map(str, found))}
        for view in ("egemaps", "together") for budget in (1, 2)
        for arm, found in (("scratch", wrong), ("pairwise", truth))
    ]  # fmt: skip
    rows.append({"view": "egemaps", "budget": 4, "arm": "scratch", "uar": None, "predicted": None})
    return record(
        name=f"pairwise-{fold}-{seed}", seed=seed,
        metrics={"speakers": [f"s{who:02d}" for who in np.repeat(order, len(TRUTH))],
                 "truth": "".join(map(str, truth)), "results": rows},
        config={"corpus": "synthetic_urdu", "fold": fold, "folds": 2,
                "views": ["egemaps", "whisper"]},
        corpora={"synthetic_urdu": "hash"},
    )  # fmt: skip


def test_label_budgets_join_the_folds_of_a_seed_and_are_averaged_within_it(tmp_path: Path) -> None:
    runs = [budget_run(fold, seed) for seed in range(2) for fold in range(2)]
    records = Records("fast", {"pairwise": runs}, resamples=50)
    figure = MEASURES["budget_gain"](records, view="egemaps", budgets=(1, 2))
    assert figure.interval.estimate == pytest.approx(0.5)
    assert figure.interval.n_speakers == 12
    assert figure.interval.n_seeds == 2  # two budgets are no more seeds
    with pytest.raises(Missing, match="at 4 labels"):
        MEASURES["budget_gain"](records, view="egemaps", budgets=(1, 2, 4))
    with pytest.raises(Missing, match="no record of the view mel, only of egemaps, whisper"):
        MEASURES["budget_gain"](records, view="mel", budgets=(1,))
    with pytest.raises(Missing, match="view whisper"):  # stands in for wav2vec 2.0
        MEASURES["budget_gain"](records, view="wav2vec2", budgets=(1,))
    with pytest.raises(Missing, match="all folds"):
        short = Records("fast", {"pairwise": runs[:1]}, resamples=50)
        MEASURES["budget_gain"](short, view="egemaps", budgets=(1,))


def test_pre_training_elsewhere_is_compared_on_the_same_views_alone() -> None:
    here = [budget_run(fold, 0) for fold in range(2)]
    there = [replace(run, config={**run.config, "views": ["mel", "egemaps"]}) for run in here]
    records = Records("fast", {"pairwise": here, "pairwise-other": there}, resamples=9)
    with pytest.raises(Missing, match="with other views"):
        MEASURES["own_speech"](records, view="together", budgets=(1,))
    records = Records("fast", {"pairwise": here, "pairwise-other": here}, resamples=9)
    figure = MEASURES["own_speech"](records, view="together", budgets=(1,))
    assert figure.interval.estimate == 0


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        ("byol/ur-1", {"corpora": {"synthetic_urdu": "x"}}, "speech of synthetic_urdu"),
        ("byol/ur-1", {"config": {"language": "ur", "folds": 5, "tau": 1}}, "method, tau"),
        ("byol/ur-0", {"versions": {"lowser": "2"}}, "version of lowser"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(
    results: Path, place: str, changes: dict[str, Any], message: str
) -> None:
    path = (results / "fast/sweeps" / place).with_suffix(".json")
    content = files.read_json(path, RunError, "", sealed=True)
    files.write_json(path, {**content, **changes}, sealed=True)
    with pytest.raises(RunError, match=f"do not belong together: they differ in .*{message}"):
        ledger.entries(results, ["fast"])


def test_sweeps_on_other_splits_are_not_compared(results: Path) -> None:
    for path in (results / "fast/sweeps/byol").glob("*.json"):
        content = files.read_json(path, RunError, "", sealed=True)
        content["config"]["folds"] = 3
        files.write_json(path, content, sealed=True)
    with pytest.raises(RunError, match=r"baseline-ur-0 and byol-ur-0 .* differ in folds"):
        ledger.entries(results, ["fast"])


def test_a_damaged_record_is_refused(results: Path) -> None:
    (results / "fast/sweeps/byol/ur-1.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        ledger.entries(results, ["fast"])


# --- the page ----------------------------------------------------------------------------------


def test_the_page_has_every_claim_with_its_figures(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "ledger.md"
    arguments = ["ledger", "--results", str(results), "--output", str(page)]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == f"{page} written\n"
    text = page.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| ")] == []  # a phone is narrow
    headings = [line[4:] for line in text.splitlines() if line.startswith("### ")]
    assert headings == [claim.says for claim in CLAIMS] and len(set(headings)) == len(CLAIMS)
    assert "**Synthetic speech: agrees**. +" in text and "**People: not tested**" in text
    assert "protocol `english`, not standardised. Standardised by corpus: +" in text
    assert "(left out of the score: a count)" in text
    assert "- fast: 18 records, of 1 commits" in text
    assert cli.main([*arguments[:3], "--profile", "none"]) == 2


def test_links_lead_to_sections_that_exist() -> None:
    links = ledger._links(paths.require_project_root() / "notebooks")
    for claim in CLAIMS:
        assert (claim.chapter, slug(claim.heading)) in links, claim.name


def test_slugs_are_those_of_the_book() -> None:
    assert slug("9 · Does it pay?") == "9--does-it-pay"
    assert slug("Five seeds, and other splits") == "five-seeds-and-other-splits"
    assert slug("What `nano` has heard") == "what-nano-has-heard"


def test_claims_are_whole() -> None:
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.measure in MEASURES
        assert claim.paper in ("P1", "P2")
        assert claim.command.format(profile="fast").startswith("lowser ")
