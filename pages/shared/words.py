"""Words that every page says alike: amounts, devices, engines, number formats, links to sources."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from calculator.engines.memory.fit import TITLES as ENGINES
from calculator.hardware import Device
from calculator.numbers import units as fmt
from calculator.report import clean

SOURCES = {"huggingface.co", "github.com", "arxiv.org", "raw.githubusercontent.com"}
SPELLED = {1: "one", 2: "two", 4: "four", 8: "eight"}
FORMATS = {"bfloat16": "BF16", "float16": "FP16", "float32": "FP32"}
"""Number formats by the names that configs give them."""
SHORT = re.compile(r"(?<![\w-])(bfloat16|float16|float32|bf16|fp16|fp32|fp8|int8|int4|nf4|mxfp4|nvfp4)(?![\w-])")
UNITS = re.compile(r"(?<=\d) (?=(?:[KMGTPE]iB|[mµ]?s|min|h|%)(?!\w))")
plain = clean.markdown
gib, flops, count, intensity, percent = fmt.gib, fmt.flops, fmt.count, fmt.intensity, fmt.percent
size, digits, seconds, tokens = fmt.size, fmt.digits, fmt.seconds, fmt.tokens


def unbroken(sentence: str) -> str:
    """A sentence whose amounts are not broken between number and unit."""
    return UNITS.sub("\u00a0", sentence.replace(" × ", "\u00a0×\u00a0"))


def stored(precision: str) -> str:
    """Number formats as a person writes them, in Markdown: bfloat16 and bf16 are BF16."""
    return plain(SHORT.sub(lambda m: FORMATS.get(m[0], m[0].upper()), precision))


def engine(name: str) -> str:
    """An engine as it calls itself: vllm is vLLM."""
    return ENGINES.get(name, name)


def device_name(device: Device) -> str:
    """A device without its memory and socket: H200 SXM 141GB is an H200."""
    return re.sub(r"\s+(?:\(.*|(?:SXM\d?|PCIe|NVL)\b.*|\d+(?:/\d+)?\s?GB.*)$", "", device.name)


def likely(t: Any) -> str:
    """The range of a time and its bound, in the unit of what is expected."""
    amount, _ = seconds(t.expected).rsplit(" ", 1)
    scale = float(amount.replace(",", "").lstrip("<")) / t.expected
    low, high, least = (digits(v * scale) for v in (t.low, t.high, t.lower_bound))
    return f"likely {low}–{high}{'' if t.measured else ' (unmeasured device)'}, never under {least}"


def devices(number: int, device: Device) -> str:
    """So many devices in words."""
    return f"{SPELLED.get(number, f'{number:,}')}\u00a0{plain(device_name(device))}"


def linked(text: str) -> str:
    """Text as it reads, with the addresses that bundled models name as their source as short Markdown links."""
    pieces = re.split(r"(https?://[\w.-]+/[\w./@%-]*[\w/])", text)
    return "".join(_link(p) if i % 2 and urlsplit(p).netloc in SOURCES else _between(p) for i, p in enumerate(pieces))


def _between(text: str) -> str:
    """Text between addresses, with the spaces at its ends."""
    return f"{' ' * text[:1].isspace()}{plain(text)}{' ' * text[1:][-1:].isspace()}"


def _link(address: str) -> str:
    _, _, host, *path = address.split("/")
    return f"[{host}/{'/'.join(path[:2])}]({address})"


def flops_scale(largest: float) -> tuple[float, str]:
    """A unit in which the largest amount reads well."""
    for unit, scale in (
        ("ZFLOP", 1e21),
        ("EFLOP", 1e18),
        ("PFLOP", 1e15),
        ("TFLOP", 1e12),
        ("GFLOP", 1e9),
        ("MFLOP", 1e6),
    ):
        if largest >= scale:
            return scale, unit
    return 1.0, "FLOP"
