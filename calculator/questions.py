"""The questions about devices that the command line answers: their options, and which of all options each reads."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from calculator import habits, traffic
from calculator.errors import CalculatorError, WorkloadError
from calculator.lists import Listed
from calculator.numbers.reading import whole
from calculator.recipes import DIVIDED, RECIPE, SWITCHES
from calculator.record.options import BY_FIELD

if TYPE_CHECKING:
    from calculator.model import Model

WAYS = ("command", "kubernetes", "skypilot")
ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers")
SHARED = ("gpu_memory_utilization", "max_num_seqs", "mem_fraction_static", "n_gpu_layers")
OF_TABLES = {"batched_tokens": "max_num_batched_tokens", "block_size": "block_size"}  # options that --table has, too


def add_options(add: Callable[..., Any]) -> None:
    """The options of these questions; --device, --engine and the layout are declared beside the command line's own."""
    said = "whether it fits a device (h100-sxm-80gb, 80GiB ...): exits 0 if so and 1 if not"
    add("--fits", metavar="DEVICE", help=said)
    add("--provision", metavar="RACK", help="how a rack or machine serves it (gb300-nvl72, dgx-h100 ...)")
    goals = "max-batch, max-context, max-concurrency, min-devices, cheapest; with --mode train fastest, too"
    add("--solve", type=_goal, metavar="GOAL", help=f"the best layout of --device for a goal: {goals}")
    add("--tokens", metavar="N", help="with --solve and --mode train: tokens of the budget, such as 1T or 300B")
    add(
        "--vllm-log",
        metavar="FILE",
        help="what a vLLM log (- is a pipe) printed about memory beside what is predicted on --device",
    )
    said = f"with --fits and --provision: what starts the engine with these settings: {', '.join(WAYS)}"
    add("--launch", nargs="?", const="command", type=str.lower, choices=WAYS, metavar="WAY", help=said)
    add("--devices", type=_some, metavar="N", help="with --solve and --serve: how many devices")
    add("--users", type=_some, metavar="N", help="sequences at once that have to fit; default: 1")
    add("--max-model-len", type=_some, metavar="N", help="tokens of the longest sequence; default: the model's limit")
    for name in SHARED:
        kind = number if name.endswith(("utilization", "static")) else _count
        add(f"--{name.replace('_', '-')}", type=kind, metavar="N", help="the engine's own setting")
    add("--requests-per-second", type=number, metavar="N", help="with --serve and --provision: requests that arrive")
    for name, words in (("prompt", "of a request's prompt; default: 4096"), ("output", "generated; default: 1024")):
        said = f"with --serve, --provision and --solve: tokens {words}"
        said += "; with --serve also 512-4096, exponential:1024, lognormal:1024:0.8" if name == "prompt" else ""
        add(f"--{name}-length", type=_length, metavar="N", help=said)
    add(
        "--ttft",
        type=seconds,
        metavar="SECONDS",
        help="with --provision and --solve: the first token at the latest, such as 0.5 or 500ms",
    )
    add("--tpot", type=seconds, metavar="SECONDS", help="each further token at the latest")
    traffic.add_options(add, _count, number)


def _count(value: str) -> int:
    """A number as people write it, such as 32k."""
    try:
        return whole(value, "A number", least=0, most=10**9)
    except CalculatorError:
        raise argparse.ArgumentTypeError(f"{value[:40]!r} is no whole number such as 4096, 32k or 1e6") from None


def _goal(value: str) -> str:
    return habits.GOALS.get(value.lower(), value.lower())


def _some(value: str) -> int:
    """A number from 1 up."""
    if (found := _count(value)) < 1:
        raise argparse.ArgumentTypeError(f"{value[:40]!r} is too few; give a whole number from 1 up")
    return found


def _length(value: str) -> int | str:
    """A number, or a distribution of them, which is read where one is allowed."""
    return value if re.match("[0-9]+ *-|[a-z]+:", value) else _count(value)


def number(value: str) -> float:
    """A number above or below 0 as people write it: 0.9, 90%, 1e3."""
    match = re.fullmatch(r"([+-]?\d{1,15}(?:\.\d{0,15})?(?:e[+-]?\d{1,2})?)(%?)", value.strip(), re.IGNORECASE)
    try:
        return float(match[1]) / (100 if match[2] else 1) if match else float(value)  # nan and inf: the field refuses
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value[:40]!r} is no number such as 0.9 or 90%") from None


def seconds(value: str) -> float:
    """A time as people write it: 0.5, 0.5s, 500ms."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|)", value.strip(), re.IGNORECASE)
    if match is None:
        raise argparse.ArgumentTypeError(f"{value[:40]!r} is no number of seconds such as 0.5 or 500ms")
    return float(match[1]) / (1000 if match[2].lower() == "ms" else 1)


QUESTIONS = ("fits", "serve", "provision", "solve", "vllm_log")
MODELS = ("models", "hf_model", "config", "base", "revision", "token")
ALWAYS = (*MODELS, "format", "output", "mode")
PRECISION = ("engine", "dtype", "kv_dtype", "cache_type_k", "cache_type_v", *SHARED, *OF_TABLES)
LAYOUT = (*DIVIDED, "interleave")
LENGTHS = ("prompt_length", "output_length")
READ: Mapping[str, tuple[str, ...]] = {
    "fits": (*PRECISION, *LAYOUT, "max_model_len", "users", "launch"),
    "serve": (*PRECISION, *LAYOUT, *LENGTHS, "devices", "users", "requests_per_second", "draft", *traffic.OWN),
    "provision": (*PRECISION, *LENGTHS, "requests_per_second", "ttft", "tpot", "prefix_hit", "launch"),
    "solve": (*PRECISION, *LENGTHS, "device", "devices", "max_model_len", "users", "ttft", "tpot"),
    "vllm_log": (*SHARED, *OF_TABLES, *LAYOUT, "device", "max_model_len"),
}
"""What each question reads, beside the models and the output."""
OF_TRAINING = (*LAYOUT, *RECIPE, *SWITCHES, "kernels", "device", "devices", "batch_size", "sequence_length", "tokens")
"""What --solve reads with --mode train."""
OWN = dict.fromkeys(n for names in READ.values() for n in names if n not in (*PRECISION, *LAYOUT, "device", "draft"))
OWN |= dict.fromkeys((*SHARED, "tokens"))
"""What only questions read."""
VIEWS = ("checkpoint", "draft", "explain", "local", "list_models", "list_types", "list_devices")
"""What shows something else than a workload on devices."""
PLACED = ("device", *LAYOUT, *RECIPE, *SWITCHES, "micro_batches", "plans", "export")
"""What only a workload on devices reads, and --solve of training."""
SAME: Mapping[str, Mapping[str, str]] = {
    "fits": {"sequence_length": "max_model_len", "batch_size": "users"},
    "solve": {"sequence_length": "max_model_len", "batch_size": "users"},
    "vllm_log": {"sequence_length": "max_model_len"},
    "serve": {"sequence_length": "prompt_length", "batch_size": "users", "decode_length": "output_length"},
    "provision": {"sequence_length": "prompt_length", "decode_length": "output_length"},
}
"""Options of a workload that a question has another name for."""
INSTEAD: Mapping[str, Mapping[str, str]] = {
    "batch_size": {"provision": "what arrives is --requests-per-second"},
    "prompt_length": {"fits": "the longest sequence is --max-model-len"},
    "output_length": {"fits": "the longest sequence is --max-model-len"},
    "max_model_len": {"serve": "a request is --prompt-length and --output-length"},
    "device": dict.fromkeys(("fits", "serve", "provision"), "its own value names the device"),
    "devices": {"fits": "devices that divide the model are --tp or --pp"},
    "users": {"provision": "what arrives is --requests-per-second"},
    "launch": dict.fromkeys(("serve", "solve"), "--fits and --provision print commands"),
    "ttft": {"serve": "--provision plans for a target"},
    "tpot": {"serve": "--provision plans for a target"},
    **{name: {"solve": "it tries every layout of --devices"} for name in LAYOUT},
}
ALONE = {"max_model_len": "; the length of a workload is --seq-len", "users": "; its batch is --batch-size"}


def asked(options: argparse.Namespace, given: Mapping[str, str]) -> bool:
    """Whether one of the questions was asked; of a workload's options it then takes what it has another name for.

    Args:
        given: the flags of the options that were given, by the fields they fill.

    Raises:
        WorkloadError: several were; or an option was given that nothing reads, so that the answer would be another's.
    """
    question = _question(options)
    if question is None:
        _read_alone(given)
        return False
    if options.mode == "pretraining" and question != "solve":
        raise WorkloadError(
            f"{flag(question)} asks about serving; whether a step of training fits, --mode train --device NAME says."
        )
    read = _read(options, question)
    for name, said in given.items():
        if name not in read and name not in BY_FIELD and name != "table":
            raise WorkloadError(_unread(name, said, options, question))
        if isinstance(getattr(options, name), Listed):
            raise WorkloadError(f"{flag(question)} asks about one {said}; give a single value, and ask for each other.")
    if options.mode != "pretraining":
        _take_over(options, given, SAME[question])
    return True


def _question(options: argparse.Namespace) -> str | None:
    """
    Raises:
        WorkloadError: several were asked.
    """
    found = [name for name in QUESTIONS if getattr(options, name)]
    if len(found) > 1:
        raise WorkloadError(f"{' and '.join(map(flag, found))} are questions of their own; ask one at a time.")
    return found[0] if found else None


def _read(options: argparse.Namespace, question: str) -> tuple[str, ...]:
    """What the question reads."""
    if options.mode == "pretraining":
        return (question, *ALWAYS, *OF_TRAINING)
    return (question, *ALWAYS, *READ[question], *SAME[question])


def _take_over(options: argparse.Namespace, given: Mapping[str, str], same: Mapping[str, str]) -> None:
    """
    Raises:
        WorkloadError: both names were given, and they do not say the same; or a length that only a workload has.
    """
    for name, its in same.items():
        if name not in given:
            continue
        value = getattr(options, name)
        if value == "max":
            if its == "max_model_len":
                continue  # the default
            raise WorkloadError(f"{given[name]} max is of a workload; give a number.")
        if its in given and getattr(options, its) != value:
            raise WorkloadError(f"{given[name]} and {given[its]} say the same here; give one of them.")
        setattr(options, its, value)


def idle(options: argparse.Namespace, given: Mapping[str, str]) -> list[str]:
    """A sentence for each option that was given and changes nothing, although what is shown is what was asked."""
    question = _question(options)
    if question is not None:
        read = _read(options, question)
        return [f"{said} changes nothing with {flag(question)}." for n, said in given.items() if n not in read]
    found = []
    for name, said in given.items():
        option = BY_FIELD.get(name)
        if option is not None and options.mode not in option.modes and name != "past_length":  # it is refused
            modes = " and ".join(f"--mode {mode}" for mode in option.modes)
            found.append(f"{said} changes nothing in --mode {options.mode}; it is of {modes}.")
    found += [f"{given[name]} changes nothing but {why}." for name, why in _elsewhere(options) if name in given]
    if "engine" in given and options.device is None:
        where = ", ".join(map(flag, QUESTIONS))
        found.append(f"{given['engine']} changes nothing here; it is of --device, {where}.")
    return found


def unlike(given: Mapping[str, str], models: Sequence[Model]) -> list[str]:
    """A sentence for each option that was given and is of models of another kind than all of these."""
    kinds = {"mixture": "with experts", "encoder": "with an encoder before their decoder"}
    has = {"mixture": [m.experts is not None for m in models], "encoder": [m.encoder is not None for m in models]}
    chosen = [(said, BY_FIELD[name].of) for name, said in given.items() if name in BY_FIELD]
    return [
        f"{said} changes nothing here; it is of models {kinds[of]}." for said, of in chosen if of and not any(has[of])
    ]


def _elsewhere(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Options that change nothing here, with where they do."""
    engines = options.table == "engines" or options.format == "json"
    found = [] if engines else [(name, "--table engines, --json and questions about devices") for name in OF_TABLES]
    if options.mode != "pretraining":
        found.append(("micro_batches", "--mode train"))
    elif options.method in (None, "full"):
        found += [(name, "--method lora and qlora") for name in ("rank", "targets", "adapter_bytes")]
    if options.method != "qlora":
        found.append(("base_format", "--method qlora"))
    return found


def _unread(name: str, said: str, options: argparse.Namespace, question: str) -> str:
    """The sentence about an option that a question does not read."""
    training = options.mode == "pretraining"
    others = [flag(q) for q, names in READ.items() if name in names]
    hint = "" if training else INSTEAD.get(name, {}).get(question, "")
    asks = f"{flag(question)} with --mode train" if training else flag(question)
    if not hint and name == "tokens":
        hint = "it is read with --solve and --mode train"
    if not hint and name in OWN and others:
        return f"{said} is read with {', '.join(others)}, not with {asks}."
    return f"{said} is not read with {asks}{'; ' if hint else ''}{hint}."


def _read_alone(given: Mapping[str, str]) -> None:
    """
    Raises:
        WorkloadError: an option that only questions read was given without one, or one of devices where none is shown.
    """
    for name in given:
        if name in OWN and name not in OF_TABLES:
            where = ", ".join(flag(q) for q, names in READ.items() if name in names) or "--solve"
            raise WorkloadError(f"{given[name]} is read with {where}{ALONE.get(name, '')}.")
    views = [given[name] for name in VIEWS if name in given]
    placed = [given[name] for name in PLACED if name in given]
    if views and placed:
        raise WorkloadError(f"{placed[0]} is not read with {views[0]}; leave one of them out.")


def flag(name: str) -> str:
    """The flag of a question."""
    return f"--{name.replace('_', '-')}"
