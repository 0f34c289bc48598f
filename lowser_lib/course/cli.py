"""The command line, ``lowser``.

Errors that LowSER raises on purpose end with a message and exit status 2, a failed chapter or
check with 1. Everything is imported where it is used: ``lowser doctor`` has to run where packages
are missing, and ``lowser --help`` should not wait for torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from lowser_lib import __version__
from lowser_lib.errors import LowserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What stands behind ``lowser``; None takes the command line's.

    Returns:
        The exit status: 0 done, 1 something failed, 2 it could not be done, 130 interrupted.
    """
    from lowser_lib.experiments import paths

    options = build_parser().parse_args(arguments)
    try:
        with paths.trial(False):  # what counts is `--trial`, not what a shell has set
            return int(options.command(options))
    except LowserError as error:
        print(f"lowser: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lowser: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 0


def build_parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    parser = argparse.ArgumentParser(
        prog="lowser", description="LowSER: learning speech emotion with few labels."
    )
    parser.add_argument("--version", action="version", version=f"lowser {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_run(commands)
    doctor = commands.add_parser("doctor", help="check the set-up and say what to do")
    doctor.set_defaults(command=_doctor)
    _add_corpora(commands)
    _add_refresh(commands)
    _add_sweep(commands)
    _add_ledger(commands)
    _add_cache(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run the chapters, write a report and run records")
    run.add_argument("--profile", default="fast", metavar="P", help="fast (default), open or paper")
    run.add_argument("--chapters", nargs="+", metavar="NN", help="such as 03 04; default: all")
    run.add_argument("--output", type=Path, metavar="DIR", help="default: runs/PROFILE")
    run.add_argument("--results", type=Path, metavar="DIR", help="default: results; of a trial: "
                     "OUTPUT/results")  # fmt: skip
    run.add_argument("--seed", type=_seed, default=0, metavar="N", help="default: 0")
    run.add_argument("--resume", action="store_true", help="skip what succeeded before, unchanged")
    run.add_argument("--trial", action="store_true", help="a few clips and steps: does it all run?")
    run.add_argument(
        "--encoder", metavar="E", help="of a trial: a name or file; default: profile's"
    )
    run.set_defaults(command=_run)


def _add_corpora(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("corpora", help="list, verify or prepare corpora")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    for action, text in (
        ("list", "what there is, what is in place, and where to get the rest"),
        ("verify", "read every file, count, and list what is left out"),
        ("prepare", "make what the course makes itself, and the manifests of all"),
    ):
        sub = actions.add_parser(action, help=text)
        sub.add_argument("names", nargs="*", metavar="NAME", help="default: all in place")
        if action != "list":
            sub.add_argument("--jobs", type=_positive, default=2, metavar="N", help="default: 2")
        sub.set_defaults(command=_corpora, action=action)


def _add_refresh(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    refresh = commands.add_parser(
        "refresh", help="run the committed notebooks in place (fast profile)"
    )
    refresh.add_argument("--chapters", nargs="+", metavar="NN", help="default: all")
    refresh.add_argument(
        "--check", action="store_true", help="run nothing; report notebooks not fit to commit"
    )
    refresh.set_defaults(command=_refresh)


def _add_sweep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sweep = commands.add_parser("sweep", help="run a method over seeds and languages")
    methods = "baseline, speaker_contrastive, byol, pairwise, lexical"
    sweep.add_argument("method", metavar="METHOD", help=methods)
    sweep.add_argument("--profile", default="fast", metavar="P", help="fast (default), open, paper")
    sweep.add_argument("--seeds", type=_positive, default=5, metavar="N", help="default: 5")
    sweep.add_argument("--languages", nargs="+", metavar="LL", help="such as ur de bn; default all")
    sweep.add_argument("--jobs", type=_positive, metavar="J", help="default: the profile's")
    sweep.add_argument("--results", type=Path, metavar="DIR", help="default: results")
    sweep.add_argument("--name", metavar="NAME", help="of the sweep; default: METHOD")
    sweep.add_argument("--set", action="extend", nargs="+", type=_change, default=[],
                       metavar="SETTING=VALUE", dest="changes",
                       help="such as contrastive.temperature=0.1; may be given again")  # fmt: skip
    skew = sweep.add_argument_group("on skewed speech (synthetic Urdu), see chapter 08")
    skew.add_argument("--male", type=float, metavar="SHARE", help="share of men, from 0 to 1")
    skew.add_argument("--labels", default="ur", metavar="LL", help="language of the labels: ur "
                      "(default), skewed too, or en, as it is")  # fmt: skip
    budgets = sweep.add_argument_group("pairwise alone (--corpora: lexical, too)")
    budgets.add_argument("--corpora", nargs="+", metavar="NAME", help="default: the profile's")
    budgets.add_argument("--views", nargs="+", metavar="VIEW", help="mel, egemaps, wav2vec2")
    budgets.add_argument("--budgets", nargs="+", type=_seed, metavar="K", help="labels a class; "
                         "0: all; default: 1 2 4 8 16 32 0")  # fmt: skip
    sweep.set_defaults(command=_sweep)


def _add_ledger(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ledger = commands.add_parser("ledger", help="every claim of the papers against our records")
    ledger.add_argument("--profile", nargs="+", metavar="P", dest="profiles", help="default: all")
    ledger.add_argument("--results", type=Path, metavar="DIR", help="default: results")
    ledger.add_argument("--output", type=Path, metavar="FILE", help="default: the screen")
    ledger.set_defaults(command=_ledger)


def _add_cache(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cache = commands.add_parser("cache", help="show how large the cache of views is, or clear it")
    cache.add_argument("action", nargs="?", choices=("show", "clear"), default="show")
    cache.add_argument("view", nargs="?", metavar="VIEW", help="clear this view alone")
    cache.set_defaults(command=_cache)


def _change(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form SETTING=VALUE")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value  # a word


def _seed(text: str) -> int:
    return _at_least(text, 0)


def _positive(text: str) -> int:
    return _at_least(text, 1)


def _at_least(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is less than {least}")
    return value


def _run(options: argparse.Namespace) -> int:
    from lowser_lib.course import runner
    from lowser_lib.experiments import paths, profiles

    profiles.get(options.profile)  # a wrong name is told before anything else is looked for
    if options.encoder and not options.trial:
        raise LowserError("--encoder goes with --trial alone: a profile fixes its own encoder")
    project = paths.require_project_root()
    name = f"{options.profile}-trial" if options.trial else options.profile
    output = options.output or project / "runs" / name
    report = runner.run(
        runner.RunSettings(
            notebooks=project / "notebooks",
            output=output,
            results=options.results or (output if options.trial else project) / "results",
            profile=options.profile,
            seed=options.seed,
            chapters=options.chapters,
            resume=options.resume,
            progress=sys.stderr.isatty(),
            trial=options.trial,
            encoder=options.encoder,
        )
    )
    return 1 if report.failed else 0


def _doctor(_options: argparse.Namespace) -> int:
    from lowser_lib.course import doctor

    return int(doctor.main() or 0)


def _corpora(options: argparse.Namespace) -> int:
    from lowser_lib.course import corpora_commands

    if options.action == "list":
        return corpora_commands.show(options.names)
    if options.action == "verify":
        return corpora_commands.verify(options.names, options.jobs)
    return corpora_commands.prepare_all(options.names, options.jobs)


def _refresh(options: argparse.Namespace) -> int:
    from lowser_lib.course import refresh
    from lowser_lib.errors import RunError
    from lowser_lib.experiments import paths
    from lowser_lib.experiments.chapters import find_chapters

    failed = 0
    notebooks = paths.require_project_root() / "notebooks"
    for chapter in find_chapters(notebooks, options.chapters):
        try:
            if options.check:
                found = refresh.check(chapter.path)
            else:
                refresh.refresh(chapter)
                found = []
        except RunError as error:
            found = [str(error)]
        print(f"{'[FAIL]' if found else '[OK]  '} {chapter.path.name}", flush=True)
        for problem in found:
            print(f"       {problem}")
        failed += bool(found)
    return 1 if failed else 0


def _sweep(options: argparse.Namespace) -> int:
    from lowser_lib.experiments import paths, profiles, sweep, sweep_summary
    from lowser_lib.experiments.skewed_speech import Skew

    if options.method == "pairwise":
        return _sweep_budgets(options)
    if options.method == "lexical":
        return _sweep_leans(options)
    results = options.results or paths.results_root()
    settings = sweep.SweepSettings(
        method=options.method,
        results=results,
        profile=options.profile,
        seeds=options.seeds,
        languages=options.languages,
        jobs=options.jobs,
        changes=dict(options.changes),
        skew=None if options.male is None else Skew(options.male, options.labels),
        name=options.name,
        progress=sys.stderr.isatty(),
    )
    done = sweep.run(settings)
    baseline = sweep_summary.baseline_of(results, done, settings.named(sweep_summary.BASELINE))
    resamples = profiles.get(options.profile).resamples
    print(sweep_summary.text(done, baseline, resamples))
    return 0


def _sweep_budgets(options: argparse.Namespace) -> int:
    from lowser_lib.experiments import budget_sweep, budget_sweep_summary, paths, profiles

    targets = profiles.get(options.profile).targets
    unknown = [language for language in options.languages or () if language not in targets]
    if unknown:
        raise LowserError(f"the profile has no language {unknown[0]!r}, only {', '.join(targets)}")
    of_languages = [targets[language] for language in options.languages or ()]
    settings = budget_sweep.BudgetSweepSettings(
        results=options.results or paths.results_root(),
        profile=options.profile,
        corpora=options.corpora or of_languages or None,
        views=options.views,
        budgets=options.budgets or budget_sweep.BUDGETS,
        seeds=options.seeds,
        jobs=options.jobs,
        changes=dict(options.changes),
        name=options.name or "pairwise",
        progress=sys.stderr.isatty(),
    )
    print(budget_sweep_summary.text(budget_sweep.run(settings)))
    return 0


def _sweep_leans(options: argparse.Namespace) -> int:
    from lowser_lib.experiments import lexical_summary, lexical_sweep, paths

    if options.languages or len(options.corpora or ()) > 1:
        raise LowserError("lowser sweep lexical trains on one corpus: name it with --corpora")
    settings = lexical_sweep.LexicalSweepSettings(
        results=options.results or paths.results_root(),
        profile=options.profile,
        corpus=options.corpora[0] if options.corpora else None,
        seeds=options.seeds,
        jobs=options.jobs,
        changes=dict(options.changes),
        name=options.name or "lexical",
        progress=sys.stderr.isatty(),
    )
    print(lexical_summary.text(lexical_sweep.run(settings)))
    return 0


def _ledger(options: argparse.Namespace) -> int:
    from lowser_lib import files
    from lowser_lib.experiments import ledger, paths, profiles

    names = options.profiles or list(profiles.PROFILES)
    project = paths.require_project_root()
    written = ledger.text(options.results or paths.results_root(), project / "notebooks", names)
    if options.output is None:
        print(written, end="")
    else:
        files.write_text(options.output, written)
        print(f"{options.output} written")
    return 0


def _cache(options: argparse.Namespace) -> int:
    from lowser_lib.experiments import paths
    from lowser_lib.views import cache

    folder = paths.features()
    if options.action == "clear":
        print(f"{cache.clear(folder, options.view) / 2**20:.1f} MiB freed in {folder}")
        return 0
    found = cache.contents(folder)
    for one in found:
        print(f"{one.view:<10} {one.settings}  {one.clips:>7} clips  {one.size / 2**20:9.1f} MiB")
    total = sum(one.size for one in found) / 2**20
    print(f"{sum(one.clips for one in found)} clips, {total:.1f} MiB in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
