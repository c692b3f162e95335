"""From tensors as they are stored to weights as they are computed with: packed numbers, scales and zero points put back
together. The header and the quantization config say all of it; no data are read.

Layouts: GPTQModel and AutoAWQ (qweight, qzeros, scales, g_idx), compressed-tensors, modelopt, bitsandbytes, MXFP4
(transformers), MLX, HQQ, Quanto, Gemma's integers and FP-Quant.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calculator.formats.quantization import Scheme, block_of, scheme_of
from calculator.sources.checkpoint.tensors import Checkpoint, StoredTensor

Shape = tuple[int, ...]

DATA = {
    ".qweight": ".weight",
    ".weight_packed": ".weight",
    ".weight._data": ".weight",
    ".W_q": ".weight",
    ".embedding_quantized": ".weight",
    "_blocks": "",
    ".blocks": "",
    "_packed": "",
}
"""How packed data are named, and the weight they hold."""

SCALES = """
    weight_scale_inv weight_scale_2 weight_scale weight_scales weight_global_scale weight_zero_point
    weight_shape weight_g_idx weight_format input_scale input_global_scale input_zero_point input_scale_ub
    activation_scale output_scale pre_quant_scale qzeros scales g_idx biases SCB scale zero weight._scale
    weight._shift weight.absmax weight.quant_map scale_inv weight.nested_absmax weight.nested_quant_map
    weight_scale_inv_2 bias_scale weight_bias meta nbits group_size shape axis channel_wise packing
    unpack_view_dtype optimize view_as_float quant_scale quant_zero offload_meta compute_dtype
    stores_quant_config encoded_state_dict round_zero zero_scale input_activation_scale output_activation_scale
    qbiases embedding_scale act_global_scale forward_hadamard_matrix backward_hadamard_matrix
"""
"""What stands beside a quantized weight, after its module's name and a dot (for packed experts an underscore)."""

_SCALE = re.compile(r"(.+?)([._])(" + "|".join(sorted(map(re.escape, SCALES.split()), key=len, reverse=True)) + r")")
_STATE = re.compile(r"(.+)\.weight\.quant_state\..+")
CACHE_SCALE = re.compile(r".*\.(?:[kvq]_scale|prob_scale|[kv]_proj\.output_scale|[kv]_zero_point)")
CONTAINERS = ("U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64")


@dataclass(frozen=True)
class Stored:
    """A weight with everything that is stored for it.

    Attributes:
        name: what it is called in a checkpoint that is not quantized.
        shape: after unpacking; of one axis where the header does not tell more (bitsandbytes' 4 bit).
        data: the tensor that holds it. scales: those beside it.
        packed: several elements share a stored number. understood: the shape is certain.
    """

    name: str
    shape: Shape
    data: StoredTensor
    scales: tuple[StoredTensor, ...] = ()
    packed: bool = False
    understood: bool = True

    @property
    def elements(self) -> int:
        """Elements of the weight."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the data and its scales."""
        return self.data.nbytes + sum(t.nbytes for t in self.scales)


def unpacked(checkpoint: Checkpoint, config: Mapping[str, Any] | None = None) -> list[Stored]:
    """The weights of a checkpoint, each with its scales and zero points. `config` is its own config where None."""
    config = config if config is not None else checkpoint.config or {}
    try:
        scheme, _ = scheme_of(config)
    except (ValueError, TypeError, AttributeError, KeyError):
        scheme = None
    names = {t.name: t for t in checkpoint.tensors}
    beside: dict[str, dict[str, StoredTensor]] = {}
    data = []
    for t in checkpoint.tensors:
        owner = owner_of(t.name, names)
        if owner is None:
            data.append(t)
        else:
            beside.setdefault(owner[0], {})[owner[1]] = t
    return [_stored(t, beside.get(t.name, {}), scheme, config) for t in data]


def owner_of(name: str, names: Mapping[str, Any]) -> tuple[str, str] | None:
    """The packed or scaled tensor that a scale belongs to, and what it is of it; None where it is a weight itself."""
    if CACHE_SCALE.fullmatch(name) and f"{name.rpartition('.')[0]}.weight._data" not in names:
        return None  # (Quanto has an output_scale beside every matrix)
    state = _STATE.fullmatch(name)
    if state is not None:
        return (f"{state[1]}.weight", "quant_state") if f"{state[1]}.weight" in names else None
    found = _SCALE.fullmatch(name)
    if found is None:
        return None
    base, joint, kind = found.groups()
    dotted = (".weight", ".qweight", ".weight_packed", ".weight._data", ".W_q", ".embedding_quantized")
    tails = (*(dotted if joint == "." else ("_blocks", "")), ".blocks", "_packed", "")
    for tail in tails:
        owner = base + tail
        if owner in names and owner != name and (tail or _is_container(names[owner])):
            return owner, kind
    return None


def _is_container(tensor: StoredTensor) -> bool:
    return tensor.dtype in CONTAINERS or tensor.dtype.startswith(("F8", "F4", "F6"))


def logical_name(name: str) -> str:
    """The name of the weight that a tensor holds."""
    for tail, weight in DATA.items():
        if name.endswith(tail):
            return name.removesuffix(tail) + weight
    return name


def _stored(
    t: StoredTensor, scales: dict[str, StoredTensor], scheme: Scheme | None, config: Mapping[str, Any]
) -> Stored:
    name = logical_name(t.name) if scales else t.name
    shape, understood = _shape(t, scales, name, scheme, config)
    packed = math.prod(shape) != t.elements or (t.name != name and t.dtype in CONTAINERS)
    return Stored(name, shape, t, tuple(scales.values()), packed, understood)


def _shape(
    t: StoredTensor, scales: Mapping[str, StoredTensor], name: str, scheme: Scheme | None, config: Mapping[str, Any]
) -> tuple[Shape, bool]:
    """The shape after unpacking, and whether it is certain."""
    if not scales and t.dtype in ("U8", "U32", "I32") and len(t.shape) > 1 and t.name.endswith(".weight"):
        return t.shape, False  # integers that nothing says how to read
    if not scales or t.dtype not in CONTAINERS:
        return t.shape, True
    if t.name.endswith(".qweight") and t.dtype != "U8":  # FP-Quant's are bytes of two, with a scale along the inputs
        return _columns_packed(t, scales)
    if "weight_scales" in scales and t.dtype == "I8":  # EETQ keeps the matrix transposed
        return tuple(reversed(t.shape)), True
    if t.name.endswith(("_blocks", ".blocks")) and t.dtype == "U8" and len(t.shape) > 2:
        return (*t.shape[:-2], t.shape[-2] * t.shape[-1] * 2), True
    if "weight.absmax" in scales and t.dtype == "U8":
        return (t.elements * 2,), True
    if "SCB" in scales:
        return t.shape, True
    bits = bits_by_scale(t, _scale_of(scales))
    if bits is None and t.dtype == "I8" and not _by_groups(t, _scale_of(scales)):
        return t.shape, True
    bits = bits or _bits(t, scales, name, scheme, config)
    if bits is None:
        return t.shape, False
    each = t.nbytes * 8 // t.elements if t.elements else 8
    if scheme is not None and scheme.title.startswith("BitNet"):
        return (t.shape[0] * each // bits, *t.shape[1:]), True
    if t.name.endswith(".W_q"):
        return (t.nbytes * 8 // bits,), True
    return (*t.shape[:-1], t.shape[-1] * each // bits) if t.shape else t.shape, True


def _columns_packed(t: StoredTensor, scales: Mapping[str, StoredTensor]) -> tuple[Shape, bool]:
    """GPTQ packs along the inputs, AWQ along the outputs; the scales have a column for each output."""
    scale, zeros = scales.get("scales"), scales.get("qzeros")
    if scale is None or zeros is None or len(t.shape) != 2 or len(scale.shape) != 2 or not zeros.elements:
        return t.shape, False
    outputs, width = scale.shape[1], t.nbytes * 8 // t.elements
    bits = zeros.nbytes * 8 // (zeros.shape[0] * outputs) if outputs else 0
    if not bits:
        return t.shape, False
    if t.shape[1] == outputs:
        return (outputs, t.shape[0] * width // bits), True
    return (outputs, t.shape[0]), t.shape[1] * width == outputs * bits


BLOCKS = {"F8_E8M0": 32, "F8_E4M3": 16}
"""Elements that a scale of that type serves: OCP microscaling formats, and NVFP4."""

MLX_BITS = {64: 4, 128: 4, 256: 8}
"""Bits by 8-bit scale and its share of the data in bits: nvfp4, mxfp4 and mxfp8 of MLX (4 × 16, 4 × 32, 8 × 32)."""


def bits_by_scale(t: StoredTensor, scale: StoredTensor | None) -> int | None:
    """Bits of an element where the scales give it away: a microscaling scale serves 32 elements along the inputs, one
    of NVFP4 16, so that what share of a row each serves tells how many elements are packed in it. DeepSeek-V4 keeps two
    4-bit floats in an I8, compressed-tensors and gpt-oss in a U8. None where the scales do not tell."""
    if scale is None or len(scale.shape) != len(t.shape) or not t.shape or not scale.shape[-1]:
        return None
    if scale.shape[:-1] != t.shape[:-1]:
        return None  # a scale for a block of rows too
    share = t.nbytes * 8 * t.shape[-1] / (t.elements * scale.shape[-1]) if t.elements else 0
    if scale.dtype == "U8":
        if t.dtype == "U32":
            return MLX_BITS.get(int(share))
        return {128: 4, 192: 6, 256: 8, 64: 4}.get(int(share))
    bits = share / BLOCKS[scale.dtype] if scale.dtype in BLOCKS else 0
    return int(bits) if bits in (4, 6, 8) else None


def _scale_of(scales: Mapping[str, StoredTensor]) -> StoredTensor | None:
    names = ("weight_scale", "scales", "scale", "weight_scale_inv", "scale_inv", "weight_scales")
    return next((scales[name] for name in names if name in scales), None)


def _by_groups(t: StoredTensor, scale: StoredTensor | None) -> bool:
    """Whether there are several scales along each row, as there are for packed integers of 4 bits: their number alone
    does not tell 8 bits from 4. Scales for whole blocks of rows are of 8-bit formats."""
    if scale is None or len(scale.shape) != len(t.shape) or len(t.shape) < 2:
        return False
    return scale.shape[:-1] == t.shape[:-1] and scale.shape[-1] > 1


def _bits(
    t: StoredTensor, scales: Mapping[str, StoredTensor], name: str, scheme: Scheme | None, config: Mapping[str, Any]
) -> int | None:
    """Bits of an element of packed data, as the config says."""
    scale = _scale_of(scales)
    if scale is not None and t.dtype == "U32" and scale.shape and scale.shape[-1] and t.shape:
        block = block_of(config)
        settings = block.settings if block is not None else {}
        own = settings.get(name.removesuffix(".weight"))
        group = {**settings, **(own if isinstance(own, Mapping) else {})}.get("group_size")
        bits = t.shape[-1] * 32 / (scale.shape[-1] * (group if isinstance(group, int) and group > 0 else 64))
        return int(bits) if bits in (2, 3, 4, 5, 6, 8) else None
    form = scheme.pick(name.removesuffix(".weight"), "linear", False) if scheme is not None else None
    return form.bits if form is not None else None
