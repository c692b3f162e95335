"""Links of every page, with any value in every field: the app draws the page, or says in words what it cannot."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from calculator.errors import RAISE, CalculatorError
from calculator.hardware import devices
from calculator.record.options import OPTIONS
from calculator.sources.catalogue import entries

from . import configs

APP = Path(__file__).parents[2] / "app.py"
PAGES = ("", "fit", "speed", "training", "compare", "scaling", "experts", "checkpoint", "methods")
FIELDS: dict[str, tuple[str, ...]] = {
    "source": ("popular", "file", "manual", "upload"),
    "device": ("my own", "none", "L4"),
    **dict.fromkeys(("own_memory", "own_bandwidth", "own_bf16", "own_fp8", "own_link"), ("0.1", "48", "1e8")),
    "devices": ("fewest", "1", "2", "8", "64", "65"),
    "engine": ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers"),
    "price": ("0", "3.5", "1e6", "$1"),
    "method": ("full", "lora", "qlora"),
    "optimizer": ("adamw", "adamw-8bit", "sgd"),
    "train_as": ("bf16", "fp8", "fp32"),
    "recompute": ("full", "none", "selective", "ops"),
    "zero": ("0", "1", "2", "3", "4"),
    "loss": ("plain", "fused", "chunked"),
    "figure": ("Memory", "Time"),
    "table": ("memory", "operations", "formats", "engines"),
    "own": ("true", "false"),
    "skew": ("0", "2", "3"),
    "repo": ("org/name", "gpt2"),
    **dict.fromkeys(("whatif_experts", "whatif_top_k", "whatif_width", "layers", "hidden"), ("2", "8", "4096")),
    **dict.fromkeys(("heads", "kv_heads", "ffn", "vocab", "experts", "top_k", "expert_ffn"), ("2", "8", "4096")),
    **{option.key: (*map(str, option.choices), "1", "4096", "max") for option in OPTIONS},
}
STRANGE: tuple[str, ...] = (
    "",
    "0",
    "-1",
    "inf",
    "nan",
    "1e400",
    "9" * 400,
    "1.5",
    "max",
    "x",
    "a" * 5000,
    "\x1b[2J",
    "é",
    "😀",
    "\0",
)
STRANGE += ("![x](http://e.example/x.png)", "=1+1", "../../etc/passwd", "http://[", "[]", "null", "true", "%00", "1,2")


def addresses(count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(page, fields of the link)."""
    rng = random.Random(seed)
    cards, names = [d.name for d in devices()], [e.id for e in entries()]
    fields = FIELDS | {"device": (*cards, "none", "h200"), "model": tuple(names), "boards": tuple(cards)}
    fields |= {"models": tuple(names), "precisions": ("auto", "fp8", "q4_k"), "kind": ("dense", "moe")}
    for config in configs.mutations(count, seed):
        link: dict[str, Any] = {}
        if rng.random() < 0.7:
            link["model"] = rng.choice(names)
        if rng.random() < 0.15:
            link |= {"source": "file", "config": _packed(config)}
        for name in rng.sample(sorted(fields), rng.randint(0, 6)):
            usual = rng.random() < 0.6
            found = [rng.choice(fields[name] if usual else STRANGE) for _ in range(1 if rng.random() < 0.9 else 3)]
            link[name] = found if name in ("models", "precisions", "boards") else found[0]
        yield rng.choice(PAGES), link


def _packed(config: dict[str, Any]) -> str:
    from pages.shared.model import packed

    try:
        return packed(config)
    except (ValueError, RecursionError):
        return "eJw"


@cache
def _quick() -> None:
    """Every AppTest looks through all installed packages for components of theirs, which takes ten times the page."""
    from streamlit.components.v2.component_manager import BidiComponentManager
    from streamlit.logger import set_log_level

    set_log_level("error")  # it warns of every run outside of a server
    BidiComponentManager.discover_and_register_components = lambda *args, **options: None  # type: ignore[method-assign]


def open_page(address: tuple[str, dict[str, Any]]) -> None:
    """The page is drawn, or an error says why not; nothing that nobody foresaw happens."""
    from streamlit.testing.v1 import AppTest

    _quick()
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ[RAISE] = "1"
    page, link = address
    at = AppTest.from_file(APP, default_timeout=60)
    at.query_params.update(link)
    if page:
        at.switch_page(f"pages/{page}.py")
    at.run()
    for found in at.exception:
        raise RuntimeError(f"{found.message} {''.join(found.stack_trace)[-300:]}")
    if at.error or at.warning or not at.title:
        words = [e.value for e in (*at.error, *at.warning, *at.info)]
        assert words, "an empty page"
        raise CalculatorError(words[0])
