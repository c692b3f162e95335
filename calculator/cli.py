"""The command line: arguments to a workload and models, errors to a sentence and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from calculator import answers, habits, questions, recipes
from calculator.arguments import ENGINE_SETTINGS, given_of, parser
from calculator.asked import cache_types, compare_all, estimated, load_all, one_of, sources, with_draft
from calculator.errors import RAISE, CalculatorError, WorkloadError
from calculator.lists import workloads
from calculator.named import any_device, named_device
from calculator.record.workload import Workload
from calculator.report import output
from calculator.terminal import complain, progress, without_token, working
from calculator.version import version

if TYPE_CHECKING:
    from calculator.placing import Placing

FAILED, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


BY_SUFFIX = {".json": "json", ".csv": "csv", ".md": "markdown"}
"""What --output writes where --format does not say it."""


def main(arguments: Sequence[str] | None = None, program: str = "transformer-calculator") -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given, program)
    except SystemExit as ended:  # --help
        return int(ended.code or 0)
    except CalculatorError as error:
        complain(without_token(str(error), given))
        return FAILED
    except BrokenPipeError:
        # Nothing may be left for the interpreter to flush into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(RAISE):
            raise
        said = without_token(f"{type(error).__name__}: {error}", given)[:300]
        complain(
            f"The calculator met a fault of its own ({said}). Please report the command; with {RAISE}=1 in the "
            "environment it shows where the fault is."
        )
        return FAILED


def _run(given: list[str], program: str) -> int:
    if given[:1] == ["app"] and not os.path.exists("app"):
        from calculator.launch import run_app

        return run_app(given[1:])
    if given == ["validate"] and not os.path.exists("validate"):
        from calculator.validation import text

        with working("Comparing with what was measured"):
            said = text()
        output.write_out(f"{said}\n")
        return 0
    for value in given:
        if value.startswith("--") and value.endswith("=--"):  # argparse takes the dashes for a separator
            raise CalculatorError(f"{value.removesuffix('=--')[:80]} was given -- as its value, which is none.")
    made = parser(program)
    if "_ARGCOMPLETE" in os.environ:  # set by the shell function of the argcomplete package
        from calculator.completion import complete

        complete(made)
    options = made.parse_intermixed_args(habits.translated(given))
    if options.output is not None:
        output.target_of(options.output)  # refused before any work, not after
    told = given_of(made, options)
    options.format = options.format or BY_SUFFIX.get(Path(options.output or "").suffix.lower(), "text")
    question = questions.asked(options, told)
    for sentence in questions.idle(options, told):
        complain(sentence, "warning")
    content, status = _answer(options) if question else (_content(options, told), 0)
    if options.output is None:
        output.write_out(content)
    else:
        output.write_file(options.output, content)
    return status


def _answer(options: argparse.Namespace) -> tuple[str, int]:
    """The answer to a question about devices, and the exit status."""
    models = load_all(sources(options), options.revision, options.token, options.base)
    with working("Trying layouts"):
        return answers.answer(options, models)


def _content(options: argparse.Namespace, told: Mapping[str, str]) -> str:
    """All of the output; nothing is written before it is complete."""
    if options.version:
        return f"transformer-calculator {version()}\n"
    if options.list_models:
        return output.model_listing(options.format)
    if options.list_types:
        return output.type_listing(options.format)
    if options.list_devices:
        return output.device_listing(options.format)
    runs = workloads({f.name: getattr(options, f.name) for f in fields(Workload)} | _told_otherwise(options))
    if options.local:
        from calculator.local import listing

        return listing(one_of(runs, "--local"), options.format, progress)
    named = sources(options)
    models = load_all(named, options.revision, options.token, options.base)
    for sentence in questions.unlike(told, models):
        complain(sentence, "warning")
    if options.checkpoint:
        return output.comparisons(compare_all(named, models, options.revision, options.token), options.format)
    if options.draft:
        return output.speculations(with_draft(options, models, one_of(runs, "--draft")), options.format)
    estimates = estimated(models, runs)
    for e in estimates:
        e.engine_settings = {n: v for n in ENGINE_SETTINGS if (v := getattr(options, n)) is not None}
    if options.format == "csv":
        for warning in dict.fromkeys(w for e in estimates for w in e.warnings):
            complain(warning, "warning")  # a CSV file has no place for it
    if options.explain is not None:
        one_of(runs, "--explain")
        return output.explanation(estimates, options.explain, options.format)
    if (asked := _placing(options)) is not None:
        from calculator.placing import placings

        with working("Trying layouts" if asked.plans else "Placing on devices"):
            found = placings(estimates, asked)
            if asked.export:
                return "\n".join(p.exported for p in found)
            return output.placed(found, options.table, options.format)
    if options.table == "device":
        raise WorkloadError("--table device shows what --device NAME answers; give that too, or see --list-devices.")
    if len(runs) > 1 and options.format != "json":
        if options.format != "csv" and options.table not in (*output.TABLES, "all"):
            one_of(runs, f"--table {options.table}")
        return output.sweep(estimates, options.table, options.format)
    return output.report(estimates, options.table, options.format)


def _placing(options: argparse.Namespace) -> Placing | None:
    """What was said of devices, None where nothing was.

    Raises:
        DeviceError: no such device or layout.
    """
    recipe = recipes.recipe_of(options)
    sizes = {n: v for n in ("micro_batches", "plans", "export") if (v := getattr(options, n)) is not None}
    if options.device is None and not recipe and not sizes and not recipes.divided(options):
        return None
    from calculator.placing import Placing

    named = any_device if options.mode == "pretraining" else named_device  # of memory alone there is no time
    card = None if options.device is None else named(options.device)
    return Placing(card, recipes.layout_of(options), options.engine, recipe, **sizes)


def _told_otherwise(options: argparse.Namespace) -> dict[str, str]:
    """Fields of a workload that options of other names say."""
    return recipes.kernels_of(options) | cache_types(options)
