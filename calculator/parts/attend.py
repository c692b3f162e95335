"""Scores, softmax and weighted sum, the cache, and what stands around them: rotation, gates, sinks."""

from __future__ import annotations

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, ceil_div, half, maximum, minimum
from calculator.parts.base import ROTARY_FLOPS, SOFTMAX_FLOPS, elementwise
from calculator.parts.heads import Heads
from calculator.record.caches import NOTHING, Cache, EncoderKeysAndValues, KeysAndValues, Latent
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import HEAD
from calculator.record.tokens import Reach


def attend(
    run: Run,
    name: str,
    heads: Heads,
    *,
    window: Number | None = None,
    dropout: bool = False,
    caches: bool = True,
    selected: Number | None = None,
    across: bool = False,
    seen: Reach | None = None,
    chunked: bool = False,
    layout: tuple[Number, Number] = (0, 0),
    kernel: str = "",
) -> None:
    """Scores, softmax and weighted sum: 2·pairs·n_h·(d_k + d_v) FLOPs, and the cache.

    Flash attention (arXiv:2205.14135) is one operation whose scores never leave the chip; eager attention writes the
    scores, then the probabilities, and reads both back.

    Args:
        caches: False where the layer reuses another layer's keys and values.
        selected: keys that an indexer picks for each query: only those are attended to and read, but all are kept
            (DeepSeek-V3.2, GLM-5).
        across: the keys and values are of the encoder's tokens.
        seen: what is attended to, where it is neither the sequence itself, a window of it, nor the encoder's tokens.
        chunked: the window is a chunk, which does not slide.
        layout: elements a token that modules apart keep beside the values, and beside the output.
        kernel: the kernel of flash attention, where it is not the usual one.
    """
    if seen is None:
        sees = window if selected is None else selected
        seen = run.reach_across() if across else run.reach(sees, window, chunked)
    limit = run.source if across else window
    cache = _cache(run, heads, seen, limit, across, chunked) if caches else NOTHING
    if run.eager:
        _eager(run, name, heads, seen, cache, dropout)
    else:
        _flash(run, name, heads, seen, cache, layout, kernel)


def _cache(run: Run, heads: Heads, seen: Reach, limit: Number | None, across: bool, chunked: bool) -> Cache:
    """What is held and written, and what a layer keeps of a sequence."""
    held, written = (_cached(run, n, heads) for n in (seen.held, seen.written))
    if not run.caching:
        return Cache(held, 0, written)
    per_token = heads.cached_bytes(run.cache_format)
    if heads.latent is not None:
        expanded, values = heads.latent
        return Cache(held, 0, written, Latent(per_token, limit, heads.cached, expanded, values))
    kept = EncoderKeysAndValues(per_token, limit) if across else KeysAndValues(per_token, limit, chunked)
    return Cache(held, 0, written, kept)


def _flash(
    run: Run, name: str, heads: Heads, seen: Reach, cache: Cache, layout: tuple[Number, Number], kernel: str
) -> None:
    doubled_pairs = run.batch * seen.doubled_pairs
    queries = run.tokens * heads.heads * heads.key_dim
    fresh = run.batch * seen.fresh * heads.fresh
    split = heads.split if name not in run.steps_made else HEAD
    run.add(
        name,
        "attention",
        "attention",
        flops=doubled_pairs * heads.heads * (heads.key_dim + heads.value_dim),
        reads=(queries + fresh) * run.width,
        rereads=_rereads(run, fresh * run.width, seen),
        writes=run.tokens * heads.heads * heads.value_dim * run.width,
        spilled=_flash_decode_workspace(run, heads.heads, heads.value_dim, seen),
        cache=cache._replace(read=_cached(run, seen.read, heads)),
        saved=_flash_keeps(run, name, queries, fresh, heads.heads, layout) if run.saving else 0,
        split=split,
        kernel=kernel,
    )
    # The softmax happens on the chip: FLOPs, but no bytes of its own.
    run.add(
        f"{name}.softmax",
        "attention",
        "elementwise",
        flops=half(SOFTMAX_FLOPS * doubled_pairs * heads.heads),
        stream=0,
        split=split,
        launches=0,
    )


def _flash_keeps(
    run: Run, name: str, queries: Number, fresh: Number, heads: Number, layout: tuple[Number, Number]
) -> tuple[Saved, ...]:
    """Queries, keys and values, and the logarithm of each row's sum in 32 bit; the output is kept by what reads it."""
    log_sum = run.batch * run.queries * heads * 4
    sizes = (queries * run.width,) * 3 + (queries * 2,), (fresh * run.width,) * 3 + (fresh * 2,)
    return (
        Saved(f"{name}.queries", *sizes[0], need="input", region="tensor"),
        Saved(f"{name}.keys and values", *sizes[1], need="input", region="tensor"),
        Saved(
            f"{name}.logarithms",
            log_sum,
            log_sum,
            log_sum,
            log_sum,
            need="input",
            region="tensor",
            producer="attention",
        ),
        *_lying(run, name, layout),
    )


def _lying(run: Run, name: str, layout: tuple[Number, Number]) -> tuple[Saved, ...]:
    """What modules apart keep because of how tensors lie in memory."""
    values, output = (run.tokens * n for n in layout)
    found = []
    if values:
        kept = (0, 0, values * run.width, 2 * values)
        found.append(Saved(f"{name}.beside the values", *kept, need="input", region="tensor", producer="matmul"))
    if output:
        found.append(
            Saved(
                f"{name}.output",
                0,
                0,
                output * run.width,
                2 * output,
                need="input",
                region="tensor",
                producer="attention",
            )
        )
    return tuple(found)


def _eager(run: Run, name: str, heads: Heads, seen: Reach, cache: Cache, dropout: bool) -> None:
    doubled_pairs = run.batch * seen.doubled_pairs
    queries = run.tokens * heads.heads * heads.key_dim * run.width
    keys = run.batch * seen.fresh * heads.kv_heads * heads.key_dim * run.width
    values = run.batch * seen.fresh * heads.kv_heads * heads.value_dim * run.width
    scores = run.batch * heads.heads * seen.scored
    matrix = scores * run.width
    read = run.batch * seen.read * heads.key_bytes(run.cache_format)
    split = heads.split if f"{name}.scores" not in run.steps_made else HEAD
    run.add(
        f"{name}.scores",
        "attention",
        "attention",
        flops=doubled_pairs * heads.heads * heads.key_dim,
        reads=queries + keys,
        writes=matrix,
        cache=cache._replace(read=read),
        saved=_repeated(run, f"{name}.queries and keys", queries, keys, heads) if run.saving else 0,
        split=split,
    )
    run.add(
        f"{name}.softmax",
        "attention",
        "elementwise",
        flops=half(SOFTMAX_FLOPS * doubled_pairs * heads.heads),
        reads=matrix,
        writes=matrix,
        saved=_softmax_keeps(run, name, scores, matrix, dropout) if run.saving else 0,
        split=split,
    )
    run.add(
        f"{name}.context",
        "attention",
        "attention",
        flops=doubled_pairs * heads.heads * heads.value_dim,
        reads=matrix + values,
        writes=run.tokens * heads.heads * heads.value_dim * run.width,
        cache=Cache(0, run.batch * seen.read * heads.value_bytes(run.cache_format), 0),
        saved=_repeated(run, f"{name}.values", 0, values, heads) if run.saving else 0,
        split=split,
    )


def _repeated(run: Run, name: str, once: Number, shared: Number, heads: Heads) -> tuple[Saved, ...]:
    """Queries, and keys or values, which modules apart repeat for every query head."""
    each = once + shared * heads.heads // heads.kv_heads
    both = once + shared
    return (Saved(name, both, both, each, each * 2 // run.width, need="input", region="tensor"),)


def _softmax_keeps(run: Run, name: str, scores: Number, matrix: Number, dropout: bool) -> tuple[Saved, ...]:
    """The probabilities (modules apart compute them in 32 bit and keep both), and with dropout a mask of one byte each
    and the dropped copy."""
    wide = 0 if run.modules.scores16 else 4 * scores
    capped = matrix if run.modules.capped_scores else 0
    apart = matrix + wide + capped
    found = (
        Saved(
            f"{name}.probabilities",
            matrix,
            matrix,
            apart,
            6 * scores,
            need="input",
            region="tensor",
            producer="attention",
        ),
    )
    if not dropout:
        return found
    dropped = (scores + matrix,) * 3 + (3 * scores,)
    return (*found, Saved(f"{name}.dropped", *dropped, need="input", region="tensor", producer="attention"))


def _cached(run: Run, tokens: Number, heads: Heads) -> Number:
    """Cached bytes of so many tokens of each sequence."""
    return run.batch * tokens * heads.cached_bytes(run.cache_format)


def _rereads(run: Run, fresh: Number, seen: Reach) -> Number:
    """Key and value bytes that flash attention reads beside the first time: every tile of `block` queries reads all
    keys, or under a window the block + window that its queries see, of a chunk the chunk."""
    block = run.workload.flash_block_size
    if block is None or run.decoding or not seen.fresh:
        return 0
    if seen.window is None:
        keys = seen.fresh
    else:
        keys = minimum(seen.fresh, maximum(block, seen.window) if seen.chunked else block + seen.window)
    return fresh // seen.fresh * (ceil_div(run.queries, block) * keys - seen.fresh)


def _flash_decode_workspace(run: Run, heads: Number, value_dim: Number, seen: Reach) -> Number:
    """Partial outputs with their running maximum and sum, in 32 bit, one per split of the cache (Flash-Decoding)."""
    if not (run.decoding and run.workload.flash_decode):
        return 0
    return run.batch * heads * run.splits(seen, run.workload.flash_decode_block_size) * (value_dim + 2) * 4


def rotate(run: Run, name: str, elements: Number) -> None:
    """Rotary position embedding of `elements` per token, in place (the angles' table is shared by all layers)."""
    size = run.tokens * elements
    run.add(
        name,
        "attention",
        "elementwise",
        flops=ROTARY_FLOPS * size,
        reads=size * run.width,
        writes=size * run.width,
        in_place=True,
        split=HEAD,
        stream=0,
    )


def gate(run: Run, name: str, size: Number) -> None:
    """A sigmoid gate on `size` features of the output."""
    elements = run.tokens * size
    elementwise(run, name, "attention", elements, 5, inputs=2, split=HEAD, stream=0)


def sinks(run: Run, name: str, tensor: str, heads: Number) -> None:
    """One learned logit per head in the softmax's denominator. Unfused modules keep its column of the scores and where
    the largest score of each row stands."""
    weights = (Weight(tensor, (heads,), "vector"),)
    elements = run.tokens * heads
    kept = (
        Saved(
            f"{name}.column",
            0,
            0,
            (8 + run.width) * elements,
            10 * elements,
            need="input",
            region="tensor",
            producer="attention",
        ),
    )
    run.add(
        name,
        "attention",
        "elementwise",
        flops=elements,
        weights=weights,
        split=HEAD,
        stream=0,
        saved=kept if run.saving and run.eager else 0,
        launches=0,
    )
