"""What an attention is described with: how its tensors are called, which have biases, its norms, its gate, what its
queries see, and the heads that its kernels run over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from calculator.formats.cache import CacheFormat, LatentLayout
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import check_sizes
from calculator.parts.symbols import SELECTED, WINDOW
from calculator.record.split import Split


@dataclass(frozen=True)
class Names:
    """The projections of an attention as the checkpoint spells them, inside the part.

    Attributes:
        value: "" where the values are the projected keys (Gemma 4's full-attention layers).
        fused: one projection that holds q, k and v ("qkv_proj"), and the gate's part of q; None for three.
        fused_kv: one projection that holds k and v (TeleChat).
    """

    query: str = "q_proj"
    key: str = "k_proj"
    value: str = "v_proj"
    out: str = "o_proj"
    fused: str | None = None
    fused_kv: str = ""


@dataclass(frozen=True)
class Biases:
    """Which projections have biases; `key` where the keys' differs from the queries' and values' (Whisper)."""

    qkv: bool = False
    out: bool = False
    key: bool | None = None

    @property
    def of_keys(self) -> bool:
        """Whether the projection of the keys has one."""
        return self.qkv if self.key is None else self.key


@dataclass(frozen=True)
class HeadNorms:
    """The norms inside an attention.

    Attributes:
        kind: "head" scales each head's q and k by one shared RMSNorm (Qwen3), "full" normalises all heads together
            (OLMo 2), "per_head" is a LayerNorm with its own scale per head (Cohere), "layer" a LayerNorm shared by the
            heads (Phi), "plain" has no scale (Llama 4); None for no norm of q and k.
        names: of the queries' and the keys'.
        values: an RMSNorm without scale on the values (Gemma 3n).
        out: an RMSNorm over all heads' results together, before the output projection (BitNet).
    """

    kind: str | None = None
    names: tuple[str, str] = ("q_norm", "k_norm")
    values: bool = False
    out: str = ""


SEPARATE, UNBIASED, UNNORMED = Names(), Biases(), HeadNorms()
"""Three projections by the usual names, without biases, without norms."""


@dataclass(frozen=True)
class Gate:
    """A sigmoid gate on the output.

    Attributes:
        name: the projection that makes it (Laguna); "" where the query projection makes it, too (Qwen3-Next).
        per_head: that projection makes one value a head.
    """

    name: str = ""
    per_head: bool = False


@dataclass(frozen=True)
class Sees:
    """What a query sees and whose keys it reads.

    Attributes:
        window: its own and the window − 1 tokens before it; the cache stops growing there.
        chunked: the window is a chunk that a query sees back to its start only (Llama 4).
        selected: tokens that an indexer picks for each query (MiniMax-M3).
        shared: an earlier layer's keys and values, so that the part projects and caches none (Gemma 3n).
        alibi: what is further away counts less, by a bias on the scores instead of positions (arXiv:2108.12409).
    """

    window: int | None = None
    chunked: bool = False
    selected: int | None = None
    shared: bool = False
    alibi: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"window": WINDOW, "selected": SELECTED}

    def __post_init__(self) -> None:
        check_sizes(self, "of an attention")


EVERYTHING = Sees()
"""Every token of the sequence, or every token before."""


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
