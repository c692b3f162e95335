"""Softmax attention: full, grouped-query and multi-query, with or without a window, and the cache it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, ceil_div, half, maximum, minimum
from calculator.parts.basic import HEAD_SYMBOLS, ROTARY_FLOPS, SOFTMAX_FLOPS, Norm, Part, elementwise, project
from calculator.record.operation import Cache, Kept
from calculator.record.run import Reach, Run


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
    SYMBOLS: ClassVar[dict[str, str]] = HEAD_SYMBOLS | {
        "window": "W",
        "rotary": "d_r",
        "value_dim": "d_v",
        "output": "d_out",
        "selected": "k_i",
    }

    def write(self, run: Run) -> None:
        value_dim = self.head_dim if self.value_dim is None else self.value_dim
        queries, keys, values = self.heads * self.head_dim, self.kv_heads * self.head_dim, self.kv_heads * value_dim
        gated = queries * 2 if self.gate else queries
        if self.fused:
            project(
                run,
                self.path(self.fused),
                self.hidden,
                gated + keys + values,
                component="attention",
                bias=self.qkv_bias,
                saves_input=not self.shares_input,
            )
        else:
            apart = ((self.fused_kv, keys + values),) if self.fused_kv else ((self.key, keys), (self.value, values))
            fresh = () if self.shared_kv else apart
            for name, width in ((self.query, gated), *fresh):
                if not name:
                    continue
                project(
                    run,
                    self.path(name),
                    self.hidden,
                    width,
                    component="attention",
                    bias=self.qkv_bias if name != self.key or self.key_bias is None else self.key_bias,
                    saves_input=name == self.query and not self.shares_input,
                )
        self._normalise(run)
        if self.rotary:
            rotate(run, self.path("rotary"), (self.heads + (0 if self.shared_kv else self.kv_heads)) * self.rotary)
        attend(
            run,
            self.path("attention"),
            heads=self.heads,
            kv_heads=self.kv_heads,
            key_dim=self.head_dim,
            value_dim=value_dim,
            window=self.window,
            dropout=self.dropout,
            caches=not self.shared_kv,
            chunked=self.chunked,
            selected=self.selected,
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
            )
        if self.gate or self.gate_name:
            gate(run, self.path("gate"), outputs)
        if self.out_norm:
            Norm(self.path(self.out_norm), outputs).write(run)
        result = self.hidden if self.output is None else self.output
        project(run, self.path(self.out), outputs, result, component="attention", bias=self.out_bias, split="row")

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
    """One learned logit per head in the softmax's denominator."""
    weights = (Weight(tensor, (heads,), "vector"),)
    run.add(name, "attention", "elementwise", flops=run.tokens * heads, weights=weights, split="head")


def gate(run: Run, name: str, size: Number) -> None:
    """A sigmoid gate on `size` features of the output."""
    elements = run.tokens * size
    elementwise(run, name, "attention", elements, 5, inputs=2, split="head")


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
        split="head",
    )


def attend(
    run: Run,
    name: str,
    *,
    heads: Number,
    kv_heads: Number,
    key_dim: Number,
    value_dim: Number,
    window: Number | None = None,
    dropout: bool = False,
    cached_dim: Number | None = None,
    fresh_dim: Number | None = None,
    caches: bool = True,
    selected: Number | None = None,
    across: bool = False,
    latent: tuple[Number, Number] | None = None,
    seen: Reach | None = None,
    chunked: bool = False,
) -> None:
    """Scores, softmax and weighted sum: 2·pairs·n_h·(d_k + d_v) FLOPs, and the cache.

    Flash attention (arXiv:2205.14135) is one operation whose scores never leave the chip; eager attention writes the
    scores, then the probabilities, and reads both back.

    Args:
        cached_dim: elements cached per token where that is not keys and values of `kv_heads` heads (a latent cache).
        fresh_dim: elements of keys and values read per new token, where they are one tensor (an absorbed latent).
        caches: False where the layer reuses another layer's keys and values.
        selected: keys that an indexer picks for each query: only those are attended to and read, but all are kept
            (DeepSeek-V3.2, GLM-5).
        across: the keys and values are of the encoder's tokens.
        latent: of a latent cache, elements a token if expanded to every head, and those that serve as values.
        seen: what is attended to, where it is neither the sequence itself, a window of it, nor the encoder's tokens.
        chunked: the window is a chunk, which does not slide.
    """
    if seen is None:
        sees = window if selected is None else selected
        seen = run.reach_across() if across else run.reach(sees, window, chunked)
    doubled_pairs = run.batch * seen.doubled_pairs
    query = run.tokens * heads * key_dim * run.width
    fresh_tokens = run.batch * seen.fresh
    fresh = fresh_tokens * (kv_heads * (key_dim + value_dim) if fresh_dim is None else fresh_dim) * run.width
    output = run.tokens * heads * value_dim * run.width
    cached = kv_heads * (key_dim + value_dim) if cached_dim is None else cached_dim
    held, written = (_cached(run, n, cached) if caches else 0 for n in (seen.held, seen.written))
    kept = None
    if caches and run.caching:
        kind = "encoder keys and values" if across else "keys and values" if latent is None else "latent"
        limit, (expanded, values) = run.source if across else window, latent or (0, 0)
        per_token, elements = cached * run.cache_bits // 8, cached if latent else 0
        kept = Kept(kind, per_token, limit, elements, expanded=expanded, values=values, chunked=chunked)
    flops = doubled_pairs * heads * (key_dim + value_dim)
    if not run.eager:
        log_sum = run.batch * run.queries * heads * 4
        run.add(
            name,
            "attention",
            "attention",
            flops=flops,
            reads=query + fresh,
            rereads=_rereads(run, fresh, seen),
            writes=output,
            spilled=_flash_decode_workspace(run, heads, value_dim, seen),
            cache=Cache(held, _cached(run, seen.read, cached), written, kept),
            saved=query + fresh + log_sum,
            stream=run.stream,
            split="head",
        )
        # The softmax happens on the chip: FLOPs, but no bytes of its own.
        run.add(
            f"{name}.softmax",
            "attention",
            "elementwise",
            flops=half(SOFTMAX_FLOPS * doubled_pairs * heads),
            split="head",
        )
        return
    scores = run.batch * heads * seen.scored
    matrix = scores * run.width
    run.add(
        f"{name}.scores",
        "attention",
        "attention",
        flops=doubled_pairs * heads * key_dim,
        reads=query + fresh_tokens * kv_heads * key_dim * run.width,
        writes=matrix,
        cache=Cache(held, _cached(run, seen.read, kv_heads * key_dim), written, kept),
        saved=query + fresh_tokens * kv_heads * key_dim * run.width,
        stream=run.stream,
        split="head",
    )
    mask = scores if dropout else 0  # one byte of mask a probability, and the dropped copy
    run.add(
        f"{name}.softmax",
        "attention",
        "elementwise",
        flops=half(SOFTMAX_FLOPS * doubled_pairs * heads),
        reads=matrix,
        writes=matrix,
        saved=matrix + (mask + matrix if dropout else 0),
        stream=run.stream,
        split="head",
    )
    run.add(
        f"{name}.context",
        "attention",
        "attention",
        flops=doubled_pairs * heads * value_dim,
        reads=matrix + fresh_tokens * kv_heads * value_dim * run.width,
        writes=output,
        cache=Cache(0, _cached(run, seen.read, kv_heads * value_dim), 0),
        saved=fresh_tokens * kv_heads * value_dim * run.width,
        stream=run.stream,
        split="head",
    )


def _cached(run: Run, tokens: Number, per_token: Number) -> Number:
    """Bytes of so many tokens of each sequence in a cache of `per_token` elements a token."""
    return run.batch * tokens * per_token * run.cache_bits // 8


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
