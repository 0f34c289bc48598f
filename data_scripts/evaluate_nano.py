"""What pre-training brought: ``nano`` beside the same encoder with random weights, over seeds.

    python data_scripts/evaluate_nano.py --profile fast
    LOWSER_CORPORA=~/corpora python data_scripts/evaluate_nano.py --profile open

Per seed the source corpus is split by speaker into training, validation and test clips. Each
encoder is trained as a frozen probe, and fine-tuned after its head has learned alone; ``nano`` also
with both learning at once. Only training clips are learned from, and the epoch is chosen on the
validation speakers. The classifier is then tested on the held-out speakers and on every target
corpus: as recorded, and with means and deviations of the target matched to the source's, of the
spectrograms' bands (:mod:`lowser_lib.views.standardisation`), of the embeddings
(:func:`lowser_lib.training.match_embeddings`), or of both; no label is used. Yardsticks on the
same clips: majority, and an SVM on eGeMAPS, each corpus standardised by itself or not. One record,
``results/PROFILE/03-nano.json``.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

import joblib
import pandas as pd

from lowser_lib.experiments import paths, profiles, records
from lowser_lib.experiments.speech import FOLDS
from pretraining.comparison import VARIANTS, neural, speech_of, yardsticks


def main() -> None:
    """Run all seeds, write the record, and show the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=tuple(profiles.PROFILES), default="fast")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=paths.results_root())
    arguments = parser.parse_args()
    profile = profiles.get(arguments.profile)
    commit = records.git_commit(Path(__file__).parent)
    begun = time.monotonic()
    speech, seeds = speech_of(profile.name), range(arguments.seeds)
    rows = [row for seed in seeds for row in yardsticks(profile.name, seed)]
    work = (
        joblib.delayed(neural)(profile.name, seed, variant)
        for seed in seeds
        for variant in VARIANTS
    )
    for tested in joblib.Parallel(n_jobs=profile.jobs, return_as="generator")(work):
        rows += tested
        print(tested[0], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    record = records.new_record(
        chapter="03",
        name="nano",
        profile=profile.name,
        seed=0,
        metrics=records.plain({"runs": table}),
        config=records.plain({**profile.to_dict(), "folds": FOLDS}),
        corpora=dict(speech.loaded.hashes),
        device=records.device(),
        commit=commit,
        seconds=time.monotonic() - begun,
    )
    print(f"wrote {record.save(arguments.results)}: {len(asdict(record)['metrics']['runs'])}")
    means = table.pivot_table("macro_f1", ["method", "matching"], "test", sort=False)
    print(means.round(3).to_string())


if __name__ == "__main__":
    main()
