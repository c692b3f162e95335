"""What the command line answers about devices: whether it fits, what it needs, a rack, a log, and how to start it.
The options are in questions.py."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calculator import traffic
from calculator.asked import cache_types, load_all
from calculator.errors import SourceError, WorkloadError
from calculator.limits import limits
from calculator.named import any_device, named_device
from calculator.numbers.blocks import Block, Grid
from calculator.numbers.units import GIB, gib
from calculator.questions import OF_TABLES, SHARED
from calculator.recipes import divided, layout_of, recipe_of
from calculator.report import output
from calculator.report.clean import as_csv
from calculator.report.rows import stamp

if TYPE_CHECKING:
    from calculator.engines.memory.fit import Fit
    from calculator.model import Model
    from calculator.search.plan import Plan

DID_NOT_FIT = 1  # exit status of --fits


def answer(options: argparse.Namespace, models: Sequence[Model]) -> tuple[str, int]:
    """The output and the exit status.

    Raises:
        CalculatorError: several models, or an option that is not known.
    """
    if len(models) != 1:
        raise WorkloadError("--fits, --serve, --solve, --provision and --vllm-log ask about one model; name one.")
    (model,) = models
    if options.fits:
        return _fits(options, model)
    if options.serve:
        return _serve(options, model), 0
    if options.provision:
        from calculator.search.provision import provision

        plan = provision(model, options.provision, _traffic(options), **_precision(options), **_settings(options))
        words = _launched(options, _pools(plan))
        lines = [*_plan_lines(plan.to_dict()), *(line for each in words.values() for line in ("", each))]
        return _shown(options, plan, plan.to_dict() | words, lines, words), 0
    if options.solve:
        return (_solve_training if options.mode == "pretraining" else _solve)(options, model), 0
    return _log(options, model), 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    names = {**{name: name for name in SHARED}, **OF_TABLES}
    return {name: value for said, name in names.items() if (value := getattr(options, said)) is not None}


def _precision(options: argparse.Namespace) -> dict[str, Any]:
    return {"engine": options.engine, "dtype": options.dtype, "kv_dtype": options.kv_dtype, **cache_types(options)}


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


def _serve(options: argparse.Namespace, model: Model) -> str:
    draft = None
    if options.draft:
        draft = options.draft if options.draft == "mtp" else load_all([options.draft], None, options.token)[0]
    lengths = {"prompt_length": options.prompt_length or 4096, "output_length": options.output_length or 1024}
    found = traffic.served(
        options, model, named_device(options.serve), draft, **lengths, **_precision(options), **_settings(options)
    )
    asked = traffic.request(options, **lengths)
    lines = [*traffic.lines(found), f"  {'asked':<32} {asked}"]
    return _shown(options, found, found.to_dict() | {"request": asked}, lines)


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
    return _shown(options, found, found.to_dict() | words, lines, words), 0 if found.fits else DID_NOT_FIT


def _solve(options: argparse.Namespace, model: Model) -> str:
    from calculator.search.solve import GOALS, solve

    if options.solve == "fastest" and options.solve not in GOALS:
        raise WorkloadError("The goal fastest is of training; give --mode train with it.")
    if options.device is None and options.solve in GOALS and options.solve != "cheapest":
        raise WorkloadError(
            f"--solve {options.solve} needs --device NAME; only the goal cheapest chooses one from the catalogue."
        )
    asked = _traffic(options)
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
    lines = output.as_blocks(found.blocks()[1:], "text").splitlines() if found.candidates else []
    return _shown(options, found, found.to_dict(), lines)


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
    return _shown(options, found, found.to_dict(), lines)


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
    found = reading.predicted(model, any_device(options.device), **_settings(options), **_of_the_log(options))
    rows = reading.rows(found)
    cells = [(r["figure"], f"{r['printed']:,.6g}", _or_dash(r["predicted"]), _percent(r["error"])) for r in rows]
    table = Grid("The log beside the prediction", ("Figure", "Printed", "Predicted", "Error"), cells)
    lines = output.as_blocks([table], "text").splitlines()
    return _shown(options, found, {"figures": rows, "fit": found.to_dict()}, lines, rows=rows, blocks=[table])


def _of_the_log(options: argparse.Namespace) -> dict[str, Any]:
    """What a log may leave out."""
    found = {"layout": layout_of(options)} if divided(options) else {}
    return found | ({"max_model_len": options.max_model_len} if options.max_model_len is not None else {})


def _text_of(name: str) -> str:
    """A log's text.

    Raises:
        SourceError: it cannot be read, or is too large; what vLLM prints while it starts is a few hundred kilobytes.
    """
    most = limits().upload_bytes
    piped = name == "-" and not Path(name).exists()
    try:
        with nullcontext(sys.stdin.buffer) if piped and sys.stdin else Path(name).open("rb") as file:
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
    found: Any,
    everything: Mapping[str, Any],
    lines: Sequence[str],
    commands: Mapping[str, str] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
    blocks: Sequence[Block] = (),
) -> str:
    """An answer in the format that was asked for.

    Args:
        found: what `calculator` answered. everything: for JSON. lines: under the verdict, for people. commands: what
            starts an engine. rows, blocks: for CSV and Markdown, where they are not the answer's own.
    """
    if options.format == "json":
        return json.dumps({**stamp(), **everything}, indent=2) + "\n"
    if options.format == "csv":
        return as_csv(found.rows() if rows is None else rows)
    if options.format == "markdown":
        said = "".join(f"\n```\n{command.strip()}\n```\n" for command in (commands or {}).values())
        return output.as_blocks([*(found.blocks() if rows is None else []), *blocks], "markdown") + said
    verdict = getattr(found, "verdict", None) or found.summary()
    return "\n".join([verdict, *lines]) + "\n"
