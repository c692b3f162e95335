"""Softmax attention: full, grouped-query and multi-query, with or without a window, and the cache it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from calculator.formats.cache import CacheFormat, LatentLayout
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, ceil_div, half, maximum, minimum
from calculator.numbers.symbols import Symbol
from calculator.parts.basic import (
    ROTARY_FLOPS,
    SOFTMAX_FLOPS,
    Norm,
    Part,
    Pieces,
    elementwise,
    project,
)
from calculator.parts.symbols import OF_HEADS, OUTPUTS, ROTATED, SELECTED, VALUE_DIM, WINDOW
from calculator.record.caches import NOTHING, Cache, Kept
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import HEAD, ROW, Split
from calculator.record.tokens import Reach


@dataclass(frozen=True)
class Attention(Part):
    """Multi-head attention with `kv_heads` shared key and value heads (GQA, arXiv:2305.13245).

    Attributes:
        window: a query sees its own and the window − 1 tokens before it; the cache stops growing there.
        chunked: the window is a chunk that a query sees back to its start only (Llama 4).
        fused: name of one projection that holds q, k and v ("qkv_proj"), and the gate's part of q; None for three.
        qkv_bias, out_bias: which projections have biases; `key_bias` where the keys' differs (Whisper).
        head_norm: "head" scales each head's q and k by one shared RMSNorm (Qwen3), "full" normalises all heads
            together (OLMo 2), "per_head" is a LayerNorm with its own scale per head (Cohere), "layer" a LayerNorm
            shared by the heads (Phi), "plain" has no scale (Llama 4).
        value: the projection of the values; "" where they are the projected keys (Gemma 4's full-attention layers).
        value_norm: an RMSNorm without scale on the values (Gemma 3n).
        fused_kv: name of one projection that holds k and v (TeleChat).
        shared_kv: reads an earlier layer's keys and values, so projects and caches none (Gemma 3n).
        rotary: elements of each head that are rotated.
        gate: the query projection also makes a sigmoid gate for the output (Qwen3-Next).
        gate_name: a projection of its own makes the gate (Laguna), one value a head if `gate_per_head`.
        value_dim: elements of a value head where they are not `head_dim` (MiMo-V2-Flash).
        output: features of the result where they are not `hidden` (Zamba 2).
        out_norm: an RMSNorm over all heads' results together, before the output projection (BitNet).
        sinks: one learned logit per head in the softmax's denominator (gpt-oss).
        selected: tokens that an indexer picks for each query (MiniMax-M3).
        dropout: on the attention probabilities, in pretraining.
        shares_input: another part keeps the same input for the backward pass.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int | None = None
    fused: str | None = None
    fused_kv: str = ""
    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    out: str = "o_proj"
    qkv_bias: bool = False
    out_bias: bool = False
    head_norm: str | None = None
    norm_names: tuple[str, str] = ("q_norm", "k_norm")
    rotary: int = 0
    gate: bool = False
    sinks: bool = False
    dropout: bool = False
    shares_input: bool = False
    value_norm: bool = False
    shared_kv: bool = False
    sink_name: str = "sinks"
    gate_name: str = ""
    gate_per_head: bool = False
    value_dim: int | None = None
    output: int | None = None
    out_norm: str = ""
    key_bias: bool | None = None
    chunked: bool = False
    selected: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = OF_HEADS | {
        "window": WINDOW,
        "rotary": ROTATED,
        "value_dim": VALUE_DIM,
        "output": OUTPUTS,
        "selected": SELECTED,
    }

    def write(self, run: Run) -> None:
        value_dim = self.head_dim if self.value_dim is None else self.value_dim
        self._project(run, value_dim)
        self._normalise(run)
        if self.rotary:
            rotate(run, self.path("rotary"), (self.heads + (0 if self.shared_kv else self.kv_heads)) * self.rotary)
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.kv_heads, self.head_dim, value_dim),
            window=self.window,
            dropout=self.dropout,
            caches=not self.shared_kv,
            chunked=self.chunked,
            selected=self.selected,
            layout=self._layout(run, value_dim) if run.saving else (0, 0),
        )
        if self.sinks:
            sinks(run, self.path("sinks"), self.path(self.sink_name), self.heads)
        outputs = self.heads * value_dim
        if self.gate_name:
            project(
                run,
                self.path(self.gate_name),
                self.hidden,
                self.heads if self.gate_per_head else outputs,
                component="attention",
                saves_input=False,
                pieces=self.heads,
            )
        if self.gate or self.gate_name:
            gate(run, self.path("gate"), outputs)
        if self.out_norm:
            Norm(self.path(self.out_norm), outputs).write(run)
        project(
            run,
            self.path(self.out),
            outputs,
            self.hidden if self.output is None else self.output,
            component="attention",
            bias=self.out_bias,
            split=ROW,
            pieces=self.heads,
            need="weight" if run.eager or self.gate or self.gate_name or self.out_norm else "both",  # flash keeps it
        )

    def _layout(self, run: Run, value_dim: Number) -> tuple[Number, Number]:
        """Elements a token that modules apart keep because of how queries, keys and values lie in memory: a slice of a
        packed projection holds all of it; an output that lies head first is copied for what reads it."""
        rotated = bool(self.rotary)
        packed = self.heads * self.head_dim + self.kv_heads * self.head_dim if self.fused and rotated else 0
        partly = isinstance(self.rotary, int) and isinstance(self.head_dim, int) and 0 < self.rotary < self.head_dim
        return packed, self.heads * value_dim if run.modules.joined or partly else 0

    def _project(self, run: Run, value_dim: Number) -> None:
        """Queries, keys and values of the new tokens: one kernel, however many matrices."""
        queries = self.heads * self.head_dim * (2 if self.gate else 1)
        keys, values = self.kv_heads * self.head_dim, self.kv_heads * value_dim
        of_queries, of_keys, of_values = ((queries, self.heads), (keys, self.kv_heads), (values, self.kv_heads))
        parts: tuple[tuple[str, Pieces], ...]
        if self.fused:
            parts = ((self.fused, (of_queries, of_keys, of_values)),)
        elif self.shared_kv:
            parts = ((self.query, (of_queries,)),)
        elif self.fused_kv:
            parts = ((self.query, (of_queries,)), (self.fused_kv, (of_keys, of_values)))
        else:
            parts = ((self.query, (of_queries,)), (self.key, (of_keys,)), (self.value, (of_values,)))
        for name, pieces in parts:
            if not name:
                continue
            project(
                run,
                self.path(name),
                self.hidden,
                sum(features for features, _ in pieces),
                component="attention",
                bias=self.qkv_bias if name != self.key or self.key_bias is None else self.key_bias,
                saves_input=name == parts[0][0] and not self.shares_input,
                pieces=pieces,
                kernel=self.path("qkv"),
            )

    def _normalise(self, run: Run) -> None:
        if self.value_norm and not self.shared_kv:
            Norm(self.path("v_norm"), self.head_dim, groups=self.kv_heads, affine=False).write(run)
        if self.head_norm is None:
            return
        normed = zip(self.norm_names, (self.heads, self.kv_heads), strict=True)
        for name, heads in tuple(normed)[: 1 if self.shared_kv else 2]:
            if self.head_norm == "full":
                norm = Norm(self.path(name), heads * self.head_dim)
            elif self.head_norm == "per_head":
                apart = "*" in name  # one tensor for each head (StableLM 2)
                shape = (self.head_dim,) if apart else (heads, self.head_dim)
                norm = Norm(
                    self.path(name),
                    self.head_dim,
                    kind="layer",
                    groups=heads,
                    weight_shape=shape,
                    copies=heads if apart else 1,
                )
            elif self.head_norm == "layer":
                norm = Norm(self.path(name), self.head_dim, kind="layer", bias=True, groups=heads)
            else:
                norm = Norm(self.path(name), self.head_dim, groups=heads, affine=self.head_norm != "plain")
            norm.write(run)


def sinks(run: Run, name: str, tensor: str, heads: Number) -> None:
    """One learned logit per head in the softmax's denominator. Unfused modules keep its column of the scores and where
    the largest score of each row stands."""
    weights = (Weight(tensor, (heads,), "vector"),)
    elements = run.tokens * heads
    kept = (Saved(f"{name}.column", 0, 0, (8 + run.width) * elements, 10 * elements, "input", "tensor", "attention"),)
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


def gate(run: Run, name: str, size: Number) -> None:
    """A sigmoid gate on `size` features of the output."""
    elements = run.tokens * size
    elementwise(run, name, "attention", elements, 5, inputs=2, split=HEAD, stream=0)


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


class Shared(NamedTuple):
    """One vector a token that serves all heads as keys and values: how many of its elements are rotated, and how
    fp8_ds_mla keeps it."""

    rotated: Number
    layout: LatentLayout


class Heads(NamedTuple):
    """The heads of an attention.

    Attributes:
        heads, kv_heads: of queries, and of keys and values. key_dim, value_dim: elements of one.
        cached_dim: elements cached per token where that is not keys and values of `kv_heads` heads (a latent cache).
        fresh_dim: elements of keys and values read per new token, where they are one tensor (an absorbed latent).
        latent: of a latent cache, elements a token if expanded to every head, and those that serve as values.
        shared: what one cached vector is, where it serves all heads as keys and values.
    """

    heads: Number
    kv_heads: Number
    key_dim: Number
    value_dim: Number
    cached_dim: Number | None = None
    fresh_dim: Number | None = None
    latent: tuple[Number, Number] | None = None
    shared: Shared | None = None

    def cached_bytes(self, form: CacheFormat) -> Number:
        """Bytes cached per token."""
        if self.shared is not None:
            return form.vector(self.cached, self.shared.rotated, self.shared.layout)
        if form.bits is not None:
            return self.cached * form.bits // 8
        # Where they are not those of `kv_heads` heads, keys and values are half and half (differential attention).
        if self.cached_dim is not None:
            return form.pair(1, self.cached // 2, self.cached // 2)
        return form.pair(self.kv_heads, self.key_dim, self.value_dim)

    def key_bytes(self, form: CacheFormat) -> Number:
        """Cached bytes that the scores of a token read."""
        if self.shared is None or form.bits is not None:
            return form.keys.row(self.kv_heads, self.key_dim)
        return self.cached_bytes(form)

    def value_bytes(self, form: CacheFormat) -> Number:
        """Cached bytes that the weighted sum over a token's values reads."""
        if self.shared is None or form.bits is not None:
            return form.values.row(self.kv_heads, self.value_dim)
        rotated = self.shared.rotated if self.value_dim == self.cached else 0
        return form.vector(self.cached if rotated else self.cached - self.shared.rotated, rotated, self.shared.layout)

    @property
    def cached(self) -> Number:
        """Elements cached per token."""
        return self.kv_heads * (self.key_dim + self.value_dim) if self.cached_dim is None else self.cached_dim

    @property
    def fresh(self) -> Number:
        """Elements of keys and values that a new token adds."""
        return self.kv_heads * (self.key_dim + self.value_dim) if self.fresh_dim is None else self.fresh_dim

    @property
    def split(self) -> Split:
        """Query heads divide; the cache by key-value heads, a latent not at all."""
        return Split("head", ((1, self.heads),), self.kv_heads if self.latent is None else 1)


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
    """
    if seen is None:
        sees = window if selected is None else selected
        seen = run.reach_across() if across else run.reach(sees, window, chunked)
    limit = run.source if across else window
    cache = _cache(run, heads, seen, limit, across, chunked) if caches else NOTHING
    if run.eager:
        _eager(run, name, heads, seen, cache, dropout)
    else:
        _flash(run, name, heads, seen, cache, layout)


def _cache(run: Run, heads: Heads, seen: Reach, limit: Number | None, across: bool, chunked: bool) -> Cache:
    """What is held and written, and what a layer keeps of a sequence."""
    held, written = (_cached(run, n, heads) for n in (seen.held, seen.written))
    if not run.caching:
        return Cache(held, 0, written)
    per_token = heads.cached_bytes(run.cache_format)
    if heads.latent is not None:
        expanded, values = heads.latent
        kept = Kept("latent", per_token, limit, heads.cached, expanded=expanded, values=values, chunked=chunked)
    else:
        kept = Kept("encoder keys and values" if across else "keys and values", per_token, limit, chunked=chunked)
    return Cache(held, 0, written, kept)


def _flash(run: Run, name: str, heads: Heads, seen: Reach, cache: Cache, layout: tuple[Number, Number]) -> None:
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
        Saved(f"{name}.queries", *sizes[0], "input", "tensor"),
        Saved(f"{name}.keys and values", *sizes[1], "input", "tensor"),
        Saved(f"{name}.logarithms", log_sum, log_sum, log_sum, log_sum, "input", "tensor", "attention"),
        *_lying(run, name, layout),
    )


def _lying(run: Run, name: str, layout: tuple[Number, Number]) -> tuple[Saved, ...]:
    """What modules apart keep because of how tensors lie in memory."""
    values, output = (run.tokens * n for n in layout)
    found = []
    if values:
        kept = (0, 0, values * run.width, 2 * values)
        found.append(Saved(f"{name}.beside the values", *kept, "input", "tensor", "matmul"))
    if output:
        found.append(Saved(f"{name}.output", 0, 0, output * run.width, 2 * output, "input", "tensor", "attention"))
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
    return (Saved(name, both, both, each, each * 2 // run.width, "input", "tensor"),)


def _softmax_keeps(run: Run, name: str, scores: Number, matrix: Number, dropout: bool) -> tuple[Saved, ...]:
    """The probabilities (modules apart compute them in 32 bit and keep both), and with dropout a mask of one byte each
    and the dropped copy."""
    wide = 0 if run.modules.scores16 else 4 * scores
    capped = matrix if run.modules.capped_scores else 0
    apart = matrix + wide + capped
    found = (Saved(f"{name}.probabilities", matrix, matrix, apart, 6 * scores, "input", "tensor", "attention"),)
    if not dropout:
        return found
    dropped = (scores + matrix,) * 3 + (3 * scores,)
    return (*found, Saved(f"{name}.dropped", *dropped, "input", "tensor", "attention"))


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
