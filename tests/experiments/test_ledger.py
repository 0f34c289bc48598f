"""``lowser ledger``: figures from records, verdicts, what is refused, and the page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowser_lib.course import cli
from lowser_lib.errors import RunError
from lowser_lib.evaluation import Interval
from lowser_lib.experiments import ledger, ledger_figures, paths, profiles
from lowser_lib.experiments.claims import CLAIMS
from lowser_lib.experiments.ledger import Entry, judge, slug
from lowser_lib.experiments.ledger_figures import MEASURES, Figure, Missing, Records
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
    told_apart = {"unheard sentences": {
        "before": {"accuracy": 0.3, "chance": 0.1}, "after": {"accuracy": 0.5 + 0.01 * seed},
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
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(one)))
    return path


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Effects here are large: they need no fine intervals."""
    fewer = {name: replace(one, resamples=60) for name, one in profiles.PROFILES.items()}
    monkeypatch.setattr(profiles, "PROFILES", fewer)
    monkeypatch.setattr(ledger_figures, "DRAWS", 20)


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


@pytest.mark.parametrize(
    ("low", "estimate", "high", "sign", "null", "verdict"),
    [
        (0.1, 0.2, 0.3, 1, 0.0, ledger.SAME_CLEAR),
        (-0.1, 0.2, 0.3, 1, 0.0, ledger.SAME_UNCLEAR),
        (-0.3, -0.2, 0.1, 1, 0.0, ledger.OPPOSITE_UNCLEAR),
        (-0.3, -0.2, -0.1, 1, 0.0, ledger.OPPOSITE_CLEAR),
        (-0.3, -0.2, -0.1, -1, 0.0, ledger.SAME_CLEAR),
        (0.1, 0.2, 0.3, 1, 0.5, ledger.OPPOSITE_CLEAR),
        (math.nan, 0.2, math.nan, 1, 0.0, ledger.UNTESTABLE),
    ],
)
def test_verdicts(
    low: float, estimate: float, high: float, sign: int, null: float, verdict: str
) -> None:
    assert judge(Figure("c", Interval(estimate, low, high, 9), sign, null)) == verdict


def test_claims_are_judged_from_the_records_alone(results: Path) -> None:
    found = ledger.entries(results, ["fast"])
    assert [entry.claim.name for entry in found] == [claim.name for claim in CLAIMS]
    verdicts = {entry.claim.name: entry.verdict for entry in found}
    assert verdicts["baseline-ur"] == verdicts["gain-ur"] == ledger.SAME_CLEAR
    assert verdicts["byol-ur-accuracy"] == verdicts["byol-ur-macro-f1"] == ledger.SAME_CLEAR
    assert verdicts["gender-female"] == verdicts["gender-male"] == ledger.SAME_CLEAR
    assert verdicts["gender-conditional"] == ledger.SAME_CLEAR
    assert verdicts["speaker-invariant"] == ledger.OPPOSITE_CLEAR
    assert verdicts["share-male"] == ledger.OPPOSITE_UNCLEAR  # just half of them
    assert verdicts["baseline-bn"] == verdicts["views-together"] == ledger.MISSING
    gain = of(found, "gain-ur").figure
    assert gain is not None and gain.note.startswith("byol")  # the better of the two
    assert gain.interval.level == 0.975  # since it was chosen
    women = of(found, "gender-female").figure
    assert women is not None and women.interval.estimate == pytest.approx(-0.3, abs=0.1)
    told = of(found, "speaker-invariant").figure
    assert told is not None and told.interval.estimate == pytest.approx(0.21)


def test_seeds_are_compared_with_the_same_seeds(results: Path) -> None:
    (results / "fast/sweeps/baseline/ur-1.json").unlink()
    figure = of(ledger.entries(results, ["fast"]), "byol-ur-accuracy").figure
    assert figure is not None and figure.interval.n_seeds == 2


def test_without_records_nothing_is_claimed(tmp_path: Path) -> None:
    found = ledger.entries(tmp_path)
    assert {entry.verdict for entry in found if entry.profile != "paper"} == {ledger.MISSING}
    assert {entry.verdict for entry in found if entry.profile == "paper"} == {ledger.UNTESTABLE}
    assert all(entry.figure is None for entry in found)


def test_genders_that_no_record_tells_are_missing(results: Path) -> None:
    for path in results.rglob("*.json"):
        content = json.loads(path.read_text())
        genders = content["metrics"].pop("genders")
        path.write_text(json.dumps(content))
    found = ledger.entries(results, ["fast"])
    assert of(found, "gender-male").remark == "no record tells the genders of the speakers"
    # Any record may tell, as that of a chapter does.
    write(results, record(chapter="08", metrics={"genders": genders}), "08-speakers")
    assert of(ledger.entries(results, ["fast"]), "gender-male").verdict == ledger.SAME_CLEAR


def test_one_speaker_makes_no_interval(tmp_path: Path) -> None:
    one = sweep_run("baseline", "ur", 0, lambda speaker: 0.6)
    one.metrics["clips"] = {"s00": one.metrics["clips"]["s00"]}
    write(tmp_path, one, "sweeps", "baseline", "ur-0")
    entry = of(ledger.entries(tmp_path, ["fast"]), "baseline-ur")
    assert entry.verdict == ledger.UNTESTABLE
    assert entry.remark.startswith("no interval from 1 known speaker(s); it takes")


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
        config={"corpus": "synthetic_urdu", "fold": fold, "folds": 2},
        corpora={"synthetic_urdu": "hash"},
    )  # fmt: skip


def test_label_budgets_join_the_folds_of_a_seed(tmp_path: Path) -> None:
    runs = [budget_run(fold, seed) for seed in range(2) for fold in range(2)]
    records = Records("fast", {"pairwise": runs}, resamples=50)
    (figure,) = MEASURES["budget_gain"](records, view="egemaps", budgets=(1, 2, 4))
    assert figure.interval.estimate == pytest.approx(0.5)
    assert figure.interval.n_speakers == 12
    assert figure.note == "4 seeds × budgets"  # the fourth budget is missing somewhere
    with pytest.raises(Missing, match="all folds"):
        short = Records("fast", {"pairwise": runs[:1]}, resamples=50)
        MEASURES["budget_gain"](short, view="egemaps", budgets=(1,))


def test_a_spread_is_that_of_parts_of_the_speakers() -> None:
    def spread(right: Callable[[int], float]) -> float:
        runs = [sweep_run("byol", "ur", seed, right) for seed in range(2)]
        given = {"sweep": "byol", "language": "ur", "threshold": 0.05}
        (figure,) = MEASURES["spread"](Records("fast", {"byol": runs}), **given)
        return figure.interval.estimate

    assert spread(lambda speaker: 1.0) == 0
    assert spread(lambda speaker: 0.1 if speaker < 4 else 1.0) > 0.1


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
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(RunError, match=f"do not belong together: they differ in .*{message}"):
        ledger.entries(results, ["fast"])


def test_sweeps_on_other_splits_are_not_compared(results: Path) -> None:
    for path in (results / "fast/sweeps/byol").glob("*.json"):
        content = json.loads(path.read_text())
        content["config"]["folds"] = 3
        path.write_text(json.dumps(content))
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
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count(" | ") for line in rows if "P1" not in line}) <= 2  # two tables
    for claim in CLAIMS:
        assert claim.figure in text and claim.name in text
    assert "+10.6 points macro-F1 | fast, synthetic_urdu | +" in text
    assert "not measured yet; run: `lowser sweep pairwise --profile fast`" in text
    assert "- fast: 18 records, of 1 commits" in text
    assert "Not testable here, it takes the licensed corpora" in text
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
