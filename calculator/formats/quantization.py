"""Reading `quantization_config`: which tensors of a checkpoint are stored in which format."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from calculator.formats.named import FORMATS, UNCONVERTED_ROLES, Format, grouped

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
    method = method.lower().replace("_", "-").rpartition("/")[2]
    reader = READERS.get(method)
    if method in UNPRICED:
        return None, f"how many bytes {method} takes follows from its {UNPRICED[method]}, which the config does not fix"
    if reader is None:
        return None, f"quantization method {method!r} is not known here"
    scheme, reason = reader(settings)
    return (_with_experts(settings, config, scheme) if scheme else None), reason


def _with_experts(settings: Mapping[str, Any], config: Mapping[str, Any], scheme: Scheme) -> Scheme:
    """The scheme with another format for routed experts, where the config says so: `expert_dtype` (DeepSeek-V4: 4-bit
    floats with an 8-bit scale per 32) or modelopt's `moe_quant_algo`."""
    algorithm = str(settings.get("moe_quant_algo") or "").upper()
    fp4 = config.get("expert_dtype") == "fp4"
    form = ALGORITHMS.get(algorithm) or (FORMATS["mxfp4"] if fp4 else None)
    if form is None:
        return scheme

    def pick(module: str, role: str, tower: bool) -> Format | None:
        return form if role == "experts" else scheme.pick(module, role, tower)

    return replace(scheme, title=f"{scheme.title}; experts {form.name}", pick=pick)


def _scheme(
    title: str,
    form: Format,
    ignored: Iterable[str] = (),
    cache: str | None = None,
    *,
    towers: bool = True,
    head: bool = False,
) -> tuple[Scheme, None]:
    """One format for all matrices but those ignored; towers and the head where the method converts them."""
    names = Names(ignored)
    kept = UNCONVERTED_ROLES - {"head"} if head else UNCONVERTED_ROLES

    def pick(module: str, role: str, tower: bool) -> Format | None:
        return None if role in kept or (tower and not towers) or module in names else form

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
    """qzeros are stored even for symmetric GPTQ, and g_idx names each input column's group in 32 bits. Only the layers
    of the language model are converted, and the head where `lm_head` says so; `dynamic` gives modules bits of their
    own ("+:") or none ("-:")."""
    bits, group = int(settings.get("bits", 4)), int(settings.get("group_size", 128))
    title, form = f"GPTQ {bits}-bit, groups of {group}", _integer(bits, group, True, columns=32)
    plain, _ = _scheme(title, form, _ignored(settings), towers=False, head=settings.get("lm_head") is True)
    rules: list[tuple[Names, Format | None]] = []
    for pattern, own in (settings.get("dynamic") or {}).items():
        kind, _, expression = pattern.rpartition(":") if pattern[:2] in ("+:", "-:") else ("+", "", pattern)
        sizes = {"bits": bits, "group_size": group} | (own or {})
        special = _integer(int(sizes["bits"]), int(sizes["group_size"]), True, columns=32)
        rules.append((Names([f"re:{expression}"]), None if kind == "-" else special))

    def pick(module: str, role: str, tower: bool) -> Format | None:
        found = plain.pick(module, role, tower)
        return next((own for names, own in rules if module in names), found) if found is not None else None

    return Scheme(title, pick), None


def _awq(settings: Mapping[str, Any]) -> Result:
    bits = int(settings.get("bits") or settings.get("w_bit") or 4)
    group = int(settings.get("group_size") or settings.get("q_group_size") or 128)
    form = _integer(bits, group, bool(settings.get("zero_point", True)))
    return _scheme(f"AWQ {bits}-bit, groups of {group}", form, _ignored(settings), towers=False)


def _auto_round(settings: Mapping[str, Any]) -> Result:
    """Integers packed as GPTQ or AWQ pack them, without GPTQ's group index; `extra_config` has bits by module."""
    bits, group = int(settings.get("bits", 4)), int(settings.get("group_size", 128))
    kind = str(settings.get("data_type", "int"))
    if kind != "int" or str(settings.get("packing_format", "")).endswith("gguf"):
        return None, f"AutoRound's data type {kind!r} is not known here"
    extra = {WRAPPERS.sub("", name): own for name, own in (settings.get("extra_config") or {}).items()}
    title, form = f"AutoRound {bits}-bit, groups of {group}", _integer(bits, group, True)
    plain, _ = _scheme(title, form, _ignored(settings), towers=False)

    def pick(module: str, role: str, tower: bool) -> Format | None:
        own = extra.get(WRAPPERS.sub("", module))
        if not isinstance(own, Mapping):
            return plain.pick(module, role, tower)
        width = int(own.get("bits", bits))
        return None if width >= 16 else _integer(width, int(own.get("group_size", group)), True)

    return Scheme(title, pick), None


def _hqq(settings: Mapping[str, Any]) -> Result:
    """HQQ keeps a 16-bit scale and a 16-bit zero point per group (mobiusml/hqq, core/quantize.py)."""
    options = settings.get("quant_config") or {}
    weights = options.get("weight_quant_params") or settings
    if not isinstance(weights, Mapping) or "nbits" not in weights:
        return None, "HQQ's bits differ by layer"
    bits, group = int(weights["nbits"]), int(weights.get("group_size") or 0)
    # Ten 3-bit numbers share 32 bits, 5- and 6-bit ones take a byte each; what is beyond whole bits is on the scale.
    beyond = {3: Fraction(group, 5), 5: Fraction(3 * group), 6: Fraction(2 * group)}.get(bits, Fraction(0))
    form = grouped(Format(f"int{bits}", bits, scale_bits=32 + beyond), columns=group)
    return _scheme(f"HQQ {bits}-bit, groups of {group or 'a row'}", form, _ignored(settings))


def _quanto(settings: Mapping[str, Any]) -> Result:
    """8-bit numbers with a 16-bit scale a row; 4- and 2-bit ones with a scale and a shift per 128 inputs. Two scalars
    for the activations stand beside each matrix (huggingface/optimum-quanto, nn/qmodule.py)."""
    kind = str(settings.get("weights") or "int8")
    scalars = 2 * 16
    forms = {
        "int8": Format("int8", 8, scale_bits=16, tensor_bits=scalars),
        "float8": Format("fp8", 8, scale_bits=16, tensor_bits=scalars),
        "int4": Format("int4", 4, tile_columns=128, scale_bits=32, tensor_bits=scalars),
        "int2": Format("int2", 2, tile_columns=128, scale_bits=32, tensor_bits=scalars),
    }
    if kind not in forms:
        return None, f"Quanto's weights {kind!r} are not known here"
    return _scheme(f"Quanto {kind}", forms[kind], _ignored(settings))


def _eetq(settings: Mapping[str, Any]) -> Result:
    return _scheme("EETQ int8, one 16-bit scale a row", Format("int8", 8, scale_bits=16), _ignored(settings))


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
    plain, _ = _scheme(title, form, _ignored(settings))
    return replace(plain, pick=_with_layers(settings, plain.pick)), None


def _with_layers(settings: Mapping[str, Any], rest: Picker) -> Picker:
    """`rest`, but for the modules that `quantized_layers` lists with formats of their own (modelopt)."""
    listed = settings.get("quantized_layers")
    names: dict[str, list[str]] = {}
    for name, entry in listed.items() if isinstance(listed, Mapping) else ():
        algorithm = str(entry.get("quant_algo", "")).upper() if isinstance(entry, Mapping) else ""
        if algorithm in ALGORITHMS:
            names.setdefault(algorithm, []).append(name)
    rules = [(Names(found), ALGORITHMS[algorithm]) for algorithm, found in names.items()]

    def pick(module: str, role: str, tower: bool) -> Format | None:
        if role in UNCONVERTED_ROLES:
            return None
        return next((form for found, form in rules if module in found), None) or rest(module, role, tower)

    return pick if rules else rest


def _mxfp4(settings: Mapping[str, Any]) -> Result:
    return _scheme("MXFP4, 8-bit scale per 32", FORMATS["mxfp4"], _ignored(settings))


def _bitsandbytes(settings: Mapping[str, Any]) -> Result:
    skipped = _ignored(settings)
    if settings.get("load_in_8bit") or settings.get("_load_in_8bit"):
        # A byte beside each matrix names its layout.
        return _scheme("bitsandbytes LLM.int8()", Format("int8", 8, scale_bits=32, tensor_bits=8), skipped)
    double = bool(settings.get("bnb_4bit_use_double_quant"))
    scale = Fraction(8 * 256 + 32, 256) if double else 32
    tables = 16 * 32 + (256 * 32 if double else 0)  # the 16 values a code stands for, and the 256 of a scale
    kind = str(settings.get("bnb_4bit_quant_type", "fp4"))
    title = f"bitsandbytes {kind}, blocks of 64" + (", double-quantized scales" if scale != 32 else "")
    return _scheme(title, Format(kind, 4, tile_columns=64, scale_bits=scale, tensor_bits=tables), skipped)


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
        # A 16-bit scale and a 16-bit zero point per group (pytorch/ao, Int4Tensor and the tensor-core layout).
        form = grouped(Format("int4", 4, scale_bits=32), columns=group)
        return _scheme(f"torchao int4, groups of {group}", form, _ignored(settings))
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
        name = WRAPPERS.sub("", module)
        setting = special.get(name, special.get(_mlx_name(name)))
        if isinstance(setting, Mapping):
            return _mlx_format({**settings, **setting})
        return None if setting is False else default

    return Scheme(f"MLX {default.bits}-bit, groups of {default.tile_columns}", pick), None


def _mlx_name(module: str) -> str:
    """Routed experts as MLX names them, one stacked module for each projection."""
    found = re.fullmatch(r"(.*)\bexperts\.(?:\*\.)?(\w+)", module)
    own = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj", "gate_up_proj": "up_proj"}
    return f"{found[1]}switch_mlp.{own.get(found[2], found[2])}" if found else module


def _mlx_format(settings: Mapping[str, Any]) -> Format:
    bits, group = int(settings["bits"]), int(settings.get("group_size", 64))
    mode = settings.get("mode", "affine")
    if mode != "affine":  # an 8-bit scale and no bias
        return grouped(Format(str(mode), bits, scale_bits=8), columns=group)
    return grouped(Format(f"int{bits}", bits, scale_bits=32), columns=group)  # a 16-bit scale and a 16-bit bias


def _groups(settings: Mapping[str, Any]) -> Result:
    """compressed-tensors and modelopt: formats per group of target modules."""
    groups = [g for g in (settings.get("config_groups") or {}).values() if g.get("weights")]
    cache = _cache_format(settings)
    whole = str(settings.get("format") or "")
    if whole in ("marlin-24", "sparse-24-bitmask", "sparse-bitmask"):
        return None, f"its format {whole!r} keeps part of the weights only"
    if not groups:
        algorithm = str(settings.get("quant_algo", "")).upper()
        if algorithm == "MIXED_PRECISION" and settings.get("quantized_layers"):
            return Scheme("mixed precision (modelopt)", _with_layers(settings, lambda *_: None), cache), None
        if algorithm not in ALGORITHMS:
            return None, f"its quantization_config has no weight group and no known algorithm ({algorithm or 'none'})"
        return _scheme(f"{algorithm} (modelopt)", ALGORITHMS[algorithm], _ignored(settings), cache)
    modelopt = str(settings.get("quant_method", "")).startswith("modelopt")
    rules = []
    for group in groups:
        targets = group.get("targets") or ["Linear"]
        form = _modelopt_format(group) if modelopt else _group_format(group, str(group.get("format") or whole))
        rules.append((None if "Linear" in targets else Names(targets), form))
    ignored = Names(_ignored(settings))

    def pick(module: str, role: str, tower: bool) -> Format | None:
        if role in UNCONVERTED_ROLES or module in ignored:
            return None
        return next((form for names, form in rules if names is None or module in names), None)

    title = ", ".join(dict.fromkeys(f"{form.name} ({form.bits}-bit)" for _, form in rules))
    return Scheme(title, _with_layers(settings, pick), cache), None


def _nvfp4(inputs: bool) -> Format:
    """A 32-bit scalar for each matrix, and one for its input where that is quantized too."""
    return replace(FORMATS["nvfp4"], tensor_bits=64 if inputs else 32)


def _modelopt_format(group: Mapping[str, Any]) -> Format:
    weights, inputs = group["weights"], bool(group.get("input_activations"))
    if int(weights.get("num_bits") or 8) == 4:
        return _nvfp4(inputs) if int(weights.get("group_size") or 16) == 16 else FORMATS["mxfp4"]
    return Format("fp8", 8, tile_rows=0, scale_bits=64 if inputs else 32)


ALGORITHMS = {
    "FP8": Format("fp8", 8, tile_rows=0, scale_bits=64),
    "FP8_PB_WO": Format("fp8", 8, tile_rows=128, tile_columns=128, scale_bits=32),
    "NVFP4": _nvfp4(True),
    "MXFP4": FORMATS["mxfp4"],
}
"""modelopt's algorithms by name (NVIDIA Model Optimizer, torch/export)."""

SCALE_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "float8_e4m3fn": 8, "uint8": 8}


def _group_format(group: Mapping[str, Any], packing: str) -> Format:
    """A group of compressed-tensors: scales are in the model's 16-bit type unless `scale_dtype` says otherwise, packed
    tensors carry their unpacked shape in two 64-bit numbers (compressed_tensors/quantization/lifecycle/initialize.py,
    compressors/)."""
    weights, inputs = group["weights"], group.get("input_activations")
    bits, kind = int(weights.get("num_bits") or 8), weights.get("type", "int")
    size = weights.get("group_size")
    strategy = weights.get("strategy") or ("group" if size else "tensor")
    if kind == "float" and bits == 4:
        return _nvfp4(bool(inputs)) if int(size or 16) == 16 else FORMATS["mxfp4"]
    if packing.startswith("mxfp"):
        return Format(f"mxfp{bits}", bits, tile_columns=int(size or 32), scale_bits=8)
    name = f"fp{bits}" if kind == "float" else f"int{bits}"
    scale = SCALE_BITS.get(str(weights.get("scale_dtype") or "").removeprefix("torch."), 16)
    packed = packing == "pack-quantized" or (not packing and kind == "int" and bits < 8)
    beside = (128 if packed else 0) + (16 if inputs and not inputs.get("dynamic", True) else 0)
    zeros = 0 if weights.get("symmetric", True) else bits if packed else 8
    columns = 32 if packed and str(weights.get("actorder")).lower() in ("group", "true", "dynamic") else 0
    base = Format(name, bits, scale_bits=scale, zero_bits=zeros, column_bits=columns, tensor_bits=beside)
    if strategy == "block":
        rows, wide = weights.get("block_structure") or (128, 128)
        return replace(base, tile_rows=int(rows), tile_columns=int(wide))
    if strategy == "tensor":
        return replace(base, tile_rows=0)
    return grouped(base, columns=int(size or 0) if strategy in ("group", "tensor_group") else 0)


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
    "auto-round": _auto_round,
    "hqq": _hqq,
    "quanto": _quanto,
    "eetq": _eetq,
    "compressed-tensors": _groups,
    "modelopt": _groups,
    "modelopt-fp4": _groups,
}

UNPRICED = {
    "aqlm": "codebooks",
    "vptq": "codebooks and its indices",
    "spqr": "outliers",
    "higgs": "grids",
    "quark": "own export format",
}
"""Methods that are known by name and whose bytes no config tells: with `--checkpoint` the headers do."""
