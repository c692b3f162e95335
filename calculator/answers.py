"""What the command line answers about devices: whether it fits, what it needs, a rack, a log, and how to start it."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calculator import traffic
from calculator.asked import load_all
from calculator.errors import CalculatorError, DeviceError, SourceError, WorkloadError
from calculator.limits import limits
from calculator.numbers.reading import whole
from calculator.numbers.units import GB, GIB, MIB, gib
from calculator.recipes import layout_of, recipe_of
from calculator.report.clean import as_csv
from calculator.report.rows import stamp

if TYPE_CHECKING:
    from calculator.engines.memory.fit import Fit
    from calculator.hardware import Device
    from calculator.model import Model
    from calculator.search.plan import Plan

FRACTION = float
WAYS = ("command", "kubernetes", "skypilot")
ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers")
DID_NOT_FIT = 1  # exit status of --fits
SHARED = ("gpu_memory_utilization", "max_num_seqs", "mem_fraction_static", "n_gpu_layers")
OF_TABLES = {"batched_tokens": "max_num_batched_tokens", "block_size": "block_size"}  # options that --table has, too


def add_options(add: Callable[..., Any]) -> None:
    """The options of these questions; --device, --engine and the layout are declared beside the command line's own."""
    said = "whether it fits a device (h100-sxm-80gb, 80GiB ...): exits 0 if so and 1 if not"
    add("--fits", metavar="DEVICE", help=said)
    add("--provision", metavar="RACK", help="how a rack or machine serves it (gb300-nvl72, dgx-h100 ...)")
    goals = "max-batch, max-context, max-concurrency, min-devices, cheapest; with --mode train fastest, too"
    add("--solve", metavar="GOAL", help=f"the best layout of --device for a goal: {goals}")
    add("--tokens", metavar="N", help="with --solve and --mode train: tokens of the budget, such as 1T or 300B")
    add("--vllm-log", metavar="FILE", help="what a vLLM log printed about memory beside what is predicted on --device")
    said = f"with --fits and --provision: what starts the engine with these settings: {', '.join(WAYS)}"
    add("--launch", nargs="?", const="command", choices=WAYS, metavar="WAY", help=said)
    add("--devices", type=_count, metavar="N", help="with --solve: how many devices")
    add("--users", type=_count, metavar="N", help="sequences at once that have to fit; default: 1")
    add("--max-model-len", type=_count, metavar="N", help="tokens of the longest sequence; default: the model's limit")
    for name in SHARED:
        kind = FRACTION if name.endswith(("utilization", "static")) else _count
        add(f"--{name.replace('_', '-')}", type=kind, metavar="N", help="the engine's own setting")
    add("--requests-per-second", type=float, metavar="N", help="with --serve and --provision: requests that arrive")
    for name, words in (("prompt", "of a request's prompt; default: 4096"), ("output", "generated; default: 1024")):
        said = f"with --serve, --provision and --solve: tokens {words}"
        said += "; with --serve also 512-4096, exponential:1024, lognormal:1024:0.8" if name == "prompt" else ""
        add(f"--{name}-length", type=_length, metavar="N", help=said)
    add("--ttft", type=float, metavar="SECONDS", help="the first token at the latest, with --provision and --solve")
    add("--tpot", type=float, metavar="SECONDS", help="each further token at the latest")
    traffic.add_options(add, _count)


def _count(value: str) -> int:
    """A number as people write it, such as 32k."""
    try:
        return whole(value, "A number", least=0, most=10**9)
    except CalculatorError:
        raise argparse.ArgumentTypeError(f"{value[:40]!r} is no whole number such as 4096, 32k or 1e6") from None


def _length(value: str) -> int | str:
    """A number, or a distribution of them, which is read where one is allowed."""
    return value if re.match("[0-9]+ *-|[a-z]+:", value) else _count(value)


QUESTIONS = ("fits", "serve", "provision", "solve", "vllm_log")
OWN: tuple[str, ...] = (
    *("tokens", "devices", "users", "max_model_len", *SHARED, "requests_per_second"),
    *("prompt_length", "output_length", "ttft", "tpot", *traffic.OWN),
)
INSTEAD = {"max_model_len": "; the length of a workload is --seq-len", "users": "; its batch is --batch-size"}


def asked(options: argparse.Namespace) -> bool:
    """Whether one of the questions was asked.

    Raises:
        WorkloadError: several were; or an option that only they read was given without one.
    """
    found = [_flag(name) for name in QUESTIONS if getattr(options, name)]
    if len(found) > 1:
        raise WorkloadError(f"{' and '.join(found)} are questions of their own; ask one at a time.")
    if not found:
        alone = [name for name in OWN if getattr(options, name) is not None]
        alone += ["launch"] * bool(options.launch)
        if alone:
            where = "--fits, --serve, --provision, --solve or --vllm-log"
            raise WorkloadError(f"{_flag(alone[0])} is read with {where}{INSTEAD.get(alone[0], '')}.")
    return bool(found)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def answer(options: argparse.Namespace, models: Sequence[Model]) -> tuple[str, int]:
    """The output and the exit status.

    Raises:
        CalculatorError: several models, or an option that is not known.
    """
    if len(models) != 1:
        raise WorkloadError("--fits, --serve, --solve, --provision and --vllm-log ask about one model; name one.")
    (model,) = models
    _read_elsewhere(options)
    if options.fits:
        return _fits(options, model)
    if options.serve:
        return _serve(options, model), 0
    if options.provision:
        from calculator.search.provision import provision

        plan = provision(model, options.provision, _traffic(options), **_precision(options), **_settings(options))
        words = _launched(options, _pools(plan))
        lines = [*_plan_lines(plan.to_dict()), *(line for each in words.values() for line in ("", each))]
        return _shown(options, plan.to_dict() | words, plan.verdict, plan.rows(), lines), 0
    if options.solve:
        return (_solve_training if options.mode == "pretraining" else _solve)(options, model), 0
    return _log(options, model), 0


RENTED = "hf:"
"""Before the name of a machine that Hugging Face rents, for its Jobs or its Inference Endpoints."""


def named_device(said: str) -> Device:
    """A device by its name, or of a machine that Hugging Face rents ("hf:a100-large").

    Raises:
        CalculatorError: no such device.
    """
    from calculator.hardware import device
    from calculator.hardware.rented import rented_device

    return rented_device(said.removeprefix(RENTED)) if said.startswith(RENTED) else device(said)


def any_device(said: str) -> Device:
    """A device as `named_device` knows it, or one of so much memory ("80GiB", "24 GB").

    Raises:
        CalculatorError: no such device.
    """
    from calculator.hardware import Device

    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*(GiB|GB|MiB|MB|[GM]|)\s*", said, re.IGNORECASE)
    number, unit = match.groups() if match else ("", "")
    if len(unit) < 2:
        try:
            return named_device(said)  # 4090 is a card
        except DeviceError as error:
            if not number:
                raise
            told = f"A device of so much memory is written {number}GiB (2^30 bytes) or {number}GB (10^9)."
            raise DeviceError(told) from error
    units = {"gib": GIB, "gb": GB, "mib": MIB, "mb": 10**6}
    size = round(float(number) * units[unit.lower()])
    return Device(id=said.strip().lower(), name=f"a device of {said.strip()}", memory=size, bandwidth=1.0, peak={})


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = {**{name: name for name in SHARED}, **OF_TABLES}
    return {name: value for said, name in names.items() if (value := getattr(options, said)) is not None}


def _precision(options: argparse.Namespace) -> dict[str, Any]:
    return {"engine": options.engine, "dtype": str(options.dtype), "kv_dtype": str(options.kv_dtype)}


def _pools(plan: Plan) -> dict[str, tuple[Fit, str]]:
    """What a plan starts, by a name for it."""
    if plan.prefill is None or plan.decode is None:
        return {}
    if plan.together:
        return {"command": (plan.decode.fit, "")}
    return {"command_prefill": (plan.prefill.fit, "prefill"), "command_decode": (plan.decode.fit, "decode")}


def _launched(options: argparse.Namespace, started: Mapping[str, tuple[Fit, str]]) -> dict[str, str]:
    """The words that start each, in the way that was asked for; none where nobody asked."""
    from calculator.engines.memory.start import kubernetes, shell, skypilot

    if not options.launch:
        return {}
    ways: dict[str, Callable[[Fit], str]] = {"kubernetes": kubernetes, "skypilot": skypilot}
    if options.launch in ways:
        return {name: ways[options.launch](fit) for name, (fit, _) in started.items()}
    return {name: shell(fit, pool) for name, (fit, pool) in started.items()}


def _read_elsewhere(options: argparse.Namespace) -> None:
    """
    Raises:
        WorkloadError: an option of --serve stands beside another question.
    """
    alone = [] if options.serve else [name for name in traffic.OWN if getattr(options, name) is not None]
    if options.provision:
        alone = [name for name in alone if name != "prefix_hit"]
    if alone:
        raise WorkloadError(f"{_flag(alone[0])} is read with --serve.")


def _serve(options: argparse.Namespace, model: Model) -> str:
    draft = None
    if options.draft:
        draft = options.draft if options.draft == "mtp" else load_all([options.draft], None, options.token)[0]
    lengths = {"prompt_length": options.prompt_length or 4096, "output_length": options.output_length or 1024}
    found = traffic.served(
        options, model, named_device(options.serve), draft, **lengths, **_precision(options), **_settings(options)
    )
    return _shown(options, found.to_dict(), found.summary(), found.rows(), traffic.lines(found))


def _traffic(options: argparse.Namespace) -> dict[str, Any]:
    names = ("requests_per_second", "prompt_length", "output_length", "ttft", "tpot", "prefix_hit")
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _fits(options: argparse.Namespace, model: Model) -> tuple[str, int]:
    from calculator.engines.memory import fit

    found = fit(
        model,
        any_device(options.fits),
        layout=layout_of(options),
        max_model_len=options.max_model_len,
        concurrency=options.users or 1,
        **_precision(options),
        **_settings(options),
    )
    lines = [f"  {row['name']:<44} {gib(row['bytes']):>14}   {row['source']}" for row in found.rows()]
    lines += [f"  fix: {fix.short}: {fix.meaning}" for fix in found.fixes]
    lines += [f"note: {note}" for note in found.notes]
    words = _launched(options, {options.launch or "": (found, "")})
    lines += [line for each in words.values() for line in ("", each)]
    shown = found.to_dict() | words
    return _shown(options, shown, found.verdict, found.rows(), lines), 0 if found.fits else DID_NOT_FIT


def _solve(options: argparse.Namespace, model: Model) -> str:
    from calculator.search.solve import GOALS, solve

    if options.solve == "fastest" and options.solve not in GOALS:
        raise WorkloadError("The goal fastest is of training; give --mode train with it.")
    asked = _traffic(options)
    asked.pop("requests_per_second", None)
    found = solve(
        model,
        options.solve,
        any_device(options.device) if options.device else None,
        devices=options.devices,
        max_model_len=options.max_model_len,
        concurrency=options.users or 1,
        **asked,
        **_precision(options),
        **_settings(options),
    )
    counts = ("devices", "tp", "pp", "dp", "ep", "attention_dp")
    lines = [
        f"  {row['device']:<20} " + " ".join(f"{name} {row[name]}" for name in counts) + f"  {row['value']:,.6g}"
        for row in found.rows()[:12]
    ]
    return _shown(options, found.to_dict(), found.verdict, found.rows(), lines)


def _solve_training(options: argparse.Namespace, model: Model) -> str:
    from calculator.training.solve import solve_training
    from calculator.training.verdict import recipe

    found = solve_training(
        model,
        options.solve,
        any_device(options.device) if options.device else None,
        devices=options.devices,
        layout=layout if (layout := layout_of(options)).devices > 1 else None,
        batch_size=_one(options.batch_size, "--batch-size"),
        sequence_length=_one(options.sequence_length, "--seq-len") or 4096,
        tokens=_budget(options.tokens),
        **recipe_of(options),
    )
    lines = [
        f"  {_rate(row)}{gib(row['required']):>10}  {row['devices']:,} × {row['device']}: {recipe(step)}"
        for row, step in zip(found.rows()[:10], found.plans, strict=False)
    ]
    return _shown(options, found.to_dict(), found.verdict, found.rows(), lines)


def _one(value: Any, flag: str) -> Any:
    """A single number.

    Raises:
        WorkloadError: several were listed, or the model's limit was asked for.
    """
    if isinstance(value, tuple) or value == "max":
        raise WorkloadError(f"--solve of training asks about one {flag}; give a number with it.")
    return value


BUDGETS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def _rate(row: Mapping[str, Any]) -> str:
    return f"{row['tokens_per_second']:>9,.0f} tokens/s, MFU {row['mfu']:.1%}, " if row["step_seconds"] else ""


def _budget(said: str | None) -> float | None:
    """Tokens as people write them: 1T, 300B, 5e9.

    Raises:
        WorkloadError: no such number.
    """
    if said is None:
        return None
    match = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)\s*([TBMK]?)", said.strip(), re.IGNORECASE)
    try:
        found = float(match.group(1)) * BUDGETS[match.group(2).upper()] if match else 0.0
    except ValueError:
        found = 0.0
    if not 1 <= found <= 1e18:
        raise WorkloadError(f"--tokens {said[:40]!r} is no number of tokens such as 1T, 300B or 5e9.")
    return found


def _log(options: argparse.Namespace, model: Model) -> str:
    from calculator.engines.memory import read_log

    if not options.device:
        raise WorkloadError("--vllm-log needs --device: vLLM's log does not name the device it runs on.")
    reading = read_log(_text_of(options.vllm_log))
    found = reading.predicted(model, any_device(options.device), **_settings(options))
    rows = reading.rows(found)
    lines = [
        f"  {row['figure']:<44} {row['printed']:>14,.6g} {_or_dash(row['predicted']):>14} {_percent(row['error']):>9}"
        for row in rows
    ]
    head = f"  {'':<44} {'printed':>14} {'predicted':>14} {'error':>9}"
    return _shown(options, {"figures": rows, "fit": found.to_dict()}, found.verdict, rows, [head, *lines])


def _text_of(name: str) -> str:
    """A log's text.

    Raises:
        SourceError: it cannot be read, or is too large; what vLLM prints while it starts is a few hundred kilobytes.
    """
    most = limits().upload_bytes
    try:
        with Path(name).open("rb") as file:
            read = file.read(most + 1)
    except (OSError, ValueError) as reason:
        raise SourceError(f"The log {name} cannot be read: {getattr(reason, 'strerror', None) or reason}.") from None
    if len(read) > most:
        raise SourceError(
            f"The log {name} is larger than {most:,} bytes; give the part that vLLM prints while it starts."
        )
    return read.decode("utf-8", errors="replace")


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2%}"


def _plan_lines(plan: Mapping[str, Any]) -> list[str]:
    lines = []
    for row in plan["phases"]:
        lines.append(
            f"  {row['phase']:<8} {row['replicas']} × {row['devices_a_replica']} devices ({row['layout']}), batch "
            f"{row['batch']:,}: {row['tokens_per_second']:,.0f} tokens/s; {row['bottleneck_share']:.0%} of its time is "
            f"{row['bottleneck']}; weights {row['weights'] / GIB:.1f} GiB, cache {row['cache_pool'] / GIB:.1f} GiB"
        )
    for name, unit in (("ttft", "s"), ("tpot", "s"), ("cost_per_hour", "$/h"), ("cost_per_million_tokens", "$")):
        if plan[name] is not None:
            likely = plan["likely"].get(name)
            said = f" (likely {likely[0]:,.3g} to {likely[1]:,.3g})" if likely else ""
            lines.append(f"  {name.replace('_', ' '):<24} {plan[name]:,.4g} {unit}{said}")
    if plan["asked"] is not None:
        asked = plan["asked"]
        lines.append(
            f"  at {asked['requests_per_second']:,.4g} requests a second: first token {asked['ttft']:,.4g} s, then "
            f"{asked['tpot']:,.4g} s each, {asked['users']:,} users at once"
        )
    if plan["joules_per_token"] is not None:
        lines.append(f"  {'energy a token':<24} {plan['joules_per_token']:,.3g} J")
    return lines + [f"  [{'ok' if g['holds'] else 'NO'}] {g['guard']}: {g['figures']}" for g in plan["guards"]]


def _shown(
    options: argparse.Namespace,
    everything: Mapping[str, Any],
    verdict: str,
    rows: Sequence[Mapping[str, Any]],
    lines: Sequence[str],
) -> str:
    if options.format == "json":
        return json.dumps({**stamp(), **everything}, indent=2, ensure_ascii=False) + "\n"
    if options.format == "csv":
        return as_csv(rows)
    return "\n".join([verdict, *lines]) + "\n"
