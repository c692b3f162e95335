"""What inference engines reserve for the caches of a workload, beside the minimum that the architecture needs.

An engine hands out its cache in pages, pads layers of different kinds to pages of one size, keeps a window's tokens
until a whole page of them is past, and some keep more than the arithmetic reads. Each rule below is the engine's own,
with the file it was read from; nothing is fitted. Device memory that is not cache (workspaces, graphs) is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from calculator.errors import WorkloadError
from calculator.model import Model
from calculator.numbers.symbolic import Number
from calculator.passes.forward import operations, resolved_length
from calculator.record.caches import Kept
from calculator.record.operation import Operation
from calculator.record.workload import Workload

LATENT_PAGE = 64  # tokens: what FlashMLA's kernels read at once, vllm/v1/attention/backends/mla/flashmla.py
PAGE = 16  # tokens, vllm/config/cache.py
BATCHED_TOKENS = (
    8192  # --max-num-batched-tokens of vLLM's server on devices of 70 GiB and more, vllm/engine/arg_utils.py
)
CELLS = 256  # llama.cpp pads every cache to this many tokens, src/llama-context.cpp
MICRO_BATCH = 512  # --ubatch-size, tokens, common/common.h


@dataclass(frozen=True)
class Layers:
    """Layers that keep the same of a sequence: something for each token, or a state (all of a layer's states
    together) of so many bytes and elements."""

    kept: Kept
    count: int
    state_bytes: int = 0
    state_elements: int = 0


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


class NotModelled(Exception):
    """The engine's rule for such a cache is not known here."""


def reserved(model: Model, workload: Workload) -> list[Reserved]:
    """What the engines known here reserve for the workload's sequences.

    Raises:
        WorkloadError: the workload holds arrays, or trains, which needs no cache.
    """
    if workload.mode == "pretraining":
        raise WorkloadError("Pretraining keeps no cache, so no engine reserves one; choose prefill or decode.")
    length = resolved_length(model, workload)
    if hasattr(length, "shape") or hasattr(workload.batch_size, "shape"):
        raise WorkloadError("An engine's cache is laid out for one batch size and one length, not for arrays.")
    kinds = caches(model, workload)
    found = []
    for key, engine in ENGINES.items():
        if not any(map(engine.applies, kinds)):
            continue
        try:
            size, steps = engine.rule(kinds, int(length))
        except NotModelled as reason:
            found.append(Reserved(key, engine.title, engine.source, None, (str(reason),)))
            continue
        if workload.batch_size > 1:
            steps = [*steps, f"{workload.batch_size:,} sequences × {size:,} = {size * workload.batch_size:,} bytes"]
        found.append(Reserved(key, engine.title, engine.source, size * workload.batch_size, tuple(steps)))
    return found


def caches(model: Model, workload: Workload) -> list[Layers]:
    """What the layers keep of one sequence, equal ones counted together."""
    counts: dict[Layers, int] = {}
    states: dict[str, list[Operation]] = {}
    for op in operations(model, workload):
        if op.kept is None:
            continue
        if op.kept.kind == "state":
            states.setdefault(op.layers, []).append(op)
        else:
            layers = Layers(op.kept, 0)
            counts[layers] = counts.get(layers, 0) + op.count
    for ops in states.values():
        kept = [op.kept for op in ops if op.kept is not None]
        layers = Layers(
            Kept("state"), 0, sum(int(k.elements * k.width) for k in kept), sum(int(k.elements) for k in kept)
        )
        counts[layers] = counts.get(layers, 0) + ops[0].count
    return [replace(layers, count=count) for layers, count in counts.items()]


def _up(value: float, unit: int) -> int:
    """The next whole number of units."""
    return -(-int(value) // unit)


Rule = Callable[[list[Layers], int], tuple[int, list[str]]]


# vLLM: vllm/v1/kv_cache_interface.py (pages of each kind of layer), vllm/v1/core/kv_cache_utils.py (groups of layers)


def _vllm(kinds: list[Layers], length: int) -> tuple[int, list[str]]:
    """Pages of a fixed number of tokens. Where layers differ, they are divided into groups of one number of layers that
    share pages of one size, and every group is padded to it."""
    kinds = _known(kinds)
    states = [k for k in kinds if k.kept.kind == "state"]
    tokens = [k for k in kinds if k.kept.kind != "state"]
    page = LATENT_PAGE if any(k.kept.kind == "latent" for k in tokens) else PAGE
    if not tokens:
        return sum(k.state_bytes * k.count for k in states), ["Recurrent states only, one for each sequence."]
    if not states and all(k.kept.limit is None for k in tokens):
        return _vllm_uniform(tokens, length, page)
    return _vllm_hybrid(tokens, states, length, page)


def _known(kinds: list[Layers]) -> list[Layers]:
    for layers in kinds:
        if layers.kept.kind == "compressed":
            raise NotModelled("How the compressed entries of such attention are laid out is not known here.")
    return kinds


def _vllm_uniform(kinds: list[Layers], length: int, page: int) -> tuple[int, list[str]]:
    """Every layer keeps every token: whole pages of each."""
    pages = _up(length, page)
    row = sum(k.kept.per_token * k.count for k in kinds)
    size = int(pages * page * row)
    said = f"⌈{length:,} / {page}⌉ = {pages:,} pages of {page} tokens × {int(row):,} bytes a token = {size:,} bytes"
    return size, [said]


def _vllm_hybrid(tokens: list[Layers], states: list[Layers], length: int, page: int) -> tuple[int, list[str]]:
    largest = max(k.kept.per_token for k in tokens)
    steps = []
    if states:
        # The attention's page is made large enough to hold a state, vllm/model_executor/models/config.py.
        widest = max(k.state_bytes for k in states)
        needed = PAGE * _up(widest, int(PAGE * largest))
        if needed > page:
            page = needed
            steps.append(
                f"A page of attention must hold a state of {widest:,} bytes: {page:,} tokens × {int(largest):,} bytes"
            )
    size = int(page * largest)
    blocks: list[tuple[Layers, int, str]] = []
    for k in tokens:
        # Layers with fewer bytes a token get more tokens a page, so that all pages are of one size.
        wide = page * int(largest / k.kept.per_token) if largest % k.kept.per_token == 0 else page
        blocks.append((k, *_pages(k.kept, length, wide)))
    blocks += [(k, 1, "1 page for the state") for k in states]
    counts = [k.count for k, _, _ in blocks]
    group = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    steps.append(f"Layers in groups of {group}, which share pages of {size:,} bytes a layer")
    whole = 0
    for k, pages, said in blocks:
        groups = _up(k.count, group)
        whole += groups * pages
        padded = groups * group - k.count
        steps.append(
            f"{k.count} layers ({k.kept.kind}) are {groups} group{'s' if groups > 1 else ''}"
            + (f" with {padded} layers of padding" if padded else "")
            + f": {said}"
        )
    steps.append(f"{whole:,} pages × {group} layers × {size:,} bytes = {whole * group * size:,} bytes")
    return whole * group * size, steps


def _pages(kept: Kept, length: int, page: int) -> tuple[int, str]:
    """Pages that a group holds of one sequence, at the most."""
    if kept.kind == "encoder keys and values":
        pages = _up(int(kept.limit or 0), page)
        return pages, f"⌈{int(kept.limit or 0):,} / {page}⌉ = {pages:,} pages for the encoder's tokens"
    if kept.limit is None:
        pages = _up(length, page)
        return pages, f"⌈{length:,} / {page}⌉ = {pages:,} pages"
    window = int(kept.limit)
    if kept.chunked:
        pages = _up(min(window + BATCHED_TOKENS, length), page)
        return pages, (
            f"⌈min({window:,} + {BATCHED_TOKENS:,}, {length:,}) / {page}⌉ = {pages:,} pages: the chunk and the tokens "
            "of one scheduler step"
        )
    held = min(window - 1 + BATCHED_TOKENS, length)
    # One more, because the window rarely starts where a page does.
    pages = _up(held, page) + 1
    return pages, (
        f"⌈min({window:,} − 1 + {BATCHED_TOKENS:,}, {length:,}) / {page}⌉ + 1 = {pages:,} pages: the window and the "
        "tokens of one scheduler step"
    )


def _vllm_full_pages(kinds: list[Layers], length: int) -> tuple[int, list[str]]:
    """Without the hybrid manager a window's layers hold every token, as layers with full attention do."""
    kinds = _known(kinds)
    if any(k.kept.kind == "state" for k in kinds):
        raise NotModelled("vLLM cannot turn its hybrid cache manager off for models with recurrent states.")
    page = LATENT_PAGE if any(k.kept.kind == "latent" for k in kinds) else PAGE
    across = [k for k in kinds if k.kept.kind == "encoder keys and values"]
    own = [k for k in kinds if k not in across]
    size, steps = _vllm_uniform(own, length, page) if own else (0, [])
    for k in across:
        pages, said = _pages(k.kept, length, page)
        size += int(pages * page * k.kept.per_token * k.count)
        steps.append(said)
    return size, steps


# llama.cpp: src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp, llama-context.cpp

Latent = Callable[[Kept], tuple[Number, str]]


def _llama_cpp(latent: Latent) -> Rule:
    """Cells for the whole context, padded to 256; windows get their own cache, and states are kept in 32 bit. `latent`
    says how many bytes a token of a latent cache takes."""

    def rule(kinds: list[Layers], length: int) -> tuple[int, list[str]]:
        size, steps = 0, []
        cells = _up(length, CELLS) * CELLS
        for k in kinds:
            kept = k.kept
            if kept.kind == "state":
                each = 4 * k.state_elements
                size += each * k.count
                steps.append(f"{k.count} layers: a state of {k.state_elements:,} elements in 32 bit, {each:,} bytes")
                continue
            if kept.kind not in ("keys and values", "latent"):
                raise NotModelled(f"How llama.cpp keeps {kept.kind} is not known here.")
            held, said = cells, f"{length:,} tokens padded to {cells:,} cells"
            if kept.limit is not None:
                held = _up(min(cells, int(kept.limit) + MICRO_BATCH), CELLS) * CELLS
                said = f"min({cells:,}, {int(kept.limit):,} + {MICRO_BATCH}) padded to {held:,} cells"
            row, words = latent(kept) if kept.kind == "latent" else (kept.per_token, "")
            size += int(held * row * k.count)
            steps.append(f"{k.count} layers: {said} × {int(row):,} bytes a token{words}")
        steps.append(f"Together {size:,} bytes")
        return size, steps

    return rule


def _latent_once(kept: Kept) -> tuple[Number, str]:
    return kept.per_token, ", the latent once"


def _latent_twice(kept: Kept) -> tuple[Number, str]:
    return kept.per_token * (kept.elements + kept.values) // kept.elements, ", the latent as keys and again as values"


def _latent_expanded(kept: Kept) -> tuple[Number, str]:
    return kept.per_token * kept.expanded // kept.elements, ", every head's keys and values"


@dataclass(frozen=True)
class Engine:
    """An engine: what a person calls it, where the rule was read, the rule for one sequence, and the caches for which
    it has something of its own to say."""

    title: str
    source: str
    rule: Rule
    applies: Callable[[Layers], bool] = lambda layers: True


def _is_latent(layers: Layers) -> bool:
    return layers.kept.kind == "latent"


def _is_window(layers: Layers) -> bool:
    return layers.kept.kind == "keys and values" and layers.kept.limit is not None


ENGINES: Mapping[str, Engine] = {
    "vllm": Engine("vLLM", "vllm/v1/core/kv_cache_utils.py and vllm/v1/kv_cache_interface.py, v0.15", _vllm),
    "vllm-full-pages": Engine(
        "vLLM --disable-hybrid-kv-cache-manager",
        "vllm/v1/core/kv_cache_utils.py, unify_hybrid_kv_cache_specs",
        _vllm_full_pages,
        _is_window,
    ),
    "llama.cpp": Engine(
        "llama.cpp",
        "ggml-org/llama.cpp src/llama-kv-cache.cpp and llama-kv-cache-iswa.cpp; a latent is kept once since #19067",
        _llama_cpp(_latent_once),
    ),
    "llama.cpp-2025": Engine(
        "llama.cpp, April 2025 to January 2026",
        "ggml-org/llama.cpp #12801: a latent is kept as keys and as values",
        _llama_cpp(_latent_twice),
        _is_latent,
    ),
    "llama.cpp-expanded": Engine(
        "llama.cpp before April 2025",
        "ggml-org/llama.cpp before #12801, which has n_embd_k_gqa 24576 and n_embd_v_gqa 16384 for DeepSeek-V3",
        _llama_cpp(_latent_expanded),
        _is_latent,
    ),
}
"""Engines by key, today's first."""
