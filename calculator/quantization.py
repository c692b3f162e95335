"""Reading `quantization_config`: which tensors of a checkpoint are stored in which format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from calculator.formats import FORMATS, UNCONVERTED_ROLES, Format, grouped

WRAPPERS = re.compile(r"^(?:(?:model|language_model|text_model|transformer)\.)+")


# A config is a stranger's file: its patterns may not make the regex engine backtrack without end.
REPEATS = re.compile(r"[*+]|\{\d+,\d*\}")
NESTED = re.compile(r"[*+}][^()]*\)\s*[*+{]|\|[^()]*\)\s*[*+{]")
MOST_REPEATS = 5


class Names:
    """The modules a quantization config lists: exact paths, parts of paths, globs ("*") and regexes ("re:")."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """
        Raises:
            ValueError: a pattern that could take the regex engine very long.
        """
        self.plain: set[str] = set()
        expressions = []
        for pattern in patterns:
            if len(pattern) > 500 or len(REPEATS.findall(pattern)) > MOST_REPEATS or NESTED.search(pattern):
                raise ValueError(f"the module pattern {pattern[:60]!r} is too long or repeats too much")
            if pattern.startswith("re:"):
                expressions.append(pattern[3:].lstrip("^"))
            elif "*" in pattern:
                expressions.append(re.escape(WRAPPERS.sub("", pattern)).replace(r"\*", ".*"))
            else:
                self.plain.add(WRAPPERS.sub("", pattern))
        self.compiled = re.compile("|".join(f"(?:{e})" for e in expressions)) if expressions else None

    def __contains__(self, module: str) -> bool:
        bare = WRAPPERS.sub("", module)
        words = bare.split(".")
        spans = (".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
        if any(span in self.plain for span in spans):
            return True
        return bool(self.compiled and (self.compiled.match(bare) or self.compiled.match(module)))


Picker = Callable[[str, str, bool], Format | None]
"""The format of a tensor by its module path, its role and whether it is in a tower; None where it is not quantized."""


@dataclass(frozen=True)
class Scheme:
    """How a checkpoint is stored."""

    title: str
    pick: Picker
    cache: str | None = None  # the KV cache's format, where the config asks for one
    vectors: bool = False  # whether it also says how tensors of one axis are stored


def scheme_of(config: Mapping[str, Any]) -> tuple[Scheme | None, str | None]:
    """The checkpoint's scheme, or None with the reason why its quantization is not understood (None: not quantized)."""
    settings = config.get("quantization_config") or config.get("quantization")
    if not isinstance(settings, Mapping) or not settings:
        return None, None
    method = str(settings.get("quant_method") or ("mlx" if "bits" in settings else settings.get("quant_algo", "")))
    reader = READERS.get(method.lower().replace("_", "-"))
    if reader is None:
        return None, f"quantization method {method!r} is not known here"
    return reader(settings)


def _scheme(title: str, form: Format, ignored: Iterable[str] = (), cache: str | None = None) -> tuple[Scheme, None]:
    names = Names(ignored)

    def pick(module: str, role: str, tower: bool) -> Format | None:
        return None if role in UNCONVERTED_ROLES or module in names else form

    return Scheme(title, pick, cache), None


def _ignored(settings: Mapping[str, Any]) -> list[str]:
    keys = ("modules_to_not_convert", "ignored_layers", "ignore", "exclude_modules", "llm_int8_skip_modules")
    return [name for key in keys for name in (settings.get(key) or ())]


Result = tuple[Scheme | None, str | None]


def _integer(bits: int, group: int, zeros: bool, *, columns: int = 0, name: str = "") -> Format:
    """Group-wise integers: a 16-bit scale, and a zero point of `bits`, per group."""
    base = Format(name or f"int{bits}", bits, scale_bits=16, zero_bits=bits if zeros else 0, column_bits=columns)
    return grouped(base, columns=group)


def _gptq(settings: Mapping[str, Any]) -> Result:
    # qzeros are stored even for symmetric GPTQ, and g_idx names each input column's group in 32 bits.
    bits, group = int(settings.get("bits", 4)), int(settings.get("group_size", 128))
    return _scheme(f"GPTQ {bits}-bit, groups of {group}", _integer(bits, group, True, columns=32), _ignored(settings))


def _awq(settings: Mapping[str, Any]) -> Result:
    bits = int(settings.get("bits") or settings.get("w_bit") or 4)
    group = int(settings.get("group_size") or settings.get("q_group_size") or 128)
    form = _integer(bits, group, bool(settings.get("zero_point", True)))
    return _scheme(f"AWQ {bits}-bit, groups of {group}", form, _ignored(settings))


def _fp8(settings: Mapping[str, Any]) -> Result:
    block = settings.get("weight_block_size")
    if block:
        if not isinstance(block, list | tuple) or len(block) != 2:
            raise ValueError(f"weight_block_size {block!r} is not [rows, columns]")
        form = Format("fp8", 8, tile_rows=int(block[0]), tile_columns=int(block[1]), scale_bits=32)
        title = f"FP8, one 32-bit scale per {block[0]}×{block[1]} block"
    else:
        # A static activation scheme stores the input's scale beside the weight's.
        scales = 64 if settings.get("activation_scheme") == "static" else 32
        form, title = Format("fp8", 8, tile_rows=0, scale_bits=scales), "FP8, one scale per matrix"
    return _scheme(title, form, _ignored(settings))


def _mxfp4(settings: Mapping[str, Any]) -> Result:
    return _scheme("MXFP4, 8-bit scale per 32", FORMATS["mxfp4"], _ignored(settings))


def _bitsandbytes(settings: Mapping[str, Any]) -> Result:
    skipped = _ignored(settings)
    if settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
        return _scheme("bitsandbytes LLM.int8()", Format("int8", 8, scale_bits=32), skipped)
    scale = Fraction(8 * 256 + 32, 256) if settings.get("bnb_4bit_use_double_quant") else 32
    kind = str(settings.get("bnb_4bit_quant_type", "fp4"))
    title = f"bitsandbytes {kind}, blocks of 64" + (", double-quantized scales" if scale != 32 else "")
    return _scheme(title, Format(kind, 4, tile_columns=64, scale_bits=scale), skipped)


def _bitnet(settings: Mapping[str, Any]) -> Result:
    return _scheme(
        "BitNet, ternary packed in 2 bits", Format("ternary", 2, tile_rows=0, scale_bits=16), _ignored(settings)
    )


def _torchao(settings: Mapping[str, Any]) -> Result:
    kind: Any = settings.get("quant_type", "")
    options: Mapping[str, Any] = settings.get("quant_type_kwargs") or {}
    if isinstance(kind, Mapping):
        inner = kind.get("default", {})
        kind, options = inner.get("_type", ""), inner.get("_data", {})
    kind, group = str(kind).lower(), int(options.get("group_size") or 128)
    if "int4" in kind:
        return _scheme(f"torchao int4, groups of {group}", _integer(4, group, False, name="int4"), _ignored(settings))
    if "int8" in kind:
        return _scheme("torchao int8", FORMATS["int8"], _ignored(settings))
    if "float8" in kind:
        return _scheme("torchao float8", FORMATS["fp8"], _ignored(settings))
    return None, f"torchao type {kind!r} is not known here"


def _mlx(settings: Mapping[str, Any]) -> Result:
    """MLX quantizes every matrix whose columns divide into groups, embedding and head included, with scale and bias."""
    default = _mlx_format(settings)
    special = {WRAPPERS.sub("", name): value for name, value in settings.items() if isinstance(value, Mapping | bool)}

    def pick(module: str, role: str, tower: bool) -> Format | None:
        if role in ("norm", "vector", "convolution"):
            return None
        setting = special.get(WRAPPERS.sub("", module))
        if isinstance(setting, Mapping):
            return _mlx_format({**settings, **setting})
        return None if setting is False else default

    return Scheme(f"MLX {default.bits}-bit, groups of {default.tile_columns}", pick), None


def _mlx_format(settings: Mapping[str, Any]) -> Format:
    bits, group = int(settings["bits"]), int(settings.get("group_size", 64))
    if settings.get("mode") == "mxfp4":
        return grouped(FORMATS["mxfp4"], columns=group)
    return grouped(Format(f"int{bits}", bits, scale_bits=32), columns=group)  # a 16-bit scale and a 16-bit bias


def _groups(settings: Mapping[str, Any]) -> Result:
    """compressed-tensors and modelopt: formats per group of target modules."""
    groups = [
        (g.get("targets") or ["Linear"], g["weights"])
        for g in (settings.get("config_groups") or {}).values()
        if g.get("weights")
    ]
    cache = _cache_format(settings)
    if not groups:
        algorithm = str(settings.get("quant_algo", "")).upper()
        if algorithm not in ("FP8", "NVFP4", "MXFP4"):
            return None, f"its quantization_config has no weight group and no known algorithm ({algorithm or 'none'})"
        form = {"FP8": Format("fp8", 8, tile_rows=0, scale_bits=64), "MXFP4": FORMATS["mxfp4"]}.get(algorithm, _nvfp4())
        return _scheme(f"{algorithm} (modelopt)", form, _ignored(settings), cache)
    rules = [(None if "Linear" in targets else Names(targets), _group_format(weights)) for targets, weights in groups]
    ignored = Names(_ignored(settings))

    def pick(module: str, role: str, tower: bool) -> Format | None:
        if role in UNCONVERTED_ROLES or module in ignored:
            return None
        return next((form for names, form in rules if names is None or module in names), None)

    title = ", ".join(dict.fromkeys(f"{form.name} ({form.bits}-bit)" for _, form in rules))
    return Scheme(title, pick, cache), None


def _nvfp4() -> Format:
    # Two 32-bit scalars per matrix: the weight's global scale and the input's.
    return replace(FORMATS["nvfp4"], tensor_bits=64)


def _group_format(weights: Mapping[str, Any]) -> Format:
    bits, kind = int(weights.get("num_bits") or 8), weights.get("type", "int")
    group = weights.get("group_size")
    strategy = weights.get("strategy") or ("group" if group else "tensor")
    if kind == "float" and bits == 4:
        return replace(_nvfp4(), tile_columns=int(group or 16)) if int(group or 16) == 16 else FORMATS["mxfp4"]
    name = f"fp{bits}" if kind == "float" else f"int{bits}"
    if strategy == "block":
        rows, columns = weights.get("block_structure") or (128, 128)
        return Format(name, bits, tile_rows=int(rows), tile_columns=int(columns), scale_bits=32)
    if strategy == "tensor":
        return Format(name, bits, tile_rows=0, scale_bits=16)
    zeros = 0 if weights.get("symmetric", True) else bits
    shape = 128 if kind == "int" and bits < 8 else 0  # packed tensors carry their unpacked shape, two 64-bit numbers
    base = Format(name, bits, scale_bits=16, zero_bits=zeros, tensor_bits=shape)
    return grouped(base, columns=int(group or 0) if strategy in ("group", "tensor_group") else 0)


def _cache_format(settings: Mapping[str, Any]) -> str | None:
    scheme = settings.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return "fp8" if scheme.get("type") == "float" else "int8"
    algorithm = str(settings.get("kv_cache_quant_algo") or "").lower()
    return algorithm if algorithm in ("fp8", "int8", "nvfp4") else None


READERS: dict[str, Callable[[Mapping[str, Any]], Result]] = {
    "gptq": _gptq,
    "awq": _awq,
    "fp8": _fp8,
    "fbgemm-fp8": lambda s: _scheme("FBGEMM FP8, one scale a row", Format("fp8", 8, scale_bits=32), _ignored(s)),
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "bitnet": _bitnet,
    "torchao": _torchao,
    "mlx": _mlx,
    "compressed-tensors": _groups,
    "modelopt": _groups,
    "modelopt-fp4": _groups,
}
