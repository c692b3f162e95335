"""Number formats: what a tensor of a given shape costs in bytes, with its scales and zero points."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from calculator.errors import WorkloadError, nearest
from calculator.formats.ggml import QUANTIZED
from calculator.formats.mixtures import BASES
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Expression, Number, ceil_div


@dataclass(frozen=True, slots=True)
class Format:
    """A storage format. A matrix is (rows = outputs) × (columns = inputs); leading axes are separate matrices.

    One scale (and zero point, where the format has them) serves a tile of `tile_rows` × `tile_columns` elements; 0
    means the whole extent. `column_bits` is stored once per input column (GPTQ's g_idx), `tensor_bits` once per matrix.
    `arithmetic` is the format that products with it are computed in, where activations are quantized too; "" is the
    16-bit type of the model, into which such weights are expanded first.
    """

    name: str
    bits: int
    tile_rows: int = 1
    tile_columns: int = 0
    scale_bits: Number = 0
    zero_bits: int = 0
    column_bits: int = 0
    tensor_bits: int = 0
    title: str = ""
    arithmetic: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 32 or self.tile_rows < 0 or self.tile_columns < 0:
            raise ValueError(f"no format has {self.bits} bits and tiles of {self.tile_rows} × {self.tile_columns}")

    @property
    def quantized(self) -> bool:
        """Whether an element takes less than 16 bits."""
        return self.bits < 16

    def size(self, weight: Weight) -> Number:
        """Bytes of the weight, scales and zero points included."""
        if not self.quantized:
            return weight.elements() * (self.bits // 8)
        *leading, rows, columns = weight.shape
        matrices = math.prod(leading) * weight.copies
        tiles = (ceil_div(rows, self.tile_rows) if self.tile_rows else 1) * (
            ceil_div(columns, self.tile_columns) if self.tile_columns else 1
        )
        bits = rows * columns * self.bits + tiles * (self.scale_bits + self.zero_bits)
        return matrices * _bytes(bits + columns * self.column_bits + self.tensor_bits)

    def bits_per_weight(self, rows: int = 4096, columns: int = 4096) -> float:
        """Average bits an element costs in a matrix of the given size."""
        return float(self.size(Weight("", (rows, columns), "linear"))) * 8 / (rows * columns)


@dataclass(frozen=True, slots=True)
class Exact(Format):
    """How one tensor (or the tensors of all experts) is stored, when its bytes are known rather than computed."""

    nbytes: int = 0

    def size(self, weight: Weight) -> Number:
        """The bytes that were measured, whatever the weight."""
        return self.nbytes


@dataclass(frozen=True, slots=True)
class Mixed(Format):
    """Experts of one tensor in several formats: so many of them in each."""

    parts: tuple[tuple[Format, int], ...] = ()

    @classmethod
    def of(cls, forms: Mapping[Format, int]) -> Format:
        """The formats of so many experts each; where it is one, that."""
        parts = tuple(sorted(forms.items(), key=lambda part: (part[0].bits, part[0].name)))
        name = " and ".join(dict.fromkeys(form.name for form, _ in parts))
        return parts[0][0] if len(parts) == 1 else cls(name, parts[0][0].bits, parts=parts)

    def size(self, weight: Weight) -> Number:
        """Bytes of the weight, each of its parts in its own format."""
        return sum(form.size(weight.some(count)) for form, count in self.parts)


def _bytes(bits: Number) -> Number:
    if isinstance(bits, Expression):
        return ceil_div(bits, 8) if bits.value() % 8 else bits // 8
    return math.ceil(Fraction(bits) / 8)


@dataclass(frozen=True, slots=True)
class Blocks(Format):
    """A GGUF type. Rows that are no whole blocks are stored as llama.cpp stores them: in `otherwise`, or in 16 bit."""

    otherwise: Format | None = None

    def size(self, weight: Weight) -> Number:
        """Bytes of the weight in whole blocks, with their scales."""
        columns = weight.shape[-1]
        if isinstance(columns, Expression) or columns % self.tile_columns == 0:
            return Format.size(self, weight)
        return (self.otherwise or FORMATS["fp16"]).size(weight)


FORMATS = {
    f.name: f
    for f in (
        Format("fp32", 32, title="32-bit float"),
        Format("fp16", 16, title="16-bit float"),
        Format("bf16", 16, title="bfloat16"),
        Format("fp8", 8, tile_rows=0, scale_bits=32, title="8-bit float, one 32-bit scale a matrix", arithmetic="fp8"),
        Format("int8", 8, scale_bits=16, title="8-bit integer, one 16-bit scale a row (W8A8)", arithmetic="int8"),
        Format(
            "int4", 4, tile_columns=128, scale_bits=16, zero_bits=4, title="4-bit integer, groups of 128 (AWQ, GPTQ)"
        ),
        Format("mxfp4", 4, tile_columns=32, scale_bits=8, title="4-bit float, blocks of 32, 8-bit scale (OCP MX)"),
        Format(
            "nvfp4",
            4,
            tile_columns=16,
            scale_bits=8,
            tensor_bits=32,
            title="4-bit float, blocks of 16, FP8 scale",
            arithmetic="nvfp4",
        ),
        Format(
            "nf4",
            4,
            tile_rows=1,
            tile_columns=64,
            scale_bits=Fraction(8 * 256 + 32, 256),
            title="4-bit NormalFloat, blocks of 64, double-quantized scales (QLoRA)",
        ),
    )
}
"""The formats a user can ask for by name. Sources: AWQ arXiv:2306.00978, OCP Microscaling v1.0, NVFP4 (NVIDIA
TensorRT-LLM), NF4 with double quantization arXiv:2305.14314 (8-bit scale per 64 weights,
32-bit scale per 256 of those)."""

FALLBACKS = {"q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
FALLBACKS |= dict.fromkeys(("q2_k", "q3_k", "tq1_0", "tq2_0", "q2_0"), "q4_0")
"""What llama.cpp stores rows in that are no whole blocks of 256 (src/llama-quant.cpp); IQ4_NL for the other types."""


def _ggml_formats() -> dict[str, Blocks]:
    found: dict[str, Blocks] = {}
    for name, t in sorted(QUANTIZED.items(), key=lambda item: item[1].block):
        if name in FORMATS or name in ("q8_1", "q8_k"):  # those two exist while a product is computed only
            continue
        bits = t.size * 8 // t.block
        other = found[FALLBACKS.get(name, "iq4_nl")] if t.block == 256 or name in FALLBACKS else None
        title = f"GGUF {t.name}, {t.bits_per_weight:g} bits a weight"
        found[name] = Blocks(
            name, bits, tile_columns=t.block, scale_bits=t.size * 8 - bits * t.block, title=title, otherwise=other
        )
    return dict(sorted(found.items()))


GGML_FORMATS = _ggml_formats()
"""GGUF types by name. As llama.cpp writes them, the embedding is converted too, and vectors and routers are in 32 bit
(docs/METHODS.md)."""


def _mixtures() -> dict[str, Format]:
    found: dict[str, Format] = {}
    for name, base in BASES.items():
        form = GGML_FORMATS.get(base) or FORMATS[base]
        found[name] = replace(form, name=name, title=f"GGUF mixture {name.upper()}, derived by llama.cpp's recipe")
    return found


MIXTURES = _mixtures()
"""GGUF files by the name of their mixture, as formats: those of the tensors that no rule of the recipe is about."""


def ggml_head(form: Format) -> Format:
    """What llama.cpp stores the head in beside matrices of that type (src/llama-quant.cpp, llama_tensor_get_type)."""
    if form.name == "q8_0":
        return form
    lowest = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs")
    return GGML_FORMATS["q5_k" if form.name in lowest else "q6_k"]


TORCH_DTYPES = {
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp32": "fp32",
    "fp16": "fp16",
    "bf16": "bf16",
}
"""What `torch_dtype` says in a config.json, by our name."""

ALIASES = {
    "float32": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "fp8",
    "e4m3": "fp8",
    "fp8_e4m3": "fp8",
    "fp8_e4m3fn": "fp8",
    "fp4": "nvfp4",
}


def normalised(name: str) -> str:
    """A precision's name as this package spells it: "torch.BFloat16" is "bf16"."""
    key = name.strip().lower().removeprefix("torch.")
    return ALIASES.get(key, key)


def format_named(name: str) -> Format:
    """The format of that name.

    Raises:
        WorkloadError: no such format.
    """
    key = normalised(name)
    found = FORMATS.get(key) or MIXTURES.get(key) or GGML_FORMATS.get(key)
    if found is None and re.match(r"ud[-_]", key):
        raise WorkloadError(
            f"{name!r} is one of Unsloth's dynamic mixtures, whose types are chosen anew for each model, so that only "
            "the file's headers tell them: load the file (org/name-GGUF:NAME), or take a mixture of llama.cpp such as "
            "q4_k_m."
        )
    if found is None and re.match(r"i?[qt]q?\d", key):
        names = [*MIXTURES, *(n for n in GGML_FORMATS if n not in MIXTURES)]
        raise WorkloadError(
            f"{name!r} is no mixture or type of llama.cpp that a precision can be; choose one of {', '.join(names)}."
            + _near(key)
        )
    if found is None:
        raise WorkloadError(
            f"Precision {name!r} is not known; choose one of auto, {', '.join(FORMATS)}, or a mixture of llama.cpp "
            f"such as q4_k_m.{_near(key)}"
        )
    return found


def _near(key: str) -> str:
    """The name that was probably meant, as a question."""
    known = [name for name in (*FORMATS, *ALIASES, *MIXTURES, *GGML_FORMATS) if len(name) > 2]
    meant = AMBIGUOUS.get(key) or nearest(key, known)
    return f" Did you mean {meant}?" if meant else ""


FOUR, EIGHT = "int4 (GPTQ, AWQ) or nf4 (bitsandbytes)", "int8 or fp8"
AMBIGUOUS = {"4bit": FOUR, "4-bit": FOUR, "load-in-4bit": FOUR, "8bit": EIGHT, "8-bit": EIGHT, "bnb": "nf4 or int8"}
"""What people call several formats, and which those are."""


def grouped(base: Format, *, columns: int, name: str | None = None, zero_bits: int | None = None) -> Format:
    """The format with another group size along the inputs; -1 and 0 mean one group a row."""
    zeros = base.zero_bits if zero_bits is None else zero_bits
    return replace(base, tile_columns=max(columns, 0), zero_bits=zeros, name=name or base.name)
