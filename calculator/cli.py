"""The command line: arguments to a workload and models, errors to a sentence and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from calculator import habits
from calculator.errors import RAISE, CalculatorError, SourceError, WorkloadError
from calculator.estimation import Estimate
from calculator.formats.named import ALIASES
from calculator.lists import Listed, listed, workloads
from calculator.model import Model
from calculator.numbers.reading import whole
from calculator.record.options import GROUPS as OPTION_GROUPS
from calculator.record.options import OPTIONS, PRECISION, Option
from calculator.record.workload import LARGEST, Workload
from calculator.report import output
from calculator.sources import catalogue
from calculator.sources.load import load_model
from calculator.version import version

if TYPE_CHECKING:
    from calculator.sources.checkpoint import Comparison
    from calculator.speculation import Speculation

FAILED, INTERRUPTED, PIPE_CLOSED = 2, 130, 141

DESCRIPTION = """\
Exact parameters, memory, FLOPs, bytes moved and arithmetic intensity of transformer models, for pretraining, prefill
and decode. Bundled models (--list-models) need no network; any other Hugging Face id is read from the Hub, of which
only config.json is fetched, and the headers of safetensors or GGUF files with --checkpoint and for types that no family
reads. Nothing is downloaded or run besides."""

EPILOG = """\
examples:
  {program} --hf-model "Qwen/Qwen2.5-7B" --mode prefill --table all
  {program} deepseek-ai/DeepSeek-V3.1-Terminus --mode decode --seq-len 32768 --batch-size 16 --table memory
  {program} --config ./my-model/config.json --dtype int4 --kv-dtype fp8
  {program} Qwen/Qwen2.5-7B --table operations --format csv --output operations.csv
a row for every batch and length:
  {program} Qwen/Qwen3-8B --mode decode --batch-size 1,2,4,8 --seq-len 1k,8k,32k --dtype bf16,awq
a checkpoint's headers against the formula, and a quantized file that was downloaded:
  {program} ./my-model --checkpoint
  {program} ./my-model-Q4_K_M.gguf --mode decode
an adapter beside its base model, and a target with its draft in one budget:
  {program} ./my-lora --base Qwen/Qwen3-8B --mode decode
  {program} meta-llama/Llama-3.1-8B --draft ./my-draft --mode decode
two models side by side, and the formulas behind the numbers, filled in:
  {program} Qwen/Qwen3-8B meta-llama/Llama-3.1-8B --mode decode --seq-len max
  {program} Qwen/Qwen2.5-7B --explain q_proj

output formats:
  text      aligned tables; memory in KiB, MiB, GiB (1 GiB = 2^30 bytes), FLOPs with decimal prefixes
  markdown  the same tables in Markdown
  json      everything, raw numbers: one object, a list of them for several models; --table changes nothing
  csv       raw numbers (bytes, FLOPs), every row with its model, mode, batch size and length; no total rows, so that
            sums are right. One --table keeps that table's columns; --table all has a line per number: table,
            component, field, value, with the totals as table "summary"

exit status: 0; 2 when the request cannot be met, with the reason on standard error; 130 interrupted; 141 pipe closed.
A Hugging Face token is best given as HF_TOKEN, where other users of the machine cannot see it."""


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence like every other error."""

    def error(self, message: str) -> NoReturn:
        said = message.rstrip(".")
        guess = habits.meant(message, self._option_string_actions)
        raise CalculatorError(f"{said[:1].upper()}{said[1:]}; see {self.prog} --help{' all' if guess else ''}.{guess}")

    def print_help(self, file: Any = None) -> None:
        output.write_out(self.format_help())


class Help(argparse.Action):
    """--help shows what fits a screen, --help all everything."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        if values == "all":
            parser.print_help()
        else:
            output.write_out(habits.SHORT.format(program=parser.prog))
        parser.exit()


def parser(program: str) -> Parser:
    """The options, which are also the documentation; those of a workload are stored under its fields' names."""
    epilog, layout = EPILOG.format(program=program), argparse.RawDescriptionHelpFormatter
    made = Parser(
        program, description=DESCRIPTION, epilog=epilog, allow_abbrev=False, add_help=False, formatter_class=layout
    )
    for title, fill in GROUPS.items():
        fill(made.add_argument_group(title).add_argument)
    return made


Add = Callable[..., Any]


def _add_models(add: Add) -> None:
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="a bundled model, Hugging Face id (org/name, org/name@revision, org/name:FILE.gguf) or URL, the path of a "
        "config.json, of its folder, of an adapter's folder or of a GGUF file; several are compared",
    )
    add("--hf-model", action="append", default=[], metavar="MODEL", help="the same as an option; may be repeated")
    add("--config", action="append", default=[], metavar="PATH", help="a config.json or its folder; may be repeated")
    said = (
        "a draft for speculative decoding of the MODEL, named as one, or mtp for its own prediction layers; shows "
        "the memory of both"
    )
    add("--draft", metavar="MODEL|mtp", help=said)
    add("--base", metavar="MODEL", help="the base model of an adapter, where it is not the one the adapter names")
    add("--revision", help="branch, tag or commit on the Hub; bundled copies are then not used")
    add("--token", help="Hugging Face token for gated or private models; default: HF_TOKEN or the stored login")


def _add_cache_types(add: Add) -> None:
    said = "llama.cpp's way to give the {} of the KV cache a type of their own; the same as --kv-dtype K/V"
    for letter, words in (("k", "keys"), ("v", "values")):
        add(f"-ct{letter}", f"--cache-type-{letter}", metavar="TYPE", type=_format_name, help=said.format(words))


def _add_options(group: str) -> Callable[[Add], None]:
    """The workload's options of a group, as they are declared."""

    def fill(add: Add) -> None:
        for option in OPTIONS:
            if option.group == group:
                add(option.flag, dest=option.field, **_argument(option))
        if group == PRECISION:
            _add_cache_types(add)

    return fill


def _argument(option: Option) -> dict[str, Any]:
    """What argparse needs to know of an option."""
    if option.kind == "switch":
        return {"action": "store_false" if option.default else "store_true", "help": _switched(option)}
    metavar, read = {
        "choice": (None, _choice),
        "format": ("FORMAT", listed(_format_name)),
        "length": ("N|max", listed(_length, lengths=True)),
        "count": ("N", listed(_count, lengths=option.field != "batch_size")),
        "factor": ("C", float),
    }[option.kind]
    made: dict[str, Any] = {"default": option.default, "type": read, "help": option.described, "metavar": metavar}
    return made | ({"choices": option.choices, "metavar": None} if option.kind == "choice" else {})


def _switched(option: Option) -> str:
    """The flag of a switch says what its use does."""
    return f"turns off what {option.help}" if option.default else option.help


ENGINE_SETTINGS = {
    "batched_tokens": (
        "--max-num-batched-tokens",
        "for --table engines: tokens of one scheduler step; default: 8192 of vLLM, 512 of llama.cpp (--ubatch-size)",
    ),
    "block_size": (
        "--block-size",
        "for --table engines: tokens of a page; default: 16 of vLLM (64 for latents), 1 of SGLang, 32 of TensorRT-LLM",
    ),
}


def _add_output(add: Add) -> None:
    said = (
        "all, the default, is memory, flops and reuse (arithmetic intensity); cache is what each kind of layer keeps, "
        "engines what inference engines reserve for it, formats which rule prices which weights"
    )
    add(
        "--table",
        choices=(*output.TABLES, "operations", "cache", "engines", "formats", "all"),
        default="all",
        help=said,
    )
    for field, (flag, said) in ENGINE_SETTINGS.items():
        add(flag, dest=field, type=_count, metavar="N", help=said)
    add(
        "--explain",
        nargs="?",
        const="",
        metavar="OPERATION",
        help="instead of tables the formula behind every amount, filled in; of the operations whose name contains "
        "OPERATION (give it last, or as --explain=OPERATION)",
    )
    said = "instead of tables the model's formula against the headers of its checkpoint (safetensors or GGUF): both "
    said += "sides, and every tensor that differs with the reason; of the files no more than the headers is read"
    add("--checkpoint", action="store_true", help=said)
    add("--format", choices=output.OUTPUTS, default="text", help="default: text")
    add("--output", metavar="FILE", help="write there instead; an existing file is replaced only if all went well")
    add("--json", action="store_const", dest="format", const="json", help="the same as --format json")
    add("--list-models", action="store_true", help="list the bundled models")
    said = "list the models on this machine (the caches of Hugging Face and llama.cpp, Ollama's), each priced"
    add("--local", action="store_true", help=said)
    add("--list-types", action="store_true", help="list the model types that can be read")
    add("-V", "--version", action="store_true", help="show the version")
    add("-h", "--help", action=Help, nargs="?", metavar="all", help="show the usual options, or with all every one")


GROUPS: Mapping[str, Callable[[Add], None]] = {
    "models": _add_models,
    **{group: _add_options(group) for group in OPTION_GROUPS},
    "output": _add_output,
}


def _length(value: str) -> int | str:
    if value == "max":
        return value
    try:
        return _count(value)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, nor max") from error


def _count(value: str) -> int:
    """A number as people write it; whether it is allowed, the workload says."""
    try:
        return whole(value, "A number", least=-LARGEST, most=LARGEST * 10)
    except CalculatorError:
        try:
            return int(value)  # -1 and 0 are refused with the option's own sentence
        except ValueError:
            raise argparse.ArgumentTypeError(f"{value[:40]!r} is no whole number such as 4096, 32k or 1e6") from None


def _format_name(value: str) -> str:
    name = ALIASES.get(value.lower(), value.lower())
    return habits.METHODS.get(name, name)


def _choice(value: str) -> str:
    return habits.MODES.get(value.lower(), value)


def main(arguments: Sequence[str] | None = None, program: str = "transformer-calculator") -> int:
    """Run the command line and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given, program)
    except SystemExit as ended:  # --help
        return int(ended.code or 0)
    except CalculatorError as error:
        _complain(_without_token(str(error), given))
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
        said = _without_token(f"{type(error).__name__}: {error}", given)[:300]
        _complain(
            f"The calculator met a fault of its own ({said}). Please report the command; with {RAISE}=1 in the "
            "environment it shows where the fault is."
        )
        return FAILED


def _run(given: list[str], program: str) -> int:
    if given[:1] == ["app"] and not os.path.exists("app"):
        from calculator.launch import run_app

        return run_app(given[1:])
    for value in given:
        if value.startswith("--") and value.endswith("=--"):  # argparse takes the dashes for a separator
            raise CalculatorError(f"{value.removesuffix('=--')[:80]} was given -- as its value, which is none.")
    made = parser(program)
    if "_ARGCOMPLETE" in os.environ:  # set by the shell function of the argcomplete package
        from calculator.completion import complete

        complete(made)
    options = made.parse_intermixed_args(habits.translated(given))
    if options.output is None:
        output.write_out(_content(options))
    else:
        output.target_of(options.output)  # refused before any work, not after
        output.write_file(options.output, _content(options))
    return 0


def _content(options: argparse.Namespace) -> str:
    """All of the output; nothing is written before it is complete."""
    if options.version:
        return f"transformer-calculator {version()}\n"
    if options.list_models:
        return output.model_listing(options.format)
    if options.list_types:
        return output.type_listing(options.format)
    runs = workloads({f.name: getattr(options, f.name) for f in fields(Workload)} | _cache_types(options))
    if options.local:
        from calculator.local import listing

        return listing(one_of(runs, "--local"), options.format, progress)
    named = sources(options)
    models = load_all(named, options.revision, options.token, options.base)
    if options.checkpoint:
        return output.comparisons(compare_all(named, models, options.revision, options.token), options.format)
    if options.draft:
        return output.speculations(with_draft(options, models, one_of(runs, "--draft")), options.format)
    estimates = estimated(models, runs)
    for e in estimates:
        e.engine_settings = {n: v for n in ENGINE_SETTINGS if (v := getattr(options, n)) is not None}
    if options.format == "csv":
        for warning in dict.fromkeys(w for e in estimates for w in e.warnings):
            _complain(warning, "warning")  # a CSV file has no place for it
    if options.explain is not None:
        one_of(runs, "--explain")
        return output.explanation(estimates, options.explain, options.format)
    if len(runs) > 1 and options.format != "json":
        if options.format != "csv" and options.table not in (*output.TABLES, "all"):
            one_of(runs, f"--table {options.table}")
        return output.sweep(estimates, options.table, options.format)
    return output.report(estimates, options.table, options.format)


def _cache_types(options: argparse.Namespace) -> dict[str, str]:
    """kv_dtype of llama.cpp's two flags; what one of them leaves out is f16, llama.cpp's default.

    Raises:
        WorkloadError: --kv-dtype says it too.
    """
    keys, values = options.cache_type_k, options.cache_type_v
    if keys is None and values is None:
        return {}
    if options.kv_dtype != "auto" or isinstance(options.kv_dtype, Listed):
        raise WorkloadError("--kv-dtype and --cache-type-k/-v say the same; give one of them.")
    return {"kv_dtype": f"{keys or 'fp16'}/{values or 'fp16'}"}


# From options to models


def sources(options: argparse.Namespace) -> list[str]:
    """What was named, in the order: MODEL, --hf-model, --config.

    Raises:
        SourceError: nothing was named.
    """
    # "./name" is a path to load_model even where "name" is also a bundled model.
    paths = [p if os.path.isabs(p) or p.startswith("~") else f"./{p}" for p in options.config]
    found = [*options.models, *options.hf_model, *paths]
    if not found:
        hint = f" ({options.explain!r} was taken for an operation to explain)" if options.explain else ""
        raise SourceError(f"No model was named{hint}; give one, for instance Qwen/Qwen2.5-7B, or see --list-models.")
    return found


def one_of(runs: Sequence[Workload], option: str) -> Workload:
    """The only workload.

    Raises:
        WorkloadError: several were listed, and the option shows one.
    """
    if len(runs) > 1:
        raise WorkloadError(f"{option} shows one workload; give single values rather than lists with it.")
    return runs[0]


def estimated(models: Sequence[Model], runs: Sequence[Workload]) -> list[Estimate]:
    """An estimate for every model and workload, with a line of progress where there are many."""
    found, whole = [], len(models) * len(runs)
    for model in models:
        for run in runs:
            found.append(Estimate(model, run))
            if whole > PROGRESS and len(found) % PROGRESS == 0:
                progress(f"Estimating ({len(found):,} of {whole:,})")
    progress("") if whole > PROGRESS else None
    return found


PROGRESS = 100
"""Estimates between two lines of progress: about a quarter of a second."""


def with_draft(options: argparse.Namespace, models: Sequence[Model], workload: Workload) -> list[Speculation]:
    """Each model beside the draft that was named."""
    from calculator.speculation import OWN, own_draft, speculate

    if options.draft == OWN:
        return [speculate(model, own_draft(model), workload) for model in models]
    (draft,) = load_all([options.draft], None, options.token)
    return [speculate(model, draft, workload) for model in models]


def load_all(named: Sequence[str], revision: str | None, token: str | None, base: str | None = None) -> list[Model]:
    """The models, with a line of progress while it may take a while.

    Raises:
        CalculatorError: one of them cannot be read; of several, the message says which.
    """
    models = []
    for place, source in enumerate(named, 1):
        line = f"Reading {source}" + (f" ({place} of {len(named)})" if len(named) > 1 else "")
        progress(_hide(line, token))
        try:
            models.append(load_model(source, revision, token, **({"base": base} if base else {})))
        except CalculatorError as error:
            if len(named) == 1 or source in str(error):
                raise
            raise type(error)(f"{source}: {error}") from error
        finally:
            progress("")
    return models


def compare_all(
    named: Sequence[str], models: Sequence[Model], revision: str | None, token: str | None
) -> list[Comparison]:
    """Each model against the checkpoint that it was named by; of a bundled model, the one on the Hub."""
    from calculator.sources.checkpoint import compare, load_checkpoint

    found = []
    for source, model in zip(named, models, strict=True):
        bundled = catalogue.find(source) if revision is None else None
        progress(_hide(f"Reading the headers of {source}", token))
        try:
            headers = load_checkpoint(bundled.id if bundled else source, revision, token)
        finally:
            progress("")
        found.append(compare(model, headers))
    return found


# Words on standard error


def progress(line: str) -> None:
    """Show the line, or clear it, where a person is watching standard error."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{_one_line(line)[:100]}")
        sys.stderr.flush()


def _complain(sentence: str, kind: str = "error") -> None:
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(f"{kind}: {_one_line(sentence)}", file=sys.stderr)


def _one_line(words: str) -> str:
    """The words without line breaks, control characters or anything that looks like an access token."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words.split()))
    return re.sub(r"hf_[A-Za-z0-9]{20,}", "hf_…", line)


def _hide(words: str, token: str | None) -> str:
    return words.replace(token, "…") if token and len(token) >= 8 else words


def _without_token(words: str, given: Sequence[str]) -> str:
    """The words without the value of --token, also where the arguments could not be parsed."""
    tokens = [value for option, value in pairwise(given) if option == "--token"]
    tokens += [value.removeprefix("--token=") for value in given if value.startswith("--token=")]
    for token in tokens:
        words = _hide(words, token)
    return words
