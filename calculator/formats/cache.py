"""What a KV cache is kept in, by the names that engines give it: the bytes of one token's keys, values or latent.

Sources: ggml-org/llama.cpp, common/arg.cpp (--cache-type-k, --cache-type-v) and ggml/src/ggml-common.h (the blocks);
vllm-project/vllm, vllm/config/cache.py (CacheDType) and vllm/v1/kv_cache_interface.py (the pages); sgl-project/sglang,
model_runner_kv_cache_mixin.py (fp4_e2m1); TensorRT-LLM, KvCacheConfig.dtype (auto, fp8, nvfp4).
"""

from __future__ import annotations

from dataclasses import dataclass

from calculator.errors import WorkloadError, choose
from calculator.formats.ggml import QUANTIZED
from calculator.limits import remembered
from calculator.numbers.symbolic import Number, ceil_div


@dataclass(frozen=True, slots=True)
class CacheType:
    """A type of cache elements: a block of `block` of them takes `size` bytes; a block of 0 is a whole head.

    Attributes:
        by_head: each head is whole blocks (vLLM); otherwise a token's heads are one row of blocks (llama.cpp).
        head_bytes: stored once a head and token, a scale.
        latent: it is a layout of DeepSeek's latent, whose rotated part stays in 16 bit.
        title: in words. engines: those that have it by this name.
    """

    name: str
    block: int
    size: int
    title: str
    engines: str
    by_head: bool = False
    head_bytes: int = 0
    latent: bool = False

    @property
    def bits(self) -> int | None:
        """Bits of an element where that is all it takes; None where blocks or heads have scales."""
        return self.size * 8 if self.block == 1 and not self.head_bytes and not self.latent else None

    def row(self, heads: Number, dim: Number) -> Number:
        """Bytes of one token's keys, or values, of `heads` heads.

        Raises:
            WorkloadError: the layout is not of keys and values.
        """
        if self.latent:
            raise WorkloadError(
                f"{self.name} is the layout of DeepSeek's latent cache (V3.2, V4, GLM-5), and this model keeps keys "
                "and values; choose fp8, or a model with such a cache."
            )
        if self.by_head:
            return heads * (ceil_div(dim, self.block) * self.size + self.head_bytes)
        return ceil_div(heads * dim, self.block) * self.size if self.block > 1 else heads * dim * self.size


@dataclass(frozen=True, slots=True)
class LatentLayout:
    """How fp8_ds_mla keeps a vector that serves as keys and values: FP8 with a scale of `scale_bytes` for every `block`
    elements, `padding` bytes, and the rotated elements in 16 bit."""

    block: int
    scale_bytes: int
    padding: int = 0

    def size(self, dim: Number, rotated: Number) -> Number:
        """Bytes of a vector of `dim` elements, `rotated` of them rotated."""
        plain = dim - rotated
        return plain + ceil_div(plain, self.block) * self.scale_bytes + self.padding + 2 * rotated


LATENT = LatentLayout(128, 4)
"""DeepSeek-V3.2 and GLM-5: 512 + 4 × 4 + 2 × 64 = 656 bytes (vllm/v1/attention/backends/mla/flashmla_sparse.py)."""

ENTRY = LatentLayout(64, 1, 1)
"""DeepSeek-V4: 448 + 7 + 1 + 2 × 64 = 584 bytes (vllm/v1/attention/backends/mla/sparse_swa.py)."""


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """The types of a cache's keys and of its values."""

    keys: CacheType
    values: CacheType

    @property
    def name(self) -> str:
        """What the format is called; keys and values apart where they differ."""
        return self.keys.name if self.keys == self.values else f"{self.keys.name}/{self.values.name}"

    @property
    def bits(self) -> int | None:
        """Bits of every element, None where they differ or have scales."""
        return self.keys.bits if self.keys.bits == self.values.bits else None

    def pair(self, heads: Number, key_dim: Number, value_dim: Number) -> Number:
        """Bytes of one token's keys and values."""
        return self.keys.row(heads, key_dim) + self.values.row(heads, value_dim)

    def vector(self, dim: Number, rotated: Number, layout: LatentLayout) -> Number:
        """Bytes of one vector that serves all heads as keys and values: what keys are kept in."""
        return layout.size(dim, rotated) if self.keys.latent else self.keys.row(1, dim)


def _blocks(*names: str) -> list[CacheType]:
    found = []
    for name in names:
        t = QUANTIZED[name]
        title = f"{t.name} of llama.cpp, {t.size} bytes per {t.block}"
        found.append(CacheType(name, t.block, t.size, title, "llama.cpp"))
    return found


CACHE_TYPES = {
    t.name: t
    for t in (
        CacheType("fp32", 1, 4, "32-bit float", "llama.cpp (f32)"),
        CacheType("fp16", 1, 2, "16-bit float", "all (f16, float16, half)"),
        CacheType("bf16", 1, 2, "bfloat16", "all (bfloat16)"),
        CacheType("fp8", 1, 1, "8-bit float, one scale a tensor", "vLLM, SGLang, TensorRT-LLM (fp8_e4m3, fp8_e5m2)"),
        CacheType("int8", 1, 1, "8-bit integer, one scale a tensor", "TensorRT-LLM"),
        CacheType("fp8_ds_mla", 1, 1, "FP8 latent with scales, rotated part in 16 bit", "vLLM, SGLang", latent=True),
        CacheType("fp8_per_token_head", 1, 1, "FP8, a 32-bit scale a head and token", "vLLM", True, 4),
        CacheType("int8_per_token_head", 1, 1, "8-bit integer, a 32-bit scale a head and token", "vLLM", True, 4),
        CacheType("nvfp4", 16, 9, "4-bit float, blocks of 16 of a head, FP8 scale", "vLLM, TensorRT-LLM", True),
        CacheType("fp4_e2m1", 16, 9, "4-bit float, blocks of 16, 8-bit scale", "SGLang"),
        CacheType("mxfp4", 32, 17, "4-bit float, blocks of 32, 8-bit scale (OCP MX)", "none yet"),
        CacheType("int4", 32, 18, "4-bit integer, blocks of 32, 16-bit scale", "as q4_0 of llama.cpp"),
        *_blocks("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"),
    )
}
"""The types by name. fp8 of vLLM is fp8_e4m3; both kinds of FP8 take a byte."""

CACHE_ALIASES = {
    "f32": "fp32",
    "float32": "fp32",
    "f16": "fp16",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "fp8_e4m3fn": "fp8",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
    "e4m3": "fp8",
    "e5m2": "fp8",
    "fp8_inc": "fp8",
    "fp4": "nvfp4",
}
"""Other names that engines and configs give these types."""


@remembered(256)
def cache_format_named(name: str) -> CacheFormat:
    """The format of that name; "q8_0/q4_0" keeps keys in the first and values in the second.

    Raises:
        WorkloadError: the cache cannot be kept in that format.
    """
    keys, parted, values = name.strip().lower().replace(",", "/").partition("/")
    first, second = _type(keys, name), _type(values if parted else keys, name)
    if first != second and (first.latent or second.latent):
        raise WorkloadError(f"{name!r}: fp8_ds_mla keeps one vector as keys and values, so it stands alone.")
    return CacheFormat(first, second)


def _type(name: str, said: str) -> CacheType:
    key = name.strip().removeprefix("torch.")
    key = CACHE_ALIASES.get(key, key)
    if key not in CACHE_TYPES:
        known = ("auto", *CACHE_TYPES, "f16", "fp8_e4m3", "fp8_e5m2")
        also = ", or two of them for keys and values, as q8_0/q4_0"
        raise WorkloadError(f"The KV cache cannot be kept in {said!r}; {choose(key, known, also)}")
    return CACHE_TYPES[key]
