"""From a profile to records and what they amount to: speech, runs, summaries, the ledger."""
