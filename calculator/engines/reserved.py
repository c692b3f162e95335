"""What inference engines reserve for the caches of a workload, beside the minimum that the architecture needs.

An engine hands out its cache in pages, pads layers of different kinds to pages of one size, keeps a window's tokens
until a whole page of them is past, and some keep more than the arithmetic reads. Each rule is the engine's own, in
a file for each engine, with the source it was read from; nothing is fitted. Device memory that is not cache
(workspaces, graphs) is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calculator.engines import llama_cpp, sglang, tensorrt_llm, vllm
from calculator.engines.engine import Engine, Layers, NotModelled, caches, settings_of
from calculator.errors import WorkloadError
from calculator.model import Model
from calculator.passes.forward import resolved_length
from calculator.record.workload import Workload

__all__ = ["ENGINES", "Layers", "Reserved", "caches", "reserved"]

ENGINES: Mapping[str, Engine] = {**vllm.ENGINES, **sglang.ENGINES, **tensorrt_llm.ENGINES, **llama_cpp.ENGINES}
"""Engines by key, today's first."""


@dataclass(frozen=True)
class Reserved:
    """What an engine reserves.

    Attributes:
        engine, title: its key and what a person calls it. source: where the rule was read.
        bytes: for all sequences of the workload; None where the engine's rule for such a model is not known here.
        steps: the arithmetic, a sentence a step; where bytes is None, the reason.
    """

    engine: str
    title: str
    source: str
    bytes: int | None
    steps: tuple[str, ...]


def reserved(model: Model, workload: Workload, **settings: Any) -> list[Reserved]:
    """What the engines known here reserve for the workload's sequences.

    Args:
        settings: `batched_tokens` and `block_size`, where an engine is not started with its defaults.

    Raises:
        WorkloadError: the workload holds arrays, or trains, which needs no cache; or there is no such setting.
    """
    if workload.mode == "pretraining":
        raise WorkloadError("Pretraining keeps no cache, so no engine reserves one; choose prefill or decode.")
    length = resolved_length(model, workload)
    if hasattr(length, "shape") or hasattr(workload.batch_size, "shape"):
        raise WorkloadError("An engine's cache is laid out for one batch size and one length, not for arrays.")
    kinds, chosen = caches(model, workload), settings_of(workload, **settings)
    found = []
    for key, engine in ENGINES.items():
        if not any(map(engine.applies, kinds)):
            continue
        try:
            size, steps = engine.rule(kinds, int(length), chosen)
        except NotModelled as reason:
            found.append(Reserved(key, engine.title, engine.source, None, (str(reason).rstrip("."),)))
            continue
        if workload.batch_size > 1:
            steps = [*steps, f"{workload.batch_size:,} sequences × {size:,} = {size * workload.batch_size:,} bytes"]
        found.append(Reserved(key, engine.title, engine.source, size * workload.batch_size, tuple(steps)))
    return found
