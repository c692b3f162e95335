"""The options of the command line and what each may be: those of a workload are declared in record/options.py, those of
questions about devices in questions.py, those of layouts and recipes in recipes.py, the rest here."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from calculator import habits, questions, recipes
from calculator.errors import CalculatorError
from calculator.formats.named import ALIASES
from calculator.lists import listed
from calculator.numbers.reading import whole
from calculator.record.options import GROUPS as OPTION_GROUPS
from calculator.record.options import OPTIONS, PRECISION, Option
from calculator.record.workload import LARGEST
from calculator.report import output

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
        guess = habits.guessed(message, self._option_string_actions)
        everything = " all" if guess or not habits.in_short_help(message) else ""
        raise CalculatorError(f"{said[:1].upper()}{said[1:]}; see {self.prog} --help{everything}.{guess}")

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
        program,
        usage="%(prog)s MODEL [MODEL ...] [options]",
        description=DESCRIPTION,
        epilog=epilog,
        allow_abbrev=False,
        add_help=False,
        formatter_class=layout,
    )
    for title, fill in GROUPS.items():
        fill(made.add_argument_group(title).add_argument)
    return made


def given_of(made: Parser, options: argparse.Namespace) -> dict[str, str]:
    """The flags of the options that say something else than their default, by the fields they fill."""
    flags = {a.dest: a.option_strings[0] if a.option_strings else a.dest for a in made._actions}
    return {name: flags[name] for name, value in vars(options).items() if value != made.get_default(name)}


Add = Callable[..., Any]


def _add_models(add: Add) -> None:
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="a bundled model, Hugging Face id (org/name, org/name@revision, org/name:FILE.gguf) or URL, the path of a "
        "config.json, of its folder, of an adapter's folder or of a GGUF file; several are compared",
    )
    add(
        "--hf-model", "-hf", action="append", default=[], metavar="MODEL", help="the same as an option; may be repeated"
    )
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
        "factor": ("C", questions.number),
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
        "a device of --list-devices, local, hf:NAME (a machine of hf jobs or of Inference Endpoints, with its price), "
        "or a JSON file of your own: adds what it holds, the time of a pass, with --mode decode what users wait for, "
        "with pretraining a step's memory and time"
    )
    add("--device", metavar="NAME", help=said)
    add(
        "--engine",
        type=str.lower,
        choices=questions.ENGINES,
        default="vllm",
        help="whose memory and pace; default: vllm",
    )
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
        type=str.lower,
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
    said = "default: text, or what the name of --output ends in (.json, .csv, .md)"
    add("--format", type=str.lower, choices=output.OUTPUTS, help=said)
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
    "questions about devices": questions.add_options,
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
    return habits.MODES.get(value.lower(), value.lower())
