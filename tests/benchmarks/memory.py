"""What the server holds after many models and after visitors who mean harm: each visit is a session of its own that
opens a page with a config in its link, on every page in turn.

    python tests/benchmarks/memory.py                  500 models, then 100 hostile visits

Prints the memory of the process after every hundred visits.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import random
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).parent))

from load import PAGES, ROOT, Visitor, held_bytes, server

Visit = tuple[str, str]  # the page, and what stands behind the ? of its link


def packed(config: dict[str, Any]) -> str:
    compact = json.dumps(config, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(zlib.compress(compact, 9)).decode().rstrip("=")


def visits(configs: Iterator[dict[str, Any]], **link: str) -> Iterator[Visit]:
    for i, config in enumerate(configs):
        page = PAGES[i % len(PAGES)]
        fields = {"source": "file", "config": packed(config), **link}
        yield ("" if page == "overview" else page), urlencode(fields)


def models(count: int) -> Iterator[dict[str, Any]]:
    """Mixtures and dense models, no two alike."""
    for i in range(count):
        config = {"model_type": "llama", "hidden_size": 4096 + 128 * i, "num_hidden_layers": 32 + i % 40}
        config |= {"num_attention_heads": 32 + i, "num_key_value_heads": 32 + i, "head_dim": 128}
        yield config if i % 2 else config | {"model_type": "qwen3_moe", "num_experts": 64 + i, "num_experts_per_tok": 8}


def hostile(count: int) -> Iterator[dict[str, Any]]:
    """As many layers as are built that all differ, which every cache would keep; experts; and what is refused."""
    rng = random.Random(1)
    for i in range(count):
        layers = 84  # of 35 operations each
        deep = {"model_type": "gemma3n_text", "num_hidden_layers": layers, "hidden_size": 1024 + 64 * i}
        deep["intermediate_size"] = [4096 + 64 * k for k in range(layers)]
        deep |= {"num_kv_shared_layers": 0, "activation_sparsity_pattern": None}
        deep["layer_types"] = ["sliding_attention", "full_attention"] * (layers // 2)
        wide = {"model_type": "llama", "num_hidden_layers": 1999, "hidden_size": 64 * (i + 1), "id2label": {}}
        wide["id2label"] = {str(k): f"{rng.random()}" for k in range(300)}
        mixed = {"model_type": "deepseek_v3", "num_hidden_layers": 1900, "n_routed_experts": 8192 + i}
        endless = {"model_type": "llama", "num_hidden_layers": 10**9 + i}
        yield (deep, deep, wide, mixed, endless)[i % 5]


async def visited(address: str, found: Iterator[Visit], pid: int) -> None:
    start = time.monotonic()
    for i, (page, query) in enumerate(found, 1):
        with contextlib.suppress(RuntimeError):  # an error on the page is an answer
            await Visitor(address, page, query, random.Random(i)).visit(0)
        if i % 100 == 0:
            each = (time.monotonic() - start) / i
            print(f"{i:9,}  {held_bytes(pid) / 2**20:9.0f} MiB  {each * 1000:6.0f} ms a visit", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--hostile", type=int, default=100)
    options = parser.parse_args()
    with server(ROOT / "app.py") as (address, pid):
        print("visits of models that all differ", flush=True)
        asyncio.run(visited(address, visits(models(options.models)), pid))
        print("hostile visits", flush=True)
        asyncio.run(visited(address, visits(hostile(options.hostile)), pid))


if __name__ == "__main__":
    main()
