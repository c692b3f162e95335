"""`--serve DEVICE` on the command line: what users of a deployment see under a traffic, and what that costs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError
from calculator.numbers import units
from calculator.recipes import layout_of

if TYPE_CHECKING:
    from calculator.hardware import Device
    from calculator.model import Model
    from calculator.parallel import Layout
    from calculator.serving.serve import Serving

POOL = ("tp", "ep", "attention_dp")
SHARES = {
    "prefix_hit": "share of the prompt that is found in the cache; default: 0",
    "acceptance": "chance that a drafted token is accepted when those before it are",
}
COUNTS = {
    "num_speculative_tokens": "tokens that --draft drafts before each verification",
    "prefill_tp": "tensor group of devices that only read prompts (disaggregated pools)",
    "prefill_ep": "expert group of these; default: 1",
    "prefill_attention_dp": "copies of the attention of these; default: 1",
    "prefill_workers": "groups of these; default: 1",
    "decode_workers": "groups of --tp devices that generate beside them; default: 1",
}
OWN = ("requests", *SHARES, *COUNTS)
"""Options that only --serve reads."""


def add_options(add: Callable[..., Any], count: Callable[[str], int], number: Callable[[str], float]) -> None:
    """The options; `count` reads whole numbers, `number` others."""
    said = (
        "what users of a deployment wait for and what it costs: --users who wait for answers, or --requests-per-second"
    )
    add("--serve", metavar="DEVICE", help=said)
    said = "with --serve: a trace, CSV with the columns prompt_length, output_length and, for the rate, arrival (s)"
    add("--requests", metavar="FILE", help=said)
    for name, words in SHARES.items():
        add(f"--{name.replace('_', '-')}", type=number, metavar="P", help=f"with --serve: {words}")
    for name, words in COUNTS.items():
        add(f"--{name.replace('_', '-')}", type=count, metavar="N", help=f"with --serve: {words}")


def served(
    options: argparse.Namespace, model: Model, device: Device, draft: Model | str | None, **more: Any
) -> Serving:
    """The answer; `more` are arguments of `serve` that other questions read, too.

    Raises:
        CalculatorError: what `serve` refuses, or a draft without its tokens and their acceptance.
    """
    from calculator.serving.serve import serve

    counts = ("devices", "prefill_workers", "decode_workers", "prefix_hit")
    given = {name: value for name in counts if (value := getattr(options, name)) is not None}
    rate = options.requests_per_second
    return serve(
        model,
        device=device,
        layout=layout if (layout := layout_of(options)).devices > 1 else None,
        concurrency=options.users if options.users or rate is not None or options.requests else 1,
        request_rate=rate,
        requests=options.requests,
        prefill_layout=_pool(options),
        speculation=_speculation(options, draft),
        **given,
        **more,
    )


def _pool(options: argparse.Namespace) -> Layout | None:
    from calculator.parallel import Layout

    sizes = {n: v for n in POOL if (v := getattr(options, f"prefill_{n}")) is not None}
    if not sizes and options.prefill_workers is None and options.decode_workers is None:
        return None
    return Layout(**sizes)


def _speculation(options: argparse.Namespace, draft: Model | str | None) -> dict[str, Any] | None:
    tokens, acceptance = options.num_speculative_tokens, options.acceptance
    if draft is None:
        for name, value in (("--num-speculative-tokens", tokens), ("--acceptance", acceptance)):
            if value is not None:
                raise WorkloadError(f"{name} is read with --draft, which says what drafts: a MODEL, or mtp.")
        return None
    if tokens is None or acceptance is None:
        raise WorkloadError(
            "A draft under --serve needs --num-speculative-tokens N and --acceptance P, which an engine prints "
            "(vLLM: mean acceptance length and draft acceptance rate)."
        )
    return {"draft": draft, "tokens": tokens, "acceptance": acceptance}


def request(options: argparse.Namespace, prompt_length: int | str, output_length: int | str) -> str:
    """What is asked of the deployment, in words."""
    if options.requests:
        return f"the requests of {options.requests}"
    prompt, answer = (f"{n:,}" if isinstance(n, int) else n for n in (prompt_length, output_length))
    hit = f", of which {options.prefix_hit:.0%} are in the cache" if options.prefix_hit else ""
    return f"prompts of {prompt} tokens{hit}, answers of {answer}"


def lines(found: Serving) -> list[str]:
    """The rows for people."""
    from calculator.serving.seconds import UNMEASURED
    from calculator.serving.shown import milliseconds

    held = [f"  {part.replace('_', ' '):<32} {units.gib(size):>20}" for part, size in found.memory.items()]
    if not found.fits:
        return [f"  what it lacks, and what makes it fit: --fits {found.device.id}", *held]
    said = []
    for row in found.rows():
        value, unit = row["value"], row["unit"]
        words = units.several(value, unit)
        words = milliseconds(value) if unit == "s" else f"${value:,.2f}" if unit == "US$" else words
        likely = "" if row["low"] is None else f"   {milliseconds(row['low'])} to {milliseconds(row['high'])}"
        bound = f", at least {milliseconds(row['lower_bound'])}" if likely else ""
        said.append(f"  {row['quantity'].replace('_', ' '):<32} {words:>20}{likely}{bound}")
    return said + ([] if found.tpot.measured else [f"  {UNMEASURED}."]) + held
