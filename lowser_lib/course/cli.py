"""The command line, ``lowser``.

Errors that LowSER raises on purpose end with a message and exit status 2, a failed chapter or
check with 1. Everything is imported where it is used: ``lowser doctor`` has to run where packages
are missing, and ``lowser --help`` should not wait for torch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lowser_lib import __version__
from lowser_lib.errors import LowserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What stands behind ``lowser``; None takes the command line's.

    Returns:
        The exit status: 0 done, 1 something failed, 2 it could not be done, 130 interrupted.
    """
    options = build_parser().parse_args(arguments)
    try:
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
    _add_classifier(commands)
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
    parser = commands.add_parser("corpora", help="list, verify, prepare or begin corpora")
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
    new = actions.add_parser("new", help="write corpus.csv for a folder of your own, from names")
    new.add_argument("name", metavar="NAME", help="what the corpus is called: table:NAME")
    new.add_argument("folder", type=Path, metavar="FOLDER", help="where the sounds lie")
    new.add_argument(
        "--pattern",
        required=True,
        metavar="P",
        help="end of each path without its ending, such as {speaker}/{label}_{text_id}; * for what "
        "is of no interest",
    )
    for column in ("speaker", "gender", "language", "label"):
        new.add_argument(f"--{column}", metavar="WORD", help="for all clips, where no name tells")
    new.add_argument(
        "--words", nargs="+", default=(), metavar="CODE=LABEL", help="what codes mean: W=angry"
    )
    new.add_argument("--own-classes", action="store_true", help="each label is a class")
    new.add_argument("--dry-run", action="store_true", help="write nothing, show what would be")
    new.set_defaults(command=_new_corpus)


def _add_refresh(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    refresh = commands.add_parser(
        "refresh", help="run the committed notebooks in place (fast profile)"
    )
    refresh.add_argument("--chapters", nargs="+", metavar="NN", help="default: all")
    refresh.add_argument(
        "--check", action="store_true", help="run nothing; report notebooks not fit to commit"
    )
    refresh.set_defaults(command=_refresh)


KINDS = ("pairwise", "lexical", "leaning", "frozen", "thinned")
"""What ``lowser sweep`` runs besides methods: label budgets; leaning words, fine-tuned and frozen;
frozen encoders, on targets as they are and thinned."""


OPTIONS = {
    "languages": ("METHOD", "pairwise", "frozen", "thinned"),
    "protocol": ("METHOD", "frozen", "thinned"),
    "encoder": ("frozen", "thinned", "leaning"),
    "sources": ("METHOD",),
    "targets": ("METHOD",),
    "deterministic": ("METHOD",),
    "male": ("METHOD",),
    "labels": ("METHOD",),
    "corpora": ("pairwise", "lexical", "leaning"),
    "views": ("pairwise",),
    "budgets": ("pairwise",),
}
"""Options of ``lowser sweep`` that some sweeps alone take, and which."""


class _Sweeps:
    """All that can be swept, looked up when it is asked for: methods need torch."""

    def __iter__(self) -> Iterator[str]:
        from lowser_lib.experiments import registry

        return iter([*registry.METHODS, *KINDS])

    def __contains__(self, name: object) -> bool:
        return name in list(self)


def _add_sweep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sweep = commands.add_parser("sweep", help="run a method over seeds and languages")
    add = sweep.add_argument
    add("method", metavar="METHOD", choices=_Sweeps(), help="one of %(choices)s")
    add("--profile", default="fast", metavar="P", help="fast (default), open, paper")
    add("--seeds", type=_positive, metavar="N", help="default: 5; of pairwise 3")
    add("--languages", nargs="+", metavar="LL", help="such as ur de bn; default: all")
    add("--jobs", type=_positive, metavar="J", help="default: the profile's")
    add("--cluster", metavar="ADDRESS", help="of a Dask scheduler, which takes the runs")
    add("--results", type=Path, metavar="DIR", help="default: results")
    add("--name", metavar="NAME", help="of the sweep; default: METHOD, and what sets it apart")
    add("--set", action="extend", nargs="+", type=_change, default=[], metavar="SETTING=VALUE",
        dest="changes", help="such as contrastive.temperature=0.1; may be given again")  # fmt: skip
    group = sweep.add_argument_group("methods: what is learned from and tested on")
    group.add_argument("--protocol", metavar="NAME", help="english, or others: all labelled "
                       "corpora but the target's language; default: the profile's")  # fmt: skip
    group.add_argument("--source", nargs="+", metavar="NAME", dest="sources",
                       help="corpora to learn from, such as table:mine")  # fmt: skip
    group.add_argument("--target", nargs="+", metavar="NAME", dest="targets",
                       help="corpora to be tested on")  # fmt: skip
    group.add_argument("--deterministic", action="store_true", default=None,
                       help="on a GPU: a run repeats exactly, and may take longer")  # fmt: skip
    skew = sweep.add_argument_group("methods on skewed speech (synthetic Urdu), see chapter 08")
    skew.add_argument("--male", type=float, metavar="SHARE", help="share of men, from 0 to 1")
    skew.add_argument("--labels", metavar="LL", help="language of the labels: ur (default), skewed "
                      "too, or en, as it is")  # fmt: skip
    group = sweep.add_argument_group("pairwise, lexical and leaning")
    group.add_argument("--corpora", nargs="+", metavar="NAME", help="default: the profile's")
    group.add_argument("--views", nargs="+", metavar="VIEW", help="pairwise: mel, egemaps, ...")
    group.add_argument("--budgets", nargs="+", type=_seed, metavar="K", help="pairwise: labels a "
                       "class; 0: all; default: 1 2 4 8 16 32 0")  # fmt: skip
    group = sweep.add_argument_group("frozen, thinned (protocol others by default) and leaning")
    group.add_argument("--encoder", metavar="E", help="a name, a file, random or egemaps; default: "
                       "the profile's")  # fmt: skip
    sweep.set_defaults(command=_sweep)


def _add_ledger(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ledger = commands.add_parser("ledger", help="every claim of the papers against our records")
    ledger.add_argument(
        "--profile", nargs="+", metavar="P", dest="profiles", help="default: fast open"
    )
    ledger.add_argument("--results", type=Path, metavar="DIR", help="default: results")
    ledger.add_argument("--output", type=Path, metavar="FILE", help="default: the screen")
    ledger.set_defaults(command=_ledger)


def _add_cache(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cache = commands.add_parser("cache", help="show how large the cache of views is, or clear it")
    cache.add_argument("action", nargs="?", choices=("show", "clear"), default="show")
    cache.add_argument("view", nargs="?", metavar="VIEW", help="clear this view alone")
    cache.set_defaults(command=_cache)


def _add_classifier(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    train = commands.add_parser("train", help="train a classifier on corpora, and save it")
    train.add_argument("corpora", nargs="+", metavar="CORPUS", help="such as emodb table:mine")
    train.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to save")
    train.add_argument("--encoder", default="nano", metavar="E", help="nano (default), tiny.en, "
                       "another name, a file or a folder")  # fmt: skip
    train.add_argument("--layers", type=_positive, metavar="N", help="blocks of the encoder to "
                       "keep; default: half of them, of a fine-tuned one all")  # fmt: skip
    train.add_argument("--standardisation", choices=("none", "corpus", "speaker", "rule"),
                       default="rule",
                       help="default: rule, which chooses without labels")  # fmt: skip
    train.add_argument("--fine-tune", action="store_true", help="train the encoder's layers, too")
    train.add_argument("--epochs", type=_positive, metavar="N", help="of fine-tuning; default: 10")
    train.add_argument("--seed", type=_seed, metavar="N", help="of fine-tuning; default: 0")
    train.set_defaults(command=_train)
    predict = commands.add_parser("predict", help="what a saved classifier answers for recordings")
    predict.add_argument("model", type=Path, metavar="MODEL", help="folder of `lowser train`")
    predict.add_argument("files", nargs="+", metavar="FILE", help="recordings, of any length")
    forms = predict.add_mutually_exclusive_group()
    forms.add_argument("--csv", action="store_true", help="print CSV instead of a table")
    forms.add_argument("--json", action="store_true", help="print JSON instead of a table")
    mode = predict.add_mutually_exclusive_group()
    mode.add_argument("--one-speaker", action="store_true", help="all files are of one voice, "
                       "which is taken out where the model does so")  # fmt: skip
    mode.add_argument("--adapt", action="store_true", help="standardise the files as a corpus of "
                       "its own: for many files of a new place or language")  # fmt: skip
    predict.set_defaults(command=_predict)


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
    from lowser_lib.experiments import data, paths, profiles

    name = options.profile
    if options.encoder and not options.trial:
        raise LowserError("--encoder goes with --trial alone: a profile fixes its own encoder")
    if options.trial:
        encoder = options.encoder or ""
        # Notebooks run in another folder.
        encoder = str(Path(encoder).absolute()) if Path(encoder).is_file() else encoder
        name = f"{name}{profiles.TRIAL}:{encoder}".rstrip(":")
    profile = profiles.get(name)  # a wrong name is told before anything else is looked for
    project = paths.require_project_root()
    output = options.output or project / "runs" / profile.name
    settings = runner.RunSettings(
        notebooks=project / "notebooks",
        output=output,
        results=options.results or (output if options.trial else project) / "results",
        profile=name,
        seed=options.seed,
        chapters=options.chapters,
        resume=options.resume,
        progress=sys.stderr.isatty(),
    )
    for message in data.missing(profile.corpora).values():
        print(f"[MISS] {message}", file=sys.stderr, flush=True)
    return 1 if runner.run(settings).failed else 0


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


def _new_corpus(options: argparse.Namespace) -> int:
    from lowser_lib.course import corpora_commands
    from lowser_lib.errors import LowserError

    columns = ("speaker", "gender", "language", "label")
    values = {name: getattr(options, name) for name in columns}
    odd = [word for word in options.words if "=" not in word]
    if odd:
        raise LowserError(f"--words {odd[0]}: write CODE=LABEL, such as W=angry")
    return corpora_commands.new(
        options.name,
        options.folder,
        options.pattern,
        {name: value for name, value in values.items() if value},
        dict(word.split("=", 1) for word in options.words),
        options.own_classes,
        options.dry_run,
    )


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
                problems = refresh.check(chapter.path)
            else:
                refresh.refresh(chapter)
                problems = []
        except RunError as error:
            problems = [str(error)]
        print(f"{'[FAIL]' if problems else '[OK]  '} {chapter.path.name}", flush=True)
        for problem in problems:
            print(f"       {problem}")
        failed += bool(problems)
    return 1 if failed else 0


def _sweep(options: argparse.Namespace) -> int:
    from lowser_lib.experiments import engine, paths, profiles, summaries

    _refuse_unused(options)
    profile = profiles.get(options.profile)
    shared = {
        "results": options.results or paths.results_root(),
        "profile": profile,
        "jobs": options.jobs,
        "cluster": options.cluster,
        "changes": dict(options.changes),
        "name": options.name,
        "progress": sys.stderr.isatty(),
        **({} if options.seeds is None else {"seeds": options.seeds}),
    }
    kinds = {"pairwise": _budgets, "lexical": _lexical, "leaning": _leaning, "frozen": _frozen,
             "thinned": _frozen}  # fmt: skip
    make = kinds.get(options.method, _transfer)
    sweep = make(options, shared)
    done = engine.run(sweep)
    baseline = []
    if make is _transfer:
        name = sweep.named(summaries.BASELINE)
        baseline = summaries.baseline_of(shared["results"], done, name)
    print(summaries.text(done, baseline, profile.resamples))
    return 0


def _refuse_unused(options: argparse.Namespace) -> None:
    """Raise a LowserError where an option is given that the sweep has no use for."""
    kind = options.method if options.method in KINDS else "METHOD"
    for name, takers in OPTIONS.items():
        if getattr(options, name) is not None and kind not in takers:
            methods = [each for each in _Sweeps() if each not in KINDS]
            named = [*(methods if "METHOD" in takers else ()), *(set(takers) & set(KINDS))]
            option = {"sources": "source", "targets": "target"}.get(name, name)
            raise LowserError(
                f"--{option} is not for lowser sweep {options.method}; it goes with lowser sweep "
                f"{', '.join(sorted(named))}"
            )
    if options.labels is not None and options.male is None:
        raise LowserError("--labels says which labels --male leaves skewed: give --male, too")
    if options.languages and options.corpora:
        raise LowserError("--languages and --corpora both name what is trained on: give one")


def _transfer(options: argparse.Namespace, shared: dict[str, Any]) -> Any:
    from lowser_lib.experiments.speech import Skew
    from lowser_lib.experiments.transfer import TransferSweep

    return TransferSweep(
        method=options.method,
        languages=options.languages,
        protocol=options.protocol,
        sources=options.sources,
        targets=options.targets,
        skew=None if options.male is None else Skew(options.male, options.labels or "ur"),
        deterministic=bool(options.deterministic),
        **shared,
    )


def _budgets(options: argparse.Namespace, shared: dict[str, Any]) -> Any:
    from lowser_lib.experiments import budgets, engine

    targets = shared["profile"].targets
    nothing = f"profile {options.profile} has no target for language"
    of_languages = [
        targets[language] for language in engine.names_of(options.languages, list(targets), nothing)
    ]
    return budgets.BudgetSweep(
        corpora=options.corpora or (of_languages if options.languages else None),
        views=options.views,
        budgets=options.budgets or budgets.BUDGETS,
        **shared,
    )


def _lexical(options: argparse.Namespace, shared: dict[str, Any]) -> Any:
    from lowser_lib.experiments.lexical import LexicalSweep

    if len(options.corpora or ()) > 1:
        raise LowserError("lowser sweep lexical trains on one corpus: name one with --corpora")
    return LexicalSweep(corpus=options.corpora[0] if options.corpora else None, **shared)


def _train(options: argparse.Namespace) -> int:
    from lowser_lib.course import classifier_commands

    return classifier_commands.run_train(options)


def _predict(options: argparse.Namespace) -> int:
    from lowser_lib.course import classifier_commands

    return classifier_commands.run_predict(options)


def _leaning(options: argparse.Namespace, shared: dict[str, Any]) -> Any:
    from lowser_lib.experiments.leaning import LeaningSweep

    return LeaningSweep(corpora=options.corpora or (), encoder=options.encoder, **shared)


def _frozen(options: argparse.Namespace, shared: dict[str, Any]) -> Any:
    from lowser_lib.experiments.frozen import FrozenSweep, ThinnedSweep

    return {"frozen": FrozenSweep, "thinned": ThinnedSweep}[options.method](
        encoder=options.encoder,
        languages=options.languages,
        protocol=options.protocol or "others",
        **shared,
    )


def _ledger(options: argparse.Namespace) -> int:
    from lowser_lib import files
    from lowser_lib.experiments import ledger, paths

    names = options.profiles or ["fast", "open"]
    project = paths.require_project_root()
    written = ledger.text(options.results or paths.results_root(), project / "notebooks", names)
    if options.output is None:
        print(written, end="")
    else:
        files.write_text(options.output, written)
        print(f"{options.output} written")
    return 0


def _cache(options: argparse.Namespace) -> int:
    from lowser_lib import files
    from lowser_lib.experiments import paths
    from lowser_lib.views import cache

    folder = paths.features()
    if options.action == "clear":
        print(f"{cache.clear(folder, options.view) / 2**20:.1f} MiB freed in {folder}")
        return 0
    if options.view:
        raise LowserError("lowser cache show tells of all views; a VIEW goes with clear alone")
    views = cache.contents(folder)
    for part in views:
        size = part.size / 2**20
        print(f"{part.view:<10} {part.settings}  {part.clips:>7} clips  {size:9.1f} MiB")
    total = sum(part.size for part in views) / 2**20
    print(f"{sum(part.clips for part in views)} clips, {total:.1f} MiB in {folder}")
    if unfinished := files.all_leftovers(paths.home()):
        size = sum(files.size(part) for part in unfinished) / 2**20
        print(
            f"{len(unfinished)} unfinished files or folders, {size:.1f} MiB in {paths.home()}: of "
            "commands at work or killed; the latter's go a day later, when the folder is next used"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
