"""The command line: arguments to a workload and models, errors to a sentence and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NoReturn

from calculator import answers, habits, recipes
from calculator.asked import compare_all, estimated, load_all, one_of, sources, with_draft
from calculator.errors import RAISE, CalculatorError, WorkloadError
from calculator.formats.named import ALIASES
from calculator.lists import Listed, listed, workloads
from calculator.numbers.reading import whole
from calculator.record.options import GROUPS as OPTION_GROUPS
from calculator.record.options import OPTIONS, PRECISION, Option
from calculator.record.workload import LARGEST, Workload
from calculator.report import output
from calculator.terminal import complain, progress, without_token
from calculator.version import version

if TYPE_CHECKING:
    from calculator.placing import Placing

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
on devices: a share of each, the time of a pass, what 32 users wait for; a step of training over eight copies:
  {program} Qwen/Qwen3-8B --mode decode --seq-len 4k --batch-size 32 --device h200-sxm-141gb --tp 4
  {program} Qwen/Qwen3-8B --mode pretraining --device h100-sxm-80gb --dp 8 --zero 3 --recompute full

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
        """Raise CalculatorError: one sentence, with the option that was probably meant."""
        said = message.rstrip(".")
        guess = habits.meant(message, self._option_string_actions)
        raise CalculatorError(f"{said[:1].upper()}{said[1:]}; see {self.prog} --help{' all' if guess else ''}.{guess}")

    def print_help(self, file: Any = None) -> None:
        """Write the help to standard output, which may be closed."""
        output.write_out(self.format_help())


class Help(argparse.Action):
    """--help shows what fits a screen, --help all everything."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        """Print the short help, or with "all" every option."""
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
    choices = (*option.choices, *(["fused"] if option.field == "kernels" else []))  # of --mode train
    return made | ({"choices": choices, "metavar": None} if option.kind == "choice" else {})


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


def _add_devices(add: Add) -> None:
    said = (
        "a device of --list-devices, local, or a JSON file of your own: adds what it holds, the time of a pass, with "
        "--mode decode what users wait for, with pretraining a step's memory and time"
    )
    add("--device", metavar="NAME", help=said)
    add("--engine", choices=answers.ENGINES, default="vllm", help="whose memory and pace; default: vllm")
    recipes.add_options(add, _count)
    add("--list-devices", action="store_true", help="list the devices of the catalogue")


def _add_output(add: Add) -> None:
    said = (
        "all, the default, is memory, flops and reuse (arithmetic intensity); cache is what each kind of layer keeps, "
        "engines what inference engines reserve for it, formats which rule prices which weights, phases is a row per "
        "pass (forward, backward, optimizer), device what --device answers"
    )
    add(
        "--table",
        choices=(*output.TABLES, "operations", "phases", "cache", "engines", "formats", "device", "all"),
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
    "devices": _add_devices,
    "questions about devices": answers.add_options,
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

        print(text())
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
    content, status = _answer(options) if answers.asked(options) else (_content(options), 0)
    if options.output is None:
        output.write_out(content)
    else:
        output.write_file(options.output, content)
    return status


def _answer(options: argparse.Namespace) -> tuple[str, int]:
    """The answer to a question about devices, and the exit status."""
    return answers.answer(options, load_all(sources(options), options.revision, options.token, options.base))


def _content(options: argparse.Namespace) -> str:
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

        if asked.export:
            return "\n".join(p.exported for p in placings(estimates, asked))
        return output.placed(placings(estimates, asked), options.table, options.format)
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
    from calculator.hardware import device
    from calculator.placing import Placing

    named = answers.any_device if options.mode == "pretraining" else device  # of memory alone there is no time
    card = None if options.device is None else named(options.device)
    return Placing(card, recipes.layout_of(options), options.engine, recipe, **sizes)


def _told_otherwise(options: argparse.Namespace) -> dict[str, str]:
    """Fields of a workload that options of other names say."""
    return recipes.kernels_of(options) | _cache_types(options)


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
