"""The ledger's tables: counts add up, rows say what the entries say, unknown verdicts."""

from __future__ import annotations

import pytest

from lowser_lib.evaluation import Interval
from lowser_lib.experiments import ledger, ledger_table
from lowser_lib.experiments.claims import CLAIMS
from lowser_lib.experiments.ledger import Entry
from lowser_lib.experiments.ledger_figures import Figure

FIGURE = Figure("toys", Interval(0.1, 0.05, 0.15, 4), note="a note")
FOUND = [
    Entry(CLAIMS[3], "fast", ledger.SAME_CLEAR, FIGURE),
    Entry(CLAIMS[3], "open", ledger.MISSING, remark="no record"),
    Entry(CLAIMS[4], "fast", ledger.SAME_CLEAR, FIGURE),
]


def test_counts() -> None:
    table = ledger_table.counts(FOUND)
    assert list(table.index) == list(ledger.VERDICTS)
    assert table.loc[ledger.SAME_CLEAR].to_dict() == {"fast": 2, "open": 0}
    assert table.loc[ledger.MISSING].to_dict() == {"fast": 0, "open": 1}
    assert table.to_numpy().sum() == len(FOUND)


def test_claims_of_a_verdict() -> None:
    table = ledger_table.claims(FOUND, ledger.SAME_CLEAR)
    assert len(table) == 2
    first = table.iloc[0]
    assert first["claim"].startswith(f"{CLAIMS[3].paper} {CLAIMS[3].name}: ")
    assert (first["paper"], first["on"]) == (CLAIMS[3].figure, "toys")
    assert first["ours"] == "+10.0 [+5.0, +15.0] (a note)"
    missing = ledger_table.claims(FOUND, ledger.MISSING, ledger.UNTESTABLE).iloc[0]
    assert (missing["on"], missing["ours"]) == ("open", "—")
    assert missing["verdict"] == f"{ledger.MISSING}: no record"
    assert ledger_table.claims(FOUND, ledger.OPPOSITE_CLEAR).empty
    assert list(ledger_table.claims(FOUND).columns) == list(table.columns)


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match="no verdict 'true'"):
        ledger_table.claims(FOUND, "true")
